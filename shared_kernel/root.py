"""The state root, BLAKE3 of the arena, kept up to date by rehashing only the chunks that changed.

BLAKE3 is a binary tree over 1 KiB chunks. All chaining values are kept, level by level (2 x 32
bytes for each KiB): the parents of a level pair its neighbours, and an odd last one moves up
unchanged, which is the same tree as the paper's "left subtree is the largest power of two" (BLAKE3
paper, 2.1)."""

from . import primitives
from .arena import CHUNK, CLEAN, DIRTY
from .const import const

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Arena

_CV = const(32)


class RootTree:
    """Chaining values of one arena. Costs 64 bytes of memory for each KiB of it."""

    if 0:  # read by type checkers only
        cvs: bytearray | None
        root: bytes | None

    def __init__(self, arena: "Arena") -> None:
        self.arena = arena
        self.cvs = None
        self.root = None

    def value(self) -> bytes:
        """Return the 32-byte state root, and mark the changed chunks clean. O(changed chunks x log
        chunks)."""
        arena = self.arena
        dirty = arena.dirty
        count = dirty[arena.chunks]
        if count or self.root is None:
            if primitives.whole or arena.chunks == 1:
                self.root = primitives.hash(arena.bytes)
                self.cvs = None  # stale from here on
            else:
                if self.cvs is None:
                    self.cvs = self.room()
                    count = arena.chunks
                    for i in range(count):
                        dirty[i] = i
                if primitives.climb:
                    self.root = primitives.climb(
                        arena.bytes, self.cvs, arena.chunks, dirty, count, arena.touched
                    )
                    count = 0  # they are clean
                else:
                    self.root = self._climb(sorted(dirty[:count]))
            for i in range(count):
                if arena.touched[dirty[i]] == DIRTY:
                    arena.touched[dirty[i]] = CLEAN
            dirty[arena.chunks] = 0
        return self.root

    def room(self) -> bytearray:
        """Return the memory for all chaining values. It is the arena's, like that of the state: a
        board asks for it while its heap is whole."""
        arena = self.arena
        if arena.cvs is None:
            total = 1
            n = arena.chunks
            while n > 1:
                total += n
                n = (n + 1) // 2
            arena.cvs = bytearray(total * _CV)
        return arena.cvs

    def _climb(self, changed: list[int]) -> bytes:
        """Rehash the changed chunks (ascending numbers) and every parent above them; return the
        root."""
        n = self.arena.chunks
        cvs = self.cvs
        for i in changed:
            primitives.chunk_cv(self.arena.bytes, i * CHUNK, i, cvs, i * _CV)
        at = 0  # the level's first chaining value
        while n > 1:
            above = at + n
            parents: list[int] = []
            for i in changed:
                parent = i // 2
                if parents and parents[-1] == parent:
                    continue
                parents.append(parent)
                left = (at + 2 * parent) * _CV
                if 2 * parent + 1 < n:
                    primitives.parent_cv(
                        cvs, left, left + _CV, cvs, (above + parent) * _CV, 1 if n == 2 else 0
                    )
                else:
                    primitives.copy(cvs, (above + parent) * _CV, cvs, left, _CV)
            changed = parents
            at = above
            n = (n + 1) // 2
        return bytes(cvs[at * _CV :])
