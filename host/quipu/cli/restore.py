"""The verbs that give a board a state to go on from: restore, migrate. Handlers as in board.py."""

from typing import Any

import quipu
from quipu.board import migrate as migration
from quipu.board import restore as restoring
from quipu.cli import render
from quipu.past import describe

Data = dict[str, Any]


def restore(archive: str, port: str, at: int | None, policy: str, origins: tuple[str, ...]) -> Data:
    """Put an archive's state onto a board, which goes on from it.

    The archive is verified first. The board's log region must be blank, or hold a log without a command. The board reads the state
    back from its flash and proves its root before it takes a command; its new log names the archive's log, seq and root, and begins
    with the next seq. Broken off, the board is blank or restored: run it again.

    \b
    Example:
      quipu restore data/watch /dev/ttyACM1
      quipu restore data/watch /dev/ttyACM1 --at 1200
    """
    with quipu.connect(port) as board, render.progress("restoring") as progress:
        return restoring.restore(board, archive, at, describe.POLICIES.index(policy), progress, origins).as_dict()


def migrate(port: str, archive: str, policy: str | None, origins: tuple[str, ...], **capacities: int | None) -> Data:
    """Give a board other capacities, with all that it holds.

    Its log is pulled into the archive DIR and verified, replayed under the new capacities, and only then erased. The new log begins
    with the state that came of it and names the old one; every id stays what it was. What does not fit is refused before anything
    changes. Stop the application first. Broken off, run it again: nothing is lost.

    \b
    Example:
      quipu migrate /dev/ttyACM0 --records 500 --archive data/watch
    """
    changes = {name: number for name, number in capacities.items() if number is not None}
    with quipu.connect(port) as board, render.progress("restoring") as progress:
        done = migration.migrate(board, archive, changes,
                                 None if policy is None else describe.POLICIES.index(policy), progress, origins)
        return {**done.as_dict(), "config": board.info()["config"]}
