"""One pass over an archive: every frame applied to a state of our own, and compared on the way.
Changes nothing.

Compared are CRCs, chain, checkpoints, boot frames, snapshots, the note of the last sync. A snapshot
must hold, byte for byte, the arena that the replay has there, so a replay from it goes on as this
one does. That is also what lets several processes share the work (parallel.py): each starts from a
snapshot that the one before it must arrive at."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from quipu import limits
from quipu.archive import disk, origin
from quipu.archive.chain import Chain, claims, whole
from quipu.archive.files import Archive, Segment
from quipu.archive.frame import taken_apart
from quipu.archive.origin import Archives, Origin
from quipu.archive.verdict import GAP, Verdict
from quipu.errors import ArchiveDamage, UsageError
from shared_kernel import batch, snapshot_file
from shared_kernel.errors import FormatError, Mismatch
from shared_kernel.frames import (
    BOOT,
    GENESIS,
    GENESIS_BYTES,
    HEADER,
    NO_HEAD,
    OVERHEAD,
    VERSION,
    largest_frame,
)
from shared_kernel.genesis import Genesis
from shared_kernel.kernel import Kernel, u32
from shared_kernel.replay import Replay

_BLOCK = 1 << 20  # bytes read together; more than the longest frame
# in a boot frame: how many bytes of the flash a power cut had voided before it
_SKIPPED_AT = HEADER + 36


def replay_to(archive: Archive | str | os.PathLike[str], at: int | None = None) -> Replay:
    """Return the Replay after frame `at` (None: the last one) of an archive: its kernel, seq, head.
    Checked on the way as verify does, up to there: Mismatch or ArchiveDamage says where it parts.
    UsageError if the archive does not hold `at`."""
    if not isinstance(archive, Archive):
        archive = Archive(archive)
    replay = Pass(archive, Verdict()).run(at)
    if replay.kernel is None or at is not None and replay.seq != at:
        raise UsageError(
            f"{archive.path} holds no state for seq {at}: its frames are seq "
            + ", ".join(f"{first} to {last}" for first, last in _spans(archive))
        )
    return replay


def state(archive: Archive | str | os.PathLike[str], at: int | None = None) -> Kernel:
    """Return the state (a Kernel) after frame `at` of an archive; see replay_to."""
    return replay_to(archive, at).kernel


def check(
    named: Origin, config: Sequence[int], seq: int, origins: Archives
) -> tuple[Kernel, Archive] | None:
    """Replay the archive that a continuation names, and compare what its genesis (of `seq`) says of
    it. Return the state that it begins with, and that archive; None if the archive is not among
    origins. Mismatch if they part."""
    archive = origin.find(named.log, origins)
    if archive is None:
        return None
    try:
        replay = replay_to(archive, named.seq)
    except UsageError as error:
        raise Mismatch(
            seq,
            "origin",
            f"an archive that holds seq {named.seq} of log {named.log.hex()}",
            str(error),
        ) from None
    except (Mismatch, ArchiveDamage) as error:
        raise Mismatch(
            seq,
            "origin",
            "an archive that verifies",
            f"{archive.path}, in which {error}",
        ) from None
    same = replay.kernel.config() == tuple(config)
    kernel = replay.kernel if same else origin.under(archive, config, named.seq, origins)
    for what, expected, found in (
        ("chain head", replay.head, named.head),
        ("state root", replay.kernel.root(), named.root),
        ("base root", kernel.root(), named.base),
    ):
        if expected != found:
            raise Mismatch(seq, f"{what} of the origin", expected.hex(), found.hex())
    return kernel, archive


def _spans(archive: Archive) -> Iterator[tuple[int, int]]:
    for each in archive.segments:
        count = sum(1 for _ in archive.split(each))
        if count:
            yield each.first, each.first + count - 1


def _finish(verdict: Verdict, replay: Replay) -> None:
    """Note how far the replay came."""
    if replay.seq is not None:
        verdict.seq = replay.seq
        verdict.chain_head = replay.head.hex()
    if replay.kernel is not None:
        verdict.state_root = replay.kernel.root().hex()
        verdict.checkpoints = replay.checkpoints
        verdict.boots = replay.boot + 1


class Pass:
    """One pass over an archive, from its first frame or (`start_from`) a snapshot's. verdict:
    filled in on the way."""

    def __init__(self, archive: Archive, verdict: Verdict, origins: Archives = ()):
        self.archive = archive
        self.origins = origins
        self.verdict = verdict
        verdict.board, verdict.log = archive.identity, archive.log.hex()
        self.note = archive.note()
        self.replay = Replay(limits.kernel)  # from the genesis, or after a gap from a snapshot
        # instead, after a gap, until a snapshot stands in for what is missing
        self.chain: Chain | None = None
        self.snapshots = archive.snapshots()
        self.first = 0  # the segment to begin with,
        self.offset = 0  # and where in its file
        if self.note:
            verdict.note = self.note.seq
            verdict.last_sync = {"seq": self.note.seq, "unix_ms": self.note.time}

    def start_from(self, seq: int, segment: int, offset: int) -> None:
        """Begin after the snapshot of seq, at `offset` in the file of segment number `segment`,
        taking the snapshot's word for what it is. FormatError if it cannot be loaded."""
        header, kernel = snapshot_file.load(self.archive.snapshot(seq))
        self.replay.start_from(kernel, header.name, seq, header.head, header.boot)
        self.snapshots = [each for each in self.snapshots if each > seq]
        self.first, self.offset = segment, offset

    def run(self, until: int | None = None) -> Replay:
        """Replay to the end, or to the frame `until`; return the replay. Mismatch where it
        parts."""
        archive = self.archive
        try:
            if stranger := archive.undeclared():
                raise ArchiveDamage(
                    archive.path, 0, "frames", "files that archive.json declares", stranger.name
                )
            for segment in archive.segments[self.first :]:
                if until is not None and segment.first > until:
                    return self.replay
                if segment is archive.segments[-1] and self._is_unbegun(segment):
                    break
                if not self.offset:
                    self._enter(segment)
                if self._segment(segment, until):
                    return self.replay
                self.offset = 0
            self._end()
        finally:
            _finish(self.verdict, self.replay)
        return self.replay

    def _is_unbegun(self, segment: Segment) -> bool:
        """Return whether a segment has no frame because a pull broke off between a gap and what
        follows it."""
        file = self.archive.file(segment)
        return (
            segment is not self.archive.segments[0]
            and file.exists()
            and not self.archive.size(segment)
            and not (self.note and self.note.seq >= segment.first)
            and not any(each >= segment.first - 1 for each in self.snapshots)
        )

    def _at(self) -> int:
        """Return the seq of the last frame, first - 1 at a segment's beginning, -1 at the log's."""
        if self.chain:
            return self.chain.seq
        return -1 if self.replay.seq is None else self.replay.seq

    def _enter(self, segment: Segment) -> None:
        """Go on with another file of frames."""
        last = self._at()
        if segment is self.archive.segments[0]:
            if segment.head == NO_HEAD:  # it begins with a genesis
                return
        else:
            if segment.first <= last:
                raise Mismatch(
                    segment.first,
                    "archive.json's segments",
                    f"a first seq above {last}",
                    segment.first,
                )
            if segment.first == last + 1:
                head = self.chain.head if self.chain else self.replay.head
                if segment.head != head:
                    raise Mismatch(
                        segment.first, "archive.json's segment head", head.hex(), segment.head.hex()
                    )
                return
        self.verdict.gaps.append([last + 1, segment.first - 1])
        self.verdict.verdict = GAP
        if self.snapshots and self.snapshots[0] < segment.first - 1:
            raise Mismatch(
                self.snapshots[0],
                "snapshot",
                "one of a frame in the archive",
                "one from a declared gap",
            )
        self.chain = Chain(self.archive.log, segment.first - 1, segment.head)
        if self.snapshots[:1] == [segment.first - 1]:
            self._snapshot(segment.first - 1, segment.head)

    def _segment(self, segment: Segment, until: int | None) -> bool:
        """Replay a file of frames, from self.offset on; return whether `until` was reached."""
        verdict = self.verdict
        start = end = self.offset
        seq = before = self._at() if start else segment.first - 1
        stop = self._next_stop(seq, until)
        data, at = b"", 0  # data[at:] is to be looked at; end is its place in the file
        try:
            with disk.reading(self.archive.file(segment)) as file:
                file.seek(start)
                while more := file.read(_BLOCK):
                    data, at = data[at:] + more, 0
                    while True:
                        at_first = at
                        try:
                            at, last = self._take(data, at, stop)
                        except Mismatch:
                            at, _ = batch.skip(data, at, max(0, self._at() - seq))
                            raise
                        finally:
                            end += at - at_first
                            seq = max(seq, self._at())
                        if at == at_first:
                            break
                        if data[last + 1] == BOOT and u32(data, last + _SKIPPED_AT):
                            verdict.cuts.append(
                                {"seq": seq, "bytes": u32(data, last + _SKIPPED_AT)}
                            )
                        if seq == stop:
                            self._stop(seq)
                            if seq == until:
                                return True
                            stop = self._next_stop(seq, until)
        except FileNotFoundError:
            name = self.archive.file(segment).name
            raise ArchiveDamage(
                self.archive.path, segment.first, "frames", f"the file {name}", "none"
            ) from None
        finally:
            verdict.frames += seq - before
            verdict.log_bytes += end - start
        self._torn(segment, seq, end)
        return False

    def _next_stop(self, seq: int, until: int | None) -> int | None:
        """Return the next seq after which to stop and compare."""
        stops = self.snapshots[:1]
        if self.note and self.note.seq > seq:
            stops.append(self.note.seq)
        if until is not None:
            stops.append(until)
        return min(stops, default=None)

    def _take(self, data: bytes, at: int, stop: int | None) -> tuple[int, int]:
        """Take whole frames of data from `at` on, as batch.run does: not beyond the frame `stop`, a
        boot frame or a genesis."""
        if self.chain is None and self.replay.seq is not None:
            return batch.run(self.replay, data, at, -1 if stop is None else stop)
        step = self.chain.step if self.chain else self._genesis
        last = at
        for last, at in whole(data, at):  # noqa: B020
            step(memoryview(data)[last:at])
            if data[last + 1] in (BOOT, GENESIS) or self.chain is None or self._at() == stop:
                break
        return at, last

    def _genesis(self, frame: memoryview) -> None:
        """Take the first frame, which has nothing before it to be held to but archive.json."""
        replay, archive = self.replay, self.archive
        first = archive.segments[0].first
        expected: object
        found: object
        for what, expected, found in (
            ("sequence number", first, u32(frame, 4)),
            ("frame version", VERSION, frame[0]),
        ):
            if expected != found:
                raise Mismatch(first, what, expected, found)
        continued = origin.named(frame)
        if continued and not self._given(frame, continued):
            return
        replay.step(frame)
        assert replay.genesis is not None  # for that was the frame
        for what, expected, found in (
            ("log name", replay.name.hex(), archive.log.hex()),
            ("identity", replay.genesis.identity, archive.identity),
        ):
            if expected != found:
                raise Mismatch(first, f"archive.json's {what}", expected, found)

    def _given(self, frame: memoryview, named: Origin) -> bool:
        """Take the state that a continuation begins with, from the archive of the log it names or
        from this one's snapshot. Without either the frames are only chained until there is a
        snapshot; return False, then."""
        archive, verdict, seq = self.archive, self.verdict, u32(frame, 4)
        if seq != named.seq + 1:
            raise Mismatch(seq, "genesis seq", named.seq + 1, seq)
        verdict.origin = {
            "log": named.log.hex(),
            "seq": named.seq,
            "head": named.head.hex(),
            "root": named.root.hex(),
            "base": named.base.hex(),
            "archive": None,
        }
        config = Genesis(taken_apart(frame).payload).config
        found = check(named, config, seq, self.origins)
        if found:
            self.replay.kernel, verdict.origin["archive"] = found[0], str(found[1].path)
            return True
        self.replay.kernel = origin.beginning(archive, seq)  # type: ignore[assignment]  # None, too, before the genesis
        if self.replay.kernel is None:
            self.chain = Chain(None, seq - 1, NO_HEAD)
            self.chain.step(frame)
            if self.chain.name != archive.log:
                raise Mismatch(
                    seq, "archive.json's log name", self.chain.head.hex(), archive.log.hex()
                )
            verdict.gaps.append([0, named.seq])
            verdict.verdict = GAP
        return self.replay.kernel is not None

    def _stop(self, seq: int) -> None:
        if self.snapshots[:1] == [seq]:
            self._snapshot(seq, self.chain.head if self.chain else self.replay.head)
        note = self.note
        if note and note.seq == seq:
            if self.chain:
                raise self._no_base(seq)
            for what, expected, found in (
                ("chain head", self.replay.head, note.head),
                ("state root", self.replay.kernel.root(), note.root),
            ):
                if expected != found:
                    raise Mismatch(
                        seq, f"{what} in the note of the last sync", expected.hex(), found.hex()
                    )

    @staticmethod
    def _no_base(seq: int) -> Mismatch:
        return Mismatch(seq, "snapshot", "one to go on from after the gap", "none")

    # -- snapshots ---------------------------------------------------------------------------------

    def _snapshot(self, seq: int, head: bytes) -> None:
        """Compare the snapshot after seq with the replay, or take it as the state after a gap."""
        self.snapshots.pop(0)
        try:
            header, kernel = snapshot_file.load(self.archive.snapshot(seq))
        except FormatError as e:
            raise Mismatch(seq, "snapshot", "a whole one", str(e)) from None
        replay = self.replay
        pairs: list[tuple[str, Any, Any]] = [
            ("seq", seq, header.seq),
            ("log name", self.archive.log.hex(), header.name.hex()),
            ("chain head", head.hex(), header.head.hex()),
        ]
        if not self.chain:
            pairs += [
                ("boot number", replay.boot, header.boot),
                ("state root", replay.kernel.root().hex(), header.root.hex()),
            ]
        for what, expected, found in pairs:
            if expected != found:
                raise Mismatch(seq, f"snapshot's {what}", expected, found)
        if not self.chain and kernel.arena.bytes != replay.kernel.arena.bytes:
            raise Mismatch(seq, "snapshot's arena", "the bytes that replay leads to", "others")
        self.verdict.snapshots += 1
        if self.chain:
            replay.start_from(kernel, header.name, seq, header.head, header.boot)
            self.chain = None

    # -- ends --------------------------------------------------------------------------------------

    def _torn(self, segment: Segment, seq: int, end: int) -> None:
        """What stands in a file after its last whole frame can only be what a sync that broke off
        left at the very end."""
        excess = self.archive.size(segment) - end
        if not excess:
            return
        with disk.reading(self.archive.file(segment)) as file:
            file.seek(end)
            rest = file.read(OVERHEAD)
        kernel = self.replay.kernel
        limit = max(GENESIS_BYTES, largest_frame(kernel.config())) if kernel else OVERHEAD + 0xFFFF
        noted = self.note and seq < self.note.seq
        if noted or segment is not self.archive.segments[-1] or not claims(rest, limit, seq + 1):
            raise Mismatch(seq + 1, "frame", "a whole one", f"{excess} bytes that are none")
        self.verdict.torn = excess

    def _end(self) -> None:
        """The last frame is replayed: is it the last one that there was?"""
        seq, first = self._at(), self.archive.segments[0].first
        if seq < first:
            raise Mismatch(first, "first frame", "a genesis", "an archive without frames")
        if self.note and self.note.seq > seq:
            raise Mismatch(
                seq + 1,
                "frame",
                f"frames up to seq {self.note.seq}, which the last sync noted",
                "the archive's end",
            )
        if self.note and (
            self.note.seq < first
            or any(low <= self.note.seq <= high for low, high in self.verdict.gaps)
        ):
            raise Mismatch(
                self.note.seq,
                "note of the last sync",
                "one of a frame in the archive",
                f"seq {self.note.seq}",
            )
        if self.snapshots:
            expected = f"frames up to seq {self.snapshots[0]}, of which there is a snapshot"
            raise Mismatch(seq + 1, "frame", expected, "the archive's end")
        if self.chain:
            raise self._no_base(seq)
