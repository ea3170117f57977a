"""What a key was before: its writes, newest first, along the link that each has to the one before it. Changes nothing.

The cost goes with the number of versions: a frame is found by its sector's first seq and the lengths of the frames before it,
and is then checked by its CRC. Where that fails (a torn tail, a retry) the log's reader finds it. A key that was deleted and
written again begins a new history.
"""

from .const import const
from .errors import NotFound
from .frames import HEADER, OVERHEAD, TOKEN, TOKEN_BYTES, VERSION
from .kernel import PUT, u32
from .reader import LogReader, frame_of

_FIRST_AT = const(8)  # of an open record: the seq of the sector's first frame
_ID = const(1)  # word of a key's slot, see kernel.py
_KIND_BITS = const(0x3F)
_SAME = const(4)  # bytes of a put's payload
_LENGTH = const(5)
_NAME = const(6)


class Archived(NotFound):
    """A version that has left the flash: a laptop's archive has it. Here, and not in errors.py, to cost a board nothing unused."""

    code = 16


class History:
    """versions: [(seq, value)], newest first; a value is None if the frame that had it has left the flash. archived: None, or the
    seq of the oldest frame on the flash, if older versions were written before it."""

    def __init__(self):
        self.versions = []
        self.archived = None


class _Finder:
    """Finds frames by seq. One sector's frames are walked over once, however many of them are asked for in turn."""

    def __init__(self, store):
        self.store = store
        self.reader = LogReader(store.region, store.order, store.seed, store.frame, 32)
        self.first = 0
        self.places = []  # addresses of the frames first, first + 1, ... of one sector
        self.limit = 0

    def frame(self, seq):
        """Return the frame of a seq as a view that is good until the next call; None if it has left the flash."""
        if not self.first <= seq < self.first + len(self.places) and not self._enter(seq):
            return None
        if seq < self.first + len(self.places):
            n = self.reader.whole(self.places[seq - self.first], self.limit, self.store.seed)
            if n:
                return frame_of(self.reader, n)
        reader = LogReader(self.store.region, self.store.order, self.store.seed, self.store.group, 0)
        reader.seek(seq)  # group holds any frame, a genesis too
        while reader.seq < seq:
            if not reader.next():
                return None
        n = reader.next()
        return frame_of(reader, n) if n else None

    def _enter(self, seq):
        """Walk over the sector that has seq, up to it; return whether there is one."""
        store = self.store
        order = store.order
        low, high = store.hollow, len(order)
        while high - low > 1:
            middle = (low + high) // 2
            if self._first(order[middle]) <= seq:
                low = middle
            else:
                high = middle
        self.first = first = self._first(order[low])
        self.places = places = []
        if first > seq:
            return False
        region = store.region
        address = order[low] * region.sector + region.frames_at
        self.limit = limit = (order[low] + 1) * region.sector
        block = memoryview(store.group)
        size, unit = len(block), region.unit
        start = end = address
        while first <= seq:
            if address + HEADER > end:
                start = address
                end = min(limit, start + size)
                if end - start < OVERHEAD:
                    break
                region.fetch(start, block[: end - start])
            i = address - start
            if block[i] != VERSION or u32(block, i + 4) != first:
                break
            places.append(address)
            first += 1
            address += (OVERHEAD + (block[i + 2] | block[i + 3] << 8) + unit - 1) // unit * unit
        return True

    def _first(self, sector):
        region = self.store.region
        return u32(region.read(sector * region.sector + region.open_at + _FIRST_AT, 4), 0)


def history(store, name, limit):
    """Return the History of a key that there is, its newest `limit` versions; NotFound if there is none. Runs inside Store.call."""
    return _walk(store, name, limit, -1)


def value_at(store, name, seq):
    """Return (seq of the write, value) of a key as it was after frame `seq`. NotFound if it was not there; Archived if that has
    left the flash. Runs inside Store.call."""
    found = _walk(store, name, 1, seq)
    if found.versions and found.versions[0][1] is not None:
        return found.versions[0]
    if found.archived is not None:
        raise Archived("key %r after seq %d: archived before seq %d; ask the laptop's archive" % (name, seq, found.archived))
    raise NotFound("key %r was first written after seq %d, as far as the board knows: a life before a deletion is in the archive only"
                   % (name, seq))


def _walk(store, name, limit, until):
    """Collect up to limit versions of seq <= until (-1: any); a value that a write left out is looked for further down."""
    kernel = store.kernel
    kernel.key(name)  # NotFound if there is none
    seq = kernel.arena.words[kernel.keys.at(kernel.find_key(name, 0, len(name)) - 1) + _ID]
    out = History()
    versions = out.versions
    finder = _Finder(store)
    open = 0  # how many of the versions wait for their value
    while seq and (open or len(versions) < limit):
        frame = finder.frame(seq)
        if frame is None:
            out.archived = store.first().first
            break
        at = HEADER + TOKEN_BYTES if frame[1] & TOKEN else HEADER
        if frame[1] & _KIND_BITS != PUT:
            raise NotFound("seq %d is no write of key %r" % (seq, name))
        if until < 0 or seq <= until:
            if len(versions) < limit:
                versions.append((seq, None))
                open += 1
            if not frame[at + _SAME]:
                value = bytes(frame[at + _NAME + frame[at + _LENGTH] : len(frame) - 4])
                for i in range(len(versions) - open, len(versions)):
                    versions[i] = versions[i][0], value
                open = 0
        seq = u32(frame, at)
    return out
