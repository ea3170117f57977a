"""Locks on files and folders: one process holds one, and it is let go when that process ends,
however it ends.

Unix locks the file or the folder itself. Windows cannot open a folder: there a file in the
temporary folder, named after the path, stands for it, so a lock keeps out other programs of this
user on this machine, but nobody who reaches the folder over a network. A Python with neither fcntl
nor msvcrt locks nothing: let one program at a time write there. Standard library only."""

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path

_POLL_S = 0.1  # between two tries, where the system cannot wait for a lock


class Lock:
    """A lock that this process holds until `release`, or the end of a with block."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

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
    """Return a lock on a file or a folder, which must be there; None if another process holds
    it."""
    try:
        import fcntl
    except ImportError:
        return _take_without_fcntl(Path(path))
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(handle)
        if isinstance(error, OSError):
            return None
        raise
    return Lock(handle)


def wait(path: str | os.PathLike[str]) -> Lock:
    """Return a lock on a file or a folder, as soon as nobody else holds it."""
    try:
        import fcntl
    except ImportError:
        while (lock := take(path)) is None:
            time.sleep(_POLL_S)
        return lock
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except BaseException:
        os.close(handle)
        raise
    return Lock(handle)


def _take_without_fcntl(path: Path) -> Lock | None:
    with contextlib.suppress(ImportError):
        import msvcrt

        name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
        handle = os.open(Path(tempfile.gettempdir()) / f"quipu-{name}.lock", os.O_RDWR | os.O_CREAT)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]  # on Windows alone
        except OSError:
            os.close(handle)
            return None
        return Lock(handle)
    return Lock(-1)
