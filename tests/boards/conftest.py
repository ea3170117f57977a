"""What tests of a whole board share: a flash onto which Quipu was copied once, never started."""

import shutil

import pytest
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.install import files as deploy
from quipu.install.flash import flash as flash_board

BOARD = "MPS2_AN386"


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """The flash of a bare MPS2_AN386 with Quipu as .mpy and entropy for one genesis; no main.py,
    the log region blank."""
    flash = tmp_path_factory.mktemp("template") / "flash.bin"
    with Emulator(BOARD, flash, frozen=False) as emulator:
        done = flash_board(emulator.port, main=None)
        assert len(done.write) > 20
    return flash


@pytest.fixture(scope="module")
def copied(template, tmp_path_factory):
    """A function that returns a new file: that flash, perhaps with more files on it, {path:
    contents}, or fewer (None)."""

    def copy(files=None):
        flash = tmp_path_factory.mktemp("copied") / "flash.bin"
        shutil.copy(template, flash)
        if files:
            with Emulator(BOARD, flash, frozen=False) as emulator:
                place(emulator, files)
            blank_log(flash)
        return flash

    return copy


def place(emulator, files):
    """Write files on a running board, or remove those whose contents are None; then reset it
    softly."""
    with deploy.opened(emulator.port) as repl:
        for path, content in files.items():
            if content is None:
                repl.run(f"import os\nos.remove({path!r})", 10)
            else:
                if path.count("/") == 2:
                    repl.make_folder(path.rpartition("/")[0])
                repl.write_file(path, content if isinstance(content, bytes) else content.encode())


def blank_log(flash):
    """Erase the log region of a flash whose board is off: a main.py may have begun a log when it
    was put there."""
    log = images.board_facts(BOARD)["log"]
    with flash.open("r+b") as file:
        file.seek(log["start"])
        file.write(b"\xff" * log["size"])


class CutError(Exception):
    """Raised by a cut: what was under way has ended."""


def cut_half_way(emulator=None):
    """Return a callback of progress (done, total) that ends what is under way past its half; with a
    board, by killing it."""

    def cut(done, total):
        if done > total // 2:
            if emulator:
                emulator.kill()
            raise CutError

    return cut
