"""Quipu on a laptop: pull a board's log over serial, replay it, and prove that the hashes match.

    with quipu.connect("/dev/ttyACM0") as board:
        board.insert(quipu.vector([1, -0.5, 3.25]), tag=2)
        board.sync("data/watch")
    quipu.verify("data/watch").verdict      # "match"
    quipu.open("data/watch").get("mode", at="-5m")

Verbs take raw Q16.16 integers: `vector` and `q16` make them. Errors are in `quipu.errors`. A name's
module is loaded when it is first used."""

# First: it chooses between the files of shared_kernel and what was compiled of them.
from . import kernels  # isort: skip
import importlib
from typing import TYPE_CHECKING, Any

from . import errors, moved, providers

if TYPE_CHECKING:
    from quipu.archive.files import Archive
    from quipu.archive.passes import replay_to, state
    from quipu.archive.verdict import Verdict
    from quipu.archive.verify import verify
    from quipu.board.board import Board, connect
    from quipu.board.sync import SyncResult
    from quipu.past.memory import Memory, open_archive
    from quipu.past.memory import open_archive as open
    from quipu.values import q16, vector

__all__ = [
    "Archive",
    "Board",
    "Memory",
    "SyncResult",
    "Verdict",
    "connect",
    "errors",
    "kernels",
    "open",
    "open_archive",
    "q16",
    "replay_to",
    "state",
    "vector",
    "verify",
]

# name: its module in quipu, and its name there. open(DIR) and connect(PORT) give the same verbs.
_WHERE = {
    "Archive": ("archive.files", "Archive"),
    "Board": ("board.board", "Board"),
    "Memory": ("past.memory", "Memory"),
    "SyncResult": ("board.sync", "SyncResult"),
    "Verdict": ("archive.verdict", "Verdict"),
    "connect": ("board.board", "connect"),
    "open": ("past.memory", "open_archive"),
    "open_archive": ("past.memory", "open_archive"),
    "q16": ("values", "q16"),
    "replay_to": ("archive.passes", "replay_to"),
    "state": ("archive.passes", "state"),
    "vector": ("values", "vector"),
    "verify": ("archive.verify", "verify"),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        return moved.attribute(name)
    module, attribute = _WHERE[name]
    found = globals()[name] = getattr(importlib.import_module(f"quipu.{module}"), attribute)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


moved.install()
providers.install()
