"""Boards that chatter, echo, fall silent, answer by halves or vanish end every verb with exit code
3 and a sentence, in time; and a cable that is pulled anywhere costs nothing but the same command
again."""

import binascii
import io
import os
import pty
import re
import select
import threading
import time
import tty

import pytest
import quipu
import serial
from quipu.board.board import Board
from quipu.board.link import Link
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.cli import install as commands_boards
from quipu.cli import main as cli
from quipu.errors import PortError
from quipu.install import files as deploy
from quipu.install import flash

from shared_kernel import link as kernel_link
from tests.host.unix_board import UnixBoard

BOARD = "MPS2_AN386"
WAIT_S = 0.5  # what these tests allow a board for its first answer
LIMIT_S = 8.0
REQUEST = re.compile(rb"\x1e#([^!]+)!")


class Peer:
    """A pty with somebody at its far end. says: a function of what has just come, which returns
    what to send (None: go away); it is called every few ms with b"" too. A context manager; port:
    what to open."""

    def __init__(self, says):
        self.says = says
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.port = os.ttyname(self.slave)
        self.over = False
        self.heard = b""
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over = True
        self.thread.join()

    def _run(self):
        os.set_blocking(self.master, False)
        try:
            while not self.over:
                ready = select.select([self.master], [], [], 0.002)[0]
                came = os.read(self.master, 4096) if ready else b""
                self.heard += came
                said = self.says(came)
                if said is None:
                    return
                if said and select.select([], [self.master], [], 0)[1]:
                    try:
                        os.write(self.master, said)
                    except BlockingIOError:
                        pass  # nobody reads: dropped
        finally:
            os.close(self.master)
            os.close(self.slave)


def half(came):
    """The first half of an answer to each request."""
    out = b""
    for match in REQUEST.finditer(came):
        sink = io.BytesIO()
        kernel_link.answer(sink, binascii.a2b_base64(match[1])[0], 0, b'{"protocol": 1}' * 9)
        whole = sink.getvalue()
        out += whole[: len(whole) // 2]
    return out


PEERS = {
    "chatter": lambda came: b"temperature 21.5\r\n" * 9,
    "silent": lambda came: b"",
    "echo": lambda came: came,
    "half": half,
    "prompts": lambda came: b">>> " * 9,
    "vanish": lambda came: None if came else b"",
}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(quipu, "connect", lambda port: Board(Link(port, WAIT_S)))
    monkeypatch.setattr("quipu.board.repl._ENTER_TRIES", 2)
    monkeypatch.setattr("quipu.board.repl._ENTER_S", WAIT_S)
    monkeypatch.setattr("quipu.board.repl._LEAVE_S", WAIT_S)


@pytest.mark.parametrize(
    "verb",
    [
        ("info",),
        ("put", "k", "v"),
        ("sync", "--archive", "A"),
        ("flash-map",),
        ("flash",),
        ("attach", "--archive", "A"),
    ],
    ids=lambda verb: verb[0],
)
@pytest.mark.parametrize("peer", PEERS)
def test_a_wedged_board_ends_every_verb(impatient, tmp_path, monkeypatch, capsys, peer, verb):
    monkeypatch.chdir(tmp_path)
    with Peer(PEERS[peer]) as wedged:
        start = time.monotonic()
        assert cli.main([verb[0], wedged.port, *verb[1:]]) == 3
        assert time.monotonic() - start < LIMIT_S
    out, said = capsys.readouterr()
    assert (
        said.startswith(f"quipu: {wedged.port}: ")
        and len(said.split()) > 6
        and wedged.heard
        and not out
    )
    assert not (tmp_path / "A").exists()


class Cable(Peer):
    """A pty joined to a board's port; pulled once `allowed` bytes have passed, both ways
    together."""

    def __init__(self, port, allowed):
        self.line = serial.Serial(port, timeout=0)
        self.left = allowed
        super().__init__(self._pass)

    def _pass(self, came):
        if came:
            self.line.write(came[: max(self.left, 0)])
        said = self.line.read(4096)
        self.left -= len(came) + len(said)
        return None if self.left <= 0 else said

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.line.close()


def test_a_cable_pulled_anywhere_in_a_sync(tmp_path):
    with UnixBoard(tmp_path / "flash") as unix:
        with quipu.connect(unix.port) as board:
            board.configure((2, 40, 0, 0, 2, 8, 8))
            for i in range(20):
                board.insert([i, -i], i, b"metadata")
            told = board.info()
        pulled = 0
        for allowed in range(40, 6000, 180):
            try:
                with (
                    Cable(unix.port, allowed) as cable,
                    quipu.connect(cable.port, timeout=2) as board,
                ):
                    board.sync(tmp_path / "archive")
                    break
            except PortError as error:
                pulled += 1
                assert "same command again" in str(error) or "answer" in str(error)
        assert pulled > 5
        with quipu.connect(unix.port) as board:
            board.sync(tmp_path / "archive")
            assert quipu.verify(tmp_path / "archive", board).verdict == "match"
            assert board.info()["log"] == told["log"]


def test_a_cable_pulled_anywhere_while_a_board_is_flashed(tmp_path):
    with Emulator(BOARD, frozen=False) as emulator:
        pulled = 0
        for allowed in (30, 900, 4000, 20_000, 45_000):
            with pytest.raises(PortError), Cable(emulator.port, allowed) as cable:
                commands_boards.flash(cable.port, None, main=False, dry_run=False)
            pulled += 1
        assert pulled == 5
        done = commands_boards.flash(emulator.port, None, main=False, dry_run=False)
        assert done["plan"]["staged"] and done["info"]["configured"]
        facts = images.board_facts(BOARD)
        with deploy.opened(emulator.port) as repl:
            there = flash.hashes(repl)
            assert set(deploy.files(facts, images.mpy_cross())) <= set(there)
            assert not [path for path in there if path.endswith(flash.NEW)]
            repl.write_file("/main.py", b"raise ValueError('crashed')\n")
        archive = str(tmp_path / "archive")
        for allowed in (500, 3000, 30_000, 200_000):
            with pytest.raises(PortError), Cable(emulator.port, allowed) as cable:
                commands_boards.attach(cable.port, archive)
        assert os.path.getsize(archive + ".region") > 50_000
        assert commands_boards.attach(emulator.port, archive)["verdict"]["verdict"] == "match"
