"""What a person sees: each function turns the data that a command would give as JSON into text, a table or a panel.

Made for 80 columns. A colour never says what a word does not; NO_COLOR and pipes get none. Text that came from a board is
escaped, so it cannot steer the terminal. Knows no port and no archive.
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

from quipu.text import count, moment, number, octets, plain, size, vector

Data = dict[str, Any]

WIDTH = 80  # columns, of a panel
ENDLESS = 10000
ROWS = 20  # of each table of `quipu state`, unless --all
SHORT_HASH = 16  # hex digits
# how each verdict looks: its frame tells them apart without colours, and its name stands in it
LOOKS = {"match": ("bold cyan", box.ROUNDED), "gap": ("bold yellow", box.HEAVY), "mismatch": ("bold red", box.DOUBLE)}


def show(what: RenderableType) -> None:
    """Print to standard output. What is too long is cut in a terminal, never in a pipe."""
    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        lines = isinstance(what, str)
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
    """Give a function to call with (done, in all); it draws a bar on standard error if that is a terminal. unit: "": bytes."""
    amount = [TextColumn("{task.completed} of {task.total} " + unit)] if unit else [DownloadColumn(True), TransferSpeedColumn()]
    with Progress(TextColumn(label), BarColumn(), *amount, transient=True, console=Console(stderr=True),
                  disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# -- small things ---------------------------------------------------------------------------------------------------------


def pairs(rows: Iterable[tuple[str, Any]]) -> Table:
    """Return names and values, one pair a line; a value of None leaves its line out."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value is not None:
            table.add_row(name, Text(plain(str(value))))
    return table


def grid(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]], empty: str = "none") -> RenderableType:
    """Return a table; a column whose name begins with ">" is of numbers, to the right."""
    lines = [[plain(str(cell)) for cell in row] for row in rows]
    if not lines:
        return Text(f"{title}: {empty}" if title else empty)
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1),
                  show_edge=False)
    for each in columns:
        right = each.startswith(">")
        table.add_column(each.lstrip(">"), justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    return table


# -- a live board ---------------------------------------------------------------------------------------------------------


def emulating(data: Data) -> str:
    flash = data["flash"] or "gone at the end"
    what = "plain MicroPython" if data["bare"] else "Quipu"
    return f"{data['board']} ({data['cpu']}, emulated) with {what}\nport   {data['port']}\nflash  {flash}\nCtrl-C ends it"


def ports(data: Data) -> RenderableType:
    return grid("", ("port", "usb", "serial", "device", "answer"),
                ((p["port"], p["usb"], p["serial"], p["description"], p["answer"]) for p in data["ports"]),
                "no serial port found; is the board plugged in, and is its cable one for data?")


def info(data: Data) -> RenderableType:
    config = data.get("config")
    rows: list[tuple[str, Any]] = [
        ("board", data["board"]),
        ("machine", data["machine"]),
        ("firmware", f"{data['firmware']} on MicroPython {data['micropython']}, hot loops: {data['provider']}"),
        ("heap", f"{size(data['heap_used'])} used, {size(data['heap_free'])} free"),
        ("damage", data.get("damage")),
    ]
    if not data["configured"]:
        rows.append(("log", "none yet: the region is blank; begin one with `quipu configure PORT`"))
    if config:
        rows += [
            ("log", data["log"]),
            ("seq", f"{data['seq']}, boot {data['boot']}"),
            ("power cuts", ", ".join(f"after seq {seq} ({size(torn)})" for seq, torn in data["cuts"]) or None),
            ("chain head", data["head"]),
            ("state root", data["root"]),
            ("contents", ", ".join(f"{data[each]} of {config[each]} {each}" for each in ("records", "nodes", "edges", "keys"))),
            ("sizes", _sizes(config)),
            ("log space", f"{size(data['log_free'])} of {size(data['log_size'])} free; when full: "
                          + ("stop" if data["policy"] == 0 else "overwrite")),
            ("snapshots", ", ".join(f"seq {each}" for each in data["snapshots"]) or "none"),
        ]
    return pairs(rows)


def _sizes(config: Data) -> str:
    return f"{config['dim']} dimensions, {config['meta_bytes']} B of metadata, {config['value_bytes']} B of value"


def configured(data: Data) -> str:
    return f"log {data['log']} begun"


def inserted(data: Data) -> str:
    if "ids" in data:
        ids = data["ids"]
        return f"{count(len(ids), 'record')}: {ids[0]} to {ids[-1]}" if ids else "no record: the input was empty"
    return f"record {data['id']}"


def changed(data: Data) -> str:
    return f"done, seq {data['seq']}"


def created(data: Data) -> str:
    return f"{data['what']} {data['id']}"


def value(data: Data) -> str:
    text = data["value"]
    return text if text is not None and text.isprintable() else "0x" + data["value_hex"]


def record(data: Data) -> RenderableType:
    return pairs([("record", data["id"]), ("tag", data["tag"]), ("vector", " ".join(map(number, data["vector"]))),
                  ("metadata", octets(data, "meta") if data["meta_hex"] else "none")])


def node(data: Data) -> RenderableType:
    edges = data.get("edges")
    return pairs([("node", data["id"]), ("kind", data["kind"]), ("record", data["record"] or "none"),
                  ("edges", None if edges is None else ", ".join(map(str, edges)) or "none")])


def edge(data: Data) -> RenderableType:
    return pairs([("edge", data["id"]), ("kind", data["kind"]), ("from", data["from"]), ("to", data["to"])])


def results(data: Data) -> RenderableType:
    rows = ((i + 1, r["id"], f"{r['l2']:.6g}", r["distance"]) for i, r in enumerate(data["results"]))
    return grid("", (">", ">record", ">distance", ">squared, 2^-32"), rows, "no record")


def neighbours(data: Data) -> RenderableType:
    return grid("", (">node", ">steps"), ((n["node"], n["distance"]) for n in data["neighbours"]))


def clock(data: Data) -> str:
    return f"{moment(data['unix_ms'])}, seq {data['seq']}"


def checkpoint(data: Data) -> str:
    return f"checkpoint, seq {data['seq']}"


def snapshot(data: Data) -> str:
    return f"snapshot of the state at seq {data['seq']}"


# -- an archive -----------------------------------------------------------------------------------------------------------


def verdict(data: Data) -> RenderableType:
    """Return the verdict as a panel: what was compared, where it parts if it does, and what that means. Of several archives: a
    line for each, and the panels of those that do not match."""
    if "archives" in data:
        lines = [(one["verdict"].upper(), f"{one['archive']}: {one['board']}, {count(one['frames'], 'frame')}")
                 for one in data["archives"]]
        return Group(pairs(lines), *[verdict(one) for one in data["archives"] if one["verdict"] != "match"])
    style, frame = LOOKS[data["verdict"]]
    live, first = data["live"], data["first_divergence"]
    rows: list[tuple[str, Any]] = [
        ("board", data["board"]),
        ("log", data["log"]),
        ("frames", f"{data['frames']:,}" + (f", to seq {data['seq']}; {count(data['boots'], 'boot')}" if data["frames"] else "")),
        ("log bytes", f"{data['log_bytes']:,}"),
        ("checkpoints", f"{data['checkpoints']:,} compared"),
        ("snapshots", f"{data['snapshots']:,} compared byte for byte" if data["snapshots"] else "none"),
        ("power cuts", ", ".join(f"at seq {cut['seq']}" for cut in data["cuts"]) or None),
        ("missing", ", ".join(f"seq {low} to {high}" for low, high in data["gaps"]) or None),
        ("torn", f"{data['torn']} bytes of a sync that broke off; the next one replaces them" if data["torn"] else None),
        ("chain head", data["chain_head"]),
        ("state root", data["state_root"]),
    ]
    if data["origin"]:
        origin = data["origin"]
        rows += [("origin", f"seq {origin['seq']} of log {origin['log'][:16]}..."),
                 ("its archive", f"replayed too: {origin['archive']}" if origin["archive"] else "not checked: say it with --origin")]
    if live:
        ahead = f": {live['ahead']:,} frames ahead of the archive, replayed too" if live["ahead"] else ": the archive's end"
        rows += [("live board", f"seq {live['seq']}{ahead}"), ("chain head", live["head"]), ("state root", live["root"]),
                 ("damage", live["damage"])]
    if first:
        rows += [("", ""), ("parts at", f"seq {first['seq']}: {first['what']}"), ("expected", first["expected"]),
                 ("found", first["found"])]
    return Panel(Group(pairs(rows), Text(""), Text(_meaning(data))), title=Text(data["verdict"].upper(), style=style),
                 title_align="left", box=frame, border_style=style, padding=(0, 1), width=WIDTH)


def _meaning(data: Data) -> str:
    if data["verdict"] == "match":
        who = "every frame and the live board agree" if data["live"] else "every frame agrees"
        return f"MATCH: {who} with an independent replay."
    if data["verdict"] == "gap":
        return "GAP: all that is there agrees with its replay, but frames are missing."
    return "MISMATCH: something was altered, lost or repeated. Nothing from there on is proved."


def synced(data: Data) -> RenderableType:
    pulled = f"nothing new, {data['wire_bytes']} bytes on the wire"
    if data["log_bytes"]:
        pulled = (f"{data['frames']:,} frames, {data['log_bytes']:,} log bytes, "
                  f"{data['wire_bytes'] / data['log_bytes']:.2f} bytes on the wire for each")
    return pairs([
        ("board", data["board"]),
        ("pulled", pulled),
        ("snapshot", None if data["snapshot"] is None else f"of seq {data['snapshot']}"),
        ("missing", f"seq {data['gap'][0]} to {data['gap'][1]}: recycled before they were pulled" if data["gap"] else None),
        ("damage", data["damage"]),
        ("archive", f"{data['archive']}{', new' if data['created'] else ''}, to seq {data['seq']}"),
        ("chain head", data["head"]),
        ("state root", data["root"]),
    ])


def state(data: Data, whole: bool = False) -> RenderableType:
    """Return root, counts and tables of the contents: ROWS of each, or all of it."""
    config, counts = data["config"], data["counts"]
    head = pairs([("seq", data["seq"]), ("state root", data["root"]), ("sizes", _sizes(config))])
    lines: dict[str, tuple[tuple[str, ...], Callable[[Data], tuple[Any, ...]]]] = {
        "records": ((">id", ">tag", "metadata", "vector"),
                    lambda r: (r["id"], r["tag"], octets(r, "meta") if r["meta_hex"] else "", vector(r["vector"]))),
        "nodes": ((">id", ">kind", ">record"), lambda n: (n["id"], n["kind"], n["record"] or "-")),
        "edges": ((">id", ">kind", ">from", ">to"), lambda e: (e["id"], e["kind"], e["from"], e["to"])),
        "keys": (("name", "value", ">written by seq"), lambda k: (octets(k, "name"), octets(k, "value"), k["seq"])),
    }
    parts: list[RenderableType] = [head]
    for name, (columns, line) in lines.items():
        shown = data[name] if whole else data[name][:ROWS]
        parts += [Text(""), grid(f"{name}: {counts[name]} of {config[name]}", columns, map(line, shown))]
        if len(shown) < len(data[name]):
            parts.append(Text(f" … {len(data[name]) - len(shown)} more; --all shows them"))
    return Group(*parts)


def log(data: Data) -> str:
    lines = data["frames"]
    wide = max([len(str(f["seq"])) for f in lines], default=1)
    out = [f"{f['seq']:>{wide}}  {f['tick'] / 1000:>10.3f}  {f['type']:<11}  {says(f)}" for f in lines]
    broken = data["broken"]
    if broken:
        out.append(f"broken at seq {broken['seq']}: {broken['what']}: expected {broken['expected']}, found {broken['found']}")
    return "\n".join(out) or "no frame"


def says(frame: Data) -> str:
    """Return what a frame says, in one line."""
    tell = _SAYS.get(frame["type"])
    if tell is None or "payload_hex" in frame:
        return "0x" + frame["payload_hex"]
    return plain(tell(frame))


def _insert(f: Data) -> str:
    return f"tag {f['tag']}  " + (f"{octets(f, 'meta')}  " if f["meta_hex"] else "") + vector(f["vector"])


def _update(f: Data) -> str:
    return (f"record {f['id']}:" + (f" tag {f['tag']}" if "tag" in f else "")
            + (f" metadata {octets(f, 'meta')}" if "meta_hex" in f else ""))


_SAYS: dict[str, Callable[[Data], str]] = {
    "genesis": lambda f: f"{f['board']}: {f['config']['dim']} dimensions"
                         + (f", continues log {f['continues']['log'][:SHORT_HASH]}…" if "continues" in f else ""),
    "boot": lambda f: f"boot {f['boot']}, on chain head {f['head'][:SHORT_HASH]}…"
                      + (f", {f['skipped']} bytes cut off" if f["skipped"] else ""),
    "checkpoint": lambda f: f"root {f['root'][:SHORT_HASH]}…",
    "clock": lambda f: f"{moment(f['unix_ms'])} ± {f['uncertainty_ms']} ms",
    "insert": _insert,
    "update": _update,
    "delete": lambda f: f"record {f['id']}",
    "create-node": lambda f: f"kind {f['kind']}" + (f" for record {f['record']}" if f["record"] else ""),
    "delete-node": lambda f: f"node {f['id']}",
    "create-edge": lambda f: f"kind {f['kind']}  {f['from']} -> {f['to']}",
    "delete-edge": lambda f: f"edge {f['id']}",
    "put": lambda f: f"{octets(f, 'name')} = {'the same' if 'same' in f else octets(f, 'value')}",
    "delete-key": lambda f: octets(f, "name"),
}
