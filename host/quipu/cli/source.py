"""What a question goes to: a board for what is, an archive for what was. Opens it, and says in the
answer which moment it is of.

Where a directory of the name exists, the source is an archive; what can be a port is one; a path
that is neither is no archive, with the one text that says so.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import quipu
from quipu import errors
from quipu.cli import render
from quipu.cli.options import Data
from quipu.past.moment import Moment


class Source:
    """What a question goes to. board: the live Board, or memory: the Memory and moment: the one
    asked for; at: what the verbs of a Memory take beside those of a Board."""

    def __init__(self, it: Any, moment: Moment | None):
        self.it = it
        self.memory = it if moment else None
        self.moment = moment
        self.at = {"at": moment.seq} if moment else {}

    def told(self, data: Data) -> Data:
        """Return an answer; an archive's with the moment that it holds for, and with what is wrong
        after it."""
        if self.moment is None or self.memory is None:
            return data
        damage = self.memory.damage
        data = {**data, "moment": self.moment._asdict(), "damage": str(damage) if damage else None}
        return {**data, "exit_code": 1} if damage else data


def is_archive(source: str) -> bool:
    """Return whether a PORT|DIR is a directory, and not what opens a port. NoArchive for what is
    neither: a file, a path that does not exist, a word that no port has."""
    path = Path(source)
    if path.is_dir():
        return True
    if path.is_file():
        raise errors.NoArchive(source)
    from quipu.board.serial_port import is_device, resolve  # an archive's verbs need no ports

    if is_device(source) or path.exists():
        return False
    if "/" in source or "\\" in source:
        raise errors.NoArchive(source)
    try:
        resolve(source)
    except errors.CannotOpen as error:
        raise errors.NoArchive(source, f", and no port: {error}") from None
    return False


@contextlib.contextmanager
def _archived(path: str, at: str | None) -> Iterator[Source]:
    """Open an archive for questions. What is not found in one that is damaged may stand behind the
    damage: the error says so."""
    with quipu.open(path) as memory:
        it = Source(memory, memory.moment(at))
        try:
            yield it
        except errors.NotFound as error:
            if memory.damage:
                raise errors.about(
                    error,
                    f"{error} at seq {memory.moment(at).seq}; damaged after that: {memory.damage}",
                ) from error
            raise


@contextlib.contextmanager
def asked(source: str, at: str | None) -> Iterator[Source]:
    """Open a source for questions about the moment `at` (None: now, or an archive's last frame)."""
    if is_archive(source):
        with _archived(source, at) as it:
            yield it
        return
    if at is not None:
        raise errors.UsageError(
            f"{source} is no directory, so it is a port, and a live board is asked for what is "
            f"now: for --at, "
            "sync it and name the archive"
        )
    with quipu.connect(source) as board:
        yield Source(board, None)


@contextlib.contextmanager
def recalled(source: str, at: str | None, archive: bool = False) -> Iterator[Source]:
    """Open a source for questions that only an archive answers: of a board, all that its flash
    holds is pulled first. archive: it cannot be a port."""
    if archive or is_archive(source):
        with _archived(source, at) as it:
            yield it
        return
    with (
        quipu.connect(source) as board,
        render.progress("pulling") as progress,
        board.memory(progress) as memory,
    ):
        yield Source(memory, memory.moment(at))
