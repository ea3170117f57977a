"""The versions of a key, newest first, read from the frames that wrote them. Replays nothing.

Each frame is the very one that was indexed (its digest says so), and names the write before it: a
version that is missing shows."""

from typing import Any, NamedTuple

from quipu.archive.frame import kind_and_payload, tick_of
from quipu.errors import ArchiveDamage
from quipu.past.index import KEY, Change, Index
from shared_kernel import kernel as k
from shared_kernel.kernel import u32


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


def versions(index: Index, name: bytes, until: int, limit: int = -1) -> Versions:
    """Return the writes of a key up to the frame `until`, at most `limit` of the newest (-1: all).
    ArchiveDamage if a frame is not what was indexed, or the index lacks one."""
    files: dict[int, Any] = {}
    try:
        rows = index.changes(KEY, name, until, limit + 1 if limit >= 0 else -1)
        older = rows[limit:] if limit >= 0 else []
        rows = rows[:limit] if limit >= 0 else rows
        found = [_version(index.frame(each, files), each) for each in rows]
        missing = None
        for i, each in enumerate(found):
            after = (
                found[i + 1]
                if i + 1 < len(found)
                else _version(index.frame(older[0], files), older[0])
                if older
                else None
            )
            due = 0 if after is None or after.deleted else after.seq
            if each.previous != due:
                if not after and not _holds(index, each.previous):
                    missing = each.previous
                    continue
                raise ArchiveDamage(
                    index.path,
                    each.seq,
                    "the write before it",
                    f"seq {each.previous}",
                    f"seq {due}; make the index anew with `quipu index {index.archive.path} "
                    f"--rebuild`",
                )
        return Versions(_filled(index, name, found, files), missing)
    finally:
        for file in files.values():
            file.close()


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
                before = _version(index.frame(each, files), each)
                if not before.same:
                    value = before.value
                    break
            at = rows[-1].seq
    out = []
    for version in reversed(found):
        value = value if version.same else version.value
        out.append(version._replace(value=value))
    return out[::-1]
