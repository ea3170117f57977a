"""`quipu flash --tool ampy`: the real adafruit-ampy leaves on a board what mpremote does, in one
session, whole or not at all; and its own errors, which `except Exception` does not catch, end in
exit code 3 and a sentence, in time."""

import json
import sys
import time

import pytest
import quipu
from ampy import pyboard
from quipu import install
from quipu.board.repl import DeviceError
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.cli import install as commands_boards
from quipu.cli import main as cli
from quipu.errors import PortError
from quipu.install import files as deploy
from quipu.install import flash, programs, repl_ampy
from quipu.install.repl_ampy import AmpyRepl

from tests.boards.conftest import CutError, cut_half_way
from tests.boards.test_wedged import PEERS, Cable, Peer
from tests.host.test_link import Bridge

BOARD = "MPS2_AN386"
MINE = b"import quipu\nquipu.start()\nquipu.serve()\nprint('mine')\n"
WAIT_S = 1.0  # what these tests allow a board for entering the raw REPL, where it cannot
LIMIT_S = 12.0


@pytest.fixture(scope="module")
def emulator():
    with Emulator(BOARD, frozen=False) as it:
        yield it


@pytest.fixture
def impatient(monkeypatch):
    for name, value in (
        ("_ENTER_TRIES", 2),
        ("_ENTER_S", WAIT_S),
        ("_READ_S", WAIT_S),
        ("_LEAVE_S", WAIT_S),
    ):
        monkeypatch.setattr(repl_ampy, name, value)


def there(emulator):
    with deploy.opened(emulator.port) as repl:
        return flash.hashes(repl)


def planned(repl, wanted):
    """Return what flashing would write of these files, as source; nothing goes."""
    todo = flash.plan(repl, flash.probe(repl), images.board_facts(BOARD), "source", wanted)
    todo.remove = []
    return todo


def test_a_board_holds_what_mpremote_would_have_put_there(emulator, capsys, monkeypatch):
    entered = []
    enter = pyboard.Pyboard.enter_raw_repl
    monkeypatch.setattr(
        pyboard.Pyboard, "enter_raw_repl", lambda self: entered.append(self) or enter(self)
    )
    compiled = deploy.files(images.board_facts(BOARD), images.mpy_cross())
    # once, not at each call
    monkeypatch.setattr(deploy, "files", lambda *more, **options: dict(compiled))

    assert cli.main(["flash", emulator.port, "--tool", "ampy", "--dry-run", "--json"]) == 0
    todo = json.loads(capsys.readouterr().out)["plan"]
    assert (
        there(emulator) == {}
        and len(todo["write"]) > 40
        and todo["bytes"] > 50_000
        and len(entered) == 1
    )

    assert cli.main(["flash", emulator.port, "--tool", "ampy", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (
        done["plan"]["write"] == todo["write"]
        and done["info"]["board"].startswith(BOARD)
        and done["info"]["configured"]
    )
    assert len(entered) == 2, "one soft reset for all the files"

    del entered[:]
    same = commands_boards.flash(emulator.port, None, main=False, dry_run=True)["plan"]
    assert (
        not entered
        and same["write"] == same["remove"] == []
        and {*same["keep"], "/main.py"} == set(todo["write"])
    )
    assert not [path for path in there(emulator) if path.endswith(flash.NEW)]


def test_files_of_all_bytes_arrive(emulator):
    block = repl_ampy._BLOCK
    content = bytes(range(256)) * 17 + b"\x04\x03\r\n\x00'\"\\" * 9
    files = {
        f"/bytes{i}": data
        for i, data in enumerate((content, b"", b"\x04", content[:block], content[: block + 1]))
    }
    heard = []
    with deploy.opened(emulator.port, AmpyRepl) as repl:
        flash.write(repl, files, lambda *told: heard.append(told))
        assert {path: repl.read_file(path) for path in files} == files
        repl.run(programs.program("remove", list(files)), 10)
        with pytest.raises(DeviceError, match="ENOENT"):
            repl.read_file("/bytes0")
    assert (
        heard == sorted(heard)
        and len(heard) > len(files)
        and heard[-1] == (sum(map(len, files.values())),) * 2
    )


def test_broken_off_the_old_files_stay_and_either_tool_completes_it(emulator):
    old = there(emulator)
    paths = [f"/lib/quipu/{name}" for name in ("extra.py", "more.py", "third.py")]
    wanted = {path: b"# new\n" * 500 for path in paths} | {"/main.py": MINE}

    with pytest.raises(CutError), deploy.opened(emulator.port, AmpyRepl) as repl:
        todo = planned(repl, wanted)
        flash.carry_out(repl, todo, wanted, cut_half_way(emulator))
    emulator.start()
    with quipu.connect(emulator.port) as board:
        assert board.info()["configured"]  # the old application
    now = there(emulator)
    assert {path: now[path] for path in old} == old and set(now) - set(old) <= {
        path + flash.NEW for path in paths
    }

    with deploy.opened(emulator.port, AmpyRepl) as repl:
        rest = planned(repl, wanted)
        assert paths[0] in rest.staged and 0 < rest.bytes < todo.bytes
        flash.carry_out(repl, rest, wanted)
    with deploy.opened(emulator.port) as repl:
        assert planned(repl, wanted).write == [] and repl.read_file("/main.py") == MINE
    assert set(there(emulator)) == {*old, *paths}


def test_a_cable_pulled_anywhere_costs_the_same_command_again(emulator):
    old = there(emulator)
    paths = [f"/lib/quipu/{name}" for name in ("fourth.py", "fifth.py", "sixth.py")]
    wanted = {path: b"# pulled\n" * 400 for path in paths}
    # while it enters, while it asks, and below while it writes the second file
    for allowed in (30, 900, 1_000_000):
        with (
            pytest.raises(PortError),
            Cable(emulator.port, allowed) as cable,
            deploy.opened(cable.port, AmpyRepl) as repl,
        ):

            def pull(done, total, cable=cable):
                if done > total // 3:
                    cable.left = 0

            flash.carry_out(repl, planned(repl, wanted), wanted, pull)
    now = there(emulator)
    assert {path: now[path] for path in old} == old and not set(paths) & set(now)
    with deploy.opened(emulator.port, AmpyRepl) as repl:
        rest = planned(repl, wanted)
        assert rest.staged == paths[:1] and rest.write == paths
        flash.carry_out(repl, rest, wanted)
    with deploy.opened(emulator.port) as repl:
        assert planned(repl, wanted).keep == paths
    assert set(there(emulator)) == {*old, *wanted, deploy.ENTROPY}


def test_what_arrives_wrong_is_not_switched_to(emulator, monkeypatch):
    old = there(emulator)
    encode = repl_ampy.b2a_base64
    monkeypatch.setattr(
        repl_ampy,
        "b2a_base64",
        lambda data, **more: encode(bytes([data[0] ^ 1]) + data[1:], **more),
    )
    wanted = {"/main.py": b"print('other')\n"}
    with (
        pytest.raises(
            PortError, match=r"/main.py.new is not what was sent; the old files are in place"
        ),
        deploy.opened(emulator.port, AmpyRepl) as repl,
    ):
        flash.carry_out(repl, planned(repl, wanted), wanted)
    now = there(emulator)
    assert now.pop("/main.py.new") and now == old


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("while True:\n    pass", "timeout waiting for first EOF"),
        ("while True:\n    print('busy')", "talks on and on"),
    ],
)
def test_a_program_that_does_not_end_is_given_up(emulator, impatient, code, message):
    start = time.monotonic()
    with pytest.raises(PortError, match=message), deploy.opened(emulator.port, AmpyRepl) as repl:
        repl.run(code, 0.3)
    assert time.monotonic() - start < LIMIT_S
    assert there(emulator)  # it was interrupted


@pytest.mark.parametrize("peer", PEERS)
def test_a_wedged_board_ends_it(impatient, capsys, peer):
    with Peer(PEERS[peer]) as wedged:
        start = time.monotonic()
        assert cli.main(["flash", wedged.port, "--tool", "ampy", "--json"]) == 3
        assert time.monotonic() - start < LIMIT_S
    # and nothing else, though ampy prints
    said = json.loads(capsys.readouterr().out)["error"]["message"]
    assert said.startswith(f"{wedged.port}: ") and len(said.split()) > 6 and wedged.heard
    assert {"silent": "the board says nothing", "chatter": "talks on and on"}.get(peer, "") in said


@pytest.mark.parametrize("rfc2217", (False, True))
def test_over_the_network(emulator, rfc2217):
    with Bridge(emulator.port, rfc2217) as bridge:
        plan = commands_boards.flash(bridge.url, None, main=True, dry_run=True, tool="ampy")["plan"]
    assert plan["board"] == BOARD and plan["write"]


def test_ampy_is_an_extra(monkeypatch, capsys):
    for name in ("ampy", "ampy.pyboard"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "quipu.install.repl_ampy")
    monkeypatch.delattr(install, "repl_ampy")
    assert cli.main(["flash", "/dev/no-such-port", "--tool", "ampy"]) == 2
    assert "pip install 'quipu-mcu[ampy]'" in capsys.readouterr().err


def test_what_ampy_cannot_do_is_refused(emulator, capsys):
    assert cli.main(["flash", emulator.port, "--tool", "ampy", "--erase-log"]) == 2
    assert "--erase-log reads the log over mpremote only" in capsys.readouterr().err
    with (
        pytest.raises(PortError, match="nothing to running code"),
        deploy.opened(emulator.port, AmpyRepl) as repl,
    ):
        repl.start("pass")
