"""Wall times that clocks got wrong: refused where they are made, tolerated where they are read; and
every time that is told holds, give or take what is told with it."""

import datetime
import json
import random
import time

import pytest
import quipu
from quipu import times
from quipu.board.verbs import Verbs
from quipu.cli import main as cli
from quipu.errors import Invalid, UsageError
from quipu.past.moment import DRIFT, parse

from shared_kernel import frames
from shared_kernel.errors import LogFull
from shared_kernel.frames import CLOCK, clock
from shared_kernel.kernel import PUT
from shared_kernel.store import Store
from tests.host.past import START, Log
from tests.host.sample import CONFIG, RamFlash, give, pulled

HOUR = 3_600_000  # ms
REBASE = (1 << 29) - 1  # ms after which a board begins its ticks anew
WORLDS = 40  # random ones
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
        assert memory.moment().unix_ms == START and memory.moment(first).unix_ms == START - 110


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


# -- clocks that were set back ---------------------------------------------------------------------


@pytest.fixture
def back(tmp_path):
    """An hour by one clock, which was an hour ahead; then half an hour by the right one."""
    log = Log()
    log.clock(START + HOUR, 5, 1000)  # 1
    log.put("m", "one", 1_000)  # 2
    log.put("m", "two", 60_000)  # 3
    log.put("m", "three", HOUR)  # 4
    log.clock(START + HOUR, 5, HOUR + 1_000)  # 5: set back by an hour and a second
    log.put("m", "four", 10_000)  # 6
    log.put("m", "five", HOUR // 2)  # 7
    return log.archive(tmp_path / "a", START)


@pytest.mark.parametrize(
    "after, seq, others",
    (
        (0, 5, (1,)),
        (1_000, 5, (2,)),
        (59_999, 6, (2,)),
        (60_000, 6, (3,)),
        (HOUR // 2, 7, (3,)),
        (HOUR // 2 + 1, 3, ()),
        (HOUR, 4, ()),
        (HOUR + 1_000, 5, ()),
    ),
)
def test_case_02_a_time_that_came_twice_is_answered_by_the_newest_and_says_so(
    back, after, seq, others
):
    with quipu.open(back) as memory:
        found = memory.timeline.find(START + HOUR + after)
        assert (found.seq, found.others) == (seq, others)


def test_case_02_after_all_that_is_known_is_after_the_end(back):
    with quipu.open(back) as memory, pytest.raises(UsageError, match="after the archive's end"):
        memory.timeline.find(START + 2 * HOUR + 1_100)


def test_case_02_a_person_reads_that_the_clock_was_set_back(back, capsys):
    at = datetime.datetime.fromtimestamp((START + HOUR + 60_000) / 1000, datetime.timezone.utc)
    arguments = ["get", str(back), "m", "--at", at.isoformat()]
    assert cli.main(arguments) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("four at seq 6,") and told.endswith(
        "a clock was set back, so the time asked for was there before too: seq 3"
    )
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["moment"]["others"] == [3]


# -- every time that is told, against the true one -------------------------------------------------


class World:
    """A board and laptops in true time. wrong: what a laptop whose clock is wrong says; often: how
    often that is, 0 to 1; true: ms of true time of each frame, by its seq."""

    def __init__(self, rng, wrong, often):
        self.rng, self.log = rng, Log()
        self.now = float(START)
        self.rate = 1 + rng.uniform(-1, 1) / (DRIFT + 1)  # of the board's ticks
        self.zero = self.now
        self.true = {0: self.now}
        for i in range(rng.randrange(5, 60)):
            self.wait(
                rng.choice((0, 1, 40, 3_000, 90_000, 7_200_000, 3_000_000_000)) * rng.random()
            )
            act = rng.random()
            if act < 0.6:
                seq = self.log.put("k", str(i), self.tick())
            elif act < 0.75:
                self.now += rng.randrange(100_000)
                seq = self.log.boot()
                self.zero = self.now
            else:
                trip = rng.randrange(200)
                said = int(self.now) - rng.randrange(trip + 1)
                if rng.random() < often:
                    said = rng.choice(wrong)
                tick, self.zero = self.tick(), self.now
                seq = self.log.clock(said, trip + 2, tick)  # as a sync does
            self.true[seq] = self.now

    def wait(self, ms):
        """Be quiet, and poll now and then: as Store.keep_time does it."""
        until = self.now + ms
        while (until - self.zero) * self.rate > REBASE + 90_000:
            self.now = self.zero + (REBASE + self.rng.randrange(90_000)) / self.rate
            tick, self.zero = self.tick(), self.now
            self.true[self.log.clock(0, 0, tick)] = self.now
        self.now = until

    def tick(self):
        return int((self.now - self.zero) * self.rate)


# -- frames of a group -----------------------------------------------------------------------------


def test_a_group_has_the_time_of_its_call(tmp_path):
    """Two bits of a tick say where a frame stands in its group: they are no part of the time."""
    now = Ticks()
    store = Store(RamFlash(), now)
    store.configure(CONFIG, bytes(range(16)), "sample/0102", 0)
    store.log_only(CLOCK, frames.clock(START, 20))
    now.ms += 1000
    seqs = store.execute([(PUT, frames.put(b"door", b"%d" % i), None) for i in range(3)])
    now.ms += 500  # and a clock frame amid a group
    store.base -= REBASE
    seqs += store.execute([(PUT, frames.put(b"door", b"%d" % i), None) for i in range(2)])
    pulled(store, tmp_path / "a")
    with quipu.open(tmp_path / "a") as memory:
        told = [memory.moment(seq).unix_ms - START for seq in seqs]
        assert told[:3] == [1000] * 3 and abs(told[3] - 1500 - REBASE) <= 1 and told[3] == told[4]
        versions = memory.history("door").versions
        assert [memory.timeline.when(each.seq, each.tick).unix_ms - START for each in versions][
            :2
        ] == told[:2:-1]
        assert all(each.tick < 1 << 30 for each in versions)


# -- ticks that go round ---------------------------------------------------------------------------


class Ticks:
    """A board's clock as MicroPython counts it."""

    ms = 5000

    def __call__(self):
        return self.ms & (1 << 30) - 1


def quiet(days, path, polls=0, clock=False):
    """Return (what is told of a put after so many quiet days, its true time): a board that polls so
    often a day; clock: and whose laptop came once more."""
    now = Ticks()
    store = Store(RamFlash(), now)
    store.configure(CONFIG, bytes(range(16)), "sample/0102", 0)
    store.log_only(CLOCK, frames.clock(START, 20))
    now.ms += 1000
    give(store, PUT, frames.put("door", b"shut"))
    for _ in range(int(days * polls)):
        now.ms += 86_400_000 // polls
        store.keep_time()
    if not polls:
        now.ms += int(days * 86_400_000)
    true = START + now.ms - 5000
    seq = give(store, PUT, frames.put("door", b"open"))
    if clock:
        now.ms += 60_000
        store.log_only(CLOCK, frames.clock(START + now.ms - 5000, 20))
    pulled(store, path)
    with quipu.open(path) as memory:
        return memory.moment(seq), true


@pytest.mark.parametrize("days", (1, 6, 7, 12, 13, 25, 30, 100))
@pytest.mark.parametrize("polls", (1, 24))
def test_case_03_a_board_that_polls_is_told_to_the_second(days, polls, tmp_path):
    found, true = quiet(days, tmp_path / "a", polls)
    assert abs(found.unix_ms - true) <= 100 and found.uncertainty_ms >= days * 86_400


@pytest.mark.parametrize("days", (1, 12, 13, 25, 30, 100))
def test_case_03_one_that_does_not_is_uncertain_once_a_laptop_says_so(days, tmp_path):
    found, true = quiet(days, tmp_path / "a", clock=True)
    assert abs(found.unix_ms - true) <= found.uncertainty_ms
    assert (found.uncertainty_ms > 86_400_000) == (days > 12)


def test_case_03_ticks_before_the_boots_first_frame_count_nothing():
    now = Ticks()
    flash = RamFlash()
    Store(flash, now).configure(CONFIG, bytes(range(16)), "sample/0102", 0)
    store = Store(flash, now)
    for _ in range(40):
        now.ms += 86_400_000
        store.keep_time()
    assert not store.booted and store.tick() <= REBASE


def test_case_03_a_log_that_takes_nothing_stops_no_poll(monkeypatch):
    now = Ticks()
    store = Store(RamFlash(), now)
    store.configure(CONFIG, bytes(range(16)), "sample/0102", 0)

    def full(*_):
        raise LogFull("full")

    monkeypatch.setattr(store, "log_only", full)
    now.ms += 7 * 86_400_000
    store.keep_time()


@pytest.mark.parametrize("seed", range(WORLDS))
def test_every_time_that_is_told_holds_within_what_is_told_with_it(seed, tmp_path):
    """Clocks that are right, or so wrong that they are not believed: each is within a round trip."""
    world = World(random.Random(seed), (*STRANGE, 0), 0.2)
    with quipu.open(world.log.archive(tmp_path / "a")) as memory:
        for seq, true in world.true.items():
            found = memory.moment(seq)
            if found.unix_ms is not None:
                off = abs(found.unix_ms - true)
                assert off <= found.uncertainty_ms, (seq, off, found)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_case_02_every_time_that_is_told_can_be_asked_for(seed, tmp_path):
    """Whatever clocks said: a time that history shows is answered, by the frame that has it."""
    world = World(random.Random(seed), (*STRANGE, 0, START - HOUR, START + HOUR), 0.5)
    with quipu.open(world.log.archive(tmp_path / "a")) as memory:
        times_of = {seq: memory.moment(seq).unix_ms for seq in world.true}
        for unix_ms in times_of.values():
            if unix_ms is not None:
                found = memory.timeline.find(unix_ms)
                assert unix_ms in {times_of[each] for each in (found.seq, *found.others)}
                assert found.seq >= max(found.others, default=0)
