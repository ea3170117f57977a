"""The verbs that change the memory on a board: insert, put, create-node and the like."""

import sys
import time

import quipu
from quipu import errors, limits
from quipu.cli import render
from quipu.cli.options import (
    CLAMP,
    ID,
    KEY,
    META,
    PORT,
    Q16,
    TAG,
    U32,
    VECTOR,
    Data,
    Verb,
    argument,
    components_of,
    option,
)
from quipu.text import count, moment, typed
from shared_kernel import frames


def insert(
    port: str,
    components: tuple[str, ...],
    q16: bool,
    clamp: bool,
    tag: int | None,
    meta: str | None,
    meta_hex: bytes | None,
) -> Data:
    """Insert a record; prints its id.

    X are decimal numbers, one for each dimension, or raw Q16.16 integers with --q16. "-" reads many
    records from standard input, one JSON value a line: [1, -2.5] or {"vector": [1, -2.5], "tag": 3,
    "meta": "text"}.

    \b
    Example:
      quipu insert /dev/ttyACM0 1 -0.5 3.25 --tag 2 --meta walking
      quipu insert /dev/ttyACM0 - < records.jsonl
    """
    given = _meta(meta, meta_hex) or b""
    if components != ("-",):
        vector = components_of(components, q16, clamp)
        with quipu.connect(port) as board:
            return {"id": board.insert(vector, tag or 0, given)}
    records = [
        _record_of(number, line, q16, clamp, tag or 0, given)
        for number, line in enumerate(sys.stdin, 1)
        if line.strip()
    ]
    ids: list[int] = []
    with quipu.connect(port) as board, render.progress("inserting", "records") as progress:
        for vector, _, _ in records:
            if board.config and len(vector) != board.config[0]:
                raise errors.WrongDimension(
                    f"a vector has {board.config[0]} components here, not {len(vector)}; "
                    "nothing was inserted"
                )
        for each in records:
            done = f"(of {len(records)} records, the first {len(ids)} were inserted)"
            try:
                ids.append(board.insert(*each))
            except errors.QuipuError as error:
                raise errors.about(error, f"{error} {done}") from error
            except KeyboardInterrupt as error:
                raise KeyboardInterrupt(f"{str(error) or 'interrupted'} {done}") from None
            progress(len(ids), len(records))
    return {"ids": ids}


def _meta(text: str | None, data: bytes | None) -> bytes | None:
    if text is not None and data is not None:
        raise errors.UsageError(
            "--meta and --meta-hex are two ways to write one thing: give one of them"
        )
    return data if text is None else typed(text)


def _record_of(
    number: int, line: str, q16: bool, clamp: bool, tag: int, meta: bytes
) -> tuple[list[int], int, bytes]:
    """Return vector, tag and metadata of one line of JSON; tag and meta are those of a line that
    has none."""
    try:
        value = limits.parsed(line, exact=True)
        if isinstance(value, list):
            value = {"vector": value}
        if not isinstance(value, dict) or not isinstance(value.get("vector"), list):
            raise errors.Invalid(
                'expected [1, -2.5] or {"vector": [1, -2.5], "tag": 3, "meta": "text"}'
            )
        unknown = set(value) - {"vector", "tag", "meta", "meta_hex"}
        if unknown:
            raise errors.Invalid(f"unknown field {min(unknown)!r}")
        if "meta_hex" in value:
            meta = bytes.fromhex(value["meta_hex"])
        elif "meta" in value:
            meta = value["meta"].encode()
        record = components_of(value["vector"], q16, clamp), value.get("tag", tag), meta
        frames.insert(*record)  # refuses what no record can be
        return record
    except (ValueError, TypeError, AttributeError, errors.Invalid) as error:
        raise errors.Invalid(f"line {number} of the input: {error}; nothing was inserted") from None


def update(
    port: str, ident: int, tag: int | None, meta: str | None, meta_hex: bytes | None
) -> Data:
    """Set a record's tag, its metadata, or both.

    \b
    Example:
      quipu update /dev/ttyACM0 17 --tag 4 --meta running
    """
    given = _meta(meta, meta_hex)
    with quipu.connect(port) as board:
        return {"seq": board.update(ident, tag, given)}


def delete(port: str, ident: int) -> Data:
    """Delete a record; refused while a node refers to it.

    \b
    Example:
      quipu delete /dev/ttyACM0 17
    """
    with quipu.connect(port) as board:
        return {"seq": board.delete(ident)}


def create_node(port: str, kind: int, record: int) -> Data:
    """Create a node, perhaps for a record; prints its id.

    \b
    Example:
      quipu create-node /dev/ttyACM0 2 --record 17
    """
    with quipu.connect(port) as board:
        return {"what": "node", "id": board.create_node(kind, record)}


def delete_node(port: str, ident: int) -> Data:
    """Delete a node and its edges.

    \b
    Example:
      quipu delete-node /dev/ttyACM0 18
    """
    with quipu.connect(port) as board:
        return {"seq": board.delete_node(ident)}


def create_edge(port: str, kind: int, origin: int, target: int) -> Data:
    """Create an edge from node to node; prints its id.

    \b
    Example:
      quipu create-edge /dev/ttyACM0 1 18 19
    """
    with quipu.connect(port) as board:
        return {"what": "edge", "id": board.create_edge(kind, origin, target)}


def delete_edge(port: str, ident: int) -> Data:
    """Delete an edge.

    \b
    Example:
      quipu delete-edge /dev/ttyACM0 20
    """
    with quipu.connect(port) as board:
        return {"seq": board.delete_edge(ident)}


def put(port: str, key: bytes, value: str, as_hex: bool) -> Data:
    """Set a key to a value.

    KEY has 1 to 24 bytes, as text or in hex after 0x; VALUE is text, or bytes with --hex.

    \b
    Example:
      quipu put /dev/ttyACM0 mode fast
      quipu put /dev/ttyACM0 offset --hex 00ff7a
    """
    try:
        data = bytes.fromhex(value) if as_hex else typed(value)
    except ValueError:
        raise errors.UsageError(f"{value!r} is not bytes in hex, such as 00ff7a") from None
    with quipu.connect(port) as board:
        return {"seq": board.put(key, data)}


def delete_key(port: str, key: bytes) -> Data:
    """Delete a key.

    \b
    Example:
      quipu delete-key /dev/ttyACM0 mode
    """
    with quipu.connect(port) as board:
        return {"seq": board.delete_key(key)}


def clock(port: str) -> Data:
    """Tell the board's log this laptop's time.

    \b
    Example:
      quipu clock /dev/ttyACM0
    """
    with quipu.connect(port) as board:
        unix_ms = time.time_ns() // 1_000_000
        return {"seq": board.clock(unix_ms), "unix_ms": unix_ms}


def checkpoint(port: str) -> Data:
    """Append a checkpoint: a frame with the state root.

    \b
    Example:
      quipu checkpoint /dev/ttyACM0
    """
    with quipu.connect(port) as board:
        return {"seq": board.checkpoint()}


def snapshot(port: str) -> Data:
    """Take a snapshot on the board's flash now.

    \b
    Example:
      quipu snapshot /dev/ttyACM0
    """
    with quipu.connect(port) as board:
        return {"seq": board.snapshot()}


# -- what a person sees ----------------------------------------------------------------------------


def show_inserted(data: Data) -> str:
    if "ids" in data:
        ids = data["ids"]
        return (
            f"{count(len(ids), 'record')}: {ids[0]} to {ids[-1]}"
            if ids
            else "no record: the input was empty"
        )
    return f"record {data['id']}"


def show_changed(data: Data) -> str:
    return f"done, seq {data['seq']}"


def show_created(data: Data) -> str:
    return f"{data['what']} {data['id']}"


def show_clock(data: Data) -> str:
    return f"{moment(data['unix_ms'])}, seq {data['seq']}"


def show_checkpoint(data: Data) -> str:
    return f"checkpoint, seq {data['seq']}"


def show_snapshot(data: Data) -> str:
    return f"snapshot of the state at seq {data['seq']}"


VERBS = {
    "insert": Verb(insert, show_inserted, (PORT, VECTOR, Q16, CLAMP, TAG, *META)),
    "update": Verb(update, show_changed, (PORT, ID, TAG, *META)),
    "delete": Verb(delete, show_changed, (PORT, ID)),
    "create-node": Verb(
        create_node,
        show_created,
        (
            PORT,
            argument("kind", "KIND", U32),
            option("--record", "the record it stands for", type=U32, default=0),
        ),
    ),
    "delete-node": Verb(delete_node, show_changed, (PORT, ID)),
    "create-edge": Verb(
        create_edge,
        show_created,
        (
            PORT,
            argument("kind", "KIND", U32),
            argument("origin", "FROM", U32),
            argument("target", "TO", U32),
        ),
    ),
    "delete-edge": Verb(delete_edge, show_changed, (PORT, ID)),
    "put": Verb(
        put,
        show_changed,
        (
            PORT,
            KEY,
            argument("value", "VALUE"),
            option("--hex as_hex", "VALUE is bytes in hex", is_flag=True),
        ),
    ),
    "delete-key": Verb(delete_key, show_changed, (PORT, KEY)),
    "clock": Verb(clock, show_clock, (PORT,)),
    "checkpoint": Verb(checkpoint, show_checkpoint, (PORT,)),
    "snapshot": Verb(snapshot, show_snapshot, (PORT,)),
}
