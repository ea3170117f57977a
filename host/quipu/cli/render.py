"""What a person sees: how data becomes a table, a panel or a line, for what more than one verb
shows. Knows no port and no archive.

Made for 80 columns. A colour never says what a word does not; NO_COLOR and pipes get none. Text
that came from a board is escaped, so it cannot steer the terminal.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from quipu.text import count, moment, octets, plain, vector

Data = dict[str, Any]

WIDTH = 80  # columns, of a panel
ENDLESS = 10000
SHORT_HASH = 16  # hex digits


# how each verdict looks: its frame tells them apart without colours, and its name stands in it
LOOKS = {
    "match": ("bold cyan", box.ROUNDED),
    "gap": ("bold yellow", box.HEAVY),
    "empty": ("bold yellow", box.HEAVY),
    "mismatch": ("bold red", box.DOUBLE),
}


class Whole(str):
    """Text that other programs read: escaped in a terminal, and never cut."""


def show(what: RenderableType) -> None:
    """Print to standard output. What is too long is cut in a terminal, never in a pipe."""
    console = Console(highlight=False, markup=False)
    if console.is_terminal and isinstance(what, Whole):
        print("\n".join(map(plain, what.split("\n"))), flush=True)
    elif console.is_terminal:
        lines = isinstance(what, str)
        if isinstance(what, str):
            what = "\n".join(map(plain, what.split("\n")))
        console.print(what, overflow="ellipsis" if lines else None, no_wrap=lines)
    elif isinstance(what, str):
        print(what, flush=True)
    else:
        console.width = ENDLESS
        with console.capture() as captured:
            console.print(what)
        print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)


@contextmanager
def progress(label: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """Give a function to call with (done, in all); it draws a bar on standard error if that is a
    terminal. unit: "": bytes."""
    amount = (
        [TextColumn("{task.completed} of {task.total} " + unit)]
        if unit
        else [DownloadColumn(True), TransferSpeedColumn()]
    )
    with Progress(
        TextColumn(label),
        BarColumn(),
        *amount,
        transient=True,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def pairs(rows: Iterable[tuple[str, Any]]) -> Table:
    """Return names and values, one pair a line; a value of None leaves its line out."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value is not None:
            table.add_row(name, Text(plain(str(value))))
    return table


def grid(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]], empty: str = "none"
) -> RenderableType:
    """Return a table; a column whose name begins with ">" is of numbers, to the right."""
    lines = [[plain(str(cell)) for cell in row] for row in rows]
    if not lines:
        return Text(f"{title}: {empty}" if title else empty)
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        show_edge=False,
    )
    for each in columns:
        right = each.startswith(">")
        table.add_column(
            each.lstrip(">"),
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    return table


def when(data: Data) -> str:
    """Return a moment in words: seq, wall time, uncertainty."""
    told = f"seq {data['seq']}"
    if data["unix_ms"] is None:
        return told + ", time unknown"
    told += f", {moment(data['unix_ms'])} ± {data['uncertainty_ms']} ms"
    if not data["others"]:
        return told
    others = ", ".join(map(str, data["others"]))
    return f"{told}; a clock was set back, so the time asked for was there before too: seq {others}"


def dated(show: Callable[..., RenderableType]) -> Callable[..., RenderableType]:
    """Return what shows an answer, and below it the moment that it is of and what is damaged after
    it, for an archive's."""

    def shown(data: Data, **look: Any) -> RenderableType:
        what = show(data, **look)
        if "moment" not in data:
            return what
        lines = [
            what if not isinstance(what, str) else Text(what),
            Text("at " + when(data["moment"]), "dim"),
        ]
        if data["damage"]:
            lines.append(Text(plain(f"damaged after that: {data['damage']}"), "bold red"))
        return Group(*lines)

    return shown


def verdict(data: Data) -> RenderableType:
    """Return the verdict as a panel: what was compared, where it parts if it does, and what that
    means. Of several archives: a line for each, and the panels of those that do not match."""
    if "archives" in data:
        lines = [
            (
                one["verdict"].upper(),
                one["problem"]
                if one["problem"]
                else f"{one['archive']}: {one['board']}, {count(one['frames'], 'frame')}",
            )
            for one in data["archives"]
        ]
        differ = [
            one for one in data["archives"] if one["verdict"] != "match" and not one["problem"]
        ]
        return Group(pairs(lines), *[verdict(one) for one in differ])
    style, frame = LOOKS[data["verdict"]]
    live, first = data["live"], data["first_divergence"]
    rows: list[tuple[str, Any]] = [
        ("board", data["board"]),
        ("log", data["log"]),
        (
            "frames",
            f"{data['frames']:,}"
            + (f", to seq {data['seq']}; {count(data['boots'], 'boot')}" if data["frames"] else ""),
        ),
        ("log bytes", f"{data['log_bytes']:,}"),
        ("checkpoints", f"{data['checkpoints']:,} compared"),
        (
            "snapshots",
            f"{data['snapshots']:,} compared byte for byte" if data["snapshots"] else "none",
        ),
        ("power cuts", ", ".join(f"at seq {cut['seq']}" for cut in data["cuts"]) or None),
        ("missing", ", ".join(f"seq {low} to {high}" for low, high in data["gaps"]) or None),
        (
            "torn",
            f"{data['torn']} bytes of a sync that broke off; the next one replaces them"
            if data["torn"]
            else None,
        ),
        ("chain head", data["chain_head"]),
        ("state root", data["state_root"]),
    ]
    if data["origin"]:
        origin = data["origin"]
        rows += [
            ("origin", f"seq {origin['seq']} of log {origin['log'][:16]}..."),
            (
                "its archive",
                f"replayed too: {origin['archive']}"
                if origin["archive"]
                else "not checked: say it with --origin",
            ),
        ]
    if live:
        where = ": the archive's end"
        if live["log"] != data["log"]:
            where = f" of log {live['log'][:SHORT_HASH]}…, of {live['board']}"
        elif live["ahead"]:
            where = f": {live['ahead']:,} frames ahead of the archive, replayed too"
        rows += [
            ("live board", f"seq {live['seq']}{where}"),
            ("chain head", live["head"]),
            ("state root", live["root"]),
            ("damage", live["damage"]),
        ]
    if first:
        rows += [
            ("", ""),
            ("parts at", f"seq {first['seq']}: {first['what']}"),
            ("expected", first["expected"]),
            ("found", first["found"]),
        ]
    return Panel(
        Group(pairs(rows), Text(""), Text(_meaning(data))),
        title=Text(data["verdict"].upper(), style=style),
        title_align="left",
        box=frame,
        border_style=style,
        padding=(0, 1),
        width=WIDTH,
    )


def placed(data: Data) -> str:
    """Return where frames went, and that the archive is a new one: so a mistyped folder is seen."""
    new = ": a new archive" if data["created"] else ""
    return f"{data['archive']}{new}, to seq {data['seq']}"


def _meaning(data: Data) -> str:
    if data.get("doubt") and data["verdict"] != "mismatch":
        return f"{data['verdict'].upper()}: all that is there agrees with its replay, but {data['doubt']}."
    if data["verdict"] == "match":
        who = "every frame and the live board agree" if data["live"] else "every frame agrees"
        return f"MATCH: {who} with an independent replay."
    if data["verdict"] == "empty":
        return "EMPTY: no frame is here yet, so nothing was compared: sync the board again."
    if data["verdict"] == "gap":
        return "GAP: all that is there agrees with its replay, but frames are missing."
    live, first = data["live"], data["first_divergence"]
    if first and first["what"] == "live board":
        return (
            f"MISMATCH: the board on the port has no log that could be compared, but "
            f"{first['found']}. The archive itself agrees with its replay."
        )
    if live and live["log"] != data["log"]:
        if live["board"] != data["board"]:
            return (
                f"MISMATCH: this is another board. The archive is of {data['board']}, and "
                f"{live['board']} is on the port. Nothing says that either was altered: verify "
                "each board with its own archive."
            )
        return (
            f"MISMATCH: {live['board']} has begun another log since: it was erased or restored, "
            "or its firmware began anew. The archive itself agrees with its replay: sync the new "
            "log into a folder of its own."
        )
    return "MISMATCH: something was altered, lost or repeated. Nothing from there on is proved."


def says(frame: Data) -> str:
    """Return what a frame says, in one line, whatever its type: its payload in hex where that is
    not told apart, its fields as they are where no text is made for them."""
    if "payload_hex" in frame:
        return f"0x{frame['payload_hex']}"
    return plain(_SAYS.get(frame["type"], _fields)(frame))


def _fields(f: Data) -> str:
    return "  ".join(f"{name} {value}" for name, value in f.items() if name not in _OF_EVERY_FRAME)


_OF_EVERY_FRAME = ("seq", "tick", "bytes", "type", "token")


def _insert(f: Data) -> str:
    return (
        f"tag {f['tag']}  "
        + (f"{octets(f, 'meta')}  " if f["meta_hex"] else "")
        + vector(f["vector"])
    )


def _update(f: Data) -> str:
    return (
        f"record {f['id']}:"
        + (f" tag {f['tag']}" if "tag" in f else "")
        + (f" metadata {octets(f, 'meta')}" if "meta_hex" in f else "")
    )


_SAYS: dict[str, Callable[[Data], str]] = {
    "genesis": lambda f: (
        f"{f['board']}: {f['config']['dim']} dimensions"
        + (f", continues log {f['continues']['log'][:SHORT_HASH]}…" if "continues" in f else "")
    ),
    "boot": lambda f: (
        f"boot {f['boot']}, on chain head {f['head'][:SHORT_HASH]}…"
        + (f", {f['skipped']} bytes cut off" if f["skipped"] else "")
    ),
    "quarantine": lambda f: f"sector {f['sector']}",
    "acknowledged": lambda f: f"a laptop has all frames below seq {f['below']}",
    "checkpoint": lambda f: f"root {f['root'][:SHORT_HASH]}…",
    "clock": lambda f: f"{moment(f['unix_ms'])} ± {f['uncertainty_ms']} ms",
    "insert": _insert,
    "update": _update,
    "delete": lambda f: f"record {f['id']}",
    "create-node": lambda f: (
        f"kind {f['kind']}" + (f" for record {f['record']}" if f["record"] else "")
    ),
    "delete-node": lambda f: f"node {f['id']}",
    "create-edge": lambda f: f"kind {f['kind']}  {f['from']} -> {f['to']}",
    "delete-edge": lambda f: f"edge {f['id']}",
    "put": lambda f: f"{octets(f, 'name')} = {'the same' if 'same' in f else octets(f, 'value')}",
    "delete-key": lambda f: octets(f, "name"),
}


def sizes(config: Data) -> str:
    return f"{config['dim']} dimensions, {config['meta_bytes']} B of metadata, {config['value_bytes']} B of value"
