"""A board uses native code only if it is right; otherwise it says why in `info`, and goes on with
viper."""

import shutil
import subprocess
import sys

import pytest
import quipu
from quipu.build import images, natives
from quipu.build.emulator import Emulator
from quipu.install import files as deploy

from tests.boards.conftest import BOARD
from tests.mutate import mutate

SOURCE = images.checkout_root() / "firmware" / "native"


def built(folder, arch="armv7m", line="", other=""):
    """Return the native module, built in folder from a source in which `line` reads `other`; it
    must build."""
    for path in SOURCE.iterdir():
        shutil.copy(path, folder)
    source = folder / "quipu_native.c"
    text = source.read_text()
    source.write_text(mutate(text, line, other, source.name, c=True) if line else text)
    done = subprocess.run(
        [
            "make",
            "-C",
            folder,
            f"MPY_DIR={images.micropython_source()}",
            f"ARCH={arch}",
            f"PYTHON={sys.executable}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return (folder / "quipu_native.mpy").read_bytes()


def asked(flash):
    """Return what info tells, after an insert and a search."""
    with Emulator(BOARD, flash, frozen=False) as emulator, quipu.connect(emulator.port) as board:
        first = board.insert([1] * 16)
        assert board.search([2] * 16, 1) == [(16, first)]
        return board.info()


def test_native_code_that_is_right_is_used(copied, tmp_path):
    found = asked(copied({"/main.py": deploy.MAIN, deploy.NATIVE: built(tmp_path)}))
    assert (found["provider"], found["native_refused"]) == ("native", None)


def test_without_native_code_viper_serves(copied):
    found = asked(copied({"/main.py": deploy.MAIN, deploy.NATIVE: None}))
    assert (found["provider"], found["native_refused"]) == ("viper", None)


@pytest.mark.parametrize(
    "line, other, why",
    (
        ("#define SEAM (1)", "#define SEAM (2)", "it is of version 2, the kernel needs 1"),
        ("cv[0] = a0 ^ c0;", "cv[0] = a0 + c0;", "its hash is wrong"),
        ("    return ~crc;", "    return crc;", "its CRC-32 is wrong"),
        (
            "        sum += each;\n    }\n    return sum;",
            "        sum += 2 * each;\n    }\n    return sum;",
            "its distance is wrong",
        ),
        ("if (++seq == 0) {", "if (seq == 0) {", "its scan of frames is wrong"),
        (
            "mp_store_global(MP_QSTR_seam, MP_OBJ_NEW_SMALL_INT(SEAM));",
            "",
            "it is of version None, the kernel needs 1",
        ),
    ),
    ids=("another version", "hash", "CRC", "distance", "frames", "no version"),
)
def test_native_code_that_is_wrong_is_refused(copied, tmp_path, line, other, why):
    found = asked(
        copied({"/main.py": deploy.MAIN, deploy.NATIVE: built(tmp_path, line=line, other=other)})
    )
    assert (found["provider"], found["native_refused"]) == ("viper", why)


@pytest.mark.parametrize(
    "content",
    (
        pytest.param(
            lambda right: bytes((right[0], right[1], (9 << 2) | right[2] & 3)) + right[3:],
            id="another architecture",
        ),
        pytest.param(lambda right: bytes((right[0], 5)) + right[2:], id="another version of .mpy"),
        pytest.param(lambda right: b"M", id="cut short"),
        pytest.param(lambda right: b"", id="empty"),
    ),
)
def test_a_file_that_cannot_be_loaded_is_refused(copied, tmp_path, content):
    found = asked(copied({"/main.py": deploy.MAIN, deploy.NATIVE: content(built(tmp_path))}))
    assert found["provider"] == "viper" and "Error" in found["native_refused"]


def test_only_what_a_board_can_run_is_chosen_for_it():
    assert (
        natives.arch_of(6 | 3 << 8 | 7 << 10) == "armv7emsp"
        and natives.SERVES["armv7emsp"] == "armv7m"
    )
    assert natives.arch_of(6 | 2 << 8 | 7 << 10) is None, (
        "MicroPython 1.22 loads native code of another sub-version"
    )
    assert natives.arch_of(6 | 3 << 8 | 10 << 10) is None, "Xtensa"
    # MicroPython 1.27 and newer: extensions of the architecture stand above its number
    assert natives.arch_of(6 | 3 << 8 | 11 << 10 | 1 << 16) == "rv32imc"
    assert natives.find("xtensawin") is None
    for arch in ("armv6m", "armv7m"):
        assert 1000 < len(natives.find(arch)) <= natives.LARGEST
