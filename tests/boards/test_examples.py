"""The applications of firmware/examples run on an emulated board, on real recordings and on made-up
ones, until the laptop has synced and verified what they wrote."""

import json
import struct
import sys
import time

import pytest
import quipu
from quipu.build import images
from quipu.build.emulator import Emulator

from tests.boards.conftest import BOARD, place

sys.path.append(str(images.checkout_root() / "host" / "demo"))
from motions import read  # noqa: E402

EXAMPLES = images.checkout_root() / "firmware" / "examples"
SOURCES = {f"/{path.name}": path.read_text() for path in EXAMPLES.glob("*.py")}
PER_ACTIVITY = 2  # examples, and as many windows to name
WAIT_S = 60

# A sensor that replays a file of i32, six a sample; a watchdog that bites; and what both runs have
# in common.
RECORDED = """
import struct, time
class Recorded:
    def __init__(self):
        self.file = open("/samples.bin", "rb")
    def read(self):
        return struct.unpack("<6i", self.file.read(24))
class Watchdog:
    fed, longest = time.ticks_ms(), 0
    def feed(self):
        now = time.ticks_ms()
        self.longest = max(self.longest, time.ticks_diff(now, self.fed))
        self.fed = now
"""
TAUGHT = """
import quipu, recorded
from {module} import ImuLogger
memory = quipu.start()
logger = ImuLogger(memory, recorded.Recorded(), watchdog=recorded.Watchdog())
for tag in {tags}:
    while not logger.sample():
        pass
    logger.learn(tag)
{run}
memory.put("fed", b"%d" % logger.watchdog.longest)
memory.put("done", b"yes")
quipu.serve()
"""
RUN = "logger.run(period_ms=0, windows={windows})"
RUN_ASYNC = """
import asyncio
from imu_logger_async import answer, record
async def both():
    answering = asyncio.create_task(answer(logger))
    await record(logger, 0, 1, {windows})
    answering.cancel()
asyncio.run(both())
"""


def started(tmp_path, files):
    """A board that runs /main.py of these files from its start on, its log blank until then."""
    emulator = Emulator(BOARD, tmp_path / "flash.bin")
    with emulator:
        place(emulator, files | {"/main.py": "import quipu\n"})
    with emulator:
        place(emulator, {"/main.py": files["/main.py"]})
    return emulator


def wait_for(board, key, satisfied=bool):
    """Ask for a key until it is there and satisfies; return its value."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        try:
            value = board.get(key)
        except quipu.errors.NotFound:
            continue
        if satisfied(value):
            return value
    raise AssertionError(f"{key} was not as expected after {WAIT_S} s")


def proved(board, archive):
    board.sync(archive)
    verdict = quipu.verify(archive, board)
    assert verdict.verdict == "match" and verdict.frames > 5
    return quipu.open_archive(archive)


def expected_features(series):
    """The features by their definition, apart from the board's code."""
    out = [
        each
        for c in series.channels
        for each in (sum(c) // len(c), sum(abs(x - sum(c) // len(c)) for x in c) // len(c))
    ]
    return out + [
        sum(abs(b - a) for a, b in zip(c, c[1:])) // (len(c) - 1) for c in series.channels[:4]
    ]


def names(windows, known, far=4 << 32):
    """The tag of each window: of what is nearest among `known`, (features, tag), which grows by
    every window that is near nothing."""
    out = []
    for window in windows:
        distance, i = min(
            (sum((a - b) ** 2 for a, b in zip(window, each)), i)
            for i, (each, _) in enumerate(known)
        )
        out.append(known[i][1] if distance <= far else 0)
        if distance > far:
            known.append((window, 0))
    return out


@pytest.mark.parametrize("run", [RUN, RUN_ASYNC], ids=["loop", "asyncio"])
def test_real_motions_are_named_as_the_laptop_names_them(run, tmp_path):
    activities, training = read("TRAIN")
    _, unseen = read("TEST")
    chosen = [
        [each for each in part if each.activity == name][:PER_ACTIVITY]
        for part in (training, unseen)
        for name in activities
    ]
    taught, asked = ([each for group in chosen[i : i + 4] for each in group] for i in (0, 4))
    tags = [activities.index(each.activity) + 1 for each in taught]
    samples = b"".join(
        struct.pack("<6i", *values) for each in taught + asked for values in zip(*each.channels)
    )
    main = TAUGHT.format(module="imu_logger", tags=tags, run=run.format(windows=len(asked)))
    emulator = started(
        tmp_path, SOURCES | {"/recorded.py": RECORDED, "/samples.bin": samples, "/main.py": main}
    )
    with emulator, quipu.connect(emulator.port, timeout=30) as board:
        wait_for(board, "done")
        memory = proved(board, tmp_path / "archive")

    known = [(expected_features(each), tag) for each, tag in zip(taught, tags)]
    named = names([expected_features(each) for each in asked], known)
    assert len(set(named) - {0}) > 2, "one name for everything would be no test"
    diary = [int(each.value) for each in reversed(memory.history("activity").versions)]
    assert diary == [tag for tag, before in zip(named, [None, *named]) if tag != before]
    assert memory.state().records.live() == len(known), "what was like nothing is kept"
    assert 0 < int(memory.get("fed")) < 8000, "milliseconds between two feeds of the watchdog"


def test_a_full_log_stops_nothing_and_says_what_it_lacks(tmp_path):
    # Every window is like nothing known; the laptop stays away until the log is full.
    main = """
import quipu
from imu_logger import ImuLogger
class Wild:
    n = 0
    def read(self):
        self.n += 1
        return self.n << 16, (self.n & 7) << 18
memory = quipu.start()
logger = ImuLogger(memory, Wild(), window=2)
while not logger.missed:
    logger.run(period_ms=0, windows=1)
print("full")
while True:
    logger.run(period_ms=0, rest_ms=10, windows=1)
"""
    facts = images.board_facts(BOARD)
    facts["log"]["size"] = 88 * 1024
    emulator = started(tmp_path, SOURCES | {"/quipu.json": json.dumps(facts), "/main.py": main})
    said = bytearray()
    with emulator, quipu.connect(emulator.port, 30, said.extend) as board:
        end = time.monotonic() + WAIT_S
        while b"full" not in said and time.monotonic() < end:
            board.info()
        full = board.info()
        assert b"full" in said and full["records"] > 20
        with pytest.raises(quipu.errors.LogFull):
            board.put("x", b"1")
        assert board.info()["records"] == full["records"], (
            "recording has stopped, answering has not"
        )
        proved(board, tmp_path / "archive")
        assert int(wait_for(board, "missed")) > 0
        memory = proved(board, tmp_path / "archive")
    assert int(memory.get("missed")) > 0
    assert memory.state().records.live() > full["records"], "recording went on"


def test_a_low_battery_stops_recording_until_it_has_recovered(tmp_path):
    main = """
import quipu
from imu_logger import ImuLogger
class Still:
    n = 0
    def read(self):
        self.n += 1
        return self.n << 20, 0
volts = [3600, 3600, 3299, 3400, 3499, 3500, 3301]
logger = ImuLogger(quipu.start(), Still(), window=2, battery=lambda: volts.pop(0))
logger.run(period_ms=0, windows=7)
quipu.memory.put("done", b"yes")
quipu.serve()
"""
    emulator = started(tmp_path, SOURCES | {"/main.py": main})
    with emulator, quipu.connect(emulator.port, timeout=30) as board:
        wait_for(board, "done")
        memory = proved(board, tmp_path / "archive")
    assert memory.state().records.live() == 4, (
        "two windows before the battery was low, two after it recovered"
    )
    assert memory.get("battery_mv") == b"3299"
    assert len(memory.history("battery_mv").versions) == 1


def test_the_smallest_one_goes_on_after_a_power_cut(tmp_path):
    emulator = started(tmp_path, {"/main.py": SOURCES["/minimal.py"]})
    with emulator:
        with quipu.connect(emulator.port, timeout=30) as board:
            before = int(wait_for(board, "seconds", lambda value: int(value) >= 2))
        emulator.restart()
        with quipu.connect(emulator.port, timeout=30) as board:
            wait_for(board, "seconds", lambda value: int(value) > before)
            memory = proved(board, tmp_path / "archive")
    counts = [int(each.value) for each in memory.history("seconds").versions]
    assert counts == list(range(counts[0], 0, -1)), "no count is missing, none is there twice"
