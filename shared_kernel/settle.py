"""The run that a boot begins before its first append: what may be half programmed once more, and
the boot frame. Loaded once a boot, used and dropped.

A power cut may have left the last group half programmed, so that it reads whole now and torn at a
later boot. Nobody was told that it is durable, but what follows stands on it: so its frames are
programmed again. Nothing is promised before the boot frame has been read back.

A run whose first new group is whole, but behind which nothing else was written, is not certain: it
may be read at one boot and not at the next, which then erases its sector, and that may be cut too.
Such runs are the pile. A boot goes on from the newest of them, but depends on none: its run carries
what that one has, names the run before it, and goes to a sector that the pile does not use. If
there were two of them it erases both, the older first, before it promises anything; so when three
are there, the newest has promised nothing, and its sector may be taken. A boot promises nothing
before a checkpoint stands behind its boot frame: a boot frame alone is not carried.
"""

from . import primitives
from .const import const
from .errors import Damage, FlashError
from .frames import (
    BOOT,
    BOOT_BYTES,
    CHECKPOINT,
    CONTINUES,
    HEADER,
    OVERHEAD,
    TICK_TOP,
    boot,
    seal,
    span,
)
from .reader import LogReader, frame_of
from .run import Run

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Iterator, Region, Store

# of a half-programmed unit that reads otherwise each time, until it reads once more as it did at
# recovery
_READINGS = const(40)
_REPEATS = const(255)  # in a run, at most


def settle(store: "Store") -> bool:
    """Write this boot's run; return False if no sector has room for it. FlashError, and nothing
    counts that was programmed, if the flash does not read as it did at recovery."""
    found = store.found
    region = store.region
    # one of them may hide a run with a greater number than any that can be read
    for sector in found.unknown:
        if sector not in store.bad:
            _erase(store, sector)
    frames, carried = _tail(store, _is_tight(store))
    first = store.seq + 1 - len(frames)
    need = [each[1] for each in frames] + [
        region.pad(OVERHEAD + BOOT_BYTES),
        region.pad(OVERHEAD + 32),
    ]
    store.busy = True
    for number in _places(store, need):
        # a run that has all frames of the one before it takes its place: the sector of that one may
        # go
        replaces = carried or first == found.run.first
        start = region.frames_at(number)
        run = Run(
            number,
            found.run.prev if replaces else found.run.number,
            first,
            len(frames),
            store.boot + 1,
            store.acked,
            store.policy,
            False,
            store.name,
            frames[0][2] if frames else store.head,
            store.bad,
            region.after(start, (region.sector_of(number) + 1) * region.sector, need) - start,
        )
        found.newest = max(found.newest, number)
        try:
            at = _write(store, run, frames)
            frame = _frame(
                store, BOOT, boot(store.boot + 1, store.head, found.skipped, sum(need[:-2])), 1
            )
            at = _program(region, at, frame)
            if carried:
                _erase_pile(store, number)
            head = primitives.hash(store.head + frame)
            frame = _frame(store, CHECKPOINT, store.kernel.root(), 2)
            at = _program(region, at, frame)
        except _Differs:
            raise
        except FlashError:
            # blocks behind the log's last run may only read blank, after a cut: whether the sector
            # is bad shows when its turn to be erased comes
            if region.sector_of(number) != region.sector_of(found.run.number):
                store.quarantine(region.sector_of(number))
            continue
        if replaces:
            store.order.remove(found.run.number)
        store.enter(run)
        store.address = at
        store.limit = region.block_end(at - 1)
        store.head = primitives.hash(head + frame)
        store.seq += 2
        store.boot += 1
        store.since_checkpoint = 0
        return True
    return False


def _is_tight(store: "Store") -> bool:
    """Return whether only sectors in reserve are left, and snapshots can make room. A snapshot that
    is taken before this boot's run stands may be whole to one later boot and not to another, which
    would write over it: so the run goes to a sector in reserve, carries all that the run before it
    has, if it can, and that one's sector is free again."""
    return store.found.intact and store.free_sectors() <= store.reserve() and store.may_cover()


class _Differs(FlashError):
    pass


def _erase_pile(store: "Store", number: int) -> None:
    """If there were two runs in the pile, both may have promised something: neither is needed now
    that this boot's run carries it. But a sector with a run that the carried one goes on from,
    having read it as settled, stays."""
    region = store.region
    pile = store.found.pile
    if len(pile) > 1:
        needed = _chained(store) + [region.sector_of(number)]
        for each in pile[:2]:
            if region.sector_of(each) not in needed:
                _erase(store, region.sector_of(each))


def _chained(store: "Store") -> list[int]:
    """Return the sectors of the runs that the log's last run, or another of the pile, goes on
    from."""
    last = store.found.run.number
    return [
        store.region.sector_of(each) for each in store.order + store.found.below if each != last
    ]


def _erase(store: "Store", sector: int) -> None:
    region = store.region
    base = region.base(sector, store.top)
    store.top = base + region.blocks - 1
    try:
        region.erase(sector, base)
    except FlashError:
        store.quarantine(sector)


def _places(store: "Store", need: list[int]) -> "Iterator[int]":
    """Yield the numbers of the runs that may be written now, best first; a sector is erased when
    its turn comes."""
    found, region = store.found, store.region
    here = region.sector_of(found.run.number)
    if found.intact and here not in store.bad:
        yield from _blocks_of(store, here, need)
    used = [region.sector_of(each) for each in found.pile]
    spare = used[2:]
    # a run that carries others does not name what they went on from, but may be read as void later
    for each in found.below:
        used.append(region.sector_of(each))
    free = store.free_in_order()
    if found.intact and len(free) <= store.reserve() and not store.may_cover():
        return  # what is in reserve is for runs that give their sector back
    for sector in free:
        if sector not in used and store.take(sector):
            yield store.top - region.blocks + 1
    for sector in reversed(spare):
        if sector not in _chained(store) and store.take(sector):
            yield store.top - region.blocks + 1
    if not found.intact:  # a ring too small for that: docs/format.md says what it gives up
        yield from _blocks_of(store, here, need)


def _blocks_of(store: "Store", sector: int, need: list[int]) -> "Iterator[int]":
    """Yield the numbers of the blank blocks at a sector's end in which a run with frames of these
    sizes has room. A run has a greater number than any before it: one of those, also one that this
    boot could not complete, may be read at a later boot."""
    region = store.region
    start = sector * region.sector
    used = region.used_end(start, start + region.sector) - start
    number = store.found.run.number
    number -= number % region.blocks
    newest = store.found.newest
    # what stands where the run of a boot that was cut would end must not be taken for a part of it
    if newest > store.found.run.number and region.sector_of(newest) == sector:
        run = region.run(newest)
        if run:
            used = max(used, region.frames_at(newest) + run.span - start)
    for block in range((used + region.block - 1) // region.block, region.blocks):
        if number + block > store.found.newest and region.fits(
            region.frames_at(number + block), start + region.sector, need
        ):
            yield number + block


def _tail(store: "Store", whole: bool) -> tuple[list[tuple[int, int, bytes]], bool]:
    """Return ([address, padded length, chain head before it] of the frames to be repeated, whether
    they are all of the run). They must lead to the store's head."""
    for _ in range(_READINGS):
        try:
            out = _read_tail(store, whole)
        except Damage:  # its header, too, may read otherwise
            continue
        if out is not None:
            return out
    raise FlashError("the log's end reads differently than at the start of this boot")


def _read_tail(store: "Store", whole: bool) -> tuple[list[tuple[int, int, bytes]], bool] | None:
    found, region = store.found, store.region
    run = found.run
    reader = LogReader(region, [run.number], store.seed, store.block, 0)
    if reader.enter(run.number).first != run.first:
        return None
    most = span(store.kernel.config(), region.unit)
    frames, head, size, begins = [], run.head, 0, 0
    while reader.seq <= store.seq:
        n = reader.next()
        if not n:
            return None
        if not reader.buffer[reader.at + TICK_TOP] & CONTINUES:
            begins = reader.seq - 1
        frames.append((reader.address - region.pad(n), region.pad(n), head))
        head = primitives.hash(head + frame_of(reader, n))
    if head != store.head:
        return None
    if (whole or not found.intact) and len(frames) <= _REPEATS:
        need = [each[1] for each in frames] + [
            region.pad(OVERHEAD + BOOT_BYTES),
            region.pad(OVERHEAD + 32),
        ]
        at = region.record_size + 2 * region.header_size
        if region.fits(at, region.sector, need):
            return frames, True
    begins = max(begins, run.first + run.repeats)
    keep: list[tuple[int, int, bytes]] = []
    while frames and store.seq - len(keep) >= begins and size + frames[-1][1] <= most:
        size += frames[-1][1]
        keep.insert(0, frames.pop())
    return keep, False


def _write(store: "Store", run: "Run", frames: list[tuple[int, int, bytes]]) -> int:
    """Program the header and the repeated frames; return the address behind them."""
    region = store.region
    buffer = store.block
    region.write_header(run)
    at = region.frames_at(run.number)
    limit = region.block_end(at)
    for i in range(len(frames)):
        address, size, head = frames[i]
        wanted = frames[i + 1][2] if i + 1 < len(frames) else store.head
        for _ in range(_READINGS):
            data = memoryview(buffer)[: region.frame(address, region.block_end(address), buffer, 0)]
            if len(data) and primitives.hash(head + data) == wanted:
                break
        else:
            raise _Differs("the log's end reads differently than a moment ago")
        if limit - at < size:
            at, limit = limit, limit + region.block
        region.program(at, data)
        at += size
    return at


def _frame(store: "Store", kind: int, payload: "Buffer", after: int) -> bytearray:
    frame = bytearray(OVERHEAD + len(payload))
    frame[HEADER : HEADER + len(payload)] = payload
    seal(frame, 0, kind, len(payload), store.seq + after, store.tick(), store.seed)
    return frame


def _program(region: "Region", at: int, frame: "Buffer") -> int:
    """Program a frame where it fits next; return the address behind it."""
    size = region.pad(len(frame))
    limit = region.block_end(at - 1)
    if limit - at < size:
        at = limit
    region.program(at, frame)
    return at + size
