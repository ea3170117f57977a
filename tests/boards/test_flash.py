"""`quipu flash` and `quipu attach` on an emulated board with plain MicroPython: whole or not at
all, whatever breaks off."""

import json
import os

import pytest
import quipu
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.cli import install as commands_boards
from quipu.cli import main as cli
from quipu.errors import FlashError, PortError, UsageError
from quipu.install import attach, boards, flash
from quipu.install import files as deploy

from tests.boards.conftest import CutError, cut_half_way

BOARD = "MPS2_AN386"
MINE = "import quipu\nquipu.start()\nquipu.serve()\nprint('mine')\n"


@pytest.fixture(scope="module")
def emulator():
    with Emulator(BOARD, frozen=False) as it:
        yield it


def found(**changes):
    facts = {
        "name": "micropython",
        "version": (1, 25, 0),
        "machine": f"{BOARD} with Cortex-M4",
        "mpy": 7942,
        "heap": 500_000,
        "block": 4096,
        "blocks": 256,
        "free": 250,
        "has_main": False,
    }
    return flash.Probe(**{**facts, **changes})


def there(emulator):
    with deploy.opened(emulator.port) as repl:
        return flash.hashes(repl)


def test_a_board_is_flashed_and_answers(emulator):
    todo = commands_boards.flash(emulator.port, None, main=False, dry_run=True)["plan"]
    assert (
        there(emulator) == {}
        and len(todo["write"]) > 40
        and todo["bytes"] > 50_000
        and not todo["keep"]
    )

    done = commands_boards.flash(emulator.port, None, main=False, dry_run=False)
    assert (
        done["plan"]["write"] == todo["write"]
        and done["info"]["board"].startswith(BOARD)
        and done["info"]["configured"]
    )
    names = there(emulator)
    assert "/main.py" in names and not [name for name in names if name.endswith(flash.NEW)]

    with quipu.connect(emulator.port) as board:
        seq = board.info()["seq"]
    with deploy.opened(emulator.port) as repl:
        repl.write_file("/main.py", MINE.encode())
        repl.write_file("/lib/quipu/memory.py", b"raise ValueError")
    again = commands_boards.flash(emulator.port, None, main=False, dry_run=False)
    assert again["plan"]["write"] == [] and again["plan"]["remove"] == ["/lib/quipu/memory.py"]
    assert again["info"]["seq"] >= seq  # the log lives on
    with deploy.opened(emulator.port) as repl:
        assert repl.read_file("/main.py") == MINE.encode()
    replaced = commands_boards.flash(emulator.port, BOARD, main=True, dry_run=False)
    assert replaced["plan"]["write"] == ["/main.py"]


def test_broken_off_the_old_files_stay_and_the_next_run_completes_it(emulator):
    old = there(emulator)
    paths = [f"/lib/quipu/{name}" for name in ("extra.py", "more.py", "third.py")]
    wanted = {path: b"# new\n" * 500 for path in paths} | {"/main.py": MINE.encode() + b"# newer\n"}
    facts = images.board_facts(BOARD)

    with pytest.raises(CutError), deploy.opened(emulator.port) as repl:
        todo = flash.plan(repl, flash.probe(repl), facts, "source", wanted)
        todo.remove = []
        flash.carry_out(repl, todo, wanted, cut_half_way(emulator))
    emulator.start()
    with quipu.connect(emulator.port) as board:
        assert board.info()["configured"]
    now = there(emulator)
    assert {path: now[path] for path in old} == old and set(now) - set(old) <= {
        path + flash.NEW for path in paths
    }
    assert paths[0] + flash.NEW in now

    with deploy.opened(emulator.port) as repl:
        rest = flash.plan(repl, flash.probe(repl), facts, "source", wanted)
        assert paths[0] in rest.staged and rest.bytes < todo.bytes
        rest.remove = []
        flash.carry_out(repl, rest, wanted)
    assert set(there(emulator)) == {*old, *paths}


def test_what_arrives_wrong_is_not_switched_to(emulator, monkeypatch):
    old = there(emulator)
    send = flash.send
    monkeypatch.setattr(
        flash,
        "send",
        lambda repl, files, *more: send(
            repl, {path: bytes([data[0] ^ 1]) + data[1:] for path, data in files.items()}, *more
        ),
    )
    wanted = {"/main.py": b"print('other')\n"}
    with (
        pytest.raises(
            PortError, match=r"/main.py.new is not what was sent; the old files are in place"
        ),
        deploy.opened(emulator.port) as repl,
    ):
        todo = flash.plan(repl, flash.probe(repl), images.board_facts(BOARD), "source", wanted)
        todo.remove = []
        flash.carry_out(repl, todo, wanted)
    now = there(emulator)
    assert now.pop("/main.py.new") and now == old


def test_every_byte_arrives_packed_or_not(emulator):
    """Those that a terminal keeps for itself too, at the edges of blocks too."""
    block = flash._BLOCK
    content = (
        bytes(range(256)) * 3
        + b"\r" * block
        + b"\x03\r\x10" * block
        + b"\x10R\x10C\x10P" * 99
        + b"\x10"
    )
    with deploy.opened(emulator.port) as repl:
        assert flash.receiver(repl)
        for packed in (True, False):
            files = {
                f"/bytes{i}": data
                for i, data in enumerate(
                    (content, b"", b"\x03", content[:block], content[: block + 1])
                )
            }
            heard = []
            flash.send(repl, files, packed, lambda *told, heard=heard: heard.append(told))
            assert heard == sorted(heard) and heard[-1] == (sum(map(len, files.values())),) * 2
            for path, data in files.items():
                assert repl.read_file(path) == data
                repl.run(f"import os\nos.remove({path!r})", 10)


def test_facts_that_place_the_log_elsewhere_are_refused(emulator):
    facts = images.board_facts(BOARD)
    moved = {**facts, "log": {**facts["log"], "start": facts["log"]["start"] + 4096}}
    with pytest.raises(PortError, match="quipu sync"), deploy.opened(emulator.port) as repl:
        flash.plan(
            repl, flash.probe(repl), moved, ".mpy", {"/quipu.json": json.dumps(moved).encode()}
        )


def test_a_log_of_a_crashed_application_is_attached_to(emulator, tmp_path):
    with quipu.connect(emulator.port) as board:
        board.put(b"mode", b"run")
        info = board.info()
    with deploy.opened(emulator.port) as repl:
        repl.write_file("/main.py", b"raise ValueError('crashed')\n")
    kept = tmp_path / "watch.region"

    with pytest.raises(CutError), deploy.opened(emulator.port) as repl:
        attach.read(repl, kept, cut_half_way())
    assert kept.stat().st_size > 100_000
    data = commands_boards.attach(emulator.port, str(tmp_path / "watch"))
    assert data["verdict"]["verdict"] == "match" and data["exit_code"] == 0
    assert data["seq"] == info["seq"] and data["verdict"]["state_root"] == info["root"]
    assert not kept.exists()


def test_a_log_is_erased_only_by_who_knows_what_is_lost(emulator, tmp_path, monkeypatch, capsys):
    commands_boards.flash(emulator.port, None, main=True, dry_run=False)
    archive = str(tmp_path / "watch")
    with quipu.connect(emulator.port) as board:
        board.sync(archive)
        synced = board.info()
        last = [board.put(b"late", b"%d" % i) for i in range(3)][-1]
    start = ["flash", emulator.port, "--erase-log"]
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # nobody can be asked
    assert cli.main(start) == 2
    said = capsys.readouterr().err
    assert f"destroys log {synced['log'][:16]}... of {synced['board']}, seq 0 to {last}" in said
    assert (
        f"{last + 1} of them, seq 0 to {last}, are in no archive given" in said
        and "say --yes" in said
    )
    assert cli.main([*start, "--archive", archive]) == 2
    assert (
        f"3 of them, seq {last - 2} to {last}, are in no archive given" in capsys.readouterr().err
    )
    assert (
        cli.main([*start, "--main"]) == 2
        and cli.main(["flash", emulator.port, "--archive", archive]) == 2
    )
    with quipu.connect(emulator.port) as board:
        assert (board.info()["log"], board.info()["seq"]) >= (synced["log"], last)
    capsys.readouterr()
    assert cli.main([*start, "--archive", archive, "--yes", "--json"]) == 0
    erased = json.loads(capsys.readouterr().out)["erased"]
    assert (erased["log"], erased["last"], erased["nowhere"], erased["archives"]) == (
        synced["log"],
        last,
        3,
        [archive],
    )
    assert commands_boards._started(emulator.port)["log"] != synced["log"]
    # the archive of another log says nothing of this one
    assert cli.main([*start, "--archive", archive, "--yes"]) == 1
    assert "another log" in capsys.readouterr().err
    assert quipu.verify(archive).verdict == "match"


def test_a_sector_that_arrives_wrong_is_refused(emulator, tmp_path, monkeypatch):
    run = attach.Repl.run
    monkeypatch.setattr(
        attach.Repl,
        "run",
        lambda self, code, timeout: (
            run(self, code, timeout).replace(b"\n", b"AAAA\n", 1)
            if code.startswith("read")
            else run(self, code, timeout)
        ),
    )
    with (
        pytest.raises(FlashError, match="sector 0 did not arrive"),
        deploy.opened(emulator.port) as repl,
    ):
        attach.read(repl, tmp_path / "kept")


def test_stock_firmware_keeps_its_log_in_files(tmp_path, monkeypatch):
    emulated = images.board_facts(BOARD)
    stock = {**boards.for_stock("RPI_PICO"), "name": BOARD, "mpy_arch": emulated["mpy_arch"]}
    monkeypatch.setattr(flash, "facts_for", lambda found, board: stock)
    with Emulator(BOARD, frozen=False) as emulator:
        info = commands_boards.flash(emulator.port, None, main=False, dry_run=False)["info"]
        assert info["sector"] * info["sectors"] == stock["log"]["size"]
        with quipu.connect(emulator.port) as board:
            board.put(b"mode", b"run")
            board.sync(tmp_path / "archive")
        assert quipu.verify(tmp_path / "archive").verdict == "match"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            b"('circuitpython', (9, 0, 0), '', 0, 200000, 4096, 256, 9, False)",
            "expected MicroPython, found circuitpython",
        ),
        (b"('micropython', (1, 19, 1), '', 0, 200000, 4096, 256, 9, False)", "1.19.1 is too old"),
        (
            b"('micropython', (1, 25, 0), '', 0, 50000, 4096, 256, 9, False)",
            "heap of 50,000 bytes.*122,880",
        ),
        (b"hello", "answers b'hello'"),
    ],
)
def test_what_cannot_run_it_is_refused(answer, message):
    class Fake:
        name = "PORT"

        def run(self, code, timeout):
            return answer

    with pytest.raises(PortError, match=message):
        flash.probe(Fake())


def test_which_board_it_is():
    assert flash.facts_for(found(), None)["name"] == BOARD
    assert (
        flash.facts_for(found(machine="Raspberry Pi Pico with RP2040", mpy=4 << 10 | 0x306), None)[
            "driver"
        ]
        == "files"
    )
    with pytest.raises(UsageError, match="choose one with --board.*RPI_PICO"):
        flash.facts_for(found(machine="Some board with ESP32"), None)
    with pytest.raises(
        UsageError,
        match="--board RPI_PICO is 'Raspberry Pi Pico with RP2040', and this board says it is 'MPS2",
    ):
        flash.facts_for(found(), "RPI_PICO")
    with pytest.raises(UsageError, match="mpy_arch armv6m, and this board takes armv7emsp"):
        flash.facts_for(found(machine="Raspberry Pi Pico with RP2040"), None)


def test_boards_whose_compiler_is_not_ours_get_sources():
    form, wanted = flash.contents(found(mpy=0x206), images.board_facts(BOARD), main=False)
    assert form == "source" and "/lib/quipu/memory.py" in wanted and deploy.NATIVE not in wanted
    form, wanted = flash.contents(found(), images.board_facts(BOARD), main=False)
    assert form == ".mpy" and "/lib/quipu/memory.mpy" in wanted and "/main.py" in wanted
    assert (
        "/main.py"
        not in flash.contents(found(has_main=True), images.board_facts(BOARD), main=False)[1]
    )
