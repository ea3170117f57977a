"""Rules of recovery and of the store that no short history of cuts shows to be needed: each by a
state that is made on purpose. tests/faults/putback.py names which of them each test holds."""

from types import SimpleNamespace

import pytest

from shared_kernel.frames import CHECKPOINT, SNAPSHOT, VERSION
from shared_kernel.settle import _places
from tests.docs.images import filled, piled, puts
from tests.faults.harness import Clock, mount
from tests.flashsim import FlashSim, PowerCut
from tests.log.test_pile import boot_until

GEOMETRY = (22, 1024, 256, 4)
CONFIG = (1, 2, 0, 0, 3, 0, 4)


def begun():
    sim = FlashSim(*GEOMETRY, seed=1)
    store = mount(sim, Clock(3))
    store.configure(CONFIG, bytes(16), "t")
    return sim, store


def header(seq, generation):
    return SimpleNamespace(seq=seq, generation=generation)


def test_a_run_has_a_greater_number_than_any_record_bears():
    sim, _ = filled(GEOMETRY)
    store = mount(sim, Clock(4))
    region = store.region
    sector = store.free_in_order()[-1]
    base = region.base(sector, store.top + 3 * region.turn)
    region.erase(sector, base)  # as one did that was cut before its header
    store = mount(sim, Clock(4))
    puts(store)
    assert store.number > base


class Nameless:
    """A flash whose power goes when the frame that names a snapshot is programmed."""

    def __init__(self, sim):
        self.sim = sim

    def __getattr__(self, name):
        return getattr(self.sim, name)

    def program(self, address, data):
        if bytes(data[:2]) == bytes((VERSION, SNAPSHOT)):
            raise PowerCut
        self.sim.program(address, data)


def unnamed():
    """Return a flash with two snapshots, the newer without its name, and the log's beginning gone;
    and the slot of the older."""
    sim, store = begun()
    while not store._lost_beginning():
        puts(store)
        store.acknowledge(store.seq + 1)
    store.take_snapshot()
    older = store.proved
    puts(store)
    store.region.flash = Nameless(sim)
    with pytest.raises(PowerCut):
        store.take_snapshot()
    return sim, older


@pytest.mark.parametrize("rotten", (False, True))
def test_the_snapshot_that_stays_is_hashed_first(rotten):
    sim, older = unnamed()
    region = mount(sim.clone(1), Clock(4)).region
    if rotten:
        sim.flip(older * region.slot_sectors * sim.sector + region.record_size + 64, 1)
    store = mount(sim, Clock(4))
    assert (store.slots[older] is None) == rotten and store.slots[1 - older]
    assert store._slot_to_write() == (older if rotten else 1 - older)


def test_a_sector_is_erased_before_it_is_used():
    """Also one that reads blank without a record: its erase may have been cut."""
    sim, store = begun()
    sector = store.free_in_order()[1]
    sim.bytes[sector * sim.sector : (sector + 1) * sim.sector] = b"\xff" * sim.sector
    before = sim.erases[sector]
    while sector not in [store.region.sector_of(each) for each in store.order]:
        puts(store)
    assert sim.erases[sector] == before + 1


def test_an_acknowledgement_counts_what_is_certain():
    sim, _ = filled(GEOMETRY)
    store = mount(sim, Clock(4))
    assert store.certain() < store.seq
    store._acknowledged_runs = lambda: 0  # nothing to note in the log
    store.acknowledge(store.seq + 1)
    assert not store.booted and store.acked == store.certain() + 1


def test_the_newer_of_two_snapshots_has_the_greater_generation():
    _, store = begun()
    puts(store)
    store.proved = -1
    store.slots = [header(9, 5), header(7, 6)]
    assert store._slot_to_write() == 1, "the log names neither: the newer one goes"
    store.slots.reverse()
    assert store._slot_to_write() == 0


def test_without_a_name_snapshots_do_not_cover_a_log_that_has_its_beginning():
    _, store = begun()
    store.slots = [header(3, 1), header(5, 2)]
    store.proved = 1
    assert store._covered() == 4
    store.proved = -1
    assert store._covered() == 0
    store._lost_beginning = lambda: True
    assert store._covered() == 4


def test_the_only_snapshot_covers_once_it_is_named_and_the_beginning_gone():
    _, store = begun()
    store.slots, store.proved = [header(5, 2), None], 0
    assert store._covered() == 0
    store._lost_beginning = lambda: True
    assert store._covered() == 6
    store.proved = -1
    assert store._covered() == 0


def test_what_is_written_over_covers_no_more():
    _, store = begun()
    store._name_taken = lambda: None  # as where the log has no room for the frame
    store._name_snapshot = lambda header: None
    puts(store)
    store.take_snapshot()
    assert store._covered() > 0
    store._saver()
    while store.saver:
        store._step()
    store.slots = [each and header(each.seq, each.generation) for each in store.slots]
    store.taken = store.slots[store._slot_to_write()].generation
    store._saver()
    assert store.taken == -1 and store.covered == 0


def test_a_name_holds_although_the_state_is_that_of_an_earlier_frame():
    _, store = begun()
    puts(store)
    store.take_snapshot()
    puts(store)
    store.take_snapshot()
    named, seq = store.proved, store.slots[store.proved].seq
    store._rebuild(seq)
    assert store.seq == seq and store.proved == named >= 0


def test_what_a_run_repeats_is_no_more_certain_than_it_was():
    sim, _ = filled(GEOMETRY)
    boot_until(sim, CHECKPOINT)
    found = mount(sim, Clock(4)).found
    assert found.intact and found.below == [found.run.number]


@pytest.mark.parametrize("count", (1, 2))
def test_of_a_pile_of_two_both_are_erased(count):
    sim = piled(filled(GEOMETRY)[0], count)
    store = mount(sim, Clock(4))
    pile = list(store.found.pile)
    assert len(pile) == count
    sectors = [store.region.sector_of(each) for each in pile]
    before = [sim.erases[each] for each in sectors]
    puts(store)
    after = [sim.erases[each] for each in sectors]
    assert after == ([each + 1 for each in before] if count == 2 else before)


def test_a_header_that_was_copied_from_elsewhere_is_none():
    """As by a part's fault, and the sector that it was written to has been erased since."""
    sim, store = begun()
    for _ in range(40):
        puts(store)
    first, size = store.order[0], sim.sector
    here = store.region.sector_of(first) * size
    there = store.free_in_order()[-1] * size
    sim.bytes[there : there + size] = sim.bytes[here : here + size]
    assert first in store.region.numbers()[0]
    sim.bytes[here : here + size] = b"\xff" * size
    assert first not in store.region.numbers()[0]


def test_a_sector_without_a_record_is_erased_before_a_boots_run_is_numbered():
    """It may hide a run with a greater number than any that can be read."""
    sim, store = begun()
    puts(store)
    sector = store.free_in_order()[-1]
    sim.bytes[sector * sim.sector] = 0
    store = mount(sim, Clock(4))
    puts(store)
    record = store.region.record(sector)
    assert record and record[1] < store.number


def test_a_boots_run_does_not_go_to_a_sector_that_may_be_half_erased():
    sim = FlashSim(12, 4096, 256, 4, seed=1)
    store = mount(sim, Clock(3))
    store.configure(CONFIG, bytes(16), "t")
    while store.end - store.address > 3000:
        puts(store)
    boot_until(sim, CHECKPOINT)
    store = mount(sim, Clock(4))
    here = store.region.sector_of(store.found.run.number)
    places = []
    for intact in (True, False):
        store = mount(sim.clone(1), Clock(4))
        store.found.intact = intact
        places.append(store.region.sector_of(next(_places(store, [48, 60, 48]))))
    assert places[0] == here != places[1]
