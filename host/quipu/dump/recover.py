"""From a flash region to an archive: everything provable that a dump of it holds. Never changes the flash.

The board's own recovery reads the region. Where it meets damage, the log is taken up again behind it at each thing that
names a chain head: a sector's header, a boot frame, a snapshot. From such a head on every frame is checked; what lies
between is declared missing. A frame whose CRC fits but to which no head leads is counted, and left out.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from quipu.archive.chain import Chain
from quipu.archive.files import Archive, Note
from quipu.archive.verdict import GAP, MATCH, Verdict
from quipu.archive.verify import verify
from quipu.dump.image import LARGEST
from quipu.errors import OtherLog, RolledBack
from shared_kernel import primitives, snapshot_file
from shared_kernel.errors import Damage, FormatError, Mismatch, NotFound
from shared_kernel.frames import BOOT, GENESIS, HEADER, NO_HEAD, seed
from shared_kernel.genesis import Genesis
from shared_kernel.kernel import u32
from shared_kernel.reader import LogReader, frame_of
from shared_kernel.recovery import Recovery, strays
from shared_kernel.region import Open, Region

_HEAD_AT = HEADER + 4  # in a boot frame: the chain head before it
_SKIPPED_AT = HEADER + 36
UNKNOWN = "unknown"  # the identity of a board whose genesis frame is gone


class Run:
    """Frames that follow each other from a known chain head. first: seq of the first; head: the chain head before it; heads:
    the one after each frame; frames: their bytes; proof: what named the head."""

    def __init__(self, first: int, head: bytes, proof: str):
        self.first = first
        self.head = head
        self.proof = proof
        self.heads: list[bytes] = []
        self.frames: list[bytes] = []

    @property
    def last(self) -> int:
        """Seq of the last frame; first - 1 if there is none."""
        return self.first - 1 + len(self.frames)

    def head_at(self, seq: int) -> bytes | None:
        """Return the chain head after frame `seq`, None if this run does not know it."""
        if not self.first - 1 <= seq <= self.last:
            return None
        return self.heads[seq - self.first] if seq >= self.first else self.head


class _Mended(Region):
    """A region, and open records in place of those that cannot be read: what stands in their sectors says what they were."""

    def __init__(self, flash: Any):
        super().__init__(flash)
        self.mended: dict[int, Open] = {}

    def opened(self, sector: int) -> Any:
        return self.mended.get(sector) or super().opened(sector)


class Found:
    """What a flash region holds.

    region: with its geometry; recovery: what the board would find; order: sectors of the log, oldest first, those included
    whose header is lost; mended: these; name: the log's, 32 bytes; identity: of the board, or UNKNOWN; runs: oldest first;
    snapshots: seq: whole snapshot (snapshot_file) of the valid ones; bad_slots: {slot: what is wrong}; unproved: {sector: seqs}
    of whole frames of this log that are in no run; cuts: [(seq, bytes)] of torn tails.
    NotFound if nothing was ever recorded, FormatError if this version cannot read it.
    """

    def __init__(self, flash: Any):
        region = self.region = _Mended(flash)
        self._without_headers()
        self.recovery = Recovery(region)
        if self.recovery.replay is None and self.recovery.damage:
            raise FormatError(self.recovery.damage)
        if self.recovery.replay is None:
            raise NotFound("nothing was ever recorded in this region")
        self.name: bytes = self.recovery.replay.name
        self.order: list[int] = list(self.recovery.order)
        self.identity = UNKNOWN
        self.runs: list[Run] = []
        self.snapshots: dict[int, bytes] = {}
        self.bad_slots: dict[int, str] = {}
        self.unproved: dict[int, list[int]] = {}
        self.cuts: list[tuple[int, int]] = []
        self._headless = [i for i in range(region.ring(), region.sectors) if not region.opened(i)]
        self._mend_first()
        self._read()
        self._snapshots()
        self._close()
        self._strays()

    @property
    def mended(self) -> list[int]:
        return sorted(self.region.mended)

    @property
    def damage(self) -> str | None:
        """Return what the board would say is wrong with its log, None if nothing is."""
        return self.recovery.damage

    def missing(self) -> list[list[int]]:
        """Return [first, last] seq of what is missing between the runs."""
        return [[a.last + 1, b.first - 1] for a, b in zip(self.runs, self.runs[1:], strict=False) if b.first > a.last + 1]

    def head_at(self, seq: int) -> bytes | None:
        """Return the chain head after frame `seq`, None if no run knows it."""
        return next((head for run in self.runs if (head := run.head_at(seq)) is not None), None)

    # -- frames -------------------------------------------------------------------------------------------------------

    def _reader(self) -> Any:
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
                region.mended[sector] = Open(1, u32(frame, 4), 0, 0, 0, primitives.hash(NO_HEAD + frame), NO_HEAD)
                return

    def _mend_first(self) -> None:
        """The log's very first sector is known by its genesis, whatever its header says."""
        for sector in self._headless:
            frame = self._first_frame(sector, 0)
            if frame and frame[1] == GENESIS and primitives.hash(NO_HEAD + frame) == self.name:
                self._mend(sector, u32(frame, 4), NO_HEAD, 0)

    def _mend(self, sector: int, first: int, head: bytes, at: int) -> None:
        near = self.region.opened(self.order[max(0, at - 1)])
        self.region.mended[sector] = Open(near.epoch, first, near.boot, near.acked, near.policy, self.name, head)
        self.order.insert(at, sector)
        self._headless.remove(sector)

    def _read(self) -> None:
        """Follow the log from the oldest sector on; behind damage, from the next thing that names a chain head."""
        reader = self._reader()
        i = 0
        while i < len(self.order):
            record = reader.enter(self.order[i])
            proof = "the genesis" if record.head == NO_HEAD else f"the header of sector {self.order[i]}"
            head = record.head
            while head is not None:
                if not self._begin(record.first, head, proof):
                    break
                run = self.runs[-1]
                self._follow(reader, run)
                if not run.frames:
                    self.runs.pop()
                head, proof = self._boot_behind(reader), "a boot frame"
                record = Open(0, reader.seq, 0, 0, 0, self.name, head)
            i = self.order.index(reader.sector) + 1

    def _begin(self, first: int, head: bytes, proof: str) -> bool:
        """Begin a run, unless that contradicts the run before it."""
        before = self.runs[-1] if self.runs else None
        if before and (before.last >= first or before.last == first - 1 and before.head_at(first - 1) != head):
            return False
        self.runs.append(Run(first, head, proof))
        return True

    def _follow(self, reader: Any, run: Run) -> None:
        """Read on to where the next frame cannot be read, over sectors whose header is lost."""
        head = run.head
        while True:
            try:
                n = reader.next(head)
            except Damage:
                n = 0
            frame = bytes(frame_of(reader, n)) if n else b""
            if not n or frame[1] == BOOT and frame[_HEAD_AT : _HEAD_AT + 32] != head:
                if n:
                    reader.seq -= 1
                    reader.address -= self.region.pad(n)
                elif self._lost_header(reader, head):
                    continue
                return
            if frame[1] == BOOT and u32(frame, _SKIPPED_AT):
                self.cuts.append((reader.seq - 1, u32(frame, _SKIPPED_AT)))
            if frame[1] == GENESIS:
                self.identity = Genesis(frame[HEADER:-4]).identity  # FormatError for rules that this version does not know
            head = primitives.hash(head + frame)
            run.frames.append(frame)
            run.heads.append(head)

    def _lost_header(self, reader: Any, head: bytes) -> bool:
        """Whether a sector without a header goes on here: its first frame is the one that is looked for."""
        for sector in self._headless:
            frame = self._first_frame(sector, reader.seed)
            if frame and u32(frame, 4) == reader.seq:
                self._mend(sector, reader.seq, head, self.order.index(reader.sector) + 1)
                reader.following = None
                return True
        return False

    def _boot_behind(self, reader: Any) -> bytes | None:
        """Go to the next boot frame in the sector behind what cannot be read; return the chain head that it names."""
        for at, n, seq in strays(reader, reader.sector, reader.address):
            frame = frame_of(reader, n)
            if frame[1] == BOOT and seq > reader.seq:
                reader.address, reader.seq = at, seq
                return bytes(frame[_HEAD_AT : _HEAD_AT + 32])
        return None

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def _snapshots(self) -> None:
        """Keep the valid snapshots. One of a seq that no run reaches proves the state there: it becomes a run of no frames."""
        for slot in (0, 1):
            header = self.recovery.slots[slot]
            if header is None:
                continue
            arena = bytearray(header.length)
            self.region.slot_read(slot, 0, arena)
            data = header.encode() + bytes(arena)
            try:
                snapshot_file.load(data)
            except FormatError as e:
                self.bad_slots[slot] = str(e)
                continue
            known = self.head_at(header.seq)
            if known is not None and known != header.head:
                self.bad_slots[slot] = f"its chain head after seq {header.seq} is {header.head.hex()}, that of the log {known.hex()}"
                continue
            if known is None:
                if self.runs and header.seq < self.runs[0].first:  # nothing follows from it
                    self.bad_slots[slot] = f"it is of seq {header.seq}, before the oldest frame, {self.runs[0].first}"
                    continue
                self._run_from(header.seq, header.head, f"the snapshot in slot {'ab'[slot]}")
            self.snapshots[header.seq] = data

    def _run_from(self, seq: int, head: bytes, proof: str) -> None:
        """Add a run that begins after `seq`: with the frames that still stand there, or else of no frames."""
        run = Run(seq + 1, head, proof)
        reader = self._reader()
        for sector in self.order:
            reader.enter(sector)
            reader.seq = run.first
            at = next((at for at, _, its in strays(reader, sector, reader.address) if its == run.first), None)
            if at is not None:
                reader.address, reader.seq = at, run.first
                self._follow(reader, run)
                break
        later = [each for each in self.runs if each.first > seq]
        for each in later:
            known = run.head_at(each.first - 1)
            if known is not None and known != each.head:  # what stands there is not what followed
                run.frames, run.heads = [], []
        self.runs = [each for each in self.runs if each.first <= seq or each.first > run.last + 1]
        self.runs.append(run)
        self.runs.sort(key=lambda each: each.first)

    def _close(self) -> None:
        """What the board's recovery and this reading found must be one."""
        replay = self.recovery.replay
        if not self.runs:
            raise Damage(f"nothing in this region can be proved: {self.recovery.damage}")
        last = self.runs[-1]
        ours = last.head_at(last.last)
        if not self.recovery.damage and (last.last, ours) != (replay.seq, replay.head):
            raise Mismatch(replay.seq, "chain head by the board's recovery", replay.head.hex(), f"{ours and ours.hex()} after {last.last}")

    def _strays(self) -> None:
        """Find whole frames of this log that no run holds."""
        if not self.recovery.damage and len(self.runs) == 1:  # what a cut voided at the log's end was never acknowledged
            return
        reader = self._reader()
        region = self.region
        for sector in range(region.ring(), region.sectors):
            reader.seq = self.runs[0].first
            seqs = [seq for _, _, seq in strays(reader, sector, sector * region.sector + region.frames_at)
                    if not any(run.first <= seq <= run.last for run in self.runs)]
            if seqs:
                self.unproved[sector] = sorted(set(seqs))


@dataclass
class Recovered:
    """What `recover` did. frames, log_bytes: appended to the archive; cut: bytes of an earlier, broken run or sync that were cut
    off first; runs: [{first, last, proof}] of what the region holds; missing: [first, last] seq between them; snapshots: seqs kept;
    slots: {slot: why its snapshot was not kept}; mended: sectors whose lost header was deduced; unproved: {sector: seqs} of whole
    frames to which no chain head leads; cuts: {seq, bytes} that power cuts voided; damage: None, or what the board would say;
    seq: the archive's last."""

    archive: str
    board: str
    log: str
    created: bool = False
    frames: int = 0
    log_bytes: int = 0
    cut: int = 0
    runs: list[dict[str, Any]] = field(default_factory=list)
    missing: list[list[int]] = field(default_factory=list)
    snapshots: list[int] = field(default_factory=list)
    slots: dict[str, str] = field(default_factory=dict)
    mended: list[int] = field(default_factory=list)
    unproved: dict[int, list[int]] = field(default_factory=dict)
    cuts: list[dict[str, int]] = field(default_factory=list)
    damage: str | None = None
    seq: int = -1

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def recover(found: Found, path: str | os.PathLike[str], progress: Callable[[int, int], None] | None = None
            ) -> tuple[Recovered, Verdict]:
    """Write what a region holds into an archive, which is made if there is none, and verify it. Going on after a break, and
    doing it twice, lead to the same archive.

    OtherLog or RolledBack if the archive is not of this log, ArchiveDamage if it is broken: nothing has changed then.
    """
    path = Path(path)
    existing = Archive(path) if (path / "archive.json").exists() else None
    result = Recovered(str(path), found.identity, found.name.hex(), existing is None)
    result.runs = [{"first": run.first, "last": run.last, "proof": run.proof} for run in found.runs]
    result.missing, result.mended, result.unproved, result.damage = found.missing(), found.mended, found.unproved, found.damage
    result.slots = {"ab"[slot]: why for slot, why in found.bad_slots.items()}
    result.cuts = [{"seq": seq, "bytes": size} for seq, size in found.cuts]
    if existing is None:
        Archive.need_room(path)
        first = found.runs[0]
        archive = Archive.create(path, found.name, found.identity, first.first, first.head)
        with archive.locked():
            _write(found, archive, result, progress, first.first - 1)
    else:
        archive = existing
        if archive.log != found.name:
            raise OtherLog(f"{path} is the archive of {archive.identity}, log {archive.log.hex()[:16]}...; the image holds log "
                           f"{found.name.hex()[:16]}... of {found.identity}: recover it into another folder")
        result.board = archive.identity
        with archive.locked():
            scan = archive.scan()
            _agree(found, archive, scan.chain)
            if scan.excess:
                if scan.problem and not any(run.last > scan.chain.seq for run in found.runs):
                    raise scan.problem
                archive.cut(scan.size)
                result.cut = scan.excess
            _write(found, archive, result, progress, scan.chain.seq)
    verdict = verify(archive)
    if not found.damage and verdict.seq == found.recovery.replay.seq and not verdict.first_divergence:
        root = found.recovery.replay.kernel.root().hex()
        if verdict.state_root != root:
            raise Mismatch(verdict.seq, "state root by the board's recovery", verdict.state_root, root)
    noted = -1 if verdict.note is None else verdict.note
    if verdict.verdict in (MATCH, GAP) and verdict.seq is not None and verdict.seq > noted:
        archive.write_note(Note(verdict.seq, bytes.fromhex(verdict.chain_head or ""), bytes.fromhex(verdict.state_root or ""),
                                time.time_ns() // 1_000_000))
        verdict.note = verdict.seq
    return result, verdict


def _agree(found: Found, archive: Archive, end: Chain) -> None:
    """Raise RolledBack unless archive and image agree wherever both have frames."""
    for segment in archive.segments:
        chain = Chain(None if segment.head == NO_HEAD else archive.log, segment.first - 1, segment.head)
        frames = archive.split(segment)
        while True:
            known = found.head_at(chain.seq)
            if known is not None and known != chain.head:
                raise RolledBack(f"{archive.path} and the image agree no longer at seq {chain.seq}: chain head {chain.head.hex()} in "
                                 f"the archive, {known.hex()} in the image. One of them was rolled back; nothing was changed. "
                                 "Recover into another folder", chain.seq)
            step = next(frames, None)
            if step is None or chain.seq == end.seq:
                break
            chain.step(step[1])


def _write(found: Found, archive: Archive, result: Recovered, progress: Callable[[int, int], None] | None, seq: int) -> None:
    """Append what lies past `seq`, the archive's last; then the snapshots; return when all of it is on the disk."""
    total = sum(len(frame) for run in found.runs for frame in run.frames[max(0, seq + 1 - run.first) :])
    for run in found.runs:
        new = run.frames[max(0, seq + 1 - run.first) :]
        if run.first > seq + 1:
            archive.flush()
            archive.add_segment(run.first, run.head)
        for frame in new:
            archive.append(frame)
            result.log_bytes += len(frame)
            if progress:
                progress(result.log_bytes, total)
        result.frames += len(new)
        seq = max(seq, run.last)
    archive.flush()
    archive.close()
    for each in sorted(found.snapshots):
        if not archive.snapshot_file(each).exists() and _holds(archive, each):
            archive.add_snapshot(each, found.snapshots[each])
            result.snapshots.append(each)
    result.seq = seq


def _holds(archive: Archive, seq: int) -> bool:
    """Whether `seq` is the last frame before a segment or in one: verify has no use for other snapshots."""
    return any(each.first - 1 <= seq < each.first + sum(1 for _ in archive.split(each)) for each in archive.segments)
