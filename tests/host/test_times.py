"""Wall times that clocks got wrong: refused where they are made, tolerated where they are read; and
every time that is told holds, give or take what is told with it."""

import pytest
import quipu
from quipu import times
from quipu.board.verbs import Verbs
from quipu.cli import main as cli
from quipu.errors import Invalid

from shared_kernel.frames import clock
from tests.host.past import START, Log

STRANGE = (
    1,
    -86_400_000 & (1 << 64) - 1,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
    times.EARLIEST - 1,
    times.LATEST,
)


class Told(Verbs):
    """The verbs of a board that takes every change and keeps its payload."""

    def __init__(self):
        self.payloads = []

    def _change(self, kind, payload, known):
        self.payloads.append(payload)
        return len(self.payloads)


# -- where a clock frame is made -------------------------------------------------------------------


@pytest.mark.parametrize("unix_ms", (*STRANGE, -1, -86_400_000, 1 << 64, 10**30))
def test_case_01_a_time_that_cannot_be_meant_is_not_told_to_a_board(unix_ms):
    board = Told()
    with pytest.raises(Invalid, match="from 2020-01-01 to 2200-01-01. Is this computer's clock"):
        board.clock(unix_ms)
    assert not board.payloads


@pytest.mark.parametrize("uncertainty", (-1, 1 << 32))
def test_an_uncertainty_that_no_frame_holds_is_refused(uncertainty):
    with pytest.raises(Invalid, match=f"0 to 4294967295 ms, not {uncertainty}"):
        Told().clock(START, uncertainty)


@pytest.mark.parametrize("now_ms, told", ((-86_400_000, 0), (0, 0), (5_000, 0), (START, START)))
def test_case_01_a_laptop_whose_clock_is_not_set_says_unknown(now_ms, told, monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: now_ms * 1_000_000)
    board = Told()
    board.clock(uncertainty_ms=7)
    assert board.payloads == [clock(told, 7)]


def test_what_can_be_meant_is_told():
    board = Told()
    for unix_ms in (0, times.EARLIEST, START, times.LATEST - 1):
        board.clock(unix_ms)
    assert len(board.payloads) == 4


# -- where one is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("unix_ms", STRANGE)
def test_case_01_any_time_in_a_log_is_read(unix_ms, tmp_path, capsys):
    log = Log()
    first = log.put("mode", "one")
    log.clock(unix_ms)
    log.put("mode", "two")
    folder = log.archive(tmp_path / "a")
    for verb in ("history", "get", "explain", "log"):
        asked = [str(folder)] if verb != "log" else ["--archive", str(folder)]
        asked += ["key:mode"] if verb == "explain" else ["mode"] if verb != "log" else []
        assert cli.main([verb, *asked]) == 0, verb
        assert "Traceback" not in "".join(capsys.readouterr())
    with quipu.open(folder) as memory:
        assert memory.moment(first).unix_ms is None and memory.moment().unix_ms is None
    log.clock(START, 5, 100)  # the next laptop's is set: that one is believed, also backwards
    with quipu.open(log.archive(tmp_path / "b")) as memory:
        assert memory.moment().unix_ms == START and memory.moment(first).uncertainty_ms == 5


def test_an_index_of_an_older_version_holds_such_a_time(tmp_path):
    log = Log()
    log.clock(START)
    with quipu.open(log.archive(tmp_path / "a")) as memory:
        memory.index.db.execute("UPDATE anchors SET unix_ms = 5000")
    with quipu.open(tmp_path / "a") as memory:
        assert memory.moment().unix_ms is None
