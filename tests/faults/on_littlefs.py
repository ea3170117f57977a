"""Power cuts under a log in files: the driver for littlefs on MicroPython's own littlefs, on a
block device that dies at any program or erase. Runs under MicroPython only; prints one line for
each life, `seed tried survived turns failure`.

    micropython tests/faults/on_littlefs.py FIRST_SEED SEEDS CUTS [broken]

broken: small groups are acknowledged before they are programmed; every life must fail then.

A life goes from cut to cut: boot, check, commands until the power goes, again, on one filesystem
that is never made anew."""

import os
import sys

sys.path[:0] = [".", "firmware"]

import quipu.files_flash as files_flash  # noqa: E402

from shared_kernel import store as store_module  # noqa: E402
from tests.faults.harness import Application, Clock, Witness, attempt, genesis, mount, slots_hold  # noqa: E402
from tests.flashsim import Chance, PowerCut, SimulatorError  # noqa: E402

BLOCK, BLOCKS = 4096, 64
PROGRAM = 32  # bytes that the filesystem programs at least, and reads
SECTORS, SECTOR, PAGE = 12, 1024, 128
ROOT = "/cut"
EIO = 5
CUT = PowerCut()  # made here: a file that is closed by the garbage collection cannot make one


class Disk:
    """A block device in RAM, of erase blocks. cut_at: the step (a program or an erase) at which the
    power goes; then nothing works any more. A block that is being programmed is left with the first
    bytes of it, one that is being erased with old and blank ones.
    gone: a later mount has taken its place; files that are still open in RAM reach nothing."""

    def __init__(self, data, chance):
        self.data, self.chance = data, chance
        self.steps = 0
        self.cut_at = None
        self.off = self.forbidden = self.gone = False

    def _step(self):
        """Return whether this step is cut short."""
        if self.off:
            raise CUT
        if self.forbidden:
            raise SimulatorError("the filesystem is written where nothing may be written")
        self.steps += 1
        self.off = self.cut_at is not None and self.steps > self.cut_at
        return self.off

    def readblocks(self, block, buffer, offset=0):
        if self.gone:
            return -EIO
        if self.off:
            raise CUT
        at = block * BLOCK + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset):
        if self.gone:
            return -EIO
        at = block * BLOCK + offset
        n = len(buffer)
        if self._step():
            n = self.chance.below(n + 1)
        self.data[at : at + n] = buffer[:n]
        if self.off:
            raise CUT

    def ioctl(self, op, argument):
        if op == 4:
            return BLOCKS
        if op == 5:
            return BLOCK
        if self.gone:
            return -EIO
        if op == 6:
            start = argument * BLOCK
            n = BLOCK
            if self._step():
                n = self.chance.below(BLOCK + 1)
            self.data[start : start + n] = b"\xff" * n
            if self.off:
                raise CUT
        return 0


class Life:
    """The flash that the store sees, with what the harness asks of a simulated one: `forbidden`
    reaches down to the block device."""

    def __init__(self, chance):
        self.chance = chance
        self.disk = Disk(bytearray(b"\xff" * (BLOCK * BLOCKS)), chance)
        os.VfsLfs2.mkfs(self.disk, readsize=PROGRAM, progsize=PROGRAM, lookahead=32)
        self.power_on()

    def power_on(self):
        """Mount the filesystem as the cut left it. The device is a new one: what is left of the old
        mount can never reach it."""
        try:
            os.umount(ROOT)
        except (OSError, PowerCut):
            pass  # the first time, nothing is mounted
        self.disk.gone = True
        self.disk = Disk(self.disk.data[:], self.chance)
        os.mount(os.VfsLfs2(self.disk, readsize=PROGRAM, progsize=PROGRAM, lookahead=32), ROOT)
        self.flash = files_flash.FilesFlash(ROOT + "/log", SECTORS * SECTOR, SECTOR, PAGE)
        self.sectors, self.sector, self.page, self.unit = SECTORS, SECTOR, PAGE, self.flash.unit
        self.read, self.program, self.erase = self.flash.read, self.flash.program, self.flash.erase

    def _forbid(self, value):
        self.disk.forbidden = value

    forbidden = property(lambda self: self.disk.forbidden, _forbid)


def live(seed, cuts):
    """Return (cuts made, how often the log came round its ring)."""
    chance = Chance(seed)
    life = Life(chance)
    witness, clock = Witness(), Clock(seed)
    application = Application(chance)
    done = 0
    while True:
        store = mount(life, clock)
        witness.booted(store)
        if any(store.slots):
            slots_hold(store)
        if done == cuts:
            return done, store.top // store.region.turn - 1
        life.disk.cut_at = chance.below(chance.below(3) * 100 + 20)
        try:
            while True:
                attempt(
                    witness,
                    store,
                    application.action(witness.model) if witness.model else genesis(),
                )
        except PowerCut:
            done += 1
            life.power_on()


def acknowledge_early():
    flush = store_module._flush
    store_module._flush = lambda self: flush(self) if self.group_size > 300 else None


def main(first, seeds, cuts):
    for seed in range(first, first + seeds):
        try:
            done, turns = live(seed, cuts)
            print(seed, done, done, turns, "")
        except (Exception, SimulatorError, PowerCut) as e:
            sys.print_exception(e)
            print(seed, cuts, 0, 0, type(e).__name__, e)


if __name__ == "__main__":
    if sys.argv[4:] == ["broken"]:
        acknowledge_early()
    main(*[int(each) for each in sys.argv[1:4]])
