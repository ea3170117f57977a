"""docs/api.md is what the docstrings of `quipu.__all__` say, and a page that is not is noticed."""

import subprocess
import sys
from pathlib import Path

import pytest
import quipu

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"
TOOL = [sys.executable, ROOT / "tools" / "api.py"]


def check(page):
    done = subprocess.run([*TOOL, "--check", "--page", page], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_page_is_what_the_docstrings_say():
    assert check(PAGE) == (0, "")


@pytest.mark.parametrize("name", quipu.__all__)
def test_every_public_name_has_a_section(name):
    assert f"\n## {name}\n" in PAGE.read_text()


@pytest.mark.parametrize(
    "old, new",
    [
        ("LostAnswer", "NoAnswer"),
        ("allow_gap: bool = False", "allow_gap: bool = True"),
        ("\n## vector\n", "\n"),
    ],
)
def test_a_page_that_says_something_else_is_noticed(old, new, tmp_path):
    text = PAGE.read_text()
    assert old in text
    page = tmp_path / "api.md"
    page.write_text(text.replace(old, new))
    code, said = check(page)
    assert code == 1 and "run `python tools/api.py`" in said


def test_a_page_that_is_not_there_is_noticed(tmp_path):
    assert check(tmp_path / "api.md")[0] == 1


def test_writing_makes_what_the_check_wants(tmp_path):
    page = tmp_path / "api.md"
    subprocess.run([*TOOL, "--page", page], check=True)
    assert page.read_text() == PAGE.read_text()
