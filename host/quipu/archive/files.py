"""An archive: one board's log and snapshots as files in a folder. Knows files and the chain of
frames, not their meaning.

  archive.json            {"format": 1, "log": name, "identity": board, "segments": [{"first": seq, "head": head before it}]}
  frames/0000000000.log   whole frames one after the other, from the seq in the file's name; a new file after a gap, and for what
                          fills one (join.py); .part: not whole yet
  snapshots/0000001234.snap   header and arena (shared_kernel/snapshot.py) of the state after that seq; .part: not whole yet
  index.sqlite            made from the frames, where it is wanted (past/index.py); nothing here reads it
  note.json               what the board said at the end of the last complete sync: {"seq", "head", "root", "time", "check"}

JSON files change by writing another and renaming it, so they are old or new, never half. Frames are
only ever appended."""

import contextlib
import errno
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from quipu import locks
from quipu.archive import disk
from quipu.archive.chain import Chain, split
from quipu.errors import ArchiveDamage, ArchiveError, NoArchive
from shared_kernel import snapshot
from shared_kernel.errors import FormatError, Mismatch
from shared_kernel.frames import NO_HEAD

if TYPE_CHECKING:
    from typing_extensions import Self

FORMAT = 1
# frames between two marks of a scan: 10 ms of a chain, and 100 KiB of memory for a million frames
_MARK_EVERY = 1024
# of archive.json: a hundred bytes for each of 160,000 segments; and of note.json, which has 300
_MOST_FACTS, _MOST_NOTE = 1 << 24, 1 << 16
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class Segment(NamedTuple):
    """Frames without a gap. first: the first one's seq; head: the chain head before it."""

    first: int
    head: bytes


class Note(NamedTuple):
    """What the board said at the end of the last complete sync. time: ms since 1970 by the laptop's
    clock."""

    seq: int
    head: bytes
    root: bytes
    time: int


class Mark(NamedTuple):
    """The chain head before the frame `seq`, which begins at byte `place` of its segment's file."""

    seq: int
    place: int
    head: bytes


class Run(NamedTuple):
    """The whole frames of a segment. last: seq of the last one, first - 1 if there is none; marks:
    before the first frame, before every 1024th, and after the last."""

    segment: Segment
    last: int
    marks: list[Mark]


class Scan(NamedTuple):
    """What `Archive.scan` found. runs: one for each segment; chain: after the last whole frame;
    size: bytes of the last segment that hold whole frames; excess: bytes after them, of a sync that
        broke off; problem: what is wrong with them, if they are more
    than a torn frame; mean: bytes of a frame, on average (0 if there is none)."""

    runs: list[Run]
    chain: Chain
    size: int
    excess: int
    problem: ArchiveDamage | None
    mean: float


class Archive:
    """An archive that exists. NoArchive if there is none at `path`; ArchiveDamage if its
    archive.json is not what it should be. log: the log's name; identity: the board as text;
    segments: oldest first."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._file: Any = None  # the last segment, open for appending
        try:
            text = disk.contents(self.path / "archive.json", _MOST_FACTS)
        except (FileNotFoundError, NotADirectoryError):
            raise NoArchive(self.path) from None
        for each in ("frames", "snapshots"):
            folder = self.path / each
            if folder.exists() and not folder.is_dir():
                raise self._damage(0, each, "a folder", disk.strange(folder) or "a file")
        self.log, self.identity, self.segments = self._facts(text)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        log: bytes,
        identity: str,
        first: int = 0,
        head: bytes = NO_HEAD,
    ) -> "Archive":
        """Make an archive, without frames yet, and return it. ArchiveError if the folder holds
        anything else."""
        path = Path(path)
        cls.need_room(path)
        path.mkdir(parents=True, exist_ok=True)
        for each in ("frames", "snapshots"):
            (path / each).mkdir(exist_ok=True)
        self = cls.__new__(cls)
        self.path, self._file = path, None
        self.log, self.identity, self.segments = log, identity, []
        self.add_segment(first, head)
        return self

    @staticmethod
    def need_room(path: Path) -> None:
        """Raise ArchiveError unless an archive may be made at path: nothing is there, or an empty
        folder."""
        if path.exists() and not path.is_dir():
            raise ArchiveError(f"{path} is a file: an archive is a folder")
        for each in _inside(path):
            # An interrupted creation leaves these, empty; anything else is not ours to write into.
            if each.name in ("frames", "snapshots") and disk.strange(each) == "a folder":
                within = list(_inside(each))
                if each.name == "frames":
                    within = [one for one in within if disk.strange(one) or disk.size(one)]
            else:
                within = [] if each.name == "archive.json.new" else [each]
            if within:
                raise ArchiveError(
                    f"{path} is no archive, and not empty (it holds "
                    f"{within[0].relative_to(path)}): choose another"
                )

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    # -- archive.json ------------------------------------------------------------------------------

    def _facts(self, text: bytes) -> tuple[bytes, str, list[Segment]]:
        facts = self._json(
            "archive.json", text, {"format": int, "log": str, "identity": str, "segments": list}
        )
        if facts["format"] != FORMAT:
            raise self._damage(
                0,
                "archive.json's format",
                f"{FORMAT}, the one that this version knows",
                facts["format"],
            )
        segments: list[Segment] = []
        for each in facts["segments"]:
            if (
                not isinstance(each, dict)
                or set(each) != {"first", "head"}
                or not _is_seq(each["first"])
            ):
                raise self._damage(
                    0,
                    "archive.json's segments",
                    'each of the form {"first": seq, "head": hex}',
                    each,
                )
            if segments and each["first"] <= segments[-1].first:
                before = segments[-1].first
                raise self._damage(
                    each["first"],
                    "archive.json's segments",
                    f"a first seq above {before}",
                    each["first"],
                )
            segments.append(
                Segment(
                    each["first"],
                    self._hash("archive.json's segment head", each["first"], each["head"]),
                )
            )
        if not segments:
            raise self._damage(0, "archive.json's segments", "at least one", "none")
        return self._hash("archive.json's log name", 0, facts["log"]), facts["identity"], segments

    def _write_facts(self) -> None:
        _write_json(
            self.path / "archive.json",
            {
                "format": FORMAT,
                "log": self.log.hex(),
                "identity": self.identity,
                "segments": [
                    {"first": each.first, "head": each.head.hex()} for each in self.segments
                ],
            },
        )

    def add_segment(self, first: int, head: bytes) -> Segment:
        """Begin a new file of frames with seq `first`, empty yet, and return its segment; head: the
        chain head before it. Frames between it and the one before are declared missing."""
        self.close()
        segment = Segment(first, head)
        with _roomy(self.path):
            disk.writing(self.file(segment), "ab").close()
            _sync_folder(self.path / "frames")
            self.segments = sorted([*self.segments, segment])
            self._write_facts()
        return segment

    def fill(self, segment: Segment, blocks: Iterable[bytes]) -> None:
        """Give a segment that has no frames yet all of them, checked by the caller: whole, or not
        at all."""
        part = self.file(segment).with_suffix(".part")
        with _roomy(self.path), disk.writing(part, "wb") as file:
            for each in blocks:
                _write_all(file, each)
            os.fsync(file.fileno())
        os.replace(part, self.file(segment))
        _sync_folder(part.parent)

    def drop_parts(self) -> None:
        """Remove what a `fill` that broke off has left."""
        for each in (self.path / "frames").glob("*.part"):
            if _is_numbered(each):
                each.unlink()

    def _json(self, name: str, text: bytes, fields: dict[str, type]) -> dict[str, Any]:
        try:
            facts = json.loads(text)
        except ValueError as e:
            raise self._damage(0, name, "JSON", e) from None
        if not isinstance(facts, dict) or set(facts) != set(fields):
            raise self._damage(
                0,
                name,
                "the fields " + ", ".join(fields),
                list(facts) if isinstance(facts, dict) else facts,
            )
        for each, kind in fields.items():
            if type(facts[each]) is not kind:
                raise self._damage(0, f"{name}'s {each}", f"of type {kind.__name__}", facts[each])
        return facts

    def _hash(self, what: str, seq: int, text: Any) -> bytes:
        try:
            value = bytes.fromhex(text)
            if len(value) == 32 and value.hex() == text:
                return value
        except (TypeError, ValueError):
            pass
        raise self._damage(seq, what, "64 hexadecimal digits in lower case", text)

    def _damage(self, seq: int, what: str, expected: object, found: object) -> ArchiveDamage:
        return ArchiveDamage(self.path, seq, what, expected, found)

    # -- frames ------------------------------------------------------------------------------------

    def file(self, segment: Segment) -> Path:
        """Return the file that holds a segment's frames."""
        return self.path / "frames" / f"{segment.first:010d}.log"

    def split(self, segment: Segment, place: int = 0) -> Iterator[tuple[int, memoryview]]:
        """Yield (offset in its file, frame) of a segment from byte `place` on, by the lengths that
        the frames claim. Checks nothing."""
        try:
            yield from split(self.file(segment), place)
        except FileNotFoundError:
            raise self._damage(
                segment.first, "frames", f"the file {self.file(segment).name}", "none"
            ) from None

    def size(self, segment: Segment) -> int:
        """Return the bytes of a segment's file, a torn end included."""
        return disk.size(self.file(segment))

    def frames(self) -> Iterator[memoryview]:
        """Yield every frame, oldest first. Checks nothing: verify does."""
        for segment in self.segments:
            for _, frame in self.split(segment):
                yield frame

    def undeclared(self) -> Path | None:
        """Return a file with frames that archive.json does not know, or None. An empty one is what
        a killed add_segment leaves; what does not bear a segment's name is another program's."""
        known = {self.file(each) for each in self.segments}
        here = sorted(each for each in (self.path / "frames").glob("*.log") if _is_numbered(each))
        unknown = (each for each in here if each not in known)
        return next((each for each in unknown if disk.strange(each) or disk.size(each)), None)

    def scan(self) -> Scan:
        """Check every frame's CRC, seq and place in the chain. ArchiveDamage if the archive is
        broken at or before the seq of its note; what is broken past that, a sync left behind when
        it broke off: it counts as excess."""
        note = self.note()
        noted = -1 if note is None else note.seq
        if stranger := self.undeclared():
            raise self._damage(
                _number(stranger.stem), "frames", "files that archive.json declares", stranger.name
            )
        chain = Chain(self.log, -1, NO_HEAD)
        problem = None
        runs: list[Run] = []
        end = count = total = 0
        for segment in self.segments:
            if segment.first <= chain.seq:
                raise self._damage(
                    segment.first,
                    "archive.json's segments",
                    f"a first seq above {chain.seq}",
                    segment.first,
                )
            if segment is not self.segments[0] and end != self.size(
                self.segments[self.segments.index(segment) - 1]
            ):
                raise self._damage(
                    chain.seq + 1, "frame", "a whole one", "a torn one, before a later segment"
                )
            chain = Chain(
                None if segment.head == NO_HEAD else self.log, segment.first - 1, segment.head
            )
            end = 0
            marks = [Mark(segment.first, 0, segment.head)]
            try:
                for offset, frame in self.split(segment):
                    chain.step(frame)
                    end = offset + len(frame)
                    count += 1
                    if count % _MARK_EVERY == 0:
                        marks.append(Mark(chain.seq + 1, end, chain.head))
            except Mismatch as e:
                problem = self._damage(e.seq, e.what, e.expected, e.found)
                if e.seq <= noted or segment is not self.segments[-1]:
                    raise problem from None
            total += end
            runs.append(Run(segment, chain.seq, [*marks, Mark(chain.seq + 1, end, chain.head)]))
        if chain.seq < noted:
            expected = f"frames up to seq {noted}, which the last sync noted"
            raise self._damage(chain.seq + 1, "frame", expected, "the archive's end")
        if chain.name not in (None, self.log):
            raise self._damage(
                0, "archive.json's log name", str(chain.name and chain.name.hex()), self.log.hex()
            )
        return Scan(
            runs,
            chain,
            end,
            self.size(self.segments[-1]) - end,
            problem,
            total / count if count else 0.0,
        )

    def append(self, data: bytes | memoryview) -> None:
        """Append whole frames, checked by the caller, to the last segment. They are durable after
        `flush`."""
        if self._file is None:
            self._file = disk.writing(self.file(self.segments[-1]), "ab")
        # Straight to the system: what a killed process or a full disk leaves is a whole run, or a
        # torn end.
        with _roomy(self.path):
            _write_all(self._file, data)

    def flush(self) -> None:
        """Return when all frames of the last segment are on the disk, those that an earlier process
        appended as well."""
        self.append(b"")
        with _roomy(self.path):
            os.fsync(self._file.fileno())

    def cut(self, size: int) -> None:
        """Cut the last segment to `size` bytes."""
        self.close()
        with disk.writing(self.file(self.segments[-1]), "r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the archive for writing; ArchiveError if another process does. See locks for what it
        keeps out."""
        lock = locks.take(self.path)
        if lock is None:
            raise ArchiveError(
                f"{self.path} is being written by another process: wait until it is done"
            )
        with lock:
            yield

    # -- snapshots ---------------------------------------------------------------------------------

    def snapshot_file(self, seq: int) -> Path:
        """Return the file of the snapshot after seq."""
        return self.path / "snapshots" / f"{seq:010d}.snap"

    def snapshots(self) -> list[int]:
        """Return the seqs of the snapshots, ascending. A file whose name is no seq is another
        program's."""
        return sorted(
            _number(each.stem)
            for each in (self.path / "snapshots").glob("*.snap")
            if _is_numbered(each)
        )

    def snapshot(self, seq: int) -> bytes:
        """Return a snapshot's bytes: header and arena, unchecked. Of a file that is longer than its
        header says, or has no header, no more is read than shows that."""
        return _snapshot(self.snapshot_file(seq))

    def partial(self, seq: int, header: bytes) -> bytes:
        """Return what a broken pull left of the snapshot that begins with header, perhaps nothing;
        other leftovers go."""
        for each in (self.path / "snapshots").glob("*.part"):
            if not _is_numbered(each):
                continue
            if each == self._part(seq) and disk.strange(each) is None:
                data = _snapshot(each)
                if data[: len(header)] == header:
                    return data
            each.unlink()
        return b""

    def add_part(self, seq: int, data: bytes) -> None:
        """Keep some more of a snapshot being pulled, for the next pull if this one breaks."""
        with _roomy(self.path), disk.writing(self._part(seq), "ab") as file:
            _write_all(file, data)

    def drop_part(self, seq: int) -> None:
        """Forget what `add_part` kept."""
        self._part(seq).unlink(missing_ok=True)

    def _part(self, seq: int) -> Path:
        return self.snapshot_file(seq).with_suffix(".part")

    def add_snapshot(self, seq: int, data: bytes) -> None:
        """Keep a whole snapshot, checked by the caller."""
        with _roomy(self.path):
            _write(self._part(seq), self.snapshot_file(seq), data)

    # -- the note ----------------------------------------------------------------------------------

    def note(self) -> Note | None:
        """Return the note of the last complete sync, None before the first one. ArchiveDamage if it
        was altered."""
        try:
            text = disk.contents(self.path / "note.json", _MOST_NOTE)
        except FileNotFoundError:
            return None
        facts = self._json(
            "note.json", text, {"seq": int, "head": str, "root": str, "time": int, "check": str}
        )
        note = Note(
            facts["seq"],
            self._hash("note.json's head", 0, facts["head"]),
            self._hash("note.json's root", 0, facts["root"]),
            facts["time"],
        )
        if facts["check"] != _check(note):
            raise self._damage(0, "note.json's check", _check(note), facts["check"])
        return note

    def write_note(self, note: Note) -> None:
        """Say that everything up to note.seq is here and safe."""
        facts = {
            "seq": note.seq,
            "head": note.head.hex(),
            "root": note.root.hex(),
            "time": note.time,
            "check": _check(note),
        }
        with _roomy(self.path):
            _write_json(self.path / "note.json", facts)


@contextlib.contextmanager
def _roomy(path: Path) -> Iterator[None]:
    """Say what to do where a write finds no room. What was there before it still stands."""
    try:
        yield
    except OSError as e:
        if e.errno not in _NO_ROOM:
            raise
        raise ArchiveError(
            f"{path} cannot be written: {os.strerror(e.errno)}. It is valid as far as it goes: "
            f"make room, then "
            "sync again"
        ) from None


def _check(note: Note) -> str:
    """Return a CRC-32 over the note: nothing else in an archive would show that its time was
    altered."""
    return (
        f"{zlib.crc32(f'{note.seq} {note.head.hex()} {note.root.hex()} {note.time}'.encode()):08x}"
    )


def _is_seq(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 0xFFFFFFFF


def _number(stem: str) -> int:
    """Return the seq in a file's name, 0 if there is none."""
    return int(stem) if stem.isascii() and stem.isdigit() else 0


def _is_numbered(path: Path) -> bool:
    """Return whether a file bears the name of a segment or a snapshot: a seq in ten digits."""
    return path.stem == f"{_number(path.stem):010d}" and _number(path.stem) <= 0xFFFFFFFF


def _inside(folder: Path) -> Iterator[Path]:
    """Yield what a folder holds but for what other programs put into any."""
    if folder.exists():
        yield from (each for each in sorted(folder.iterdir()) if not disk.is_stranger(each.name))


def _snapshot(file: Path) -> bytes:
    """Return the bytes of a snapshot's file, as far as its header says and one more."""
    with disk.reading(file) as opened:
        header = opened.read(snapshot.HEADER)
        try:
            more = snapshot.decode(header).length
        except FormatError:
            more = 0
        return header + opened.read(more + 1)


def _write_all(file: Any, data: bytes | memoryview) -> None:
    """Write data to an unbuffered file, which may take it piece by piece."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _write_json(path: Path, facts: dict[str, Any]) -> None:
    _write(path.with_name(path.name + ".new"), path, (json.dumps(facts, indent=2) + "\n").encode())


def _write(aside: Path, path: Path, data: bytes) -> None:
    """Put data at path, wholly or not at all, by way of the file aside."""
    with disk.writing(aside, "wb") as file:
        _write_all(file, data)
        os.fsync(file.fileno())
    os.replace(aside, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
