"""What meets somebody who does not know the command yet: names that are mistyped, a board that is
another one, a folder that was not meant, an emulator without images."""

import io
import re
import subprocess
import sys
from contextlib import nullcontext

import pytest
import quipu
from quipu.build import images
from quipu.cli import boards as emulating
from quipu.cli import main, prove, render
from quipu.errors import NoArchive, UsageError
from quipu.install import boards, flash
from quipu.text import near

from tests.host.test_cli import environment, folder, log, write  # noqa: F401  # fixtures

ITS = "ab" * 32


class Other:
    """A live board with a log of its own. changed: what it says of itself otherwise."""

    def __init__(self, **changed):
        self.said = {
            "board": "RPI_PICO/e660",
            "configured": True,
            "log": ITS,
            "seq": 3,
            "first_seq": 0,
            "head": ITS,
            "root": ITS,
            "damage": None,
        } | changed

    def info(self):
        return self.said

    def frames(self, seq, head):
        raise AssertionError("there is nothing to compare")


def shown(folder, board, capsys):  # noqa: F811
    """Return the words of the verdict on an archive and a live board, and its data."""
    found = quipu.verify(folder, board).as_dict()
    render.show(render.verdict({**found, "behind": None, "last_sync": None}))
    return " ".join(re.sub("[│║]", " ", capsys.readouterr().out).split()), found


def test_verifying_with_another_board_says_so_with_both_names(folder, capsys):  # noqa: F811
    said, found = shown(folder, Other(), capsys)
    assert found["verdict"] == "mismatch" and found["exit_code"] == 1
    assert "MISMATCH: this is another board. The archive is of test, and RPI_PICO/e660" in said
    assert (
        "was altered" not in said.split("Nothing says that")[0] and "the archive's end" not in said
    )
    assert (found["live"]["board"], found["live"]["log"]) == ("RPI_PICO/e660", ITS)


def test_verifying_with_the_board_and_another_log_says_that(folder, capsys):  # noqa: F811
    said, _ = shown(folder, Other(board="test"), capsys)
    assert "MISMATCH: test has begun another log since" in said and "altered" not in said


def test_verifying_with_a_blank_board_says_that(folder, capsys):  # noqa: F811
    said, _ = shown(folder, Other(configured=False), capsys)
    assert "no log that could be compared, but a blank region" in said and "altered" not in said


def test_an_altered_archive_is_still_called_altered(folder, capsys):  # noqa: F811
    found = quipu.verify(folder, expect_root=bytes(32)).as_dict()
    render.show(render.verdict({**found, "behind": None, "last_sync": None}))
    assert "MISMATCH: something was altered" in capsys.readouterr().out


def test_a_sync_that_makes_an_archive_says_so(log, tmp_path, capsys):  # noqa: F811
    source = write(tmp_path / "source", log)
    for expected in ("fresh: a new archive, to seq ", "fresh, to seq "):
        render.show(prove.show_sync(prove.sync(str(source), str(tmp_path / "fresh"))))
        assert expected in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("RPI_PICCO", "RPI_PICO"), ("rpi_pico2", "RPI_PICO2"), ("MPS2_AN368", "MPS2_AN38"), ("x", "")],
)
def test_a_board_that_there_is_not_is_refused_before_the_port_is_opened(name, hint, monkeypatch):
    monkeypatch.setattr(flash.deploy, "opened", None)
    with pytest.raises(UsageError, match=f"there is no board '{name}'") as caught:
        flash.flash("/dev/no-such-port", name)
    assert all(each in str(caught.value) for each in boards.names())
    assert ("Did you mean " in str(caught.value)) == bool(hint) and hint in str(caught.value)


def test_words_that_are_near():
    assert near("xsync", ("sync", "put")) == "Did you mean sync?"
    assert near("zzz", ("sync", "put")) == ""


def test_the_help_of_emulate_names_every_emulated_board_and_how_to_get_images():
    said = emulating.emulate.__doc__
    assert all(name in said for name in images.boards())
    assert "QUIPU_IMAGES" in said and "make images" in said and "sdist" in said


@pytest.mark.parametrize("module", ["quipu", "quipu.cli"])
def test_python_m_is_the_command(module, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", module, "verify", tmp_path],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == NoArchive.exit_code
    assert done.stderr.startswith("quipu: ") and "is no archive" in done.stderr


@pytest.mark.parametrize(
    ("said", "expected"), [("", "interrupted"), ("interrupted: it may be recorded", None)]
)
def test_what_an_interrupted_change_says_reaches_the_person(said, expected, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt(*filter(None, [said]))

    monkeypatch.setattr(quipu, "connect", interrupted)
    assert main.main(["put", "/dev/board", "mode", "run"]) == main.EXIT_INTERRUPTED
    assert capsys.readouterr().err.splitlines()[-1] == f"quipu: {expected or said}"


@pytest.mark.parametrize("said", ["", "interrupted: it may be recorded"])
def test_many_records_that_are_interrupted_are_counted(said, monkeypatch, capsys):
    class Interrupted:
        config = None
        ids = iter((1, 2))

        def insert(self, *record):
            for ident in self.ids:
                return ident
            raise KeyboardInterrupt(*filter(None, [said]))

    monkeypatch.setattr(quipu, "connect", lambda port: nullcontext(Interrupted()))
    monkeypatch.setattr(sys, "stdin", io.StringIO("[1]\n[2]\n[3]\n[4]\n"))
    assert main.main(["insert", "/dev/board", "-"]) == main.EXIT_INTERRUPTED
    expected = f"quipu: {said or 'interrupted'} (of 4 records, the first 2 were inserted)"
    assert capsys.readouterr().err.splitlines()[-1] == expected
