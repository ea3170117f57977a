"""A state restored onto a blank region, and a log erased on purpose, cut at every program unit: all
of it or none, never half."""

import functools

import pytest

from shared_kernel import continuation, unfinished
from shared_kernel import frames as f
from shared_kernel import kernel as k
from shared_kernel.arena import CHUNK
from shared_kernel.errors import FormatError, Invalid, NotFound
from tests.faults.harness import Clock, do, mount
from tests.flashsim import ERASE_STEPS, FlashSim, PowerCut
from tests.host.sample import CONFIG, begin, every_type, give, wander

GEOMETRY = (12, 4096, 256, 16)
SMALL = (2, 9, 6, 6, 4, 3, 5)
ENTROPY = b"of the other one"


def old_log(seed=1, config=SMALL):
    """Return a store with a log of some commands, its newest snapshot in slot 0."""
    store = begin(FlashSim(*GEOMETRY, seed=seed), config=config)
    for i in range(5):
        give(store, k.INSERT, f.insert([i << 16] * config[0], i, b"m"))
        give(store, k.PUT, f.put("n", b"%d" % i))
    while True:
        store.take_snapshot()
        if store.newest_snapshot()[0] == 0:
            return store


def origin_of(store):
    root = store.kernel.root()
    return store.name, store.seq, store.head, root, root


def restore(store, origin, arena, config=SMALL):
    continuation.begin(store, config, ENTROPY, "test/2", 0, origin)
    for chunk in range(len(arena) // CHUNK):
        continuation.add(
            store, chunk, bytes(arena[chunk * CHUNK : (chunk + 1) * CHUNK]).rstrip(b"\0")
        )
    continuation.end(store)


def traced(sim, act):
    """Return (the flash before, its programs and erases) of act()."""
    start = sim.clone(99)
    sim.trace = trace = []
    act()
    sim.trace = None
    return start, trace


def cuts(start, trace):
    """Yield (flash, place) as a cut leaves the flash at each step of the trace: not begun, done but
    nobody was told, or torn."""
    base = start.clone(0)
    for i, op in enumerate(trace):
        for step in range(ERASE_STEPS if op[1] is None else len(op[1]) // start.unit):
            for tear in ("nothing", "all", "some"):
                sim = base.clone(i * 1000003 + step)
                sim.cut_after(step, tear)
                with pytest.raises(PowerCut):
                    do(sim, op)
                sim.power_on()
                yield sim, (i, step, tear)
        do(base, op)


def later(sim, seed):
    """Return the flash as a later boot finds it: half-programmed units may read otherwise, and do
    where they read as before so far."""
    sim = sim.clone(seed)
    if sim.flicker == "before":
        sim.flicker = "after"
    return sim


@functools.cache
def restored():
    old = old_log()
    origin, arena = origin_of(old), bytes(old.kernel.arena.bytes)
    sim = FlashSim(*GEOMETRY)
    store = mount(sim, Clock(1))
    start, trace = traced(sim, lambda: restore(store, origin, arena))
    return origin, arena, start, trace, store


def is_whole(store, origin):
    """Assert that a restored store equals what it came from; return its first seq."""
    assert store.damage is None and store.kernel.root() == origin[4]
    assert store.seq >= origin[1] + 1
    return store.first().first


def test_a_restored_log_begins_at_the_next_seq_with_the_same_root_and_goes_on():
    origin, _, _, _, store = restored()
    assert is_whole(store, origin) == store.seq == origin[1] + 1
    sim = store.region.flash.clone(5)
    store = mount(sim, Clock(2))
    assert is_whole(store, origin) == origin[1] + 1
    seq = give(store, k.PUT, f.put("on", b"b"))
    again = mount(sim, Clock(3))
    assert (
        again.seq == seq
        and again.damage is None
        and again.kernel.root() == store.kernel.root() != origin[4]
    )
    assert store.first().first == origin[1] + 1


def outcomes(flicker, ecc=False):
    """Cut the restore everywhere; return how many cuts left it (blank, restored)."""
    origin, arena, start, trace, _ = restored()
    start = start.clone(7)
    start.flicker, start.ecc = flicker, ecc
    blank = whole = 0
    for sim, place in cuts(start, trace):
        store = mount(sim, Clock(4))
        assert store.damage is None, (place, store.damage)
        if store.name is None:
            blank += 1
            with pytest.raises((Invalid, NotFound)):
                give(store, k.PUT, f.put("n", b"lost"))
            restore(store, origin, arena)
        else:
            whole += 1
        is_whole(store, origin)
        give(store, k.PUT, f.put("on", b"b"))
        for seed in (5, 6):
            again = mount(later(sim, seed), Clock(seed))
            assert again.damage is None and again.kernel.root() == store.kernel.root(), place
    return blank, whole


@pytest.mark.parametrize("flicker", [False, True, "before"])
def test_a_cut_leaves_the_region_blank_or_restored_and_the_same_again_completes_it(flicker):
    blank, whole = outcomes(flicker)
    assert blank > 100 and whole >= 1, (blank, whole)


def test_without_the_mark_of_a_genesis_a_half_restored_state_would_be_damage(monkeypatch):
    monkeypatch.setattr(unfinished, "is_begun", lambda region: False)
    with pytest.raises(AssertionError):
        outcomes(False)


def test_a_state_with_one_bit_altered_is_refused_and_the_region_stays_blank():
    origin, arena, *_ = restored()
    store = mount(FlashSim(*GEOMETRY), Clock(1))
    altered = bytearray(arena)
    altered[len(arena) // 2] ^= 4
    with pytest.raises(FormatError, match="has root .*, not " + origin[4].hex()):
        restore(store, origin, altered)
    assert mount(store.region.flash, Clock(2)).name is None
    store = mount(store.region.flash, Clock(2))
    restore(store, origin, arena)
    is_whole(store, origin)


def test_chunks_may_be_sent_again_but_never_otherwise():
    origin, arena, *_ = restored()
    store = mount(FlashSim(*GEOMETRY), Clock(1))
    with pytest.raises(Invalid, match="no restore has begun"):
        continuation.add(store, 0, arena[:CHUNK])
    with pytest.raises(Invalid, match="no restore has begun"):
        continuation.end(store)
    continuation.begin(store, SMALL, ENTROPY, "test/2", 0, origin)
    continuation.add(store, 0, arena[:CHUNK])
    continuation.add(store, 0, arena[:CHUNK])
    with pytest.raises(FormatError, match="holds something else"):
        continuation.add(store, 0, b"other")


def test_a_log_that_is_there_is_never_restored_over():
    old = old_log()
    before = bytes(old.region.flash.bytes)
    with pytest.raises(Invalid, match=f"holds log {old.name.hex()[:16]}"):
        restore(old, origin_of(old), old.kernel.arena.bytes)
    assert old.region.flash.bytes == before


def test_a_region_too_small_for_the_state_is_refused_with_numbers_before_anything_is_touched():
    sim = FlashSim(4, 4096, 256, 16)
    store = mount(sim, Clock(1))
    with pytest.raises(Invalid, match="needs .* sectors .* the region has 4"):
        continuation.begin(
            store, CONFIG, ENTROPY, "test/2", 0, (bytes(32), 4, bytes(32), bytes(32), bytes(32))
        )
    assert set(sim.bytes) == {0xFF}


# -- erasing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("flicker", [False, True, "before"])
def test_a_cut_while_a_log_is_erased_leaves_all_of_it_or_a_blank_region(flicker):
    store = old_log()
    name, head, root = store.name, store.head, store.kernel.root()
    start, trace = traced(store.region.flash, lambda: continuation.erase(store, name, head))
    region = store.region
    marked = region.slot_sectors * region.sector
    left = bytes(region.flash.bytes)
    assert store.name is None and set(left[:marked] + left[marked + region.sector :]) == {0xFF}, (
        "only the mark is left"
    )
    start.flicker = flicker
    kept = gone = 0
    for sim, place in cuts(start, trace):
        found = mount(sim, Clock(4))
        assert found.damage is None, (place, found.damage)
        if found.name is None:
            gone += 1
            found.configure(SMALL, ENTROPY, "test/3")
            assert found.seq == 0
        else:
            kept += 1
            assert found.head == head and found.kernel.root() == root
            give(found, k.PUT, f.put("on", b"b"))
        for seed in (5, 6):
            again = mount(later(sim, seed), Clock(seed))
            assert (
                again.name == found.name
                and again.damage is None
                and again.kernel.root() == found.kernel.root()
            ), place
    assert kept > 1 and gone > 20, (kept, gone)


def test_a_boot_that_could_not_read_the_mark_keeps_what_it_has_acknowledged(monkeypatch):
    real = unfinished.is_erased
    # wherever the log ends
    monkeypatch.setattr(
        unfinished, "is_erased", lambda region, name=None, last=-1: real(region, name)
    )
    with pytest.raises(AssertionError):
        test_a_cut_while_a_log_is_erased_leaves_all_of_it_or_a_blank_region("before")


def test_only_the_log_that_is_named_at_the_head_that_is_named_is_erased():
    store = old_log()
    before = bytes(store.region.flash.bytes)
    for name, head in ((bytes(32), store.head), (store.name, bytes(32))):
        with pytest.raises(Invalid, match="not the one to be erased"):
            continuation.erase(store, name, head)
    store.bad.append(3)
    with pytest.raises(Invalid, match="are bad"):
        continuation.erase(store, store.name, store.head)
    store.bad.clear()
    assert store.region.flash.bytes == before
    store.take_snapshot()
    with pytest.raises(Invalid, match="slot 0"):
        continuation.erase(store, store.name, store.head)


def test_a_large_state_with_everything_in_it_is_restored_byte_for_byte():
    old = begin(FlashSim(24, 4096, 256, 4))
    every_type(old)
    wander(old, 40)
    arena = bytes(old.kernel.arena.bytes)
    store = mount(FlashSim(24, 4096, 256, 4), Clock(1))
    restore(store, origin_of(old), arena, CONFIG)
    assert bytes(store.kernel.arena.bytes) == arena
    give(store, k.INSERT, f.insert([1, 2, 3, 4]))


@pytest.mark.parametrize(
    "geometry", [(24, 4096, 256, 1), (24, 4096, 256, 256), (40, 2048, 64, 8), (9, 16384, 512, 32)]
)
def test_every_geometry_of_flash_takes_a_state_and_gives_it_back_at_the_next_boot(geometry):
    origin, arena, *_ = restored()
    sim = FlashSim(*geometry)
    restore(mount(sim, Clock(1)), origin, arena)
    store = mount(sim.clone(2), Clock(2))
    is_whole(store, origin)
    i = 0
    # until the genesis is recycled, and the slot of the given state with it
    while store.first().first == origin[1] + 1:
        i += 1
        give(store, k.PUT, f.put("n", b"%d" % (i % 99)))
        store.acknowledge(store.seq)
        if i % 50 == 49:
            store.take_snapshot()
            store = mount(store.region.flash.clone(i), Clock(i))
    assert store.damage is None and store.kernel.key(b"n")[1] == b"%d" % (i % 99)
    assert min(each.seq for each in store.slots) > origin[1] + 1
