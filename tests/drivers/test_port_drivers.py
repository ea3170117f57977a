"""The drivers of ports' own flash, under MicroPython, over fakes that hold them to each port's
rules, and whose part is torn by power cuts in the middle of programs and erases."""

import os
import subprocess

import pytest
from quipu.build import images
from quipu.install import erase, programs

from tests.quick import nightly, some

ACTIONS = 700
SECTORS = 8
EVERY = 120  # steps of the part (program units, thirds of an erase) between two cuts, about


def run(*args, script="ports_store"):
    env = {**os.environ, "MICROPYPATH": "tests/drivers/fakes:.:firmware:.frozen"}
    return subprocess.run(
        [images.unix_port(), "-X", "heapsize=64M", f"tests/drivers/{script}.py", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        env=env,
    )


@pytest.mark.parametrize("driver", some(["rp2", "nrf", "samd", "spi_nor", "stm32"], 1))
def test_the_store_lives_on_it_through_power_cuts(driver):
    done = run(driver, ACTIONS, EVERY)
    assert done.returncode == 0, done.stdout + done.stderr
    seq, opened, snapshots, cuts = map(int, done.stdout.split())
    assert seq and opened > SECTORS and snapshots > 0, (
        "the ring was turned and snapshots were taken"
    )
    assert cuts > 50


@pytest.mark.parametrize(
    ("driver", "breakage", "found"),
    [
        ("rp2", "unpadded", "begins at a page"),
        ("nrf", "unchecked", "not refused"),
        # the one that takes long
        pytest.param("nrf", "erasing", "no run of its log can be read", marks=nightly),
        ("samd", "unshifted", "FlashError"),
        ("spi_nor", "unlatched", "FlashError"),
        ("stm32", "unchecked", "overlaps the filesystem"),
    ],
)
def test_a_driver_that_breaks_the_rule_is_found_out(driver, breakage, found):
    done = run(driver, ACTIONS, EVERY, breakage)
    assert done.returncode and found in done.stderr, done.stdout + done.stderr


@pytest.fixture
def sent(tmp_path):
    """Files with the code that `quipu flash --erase-log` sends to a board."""
    reader, eraser = tmp_path / "reader.py", tmp_path / "eraser.py"
    reader.write_text(programs.source("read_log"))
    eraser.write_text(programs.source("erase_log") + erase.CALL)
    return reader, eraser


@pytest.mark.parametrize("driver", ["rp2", "samd"])
def test_case_32_another_filesystem_is_nobodys_to_take(driver, sent):
    """With nothing mounted the driver refuses; with our filesystem mounted, a region that holds
    something else is damage: `info` says what stands there, no request changes a byte, and only the
    eraser does."""
    done = run(driver, *sent, script="stock_files")
    assert done.returncode == 0 and done.stdout.split()[-1] == "done", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("breakage", "found"),
    [("unmounted", "no filesystem is mounted"), ("blank", "the start changed the flash")],
)
def test_case_32_put_back_is_found(breakage, found, sent):
    done = run("rp2", *sent, breakage, script="stock_files")
    assert done.returncode and found in done.stderr, done.stdout + done.stderr
