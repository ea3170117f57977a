"""What a key was before: its writes, newest first, along the link that each has to the one before
it. Changes nothing.

The cost goes with the number of versions: a frame is found by its run's first seq and the lengths
of the frames before it, and is then checked by its CRC. Where that fails the log's reader finds it.
A key that was deleted and written again begins a new history.
"""

from array import array

from . import primitives
from .const import const
from .errors import NotFound
from .frames import HEADER, OVERHEAD, TOKEN, TOKEN_BYTES, VERSION
from .kernel import PUT, u32
from .reader import LogReader, frame_of

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Store, Walk, Words

_ID = const(1)  # word of a key's slot, see kernel.py
_KIND_BITS = const(0x3F)
_SAME = const(4)  # bytes of a put's payload
_LENGTH = const(5)
_NAME = const(6)


class Archived(NotFound):
    """A version that has left the flash: a laptop's archive has it. Here, and not in errors.py, to
    cost a board nothing unused."""

    code = 16


class History:
    """versions: [(seq, value)], newest first; a value is None if the frame that had it has left the
    flash. archived: None, or the seq of the oldest frame on the flash, if older versions were
    written before it."""

    if 0:  # read by type checkers only
        versions: list[tuple[int, bytes | None]]
        archived: int | None

    def __init__(self) -> None:
        self.versions = []
        self.archived = None


def walk(data: "Buffer", end: int, found: "Words", until: int, unit: int) -> int:
    """Go from frame to frame in data[:end], from the one of seq found[0] at its beginning to that
    of seq `until`; return where it begins, or where the way ends: there is no frame of the next
    seq, or it is cut off.

    found, 4 words: the seq reached; if that frame is whole its length, else 0; its last word and
    the first of its payload."""
    at = 0
    found[1] = 0
    while at + HEADER <= end and data[at] == VERSION and u32(data, at + 4) == found[0]:
        n = OVERHEAD + (data[at + 2] | data[at + 3] << 8)
        if found[0] == until:
            if at + n <= end:
                found[1] = n
                found[2] = u32(data, at + n - 4)
                found[3] = (
                    u32(data, at + (HEADER + TOKEN_BYTES if data[at + 1] & TOKEN else HEADER))
                    if n > OVERHEAD + 4
                    else 0
                )
            break
        found[0] += 1
        at += (n + unit - 1) // unit * unit
    return at


class _Finder:
    """Finds frames by seq. The block of flash read last is kept: versions often stand close
    together.

    block[:size] holds the flash from `address` on, which is where the frame of seq `first` begins;
    index: of its sector;
    found: of the frame last found, see `walk`.
    """

    if 0:  # read by type checkers only
        address: int
        at_boundary: bool

    def __init__(self, store: "Store", walk: "Walk") -> None:
        self.store = store
        self.walk = walk
        self.block = store.block
        self.found = array("I", (0, 0, 0, 0))
        self.index = len(store.order)
        self.first = store.seq + 1
        self.size = 0

    def frame(self, seq: int) -> memoryview | None:
        """Return the frame of a seq as a view that is good until the next call; None if it has left
        the flash."""
        if seq < self.first and not self._enter(seq):
            return None
        block = self.block
        found = self.found
        region = self.store.region
        unit = region.unit
        while True:
            found[0] = self.first
            at = self.walk(block, self.size, found, seq, unit)
            n = found[1]
            if n and primitives.crc32(block[at : at + n - 4], self.store.seed) == found[2]:
                return block[at : at + n]
            self.first = found[0]
            address = self.address + at
            if not at:
                address = region.block_end(address)
                if self.at_boundary:
                    return self._search(seq)
            if not self._fetch(address):
                return self._search(seq)

    def _search(self, seq: int) -> memoryview | None:
        """Find a frame as recovery does."""
        store = self.store
        self.first = store.seq + 1  # the block is used
        self.index = len(store.order)
        reader = LogReader(store.region, store.order, store.seed, store.block, 0)
        reader.seek(seq)
        n = 1
        while n and reader.seq <= seq:
            n = reader.next()
        if not n:
            return None
        frame = frame_of(reader, n)
        self.found[3] = u32(frame, HEADER + TOKEN_BYTES if frame[1] & TOKEN else HEADER)
        return frame

    def _enter(self, seq: int) -> bool:
        """Read the beginning of the run that has seq; return whether there is one."""
        store = self.store
        order = store.order
        # back from here in steps that double, then by halves
        high = min(self.index + 1, len(order))
        step = 1
        low = high
        while low == high:
            low = max(high - step, 0)
            first = self._first(low)
            if first > seq:
                if not low:
                    return False
                high = low
                step += step
        while high - low > 1:
            middle = (low + high) >> 1
            begin = self._first(middle)
            if begin <= seq:
                low, first = middle, begin
            else:
                high = middle
        self.index = low
        self.first = first
        return self._fetch(store.region.frames_at(order[low]))

    def _fetch(self, address: int) -> bool:
        """Read from an address on, to the end of its block at most; return whether a frame may
        stand there."""
        region = self.store.region
        sector_end = (region.sector_of(self.store.order[self.index]) + 1) * region.sector
        if address < sector_end and region.block_end(address) - address < OVERHEAD:
            address = region.block_end(address)
        if address >= sector_end:
            return False
        self.at_boundary = address % region.sector % region.block == 0
        self.address = address
        self.size = size = min(len(self.block), region.block_end(address) - address)
        region.fetch(address, self.block[:size])
        return True

    def _first(self, index: int) -> int:
        return self.store.region.first(self.store.order[index])


def history(store: "Store", name: bytes, limit: int, walk: "Walk" = walk) -> "History":
    """Return the History of a key that there is, its newest `limit` versions; NotFound if there is
    none. Runs inside Store.call.
    walk: the function above, or a faster one."""
    return _walk(store, name, limit, -1, walk)


def value_at(store: "Store", name: bytes, seq: int, walk: "Walk" = walk) -> tuple[int, bytes]:
    """Return (seq of the write, value) of a key as it was after frame `seq`. NotFound if it was not
    there; Archived if that has left the flash. Runs inside Store.call."""
    found = _walk(store, name, 1, seq, walk)
    if found.versions and found.versions[0][1] is not None:
        return found.versions[0]
    if found.archived is not None:
        raise Archived(
            "key %r after seq %d: archived before seq %d; ask the laptop's archive"
            % (name, seq, found.archived)
        )
    raise NotFound(
        "key %r was first written after seq %d, as far as the board knows: a life before a "
        "deletion is in the archive only" % (name, seq)
    )


def _walk(store: "Store", name: bytes, limit: int, until: int, walk: "Walk") -> "History":
    """Collect up to limit versions of seq <= until (-1: any); a value that a write left out is
    looked for further down."""
    kernel = store.kernel
    link = kernel.find_key(name, 0, len(name))
    if not link:
        raise NotFound("no key has the name %r" % (name,))
    seq = kernel.arena.words[kernel.keys.at(link - 1) + _ID]
    out = History()
    versions = out.versions
    finder = _Finder(store, walk)
    waiting = 0  # how many of the versions have no value yet
    while seq and (waiting or len(versions) < limit):
        frame = finder.frame(seq)
        if frame is None:
            out.archived = store.first().first
            break
        kind = frame[1]
        if kind & _KIND_BITS != PUT:
            raise NotFound("seq %d is no write of key %r" % (seq, name))
        if until < 0 or seq <= until:
            at = HEADER + TOKEN_BYTES if kind & TOKEN else HEADER
            value = (
                None if frame[at + _SAME] else bytes(frame[at + _NAME + frame[at + _LENGTH] : -4])
            )
            if value is not None:
                while waiting:
                    versions[-waiting] = versions[-waiting][0], value
                    waiting -= 1
            if len(versions) < limit:
                versions.append((seq, value))
                if value is None:
                    waiting += 1
        seq = finder.found[3]
    return out
