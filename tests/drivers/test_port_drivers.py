"""The drivers of ports' own flash objects, under MicroPython, over fakes that hold them to each port's rules."""

import os
import subprocess

import pytest
from quipu import images

ACTIONS = 1200
SECTORS = 8


def run(*args):
    env = {**os.environ, "MICROPYPATH": "tests/drivers/fakes:.:firmware:.frozen"}
    return subprocess.run([images.unix_port(), "-X", "heapsize=64M", "tests/drivers/ports_store.py", *map(str, args)],
                          capture_output=True, text=True, timeout=300, env=env)


@pytest.mark.parametrize("driver", ["rp2", "nrf", "samd", "spi_nor"])
def test_the_store_lives_on_it(driver):
    done = run(driver, ACTIONS)
    assert done.returncode == 0, done.stdout + done.stderr
    seq, opened, snapshots = map(int, done.stdout.split())
    assert seq and opened > SECTORS and snapshots > 0, "the ring was turned and snapshots were taken"


@pytest.mark.parametrize(("driver", "breakage", "found"), [
    ("rp2", "unpadded", "begins at a page"),
    ("nrf", "unchecked", "not refused"),
    ("samd", "unshifted", "FlashError"),
    ("spi_nor", "unlatched", "FlashError"),
])
def test_a_driver_that_breaks_the_rule_is_found_out(driver, breakage, found):
    done = run(driver, ACTIONS, breakage)
    assert done.returncode and found in done.stderr, done.stdout + done.stderr
