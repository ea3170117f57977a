"""What an index's database holds, and what of that can be held against itself. Reads no frame of an
archive.

SQLite has no checksums: a bit that rots, a row that a foreign program deletes and a trigger that it
leaves all read as valid. So every table says of itself what it should hold: changes of a thing are
numbered and counted, anchors are numbered, and a kept state and the index's own progress are sealed
by a digest. Whoever alters several of these so that they fit one another is not noticed here: only
the frames tell (see index.py)."""

import json
import sqlite3
from typing import Any, NamedTuple

from quipu.archive.frame import kind_and_payload
from shared_kernel import kernel as k
from shared_kernel import primitives
from shared_kernel.frame_names import is_command
from shared_kernel.graph import edges_of
from shared_kernel.kernel import Kernel, u32

# 1: ticks with the bits of their groups; 2: names and times that nothing else in it vouches for
FORMAT = 3
RECORD, NODE, EDGE, KEY = range(4)  # kinds of things

_TABLES = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value)",
    "CREATE TABLE things (thing INTEGER PRIMARY KEY, count INTEGER, last INTEGER)",
    "CREATE TABLE changes (thing INTEGER, seq INTEGER, place INTEGER, digest INTEGER, nth INTEGER, "
    "PRIMARY KEY (thing, seq)) WITHOUT ROWID",
    "CREATE TABLE places (seq INTEGER PRIMARY KEY, place INTEGER, head BLOB, tick INTEGER)",
    "CREATE TABLE anchors (nth INTEGER PRIMARY KEY, seq INTEGER, place INTEGER, digest INTEGER)",
    "CREATE TABLE kept (seq INTEGER PRIMARY KEY, place INTEGER, head BLOB, boot INTEGER, root BLOB, "
    "arena BLOB, seal INTEGER, passing INTEGER)",
)
NAMES = ("things", "changes", "places", "anchors", "kept")  # of the tables that are of the frames


class Change(NamedTuple):
    """A frame that changed a thing. place: its byte in its segment's file; digest: the first 8
    bytes of its BLAKE3, signed; nth: which of the thing's changes it is, from 1."""

    seq: int
    place: int
    digest: int
    nth: int


class Place(NamedTuple):
    """Where the frame `seq` begins, the chain head before it, and its tick."""

    seq: int
    place: int
    head: bytes
    tick: int


class Progress(NamedTuple):
    """How far the index goes. seq, head: of the last frame; last: its byte, digest: its (see
    Change); place: the byte after it;
    segments: [first, head] of those begun; ends: [seq, head] of the last frame of each; gaps:
        [first, last] seq without a state
    that a replay could lead to; anchors: how many there are."""

    seq: int
    head: bytes
    last: int
    digest: int
    place: int
    segments: list[list[Any]]
    ends: list[list[Any]]
    gaps: list[list[int]]
    anchors: int


def digest(data: Any) -> int:
    """Return the first 8 bytes of a frame's BLAKE3 as SQLite's kind of integer."""
    return int.from_bytes(primitives.hash(data)[:8], "little", signed=True)


def seal(*values: object) -> int:
    """Return the digest of a row's values."""
    return digest(repr(values).encode())


def pack(progress: Progress) -> str:
    """Return progress as text, sealed."""
    text = json.dumps([progress.seq, progress.head.hex(), *progress[2:]])
    return f"{seal(text)} {text}"


def unpack(packed: object) -> Progress:
    """Return what `pack` made text of. ValueError if it is not whole."""
    sealed, _, text = str(packed).partition(" ")
    if sealed != str(seal(text)):
        raise ValueError("how far it goes does not fit its digest")
    facts = json.loads(text)
    return Progress(facts[0], bytes.fromhex(facts[1]), *facts[2:])


def create(db: sqlite3.Connection) -> None:
    """Create the tables in a database that has none."""
    for each in _TABLES:
        db.execute(each)


def foreign(db: sqlite3.Connection) -> str | None:
    """Return the name of something in a database that no index has (a trigger, a view, an index, a
    table of another form), or is lacking there; None if it is as `create` made it."""
    here = {
        name: sql
        for name, sql in db.execute("SELECT name, sql FROM sqlite_master")
        if not str(name).startswith("sqlite_autoindex_")
    }
    due = {each.split()[2]: each for each in _TABLES}
    odd = [name for name in (*here, *due) if here.get(name) != due.get(name)]
    return str(odd[0]) if odd else None


def thing_of(kind: int, ident: int | bytes) -> int:
    """Return the number under which changes of a thing are kept: of a key 63 bits of its name's
    BLAKE3, below 0."""
    if kind == KEY:
        assert isinstance(ident, bytes)
        return -1 - (digest(ident) & (1 << 63) - 1)
    assert isinstance(ident, int)
    return kind << 32 | ident


def named_by(frame: bytes) -> bytes | None:
    """Return the name of the key that a whole frame writes or deletes; None if it is no such
    frame."""
    kind, start, end = kind_and_payload(frame)
    if kind == k.PUT and end - start >= 6:
        return bytes(frame[start + 6 : start + 6 + frame[start + 5]])
    if kind == k.DELETE_KEY and end - start >= 4:
        return bytes(frame[start + 4 : end])
    return None


def things(frame: bytes, seq: int, kernel: Kernel | None) -> Any:
    """Return the numbers of the things that a frame changes. kernel: the state before it, None if
    it is not known: then what a deletion takes along is not known either."""
    kind, start, end = kind_and_payload(frame)
    if not is_command(kind) or end - start < 4 and kind != k.INSERT:
        return ()  # the replay will say what is wrong with it
    if kind in (k.PUT, k.DELETE_KEY):
        name = named_by(frame)
        return () if name is None else (thing_of(KEY, name),)
    if kind == k.INSERT:
        return (seq,)
    ident = u32(frame, start)
    if kind in (k.UPDATE, k.DELETE):
        return (ident,)
    if kind == k.CREATE_NODE and end - start == 8:
        record = u32(frame, start + 4)
        return (NODE << 32 | seq, record) if record else (NODE << 32 | seq,)
    if kind == k.CREATE_EDGE and end - start == 12:
        return {
            EDGE << 32 | seq,
            NODE << 32 | u32(frame, start + 4),
            NODE << 32 | u32(frame, start + 8),
        }
    if kind == k.DELETE_EDGE:
        out = {EDGE << 32 | ident}
        if kernel and kernel.edges.find(ident):
            out.update(NODE << 32 | each for each in kernel.edge(ident)[1:])
        return out
    if kind == k.DELETE_NODE:
        out = {NODE << 32 | ident}
        if kernel and kernel.nodes.find(ident):
            for edge in edges_of(kernel, ident):
                out.add(EDGE << 32 | edge)
                out.update(NODE << 32 | each for each in kernel.edge(edge)[1:])
            if record := kernel.node(ident)[1]:
                out.add(record)
        return out
    return ()


def may_change(frame: bytes, seq: int, thing: int) -> bool:
    """Return whether the frame seq can have changed a thing: it names it, or deletes what may have
    taken it along."""
    kind, _, _ = kind_and_payload(frame)
    return (
        thing in things(frame, seq, None) or thing >= 0 and kind in (k.DELETE_NODE, k.DELETE_EDGE)
    )
