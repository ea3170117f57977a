"""Pulling a board's log into an archive, so that a break at any point costs nothing but time.

Order: is it the archive's log, and is there more of it than the last sync noted? Then a clock frame and a checkpoint on the board;
its newest snapshot's header; what it says of itself (seq, head, root); the frames up to that seq, each checked before it is
appended; the snapshot; all of it onto the disk; the note; and only then the acknowledgement, after which the board may recycle.
Meaning is not checked here: verify does that.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quipu.archive.chain import Chain
from quipu.archive.compare import parting
from quipu.archive.files import Archive, Note
from quipu.board.verbs import Verbs
from quipu.errors import OtherLog, RolledBack
from shared_kernel import requests, snapshot, snapshot_file
from shared_kernel.errors import Damage, FormatError, LogFull, Mismatch, NotFound
from shared_kernel.frames import NO_HEAD

Progress = Callable[[int, int], None]

_PART = 1536  # bytes of a snapshot asked for at once


@dataclass
class SyncResult:
    """What a sync did. frames, log_bytes: pulled and appended; wire_bytes: on the wire for them, both ways, or to learn that there
    is nothing new; snapshot: seq of the
    one pulled, or None; cut: bytes of an earlier, broken sync that were cut off first; gap: [first, last] seq that the board
    has recycled before they were pulled, or None; seq, head, root: of the board, which the archive now reaches; damage: None, or
    what the board says is wrong with its log; created: whether the archive is new."""

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
    damage: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def pull(board: Verbs, archive: Archive | str | os.PathLike[str], progress: Progress | None = None) -> SyncResult:
    """Pull what is new into an archive, which is made if there is none.

    progress(done, total): bytes so far and in all; of frames, the total is an estimate until the end. OtherLog or RolledBack
    if the archive is not of the board's log, ArchiveDamage if it is broken, NotFound if the board has no log: nothing has
    changed then. PortError if the link breaks: what was pulled stays, and the next sync goes on from there.
    """
    existing = archive if isinstance(archive, Archive) else _existing(Path(archive))
    if existing and existing.log == board.log and (same := _nothing_new(board, existing)):
        return same
    info = board.info()
    if not info["configured"]:
        raise NotFound("the board has no log yet: configure it first")
    if "seq" not in info:
        raise Damage(f"the board's log cannot be read from its beginning: {info['damage']}")
    path = existing.path if existing else Path(os.fspath(archive))  # type: ignore[arg-type]
    result = SyncResult(str(path), info["board"], info["log"], created=existing is None, damage=info["damage"])
    with existing.locked() if existing else contextlib.nullcontext():
        if existing:
            return _Pull(board, existing, result, progress or _silent).go_on(info)
        first = info["first_seq"]
        head = bytes.fromhex(info["first_head"])
        Archive.need_room(path)
        target, header = _target(board)
        new = Archive.create(path, bytes.fromhex(info["log"]), info["board"], first, head)
        with new.locked():
            if first and head != NO_HEAD:
                result.gap = [0, first - 1]
            chain = Chain(None if head == NO_HEAD else new.log, first - 1, head)
            return _Pull(board, new, result, progress or _silent).run(chain, 0, target, header)


def look(board: Verbs, path: Path, progress: Progress | None = None) -> SyncResult:
    """Pull all that the board holds into a new archive at path, and leave no trace on the board: no frame is appended, nothing is
    acknowledged. The newest snapshot comes along where frames before it are gone. Errors as of `pull`."""
    info = board.info()
    if not info["configured"]:
        raise NotFound("the board has no log yet: configure it first")
    if "seq" not in info:
        raise Damage(f"the board's log cannot be read from its beginning: {info['damage']}")
    first, head = info["first_seq"], bytes.fromhex(info["first_head"])
    header = board.snapshot_header() if first else None
    result = SyncResult(str(path), info["board"], info["log"], created=True, damage=info["damage"])
    with Archive.create(path, bytes.fromhex(info["log"]), info["board"], first, head) as archive:
        pulling = _Pull(board, archive, result, progress or _silent)
        pulling.all(Chain(None if head == NO_HEAD else archive.log, first - 1, head), 0, info, header)
    result.seq, result.head, result.root = info["seq"], info["head"], info["root"]
    return result


def _nothing_new(board: Verbs, archive: Archive) -> SyncResult | None:
    """Return the result if the archive's last sync reached the board's end, which is told once more that all of it is safe: two short
    requests, and no frame of a sync's own. None if there is more to do than that."""
    wire = board.link
    start = wire.sent + wire.received - wire.printed_bytes
    with archive.locked():
        note = archive.note()
        if note is None or board.damage:
            return None
        try:
            if board.frames(note.seq + 1, note.head):
                return None
            scan = archive.scan()  # nothing is acknowledged that is not here, and whole
            if scan.excess or (scan.chain.seq, scan.chain.head) != (note.seq, note.head):
                return None
            if board.acknowledge(note.seq + 1) != note.seq:
                return None
        except (FormatError, NotFound):  # another head there, or a log that is shorter: what that means is found out in full
            return None
        archive.write_note(note._replace(time=time.time_ns() // 1_000_000))
        used = wire.sent + wire.received - wire.printed_bytes - start
        return SyncResult(str(archive.path), archive.identity, archive.log.hex(), wire_bytes=used, seq=note.seq,
                          head=note.head.hex(), root=note.root.hex())


def _existing(path: Path) -> Archive | None:
    return Archive(path) if (path / "archive.json").exists() else None


def _silent(done: int, total: int) -> None:
    pass


def _target(board: Verbs) -> tuple[dict[str, Any], tuple[int, bytes] | None]:
    """Append a clock frame and a checkpoint; return what the board then says of itself, and (slot, header) of a snapshot that is
    no newer than that."""
    start = time.monotonic()
    board.link.request(requests.INFO)
    round_trip_ms = int((time.monotonic() - start) * 1000) + 1
    # A damaged log takes neither, and one that is full may not: both can be pulled all the same.
    with contextlib.suppress(Damage, LogFull):
        board.clock(uncertainty_ms=round_trip_ms)
        board.checkpoint()
    header = board.snapshot_header()
    return board.info(), header


class _Pull:
    """One pull into an archive that is held for writing."""

    def __init__(self, board: Verbs, archive: Archive, result: SyncResult, progress: Progress):
        self.board = board
        self.archive = archive
        self.result = result
        self.progress = progress
        self.done = 0
        self.snapshot_bytes = 0

    def go_on(self, info: dict[str, Any]) -> SyncResult:
        """Pull into an archive that has frames, or had its beginning."""
        archive, board = self.archive, self.board
        if info["log"] != archive.log.hex():
            raise OtherLog(f"{archive.path} is the archive of {archive.identity}, log {archive.log.hex()[:16]}...; the board is "
                           f"{info['board']}, log {info['log'][:16]}...: sync it into another folder")
        scan = archive.scan()
        chain = scan.chain
        gap = info["first_seq"] > chain.seq + 1
        if gap and scan.problem:  # what would be cut off, this board can no longer give
            raise scan.problem
        if not gap:
            part = parting(archive, board, info, chain.seq, chain.head)
            if part is not None:
                raise RolledBack(f"{archive.path} has a frame of seq {part} that the board has not"
                                 + (f": its log ends at seq {info['seq']}" if part > info["seq"] else ", or not the same")
                                 + ". The board was rolled back, or its log damaged; nothing was changed. Keep the archive, and "
                                 "sync into another folder", part)
        target, header = _target(board)
        if scan.excess:
            archive.cut(scan.size)
            self.result.cut = scan.excess
        if gap:
            self.result.gap = [chain.seq + 1, info["first_seq"] - 1]
            chain = Chain(archive.log, info["first_seq"] - 1, bytes.fromhex(info["first_head"]))
            archive.add_segment(info["first_seq"], chain.head)
            return self.run(chain, 0, target, header)
        return self.run(chain, scan.mean, target, header)

    def run(self, chain: Chain, mean: float, target: dict[str, Any], header: tuple[int, bytes] | None) -> SyncResult:
        """Pull up to what `target` (the board's info) says, and finish."""
        archive, result = self.archive, self.result
        self.all(chain, mean, target, header)
        self._keep(chain, target)
        # A damaged board keeps all that it has. Any other may note in its log what it was told: that is pulled too.
        if not result.damage and self.board.acknowledge(chain.seq + 1) > chain.seq:
            target = self.board.info()
            self._frames(chain, mean, target, -1)
            self._keep(chain, target)
        archive.close()
        result.seq, result.head, result.root = chain.seq, chain.head.hex(), target["root"]
        self.progress(self.done, self.done)
        return result

    def all(self, chain: Chain, mean: float, target: dict[str, Any], header: tuple[int, bytes] | None) -> None:
        """Pull frames and the snapshot, if it is not there yet."""
        archive = self.archive
        wanted = None
        if header:
            found = snapshot.decode(header[1])
            if not archive.snapshot_file(found.seq).exists():
                wanted = found
                self.snapshot_bytes = snapshot.HEADER + found.length
        base = archive.size(archive.segments[-1])
        try:
            heads = self._frames(chain, mean, target, wanted.seq if wanted else -1)
        except (Mismatch, FormatError):
            archive.cut(base)  # nothing of a pull that does not fit stays
            raise
        if wanted and header:
            self._snapshot(header[0], header[1], wanted, heads)

    def _keep(self, chain: Chain, target: dict[str, Any]) -> None:
        """Have all that was pulled on the disk, then the note that says so."""
        self.archive.flush()
        now = time.time_ns() // 1_000_000
        self.archive.write_note(Note(chain.seq, chain.head, bytes.fromhex(target["root"]), now))

    def _frames(self, chain: Chain, mean: float, target: dict[str, Any], mark: int) -> bytes | None:
        """Pull the frames up to target's seq; return the chain head after the frame `mark`, if it was among them."""
        from quipu.archive.chain import whole_frames

        board, archive, result = self.board, self.archive, self.result
        wire = board.link
        start = wire.sent + wire.received - wire.printed_bytes - result.wire_bytes
        marked = chain.head if chain.seq == mark else None
        while chain.seq < target["seq"]:
            data = board.frames(chain.seq + 1, chain.head)
            end = 0
            for frame in whole_frames(data):
                if chain.seq == target["seq"]:  # newer than what the board said of itself: for the next sync
                    break
                chain.step(frame)
                if chain.seq == mark:
                    marked = chain.head
                end += len(frame)
                result.frames += 1
            if not end:
                raise Mismatch(chain.seq + 1, "frame", f"frames up to seq {target['seq']}, as the board says", "none")
            if chain.seq == target["seq"] and chain.head.hex() != target["head"]:
                raise Mismatch(chain.seq, "chain head of the board", chain.head.hex(), target["head"])
            if chain.name != archive.log:
                raise Mismatch(chain.seq, "log name", archive.log.hex(), chain.name.hex() if chain.name else "none")
            archive.append(data[:end])
            result.log_bytes += end
            result.wire_bytes = wire.sent + wire.received - wire.printed_bytes - start
            self.done += end
            mean = result.log_bytes / result.frames
            self.progress(self.done, self.done + int(mean * (target["seq"] - chain.seq)) + self.snapshot_bytes)
        return marked

    def _snapshot(self, slot: int, header: bytes, wanted: snapshot.Header, head: bytes | None) -> None:
        """Pull a snapshot; keep it if it hashes to the root that its header names, and stands where the chain does."""
        archive, seq = self.archive, wanted.seq
        data = bytearray(archive.partial(seq, header))
        if not data:
            archive.add_part(seq, header)
            data += header
        frames_done = self.done
        while len(data) < self.snapshot_bytes:
            offset = len(data) - len(header)
            try:
                more = self.board.snapshot_data(slot, wanted.generation, offset, min(_PART, wanted.length - offset))
            except NotFound:  # the board has begun the next one in its place: that one comes with the next sync
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
                raise FormatError(f"it belongs to log {wanted.name.hex()}, chain head {wanted.head.hex()}")
        except FormatError as e:  # the frames are safe without it; its flash is not to be trusted
            self.result.damage = f"the board's snapshot of seq {seq} is damaged: {e}"
            return
        archive.add_snapshot(seq, bytes(data))
        self.result.snapshot = seq


