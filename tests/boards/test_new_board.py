"""docs/boards.md, "Add a board", done to the letter: a folder is copied, its numbers are edited,
and a board of that name, which is an emulated one with plain MicroPython, goes from the cable to a
verdict."""

import json
import re
import shutil

import pytest
import quipu
from quipu import errors
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.cli import main as cli
from quipu.install import boards
from quipu.install import files as deploy

MODEL = "RPI_PICO"
DOC = (images.checkout_root() / "docs" / "boards.md").read_text()


def edit(path, **changes):
    facts = json.loads(path.read_text())
    facts.update(changes)
    path.write_text(json.dumps(facts, indent=2))


def test_a_folder_is_copied_and_edited_and_the_board_is_known(tmp_path, monkeypatch, capsys):
    (section,) = re.findall(r"## Add a board\n(.*?)\n## ", DOC, re.DOTALL)
    steps = re.search(r"```\n(.*?)```", section, re.DOTALL)[1]
    assert (
        f"cp -r boards/{MODEL} boards/MY_BOARD" in steps
        and "print(sys.implementation._machine)" in steps
    )
    folder = tmp_path / "boards"
    folder.mkdir()
    shutil.copytree(boards.folder() / MODEL, folder / "MY_BOARD")
    monkeypatch.setattr(boards, "folder", lambda: folder)
    mine = folder / "MY_BOARD" / boards.FILE
    with pytest.raises(
        errors.FormatError,
        match=r"MY_BOARD/quipu.json: name: expected MY_BOARD, as the folder, found 'RPI_PICO'",
    ):
        boards.load("MY_BOARD")
    mine.write_text(mine.read_text().replace("{", "", 1))
    with pytest.raises(errors.FormatError, match=r"MY_BOARD/quipu.json: not JSON"):
        boards.load("MY_BOARD")
    mine.write_text("{" + mine.read_text())
    with Emulator("MPS2_AN386", frozen=False) as emulator:
        with deploy.opened(emulator.port) as repl:
            machine = (
                repl.run("import sys; print(sys.implementation._machine)", 10).decode().strip()
            )
        edit(mine, name="MY_BOARD", machine=machine)
        assert boards.of_machine(machine) == "MY_BOARD"
        assert cli.main(["flash", emulator.port]) == 2
        said = capsys.readouterr().err
        assert "boards/MY_BOARD says mpy_arch armv6m, and this board takes armv7emsp" in said
        edit(
            mine,
            mpy_arch="armv7emsp",
            capacities={**boards.load("MY_BOARD")["capacities"], "records": 100},
        )
        assert cli.main(["flash", emulator.port, "--json"]) == 0
        done = json.loads(capsys.readouterr().out)
        assert done["plan"]["board"] == "MY_BOARD" and done["info"]["board"].startswith("MY_BOARD/")
        with quipu.connect(emulator.port) as board:
            assert board.put(b"mode", b"run") and board.info()["config"]["records"] == 100
            board.sync(tmp_path / "archive")
        assert quipu.verify(tmp_path / "archive").verdict == "match"


def test_the_schema_on_the_page_is_the_schema_that_is_checked():
    """Every key of the table is one that some board has, and no board has one that the table
    lacks."""
    table = DOC[DOC.index("| key | what it is |") :].split("\n\n")[0]
    told = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    used = set()
    for path in boards.folder().glob(f"*/{boards.FILE}"):
        used |= json.loads(path.read_text()).keys()
    assert told == used and len(told) > 8
