"""The verbs that reach a board without Quipu's firmware: flash, which puts it there, and attach,
which reads the log past it."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Group, RenderableType

from quipu.board.board import Board
from quipu.board.link import Link
from quipu.board.repl import Repl
from quipu.cli import render
from quipu.cli.boards import show_info
from quipu.cli.dump import judged, left_out
from quipu.cli.options import ARCHIVE, PORT, Data, Verb, option
from quipu.cli.render import pairs
from quipu.dump.found import read
from quipu.dump.recover import recover as into_archive
from quipu.errors import PortError, UsageError
from quipu.install import attach as reader
from quipu.install import erase as eraser
from quipu.install import files as deploy
from quipu.install import flash as flasher
from quipu.text import count

TOOLS = ("mpremote", "ampy")  # what flashes; the first is the default
_BOOT_S = 60.0  # a large region begins its log meanwhile
_ASK_S = 2.0


def flash(
    port: str,
    board: str | None,
    main: bool,
    dry_run: bool,
    erase_log: bool = False,
    archives: tuple[str, ...] = (),
    yes: bool = False,
    tool: str = TOOLS[0],
) -> Data:
    """Put Quipu onto a board with MicroPython.

    Finds out what the board is, takes the modules for it, writes only what differs, beside the old
    files, compares hashes read back, and then switches. /main.py is written only if there is none,
    or with --main. Broken off, run it again. If old and new files do not fit at once, it says so
    and asks (--yes: does so) before it removes the old ones. A log of format 1 on the board ends it
    before anything is written, and it says how to take that log over. The log is left as it is, but
    with --erase-log nothing is written and the log is destroyed: once it is said what of it is in
    no archive, and agreed to. --tool ampy is for boards on which only adafruit-ampy works: slower,
    and every file is sent as it is.

    \b
    Example:
      quipu flash /dev/ttyACM0
      quipu flash /dev/ttyACM0 --dry-run
      quipu flash /dev/ttyACM0 --tool ampy
      quipu flash /dev/ttyACM0 --erase-log --archive data/watch
    """
    if erase_log:
        if main or dry_run:
            raise UsageError("--erase-log writes no files: leave --main and --dry-run away")
        if tool != TOOLS[0]:
            raise UsageError(f"--erase-log reads the log over {TOOLS[0]} only: leave --tool away")
        return _erase_log(port, archives, yes)
    if archives:
        raise UsageError("--archive goes with --erase-log")
    todo = flasher.flash(
        port,
        board,
        main=main,
        dry_run=dry_run,
        yes=yes,
        ask=_asker(),
        tool=_tool(tool),
        progress=lambda: render.progress("flashing"),
    )
    return {
        "dry_run": dry_run,
        "plan": todo.as_dict(),
        "info": None if dry_run else _started(port),
        "erased": None,
    }


def _tool(name: str) -> type[Repl]:
    """Return the raw REPL of a tool in TOOLS. UsageError if that tool is not installed."""
    if name == TOOLS[0]:
        return Repl
    try:
        from quipu.install.repl_ampy import AmpyRepl
    except ModuleNotFoundError:
        raise UsageError(
            "--tool ampy: adafruit-ampy is not installed: pip install 'quipu-mcu[ampy]'"
        ) from None
    return AmpyRepl


def _asker() -> Callable[[str], bool] | None:
    """Return what asks the person at the terminal; None if there is nobody."""
    return (lambda question: click.confirm(question, err=True)) if sys.stdin.isatty() else None


def _erase_log(port: str, archives: tuple[str, ...], yes: bool) -> Data:
    ask = _asker()
    with deploy.opened(port) as repl:
        with tempfile.TemporaryDirectory() as folder, render.progress("reading") as progress:
            image = reader.read(repl, Path(folder) / "region", progress)
        what = eraser.loss(image, archives)
        eraser.consent(what, yes, ask)
        eraser.erase(repl, image.sectors)
    return {
        "dry_run": False,
        "plan": None,
        "info": None,
        "erased": {"port": port, **what.as_dict()},
    }


def _started(port: str) -> Data:
    """Return the info of the board that starts now. PortError if no firmware answers in time."""
    deadline = time.monotonic() + _BOOT_S
    while True:
        try:
            with Board(Link(port, _ASK_S, serve=False)) as board:
                return board.info()
        except PortError:
            if time.monotonic() > deadline:
                raise PortError(
                    f"{port}: the files are on the board and right, but no firmware answered for "
                    f"{_BOOT_S:.0f} s: if the "
                    "board's /main.py is yours, it must call quipu.start() and quipu.serve() "
                    "(--main replaces it)"
                ) from None


def attach(port: str, archive: str) -> Data:
    """Archive a board's log when no firmware answers.

    Interrupts what runs there, reads the log region through the raw REPL with the board's own
    driver, and archives all that can be proved, as `quipu recover` does. Writes nothing on the
    board, and restarts it. Broken off, run it again.

    \b
    Example:
      quipu attach /dev/ttyACM0 --archive data/watch
    """
    kept = Path(archive.rstrip("/") + ".region")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with deploy.opened(port) as repl, render.progress("reading") as progress:
        image = reader.read(repl, kept, progress)
    found = read(image)
    result, verdict = into_archive(found, archive)
    kept.unlink()
    return {"port": port, **judged(result, verdict)}


# -- what a person sees ----------------------------------------------------------------------------


def show_flash(data: Data) -> RenderableType:
    if data["erased"]:
        return _erased(data["erased"])
    plan = data["plan"]
    would = "would be " if data["dry_run"] else ""
    rows = [
        ("board", f"{plan['board']}: {plan['machine']}"),
        ("form", plan["form"]),
        (would + "written", f"{count(len(plan['write']), 'file')}, {plan['bytes']:,} bytes sent"),
        ("as they were", count(len(plan["keep"]), "file")),
        (would + "removed", ", ".join(plan["remove"]) or "nothing"),
        *(
            [
                (
                    would + "removed first",
                    f"{count(len(plan['first']), 'old file')}, for want of room",
                )
            ]
            if plan["first"]
            else []
        ),
        ("filesystem", f"{plan['need']:,} bytes needed, {plan['free']:,} free before"),
    ]
    if data["dry_run"]:
        return Group(pairs(rows), "\n".join("  " + path for path in plan["write"]))
    return Group(pairs(rows), show_info(data["info"]))


def _erased(gone: Data) -> RenderableType:
    if gone["log"] is None:
        return pairs(
            [("erased", "a region that held no readable log"), ("which was", gone["damage"])]
        )
    lost = (
        f"{gone['nowhere']:,}, seq {gone['nowhere_first']} to {gone['nowhere_last']}"
        if gone["nowhere"]
        else "none"
    )
    return pairs(
        [
            ("erased", f"log {gone['log']}"),
            ("board", gone["board"]),
            ("frames", f"{gone['frames']:,}, seq {gone['first']} to {gone['last']}"),
            ("in no archive given", lost),
            ("not provable", f"{gone['unproved']:,} frames more" if gone["unproved"] else None),
        ]
    )


def show_attach(data: Data) -> RenderableType:
    rows = [
        ("board", data["board"]),
        ("log", data["log"]),
        ("archive", render.placed(data)),
        ("frames", f"{data['frames']:,} added, {data['log_bytes']:,} bytes"),
        ("snapshots", ", ".join(map(str, data["snapshots"])) or "none"),
        (
            "missing",
            ", ".join(f"{first} to {last}" for first, last in data["missing"]) or "nothing",
        ),
        ("left out", "; ".join(map(left_out, data["left"])) or "nothing"),
        ("damage", data["damage"] or "none"),
    ]
    return Group(pairs(rows), render.verdict(data["verdict"]))


VERBS = {
    "flash": Verb(
        flash,
        show_flash,
        (
            PORT,
            option("--board", "it is this board of boards/", metavar="NAME"),
            option("--main", "replace the board's /main.py", is_flag=True),
            option("--dry-run", "show what would be written; the board restarts", is_flag=True),
            option(
                "--tool",
                "what writes the files",
                type=click.Choice(TOOLS),
                default=TOOLS[0],
                show_default=True,
            ),
            option("--erase-log", "write nothing, destroy the log; asks first", is_flag=True),
            option(
                "--archive archives",
                "with --erase-log: what is in here is not lost; may be given again",
                metavar="DIR",
                multiple=True,
            ),
            option("--yes", "do not ask", is_flag=True),
        ),
    ),
    "attach": Verb(attach, show_attach, (PORT, ARCHIVE)),
}
