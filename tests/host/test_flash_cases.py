"""Histories in which flash format 1 lost data or kept silent, by the numbers of their reports (22,
23, 25, 29; 32 is in tests/drivers): each in format 2, on the board's own store and by what the
laptop reads from an image."""

import random

import pytest
import quipu
from quipu.cli.boards import show_info
from quipu.cli.dump import judged
from quipu.dump import recover
from quipu.dump.found import Found
from quipu.dump.image import FlashImage

from shared_kernel import frames as f
from shared_kernel import kernel as k
from shared_kernel import primitives
from shared_kernel.errors import Damage, FlashError, LogFull, QuipuError
from shared_kernel.store import Store, command
from tests.flashsim import FlashSim
from tests.host.sample import CONFIG, RamFlash, begin, every_type, give, mount
from tests.host.unix_board import SECTOR, SECTORS, UnixBoard
from tests.quick import long, some

WIDE = (16, 32, 16, 16, 8, 8, 8)


class ReadOnly(RamFlash):
    """A flash that must not be written."""

    def __init__(self, memory, sectors):
        super().__init__(sectors)
        self.memory[:] = memory

    def program(self, address, data):
        raise AssertionError(f"a program at 0x{address:x}")

    def erase(self, sector):
        raise AssertionError(f"an erase of sector {sector}")


def image(flash):
    return FlashImage(bytes(flash.memory), flash.sector, flash.page, flash.unit)


# -- 22: one bit of the only header flipped --------------------------------------------------------


@pytest.fixture(scope="module")
def young():
    """(flash, store) of a log whose first run is its only one."""
    flash = RamFlash(9)
    store = begin(flash)
    every_type(store)
    assert len(store.order) == 1
    return flash, store


def test_case_22_a_flipped_bit_in_either_copy_of_the_only_header_loses_nothing(young):
    flash, old = young
    region = old.region
    for copy in (0, 1):
        for bit in range(104 * 8):
            memory = bytearray(flash.memory)
            memory[region.header_at(old.order[0]) + copy * region.header_size + bit // 8] ^= (
                1 << bit % 8
            )
            store = mount(ReadOnly(memory, 9))
            assert (store.damage, store.seq, store.head, store.kernel.root()) == (
                None,
                old.seq,
                old.head,
                old.kernel.root(),
            ), (copy, bit)


def test_case_22_a_log_of_which_one_copy_is_lost_goes_on(young):
    flash, old = young
    for copy in (0, 1):
        other = RamFlash(9)
        other.memory[:] = flash.memory
        other.memory[old.region.header_at(old.order[0]) + copy * old.region.header_size + 9] ^= 8
        store = mount(other)
        give(store, k.PUT, f.put("later", b"on"))
        again = mount(other)
        assert (again.damage, again.seq, again.kernel.root()) == (
            None,
            store.seq,
            store.kernel.root(),
        )
        assert [(each.first, each.last) for each in Found(image(other)).stretches] == [
            (0, store.seq)
        ]


def test_case_22_with_both_copies_lost_it_is_damage_and_nothing_is_written(young, tmp_path):
    flash, old = young
    at = old.region.header_at(old.order[0])
    chance = random.Random(22)
    for turn in range(60):
        memory = bytearray(flash.memory)
        for copy in (0, 1):
            memory[at + copy * old.region.header_size + chance.randrange(104)] ^= (
                1 << chance.randrange(8)
            )
        store = mount(ReadOnly(memory, 9))
        assert "no run of its log can be read" in store.damage and store.kernel is None
        for act, *args in (
            (store.configure, CONFIG, bytes(16), "another"),
            (give, store, k.PUT, f.put("a", b"b")),
            (store.take_snapshot,),
        ):
            with pytest.raises(Damage):
                act(*args)
        held = Found(FlashImage(bytes(memory), 4096, 256, 4))
        assert [(each.first, each.last) for each in held.stretches] == [(0, old.seq)], (
            "the genesis proves all of it"
        )
        if turn == 0:
            result, verdict = recover.recover(held, tmp_path)
            assert (verdict.verdict, verdict.state_root) == ("match", old.kernel.root().hex())
            assert judged(result, verdict)["exit_code"] == 1


def test_case_22_and_32_a_question_changes_no_byte_of_a_region_that_cannot_be_read(tmp_path):
    """The real firmware: `quipu info` over the link, of a log whose only header is lost, and of
    somebody else's files."""
    flash = RamFlash(SECTORS)
    store = begin(flash)
    every_type(store)
    lost = bytearray(flash.memory)
    for copy in (0, 1):
        lost[store.region.header_at(store.order[0]) + copy * store.region.header_size + 9] ^= 8
    files = b"\xff" * (SECTORS - 10) * SECTOR + b"littlefs".ljust(SECTOR, b"\0") * 10
    for name, memory, why in (
        ("lost", lost, "no run of its log can be read"),
        ("files", files, "sector 22 begins with 6c6974746c656673"),
    ):
        path = tmp_path / name
        path.write_bytes(memory)
        with UnixBoard(path) as there, quipu.connect(there.port) as board:
            info = board.info()
            with pytest.raises(Damage, match="not blank"):
                board.configure(CONFIG, bytes(16))
        assert info["configured"] is False and info["format"] == 2 and why in info["damage"]
        assert "none: the region holds something else" in "".join(
            str(cell) for cell in show_info(info).columns[1].cells
        )
        assert path.read_bytes() == memory


def test_case_22_one_sector_record_or_all_lost_is_no_blank_region(young):
    flash, old = young
    memory = bytearray(flash.memory)
    for sector in range(9):
        memory[sector * 4096 + 2] ^= 1
    store = mount(ReadOnly(memory, 9))
    assert "holds something else than a log" in store.damage
    with pytest.raises(Damage):
        store.configure(CONFIG, bytes(16), "another")
    memory[2] ^= 1  # one is left
    store = mount(ReadOnly(memory, 9))
    assert (store.damage, store.seq, store.kernel.root()) == (None, old.seq, old.kernel.root())


# -- 23: a frame inside of a record ----------------------------------------------------------------


def containing(store, head):
    """Return an insert's payload that holds, where the frame is a multiple of 4 in, a whole boot
    frame of this log with the seq of that insert."""
    boot = f.frame(f.BOOT, f.boot(store.boot + 1, head, 0), store.seq + 1, 0, store.seed)
    inside = b"\0\0" + boot + b"\0\0"  # the vector stands 18 bytes into the frame
    return f.insert(
        [int.from_bytes(inside[i : i + 4], "little", signed=True) for i in range(0, 64, 4)]
    )


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("boots", [1, 3])
def test_case_23_a_boot_frame_inside_of_an_insert_is_content(wrong, boots):
    flash = RamFlash()
    store = begin(flash, config=WIDE)
    for _ in range(5):
        give(store, k.PUT, f.put("k", b"v"))
    ident = give(store, k.INSERT, containing(store, bytes(32) if wrong else store.head))
    seq = give(store, k.PUT, f.put("after", b"it"))
    for _ in range(boots):
        again = mount(flash)
        assert (again.damage, again.kernel.root(), again.cuts) == (None, store.kernel.root(), [])
        assert again.kernel.record(ident) and again.kernel.key(b"after") == (seq, b"it")
        give(again, k.DELETE_KEY, f.delete_key("k")) if again.kernel.keys.live() > 1 else give(
            again, k.PUT, f.put("k", b"v")
        )
        store = again
    held = Found(image(flash))
    assert (
        [(each.first, each.last) for each in held.stretches] == [(0, store.seq)]
        and held.left == []
        and held.damage is None
    )


@pytest.mark.parametrize("wrong", [False, True])
def test_case_23_it_is_not_followed_where_the_insert_is_torn(wrong):
    flash = RamFlash()
    store = begin(flash, config=WIDE)
    give(store, k.PUT, f.put("k", b"v"))
    before = store.seq
    give(store, k.INSERT, containing(store, bytes(32) if wrong else store.head))
    flash.memory[store.address - 3] = 0xFF  # the end of its CRC; two bytes of padding follow
    again = mount(flash)
    assert (again.damage, again.seq) == (None, before)
    assert again.cuts == [(before + 1, 85)], "all of the insert, but for the end of its CRC"
    held = Found(image(flash))
    assert held.stretches[0].last == before and held.left == []


# -- 25: recover was silent ------------------------------------------------------------------------


def fifty():
    """Return (flash, frames by seq) of a log of 50 frames in one run."""
    flash = RamFlash()
    store = begin(flash)
    while store.seq < 49:
        give(store, k.PUT, f.put(f"k{store.seq % 3}", bytes([store.seq])))
    out, at = [], store.region.frames_at(0)
    while len(out) < 50:
        if flash.memory[at] != f.VERSION:
            at = store.region.block_end(at)
        n = f.length_at(flash.memory, at)
        out.append((at, bytes(flash.memory[at : at + n])))
        at += store.region.pad(n)
    return flash, out


def test_case_25_what_stands_behind_the_end_is_counted_and_named(tmp_path):
    flash, frames = fifty()
    at, frame = frames[21]
    size = sum(len(each) for _, each in frames[22:])
    for bit in sorted({99, *some(range(8 * len(frame)), 60)}):
        flash.memory[at + bit // 8] ^= 1 << bit % 8
        held = Found(image(flash))
        assert held.stretches[0].last == 20 and held.damage, bit
        assert [(each.frames, each.bytes, each.first, each.last) for each in held.left] == [
            (28, size, 22, 49)
        ], bit
        if bit == 99:
            result, verdict = recover.recover(held, tmp_path)
            told = judged(result, verdict)
            assert told["exit_code"] == 1 and told["left"] == [
                {"sector": 4, "frames": 28, "bytes": size, "first": 22, "last": 49}
            ]
            assert (
                f"28 whole frames of this log, {size:,} bytes, seq 22 to 49"
                in told["verdict"]["doubt"]
            )
            assert "acknowledged frames may be missing" in told["verdict"]["doubt"]
        flash.memory[at + bit // 8] ^= 1 << bit % 8


def test_case_25_no_single_flip_anywhere_in_the_log_is_passed_over_in_silence(tmp_path):
    """All but one kind: the last group is then what a power cut leaves, and said as such."""
    flash, frames = fifty()
    chance = random.Random(25)
    for _ in range(long(300, 60)):
        seq = chance.randrange(50)
        at, frame = frames[seq]
        bit = chance.randrange(8 * len(frame))
        flash.memory[at + bit // 8] ^= 1 << bit % 8
        try:
            held = Found(image(flash))
            assert held.left or held.cuts and seq == 49, (seq, bit)
            assert all(each == frames[i][1] for i, each in enumerate(held.stretches[0].frames))
        except QuipuError:
            assert seq == 0  # without the genesis nothing names the configuration
        flash.memory[at + bit // 8] ^= 1 << bit % 8


# -- 29: sectors that stop erasing -----------------------------------------------------------------


def life_with_dead_sectors(seed, count, mode, where="ring"):
    """Return (store, flash, how many erases the slots had after the sectors died) of a log that
    goes on while sectors stop erasing."""
    chance = random.Random(seed)
    sim = FlashSim(20, 1024, 256, 4, seed=seed)
    store = Store(sim, lambda: 0)
    store.configure((2, 4, 2, 2, 6, 4, 8), bytes(16), "t", 0)
    ring = store.region.ring()

    def go_on(commands):
        for i in range(commands):
            try:
                command(store, k.PUT, f.put(b"k%d" % (i % 4), b"v%03d" % i))
            except (LogFull, FlashError):
                pass
            if where == "ring":
                store.acknowledge(store.seq + 1)

    go_on(400)
    for sector in chance.sample(range(ring, 20) if where == "ring" else range(ring), count):
        sim.stuck[sector] = (None, mode)
    before = sum(sim.erases[:ring])
    for _ in range(7):
        go_on(100)
        store = Store(sim, lambda: 0)
    return store, sim, sum(sim.erases[:ring]) - before


@pytest.mark.parametrize("mode", ["raise", "nothing", "wrong"])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_case_29_what_is_there_can_be_pulled_and_recovered_from_its_first_seq_on(seed, count, mode):
    store, sim, _ = life_with_dead_sectors(seed, count, mode)
    try:
        store.log_only(f.CHECKPOINT, b"")  # this boot's run, which may take the oldest sector
    except LogFull:
        pass
    run = store.first()
    seq, head = run.first, run.head
    while data := bytes(store.read_frames(seq, head[:8])):
        at = 0
        while at < len(data):
            n = f.length_at(data, at)
            head, seq, at = primitives.hash(head + data[at : at + n]), seq + 1, at + n
    assert (seq - 1, store.damage) == (store.certain(), None) and seq > 400
    assert seq - 1 < store.seq or head == store.head
    held = Found(FlashImage(bytes(sim.bytes), 1024, 256, 4))
    assert held.stretches[-1].last == store.seq and held.left == [] and held.missing() == []
    assert store.order == held.recovery.order


def test_case_29_a_board_with_dead_sectors_goes_on():
    store, _, _ = life_with_dead_sectors(0, 3, "raise")
    assert store.seq > 900


def test_case_29_a_dead_sector_in_a_slot_costs_the_good_ones_no_erases():
    store, sim, erases = life_with_dead_sectors(1, 1, "raise", "slot")
    assert len(store.bad) <= 1 and erases <= 8 * store.region.slot_sectors, erases
