"""Commands answer what was asked, or say why not: every kind of frame has a text, an option is said
once, what was typed is what is stored, and no traceback reaches a person.

In one process, so that a table of many commands costs little."""

import json
import random

import pytest
from quipu.cli import main as cli
from quipu.cli import render
from quipu.past import describe

from shared_kernel import frame_names, frames
from tests.host import sample
from tests.host.test_cli import folder, log, write  # noqa: F401  # folder and log are fixtures


@pytest.fixture
def run(capsys):
    """Run the command here, assert its exit code, and return what it printed on both streams."""

    def run(*arguments, code=0):
        found = cli.main([str(each) for each in arguments])
        told = capsys.readouterr()
        assert found == code, told
        return told.out + told.err

    return run


@pytest.fixture
def answer(run):
    return lambda *arguments, code=0: json.loads(run(*arguments, "--json", code=code))


# -- every frame has a text ------------------------------------------------------------------------


def test_every_type_of_frame_has_a_text_whatever_its_payload():
    rng = random.Random(14)
    for kind in range(256):
        for size in (0, 1, 2, 4, 5, 8, 12, 20, 32, 44, 60):
            data = frames.frame(kind, rng.randbytes(size), 7, 9, 0)
            text = render.says(describe.frame(data))
            assert text.isprintable() and (text or not size), (kind, size)


def test_a_frame_with_fields_and_no_text_of_its_own_shows_the_fields():
    told = {"seq": 1, "tick": 2, "bytes": 3, "type": "of-later", "sector": 5, "why": "\x1b[2J"}
    assert render.says(told) == "sector 5  why \\x1b[2J"


def test_the_log_of_a_store_says_what_its_notes_are(tmp_path, run):
    sample.sample(tmp_path / "a")
    text = run("log", "--archive", tmp_path / "a")
    assert "quarantine   sector 5" in text
    assert "acknowledged  a laptop has all frames below seq 0" in text
    assert {line.split()[2] for line in text.splitlines()} >= set(frame_names.NAMES.values()) - {
        "snapshot"
    }
