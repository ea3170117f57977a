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

# a file of tests, by the clock, on a machine that others use too: one that needs more is to be cut,
# or run nightly
BUDGET_S = 300
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
