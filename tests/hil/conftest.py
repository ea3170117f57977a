"""The boards that the hardware suite runs on: --boards "PORT PORT ...", --boards emulated for every
emulated one; without it, as in `make test`, one emulated board, in `make nightly` all. With it, build/reports/hil.json
gets a row for each test, with the board's identity in it."""

import json

import pytest
from quipu.build import images
from xdist.scheduler import LoadScopeScheduling

from tests import quick
from tests.hil.device import Emulated, Real

REPORT = images.checkout_root() / "build" / "reports" / "hil.json"
EMULATED = "emulated"
_rows = []


def pytest_addoption(parser):
    parser.addoption(
        "--boards", metavar="PORTS", help="ports of real boards, separated by spaces, or `emulated`"
    )
    parser.addoption(
        "--erase-log",
        action="store_true",
        help="let the suite erase the log of a real board, to restore it",
    )


def pytest_generate_tests(metafunc):
    if "device" in metafunc.fixturenames:
        # Registered only where pytest is given this folder: a run of all tests has no such option.
        asked = (metafunc.config.getoption("--boards", None) or "").split()
        every = images.boards()
        names = every if asked == [EMULATED] else asked or quick.some(every, 1)
        metafunc.parametrize("device", names, ids=names, indirect=True, scope="module")


class BoardByBoard(LoadScopeScheduling):
    """With -n the boards are tested at once, each by one process, its tests in their order."""

    def _split_scope(self, nodeid):
        return nodeid.partition("[")[2]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return BoardByBoard(config, log) if config.getoption("--boards", None) else None


@pytest.fixture(scope="module")
def device(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hil")
    if request.param in images.boards():
        it = Emulated(request.param, folder)
    else:
        it = Real(request.param, folder, request.config.getoption("--erase-log", False))
    with it:
        it.identify()
        yield it


@pytest.fixture(autouse=True)
def identity(request, record_property):
    """Put the board's machine and unique id beside each result."""
    record_property("port", request.node.callspec.params["device"])
    device = request.getfixturevalue("device")
    record_property("machine", device.machine)
    record_property("unique_id", device.unique_id)


def pytest_runtest_logreport(report):
    properties = dict(report.user_properties)
    if "tests/hil/" in report.nodeid and (report.when == "call" or report.outcome != "passed"):
        _rows.append(
            {
                "test": report.nodeid.rpartition("::")[2].partition("[")[0],
                "outcome": report.outcome,
                "phase": report.when,
                "seconds": round(report.duration, 1),
                "why": str(report.longrepr or "")[-2000:],
                "nodeid": report.nodeid,
            }
        )
    if report.when == "teardown" and properties:
        for row in _rows:
            if row["nodeid"] == report.nodeid:
                row.update(properties)


def pytest_sessionfinish(session):
    # the workers' rows are sent here
    if session.config.getoption("--boards", None) and not hasattr(session.config, "workerinput"):
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(
            json.dumps(
                [{key: value for key, value in row.items() if key != "nodeid"} for row in _rows],
                indent=1,
            )
            + "\n"
        )
