"""Quipu on a laptop: pull a board's log over serial, replay it, and prove that the hashes match.

    with quipu.connect("/dev/ttyACM0") as board:
        board.insert(quipu.vector([1, -0.5, 3.25]), tag=2)
        board.sync("data/watch")
    quipu.verify("data/watch").verdict      # "match"

Verbs take raw Q16.16 integers: `vector` and `q16` make them. Errors are in `quipu.errors`.
"""

from . import errors, providers
from .archive import Archive, open_archive
from .board import Board, connect
from .sync import SyncResult
from .values import q16, vector
from .verify import Verdict, replay_to, state, verify

__all__ = ["Archive", "Board", "SyncResult", "Verdict", "connect", "errors", "open_archive", "q16", "replay_to", "state", "vector",
           "verify"]

providers.install()
