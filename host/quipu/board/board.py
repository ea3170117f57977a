"""A live board as a whole: its verbs, its past, pulling its log. The rooms below it do the work."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

from quipu.archive.files import Archive
from quipu.board import live, sync
from quipu.board.link import Link
from quipu.board.sync import SyncResult
from quipu.board.verbs import Verbs
from quipu.past.memory import Memory
from quipu.past.query import Query
from shared_kernel import kernel


def connect(
    port: str, timeout: float = 10.0, output: Callable[[bytes], None] | None = None
) -> "Board":
    """Open a port and return the Board behind it. See link.Link for the arguments; PortError if no
    Quipu answers."""
    return Board(Link(port, timeout, output))


class Board(Verbs):
    """A board behind an open Link; a context manager. See verbs.Verbs for its attributes and
    errors."""

    # -- its past, and questions over the whole of it ----------------------------------------------

    def memory(
        self, progress: Callable[[int, int], None] | None = None
    ) -> contextlib.AbstractContextManager[Memory]:
        """Return a context manager that gives the board's log as a Memory, the way `quipu.open`
        gives an archive: see live.memory. It pulls all that is on the flash; the verbs below do so
        each time they are called."""
        return live.memory(self, progress)

    def state(self, at: int | str | None = None) -> kernel.Kernel:
        """Return the state after a moment (None: the last frame). UsageError if its frames have
        left the flash: sync, and ask the archive."""
        with self.memory() as memory:
            return memory.state(at)

    def query(self, query: Query, at: int | str | None = None) -> list[dict[str, Any]]:
        """Return the rows that a query finds; see query.Query and `state`."""
        with self.memory() as memory:
            return memory.query(query, at)

    def explain(self, thing: str, at: int | str | None = None) -> dict[str, Any]:
        """Return what a thing is, and the frames on the flash that made it so; see explain.explain
        and `state`."""
        with self.memory() as memory:
            return memory.explain(thing, at)

    def sync(
        self,
        archive: Archive | str | os.PathLike[str],
        progress: Callable[[int, int], None] | None = None,
    ) -> SyncResult:
        """Pull what is new into an archive (made if there is none); see sync.pull."""
        return sync.pull(self, archive, progress)
