"""Format 1, read only: a log off its sectors in order, over torn tails, retries and repeats. As
shared_kernel/reader.py was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quipu.dump.format_1.region import Open, Region
from shared_kernel import primitives
from shared_kernel.errors import Damage
from shared_kernel.frames import BOOT, BOOT_BYTES, NO_HEAD, VERSION, crc_fits, length_at
from shared_kernel.kernel import u32

if TYPE_CHECKING:
    from shared_kernel.types import WritableBuffer

_BOOT = bytes((VERSION, BOOT, BOOT_BYTES, 0))  # how a boot frame begins
_REPEATED_AT = 52  # in a boot frame: how many bytes before it repeat the log's last frames


class LogReader:
    """A position in the log: the next frame to read has seq `seq` and is looked for at `address`.

    order: the log's sectors, oldest first (shared with the store, which appends to it). buffer[at:]
        receives the frame; it
    must hold the log's largest. With `most`, the length of the largest, the buffer may be longer:
    several frames are then read together, and `at` moves from one to the next.
    """

    def __init__(
        self,
        region: Region,
        order: list[int],
        crc_seed: int,
        buffer: WritableBuffer,
        at: int,
        most: int = 0,
    ) -> None:
        self.region = region
        self.order = order
        self.seed = crc_seed
        self.buffer = buffer
        self.at = self.base = at
        self.most = most
        # between these addresses stand the frames that have been read but not given out yet
        self.ahead = self.ahead_end = 0
        self.genesis = -1

    def enter(self, sector: int) -> Open:
        """Go to the first frame of a sector; return its Open record."""
        self.sector = sector
        self.address = sector * self.region.sector + self.region.frames_at
        self.limit = (sector + 1) * self.region.sector
        record = self.region.opened(sector)
        self.seq = record.first
        if record.head == NO_HEAD:
            self.genesis = record.first
        self._look_ahead()
        self._find_boot()
        return record

    def _look_ahead(self) -> None:
        i = self.order.index(self.sector) + 1
        self.following: Open | None = (
            self.region.opened(self.order[i]) if i < len(self.order) else None
        )

    def seek(self, seq: int) -> Open | None:
        """Go to the last sector whose first seq is not above seq; return its Open record, None if
        seq is before the log."""
        for i in range(len(self.order) - 1, -1, -1):
            if self.region.opened(self.order[i]).first <= seq:
                return self.enter(self.order[i])
        return None

    def next(self, head: bytes | None = None) -> int:
        """Read the next frame into the buffer and return its length; 0 at the log's end. Damage if
        frames are missing.

        head: the chain head before the frame, which then decides whether a sector header goes on
            from here; None where the
        log has been recovered before, and its seq is enough. A boot frame of this seq goes before
        whatever else bears it: the boot that wrote it found that unreadable, even if
        half-programmed units read well now. Where a frame cannot be read, its copy before the next
        boot frame serves: that boot still could read it."""
        while True:
            if self.following is None:
                self._look_ahead()
            after = self.following
            if after and after.first == self.seq and (head is None or head == after.head):
                self.enter(self.order[self.order.index(self.sector) + 1])
                continue
            if 0 <= self.boot_seq < self.seq:
                self._find_boot()
            if self.boot_seq == self.seq and not self._is_inside(self.boot_at):
                self.address = self.boot_at
            n = self._here()
            if not n:
                self._find_boot()
                if self.boot_seq == self.seq and self.boot_at > self.address or self._to_copy():
                    continue
                # a power cut came before anything was written there
                if after and not self._holds(after):
                    del self.order[self.order.index(self.sector) + 1]
                    self.following = None
                    continue
                if after:
                    raise Damage(
                        "sector %d breaks off at seq %d, but the next one begins with seq %d"
                        % (self.sector, self.seq, after.first)
                    )
            else:
                self.address += self.region.pad(n)
                self.seq += 1
            return n

    def _is_inside(self, address: int) -> bool:
        """Return whether an address lies in the whole frame of this seq that stands here: then what
        stands there is its content."""
        n = self.whole(self.address, self.limit, 0 if self.seq == self.genesis else self.seed)
        return (
            self.address < address < self.address + n and u32(self.buffer, self.at + 4) == self.seq
        )

    def _here(self) -> int:
        """Read the frame of this seq at this address and return its length; 0 if it does not stand
        there."""
        if self.most and self.seq != self.genesis:
            n = self._read_ahead()
            if n:
                return n
        n = self.whole(self.address, self.limit, 0 if self.seq == self.genesis else self.seed)
        return n if n and u32(self.buffer, self.at + 4) == self.seq else 0

    def _read_ahead(self) -> int:
        """Do what `_here` does, for all the frames at once that follow here and fit the buffer; 0
        if none does."""
        address = self.address
        if self.ahead != address or address >= self.ahead_end:
            base = self.base
            end = base + min(self.limit - address, len(self.buffer) - base)
            self.region.fetch(address, memoryview(self.buffer)[base:end])
            run = primitives.scan(
                self.buffer, base, end, self.region.unit, self.most, self.seq, self.seed
            )
            self.ahead_end = address + run - base
            if run == base:
                return 0
            self.ahead_at = base
        self.at = self.ahead_at
        n = length_at(self.buffer, self.at)
        size = self.region.pad(n)
        self.ahead = address + size
        self.ahead_at += size
        return n

    def _to_copy(self) -> bool:
        """Go to the copy of this seq's frame that stands before the next boot frame, in this sector
        or at the beginning of the next one; return whether there is one."""
        before = self.sector, self.address, self.seq
        if self._among_copies():
            return True
        i = self.order.index(self.sector) + 1
        if i < len(self.order):
            self.enter(self.order[i])
            self.seq = before[2]
            if self._among_copies():
                return True
            self.enter(before[0])
            self.address, self.seq = before[1:]
            self._find_boot()
        return False

    def _among_copies(self) -> bool:
        """Go to the copy of this seq's frame before a later boot frame of this sector; return
        whether there is one."""
        for boot in self.region.candidates(self.address, self.limit, _BOOT):
            if self.whole(boot, self.limit, self.seed) and u32(self.buffer, self.at + 4) > self.seq:
                at, due = max(self.address, boot - u32(self.buffer, self.at + _REPEATED_AT)), -1
                while at < boot:
                    # one of them may be the genesis, which bears no name
                    n = self.whole(at, boot, self.seed) or self.whole(at, boot, 0)
                    seq = u32(self.buffer, self.at + 4)
                    if not n or due >= 0 and seq != due:
                        break
                    if seq == self.seq:
                        self.address = at
                        return True
                    due = seq + 1
                    at += self.region.pad(n)
        return False

    def _holds(self, record: Open) -> bool:
        """Return whether the following sector, opened with this record, has any frame of its
        own."""
        sector = self.order[self.order.index(self.sector) + 1]
        limit = (sector + 1) * self.region.sector
        for address in self.region.candidates(
            limit - self.region.sector + self.region.frames_at, limit
        ):
            if (
                self.whole(address, limit, self.seed)
                and u32(self.buffer, self.at + 4) >= record.first
            ):
                return True
        return False

    def whole(self, address: int, limit: int, seed: int) -> int:
        """Read the frame at address into the buffer and return its length; 0 if none with a fitting
        CRC stands there."""
        if self.most:
            self.at = self.base
            self.ahead_end = 0
            limit = min(limit, address + self.most)
        n = self.region.frame(address, limit, self.buffer, self.at)
        return n if n and crc_fits(self.buffer, self.at, self.at + n, seed) else 0

    def _find_boot(self) -> None:
        """Find the boot frame that comes next in this sector; of several with its seq the last, for
        those before were torn."""
        self.boot_seq = -1
        for address in self.region.candidates(self.address, self.limit, _BOOT):
            if self.whole(address, self.limit, self.seed):
                seq = u32(self.buffer, self.at + 4)
                if seq >= self.seq and (self.boot_seq < 0 or seq <= self.boot_seq):
                    self.boot_seq, self.boot_at = seq, address


def frame_of(reader: LogReader, n: int) -> memoryview:
    """Return the frame that `next` has just read, as a view."""
    return memoryview(reader.buffer)[reader.at : reader.at + n]
