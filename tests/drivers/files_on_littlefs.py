"""The store over FilesFlash over MicroPython's own littlefs over a simulated NOR flash, cut again
and again about every EVERY steps of that flash. Runs under MicroPython only; prints the last seq,
how many sectors were opened, actions with a snapshot at hand, and cuts.

The simulated part lets a unit be programmed twice (from 1 to 0): after a cut littlefs programs
again what reads blank.

    micropython files_on_littlefs.py PROGSIZE PAGE SECTOR SEED ACTIONS EVERY [BREAKAGE]
"""

import sys

import vfs
from quipu.files_flash import FilesFlash

from bench.workload import BlockDevice
from tests.faults.harness import Application, Clock, Witness, genesis, mount
from tests.flashsim import Chance, FlashSim, PowerCut

BLOCKS, BLOCK, SECTORS = 96, 4096, 12
EIO = 5


class Device(BlockDevice):
    """A block device that a power cut takes from its filesystem: files that are still open in RAM
    reach nothing any more."""

    gone = False

    def readblocks(self, block, buffer, offset=0):
        return -EIO if self.gone else super().readblocks(block, buffer, offset)

    def writeblocks(self, block, data, offset=0):
        return -EIO if self.gone else super().writeblocks(block, data, offset)

    def ioctl(self, what, argument):
        return -EIO if self.gone else super().ioctl(what, argument)


class Late(FilesFlash):
    """A breakage: programs that stay in RAM until the next one, so what was acknowledged is not on
    flash."""

    held = None

    def program(self, address, data):
        if self.held:
            super().program(*self.held)
        self.held = address, bytes(data)

    def read(self, address, data):
        super().read(address, data)
        if self.held:
            for i, each in enumerate(self.held[1]):
                if 0 <= self.held[0] + i - address < len(data):
                    data[self.held[0] + i - address] = each

    def erase(self, sector):
        if self.held:
            super().program(*self.held)
        self.held = None
        super().erase(sector)


def flash_on(sim, kind, progsize, page, sector, fresh=False):
    """Return (the driver, its block device) on a filesystem mounted anew."""
    device = Device(sim)
    if fresh:
        vfs.VfsLfs2.mkfs(device, progsize=progsize)
    try:
        vfs.umount("/f")
    except OSError:
        pass
    vfs.mount(vfs.VfsLfs2(device, progsize=progsize), "/f")
    return kind("/f/log", SECTORS * sector, sector, page), device


def main(progsize, page, sector, seed, actions, every, breakage=None):
    kind = {None: FilesFlash, "late": Late}[breakage]
    geometry = int(progsize), int(page), int(sector)
    seed, actions, every = int(seed), int(actions), int(every)
    sim = FlashSim(BLOCKS, BLOCK, 256, 4, write_once=False, seed=seed)
    # After a cut littlefs looks whether the next program size of bytes is still blank. That is a
    # NOR page where it mounts with 256; with 32 it relies on words being programmed in order, as
    # the ports that mount so (nrf) do.
    sim.in_order = geometry[0] < 256
    flash, device = flash_on(sim, kind, *geometry, fresh=True)
    witness, clock, chance = Witness(), Clock(seed), Chance(seed)
    application = Application(chance)
    store = mount(flash, clock)
    snapshots = 0
    sim.cut_after(every // 2 + chance.below(every))
    for _ in range(actions):
        try:
            witness.act(store, application.action(witness.model) if witness.model else genesis())
        except PowerCut:
            device.gone = True
            sim.power_on()
            flash, device = flash_on(sim, kind, *geometry)
            store = mount(flash, clock)
            witness.booted(store)
            sim.cut_after(every // 2 + chance.below(every))
        snapshots += any(store.slots)
    sim.power_on()
    store = mount(flash_on(sim, kind, *geometry)[0], clock)
    witness.booted(store)
    print(store.seq, store.top // store.region.blocks, snapshots, sim.cuts)


main(*sys.argv[1:])
