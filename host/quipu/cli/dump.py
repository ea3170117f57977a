"""What the verbs do that read a flash region, from a dump or over a port: handlers as in board.py."""

import os
import re
from pathlib import Path
from typing import Any

import quipu
from quipu import errors
from quipu.archive.verify import Verdict
from quipu.build import images
from quipu.cli import render
from quipu.dump.found import read
from quipu.dump.image import FlashImage, Geometry
from quipu.dump.locate import locate, of_board
from quipu.dump.map import survey
from quipu.dump.recover import Recovered
from quipu.dump.recover import recover as into_archive

Data = dict[str, Any]

_PART = 1024  # bytes asked for at once

_SIZE = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)([kKmM]?)\Z")


def size(text: str) -> int:
    """Return a number of bytes written as 4096, 0x1000, 4k or 1M. ValueError for anything else."""
    match = _SIZE.match(text)
    if not match:
        raise ValueError(f"{text!r} is no number of bytes, such as 4096, 0x1000, 4k or 1M")
    return int(match[1], 0) << {"": 0, "k": 10, "m": 20}[match[2].lower()]


def _image(path: str, board: str | None, sector: int | None, page: int | None, unit: int | None, start: int | None,
           length: int | None) -> FlashImage:
    dump = Path(path).read_bytes()
    if not dump:
        raise errors.FormatError(f"{path} is empty")
    given = Geometry(start, length, sector, page, unit)
    if board:
        if any(each is not None for each in given):
            raise errors.UsageError("--board says where the log lies and its geometry: give it, or the numbers, not both")
        try:
            given = of_board(images.board_facts(board), len(dump))
        except images.ImageError as error:
            raise errors.UsageError(f"{error}; the region of another board is found without --board") from None
    try:
        return locate(dump, given)
    except errors.FormatError as error:
        raise errors.FormatError(f"{path}: {error}") from None
    except errors.Invalid as error:
        raise errors.UsageError(str(error)) from None


def recover(image: str, archive: str, board: str | None, sector: int | None, page: int | None, unit: int | None,
            start: int | None, length: int | None) -> Data:
    """Recover a log from a dump of its flash.

    IMAGE is the raw flash, or the log's region of it, of a dead board, as a programmer reads it or an emulator keeps it. All
    that can be proved from it goes into the archive DIR, as `quipu sync` would put it there: a new one, or one of the same
    log, which is extended. Then the archive is verified. Where frames are missing, those behind them are kept too if a
    run's header, a boot frame or a snapshot proves them; what nothing proves is counted. IMAGE is only read. Flash of format 1
    is read too.

    Where the log lies and its geometry are found by themselves; if they cannot be, say them, or name the board. Exit code 0
    only if all of the log matches and nothing of it is left out.

    \b
    Example:
      quipu recover dump.bin --archive data/watch
      quipu recover flash.bin --board MPS2_AN386 --archive data/watch
    """
    flash = _image(image, board, sector, page, unit, start, length)
    try:
        found = read(flash)
    except (errors.FormatError, errors.NotFound) as error:
        error.args = (f"{image}: {error}",)
        raise
    with render.progress("recovering") as progress:
        result, verdict = into_archive(found, archive, progress)
    return {"image": image, "geometry": _geometry(flash), **judged(result, verdict),
            "map": survey(flash)["sectors"] if found.format == 2 else []}


def judged(result: Recovered, verdict: Verdict) -> Data:
    """Return what was recovered, and the verdict on it: it says so if acknowledged frames may be missing, and the exit code is 1."""
    wrong = result.damage or result.missing or result.left or result.doubt
    code = 1 if wrong else verdict.exit_code
    return {**result.as_dict(), "verdict": {**verdict.as_dict(), "doubt": result.doubt, "exit_code": code}, "exit_code": code}


def flash_map(source: str, board: str | None, sector: int | None, page: int | None, unit: int | None, start: int | None,
              length: int | None) -> Data:
    """Show what each sector of a log's flash holds.

    A map with a letter for each sector, and a table: erase count, state, boots and seqs of its runs. Of a board (PORT), or of a dump of
    its flash (IMAGE), whose geometry is found or given as for `quipu recover`. Exit code 1 if the log is damaged.

    \b
    Example:
      quipu flash-map /dev/ttyACM0
      quipu flash-map dump.bin
    """
    if os.path.isfile(source):
        flash: Any = _image(source, board, sector, page, unit, start, length)
    else:
        flash = _of_port(source)
    data = survey(flash)
    return {"source": source, **data, "exit_code": 1 if data["damage"] else 0}


def _geometry(flash: FlashImage) -> Data:
    return {"start": flash.start, "size": len(flash.data), "sector": flash.sector, "page": flash.page, "unit": flash.unit,
            "sectors": flash.sectors}


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
                raise errors.FlashError(f"the board gives nothing of its flash region from {len(data):,} on, of {whole:,} bytes")
            data += more
            progress(len(data), whole)
    return FlashImage(data, info["sector"], min(256, info["sector"]), info["unit"])
