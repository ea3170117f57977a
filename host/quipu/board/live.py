"""A live board's past: its log as it is now, pulled into a temporary archive that answers as any
does. The board is only read.

What a board's own verbs cannot answer (a whole state, a query, what made a thing so) is found out
here, at the price of pulling the log that is on its flash. No frame is appended and nothing is
acknowledged, so it changes nothing about a later sync."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from quipu.board import sync
from quipu.board.verbs import Verbs
from quipu.errors import ArchiveError, UsageError
from quipu.past.memory import Memory


@contextlib.contextmanager
def memory(board: Verbs, progress: Callable[[int, int], None] | None = None) -> Iterator[Memory]:
    """Give a Memory of all that the board's flash holds; it is gone at the end. progress: as of
    sync.pull.

    Errors as of sync.pull. UsageError and ArchiveError name the board's port, and the way to what
    has left its flash."""
    with tempfile.TemporaryDirectory(prefix="quipu-") as folder:
        path = Path(folder) / "log"
        try:
            sync.look(board, path, progress)
            with Memory(path) as found:
                yield found
        except (ArchiveError, UsageError) as e:
            if str(path) not in str(e):
                raise
            kind = UsageError if isinstance(e, UsageError) else ArchiveError
            port = board.link.url
            raise kind(
                f"{str(e).replace(str(path), port)}. A board answers for what its flash holds; "
                f"for what was before, keep an "
                f"archive: quipu sync {port} --archive DIR"
            ) from None
