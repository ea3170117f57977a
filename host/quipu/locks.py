"""Locks on files: one process holds one, and it is let go when that process ends, however it ends.

The file is opened for writing and made if it is not there: network file systems lock no other.
Unix locks all of it, Windows one byte far behind its end. Only "it would block" means that another
process holds the lock; a file system that has no locks gives one that keeps nobody out (see
`Lock.real`), and so does a Python with neither fcntl nor msvcrt. Standard library only."""

import contextlib
import errno
import os
import time
from pathlib import Path

_POLL_S = 0.1  # between two tries, where the system cannot wait for a lock
_FAR = 0x7FFFFFFE  # the byte that Windows locks: nobody reads or writes there
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN)
# of flock, where a file system has none: NFS without its daemon, CIFS, FUSE, some SD cards
_NONE_THERE = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Lock:
    """A lock that this process holds until `release`, or the end of a with block. real: False
    where the file system has no locks, so that it keeps nobody out."""

    def __init__(self, handle: int, real: bool = True) -> None:
        self._handle = handle
        self.real = real

    def release(self) -> None:
        """Let others have it. Twice is as good as once."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def take(path: str | os.PathLike[str]) -> Lock | None:
    """Return a lock on a file, which is made if it is not there; None if another process holds it.
    OSError if the file cannot be written, or the lock failed for another reason."""
    return _take(path, False)


def wait(path: str | os.PathLike[str]) -> Lock:
    """Return a lock on a file, as `take` does, as soon as nobody else holds it."""
    while (lock := _take(path, True)) is None:  # a system that cannot wait
        time.sleep(_POLL_S)
    return lock


def _take(path: str | os.PathLike[str], wait: bool) -> Lock | None:
    while True:
        handle = os.open(path, _FLAGS, 0o666)
        try:
            real = _lock(handle, wait)
            there = _is_there(handle, path)
        except BaseException as error:
            os.close(handle)
            if isinstance(error, OSError) and error.errno in _HELD:
                return None
            raise
        if there:
            return Lock(handle, real)
        os.close(handle)  # who held it has removed it: the lock is on a file that nobody else finds


def _lock(handle: int, wait: bool) -> bool:
    """Lock an open file and return whether that keeps anyone out. OSError, EWOULDBLOCK among them,
    if it is not locked."""
    try:
        import fcntl
    except ImportError:
        return _lock_without_fcntl(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in _NONE_THERE:
            raise
        return False
    return True


def _lock_without_fcntl(handle: int) -> bool:
    with contextlib.suppress(ImportError):
        import msvcrt

        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]  # on Windows alone
        except OSError as error:
            # its word for "another process holds it"
            code = errno.EWOULDBLOCK if error.errno == errno.EACCES else error.errno
            raise OSError(code, os.strerror(code or 0)) from None
        return True
    return True


def _is_there(handle: int, path: str | os.PathLike[str]) -> bool:
    """Return whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(Path(path)))
    except FileNotFoundError:
        return False
