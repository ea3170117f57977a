"""A pull over a line that damages and drops bytes in both directions: it completes, resumes, and
never writes a wrong byte."""

import random

import pytest
import quipu
from quipu.archive.files import Archive
from quipu.board import serial_port
from quipu.errors import PortError

from tests import quick
from tests.host.unix_board import UnixBoard, Wire

CONFIG = (16, 24, 2, 2, 4, 16, 8)

pytestmark = pytest.mark.usefixtures("impatient")


class Noise:
    """Each byte is altered with probability `rate`, and lost with the same one."""

    def __init__(self, seed, rate):
        self.rng = random.Random(seed)
        self.rate = rate
        self.altered = self.lost = 0

    def __call__(self, data):
        out = bytearray()
        for byte in data:
            chance = self.rng.random()
            if chance < self.rate:
                self.lost += 1
            elif chance < 2 * self.rate:
                self.altered += 1
                out.append(byte ^ 1 << self.rng.randrange(8))
            else:
                out.append(byte)
        return bytes(out)


@pytest.fixture
def noisy(monkeypatch):
    """Give a function that lets every port opened from now on be noisy, and returns the noise
    (down, up); None: no more."""
    opened = serial_port.opened

    def be(rate, seed=1):
        noise = Noise(seed, rate), Noise(seed + 1, rate)
        monkeypatch.setattr(
            serial_port,
            "opened",
            lambda *args: Wire(opened(*args), *noise) if rate else opened(*args),
        )
        return noise

    return be


@pytest.fixture
def filled(tmp_path):
    """A board with some 8 KiB of log and a snapshot, and the frames that are on it."""
    with UnixBoard(tmp_path / "flash") as unix:
        with quipu.connect(unix.port) as board:
            board.configure(CONFIG)
            for i in range(60):
                record = board.insert([i << 16] * 16, i % 3, b"%016d" % i)
                if i >= 20:
                    board.delete(record)
            board.snapshot()
        yield unix


@pytest.mark.parametrize(
    "rate",
    (
        pytest.param(0.0015, id="0.3 percent of bytes hit"),
        pytest.param(0.005, id="1 percent of bytes hit", marks=quick.nightly),
    ),
)
def test_a_sync_over_a_noisy_line_completes(filled, noisy, tmp_path, rate):
    down, up = noisy(rate)
    with quipu.connect(filled.port, timeout=30) as board:
        done = board.sync(tmp_path / "a")
        assert done.frames == done.seq + 1 and done.snapshot and done.gap is None
        assert board.sync(tmp_path / "a").frames <= 2
    assert up.lost > 5 and up.altered > 5 and down.lost + down.altered > 2
    noisy(0)
    with quipu.connect(filled.port) as board:
        assert board.sync(tmp_path / "b").frames > done.frames
        assert quipu.verify(tmp_path / "a", board=board).verdict == "match"
    ours, whole = [(tmp_path / each / "frames" / "0000000000.log").read_bytes() for each in "ab"]
    assert whole.startswith(ours[: done.log_bytes])


def test_a_sync_that_breaks_on_a_noisy_line_goes_on_where_it_was(filled, noisy, tmp_path):
    down, up = noisy(0.003, 5)
    path = tmp_path / "a"
    with quipu.connect(filled.port, timeout=30) as board:
        reached = []

        def pull_out(done, total):
            reached.append(done)
            if len(reached) == 2:
                raise PortError("the cable was pulled")

        with pytest.raises(PortError, match="cable"):
            board.sync(path, progress=pull_out)
        kept = Archive(path).scan().chain.seq
        assert kept > 10
        done = board.sync(path)
        assert done.frames + kept + 1 >= done.seq + 1 and done.frames < done.seq
    noisy(0)
    with quipu.connect(filled.port) as board:
        assert quipu.verify(path, board=board).verdict == "match"


@quick.nightly
def test_pieces_follow_the_line(filled, noisy, tmp_path):
    """Whole sectors at once on a clean line, small pieces under noise, larger ones again after
    it."""
    noisy(0)
    with quipu.connect(filled.port) as board:
        board.sync(tmp_path / "a")
        pieces = board.link.pieces
        assert pieces.size == 4096
        port = board.link._port
        board.link._port = Wire(port, up=Noise(3, 0.01))
        smallest = []
        board.sync(tmp_path / "b", progress=lambda done, total: smallest.append(pieces.size))
        assert min(smallest) == 64 and max(smallest) <= 512
        board.link._port = port
        before = pieces.size
        board.sync(tmp_path / "c")
        assert pieces.size > before
