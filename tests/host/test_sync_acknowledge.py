"""The moment between a sync's fsync and its word to the board: a process killed there loses nothing
and has told nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import quipu
from quipu.archive.files import Archive

from tests.host.unix_board import UnixBoard

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, sys, quipu
board = quipu.connect(sys.argv[1])
board.acknowledge = lambda seq: os.kill(os.getpid(), 9)
board.sync(sys.argv[2])
"""


def test_a_sync_killed_before_it_acknowledges(tmp_path):
    path = tmp_path / "a"
    with UnixBoard(tmp_path / "flash") as unix:
        with quipu.connect(unix.port) as board:
            board.configure((4, 200, 8, 8, 8, 8, 8))
            for i in range(60):
                board.insert([i, -i, i << 16, 0], i % 3, b"%d" % i)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, unix.port, path],
            check=False,
            timeout=60,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}"},
        )
        assert done.returncode == -signal.SIGKILL
        noted = Archive(path).note()
        with quipu.connect(unix.port) as board:
            assert noted.seq == board.info()["seq"] >= 60 and board.info()["acknowledged"] == 0
            board.sync(path)
            assert board.info()["acknowledged"] == noted.seq + 1
            assert quipu.verify(path, board=board).verdict == "match"
