"""The verbs that read a log's flash, from a dump or over a port: flash-map, recover."""

import os
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

import quipu
from quipu import errors, limits
from quipu.archive.verdict import Verdict
from quipu.build import images
from quipu.cli import render
from quipu.cli.options import ARCHIVE, MAX_STATE, Data, Size, Verb, argument, option
from quipu.cli.render import grid, pairs, verdict
from quipu.dump.found import read
from quipu.dump.image import FlashImage, Geometry
from quipu.dump.locate import locate, of_board
from quipu.dump.map import survey
from quipu.dump.recover import Recovered
from quipu.dump.recover import recover as into_archive
from quipu.text import count, plain, size

_PART = 1024  # bytes asked for at once

REGION = (
    option(
        "--board",
        "the image is of this emulated board: region and geometry are its",
        metavar="NAME",
    ),
    option("--sector", "bytes of a sector", metavar="N", type=Size()),
    option("--page", "bytes that one program may not cross", metavar="N", type=Size()),
    option("--unit", "bytes that a program is a multiple of", metavar="N", type=Size()),
    option(
        "--start",
        "where in the image the region begins; without --size: where the search does",
        metavar="N",
        type=Size(),
    ),
    option("--size length", "bytes of the region", metavar="N", type=Size()),
)


def _image(
    path: str,
    board: str | None = None,
    sector: int | None = None,
    page: int | None = None,
    unit: int | None = None,
    start: int | None = None,
    length: int | None = None,
) -> FlashImage:
    """Return the region in a dump of flash: where the board or the numbers say; None: found."""
    dump = limits.contents(path)
    if not dump:
        raise errors.FormatError(f"{path} is empty")
    given = Geometry(start, length, sector, page, unit)
    if board:
        if any(each is not None for each in given):
            raise errors.UsageError(
                "--board says where the log lies and its geometry: give it, or the numbers, not "
                "both"
            )
        try:
            given = of_board(images.board_facts(board), len(dump))
        except images.ImageError as error:
            raise errors.UsageError(
                f"{error}; the region of another board is found without --board"
            ) from None
    try:
        return locate(dump, given)
    except errors.FormatError as error:
        raise errors.FormatError(f"{path}: {error}") from None
    except errors.Invalid as error:
        raise errors.UsageError(str(error)) from None


def recover(
    image: str,
    archive: str,
    **region: Any,
) -> Data:
    """Recover a log from a dump of its flash.

    IMAGE is the raw flash, or the log's region of it, of a dead board, as a programmer reads it or
    an emulator keeps it. All that can be proved from it goes into the archive DIR, as `quipu sync`
    would put it there: a new one, or one of the same log, which is extended. Then the archive is
    verified. Where frames are missing, those behind them are kept too if a run's header, a boot
    frame or a snapshot proves them; what nothing proves is counted. IMAGE is only read. Flash of
    format 1 is read too.

    Where the log lies and its geometry are found by themselves; if they cannot be, say them, or
    name the board. Exit code 0 only if all of the log matches and nothing of it is left out.

    \b
    Example:
      quipu recover dump.bin --archive data/watch
      quipu recover flash.bin --board MPS2_AN386 --archive data/watch
    """
    flash = _image(image, **region)
    try:
        found = read(flash)
    except (errors.FormatError, errors.NotFound) as error:
        raise errors.about(error, f"{image}: {error}") from error
    with render.progress("recovering") as progress:
        result, verdict = into_archive(found, archive, progress)
    return {
        "image": image,
        "geometry": _geometry(flash),
        **judged(result, verdict),
        "map": survey(flash)["sectors"] if found.format == 2 else [],
    }


def judged(result: Recovered, verdict: Verdict) -> Data:
    """Return what was recovered, and the verdict on it: it says so if acknowledged frames may be
    missing, and the exit code is 1."""
    wrong = result.damage or result.missing or result.left or result.doubt
    code = 1 if wrong else verdict.exit_code
    return {
        **result.as_dict(),
        "verdict": {**verdict.as_dict(), "doubt": result.doubt, "exit_code": code},
        "exit_code": code,
    }


def flash_map(
    source: str,
    **region: Any,
) -> Data:
    """Show what each sector of a log's flash holds.

    A map with a letter for each sector, and a table: erase count, state, boots and seqs of its
    runs. Of a board (PORT), or of a dump of its flash (IMAGE), whose geometry is found or given as
    for `quipu recover`. Exit code 1 if the log is damaged.

    \b
    Example:
      quipu flash-map /dev/ttyACM0
      quipu flash-map dump.bin
    """
    if os.path.isfile(source):
        flash: Any = _image(source, **region)
    else:
        flash = _of_port(source)
    data = survey(flash)
    return {"source": source, **data, "exit_code": 1 if data["damage"] else 0}


def _geometry(flash: FlashImage) -> Data:
    return {
        "start": flash.start,
        "size": len(flash.data),
        "sector": flash.sector,
        "page": flash.page,
        "unit": flash.unit,
        "sectors": flash.sectors,
    }


def _of_port(port: str) -> FlashImage:
    """Return the whole region of a live board, read over its link."""
    with quipu.connect(port) as board, render.progress("reading") as progress:
        info = board.info()
        whole = info["sector"] * info["sectors"]
        data = bytearray()
        while len(data) < whole:
            part = min(_PART, whole - len(data))
            more = board.read_region(len(data), part)
            if not more:
                raise errors.FlashError(
                    f"the board gives nothing of its flash region from {len(data):,} on, of "
                    f"{whole:,} bytes"
                )
            data += more
            progress(len(data), whole)
    return FlashImage(data, info["sector"], min(256, info["sector"]), info["unit"])


# -- what a person sees ----------------------------------------------------------------------------


ROW = 32  # sectors of a line of the map


# state: its letter and its colour; a snapshot's letter is its slot's, "A" or "B"; lower case: no
# valid snapshot there
LOOKS = {
    "snapshot": ("A", "black on cyan"),
    "unnamed": ("A", "black on bright_cyan"),
    "unfinished": ("a", "cyan"),
    "empty": ("a", "dim cyan"),
    "oldest": ("O", "black on green"),
    "log": ("L", "black on green"),
    "in use": ("U", "black on bright_green"),
    "given up": ("G", "green"),
    "free": ("-", ""),
    "blank": (".", "dim"),
    "torn": ("T", "yellow"),
    "quarantined": ("Q", "black on yellow"),
    "damaged": ("X", "bold white on red"),
    "foreign": ("?", "black on magenta"),
}
MEANING = {
    "snapshot": "whole snapshot, slot a or b",
    "unnamed": "whole snapshot, not yet named by the log",
    "unfinished": "snapshot begun, cut off or rotten",
    "empty": "slot without snapshot",
    "oldest": "log, its oldest sector",
    "log": "log",
    "in use": "log, being written",
    "given up": "runs of boots that were cut",
    "free": "erased, ready",
    "blank": "never used",
    "torn": "half erased",
    "quarantined": "bad, passed by",
    "damaged": "frames or header lost",
    "foreign": "bytes of something else",
}


def letter(row: Data) -> str:
    """Return a sector's letter in the map."""
    own = LOOKS[row["state"]][0]
    if row["slot"] == "b":
        return chr(ord(own) + 1)
    return own


def cells(rows: list[Data]) -> Text:
    """Return the map: a letter for each sector, ROW in a line, with the number of each line's
    first."""
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
            lines.append(
                Text.assemble(
                    "  ",
                    (" ".join(letters).ljust(3), style),
                    f" {n:>5}  {state}: {MEANING[state]}\n",
                )
            )
    return Text.assemble(*lines)


def table(rows: list[Data]) -> RenderableType:
    """Return a line for each sector, and for each further run in it; sectors in a row that are free
    or blank, or not used in a slot, share one."""
    lines = []
    for group in _groups(rows):
        first, last = group[0], group[-1]
        erases = sorted({row["erases"] or 0 for row in group})
        what = first["state"] if first["slot"] is None else f"{first['state']} {first['slot']}"
        if first["slot"] and first is last:
            what += f" {first['part']}"
        elif first["slot"]:
            what += f" {first['part']} to {last['part']}"
        where = str(first["sector"]) if first is last else f"{first['sector']}-{last['sector']}"
        worn = (
            "-"
            if not erases[-1]
            else str(erases[0])
            if len(erases) == 1
            else f"{erases[0]}-{erases[-1]}"
        )
        used = f"{first['used']:,}" if first is last else ""
        runs = first["runs"] or [first]
        for i, run in enumerate(runs):
            own = (where, f"0x{first['address']:06x}", worn, what) if i == 0 else ("", "", "", "")
            boot = run.get("boot")
            lines.append(
                (
                    *own,
                    "" if boot is None else str(boot),
                    _seqs(run),
                    used if i == len(runs) - 1 else "",
                )
            )
    return grid("", (">sector", "address", ">erases", "state", ">boot", ">seq", ">used"), lines)


def _seqs(row: Data) -> str:
    if row["first"] is None:
        return "" if row["last"] is None else f"to {row['last']}"
    return "none" if row["last"] < row["first"] else f"{row['first']} to {row['last']}"


def _groups(rows: list[Data]) -> Iterator[list[Data]]:
    group: list[Data] = []
    for row in rows:
        alike = (
            group
            and (row["state"], row["slot"]) == (group[0]["state"], group[0]["slot"])
            and not row["note"]
        )
        if (
            alike
            and row["state"]
            in ("free", "blank", "torn", "empty", "snapshot", "unnamed", "unfinished")
            and not group[0]["note"]
        ):
            group.append(row)
            continue
        if group:
            yield group
        group = [row]
    if group:
        yield group


def _notes(rows: list[Data]) -> Text:
    return Text(
        "\n".join(f"sector {row['sector']}: {plain(row['note'])}" for row in rows if row["note"])
    )


def show_flash_map(data: Data) -> RenderableType:
    """Return the map, its legend and the table."""
    geometry, log, erases = data["geometry"], data["log"], data["erases"]
    where = f", from 0x{geometry['start']:x} of the dump" if geometry["start"] else ""
    rows: list[tuple[str, Any]] = [
        (
            "region",
            f"{size(geometry['size'])}: {geometry['sectors']} sectors of "
            f"{size(geometry['sector'])}, unit {geometry['unit']} B"
            + (f", blocks of {size(geometry['block'])}" if geometry["block"] else "")
            + where,
        ),
        ("log", "none" if log is None else f"{log['name'][:16]}…, of {log['board']}"),
    ]
    if log:
        rows += [
            (
                "seq",
                f"{log['first']} to {log['seq']}; "
                + (
                    f"acknowledged below {log['acknowledged']}"
                    if log["acknowledged"]
                    else "nothing acknowledged"
                ),
            ),
            ("missing", ", ".join(f"seq {a} to {b}" for a, b in log["missing"]) or None),
            ("snapshots", ", ".join(f"seq {each}" for each in log["snapshots"]) or "none"),
        ]
    rows += [
        ("erases", None if erases is None else f"{erases['least']} to {erases['most']} a sector"),
        ("damage", data["damage"]),
    ]
    sectors = data["sectors"]
    parts: list[RenderableType] = [
        pairs(rows),
        Text(""),
        cells(sectors),
        legend(sectors),
        table(sectors),
    ]
    notes = _notes(sectors)
    return Group(*parts, Text(""), notes) if notes.plain else Group(*parts)


def left_out(left: Data) -> str:
    """Return what a sector holds that nothing proves."""
    seqs = f"seq {left['first']}" + (f" to {left['last']}" if left["last"] > left["first"] else "")
    return f"{count(left['frames'], 'whole frame')} ({size(left['bytes'])}) of {seqs}, sector {left['sector']}: no chain head leads there"


def show_recovered(data: Data) -> RenderableType:
    """Return what was recovered, the map of the sectors, and the verdict."""
    geometry, rows = data["geometry"], data["map"]
    lines: list[tuple[str, Any]] = [
        (
            "image",
            f"{data['image']}: {geometry['sectors']} sectors of {size(geometry['sector'])}"
            + (f" from 0x{geometry['start']:x}" if geometry["start"] else "")
            + f", unit {geometry['unit']} B"
            + ("" if data["format"] == 2 else f", format {data['format']}"),
        ),
        *(
            (
                ("holds" if i == 0 else ""),
                f"seq {run['first']} to {run['last']}, proved from {run['proof']}"
                if run["last"] >= run["first"]
                else f"the state after seq {run['last']}, by {run['proof']}",
            )
            for i, run in enumerate(data["holds"])
        ),
        ("missing", ", ".join(f"seq {a} to {b}" for a, b in data["missing"]) or None),
        *((("left out" if i == 0 else ""), left_out(each)) for i, each in enumerate(data["left"])),
        (
            "mended",
            ", ".join(f"sector {each}" for each in data["mended"]) + ": header deduced"
            if data["mended"]
            else None,
        ),
        (
            "power cuts",
            ", ".join(f"at seq {cut['seq']} ({size(cut['bytes'])})" for cut in data["cuts"])
            or None,
        ),
        ("damage", data["damage"]),
        ("archive", f"{render.placed(data)}, {count(data['frames'], 'new frame')}"),
        ("snapshots", ", ".join(f"seq {each}" for each in data["snapshots"]) or None),
    ]
    notes = _notes(rows)
    return Group(
        pairs(lines),
        Text(""),
        cells(rows),
        legend(rows),
        *([notes, Text("")] if notes.plain else []),
        verdict(data["verdict"]),
    )


VERBS = {
    "flash-map": Verb(flash_map, show_flash_map, (argument("source", "PORT|IMAGE"), *REGION)),
    "recover": Verb(
        recover, show_recovered, (argument("image", "IMAGE"), ARCHIVE, *REGION, MAX_STATE)
    ),
}
