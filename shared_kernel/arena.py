"""The arena: the whole state in one little-endian buffer of u32 words, with fixed-size slots in four pools.

It says where things lie and keeps free lists and id indexes. It knows nothing of commands, frames or flash.

Every link is a slot number plus one, 0 for none. A slot begins with three words: `head` (first slot of the index bucket
that has this slot's number), `id`, `next` (the index chain of a used slot, the free list of a freed one). All are inside
the arena, so the root covers whatever a later command could depend on. No slot straddles a 1 KiB chunk; a slot larger
than a chunk takes whole chunks.
"""

from array import array

from .const import const
from .errors import Full, Invalid, NotFound

RULES = const(1)  # the meaning of commands and state; a change of either is a new number
MAGIC = const(0x41505551)  # "QUPA"
CHUNK = const(1024)
CHUNK_WORDS = const(256)

# Header words.
CONFIG_AT = const(2)
SEQ_AT = const(9)
POOLS_AT = const(10)  # for each pool: live, free, fresh

# Words of a slot, by pool.
HEAD, ID, NEXT = const(0), const(1), const(2)
RECORD_REFS, RECORD_META, RECORD_TAG, RECORD_VECTOR = const(3), const(4), const(5), const(6)
NODE_KIND, NODE_RECORD, NODE_OUT, NODE_IN, NODE_WORDS = const(3), const(4), const(5), const(6), const(7)
EDGE_KIND, EDGE_FROM, EDGE_TO, EDGE_NEXT_OUT, EDGE_PREV_OUT = const(3), const(4), const(5), const(6), const(7)
EDGE_NEXT_IN, EDGE_PREV_IN, EDGE_WORDS = const(8), const(9), const(10)
KEY_LENGTHS, KEY_NAME, KEY_VALUE = const(3), const(4), const(10)
NAME_BYTES = const(24)

CONFIG_NAMES = ("dim", "records", "nodes", "edges", "keys", "meta_bytes", "value_bytes")
CONFIG_LIMITS = ((1, 4096), (0, 1 << 20), (0, 1 << 20), (0, 1 << 20), (0, 1 << 20), (0, 255), (0, 4096))

# What Pool.touch finds in `touched`, a byte for each chunk.
CLEAN, DIRTY, UNSAVED = const(0), const(1), const(2)


def check_config(config):
    """Return config as a tuple of ints in the order of CONFIG_NAMES, or raise Invalid with the range that it breaks."""
    config = tuple(config)
    if len(config) != len(CONFIG_NAMES):
        raise Invalid("a configuration has %d numbers (%s), not %d" % (len(CONFIG_NAMES), ", ".join(CONFIG_NAMES), len(config)))
    for i in range(len(config)):
        low, high = CONFIG_LIMITS[i]
        if not low <= config[i] <= high:
            raise Invalid("%s must be %d to %d, not %d" % (CONFIG_NAMES[i], low, high, config[i]))
    return config


def record_words(config):
    return RECORD_VECTOR + config[0] + (config[5] + 3) // 4


def key_words(config):
    return KEY_VALUE + (config[6] + 3) // 4


def layout(config):
    """Return (spans, chunks): (first chunk, slot words, capacity) of the four pools, and the arena's size in chunks."""
    chunk = 1
    spans = []
    for words, capacity in ((record_words(config), config[1]), (NODE_WORDS, config[2]), (EDGE_WORDS, config[3]),
                            (key_words(config), config[4])):
        spans.append((chunk, words, capacity))
        if words <= CHUNK_WORDS:
            per = CHUNK_WORDS // words
            chunk += (capacity + per - 1) // per
        else:
            chunk += capacity * ((words + CHUNK_WORDS - 1) // CHUNK_WORDS)
    return spans, chunk


class _Words:
    """u32 words over a bytearray, where neither memoryview.cast nor uctypes gives a little-endian view."""

    def __init__(self, data):
        self.data = data

    def __getitem__(self, i):
        i *= 4
        return int.from_bytes(self.data[i : i + 4], "little")

    def __setitem__(self, i, value):
        i *= 4
        self.data[i : i + 4] = value.to_bytes(4, "little")


def allocate(size):
    """Return (bytes, words): two views of the same new, zeroed memory of size bytes, a multiple of 4."""
    try:  # MicroPython
        import uctypes

        words = array("I", bytes(size))
        return uctypes.bytearray_at(uctypes.addressof(words), size), words
    except ImportError:
        import sys

        data = bytearray(size)
        view = memoryview(data)
        if sys.byteorder == "little" and hasattr(view, "cast"):
            return data, view.cast("I")
        return data, _Words(data)


class Arena:
    """The buffer, its four pools, and which chunks changed.

    `bytes` and `words` view the same memory. `touched[chunk]` is CLEAN, DIRTY (changed since the last root) or UNSAVED (a
    running snapshot has yet to save it; `before_write(chunk)` is called before its first change).
    """

    def __init__(self, config):
        self.config = config = check_config(config)
        spans, self.chunks = layout(config)
        self.size = self.chunks * CHUNK
        self.bytes, self.words = allocate(self.size)
        self.touched = bytearray(self.chunks)
        self.dirty = array("I", bytes(4 * self.chunks))  # the first dirty_count are the numbers of the DIRTY chunks
        self._all_dirty()
        self.before_write = None
        self.records, self.nodes, self.edges, self.keys = [Pool(self, i, *spans[i]) for i in range(4)]
        w = self.words
        w[0] = MAGIC
        w[1] = RULES
        for i in range(len(config)):
            w[CONFIG_AT + i] = config[i]

    def touch(self, at):
        """Say that the chunk of word `at` is about to change."""
        chunk = at // CHUNK_WORDS
        state = self.touched[chunk]
        if state == DIRTY:
            return
        if state == UNSAVED:
            self.before_write(chunk)
        self.dirty[self.dirty_count] = chunk
        self.dirty_count += 1
        self.touched[chunk] = DIRTY

    def _all_dirty(self):
        for i in range(self.chunks):
            self.touched[i] = DIRTY
            self.dirty[i] = i
        self.dirty_count = self.chunks

    def load(self, data):
        """Take over another arena's bytes, of the same size."""
        self.bytes[:] = data
        self._all_dirty()


class Pool:
    """Slots of one kind: deterministic O(1) allocation, and lookup by id through chains inside the slots."""

    def __init__(self, arena, index, chunk, stride, capacity):
        self.arena = arena
        self.words = arena.words
        self.label = ("record", "node", "edge", "key")[index]
        self.header = POOLS_AT + 3 * index
        self.base = chunk * CHUNK_WORDS
        self.stride = stride
        self.capacity = capacity
        self.per = max(1, CHUNK_WORDS // stride)
        self.span = (stride + CHUNK_WORDS - 1) // CHUNK_WORDS * CHUNK_WORDS

    def at(self, slot):
        """Return the word offset of slot number `slot` (from 0)."""
        return self.base + slot // self.per * self.span + slot % self.per * self.stride

    def live(self):
        """Return how many slots are in use."""
        return self.words[self.header]

    def fresh(self):
        """Return how many slots were ever used: all slots in use lie below it."""
        return self.words[self.header + 2]

    def bucket(self, ident):
        """Return the word offset of the slot whose `head` begins the chain of ident."""
        return self.at((ident ^ ident >> 8 ^ ident >> 16) % self.capacity)

    def find(self, ident):
        """Return the slot link (number plus one) that holds ident; 0 for none."""
        if not ident or not self.capacity:
            return 0
        w = self.words
        link = w[self.bucket(ident)]
        while link:
            at = self.at(link - 1)
            if w[at + ID] == ident:
                return link
            link = w[at + NEXT]
        return 0

    def need(self, ident):
        """Return the slot link of ident, or raise NotFound."""
        link = self.find(ident)
        if not link:
            raise NotFound("no %s has id %d: it was never created, or has been deleted" % (self.label, ident))
        return link

    def need_room(self):
        """Raise Full unless a slot is free."""
        if self.words[self.header] >= self.capacity:
            raise Full("all %d %s slots are in use: delete one, or migrate to larger capacities" % (self.capacity, self.label))

    def touch(self, at):
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

    def take(self, ident, bucket):
        """Take a free slot for ident, put it at the front of the chain at `bucket`, and return its word offset."""
        w = self.words
        h = self.header
        if self.arena.touched[0] != DIRTY:
            self.arena.touch(0)
        link = w[h + 1]
        if link:
            at = self.at(link - 1)
            self.touch(at)
            w[h + 1] = w[at + NEXT]
        else:
            link = w[h + 2] + 1
            at = self.at(link - 1)
            self.touch(at)
            w[h + 2] = link
        w[h] += 1
        self.touch(bucket)
        w[at + ID] = ident
        w[at + NEXT] = w[bucket]
        w[bucket] = link
        return at

    def free(self, link, bucket):
        """Zero a used slot (its bucket's head stays) and put it at the front of the free list."""
        w = self.words
        h = self.header
        at = self.at(link - 1)
        self.arena.touch(0)
        self.touch(at)
        if w[bucket] == link:
            self.touch(bucket)
            w[bucket] = w[at + NEXT]
        else:
            before = self.at(w[bucket] - 1)
            while w[before + NEXT] != link:
                before = self.at(w[before + NEXT] - 1)
            self.touch(before)
            w[before + NEXT] = w[at + NEXT]
        for i in range(at + ID, at + self.stride):
            w[i] = 0
        w[at + NEXT] = w[h + 1]
        w[h + 1] = link
        w[h] -= 1

    def ids(self):
        """Yield the word offset of every slot in use, in slot order."""
        for slot in range(self.fresh()):
            at = self.at(slot)
            if self.words[at + ID]:
                yield at
