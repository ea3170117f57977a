"""The same simulator, harness and store under MicroPython: cuts there come out as on CPython."""

import subprocess

from quipu.build import images

from tests.faults.harness import Run, live_on
from tests.flashsim import FlashSim

SCRIPT = """
import sys
sys.path[:0] = ["."]
from tests.faults.harness import Run, live_on
from tests.flashsim import FlashSim
"""


def work():
    run = Run(FlashSim(9, 512, 256, 4, seed=1), 1, 25)
    cuts = 0
    for sim, witness, place in run.cuts(run.steps()[::60]):
        cuts += 1 + live_on(sim, witness, place[0] * 7 + place[1], actions=2, cuts=1)
    return cuts, run.store.seq, run.store.kernel.root().hex(), run.sim.bytes_programmed


def test_cuts_under_micropython():
    import inspect

    script = SCRIPT + inspect.getsource(work) + "\nprint(*work())\n"
    done = subprocess.run(
        [images.unix_port(), "-X", "heapsize=64M", "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [str(each) for each in work()]
    assert work()[0] > 20
