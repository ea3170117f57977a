"""What every candidate of `make bench-flash` records, and the flash that counts what it costs. Runs
on CPython and MicroPython.

The record: a vector of 16 components, a tag and 16 bytes of metadata. Once KEPT records are there,
each new one replaces the oldest. A record counts as written when it would survive a power cut.
"""

from shared_kernel import frames
from shared_kernel.kernel import DELETE, INSERT
from shared_kernel.store import Store
from tests.flashsim import FlashSim

DIM = 16
KEPT = 200
META = "sixteen of bytes"
CONFIG = (DIM, 256, 64, 128, 32, 16, 16)  # capacities as in boards/*/quipu.json
SYNC_EVERY = 64  # records between two acknowledgements of the host


def vector(n):
    """Return the n-th record's components, Q16.16."""
    return [(n * 7919 + i * 104729) % 524288 - 262144 for i in range(DIM)]


def line(n):
    """Return the n-th record as a user would write it down: one line of JSON, components with 4
    decimals."""
    parts = []
    for each in vector(n):
        tenths = (abs(each) * 10000 + 32768) // 65536
        parts.append("%s%d.%04d" % ("-" if each < 0 else "", tenths // 10000, tenths % 10000))
    return '{"id":%d,"tag":%d,"meta":"%s","vector":[%s]}\n' % (n, n & 3, META, ",".join(parts))


class CountingFlash(FlashSim):
    """A simulated flash that also counts, for each sector, the bytes programmed in it (`filled`)
    and those of them below the offset `split` (`heads`)."""

    def __init__(self, sectors, sector, page, unit):
        super().__init__(sectors, sector, page, unit)
        self.split = 0
        self.count_anew()

    def count_anew(self):
        self.filled, self.heads, self.erases = (
            [0] * self.sectors,
            [0] * self.sectors,
            [0] * self.sectors,
        )
        self.bytes_programmed = 0

    def program(self, address, data):
        super().program(address, data)
        sector, offset = address // self.sector, address % self.sector
        self.filled[sector] += len(data)
        if offset < self.split:
            self.heads[sector] += len(data)


class Recorder:
    """A store that records, on any flash. Its clock stands still: ticks cost nothing."""

    def __init__(self, flash):
        self.flash = flash
        self.store = Store(flash, lambda: 0)
        self.store.configure(CONFIG, b"sixteen of chaos", "bench")
        self.written = 0
        self.live = []

    def write(self):
        """Record the next one; as one group with the deletion of the oldest, once KEPT are
        there."""
        commands = [
            (INSERT, frames.insert(vector(self.written), self.written & 3, META.encode()), None)
        ]
        if len(self.live) == KEPT:
            commands.insert(0, (DELETE, frames.ident(self.live.pop(0)), None))
        results = self.store.execute(commands)
        for each in results:
            if not isinstance(each, int):
                raise each
        self.live.append(results[-1])
        self.written += 1
        if self.written % SYNC_EVERY == 0:
            self.store.acknowledge(self.store.seq + 1)


class BlockDevice:
    """The flash as MicroPython's extended block protocol, for littlefs."""

    def __init__(self, flash):
        self.flash = flash

    def readblocks(self, block, buffer, offset=0):
        self.flash.read(block * self.flash.sector + offset, buffer)

    def writeblocks(self, block, data, offset=0):
        flash = self.flash
        address = block * flash.sector + offset
        data = memoryview(data)
        at = 0
        while at < len(data):
            n = min(len(data) - at, flash.page - (address + at) % flash.page)
            flash.program(address + at, data[at : at + n])
            at += n

    def ioctl(self, what, argument):
        if what == 4:
            return self.flash.sectors
        if what == 5:
            return self.flash.sector
        if what == 6:
            self.flash.erase(argument)
        return 0
