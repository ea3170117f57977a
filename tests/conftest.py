"""For every test: the shared kernel as Python reads it (tests break its lines), with fast hashes.
What these lack falls back to the plain-Python reference. tests/host/test_kernels.py runs the
compiled kernel, in processes of its own."""

import os
import zlib
from collections import Counter

import blake3
import pytest
from hypothesis import HealthCheck, settings

from shared_kernel import primitives
from tests import quick

os.environ["QUIPU_PURE"] = "1"  # before quipu is imported, which looks at it

from quipu.board import link  # noqa: E402


class Fast:
    name = "test"
    whole = True  # the blake3 package has no interface to single chunks
    crc32 = staticmethod(zlib.crc32)

    @staticmethod
    def hash(data):
        return blake3.blake3(data).digest()


primitives.use(Fast)

# How long a connection waits for an application before it looks for an idle REPL, where most tests
# connect. What decides is the answer: a shorter wait is two characters more on the wire.
link._GREETING_S = 0.1


@pytest.fixture(autouse=True)
def _fast_hashes_stay():
    """No test leaves the plain reference to those after it in this process, which would only make
    each of them some thirty times slower."""
    before = primitives.name
    yield
    if primitives.name == "plain" != before:
        primitives.use(Fast)
        pytest.fail("after it all tests would run on the plain reference")


# How long one example takes says how busy the machine is, not what is promised.
settings.register_profile("quipu", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quipu")

# -- how long the files take -----------------------------------------------------------------------

# Seconds of those that take longest, on an idle machine: they begin first, so that at the end no
# worker is left alone with one.
LONG = {
    "tests/boards/test_ampy.py": 75,
    "tests/faults/test_explore.py": 65,
    "tests/docs/test_tour.py": 65,
    "tests/host/test_past_mutations.py": 60,
    "tests/boards/test_native.py": 60,
    "tests/boards/test_flash.py": 50,
    "tests/host/test_sync.py": 50,
    "tests/boards/test_repl.py": 45,
    "tests/host/test_board.py": 45,
    "tests/boards/test_flash_room.py": 40,
    "tests/boards/test_wedged.py": 40,
    "tests/host/test_cli.py": 40,
    "tests/conformance/test_conformance.py": 40,
    "tests/boards/test_firmware.py": 35,
    "tests/hil/test_hardware.py": 35,
    "tests/boards/test_viper.py": 35,
    "tests/boards/test_emulator.py": 35,
    "tests/log/test_recovery_cases.py": 30,
    "tests/kernel/test_mutations.py": 30,
    "tests/host/test_sync_noise.py": 30,
    "tests/boards/test_dead_boards.py": 30,
    "tests/boards/test_examples.py": 30,
    "tests/boards/test_mip.py": 30,
    "tests/boards/test_wheel.py": 30,
    "tests/boards/test_native_mutations.py": 30,
    "tests/drivers/test_port_drivers.py": 30,
    "tests/drivers/test_files.py": 25,
    "tests/drivers/test_fat.py": 25,
    "tests/host/test_start.py": 25,
    "tests/host/test_index.py": 25,
    "tests/bench/test_blocking.py": 25,
    "tests/bench/test_flash_bench.py": 20,
    "tests/host/test_move.py": 20,
}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: -LONG.get(item.nodeid.partition("::")[0], 0))


# a file of tests, by the clock, on a machine that others use too: one that needs more is to be cut,
# or run nightly
BUDGET_S = 240
spent = Counter()


def pytest_runtest_logreport(report):
    spent[report.nodeid.partition("::")[0]] += report.duration


def pytest_terminal_summary(terminalreporter):
    for name, seconds in spent.most_common(10):
        terminalreporter.write_line(f"{seconds:7.1f} s of {BUDGET_S}  {name}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    over = [name for name, seconds in spent.items() if seconds > BUDGET_S]
    if over and not quick.WHOLE and not hasattr(session.config, "workerinput"):
        print(f"\nover their budget of {BUDGET_S} s: {', '.join(over)}")
        session.exitstatus = session.exitstatus or 1
