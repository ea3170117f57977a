"""The tour prints what docs/tour.md says: every command of it is carried out, on emulated
boards."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import tour

PAGE = tour.PAGE.read_text()


def test_every_command_prints_what_the_page_says(tmp_path):
    seen = []
    for command, shown, printed in tour.carried_out(PAGE, tmp_path):
        assert tour.masked(printed) == tour.masked(shown), (
            "%s\nrun: python -m tests.docs.tour" % command
        )
        seen.append(command)
    assert len(seen) > 20


def test_every_verb_is_in_the_tour():
    helped = subprocess.run(
        [Path(sys.executable).parent / "quipu", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    verbs = [
        line.split()[0]
        for line in helped.splitlines()
        if line.startswith("  ") and line[2:3].isalpha() and "  " in line[2:]
    ]
    assert len(verbs) > 30 and "sync" in verbs
    # a script, for a shell to read
    missing = [verb for verb in verbs if "quipu %s" % verb not in PAGE and verb != "completion"]
    assert not missing


@pytest.mark.parametrize(
    "altered",
    [
        lambda text: text.replace('"armed"', '"alarm"'),
        lambda text: text.replace("record 2\n", "record 3\n"),
        lambda text: text.replace("done, seq 3", "done, seq 4"),
        lambda text: text.replace("component", "number"),
    ],
)
def test_masking_leaves_what_a_command_says(altered):
    """What is compared is not masked away: a page that says something else is not equal."""
    blocks = "".join(tour.BLOCK.findall(PAGE))
    assert altered(blocks) != blocks
    assert tour.masked(altered(blocks)) != tour.masked(blocks)
