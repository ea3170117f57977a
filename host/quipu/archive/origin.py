"""The link from a log that continues another one back to it: what its genesis names, and whether
the other log's archive agrees.

A continuation begins with a given state. In its own archive that state is the snapshot of the
genesis's seq, if it was pulled before the board took others. The archive of the log that it names
gives the same state by replay, under the continuation's capacities."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from quipu import limits
from quipu.archive.files import Archive
from quipu.archive.frame import taken_apart
from quipu.errors import ArchiveError
from shared_kernel import snapshot_file
from shared_kernel.errors import FormatError, Mismatch, Refused
from shared_kernel.frames import GENESIS, NO_HEAD
from shared_kernel.genesis import Genesis
from shared_kernel.kernel import Kernel

Archives = Sequence["Archive | str | os.PathLike[str]"]


class Origin(NamedTuple):
    """What a continuation's genesis names: the other log, its last seq that counts, chain head and
    root there; and the root of the state that the continuation begins with."""

    log: bytes
    seq: int
    head: bytes
    root: bytes
    base: bytes


def named(frame: memoryview | bytes) -> Origin | None:
    """Return the Origin in a genesis frame; None if it begins with the empty state, or cannot be
    read."""
    try:
        origin = Genesis(taken_apart(frame).payload).origin
    except (FormatError, Refused, ValueError):  # replay says what is wrong with it
        return None
    return Origin(*origin) if origin else None


def of(archive: Archive) -> Origin | None:
    """Return the Origin of an archive's log; None if it has none, or its genesis is not in the
    archive."""
    if archive.segments[0].head != NO_HEAD:
        return None
    frame = next(archive.frames(), None)
    return named(frame) if frame is not None else None


def beginning(archive: Archive, seq: int) -> Kernel | None:
    """Return the state that an archive's continuation, whose genesis has `seq`, begins with, from
    its own snapshot; None if the archive has not got that. Mismatch if the snapshot is none."""
    if not seq or not archive.snapshot_file(seq).exists():
        return None
    try:
        return snapshot_file.load(archive.snapshot(seq))[1]
    except FormatError as error:
        raise Mismatch(seq, "snapshot", "a whole one", str(error)) from None


def find(log: bytes, origins: Archives) -> Archive | None:
    """Return the archive of a log among several, None if it is not there."""
    for each in origins:
        opened = each if isinstance(each, Archive) else Archive(each)
        if opened.log == log:
            return opened
    return None


def under(archive: Archive, config: Sequence[int], until: int, origins: Archives = ()) -> Kernel:
    """Return the state after frame `until` of an archive, which has been verified, as it would be
    under other capacities: the same commands with the same seqs, so the same ids. Refused, naming
    seq and number, if they do not fit. ArchiveError where frames are missing or the log continues
    one whose archive is not among origins."""
    if archive.segments[0].head != NO_HEAD or len(archive.segments) > 1:
        raise ArchiveError(
            f"{archive.path} lacks frames: only a log that is there from its genesis on can be "
            f"replayed under other "
            "capacities"
        )
    kernel = limits.kernel(config)
    for frame in archive.frames():
        each = taken_apart(frame)
        if each.seq > until:
            break
        if each.kind == GENESIS:
            origin = named(frame)
            if origin:
                before = find(origin.log, origins)
                if before is None:
                    own = beginning(archive, each.seq)
                    if own is None or own.config() != tuple(config):
                        raise ArchiveError(
                            f"{archive.path} continues log {origin.log.hex()[:16]}..., and begins "
                            f"with its state: its "
                            "archive is needed too (--origin DIR)"
                        )
                    kernel = own
                else:
                    kernel = under(before, config, origin.seq, origins)
        if each.is_command:
            try:
                kernel.check(each.kind, frame, each.start, each.end)
            except Refused as error:
                raise type(error)(
                    f"seq {each.seq} of {archive.path} does not fit these capacities: {error}"
                ) from None
            kernel.apply(each.kind, frame, each.start, each.end, each.seq)
    return kernel
