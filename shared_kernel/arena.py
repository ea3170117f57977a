"""The arena: the whole state in one little-endian buffer of u32 words, with fixed-size slots in
four pools.

It says where things lie and keeps free lists and id indexes. It knows nothing of commands, frames
or flash.

Every link is a slot number plus one, 0 for none. A slot begins with three words: `head` (first slot
of the index bucket that has this slot's number), `id`, `next` (the index chain of a used slot, the
free list of a freed one). All are inside the arena, so the root covers whatever a later command
could depend on. Pools follow each other; no slot straddles a 1 KiB chunk, and a slot larger than a
chunk takes whole chunks."""

import sys
from array import array

from .const import const
from .errors import Full, NotFound

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Callable, Integers, Words

RULES = const(1)  # the meaning of commands and state; a change of either is a new number
CHUNK = const(1024)
CHUNK_WORDS = const(256)

# mpy-cross folds a constant with an underscore, so that it costs a board nothing, but only in the
# file that has it: kernel.py, nearest.py, graph.py and store.py repeat those that they need, and
# tests/kernel keeps them equal.

# Words of the header. Three for each pool: live slots, free list, fresh (slots ever used).
_MAGIC = const(0x41505551)  # "QUPA"
_CONFIG_AT = const(2)
_POOLS_AT = const(10)
_HEADER_WORDS = const(32)

# Words of a slot: all pools', and how many a slot has before its vector, in all, in all, before its
# value.
_ID = const(1)
_NEXT = const(2)
_VECTOR = const(5)
_NODE_WORDS = const(7)
_EDGE_WORDS = const(10)
_VALUE = const(10)

# What `touched` holds for each chunk.
CLEAN = const(0)
DIRTY = const(1)
UNSAVED = const(2)


def layout(config: "Integers") -> tuple[list[tuple[int, int, int, int]], int]:
    """Return (pools, chunks): for each of the four pools (first chunk, slots' places skipped in it,
    words of a slot, capacity), and the arena's size in chunks."""
    pools = []
    end = _HEADER_WORDS
    for words, capacity in (
        (_VECTOR + config[0] + (config[5] + 3) // 4, config[1]),
        (_NODE_WORDS, config[2]),
        (_EDGE_WORDS, config[3]),
        (_VALUE + (config[6] + 3) // 4, config[4]),
    ):
        per = max(1, CHUNK_WORDS // words)
        chunk, used = end // CHUNK_WORDS, end % CHUNK_WORDS
        skip = (used + words - 1) // words
        if skip >= per and used:
            chunk, skip = chunk + 1, 0
        pools.append((chunk, skip, words, capacity))
        if capacity and words > CHUNK_WORDS:
            end = (chunk + capacity * ((words + CHUNK_WORDS - 1) // CHUNK_WORDS)) * CHUNK_WORDS
        elif capacity:
            last = skip + capacity - 1
            end = (chunk + last // per) * CHUNK_WORDS + (last % per + 1) * words
    return pools, (end + CHUNK_WORDS - 1) // CHUNK_WORDS


def allocate(size: int) -> "tuple[bytearray, Words]":
    """Return (bytes, words): two views of the same new memory of size bytes."""
    try:  # MicroPython
        if sys.byteorder != "little":
            raise ImportError
        from uctypes import addressof, bytearray_at
    except ImportError:
        from .words import views

        return views(size)
    # from a range: the largest block of the heap is asked for only once
    words = array("I", range(size // 4))
    return bytearray_at(addressof(words), size), words


class Arena:
    """The buffer, its four pools, and which chunks changed. config: as config.check_config passed
    it. spare: an arena whose memory may be taken over.

    `bytes` and `words` view the same memory. `touched[chunk]` is CLEAN, DIRTY (changed since the
    last root) or UNSAVED (a running snapshot has yet to save it; `before_write(chunk)` is called
    before its first change). cvs: see root.py."""

    if 0:  # read by type checkers only
        bytes: bytearray
        words: "Words"
        cvs: bytearray | None
        before_write: "Callable[[int], None] | None"
        records: "Pool"
        nodes: "Pool"
        edges: "Pool"
        keys: "Pool"

    def __init__(self, config: "Integers", spare: "Arena | None" = None) -> None:
        self.config = config = tuple(config)
        pools, self.chunks = layout(config)
        self.size = self.chunks * CHUNK
        if spare and spare.size == self.size:
            self.bytes, self.words, self.cvs = spare.bytes, spare.words, spare.cvs
        else:
            self.bytes, self.words = allocate(self.size)
            self.cvs = None
        zero = bytes(128)
        for at in range(0, self.size, 128):
            self.bytes[at : at + 128] = zero
        self.touched = bytearray(self.chunks)
        # the numbers of the DIRTY chunks; last, how many they are
        self.dirty = array("I", bytes(4 * self.chunks + 4))
        self._all_dirty()
        self.before_write = None
        self.records, self.nodes, self.edges, self.keys = [
            Pool(self, i, *pools[i]) for i in range(4)
        ]
        w = self.words
        w[0] = _MAGIC
        w[1] = RULES
        for i in range(len(config)):
            w[_CONFIG_AT + i] = config[i]

    def touch(self, at: int) -> None:
        """Say that the chunk of word `at` is about to change."""
        chunk = at // CHUNK_WORDS
        state = self.touched[chunk]
        if state == DIRTY:
            return
        if state == UNSAVED:
            self.before_write(chunk)
        dirty = self.dirty
        dirty[dirty[self.chunks]] = chunk
        dirty[self.chunks] += 1
        self.touched[chunk] = DIRTY

    def _all_dirty(self) -> None:
        for i in range(self.chunks):
            self.touched[i] = DIRTY
            self.dirty[i] = i
        self.dirty[self.chunks] = self.chunks

    def load(self, data: "Buffer") -> None:
        """Take over another arena's bytes, of the same size."""
        self.bytes[:] = data
        self._all_dirty()


class Pool:
    """Slots of one kind: deterministic O(1) allocation, and lookup by id through chains inside the
    slots."""

    def __init__(
        self, arena: "Arena", index: int, chunk: int, skip: int, stride: int, capacity: int
    ) -> None:
        self.arena = arena
        self.words = arena.words
        self.label = ("record", "node", "edge", "key")[index]
        self.header = _POOLS_AT + 3 * index
        self.base = chunk * CHUNK_WORDS
        self.skip = skip
        self.stride = stride
        self.capacity = capacity
        self.per = max(1, CHUNK_WORDS // stride)
        self.span = (stride + CHUNK_WORDS - 1) // CHUNK_WORDS * CHUNK_WORDS
        # for primitives.take
        self.shape = array(
            "I", (self.header, self.base, skip, self.per, self.span, stride, capacity)
        )

    def at(self, slot: int) -> int:
        """Return the word offset of slot number `slot` (from 0)."""
        slot += self.skip
        return self.base + slot // self.per * self.span + slot % self.per * self.stride

    def live(self) -> int:
        """Return how many slots are in use."""
        return self.words[self.header]

    def fresh(self) -> int:
        """Return how many slots were ever used: all slots in use lie below it."""
        return self.words[self.header + 2]

    def bucket(self, ident: int) -> int:
        """Return the word offset of the slot whose `head` begins the chain of ident."""
        return self.at((ident ^ ident >> 8 ^ ident >> 16) % self.capacity)

    def find(self, ident: int) -> int:
        """Return the slot link (number plus one) that holds ident; 0 for none."""
        if not ident or not self.capacity:
            return 0
        w = self.words
        link = w[self.bucket(ident)]
        while link:
            at = self.at(link - 1)
            if w[at + _ID] == ident:
                return link
            link = w[at + _NEXT]
        return 0

    def need(self, ident: int) -> int:
        """Return the slot link of ident, or raise NotFound."""
        link = self.find(ident)
        if not link:
            raise NotFound(
                "no %s has id %d: it was never created, or has been deleted" % (self.label, ident)
            )
        return link

    def need_room(self) -> None:
        """Raise Full unless a slot is free."""
        if self.words[self.header] >= self.capacity:
            raise Full(
                "all %d %s slots are in use: delete one, or migrate to larger capacities"
                % (self.capacity, self.label)
            )

    def touch(self, at: int) -> None:
        """Say that the slot at word `at` is about to change, all of it."""
        arena = self.arena
        touched = arena.touched
        while True:
            if touched[at // CHUNK_WORDS] != DIRTY:
                arena.touch(at)
            if self.span <= CHUNK_WORDS:
                return
            at += CHUNK_WORDS
            if (at - self.base) % self.span < CHUNK_WORDS:
                return

    def take(self, ident: int, bucket: int = 0) -> int:
        """Take a free slot for ident, put it at the front of the chain at `bucket` (0: of ident's),
        and return its word offset."""
        if not bucket:
            bucket = self.bucket(ident)
        w = self.words
        h = self.header
        if self.arena.touched[0] != DIRTY:
            self.arena.touch(0)
        link = w[h + 1]
        if link:
            at = self.at(link - 1)
            self.touch(at)
            w[h + 1] = w[at + _NEXT]
        else:
            link = w[h + 2] + 1
            at = self.at(link - 1)
            self.touch(at)
            w[h + 2] = link
        w[h] += 1
        self.touch(bucket)
        w[at + _ID] = ident
        w[at + _NEXT] = w[bucket]
        w[bucket] = link
        return at

    def free(self, link: int, bucket: int) -> None:
        """Zero a used slot (its bucket's head stays) and put it at the front of the free list."""
        w = self.words
        h = self.header
        at = self.at(link - 1)
        self.arena.touch(0)
        self.touch(at)
        if w[bucket] == link:
            self.touch(bucket)
            w[bucket] = w[at + _NEXT]
        else:
            before = self.at(w[bucket] - 1)
            while w[before + _NEXT] != link:
                before = self.at(w[before + _NEXT] - 1)
            self.touch(before)
            w[before + _NEXT] = w[at + _NEXT]
        for i in range(at + _ID, at + self.stride):
            w[i] = 0
        w[at + _NEXT] = w[h + 1]
        w[h + 1] = link
        w[h] -= 1
