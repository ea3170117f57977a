"""The past of a key, from the log on the board: every version that the flash holds, and a clear
word where it holds no more."""

import contextlib

import pytest

from shared_kernel import frames
from shared_kernel.errors import NotFound
from shared_kernel.history import Archived, history, value_at
from shared_kernel.kernel import DELETE_KEY, PUT
from shared_kernel.store import Store
from tests.faults.harness import Application, Chance, Clock, Witness, attempt, genesis, mount
from tests.flashsim import FlashSim, PowerCut

CONFIG = (2, 7, 5, 6, 4, 3, 5)


def put(store, name, value):
    return store.execute([(PUT, frames.put(name, value), None)])[0]


@pytest.fixture
def store():
    store = Store(FlashSim(24, 1024, 256, 4), Clock(1))
    store.configure(CONFIG, b"sixteen of chaos", "test/1")
    return store


def test_versions_come_newest_first(store):
    seqs = [put(store, b"a", b"%d" % i) for i in range(5)]
    found = store.call(history, store, b"a", 10)
    assert found.versions == [(seq, b"%d" % i) for i, seq in reversed(list(enumerate(seqs)))]
    assert found.archived is None
    assert store.call(history, store, b"a", 2).versions == found.versions[:2]


def test_a_put_of_the_same_value_is_a_version_whose_frame_has_no_value(store):
    first = put(store, b"a", b"same")
    at = store.address
    second = put(store, b"a", b"same")
    assert store.address - at < 32, "the frame holds the value"
    assert store.call(history, store, b"a", 10).versions == [(second, b"same"), (first, b"same")]
    assert store.call(history, store, b"a", 1).versions == [(second, b"same")]


def test_a_then_b_then_a_are_three_versions(store):
    seqs = [put(store, b"k", value) for value in (b"A", b"B", b"A")]
    assert store.call(history, store, b"k", 9).versions == [
        (seqs[2], b"A"),
        (seqs[1], b"B"),
        (seqs[0], b"A"),
    ]


def test_the_exact_moment_of_a_write(store):
    first = put(store, b"k", b"1")
    put(store, b"other", b"x")
    second = put(store, b"k", b"2")
    for seq, value in ((first, b"1"), (second - 1, b"1"), (second, b"2"), (second + 100, b"2")):
        assert store.call(value_at, store, b"k", seq)[1] == value
    with pytest.raises(NotFound, match="first written after seq %d" % (first - 1)):
        store.call(value_at, store, b"k", first - 1)


def test_an_unknown_or_deleted_key_is_not_found(store):
    with pytest.raises(NotFound):
        store.call(history, store, b"k", 1)
    put(store, b"k", b"1")
    store.execute([(DELETE_KEY, frames.delete_key(b"k"), None)])
    with pytest.raises(NotFound):
        store.call(history, store, b"k", 1)


def test_what_has_left_the_flash_is_said_to_be_archived(store):
    put(store, b"old", b"1")
    middle = put(store, b"old", b"2")
    while store.first().first <= middle:
        put(store, b"a", b"%d" % (store.seq % 90))
        store.acknowledge(store.seq + 1)
    found = store.call(history, store, b"old", 10)
    assert found.versions == [] and found.archived == store.first().first > middle
    with pytest.raises(Archived, match="archived before seq %d" % found.archived):
        store.call(value_at, store, b"old", middle)
    newest = put(store, b"old", b"2")  # without its value
    found = store.call(history, store, b"old", 10)
    assert found.versions == [(newest, None)] and found.archived
    newest = put(store, b"old", b"3")
    assert store.call(history, store, b"old", 1).versions == [(newest, b"3")]


class Reader(Witness):
    """Also keeps every key's writes since it was last created, read off the frames: {name: [(seq,
    value)]}."""

    def __init__(self):
        super().__init__()
        self.lives = {}

    def pull(self, store):
        got = super().pull(store)
        for seq, kind, _, p in got:
            if kind == DELETE_KEY:
                del self.lives[p[4:]]
            elif kind == PUT:
                name = p[6 : 6 + p[5]]
                life = self.lives.setdefault(name, [])
                life.append((seq, life[-1][1] if p[4] else p[6 + p[5] :]))
        return got


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("geometry", [(1, 512, 24, 256), (4, 1024, 12, 256), (16, 4096, 9, 256)])
def test_under_a_random_life(seed, geometry):
    """Groups, refusals, rotation, reboots and torn tails: all that is still on the flash, and
    nothing else."""
    unit, sector, sectors, page = geometry
    sim = FlashSim(sectors, sector, page, unit, seed=seed)
    clock, chance = Clock(seed), Chance(seed)
    store, witness = mount(sim, clock), Reader()
    witness.act(store, genesis())
    application = Application(chance)
    compared = 0
    for _ in range(400):
        if chance.below(20) == 0:
            sim.cut_after(chance.below(300))
        with contextlib.suppress(PowerCut):
            attempt(witness, store, application.action(witness.model))
        if chance.below(20) == 0 or sim.off:
            sim.power_on()
            store = mount(sim, clock)
            witness.booted(store)
        if store.certain() < store.seq:  # a full log: the last group waits for this boot's run
            continue
        assert sorted(witness.lives) == sorted(witness.model.keys)
        for name, life in witness.lives.items():
            found = store.call(history, store, name, 1000)
            held = [each for each in life if each[0] >= store.first().first]
            assert [seq for seq, _ in found.versions] == [seq for seq, _ in reversed(held)]
            assert all(
                each in held or each[1] is None and found.archived for each in found.versions
            )
            assert (found.archived is None) == (held == life)
            compared += len(held)
    assert compared > 1000 and store.top > store.region.turn
