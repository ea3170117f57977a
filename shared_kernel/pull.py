"""What a host needs to read the log's flash block by block and to find the frames there itself. The
board looks at none of them, except on the way to the one with which a pull begins in the middle of
a run."""

from .const import const
from .errors import LogFull
from .frames import words_bytes

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Iterator, Region, Store, WritableBuffer

MOST = const(64)  # runs that one answer names
_NEAR = const(16)


def layout(store: "Store", seq: int, head: bytes, hold: bool) -> bytearray:
    """Return where the frames from `seq` on stand; see requests.LOG_LAYOUT for the words.

    head: the chain head before that frame, or its beginning, by what the host has: FormatError if
        the log has another. A `seq` before
    the log's beginning means its beginning; NotFound if it lies past the end. hold: keep those
    frames from being recycled meanwhile."""
    return store.call(_layout, store, seq, head, hold)


def _layout(store: "Store", seq: int, head: bytes, hold: bool) -> bytearray:
    store._kernel()
    if not store.booted and store.damage is None:
        try:
            store._settle()  # no host may hold what a later boot cannot read
        except LogFull:
            pass
    region, order = store.region, store.order
    first = store.first().first
    if seq < first:
        seq, number, address = first, order[0], region.frames_at(order[0])
    else:
        reader = store._seek(seq, head)
        number, address = reader.number, reader.address
    if hold:
        store.hold_from(seq)
    at = order.index(number)
    return words_bytes(
        [
            seq,
            store.certain(),
            address,
            region.sector,
            region.sectors | region.slot_sectors << 16,
            region.block,
            region.unit,
            len(order) - at,
        ]
        + order[at : at + MOST]
    )


def used_end(region: "Region", address: int, end: int) -> int:
    """Return what region.used_end does, or up to 15 bytes more: a loop over bytes would take as
    long as sending the answer."""
    part, blank = region.part, memoryview(region.blank)
    most = len(part)
    while end > address:
        n = min(most, end - address)
        region.fetch(end - n, part[:n])
        if part[n - 1] != 0xFF:
            break
        if part[:n] != blank[:n]:
            low = 0  # not all from here to n is blank; all from n on is
            start = end - n
            while n - low > _NEAR:
                middle = (low + n) >> 1
                if part[middle:n] == blank[: n - middle]:
                    n = middle
                else:
                    low = middle
            return start + n
        end -= n
    return end


def parts(
    region: "Region", buffer: "WritableBuffer", address: int, end: int
) -> "Iterator[memoryview]":
    """Read the flash from address to end through a buffer; yield each part."""
    buffer = memoryview(buffer)
    while address < end:
        part = buffer[: min(len(buffer), end - address)]
        region.fetch(address, part)
        yield part
        address += len(part)
