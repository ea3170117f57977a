"""A board that died: what `quipu recover` makes of the file that was its flash is what the board
had acknowledged."""

import pytest
import quipu
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.cli import dump

from shared_kernel.errors import Damage, LogFull

BOARD = "MPS2_AN386"


def test_the_flash_of_a_killed_board_gives_all_that_it_acknowledged(tmp_path):
    flash = tmp_path / "flash.bin"
    with Emulator(BOARD, flash) as emulator, quipu.connect(emulator.port, 20) as board:
        for i in range(300):
            ident = board.insert([i] * 16, i & 3, b"sixteen of bytes")
            if i >= 100:
                board.delete(ident)
        synced = board.sync(tmp_path / "archive")
        board.put("after", b"the sync")
        told = board.info()
        emulator.kill()
    found = dump.recover(str(flash), str(tmp_path / "archive"), board=BOARD)
    assert (found["exit_code"], found["frames"], found["verdict"]["verdict"]) == (
        0,
        told["seq"] - synced.seq,
        "match",
    )
    for key, name in (("seq", "seq"), ("chain_head", "head"), ("state_root", "root")):
        assert found["verdict"][key] == told[name]
    assert found["geometry"]["start"] == images.board_facts(BOARD)["log"]["start"]
    alone = dump.recover(str(flash), str(tmp_path / "alone"))
    assert alone["geometry"] == found["geometry"], "found without the board's name"
    assert alone["verdict"]["state_root"] == told["root"] and alone["board"] == told["board"]
    shown = dump.flash_map(str(flash), board=BOARD)
    assert shown["log"]["seq"] == told["seq"] and shown["states"]["in use"] == 1


def test_a_full_log_comes_out_whole(tmp_path):
    flash = tmp_path / "flash.bin"
    with Emulator(BOARD, flash) as emulator, quipu.connect(emulator.port, 20) as board:
        live = []
        try:
            while True:
                live.append(board.insert([len(live)] * 16))
                if len(live) > 200:
                    board.delete(live.pop(0))
        except LogFull:
            told = board.info()
        emulator.kill()
    found = dump.recover(str(flash), str(tmp_path / "archive"), board=BOARD)
    assert found["verdict"]["verdict"] == "match" and found["verdict"]["state_root"] == told["root"]
    assert found["frames"] == told["seq"] + 1 > 2000 and len(found["snapshots"]) == 2


def test_a_board_whose_log_is_damaged_serves_and_gives_everything_and_changes_nothing(tmp_path):
    flash = tmp_path / "flash.bin"
    with Emulator(BOARD, flash) as emulator, quipu.connect(emulator.port, 20) as board:
        for i in range(150):
            board.insert([i] * 16, i, b"sixteen of bytes")
        before = board.info()
        emulator.kill()
    log = images.board_facts(BOARD)["log"]
    with flash.open("r+b") as file:
        data = file.read()
        # in the ring's second sector
        at = data.index(b"sixteen of bytes", data.index(b"sixteen of bytes", log["start"]) + 4096)
        file.seek(at)
        file.write(b"spoilt")
    image = flash.read_bytes()[log["start"] : log["start"] + log["size"]]
    with Emulator(BOARD, flash) as emulator, quipu.connect(emulator.port, 20) as board:
        info = board.info()
        assert "is missing" in info["damage"] or "breaks off" in info["damage"]
        assert 0 < info["seq"] < before["seq"] and info["log"] == before["log"]
        for act in (
            lambda: board.insert([0] * 16),
            lambda: board.put("k", b"v"),
            board.checkpoint,
            board.snapshot,
        ):
            with pytest.raises(Damage):
                act()
        whole = b""
        while len(whole) < log["size"]:
            whole += board.read_region(len(whole), 1500)
        assert whole == image and board.read_region(log["size"], 10) == b""
        board.close()
        shown = dump.flash_map(emulator.port)
        assert shown["damage"] and shown["exit_code"] == 1 and shown["states"]["in use"] == 1
        emulator.kill()
    assert flash.read_bytes()[log["start"] : log["start"] + log["size"]] == image
    (tmp_path / "dump.bin").write_bytes(whole)
    found = dump.recover(str(tmp_path / "dump.bin"), str(tmp_path / "archive"))
    assert found["exit_code"] == 1 and found["frames"] > info["seq"] + 50, (
        "what stands behind the damage is recovered too"
    )
