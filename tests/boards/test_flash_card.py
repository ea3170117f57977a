"""`quipu flash` on a board that starts from a card, as stock firmware of boards with an SD card
does: FAT at /sd, which is the current directory, and nothing at /. MicroPython's own FatFs on an
    emulated board, over blocks of its flash."""

import json

import pytest
import quipu
import serial
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.cli import install as commands_boards
from quipu.cli import main as cli
from quipu.errors import PortError
from quipu.install import files as deploy
from quipu.install import flash

BOARD = "MPS2_AN386"
SECTOR, SIZE = 8192, 24 * 8192
CARD_AT, CARD_SIZE = 1280 * 1024, 768 * 1024  # of the emulated flash, behind its raw log region

# A card of blocks of 512 in sectors of 4096, which are read, changed and written again. It
# allocates nothing: MicroPython closes a file that nobody holds any more while it collects garbage.
CARD = f"""
import emulated, micropython, os, sys
@micropython.viper
def copy(to: ptr8, at: int, source: ptr8, begin: int):
    for i in range(512):
        to[at + i] = source[begin + i]
class Card:
    def __init__(self):
        self.flash = emulated.Flash({CARD_AT}, {CARD_SIZE})
        self.sector = bytearray(4096)
    def readblocks(self, block, buf):
        for i in range(len(buf) // 512):
            self.flash.readblocks((block + i) // 8, self.sector)
            copy(buf, i * 512, self.sector, (block + i) % 8 * 512)
    def writeblocks(self, block, buf):
        for i in range(len(buf) // 512):
            self.flash.readblocks((block + i) // 8, self.sector)
            copy(self.sector, (block + i) % 8 * 512, buf, i * 512)
            self.flash.writeblocks((block + i) // 8, self.sector)
    def ioctl(self, what, _):
        return {CARD_SIZE // 512} if what == 4 else 512 if what == 5 else 0
"""
# In place of the port's start-up. Whether a card is in, a file says.
BOOT = (
    CARD
    + """
there = "card" in os.listdir("/")
os.umount("/")
if there:
    os.mount(os.VfsFat(Card()), "/sd")
    os.chdir("/sd")
    sys.path[:] = ["", ".frozen", "/sd", "/sd/lib"]
"""
)
INSERT = (
    CARD
    + """
os.VfsFat.mkfs(Card())
os.mount(os.VfsLfs2(emulated.Flash(0, 1048576), progsize=256), "/")
open("/card", "w").close()
"""
)
MAKE_FILE = f"""
with open("/sd/quipu.log", "wb") as f:
    for _ in range({SIZE // 512}):
        f.write(b"\\xff" * 512)
"""


@pytest.fixture
def facts(monkeypatch):
    own = images.board_facts(BOARD)
    own.update(
        driver="fat",
        log={"path": "/sd/quipu.log", "size": SIZE},
        geometry={"sector": SECTOR, "page": 512, "unit": 512},
    )
    monkeypatch.setattr(flash, "facts_for", lambda found, board: own)
    return own


def prompt(emulator):
    """Wait for the prompt of a board that restarts: an interrupt before it would be one of boot.py,
    which stands for what none reaches."""
    with serial.Serial(emulator.port, timeout=30) as port:
        port.write(b"\r")  # the first prompt may have passed
        assert port.read_until(b">>> ").endswith(b">>> ")


def on(emulator, code):
    """Run code on a board without an application; return what it printed."""
    with deploy.opened(emulator.port) as repl:
        said = repl.run(code, 30).decode()
    prompt(emulator)
    return said


@pytest.fixture
def emulator():
    with Emulator(BOARD, frozen=False) as it:
        with deploy.opened(it.port) as repl:
            repl.write_file("/boot.py", BOOT.encode())
        prompt(it)
        yield it


def started(emulator):
    """Wait for the firmware of a board that restarts."""
    with quipu.connect(emulator.port, timeout=30) as board:
        return board.info()


def test_a_board_without_a_card_is_told_to_have_one(emulator, facts, capsys):
    assert cli.main(["flash", emulator.port]) == 3
    said = capsys.readouterr().err
    assert (
        f"nothing is mounted at /sd, and boards/{BOARD} keeps the log" in said
        and "put in a card with a FAT filesystem" in said
    )


def test_a_board_with_a_card_is_flashed_records_and_is_proved(emulator, facts, tmp_path, capsys):
    on(emulator, INSERT)
    assert on(emulator, "import os; print(os.getcwd(), os.listdir('/'))").strip() == "/sd ['sd']"
    assert cli.main(["flash", emulator.port]) == 3
    prompt(emulator)
    said = capsys.readouterr().err
    assert (
        f"/sd/quipu.log has 0 bytes and must have {SIZE:,}" in said
        and f"open('quipu.log', 'wb').write(b'\\xff' * {SIZE})" in said
    )
    on(emulator, MAKE_FILE)

    done = commands_boards.flash(emulator.port, None, main=False, dry_run=False)
    assert (
        all(path.startswith("/sd/") for path in done["plan"]["write"])
        and "/sd/main.py" in done["plan"]["write"]
    )
    assert (
        done["info"]["configured"]
        and done["info"]["sector"] * done["info"]["sectors"] == SIZE
        and done["info"]["unit"] == 512
    )
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
    assert attached["exit_code"] == 0 and attached["seq"] >= seq, (
        "the board's own driver reads the card from outside"
    )

    started(emulator)
    other = {**facts, "log": {**facts["log"], "size": SIZE - SECTOR}}
    with pytest.raises(PortError, match="quipu sync"), deploy.opened(emulator.port) as repl:
        flash.plan(
            repl,
            flash.settled(repl, flash.probe(repl), other),
            other,
            ".mpy",
            {"/sd/quipu.json": json.dumps(other).encode()},
        )


def test_a_firmware_with_quipu_in_it_is_left_as_it_is(capsys):
    with Emulator(BOARD) as frozen:
        log = started(frozen)["log"]
        for dry_run in ([], ["--dry-run"]):
            assert cli.main(["flash", frozen.port, *dry_run]) == 1
            assert f"is the image of {BOARD} with Quipu in it" in capsys.readouterr().err
        assert started(frozen)["log"] == log
        with deploy.opened(frozen.port) as repl:
            assert (
                flash.hashes(repl) == {}
                and repl.run("import quipu; print(quipu.__file__)", 10).strip()
                == b"quipu/__init__.py"
            )
