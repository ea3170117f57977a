"""Quipu on a laptop: pull a board's log over serial, replay it, and prove that the hashes match.

    with quipu.connect("/dev/ttyACM0") as board:
        board.insert(quipu.vector([1, -0.5, 3.25]), tag=2)
        board.sync("data/watch")
    quipu.verify("data/watch").verdict      # "match"
    quipu.open("data/watch").get("mode", at="-5m")

Verbs take raw Q16.16 integers: `vector` and `q16` make them. Errors are in `quipu.errors`.
"""

from . import kernels  # isort: skip  (first: it chooses between the files of shared_kernel and what was compiled of them)
from quipu.archive.files import Archive
from quipu.archive.passes import replay_to, state
from quipu.archive.verdict import Verdict
from quipu.archive.verify import verify
from quipu.board.board import Board, connect
from quipu.board.sync import SyncResult
from quipu.past.memory import Memory, open_archive

from . import errors, moved, providers
from .values import q16, vector

__all__ = ["Archive", "Board", "Memory", "SyncResult", "Verdict", "connect", "errors", "kernels", "open",
           "open_archive", "q16", "replay_to", "state", "vector", "verify"]

open = open_archive  # noqa: A001  (quipu.open(DIR) and quipu.connect(PORT) give the same verbs)


def __getattr__(name: str) -> object:
    return moved.attribute(name)


moved.install()
providers.install()
