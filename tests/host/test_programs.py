"""The programs that run on boards are files of the package; values reach them whole, whatever stands
in them. That boards run them is for tests/boards/test_flash.py and test_ampy.py."""

import hashlib
import subprocess
import sys

import pytest
from quipu import resources
from quipu.install import programs

HOSTILE = 'it\'s "%r" {0}\n\\n.py'
NAMES = sorted(path.stem for path in resources.snippets().iterdir() if path.suffix == ".py")


def said(program):
    """Return what a program prints here, where nothing stands in for a board."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_programs():
    assert len(NAMES) > 10 and "probe" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_program_says_what_it_does_and_leaves_its_values_to_the_call(name):
    source = programs.source(name)
    assert source.startswith("# ") and source.endswith("\n")
    compile(source, name, "exec")


def test_values_reach_it_whole(tmp_path):
    (tmp_path / HOSTILE).write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert said(programs.program("survey", (f"{tmp_path}/", "/no/such"))) == (
        f"{digest} {tmp_path}/{HOSTILE}\n"
    )
    assert said(programs.program("sizes", [f"{tmp_path}/{HOSTILE}"])) == "7\n"
    said(programs.program("remove", [f"{tmp_path}/{HOSTILE}"]))
    assert not list(tmp_path.iterdir())


def test_new_files_are_put_in_place_and_stale_ones_go_and_a_second_run_completes_it(tmp_path):
    stale, kept, place = (str(tmp_path / each) for each in ("stale", "kept", "place"))
    for path, content in ((stale, "s"), (kept, "k"), (place, "old"), (place + ".new", "new")):
        with open(path, "w") as file:
            file.write(content)
    said(programs.program("switch", [stale, stale], [place], ".new"))
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {
        "kept": "k",
        "place": "new",
    }
