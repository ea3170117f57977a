"""The verbs that carry a memory to other programs and back: export, import, valori, and report, a
page for a browser."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

import quipu
from quipu import errors, limits
from quipu.archive import disk
from quipu.cli import render
from quipu.cli.options import AT, CLAMP, MAX_STATE, PORT, Data, Verb, argument, option
from quipu.cli.render import dated, pairs
from quipu.cli.source import Source
from quipu.formats import export as out
from quipu.formats import imports, mcap_file, page, valori
from quipu.formats import report as reports
from quipu.past import describe
from quipu.text import count

FORMS = ("jsonl", "npy", "parquet", "valori", "mcap")
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".npy": "npy",
    ".parquet": "parquet",
    ".mcap": "mcap",
    ".snap": "valori",
    ".valori": "valori",
}
FORM = option("--format form", "if the file's name does not say it", type=click.Choice(FORMS))

AGAIN = option("--again", "once more, although an earlier run carried it out", is_flag=True)


def _form(form: str | None, path: str) -> str:
    found = form or _SUFFIXES.get(Path(path).suffix)
    if found is None:
        raise errors.UsageError(
            f"{path}: which form is it? Give --format {'|'.join(FORMS)}, or a name that ends in "
            f"{', '.join(_SUFFIXES)}"
        )
    return found


@contextmanager
def _named(file: str) -> Iterator[None]:
    """What is wrong with a file's bytes is told with its name."""
    try:
        yield
    except errors.QuipuError as error:
        raise errors.about(error, f"{file}: {error}") from error


def export(source: str, output: str, form: str | None, state: bool, at: str | None) -> Data:
    """Write what an archive holds for other programs.

    The form follows from the file's name. .jsonl: every command up to the moment, one a line, or
    with --state those that make its contents anew; .npy and .parquet: the records; .snap: a
    snapshot that a Valori node restores, with the state hash that it will show. `quipu import`
    takes each of them. .mcap: what became of keys and records over time, for Foxglove and Rerun.

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
            lines = (
                out.state_commands(memory.state(moment.seq))
                if state
                else out.commands(memory, moment.seq)
            )
            data |= {"count": out.write_lines(lines, path), "what": "command"}
        elif kind == "mcap":
            data |= {"count": mcap_file.write(memory, path, moment.seq), "what": "message"}
        elif kind == "valori":
            kernel = memory.state(moment.seq)
            snapshot = valori.from_state(kernel)
            disk.put(path, [snapshot.encode()])
            data |= {
                "count": len(snapshot.records),
                "what": "record",
                "valori_hash": snapshot.state_hash().hex(),
                "left": valori.left_behind(kernel),
            }
        else:
            data |= {
                "count": out.write_records(memory, path, kind, moment.seq),
                "what": "record",
            }
        data["root"] = memory.state(moment.seq).root().hex()
        return Source(memory, moment).told(data)


def import_(port: str, file: str, form: str | None, clamp: bool, again: bool) -> Data:
    """Carry out on a board what a file says.

    The form follows from the file's name, as for export. The file is checked to its end first. Ids
    in it are its own: the board gives new ones. It adds to what the board holds.

    An import that was interrupted is run again: it goes on after the commands whose frames are on
    the board's flash, and one that was complete changes nothing. --again carries all of it out once
    more.

    \b
    Example:
      quipu import /dev/ttyACM0 watch.jsonl
    """
    kind = _form(form, file)
    if kind == "mcap":
        raise errors.UsageError(f"{file}: MCAP is only written: import JSON lines (.jsonl) instead")
    path, given = Path(file), limits.contents(file)
    data: Data = {"input": file, "format": kind, "left": []}
    if kind == "jsonl":
        with _named(file):
            steps = imports.lines(io.BytesIO(given), clamp)
    elif kind == "valori":
        with _named(file):
            snapshot = valori.Snapshot.decode(given)
            plan = valori.plan(snapshot)
        steps = imports.planned(plan)
        data |= {"left": plan.left, "valori_hash": snapshot.state_hash().hex()}
    else:
        steps = imports.records(path, kind, clamp)
    with quipu.connect(port) as board:
        config = board.config
        if config is None:
            raise errors.NotFound("the board has no log yet: configure it first")
        imports.check(steps, describe.config(config))
        salt = os.urandom(16) if again else b""
        marks = imports.tokens(steps, given + f"{kind} {clamp}".encode() + salt)
        before = [] if again else imports.done(board, marks)
        with render.progress("importing", "commands") as progress:
            ids = imports.carry_out(board, steps, progress, marks, before)
        info = board.info()
    return {
        **data,
        "count": len(steps),
        "before": len(before),
        "what": "command",
        "ids": ids,
        "root": info["root"],
        "seq": info["seq"],
    }


def valori_(file: str) -> Data:
    """Check a file of Valori's: a kernel snapshot (version 7) or an event log (version 4).

    Of a snapshot: its state hash, what it holds, and what Quipu cannot carry. Of an event log:
    every entry's CRC and link.

    \b
    Example:
      quipu valori watch.snap
    """
    data = limits.contents(file)
    with _named(file):
        return _checked(data)


def _checked(data: bytes) -> Data:
    if data[:4] in (b"VAL1", b"VALK"):
        snapshot = valori.Snapshot.decode(data)
        plan = valori.plan(snapshot)
        return {
            "kind": "snapshot",
            "valori_hash": snapshot.state_hash().hex(),
            "version": snapshot.version,
            "dim": snapshot.dim,
            "counts": {
                "records": sum(each is not None for each in snapshot.records),
                "nodes": len(snapshot.nodes),
                "edges": len(snapshot.edges),
                "metadata": len(snapshot.metadata),
            },
            "left": plan.left,
        }
    entries = 0
    head = None
    for each in valori.read_log(data):
        entries, head = entries + 1, each.head.hex()
    return {"kind": "event log", "entries": entries, "head": head}


def report(
    source: str | None, archive: str | None, output: str, wear: str | None, axis: str = "time"
) -> Data:
    """Write a page about an archive: verdict, frames over time, keys, records, wear, graph.

    One HTML file that needs nothing else: no script, no network. Frames stand at their wall times,
    or by their seqs (--axis seq, and where no clock tells). Exit code as that of verify.

    \b
    Example:
      quipu report data/watch -o report.html
      quipu flash-map /dev/ttyACM0 --json > map.json
      quipu report data/watch -o report.html --wear map.json
    """
    if (source is None) == (archive is None):
        raise errors.UsageError("name the archive, once: quipu report DIR -o report.html")
    data = reports.collect(source or archive or "", _map(Path(wear)) if wear else None, axis)
    # a folder's name may have bytes that are no UTF-8
    text = page.page(data).encode("utf-8", "backslashreplace")
    disk.put(output, [text])
    return {
        "output": output,
        "bytes": len(text),
        "verdict": data["verdict"]["verdict"],
        "exit_code": data["verdict"]["exit_code"],
    }


def _map(path: Path) -> Data:
    """Return a flash map as `quipu flash-map --json` printed it."""
    try:
        found = limits.parsed(limits.contents(path))
        for row in found["sectors"]:
            if not isinstance(row["state"], str) or not isinstance(row["erases"], int | None):
                raise TypeError
    except (ValueError, KeyError, TypeError):
        raise errors.UsageError(
            f"{path} is no flash map: expected what `quipu flash-map --json` prints"
        ) from None
    data: Data = found
    return data


# -- what a person sees ----------------------------------------------------------------------------


def show_moved(data: Data) -> RenderableType:
    """Return how much went where, both states' hashes, and what could not be carried, a line
    each."""
    where = data.get("output") or data["input"]
    rows: list[tuple[str, Any]] = [
        (
            data["format"],
            f"{count(data['count'], data['what'])} {'to' if 'output' in data else 'from'} {where}",
        ),
        ("of them", f"{data['before']} by an earlier run" if data.get("before") else None),
        ("Quipu root", data["root"]),
        ("Valori hash", data.get("valori_hash")),
    ]
    rows += [("not carried", each) for each in data.get("left", ())]
    return pairs(rows)


def show_valori(data: Data) -> RenderableType:
    if data["kind"] == "event log":
        return pairs(
            [
                ("event log", f"every entry fits: {data['entries']} of them"),
                ("chain head", data["head"]),
            ]
        )
    counts = ", ".join(f"{n} {what}" for what, n in data["counts"].items())
    return pairs(
        [
            ("snapshot", f"of dimension {data['dim']}, after {data['version']} changes"),
            ("holds", counts),
            ("Valori hash", data["valori_hash"]),
        ]
        + [("not carried", each) for each in data["left"]]
    )


def show_report(data: Data) -> str:
    """Return what a person sees of it."""
    return f"{data['verdict']}: {data['output']}, {data['bytes']} bytes"


VERBS = {
    "report": Verb(
        report,
        show_report,
        (
            click.Argument(["source"], metavar="[DIR]", required=False),
            option("--archive", "the same, as an option", metavar="DIR"),
            option("-o output", "the page to write", metavar="FILE", required=True),
            option(
                "--wear",
                "the board's flash, as `quipu flash-map --json` printed it",
                metavar="FILE",
            ),
            option(
                "--axis",
                "what stands from left to right",
                type=click.Choice(reports.AXES),
                default="time",
                show_default=True,
            ),
            MAX_STATE,
        ),
    ),
    "export": Verb(
        export,
        dated(show_moved),
        (
            argument("source", "DIR"),
            option("-o output", "the file to write", metavar="FILE", required=True),
            FORM,
            option(
                "--state", "JSON lines that make the contents anew, not all commands", is_flag=True
            ),
            AT,
            MAX_STATE,
        ),
    ),
    "import": Verb(
        import_, show_moved, (PORT, argument("file", "FILE"), FORM, CLAMP, AGAIN, MAX_STATE)
    ),
    "valori": Verb(valori_, show_valori, (argument("file", "FILE"), MAX_STATE)),
}
