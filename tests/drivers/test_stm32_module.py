"""boards/stm32/quipu_flash compiles against MicroPython's headers and the stm32 port's flash.h, for
every family that it knows.

Debian's source of MicroPython comes without stm32lib, so ST's own headers cannot be used: what
mphalport.h would bring of them (the data cache's macro, the H7's size of a unit) is given here, and
the port's configuration is that of an emulated board."""

import re
import shutil
import subprocess

import pytest
from quipu.build import images

SOURCE = images.checkout_root() / "boards" / "stm32" / "quipu_flash" / "quipu_flash.c"
UNITS = {
    "STM32F4": 4,
    "STM32F7": 4,
    "STM32G0": 8,
    "STM32G4": 8,
    "STM32L4": 8,
    "STM32WB": 8,
    "STM32WL": 8,
    "STM32H5": 16,
    "STM32H7": 32,
}
STUB = """
#define MP_HAL_CLEANINVALIDATE_DCACHE(address, size) ((void)(address), (void)(size))
#define FLASH_NB_32BITWORD_IN_FLASHWORD (8)
"""

pytestmark = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"), reason="no arm-none-eabi-gcc"
)


def compiled(tmp_path, family, unit):
    """Compile the module for a family, asserting its unit and that its storage symbols are used."""
    board = "MPS2_AN386"
    images.image(board)
    objects = images.checkout_root() / "build" / "objects" / board
    known = set(
        re.findall(
            r"QDEF\w+\(MP_QSTR_(\w+)", (objects / "genhdr" / "qstrdefs.generated.h").read_text()
        )
    )
    names = sorted(set(re.findall(r"MP_QSTR_(\w+)", SOURCE.read_text())) - known)
    stub = tmp_path / "stub.h"  # with numbers for names that a build of the port would collect
    stub.write_text(
        STUB + "".join(f"#define MP_QSTR_{each} {n + 1}\n" for n, each in enumerate(names))
    )
    whole = tmp_path / "module.c"
    whole.write_text(
        f'#include "{SOURCE}"\n_Static_assert(UNIT == {unit}, "unit of the family");\n'
    )
    tree, root = images.micropython_source(), images.checkout_root() / "boards"
    stm32 = tmp_path / "stm32"  # flash.h alone: the folder's other headers need ST's
    stm32.mkdir(exist_ok=True)
    shutil.copy(tree / "ports" / "stm32" / "flash.h", stm32)
    paths = [stm32, objects, root / "emulated", root / board, tree]
    return subprocess.run(
        [
            "arm-none-eabi-gcc",
            "-mthumb",
            "-mcpu=cortex-m4",
            "-std=gnu99",
            "-Os",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-unused-parameter",
            f"-D{family}",
            "-DMICROPY_HW_ENABLE_INTERNAL_FLASH_STORAGE=1",
            "-include",
            str(stub),
            *[f"-I{each}" for each in paths],
            "-c",
            str(whole),
            "-o",
            str(tmp_path / "module.o"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("family", "unit"), UNITS.items())
def test_it_compiles_and_its_unit_is_the_familys(tmp_path, family, unit):
    done = compiled(tmp_path, family, unit)
    assert done.returncode == 0, done.stderr
    symbols = subprocess.run(
        ["arm-none-eabi-nm", str(tmp_path / "module.o")], capture_output=True, text=True, check=True
    ).stdout
    assert {"flash_erase", "flash_write", "flash_is_valid_addr", "flash_get_sector_info"} <= set(
        re.findall(r"U (\w+)", symbols)
    )
    assert "unit of the family" in compiled(tmp_path, family, unit + 1).stderr


def test_a_family_whose_flash_erases_to_zero_does_not_compile(tmp_path):
    done = compiled(tmp_path, "STM32L0", 4)
    assert done.returncode and "erase to 0x00" in done.stderr
