"""Recovery: from what a flash region holds to the state it proves. Writes nothing, formats nothing,
follows structure only.

The newest run that holds, the runs that it goes on from, the newest snapshot that hashes to its
root and whose chain head lies on that chain, then the frames after it, each checked by CRC, seq,
chain and meaning. What stands behind the log's end is a torn tail (a cut; reported) or damage
(frames that were once whole are missing; nothing is appended any more). docs/design.md, "Sectors,
blocks and runs", says why these rules lose nothing."""

from . import primitives, snapshot
from .arena import CHUNK, layout
from .config import check_config
from .const import const
from .errors import Damage, FormatError, Mismatch, Refused
from .frames import (
    ACKNOWLEDGED,
    BOOT,
    CHECKPOINT,
    CONTINUES,
    GENESIS_BYTES,
    HEADER,
    MORE,
    NO_HEAD,
    OVERHEAD,
    SNAPSHOT,
    TICK_TOP,
    TOKEN,
    TOKEN_BYTES,
    VERSION,
    largest_frame,
    length_at,
    seed,
    span,
)
from .genesis import need_layout
from .kernel import Kernel, u32
from .reader import LogReader, frame_of
from .replay import Replay

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Arena, Config, Header, Integers, Region, Run

_AHEAD = const(1024)  # bytes of frames that are read together
# that must be alike before a flash counts as one that reads the same each time
_READINGS = const(7)
_TRIES = const(40)  # of a flash whose half-programmed units read otherwise each time


class Found:
    """What a region holds.

    replay: state, name, seq, chain head and boot number at the end; None: the region is as good as
        blank
    order: numbers of the log's runs, oldest first
    top: the greatest run number that is taken; newest: that a header bears
    run: the Run at the log's end; last: seq of the last frame; end: address behind it
    certain: seq up to which every later boot will read the same, whatever becomes of units that a
        cut left half programmed
    intact: whether the sector of that run was certainly not begun to be erased since
    pile: numbers of the newest runs that may be in sectors which were begun to be erased, oldest
        first: see settle.py
    below: numbers of the runs under the pile that a later boot falls back to if it reads none of
        it, or that one of the pile goes on from
    unknown: ring sectors without a valid record that hold nothing of the log
    acked, policy, bad: see run.py
    cuts: [(seq, bytes)] of the torn tails on the way; skipped: bytes of the one at the end
    damage: None, or what is wrong
    slots: for each snapshot slot the Header it holds or None
    proved: the slot whose snapshot the log names and whose arena was hashed, or -1
    generation: the greatest that a frame names
    fresh: the log began in this very boot
    restoring: a state is being restored, by calls of this boot
    """

    if 0:  # read by type checkers only
        replay: "Replay | None"
        damage: str | None
        run: "Run | None"
        order: list[int]
        cuts: list[tuple[int, int]]
        pile: list[int]
        below: list[int]
        unknown: list[int]
        bad: list[int]
        slots: "list[Header | None]"

    def __init__(self, region: "Region") -> None:
        self.region = region
        self.replay = self.damage = self.run = None
        self.order, self.cuts, self.pile, self.below, self.unknown, self.bad = (
            [],
            [],
            [],
            [],
            [],
            [],
        )
        self.acked = self.policy = self.end = self.skipped = self.generation = 0
        self.last = self.certain = -1
        self.top = self.newest = self.proved = -1
        self.slots = [None, None]
        self.fresh = self.restoring = self.intact = False


def recover(region: "Region", spare: "Arena | None" = None, until: int = -1) -> "Found":  # type: ignore[return]  # its last turn returns
    """Return what a region holds as a Found.

    spare: an arena whose memory may be used again
    until: the last seq that counts, not before the newest snapshot's; -1: the log's last
    """
    for left in range(_TRIES, -1, -1):
        found = Found(region)
        try:
            _recover(found, spare, until)
            return found
        except (Damage, Mismatch, FormatError) as e:
            found.damage = str(e)
        if found.replay and found.replay.kernel:
            spare = found.replay.kernel.arena
        if not left or left < _TRIES - 1 and not _flickers(region):
            return found


def _flickers(region: "Region") -> bool:
    """Return whether readings of the ring differ from one another."""
    part = region.part
    for address in range(region.ring() * region.sector, region.sectors * region.sector, len(part)):
        region.fetch(address, part)
        crc = primitives.crc32(part, 0)
        for _ in range(_READINGS):
            region.fetch(address, part)
            if primitives.crc32(part, 0) != crc:
                return True
    return False


def _recover(found: "Found", spare: "Arena | None", until: int) -> None:
    region = found.region
    if not region.read_layout():
        from .unfinished import need_blank

        need_blank(region)
        return
    numbers, found.top, broken = region.numbers()
    found.newest = numbers[0] if numbers else -1
    size = 32 + max(GENESIS_BYTES, region.block)
    reader = LogReader(region, [], 0, bytearray(size), 32, size - 32)
    problem = _choose(found, numbers, reader)
    run = found.run
    if run is None or _is_unfinished(found):
        from .unfinished import need_unfinished

        need_unfinished(region, run)
        found.run = None
        found.pile = []
        return
    found.policy, found.acked, found.bad = run.policy, run.acked, list(run.bad)
    replay = found.replay = Replay(lambda config: kernel_for(region, config, spare))
    replay.name, replay.seed = run.name, seed(run.name)
    _find_order(found, reader)
    if until >= 0:
        found.last = min(found.last, until)
    _replay(found, spare)
    if (
        found.proved < 0
        and None not in found.slots
        and region.need_run(found.order[0]).head != NO_HEAD
    ):
        _check_older(found)
    if problem:
        raise Damage(problem)
    if until >= 0:
        return
    _check_end(found, reader)
    _check_broken(found, reader, broken)
    _find_unknown(found)


# -- the runs --------------------------------------------------------------------------------------


class _Extent:
    """How far a run can be read.

    last: seq of the last frame of its last whole group, counted from the frame after its repeats;
        -1: there is none
    before: seq of the last frame before that group; all up to it was read back before the group was
        begun
    begin, end: address of the first group behind the repeats, and behind the last whole one
    settled: whether a frame of a later group stands behind the first of these groups
    """

    def __init__(self) -> None:
        self.last = self.before = -1
        self.begin = self.end = 0
        self.settled = False


def _measure(reader: "LogReader", run: "Run") -> "_Extent":
    """Read one run alone, as far as its frames follow one another; return its _Extent. The reader
    stands behind them."""
    out = _Extent()
    reader.order = [run.number]
    reader.seed = seed(run.name)
    reader.genesis = -1
    reader.enter(run.number)
    due = run.first + run.repeats
    while reader.next():
        if reader.seq > due:
            if reader.seq == due + 1:
                out.begin = reader.address - reader.region.pad(length_at(reader.buffer, reader.at))
            if out.last >= 0:
                out.settled = True
            if not reader.buffer[reader.at + TICK_TOP] & MORE:
                out.before = out.last if out.last >= 0 else due - 1
                out.last = reader.seq - 1
                out.end = reader.address
    return out


def _choose(found: "Found", numbers: list[int], reader: "LogReader") -> str | None:
    """Find the run at the log's end, and the pile. Return None, or what is wrong with a newer
    run."""
    region = found.region
    pile = []  # (run, extent), newest first
    settled = problem = name = None
    implied = []  # the runs before those that the same boot began: that boot had read them back
    for number in numbers:
        run = region.run(number)
        if run is None or name and run.name != name:
            continue
        extent = _measure(reader, run)
        if extent.last >= 0:
            name = run.name
            if extent.settled or number in implied:
                settled = run, extent
                break
            pile.append((run, extent))
        elif not pile and problem is None:
            if _was_in_use(reader, run):
                problem = (
                    "run %d (sector %d) breaks off at seq %d, but more stands behind it than a "
                    "power cut leaves" % (number, region.sector_of(number), reader.seq)
                )
            elif run.follows:
                found.skipped += reader.address + _void(reader) - region.frames_at(number)
        if run.follows:
            implied.append(run.prev)
    # its sector was certainly not erased since, and neither was what stands there besides
    below = None  # what is certain whatever becomes of the pile
    if settled:
        below = settled[1].last if settled[0].number in implied else _certain(*settled)
        found.below.append(settled[0].number)
        sector = region.sector_of(settled[0].number)
        newest = (pile or [settled])[0]
        pile = [each for each in pile if region.sector_of(each[0].number) != sector]
        if not pile:
            pile = [newest]
            found.intact = True
    oldest = pile[-1][0].first if pile else 0
    # what the newest goes on from is no other end of the log: its boot read that as settled
    if len(pile) > 1:
        run = pile[0][0]
        while pile[-1][0].number <= run.prev < run.number:
            number = run.prev
            run = region.run(number)
            if run is None:
                break
            if number in [each[0].number for each in pile]:
                pile = [each for each in pile if each[0].number != number]
                found.below.append(number)
    sectors = []  # of the pile, newest first
    for each in pile:
        sector = region.sector_of(each[0].number)
        if sector in sectors:
            pile = [one for one in pile if one is not each]
        else:
            sectors.append(sector)
    if pile:
        # With two of them, a boot erases both before it promises anything: with three, the newest
        # did not come to that.
        found.run, extent = pile[-2 if len(pile) > 2 else 0]
        run = found.run
        found.end, found.last, found.certain = extent.end, extent.last, _certain(run, extent)
        if not found.intact:
            found.pile = [each[0].number for each in pile]
            found.pile.reverse()
            found.certain = oldest - 1
        if not extent.settled and _is_boots(run) and found.last == run.first + run.repeats:
            found.last -= 1  # a boot frame, whose boot had promised nothing yet
            found.end = extent.begin
        # a run that nothing settles may be void at a later boot: then the one below it ends the log
        if below is not None and not extent.settled:
            found.certain = min(found.certain, below)
    return problem


def _certain(run: "Run", extent: "_Extent") -> int:
    """Return the last seq of a run that every later boot will read, if it reads the run."""
    if _is_boots(run) and extent.before == run.first + run.repeats:
        return extent.before - 1  # a boot frame: the group behind it is the last one, and may go
    return extent.before


def _is_boots(run: "Run") -> bool:
    """Return whether a run is one that begins with what a boot repeats, and its boot frame. The
    genesis's own repeats nothing."""
    return not run.follows and (run.repeats > 0 or run.head != NO_HEAD)


def _goes_on(reader: "LogReader", address: int, limit: int, seq: int) -> bool:
    """Return whether a whole frame that begins a group, of this `seq` or later, can be read behind
    a frame that is broken: where that one says that it ends, or at the boundary of a later block of
    the sector, or where what stands there says that it ends."""
    region, buffer, at = reader.region, reader.buffer, reader.base
    while True:
        while limit - address >= HEADER:
            region.fetch(address, memoryview(buffer)[at : at + HEADER])
            if buffer[at] != VERSION:
                break
            address += region.pad(length_at(buffer, at))
            if _begins(reader, address, limit, seq):
                return True
            if not reader.whole(address, limit, reader.seed):
                break
        if limit >= reader.end:
            return False
        if _begins(reader, limit, limit + region.block, seq):
            return True
        address, limit = limit, limit + region.block


def _void(reader: "LogReader") -> int:
    """Return how many bytes stand where reading broke off: up to the last one of the block that is
    not blank; where none is, of the next block of the sector, if it does not begin with a
    header."""
    region, address, limit = reader.region, reader.address, reader.limit
    size = region.used_end(address, limit) - address
    if not size and limit < reader.end and region.read(limit, 1)[0] & 1:
        size = region.used_end(limit, limit + region.block) - limit
    return size


def _was_in_use(reader: "LogReader", run: "Run") -> bool:
    """Return whether more stands in a run that does not hold than what nobody was promised. In the
    sector of a boot's run an erase may have begun since: so where its frames break off says
    nothing, but where all would end that the boot wrote before it promised anything does."""
    region = reader.region
    seq = run.first + run.repeats + 1
    if not _is_boots(run):
        return _goes_on(reader, reader.address, reader.limit, seq) or _void(reader) > run.span
    address = region.frames_at(run.number) + run.span
    if address - 8 >= (region.sector_of(run.number) + 1) * region.sector:
        return True  # no boot wrote that header
    if reader.seq < seq - 1 and _has_checkpoint(reader, address):
        return True  # its boot may have erased what it repeats; nothing erases the newest such run
    limit = region.block_end(address - 8)
    return region.used_end(address, limit) > address or _goes_on(reader, limit, limit, seq + 1)


def _has_checkpoint(reader: "LogReader", end: int) -> bool:
    """Return whether a whole checkpoint ends, padded, at an address or less than 8 bytes before."""
    size = reader.region.pad(OVERHEAD + 32)
    for at in range(end - size, end - size - 8, -reader.region.unit):
        if (
            at + size <= reader.end
            and reader.whole(at, at + size, reader.seed)
            and reader.buffer[reader.base + 1] == CHECKPOINT
        ):
            return True
    return False


def _begins(reader: "LogReader", address: int, limit: int, seq: int) -> int:
    buffer, at = reader.buffer, reader.base
    return (
        reader.whole(address, limit, reader.seed)
        and u32(buffer, at + 4) >= seq
        and not buffer[at + TICK_TOP] & CONTINUES
    )


def _is_unfinished(found: "Found") -> bool:
    """Return whether the log is to be forgotten: it was being erased on purpose, or is a genesis
    whose beginning was cut short."""
    from .unfinished import is_begun, is_erased

    run = found.run
    if is_erased(found.region, run.name, found.last):
        return True
    if run.head != NO_HEAD or found.last != run.first:
        return False
    sector_end = (found.region.sector_of(run.number) + 1) * found.region.sector
    return found.region.is_blank(found.end, sector_end) and is_begun(found.region)


def _find_order(found: "Found", reader: "LogReader") -> None:
    """Follow the runs back, each to the one that it goes on from. Those that break off, and what is
    older, are left out, if a snapshot covers them: they are half erased."""
    region, run = found.region, found.run
    order = found.order
    order.append(run.number)
    number, first, before = run.number, run.first, run.prev
    while before < number:  # which NONE is not
        data = region.header(before)
        if data is None or data[24:56] != run.name or u32(data, 12) > first:
            break
        if u32(data, 12) < first:
            order.append(before)
        number, first, before = before, u32(data, 12), u32(data, 8)
    order.reverse()
    covered = -1
    for slot in (0, 1):
        header = found.slots[slot] = _header(region, slot, found.replay.name)
        if header and header.seq <= found.last:
            covered = max(covered, header.seq)
    gone = 0
    for i in range(len(order) - 1):
        due = region.first(order[i + 1])
        if covered + 1 < due:
            break
        reader.order = order[i : i + 1]
        reader.seed = found.replay.seed
        reader.genesis = -1
        reader.enter(order[i])
        while reader.seq < due and reader.next():
            pass
        sector = region.sector_of(order[i])
        if reader.seq < due:
            gone = i + 1
        elif sector not in found.bad and sector != region.sector_of(order[i + 1]):
            break  # sectors are erased in order, but for those that cannot be erased
    del order[:gone]


def _find_unknown(found: "Found") -> None:
    region = found.region
    # there a header that an erase has left can be read
    if getattr(region.flash, "erases_whole", False):
        return
    known = [region.sector_of(each) for each in found.order + found.pile + found.below]
    for sector in range(region.ring(), region.sectors):
        if sector not in known and region.record(sector) is None:
            found.unknown.append(sector)


# -- the state -------------------------------------------------------------------------------------


def _replay(found: "Found", spare: "Arena | None") -> None:
    """Bring the state to the log's end: from the newest snapshot that the chain leads to, or from
    the genesis."""
    region, replay, order = found.region, found.replay, found.order
    first = region.need_run(order[0])
    reader = None
    tries = sorted([(found.slots[slot].generation, slot) for slot in (0, 1) if found.slots[slot]])
    while tries:
        slot = tries.pop()[1]
        header = found.slots[slot]
        kernel = _load(region, slot, spare)
        if kernel is None or kernel.root() != header.root:
            spare = kernel.arena if kernel else spare
            found.slots[slot] = None
            continue
        replay.start_from(kernel, header.name, header.seq, header.head, header.boot)
        if header.seq > found.last:
            raise Damage(
                "the log ends at seq %d, before its newest snapshot of seq %d"
                % (found.last, header.seq)
            )
        if header.seq + 1 < first.first:
            raise Damage(
                "the log begins with seq %d, after its newest snapshot of seq %d"
                % (first.first, header.seq)
            )
        reader = _skim(found, header)
        found.certain = max(found.certain, header.seq)  # it was taken of what had been read back
        break
    if reader is None:
        if first.head != NO_HEAD:
            raise Damage(
                "no snapshot is valid and the log's beginning has been recycled: it starts at seq "
                "%d" % first.first
            )
        reader = _reader(found, GENESIS_BYTES)
        reader.enter(order[0])
        replay.step(frame_of(reader, reader.next()))
        if replay.head != first.name:
            raise Mismatch(
                first.first, "chain head, the log's name", replay.head.hex(), first.name.hex()
            )
        reader = _reader(found, largest_frame(replay.kernel.config()))
        reader.enter(order[0])
        reader.next()
    else:
        if first.head == NO_HEAD and header.head == header.name:
            found.proved = slot  # what a continuation begins with
        other = found.slots[1 - slot]
        if first.head != NO_HEAD and other and other.seq + 1 < first.first:
            # what the older one left was recycled: so this one was whole, though the log had no
            # room to say so
            found.proved = slot
    kernel, data = replay.kernel, reader.buffer
    view = memoryview(data)
    while reader.seq <= found.last:
        n = reader.next(replay.head)
        if not n:
            raise Damage(
                "the log ends at seq %d, but a moment ago it went on to seq %d"
                % (reader.seq - 1, found.last)
            )
        at = reader.at
        kind, start, end = data[at + 1], at + HEADER, at + n - 4
        if kind & TOKEN:
            kind -= TOKEN
            start += TOKEN_BYTES
        # what `step` does with a command, but for what the reader has compared already
        if 0x10 <= kind < 0x40 and start <= end:
            try:
                kernel.check(kind, data, start, end)
            except Refused:
                replay.step(view[at : at + n])  # which says so
            seq = reader.seq - 1
            kernel.apply(kind, data, start, end, seq)
            replay.seq = seq
            replay.head = primitives.hash(replay.head + view[at : at + n])
        else:
            replay.step(view[at : at + n])
            _note(found, reader)


def _check_older(found: "Found") -> None:
    """The log does not name the newer snapshot, which may be written over then: so the older one
    must be whole."""
    slots, replay = found.slots, found.replay
    slot = 0 if slots[0].generation < slots[1].generation else 1
    spare = replay.kernel.arena
    kernel = _load(found.region, slot, spare)
    whole = kernel is not None and kernel.root() == slots[slot].root
    del found.cuts[:]
    found.replay = Replay(replay.new_kernel)
    found.replay.name, found.replay.seed = replay.name, replay.seed
    _replay(found, spare)
    if not whole:
        slots[slot] = None


def kernel_for(region: "Region", config: "Integers", spare: "Arena | None" = None) -> "Kernel":
    """Return a new kernel; Damage unless the configuration leads to the region's layout: so its
    size bounds what is asked of the heap, and its blocks hold every frame."""
    if not _fits(region, config):
        raise Damage(
            "the configuration %s does not lead to snapshot slots of %d sectors and blocks of %d "
            "bytes, as this region's are" % (list(config), region.slot_sectors, region.block)
        )
    return Kernel(config, spare)


def _fits(region: "Region", config: "Integers") -> bool:
    """Return whether a configuration leads to the region's layout."""
    try:
        return need_layout(region, config) == (region.slot_sectors, region.block)
    except Refused:
        return False


def _load(region: "Region", slot: int, spare: "Arena | None") -> "Kernel | None":
    """Return the state in a slot, not yet held against its root; None if there is none."""
    try:
        kernel = kernel_for(region, _config(region, slot), spare)
    except (Damage, Refused):  # a moment ago it read otherwise
        return None
    arena = memoryview(kernel.arena.bytes)
    for chunk in range(kernel.arena.chunks):
        region.slot_read(slot, chunk * CHUNK, arena[chunk * CHUNK : (chunk + 1) * CHUNK])
    return kernel


def _reader(found: "Found", size: int) -> "LogReader":
    size = max(size, GENESIS_BYTES)
    buffer = bytearray(32 + max(size, _AHEAD))
    return LogReader(found.region, found.order, found.replay.seed, buffer, 32, size)


def _skim(found: "Found", header: "Header") -> "LogReader":
    """Return a reader at the frame after a snapshot; the chain from its run's header must lead to
    the snapshot's head."""
    reader = _reader(found, largest_frame(found.replay.kernel.config()))
    # Where a run begins right behind it, what it covers is not read, and may be half erased. The log
    # begins no later than that: `_replay` has looked.
    head = reader.seek(header.seq + 1).head
    while reader.seq <= header.seq:
        n = reader.next(head)
        if not n:
            raise Damage(
                "the log ends at seq %d, before its newest snapshot of seq %d"
                % (reader.seq - 1, header.seq)
            )
        head = primitives.hash(head + frame_of(reader, n))
        _note(found, reader, False)
    if head != header.head:
        raise Mismatch(header.seq, "chain head of the snapshot", head.hex(), header.head.hex())
    return reader


def _header(region: "Region", slot: int, name: bytes) -> "Header | None":
    """Return the snapshot header of a slot, by either copy; None if no snapshot of this log stands
    there."""
    data = bytearray(snapshot.HEADER)
    try:
        config = _config(region, slot)
    except Refused:
        return None
    if not _fits(region, config):
        return None
    # which follows from the configuration in the arena's first words
    size = CHUNK * layout(config)[1]
    for at in (0, region.pad(snapshot.HEADER)):
        region.slot_read(slot, size + at, data)
        try:
            header = snapshot.decode(data)
        except FormatError:
            continue
        if header.name == name and header.length == size:
            return header
    return None


def _config(region: "Region", slot: int) -> "Config":
    """Return the configuration in the first words of a slot's arena; Invalid if there is none."""
    words = bytearray(64)
    region.slot_read(slot, 0, words)
    return check_config([u32(words, 8 + 4 * i) for i in range(7)])


def _note(found: "Found", reader: "LogReader", fresh: bool = True) -> None:
    """Take over what the frame just read says of cuts (if it is fresh), of what the host has, and
    of snapshots."""
    data, at = reader.buffer, reader.at + HEADER
    kind = data[reader.at + 1]
    if kind == BOOT:
        if fresh and u32(data, at + 36):
            found.cuts.append((reader.seq - 1, u32(data, at + 36)))
    elif kind == ACKNOWLEDGED and length_at(data, reader.at) >= OVERHEAD + 4:
        found.acked = max(found.acked, u32(data, at))
    elif kind == SNAPSHOT and length_at(data, reader.at) >= OVERHEAD + 8:
        found.generation = max(found.generation, u32(data, at + 4))
        for slot in (0, 1):
            header = found.slots[slot]
            if (
                header
                and fresh
                and header.seq == u32(data, at)
                and header.generation == u32(data, at + 4)
            ):
                found.proved = slot


def _check_broken(found: "Found", reader: "LogReader", broken: list[int]) -> None:
    """Damage if a run whose header cannot be read, in either copy, goes on behind the log's end.
    Two frames may: a boot frame and a checkpoint of a boot that had promised nothing."""
    region = found.region
    for at in broken:
        address, limit = at + 2 * region.header_size, region.block_end(at)
        while True:
            n = reader.whole(address, limit, reader.seed)
            if not n:
                break
            seq, kind = u32(reader.buffer, reader.at + 4), reader.buffer[reader.at + 1]
            if (
                seq > found.last + 2
                or seq > found.last
                and kind != (BOOT if seq == found.last + 1 else CHECKPOINT)
            ):
                raise Damage(
                    "neither copy of the header at 0x%x can be read, but the log goes on behind it"
                    % at
                )
            address += region.pad(n)


def _check_end(found: "Found", reader: "LogReader") -> None:
    """Say what stands behind the log's end: Damage unless one program call that was cut explains
    it."""
    region, replay = found.region, found.replay
    if found.acked > replay.seq + 1:
        raise Damage(
            "the host has acknowledged all before seq %d, but the log ends at seq %d"
            % (found.acked, replay.seq)
        )
    _measure(reader, found.run)
    broken, size = reader.address, _void(reader)
    if size > span(replay.kernel.config(), region.unit) or _goes_on(
        reader, broken, reader.limit, reader.seq + 1
    ):
        raise Damage("seq %d cannot be read, but what stands behind it was once whole" % reader.seq)
    found.skipped += broken + size - found.end
    if found.skipped:
        found.cuts.append((replay.seq + 1, found.skipped))
