"""Wall times that clocks got wrong: refused where they are made, tolerated where they are read; and
every time that is told holds, give or take what is told with it."""

import datetime
import time

import pytest
import quipu
from quipu import times
from quipu.board.verbs import Verbs
from quipu.cli import main as cli
from quipu.errors import Invalid, UsageError
from quipu.past.moment import parse

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


# -- times that a person asks for ------------------------------------------------------------------


@pytest.fixture
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text):
    return int(datetime.datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


@pytest.mark.parametrize(
    "now, text, meant",
    (
        # 2026-10-25: from 03:00 CEST back to 02:00 CET, at 01:00 UTC
        ("2026-10-25 01:45", "02:40", "2026-10-25 01:40"),
        ("2026-10-25 01:35", "02:40", "2026-10-25 00:40"),
        ("2026-10-25 00:45", "02:40", "2026-10-25 00:40"),
        ("2026-10-25 00:35", "02:40", "2026-10-24 00:40"),
        ("2026-10-25 09:00", "02:40", "2026-10-25 01:40"),
        ("2026-10-25 09:00", "02:40:30.9996", "2026-10-25 01:40:31"),
        ("2026-10-25 09:00", "2026-10-25T02:40", "2026-10-25 01:40"),
        ("2026-10-25 01:35", "2026-10-25T02:40", "2026-10-25 00:40"),
        ("2026-10-25 09:00", "2026-10-25T02:40+02:00", "2026-10-25 00:40"),
        # 2027-03-28: from 02:00 CET on to 03:00 CEST, at 01:00 UTC
        ("2027-03-28 01:45", "02:40", "2027-03-27 01:40"),
        ("2027-03-29 00:10", "02:40", "2027-03-27 01:40"),
        ("2027-03-28 01:45", "03:40", "2027-03-28 01:40"),
    ),
)
def test_case_16_a_time_of_day_is_the_last_one_there_was(now, text, meant, berlin):
    assert parse(text, utc(now)) == (utc(meant),)


@pytest.mark.parametrize("text", ("-99999999999d", "-" + "9" * 400 + "s", "-99999999999.5d"))
def test_case_16_a_time_outside_of_the_calendar_is_refused(text, tmp_path, capsys):
    with pytest.raises(UsageError, match="is no moment"):
        parse(text, START)
    folder = Log().archive(tmp_path / "a")
    assert cli.main(["state", str(folder), "--at", text]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "is no moment" in told


@pytest.mark.parametrize("text", ("9" * 5000, "9" * 20, "9999-12-31", "0001-01-01", "-700000d"))
def test_case_16_the_farthest_times_and_seqs_are_one_sentence(text, tmp_path, capsys):
    log = Log()
    log.clock(START)
    folder = log.archive(tmp_path / "a")
    assert cli.main(["state", str(folder), "--at", text]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and len(told) < 300
