"""The log in files on littlefs: its rules, and power cuts at steps of the flash underneath, under
MicroPython's own littlefs."""

import os
import subprocess

import pytest
from quipu.build import images

from tests.quick import some


def run(name, *args):
    env = {**os.environ, "MICROPYPATH": ".:firmware:.frozen"}
    return subprocess.run(
        [images.unix_port(), "-X", "heapsize=64M", "tests/drivers/" + name, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        env=env,
    )


def test_rules():
    done = run("files_rules.py")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr


def test_a_filesystem_that_others_fill_does_not_stop_the_log():
    """The genesis has made all of the log's directories."""
    done = run("files_full.py", 12)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    full, seq = map(int, done.stdout.split())
    assert full == 0 and seq > 500


# progsize of the mount, page, sector, seed, actions, a cut about every so many steps of the flash
@pytest.mark.parametrize(
    "work", some([(256, 256, 1536, 1, 400, 1000), (32, 128, 1536, 2, 400, 600)], 1)
)
def test_every_acknowledged_command_survives_a_cut(work):
    done = run("files_on_littlefs.py", *work)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    # before it: files of lost mounts that cannot close
    seq, opened, snapshots, cuts = map(int, done.stdout.splitlines()[-1].split())
    assert seq and opened > 24 and snapshots > 0, (
        "the ring of 12 sectors, slots included, was turned, and snapshots were taken"
    )
    assert cuts > 30


def test_a_driver_that_keeps_programs_in_ram_is_found_out():
    done = run("files_on_littlefs.py", 256, 256, 1536, 1, 60, 1500, "late")
    assert done.returncode and "LostAcked" in done.stderr
