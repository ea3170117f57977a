"""Valori's formats: kernel snapshot version 7, with its state hash, and event log version 4. Bytes
and hashes only.

Valori (the `valoricore` package, 0.3.0) is a vector and graph kernel for servers. A snapshot of its
kernel stands in a container, "VAL1" and three lengths; `Snapshot.decode` takes either, `encode`
writes the container, which a Valori node restores. `from_state` and `plan` carry a memory there and
back.

All integers are little-endian. A slot's number is an id of Valori, never reused; NIL is none.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shared_kernel import primitives
from shared_kernel.contents import used
from shared_kernel.errors import FormatError, Invalid
from shared_kernel.kernel import Kernel

NIL = 0xFFFFFFFF
SCHEMA = 7
LOG_VERSION = 4
SOFT_DELETED, ENCRYPTED, SHREDDED = 1, 2, 4  # flags of a record
NODE_KINDS = 7  # record, concept, agent, user, tool, document, chunk
EDGE_KINDS = 9  # relation ... contradicts
_CONCEPT, _RELATION = 1, 0  # what stands for a kind that Valori lacks
_CONTAINER = b"VAL1"
_MAGIC = b"VALK"
_NAMESPACES = 1024
_OURS = b"quipu:"  # metadata keys that this module writes for the way back


class Reader:
    """A position in bytes; FormatError, with the offset, where they end too early or say what
    cannot be."""

    def __init__(self, data: bytes, what: str):
        self.data = data
        self.at = 0
        self.what = what

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise self.wrong(f"{size} bytes are wanted, {len(self.data) - self.at} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def flag(self) -> bool:
        value = self.u8()
        if value > 1:
            raise self.wrong(f"a flag is 0 or 1, not {value}")
        return value == 1

    def option(self) -> int | None:
        return self.u32() if self.flag() else None

    def varint(self) -> int:
        """Unsigned: one byte below 251, else FB, FC or FD and 2, 4 or 8 bytes."""
        first = self.u8()
        if first < 0xFB:
            return first
        if first > 0xFD:
            raise self.wrong(f"a number cannot begin with {first:#x}")
        return int.from_bytes(self.take(2 << (first - 0xFB)), "little")

    def bytes(self) -> bytes:
        return self.take(self.varint())

    def wrong(self, why: str) -> FormatError:
        return FormatError(f"{self.what}: at byte {self.at}: {why}")


# -- snapshot --------------------------------------------------------------------------------------


class Record(NamedTuple):
    """flags: see above; vector: Q16.16 integers; meta: None and b"" are one in a snapshot; next,
    prev: in its namespace's list."""

    flags: int
    tag: int
    vector: tuple[int, ...]
    meta: bytes
    namespace: int = 0
    next: int = NIL
    prev: int = NIL


class Node(NamedTuple):
    kind: int
    record: int | None
    first_out: int | None
    first_in: int | None
    namespace: int = 0
    next: int = NIL
    prev: int = NIL


class Edge(NamedTuple):
    kind: int
    origin: int
    target: int
    next_out: int | None
    next_in: int | None


def _opt(value: int | None) -> bytes:
    return b"\0" if value is None else b"\1" + struct.pack("<I", value)


def _or_nil(value: int | None) -> bytes:
    return struct.pack("<I", NIL if value is None else value)


@dataclass
class Snapshot:
    """A Valori kernel's state. records: one for each slot, None where one was deleted; nodes,
    edges: by id; heads: of each namespace's list of records and of nodes; metadata: the kernel's
        map. version: its count of changes."""

    dim: int
    version: int = 0
    records: list[Record | None] = field(default_factory=list)
    nodes: dict[int, Node] = field(default_factory=dict)
    edges: dict[int, Edge] = field(default_factory=dict)
    record_heads: list[int] = field(default_factory=lambda: [NIL] * _NAMESPACES)
    node_heads: list[int] = field(default_factory=lambda: [NIL] * _NAMESPACES)
    metadata: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def decode(cls, data: bytes) -> "Snapshot":
        """Return what a snapshot holds, in its container or bare. FormatError unless every byte of
        it is as it must be."""
        data = bytes(data)
        if data[:4] == _CONTAINER:
            outer = Reader(data, "Valori container")
            outer.take(4)
            data = outer.take(outer.u32())
        r = Reader(data, "Valori snapshot")
        if r.take(4) != _MAGIC:
            raise r.wrong(f"it begins with {data[:4].hex()}, not with VALK or VAL1")
        schema = r.u32()
        if schema != SCHEMA:
            raise r.wrong(
                f"it has version {schema}; version {SCHEMA} can be read (valoricore 0.3.0 writes "
                f"it)"
            )
        new = cls(version=r.u64(), dim=0)
        r.u32()  # slots of records, as counted below
        new.dim = r.u32()
        r.take(8)  # slots of nodes and of edges
        if r.u8() != 1:
            raise r.wrong("its vectors are not Q16.16")
        for slot in range(r.u32()):
            new.records.append(cls._record(r, slot, new.dim) if r.flag() else None)
        for _ in range(r.u32()):
            ident = r.u32()
            new.nodes[ident] = Node(
                r.u8(), r.option(), r.option(), r.option(), r.u16(), r.u32(), r.u32()
            )
        for _ in range(r.u32()):
            ident = r.u32()
            new.edges[ident] = Edge(r.u8(), r.u32(), r.u32(), r.option(), r.option())
        new.record_heads = list(struct.unpack(f"<{_NAMESPACES}I", r.take(4 * _NAMESPACES)))
        new.node_heads = list(struct.unpack(f"<{_NAMESPACES}I", r.take(4 * _NAMESPACES)))
        for _ in range(r.u32()):
            name = r.take(r.u32())
            new.metadata[name] = r.take(r.u32())
        if r.at != len(data):
            raise r.wrong(f"{len(data) - r.at} bytes stand after its end")
        return new

    @staticmethod
    def _record(r: Reader, slot: int, dim: int) -> Record:
        ident = r.u32()
        if ident != slot:
            raise r.wrong(f"slot {slot} holds record {ident}")
        flags, tag = r.u8(), r.u64()
        vector = struct.unpack(f"<{dim}i", r.take(4 * dim))
        return Record(flags, tag, vector, r.take(r.u32()), r.u16(), r.u32(), r.u32())

    def encode(self) -> bytes:
        """Return the snapshot in its container, as a node restores it."""
        out = [
            _MAGIC,
            struct.pack(
                "<IQIIIIB",
                SCHEMA,
                self.version,
                len(self.records),
                self.dim,
                _slots(self.nodes),
                _slots(self.edges),
                1,
            ),
            struct.pack("<I", len(self.records)),
        ]
        for slot, it in enumerate(self.records):
            if it is None:
                out.append(b"\0")
                continue
            out.append(
                struct.pack("<BIBQ", 1, slot, it.flags, it.tag)
                + struct.pack(f"<{self.dim}i", *it.vector)
            )
            out.append(
                struct.pack("<I", len(it.meta))
                + it.meta
                + struct.pack("<HII", it.namespace, it.next, it.prev)
            )
        out.append(struct.pack("<I", len(self.nodes)))
        for ident, node in sorted(self.nodes.items()):
            out.append(
                struct.pack("<IB", ident, node.kind)
                + _opt(node.record)
                + _opt(node.first_out)
                + _opt(node.first_in)
            )
            out.append(struct.pack("<HII", node.namespace, node.next, node.prev))
        out.append(struct.pack("<I", len(self.edges)))
        for ident, edge in sorted(self.edges.items()):
            out.append(
                struct.pack("<IBII", ident, edge.kind, edge.origin, edge.target)
                + _opt(edge.next_out)
                + _opt(edge.next_in)
            )
        out.append(struct.pack(f"<{2 * _NAMESPACES}I", *self.record_heads, *self.node_heads))
        out.append(struct.pack("<I", len(self.metadata)))
        for name, value in sorted(self.metadata.items()):
            out.append(struct.pack("<I", len(name)) + name + struct.pack("<I", len(value)) + value)
        kernel = b"".join(out)
        # no metadata and no index of the node's own
        return _CONTAINER + struct.pack("<I", len(kernel)) + kernel + bytes(8)

    def state_hash(self) -> bytes:
        """Return Valori's state hash, 32 bytes. It covers neither dimension, namespaces, in-edges
        nor the metadata map."""
        out = [b"valori-state\x02\x01", struct.pack("<Q", self.version)]
        for slot, it in enumerate(self.records):
            if it is not None and not it.flags & (SOFT_DELETED | SHREDDED):
                out.append(
                    struct.pack("<IB", slot, it.flags) + struct.pack(f"<{self.dim}i", *it.vector)
                )
                out.append(
                    struct.pack("<Q", it.tag)
                    + (struct.pack("<I", len(it.meta)) + it.meta if it.meta else _or_nil(None))
                )
        for ident, node in sorted(self.nodes.items()):
            out.append(
                struct.pack("<IB", ident, node.kind)
                + _or_nil(node.record)
                + _or_nil(node.first_out)
            )
        for ident, edge in sorted(self.edges.items()):
            out.append(
                struct.pack("<IBII", ident, edge.kind, edge.origin, edge.target)
                + _or_nil(edge.next_out)
            )
        return primitives.hash(b"".join(out))


def _slots(things: dict[int, Any]) -> int:
    return max(things) + 1 if things else 0


# -- there -----------------------------------------------------------------------------------------


def from_state(kernel: Kernel) -> Snapshot:
    """Return a Quipu state as a Valori snapshot: its contents in the order of their ids, in
    namespace 0, without holes.

    Keys become the metadata map. A kind that Valori lacks, and a name that is not text, stand in
    that map too, under "quipu:", so that `plan` finds them again. What has no place there: ids, the
    seq of a key's last write, capacities."""
    new = Snapshot(dim=kernel.config()[0], version=kernel.seq())
    records = sorted(used(kernel.records))
    nodes = sorted(used(kernel.nodes))
    edges = sorted(used(kernel.edges))
    slot_of = {ident: slot for slot, (ident, _) in enumerate(records)}
    node_of = {ident: number for number, (ident, _) in enumerate(nodes)}
    for slot, (_, at) in enumerate(records):
        tag, vector, meta = kernel.record_at(at)
        new.records.append(
            Record(
                0,
                tag,
                tuple(vector),
                meta,
                0,
                slot - 1 if slot else NIL,
                slot + 1 if slot + 1 < len(records) else NIL,
            )
        )
    first: dict[tuple[int, bool], int] = {}
    for number, (_, at) in enumerate(edges):
        kind, origin, target = kernel.edge_at(at)
        origin, target = node_of[origin], node_of[target]
        new.edges[number] = Edge(
            _kind(new, b"edge", number, kind, EDGE_KINDS, _RELATION),
            origin,
            target,
            first.get((origin, True)),
            first.get((target, False)),
        )
        first[origin, True] = first[target, False] = number  # newest first
    for number, (_, at) in enumerate(nodes):
        kind, record = kernel.node_at(at)
        new.nodes[number] = Node(
            _kind(new, b"node", number, kind, NODE_KINDS, _CONCEPT),
            slot_of[record] if record else None,
            first.get((number, True)),
            first.get((number, False)),
            0,
            number - 1 if number else NIL,
            number + 1 if number + 1 < len(nodes) else NIL,
        )
    new.record_heads[0] = len(records) - 1 if records else NIL
    new.node_heads[0] = len(nodes) - 1 if nodes else NIL
    for _, at in used(kernel.keys):
        name, _, value = kernel.key_at(at)
        new.metadata[name if _is_text(name) else _OURS + b"key:" + name.hex().encode()] = value
    return new


def left_behind(kernel: Kernel) -> list[str]:
    """Return what of a Quipu state Valori has no place for, in words."""
    out = ["ids (Valori numbers from 0) and capacities"]
    for what, pool, read, kinds, else_ in (
        ("node", kernel.nodes, kernel.node_at, NODE_KINDS, "concept"),
        ("edge", kernel.edges, kernel.edge_at, EDGE_KINDS, "relation"),
    ):
        for ident, at in sorted(used(pool)):
            if read(at)[0] >= kinds:
                out.append(
                    f"{what} {ident}: kind {read(at)[0]}, which Valori lacks: {else_} there; it "
                    f"is noted for the way back"
                )
    for _, at in sorted(used(kernel.keys)):
        name, seq, _ = kernel.key_at(at)
        out.append(
            f"key {name.decode(errors='replace')!r}: that seq {seq} wrote it"
            + ("" if _is_text(name) else ", and a name that is not text: it stands there in hex")
        )
    return out


def _kind(snapshot: Snapshot, what: bytes, number: int, kind: int, kinds: int, else_: int) -> int:
    if kind < kinds:
        return kind
    snapshot.metadata[_OURS + what + b":%d" % number] = b"%d" % kind
    return else_


def _is_text(name: bytes) -> bool:
    try:
        return not name.startswith(_OURS) and name.decode() != ""
    except UnicodeDecodeError:
        return False


# -- and back --------------------------------------------------------------------------------------


@dataclass
class Plan:
    """What a Valori snapshot asks of a Quipu memory, in this order; numbers are Valori's. records:
    (slot, vector, tag, meta);
    nodes: (id, kind, slot or None); edges: (id, kind, from, to); keys: (name, value); left: what
        cannot be carried, in words."""

    dim: int
    records: list[tuple[int, list[int], int, bytes]] = field(default_factory=list)
    nodes: list[tuple[int, int, int | None]] = field(default_factory=list)
    edges: list[tuple[int, int, int, int]] = field(default_factory=list)
    keys: list[tuple[bytes, bytes]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def carry_out(self, memory: Any) -> dict[str, dict[int, int]]:
        """Do it on a memory (a Board, or anything with its verbs); return the new ids: {"records":
        {slot: id}, "nodes", "edges"}."""
        records = {
            slot: memory.insert(vector, tag, meta) for slot, vector, tag, meta in self.records
        }
        nodes = {
            number: memory.create_node(kind, 0 if slot is None else records[slot])
            for number, kind, slot in self.nodes
        }
        edges = {
            number: memory.create_edge(kind, nodes[origin], nodes[target])
            for number, kind, origin, target in self.edges
        }
        for name, value in self.keys:
            memory.put(name, value)
        return {"records": records, "nodes": nodes, "edges": edges}


def plan(snapshot: Snapshot) -> Plan:
    """Return what is to be done to bring a snapshot into a Quipu memory. Invalid if it names what
    it does not hold."""
    out = Plan(snapshot.dim)
    held = set()
    for slot, it in enumerate(snapshot.records):
        if it is None:
            continue
        why = [
            word
            for flag, word in (
                (SOFT_DELETED, "soft-deleted"),
                (ENCRYPTED, "encrypted"),
                (SHREDDED, "shredded"),
            )
            if it.flags & flag
        ]
        if not why and it.tag > 0xFFFFFFFF:
            why = [f"its tag {it.tag} does not fit 32 bits"]
        if why:
            out.left.append(f"record {slot}: {', '.join(why)}")
            continue
        if it.namespace:
            out.left.append(f"record {slot}: carried, but not its namespace {it.namespace}")
        held.add(slot)
        out.records.append((slot, list(it.vector), it.tag, it.meta))
    for number, node in sorted(snapshot.nodes.items()):
        record = node.record
        if record is not None and record not in held:
            out.left.append(
                f"node {number}: carried, but not that it stands for record {record}, which is not"
            )
            record = None
        out.nodes.append((number, _true_kind(snapshot, b"node", number, node.kind), record))
    for number, edge in sorted(snapshot.edges.items()):
        for end in (edge.origin, edge.target):
            if end not in snapshot.nodes:
                raise Invalid(
                    f"Valori snapshot: edge {number} names node {end}, which is not there"
                )
        out.edges.append(
            (number, _true_kind(snapshot, b"edge", number, edge.kind), edge.origin, edge.target)
        )
    for name, value in sorted(snapshot.metadata.items()):
        if name.startswith(_OURS + b"key:"):
            name = bytes.fromhex(name[len(_OURS) + 4 :].decode())
        elif name.startswith(_OURS):
            continue
        if 1 <= len(name) <= 24:
            out.keys.append((name, value))
        else:
            out.left.append(
                f"metadata {name.decode(errors='replace')!r}: a key has 1 to 24 bytes, not "
                f"{len(name)}"
            )
    return out


def _true_kind(snapshot: Snapshot, what: bytes, number: int, kind: int) -> int:
    return int(snapshot.metadata.get(_OURS + what + b":%d" % number, kind))


# -- event log -------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """number: from 0; seconds: since 1970; what: of the body; head: of the chain after it."""

    number: int
    seconds: int
    what: str
    head: bytes


_EVENTS = (
    "insert",
    "delete record",
    "create node",
    "create edge",
    "delete edge",
    "soft-delete record",
    "delete node",
    "insert encrypted",
    "shred key",
    "insert",
    "create node",
    "create edge",
    "insert encrypted",
    "set metadata",
    "create namespace",
    "drop namespace",
    "update metadata",
)
_FORMS = (
    "vvMv",
    "v",
    "vvo",
    "vvvv",
    "v",
    "v",
    "v",
    "vkbOv",
    "k",
    "vMv",
    "vo",
    "vvv",
    "hkbv",
    "bb",
    "b",
    "b",
    "vM",
)


def read_log(data: bytes) -> Iterator[Entry]:
    """Yield the entries of an event log, each checked: its CRC, that it names the chain head before
    it, and that its body is one of the format's, to its last byte. FormatError says at which entry
    and byte it is not."""
    r = Reader(bytes(data), "Valori event log")
    version, _, form = r.u32(), r.u32(), r.u32()
    if version != LOG_VERSION or form != 1:
        raise r.wrong(
            f"it has version {version} and format {form}; version {LOG_VERSION} with format 1 can "
            f"be read"
        )
    r.u32()  # number of the segment
    head = r.take(32)
    number = 0
    while r.at < len(r.data):
        r.what = f"Valori event log, entry {number}"
        start = r.at
        named = r.take(32)
        seconds = r.varint()
        if r.flag():
            r.take(16)
        what = _body(r)
        body = r.data[start + 32 : r.at]
        crc = primitives.crc32(r.data[start : r.at], 0)
        if r.u32() != crc:
            raise r.wrong(f"its CRC is not {crc:#010x}")
        if named != head:
            raise r.wrong(f"it names chain head {named.hex()}, but that before it is {head.hex()}")
        head = primitives.hash(head + body)
        yield Entry(number, seconds, what, head)
        number += 1


def _body(r: Reader) -> str:
    kind = r.varint()
    if kind == 3:
        r.varint()  # namespace
    if kind in (0, 3):
        event = r.varint()
        if event >= len(_EVENTS):
            raise r.wrong(f"event {event} is unknown")
        if event in (0, 9):
            _insert(r, event == 0)
        else:
            for each in _FORMS[event]:
                _FIELDS[each](r)
        return _EVENTS[event]
    if kind == 1:
        r.varint()
        r.take(32)
        r.varint()
        return "checkpoint"
    raise r.wrong(f"a body of kind {kind} cannot be read")


def _insert(r: Reader, with_id: bool) -> None:
    if with_id:
        r.varint()
    for _ in range(r.varint()):
        r.varint()  # a component, zigzag
    _meta(r)
    r.varint()


def _meta(r: Reader) -> None:
    if r.varint():
        r.bytes()


def _optional(r: Reader) -> None:
    if r.flag():
        r.varint()


def _optional_bytes(r: Reader) -> None:
    if r.flag():
        r.bytes()


_FIELDS = {
    "v": Reader.varint,
    "h": Reader.varint,
    "b": Reader.bytes,
    "k": lambda r: r.take(16),
    "M": _meta,
    "o": _optional,
    "O": _optional_bytes,
}
