"""The log in a file on FAT: what is refused, and power cuts at writes of the card's blocks, under
MicroPython's own FatFs."""

import os
import subprocess

import pytest
from quipu.build import images


def run(*args):
    env = {**os.environ, "MICROPYPATH": ".:firmware:.frozen"}
    return subprocess.run(
        [images.unix_port(), "-X", "heapsize=64M", "tests/drivers/fat_card.py", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        env=env,
    )


def test_every_acknowledged_command_survives_a_cut():
    every = 23
    done = run(2, 300, every)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    # before it: files of lost mounts that cannot close
    writes, opened, cuts = map(int, done.stdout.splitlines()[-1].split())
    assert cuts == len(range(every // 2, writes, every)) > 20 and opened > 16, "the ring was turned"


@pytest.mark.parametrize(
    ("breakage", "found"), [("flushing", "is not the file's"), ("small", "LostAcked")]
)
def test_a_driver_that_breaks_the_rule_is_found_out(breakage, found):
    done = run(1, 200, 5, breakage)
    assert done.returncode and found in done.stderr, done.stdout + done.stderr
