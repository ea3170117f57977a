"""Why a thing is what it is: the frames that made it so, oldest first. Changes nothing."""

import re
from collections.abc import Callable
from typing import Any

from quipu.archive.frame import taken_apart
from quipu.errors import UsageError
from quipu.past import describe, history
from quipu.past.index import Index
from quipu.past.moment import Timeline
from quipu.past.rows import EDGE, KEY, NODE, RECORD
from quipu.text import named
from shared_kernel import kernel as k
from shared_kernel.errors import NotFound
from shared_kernel.kernel import Kernel

Data = dict[str, Any]

KINDS = {"record": RECORD, "node": NODE, "edge": EDGE, "key": KEY}
_CREATED_BY = {k.INSERT: RECORD, k.CREATE_NODE: NODE, k.CREATE_EDGE: EDGE}


def explain(
    index: Index, timeline: Timeline, state: Callable[[int], Kernel], thing: str, seq: int
) -> Data:
    """Return {"thing", "kind", "id" or "name", "is", "frames"}: what a thing is after the frame seq
    (None: deleted), and the frames that changed it, as describe.frame gives them with "unix_ms" and
    "uncertainty_ms" added.

    index, timeline: of the archive; state: gives the state after a frame of it.
    thing: "record:17", "node:18", "edge:20", "key:mode"; a bare number is the record, node or edge
        of that id, anything else a
    key, whose bytes may stand in hex after 0x. Of a key, the frames of its present life: from the put that created it on (of one that is
    deleted, the last life). NotFound if there was no such thing.
    """
    kind, ident = _which(index, thing, seq)
    files: dict[int, Any] = {}
    frames: list[Data] = []
    try:
        if isinstance(ident, bytes):
            history.versions(index, ident, seq, 1, state)  # the newest is held against the state
        changes = index.changes(kind, ident, seq)
        links = history.linked(index, ident, changes, files) if isinstance(ident, bytes) else None
        for change in changes:
            if links:
                next(links)  # raises where one in between is missing
            frame = describe.frame(index.frame(kind, ident, change, files))
            if kind == KEY and frame["type"] == "delete-key" and frames:
                break
            moment = timeline.when(change.seq, frame["tick"])
            frames.append(
                {**frame, "unix_ms": moment.unix_ms, "uncertainty_ms": moment.uncertainty_ms}
            )
    finally:
        for file in files.values():
            file.close()
    label = next(name for name, number in KINDS.items() if number == kind)
    shown = describe.octets("name", ident) if isinstance(ident, bytes) else {"id": ident}
    if not frames:
        raise NotFound(
            f"no {label} {thing.removeprefix(label + ':')!r} has been there, at or before seq {seq}"
        )
    return {
        "thing": thing,
        "kind": label,
        **shown,
        "is": _now(state(seq), kind, ident),
        "frames": frames[::-1],
    }


def _which(index: Index, thing: str, seq: int) -> tuple[int, int | bytes]:
    """Return the kind of a thing and its id, or name."""
    label, colon, rest = thing.partition(":")
    if colon and label in KINDS:
        if label == "key":
            return KEY, named(rest)
        if not re.fullmatch(r"[0-9]{1,10}", rest):
            raise UsageError(f"{thing!r}: a {label} is named by its number, such as {label}:17")
        return KINDS[label], int(rest)
    if re.fullmatch(r"[0-9]{1,10}", thing):
        ident, first = int(thing), index.archive.segments[0].first
        if ident < first:
            raise NotFound(
                f"seq {ident} is before this archive's first frame, {first}: what made {ident} is "
                f"in the archive of the "
                "log that this one goes on from, if anywhere"
            )
        if ident <= seq:
            kind = taken_apart(next(index.frames(ident))).kind
            if kind in _CREATED_BY:
                return _CREATED_BY[kind], ident
        raise NotFound(f"no record, node or edge has id {ident}; a key of that name is key:{ident}")
    return KEY, named(thing)


def _now(kernel: Kernel, kind: int, ident: Any) -> Data | None:
    try:
        if kind == KEY:
            return describe.key(ident, *kernel.key(ident))
        if kind == RECORD:
            return describe.record(ident, kernel.record(ident))
        if kind == NODE:
            return describe.node(ident, kernel.node(ident))
        return describe.edge(ident, kernel.edge(ident))
    except NotFound:
        return None
