"""What tests of a board on a pty share: MicroPython's unix port with the firmware, a laptop that
waits for it no longer than it must."""

import pytest
import quipu


@pytest.fixture
def impatient(monkeypatch):
    """A board on a pty answers in milliseconds: so a lost byte need not be waited for as long as on
    a slow line."""
    monkeypatch.setattr("quipu.board.link._FIRST_WAIT_S", 0.2)
    monkeypatch.setattr("quipu.board.link._STALL_S", 0.1)


@pytest.fixture
def unix(tmp_path):
    from tests.host.unix_board import UnixBoard  # here, for it needs Unix

    with UnixBoard(tmp_path / "flash") as unix:
        yield unix


@pytest.fixture
def board(unix, request):
    """A connected board with a log of the capacities that the test's module calls CONFIG."""
    with quipu.connect(unix.port) as board:
        board.configure(request.module.CONFIG)
        yield board
