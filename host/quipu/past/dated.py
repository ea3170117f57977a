"""What rows of a state say beyond it: when a thing came about, by how much that may be off, whose it
is, and what was deleted before. Reads frames by an archive's index; decides nothing."""

from collections.abc import Iterator
from typing import Any

from quipu import limits
from quipu.archive.frame import kind_and_payload
from quipu.archive.origin import beginning
from quipu.errors import UsageError
from quipu.past import describe
from quipu.past.index import Index
from quipu.past.moment import Timeline
from shared_kernel import kernel as k
from shared_kernel.frames import NO_HEAD
from shared_kernel.graph import edges_of
from shared_kernel.kernel import Kernel, u32
from shared_kernel.replay import Replay

Data = dict[str, Any]

POOLS = describe.POOLS


def add(rows: list[Data], index: Index, timeline: Timeline, until: int) -> None:
    """Give rows "time" (wall time, in ms since 1970, of the frame that made a record, node or edge,
    or wrote a key; None where no clock tells), "uncertainty_ms", "board", "log" and, unless it is
    there, "deleted" (None). until: the seq that they are a state of."""
    archive = index.archive
    whose = {"board": archive.identity, "log": archive.log.hex()}
    first = archive.segments[0].first
    seqs = sorted({made(row) for row in rows if first <= made(row) <= until})
    moments = {seq: timeline.span(seq).at(tick) for seq, tick in index.ticks(_held(index, seqs))}
    for row in rows:
        time, uncertainty = moments.get(made(row), (None, None))
        row |= {"time": time, "uncertainty_ms": uncertainty, **whose}
        row.setdefault("deleted", None)


def made(row: Data) -> int:
    """Return the seq of the frame that made a thing, or wrote a key."""
    seq: int = row["id"] if "id" in row else row["seq"]
    return seq


def _held(index: Index, seqs: list[int]) -> list[int]:
    """Return those seqs whose frames an archive has: after a gap, a snapshot may know of others."""
    ends = index.progress.ends if index.progress else []
    spans = [
        (segment.first, end)
        for segment, (end, _) in zip(index.archive.segments, ends, strict=False)
    ]
    return [seq for seq in seqs if any(low <= seq <= high for low, high in spans)]


def deleted(index: Index, pool: str, until: int) -> Iterator[Data]:
    """Yield the things of a pool that were deleted up to the frame `until`, as each was just before,
    with "deleted": the seq of the frame that deleted it. A key that came back is there once for each
    life that ended. UsageError if frames are missing: what they deleted nobody knows."""
    archive = index.archive
    first = archive.segments[0]
    index.need(until)
    kernel = beginning(archive, first.first)
    if first.head != NO_HEAD or index.segment(until) != first or first.first and kernel is None:
        raise UsageError(
            f"{archive.path} lacks frames before seq {until}, so what was deleted by them is not "
            "known: ask without --with-deleted, or complete the archive (quipu sync from another)"
        )
    replay = Replay(limits.kernel)
    replay.kernel = kernel  # type: ignore[assignment]  # None, too, before the genesis
    for frame in index.frames(first.first):
        seq = u32(frame, 4)
        if seq > until:
            return
        if replay.seq is not None:
            for each in _gone(frame, replay.kernel, pool):
                yield {**each, "deleted": seq}
        replay.step(frame)


def _gone(frame: bytes, kernel: Kernel, pool: str) -> Iterator[Data]:
    """Yield the things of a pool that a frame deletes."""
    kind, start, end = kind_and_payload(frame)
    if kind == k.DELETE_KEY and pool == "keys":
        name = bytes(frame[start + 4 : end])
        yield describe.key(name, *kernel.key(name))
    elif kind == k.DELETE and pool == "records":
        yield describe.record(u32(frame, start), kernel.record(u32(frame, start)))
    elif kind == k.DELETE_EDGE and pool == "edges":
        yield describe.edge(u32(frame, start), kernel.edge(u32(frame, start)))
    elif kind == k.DELETE_NODE:
        node = u32(frame, start)
        if pool == "nodes":
            yield describe.node(node, kernel.node(node))
        elif pool == "edges":
            for each in edges_of(kernel, node):
                yield describe.edge(each, kernel.edge(each))
