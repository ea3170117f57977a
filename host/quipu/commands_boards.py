"""What the verbs do that reach a board without Quipu's firmware: handlers as in commands.py."""

import time
from pathlib import Path
from typing import Any

from quipu import attach as reader
from quipu import deploy, render
from quipu import flash as flasher
from quipu.board import Board
from quipu.errors import PortError
from quipu.link import Link
from quipu.recover import Found
from quipu.recover import recover as into_archive

Data = dict[str, Any]

_BOOT_S = 60.0  # a large region begins its log meanwhile
_ASK_S = 2.0


def flash(port: str, board: str | None, main: bool, dry_run: bool) -> Data:
    """Put Quipu onto a board with MicroPython.

    Finds out what the board is, compiles for it, writes only what differs, beside the old files, compares hashes read back, and
    then switches. /main.py is written only if there is none, or with --main. The log is left as it is. Broken off, run it again.

    \b
    Example:
      quipu flash /dev/ttyACM0
      quipu flash /dev/ttyACM0 --dry-run
    """
    with deploy.opened(port) as repl:
        found = flasher.probe(repl)
        facts = flasher.facts_for(found, board)
        form, wanted = flasher.contents(found, facts, main)
        todo = flasher.plan(repl, found, facts, form, wanted)
        if dry_run:
            return {"dry_run": True, "plan": todo.as_dict(), "info": None}
        if todo.write or todo.remove:
            with render.progress("flashing") as progress:
                flasher.carry_out(repl, todo, wanted, progress)
    return {"dry_run": False, "plan": todo.as_dict(), "info": _started(port)}


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
