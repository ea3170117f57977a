"""What a person sees of answers about the past, and the forms in which a query's rows go to other programs.

Like render.py, for 80 columns; a moment comes with its wall time and how far off that may be.
"""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from quipu.cli import render
from quipu.cli.render import grid, pairs, says
from quipu.errors import UsageError
from quipu.text import count, moment, octets, plain, size, vector

Data = dict[str, Any]

FORMATS = ("table", "jsonl", "csv", "arrow", "parquet")
_MARKS = {"added": "+", "deleted": "-", "changed": "~"}


def when(data: Data) -> str:
    """Return a moment in words: seq, wall time, uncertainty."""
    told = f"seq {data['seq']}"
    return told + (f", {moment(data['unix_ms'])} ± {data['uncertainty_ms']} ms" if data["unix_ms"] is not None else ", time unknown")


def synced(data: Data) -> RenderableType:
    """Return what a sync did: of a board, or of another archive."""
    if "wire_bytes" in data:
        return render.synced(data)
    copied = f"{data['frames']:,} frames, {data['log_bytes']:,} log bytes" if data["frames"] else "nothing new"
    return pairs([
        ("board", data["board"]),
        ("copied", copied),
        ("filled", ", ".join(f"seq {first} to {last}" for first, last in data["filled"]) or None),
        ("snapshots", ", ".join(f"of seq {seq}" for seq in data["snapshots"]) or None),
        ("moved", f"{data['moved_bytes']:,} bytes, {count(data['heads'], 'head')} compared"),
        ("missing", ", ".join(f"seq {first} to {last}" for first, last in data["gaps"]) or None),
        ("damage", data["damage"]),
        ("archive", f"{data['archive']}{', new' if data['created'] else ''}, to seq {data['seq']}"),
        ("chain head", data["head"]),
    ])


def dated(show: Callable[..., RenderableType]) -> Callable[..., RenderableType]:
    """Return what shows an answer, and below it the moment that it is of and what is damaged after it, for an archive's."""

    def shown(data: Data, **look: Any) -> RenderableType:
        what = show(data, **look)
        if "moment" not in data:
            return what
        lines = [what if not isinstance(what, str) else Text(what), Text("at " + when(data["moment"]), "dim")]
        if data["damage"]:
            lines.append(Text(plain(f"damaged after that: {data['damage']}"), "bold red"))
        return Group(*lines)

    return shown


def history(data: Data) -> RenderableType:
    rows = []
    for each in data["versions"]:
        value = "deleted" if each["deleted"] else octets(each, "value") if each["value_hex"] is not None else "in a frame that is gone"
        at = "" if each["unix_ms"] is None else f"{moment(each['unix_ms'])} ± {each['uncertainty_ms']} ms"
        rows.append((each["seq"], at, value))
    table = grid("", (">seq", "time", "value"), rows)
    if data["missing"] is None:
        return table
    return Group(table, Text(f"archived before that: seq {data['missing']} and older are not here"))


def diff(data: Data) -> RenderableType:
    """Return a line for each thing: + added, - deleted, ~ changed, with what it was and is."""
    lines = [f"from  {data['a']['archive']}  {when(data['a'])}", f"to    {data['b']['archive']}  {when(data['b'])}"]
    if not data["same_log"]:
        lines.append("two logs: ids are compared as they are, the seqs of keys are not")
    for pool in ("records", "nodes", "edges", "keys"):
        name = pool[:-1]
        for change in ("deleted", "added"):
            for each in data[pool][change]:
                lines.append(f"{_MARKS[change]} {name} {_whole(pool, each)}")
        for each in data[pool]["changed"]:
            label = octets(each, "name") if pool == "keys" else each["id"]
            fields = [f"{field} {_short(before)} -> {_short(after)}" for field, (before, after) in each["fields"].items()
                      if not (field + "_hex" in each["fields"] and before is None or field.endswith("_hex") and _texts(each, field))]
            lines.append(f"{_MARKS['changed']} {name} {label}: " + ", ".join(fields))
    counts = data["counts"]
    lines.append("the same state" if data["same"] else ", ".join(f"{n} {what}" for what, n in counts.items()))
    if data["damage"]:
        lines.append(f"damaged after that: {data['damage']}")
    return "\n".join(map(plain, lines))


def _texts(change: Data, field: str) -> bool:
    """Return whether bytes that changed are text before and after, so that their hex says nothing more."""
    return None not in change["fields"].get(field.removesuffix("_hex"), [None])


def _short(value: Any) -> str:
    return vector(value) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def _whole(pool: str, each: Data) -> str:
    if pool == "records":
        meta = f" {octets(each, 'meta')}" if each["meta_hex"] else ""
        return f"{each['id']}: tag {each['tag']}{meta} {vector(each['vector'])}"
    if pool == "nodes":
        return f"{each['id']}: kind {each['kind']}" + (f", record {each['record']}" if each["record"] else "")
    if pool == "edges":
        return f"{each['id']}: kind {each['kind']}, {each['from']} -> {each['to']}"
    return f"{octets(each, 'name')}: {octets(each, 'value')}"


def explain(data: Data) -> RenderableType:
    label = octets(data, "name") if data["kind"] == "key" else data["id"]
    rows = ((f["seq"], "" if f["unix_ms"] is None else f"{moment(f['unix_ms'])} ± {f['uncertainty_ms']} ms", f["type"], says(f))
            for f in data["frames"])
    known = {"record": render.record, "node": render.node, "edge": render.edge}
    if data["is"] is None:
        now: RenderableType = Text(f"{data['kind']} {label}: deleted")
    elif data["kind"] == "key":
        now = pairs([("key", label), ("value", octets(data["is"], "value")), ("seq", data["is"]["seq"])])
    else:
        now = known[data["kind"]](data["is"])
    return Group(now, Text(""), grid("", (">seq", "time", "frame", "says"), rows))


def index(data: Data) -> RenderableType:
    return pairs([("index", data["index"]), ("frames", "none" if data["seq"] is None else f"to seq {data['seq']}"),
                  ("kept states", data["kept"]), ("size", size(data["bytes"])), ("damage", data["damage"])])


# -- rows of a query ------------------------------------------------------------------------------------------------------


def rows(data: Data) -> RenderableType:
    """Return the rows in the form that was asked for; where a file took them, how many."""
    found, form = data["rows"], data["format"]
    if data["output"]:
        return f"{count(len(found), 'row')} in {data['output']}"
    if form != "table":
        return text(found, form).rstrip("\n")
    names = _columns(found)
    lines = ([_cell(row, name) for name in names] for row in found)
    numeric = {name for name in names if all(isinstance(row[name], int | float) for row in found)}
    parts: list[RenderableType] = [grid("", [">" + name if name in numeric else name for name in names], lines, "no row"),
                                   Text("at " + when(data["moment"]), "dim")]
    if data["damage"]:
        parts.append(Text(plain(f"damaged after that: {data['damage']}"), "bold red"))
    return Group(*parts)


def text(found: list[Data], form: str) -> str:
    """Return rows as JSON lines, or as CSV with a header."""
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    out = io.StringIO()
    names = _columns(found)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in found:
        writer.writerow([_plain(row, name) for name in names])
    return out.getvalue()


def write(found: list[Data], form: str, path: Path) -> None:
    """Write rows to a file. UsageError for Arrow and Parquet where pyarrow is not installed."""
    if form == "table":
        raise UsageError("a table is for the screen: choose --format jsonl, csv, arrow or parquet")
    if form in ("jsonl", "csv"):
        path.write_text(text(found, form), encoding="utf-8")
        return
    try:
        import pyarrow
    except ImportError:
        raise UsageError(f"--format {form} needs pyarrow, which is not installed: pip install pyarrow") from None
    names = _columns(found)
    columns = {name: [bytes.fromhex(row[name + "_hex"]) if name + "_hex" in row else row[name] for row in found] for name in names}
    table = pyarrow.table(columns)
    if form == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, path)
    else:
        with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)


def _columns(found: list[Data]) -> list[str]:
    """Return the names of the columns; the hex of bytes is no column of its own."""
    return [name for name in (found[0] if found else ()) if not (name.endswith("_hex") and name.removesuffix("_hex") in found[0])]


def _cell(row: Data, name: str) -> str:
    value = row[name]
    if name + "_hex" in row:
        return octets(row, name)
    return "-" if value is None else vector(value) if isinstance(value, list) else str(value)


def _plain(row: Data, name: str) -> Any:
    value = row[name]
    if name + "_hex" in row:
        return value if value is not None else "0x" + row[name + "_hex"]
    return json.dumps(value) if isinstance(value, list) else value
