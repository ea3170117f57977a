"""`quipu flash` on a board that starts from a card, as stock firmware of boards with an SD card does: FAT at /sd, which is the current
directory, and nothing at /. MicroPython's own FatFs on an emulated board, over blocks of its flash."""

import json

import pytest
import quipu
from quipu import boards, cli, commands_boards, deploy, flash, images
from quipu.emulator import Emulator
from quipu.errors import PortError

BOARD = "MPS2_AN386"
SECTOR, SIZE = 8192, 24 * 8192
CARD_AT, CARD_SIZE = 1280 * 1024, 768 * 1024  # of the emulated flash, behind its raw log region

# A card of blocks of 512 in sectors of 4096, which are read, changed and written again.
CARD = f"""
import emulated, os, sys
class Card:
    def __init__(self):
        self.flash = emulated.Flash({CARD_AT}, {CARD_SIZE})
        self.sector = bytearray(4096)
    def readblocks(self, block, buf):
        view = memoryview(buf)
        for i in range(len(buf) // 512):
            self.flash.readblocks((block + i) // 8, self.sector)
            at = (block + i) % 8 * 512
            view[i * 512:i * 512 + 512] = self.sector[at:at + 512]
    def writeblocks(self, block, buf):
        for i in range(len(buf) // 512):
            self.flash.readblocks((block + i) // 8, self.sector)
            at = (block + i) % 8 * 512
            self.sector[at:at + 512] = memoryview(buf)[i * 512:i * 512 + 512]
            self.flash.writeblocks((block + i) // 8, self.sector)
    def ioctl(self, what, _):
        return {{4: {CARD_SIZE // 512}, 5: 512}}.get(what, 0)
"""
# In place of the port's start-up. Whether a card is in, a file says.
BOOT = CARD + """
there = "card" in os.listdir("/")
os.umount("/")
if there:
    os.mount(os.VfsFat(Card()), "/sd")
    os.chdir("/sd")
    sys.path[:] = ["", ".frozen", "/sd", "/sd/lib"]
"""
INSERT = CARD + """
os.VfsFat.mkfs(Card())
os.mount(os.VfsLfs2(emulated.Flash(0, 1048576), progsize=256), "/")
open("/card", "w").close()
"""
MAKE_FILE = f"""
with open("/sd/quipu.log", "wb") as f:
    for _ in range({SIZE // 512}):
        f.write(b"\\xff" * 512)
"""


@pytest.fixture
def facts(monkeypatch):
    own = images.board_facts(BOARD)
    own.update(driver="fat", log={"path": "/sd/quipu.log", "size": SIZE}, geometry={"sector": SECTOR, "page": 512, "unit": 512})
    monkeypatch.setattr(flash, "facts_for", lambda found, board: own)
    return own


def on(emulator, code):
    with deploy.opened(emulator.port) as repl:
        return repl.run(code, 30).decode()


@pytest.fixture
def emulator():
    with Emulator(BOARD, frozen=False) as it:
        with deploy.opened(it.port) as repl:
            repl.write_file("/boot.py", BOOT.encode())
        yield it


def started(emulator):
    """Wait for the firmware: an interrupt before that would be one of boot.py, which stands for what no interrupt reaches."""
    with quipu.connect(emulator.port, timeout=30) as board:
        return board.info()


def test_a_board_without_a_card_is_told_to_have_one(emulator, facts, capsys):
    assert cli.main(["flash", emulator.port]) == 3
    said = capsys.readouterr().err
    assert f"nothing is mounted at /sd, and boards/{BOARD} keeps the log" in said and "put in a card with a FAT filesystem" in said


def test_a_board_with_a_card_is_flashed_records_and_is_proved(emulator, facts, tmp_path, capsys):
    on(emulator, INSERT)
    assert on(emulator, "import os; print(os.getcwd(), os.listdir('/'))").strip() == "/sd ['sd']"
    assert cli.main(["flash", emulator.port]) == 3
    said = capsys.readouterr().err
    assert f"/sd/quipu.log has 0 bytes and must have {SIZE:,}" in said and f"open('quipu.log', 'wb').write(b'\\xff' * {SIZE})" in said
    on(emulator, MAKE_FILE)

    done = commands_boards.flash(emulator.port, None, main=False, dry_run=False)
    assert all(path.startswith("/sd/") for path in done["plan"]["write"]) and "/sd/main.py" in done["plan"]["write"]
    assert done["info"]["configured"] and done["info"]["sector"] * done["info"]["sectors"] == SIZE and done["info"]["unit"] == 512
    with quipu.connect(emulator.port) as board:
        seq = [board.put(b"mode", b"%d" % i) for i in range(20)][-1]
    emulator.kill()
    emulator.start()
    with quipu.connect(emulator.port, timeout=30) as board:
        assert board.get(b"mode") == b"19" and board.info()["seq"] >= seq
        board.sync(tmp_path / "archive")
    assert quipu.verify(tmp_path / "archive").verdict == "match"
    again = commands_boards.flash(emulator.port, None, main=False, dry_run=True)["plan"]
    assert again["write"] == [] and len(again["keep"]) > 40 and again["root"] == "/sd"
    started(emulator)
    attached = commands_boards.attach(emulator.port, str(tmp_path / "attached"))
    assert attached["exit_code"] == 0 and attached["seq"] >= seq, "the board's own driver reads the card from outside"

    started(emulator)
    other = {**facts, "log": {**facts["log"], "size": SIZE - SECTOR}}
    with pytest.raises(PortError, match="quipu sync"), deploy.opened(emulator.port) as repl:
        flash.plan(repl, flash.settled(repl, flash.probe(repl), other), other, ".mpy", {"/sd/quipu.json": json.dumps(other).encode()})



def test_a_firmware_with_quipu_in_it_keeps_its_own_log(monkeypatch):
    emulated = images.board_facts(BOARD)
    stock = {**boards.for_stock("RPI_PICO"), "name": BOARD, "mpy_arch": emulated["mpy_arch"]}
    with Emulator(BOARD) as frozen:
        with quipu.connect(frozen.port, timeout=30) as board:
            log = board.info()["log"]
        assert commands_boards.flash(frozen.port, None, main=False, dry_run=True)["plan"]["write"], "the same facts are no harm"
        monkeypatch.setattr(flash, "facts_for", lambda found, board: stock)
        with pytest.raises(PortError, match="has Quipu in it and its log at .*'emulated'.*nothing to flash"):
            commands_boards.flash(frozen.port, None, main=False, dry_run=False)
        assert started(frozen)["log"] == log
