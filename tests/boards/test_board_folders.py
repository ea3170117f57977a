"""The out-of-tree builds of real boards, as far as they can be checked without the vendor's SDK:
all of Quipu is frozen, the log lies where neither code nor filesystem is, and the boot file formats
nothing that holds anything."""

import json
import re
import runpy
import sys
import types

import pytest
from quipu.build import images
from quipu.errors import UsageError
from quipu.install import boards, flash

from shared_kernel.config import CONFIG_NAMES
from shared_kernel.genesis import need_layout
from shared_kernel.region import Region

ROOT = images.checkout_root()
BUILT = sorted(
    path.parent.name
    for path in (ROOT / "boards").glob("*/manifest.py")
    if path.parent.name in boards.names()
)
# Flash on the board. Pico: also in the port's linker script; Pico 2: the vendor's page on it.
FLASH = {"RPI_PICO": 2 << 20, "RPI_PICO2": 4 << 20}
# MicroPython's port of each: its manifest includes what that port's boards share.
PORTS = {
    name: re.search(
        r'include\("../(\w+)/quipu.py"\)', (ROOT / "boards" / name / "manifest.py").read_text()
    )[1]
    for name in BUILT
}
# What else than Quipu, asyncio and the board's facts each port freezes; the first is what formats,
# ours and not the port's own.
OTHERS = {
    "rp2": ["_boot.py", "filesystem.py", "rp2.py"],
    "stm32": [],
    "nrf": ["_mkfs.py", "filesystem.py"],
    "samd": ["_boot.py", "filesystem.py"],
}
SECTOR = 4096


def facts_of(name):
    return runpy.run_path(str(ROOT / "boards" / name / "board_facts.py"))["FACTS"]


def storage(header, name):
    """MICROPY_HW_FLASH_STORAGE_BYTES of a board's header."""
    text = re.search(r"#define MICROPY_HW_FLASH_STORAGE_BYTES\s+(.*)", header.read_text())[1]
    text = text.replace("PICO_FLASH_SIZE_BYTES", str(FLASH[name]))
    assert re.fullmatch(r"[\d ()*-]+", text)
    return eval(text)


@pytest.mark.parametrize("name", BUILT)
def test_board_json_is_of_micropythons_form(name):
    """MicroPython's own tools read it: its keys, and nothing that its own file of the board says
    otherwise."""
    ours = json.loads((ROOT / "boards" / name / "board.json").read_text())
    theirs = images.micropython_source() / "ports" / PORTS[name] / "boards" / name / "board.json"
    like = json.loads(
        (
            images.micropython_source() / "ports" / "rp2" / "boards" / "RPI_PICO" / "board.json"
        ).read_text()
    )
    assert set(ours) == set(like) and all(type(ours[key]) is type(like[key]) for key in ours)
    if theirs.is_file():  # MicroPython knows this board
        stock = json.loads(theirs.read_text())
        assert all(ours[key] == stock[key] for key in ("mcu", "product", "url", "vendor")), (
            "the board is the same"
        )
    assert ours["deploy"] and all(
        (ROOT / "boards" / name / each).is_file() for each in ours["deploy"]
    )


def test_there_are_such_boards():
    assert set(BUILT) >= {
        "RPI_PICO",
        "RPI_PICO2",
        "PYBV11",
        "NUCLEO_F767ZI",
        "ARDUINO_NANO_33_BLE_SENSE",
        "ADAFRUIT_ITSYBITSY_M4_EXPRESS",
    }
    for name in boards.names():
        assert ("no_build" in boards.load(name)) == (name not in BUILT), (
            "a board has a build, or says why it has none"
        )
        names = {path.name for path in (ROOT / "boards" / name).iterdir()}
        config = (
            {"mpconfigboard.cmake" if PORTS[name] == "rp2" else "mpconfigboard.mk"}
            if name in BUILT
            else set()
        )
        assert names - {"log_region.ld"} == config | {"quipu.json"} | (
            {"board.json", "board_facts.py", "manifest.py", "mpconfigboard.h"}
            if name in BUILT
            else set()
        )


@pytest.mark.parametrize("name", BUILT)
def test_all_of_quipu_is_frozen(name, monkeypatch):
    source = images.micropython_source()
    monkeypatch.syspath_prepend(str(source / "tools"))
    import manifestfile

    manifest = manifestfile.ManifestFile(
        manifestfile.MODE_FREEZE,
        {
            "MPY_DIR": str(source),
            "PORT_DIR": str(source / "ports" / PORTS[name]),
            "BOARD_DIR": str(ROOT / "boards" / name),
            "MPY_LIB_DIR": "",
        },
    )
    manifest.execute(str(ROOT / "boards" / name / "manifest.py"))
    frozen = {each.target_path: each.full_path for each in manifest.files()}
    ours = {
        f"{package}/{path.name}": str(path)
        for package, folder in (("shared_kernel", ROOT), ("quipu", ROOT / "firmware"))
        for path in (folder / package).glob("*.py")
    }
    assert len(ours) > 40 and ours.items() <= frozen.items()
    others = {path for path in frozen if path not in ours and not path.startswith("asyncio/")}
    assert others == {*OTHERS[PORTS[name]], "board_facts.py", "uasyncio.py"}
    assert frozen["board_facts.py"] == str(ROOT / "boards" / name / "board_facts.py")
    for each in OTHERS[PORTS[name]][:1]:
        assert frozen[each] == str(ROOT / "boards" / PORTS[name] / each), (
            "not the port's own, which formats"
        )


@pytest.mark.parametrize("name", BUILT)
def test_the_frozen_facts_are_the_folders_and_a_log_fits(name):
    facts, stock = facts_of(name), boards.load(name)
    assert (facts["name"], facts["mpy_arch"], facts["capacities"]) == (
        name,
        stock["mpy_arch"],
        stock["capacities"],
    )
    sector, size = facts["geometry"]["sector"], facts["log"]["size"]
    assert size % sector == 0 and facts["log"].get("start", 0) % sector == 0

    class Flash:
        page, unit = facts["geometry"]["page"], facts["geometry"]["unit"]
        sectors = size // sector

    Flash.sector = sector
    # two snapshots and a ring fit
    need_layout(Region(Flash), [facts["capacities"][each] for each in CONFIG_NAMES])


def test_the_itsybitsys_log_is_the_end_of_its_part():
    name = "ADAFRUIT_ITSYBITSY_M4_EXPRESS"
    part = re.search(
        r"MICROPY_HW_QSPIFLASH\s+(\w+)",
        (
            images.micropython_source() / "ports" / "samd" / "boards" / name / "mpconfigboard.h"
        ).read_text(),
    )[1]
    mbit = int(re.fullmatch(r"GD25Q(\d+)C", part)[1])  # the maker's name says the size
    log = facts_of(name)["log"]
    assert log["start"] + log["size"] == mbit * (1 << 20) // 8


@pytest.mark.parametrize("name", FLASH)
def test_the_log_lies_behind_the_filesystem_and_the_filesystem_behind_the_code(name):
    facts = facts_of(name)
    port = images.micropython_source() / "ports" / "rp2"
    bytes_ = storage(ROOT / "boards" / name / "mpconfigboard.h", name)
    start, size = facts["log"]["start"], facts["log"]["size"]
    assert (
        start % SECTOR == size % SECTOR == 0
        and start >= 512 * 1024
        and start + size == bytes_ <= FLASH[name]
    )
    assert bytes_ <= storage(port / "boards" / name / "mpconfigboard.h", name), (
        "the code has as much room as in stock firmware"
    )
    if name == "RPI_PICO":
        kib = re.search(
            r"FLASH\(rx\) : ORIGIN = 0x10000000, LENGTH = (\d+)k",
            (port / "memmap_mp_rp2040.ld").read_text(),
        )[1]
        assert int(kib) * 1024 == FLASH[name]


class Flash:
    """A port's Flash over bytes, of the area that its caller asks for, else of what the port gives
    the filesystem."""

    def __init__(self, content, start=0, len=0):
        self.content, self.start, self.len = content, start, len

    def writeblocks(self, *given):
        raise AssertionError("a boot file writes nothing itself")

    def ioctl(self, what, _):
        return {4: self.len // SECTOR, 5: SECTOR}[what]

    def readblocks(self, block, buf):
        buf[:] = self.content[self.start + block * SECTOR :][: len(buf)]


@pytest.mark.parametrize(
    "name", ["RPI_PICO", "ADAFRUIT_ITSYBITSY_M4_EXPRESS", "ARDUINO_NANO_33_BLE_SENSE"]
)
@pytest.mark.parametrize(
    ("what", "formats", "mounts"), [("ours", 0, 1), ("erased", 1, 1), ("something", 0, 0)]
)
def test_nothing_that_holds_anything_is_formatted(name, what, formats, mounts, monkeypatch):
    facts, port = facts_of(name), PORTS[name]
    end = facts["log"]["start"]
    content = bytearray(b"\xff" * (end + facts["log"]["size"]))
    content[end] = 0  # a log, which is none of the boot file's business
    first = end - 64 * 1024 if port == "nrf" else 0
    if port == "nrf":
        content[first - 1] = 0  # the firmware
    if what == "something":
        content[end - 1] = 0  # the last byte that it has to look at
    done = []
    ready = [what == "ours"]

    class VfsLfs2:
        def __init__(self, device, progsize=32):
            if not ready[0]:
                raise OSError(22)

        @staticmethod
        def mkfs(device, progsize=32):
            ready[0] = True
            done.append(("format", device.ioctl(4, 0) * device.ioctl(5, 0), progsize))

    # What the port's own Flash() is: rp2's with an area, nRF's the filesystem's area, SAMD's the
    # whole part.
    whole = {
        "rp2": lambda **area: Flash(content, **area),
        "nrf": lambda: Flash(content, first, end - first),
        "samd": lambda: Flash(content, 0, len(content)),
    }[port]
    modules = {
        port: types.SimpleNamespace(Flash=whole),
        "board_facts": types.SimpleNamespace(FACTS=facts),
        "vfs": types.SimpleNamespace(
            VfsLfs2=VfsLfs2, mount=lambda fs, path: done.append(("mount", path))
        ),
    }
    for each, module in modules.items():
        monkeypatch.setitem(sys.modules, each, module)
    # the last one has another test's vfs
    monkeypatch.delitem(sys.modules, "filesystem", raising=False)
    monkeypatch.setattr(sys, "path", [str(ROOT / "boards"), *sys.path])
    if port == "nrf":  # runs only where nothing could be mounted, and its caller mounts
        if what != "ours":
            runpy.run_path(str(ROOT / "boards" / port / "_mkfs.py"))
        assert done == [("format", end - first, 32)] * formats
        return
    runpy.run_path(str(ROOT / "boards" / port / "_boot.py"))
    assert done == [("format", end, 256)] * formats + [("mount", "/")] * mounts
    assert port != "samd" or sys.path[-1] == "/lib"


def test_a_cortex_m3_that_micropython_calls_armv7em_is_taken_and_another_architecture_is_not():
    def probe(number):
        return flash.Probe(
            "micropython",
            (1, 25, 0),
            "MPS2_AN385 with Cortex-M3",
            number << 10,
            500_000,
            4096,
            256,
            250,
            False,
        )

    for number in (5, 6):  # armv7m, armv7em
        assert flash.facts_for(probe(number), None)["mpy_arch"] == "armv7m"
    for number in (4, 7):  # armv6m, armv7emsp
        with pytest.raises(UsageError, match="says mpy_arch armv7m, and this board takes"):
            flash.facts_for(probe(number), None)
