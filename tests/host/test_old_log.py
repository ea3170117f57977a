"""A board that holds a log of format 1: named before anything is written, archived by `attach`, and
erased only when that is meant."""

import contextlib
import gzip
import io
import sys
import types
from pathlib import Path

import pytest
from quipu import errors
from quipu.archive.files import Archive
from quipu.cli import install
from quipu.dump.image import FlashImage
from quipu.install import erase, flash, programs

IMAGE = gzip.decompress((Path(__file__).parent / "format_1.bin.gz").read_bytes())
WHOLE = gzip.decompress((Path(__file__).parent / "format_1_header.bin.gz").read_bytes())


class Repl:
    """A board that runs code as Python does; it has a driver over a flash, or none. written: what
    came to it but code that only reads."""

    name, streams = "/dev/board", True

    def __init__(self, data=None):
        self.written = []
        self.startup = types.ModuleType("quipu.startup")
        if data is not None:
            self.startup.board_facts = dict
            self.startup.open_flash = lambda facts: FlashImage(data, 4096, 256, 4)

    def run(self, code, timeout):
        if code not in (programs.program("old_log"), programs.program("frozen")):
            self.written.append(code)
            return b""
        out = io.StringIO()
        before = sys.modules.get("quipu.startup")
        sys.modules["quipu.startup"] = self.startup
        try:
            with contextlib.redirect_stdout(out):
                exec(code, {})
        finally:
            sys.modules.pop("quipu.startup") if before is None else sys.modules.update(
                {"quipu.startup": before}
            )
        return out.getvalue().encode()

    def write_file(self, path, data, progress=None):
        self.written.append(path)

    make_folder = write_file


@pytest.fixture
def board(monkeypatch):
    """Set up a board; what `quipu flash` would have to ask it is answered."""

    def made(data):
        repl = Repl(data)
        monkeypatch.setattr(
            install.deploy, "opened", lambda port, tool=None: contextlib.nullcontext(repl)
        )
        monkeypatch.setattr(
            flash,
            "probe",
            lambda repl: flash.Probe(
                "micropython", (1, 25, 0), "M", 7942, 500_000, 4096, 256, 250, False
            ),
        )
        return repl

    return made


@pytest.mark.parametrize("more", [{}, {"dry_run": True}, {"yes": True, "main": True}])
def test_flashing_over_a_format_1_log_stops_and_prints_the_way(board, more):
    repl = board(IMAGE)
    with pytest.raises(errors.Refused) as caught:
        install.flash("/dev/board", None, **{"main": False, "dry_run": False, **more})
    said = str(caught.value)
    assert (
        "holds a log of format 1" in said and "Nothing was written" in said and repl.written == []
    )
    steps = (
        "quipu attach /dev/board --archive DIR",
        "quipu flash /dev/board --erase-log --archive DIR",
        "flash again: quipu flash /dev/board",
        "quipu restore DIR /dev/board",
    )
    assert [said.index(each) for each in steps] == sorted(said.index(each) for each in steps)


@pytest.mark.parametrize("data", [None, b"\xff" * 65536, b"QUP1" + bytes(65532)])
def test_a_board_without_such_a_log_is_flashed(data):
    flash.need_no_old_log(Repl(data))


def attached(monkeypatch, board, data, folder):
    board(data)
    monkeypatch.setattr(
        install.reader,
        "read",
        lambda repl, kept, progress: kept.write_bytes(data) and FlashImage(data, 4096, 256, 4),
    )
    return install.attach("/dev/board", str(folder))


def test_attach_archives_a_format_1_log(board, monkeypatch, tmp_path):
    told = attached(monkeypatch, board, WHOLE, tmp_path / "a")
    assert (told["format"], told["frames"], told["verdict"]["verdict"], told["exit_code"]) == (
        1,
        51,
        "match",
        0,
    )
    assert Archive(tmp_path / "a").identity == "MPS2_AN386/729cab1c3468e8a0"


def test_attach_says_what_it_left_out(board, monkeypatch, tmp_path):
    told = attached(monkeypatch, board, IMAGE, tmp_path / "a")
    assert (
        told["left"][0]["frames"] == 29 and told["exit_code"] == told["verdict"]["exit_code"] == 1
    )
    assert "acknowledged frames may be missing" in told["verdict"]["doubt"]


def test_erasing_a_format_1_log_says_what_is_lost(board, monkeypatch, tmp_path):
    attached(monkeypatch, board, WHOLE, tmp_path / "a")
    image = FlashImage(WHOLE, 4096, 256, 4)
    lost = erase.loss(image, [])
    assert (lost.frames, lost.nowhere, lost.first, lost.last) == (51, 51, 0, 50)
    assert erase.loss(image, [tmp_path / "a"]).nowhere == 0
    broken = erase.loss(FlashImage(IMAGE, 4096, 256, 4), [])
    assert (broken.frames, broken.unproved) == (
        21,
        29,
    ) and "and 29 frames more, which no archive can hold" in str(broken)
