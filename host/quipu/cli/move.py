"""The verbs that carry a memory elsewhere and back: export, import, valori. Handlers as in board.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import quipu
from quipu import errors
from quipu.cli import render
from quipu.cli.past import Source
from quipu.formats import export as out
from quipu.formats import imports, valori
from quipu.past import describe

Data = dict[str, Any]

FORMS = ("jsonl", "npy", "parquet", "valori")
_SUFFIXES = {".jsonl": "jsonl", ".json": "jsonl", ".npy": "npy", ".parquet": "parquet", ".snap": "valori", ".valori": "valori"}


def _form(form: str | None, path: str) -> str:
    found = form or _SUFFIXES.get(Path(path).suffix)
    if found is None:
        raise errors.UsageError(f"{path}: which form is it? Give --format {'|'.join(FORMS)}, or a name that ends in "
                                f"{', '.join(_SUFFIXES)}")
    return found


@contextmanager
def _named(file: str) -> Iterator[None]:
    """What is wrong with a file's bytes is told with its name."""
    try:
        yield
    except errors.QuipuError as error:
        error.args = (f"{file}: {error}",)
        raise


def export(source: str, output: str, form: str | None, state: bool, at: str | None) -> Data:
    """Write what an archive holds for other programs.

    The form follows from the file's name. .jsonl: every command up to the moment, one a line, or with --state those that make its
    contents anew; .npy and .parquet: the records; .snap: a snapshot that a Valori node restores, with the state hash that it will
    show. `quipu import` takes each of them.

    \b
    Example:
      quipu export data/watch -o watch.jsonl
      quipu export data/watch -o watch.snap --at 14:02
    """
    kind = _form(form, output)
    if state and kind != "jsonl":
        raise errors.UsageError(f"--state chooses what JSON lines say; {kind} is of a state anyway")
    path = Path(output)
    with quipu.open(source) as memory:
        moment = memory.moment(at)
        data: Data = {"output": output, "format": kind}
        if kind == "jsonl":
            lines = out.state_commands(memory.state(moment.seq)) if state else out.commands(memory, moment.seq)
            data |= {"count": out.write_lines(lines, path), "what": "command"}
        elif kind == "valori":
            kernel = memory.state(moment.seq)
            snapshot = valori.from_state(kernel)
            path.write_bytes(snapshot.encode())
            data |= {"count": len(snapshot.records), "what": "record", "valori_hash": snapshot.state_hash().hex(),
                     "left": valori.left_behind(kernel)}
        else:
            data |= {"count": out.write_records(memory.state(moment.seq), path, kind), "what": "record"}
        data["root"] = memory.state(moment.seq).root().hex()
        return Source(memory, moment).told(data)


def import_(port: str, file: str, form: str | None) -> Data:
    """Carry out on a board what a file says.

    The form follows from the file's name, as for export. The file is checked to its end first. Ids in it are its own: the board
    gives new ones. It adds to what the board holds.

    \b
    Example:
      quipu import /dev/ttyACM0 watch.jsonl
    """
    kind = _form(form, file)
    path = Path(file)
    data: Data = {"input": file, "format": kind, "left": []}
    if kind == "jsonl":
        with path.open("rb") as text, _named(file):
            steps = imports.lines(text)
    elif kind == "valori":
        with _named(file):
            snapshot = valori.Snapshot.decode(path.read_bytes())
            plan = valori.plan(snapshot)
        steps = imports.planned(plan)
        data |= {"left": plan.left, "valori_hash": snapshot.state_hash().hex()}
    else:
        steps = imports.records(path, kind)
    with quipu.connect(port) as board:
        config = board.config
        if config is None:
            raise errors.NotFound("the board has no log yet: configure it first")
        imports.check(steps, describe.config(config))
        with render.progress("importing", "commands") as progress:
            ids = imports.carry_out(board, steps, progress)
        info = board.info()
    return {**data, "count": len(steps), "what": "command", "ids": ids, "root": info["root"], "seq": info["seq"]}


def valori_(file: str) -> Data:
    """Check a file of Valori's: a kernel snapshot (version 7) or an event log (version 4).

    Of a snapshot: its state hash, what it holds, and what Quipu cannot carry. Of an event log: every entry's CRC and link.

    \b
    Example:
      quipu valori watch.snap
    """
    data = Path(file).read_bytes()
    with _named(file):
        return _checked(data)


def _checked(data: bytes) -> Data:
    if data[:4] in (b"VAL1", b"VALK"):
        snapshot = valori.Snapshot.decode(data)
        plan = valori.plan(snapshot)
        return {"kind": "snapshot", "valori_hash": snapshot.state_hash().hex(), "version": snapshot.version, "dim": snapshot.dim,
                "counts": {"records": sum(each is not None for each in snapshot.records), "nodes": len(snapshot.nodes),
                           "edges": len(snapshot.edges), "metadata": len(snapshot.metadata)}, "left": plan.left}
    entries = 0
    head = None
    for each in valori.read_log(data):
        entries, head = entries + 1, each.head.hex()
    return {"kind": "event log", "entries": entries, "head": head}
