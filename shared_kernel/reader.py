"""Reading a log off its sectors in order, over torn tails and retries. Writes nothing, applies nothing."""

from .errors import Damage
from .frames import BOOT, NO_HEAD, VERSION, crc_fits
from .kernel import u32

_BOOT = bytes((VERSION, BOOT, 40, 0))  # how a boot frame begins


class LogReader:
    """A position in the log: the next frame to read has seq `seq` and is looked for at `address`.

    order: the log's sectors, oldest first (shared with the store, which appends to it). buffer[at:] receives the frame; it
    must hold the log's largest. cut: bytes that the last call of `next` jumped over.
    """

    def __init__(self, region, order, crc_seed, buffer, at):
        self.region = region
        self.order = order
        self.seed = crc_seed
        self.buffer = buffer
        self.at = at
        self.cut = 0

    def enter(self, sector):
        """Go to the first frame of a sector; return its Open record."""
        self.sector = sector
        self.address = sector * self.region.sector + self.region.frames_at
        self.limit = (sector + 1) * self.region.sector
        record = self.region.opened(sector)
        self.seq = record.first
        self.genesis_at = self.address if record.head == NO_HEAD else 0
        self._look_ahead()
        self._find_boot()
        return record

    def _look_ahead(self):
        i = self.order.index(self.sector) + 1
        self.following = self.region.opened(self.order[i]) if i < len(self.order) else None

    def seek(self, seq):
        """Go to the last sector whose first seq is not above seq; return its Open record, None if seq is before the log."""
        for i in range(len(self.order) - 1, -1, -1):
            if self.region.opened(self.order[i]).first <= seq:
                return self.enter(self.order[i])

    def next(self, head=None):
        """Read the next frame into the buffer and return its length; 0 at the log's end. Damage if frames are missing.

        head: the chain head before the frame, which then decides whether a sector header goes on from here; None where the
        log has been recovered before, and its seq is enough. A boot frame of this seq goes before whatever else bears it:
        the boot that wrote it found that unreadable, even if half-programmed units read well now.
        """
        self.cut = 0
        while True:
            if self.following is None:
                self._look_ahead()
            after = self.following
            if after and after.first == self.seq and (head is None or head == after.head):
                self.enter(self.order[self.order.index(self.sector) + 1])
                continue
            if 0 <= self.boot_seq < self.seq:
                self._find_boot()
            if self.boot_seq == self.seq:
                self.cut = self.boot_at - self.address
                self.address = self.boot_at
            n = self.whole(self.address, self.limit, 0 if self.address == self.genesis_at else self.seed)
            if n and u32(self.buffer, self.at + 4) != self.seq:
                n = 0
            if not n:
                self._find_boot()
                if self.boot_seq == self.seq and self.boot_at > self.address:
                    continue
            if not n and after:
                raise Damage("sector %d breaks off at seq %d, but the next one begins with seq %d"
                             % (self.sector, self.seq, after.first))
            if n:
                self.address += self.region.pad(n)
                self.seq += 1
            return n

    def whole(self, address, limit, seed):
        """Read the frame at address into the buffer and return its length; 0 if none with a fitting CRC stands there."""
        n = self.region.frame(address, limit, self.buffer, self.at)
        return n if n and crc_fits(self.buffer, self.at, self.at + n, seed) else 0

    def _find_boot(self):
        """Find the boot frame that comes next in this sector; of several with its seq the last, for those before were torn."""
        self.boot_seq = -1
        for address in self.region.candidates(self.address, self.limit, _BOOT):
            if self.whole(address, self.limit, self.seed):
                seq = u32(self.buffer, self.at + 4)
                if seq >= self.seq and (self.boot_seq < 0 or seq <= self.boot_seq):
                    self.boot_seq, self.boot_at = seq, address


def frame_of(reader, n):
    """Return the frame that `next` has just read, as a view."""
    return memoryview(reader.buffer)[reader.at : reader.at + n]


