"""The index beside an archive's frames, index.sqlite: where to begin reading for an answer. The
frames stay the truth.

It is made from the frames alone, by a replay that checks every one, and never asked by verify. It
says at which byte frames lie, which frames changed a thing, where ticks begin anew, and it keeps
states at intervals, so that no answer replays far. Whatever is read by its help is checked again: a
kept state by its root, a frame by CRC and chain or by its digest, and by whether it names the thing
that was asked for; a time is read from its clock frame. That nothing is missing is told by numbers
and counts (see rows.py), and of a key by each put's link to the write before it, and by the state
(see history.py).

One transaction holds frames and how far they go, so a process that is killed, or a full disk,
leaves the index of an earlier moment. It is written under a lock of its own; readers need none
(WAL), also while a sync appends to the archive."""

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from quipu import limits, locks, times
from quipu.archive import disk
from quipu.archive.chain import Chain, split
from quipu.archive.files import Archive, Segment
from quipu.archive.frame import taken_apart, tick_of
from quipu.archive.origin import beginning
from quipu.errors import ArchiveDamage, ArchiveError, UsageError
from quipu.past import rows
from quipu.past.rows import Change, Place, Progress, digest
from shared_kernel import primitives, snapshot_file
from shared_kernel.config import check_config
from shared_kernel.errors import FormatError, Invalid, Mismatch
from shared_kernel.frame_names import is_command
from shared_kernel.frames import BOOT, CLOCK, GENESIS, NO_HEAD, length_at, seed
from shared_kernel.kernel import Kernel, u32
from shared_kernel.replay import Replay

_LOCK = ".index.lock"
PLACE_EVERY = 256  # frames between two places that are noted
KEEP_EVERY = 4096  # frames between two kept states: 60 ms of a replay in plain Python
# but at least this part of the arena's bytes in frames, so that states never take many times the
# log's room
_KEEP_SHARE = 16
_BATCH = 32768  # frames of one transaction: what a killed process loses, and what is held in memory


class Anchor(NamedTuple):
    """A frame after which ticks count anew, or the first of a segment. unix_ms: of a clock frame; 0
    where it says nothing, or nothing that can be meant (see times)."""

    seq: int
    type: int
    tick: int
    unix_ms: int
    uncertainty_ms: int


def _anchor(frame: bytes) -> Anchor:
    """Return what a boot or clock frame says of the ticks after it."""
    at = taken_apart(frame)
    if at.kind != CLOCK:
        return Anchor(at.seq, at.kind, at.tick, 0, 0)
    unix_ms = times.believed(u32(frame, at.start) | u32(frame, at.start + 4) << 32)
    return Anchor(at.seq, CLOCK, at.tick, unix_ms, u32(frame, at.start + 8))


def read_frames(path: Path, place: int) -> Iterator[tuple[int, bytes]]:
    """Yield (byte, frame) of a file of frames from byte `place` on, by the lengths they claim.
    Checks nothing."""
    return split(path, place, bytes)


class Index:
    """The index of an archive, brought up to date when it is opened.

    damage: what is wrong with the archive's frames after the last one that is indexed, None if
        nothing is; own: whether it
    is this process's alone: asked for, so that it is of the frames as they are now, or the folder
    could not be written to."""

    def __init__(
        self,
        archive: Archive,
        rebuild: bool = False,
        step: Callable[[int, int], None] | None = None,
        own: bool = False,
    ):
        self.archive = archive
        self.path = archive.path / "index.sqlite"
        self.damage: ArchiveDamage | None = None
        self.own = False
        self.progress: Progress | None = None
        self._step = step
        if own:
            self._make_own()
            return
        try:
            # a sync may run: its lock is another one
            with locks.wait(self._need_lock_file()) as lock:
                if not lock.real:
                    raise PermissionError(f"the file system of {archive.path} has no locks")
                if rebuild:
                    self._remove()
                self._need_own_file()
                self._open()
                self._bring_up_to_date()
        except (OSError, sqlite3.OperationalError) as e:
            # a folder that is read only, a full disk, one without locks
            self._alone(e, rebuild)
        except (sqlite3.DatabaseError, ValueError, TypeError, LookupError) as e:
            # what SQLite finds wrong, or what stands in it that no index says
            self.close()
            raise self._rotten(e) from None
        except ArchiveError:
            self.close()
            raise

    def _rotten(self, why: object) -> ArchiveError:
        return ArchiveError(
            f"{self.path} is damaged ({why}); the frames beside it are untouched. Make it anew "
            f"with `quipu index {self.archive.path} --rebuild`"
        )

    def _rows(self, question: str, *values: object) -> list[Any]:
        """Return all rows that answer a question. ArchiveError if a page of the database that
        holds them has rotted since it was opened."""
        try:
            return self.db.execute(question, values).fetchall()
        except (sqlite3.DatabaseError, OverflowError) as e:
            raise self._rotten(e) from None

    def _row(self, question: str, *values: object) -> Any:
        """Return the first row that answers a question, None if there is none."""
        return next(iter(self._rows(question, *values)), None)

    def _need_lock_file(self) -> Path:
        """Return the file that is locked meanwhile. PermissionError if something else is there."""
        path = self.archive.path / _LOCK
        if kind := disk.strange(path):
            raise PermissionError(f"{path} is {kind}")
        return path

    def _need_own_file(self) -> None:
        """Raise PermissionError, as if it could not be written, if the database or its log is no
        regular file: SQLite would follow a symlink, and wait for a FIFO."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            path = Path(str(self.path) + suffix)
            if kind := disk.strange(path):
                raise PermissionError(f"{path} is {kind}")

    def _alone(self, why: Exception, rebuild: bool) -> None:
        """Make an index for this process, in a temporary file, where the archive's cannot be
        written."""
        if rebuild:
            raise ArchiveError(f"{self.path} cannot be written: {why}") from None
        self.close()
        self._make_own()

    def _make_own(self) -> None:
        self.own = True
        self.db = sqlite3.connect("")
        rows.create(self.db)
        self.progress = None
        self._bring_up_to_date()

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "db"):
            self.db.close()

    def _remove(self) -> None:
        # The database before its log: a reader that comes in between finds none, rather than one
        # with another's log.
        for suffix in ("", "-wal", "-shm"):
            Path(str(self.path) + suffix).unlink(missing_ok=True)

    def _open(self) -> None:
        fresh = not self.path.exists()
        self.db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute("PRAGMA cache_size = -32768")  # KiB
        made = {name for (name,) in self.db.execute("SELECT name FROM sqlite_master")}
        if not fresh and "facts" in made:
            if self._fact("format") == rows.FORMAT and self._fact("log") == self.archive.log.hex():
                if odd := rows.foreign(self.db):
                    raise ValueError(f"its part {odd!r} is not of an index's making, or is lacking")
                return
            self.db.close()
            self._remove()
            self._open()
            return
        with self._transaction():
            rows.create(self.db)
            self._set("format", rows.FORMAT)
            self._set("log", self.archive.log.hex())

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk may have ended it already
                self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def _fact(self, name: str) -> Any:
        row = self.db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _set(self, name: str, value: object) -> None:
        self.db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # -- bringing it up to date --------------------------------------------------------------------

    def _load_progress(self) -> Progress | None:
        packed = self._fact("progress")
        return None if packed is None else rows.unpack(packed)

    def _fits(self, progress: Progress) -> bool:
        """Return whether the archive still holds what was indexed: the same segments, and the last
        frame at its place."""
        mine = [[each.first, each.head.hex()] for each in self.archive.segments]
        if mine[: len(progress.segments)] != progress.segments:
            return False
        for segment, (last, _) in zip(self.archive.segments, progress.ends[:-1], strict=False):
            if (
                last < segment.first
                and self.archive.file(segment).exists()
                and self.archive.size(segment)
            ):
                return False  # a gap that was filled since
        try:
            _, frame = next(
                read_frames(
                    self.archive.file(self.archive.segments[len(progress.segments) - 1]),
                    progress.last,
                )
            )
        except (StopIteration, FileNotFoundError):
            return False
        return digest(frame) == progress.digest

    def _bring_up_to_date(self) -> None:
        self.progress = self._load_progress()
        if self.progress and not self._fits(self.progress):
            # A sync that broke off was cut, or another copy of the log was put in its place:
            # nothing here can be relied on.
            with self._transaction():
                for table in rows.NAMES:
                    self.db.execute(f"DELETE FROM {table}")
                self.db.execute("DELETE FROM facts WHERE name = 'progress'")
            self.progress = None
        _Update(self).run()

    # -- what it knows -----------------------------------------------------------------------------

    def segment(self, seq: int) -> Segment:
        """Return the segment that holds the frame seq."""
        for each in reversed(self.archive.segments):
            if each.first <= seq:
                return each
        raise self._rotten(f"it knows a frame {seq}, before the archive's first")

    def changes(self, kind: int, ident: int | bytes, until: int, limit: int = -1) -> list[Change]:
        """Return the frames up to seq `until` that changed a thing, newest first; at most `limit`
        (-1: all). ArchiveError if the index lacks one."""
        thing = rows.thing_of(kind, ident)
        ask = "SELECT seq, place, digest, nth FROM changes WHERE thing = ? AND seq "
        found = [
            Change(*row)
            for row in self._rows(ask + "<= ? ORDER BY seq DESC LIMIT ?", thing, until, limit)
        ]
        later = self._row(ask + "> ? ORDER BY seq LIMIT 1", thing, until)
        count, last = self._row("SELECT count, last FROM things WHERE thing = ?", thing) or (0, -1)
        newest = later or found and found[0]
        if not all(
            type(value) is int for row in (*found, later or (), (count, last)) for value in row
        ):
            raise self._rotten("a number in it is none")
        if later is None and last != (newest[0] if newest else -1):
            raise self._rotten(f"it lacks the newest change of what was asked for, seq {last}")
        there = later[3] - 1 if later else count
        numbers = list(range(there, there - len(found), -1))
        if [each.nth for each in found] != numbers or len(found) != (
            there if limit < 0 else min(there, limit)
        ):
            raise self._rotten("it lacks a change of what was asked for")
        return found

    def frame(
        self, kind: int, ident: int | bytes, change: Change, files: "dict[int, Any]"
    ) -> bytes:
        """Return the frame of a change of a thing, checked to be the very one that was indexed, and
        to name that thing. files: the open ones, kept between calls."""
        frame = self._frame(change.seq, change.place, change.digest, files)
        named = rows.named_by(frame)
        if not rows.may_change(frame, change.seq, rows.thing_of(kind, ident)) or (
            kind == rows.KEY and named != ident
        ):
            raise self._rotten(f"seq {change.seq} is no change of what was asked for")
        return frame

    def _frame(self, seq: int, place: int, mark: int, files: "dict[int, Any]") -> bytes:
        """Return the frame seq, which lies at byte `place` of its segment's file and has the digest
        `mark`."""
        if not self.progress or not 0 <= seq <= self.progress.seq or place < 0:
            raise self._rotten(f"it knows a frame {seq} at byte {place}")
        segment = self.segment(seq)
        file = files.get(segment.first)
        if file is None:
            file = files[segment.first] = disk.reading(self.archive.file(segment))
        file.seek(place)
        start = file.read(512)
        size = length_at(start, 0) if len(start) >= 4 else 512
        frame: bytes = start[:size] if size <= len(start) else start + file.read(size - len(start))
        if digest(frame) != mark or u32(frame, 4) != seq:
            raise ArchiveDamage(
                self.archive.path,
                seq,
                "frame",
                f"the one with digest {mark & (1 << 64) - 1:016x}",
                f"{digest(frame) & (1 << 64) - 1:016x}",
            )
        return frame

    def place(self, seq: int) -> Place:
        """Return the last noted place at or before the frame seq, in its segment."""
        row = self._row("SELECT * FROM places WHERE seq <= ? ORDER BY seq DESC LIMIT 1", seq)
        if row is None or Place(*row).seq < self.segment(seq).first:
            raise self._rotten(f"it knows no place at or before seq {seq}")
        return self._place(row)

    def _place(self, row: Any) -> Place:
        """Return a row of places; ArchiveError if it is of another kind."""
        if [type(value) for value in row] != [int, int, bytes, int] or row[1] < 0:
            raise self._rotten("a place in it is none")
        return Place(*row)

    def place_by_tick(self, first: int, last: int, tick: int) -> Place | None:
        """Return the last noted place among the frames first to last whose tick is not above
        `tick`."""
        row = self._row(
            "SELECT * FROM places WHERE seq BETWEEN ? AND ? AND tick <= ? ORDER BY seq DESC LIMIT 1",
            first,
            last,
            tick,
        )
        if row is None:
            return None
        found = self._place(row)
        if tick_of(next(self.frames(found.seq))) != found.tick:
            raise self._rotten(f"seq {found.seq} has another tick")
        return found

    def anchors(self) -> list[Anchor]:
        """Return every frame after which ticks count anew, oldest first: what it says is read from
        the frame itself. ArchiveError if the index lacks one, ArchiveDamage if one is another."""
        found = self._rows("SELECT nth, seq, place, digest FROM anchors ORDER BY nth")
        if [nth for nth, *_ in found] != list(range(self.progress.anchors if self.progress else 0)):
            raise self._rotten("it lacks a clock frame or a start-up")
        files: dict[int, Any] = {}
        try:
            out = []
            for _, seq, place, mark in found:
                if not all(type(value) is int for value in (seq, place, mark)):
                    raise self._rotten("a number in it is none")
                out.append(_anchor(self._frame(seq, place, mark, files)))
        finally:
            for file in files.values():
                file.close()
        if any(after.seq <= each.seq for each, after in zip(out, out[1:], strict=False)):
            raise self._rotten("its start-ups and clock frames are in no order")
        return out

    def kept(self) -> list[int]:
        """Return the seqs of the kept states, ascending."""
        return [seq for (seq,) in self._rows("SELECT seq FROM kept ORDER BY seq")]

    def frames(self, seq: int) -> Iterator[bytes]:
        """Yield the frames from `seq` on, to the end of its segment or of what is indexed; each
        only after the chain, from the noted place before it to the one after it, has proved it to
        be the one that was indexed. ArchiveDamage if it is not."""
        at, segment = self.place(seq), self.segment(seq)
        fresh = at.seq == segment.first and segment.head == NO_HEAD
        chain = Chain(None if fresh else self.archive.log, at.seq - 1, at.head)
        block: list[bytes] = []
        last, head = self._closing(at.seq)
        for frame in self._chained(chain, at.place, last):
            block.append(frame)
            if chain.seq == last:
                self._agree(last, chain.head, head)
                yield from block[max(0, seq - (last + 1 - len(block))) :]
                block = []
                last, head = self._closing(last + 1)

    def tick(self, seq: int) -> int:
        """Return the tick of the frame seq, as `ticks` does."""
        return next(self.ticks([seq]))[1]

    def ticks(self, seqs: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield (seq, tick) of frames, whose seqs ascend. Each is proved by its CRC and seq, not by
        the chain: for who asks for many. ArchiveDamage if one is not there."""
        frames: Iterator[tuple[int, tuple[int, bytes]]] = iter(())
        place, number, frame = Place(-1, 0, b"", 0), -1, b""
        for seq in seqs:
            if (at := self.place(seq)) != place:
                place, file = at, self.archive.file(self.segment(seq))
                frames = enumerate(read_frames(file, at.place), at.seq)
                number = -1
            while number < seq:
                number, (_, frame) = next(frames, (seq, (0, b"")))
            sown = 0 if frame[1:2] == bytes((GENESIS,)) else seed(self.archive.log)
            if (
                not frame
                or u32(frame, 4) != seq
                or primitives.crc32(frame[:-4], sown) != u32(frame, len(frame) - 4)
            ):
                raise ArchiveDamage(
                    self.archive.path, seq, "frame", "the one that was indexed", "another, or none"
                )
            yield seq, tick_of(frame)

    def _closing(self, seq: int) -> tuple[int, bytes]:
        """Return the first frame, from `seq` on, after which the chain head is noted, and that
        head. (-1, b""): none."""
        assert self.progress
        if seq > self.progress.seq:
            return -1, b""
        number = self.archive.segments.index(self.segment(seq))
        end, head = self.progress.ends[number]
        row = self._row(
            "SELECT seq - 1, head FROM places WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 1",
            seq,
            end,
        )
        return tuple(row) if row else (end if seq <= end else -1, bytes.fromhex(head))

    def _chained(self, chain: Chain | Replay, place: int, last: int) -> Iterator[bytes]:
        """Yield the frames of chain's segment from byte `place` on, each after chain has taken it,
        to the segment's end. last: a frame that must be there."""
        assert self.progress
        segment = self.segment(
            self.archive.segments[0].first if chain.seq is None else chain.seq + 1
        )
        try:
            for _, frame in read_frames(self.archive.file(segment), place):
                if chain.seq == self.progress.seq:
                    return
                chain.step(frame)
                yield frame
        except Mismatch as e:
            raise ArchiveDamage(self.archive.path, e.seq, e.what, e.expected, e.found) from None
        if chain.seq is None or chain.seq < last:
            raise ArchiveDamage(
                self.archive.path,
                0 if chain.seq is None else chain.seq + 1,
                "frame",
                "the one that was indexed",
                "the file's end",
            )

    def _agree(self, seq: int, found: bytes, head: bytes) -> None:
        """Raise ArchiveDamage unless the chain has come to the head that it had when it was
        indexed."""
        if found != head:
            raise ArchiveDamage(
                self.archive.path,
                seq,
                "chain head at this seq or shortly before",
                head.hex(),
                found.hex(),
            )

    def need(self, seq: int) -> None:
        """Raise UsageError unless a state can be told after the frame seq; ArchiveDamage if what is
        wrong is why."""
        progress, first = self.progress, self.archive.segments[0].first
        if progress is None or not first <= seq <= progress.seq:
            if self.damage and seq >= self.damage.seq:
                raise self.damage
            has = f"seq {first} to {progress.seq}" if progress else "none"
            raise UsageError(
                f"{self.archive.path} holds no frame of seq {seq}: its frames are {has}"
            )
        for low, high in progress.gaps:
            if low <= seq <= high:
                again = (
                    "no snapshot stands in for them"
                    if high > progress.seq
                    else f"a state is known again from seq {high + 1} on"
                )
                raise UsageError(
                    f"{self.archive.path} has no state for seq {seq}: frames before it are "
                    f"missing, and {again}"
                )

    def replay(self, seq: int) -> Replay:
        """Return the Replay after the frame seq, from the nearest kept state on. UsageError as in
        `need`; ArchiveDamage where a frame is not what it was."""
        self.need(seq)
        row = self._row("SELECT * FROM kept WHERE seq <= ? ORDER BY seq DESC LIMIT 1", seq)
        replay = Replay(limits.kernel)
        if row:
            at, place, head, boot, root, packed, sealed, _ = row
            if sealed != rows.seal(at, place, head, boot, root):
                raise self._rotten(f"the kept state of seq {at} does not fit its digest")
            replay.start_from(self._kernel(at, root, packed), self.archive.log, at, head, boot)
            # byte 0: it stands in for what is missing before a segment
            segment = self.segment(at if place else at + 1)
        else:
            segment, place = self.archive.segments[0], 0
            replay.kernel = beginning(self.archive, segment.first)  # type: ignore[assignment]  # None, too, before the genesis
        for each in self.archive.segments[self.archive.segments.index(segment) :]:
            if replay.seq == seq:
                break
            if (
                replay.seq is None
                or replay.seq + 1 >= each.first
                and replay.seq < self._end_of(each)
            ):
                for _ in self._chained(replay, place, min(seq, self._end_of(each))):
                    if replay.seq == seq:
                        break
            place = 0
        self._prove(replay, seq)
        return replay

    def _end_of(self, segment: Segment) -> int:
        assert self.progress
        end: int = self.progress.ends[self.archive.segments.index(segment)][0]
        return end

    def _prove(self, replay: Replay, seq: int) -> None:
        """Follow the chain from the replay's end to the next noted head: an altered frame whose CRC
        fits shows there."""
        end, head = self._closing(seq)
        if end > seq:
            # the bytes of the frame seq are found by the lengths from here on
            place = self.place(seq)
            at, segment = place.place, self.segment(seq)
            chain = Chain(self.archive.log, seq, replay.head)
            for number, (_, frame) in enumerate(
                read_frames(self.archive.file(segment), at), place.seq
            ):
                if number > end:
                    break
                if number > seq:
                    try:
                        chain.step(frame)
                    except Mismatch as e:
                        raise ArchiveDamage(
                            self.archive.path, e.seq, e.what, e.expected, e.found
                        ) from None
            self._agree(end, chain.head, head)
        else:
            self._agree(seq, replay.head, head)

    def _kernel(self, seq: int, root: bytes, packed: bytes) -> Kernel:
        try:
            inflating = zlib.decompressobj()
            arena = inflating.decompress(packed, 64)
            # no more than a state of its configuration has, whatever it would become
            config = check_config(u32(arena, 8 + 4 * i) for i in range(7))
            size = limits.state_size(config)
            limits.need_state(size, config)
            arena += inflating.decompress(inflating.unconsumed_tail, size - 63)
        except (zlib.error, IndexError, TypeError, Invalid):
            arena = b""
        if len(arena) < 64 or len(arena) != size or primitives.hash(arena) != root:
            raise self._rotten(f"the kept state of seq {seq} does not hash to its root")
        kernel = limits.kernel(config)
        kernel.arena.load(arena)
        return kernel


class _Update:
    """One pass over the frames that the index has not."""

    def __init__(self, index: Index):
        self.index = index
        self.archive = index.archive
        self.db = index.db
        self.counts: dict[int, tuple[int, int]] = {}  # of the things of a batch: count, last
        self.changes: list[tuple[int, int, int, int, int]] = []
        self.places: list[Place] = []
        self.anchors: list[tuple[int, int, int, int]] = []
        self.anchored = index.progress.anchors if index.progress else 0
        self.kept: list[tuple[Any, ...]] = []
        self.segments: list[list[Any]] = []
        self.gaps: list[list[int]] = index.progress.gaps if index.progress else []

    def run(self) -> None:
        """Index every whole frame up to the end, or to the first that is not what it should be."""
        archive, progress = self.archive, self.index.progress
        self.replay: Any = None  # a Replay, or a Chain where no state is known
        begun, place = 0, 0
        if progress:
            begun, place = len(progress.segments) - 1, progress.place
            if (
                begun == len(archive.segments) - 1
                and archive.size(archive.segments[begun]) == place
            ):
                return
            self._resume(progress)
        for number in range(begun, len(archive.segments)):
            segment = archive.segments[number]
            self.segments = [
                [each.first, each.head.hex()] for each in archive.segments[: number + 1]
            ]
            try:
                if number > begun or not progress:
                    place = 0
                    self._enter(segment)
                place = self._segment(segment, place)
            except Mismatch as e:
                self.index.damage = ArchiveDamage(archive.path, e.seq, e.what, e.expected, e.found)
                break
            except ArchiveDamage as e:
                self.index.damage = e
                break
            except FileNotFoundError:
                self.index.damage = ArchiveDamage(
                    archive.path,
                    segment.first,
                    "frames",
                    archive.file(segment).name,
                    "no such file",
                )
                break
        progress = self.index.progress
        note = archive.note()
        if note and self.index.damage is None and note.seq > (progress.seq if progress else -1):
            self.index.damage = ArchiveDamage(
                archive.path,
                progress.seq + 1 if progress else 0,
                "frame",
                f"frames up to seq {note.seq}, which the last sync noted",
                "the archive's end",
            )
        if self.index.damage and (note is None or self.index.damage.seq > note.seq):
            self.index.damage = None  # what a sync that broke off left; the next one replaces it

    def _resume(self, progress: Progress) -> None:
        open_gap = progress.gaps and progress.gaps[-1][1] >= progress.seq
        self.replay = (
            Chain(self.archive.log, progress.seq, progress.head)
            if open_gap
            else self.index.replay(progress.seq)
        )

    def _enter(self, segment: Segment) -> None:
        if segment.head == NO_HEAD:
            self.replay = Replay(limits.kernel)
            # of a log that continues another one
            self.replay.kernel = beginning(self.archive, segment.first)
            if segment.first and self.replay.kernel is None:
                self.replay = Chain(None, segment.first - 1, NO_HEAD)
                self.gaps.append([0, 0xFFFFFFFF])
        elif self.replay is None or self.replay.seq is None or self.replay.seq + 1 != segment.first:
            last = -1 if self.replay is None or self.replay.seq is None else self.replay.seq
            self.replay = Chain(self.archive.log, segment.first - 1, segment.head)
            # until a snapshot stands in for what is missing
            self.gaps.append([last + 1, 0xFFFFFFFF])
        elif self.replay.head != segment.head:
            raise Mismatch(
                segment.first,
                "archive.json's segment head",
                self.replay.head.hex(),
                segment.head.hex(),
            )
        self._stand_in(segment.first - 1, 0)

    def _stand_in(self, seq: int, place: int) -> None:
        """Go on from the board's snapshot after seq, if no state is known yet and there is one that
        fits."""
        chain = self.replay
        if not isinstance(chain, Chain) or seq not in self.archive.snapshots():
            return
        try:
            header, kernel = snapshot_file.load(self.archive.snapshot(seq))
        except FormatError as e:
            raise Mismatch(seq, "snapshot", "a whole one", str(e)) from None
        for what, expected, found in (
            ("seq", seq, header.seq),
            ("log name", self.archive.log, header.name),
            ("chain head", chain.head, header.head),
        ):
            if expected != found:
                raise Mismatch(seq, f"snapshot's {what}", expected, found)
        self.replay = Replay(limits.kernel)
        self.replay.start_from(kernel, header.name, seq, header.head, header.boot)
        self.gaps[-1][1] = seq - 1
        if self.gaps[-1][0] >= seq:
            self.gaps.pop()
        self._keep(place, 0)

    def _segment(self, segment: Segment, place: int) -> int:
        """Index a segment's frames from byte `place` on; return the byte after the last one."""
        replay = self.replay
        size = self.archive.size(segment)
        chained = isinstance(replay, Chain)
        waiting = set(self.archive.snapshots()) if chained else set()
        kept_at, since, batch = place, 0, 0
        last = place
        try:
            for at, frame in read_frames(self.archive.file(segment), place):
                seq = segment.first if replay.seq is None else replay.seq + 1
                head = replay.head
                kind = frame[1]
                touched = (
                    rows.things(frame, seq, None if chained else replay.kernel)
                    if is_command(kind)
                    else ()
                )
                replay.step(frame)
                if seq % PLACE_EVERY == 0 or seq == segment.first:
                    self.places.append(Place(seq, at, head, tick_of(frame)))
                    if seq == segment.first and head == NO_HEAD:
                        self._first(segment)
                last, place = at, at + len(frame)
                since += 1
                batch += 1
                if touched:
                    mark = digest(frame)  # one for all
                    for thing in touched:
                        self.changes.append((thing, seq, at, mark, self._number(thing, seq)))
                elif kind in (BOOT, CLOCK):
                    self.anchors.append((self.anchored, seq, at, digest(frame)))
                    self.anchored += 1
                if chained and seq in waiting:
                    self._stand_in(seq, place)
                    replay = self.replay
                    chained = isinstance(replay, Chain)
                    since, kept_at = 0, place
                elif (
                    since >= KEEP_EVERY
                    and not chained
                    and place - kept_at >= replay.kernel.arena.size // _KEEP_SHARE
                ):
                    self._keep(place, 0)
                    since, kept_at = 0, place
                if batch >= _BATCH:
                    self._commit(last, place, frame)
                    batch = 0
                    if self.index._step:
                        self.index._step(place, size)
        except Mismatch:  # it has changed nothing; what stands before it is proved
            self._end(last, place, since, batch)
            raise
        self._end(last, place, since, batch)
        return place

    def _end(self, last: int, place: int, since: int, batch: int) -> None:
        """Commit what is left, and keep the state until more frames follow."""
        if batch:
            if since and not isinstance(self.replay, Chain):
                self._keep(place, 1)
            self._commit(last, place, None)

    def _first(self, segment: Segment) -> None:
        """Hold the genesis to archive.json."""
        pairs = [("log name", self.replay.name.hex(), self.archive.log.hex())]
        if not isinstance(self.replay, Chain):
            pairs.append(("identity", self.replay.genesis.identity, self.archive.identity))
        for what, expected, found in pairs:
            if expected != found:
                raise Mismatch(segment.first, f"archive.json's {what}", expected, found)

    def _keep(self, place: int, passing: int) -> None:
        """Keep the state as it is now. passing: only until more frames follow."""
        replay = self.replay
        kernel = replay.kernel
        packed = zlib.compress(bytes(kernel.arena.bytes), 1)
        row = replay.seq, place, replay.head, replay.boot, kernel.root()
        self.kept.append((*row, packed, rows.seal(*row), passing))

    def _number(self, thing: int, seq: int) -> int:
        """Count one more change of a thing; return which one it is."""
        known = self.counts.get(thing)
        if known is None and (thing < 0 or thing & 0xFFFFFFFF != seq):  # else this one makes it
            known = self.index._row("SELECT count, last FROM things WHERE thing = ?", thing)
            if not known and self.index._row(
                "SELECT 1 FROM changes WHERE thing = ? LIMIT 1", thing
            ):
                raise self.index._rotten("it lacks the count of what has changed")
        count = known[0] + 1 if known else 1
        self.counts[thing] = count, seq
        return count

    def _commit(self, last: int, place: int, frame: bytes | None) -> None:
        index, replay = self.index, self.replay
        if frame is None:
            segment = index.segment(replay.seq)
            _, frame = next(read_frames(self.archive.file(segment), last))
        ends = index.progress.ends[: len(self.segments) - 1] if index.progress else []
        for first, head in self.segments[len(ends) : -1]:  # a segment that has no frames
            ends.append([first - 1, head])
        ends.append([replay.seq, replay.head.hex()])
        index.progress = Progress(
            replay.seq,
            replay.head,
            last,
            digest(frame),
            place,
            self.segments,
            ends,
            self.gaps,
            self.anchored,
        )
        self.changes.sort()
        with index._transaction():
            self.db.executemany(
                "INSERT OR REPLACE INTO things VALUES (?, ?, ?)",
                sorted((thing, *known) for thing, known in self.counts.items()),
            )
            self.db.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", self.changes)
            self.db.executemany("INSERT INTO places VALUES (?, ?, ?, ?)", self.places)
            self.db.executemany("INSERT INTO anchors VALUES (?, ?, ?, ?)", self.anchors)
            self.db.execute("DELETE FROM kept WHERE passing = 1")
            self.db.executemany(
                "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self.kept
            )
            index._set("progress", rows.pack(index.progress))
        for each in (self.changes, self.places, self.anchors, self.kept):
            each.clear()
        self.counts.clear()
