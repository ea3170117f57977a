"""The map of a flash region: every state of a sector, as data, as letters and as a table; and
`quipu recover` as it is seen."""

import gzip
import json
import re
from pathlib import Path

import pytest
from quipu import errors
from quipu.cli import dump
from quipu.dump.image import FlashImage
from quipu.dump.locate import locate
from quipu.dump.map import STATES, survey

from shared_kernel import continuation, frames
from shared_kernel.frames import NO_HEAD
from shared_kernel.kernel import PUT
from shared_kernel.run import NONE, Run
from shared_kernel.store import Store
from tests.flashsim import FlashSim, PowerCut
from tests.host.sample import RamFlash, begin, every_type, mount, wander
from tests.host.test_cli import answer, error, quipu, screen


@pytest.fixture
def life():
    """(store, flash) of a log with a snapshot in slot a, six sectors of frames, and room."""
    flash = RamFlash()
    store = begin(flash)
    every_type(store)
    wander(store, 270)
    store.take_snapshot()
    wander(store, 250, 1)
    return store, flash


@pytest.fixture
def image(life, tmp_path):
    path = tmp_path / "dump.bin"
    path.write_bytes(life[1].memory)
    return path


def look(flash):
    return survey(FlashImage(flash.memory, flash.sector, flash.page, flash.unit))


def letters(data):
    return "".join(map(dump.letter, data["sectors"]))


def states(data):
    return [row["state"] for row in data["sectors"]]


def sectors(store):
    """The log's sectors, oldest first."""
    return [store.region.sector_of(number) for number in store.order]


def test_a_log_in_the_midst_of_its_life(life):
    store, flash = life
    data = look(flash)
    order = store.order
    assert (
        data["log"]["seq"] == store.seq
        and data["log"]["name"] == store.name.hex()
        and data["damage"] is None
    )
    assert data["geometry"] == {
        "start": 0,
        "size": 24 * 4096,
        "sector": 4096,
        "unit": 4,
        "sectors": 24,
        "slot_sectors": 2,
        "block": 1024,
    }
    rows = data["sectors"]
    for i, sector in enumerate(sectors(store)):
        first = store.region.run(order[i]).first
        last = store.region.run(order[i + 1]).first - 1 if i + 1 < len(order) else store.seq
        assert rows[sector]["runs"] == [
            {"run": order[i], "block": 0, "boot": 0, "first": first, "last": last}
        ]
        assert (rows[sector]["first"], rows[sector]["last"], rows[sector]["erases"]) == (
            first,
            last,
            2 if i else 1,
        )
    assert states(data) == (
        ["snapshot"] * 2
        + ["empty"] * 2
        + ["oldest"]
        + ["log"] * (len(order) - 2)
        + ["in use"]
        + ["free"] * (20 - len(order))
    )
    assert letters(data)[:6] == "AAbbOL"
    assert sum(data["states"].values()) == 24
    assert rows[22]["note"] == "bears the mark of a genesis"


def test_each_run_of_a_sector_is_told_with_its_block_and_boot():
    flash = RamFlash()
    every_type(begin(flash))
    for _ in range(2):
        every_type(mount(flash))
    row = look(flash)["sectors"][4]
    assert [(run["block"], run["boot"]) for run in row["runs"]] == [(0, 0), (1, 1), (2, 2)]
    assert [run["first"] for run in row["runs"][1:]] == [
        run["last"] + 1 for run in row["runs"][:-1]
    ]
    table = dump.table(look(flash)["sectors"])
    assert [str(cell) for cell in table.columns[4].cells][2:5] == ["0", "1", "2"]


def test_every_state_has_a_letter_of_its_own():
    assert set(dump.LOOKS) == set(dump.MEANING) == set(STATES)
    own = [each[0] for each in dump.LOOKS.values()]
    assert len(set(own) - {"A", "a"}) == len(STATES) - 4, (
        "a slot's states differ by letter, or else by colour and in the table"
    )


def test_an_unfinished_snapshot(life):
    store, flash = life
    store.call(store._saver)
    while store.saver.header is None:
        store.call(store._step)
    store.call(store._step)
    assert states(look(flash))[:4] == ["snapshot"] * 2 + ["unfinished", "empty"]


def test_a_rotten_snapshot_is_not_called_one(life):
    _, flash = life
    flash.memory[100] ^= 1
    assert states(look(flash))[:2] == ["unfinished"] * 2


def test_a_snapshot_that_the_log_does_not_name_is_told(life):
    """The frame that names it is cut off: the next snapshot is written over it."""
    store, flash = life
    while store.since_snapshot == 0:
        store.execute([(PUT, frames.put("k", b"v"), None)])
    store.take_snapshot()
    at = flash.memory.index(bytes((1, frames.SNAPSHOT, 8, 0)), store.address - 32)
    flash.memory[at : at + 64] = b"\xff" * 64
    assert states(look(flash))[:4] == ["snapshot"] * 2 + ["unnamed"] * 2


def test_damage_is_shown_where_it_is(life):
    store, flash = life
    sector = sectors(store)[3]
    flash.memory[sector * 4096 + 1000] ^= 1
    data = look(flash)
    assert [row["sector"] for row in data["sectors"] if row["state"] == "damaged"] == [sector]
    assert re.match(
        r"missing: seq \d+ to \d+; \d+ whole frames to which no chain head leads, seq",
        data["sectors"][sector]["note"],
    )
    assert "breaks off" in data["damage"]


def test_what_stands_behind_a_broken_end_is_damage(life):
    store, flash = life
    sector = sectors(store)[-1]
    at = store.region.frames_at(store.order[-1])
    n = flash.memory[at + 2] + 16
    flash.memory[at + store.region.pad(n) + 14] ^= 1
    row = look(flash)["sectors"][sector]
    assert row["state"] == "damaged" and re.fullmatch(
        r"\d+ whole frames to which no chain head leads, seq \d+ to \d+", row["note"]
    )


def test_an_erased_sector_amid_the_log_is_damage_by_its_neighbour(life):
    store, flash = life
    lost = sectors(store)[3]
    first, after = (store.region.run(store.order[i]).first for i in (3, 4))
    flash.memory[lost * 4096 : (lost + 1) * 4096] = b"\xff" * 4096
    data = look(flash)
    assert [row["sector"] for row in data["sectors"] if row["state"] == "damaged"] == [
        sectors(store)[2]
    ]
    assert (
        data["sectors"][sectors(store)[2]]["note"] == f"missing: seq {first} to {after - 1}"
        and states(data)[lost] == "blank"
    )


def test_a_lost_header_is_damage_too(life):
    store, flash = life
    number, sector = store.order[3], sectors(store)[3]
    first = store.region.run(number).first
    for copy in (0, 1):
        flash.memory[store.region.header_at(number) + copy * store.region.header_size + 20] ^= 1
    data = look(flash)
    assert states(data).count("damaged") == 1 and data["sectors"][sector]["first"] == first


def test_runs_of_boots_that_were_cut_are_called_given_up():
    sim = FlashSim(20, 1024, 256, 4)
    store = Store(sim, lambda: 0)
    store.configure((2, 7, 5, 6, 4, 3, 5), bytes(16), "map")
    for i in range(30):
        store.execute([(PUT, frames.put("k", b"%d" % (i % 9)), None)])
    seen = set()
    for steps in range(1, 400, 3):
        twin = sim.clone(steps)
        twin.cut_after(steps, "all")
        try:
            for i in range(3):
                store = Store(twin, lambda: 0)
                store.execute([(PUT, frames.put("k", b"%d" % (i % 9)), None)])
        except PowerCut:
            twin.power_on()
        seen |= set(states(survey(FlashImage(twin.bytes, 1024, 256, 4))))
    assert "damaged" not in seen and "foreign" not in seen and "given up" in seen


def test_free_torn_and_foreign_sectors(life):
    store, flash = life
    region = store.region
    other = Run(
        region.run(store.order[-1]).number + region.turn * 2,
        NONE,
        7,
        0,
        0,
        0,
        0,
        False,
        b"\5" * 32,
        NO_HEAD,
        [],
        0,
    )
    place = (21 - region.ring()) * region.blocks
    other.number = (other.number // region.turn + 1) * region.turn + place
    flash.memory[21 * 4096 : 22 * 4096] = b"\xff" * 4096
    at = region.header_at(other.number)
    flash.memory[at : at + 104] = other.encode()
    flash.memory[22 * 4096 : 22 * 4096 + 5] = b"hello"
    data = look(flash)
    assert states(data)[20:] == ["free", "foreign", "torn", "free"]
    assert data["sectors"][21]["note"] == "of log 0505050505050505..., from seq 7"


def test_a_region_of_another_geometry_is_named():
    flash = RamFlash(99)
    begin(flash)
    data = survey(FlashImage(flash.memory[: 24 * 4096], 4096, 256, 4))
    assert "belongs to a region of 99 sectors" in data["damage"] and data["log"] is None


def test_a_format_1_region_is_named():
    data = survey(locate(gzip.decompress((Path(__file__).parent / "format_1.bin.gz").read_bytes())))
    assert data["format"] == 1 and data["log"] is None and "a log of format 1" in data["damage"]
    assert states(data)[2] == "foreign"


def test_marks_of_a_genesis_and_of_an_erase_are_told(life):
    store, flash = life
    while store.newest_snapshot()[0] != 0 or store.proved != 0:
        store.take_snapshot()
    continuation.erase(store, store.name, store.head)
    data = look(flash)
    assert data["log"] is None and data["damage"] is None
    assert data["sectors"][2]["note"] == "bears the mark of a log that was erased on purpose"


def test_a_blank_region_is_blank():
    flash = RamFlash()
    data = look(flash)
    assert set(states(data)) == {"blank"} and data["log"] is None and data["damage"] is None


def test_a_region_that_holds_no_log_is_said_to(life):
    _, flash = life
    flash.memory[:] = bytes(len(flash.memory))
    data = look(flash)
    assert set(states(data)) == {"foreign"} and "holds something else than a log" in data["damage"]


class FakeBoard:
    """A board that reads its region from a flash, in parts of at most 700 bytes."""

    def __init__(self, flash, silent_from=None):
        self.flash, self.silent_from = flash, silent_from

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def info(self):
        return {"sector": self.flash.sector, "sectors": self.flash.sectors, "unit": self.flash.unit}

    def read_region(self, address, size):
        if self.silent_from is not None and address >= self.silent_from:
            return b""
        return bytes(self.flash.memory[address : address + min(size, 700)])


def test_the_map_of_a_live_board_is_that_of_its_flash(life, monkeypatch):
    _, flash = life
    monkeypatch.setattr("quipu.connect", lambda port: FakeBoard(flash))
    told = dump.flash_map("/dev/board")
    assert {**told, "source": None} == {**look(flash), "source": None, "exit_code": 0}


def test_a_board_that_stops_giving_its_flash_is_an_error(life, monkeypatch):
    monkeypatch.setattr("quipu.connect", lambda port: FakeBoard(life[1], 70_000))
    with pytest.raises(
        errors.FlashError, match="gives nothing of its flash region from 70,000 on, of 98,304 bytes"
    ):
        dump.flash_map("/dev/board")


# -- as a person sees it ---------------------------------------------------------------------------

MAP = """\
region    96.0 KiB: 24 sectors of 4.0 KiB, unit 4 B, blocks of 1.0 KiB
log       {log}…, of sample/0102
seq       0 to {seq}; nothing acknowledged
snapshots seq {snapshot}
erases    1 to 2 a sector

     0  AAbbOLLL U------- --------

  A       2  snapshot: whole snapshot, slot a or b
  b       2  empty: slot without snapshot
  O       1  oldest: log, its oldest sector
  L       3  log: log
  U       1  in use: log, being written
  -      15  free: erased, ready
"""


def test_the_map_as_printed(life, image):
    store, _ = life
    assert len(store.order) == 5
    printed = quipu("flash-map", image)
    snapshot = store.newest_snapshot()[1].seq
    assert printed.startswith(
        MAP.format(log=store.name.hex()[:16], seq=store.seq, snapshot=snapshot)
    )
    lines = printed.split("\n")
    assert "   9-21   0x009000        1   free" in "\n".join(lines)
    assert all(len(line) <= 80 for line in lines)
    told = answer("flash-map", image)
    assert told["source"] == str(image) and len(told["sectors"]) == 24 and told["exit_code"] == 0


def test_the_map_in_a_terminal_has_colours_and_the_same_letters(image):
    coloured = screen("flash-map", image)
    assert "\x1b[" in coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert "     0  AAbbOLLL U------- --------" in bare
    plain = screen("flash-map", image, NO_COLOR="1")
    assert re.search(r"\x1b\[[0-9;]*[34][0-7]", coloured) and not re.search(
        r"\x1b\[[0-9;]*[34][0-7]", plain
    )


def test_recover_as_printed(life, image, tmp_path):
    store, _ = life
    printed = quipu("recover", image, "--archive", tmp_path / "archive")
    assert f"holds     seq 0 to {store.seq}, proved from the genesis" in printed
    assert (
        f"archive   {tmp_path / 'archive'}: a new archive, to seq {store.seq}, {store.seq + 1} new frames"
        in printed
    )
    assert "╭─ MATCH ─" in printed and store.kernel.root().hex() in printed
    told = answer("recover", image, "--archive", tmp_path / "archive")
    assert (told["frames"], told["created"], told["verdict"]["verdict"], told["exit_code"]) == (
        0,
        False,
        "match",
        0,
    )
    assert told["geometry"] == {
        "start": 0,
        "size": 98304,
        "sector": 4096,
        "page": 256,
        "unit": 4,
        "sectors": 24,
    }
    assert (
        json.loads(quipu("verify", "--archive", tmp_path / "archive", "--json"))["seq"] == store.seq
    )


def test_recover_says_what_is_missing_and_ends_with_1(life, image, tmp_path):
    store, flash = life
    broken = bytearray(flash.memory)
    broken[sectors(store)[1] * 4096 + 1000] ^= 1
    image.write_bytes(broken)
    printed = quipu("recover", image, "--archive", tmp_path / "archive", code=1)
    assert (
        re.search(r"missing   seq \d+ to \d+\n", printed)
        and "╔" not in printed
        and "GAP" in printed
    )
    assert re.search(
        rf"left out  \d+ whole frames \(\d\.\d KiB\) of seq \d+ to \d+, sector "
        rf"{sectors(store)[1]}: no",
        printed,
    )
    assert "acknowledged frames may be" in printed
    assert "  X       1  damaged: frames or header lost" in printed
    assert quipu("flash-map", image)


def test_recover_refuses_with_a_reason_and_writes_nothing(image, tmp_path):
    target = tmp_path / "archive"
    blank, short = tmp_path / "blank.bin", tmp_path / "short.bin"
    blank.write_bytes(b"\xff" * 98304)
    short.write_bytes(image.read_bytes()[:-4096])
    for path, why in (
        (blank, "nothing was ever recorded there"),
        (short, "the image is cut short"),
    ):
        kind, message = error("recover", path, "--archive", target, code=1)
        assert kind == "FormatError" and str(path) in message and why in message
    kind, message = error("recover", image, "--archive", target, "--board", "MPS2_AN386", code=1)
    assert "262,144 bytes (its log region)" in message and "98,304" in message
    for wrong in (
        ("--board", "NO_SUCH"),
        ("--board", "MPS2_AN386", "--sector", "4k"),
        ("--sector", "four"),
        ("--unit", "3"),
    ):
        assert error("recover", image, "--archive", target, *wrong, code=2)[0] == "UsageError", (
            wrong
        )
    assert (
        error("recover", tmp_path / "absent.bin", "--archive", target, code=1)[0]
        == "FileNotFoundError"
    )
    assert not target.exists()


def test_another_log_of_the_same_board_is_refused(life, image, tmp_path):
    other = RamFlash()
    every_type(begin(other, entropy=b"another sixteen!"))
    second = tmp_path / "second.bin"
    second.write_bytes(mount(other).region.flash.memory)
    quipu("recover", image, "--archive", tmp_path / "archive")
    kind, message = error(
        "recover", second, "--archive", tmp_path / "archive", "--sector", "4k", code=1
    )
    assert kind == "OtherLog" and "recover it into another folder" in message


def test_a_quarantined_sector_is_called_so():
    sim = FlashSim(20, 1024, 256, 4)
    store = Store(sim, lambda: 0)
    store.configure((2, 7, 5, 6, 4, 3, 5), bytes(16), "map")
    sim.stuck[9] = ("raise", None)
    while not store.bad:
        store.execute([(PUT, frames.put("k", b"%d" % (store.seq % 9)), None)])
    data = survey(FlashImage(sim.bytes, 1024, 256, 4))
    assert (
        [row["sector"] for row in data["sectors"] if row["state"] == "quarantined"]
        == store.bad
        == [9]
    )
