"""The README keeps its promises: short, its status first, its commands those of CI, its two
examples run as they stand."""

import re
from pathlib import Path
from xml.etree import ElementTree

import quipu
from quipu.build.emulator import Emulator

from tests.boards.conftest import BOARD, place

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text()
SCREEN, LONGEST = 32, 150  # lines
PORT, ARCHIVE = "/dev/ttyACM0", "data/pico"


def example(heading):
    """Return the Python block under a heading."""
    return PAGE.split(f"\n## {heading}\n")[1].split("```python\n")[1].split("```")[0]


def test_it_is_short_and_says_in_its_first_screen_that_no_real_board_ran_it():
    lines = PAGE.splitlines()
    assert len(lines) <= LONGEST
    first = "\n".join(lines[:SCREEN])
    for said in (
        "never run on real hardware",
        "emulated",
        "docs/path.svg",
        "\nmake demo",
        "\nmake test",
    ):
        assert said in first, said


def test_its_commands_are_what_ci_runs():
    demo, test = re.findall(r"^make (\w+)", PAGE, re.M)
    assert (demo, test) == ("demo", "test")
    assert re.search(r"^make test\b", (ROOT / ".ci" / "run").read_text(), re.M)


def test_it_says_where_a_pulled_frame_is_checked_and_where_a_verb_is_added():
    table = PAGE.split("\n## Where to find it in the code\n")[1].split("\n## ")[0]
    assert "Chain.step" in table and "checked" in table and "verb" in table
    for named in re.findall(r"`((?:host|shared_kernel|firmware)/[\w/.]+)`", table):
        assert (ROOT / named).exists(), named
    assert "`host/quipu/cli/main.py`" in table


def test_its_examples_run_as_they_stand(tmp_path, monkeypatch, capsys):
    """The board's example is /main.py of an emulated board; the laptop's then talks to that
    board."""
    monkeypatch.chdir(tmp_path)
    on_board, on_laptop = example("On the board"), example("On the laptop")
    assert all(len(each.splitlines()) <= 12 for each in (on_board, on_laptop))
    emulator = Emulator(BOARD, tmp_path / "flash.bin")
    with emulator:
        place(emulator, {"/main.py": on_board})
    with emulator:
        assert PORT in on_laptop and ARCHIVE in on_laptop
        with quipu.connect(emulator.port, timeout=30) as board:
            while board.info()["seq"] < 3:  # the board's own lines come first: the put is seq 3
                pass
        exec(compile(on_laptop.replace(PORT, emulator.port), "README.md", "exec"), {})
    verdict, key, nearest = capsys.readouterr().out.splitlines()
    state = quipu.state(ARCHIVE)
    assert verdict == f"match {state.root().hex()}"
    assert key.startswith("b'armed' [") and nearest.startswith("[(0, ")
    assert (state.records.live(), state.nodes.live()) == (2, 1)


def test_the_picture_is_whole_and_says_what_it_shows():
    drawn = ElementTree.parse(ROOT / "docs" / "path.svg").getroot()
    words = " ".join(drawn.itertext())
    assert drawn.tag.endswith("}svg")
    assert all(
        said in words
        for said in ("The path from board to verdict", "sync", "archive", "replay", "verdict")
    )
