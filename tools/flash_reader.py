"""Reads the image of a log's flash region (format 2), by docs/format.md alone: imports nothing of
the project. Changes nothing.

The numbers in comments are those of the page's "Reading a region".
"""

import struct
import zlib
from typing import NamedTuple

from blake3 import blake3

from tools.verifier import Broken, Verifier, need, plan

RECORD, HEADER, SNAPSHOT = 20, 104, 124
BEGUN = b"QUIPUNEW"
ERASING = 0xFFFFFFFE
LIMITS = ((1, 4096), (0, 2**20), (0, 2**20), (0, 2**20), (0, 2**20), (0, 255), (0, 4096))


class Damage(Exception):
    """The log is broken where no power cut breaks it."""


class Run(NamedTuple):
    policy: int
    follows: bool
    repeats: int
    number: int
    prev: int
    first: int
    boot: int
    acked: int
    name: bytes
    head: bytes
    bad: list
    span: int


class Extent(NamedTuple):
    """How far a run can be read. frames: [(seq, address, frame)] up to where it breaks off, at
    address `broken` in a block that ends at `limit`, where `due` was due; last: seq that ends its
    last whole group, -1 if it does not hold; end: address behind that;
    begin: address of the first frame behind the repeats."""

    frames: list
    broken: int
    limit: int
    due: int
    last: int
    end: int
    before: int
    settled: bool
    begin: int


def word(data, at):
    return struct.unpack_from("<I", data, at)[0]


def crc_fits(data, seed=0):
    return zlib.crc32(data[:-4], seed) == word(data, len(data) - 4)


def largest_frame(config):
    return 16 + max(8 + max(6 + 4 * config[0] + config[5], 30 + config[6]), 44)


def before(run, extent):
    """10: return the seq before a run's last group, one less where that is its boot frame."""
    return extent.before - (is_boots(run) and extent.before == run.first + run.repeats)


def is_boots(run):
    """4: return whether a run is a boot's; the genesis's own repeats nothing."""
    return not run.follows and (run.repeats > 0 or run.head != bytes(32))


class Image:
    """A region. data: all of its bytes; sector, unit: bytes.

    After `read`: blank (a genesis may be written), damage (None or why), run (the one at the log's
    end), pile, certain; seq, head, root, boot; order (numbers of the runs, oldest first); acked,
    bad; cuts [(seq due, bytes)]; snapshots: by slot, its header or None."""

    def __init__(self, data, sector, unit):
        self.data, self.sector, self.unit = bytes(data), sector, unit
        self.sectors = len(self.data) // sector
        self.slot_sectors = self.blocks = self.block = 0
        self.record_size, self.header_size = self.pad(RECORD), self.pad(HEADER)
        self.least = self.record_size + 2 * self.header_size + self.pad(264)

    def pad(self, size):
        return -(-size // self.unit) * self.unit

    def is_blank(self, start, end):
        return not self.data[start:end].strip(b"\xff")

    # -- 1, 2: layout and headers ------------------------------------------------------------------

    def record(self, sector):
        """Return (erases, blocks, sectors, slot sectors, base), or None."""
        data = self.data[sector * self.sector :][:RECORD]
        if data[:4] != b"QUP2" or not crc_fits(data):
            return None
        count, sectors, slot, base = struct.unpack_from("<IHHI", data, 4)
        return count & 0xFFFFFF, (count >> 24) + 1, sectors, slot, base

    def layout(self):
        """Return whether a sector has a valid record, which says how the region is cut."""
        for sector in range(self.sectors):
            found = self.record(sector)
            if found:
                _, blocks, sectors, slot, _ = found
                need(
                    sectors == self.sectors
                    and 0 < 2 * slot < sectors
                    and self.sector % (blocks * self.unit) == 0
                    and self.sector // blocks >= self.least,
                    "a region of another size",
                )
                self.blocks, self.slot_sectors, self.block = blocks, slot, self.sector // blocks
                self.turn = blocks * (sectors - 2 * slot)
                return True
        return False

    def header(self, at, flipped=False):
        """Return the header that stands at an address, or None. flipped: the lowest bit of its
        first byte is."""
        data = self.data[at : at + HEADER]
        if flipped:
            data = b"\x52" + data[1:]
        if len(data) < HEADER or data[0] != 0x52 or data[1] > 3 or not crc_fits(data):
            return None
        _, flags, repeats, listed, number, prev, first, boot, acked, name, head = (
            struct.unpack_from("<BBBB5I32s32s", data)
        )
        *bad, span = struct.unpack_from("<6H", data, 88)
        return Run(
            flags & 1,
            bool(flags & 2),
            repeats,
            number,
            prev,
            first,
            boot,
            acked,
            name,
            head,
            bad[:listed],
            8 * span,
        )

    def place(self, number):
        """Return where the header of a run stands."""
        index = number % self.turn
        block = index % self.blocks
        return (
            (2 * self.slot_sectors + index // self.blocks) * self.sector
            + block * self.block
            + (0 if block else self.record_size)
        )

    def sector_of(self, number):
        return self.place(number) // self.sector

    def runs(self):
        """Return the valid headers by number."""
        found, self.broken = {}, []
        for index in range(self.turn):
            at = self.place(index)
            byte = self.data[at]
            if byte & 1:  # a frame's place, or nothing's
                run = self.header(at, True) if byte == 0x53 else None
            else:
                run = (self.header(at) or self.header(at + self.header_size)) if byte else None
            if run and run.number % self.turn == index:
                found[run.number] = run
            elif not run and not byte & 1:
                self.broken.append(at)
        return found

    # -- 3: one run --------------------------------------------------------------------------------

    def frame(self, at, limit, seed):
        """Return the whole frame that stands at an address, or None."""
        if limit - at < 16 or self.data[at] != 1:
            return None
        frame = self.data[at : at + 16 + struct.unpack_from("<H", self.data, at + 2)[0]]
        return frame if at + len(frame) <= limit and crc_fits(frame, seed) else None

    def extent(self, run):
        at = self.place(run.number) + 2 * self.header_size
        end = (self.sector_of(run.number) + 1) * self.sector
        limit = at - at % self.sector % self.block + self.block
        name, due, frames = zlib.crc32(run.name), run.first, []
        last, before, after, settled, begin = -1, -1, 0, False, 0
        while True:
            seed = 0 if run.head == bytes(32) and due == run.first else name
            frame, there = self.frame(at, limit, seed), at
            if not frame or word(frame, 4) != due:
                frame = self.frame(limit, limit + self.block, seed) if limit < end else None
                if not frame or word(frame, 4) != due or self.pad(len(frame)) <= limit - at:
                    break
                there, limit = limit, limit + self.block
            frames.append((due, there, frame))
            at = there + self.pad(len(frame))
            if due >= run.first + run.repeats:
                begin = begin or there
                settled = settled or last >= 0
                if not frame[11] & 0x80:
                    before, last, after = (
                        last if last >= 0 else run.first + run.repeats - 1,
                        due,
                        at,
                    )
            due += 1
        return Extent(frames, at, limit, due, last, after, before, settled, begin)

    def goes_on(self, run, at, limit, least):
        """8: return whether the log goes on behind a place in the block that ends at `limit`, from
        seq `least` on."""
        seed = zlib.crc32(run.name)

        def begins(frame):
            return frame and word(frame, 4) >= least and not frame[11] & 0x40

        end = (self.sector_of(run.number) + 1) * self.sector
        while True:
            while limit - at >= 12 and self.data[at] == 1:
                at += self.pad(16 + struct.unpack_from("<H", self.data, at + 2)[0])
                frame = self.frame(at, limit, seed)
                if begins(frame):
                    return True
                if not frame:
                    break
            if limit >= end:
                return False
            if begins(self.frame(limit, limit + self.block, seed)):
                return True
            at, limit = limit, limit + self.block

    def standing(self, run, extent):
        """8: return how many bytes stand where a run breaks off."""
        size = self.used(extent.broken, extent.limit) - extent.broken
        if (
            not size
            and extent.limit < (self.sector_of(run.number) + 1) * self.sector
            and self.data[extent.limit] & 1
        ):
            size = self.used(extent.limit, extent.limit + self.block) - extent.limit
        return size

    # -- all of it ---------------------------------------------------------------------------------

    def used(self, start, end):
        """Return the address behind the last byte from start to end that is not 0xFF; start, if
        there is none."""
        return start + len(self.data[start:end].rstrip(b"\xff"))

    def was_in_use(self, run, extent):
        """4: return whether a run that does not hold has more than what nobody was promised."""
        due = run.first + run.repeats + 1
        if not is_boots(run):
            return (
                self.goes_on(run, extent.broken, extent.limit, due)
                or self.standing(run, extent) > run.span
            )
        start = self.place(run.number) + 2 * self.header_size + run.span
        if start - 8 >= (self.sector_of(run.number) + 1) * self.sector:
            return True
        size = self.pad(48)
        places = range(start - size, start - size - 8, -self.unit)
        for at in places if extent.due < run.first + run.repeats else ():
            frame = self.frame(at, at + size, zlib.crc32(run.name))
            if frame and frame[1] == 3:  # a checkpoint
                return True
        limit = start - 8 - (start - 8) % self.sector % self.block + self.block
        return (
            self.goes_on(run, limit, limit, due + 1)
            or start < limit
            and self.used(start, limit) > start
        )

    def read(self):
        self.blank, self.damage, self.run, self.name = False, None, None, None
        self.order, self.pile, self.cuts, self.bad, self.snapshots = [], [], [], [], [None, None]
        self.seq = self.head = self.root = None
        self.check, self.certain, self.acked, self.void = None, -1, 0, 0
        try:
            self._read()
        except (Damage, Broken) as e:
            self.damage = str(e)
        if self.check and self.check.state:
            self.seq, self.head, self.boot = self.check.seq, self.check.head, self.check.boot
            self.root = blake3(bytes(self.check.state.arena)).digest()
        return self

    def _read(self):
        if not self.layout():
            self._need_blank()
            return
        self.all = self.runs()
        problem = self._choose()
        run = self.run
        if run is None or self._is_forgotten():
            self._need_unfinished()
            self.run, self.name, self.pile, self.blank = None, None, [], True
            return
        self.name, self.acked, self.bad = run.name, run.acked, run.bad
        self._chain()
        self._state()
        if problem:
            raise Damage(problem)
        self._behind()

    def _choose(self):
        """4"""
        name, problem, certain, followed, open_ = None, None, None, set(), []
        for number in sorted(self.all, reverse=True):
            run = self.all[number]
            if name not in (None, run.name):
                continue
            extent = self.extent(run)
            if extent.last >= 0:
                name = run.name
                if extent.settled or number in followed:
                    certain = run, extent
                    break
                open_.append((run, extent))
            elif not open_ and not problem:
                if self.was_in_use(run, extent):
                    problem = "run %d breaks off at seq %d, but was in use" % (number, extent.due)
                elif run.follows:
                    self.void += (
                        extent.broken
                        + self.standing(run, extent)
                        - self.place(number)
                        - 2 * self.header_size
                    )
            if run.follows:
                followed.add(run.prev)
        pile = open_
        if certain:
            here = self.sector_of(certain[0].number)
            pile = [each for each in open_ if self.sector_of(each[0].number) != here]
        oldest = pile[-1][0].first if pile else 0
        run = pile[0][0] if pile else None
        # what the newest goes on from is not of the pile
        while run and pile[-1][0].number <= run.prev < run.number:
            run = self.all.get(run.prev)
            pile = [each for each in pile if each[0] is not run]
        newest = {}
        for each in pile:
            newest.setdefault(self.sector_of(each[0].number), each)
        pile = list(newest.values())
        if pile:
            self.run, self.extent_ = pile[-2] if len(pile) > 2 else pile[0]
            self.certain = oldest - 1
            self.pile = [each[0].number for each in reversed(pile)]
        elif certain:
            self.run, self.extent_ = (open_ or [certain])[0]
            self.certain = before(self.run, self.extent_)
        if self.run:
            run, extent = self.run, self.extent_
            if not extent.settled and is_boots(run) and extent.last == run.first + run.repeats:
                # a boot frame alone
                self.extent_ = extent._replace(last=extent.last - 1, end=extent.begin)
            if certain and not extent.settled:
                confirmed = certain[0].number in followed
                below = certain[1].last if confirmed else before(*certain)
                self.certain = min(self.certain, below)
        return problem

    def _chain(self):
        """5"""
        run, chain = self.run, [self.run]
        while run.prev in self.all:
            before = self.all[run.prev]
            if before.name != run.name or before.number >= run.number or before.first > run.first:
                break
            if before.first < run.first:
                chain.insert(0, before)
            run = before
        last = self.extent_.last
        found = [self.snapshot(each) for each in (0, 1)]
        covered = max(
            [word(each[0], 8) for each in found if each and word(each[0], 8) <= last], default=-1
        )
        gone = 0
        for i, (run, following) in enumerate(zip(chain, chain[1:])):
            if covered + 1 < following.first:
                break
            sector = self.sector_of(run.number)
            if self.extent(run).due < following.first:
                gone = i + 1
            elif sector not in self.run.bad and sector != self.sector_of(following.number):
                break
        del chain[:gone]
        self.chain = chain
        self.order = [each.number for each in chain]

    def begin(self, seq):
        """Return the runs from the one on that begins behind seq; if none does, that has it (the
        oldest, if none has)."""
        for i, run in enumerate(self.chain):
            if run.first == seq + 1:
                return self.chain[i:]
        return [
            run
            for i, run in enumerate(self.chain)
            if i + 1 == len(self.chain) or self.chain[i + 1].first > seq
        ]

    def frames(self, seq=-1):
        """Yield (seq, frame) from the beginning of the run on that has seq."""
        chain = self.begin(seq)
        head = chain[0].head
        for i, run in enumerate(chain):
            until = chain[i + 1].first if i + 1 < len(chain) else self.extent_.last + 1
            if run.head != head:
                raise Damage("run %d goes on from another chain head" % run.number)
            due = run.first
            for due, _, frame in self.extent(run).frames:
                if due == until:
                    break
                yield due, frame
                head = blake3(head + frame).digest()
                due += 1
            if due != until:
                raise Damage(
                    "run %d breaks off at seq %d, but is to reach seq %d" % (run.number, due, until)
                )

    def earlier(self):
        """Return what is wrong with frames that the state does not need, because a snapshot covers
        them; None if nothing is."""
        check = Verifier() if self.chain[0].head == bytes(32) else None
        try:
            for _, frame in self.frames():
                if check:
                    check.step(frame)
        except (Damage, Broken) as e:
            return "before the snapshot: %s" % e
        return None

    # -- 6, 7: the state ---------------------------------------------------------------------------

    def slot(self, number):
        """Return all of a slot's data."""
        first = number * self.slot_sectors
        return b"".join(
            [
                self.data[i * self.sector + self.record_size : (i + 1) * self.sector]
                for i in range(first, first + self.slot_sectors)
            ]
        )

    def fits(self, config):
        """Return whether a configuration leads to this layout."""
        size, largest = plan(config)[1], self.pad(largest_frame(config))
        slot = -(-(size + 2 * self.pad(SNAPSHOT)) // (self.sector - self.record_size))
        before = self.record_size + 2 * self.header_size
        need = max(self.pad(264), largest + self.pad(60))
        need = max(min(1024, self.sector), before + need)
        blocks = [
            each
            for each in range(1, 257)
            if self.sector % (each * self.unit) == 0 and self.sector // each >= need
        ]
        if blocks == [1]:
            due = max(self.pad(60) + self.pad(48), self.pad(28) + 2 * self.pad(48))
            blocks = [1] if before + largest + due <= self.sector else []
        return (
            slot == self.slot_sectors
            and self.sectors >= 2 * slot + 3
            and blocks[-1:] == [self.blocks]
        )

    def snapshot(self, number):
        """Return (header, arena) of a slot's snapshot, or None."""
        data = self.slot(number)
        config = struct.unpack_from("<7I", data, 8)
        if not all(low <= each <= high for each, (low, high) in zip(config, LIMITS, strict=True)):
            return None
        if not self.fits(config):
            return None
        size = plan(config)[1]
        for at in (size, size + self.pad(SNAPSHOT)):
            header = data[at : at + SNAPSHOT]
            if (
                header[:8] == b"QSNP\1\0\0\0"
                and crc_fits(header)
                and header[24:56] == self.name
                and word(header, 20) == size
            ):
                return header, data[:size]
        return None

    def _state(self):
        found = [self.snapshot(each) for each in (0, 1)]
        self.snapshots = [each and each[0] for each in found]
        last, first = self.extent_.last, self.chain[0]
        for _, slot in sorted(
            ((word(each[0], 16), slot) for slot, each in enumerate(found) if each), reverse=True
        ):
            header, arena = found[slot]
            start = word(header, 8)
            if blake3(arena).digest() != header[88:120]:
                self.snapshots[slot] = None
                continue
            self.check = Verifier.after(header + arena)
            self.certain = max(self.certain, start)
            if not first.first - 1 <= start <= last:
                raise Damage(
                    "the newest snapshot, of seq %d, is not of the log: it has seq %d to %d"
                    % (start, first.first, last)
                )
            break
        else:
            self.check, start = Verifier(), -1
            if first.head != bytes(32):
                raise Damage("no snapshot is valid, and the log does not begin with its genesis")
        head = self.begin(start)[0].head
        there = head
        for seq, frame in self.frames(start):
            head = blake3(head + frame).digest()
            if seq <= start:
                there = head
            else:
                if seq == start + 1 and start >= 0 and there != self.check.head:
                    break
                if start < 0 and seq == first.first:
                    config = struct.unpack_from("<7I", frame, 16)
                    need(self.fits(config), "the layout is that of another configuration")
                    need(head == self.name, "the headers bear another log's name")
                self.check.step(frame)
                if frame[1] == 2 and word(frame, 48):
                    self.cuts.append((seq, word(frame, 48)))
            if frame[1] == 0x89 and len(frame) >= 20:
                self.acked = max(self.acked, word(frame, 12))
        if start >= 0 and there != (header[56:88]):
            raise Damage("the chain does not lead to the head of the snapshot of seq %d" % start)
        if self.acked > last + 1:
            raise Damage(
                "the laptop has all before seq %d, but the log ends at seq %d" % (self.acked, last)
            )

    # -- 8: behind the end -------------------------------------------------------------------------

    def _behind(self):
        extent = self.extent_
        config = struct.unpack_from("<7I", self.check.state.arena, 8)
        size = self.standing(self.run, extent)
        window = self.pad(max(largest_frame(config), 320))
        if self.goes_on(self.run, extent.broken, extent.limit, extent.due + 1) or size > window:
            raise Damage("what stands behind seq %d was once whole" % extent.due)
        for at in self.broken:
            limit = at - at % self.sector % self.block + self.block
            at += 2 * self.header_size
            while frame := self.frame(at, limit, zlib.crc32(self.run.name)):
                if word(frame, 4) > extent.last and (
                    word(frame, 4) - extent.last,
                    frame[1],
                ) not in ((1, 2), (2, 3)):
                    raise Damage("a header cannot be read, and the log goes on behind it")
                at += self.pad(len(frame))
        self.void += extent.broken + size - extent.end
        if self.void:
            self.cuts.append((extent.last + 1, self.void))

    # -- 9: no log ---------------------------------------------------------------------------------

    def marks(self):
        """Return [(sector, whether done)] of the begun marks."""
        found = []
        for sector in (self.sectors - 2, self.sectors - 1):
            at = sector * self.sector + self.record_size
            if self.data[at : at + 8] == BEGUN:
                found.append(
                    (sector, not self.is_blank(at + self.header_size, at + 2 * self.header_size))
                )
        return found

    def is_begun(self):
        marks = self.marks()
        return any(not done for _, done in marks)

    def erase_mark(self):
        sector = self.slot_sectors
        if not sector or self.record(sector) is None:
            return None
        mark = self.header(sector * self.sector + self.record_size)
        return mark if mark and mark.number == ERASING else None

    def _is_forgotten(self):
        """Return whether the log found is to be forgotten."""
        run, extent, mark = self.run, self.extent_, self.erase_mark()
        if mark and mark.name == run.name and extent.last < mark.first:
            return True
        rest = (self.sector_of(run.number) + 1) * self.sector
        return (
            run.head == bytes(32)
            and extent.last == run.first
            and self.is_blank(extent.end, rest)
            and self.is_begun()
        )

    def _need_unfinished(self):
        if self.run or self.erase_mark():
            return
        if not self.is_begun():
            raise Damage("there are sector records, but no run can be read")

    def _need_blank(self):
        used = [
            each
            for each in range(self.sectors)
            if not self.is_blank(each * self.sector, (each + 1) * self.sector)
        ]
        if any(self.is_format_1(each) for each in used):
            raise Damage("a log of format 1")
        ends = (self.sectors - 2, self.sectors - 1)
        if used and (self.is_begun() or all(each in ends and self._is_torn(each) for each in used)):
            used = []
        if used:
            first = self.data[used[0] * self.sector :][:8]
            raise Damage("no log: sector %d begins with %s" % (used[0], first.hex()))
        self.blank = True

    def is_format_1(self, sector):
        data = self.data[sector * self.sector :][:16]
        return data[:4] == b"QUP1" and crc_fits(data)

    def _is_torn(self, sector):
        at = sector * self.sector + self.record_size
        return (
            self.is_blank(sector * self.sector, at)
            and self.is_blank(at + 8, (sector + 1) * self.sector)
            and all(a & b == b for a, b in zip(self.data[at : at + 8], BEGUN, strict=True))
        )


# -- where in a dump -------------------------------------------------------------------------------


def find(data, start=None, size=None, sector=None, unit=None):
    """Return the Image in a dump. What is not given follows from the records: their distance, their
    number of sectors, and the headers of runs, whose numbers lead to their places. Broken if they
    leave it open: then it must be given."""
    start_given, data = start, bytes(data)
    part = data[start or 0 : None if size is None else (start or 0) + size]
    found = []
    at = part.find(b"QUP2")
    while at >= 0:
        if len(part) - at >= RECORD and crc_fits(part[at : at + RECORD]):
            found.append((at, struct.unpack_from("<H", part, at + 8)[0]))
        at = part.find(b"QUP2", at + 1)
    if not found:
        sector = sector or 4096
        need(
            size or start is not None or len(part) % sector == 0,
            "no sector record: say where the region lies",
        )
        image = Image(part, sector, unit or 4)
        image.start = start or 0
        return image
    sectors = max(set(each[1] for each in found), key=[each[1] for each in found].count)
    places = [at for at, count in found if count == sectors]
    sizes = (
        [sector]
        if sector
        else [
            1 << n for n in range(8, 20) if all((at - places[0]) % (1 << n) == 0 for at in places)
        ][::-1]
    )
    best = None
    for each in sizes:
        length = sectors * each
        low = max(0, places[-1] + each - length)
        for begin in (
            [0] if start_given is not None else range(places[0] % each, places[0] + 1, each)
        ):
            if begin < low or begin + length > len(part):
                continue
            for one in [unit] if unit else [1, 2, 4, 8, 16, 32, 64, 128, 256]:
                if each % one:
                    continue
                image = Image(part[begin : begin + length], each, one)
                try:
                    score = (
                        (len(image.runs()) if image.layout() else 0),
                        image.read().seq or -1,
                        -one,
                    )
                except Broken:
                    continue
                if best is None or score > best[0]:
                    image.start = begin + (start or 0)
                    best = score, image
    need(best, "a region of %d sectors does not fit these %d bytes" % (sectors, len(part)))
    return best[1]
