"""An archive: one board's log and snapshots as files in a folder. Knows files and the chain of
frames, not their meaning.

  archive.json            {"format": 1, "log": name, "identity": board, "segments": [{"first": seq, "head": head before it}]}
  frames/0000000000.log   whole frames one after the other, from the seq in the file's name; a new file after a gap, and for what
                          fills one (join.py); .part: not whole yet
  snapshots/0000001234.snap   header and arena (shared_kernel/snapshot.py) of the state after that seq; .part: not whole yet
  index.sqlite            made from the frames, where it is wanted (past/index.py); nothing here reads it
  note.json               what the board said at the end of the last complete sync: {"seq", "head", "root", "time", "check"}

JSON files change by writing another and renaming it, so they are old or new, never half. Frames are
only ever appended. Who writes holds the lock on the file .lock (`held`, `Archive.locked`), also
while the archive is made.

The note says that every frame up to it is on the disk, and only `flush` can prove that: it fsyncs
what this process has not, and first writes again what lies past the note. For an earlier process
may have left that, one whose fsync failed; the system then holds bytes for written that are not."""

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from quipu import limits
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
_LOCK = ".lock"


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
        self._at(path)
        self._read_facts()

    def _at(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: disk.Writer | None = None  # the last segment, open for appending
        # First seqs of the segments whose bytes this process has had on the disk, and whether their
        # names, and the archive's own, are.
        self._safe: set[int] = set()
        self._named = False
        # First seq of a segment: the bytes of its file that nobody may take for written.
        self._doubtful: dict[int, tuple[int, int]] = {}

    def _read_facts(self) -> None:
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
        anything else, or if another process is writing to it. `held` does it for who goes on
        writing."""
        with held(path) as hold:
            if hold.archive:
                cls.need_room(hold.path)
            return hold.create(log, identity, first, head)

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
        file, self._file = self._file, None
        if file:
            with disk.told(self.path):
                file.close()

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
        with disk.told(self.path):
            disk.writing(self.file(segment), "ab").close()
            disk.sync_folder(self.path / "frames")
            before, self.segments = self.segments, sorted([*self.segments, segment])
            try:
                self._write_facts()
            except BaseException:
                self.segments = before
                raise
        return segment

    def fill(self, segment: Segment, blocks: Iterable[bytes]) -> None:
        """Give a segment that has no frames yet all of them, checked by the caller: whole, or not
        at all."""
        with disk.told(self.path):
            disk.replace(self.file(segment), blocks)

    def drop_parts(self) -> None:
        """Remove what a `fill` of an earlier version has left when it broke off."""
        for each in (self.path / "frames").glob("*.part"):
            if _is_numbered(each):
                with disk.told(self.path):
                    disk.remove(each)

    def _json(self, name: str, text: bytes, fields: dict[str, type]) -> dict[str, Any]:
        try:
            facts = limits.parsed(text)
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
            known = 0  # bytes up to the note
            marks = [Mark(segment.first, 0, segment.head)]
            try:
                for offset, frame in self.split(segment):
                    chain.step(frame)
                    end = offset + len(frame)
                    known = end if chain.seq <= noted else known
                    count += 1
                    if count % _MARK_EVERY == 0:
                        marks.append(Mark(chain.seq + 1, end, chain.head))
            except Mismatch as e:
                problem = self._damage(e.seq, e.what, e.expected, e.found)
                if e.seq <= noted or segment is not self.segments[-1]:
                    raise problem from None
            total += end
            if end > known:
                self._doubtful[segment.first] = known, end
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
            with disk.told(self.path):
                self._file = disk.writing(self.file(self.segments[-1]), "ab")
        # Straight to the system: what a killed process or a full disk leaves is a whole run, or a
        # torn end.
        self._safe.discard(self.segments[-1].first)
        with disk.told(self.path):
            self._file.write(data)

    def flush(self) -> None:
        """Return when all frames are on the disk, those that an earlier process appended as well;
        of an archive that was scanned, also if that one's fsync has failed."""
        with disk.told(self.path):
            for each in self.segments:
                if each.first not in self._safe:
                    self._make_safe(each)
            if not self._named:
                for folder in ("snapshots", "frames", "."):
                    disk.sync_folder(self.path / folder)
                with contextlib.suppress(PermissionError):  # a folder that we may not read
                    disk.sync_folder(self.path.absolute().parent)
                self._named = True

    def _make_safe(self, segment: Segment) -> None:
        """Have a segment's frames on the disk."""
        file = self.file(segment)
        doubt = self._doubtful.get(segment.first)
        if doubt:
            disk.write_again(file, *doubt)
        try:
            disk.sync_file(file)
        except OSError:
            self._doubtful[segment.first] = doubt[0] if doubt else 0, disk.size(file)
            raise
        self._doubtful.pop(segment.first, None)
        self._safe.add(segment.first)

    def cut(self, size: int) -> None:
        """Cut the last segment to `size` bytes."""
        self.close()
        self._safe.discard(self.segments[-1].first)
        with disk.told(self.path), disk.writing(self.file(self.segments[-1]), "r+b") as file:
            file.truncate(size)
            file.sync()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the archive for writing, as it is on the disk now; ArchiveError if another process
        does. See locks for what it keeps out."""
        with _locked(self.path):
            self._read_facts()
            self._safe.clear()
            self._doubtful.clear()
            self._named = False
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
            with disk.told(self.path):
                disk.remove(each)
        return b""

    def add_part(self, seq: int, data: bytes) -> None:
        """Keep some more of a snapshot being pulled, for the next pull if this one breaks."""
        with disk.told(self.path), disk.writing(self._part(seq), "ab") as file:
            file.write(data)

    def drop_part(self, seq: int) -> None:
        """Forget what `add_part` kept."""
        with disk.told(self.path):
            disk.remove(self._part(seq))

    def _part(self, seq: int) -> Path:
        return self.snapshot_file(seq).with_suffix(".part")

    def add_snapshot(self, seq: int, data: bytes) -> None:
        """Keep a whole snapshot, checked by the caller. The frames come onto the disk before it: one
        that stood beyond their end would contradict them."""
        self.flush()
        with disk.told(self.path):
            disk.replace(self.snapshot_file(seq), [data])
            disk.remove(self._part(seq))

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
        """Say that everything up to note.seq is here and on the disk, where `flush` puts it
        first."""
        self.flush()
        facts = {
            "seq": note.seq,
            "head": note.head.hex(),
            "root": note.root.hex(),
            "time": note.time,
            "check": _check(note),
        }
        with disk.told(self.path):
            _write_json(self.path / "note.json", facts)


class Hold:
    """A folder that is held for writing. archive: what is there; None if it is yet to be made."""

    def __init__(self, path: Path, archive: Archive | None):
        self.path = path
        self.archive = archive

    def create(self, log: bytes, identity: str, first: int = 0, head: bytes = NO_HEAD) -> Archive:
        """Make the archive, without frames yet, and return it; arguments as of a Segment."""
        made = Archive.__new__(Archive)
        made._at(self.path)
        made.log, made.identity, made.segments = log, identity, []
        with disk.told(self.path):
            for each in ("frames", "snapshots"):
                disk.make_folder(self.path / each)
        made.add_segment(first, head)
        self.archive = made
        return made


@contextlib.contextmanager
def held(path: str | os.PathLike[str]) -> Iterator[Hold]:
    """Hold a folder for writing, and give what is there or can be made there; the folder is made,
    and goes again if no archive was. ArchiveError if another process holds it, or if it has other
    things in it."""
    path = Path(path)
    if not _is_there(path):
        Archive.need_room(path)  # before anything is made
    with disk.told(path):
        made = disk.make_folder(path)
    hold = None
    try:
        with _locked(path):
            archive = Archive(path) if _is_there(path) else None
            if archive is None:
                Archive.need_room(path)  # nobody else can make one from here on
            hold = Hold(path, archive)
            try:
                yield hold
            finally:
                if hold.archive:
                    hold.archive.close()
                if not _is_there(path):
                    disk.remove_folders([path / "frames", path / "snapshots"])
                    with contextlib.suppress(OSError):
                        disk.remove(path / _LOCK)
    finally:
        if not _is_there(path):
            disk.remove_folders(made)


def _is_there(path: Path) -> bool:
    return (path / "archive.json").exists()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an archive's folder for writing, and clear away what a killed process has left."""
    with disk.locked(path, _LOCK) as lock:
        if lock.real:
            disk.drop_unfinished(path)
        yield


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
        limits.need_state(min(more, os.fstat(opened.fileno()).st_size))
        return header + opened.read(more + 1)


def _write_json(path: Path, facts: dict[str, Any]) -> None:
    disk.replace(path, [(json.dumps(facts, indent=2) + "\n").encode()])
