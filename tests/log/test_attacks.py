"""What people who attacked the log found, each in its smallest form."""

from types import SimpleNamespace

import pytest

from shared_kernel import continuation, frames
from shared_kernel.errors import Invalid
from shared_kernel.genesis import need_layout
from shared_kernel.kernel import DELETE, INSERT, PUT
from shared_kernel.region import Region
from shared_kernel.run import Run
from shared_kernel.settle import _places
from shared_kernel.store import Store, command
from tests.faults.harness import Clock, mount
from tests.flashsim import FlashSim, PowerCut
from tests.quick import long

SMALL = (1, 2, 0, 0, 3, 0, 4)


# -- a sector that holds the largest frame, and not what goes with it ------------------------------


@pytest.mark.parametrize("sector, page, unit", ((1024, 256, 64), (2048, 256, 256), (4096, 256, 1)))
def test_a_sector_of_one_block_holds_the_largest_frame_and_all_that_goes_with_it(
    sector, page, unit
):
    """Or the configuration is refused: what did not fit went to the next sector's beginning."""
    sim = FlashSim(24, sector, page, unit, seed=1)
    region = Region(sim)
    fits = 0
    for dim in range(1, sector // 4):
        config = (dim, 1, 0, 0, 1, 0, 1)
        try:
            slot, block = need_layout(region, config)
        except Invalid:
            break
        fits = dim, slot, block
    dim, _, block = fits
    assert block == sector
    store = Store(sim, lambda: 0)
    store.configure((dim, 1, 0, 0, 1, 0, 1), bytes(16), "t")
    for i in range(24):
        if i % 2 == 0:
            ident = command(store, INSERT, frames.insert([1] * dim))
        else:  # the record goes, so that another has room
            command(store, DELETE, frames.ident(ident))
        seq = store.seq
        store.acknowledge(seq + 1)
        store = Store(sim, lambda: 0)
        assert store.damage is None and store.seq >= seq


# -- the snapshot on which alone the log stands ----------------------------------------------------


def test_a_snapshot_that_alone_has_what_was_recycled_is_not_written_over():
    store = Store(FlashSim(22, 1024, 256, 4, seed=1), lambda: 0)
    store.configure(SMALL, bytes(16), "t")
    store.slots = [
        SimpleNamespace(seq=91, generation=13),
        SimpleNamespace(seq=113, generation=14),
    ]
    store.proved, store.taken = 0, 14
    store.first = lambda: SimpleNamespace(first=93, head=b"")
    store._name_taken = lambda: None  # as where the log has no room for its name
    assert store._slot_to_write() == 0
    store._saver()
    assert store.proved == -1 and store._covered() == 114
    store.taken = -1  # it is of an earlier boot: that one is named, and the other may be no more
    store.slots[0], store.proved = SimpleNamespace(seq=91, generation=13), 0
    assert store._slot_to_write() == 1


# -- a boot's run where another one would end ------------------------------------------------------


def test_a_boots_run_stands_behind_all_that_another_may_have_written():
    sim = FlashSim(12, 8192, 256, 4, seed=1)
    store = mount(sim, Clock(3))
    store.configure((4, 8, 2, 2, 4, 250, 200), bytes(16), "t")
    store.execute([(PUT, frames.put(b"k%d" % i, bytes([i]) * 190), None) for i in range(4)])
    store.execute([(PUT, frames.put(b"k%d" % i, bytes([i]) * 150), None) for i in range(4)])
    region = store.region
    # as one that carries all frames of the run before it, and was cut behind its header
    number = next(_places(mount(sim, Clock(3)), [48, 60, 48]))
    span = 2 * region.block
    region.write_header(Run(number, 0, 0, 4, 1, 0, 0, False, store.name, store.name, [], span))
    store = mount(sim, Clock(3))
    found, region = store.found, store.region
    run = region.run(found.newest)
    assert found.newest > found.run.number and run.span > region.block
    need = [48, region.pad(60), region.pad(48)]
    sector = region.sector_of(found.newest)
    start = sector * region.sector
    here = [each for each in _places(store, need) if region.sector_of(each) == sector]
    end = region.frames_at(found.newest) + run.span
    assert here and all(start + each % region.blocks * region.block >= end for each in here)


# -- an erase, and a genesis after it --------------------------------------------------------------


def cut(sim, act, step):
    """Return (the flash after a cut, whether there was none)."""
    after = sim.clone(step)
    store = Store(after, lambda: 0)
    after.cut_after(step, "all")
    done = True
    try:
        act(store)
    except PowerCut:
        done = False
    after.power_on()
    return after, done


def erase(store):
    continuation.erase(store, store.name, store.head)


def begin(store):
    store.configure(SMALL, b"2" * 16, "t")


@pytest.fixture(scope="module")
def turned():
    """Return a log whose ring has gone round, so that its runs do not stand without a snapshot."""
    sim = FlashSim(12, 2048, 256, 8, seed=1)
    store = Store(sim, lambda: 0)
    store.configure(SMALL, bytes(16), "t", frames.OVERWRITE)
    while store.first().first < 2 or store.proved:
        command(store, PUT, frames.put(b"a", bytes([store.seq & 255])))
    return sim


@pytest.mark.parametrize("stride", (long(1, 5),))
def test_a_cut_in_an_erase_and_one_in_the_genesis_after_it_leave_no_damage(turned, stride):
    blank = begun = 0
    for first in range(0, 400, stride):
        erased, done = cut(turned, erase, first)
        if done:
            break
        store = Store(erased, lambda: 0)
        assert store.damage is None
        if store.name is not None:
            continue
        blank += 1
        for second in range(0, 400, stride):
            again, done = cut(erased, begin, second)
            if done:
                break
            begun += 1
            store = Store(again, lambda: 0)
            assert store.damage is None, (first, second)
            if second % 3 == 0 and store.name is None:  # two marks may stand: a third cut
                third, _ = cut(again, begin, second % 7)
                assert Store(third, lambda: 0).damage is None, (first, second)
    assert blank > 3 and begun > 30


# -- blocks that only read blank -------------------------------------------------------------------


def test_a_cut_that_leaves_a_unit_that_reads_blank_costs_no_sector():
    """Each boot's run begins in the block where the one before was cut at its first unit."""
    sim = FlashSim(10, 4096, 256, 8)
    sim.flicker = "before"
    store = Store(sim, lambda: 0)
    store.configure(SMALL, bytes(16), "t")
    cuts = 0
    for i in range(40):
        store = Store(sim, lambda: 0)
        sim.cut_after(0, "some")
        try:
            command(store, PUT, frames.put(b"a", bytes([i])))
        except PowerCut:
            cuts += 1
        sim.power_on()
        store = Store(sim, lambda: 0)
        assert isinstance(command(store, PUT, frames.put(b"a", bytes([i]))), int)
        store.acknowledge(store.certain() + 1)
        store.take_snapshot()
    assert cuts > 20 and not store.bad
