"""`quipu flash` where the filesystem cannot hold old and new files at once: it says so with
numbers, and nothing goes without consent."""

import json
import os

import pytest
import quipu
from quipu.build.emulator import Emulator
from quipu.cli import install as commands_boards
from quipu.cli import main as cli
from quipu.install import files as deploy
from quipu.install import flash

from tests.boards.conftest import CutError, cut_half_way

BOARD = "MPS2_AN386"
LEFT = 30  # blocks of 4096 that a file of the user's leaves free: fewer than Quipu has files


def fill(emulator, left):
    """Let a file of the user's take all but so many blocks."""
    with deploy.opened(emulator.port) as repl:
        repl.run(
            f"""
import os
try:
    os.remove("/mine.bin")
except OSError:
    pass
with open("/mine.bin", "wb") as f:
    for _ in range(os.statvfs("/")[3] - {left} - 2):
        f.write(bytes(4096))
""",
            60,
        )


def there(emulator):
    with deploy.opened(emulator.port) as repl:
        return flash.hashes(repl)


@pytest.fixture
def emulator(monkeypatch):
    """A flashed board with little space, and new versions of all its modules."""
    with Emulator(BOARD, frozen=False) as it:
        commands_boards.flash(it.port, None, main=False, dry_run=False)
        fill(it, LEFT)
        contents = flash.contents

        def newer(found, facts, main):
            form, wanted = contents(found, facts, main)
            return form, {
                path: content + b"\0" if path.endswith(".mpy") else content
                for path, content in wanted.items()
            }

        monkeypatch.setattr(flash, "contents", newer)
        yield it


def test_it_is_refused_with_numbers_agreed_to_and_completed_after_a_cut(
    emulator, monkeypatch, capsys
):
    old = there(emulator)
    start = ["flash", emulator.port]
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # nobody can be asked
    assert cli.main(start) == 1
    plan = commands_boards.flash(emulator.port, None, main=False, dry_run=True)["plan"]
    modules = [path for path in old if path.endswith(".mpy")]
    assert sorted(plan["first"]) == sorted(modules) and plan["need"] > plan["free"] > 0
    said = capsys.readouterr().err
    assert (
        f"do not fit at once: {plan['need']:,} bytes are to be written and {plan['free']:,} are "
        f"free" in said
    )
    assert f"{len(modules)} old files can go first" in said and "say --yes" in said
    monkeypatch.setattr(commands_boards, "_asker", lambda: lambda question: False)
    assert cli.main(start) == 1 and "nothing was written" in capsys.readouterr().err
    assert there(emulator) == old
    carry_out = flash.carry_out

    asked = []
    monkeypatch.setattr(
        commands_boards, "_asker", lambda: lambda question: asked.append(question) or True
    )
    monkeypatch.setattr(
        flash,
        "carry_out",
        lambda repl, todo, wanted, progress: carry_out(repl, todo, wanted, cut_half_way(emulator)),
    )
    with pytest.raises(CutError):
        commands_boards.flash(emulator.port, None, main=False, dry_run=False)
    assert len(asked) == 1 and "Remove them first?" in asked[0]
    monkeypatch.setattr(flash, "carry_out", carry_out)
    emulator.start()
    assert not [path for path in there(emulator) if path.endswith(".mpy")]
    capsys.readouterr()
    assert cli.main(["flash", emulator.port, "--yes", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["plan"]["staged"] and done["info"]["configured"]
    now = there(emulator)
    assert set(now) == set(old) and all(now[path] != old[path] for path in modules)
    with quipu.connect(emulator.port) as board:
        assert board.put(b"mode", b"run") > 0


def test_where_even_without_the_old_files_there_is_no_room_nothing_goes(
    emulator, monkeypatch, capsys
):
    old = there(emulator)
    contents = flash.contents

    def large(found, facts, main):
        form, wanted = contents(found, facts, main)
        return form, {**wanted, "/lib/quipu/large.py": bytes(500_000)}

    monkeypatch.setattr(flash, "contents", large)
    assert cli.main(["flash", emulator.port, "--yes"]) == 3
    said = capsys.readouterr().err
    assert "there is no room for Quipu's files" in said and "remove files of yours" in said
    assert there(emulator) == old
