"""The builds of stm32, nRF and SAMD boards, as far as they go without the vendors' libraries, which
Debian's source of MicroPython
lacks: the port's own makefile takes the folder, finds the board's pins and names, and the linker
    keeps the log's flash free."""

import os
import re
import runpy
import shutil
import subprocess

import pytest
from quipu.build import images
from quipu.install import boards, flash

ROOT = images.checkout_root()
PORTS = {
    "PYBV11": "stm32",
    "NUCLEO_F767ZI": "stm32",
    "ARDUINO_NANO_33_BLE_SENSE": "nrf",
    "ADAFRUIT_ITSYBITSY_M4_EXPRESS": "samd",
}
SHOW = (
    "show: ; @echo; for each in $(LD_FILES); do echo ld $$each; done; echo manifest "
    "$(FROZEN_MANIFEST); echo c $(SRC_USERMOD_C); "
    "echo inc $(INC)"
)
CODE = """
__attribute__((section(".isr_vector"), used)) const int vectors[16] = {{1}};
__attribute__((section(".text.code"), used)) const char code[{size}] = {{1}};
int counted = 7;
void Reset_Handler(void) {{ counted++; }}
"""

# Boots a SAMD board twice, under MicroPython, over a simulated part behind a fake of the port: a
# file is there again, the driver of the log takes the rest of the part, and not the first sector
# before it.
SAMD_BOOT = """
import nor, os, samd, sys, vfs
HALF = nor.SIZE // 2
class Module: FACTS = {"log": {"start": HALF, "size": HALF}}
sys.modules["board_facts"] = Module
def boot():
    vfs.umount("/")
    exec(code, {"__name__": "_boot"})
code = open("boards/samd/_boot.py").read()
sys.path.append("boards")
import filesystem  # while there are files; on a board it is frozen
from quipu.samd_flash import open_region
from quipu import log_region
boot()
with open("/mine.txt", "w") as f: f.write("mine")
boot()
with open("/mine.txt") as f: print(f.read())
stat = os.statvfs("/")
print(stat[1] * stat[2] == HALF, nor.contents(HALF) == b"\\xff" * HALF)
geometry = {"sector": nor.SECTOR, "page": 256, "unit": 4}
print(open_region(Module.FACTS["log"], geometry).sectors * nor.SECTOR == HALF)
try: open_region({"start": HALF - nor.SECTOR, "size": HALF}, geometry)
except ValueError as e: print(e)
"""

pytestmark = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"), reason="no arm-none-eabi-gcc"
)


def port_of(name):
    return images.micropython_source() / "ports" / PORTS[name]


def make(name, build, *goals):
    """Run the port's make on our folder; what it prints. nRF: as if without the radio's stack,
    which is a download of its vendor's."""
    command = [
        "make",
        "-s",
        f"BOARD={name}",
        f"BOARD_DIR={ROOT / 'boards' / name}",
        f"BUILD={build}",
        "SD=",
        f"MICROPY_MPYCROSS={images.mpy_cross()}",
        f"MPY_LIB_DIR={ROOT / 'boards'}",
        f"--eval={SHOW}",
        *goals,
    ]
    return subprocess.run(
        command, check=True, cwd=port_of(name), capture_output=True, text=True
    ).stdout


def shown(name, build, what):
    return [
        line.split()[1:]
        for line in make(name, build, "show").splitlines()
        if line.split()[:1] == [what]
    ]


def linked(name, tmp_path, size, more=()):
    """Link code of `size` bytes by the board's linker scripts; the process, and the symbols by name
    if it went well."""
    source, elf = tmp_path / "code.c", tmp_path / "code.elf"
    source.write_text(CODE.format(size=size))
    scripts = [each[0] for each in shown(name, tmp_path / "build", "ld")]
    at = next((i for i, each in enumerate(scripts) if each == "boards/memory.ld"), len(scripts))
    scripts[at:at] = more
    command = [
        "arm-none-eabi-gcc",
        "-mthumb",
        "-mcpu=cortex-m4",
        "-nostdlib",
        "-Lboards",
        "-Lboards/common_isr_ram",
        "-Wl,--defsym=_estack_reserve=8",
        *[f"-T{each}" for each in scripts],
        str(source),
        "-o",
        str(elf),
    ]
    done = subprocess.run(command, check=False, cwd=port_of(name), capture_output=True, text=True)
    if done.returncode:
        return done, {}
    lines = subprocess.run(
        ["arm-none-eabi-nm", str(elf)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return done, {
        line.split()[2]: int(line.split()[0], 16) for line in lines if len(line.split()) == 3
    }


@pytest.mark.parametrize("name", PORTS)
def test_the_ports_makefile_takes_the_folder(name, tmp_path):
    folder = ROOT / "boards" / name
    assert shown(name, tmp_path, "manifest") == [[str(folder / "manifest.py")]]
    scripts = [each[0] for each in shown(name, tmp_path, "ld")]
    assert (
        len(scripts) >= 2
        and (str(folder / "log_region.ld") in scripts) == (folder / "log_region.ld").is_file()
    )
    compiled = shown(name, tmp_path, "c")[0]
    assert ([each.rpartition("/")[2] for each in compiled] == ["quipu_flash.c"]) == (
        facts_of(name)["driver"] == "stm32"
    )
    # The board's own names, through our header, as the compiler finds it.
    (include,) = shown(name, tmp_path, "inc")
    source = tmp_path / "names.c"
    source.write_text(
        '#include "mpconfigboard.h"\nBOARD=MICROPY_HW_BOARD_NAME MCU=MICROPY_HW_MCU_NAME\n'
    )
    done = subprocess.run(
        ["arm-none-eabi-gcc", "-E", "-H", *include, str(source)],
        check=True,
        cwd=port_of(name),
        capture_output=True,
        text=True,
    )
    board, mcu = re.search(r'BOARD="(.*)" MCU="(.*)"', done.stdout).groups()
    assert f"{board} with {mcu}" == boards.load(name)["machine"]
    assert f". {folder}/mpconfigboard.h" in done.stderr, "our header is the one that is found"
    # Pins are the port's.
    make(name, tmp_path / "build", str(tmp_path / "build" / "genhdr" / "pins.h"))
    assert "pin_" in (tmp_path / "build" / "genhdr" / "pins.h").read_text()


def facts_of(name):
    return runpy.run_path(str(ROOT / "boards" / name / "board_facts.py"))["FACTS"]


def test_why_a_pyboard_takes_no_copied_files():
    text = (port_of("PYBV11") / "boards" / "stm32f405.ld").read_text()
    ram, stack = (
        re.search(r" RAM \(xrw\)\s*: ORIGIN = \w+, LENGTH = (\d+)K", text)[1],
        re.search(r"_sstack = _estack - (\d+)K", text)[1],
    )
    left = int(ram) - int(stack)
    assert (
        left * 1024 < flash.LEAST_HEAP and f"gives {left} KiB" in boards.load("PYBV11")["no_stock"]
    )


def test_the_f767s_code_cannot_reach_the_log(tmp_path):
    facts = facts_of("NUCLEO_F767ZI")
    begin, size = facts["log"]["start"], facts["log"]["size"]
    text = (port_of("NUCLEO_F767ZI") / "boards" / "stm32f767.ld").read_text()
    start, length = re.search(r"FLASH \(rx\)\s*: ORIGIN = (\w+), LENGTH = (\d+)K", text).groups()
    end = int(start, 16) + int(length) * 1024
    assert begin + size == facts["flash"]["size"] == end, "the chip's last sectors"
    # Sectors of this chip: 4 of 32 KiB, one of 128, then 256 each.
    sector = facts["geometry"]["sector"]
    assert (
        sector == 256 * 1024
        and (begin - int(start, 16)) % sector == size % sector == 0
        and size // sector >= 5
    )
    room = begin - 0x08020000
    done, symbols = linked("NUCLEO_F767ZI", tmp_path, room - 64)
    assert done.returncode == 0, done.stderr
    assert (
        symbols["_micropy_hw_internal_flash_storage_end"] <= 0x08020000 < symbols["_etext"] <= begin
    ), "the filesystem is before the code"
    done, _ = linked("NUCLEO_F767ZI", tmp_path, room)
    assert done.returncode and "reaches into Quipu's log" in done.stderr, (
        "one byte of data too many"
    )


def test_the_nanos_filesystem_ends_at_the_log_and_the_log_at_the_bootloader(tmp_path):
    name = "ARDUINO_NANO_33_BLE_SENSE"
    facts = facts_of(name)
    # the stack's place in flash, which the port's makefile adds with it
    stack = ["boards/s140_6.1.1.ld"]
    done, symbols = linked(name, tmp_path, 1000, stack)
    assert done.returncode == 0, done.stderr
    begin = facts["log"]["start"]
    assert (
        symbols["_fs_end"] == begin
        and symbols["_fs_size"] == 64 * 1024 == begin - symbols["_fs_start"]
    )
    bootloader = int(
        re.search(
            r"_flash_start = (\w+);",
            (port_of(name) / "boards" / name / "nano_bootloader.ld").read_text(),
        )[1],
        16,
    )
    assert begin + facts["log"]["size"] == facts["flash"]["size"] == bootloader
    room = symbols["_fs_start"] - symbols["_sd_size"]
    assert linked(name, tmp_path, room - 256, stack)[0].returncode == 0
    done, _ = linked(name, tmp_path, room, stack)
    assert done.returncode and "will not fit in region `FLASH_TEXT'" in done.stderr


def test_a_samd_boards_filesystem_ends_where_the_log_begins():
    env = {**os.environ, "MICROPYPATH": "tests/drivers/fakes:.:firmware:.frozen"}
    done = subprocess.run(
        [images.unix_port(), "-X", "heapsize=16M", "-c", SAMD_BOOT],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=env,
    )
    mine, ends, driver, refused = done.stdout.splitlines()
    assert (mine, ends, driver) == (
        "mine",
        "True True",
        "True",
    ) and "what the filesystem and the part leave" in refused, done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["BOARD=NUCLEO_F446RE"],
            "no build for BOARD=NUCLEO_F446RE: one of ADAFRUIT_ITSYBITSY_M4_EXPRESS",
        ),
        (
            ["BOARD=PYBV11", f"MICROPYTHON={ROOT / 'docs'}"],
            "no MicroPython checkout that knows PYBV11",
        ),
        ([], "no build for BOARD=: one of"),
    ],
)
def test_make_firmware_says_what_it_lacks(given, said):
    done = subprocess.run(
        ["make", "-s", "firmware", *given], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and said in done.stdout
