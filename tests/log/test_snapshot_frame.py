"""The frame that names a snapshot: what fails while it is written, and which snapshot it names."""

import pytest

from shared_kernel.errors import FlashError
from shared_kernel.frames import SNAPSHOT, VERSION
from tests.docs.images import puts
from tests.faults.harness import Clock, mount
from tests.flashsim import FlashSim

GEOMETRY = (22, 1024, 256, 4)


class Refuses:
    """A flash that programs half of any call that begins with a frame of a kind, and says so."""

    def __init__(self, sim, kind):
        self.sim, self.kind = sim, kind

    def __getattr__(self, name):
        return getattr(self.sim, name)

    def program(self, address, data):
        if bytes(data[:2]) != bytes((VERSION, self.kind)):
            return self.sim.program(address, data)
        self.sim.program(address, data[:8])
        raise OSError(5)


def two_snapshots():
    sim = FlashSim(*GEOMETRY, seed=1)
    store = mount(sim, Clock(3))
    store.configure((1, 2, 0, 0, 3, 0, 4), bytes(16), "t")
    for _ in range(2):
        puts(store)
        store.take_snapshot()
    return sim, store


def test_a_command_after_it_failed_is_durable():
    sim, store = two_snapshots()
    store.region.flash = Refuses(sim, SNAPSHOT)
    with pytest.raises((FlashError, OSError)):
        store.take_snapshot()
    store.region.flash = sim
    puts(store)  # not over what is half programmed
    seq, head = store.seq, store.head
    store = mount(sim, Clock(4))
    assert store.damage is None and (store.seq, store.head) == (seq, head)


def test_it_does_not_fail_the_command_before_it():
    sim, store = two_snapshots()
    store.region.flash = Refuses(sim, SNAPSHOT)
    store.begin_snapshot()
    before = store.seq
    while store.saver:
        puts(store)
    assert store.seq > before
    store.region.flash = sim
    puts(store)
    seq, head = store.seq, store.head
    store = mount(sim, Clock(4))
    assert store.damage is None and (store.seq, store.head) == (seq, head)


@pytest.mark.parametrize("bit", range(8))
def test_it_does_not_name_a_snapshot_that_is_taken_after_it(bit):
    sim, store = two_snapshots()
    slot = store.proved
    assert [each.generation for each in store.slots] == [1, 2] and slot == 1
    region = store.region
    sim.flip(slot * region.slot_sectors * sim.sector + region.record_size + 64, bit)
    store = mount(sim, Clock(4))
    assert store.slots[slot] is None and store.proved == 1 - slot
    store.take_snapshot()
    assert store.slots[slot].generation == 3
