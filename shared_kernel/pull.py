"""What a host has to know of the log on a flash to read it block by block and find its frames itself. Looked up, never copied: the
board reads no frame for it, except on the way to the one with which a pull begins in the middle of a run."""

from .const import const
from .errors import LogFull
from .frames import words_bytes

MOST = const(64)  # runs that one answer names


def layout(store, seq, head, hold):
    """Return where the frames from `seq` on stand; see requests.LOG_LAYOUT for the words.

    head: the chain head before that frame, or its beginning, by what the host has: FormatError if the log has another. A `seq` before
    the log's beginning means its beginning; NotFound if it lies past the end. hold: keep those frames from being recycled meanwhile.
    """
    return store.call(_layout, store, seq, head, hold)


def _layout(store, seq, head, hold):
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
    return words_bytes([seq, store.certain(), address, region.sector, region.sectors | region.slot_sectors << 16,
                        region.block, region.unit, len(order) - at] + order[at : at + MOST])
