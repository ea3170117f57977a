"""Format 1, read only: everything provable that a region holds.

The old recovery reads it. Where it meets damage, the log is taken up again behind it at each thing
that names a chain head: a sector's header, a boot frame, a snapshot. A frame whose CRC fits but to
which no head leads is counted, and left out."""

from typing import TYPE_CHECKING

from quipu.dump.format_1.reader import LogReader, frame_of
from quipu.dump.format_1.recovery import Recovery, strays
from quipu.dump.format_1.region import Open, Region
from quipu.dump.held import Held, Stretch, boot_head, left_in
from quipu.dump.image import LARGEST
from shared_kernel import primitives
from shared_kernel.errors import Damage, FormatError, NotFound
from shared_kernel.frames import GENESIS, NO_HEAD, seed
from shared_kernel.kernel import u32

if TYPE_CHECKING:
    from shared_kernel.types import ReadableFlash


class _Mended(Region):
    """A region, and open records in place of those that cannot be read: what stands in their
    sectors says what they were."""

    def __init__(self, flash: "ReadableFlash"):
        super().__init__(flash)
        self.mended: dict[int, Open] = {}

    def opened(self, sector: int) -> Open | None:
        return self.mended.get(sector) or super().opened(sector)


class Found(Held):
    """See Held. recovery: what the old firmware would find; order: sectors of the log, oldest
    first, those included whose header is lost. NotFound if nothing was ever recorded, FormatError
    if it cannot be read."""

    format = 1

    def __init__(self, flash: "ReadableFlash"):
        super().__init__()
        region = self.region = _Mended(flash)
        self._without_headers()
        self.recovery = Recovery(region)
        self.damage = self.recovery.damage
        replay = self.recovery.replay
        if replay is None and self.damage:
            raise FormatError(self.damage)
        if replay is None:
            raise NotFound("nothing was ever recorded in this region")
        if replay.kernel and not self.damage:
            self.end = replay.seq, replay.head, replay.kernel.root()
        self.name = replay.name
        self.order: list[int] = list(self.recovery.order)
        self._headless = [i for i in range(region.ring(), region.sectors) if not region.opened(i)]
        self._mend_first()
        self._read()
        self._snapshots()
        self.need_end(None if self.damage else (replay.seq, replay.head))
        self._strays()
        self.mended = sorted(region.mended)

    # -- frames ------------------------------------------------------------------------------------

    def _reader(self) -> LogReader:
        return LogReader(self.region, self.order, seed(self.name), bytearray(LARGEST), 0)

    def _first_frame(self, sector: int, crc_seed: int) -> memoryview | None:
        """Return the whole frame at the place of a sector's first, or None."""
        region = self.region
        start = sector * region.sector
        reader = LogReader(region, [], crc_seed, bytearray(LARGEST), 0)
        n = reader.whole(start + region.frames_at, start + region.sector, crc_seed)
        return frame_of(reader, n) if n else None

    def _without_headers(self) -> None:
        """If no sector of the ring has a header left, the genesis frame still names the log."""
        region = self.region
        if not any(region.erase_count(i) for i in range(region.sectors)):
            return
        ring = range(region.ring(), region.sectors)
        if any(region.opened(i) for i in ring):
            return
        for sector in ring:
            frame = self._first_frame(sector, 0)
            if frame and frame[1] == GENESIS:
                region.mended[sector] = Open(
                    1, u32(frame, 4), 0, 0, 0, primitives.hash(NO_HEAD + frame), NO_HEAD
                )
                return

    def _mend_first(self) -> None:
        """The log's very first sector is known by its genesis, whatever its header says."""
        for sector in self._headless:
            frame = self._first_frame(sector, 0)
            if frame and frame[1] == GENESIS and primitives.hash(NO_HEAD + frame) == self.name:
                self._mend(sector, u32(frame, 4), NO_HEAD, 0)

    def _mend(self, sector: int, first: int, head: bytes, at: int) -> None:
        near = self.region.opened(self.order[max(0, at - 1)])
        assert near is not None  # each sector in order has a record, read or mended
        self.region.mended[sector] = Open(
            near.epoch, first, near.boot, near.acked, near.policy, self.name, head
        )
        self.order.insert(at, sector)
        self._headless.remove(sector)

    def _read(self) -> None:
        """Follow the log from the oldest sector on; behind damage, from the next thing that names a
        chain head."""
        reader = self._reader()
        i = 0
        while i < len(self.order):
            record = reader.enter(self.order[i])
            proof = (
                "the genesis" if record.head == NO_HEAD else f"the header of sector {self.order[i]}"
            )
            head: bytes | None = record.head
            while head is not None:
                if not self._begin(record.first, head, proof):
                    break
                run = self.stretches[-1]
                self._follow(reader, run)
                if not run.frames:
                    self.stretches.pop()
                head, proof = self._boot_behind(reader), "a boot frame"
                record = Open(0, reader.seq, 0, 0, 0, self.name, head or NO_HEAD)
            i = self.order.index(reader.sector) + 1

    def _begin(self, first: int, head: bytes, proof: str) -> bool:
        """Begin a run, unless that contradicts the run before it."""
        before = self.stretches[-1] if self.stretches else None
        if before and (
            before.last >= first or before.last == first - 1 and before.head_at(first - 1) != head
        ):
            return False
        self.stretches.append(Stretch(first, head, proof))
        return True

    def _follow(self, reader: LogReader, run: Stretch) -> None:
        """Read on to where the next frame cannot be read, over sectors whose header is lost."""
        head = run.head
        while True:
            try:
                n = reader.next(head)
            except Damage:
                n = 0
            frame = bytes(frame_of(reader, n)) if n else b""
            if not n or boot_head(frame) not in (None, head):
                if n:
                    reader.seq -= 1
                    reader.address -= self.region.pad(n)
                elif self._lost_header(reader, head):
                    continue
                return
            self.note(reader.seq - 1, frame)
            head = primitives.hash(head + frame)
            run.frames.append(frame)
            run.heads.append(head)

    def _lost_header(self, reader: LogReader, head: bytes) -> bool:
        """Whether a sector without a header goes on here: its first frame is the one that is looked
        for."""
        for sector in self._headless:
            frame = self._first_frame(sector, reader.seed)
            if frame and u32(frame, 4) == reader.seq:
                self._mend(sector, reader.seq, head, self.order.index(reader.sector) + 1)
                reader.following = None
                return True
        return False

    def _boot_behind(self, reader: LogReader) -> bytes | None:
        """Go to the next boot frame in the sector behind what cannot be read; return the chain head
        that it names."""
        for at, n, seq in strays(reader, reader.sector, reader.address):
            frame = frame_of(reader, n)
            if (head := boot_head(frame)) and seq > reader.seq:
                reader.address, reader.seq = at, seq
                return head
        return None

    # -- snapshots ---------------------------------------------------------------------------------

    def _snapshots(self) -> None:
        """Keep the valid snapshots. One of a seq that no run reaches proves the state there: it
        becomes a run of no frames."""
        for slot in (0, 1):
            header = self.recovery.slots[slot]
            if header is None:
                continue
            arena = bytearray(header.length)
            self.region.slot_read(slot, 0, arena)
            if self.keep_snapshot(slot, header, arena):
                self._run_from(header.seq, header.head, f"the snapshot in slot {'ab'[slot]}")

    def _run_from(self, seq: int, head: bytes, proof: str) -> None:
        """Add a run that begins after `seq`: with the frames that still stand there, or else of no
        frames."""
        run = Stretch(seq + 1, head, proof)
        reader = self._reader()
        for sector in self.order:
            reader.enter(sector)
            reader.seq = run.first
            at = next(
                (at for at, _, its in strays(reader, sector, reader.address) if its == run.first),
                None,
            )
            if at is not None:
                reader.address, reader.seq = at, run.first
                self._follow(reader, run)
                break
        later = [each for each in self.stretches if each.first > seq]
        for each in later:
            known = run.head_at(each.first - 1)
            if known is not None and known != each.head:  # what stands there is not what followed
                run.frames, run.heads = [], []
        self.stretches = [
            each for each in self.stretches if each.first <= seq or each.first > run.last + 1
        ]
        self.stretches.append(run)
        self.stretches.sort(key=lambda each: each.first)

    def _strays(self) -> None:
        """Count whole frames of this log that no stretch holds."""
        reader = self._reader()
        region = self.region
        reader.seq = self.stretches[0].first
        for sector in range(region.ring(), region.sectors):
            seqs = {
                seq: n
                for _, n, seq in strays(reader, sector, sector * region.sector + region.frames_at)
                if not self.holds(seq)
            }
            if seqs:
                self.left.append(left_in(sector, list(seqs.items())))
