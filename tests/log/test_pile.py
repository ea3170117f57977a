"""A boot's run whose checkpoint is read at one boot and not at another: what a later boot may fall
back to keeps its sector, whichever way the checkpoint read when the runs above it were written."""

import pytest

from shared_kernel.frames import BOOT, CHECKPOINT, OVERHEAD, VERSION
from shared_kernel.settle import _places
from tests.docs.images import filled, puts
from tests.faults.harness import Clock, mount
from tests.flashsim import PowerCut

GEOMETRY = (22, 1024, 256, 4)  # of one block a sector


class Until:
    """A flash on which the power goes after a frame of a kind was programmed. at: its address."""

    def __init__(self, sim, kind):
        self.sim, self.kind, self.at = sim, kind, None

    def __getattr__(self, name):
        return getattr(self.sim, name)

    def program(self, address, data):
        if self.at is not None:
            raise PowerCut
        self.sim.program(address, data)
        if bytes(data[:2]) == bytes((VERSION, self.kind)):
            self.at = address


def boot_until(sim, kind):
    """Begin a boot's run, up to a frame of that kind; return the frame's address."""
    store = mount(sim, Clock(3))
    flash = store.region.flash = Until(sim, kind)
    with pytest.raises(PowerCut):
        puts(store)
    return flash.at


class Checkpoint:
    """A boot's run that ends with its checkpoint, which can be hidden and shown again: as a unit
    reads that a cut has left half programmed."""

    def __init__(self):
        self.sim, _ = filled(GEOMETRY)
        self.at = boot_until(self.sim, CHECKPOINT)
        self.number = mount(self.sim, Clock(3)).order[-1]
        self.data = bytes(self.sim.bytes[self.at : self.at + OVERHEAD + 32])

    def hide(self):
        self.sim.bytes[self.at : self.at + len(self.data)] = b"\xff" * len(self.data)

    def show(self):
        self.sim.bytes[self.at : self.at + len(self.data)] = self.data


def taken(sim, below=None):
    """Return (what recovery found, the sectors that the boot's run may go to)."""
    store = mount(sim.clone(1), Clock(4))
    if below is not None:
        store.found.below = below
    found = store.found
    return found, [store.region.sector_of(each) for each in _places(store, [48, 60, 48])]


def test_a_boot_that_read_it_as_unsettled_does_not_name_it():
    run = Checkpoint()
    run.hide()
    boot_until(run.sim, BOOT)
    run.show()
    found, sectors = taken(run.sim)
    assert found.below == [run.number] and len(found.pile) == 1
    assert run.number not in found.order, "nothing else protects it"
    mine = found.region.sector_of(run.number)
    assert len(sectors) > 3 and mine not in sectors
    assert mine in taken(run.sim, below=[])[1], "without the rule its sector is taken"


def test_a_run_that_the_newest_goes_on_from_is_no_other_end_of_the_log():
    run = Checkpoint()
    boot_until(run.sim, BOOT)
    run.hide()
    found, sectors = taken(run.sim)
    assert len(found.pile) == 1 and found.pile[0] > run.number
    assert run.number in found.below and run.number in found.order
    assert found.region.sector_of(run.number) not in sectors
