"""What a person sees of a flash region: the map of its sectors, their table, and what was recovered from them.

Each state has a letter as well as a colour, so the map says the same without colours. Like render.py, for 80 columns.
"""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from quipu.cli.render import grid, pairs, verdict
from quipu.text import count, plain, size

Data = dict[str, Any]

ROW = 32  # sectors of a line of the map
# state: its letter and its colour; a snapshot's letter is its slot's, "A" or "B"; lower case: no valid snapshot there
LOOKS = {
    "snapshot": ("A", "black on cyan"), "unfinished": ("a", "cyan"), "empty": ("a", "dim cyan"),
    "oldest": ("O", "black on green"), "log": ("L", "black on green"), "in use": ("U", "black on bright_green"),
    "free": ("-", ""), "blank": (".", "dim"), "quarantined": ("Q", "black on yellow"), "damaged": ("X", "bold white on red"),
    "foreign": ("?", "black on magenta"),
}
MEANING = {
    "snapshot": "whole snapshot, slot a or b", "unfinished": "snapshot begun, cut off or rotten",
    "empty": "slot without snapshot", "oldest": "log, its oldest sector", "log": "log", "in use": "log, being written",
    "free": "erased, ready", "blank": "never used", "quarantined": "bad, passed by", "damaged": "frames or header lost",
    "foreign": "bytes of something else",
}


def letter(row: Data) -> str:
    """Return a sector's letter in the map."""
    own = LOOKS[row["state"]][0]
    if row["slot"] == "b":
        return chr(ord(own) + 1)
    return own


def cells(rows: list[Data]) -> Text:
    """Return the map: a letter for each sector, ROW in a line, with the number of each line's first."""
    out = Text()
    for at in range(0, len(rows), ROW):
        out.append(f"{at:>6}  ", "dim")
        for i, row in enumerate(rows[at : at + ROW]):
            if i and i % 8 == 0:
                out.append(" ")
            out.append(letter(row), LOOKS[row["state"]][1])
        out.append("\n")
    return out


def legend(rows: list[Data]) -> RenderableType:
    """Return what the letters of these sectors mean, and how many there are of each."""
    lines = []
    for state, (_, style) in LOOKS.items():
        letters = sorted({letter(row) for row in rows if row["state"] == state})
        if letters:
            n = sum(row["state"] == state for row in rows)
            lines.append(Text.assemble("  ", (" ".join(letters).ljust(3), style), f" {n:>5}  {state}: {MEANING[state]}\n"))
    return Text.assemble(*lines)


def table(rows: list[Data]) -> RenderableType:
    """Return a line for each sector; sectors in a row that are free or blank, or not used in a slot, share one."""
    lines = []
    for group in _groups(rows):
        first, last = group[0], group[-1]
        erases = sorted({row["erases"] or 0 for row in group})
        what = first["state"] if first["slot"] is None else f"{first['state']} {first['slot']}"
        if first["slot"] and first is last:
            what += f" {first['part']}"
        elif first["slot"]:
            what += f" {first['part']} to {last['part']}"
        lines.append((str(first["sector"]) if first is last else f"{first['sector']}-{last['sector']}", f"0x{first['address']:06x}",
                      "-" if not erases[-1] else str(erases[0]) if len(erases) == 1 else f"{erases[0]}-{erases[-1]}", what,
                      "" if first["epoch"] is None else str(first["epoch"]), _seqs(first), f"{first['used']:,}" if first is last else ""))
    return grid("", (">sector", "address", ">erases", "state", ">epoch", ">seq", ">used"), lines)


def _seqs(row: Data) -> str:
    if row["first"] is None:
        return "" if row["last"] is None else f"to {row['last']}"
    return "none" if row["last"] < row["first"] else f"{row['first']} to {row['last']}"


def _groups(rows: list[Data]) -> Iterator[list[Data]]:
    group: list[Data] = []
    for row in rows:
        alike = group and (row["state"], row["slot"]) == (group[0]["state"], group[0]["slot"]) and not row["note"]
        if alike and row["state"] in ("free", "blank", "empty", "snapshot", "unfinished") and not group[0]["note"]:
            group.append(row)
            continue
        if group:
            yield group
        group = [row]
    if group:
        yield group


def _notes(rows: list[Data]) -> Text:
    return Text("\n".join(f"sector {row['sector']}: {plain(row['note'])}" for row in rows if row["note"]))


def flash_map(data: Data) -> RenderableType:
    """Return the map, its legend and the table."""
    geometry, log, erases = data["geometry"], data["log"], data["erases"]
    where = f", from 0x{geometry['start']:x} of the dump" if geometry["start"] else ""
    rows: list[tuple[str, Any]] = [
        ("region", f"{size(geometry['size'])}: {geometry['sectors']} sectors of {size(geometry['sector'])}, unit {geometry['unit']} B"
                   + where),
        ("log", "none" if log is None else f"{log['name'][:16]}…, of {log['board']}"),
    ]
    if log:
        rows += [("seq", f"{log['first']} to {log['seq']}; " + (f"acknowledged below {log['acknowledged']}"
                                                                   if log["acknowledged"] else "nothing acknowledged")),
                 ("missing", ", ".join(f"seq {a} to {b}" for a, b in log["missing"]) or None),
                 ("snapshots", ", ".join(f"seq {each}" for each in log["snapshots"]) or "none")]
    rows += [("erases", None if erases is None else f"{erases['least']} to {erases['most']} a sector"), ("damage", data["damage"])]
    sectors = data["sectors"]
    parts: list[RenderableType] = [pairs(rows), Text(""), cells(sectors), legend(sectors), table(sectors)]
    notes = _notes(sectors)
    return Group(*parts, Text(""), notes) if notes.plain else Group(*parts)


def recovered(data: Data) -> RenderableType:
    """Return what was recovered, the map of the sectors, and the verdict."""
    geometry, rows = data["geometry"], data["map"]
    unproved = {int(sector): seqs for sector, seqs in data["unproved"].items()}
    lines: list[tuple[str, Any]] = [
        ("image", f"{data['image']}: {geometry['sectors']} sectors of {size(geometry['sector'])}"
                  + (f" from 0x{geometry['start']:x}" if geometry["start"] else "") + f", unit {geometry['unit']} B"),
        *((("holds" if i == 0 else ""), f"seq {run['first']} to {run['last']}, proved from {run['proof']}"
           if run["last"] >= run["first"] else f"the state after seq {run['last']}, by {run['proof']}")
          for i, run in enumerate(data["runs"])),
        ("missing", ", ".join(f"seq {a} to {b}" for a, b in data["missing"]) or None),
        ("left out", "; ".join(f"{count(len(seqs), 'frame')} in sector {sector}, to which no chain head leads"
                               for sector, seqs in unproved.items()) or None),
        ("mended", ", ".join(f"sector {each}" for each in data["mended"]) + ": header deduced" if data["mended"] else None),
        ("power cuts", ", ".join(f"at seq {cut['seq']} ({size(cut['bytes'])})" for cut in data["cuts"]) or None),
        ("damage", data["damage"]),
        ("archive", f"{data['archive']}{', new' if data['created'] else ''}, to seq {data['seq']}: {count(data['frames'], 'new frame')}"),
        ("snapshots", ", ".join(f"seq {each}" for each in data["snapshots"]) or None),
    ]
    notes = _notes(rows)
    return Group(pairs(lines), Text(""), cells(rows), legend(rows), *([notes, Text("")] if notes.plain else []), verdict(data["verdict"]))
