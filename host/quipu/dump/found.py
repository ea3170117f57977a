"""From a flash region to everything provable that it holds. Never changes the flash.

The board's own recovery says which runs the log has. Where frames are missing, the log is taken up
again at each thing that names a chain head at a place where it must stand: the next run's header, a
boot frame behind a header that is lost, a snapshot. From such a head on every frame is checked;
what lies between is declared missing. A whole frame of this log to which no head leads is counted,
and left out."""

from collections.abc import Iterator

from quipu.dump.format_1.found import Found as Format1
from quipu.dump.held import Held, Left, Stretch, boot_head, left_in
from quipu.dump.image import FlashImage
from shared_kernel import primitives
from shared_kernel.errors import FormatError, NotFound
from shared_kernel.frames import (
    CONTINUES,
    GENESIS,
    GENESIS_BYTES,
    HEADER,
    MORE,
    NO_HEAD,
    TICK_TOP,
    VERSION,
    length_at,
    seed,
)
from shared_kernel.kernel import u32
from shared_kernel.reader import LogReader, frame_of
from shared_kernel.recovery import recover
from shared_kernel.region import Region
from shared_kernel.run import NONE


def read(flash: FlashImage) -> Held:
    """Return what a region holds, of either format. NotFound if nothing was ever recorded,
    FormatError if it is no log that this version can read."""
    region = Region(flash)  # type: ignore[arg-type]  # an image is only read
    if region.is_format_1() and not any(region.record(each) for each in range(region.sectors)):
        return Format1(flash)
    return Found(flash)


class Piece:
    """The frames of one run, read alone as far as they follow one another.

    number, sector: of the run; lost: whether its header is; prev: number of the run before it,
        None: not known
    first: seq of the first frame; repeats: how many stand in the run before too; head: the chain
        head before them, None: not known
    frames: their bytes; ends: address behind each, padded; start: of the first
    """

    def __init__(self, number: int, sector: int, first: int, start: int, lost: bool = False):
        self.number, self.sector, self.first, self.start = number, sector, first, start
        self.lost = lost
        self.prev: int | None = None
        self.repeats = 0
        self.head: bytes | None = None
        self.frames: list[bytes] = []
        self.ends: list[int] = []

    @property
    def last(self) -> int:
        """Seq of the last frame; first - 1 if there is none."""
        return self.first - 1 + len(self.frames)

    @property
    def end(self) -> int:
        """The address behind the last frame."""
        return self.ends[-1] if self.ends else self.start

    def whole(self) -> int:
        """Return the seq of the last frame of the last whole group."""
        for i in range(len(self.frames) - 1, -1, -1):
            if not self.frames[i][TICK_TOP] & MORE:
                return self.first + i
        return self.first - 1

    def is_settled(self) -> bool:
        """Return whether a frame of a later group stands behind the first group that is new in this
        run."""
        new = self.frames[self.repeats :]
        ends = [i for i, frame in enumerate(new) if not frame[TICK_TOP] & MORE]
        return bool(ends) and ends[0] + 1 < len(new)


class Found(Held):
    """See Held. region: with its geometry; recovery: what the board would find; pieces: the log's
    runs, oldest first."""

    format = 2

    def __init__(self, flash: FlashImage):
        super().__init__()
        region = self.region = Region(flash)  # type: ignore[arg-type]  # likewise
        found = self.recovery = recover(region)
        self.damage = found.damage
        self.pieces: list[Piece] = []
        if found.replay is None and not found.damage:
            raise NotFound("nothing was ever recorded in this region")
        if not region.block:
            raise FormatError(found.damage)
        if found.replay is None or found.run is None:
            self._without_headers()
        else:
            self.name = found.replay.name
            if found.replay.kernel and not self.damage:
                self.end = found.replay.seq, found.replay.head, found.replay.kernel.root()
            self.pieces = [self._run(number) for number in found.order]
            self._go_back()
            if self.damage:
                self._go_on(self.recovery.last)
        self.stretches = self._join()
        self.mended = sorted({each.sector for each in self.pieces if each.lost})
        self._snapshots()
        self.need_end(self.end and self.end[:2])
        self._note()
        self._count_left()

    # -- runs --------------------------------------------------------------------------------------

    def _reader(self, number: int) -> LogReader:
        size = max(GENESIS_BYTES, self.region.block)
        return LogReader(self.region, [number], seed(self.name), bytearray(size), 0)

    def _run(self, number: int) -> Piece:
        """Return the Piece of a run whose header can be read."""
        reader = self._reader(number)
        run = reader.enter(number)
        piece = Piece(number, self.region.sector_of(number), run.first, reader.address)
        piece.prev, piece.repeats, piece.head = run.prev, run.repeats, run.head
        self._read(reader, piece)
        return piece

    def _headless(self, number: int) -> Piece | None:
        """Return the Piece of a run of which both headers are lost, by the frame that stands where
        its first must; None if none does."""
        region = self.region
        reader = self._reader(number)
        at = region.frames_at(number)
        limit = region.block_end(at)
        n = reader.whole(at, limit, 0)
        genesis = (
            bool(n)
            and reader.buffer[1] == GENESIS
            and primitives.hash(NO_HEAD + frame_of(reader, n)) == self.name
        )
        if not genesis and not reader.whole(at, limit, reader.seed):
            return None
        reader.number, reader.seq, reader.address, reader.limit = (
            number,
            u32(reader.buffer, 4),
            at,
            limit,
        )
        reader.end = (region.sector_of(number) + 1) * region.sector
        reader.following = reader.until = -1
        piece = Piece(number, region.sector_of(number), reader.seq, at, True)
        if genesis:
            piece.head, piece.prev, reader.genesis = NO_HEAD, NONE, reader.seq
        self._read(reader, piece)
        return piece

    def _read(self, reader: LogReader, piece: Piece) -> None:
        while n := reader.next():
            piece.frames.append(bytes(frame_of(reader, n)))
            piece.ends.append(reader.address)

    def _places(self) -> Iterator[int]:
        """Yield the number of each block of the ring that no run with a readable header covers: one
        may have begun there."""
        region = self.region
        known = {number % region.turn: number for number in region.numbers()[0]}
        for sector in range(region.ring(), region.sectors):
            record = region.record(sector)
            covered = sector * region.sector
            for block in range(region.blocks):
                place = (sector - region.ring()) * region.blocks + block
                if place in known:
                    run = region.run(known[place])
                    covered = (
                        self._run(known[place]).end
                        if run and run.name == self.name
                        else (sector + 1) * region.sector
                    )
                elif region.header_at(place) >= covered:
                    yield record[1] + block if record else place

    def _without_headers(self) -> None:
        """No run can be read. The genesis names the log, if it still stands where a run begins;
        what follows it is found by its seq."""
        region = self.region
        for number in self._places():
            reader = self._reader(number)
            at = region.frames_at(number)
            n = reader.whole(at, region.block_end(at), 0)
            if n and reader.buffer[1] == GENESIS:
                self.name = primitives.hash(NO_HEAD + frame_of(reader, n))
                piece = self._headless(number)
                if piece:
                    self.pieces = [piece]
                    self._go_on(piece.whole())
                return
        raise FormatError(
            "the region bears sector records of Quipu, but neither the header of a run of its log "
            "nor a genesis can be read: "
            "nothing in it can be proved"
        )

    def _go_back(self) -> None:
        """Add the runs before those that the board knows. Those of a log that is not damaged must
        lead to them without a gap, but for frames that rotted: else their sectors were being
        erased."""
        known = len(self.pieces)
        while self.pieces[0].prev != NONE and self.pieces[0].head != NO_HEAD:
            before = self._before(self.pieces[0])
            if before is None:
                break
            self.pieces.insert(0, before)
        while (
            not self.damage
            and len(self.pieces) > known
            and len(self._join()) > 1
            and not self._is_rot(*self.pieces[:2])
        ):
            del self.pieces[0]

    def _is_rot(self, piece: Piece, after: Piece) -> bool:
        """Return whether a run that does not reach the next one's first frame is not half erased:
        most of its frames still stand, or its sector is full."""
        region = self.region
        if region.record(piece.sector) is None or piece.sector in self.recovery.bad:
            return False
        there = {
            seq
            for _, frame in self._frames_in(piece.sector)
            if piece.first <= (seq := u32(frame, 4)) < after.first
        }
        end = (piece.sector + 1) * region.sector
        return (
            2 * len(there) >= after.first - piece.first
            or end - piece.end < region.block
            and region.is_blank(piece.end, end)
        )

    def _before(self, piece: Piece) -> Piece | None:
        """Return the run before this one, or the newest older one that can be read."""
        region = self.region
        top = piece.number
        if piece.prev is not None:
            run = region.run(piece.prev)
            if run and run.name == self.name and run.number < top and run.first <= piece.first:
                return self._run(run.number)
            record = region.record(region.sector_of(piece.prev))
            if run is None and (
                record is None or record[1] == piece.prev - piece.prev % region.blocks
            ):
                lost = self._headless(piece.prev)
                if lost and lost.first <= piece.first:
                    return lost
            top = min(top, piece.prev)
        for number in region.numbers()[0]:
            run = region.run(number)
            if number < top and run and run.name == self.name and run.first < piece.first:
                older = self._run(number)
                if older.is_settled() or piece.prev is None and older.last >= piece.first:
                    return older
        return None

    def _go_on(self, last: int) -> None:
        """Add the runs without headers that go on behind seq `last`. Only of a damaged log, which
        the board will not go on with."""
        lost = [piece for number in self._places() if (piece := self._headless(number))]
        while True:
            more = [
                each
                for each in lost
                if each.first <= last + 1 <= each.whole()
                and each.number not in [p.number for p in self.pieces]
            ]
            if not more:
                return
            piece = min(more, key=lambda each: each.number)
            held = {
                seq: frame
                for each in self.pieces
                for seq, frame in enumerate(each.frames, each.first)
            }
            lost.remove(piece)
            if all(
                held.get(seq, frame) == frame
                for seq, frame in enumerate(piece.frames, piece.first)
                if seq <= last
            ):
                self.pieces.append(piece)
                last = piece.whole()

    # -- frames ------------------------------------------------------------------------------------

    def _join(self) -> list[Stretch]:
        """Return the stretches that the runs make: each goes on where the next begins."""
        found = self.recovery
        out: list[Stretch] = []
        for i, piece in enumerate(self.pieces):
            # what stands there from the next one's first on may be a group that was cut
            if i + 1 < len(self.pieces):
                until = self.pieces[i + 1].first - 1
            else:
                until = (
                    found.last if found.run and found.run.number == piece.number else piece.whole()
                )
            self._add(out, piece, until if piece.last >= until else min(piece.whole(), until))
        return out

    def _add(self, out: list[Stretch], piece: Piece, until: int) -> None:
        """Add the frames of a run up to seq `until`, to the last stretch or to one of their own."""
        before = out[-1] if out else None
        frames, first, head = (
            piece.frames[: max(0, until + 1 - piece.first)],
            piece.first,
            piece.head,
        )
        if before and first <= before.last + 1:
            known = before.head_at(first - 1)
            if head is not None and known is not None and known != head:
                return  # what stands before it is not what it followed
            while frames and first <= before.last:
                if first >= before.first and frames[0] != before.frames[first - before.first]:
                    return
                del frames[0]
                first += 1
            self._follow(before, frames)
            return
        if head is None:
            for i, frame in enumerate(frames):
                if head := boot_head(frame):
                    frames, first = frames[i:], first + i
                    break
            else:
                return
            proof = "a boot frame"
        else:
            proof = (
                "the genesis"
                if head == NO_HEAD
                else f"the header of run {piece.number} (sector {piece.sector})"
            )
        stretch = Stretch(first, head, proof)
        self._follow(stretch, frames)
        if stretch.frames:
            out.append(stretch)

    def _follow(self, stretch: Stretch, frames: list[bytes]) -> None:
        head = stretch.head_at(stretch.last) or b""
        for frame in frames:
            if boot_head(frame) not in (None, head):
                return
            head = primitives.hash(head + frame)
            stretch.add(frame, head)

    def _islands(self, piece: Piece) -> Iterator[list[bytes]]:
        """Yield the frames that follow one another behind the place where a run breaks off: where a
        broken frame says that it ends, and from the boundaries of the later blocks of its sector
        on."""
        region = self.region
        reader = self._reader(piece.number)
        address, end = piece.end, (piece.sector + 1) * region.sector
        found: list[bytes] = []
        while address < end:
            limit = region.block_end(address)
            n = reader.whole(address, limit, reader.seed) if address > piece.end else 0
            if n:
                frame = bytes(frame_of(reader, n))
                if found and u32(frame, 4) != u32(found[-1], 4) + 1:
                    yield found
                    found = []
                found.append(frame)
                address += region.pad(n)
                continue
            data = region.read(address, min(HEADER, limit - address))
            if len(data) == HEADER and data[0] == VERSION:
                if found:
                    yield found
                    found = []
                address = min(address + region.pad(length_at(data, 0)), limit)
            else:
                address = limit
        if found:
            yield found

    # -- snapshots ---------------------------------------------------------------------------------

    def _snapshots(self) -> None:
        """Keep the valid snapshots. One of a seq that no stretch reaches proves the state there: it
        begins a stretch of its own."""
        there = [
            (header.seq, slot, header) for slot, header in enumerate(self.recovery.slots) if header
        ]
        for _, slot, header in sorted(there, key=lambda each: each[:2]):
            arena = bytearray(header.length)
            self.region.slot_read(slot, 0, arena)
            if self.keep_snapshot(slot, header, arena):
                self._from_snapshot(header.seq, header.head, f"the snapshot in slot {'ab'[slot]}")

    def _from_snapshot(self, seq: int, head: bytes, proof: str) -> None:
        """Add a stretch that begins after `seq`: with the frames that still stand there, or else of
        no frames."""
        stretch = Stretch(seq + 1, head, proof)
        island = next(
            (
                each
                for piece in self.pieces
                for each in self._islands(piece)
                if u32(each[0], 4) <= seq + 1 <= u32(each[-1], 4)
            ),
            [],
        )
        self._follow(stretch, island[seq + 1 - u32(island[0], 4) :] if island else [])
        while stretch.frames and stretch.frames[-1][TICK_TOP] & MORE:
            stretch.cut(stretch.last - 1)
        after = next((each for each in self.stretches if each.first > seq), None)
        if after and stretch.last >= after.first - 1:
            if stretch.head_at(after.first - 1) == after.head:
                stretch.cut(after.first - 1)
            else:  # what stands there is not what followed
                stretch.cut(seq)
        self.stretches.append(stretch)
        self.stretches.sort(key=lambda each: each.first)
        at = self.stretches.index(stretch)
        if after and stretch.last == after.first - 1:
            for frame, its in zip(after.frames, after.heads, strict=True):
                stretch.add(frame, its)
            del self.stretches[at + 1]

    def _note(self) -> None:
        """Take over what the frames say of the board and of power cuts."""
        for stretch in self.stretches:
            for seq, frame in enumerate(stretch.frames, stretch.first):
                self.note(seq, frame)
        if self.recovery.skipped and not self.damage:
            self.cuts.append((self.recovery.last + 1, self.recovery.skipped))

    # -- what is left out --------------------------------------------------------------------------

    def _count_left(self) -> None:
        """Count the whole frames of this log that no stretch holds, but for those that a power cut
        explains."""
        region = self.region
        first = self.stretches[0].first
        voided = self._voided()
        for sector in range(region.ring(), region.sectors):
            found: dict[int, int] = {}
            for address, frame in self._frames_in(sector):
                seq = u32(frame, 4)
                old = seq < first and not self.damage  # of a sector that was being recycled
                if (
                    not old
                    and not self.holds(seq)
                    and not any(low <= address < high for low, high in voided)
                ):
                    found[seq] = len(frame)
            if found:
                self.left.append(left_in(sector, list(found.items())))

    def _voided(self) -> list[tuple[int, int]]:
        """Return [from, to) of the addresses at which frames stand that were never promised: groups
        that were cut, the runs of boots that were cut."""
        found, region = self.recovery, self.region
        out = []
        for piece, after in zip(self.pieces, self.pieces[1:], strict=False):
            if not after.lost and piece.first <= after.first <= piece.last:
                before = after.first - piece.first
                out.append((piece.ends[before - 1] if before else piece.start, piece.end))
        if not self.damage:
            out.append((found.end, self._end_of_cut()))
        known = [piece.number for piece in self.pieces]
        for number in region.numbers()[0]:
            run = region.run(number)
            if number not in known and run and run.name == self.name:
                given_up = self._run(number)
                out.append((given_up.start, given_up.end))
        return out

    def _end_of_cut(self) -> int:
        """Return where the frames end that a cut at the end explains: where a whole frame begins a
        group after the one that was cut."""
        found = self.recovery
        assert found.run is not None  # which had frames behind its end
        end = int(found.end + found.skipped)
        for address, frame in self._frames_in(self.region.sector_of(found.run.number)):
            if (
                found.end <= address < end
                and u32(frame, 4) > found.last + 1
                and not frame[TICK_TOP] & CONTINUES
            ):
                return address
        return end

    def _frames_in(self, sector: int) -> Iterator[tuple[int, bytes]]:
        """Yield (address, frame) of all whole frames of this log in a sector; what stands inside of
        one is none."""
        region = self.region
        reader = self._reader(0)
        start = sector * region.sector
        data = bytes(region.read(start, region.sector))
        at = 0
        while (at := data.find(bytes((VERSION,)), at)) >= 0:
            n = 0
            if at % region.unit == 0:
                n = reader.whole(start + at, region.block_end(start + at), reader.seed)
            if n:
                yield start + at, bytes(frame_of(reader, n))
            at += n or 1

    def left_in(self, sector: int) -> Left | None:
        """Return what is left out of a sector, None if nothing is."""
        return next((each for each in self.left if each.sector == sector), None)
