"""The map of a flash region: every state of a sector, as data, as letters and as a table; and `quipu recover` as it is seen."""

import json
import re

import pytest
from quipu import errors
from quipu.cli import dump
from quipu.dump.image import FlashImage
from quipu.dump.map import STATES, survey

from shared_kernel import frames
from shared_kernel.kernel import PUT
from shared_kernel.region import Open, Region
from shared_kernel.store import Store
from tests.flashsim import FlashSim
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


def test_a_log_in_the_midst_of_its_life(life):
    store, flash = life
    data = look(flash)
    order = store.order
    assert data["log"]["seq"] == store.seq and data["log"]["name"] == store.name.hex() and data["damage"] is None
    assert data["geometry"] == {"start": 0, "size": 24 * 4096, "sector": 4096, "unit": 4, "sectors": 24, "slot_sectors": 2}
    rows = data["sectors"]
    for i, sector in enumerate(order):
        assert rows[sector]["first"] == store.region.opened(sector).first and rows[sector]["erases"] == 1
        assert rows[sector]["last"] == (store.region.opened(order[i + 1]).first - 1 if i + 1 < len(order) else store.seq)
        assert rows[sector]["epoch"] == store.region.opened(sector).epoch
    assert states(data) == (["snapshot"] * 2 + ["empty"] * 2 + ["oldest"] + ["log"] * (len(order) - 2) + ["in use"]
                            + ["blank"] * (20 - len(order)))
    assert letters(data)[:6] == "AAbbOL"
    assert sum(data["states"].values()) == 24


def test_every_state_has_a_letter_of_its_own():
    assert set(dump.LOOKS) == set(dump.MEANING) == set(STATES)
    own = [each[0] for each in dump.LOOKS.values()]
    assert len(set(own) - {"A", "a"}) == len(STATES) - 3, "an unfinished slot and an empty one differ by colour and in the table"


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


def test_damage_is_shown_where_it_is(life):
    store, flash = life
    sector = store.order[3]
    flash.memory[sector * 4096 + 1000] ^= 1
    data = look(flash)
    assert [row["sector"] for row in data["sectors"] if row["state"] == "damaged"] == [sector]
    assert re.match(r"missing: seq \d+ to \d+; \d+ whole frames to which no chain head leads", data["sectors"][sector]["note"])
    assert "breaks off" in data["damage"]


def test_an_erased_sector_amid_the_log_is_damage_and_its_neighbours_are_not(life):
    store, flash = life
    lost = store.order[2]
    first, after = (store.region.opened(store.order[i]).first for i in (2, 3))
    flash.memory[lost * 4096 : (lost + 1) * 4096] = b"\xff" * 4096
    data = look(flash)
    assert [row["sector"] for row in data["sectors"] if row["state"] == "damaged"] == [lost]
    assert data["sectors"][lost]["note"] == f"it held some of seq {first} to {after - 1}"
    assert data["sectors"][store.order[1]]["last"] == first - 1


def test_a_lost_header_is_damage_too(life):
    store, flash = life
    sector = store.order[3]
    flash.memory[sector * 4096 + 20] ^= 1
    data = look(flash)
    assert states(data).count("damaged") == 1 and data["sectors"][sector]["first"] == store.region.opened(store.order[2]).first + 132


def test_free_and_foreign_sectors(life):
    store, flash = life
    region = Region(flash)
    region.slot_sectors = store.region.slot_sectors
    region.erase(20)
    region.erase(21)
    region.open(21, Open(1, 7, 0, 0, 0, b"\5" * 32, bytes(32)))
    flash.memory[22 * 4096 : 22 * 4096 + 5] = b"hello"
    flash.memory[23 * 4096 : 23 * 4096 + 16] = other_region()
    data = look(flash)
    assert states(data)[20:] == ["free", "foreign", "foreign", "foreign"]
    assert data["sectors"][21]["note"] == "of log 0505050505050505..., from seq 7"
    assert "belongs to a region of 99 sectors" in data["sectors"][23]["note"]


def other_region():
    flash = RamFlash(99)
    region = Region(flash)
    region.slot_sectors = 2
    region.erase(0)
    return flash.memory[:16]


def test_a_blank_region_is_blank():
    flash = RamFlash()
    data = look(flash)
    assert set(states(data)) == {"blank"} and data["log"] is None and data["damage"] is None


def test_a_region_that_holds_no_log_is_said_to(life):
    _, flash = life
    flash.memory[:] = bytes(len(flash.memory))
    data = look(flash)
    assert set(states(data)) == {"foreign"} and "no log that can be read" in data["damage"]


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
    told = dump.flash_map("/dev/board", None, None, None, None, None, None)
    assert {**told, "source": None} == {**look(flash), "source": None, "exit_code": 0}


def test_a_board_that_stops_giving_its_flash_is_an_error(life, monkeypatch):
    monkeypatch.setattr("quipu.connect", lambda port: FakeBoard(life[1], 70_000))
    with pytest.raises(errors.FlashError, match="gives nothing of its flash region from 70,000 on, of 98,304 bytes"):
        dump.flash_map("/dev/board", None, None, None, None, None, None)


# -- as a person sees it --------------------------------------------------------------------------------------------------

MAP = """\
region    96.0 KiB: 24 sectors of 4.0 KiB, unit 4 B
log       {log}…, of sample/0102
seq       0 to {seq}; nothing acknowledged
snapshots seq {snapshot}
erases    1 to 1 a sector

     0  AAbbOLLL U....... ........

  A       2  snapshot: whole snapshot, slot a or b
  b       2  empty: slot without snapshot
  O       1  oldest: log, its oldest sector
  L       3  log: log
  U       1  in use: log, being written
  .      15  blank: never used
"""


def test_the_map_as_printed(life, image):
    store, _ = life
    assert len(store.order) == 5
    printed = quipu("flash-map", image)
    snapshot = store.newest_snapshot()[1].seq
    assert printed.startswith(MAP.format(log=store.name.hex()[:16], seq=store.seq, snapshot=snapshot))
    lines = printed.split("\n")
    assert "   9-23   0x009000        -   blank" in "\n".join(lines)
    assert all(len(line) <= 80 for line in lines)
    told = answer("flash-map", image)
    assert told["source"] == str(image) and len(told["sectors"]) == 24 and told["exit_code"] == 0


def test_the_map_in_a_terminal_has_colours_and_the_same_letters(image):
    coloured = screen("flash-map", image)
    assert "\x1b[" in coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert "     0  AAbbOLLL U....... ........" in bare
    plain = screen("flash-map", image, NO_COLOR="1")
    assert re.search(r"\x1b\[[0-9;]*[34][0-7]", coloured) and not re.search(r"\x1b\[[0-9;]*[34][0-7]", plain)


def test_recover_as_printed(life, image, tmp_path):
    store, _ = life
    printed = quipu("recover", image, "--archive", tmp_path / "archive")
    assert f"holds     seq 0 to {store.seq}, proved from the genesis" in printed
    assert f"archive   {tmp_path / 'archive'}, new, to seq {store.seq}: {store.seq + 1} new frames" in printed
    assert "╭─ MATCH ─" in printed and store.kernel.root().hex() in printed
    told = answer("recover", image, "--archive", tmp_path / "archive")
    assert (told["frames"], told["created"], told["verdict"]["verdict"], told["exit_code"]) == (0, False, "match", 0)
    assert told["geometry"] == {"start": 0, "size": 98304, "sector": 4096, "page": 256, "unit": 4, "sectors": 24}
    assert json.loads(quipu("verify", "--archive", tmp_path / "archive", "--json"))["seq"] == store.seq


def test_recover_says_what_is_missing_and_ends_with_1(life, image, tmp_path):
    store, flash = life
    broken = bytearray(flash.memory)
    broken[store.order[1] * 4096 + 1000] ^= 1
    image.write_bytes(broken)
    printed = quipu("recover", image, "--archive", tmp_path / "archive", code=1)
    assert re.search(r"missing   seq \d+ to \d+\n", printed) and "╔" not in printed and "GAP" in printed
    assert re.search(rf"left out  \d+ frames in sector {store.order[1]}, to which no chain head leads\n", printed)
    assert "  X       1  damaged: frames or header lost" in printed
    assert quipu("flash-map", image)


def test_recover_refuses_with_a_reason_and_writes_nothing(image, tmp_path):
    target = tmp_path / "archive"
    blank, short = tmp_path / "blank.bin", tmp_path / "short.bin"
    blank.write_bytes(b"\xff" * 98304)
    short.write_bytes(image.read_bytes()[:-4096])
    for path, why in ((blank, "nothing was ever recorded there"), (short, "the image has the wrong size")):
        kind, message = error("recover", path, "--archive", target, code=1)
        assert kind == "FormatError" and str(path) in message and why in message
    kind, message = error("recover", image, "--archive", target, "--board", "MPS2_AN386", code=1)
    assert "262,144 bytes (its log region)" in message and "98,304" in message
    for wrong in (("--board", "NO_SUCH"), ("--board", "MPS2_AN386", "--sector", "4k"), ("--sector", "four"), ("--unit", "3")):
        assert error("recover", image, "--archive", target, *wrong, code=2)[0] == "UsageError", wrong
    assert error("recover", tmp_path / "absent.bin", "--archive", target, code=1)[0] == "FileNotFoundError"
    assert not target.exists()


def test_another_log_of_the_same_board_is_refused(life, image, tmp_path):
    other = RamFlash()
    every_type(begin(other, entropy=b"another sixteen!"))
    second = tmp_path / "second.bin"
    second.write_bytes(mount(other).region.flash.memory)
    quipu("recover", image, "--archive", tmp_path / "archive")
    kind, message = error("recover", second, "--archive", tmp_path / "archive", "--sector", "4k", code=1)
    assert kind == "OtherLog" and "recover it into another folder" in message


def test_a_quarantined_sector_is_called_so():
    sim = FlashSim(20, 1024, 256, 4)
    store = Store(sim, lambda: 0)
    store.configure((2, 7, 5, 6, 4, 3, 5), bytes(16), "map")
    first = store.order[-1]
    sim.stuck[first + 1] = ("raise", None)
    while store.epoch < 4:
        store.execute([(PUT, frames.put("k", b"%d" % (store.seq % 9)), None)])
    assert store.bad == [first + 1]
    data = survey(FlashImage(sim.bytes, 1024, 256, 4))
    assert states(data)[first + 1] == "quarantined" and states(data).count("quarantined") == 1
