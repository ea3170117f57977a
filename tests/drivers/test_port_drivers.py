"""The drivers of ports' own flash, under MicroPython, over fakes that hold them to each port's rules, and whose part is torn by power
cuts in the middle of programs and erases."""

import os
import subprocess

import pytest
from quipu.build import images

ACTIONS = 700
SECTORS = 8
EVERY = 120  # steps of the part (program units, thirds of an erase) between two cuts, about


def run(*args):
    env = {**os.environ, "MICROPYPATH": "tests/drivers/fakes:.:firmware:.frozen"}
    return subprocess.run([images.unix_port(), "-X", "heapsize=64M", "tests/drivers/ports_store.py", *map(str, args)],
                          capture_output=True, text=True, timeout=300, env=env)


@pytest.mark.parametrize("driver", ["rp2", "nrf", "samd", "spi_nor", "stm32"])
def test_the_store_lives_on_it_through_power_cuts(driver):
    done = run(driver, ACTIONS, EVERY)
    assert done.returncode == 0, done.stdout + done.stderr
    seq, opened, snapshots, cuts = map(int, done.stdout.split())
    assert seq and opened > SECTORS and snapshots > 0, "the ring was turned and snapshots were taken"
    assert cuts > 50


@pytest.mark.parametrize(("driver", "breakage", "found"), [
    ("rp2", "unpadded", "begins at a page"),
    ("nrf", "unchecked", "not refused"),
    ("nrf", "erasing", "LostAcked"),
    ("samd", "unshifted", "FlashError"),
    ("spi_nor", "unlatched", "FlashError"),
    ("stm32", "unchecked", "overlaps the filesystem"),
])
def test_a_driver_that_breaks_the_rule_is_found_out(driver, breakage, found):
    done = run(driver, ACTIONS, EVERY, breakage)
    assert done.returncode and found in done.stderr, done.stdout + done.stderr
