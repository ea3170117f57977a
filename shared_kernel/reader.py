"""Reading a log's frames in order, run by run. Looks for nothing: a frame stands where the one
before it ends, or at the next block's boundary if it did not fit. Writes nothing, applies
nothing."""

from . import primitives
from .errors import Damage
from .frames import NO_HEAD, crc_fits, length_at
from .kernel import u32

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Region, Run, WritableBuffer


class LogReader:
    """A position in the log: the next frame to read has seq `seq` and is looked for at `address`.

    order: numbers of the log's runs, oldest first (shared with the store, which appends to it)
    buffer: receives the frames from buffer[at] on; it must hold the log's largest
    most: length of the largest frame; then several frames are read together, and `at` moves from
        one to the next. 0: one by one
    """

    if 0:  # read by type checkers only
        buffer: "WritableBuffer"
        number: int
        address: int
        end: int
        limit: int
        ahead_at: int
        following: int
        until: int

    def __init__(
        self,
        region: "Region",
        order: list[int],
        crc_seed: int,
        buffer: "WritableBuffer",
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

    def enter(self, number: int) -> "Run":
        """Go to the first frame of a run of the log; return the Run."""
        region = self.region
        run = region.need_run(number)
        self.number = number
        self.seq = run.first
        if run.head == NO_HEAD:
            self.genesis = run.first
        self.address = region.frames_at(number)
        start = region.sector_of(number) * region.sector
        self.end = start + region.sector
        self.limit = start + (number % region.blocks + 1) * region.block
        self.ahead_end = 0
        self._look_ahead()
        return run

    def _look_ahead(self) -> None:
        i = self.order.index(self.number) + 1
        self.following = self.order[i] if i < len(self.order) else -1
        self.until = -1
        if i < len(self.order):
            self.until = self.region.first(self.following)

    def seek(self, seq: int) -> "Run | None":  # type: ignore[return]  # after the loop: None
        """Go to the run that has `seq`; return it, None if seq is before the log."""
        for i in range(len(self.order) - 1, -1, -1):
            if self.region.first(self.order[i]) <= seq:
                return self.enter(self.order[i])

    def next(self, head: bytes | None = None) -> int:
        """Read the next frame into the buffer and return its length; 0 at the log's end. Damage if
        frames are missing.

        head: the chain head before the frame, which the header of a run that begins here must bear;
            None: not compared.
        """
        if self.following < 0:
            self._look_ahead()
        address = self.address
        # `_here` in short, as it mostly is
        if self.ahead == address < self.ahead_end and self.until != self.seq:
            self.at = at = self.ahead_at
            n = length_at(self.buffer, at)
            size = self.region.pad(n)
            self.ahead = self.address = address + size
            self.ahead_at = at + size
            self.seq += 1
            return n
        while self.until == self.seq:
            run = self.enter(self.following)
            if head is not None and run.head != head:
                raise Damage(
                    "run %d goes on from another chain head than that before seq %d"
                    % (run.number, run.first)
                )
        n = self._here() or self._in_next_block()
        if n:
            self.address += self.region.pad(n)
            self.seq += 1
        elif self.following >= 0:
            raise Damage(
                "run %d (sector %d) breaks off at seq %d, but the next one begins with seq %d"
                % (self.number, self.region.sector_of(self.number), self.seq, self.until)
            )
        return n

    def _in_next_block(self) -> int:
        """Go on at the next block's boundary if the frame of this seq stands there, having had no
        room before it."""
        address, limit = self.address, self.limit
        if limit < self.end:
            self.address = limit
            self.limit = limit + self.region.block
            n = self._here()
            if n and self.region.pad(n) > limit - address:
                return n
            self.address, self.limit = address, limit
            self.ahead_end = 0
        return 0

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
        if address >= self.limit:
            return 0
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

    def whole(self, address: int, limit: int, seed: int) -> int:
        """Read the frame at address into the buffer and return its length; 0 if none with a fitting
        CRC stands there."""
        if self.most:
            self.at = self.base
            self.ahead_end = 0
            limit = min(limit, address + self.most)
        n = self.region.frame(address, limit, self.buffer, self.at)
        return n if n and crc_fits(self.buffer, self.at, self.at + n, seed) else 0


def frame_of(reader: "LogReader", size: int) -> memoryview:
    """Return the frame that `next` has just read, as a view."""
    return memoryview(reader.buffer)[reader.at : reader.at + size]
