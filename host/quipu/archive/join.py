"""Bringing one archive up to another of the same log: what the first has and the second lacks goes
over, one way.

A log is a chain, so a head that both hold proves every frame before it the same. Heads are compared
where both archives know one, at the later end of each range that they share; an unequal one is
halved towards, until the first frame that differs is named. Then only missing ranges are read:
gaps, each filled whole or not at all; what goes past the end; snapshots; the later note, last. So
the second archive is valid at every moment. The first is only read. Meaning is not checked here:
verify does that."""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from quipu.archive.chain import Chain
from quipu.archive.files import Archive, Run, held
from quipu.errors import ArchiveDamage, ArchiveError, Forked, OtherLog, UsageError
from shared_kernel import snapshot_file
from shared_kernel.errors import FormatError, Mismatch
from shared_kernel.frames import NO_HEAD

_BLOCK = 1 << 16  # bytes written together
_HEAD = 32  # bytes of a head, or of a log's name
_RANGE = 8  # bytes that name a range of frames: its first seq and its last


@dataclass
class MergeResult:
    """What `merge` did. frames, log_bytes: copied; snapshots: seqs of those copied; filled: [first,
    last] of the ranges that were missing before frames that the archive had; heads: compared;
    moved_bytes: of all that had to come from the source: its name and ranges, the heads compared,
        frames, snapshots; cut: bytes of a broken sync that were cut off first; gaps: [first, last]
        of what
    the archive still lacks; seq, head: of its last frame; damage: None, or what is wrong with a
    snapshot that was left out."""

    archive: str
    source: str
    board: str
    log: str
    created: bool = False
    frames: int = 0
    log_bytes: int = 0
    snapshots: list[int] = field(default_factory=list)
    filled: list[list[int]] = field(default_factory=list)
    heads: int = 0
    moved_bytes: int = 0
    cut: int = 0
    gaps: list[list[int]] = field(default_factory=list)
    seq: int = -1
    head: str = ""
    damage: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def merge(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None = None,
) -> MergeResult:
    """Copy to the archive `target`, made if there is none, all that it lacks of the archive
    `source`.

    progress(done, total): frames. Nothing has changed after OtherLog, after Forked (its seq is the
    first frame that differs), and after ArchiveDamage of either at the beginning. ArchiveError if
    the disk is full: what was copied stays, and the next call goes on from there, as after a kill.
    """
    ours = Archive(source)
    path = Path(target)
    if path.exists() and os.path.samefile(ours.path, path):
        raise UsageError(
            f"{ours.path} and {path} are the same archive: name another one to copy it to"
        )
    reach = Reach(ours)
    if all(run.last < run.segment.first for run in reach.runs):
        raise ArchiveError(f"{ours.path} holds no frames yet: there is nothing to copy")
    with held(path) as hold:
        created = hold.archive is None
        theirs = hold.archive or hold.create(ours.log, ours.identity, *ours.segments[0])
        if theirs.log != ours.log:
            raise OtherLog(
                f"{ours.path} is of {ours.identity}, log {ours.log.hex()[:16]}...; {path} is of "
                f"{theirs.identity}, log "
                f"{theirs.log.hex()[:16]}...: name the archive of the same log, or a new folder"
            )
        result = MergeResult(str(path), str(ours.path), ours.identity, ours.log.hex(), created)
        _Merge(reach, theirs, result, progress or _silent).run()
    return result


def _silent(done: int, total: int) -> None:
    pass


class Reach:
    """An archive's frames, each of them checked, and the chain head after any of them."""

    def __init__(self, archive: Archive):
        self.archive = archive
        self.scan = archive.scan()
        self.runs = self.scan.runs

    def head(self, seq: int) -> bytes | None:
        """Return the chain head after the frame `seq`; None if the archive does not tell it."""
        for run in self.runs:
            if run.segment.first - 1 <= seq <= run.last:
                chain = self._begin(run, seq + 1)[0]
                for _ in self._on(run, seq + 1, seq, chain):
                    pass
                return chain.head
        return None

    def frames(self, run: Run, first: int, last: int) -> Iterator[memoryview]:
        """Yield the frames first to last of a run, each only after it was found to be the next of
        the chain, once more."""
        chain = self._begin(run, first)[0]
        for frame in self._on(run, first, last, chain):
            if chain.seq >= first:
                yield frame

    def _begin(self, run: Run, seq: int) -> tuple[Chain, int]:
        """Return (chain, byte in the file) at the last mark not after the frame `seq`."""
        mark = run.marks[bisect_right(run.marks, seq, key=lambda each: each.seq) - 1]
        return Chain(
            None if mark.head == NO_HEAD else self.archive.log, mark.seq - 1, mark.head
        ), mark.place

    def _on(self, run: Run, seq: int, last: int, chain: Chain) -> Iterator[memoryview]:
        """Yield the frames from the mark before `seq` to the frame `last`, each after `chain` has
        taken it."""
        if chain.seq >= last:
            return
        try:
            for _, frame in self.archive.split(run.segment, self._begin(run, seq)[1]):
                chain.step(frame)
                yield frame
                if chain.seq == last:
                    return
        except Mismatch as e:
            raise ArchiveDamage(self.archive.path, e.seq, e.what, e.expected, e.found) from None
        raise ArchiveDamage(
            self.archive.path,
            chain.seq + 1,
            "frame",
            "the one that was there a moment ago",
            "the file's end",
        )


class Fork(NamedTuple):
    """The first frame that differs between two archives; exact: whether they are known to agree
    before it."""

    seq: int
    exact: bool


def fork(a: Reach, b: Reach) -> tuple[Fork | None, int]:
    """Return (where two archives of one log part, None if they agree wherever both tell; how many
    heads were compared)."""
    compared = 0
    shared = sorted(
        (max(x.segment.first, y.segment.first) - 1, min(x.last, y.last))
        for x in a.runs
        for y in b.runs
    )
    for low, high in shared:
        if low > high:
            continue
        compared += 1
        if a.head(high) == b.head(high):
            continue
        compared += 1
        if a.head(low) != b.head(low):
            return Fork(max(low, 0), False), compared
        # they agree at low, and no more at high: once apart, chains never meet again
        while high - low > 1:
            middle = (low + high) // 2
            compared += 1
            if a.head(middle) == b.head(middle):
                low = middle
            else:
                high = middle
        return Fork(high, True), compared
    return None, compared


def missing(a: Reach, b: Reach) -> Iterator[tuple[Run, int, int]]:
    """Yield (run of a, first, last) for each range that b lacks, ascending. None goes beyond the
    beginning of a segment of b."""
    for run in a.runs:
        first = run.segment.first
        for theirs in b.runs:
            if first < theirs.segment.first <= run.last:
                yield run, first, theirs.segment.first - 1
                first = theirs.segment.first
            if theirs.segment.first <= first <= theirs.last:
                first = theirs.last + 1
        if first <= run.last:
            yield run, first, run.last


class _Merge:
    """One merge into an archive that is held for writing."""

    def __init__(
        self,
        reach: Reach,
        target: Archive,
        result: MergeResult,
        progress: Callable[[int, int], None],
    ):
        self.reach = reach
        self.target = target
        self.result = result
        self.progress = progress
        self.total = 0
        self.end = -1  # seq of the last frame of the target's last segment

    def run(self) -> None:
        reach, target, result = self.reach, self.target, self.result
        before = Reach(target)
        part, result.heads = fork(reach, before)
        if part is not None:
            raise Forked(
                f"{reach.archive.path} and {target.path} are of one log, "
                f"{target.log.hex()[:16]}..., but part at seq {part.seq}"
                + ("" if part.exact else " or before it")
                + ". Frames are never rewritten, so the board was rolled back, or "
                "an archive altered: nothing was changed. Verify each, and keep both",
                part.seq,
            )
        if before.scan.excess:
            target.cut(before.scan.size)
            result.cut = before.scan.excess
        target.drop_parts()
        self.end = before.scan.chain.seq
        ranges = list(missing(reach, before))
        self.total = sum(last - first + 1 for _, first, last in ranges)
        for each in ranges:
            self._range(*each)
        self._snapshots()
        self._note()
        self._tell(before, ranges)

    def _range(self, run: Run, first: int, last: int) -> None:
        """Copy the frames first to last of a run of the source."""
        target = self.target
        head = self.reach.head(first - 1)
        assert head is not None  # a run's own frames
        if first < target.segments[-1].first:
            at = next((each for each in target.segments if each.first == first), None)
            target.fill(at or target.add_segment(first, head), self._blocks(run, first, last))
            self.result.filled.append([first, last])
            return
        if first != self.end + 1:
            target.add_segment(first, head)
        for block in self._blocks(run, first, last):
            target.append(block)
        target.flush()
        self.end = last

    def _blocks(self, run: Run, first: int, last: int) -> Iterator[bytes]:
        """Yield the frames first to last, some together."""
        out = bytearray()
        for frame in self.reach.frames(run, first, last):
            out += frame
            self.result.frames += 1
            if len(out) >= _BLOCK:
                yield self._counted(out)
                out = bytearray()
        yield self._counted(out)

    def _counted(self, block: bytearray) -> bytes:
        self.result.log_bytes += len(block)
        self.progress(self.result.frames, self.total)
        return bytes(block)

    def _snapshots(self) -> None:
        """Copy the snapshots that are not there, each only if it hashes to its root and stands
        where the chain does."""
        ours, target = self.reach.archive, self.target
        there = set(target.snapshots())
        for seq in ours.snapshots():
            if seq in there:
                continue
            data = ours.snapshot(seq)
            try:
                header, _ = snapshot_file.load(data)
                if (header.name, header.seq, header.head) != (ours.log, seq, self.reach.head(seq)):
                    raise FormatError(
                        f"it belongs to log {header.name.hex()}, seq {header.seq}, chain head "
                        f"{header.head.hex()}"
                    )
            except FormatError as e:
                self.result.damage = (
                    f"the snapshot of seq {seq} in {ours.path} is damaged, and was left out: {e}"
                )
                continue
            target.add_snapshot(seq, data)
            self.result.snapshots.append(seq)
            self.result.moved_bytes += len(data)

    def _note(self) -> None:
        """Take over the source's note if it is of a later sync: every frame up to it is here now.
        Return when all is on the disk, also what an earlier merge left that failed there."""
        self.target.flush()
        ours, theirs = self.reach.archive.note(), self.target.note()
        if ours and (theirs is None or (ours.seq, ours.time) > (theirs.seq, theirs.time)):
            self.target.write_note(ours)

    def _tell(self, before: Reach, ranges: list[tuple[Run, int, int]]) -> None:
        """Say what the archive holds now."""
        result = self.result
        last = max(before.scan.chain, self.reach.scan.chain, key=lambda chain: chain.seq)
        result.seq, result.head = last.seq, last.head.hex()
        segment = self.target.segments[0]
        # a log that continues another one begins at its genesis
        at = segment.first if segment.head == NO_HEAD else 0
        for first, end in sorted(
            [(run.segment.first, run.last) for run in before.runs] + [each[1:] for each in ranges]
        ):
            if first > end:
                continue
            if first > at:
                result.gaps.append([at, first - 1])
            at = end + 1
        result.moved_bytes += (
            _HEAD * (1 + result.heads) + _RANGE * len(self.reach.runs) + result.log_bytes
        )
