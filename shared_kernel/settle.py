"""The first append after a boot: the log's last frames once more, and the boot frame. Loaded once a boot, used and dropped.

A power cut may have left the last group half programmed, so that it reads whole now and torn at a later boot. Nobody was told
that it is durable, but what follows stands on it. So the frames of the last window are programmed again, before the boot
frame; a reader takes them where it cannot read the first ones.
"""

from . import primitives
from .const import const
from .errors import FlashError
from .frames import BOOT, BOOT_BYTES, HEADER, OVERHEAD, boot, seal, window
from .reader import LogReader, frame_of

READINGS = const(40)  # of a half-programmed unit that reads otherwise each time, until it reads once more as it did at recovery


def settle(store):
    """Write the boot frame of this boot, with the copies before it; return False if no sector has room for that. FlashError, and
    nothing counts that was programmed, if the flash does not read as it did at recovery, or cannot be programmed."""
    region = store.region
    tail = _tail(store)
    need = region.pad(OVERHEAD + BOOT_BYTES)
    for each in tail:
        need += each[1]
    if store.room() < need and not store.make_room(need):
        return False
    store.busy = True
    try:
        whole = _write(store, tail)
    except (FlashError, OSError):
        store.spoil()
        if not store.make_room(need):
            return False
        whole = _write(store, tail)
    if not whole:
        raise FlashError("the log's end reads differently than it did a moment ago")
    return True


def _tail(store):
    """Return [address, padded length, chain head before it] of the frames of the log's last window; none if all have been recycled. The
    chain of the last sector that has any, or of the oldest, must lead to the store's head."""
    for _ in range(READINGS):
        tail, head = _read_tail(store)
        if head == store.head:
            return tail
    raise FlashError("the log's end reads differently than at the start of this boot")


def _read_tail(store):
    """Return what `_tail` does, by one reading, and the chain head that it leads to."""
    region = store.region
    room = window(store.kernel.config(), region.unit, region.sector - region.frames_at)
    for sector in reversed(store.order):
        reader = LogReader(region, store.order, store.seed, store.group, 0)
        head = reader.enter(sector).head
        if reader.seq <= store.seq:
            break
    tail = []
    while reader.seq <= store.seq:
        n = reader.next(head)
        if not n:
            break
        size = region.pad(n)
        tail.append((reader.address - size, size, head))
        room -= size
        while room < 0:
            room += tail.pop(0)[1]
        head = primitives.hash(head + frame_of(reader, n))
    return tail, head


def _write(store, tail):
    """Program the copies and the boot frame; return False, before the latter, if what is read is no longer the log's end."""
    region = store.region
    buffer = store.group
    at = store.address
    for i in range(len(tail)):
        address, size, head = tail[i]
        wanted = tail[i + 1][2] if i + 1 < len(tail) else store.head
        for _ in range(READINGS):
            data = memoryview(buffer)[: region.frame(address, address + size, buffer, 0)]
            if primitives.hash(head + data) == wanted:
                break
        else:
            return False
        region.program(at, data)
        at += size
    head = store.head
    payload = boot(store.boot + 1, head, store.skipped, at - store.address)
    frame = bytearray(OVERHEAD + len(payload))
    frame[HEADER : HEADER + len(payload)] = payload
    seal(frame, 0, BOOT, len(payload), store.seq + 1, store.tick(), store.seed)
    region.program(at, frame)
    store.address = at + region.pad(len(frame))
    store.head = primitives.hash(head + frame)
    store.seq += 1
    store.boot += 1
    return True
