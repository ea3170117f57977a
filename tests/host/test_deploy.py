"""Flashing from a program: what is there is not written again, what is stale goes, and the board
then answers as Quipu."""

import hashlib

import pytest
import quipu
from quipu.build import images, modules, natives
from quipu.build.emulator import Emulator
from quipu.install import files as deploy
from quipu.install.flash import flash

BOARD = "MPS2_AN386"


@pytest.fixture(scope="module")
def emulator():
    with Emulator(BOARD, frozen=False) as it:
        yield it


@pytest.fixture(scope="module")
def compiler():
    return images.mpy_cross()


def on(emulator, code):
    """Run code on the board; return what it printed."""
    with deploy.opened(emulator.port) as repl:
        return repl.run(code, 10).decode()


def test_what_a_board_gets(compiler):
    facts = images.board_facts(BOARD)
    sources, compiled = deploy.files(facts), deploy.files(facts, compiler)
    assert [path.replace(".mpy", ".py") for path in compiled] == [
        path.replace(".mpy", ".py") for path in sources
    ]
    assert {path.rpartition("/")[0] for path in sources} == {
        "/lib/shared_kernel",
        "/lib/quipu",
        "/lib",
        "",
    }
    assert sources[deploy.NATIVE] == compiled[deploy.NATIVE] == natives.build("armv7m").read_bytes()
    assert sources.keys() - deploy.files(facts, native=False).keys() == {deploy.NATIVE}
    assert (
        b"def sub(" in sources["/lib/shared_kernel/fixed.py"]
        and compiled["/lib/shared_kernel/fixed.mpy"][:1] == b"M"
    )
    # the same bytes each time, or every deploy would write them anew
    assert compiled == deploy.files(facts, compiler)
    assert all(
        b"/" + str(images.checkout_root()).encode() not in content for content in compiled.values()
    )


def test_a_board_becomes_a_quipu_board(emulator, compiler):
    facts = images.board_facts(BOARD)
    would = flash(emulator.port, dry_run=True)
    assert set(would.write) - set(flash(emulator.port, main=None, dry_run=True).write) == {
        "/main.py"
    }
    with pytest.raises(quipu.errors.PortError, match="no Quipu"):
        quipu.connect(emulator.port)

    first = flash(emulator.port)
    assert (
        set(first.write) == {*deploy.files(facts, compiler), "/main.py"}
        and not first.keep
        and not first.remove
    )
    assert first == would
    with quipu.connect(emulator.port) as board:
        info = board.info()
        assert info["board"].startswith(BOARD) and info["configured"]

    # MicroPython would take it before memory.mpy
    on(
        emulator,
        "open('/lib/quipu/memory.py', 'w').write('raise ValueError')\n"
        "open('/lib/quipu/viper.mpy', 'w').write('old')\nopen('/mine.py', 'w').write('1')",
    )
    second = flash(emulator.port, main=None)
    assert second.write == ["/lib/quipu/viper.mpy"] and second.remove == ["/lib/quipu/memory.py"]
    assert len(second.keep) == len(first.write) - 2
    with quipu.connect(emulator.port) as board:
        assert board.info()["provider"] == "native"

    digest = hashlib.sha256(deploy.MAIN.encode()).hexdigest()
    code = "import os, hashlib\nprint('mine.py' in os.listdir(), hashlib.sha256(open('/main.py').read()).digest().hex())"
    assert on(emulator, code).split() == ["True", digest]


def test_a_port_that_is_none():
    with pytest.raises(quipu.errors.PortError, match="there-is-no-such-port"):
        flash("/dev/there-is-no-such-port")


def test_a_file_that_does_not_compile_is_named(compiler, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("def (:\n")
    with pytest.raises(modules.CompileError, match="broken.py"):
        modules.compiled(compiler, tmp_path / "broken.py", "quipu/broken", "armv7em")
