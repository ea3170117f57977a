"""A watch says every change once, in order, whatever becomes of the link; a board that comes back
older or other is named."""

import itertools
import json
import random
import shutil
import signal
import subprocess

import pytest
import quipu
from quipu.archive.files import Archive
from quipu.board import watch
from quipu.board.watch import Watch, fits, is_change
from quipu.errors import OtherLog, PortError, RolledBack, UsageError
from quipu.past import query

from shared_kernel import frames
from shared_kernel.kernel import u32
from tests.host.test_cli import COMMAND, environment, error
from tests.host.unix_board import UnixBoard, Wire

CONFIG = (2, 40, 8, 8, 8, 8, 8)


@pytest.fixture(autouse=True)
def quick(impatient, monkeypatch):
    monkeypatch.setattr(watch, "POLL_S", 0.01)
    monkeypatch.setattr(watch, "RETRY_S", 0.01)


def begun(path, **more):
    with UnixBoard(path) as unix, quipu.connect(unix.port) as board:
        board.configure(CONFIG, **more)


def take(watching, count):
    """Return the next `count` frames, and the events between them."""
    found, events = [], []
    for each in watching:
        (events if "event" in each else found).append(each)
        if len(found) == count:
            return found, events
    raise AssertionError("the watch ended")


class Breaks:
    """Opens the port of a board; each link breaks after some bytes, by a cable pulled or by a power
    cut."""

    def __init__(self, unix, rng):
        self.unix, self.rng, self.cuts = unix, rng, 0

    def __call__(self, port):
        if self.unix.process is None:
            self.unix.__enter__()
        try:
            board = quipu.connect(self.unix.port, timeout=5)
        except quipu.errors.LinkError as error:
            raise PortError(str(error)) from None
        left = self.rng.randrange(200, 9000)

        def up(data):
            nonlocal left
            left -= len(data)
            if left < 0:
                self.cuts += 1
                if self.rng.random() < 0.5:
                    self.unix.kill()
                raise OSError("the cable was pulled")
            return data

        Wire.of(board, up=up)
        return board


def test_every_change_comes_once_over_pulled_cables_and_power_cuts(tmp_path):
    begun(tmp_path / "flash")
    unix = UnixBoard(tmp_path / "flash", "app")
    breaks = Breaks(unix, random.Random(5))
    try:
        watching = Watch("the port", first=0, open=breaks)
        found, events = take(watching, 300)
        watching.close()
        while breaks.cuts < 8:
            watching = Watch("the port", first=found[-1]["seq"] + 1, open=breaks)
            more, others = take(watching, 100)
            found, events = found + more, events + others
            watching.close()
        if unix.process is None:
            unix.__enter__()
        with quipu.connect(unix.port) as board:
            board.sync(tmp_path / "a")
    finally:
        unix.kill()
    assert [each["seq"] for each in found] == list(range(len(found)))
    log = [bytes(each) for each in Archive(tmp_path / "a").frames()]
    assert [each["bytes"] for each in found] == [len(each) for each in log[: len(found)]]
    ticks = [u32(each, 8) & (1 << 30) - 1 for each in log[: len(found)]]
    assert [each["tick"] for each in found] == ticks
    assert {each["event"] for each in events} == {"lost", "back"} and breaks.cuts >= 8
    assert sum(each["type"] == "boot" for each in found) > 1


def test_it_begins_with_what_comes_now_and_tells_changes_from_other_frames(tmp_path):
    begun(tmp_path / "flash")
    with UnixBoard(tmp_path / "flash") as unix:
        with quipu.connect(unix.port) as board:
            board.put("a", b"old")
        watching = Watch(unix.port)
        board = watching.board
        board.checkpoint()
        board.put("a", b"new")
        board.put("a", b"new")
        record = board.insert([1, 2], 7, b"m")
        board.delete(record)
        found, _ = take(watching, 5)
        watching.close()
        with pytest.raises(UsageError, match="there is no frame 99"):
            Watch(unix.port, first=99)
    assert [each["type"] for each in found] == ["checkpoint", "put", "put", "insert", "delete"]
    assert [is_change(each) for each in found] == [False, True, True, True, True]
    for text, hits in (
        ('type = "put"', [1, 2]),
        ('name prefix "a" and value = "new"', [1]),
        ("tag = 7", [3]),
        ("id exists", [4]),
        ('not type prefix "p" and seq > 0', [0, 3, 4]),
    ):
        test = query.parse(text, "changes", 0)
        assert [n for n, each in enumerate(found) if fits(test, each)] == hits, text


def interrupted(tmp_path, while_away, **more):
    """Watch a board, pull the cable, do something to its flash, and go on watching; return the
    generator after the break."""
    begun(tmp_path / "flash", **more)
    with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
        board.put("a", b"0")
    shutil.copy(tmp_path / "flash", tmp_path / "old")
    ports = []
    unix = UnixBoard(tmp_path / "flash")
    with unix:
        ports.append(unix.port)
        watching = Watch("the port", open=lambda _: quipu.connect(ports[-1]))
        for n in range(3):
            watching.board.put("a", b"%d" % n)
        assert len(take(watching, 3)[0]) == 3
    while_away()
    with UnixBoard(tmp_path / "flash") as unix:
        ports.append(unix.port)
        try:
            yield from watching
        finally:
            watching.close()


def test_a_board_with_an_older_log_is_named(tmp_path):
    it = interrupted(tmp_path, lambda: shutil.copy(tmp_path / "old", tmp_path / "flash"))
    assert next(it)["event"] == "lost"
    with pytest.raises(RolledBack, match="its log ends at seq"):
        list(itertools.islice(it, 1))


def test_a_board_whose_older_log_went_on_is_named(tmp_path):
    def away():
        shutil.copy(tmp_path / "old", tmp_path / "flash")
        with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
            for n in range(20):
                board.put("a", b"other%d" % (n % 2))

    it = interrupted(tmp_path, away)
    assert next(it)["event"] == "lost"
    with pytest.raises(RolledBack, match="is not the one that was seen"):
        list(itertools.islice(it, 1))


def test_another_log_is_named(tmp_path):
    def away():
        (tmp_path / "flash").unlink()
        begun(tmp_path / "flash")

    it = interrupted(tmp_path, away)
    assert next(it)["event"] == "lost"
    with pytest.raises(OtherLog, match="came back with log"):
        list(itertools.islice(it, 1))


def test_frames_that_left_the_board_unseen_are_a_gap(tmp_path):
    def away():
        with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
            while board.info()["first_seq"] < 20:
                for n in range(200):
                    board.put("a", b"%d" % n)

    it = interrupted(tmp_path, away, policy=frames.OVERWRITE)
    events = list(itertools.takewhile(lambda each: "event" in each, it))
    first = next(it)
    it.close()
    assert [each["event"] for each in events[:3]] == ["lost", "back", "gap"]
    gaps = events[2:]  # its first boot frame may make the board recycle once more
    assert gaps[0]["first"] == events[0]["seq"] + 1 and gaps[-1]["last"] >= 19
    assert (
        all(after["first"] == before["last"] + 1 for before, after in itertools.pairwise(gaps))
        and len(gaps) <= 2
    )
    assert first["seq"] == gaps[-1]["last"] + 2


def test_the_command_prints_json_lines_until_it_is_interrupted(tmp_path):
    begun(tmp_path / "flash")
    with UnixBoard(tmp_path / "flash", "app") as unix:
        process = subprocess.Popen(
            [*COMMAND, "watch", unix.port, 'type = "put"', "--from", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        lines = [json.loads(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=20)
    assert process.returncode == 0 and complaint == ""
    values = [int(each["value"]) for each in lines]
    assert values == list(range(values[0], values[0] + 20)) and {
        each["type"] for each in lines
    } == {"put"}


def test_a_filter_that_does_not_parse_is_pointed_at():
    assert "character 6 on" in error("watch", "/dev/none", "type ~ 1", code=2)[1]
    assert "no field 'colour'" in error("watch", "/dev/none", "colour = 1", code=2)[1]
