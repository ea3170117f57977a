"""Pulling a board's log into an archive, so that a break at any point costs nothing but time.

Order: is it the archive's log, and is there more of it than the last sync noted? What is to be
    pulled is held from recycling; then a
clock frame and a checkpoint on the board; its newest snapshot's header; what it says of itself
(seq, head, root); the frames up to that seq, out of the blocks of its flash (blocks.py), each
checked before it is appended; the snapshot; all of it onto the disk; the note; and only then the
acknowledgement, after which the board may recycle. Meaning is not checked here: verify does that.

What the board recycles all the same, because a command needed the room, is declared a gap. What a
full board cannot promise to keep (its boot has no room yet) is pulled once the acknowledgement of
the rest has made room."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quipu import limits
from quipu.archive.chain import Chain, whole_frames
from quipu.archive.compare import parting
from quipu.archive.files import Archive, Hold, Note, held
from quipu.board.blocks import Blocks
from quipu.board.verbs import Verbs
from quipu.errors import ArchiveError, OtherLog, PortError, RolledBack
from shared_kernel import snapshot, snapshot_file
from shared_kernel.config import CONFIG_NAMES
from shared_kernel.errors import Damage, FormatError, LinkError, LogFull, Mismatch, NotFound
from shared_kernel.frames import NO_HEAD, seed

Progress = Callable[[int, int], None]

_PART = 1024  # bytes of a snapshot that a board gives at once
_BATCH = 1024  # bytes of frames that are appended together, at least: what a break may cost
# of frames and acknowledgement: each makes room on a full board, or finds a snapshot that is newer
# than a gap
_ROUNDS = 4
# how often a log may come round its flash during one sync
_TURNS = _ROUNDS + 1
_TRIES = 3  # to read on at a place where the board has recycled what was there


@dataclass
class SyncResult:
    """What a sync did. frames, log_bytes: pulled and appended; wire_bytes: on the wire for them,
    both ways, or to learn that there is nothing new; snapshot: seq of the
    one pulled, or None; cut: bytes of an earlier, broken sync that were cut off first; gap: [first,
    last] seq that the board has recycled before they were pulled, or None (from the first gap to
    the last, if more than one was met); seq, head, root: of the board, which the archive now
    reaches; left: frames that a full board, whose boot has no room yet, could not promise to keep,
    and so did not give (root is "" then); damage: None, or what the board says is wrong with its
    log; created: whether the archive is new."""

    archive: str
    board: str
    log: str
    created: bool = False
    frames: int = 0
    log_bytes: int = 0
    wire_bytes: int = 0
    snapshot: int | None = None
    cut: int = 0
    gap: list[int] | None = None
    seq: int = -1
    head: str = ""
    root: str = ""
    left: int = 0
    damage: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def pull(
    board: Verbs, archive: Archive | str | os.PathLike[str], progress: Progress | None = None
) -> SyncResult:
    """Pull what is new into an archive, which is made if there is none.

    progress(done, total): bytes so far and in all; of frames, the total is an estimate until the
    end. OtherLog or RolledBack if the archive is not of the board's log, ArchiveDamage if it is
    broken, NotFound if the board has no log: nothing has changed then. PortError if the link
    breaks: what was pulled stays, and the next sync goes on from there."""
    existing = archive if isinstance(archive, Archive) else _existing(Path(archive))
    if existing and existing.log == board.log and (same := _nothing_new(board, existing)):
        return same
    info = _info(board)
    path = existing.path if existing else Path(os.fspath(archive))  # type: ignore[arg-type]  # no Archive: that exists
    # Held before a frame of the sync's own is asked for: who is refused leaves none on the board.
    with held(path) as hold:
        result = _result(path, info)
        result.created = hold.archive is None
        pulling = _Pull(board, hold, result, progress or _silent)
        if hold.archive:
            return pulling.go_on(info)
        pulling.hold()
        return pulling.run(*_target(board))


def look(board: Verbs, path: Path, progress: Progress | None = None) -> SyncResult:
    """Pull all that the board holds into a new archive at path, and leave no trace on the board: no
    frame is appended, nothing is acknowledged. The newest snapshot comes along where frames before
    it are gone. Errors as of `pull`."""
    info = _info(board)
    result = _result(path, info)
    result.created = True
    with held(path) as hold:
        if hold.archive:
            raise ArchiveError(f"{path} is an archive already: choose another folder")
        pulling = _Pull(board, hold, result, progress or _silent)
        pulling.hold()
        header = board.snapshot_header() if info["first_seq"] else None
        info = board.info()
        pulling.all(info, header)
        chain = pulling.chain
    result.seq, result.head, result.root = (
        chain.seq,
        chain.head.hex(),
        info["root"] if chain.seq == info["seq"] else "",
    )
    return result


def _result(path: Path, info: dict[str, Any]) -> SyncResult:
    return SyncResult(str(path), info["board"], info["log"], damage=info["damage"])


def _info(board: Verbs) -> dict[str, Any]:
    """Return what a board says of itself, whose log can be pulled."""
    info = board.info()
    if not info["configured"]:
        raise NotFound("the board has no log yet: configure it first")
    if "seq" not in info:
        raise Damage(f"the board's log cannot be read from its beginning: {info['damage']}")
    return info


def _nothing_new(board: Verbs, archive: Archive) -> SyncResult | None:
    """Return the result if the archive's last sync reached the board's end, which is told once more
    that all of it is safe: two short requests, and no frame of a sync's own. None if there is more
    to do than that."""
    wire = board.link
    start = wire.sent + wire.received - wire.printed_bytes
    with archive.locked():
        note = archive.note()
        if note is None or board.damage:
            return None
        try:
            if _more(board, note.seq, note.head):
                return None
            scan = archive.scan()  # nothing is acknowledged that is not here, and whole
            if scan.excess or (scan.chain.seq, scan.chain.head) != (note.seq, note.head):
                return None
            archive.flush()
            if board.acknowledge(note.seq + 1) != note.seq:
                return None
        except (FormatError, NotFound):
            # another head there, or a log that is shorter: what that means is found out in full
            return None
        archive.write_note(note._replace(time=time.time_ns() // 1_000_000))
        used = wire.sent + wire.received - wire.printed_bytes - start
        return SyncResult(
            str(archive.path),
            archive.identity,
            archive.log.hex(),
            wire_bytes=used,
            seq=note.seq,
            head=note.head.hex(),
            root=note.root.hex(),
        )


def _more(board: Verbs, seq: int, head: bytes) -> bool:
    """Return whether the board's log goes on after frame `seq`; FormatError if it has another chain
    head there."""
    if board.protocol == 1:
        return bool(board.frames(seq + 1, head))
    return board.layout(seq + 1, head).certain > seq


def _existing(path: Path) -> Archive | None:
    return Archive(path) if (path / "archive.json").exists() else None


def _silent(done: int, total: int) -> None:
    pass


def _target(board: Verbs) -> tuple[dict[str, Any], tuple[int, bytes] | None]:
    """Append a clock frame and a checkpoint; return what the board then says of itself, and (slot,
    header) of a snapshot that is no newer than that."""
    start = time.monotonic()
    board.info()
    # of this clock, and of the board's ticks, only whole ms are told
    round_trip_ms = int((time.monotonic() - start) * 1000) + 2
    # A damaged log takes neither, and one that is full may not: both can be pulled all the same.
    with contextlib.suppress(Damage, LogFull):
        board.clock(uncertainty_ms=round_trip_ms)
        board.checkpoint()
    header = board.snapshot_header()
    return board.info(), header


class _Pull:
    """One pull into a folder that is held: its archive is made, or gets a new segment after a gap,
    once there is a frame for it.

    chain: the place reached; gaps: [first, last] seq that were found to be recycled
    """

    def __init__(self, board: Verbs, hold: Hold, result: SyncResult, progress: Progress):
        self.board = board
        self.folder = hold
        self.archive = hold.archive
        self.result = result
        self.progress = progress
        self.log = bytes.fromhex(result.log)
        self.chain = Chain(None, -1, NO_HEAD)
        self.gaps: list[list[int]] = []
        self.done = 0
        self.mean = 0.0  # bytes of a frame
        self.snapshot_bytes = 0
        self._begin: tuple[int, bytes] | None = None  # of the segment to begin with the next frame
        self._base = 0  # bytes of the last segment before this pull

    def hold(self) -> None:
        """Have what is to be pulled held from recycling, as long as no command needs its room."""
        if self.board.protocol > 1:
            self.board.layout(self.chain.seq + 1, self.chain.head, hold=True)

    def go_on(self, info: dict[str, Any]) -> SyncResult:
        """Pull into an archive that has frames, or had its beginning."""
        archive, board = self.archive, self.board
        assert archive
        if info["log"] != archive.log.hex():
            raise OtherLog(
                f"{archive.path} is the archive of {archive.identity}, log "
                f"{archive.log.hex()[:16]}...; the board is "
                f"{info['board']}, log {info['log'][:16]}...: sync it into another folder"
            )
        scan = archive.scan()
        self.chain = scan.chain
        # what would be cut off, this board can no longer give
        if not self._leads_on(archive, info) and scan.problem:
            raise scan.problem
        self.mean = scan.mean
        target, header = _target(board)
        if scan.excess:
            archive.cut(scan.size)
            self.result.cut = scan.excess
        self._base = scan.size
        return self.run(target, header)

    def _leads_on(self, archive: Archive, info: dict[str, Any]) -> bool:
        """Return whether the board holds what follows the archive, not only what comes after a gap.
        RolledBack if it has another log."""
        board, chain = self.board, self.chain
        try:
            if board.protocol > 1:
                return board.layout(chain.seq + 1, chain.head, hold=True).seq <= chain.seq + 1
            if info["first_seq"] > chain.seq + 1:
                return False
            board.frames(chain.seq + 1, chain.head)
        except (FormatError, NotFound):
            part = parting(archive, board, info, chain.seq, chain.head)
            if part is None:
                raise
            raise RolledBack(
                f"{archive.path} has a frame of seq {part} that the board has not"
                + (
                    f": its log ends at seq {info['seq']}"
                    if part > info["seq"]
                    else ", or not the same"
                )
                + ". The board was rolled back, or its log damaged; nothing was changed. Keep the "
                "archive, and "
                "sync into another folder",
                part,
            ) from None
        return True

    def run(self, target: dict[str, Any], header: tuple[int, bytes] | None) -> SyncResult:
        """Pull up to what `target` (the board's info) says, and finish."""
        board, chain, result = self.board, self.chain, self.result
        for turn in range(_ROUNDS):
            begun = chain.seq
            self.all(target, header)
            self._keep(target)
            if result.damage:  # such a board keeps all that it has
                break
            short = chain.seq < target["seq"]
            if board.acknowledge(chain.seq + 1) > chain.seq and not short:
                target = board.info()  # it may note in its log what it was told: that is pulled too
                self._frames(target, -1)
                self._keep(target)
            if not (self._lacks_base() or short and (chain.seq > begun or not turn)):
                break
            header = board.snapshot_header()
            target = board.info()
        reached = chain.seq == target["seq"]
        result.seq, result.head, result.root = (
            chain.seq,
            chain.head.hex(),
            target["root"] if reached else "",
        )
        result.left = max(0, target["seq"] - chain.seq)
        self.progress(self.done, self.done)
        return result

    def _lacks_base(self) -> bool:
        """Return whether a gap was met for which no snapshot stands in yet."""
        return bool(
            self.gaps
            and self.archive
            and self.chain.seq > self.gaps[-1][1]
            and not any(each >= self.gaps[-1][1] for each in self.archive.snapshots())
        )

    def all(self, target: dict[str, Any], header: tuple[int, bytes] | None) -> None:
        """Pull frames and the snapshot, if it is not there yet."""
        wanted = None
        self.snapshot_bytes = 0
        if header:
            found = snapshot.decode(header[1])
            if not self._can_be(found, target):
                header = None
            elif not (self.archive and self.archive.snapshot_file(found.seq).exists()):
                wanted = found
                self.snapshot_bytes = snapshot.HEADER + found.length
        try:
            heads = self._frames(target, wanted.seq if wanted else -1)
        except (Mismatch, FormatError):
            if self.archive:
                self.archive.cut(self._base)  # nothing of a pull that does not fit stays
            raise
        missing = wanted and any(first <= wanted.seq < last for first, last in self.gaps)
        if (
            wanted
            and header
            and self.archive
            and self._begin is None
            and not missing
            and wanted.seq <= self.chain.seq
        ):
            self._snapshot(header[0], header[1], wanted, heads)

    def _can_be(self, found: snapshot.Header, target: dict[str, Any]) -> bool:
        """Return whether a snapshot's length is that of the board's configuration: it is known
        before a byte of it is pulled."""
        config = target.get("config")
        if config is None:
            return True
        due = limits.state_size([config[each] for each in CONFIG_NAMES])
        if found.length == due:
            limits.need_state(due)
            return True
        self.result.damage = (
            f"the board's snapshot of seq {found.seq} is damaged: expected a state of {due} bytes, "
            f"as its configuration takes, found {found.length} in its header"
        )
        return False

    def _keep(self, target: dict[str, Any]) -> None:
        """Have all that was pulled on the disk, then the note that says so, if the board has said
        what its state is there."""
        if self.archive:
            self.archive.flush()
            if self.chain.seq == target["seq"]:
                now = time.time_ns() // 1_000_000
                self.archive.write_note(
                    Note(self.chain.seq, self.chain.head, bytes.fromhex(target["root"]), now)
                )

    def _frames(self, target: dict[str, Any], mark: int) -> bytes | None:
        """Pull the frames up to target's seq, as far as they are certain; return the chain head
        after the frame `mark`, if it was among them."""
        chain = self.chain
        wire = self.board.link
        start = wire.sent + wire.received - wire.printed_bytes - self.result.wire_bytes
        marked = chain.head if chain.seq == mark else None
        stuck = 0
        while chain.seq < target["seq"]:
            begun = chain.seq
            problem: Damage | None = None
            batch = bytearray()
            try:
                for frame in self._next_frames():
                    chain.step(frame)
                    self._hold_to(target)
                    batch += frame
                    self.result.frames += 1
                    if chain.seq == mark:
                        marked = chain.head
                    # what is newer than what the board said of itself is for the next sync
                    if chain.seq == target["seq"]:
                        break
                    if len(batch) >= _BATCH:
                        self._append(batch, target, start)
            except Damage as e:
                problem = e
            except PortError:
                self._append(batch, target, start)
                raise
            self._append(batch, target, start)
            stuck = stuck + 1 if chain.seq == begun else 0
            if stuck and not problem:  # a full board promises no more
                break
            if problem and stuck > _TRIES:
                raise problem
        self.result.wire_bytes = wire.sent + wire.received - wire.printed_bytes - start
        return marked

    def _hold_to(self, target: dict[str, Any]) -> None:
        """Mismatch if the frame that was just taken is of another log, or not the one that the
        board says is its last."""
        chain = self.chain
        if chain.name != self.log:
            raise Mismatch(
                chain.seq, "log name", self.log.hex(), chain.name.hex() if chain.name else "none"
            )
        if chain.seq == target["seq"] and chain.head.hex() != target["head"]:
            raise Mismatch(chain.seq, "chain head of the board", chain.head.hex(), target["head"])

    def _append(self, batch: bytearray, target: dict[str, Any], start: int) -> None:
        """Append frames that were checked, to an archive that is made now if this pull began
        without; empty the batch."""
        if not batch:
            return
        data = bytes(batch)
        batch.clear()
        if self.archive is None:
            first, head = self._begin or (0, NO_HEAD)
            self.archive = self.folder.create(self.log, self.result.board, first, head)
        elif self._begin:
            self.archive.add_segment(*self._begin)
            self._base = 0
        self._begin = None
        if self.result.log_bytes + len(data) > _TURNS * self.board.region:
            raise LinkError(
                f"the board gave {self.result.log_bytes + len(data)} bytes of frames, and its "
                f"flash has {self.board.region}: its log has no end. What was pulled stays; is the "
                "board broken?"
            )
        self.archive.append(data)
        wire, result = self.board.link, self.result
        self.done += len(data)
        result.log_bytes += len(data)
        result.wire_bytes = wire.sent + wire.received - wire.printed_bytes - start
        self.mean = result.log_bytes / result.frames
        self.progress(
            self.done,
            self.done + int(self.mean * (target["seq"] - self.chain.seq)) + self.snapshot_bytes,
        )

    def _next_frames(self) -> Iterable[memoryview]:
        """Return frames after the place reached, or after the gap that begins there; none at the
        end of those that are certain."""
        board, chain = self.board, self.chain
        if board.protocol == 1:
            return whole_frames(board.frames(chain.seq + 1, chain.head))
        layout = board.layout(chain.seq + 1, chain.head, hold=True)
        if layout.certain <= chain.seq:
            return ()
        blocks = Blocks(board, layout, self.log)
        if layout.seq > chain.seq + 1 and blocks.head is not None:
            self._skip_to(layout.seq, blocks.head)
        return blocks.after(chain)

    def _skip_to(self, seq: int, head: bytes) -> None:
        """The board has nothing before frame `seq`: go on there, and declare what is missing."""
        chain, first = self.chain, self.chain.seq + 1
        if first or head != NO_HEAD:  # else the log begins here, as one that continues another
            self.gaps.append([first, seq - 1])
            self.result.gap = [self.gaps[0][0], seq - 1]
        self._begin = seq, head
        chain.name, chain.seed = (None, 0) if head == NO_HEAD else (self.log, seed(self.log))
        chain.seq, chain.head = seq - 1, head

    def _snapshot(
        self, slot: int, header: bytes, wanted: snapshot.Header, head: bytes | None
    ) -> None:
        """Pull a snapshot; keep it if it hashes to the root that its header names, and stands where
        the chain does."""
        archive, seq = self.archive, wanted.seq
        assert archive
        data = bytearray(archive.partial(seq, header))
        if not data:
            archive.add_part(seq, header)
            data += header
        frames_done = self.done
        while len(data) < self.snapshot_bytes:
            offset = len(data) - len(header)
            try:
                more = self.board.snapshot_data(
                    slot, wanted.generation, offset, min(_PART, wanted.length - offset)
                )
            except NotFound:
                # the board has begun the next one in its place: that one comes with the next sync
                more = b""
            if not more:
                archive.drop_part(seq)
                return
            archive.add_part(seq, more)
            data += more
            self.done = frames_done + len(data)
            self.progress(self.done, frames_done + self.snapshot_bytes)
        archive.drop_part(seq)
        try:
            snapshot_file.load(bytes(data))
            if wanted.name != archive.log or head is not None and wanted.head != head:
                raise FormatError(
                    f"it belongs to log {wanted.name.hex()}, chain head {wanted.head.hex()}"
                )
        except FormatError as e:  # the frames are safe without it; its flash is not to be trusted
            self.result.damage = f"the board's snapshot of seq {seq} is damaged: {e}"
            return
        archive.add_snapshot(seq, bytes(data))
        self.result.snapshot = seq
