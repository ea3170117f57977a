"""Commands from files onto a memory: JSON lines (export.py says their form), records as .npy or
Parquet, a Valori snapshot's plan.

A file is read and checked to its end before its first command is carried out. Ids in a file are the
file's own: each that a line names is that of an earlier line, and becomes the id that the memory
gave it."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quipu import limits
from quipu.errors import UsageError, about
from quipu.formats import npy, valori
from quipu.formats.tables import need_pyarrow
from quipu.values import vector
from shared_kernel import frames
from shared_kernel.errors import Invalid, QuipuError, TooLong, WrongDimension
from shared_kernel.frames import TOKEN_BYTES

Data = dict[str, Any]

RECORDS, NODES, EDGES = "records", "nodes", "edges"


class Step(NamedTuple):
    """A command. where: its place in the file, in words; verb: of a Board; makes: the id in the
    file of what it makes, of the kind `pool`, or None; ids: (pool, id in the file) of the things
    that its first arguments name; arguments: the others."""

    where: str
    verb: str
    pool: str = ""
    makes: int | None = None
    ids: tuple[tuple[str, int], ...] = ()
    arguments: tuple[Any, ...] = ()


# -- reading ---------------------------------------------------------------------------------------


def lines(text: Iterable[str | bytes], clamp: bool = False) -> list[Step]:
    """Return the commands of JSON lines (bytes: UTF-8). clamp: as of values.q16. Invalid names the first line that is none,
    or that names what no line before it made."""
    out: list[Step] = []
    made: set[tuple[str, int]] = set()
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value = limits.parsed(line, exact=True)
            if not isinstance(value, dict) or value.get("type") not in _READ:
                raise Invalid(f'expected {{"type": ...}} with one of the types {", ".join(_READ)}')
            step = _step(f"line {number}", value, clamp)
            for pool, ident in step.ids:
                if (pool, ident) not in made:
                    raise Invalid(f"{pool[:-1]} {ident} is made by no line before this one")
            if step.makes is not None:
                made.add((step.pool, step.makes))
        except KeyError as error:
            raise Invalid(f"line {number}: the field {error} is missing") from None
        except (ValueError, TypeError, AttributeError, Invalid, TooLong) as error:
            raise Invalid(f"line {number}: {error}") from None
        out.append(step)
    return out


def _step(where: str, value: Data, clamp: bool) -> Step:
    kind = value["type"]
    fields, read = _READ[kind]
    unknown = set(value) - {"seq", "type", *fields}
    if unknown:
        raise Invalid(f"{kind} has no field {min(unknown)!r}; its fields are {', '.join(fields)}")
    seq = value.get("seq")
    if seq is not None and type(seq) is not int:
        raise Invalid(f"seq is an integer, not {seq!r}")
    return _insert(where, value, seq, clamp) if kind == "insert" else read(where, value, seq)


def _octets(value: Data, name: str, otherwise: bytes | None = None) -> bytes:
    """Return the bytes of a field that is there as text, or in hex, or not at all (KeyError unless
    there is a default)."""
    if value.get(name + "_hex") is not None:
        return bytes.fromhex(value[name + "_hex"])
    if value.get(name) is not None:
        text = value[name]
        if not isinstance(text, str):
            raise Invalid(f"{name} is text, not {text!r}")
        return text.encode()
    if otherwise is None:
        raise KeyError(name)
    return otherwise


def _insert(where: str, value: Data, seq: int | None, clamp: bool = False) -> Step:
    if not isinstance(value["vector"], list):
        raise Invalid("vector is a list of numbers")
    found = vector(value["vector"], clamp), value.get("tag", 0), _octets(value, "meta", b"")
    frames.insert(*found)  # refuses what no record can be
    return Step(where, "insert", RECORDS, seq, (), found)


def _update(where: str, value: Data, seq: int | None) -> Step:
    meta = _octets(value, "meta") if "meta" in value or "meta_hex" in value else None
    found = value.get("tag"), meta
    frames.update(value["id"], *found)
    return Step(where, "update", "", None, ((RECORDS, value["id"]),), found)


def _node(where: str, value: Data, seq: int | None) -> Step:
    record = value.get("record") or 0
    frames.create_node(value["kind"], record)
    # create_node takes the kind first; `carry_out` knows
    return Step(
        where, "create_node", NODES, seq, ((RECORDS, record),) if record else (), (value["kind"],)
    )


def _edge(where: str, value: Data, seq: int | None) -> Step:
    frames.create_edge(value["kind"], value["from"], value["to"])
    return Step(
        where,
        "create_edge",
        EDGES,
        seq,
        ((NODES, value["from"]), (NODES, value["to"])),
        (value["kind"],),
    )


def _put(where: str, value: Data, seq: int | None) -> Step:
    found = _octets(value, "name"), _octets(value, "value")
    frames.put(*found)
    return Step(where, "put", arguments=found)


def _delete_key(where: str, value: Data, seq: int | None) -> Step:
    name = _octets(value, "name")
    frames.delete_key(name)
    return Step(where, "delete_key", arguments=(name,))


def _delete(verb: str, pool: str) -> Callable[[str, Data, int | None], Step]:
    def read(where: str, value: Data, seq: int | None) -> Step:
        frames.ident(value["id"])
        return Step(where, verb, ids=((pool, value["id"]),))

    return read


_READ: dict[str, tuple[tuple[str, ...], Callable[[str, Data, int | None], Step]]] = {
    "insert": (("vector", "tag", "meta", "meta_hex"), _insert),
    "update": (("id", "tag", "meta", "meta_hex"), _update),
    "delete": (("id",), _delete("delete", RECORDS)),
    "create-node": (("kind", "record"), _node),
    "delete-node": (("id",), _delete("delete_node", NODES)),
    "create-edge": (("kind", "from", "to"), _edge),
    "delete-edge": (("id",), _delete("delete_edge", EDGES)),
    "put": (("name", "name_hex", "value", "value_hex"), _put),
    "delete-key": (("name", "name_hex"), _delete_key),
}


def records(path: Path, form: str, clamp: bool = False) -> list[Step]:
    """Return an insert for each record of a file of the form "npy" or "parquet". clamp: as of values.q16. Invalid names the
    row that is none."""
    rows: Iterable[Data] = npy.read(path) if form == "npy" else _parquet(path)
    out = []
    for number, row in enumerate(rows):
        try:
            meta = row.get("meta") or b""
            found = (
                vector(row["vector"], clamp),
                row.get("tag", 0),
                meta.encode() if isinstance(meta, str) else bytes(meta),
            )
            frames.insert(*found)
        except (TypeError, KeyError, Invalid, TooLong) as error:
            raise Invalid(f"{path}, row {number}: {error}") from None
        out.append(Step(f"row {number}", "insert", RECORDS, row.get("id"), (), found))
    return out


def _parquet(path: Path) -> list[Data]:
    pyarrow = need_pyarrow()
    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise Invalid(f"{path}: {error}") from None
    if "vector" not in table.column_names:
        raise Invalid(f"{path}: expected a column vector, found {', '.join(table.column_names)}")
    rows: list[Data] = table.to_pylist()
    return rows


def planned(plan: valori.Plan) -> list[Step]:
    """Return the commands of a plan that valori.plan made."""
    out = [
        Step(f"record {slot}", "insert", RECORDS, slot, (), (found, tag, meta))
        for slot, found, tag, meta in plan.records
    ]
    out += [
        Step(
            f"node {number}",
            "create_node",
            NODES,
            number,
            () if slot is None else ((RECORDS, slot),),
            (kind,),
        )
        for number, kind, slot in plan.nodes
    ]
    out += [
        Step(
            f"edge {number}",
            "create_edge",
            EDGES,
            number,
            ((NODES, origin), (NODES, target)),
            (kind,),
        )
        for number, kind, origin, target in plan.edges
    ]
    return out + [
        Step(f"key {name!r}", "put", arguments=(name, value)) for name, value in plan.keys
    ]


# -- doing -----------------------------------------------------------------------------------------


def check(steps: list[Step], config: Data) -> None:
    """Raise the error that a memory of this configuration would answer to one of the commands, by
    its dimension or its sizes."""
    for step in steps:
        if step.verb == "insert" and len(step.arguments[0]) != config["dim"]:
            raise WrongDimension(
                f"{step.where}: a vector has {config['dim']} components there, not "
                f"{len(step.arguments[0])}; "
                "nothing was changed"
            )
        meta = step.arguments[-1] if step.verb in ("insert", "update") else None
        for what, data, limit in (
            ("metadata", meta, "meta_bytes"),
            ("a value", step.arguments[1] if step.verb == "put" else None, "value_bytes"),
        ):
            if data is not None and len(data) > config[limit]:
                raise TooLong(
                    f"{step.where}: {what} has at most {config[limit]} bytes there, not "
                    f"{len(data)}; nothing was changed"
                )


def tokens(steps: list[Step], source: bytes) -> list[bytes]:
    """Return a token for each command, which follows from its place and from what the file is: so a
    run that goes on finds in the board's log what one before it did. source: the file's bytes, and
    whatever else decides what its commands are."""
    file = hashlib.sha256(source).digest()
    return [
        hashlib.sha256(file + number.to_bytes(4, "little")).digest()[:TOKEN_BYTES]
        for number in range(len(steps))
    ]


def done(board: Any, marks: list[bytes]) -> list[int]:
    """Return the seqs that the first commands of a file have on a board, by their tokens: those
    that an earlier run carried out. UsageError where the board's flash no longer tells."""
    found = board.carried_out(marks)
    last = max((number for number, mark in enumerate(marks) if mark in found), default=-1)
    gone = [number for number, mark in enumerate(marks[: last + 1]) if mark not in found]
    if gone:
        raise UsageError(
            f"an earlier run carried out {last + 1} commands of this file, and the frames of "
            f"{len(gone)} of them have left the board's flash, so their ids are not known: import "
            "what is missing from a file of its own, or all of it once more with --again"
        )
    return [found[mark] for mark in marks[: last + 1]]


def carry_out(
    memory: Any,
    steps: list[Step],
    progress: Callable[[int, int], None] = lambda done, total: None,
    marks: Sequence[bytes] = (),
    before: Sequence[int] = (),
) -> dict[str, dict[int, int]]:
    """Carry the commands out on a memory (a Board, or anything with its verbs), in order; return
    the new id of each thing, by the file's: {"records": {old: new}, "nodes", "edges"}. What refuses
    one says how many were carried out before it.

    marks: a token for each command, for a Board; before: the seqs of the first commands, which an
    earlier run carried out."""
    ids: dict[str, dict[int, int]] = {RECORDS: {}, NODES: {}, EDGES: {}}
    for number, step in enumerate(steps):
        if number < len(before):
            if step.makes is not None:
                ids[step.pool][step.makes] = before[number]
            continue
        if marks:
            memory.next_token = marks[number]
        named = [ids[pool][ident] for pool, ident in step.ids]
        arguments = (
            (*step.arguments, *named)
            if step.verb.startswith("create")
            else (*named, *step.arguments)
        )
        try:
            result = getattr(memory, step.verb)(*arguments)
        except QuipuError as error:
            raise about(
                error,
                f"{step.where}: {error} (of {len(steps)} commands, the first {number} were "
                f"carried out)",
            ) from error
        if step.makes is not None:
            ids[step.pool][step.makes] = result
        progress(number + 1, len(steps))
    return ids
