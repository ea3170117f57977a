"""The versions of a key, newest first, read from the frames that wrote them.

Each frame is the very one that was indexed (its digest says so), bears the key's name, and names the
write before it: a version that is missing in between shows. The newest one is held against the state
at that moment."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from quipu.archive.frame import kind_and_payload, tick_of
from quipu.errors import ArchiveDamage
from quipu.past.index import Index
from quipu.past.rows import KEY, Change
from shared_kernel import kernel as k
from shared_kernel.errors import NotFound
from shared_kernel.kernel import Kernel, u32

State = Callable[[int], Kernel]
_ANEW = "make the index anew with `quipu index %s --rebuild`"


class Version(NamedTuple):
    """A write of a key. value: None if it was deleted; tick: the frame's; same: whether it wrote
    what was there already, so the value stands in an older frame (None then, if that frame is
    missing). previous: seq of the write before it, 0 for none."""

    seq: int
    value: bytes | None
    tick: int
    deleted: bool
    same: bool
    previous: int


class Versions(NamedTuple):
    """versions: newest first. missing: seq of the write before the oldest of them, if its frame is
    not in the archive, else None."""

    versions: list[Version]
    missing: int | None


def versions(
    index: Index, name: bytes, until: int, limit: int = -1, state: State | None = None
) -> Versions:
    """Return the writes of a key up to the frame `until`, at most `limit` of the newest (-1: all).
    ArchiveDamage if a frame is not what was indexed, or the index lacks one.

    state: gives the state after a frame, to hold the newest version against."""
    files: dict[int, Any] = {}
    try:
        rows = index.changes(KEY, name, until, limit + 1 if limit >= 0 else -1)
        found: list[Version] = []
        missing: int | None = None
        for each, last in linked(index, name, rows, files):
            if 0 <= limit <= len(found):
                break
            found.append(each)
            missing = last
        full = _filled(index, name, found, files)
        if state:
            _held(index, name, until, full[0] if full else None, state, limit)
        return Versions(full, missing)
    finally:
        for file in files.values():
            file.close()


def linked(
    index: Index, name: bytes, rows: list[Change], files: dict[int, Any]
) -> Iterator[tuple[Version, int | None]]:
    """Yield (version, seq of a write before it that the archive lacks, or None) of a key's changes,
    newest first, each once its link to the write before it has been followed. rows: changes of the
    key one after another, as many as are wanted and one more; the last of fewer is its first."""
    after: Version | None = None
    for each in rows:
        version = _version(index.frame(KEY, name, each, files), each)
        if after:
            due = 0 if version.deleted else version.seq
            if after.previous != due:
                raise _parted(index, after, due)
            yield after, None
        after = version
    if after is None:
        return
    if not after.previous or not _holds(index, after.previous):
        yield after, after.previous or None
    elif rows[-1].nth > 1:  # the one before was not asked for
        yield after, None
    else:
        raise _parted(index, after, 0)


def _parted(index: Index, version: Version, due: int) -> ArchiveDamage:
    return ArchiveDamage(
        index.path,
        version.seq,
        "the write before it",
        f"seq {version.previous}",
        f"seq {due}; {_ANEW % index.archive.path}",
    )


def _held(
    index: Index, name: bytes, until: int, newest: Version | None, state: State, limit: int
) -> None:
    """Raise ArchiveDamage unless the newest version is what the state at that moment holds, where a
    state is known."""
    if limit == 0 or index.progress is None:
        return
    if any(low <= until <= high for low, high in index.progress.gaps):
        return
    try:
        there: tuple[int, bytes | None] = state(until).key(name)
    except NotFound:
        there = 0, None
    if there[0] and not _holds(index, there[0]):
        return  # of before this archive begins
    told = (0, None) if newest is None or newest.deleted else (newest.seq, newest.value)
    if told != there and not (newest and newest.value is None and told[0] == there[0]):
        raise ArchiveDamage(
            index.path,
            until,
            "the newest write of the key",
            f"seq {there[0]}" if there[0] else "none",
            (f"seq {told[0]}" if told[0] else "none") + f"; {_ANEW % index.archive.path}",
        )


def _holds(index: Index, seq: int) -> bool:
    """Return whether the archive has the frame seq."""
    if seq < index.archive.segments[0].first:
        return False
    return (
        not any(first <= seq <= last for first, last in index.progress.gaps)
        if index.progress
        else False
    )


def _version(frame: bytes, change: Change) -> Version:
    kind, start, end = kind_and_payload(frame)
    if kind == k.DELETE_KEY:
        return Version(change.seq, None, tick_of(frame), True, False, u32(frame, start))
    same = bool(frame[start + 4])
    value = None if same else frame[start + 6 + frame[start + 5] : end]
    return Version(change.seq, value, tick_of(frame), False, same, u32(frame, start))


def _filled(
    index: Index, name: bytes, found: list[Version], files: dict[int, Any]
) -> list[Version]:
    """Give writes of the same value that value, from the frame before them that holds it."""
    value: bytes | None = None
    if found and found[-1].same:
        at = found[-1].seq
        while value is None and (rows := index.changes(KEY, name, at - 1, 64)):
            for each in rows:
                before = _version(index.frame(KEY, name, each, files), each)
                if not before.same:
                    value = before.value
                    break
            at = rows[-1].seq
    out = []
    for version in reversed(found):
        value = value if version.same else version.value
        out.append(version._replace(value=value))
    return out[::-1]
