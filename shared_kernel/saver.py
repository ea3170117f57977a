"""A snapshot being taken, in steps, while commands go on: copy-before-write. Knows no log.

The slot's sectors are erased one a step; then the arena as of that moment is kept by saving each
chunk before its first change, and the untouched rest one a step; the header is programmed last and
makes the slot valid."""

from .arena import CHUNK, CLEAN, UNSAVED
from .errors import FlashError
from .snapshot import HEADER

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Arena, Header, Region


class Saver:
    """slot: which; erased: sectors done; header: None until begun; failed: whether something could
    not be programmed; bad: the sector that could not be erased or programmed, or -1."""

    if 0:  # read by type checkers only
        header: "Header | None"

    def __init__(self, region: "Region", arena: "Arena", slot: int) -> None:
        self.region = region
        self.arena = arena
        self.slot = slot
        self.erased = 0
        self.chunk = 0
        self.header = None
        self.failed = False
        self.bad = -1

    def erase_next(self) -> bool:
        """Erase the slot's next sector; return whether there are more."""
        # from the last, which has the header: a slot without its arena must not look whole
        self.erased += 1
        self.bad = (self.slot + 1) * self.region.slot_sectors - self.erased
        self.region.erase(self.bad)
        self.bad = -1
        return self.erased < self.region.slot_sectors

    def begin(self, header: "Header") -> None:
        """Keep the arena as it is now: header names it. The root must have been computed since the
        last change."""
        self.header = header
        for chunk in range(self.arena.chunks):
            self.arena.touched[chunk] = UNSAVED
        self.arena.before_write = self.save

    def save(self, chunk: int) -> None:
        """Program a chunk to its place. A failure spoils the snapshot, never the command that is
        about to change the chunk."""
        failed, self.failed = self.failed, True
        self.arena.touched[chunk] = CLEAN
        try:
            start = chunk * CHUNK
            self.bad = self.slot * self.region.slot_sectors + start // self.region.body
            self.region.slot_program(
                self.slot, start, memoryview(self.arena.bytes)[start : start + CHUNK]
            )
            self.failed = failed
            self.bad = -1
        except FlashError:
            pass

    def save_next(self) -> bool:
        """Save the next chunk that is still unsaved; return False if none was."""
        touched = self.arena.touched
        while self.chunk < self.arena.chunks and touched[self.chunk] != UNSAVED:
            self.chunk += 1
        if self.chunk == self.arena.chunks:
            return False
        self.save(self.chunk)
        return True

    def commit(self) -> "Header | None":
        """Program the header after the arena, twice; return it, or None if a chunk had failed."""
        if self.failed:
            return None
        header, region = self.header.encode(), self.region
        for at in (self.arena.size, self.arena.size + region.pad(HEADER)):
            region.slot_program(self.slot, at, header)
        return self.header

    def abandon(self) -> None:
        """Leave the slot as it is, without a header."""
        if self.header:
            for chunk in range(self.arena.chunks):
                if self.arena.touched[chunk] == UNSAVED:
                    self.arena.touched[chunk] = CLEAN
        self.arena.before_write = None
