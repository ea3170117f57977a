"""A disk whose n-th system call fails, and what of it would be left if the power went now.

The calls are the real ones, on a real folder; the shim stands between them and the program. Beside
the folder it keeps a model of the disk: a file's bytes are on it once an fsync of the file has
succeeded, a name once an fsync of its folder has. After an fsync that failed, the bytes that were
due are on no disk although the system reads them back, and a later fsync says that all is well: so
Linux does it (the pages are marked clean)."""

import errno
import io
import os
from pathlib import Path

from quipu.archive import disk as door

# What a call fails with: what a system gives there, and what it never should.
ERRNOS = ("ENOSPC", "EIO", "EROFS", "EDQUOT", "EACCES", "EINTR", "ENOLCK", "EINVAL")
_UNKNOWN = (
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
)  # of a folder's fsync: there is no such thing
_WHOLE = (errno.EROFS, errno.EACCES)  # of a write: none of it was taken


class Disk:
    """The folder `root` behind the shim. calls: names of the calls so far; fail: (number of the
    call that fails, its errno), or None; failed: the call that did."""

    def __init__(self, root):
        self.root = str(root)
        self.calls, self.fail, self.failed = [], None, None
        self._handles = {}  # handle: (path, number of the file)
        self._files = {}  # path: number of the file that has this name now
        self._kept = []  # by number: the bytes that are on the disk
        self._due = []  # by number: what was done since
        self._names = {}  # path of a folder: {name: number, or None for a folder} on the disk
        for folder, _, names in os.walk(root):
            for name in names:
                path = os.path.join(folder, name)
                self._new(path, Path(path).read_bytes())
        for folder, _, _ in os.walk(root):
            self._name(folder)

    def begin(self, fail=None):
        """Count anew, and let the call `fail` fail."""
        self.calls, self.fail, self.failed = [], fail, None

    def left(self, target):
        """Make the folder `target`, as the root would be if the power went now."""
        self._lay(self.root, Path(target))
        return Path(target)

    def _lay(self, folder, target):
        target.mkdir()
        for name, number in self._names.get(folder, {}).items():
            if number is None:
                self._lay(os.path.join(folder, name), target / name)
            else:
                (target / name).write_bytes(self._kept[number])

    def _new(self, path, data=b""):
        self._files[path] = len(self._kept)
        self._kept.append(bytearray(data))
        self._due.append([])

    def _name(self, folder):
        found = {}
        for each in os.scandir(folder):
            if each.is_dir(follow_symlinks=False):
                found[each.name] = None
            elif each.path in self._files:
                found[each.name] = self._files[each.path]
        self._names[folder] = found

    # -- the calls -----------------------------------------------------------------------------

    def install(self, patch):
        """Put the shim in place of the system's calls, by a monkeypatch."""
        import fcntl

        self._real = {name: getattr(os, name) for name in (*_BY_PATH, *_BY_HANDLE, "lseek")}
        self._real["flock"] = fcntl.flock
        for name in _BY_PATH + _BY_HANDLE:
            patch.setattr(os, name, self._call(name))
        patch.setattr(fcntl, "flock", self._call("flock"))
        reading = door.reading
        patch.setattr(door, "reading", lambda file: self._reader(reading(file)))

    def _call(self, name):
        real = self._real[name]

        def call(*args, **more):
            path = self._path(name, args)
            if path is None:
                return real(*args, **more)
            number = self._count(name, path)
            if number is not None:
                self._refuse(name, args, number)
                raise OSError(number, os.strerror(number), *(path,) * (name in _BY_PATH))
            return getattr(self, f"_do_{name}", self._just)(real, path, *args, **more)

        return call

    def _count(self, name, path):
        """Count a call; return the errno with which it fails, None if it does not."""
        self.calls.append(name)
        if self.fail and len(self.calls) == self.fail[0] + 1:
            self.failed = f"{name} of {os.path.relpath(path, self.root)}"
            return self.fail[1]
        return None

    def _path(self, name, args):
        """Return the path in the root that a call is about, None if it is about another."""
        if name in _BY_PATH and not isinstance(args[0], int):
            path = os.path.abspath(os.fspath(args[0]))
            inside = isinstance(path, str) and path.startswith(self.root)
            return path if inside else None
        return self._handles.get(args[0], (None,))[0]

    def _refuse(self, name, args, number):
        """Do what a call that fails does all the same."""
        path, file = self._handles.get(args[0], (None, None)) if args else (None, None)
        if name == "write" and number not in _WHOLE:
            half = bytes(args[1])[: len(args[1]) // 2]
            self._do_write(self._real["write"], path, args[0], half)
        elif name == "close":
            self._do_close(self._real["close"], path, args[0])
        elif name == "fsync" and file is not None:
            self._due[file].clear()
        elif name == "fsync" and number in _UNKNOWN:
            self._name(path)

    def _just(self, real, path, *args, **more):
        return real(*args, **more)

    def _do_open(self, real, path, name, flags, *args, **more):
        try:
            fresh = not self._real["lstat"](path)
        except FileNotFoundError:
            fresh = True
        handle = real(name, flags, *args, **more)
        if fresh:
            self._new(path)
        file = self._files.get(path)
        if flags & os.O_TRUNC and file is not None:
            self._due[file].append((None, 0))
        self._handles[handle] = path, file
        return handle

    def _do_write(self, real, path, handle, data):
        file = self._handles[handle][1]
        # of a file that is appended to, the place is known afterwards
        written = real(handle, data)
        end = self._real["lseek"](handle, 0, os.SEEK_CUR)
        self._due[file].append((end - written, bytes(data)[:written]))
        return written

    def _do_ftruncate(self, real, path, handle, size):
        real(handle, size)
        self._due[self._handles[handle][1]].append((None, size))

    def _do_fsync(self, real, path, handle):
        file = self._handles[handle][1]
        if file is None:
            self._name(path)
            return
        kept = self._kept[file]
        for place, what in self._due[file]:
            if place is None:
                del kept[what:]
            else:
                kept.extend(bytes(max(0, place - len(kept))))
                kept[place : place + len(what)] = what
        self._due[file].clear()

    def _do_close(self, real, path, handle):
        del self._handles[handle]
        real(handle)

    def _do_replace(self, real, path, source, target):
        real(source, target)
        self._files[os.path.abspath(os.fspath(target))] = self._files.pop(path)

    def _do_unlink(self, real, path, *args, **more):
        real(*args, **more)
        self._files.pop(path, None)

    def _reader(self, opened):
        """Return a file that is read through the shim."""
        path, _ = self._handles.pop(opened.fileno(), (None, None))  # it is closed elsewhere
        return io.BufferedReader(_Raw(self, opened, path)) if path else opened


class _Raw(io.RawIOBase):
    """A file that is read, each time through the shim."""

    def __init__(self, disk, opened, path):
        self.disk, self.opened, self.path = disk, opened, path

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, *args):
        return self.opened.seek(*args)

    def tell(self):
        return self.opened.tell()

    def fileno(self):
        return self.opened.fileno()

    def readinto(self, buffer):
        number = self.disk._count("read", self.path)
        if number is not None:
            raise OSError(number, os.strerror(number))
        return self.opened.readinto(buffer)

    def close(self):
        if not self.closed:
            super().close()
            self.opened.close()


_BY_PATH = ("open", "replace", "unlink", "mkdir", "rmdir", "stat", "lstat")
_BY_HANDLE = ("write", "fsync", "ftruncate", "close", "fstat")
