"""The verbs that ask an archive what was: state, diff, explain, query, index. Of a board, all that
its flash holds is pulled first."""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

import quipu
from quipu import errors
from quipu.archive import disk
from quipu.cli import render
from quipu.cli.ask import show_edge, show_node, show_record
from quipu.cli.options import AT, MAX_STATE, SOURCE, U32, Data, Verb, argument, option
from quipu.cli.render import SHORT_HASH, Whole, dated, grid, pairs, says, sizes, when
from quipu.cli.source import recalled
from quipu.errors import UsageError
from quipu.past import describe
from quipu.past.index import Index
from quipu.past.memory import Memory
from quipu.past.moment import Moment
from quipu.past.query import TIME, Query, columns, run
from quipu.text import count, iso, moment, octets, plain, size, vector

FORMATS = ("table", "jsonl", "csv", "arrow", "parquet")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell begins with that a spreadsheet runs
_MARKS = {"added": "+", "deleted": "-", "changed": "~"}
ROWS = 20  # of each table of `quipu state`, unless --all


def state(source: str | None, archive: str | None, at: str | None) -> Data:
    """Show the state that an archive's frames, or a board's, lead to.

    After the last frame, or at a moment: counts, root, contents. Of a board, all that its flash
    holds is pulled first, into a temporary archive; the board is only read.

    \b
    Example:
      quipu state data/watch --at 100
      quipu state /dev/ttyACM0
    """
    if (source is None) == (archive is None):
        raise errors.UsageError("name the archive or the port, once: quipu state DIR")
    with recalled(source or archive or "", at, archive is not None) as it:
        replay = it.it.replay(**it.at)
        return it.told(
            {"seq": replay.seq, "chain_head": replay.head.hex(), **describe.state(replay.kernel)}
        )


def diff(a: str, b: str) -> Data:
    """Compare two states: what was added, changed, deleted from A to B.

    A and B are archives, or moments of archives: DIR@SEQ or DIR@TIME. Two boards' archives are
    compared by ids and names.

    \b
    Example:
      quipu diff data/watch@100 data/watch
      quipu diff data/watch@14:02 data/watch@-5m --json
    """
    with _moment(a) as (ours, first), _moment(b) as (theirs, second):
        found = ours.diff(first.seq, theirs, second.seq)
        damage = ours.damage or theirs.damage
        found = {
            **found,
            "a": {"archive": str(ours.path), **first._asdict()},
            "b": {"archive": str(theirs.path), **second._asdict()},
            "damage": str(damage) if damage else None,
        }
        return {**found, "exit_code": 1} if damage else found


@contextlib.contextmanager
def _moment(text: str) -> Iterator[tuple[Memory, Moment]]:
    path, at = text, None
    if not Path(text).is_dir() and "@" in text:
        path, at = text.rsplit("@", 1)
    with quipu.open(path) as memory:
        yield memory, memory.moment(at)


def explain(source: str, thing: str, at: str | None) -> Data:
    """Show the frames that made a thing what it is, oldest first.

    THING is a key, or the id of a record, node or edge; record:17, node:18, edge:20 and key:17 say
    which is meant.

    \b
    Example:
      quipu explain data/watch mode
      quipu explain data/watch node:18 --at 200
      quipu explain /dev/ttyACM0 mode
    """
    with recalled(source, at) as it:
        return it.told(it.it.explain(thing, **it.at))


def query(
    sources: tuple[str, ...],
    what: str,
    where: str,
    select: str,
    distinct: bool,
    with_deleted: bool,
    order: str,
    offset: int,
    limit: int | None,
    group_by: str,
    aggregate: str,
    at: str | None,
    format: str,
    no_formulas: bool,
    output: str | None,
) -> Data:
    """Ask for records, nodes, edges or keys, of archives or boards.

    FILTER compares fields: tag = 3 and (meta prefix "walk" or not vector[0] between -1 and 1).
    Comparisons: = != < <= > >=, between A and B, in (A, B), prefix, contains, matches, exists; not,
        and, or, parentheses. A field inside of a value that is JSON is named by its path: value.mode =
        "run". A time is compared with text: time > "-1h".

    \b
    Fields:
      records  id tag meta vector[0] vector[1] ...
      nodes    id kind record
      edges    id kind from to
      keys     name value seq
      each     time uncertainty_ms board log deleted

    time is that of the frame that made a record, node or edge, or wrote a key. Files (-o, --format)
    have the last row's columns without being asked.

    \b
    Example:
      quipu query data/watch records --where 'tag = 3' --order -id --limit 5
      quipu query data/watch keys --where 'value > 20' --select name,value,time
      quipu query data/watch records --group-by tag --aggregate 'max(id)'
    """
    asks = Query(
        what,
        where,
        _names(select),
        _names(order),
        limit,
        _names(group_by),
        _names(aggregate),
        offset,
        distinct,
        with_deleted,
        format != "table" or len(sources) > 1,
    )
    if format in ("arrow", "parquet") and output is None:
        raise errors.UsageError(f"--format {format} is for files: name one with -o")
    if no_formulas and format != "csv":
        raise errors.UsageError(f"--no-formulas speaks of --format csv, not of {format}")
    data = _of_several(sources, asks, at)
    kinds = columns(asks)
    data |= {"what": what, "columns": [*kinds], "kinds": kinds}
    rows = data["rows"]
    data |= {"output": output, "format": format, "no_formulas": no_formulas, "as_text": []}
    if output and format in ("arrow", "parquet"):
        from quipu.formats import tables  # seldom needed

        with disk.output(output) as aside:
            data["as_text"] = tables.write(rows, kinds, format, aside)
    elif output:
        if format == "table":
            raise UsageError(
                "a table is for the screen: choose --format jsonl, csv, arrow or parquet"
            )
        disk.put(output, [text(rows, kinds, format, no_formulas).encode()])
    return data


def _of_several(sources: tuple[str, ...], asks: Query, at: str | None) -> Data:
    """Return the rows of one source, or of all of several together, with the moment of each."""
    if len(sources) == 1:
        with recalled(sources[0], at) as it:
            return it.told({"rows": it.it.query(asks, **it.at)})
    states: list[Data] = []
    told: list[Data] = []
    for each in sources:
        with recalled(each, at) as it:
            states.append(it.it.asked(asks, **it.at))
            told.append({"source": each, **it.told({})})
    rows = [row for state in states for row in state[asks.what]]
    config = {"dim": max(state["config"]["dim"] for state in states)}
    damage = [f"{each['source']}: {each['damage']}" for each in told if each["damage"]]
    return {
        "rows": run(asks, {"config": config, asks.what: rows}),
        "sources": told,
        "damage": "; ".join(damage) or None,
        **({"exit_code": 1} if damage else {}),
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def index(archive: str, rebuild: bool) -> Data:
    """Make the index of an archive, or bring it up to date.

    It is a file beside the frames that makes answers about the past fast. Questions bring it up to
    date themselves; verify never reads it. --rebuild makes it anew out of the frames.

    \b
    Example:
      quipu index data/watch --rebuild
    """
    with quipu.open(archive) as memory, render.progress("indexing") as progress:
        made = Index(memory, rebuild, progress)
        try:
            if made.own:
                raise errors.ArchiveError(
                    f"{made.path} cannot be written: is the disk full, or the folder read only?"
                )
            seq = made.progress.seq if made.progress else None
            kept = len(made.kept())
        finally:
            made.close()
        return {
            "index": str(made.path),
            "seq": seq,
            "kept": kept,
            "bytes": made.path.stat().st_size,
            "damage": str(made.damage) if made.damage else None,
            "exit_code": 1 if made.damage else 0,
        }


# -- what a person sees ----------------------------------------------------------------------------


def show_state(data: Data, whole: bool = False) -> RenderableType:
    """Return root, counts and tables of the contents: ROWS of each, or all of it."""
    config, counts = data["config"], data["counts"]
    head = pairs([("seq", data["seq"]), ("state root", data["root"]), ("sizes", sizes(config))])
    lines: dict[str, tuple[tuple[str, ...], Callable[[Data], tuple[Any, ...]]]] = {
        "records": (
            (">id", ">tag", "metadata", "vector"),
            lambda r: (
                r["id"],
                r["tag"],
                octets(r, "meta") if r["meta_hex"] else "",
                vector(r["vector"]),
            ),
        ),
        "nodes": ((">id", ">kind", ">record"), lambda n: (n["id"], n["kind"], n["record"] or "-")),
        "edges": (
            (">id", ">kind", ">from", ">to"),
            lambda e: (e["id"], e["kind"], e["from"], e["to"]),
        ),
        "keys": (
            ("name", "value", ">written by seq"),
            lambda k: (octets(k, "name"), octets(k, "value"), k["seq"]),
        ),
    }
    parts: list[RenderableType] = [head]
    for name, (heads, line) in lines.items():
        shown = data[name] if whole else data[name][:ROWS]
        parts += [
            Text(""),
            grid(f"{name}: {counts[name]} of {config[name]}", heads, map(line, shown)),
        ]
        if len(shown) < len(data[name]):
            parts.append(Text(f" … {len(data[name]) - len(shown)} more; --all shows them"))
    return Group(*parts)


def show_diff(data: Data) -> RenderableType:
    """Return a line for each thing: + added, - deleted, ~ changed, with what it was and is."""
    lines = [
        f"from  {data['a']['archive']}  {when(data['a'])}",
        f"to    {data['b']['archive']}  {when(data['b'])}",
    ]
    if not data["same_log"]:
        lines.append("two logs: ids are compared as they are, the seqs of keys are not")
    for pool in ("records", "nodes", "edges", "keys"):
        name = pool[:-1]
        for change in ("deleted", "added"):
            for each in data[pool][change]:
                lines.append(f"{_MARKS[change]} {name} {_whole(pool, each)}")
        for each in data[pool]["changed"]:
            label = octets(each, "name") if pool == "keys" else each["id"]
            fields = [
                f"{field} {_short(before)} -> {_short(after)}"
                for field, (before, after) in each["fields"].items()
                if not (
                    field + "_hex" in each["fields"]
                    and before is None
                    or field.endswith("_hex")
                    and _texts(each, field)
                )
            ]
            lines.append(f"{_MARKS['changed']} {name} {label}: " + ", ".join(fields))
    counts = data["counts"]
    lines.append(
        "the same state" if data["same"] else ", ".join(f"{n} {what}" for what, n in counts.items())
    )
    if data["damage"]:
        lines.append(f"damaged after that: {data['damage']}")
    return "\n".join(map(plain, lines))


def _texts(change: Data, field: str) -> bool:
    """Return whether bytes that changed are text before and after, so that their hex says nothing
    more."""
    return None not in change["fields"].get(field.removesuffix("_hex"), [None])


def _short(value: Any) -> str:
    return vector(value) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def _whole(pool: str, each: Data) -> str:
    if pool == "records":
        meta = f" {octets(each, 'meta')}" if each["meta_hex"] else ""
        return f"{each['id']}: tag {each['tag']}{meta} {vector(each['vector'])}"
    if pool == "nodes":
        return f"{each['id']}: kind {each['kind']}" + (
            f", record {each['record']}" if each["record"] else ""
        )
    if pool == "edges":
        return f"{each['id']}: kind {each['kind']}, {each['from']} -> {each['to']}"
    return f"{octets(each, 'name')}: {octets(each, 'value')}"


def show_explain(data: Data) -> RenderableType:
    label = octets(data, "name") if data["kind"] == "key" else data["id"]
    rows = (
        (
            f["seq"],
            "" if f["unix_ms"] is None else f"{moment(f['unix_ms'])} ± {f['uncertainty_ms']} ms",
            f["type"],
            says(f),
        )
        for f in data["frames"]
    )
    known = {"record": show_record, "node": show_node, "edge": show_edge}
    if data["is"] is None:
        now: RenderableType = Text(f"{data['kind']} {label}: deleted")
    elif data["kind"] == "key":
        now = pairs(
            [("key", label), ("value", octets(data["is"], "value")), ("seq", data["is"]["seq"])]
        )
    else:
        now = known[data["kind"]](data["is"])
    return Group(now, Text(""), grid("", (">seq", "time", "frame", "says"), rows))


def show_index(data: Data) -> RenderableType:
    return pairs(
        [
            ("index", data["index"]),
            ("frames", "none" if data["seq"] is None else f"to seq {data['seq']}"),
            ("kept states", data["kept"]),
            ("size", size(data["bytes"])),
            ("damage", data["damage"]),
        ]
    )


# -- rows of a query -------------------------------------------------------------------------------


def show_rows(data: Data) -> RenderableType:
    """Return the rows in the form that was asked for; where a file took them, how many."""
    found, names, form = data["rows"], data["columns"], data["format"]
    if data["output"]:
        return f"{count(len(found), 'row')} in {data['output']}" + "".join(
            f"; {name} as text, for a number in it has no place in 64 bits"
            for name in data["as_text"]
        )
    if form != "table":
        return Whole(text(found, data["kinds"], form, data["no_formulas"]).rstrip("\n"))
    kinds = data["kinds"]
    lines = ([_cell(row, name, kinds[name]) for name in names] for row in found)
    numeric = {name for name in names if all(isinstance(row[name], int | float) for row in found)}
    parts: list[RenderableType] = [
        grid("", [">" + name if name in numeric else name for name in names], lines, "no row"),
        *_moments(data),
    ]
    if data["damage"]:
        parts.append(Text(plain(f"damaged after that: {data['damage']}"), "bold red"))
    return Group(*parts)


def _moments(data: Data) -> list[Text]:
    """Return of which moment the rows are, of several sources a line for each."""
    if "moment" in data:
        return [Text("at " + when(data["moment"]), "dim")]
    return [
        Text(plain(f"{each['source']} at {when(each['moment'])}"), "dim")
        for each in data["sources"]
    ]


def text(
    found: list[Data], kinds: dict[str, str] | list[str], form: str, no_formulas: bool = False
) -> str:
    """Return rows as JSON lines, or as CSV with a header, which needs no row. kinds: their columns;
    times among them are written as ISO 8601."""
    names = [*kinds]
    times = [name for name in names if isinstance(kinds, dict) and kinds[name] == TIME]
    found = [{**row, **{name: iso(row[name]) for name in times}} for row in found]
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in found:
        cells = [_plain(row, name) for name in names]
        writer.writerow(map(_no_formula, cells) if no_formulas else cells)
    return out.getvalue()


def _no_formula(cell: Any) -> Any:
    """Return a cell that a spreadsheet shows and does not run: text only, for a number is none."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _cell(row: Data, name: str, kind: str) -> str:
    value = row[name]
    if kind == TIME and value is not None:
        return moment(value)
    if name == "log":
        return str(value)[:SHORT_HASH] + "…"  # which leaves room for what was asked
    if name + "_hex" in row:
        return octets(row, name)
    return "-" if value is None else vector(value) if isinstance(value, list) else str(value)


def _plain(row: Data, name: str) -> Any:
    value = row[name]
    if name + "_hex" in row:
        return value if value is not None else "0x" + row[name + "_hex"]
    return json.dumps(value) if isinstance(value, list) else value


VERBS = {
    "state": Verb(
        state,
        dated(show_state),
        (
            click.Argument(["source"], metavar="[PORT|DIR]", required=False),
            option("--archive", "the archive, as an option", metavar="DIR"),
            AT,
            MAX_STATE,
            option("--all whole", f"print whole tables, not {ROWS} rows of each", is_flag=True),
        ),
        ("whole",),
    ),
    "diff": Verb(diff, show_diff, (argument("a", "A"), argument("b", "B"), MAX_STATE)),
    "explain": Verb(
        explain, dated(show_explain), (SOURCE, argument("thing", "THING"), AT, MAX_STATE)
    ),
    "query": Verb(
        query,
        show_rows,
        (
            argument("sources", "PORT|DIR...", many=True),
            argument("what", "WHAT", click.Choice(describe.POOLS)),
            option("--where", "only what this fits", metavar="FILTER", default=""),
            option("--select", "these fields only", metavar="FIELD,...", default=""),
            option(
                "--order",
                "sort by these; -FIELD is descending, 'FIELD nulls first' has what lacks it first",
                metavar="FIELD,...",
                default="",
            ),
            option("--distinct", "of rows that are the same, the first", is_flag=True),
            option("--with-deleted", "what was deleted too, as it was then", is_flag=True),
            option("--offset", "leave so many rows out first", type=U32, default=0),
            option("--limit", "rows at most", type=U32),
            option("--group-by", "a row for each value of these", metavar="FIELD,...", default=""),
            option(
                "--aggregate",
                "count, or sum, min, max, mean of a FIELD",
                metavar="NAME(FIELD),...",
                default="",
            ),
            AT,
            MAX_STATE,
            option(
                "--format",
                "form of the rows",
                type=click.Choice(FORMATS),
                default="table",
                show_default=True,
            ),
            option(
                "--no-formulas",
                "of csv: put ' before text that a spreadsheet would run",
                is_flag=True,
            ),
            option("-o output", "write the rows to a file", metavar="FILE"),
        ),
    ),
    "index": Verb(
        index,
        show_index,
        (argument("archive", "DIR"), option("--rebuild", "make it anew", is_flag=True), MAX_STATE),
    ),
}
