"""What a pull is about to read is held from recycling, gives way to commands, and is let go; the
host's reader finds what the board has.

Where a promise is kept by one place in the code, the test takes it away and turns red.
"""

import pytest
from quipu.archive.chain import Chain
from quipu.board.blocks import Blocks
from quipu.board.verbs import Layout

from shared_kernel import kernel, pull
from shared_kernel import store as store_module
from shared_kernel.errors import FormatError, LogFull, NotFound
from shared_kernel.frames import CHECKPOINT, NO_HEAD, OVERWRITE
from shared_kernel.kernel import u32
from tests.faults.harness import Clock, mount
from tests.log.test_store import flash, fresh, put, torn_log


class Direct:
    """A board without a link: what Blocks asks of one."""

    def __init__(self, store):
        self.store = store
        self.asked = []

    def layout(self, seq, head, hold=False):
        words = pull.layout(self.store, seq, head, hold)
        first, certain, address, sector, sectors, block, unit, total, *runs = [
            u32(words, i) for i in range(0, len(words), 4)
        ]
        out = Layout(
            first,
            certain,
            address,
            sector,
            sectors & 0xFFFF,
            sectors >> 16,
            block,
            unit,
            total,
            tuple(runs),
        )
        assert out.is_possible()
        return out

    def read_region(self, address, size):
        region = self.store.region
        size = min(size, 700)
        self.asked.append((address, size))
        buffer = memoryview(bytearray(256))
        end = pull.used_end(region, address, address + size)
        true_end = region.used_end(address, address + size)
        assert true_end <= end < true_end + 16 and end <= address + size
        data = b"".join(bytes(each) for each in pull.parts(region, buffer, address, end))
        return data + b"\xff" * (size - len(data))


def pulled(store, seq, head, name):
    """Return the frames from seq on, as a host finds them."""
    board = Direct(store)
    chain = Chain(None if head == NO_HEAD else name, seq - 1, head)
    out = []
    while True:
        layout = board.layout(chain.seq + 1, chain.head)
        if layout.certain <= chain.seq:
            return out
        before = chain.seq
        for frame in Blocks(board, layout, name).after(chain):
            chain.step(frame)
            out.append(bytes(frame))
        assert chain.seq > before


@pytest.mark.parametrize("most", (2, 3, 64))
def test_a_host_finds_every_frame_from_any_seq(monkeypatch, most):
    monkeypatch.setattr(pull, "MOST", most)
    store, frames, heads = torn_log()
    for seq in (*range(0, store.seq + 1, 7), store.seq):
        assert pulled(store, seq, heads[seq], store.name) == [
            frames[i] for i in range(seq, store.seq + 1)
        ]
    assert pulled(store, store.seq + 1, store.head, store.name) == []


def test_one_copy_of_a_header_is_enough():
    store, frames, heads = torn_log()
    region = store.region
    sim = region.flash
    for i, number in enumerate(store.order):
        sim.flip(region.header_at(number) + i % 2 * region.header_size + 40, 3)
    assert pulled(store, 0, heads[0], store.name) == [frames[i] for i in range(store.seq + 1)]


def test_another_history_and_a_log_that_ends_before_are_named():
    store, _, heads = torn_log()
    with pytest.raises(FormatError):
        pull.layout(store, 9, bytes([heads[9][0] ^ 1]) + heads[9][1:8], False)
    with pytest.raises(NotFound):
        pull.layout(store, store.seq + 2, bytes(8), False)


def full_ring(policy=OVERWRITE):
    """Return a store whose ring has turned, and which has room for no further sector without
    recycling."""
    store, _ = fresh(flash(sectors=20), policy=policy)
    n = 0
    while not store.first().first or store.free_sectors() > store.reserve() + 1:
        store.execute([put(n)])
        n += 1
    return store


def test_what_is_about_to_be_pulled_is_not_recycled_without_need():
    store = full_ring()
    free = store.free_sectors()
    pull.layout(store, 0, bytes(8), True)
    assert store.hold == store.first().first and store.free_sectors() < free


def test_a_hold_ends_a_minute_after_the_last_request(monkeypatch):
    store = full_ring()
    now = [0]
    store.now = lambda: now[0]
    free = store.free_sectors()
    pull.layout(store, 0, bytes(8), True)
    held = store.free_sectors()
    for _ in range(5):
        now[0] += 59000
        store.hold_on()
        assert store.free_sectors() == held < free
    now[0] += 60001
    store.hold_on()
    assert store.hold == -1 and store.free_sectors() == free


def test_a_hold_gives_way_to_commands_and_not_to_what_a_pull_appends_itself():
    store = full_ring()
    pull.layout(store, 0, bytes(8), True)
    first = store.first().first
    n = 0
    with pytest.raises(LogFull, match="about to be pulled"):
        while True:
            store.log_only(CHECKPOINT, b"", True)
            n += 1
    assert store.hold >= 0 and store.first().first == first and n > 3
    while store.first().first == first:
        assert isinstance(store.execute([put(n)])[0], int), "no command is refused for a hold"
        n += 1
    assert store.hold == -1


def test_an_acknowledgement_ends_a_hold():
    store = full_ring()
    pull.layout(store, 0, bytes(8), True)
    store.acknowledge(store.seq + 1)
    assert store.hold == -1


def test_a_hold_that_nothing_keeps_is_noticed(monkeypatch):
    """The mutation: a store that recycles what is held."""
    monkeypatch.setattr(store_module.Store, "holds", lambda self: False)
    with pytest.raises(AssertionError):
        test_what_is_about_to_be_pulled_is_not_recycled_without_need()


def test_a_read_that_fails_once_ends_in_no_strange_error():
    """The flash driver raises OSError at the n-th read, for every n of a start-up, a command and a
    pull."""
    sim = flash()
    store, _ = fresh(sim)
    for n in range(90):
        store.execute([put(n)])
    expected = None
    reads = [0]
    real = sim.read

    def read(address, buffer):
        reads[0] += 1
        if reads[0] == fails_at:
            raise OSError(5)
        real(address, buffer)

    fails_at = -1
    while True:
        copy = sim.clone(1)
        real, copy.read = copy.read, read
        reads[0] = 0
        again = mount(copy, Clock(1))
        assert again.damage is None
        again.execute([(kernel.PUT, put(1)[1], None)])
        again.log_only(CHECKPOINT, b"")
        found = pulled(again, 0, NO_HEAD, again.name)
        expected = expected or found
        assert found == expected and again.ask(kernel.Kernel.key, b"k")[1] == b"1"
        fails_at += 1 if fails_at < 200 else 7
        if fails_at > reads[0]:
            break
