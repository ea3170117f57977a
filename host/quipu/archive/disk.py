"""The one door to the disk: only regular files are opened, their sizes are known before they are
read, nothing is written through a symlink, and what is to last is fsynced. Knows no content.

An archive lies where other programs write too: copies made by macOS, sync tools, sticks. A FIFO
would make a reader wait for ever, a device never ends, a symlink leads a writer elsewhere. And it
lies on any disk: one that is full, one that fails, a share without locks."""

import contextlib
import errno
import os
import secrets
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from quipu import locks
from quipu.errors import ArchiveDamage, ArchiveError, UsageError, Weaker

# what file systems and desktops put into any folder, besides names that begin with a dot
_STRANGERS = frozenset(
    (
        "$RECYCLE.BIN",
        "Icon\r",
        "System Volume Information",
        "Thumbs.db",
        "desktop.ini",
        "lost+found",
    )
)
_FOLDERS = ("frames", "snapshots")  # of an archive
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symlink"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Opening never waits for a FIFO's other end. Windows has none of these, but needs O_BINARY.
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_WRITING = {
    "ab": os.O_WRONLY | os.O_APPEND | os.O_CREAT,
    "wb": os.O_WRONLY | os.O_TRUNC | os.O_CREAT,
    "xb": os.O_WRONLY | os.O_EXCL | os.O_CREAT,
    "r+b": os.O_RDWR,
}
# Of a file that is being written beside another one: a stranger's name, so that what a killed
# process leaves is passed over. No two are the same.
_OWN = ("archive.json", "note.json", "index.sqlite")  # an archive's, beside its folders
_ASIDE = ".quipu-"
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_NO_LEAVE = (errno.EROFS, errno.EACCES, errno.EPERM)
# of fsync, where a file system knows no such thing: of folders CIFS, FUSE and Windows
_NO_FSYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)
# Whatever is written there is a stream, also where the system shows the file behind it.
_STREAMS = ("/dev", "/dev/fd", "/proc/self/fd")
_BLOCK = 1 << 16


def is_stranger(name: str) -> bool:
    """Return whether a file of this name is another program's in any folder: it is passed over."""
    return name.startswith(".") or name in _STRANGERS


def reading(file: Path) -> IO[bytes]:
    """Open a file of an archive to read it. FileNotFoundError if it is not there; ArchiveDamage if
    it is no regular file, nor a symlink to one."""
    _need_regular(file)
    opened = os.fdopen(os.open(file, os.O_RDONLY | _FLAGS), "rb")
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):  # changed in between
        opened.close()
        raise _damage(file, "a regular file", "another kind of file")
    return opened


class Writer:
    """A file of an archive that is open to be written, unbuffered; a context manager. OSError of
    the system as it is."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of data, which the system may take piece by piece."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._handle, rest) :]

    def seek(self, place: int) -> None:
        """Go on at byte `place`."""
        os.lseek(self._handle, place, os.SEEK_SET)

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(self._handle, size)

    def sync(self) -> None:
        """Return when all that was written to the file is on the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Close the file. Twice is as good as once."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def writing(file: Path, mode: str) -> Writer:
    """Open a file of an archive to write it. mode: "ab", "wb", "r+b", or "xb" for one that is not
    there. ArchiveError if it is there and no regular file, or if it or its folder is a symlink."""
    folder = file.parent
    for each in (folder, file) if folder.name in _FOLDERS else (file,):
        if each.is_symlink():
            raise ArchiveError(
                f"{each} is a symlink to {os.readlink(each)}: nothing in an archive is written "
                "through one. Put what it leads to in its place, or remove it, and try again"
            )
    kind = strange(file)
    if kind is not None:
        raise ArchiveError(f"{file} is {kind}, not a regular file: remove it, and try again")
    return Writer(os.open(file, _WRITING[mode] | _FLAGS | _NO_FOLLOW, 0o666))


def write_again(file: Path, first: int, end: int) -> None:
    """Write the bytes first to end of a file once more, where they are. After an fsync that failed,
    the system may hold bytes for written that are on no disk; so they are again its to write."""
    with reading(file) as source, writing(file, "r+b") as target:
        source.seek(first)
        target.seek(first)
        while first < end and (data := source.read(min(_BLOCK, end - first))):
            target.write(data)
            first += len(data)


def replace(file: Path, blocks: Iterable[bytes]) -> None:
    """Put blocks at `file`, wholly or not at all; return when they are on the disk under that
    name."""
    if file.parent.is_symlink() and file.parent.name in _FOLDERS:
        writing(file, "r+b")  # says what is wrong
    with _in_place_of(file) as aside, writing(aside, "xb") as opened:
        for each in blocks:
            opened.write(each)
        opened.sync()


def remove(file: Path) -> None:
    """Remove a file; it may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(file)


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it, each on the disk under its name; return the ones that were
    not there, innermost last."""
    made: list[Path] = []
    try:
        for each in (*reversed(folder.parents), folder):
            if not each.is_dir():
                with contextlib.suppress(FileExistsError):
                    os.mkdir(each)
                    made.append(each)
                    sync_folder(each.parent)
    except BaseException:
        remove_folders(made)
        raise
    return made


def remove_folders(folders: Iterable[Path]) -> None:
    """Remove folders, innermost last, as far as they are empty."""
    for each in reversed(list(folders)):
        with contextlib.suppress(OSError):
            os.rmdir(each)


def put(path: str | os.PathLike[str], blocks: Iterable[bytes]) -> None:
    """Write blocks to a file that a person asked for, as `output` does."""
    with output(path) as aside:
        mode = os.O_WRONLY | (0 if aside == Path(path) else os.O_TRUNC)
        with Writer(os.open(aside, mode | _FLAGS)) as opened:
            rest = bytearray()
            for each in blocks:
                rest += each
                if len(rest) >= _BLOCK:
                    opened.write(rest)
                    rest = bytearray()
            opened.write(rest)


def sync_file(file: Path) -> None:
    """Return when all that any process wrote to a file is on the disk."""
    _need_regular(file)
    # Windows asks for a file that may be written; elsewhere a symlink to one will do.
    handle = os.open(file, (os.O_RDWR if os.name == "nt" else os.O_RDONLY) | _FLAGS)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk. Where the file system cannot say, that is
    told once."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY | _FLAGS)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
        weaker(
            f"{folder}: this file system cannot say when a file's name is on the disk "
            f"({os.strerror(error.errno)}): should this computer lose power, look whether the "
            "newest files are there"
        )
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[locks.Lock]:
    """Hold the lock `name` of an archive's folder. ArchiveError if another process does, or if
    nothing can be written there. Where the file system has no locks, that is told once."""
    path = folder / name
    if kind := strange(path):
        raise ArchiveError(f"{path} is {kind}, not a regular file: remove it, and try again")
    with told(folder):
        lock = locks.take(path)
    if lock is None:
        raise ArchiveError(f"{folder} is being written by another process: wait until it is done")
    with lock:
        if not lock.real:
            weaker(
                f"{folder}: this file system has no locks: let one program at a time write there"
            )
        yield lock


def drop_unfinished(folder: Path) -> None:
    """Remove what `replace` has left in an archive's folders when its process was killed."""
    for part in (folder, *(folder / name for name in _FOLDERS)):
        for each in part.glob(f"{_ASIDE}*.part"):
            with contextlib.suppress(OSError):
                os.unlink(each)


def weaker(what: str) -> None:
    """Say, once in a process, what a file system cannot promise."""
    if what not in _said:
        _said.add(what)
        warnings.warn(what, Weaker, stacklevel=2)


_said: set[str] = set()


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Say what to do where the system refuses to write to the archive at `path`. What was there
    before still stands."""
    try:
        yield
    except OSError as e:
        if e.errno in _NO_ROOM:
            advice = "make room"
        elif e.errno in _NO_LEAVE:
            advice = "allow writing there"
        else:
            advice = "see to the disk"
        raise ArchiveError(
            f"{path} cannot be written: {e.strerror or e}. It is valid as far as it goes: "
            f"{advice}, then sync again"
        ) from None


@contextlib.contextmanager
def output(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the path of an empty file beside a file that a person asked for; at the end of the with
    block it takes that one's place, whole and on the disk. Where anything fails before, on a full
    disk for instance, what stood there stays. A device or a pipe is given itself. UsageError for a
    file of an archive: its frames may be nowhere else."""
    target = Path(os.path.realpath(path))
    if _is_archives(target):
        raise UsageError(
            f"{os.fspath(path)} is a file of an archive, and would be written over: name another one"
        )
    try:
        stood: os.stat_result | None = os.stat(path)
    except FileNotFoundError:
        stood = None
    if os.path.dirname(path) in _STREAMS or stood and not stat.S_ISREG(stood.st_mode):
        yield Path(path)
        return
    with _in_place_of(target) as aside:
        os.close(os.open(aside, _WRITING["xb"] | _FLAGS, 0o666))
        if stood:
            os.chmod(aside, stat.S_IMODE(stood.st_mode))
        yield aside
        try:
            sync_file(aside)
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                raise


def _is_archives(target: Path) -> bool:
    """Return whether a path is that of a file which an archive is made of."""
    if target.parent.name in ("frames", "snapshots"):
        return (target.parent.parent / "archive.json").exists()
    return target.name in _OWN and (target.parent / "archive.json").exists()


@contextlib.contextmanager
def _in_place_of(target: Path) -> Iterator[Path]:
    """Give a path beside `target`; what is there at the end of the with block takes that one's
    place. After an error it is removed."""
    aside = target.with_name(f"{_ASIDE}{secrets.token_hex(8)}.part")
    try:
        yield aside
        os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise
    sync_folder(target.parent)


def size(file: Path) -> int:
    """Return the bytes of a file of an archive. Errors as of `reading`."""
    return _need_regular(file).st_size


def contents(file: Path, limit: int) -> bytes:
    """Return the bytes of a file of an archive. Errors as of `reading`; ArchiveDamage if there are
    more than `limit`: none is read then."""
    with reading(file) as opened:
        length = os.fstat(opened.fileno()).st_size
        if length > limit:
            raise _damage(file, f"at most {limit:,} bytes", f"{length:,}")
        return opened.read(length)


def strange(file: Path) -> str | None:
    """Return what a path is instead of a regular file, "a symlink" for instance; None if it is one,
    or nothing."""
    try:
        mode = os.lstat(file).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if stat.S_ISREG(mode) else _kind(mode)


def _need_regular(file: Path) -> os.stat_result:
    """Return a file's facts; ArchiveDamage unless it is a regular file, or a symlink to one."""
    try:
        found = os.stat(file)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _damage(file, "a regular file", "a symlink that leads back to itself") from None
    if not stat.S_ISREG(found.st_mode):
        raise _damage(file, "a regular file", _kind(found.st_mode))
    return found


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "another kind of file")


def _damage(file: Path, expected: str, found: str) -> ArchiveDamage:
    within = file.parent.name in _FOLDERS
    seq = int(file.stem) if within and file.stem.isascii() and file.stem.isdigit() else 0
    root = file.parent.parent if within else file.parent
    return ArchiveDamage(root, seq, str(file.relative_to(root)), expected, found)
