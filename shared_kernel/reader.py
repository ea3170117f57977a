"""Reading a log off its sectors in order, over torn tails and retries. Writes nothing, applies nothing."""

from .errors import Damage
from .frames import BOOT, NO_HEAD, crc_fits
from .kernel import u32


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
        return record

    def _look_ahead(self):
        i = self.order.index(self.sector) + 1
        self.following = self.region.opened(self.order[i]) if i < len(self.order) else None

    def seek(self, seq):
        """Go to the last sector whose first seq is not above seq; return its Open record, None if seq is before the log."""
        found = None
        for sector in self.order:
            record = self.region.opened(sector)
            if record.first > seq:
                break
            found = sector
        return None if found is None else self.enter(found)

    def next(self, head=None):
        """Read the next frame into the buffer and return its length; 0 at the log's end. Damage if frames are missing.

        head: the chain head before the frame, which then decides whether a boot frame or a sector header goes on from here;
        None where the log has been recovered before, and its seq is enough.
        """
        self.cut = 0
        while True:
            if self.following is None:
                self._look_ahead()
            after = self.following
            if after and after.first == self.seq and (head is None or head == after.head):
                self.enter(self.order[self.order.index(self.sector) + 1])
                continue
            n = self.region.frame(self.address, self.limit, self.buffer, self.at)
            if not n or not self._fits(n):
                n = self._resume(head)
            if not n and after:
                raise Damage("sector %d breaks off at seq %d, but the next one begins with seq %d"
                             % (self.sector, self.seq, after.first))
            if n:
                self.address += self.region.pad(n)
                self.seq += 1
            return n

    def _fits(self, n):
        crc_seed = 0 if self.address == self.genesis_at else self.seed  # a genesis cannot carry its own hash
        return u32(self.buffer, self.at + 4) == self.seq and crc_fits(self.buffer, self.at, self.at + n, crc_seed)

    def _resume(self, head):
        """Look in the rest of the sector for the boot frame that goes on from here; return its length, or 0."""
        for address in self.region.candidates(self.address, self.limit):
            n = self.region.frame(address, self.limit, self.buffer, self.at)
            if n and self.buffer[self.at + 1] == BOOT and self._fits(n):
                if head is None or bytes(self.buffer[self.at + 16 : self.at + 48]) == head:
                    self.cut = address - self.address
                    self.address = address
                    return n
        return 0


def frame_of(reader, n):
    """Return the frame that `next` has just read, as a view."""
    return memoryview(reader.buffer)[reader.at : reader.at + n]


