"""Wall times: mapped through clock and boot frames, with their uncertainty, or refused where no
clock tells."""

import datetime

import pytest
import quipu
from quipu.archive.files import Archive
from quipu.errors import UsageError
from quipu.past.moment import DRIFT, Span, parse

from shared_kernel import frames as f
from shared_kernel import primitives
from tests.host.past import START, Log, everything, replayed

NOW = int(
    datetime.datetime(2026, 11, 21, 15, 0, 0, tzinfo=datetime.timezone.utc).timestamp() * 1000
)


@pytest.mark.parametrize(
    "text, ms",
    (
        ("2026-11-21T14:02:30Z", NOW - 3450_000),
        ("2026-11-21T14:02:30+00:00", NOW - 3450_000),
        ("2026-11-21T16:02:30.250+02:00", NOW - 3449_750),
        ("-5m", NOW - 300_000),
        ("-30s", NOW - 30_000),
        ("-2h", NOW - 7_200_000),
        ("-1d", NOW - 86_400_000),
        ("-0.5s", NOW - 500),
        ("14:02Z", NOW - 3480_000),
        ("15:01Z", NOW + 60_000 - 86_400_000),
    ),
)
def test_times_are_read(text, ms):
    assert parse(text, NOW) == (ms,)


def test_a_time_without_a_zone_is_the_laptops():
    at = datetime.datetime(2026, 1, 2, 3, 4)
    assert parse("2026-01-02T03:04") == (int(at.timestamp() * 1000),)


def test_a_number_is_a_seq():
    assert parse("0") == 0 and parse(" 1234 ") == 1234


@pytest.mark.parametrize(
    "text", ("", "yesterday", "-5", "5m", "25:00", "2026-13-01", "-5y", "1.5", "\u0663")
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(UsageError, match="is no moment: expected a seq"):
        parse(text, NOW)


def test_uncertainty_grows_with_the_ticks_from_the_clock():
    span = Span(1, 9, START, 20, 0)
    assert span.at(0) == (START, 20)
    assert span.at(60_000) == (START + 60_000, 20 + 60_000 // DRIFT)
    assert Span(1, 9, START, 20, 50_000).at(0) == (START, 20 + 50_000 // DRIFT)
    assert Span(1, 9, None, 0, 0).at(5) == (None, None)


@pytest.fixture
def clocked(tmp_path):
    """Boot 0: a at 10, clock at 1000, b at 500 after it; boot 1 without a clock: c; boot 2: d at
    100, clock at 2000, e."""
    log = Log()
    log.put("k", "a", 10)  # 1: START - 990
    log.clock(START, 5, 1000)  # 2
    log.put("k", "b", 500)  # 3: START + 500
    log.boot()  # 4: unknown
    log.put("k", "c", 100)  # 5: unknown
    log.boot()  # 6: START + 98_000
    log.put("k", "d", 100)  # 7: START + 98_100
    log.clock(START + 100_000, 7, 2000)  # 8
    log.put("k", "e", 50)  # 9: START + 100_050
    return quipu.open(log.archive(tmp_path / "a", START + 200_000))


def test_each_frame_has_the_time_that_its_clock_gives(clocked):
    times = [clocked.moment(seq).unix_ms for seq in range(10)]
    assert times == [
        START - 1000,
        START - 990,
        START,
        START + 500,
        None,
        None,
        START + 98_000,
        START + 98_100,
        START + 100_000,
        START + 100_050,
    ]
    assert (
        clocked.moment(3).uncertainty_ms == 6  # half a ms of drift, rounded up
        and clocked.moment(7).uncertainty_ms == 7 + 2  # 1.9 ms of drift, rounded up
    )


@pytest.mark.parametrize(
    "offset, seq",
    (
        (-1000, 0),
        (-991, 0),
        (-990, 1),
        (-1, 1),
        (0, 2),
        (499, 2),
        (500, 3),
        (505, 3),
        (98_000, 6),
        (98_099, 6),
        (98_100, 7),
        (99_999, 7),
        (100_000, 8),
        (100_049, 8),
        (100_050, 9),
        (200_000, 9),
    ),
)
def test_a_time_is_the_last_frame_at_or_before_it(clocked, offset, seq):
    """To the millisecond: at the exact moment of a write, the write is there."""
    assert clocked.timeline.find(START + offset).seq == seq
    text = datetime.datetime.fromtimestamp(
        (START + offset) / 1000, datetime.timezone.utc
    ).isoformat()
    assert clocked.moment(text).seq == seq
    assert everything(clocked.state(text)) == everything(replayed(clocked.path, seq))


@pytest.mark.parametrize(
    "offset, says",
    (
        (-1001, "before the archive begins: its first known time is"),
        (507, "gap between clocks"),
        (50_000, "give a seq, 3 to 5"),
        (97_999, "gap between clocks"),
        (200_010, "after the archive's end"),
    ),
)
def test_a_time_that_no_clock_tells_is_refused(clocked, offset, says):
    with pytest.raises(UsageError, match=says):
        clocked.timeline.find(START + offset)


def test_without_any_clock_a_time_is_refused(tmp_path):
    log = Log()
    log.put("k", "v")
    with pytest.raises(UsageError, match="no wall times"):
        quipu.open(log.archive(tmp_path / "a")).moment("-5m")


def test_a_clock_frame_of_unknown_time_only_moves_the_ticks_beginning(tmp_path):
    log = Log()
    log.clock(START, 5, 1000)
    log.put("k", "a", 400)
    log.clock(0, 0, 600)
    seq = log.put("k", "b", 50)
    assert quipu.open(log.archive(tmp_path / "a")).moment(seq)[1:3] == (START + 650, 7)


def test_many_frames_in_one_span_are_found_by_their_ticks(tmp_path):
    log = Log()
    log.clock(START, 5, 1000)
    for i in range(1200):
        log.put("k", str(i), 7 * i)
    memory = quipu.open(log.archive(tmp_path / "a"))
    for i in (0, 1, 253, 254, 255, 256, 257, 700, 1198):
        assert memory.timeline.find(START + 7 * i).seq == i + 2
        assert memory.timeline.find(START + 7 * i + 6).seq == i + 2


def test_a_time_is_found_before_a_gap(tmp_path):
    """The last frame before a gap ends what the clock before it tells."""
    log = Log()
    log.clock(START)
    for i in range(20):
        log.put("a", str(i), 1000 * (i + 1))
    heads = [f.NO_HEAD]
    for each in log.frames:
        heads.append(primitives.hash(heads[-1] + each))
    made = Archive.create(tmp_path / "a", log.name, log.identity)
    made.append(b"".join(log.frames[:10]))
    made.add_segment(15, heads[15])
    made.append(b"".join(log.frames[15:]))
    made.flush()
    made.close()
    with quipu.open(made.path) as memory:
        assert memory.timeline.find(START + 5_500).seq == 6
        assert [(each.first, each.last) for each in memory.timeline.spans] == [
            (0, 1),
            (2, 9),
            (15, 21),
        ]
        with pytest.raises(UsageError, match="gap between clocks"):
            memory.timeline.find(START + 15_000)
