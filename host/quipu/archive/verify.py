"""Proof by replay: an archive's frames in, a verdict out. Changes no file, and nothing on a live
board, which may write its boot frame before it is read.

How one pass replays and compares is in passes.py, how several processes share it in parallel.py.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from quipu.archive import disk, parallel
from quipu.archive.chain import claims
from quipu.archive.compare import Live, compare
from quipu.archive.files import Archive
from quipu.archive.origin import Archives
from quipu.archive.verdict import EMPTY, NO_ARCHIVE, TOO_LARGE, Verdict, parted
from quipu.errors import ArchiveDamage, ArchiveError, NoArchive, TooLarge, UsageError
from shared_kernel.errors import Mismatch
from shared_kernel.frames import GENESIS_BYTES, NO_HEAD, OVERHEAD, length_at


def verify(
    archive: Archive | str | os.PathLike[str],
    board: Live | None = None,
    expect_root: str | bytes | None = None,
    expect_head: str | bytes | None = None,
    allow_gap: bool = False,
    jobs: int | None = None,
    origins: Archives = (),
) -> Verdict:
    """Replay an archive and return the verdict.

    board: a live board whose log must go on from the archive's (what it has beyond is pulled and
        replayed, not kept). Of an archive without frames nothing is compared.
    expect_root, expect_head: 32 bytes or 64 hexadecimal digits known from elsewhere, of the
        archive's end. jobs: processes that
    share the work (None: as many as there are cores, if the log is long enough to be worth it); the
    verdict is the same. origins: archives, among them perhaps that of the log which this one
    continues: it is replayed too, up to where this one begins. NoArchive if one of them, or of the
        origins, is none; every other fault of this archive is a verdict.
    """
    origins = [each if isinstance(each, Archive) else Archive(each) for each in origins]
    verdict = Verdict(allow_gap=allow_gap)
    expected = [
        ("state root known from elsewhere", _hash(expect_root)),
        ("chain head known from elsewhere", _hash(expect_head)),
    ]
    try:
        if not isinstance(archive, Archive):
            archive = Archive(archive)
        if expect_root is expect_head is None and _is_unbegun(archive):
            verdict.verdict, verdict.board, verdict.log = EMPTY, archive.identity, archive.log.hex()
            verdict.torn = archive.size(archive.segments[-1])
            if archive.segments[0].first:
                verdict.gaps.append([0, archive.segments[0].first - 1])
            return verdict
        replay = parallel.replayed(archive, verdict, jobs, origins)
        for (what, known), found in zip(expected, (replay.kernel.root(), replay.head), strict=True):
            if known is not None and known != found:
                raise Mismatch(replay.seq, what, known.hex(), found.hex())
        if board is not None:
            compare(verdict, archive, replay, board)
    except (Mismatch, ArchiveDamage) as e:
        parted(verdict, e)
    return verdict


def _is_unbegun(archive: Archive) -> bool:
    """Return whether an archive holds no whole frame yet, as after a first sync that broke off at
    once: nothing of it can have been altered."""
    if archive.note() or archive.snapshots() or archive.undeclared():
        return False
    if not all(archive.file(each).exists() for each in archive.segments):
        return False
    if any(archive.size(each) for each in archive.segments[:-1]):
        return False
    last = archive.segments[-1]
    with disk.reading(archive.file(last)) as file:
        begun = file.read(OVERHEAD)
    if not begun:
        return True
    limit = GENESIS_BYTES if last.head == NO_HEAD else OVERHEAD + 0xFFFF
    size = archive.size(last)
    whole = len(begun) >= 4 and length_at(begun, 0) <= size
    return claims(begun, limit, last.first) and not whole


def inside(folder: str | os.PathLike[str]) -> list[str]:
    """Return the archives in a folder and in its folders, by name; the folder itself if it is one.

    What has frames in a folder of that name is one that lacks archive.json. An archive is not
    searched further, and no link to a folder is followed. NoArchive if there is none; OSError if a
    folder cannot be read.
    """

    def unreadable(error: OSError) -> None:
        raise error

    if not os.path.isdir(folder):
        raise NoArchive(os.fspath(folder))
    found = []
    for path, folders, files in os.walk(folder, onerror=unreadable):
        frames = os.listdir(os.path.join(path, "frames")) if "frames" in folders else []
        if "archive.json" in files or any(each.endswith(".log") for each in frames):
            found.append(path)
            folders.clear()
        folders.sort()
    if not found:
        raise NoArchive(os.fspath(folder), ", and none is inside of it")
    return found


def many(
    archives: Sequence[str | os.PathLike[str]],
    allow_gap: bool = False,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Verdict]:
    """Return the verdict of each archive, in their order; of several, "no archive" of a path that is
    none. Several are shared out whole, one is shared out in parts.

    jobs: processes at once (None: as many as there are cores). progress(done, total): archives.
    NoArchive if the only one is none.
    """
    if len(archives) == 1:
        return [verify(archives[0], allow_gap=allow_gap, jobs=jobs)]
    out = []
    for verdict in _each(archives, allow_gap, jobs):
        out.append(verdict)
        if progress:
            progress(len(out), len(archives))
    return out


def _each(
    archives: Sequence[str | os.PathLike[str]], allow_gap: bool, jobs: int | None
) -> Iterator[Verdict]:
    """Yield the verdict of each archive, in their order, as soon as it is there."""
    jobs = min(len(archives), jobs or parallel.cores())
    if jobs == 1:
        for each in archives:
            yield one_of_many(each, allow_gap, 1)
        return
    orders = [{"verify": os.path.abspath(each), "allow_gap": allow_gap} for each in archives]
    for each, found in zip(archives, parallel.shared(orders, jobs), strict=True):
        if found["verdict"] == NO_ARCHIVE:  # it says why, by the path as it was given
            yield _no_archive(each, allow_gap) or _from_child(found, allow_gap)
        else:
            yield _from_child(found, allow_gap)


def one_of_many(
    archive: str | os.PathLike[str], allow_gap: bool = False, jobs: int | None = None
) -> Verdict:
    """Return the verdict of an archive that was named among others: `verify`, but "no archive" is a
    verdict too, so that one stray file does not cost the others theirs."""
    try:
        return _no_archive(archive, allow_gap) or verify(archive, allow_gap=allow_gap, jobs=jobs)
    except TooLarge as error:
        return Verdict(TOO_LARGE, problem=str(error), allow_gap=allow_gap)


def _no_archive(path: str | os.PathLike[str], allow_gap: bool) -> Verdict | None:
    """Return the verdict "no archive" of a path that cannot be opened as one, else None."""
    try:
        Archive(path)
    except ArchiveDamage:  # an archive, but a broken one: verify says where
        return None
    except (ArchiveError, OSError) as error:
        return Verdict(NO_ARCHIVE, problem=str(error), allow_gap=allow_gap)
    return None


def _from_child(found: dict[str, Any], allow_gap: bool) -> Verdict:
    """Return the verdict that another process gave as plain data."""
    fields = {name: value for name, value in found.items() if name != "exit_code"}
    return Verdict(**fields, allow_gap=allow_gap)


def _hash(known: str | bytes | None) -> bytes | None:
    try:
        value = bytes.fromhex(known) if isinstance(known, str) else known
    except ValueError:
        value = b""
    if value is not None and len(value) != 32:
        raise UsageError(f"an expected root or head is 64 hexadecimal digits, not {known!r}")
    return value
