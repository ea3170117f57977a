"""Frames and states as plain data, for people and for JSON. Checks nothing and changes nothing:
replay and verify do.

Bytes that a person chose (metadata, names, values) come twice: `x` is the text, or null where they
are not text in UTF-8, and `x_hex` is always there. Vectors are numbers, each of them exact: a
Q16.16 integer fits a JSON number."""

from collections.abc import Callable
from typing import Any

from quipu.archive.frame import taken_apart
from shared_kernel import frame_names, frames
from shared_kernel import kernel as k
from shared_kernel.config import CONFIG_NAMES
from shared_kernel.contents import used
from shared_kernel.errors import FormatError, Refused
from shared_kernel.fixed import ONE
from shared_kernel.genesis import Genesis
from shared_kernel.kernel import Kernel, u32

POOLS = ("records", "nodes", "edges", "keys")
POLICIES = ("stop", "overwrite")


def octets(name: str, value: bytes) -> dict[str, Any]:
    """Return bytes under `name` as text (or None), and under `name`_hex as they are."""
    try:
        text: str | None = bytes(value).decode()
    except UnicodeDecodeError:
        text = None
    return {name: text, name + "_hex": bytes(value).hex()}


def numbers(vector: list[int]) -> list[float | int]:
    """Return Q16.16 integers as the numbers they stand for, without loss; whole ones as ints."""
    return [each // ONE if each % ONE == 0 else each / ONE for each in vector]


def config(values: tuple[int, ...]) -> dict[str, int]:
    return dict(zip(CONFIG_NAMES, values, strict=True))


# -- what is in a state ----------------------------------------------------------------------------


def record(ident: int, fields: tuple[int, list[int], bytes]) -> dict[str, Any]:
    tag, vector, meta = fields
    return {"id": ident, "tag": tag, "vector": numbers(vector), **octets("meta", meta)}


def node(ident: int, fields: tuple[int, int]) -> dict[str, Any]:
    return {"id": ident, "kind": fields[0], "record": fields[1] or None}


def edge(ident: int, fields: tuple[int, int, int]) -> dict[str, Any]:
    return {"id": ident, "kind": fields[0], "from": fields[1], "to": fields[2]}


def key(name: bytes, seq: int, value: bytes) -> dict[str, Any]:
    return {**octets("name", name), "seq": seq, **octets("value", value)}


def state(kernel: Kernel) -> dict[str, Any]:
    """Return configuration, counts, root and contents; contents in the order of their ids, keys in
    that of their names."""
    pools = [getattr(kernel, each) for each in POOLS]
    of = [kernel.record_at, kernel.node_at, kernel.edge_at, kernel.key_at]
    contents: list[Any] = [
        [(ident, read(at)) for ident, at in used(pool)]
        for pool, read in zip(pools, of, strict=True)
    ]
    for each in contents[:3]:
        each.sort(key=lambda pair: pair[0])
    contents[3].sort(key=lambda pair: pair[1])
    return {
        "root": kernel.root().hex(),
        "state_seq": kernel.seq(),
        "config": config(kernel.config()),
        "counts": {name: pool.live() for name, pool in zip(POOLS, pools, strict=True)},
        "records": [record(*each) for each in contents[0]],
        "nodes": [node(*each) for each in contents[1]],
        "edges": [edge(*each) for each in contents[2]],
        "keys": [key(*each) for _, each in contents[3]],
    }


# -- what a frame says -----------------------------------------------------------------------------


def frame(data: bytes | memoryview) -> dict[str, Any]:
    """Return seq, tick (ms since the last boot or clock frame), type and the payload's fields of
    one whole frame."""
    frame = taken_apart(data)
    kind, payload = frame.kind, frame.payload
    out: dict[str, Any] = {
        "seq": frame.seq,
        "tick": frame.tick,
        "bytes": len(data),
        "type": frame_names.NAMES.get(kind, f"0x{kind:02x}"),
    }
    try:
        out.update(_FIELDS[kind](payload) if kind in _FIELDS else {"payload_hex": payload.hex()})
    except (IndexError, ValueError, FormatError, Refused):
        out["payload_hex"] = payload.hex()
    if frame.token:
        out["token"] = frame.token.hex()
    return out


def _genesis(p: bytes) -> dict[str, Any]:
    it = Genesis(p)
    out = {
        "board": it.identity,
        "rules": it.rules,
        "config": config(it.config),
        "policy": POLICIES[it.policy],
    }
    if it.origin:
        name, seq, head, root, base = it.origin
        out["continues"] = {
            "log": name.hex(),
            "seq": seq,
            "head": head.hex(),
            "root": root.hex(),
            "base_root": base.hex(),
        }
    return out


def _insert(p: bytes) -> dict[str, Any]:
    dim = p[0] | p[1] << 8
    vector = [int.from_bytes(p[6 + 4 * i : 10 + 4 * i], "little", signed=True) for i in range(dim)]
    out = record(0, (u32(p, 2), vector, p[6 + 4 * dim :]))
    del out["id"]  # the frame's seq
    return out


def _update(p: bytes) -> dict[str, Any]:
    out: dict[str, Any] = {"id": u32(p, 0)}
    if p[8] & k.SET_TAG:
        out["tag"] = u32(p, 4)
    if p[8] & k.SET_META:
        out.update(octets("meta", p[9:]))
    return out


def _put(p: bytes) -> dict[str, Any]:
    length = p[5]
    out = {**octets("name", p[6 : 6 + length]), "previous": u32(p, 0) or None}
    return {**out, "same": True} if p[4] else {**out, **octets("value", p[6 + length :])}


def _ident(p: bytes) -> dict[str, Any]:
    return {"id": u32(p, 0)}


_FIELDS: dict[int, Callable[[bytes], dict[str, Any]]] = {
    frames.GENESIS: _genesis,
    frames.BOOT: lambda p: {
        "boot": u32(p, 0),
        "head": p[4:36].hex(),
        "skipped": u32(p, 36),
        "repeated": u32(p, 40),
    },
    frames.QUARANTINE: lambda p: {"sector": p[0] | p[1] << 8},
    frames.ACKNOWLEDGED: lambda p: {"below": u32(p, 0)},
    frames.CHECKPOINT: lambda p: {"root": p.hex()},
    frames.CLOCK: lambda p: {"unix_ms": u32(p, 0) | u32(p, 4) << 32, "uncertainty_ms": u32(p, 8)},
    k.INSERT: _insert,
    k.UPDATE: _update,
    k.DELETE: _ident,
    k.CREATE_NODE: lambda p: {"kind": u32(p, 0), "record": u32(p, 4) or None},
    k.DELETE_NODE: _ident,
    k.CREATE_EDGE: lambda p: {"kind": u32(p, 0), "from": u32(p, 4), "to": u32(p, 8)},
    k.DELETE_EDGE: _ident,
    k.PUT: _put,
    k.DELETE_KEY: lambda p: {**octets("name", p[4:]), "previous": u32(p, 0)},
}
