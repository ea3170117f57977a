"""The files of an archive as they lie on a disk: only regular files are opened, their sizes are
known before they are read, and nothing is written through a symlink. Knows no content.

An archive lies where other programs write too: copies made by macOS, sync tools, sticks. A FIFO
would make a reader wait for ever, a device never ends, a symlink leads a writer elsewhere."""

import errno
import os
import stat
from pathlib import Path
from typing import IO

from quipu.errors import ArchiveDamage, ArchiveError

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
    "r+b": os.O_RDWR,
}


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


def writing(file: Path, mode: str) -> IO[bytes]:
    """Open a file of an archive to write it, unbuffered. mode: "ab", "wb" or "r+b". ArchiveError if
    it is there and no regular file, or if it or its folder is a symlink."""
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
    return open(os.open(file, _WRITING[mode] | _FLAGS | _NO_FOLLOW, 0o666), mode, buffering=0)


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
