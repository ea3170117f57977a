"""What the verbs do that reach a board without Quipu's firmware: handlers as in board.py."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from quipu.board.board import Board
from quipu.board.link import Link
from quipu.board.repl import Repl
from quipu.cli import render
from quipu.dump.recover import Found
from quipu.dump.recover import recover as into_archive
from quipu.errors import PortError, Refused, UsageError
from quipu.install import attach as reader
from quipu.install import erase as eraser
from quipu.install import files as deploy
from quipu.install import flash as flasher

Data = dict[str, Any]

TOOLS = ("mpremote", "ampy")  # what flashes; the first is the default
_BOOT_S = 60.0  # a large region begins its log meanwhile
_ASK_S = 2.0


def flash(port: str, board: str | None, main: bool, dry_run: bool, erase_log: bool = False, archives: tuple[str, ...] = (),
          yes: bool = False, tool: str = TOOLS[0]) -> Data:
    """Put Quipu onto a board with MicroPython.

    Finds out what the board is, compiles for it, writes only what differs, beside the old files, compares hashes read back, and
    then switches. /main.py is written only if there is none, or with --main. Broken off, run it again. If old and new files do not fit
    at once, it says so and asks (--yes: does so) before it removes the old ones. The log is left as it is, but
    with --erase-log nothing is written and the log is destroyed: once it is said what of it is in no archive, and agreed to. --tool ampy
    is for boards on which only adafruit-ampy works: slower, and every file is sent as it is.

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
    with deploy.opened(port, _tool(tool)) as repl:
        found = flasher.probe(repl)
        if name := flasher.frozen(repl):
            raise Refused(f"{port}: this board's firmware is the image of {name} with Quipu in it, which comes before any files: there is "
                          "nothing to flash. For another Quipu install another image (docs/boards.md)")
        facts = flasher.facts_for(found, board)
        found = flasher.settled(repl, found, facts)
        form, wanted = flasher.contents(found, facts, main)
        todo = flasher.plan(repl, found, facts, form, wanted)
        if dry_run:
            return {"dry_run": True, "plan": todo.as_dict(), "info": None, "erased": None}
        flasher.consent(todo, yes, _asker())
        if todo.write or todo.remove:
            with render.progress("flashing") as progress:
                flasher.carry_out(repl, todo, wanted, progress)
    return {"dry_run": False, "plan": todo.as_dict(), "info": _started(port), "erased": None}


def _tool(name: str) -> type[Repl]:
    """Return the raw REPL of a tool in TOOLS. UsageError if that tool is not installed."""
    if name == TOOLS[0]:
        return Repl
    try:
        from quipu.install.repl_ampy import AmpyRepl
    except ModuleNotFoundError:
        raise UsageError("--tool ampy: adafruit-ampy is not installed: pip install 'quipu[ampy]'") from None
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
    return {"dry_run": False, "plan": None, "info": None, "erased": {"port": port, **what.as_dict()}}


def _started(port: str) -> Data:
    """Return the info of the board that starts now. PortError if no firmware answers in time."""
    deadline = time.monotonic() + _BOOT_S
    while True:
        try:
            with Board(Link(port, _ASK_S, serve=False)) as board:
                return board.info()
        except PortError:
            if time.monotonic() > deadline:
                raise PortError(f"{port}: the files are on the board and right, but no firmware answered for {_BOOT_S:.0f} s: if the "
                                "board's /main.py is yours, it must call quipu.start() and quipu.serve() (--main replaces it)") from None


def attach(port: str, archive: str) -> Data:
    """Archive a board's log when no firmware answers.

    Interrupts what runs there, reads the log region through the raw REPL with the board's own driver, and archives all that can
    be proved, as `quipu recover` does. Writes nothing on the board, and restarts it. Broken off, run it again.

    \b
    Example:
      quipu attach /dev/ttyACM0 --archive data/watch
    """
    kept = Path(archive.rstrip("/") + ".region")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with deploy.opened(port) as repl, render.progress("reading") as progress:
        image = reader.read(repl, kept, progress)
    found = Found(image)
    result, verdict = into_archive(found, archive)
    kept.unlink()
    return {"port": port, **result.as_dict(), "verdict": verdict.as_dict(),
            "exit_code": 1 if found.damage or result.missing else verdict.exit_code}
