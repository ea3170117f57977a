"""The folders of real boards: each is valid, and what is wrong with one is said with its file and
key."""

import copy
import json

import pytest
from quipu import errors
from quipu.build import images
from quipu.install import boards
from quipu.install import files as deploy

GOOD = boards.load("RPI_PICO")
BREAKS = [
    (lambda f: f.pop("machine"), r"x/quipu.json: machine: expected a value, found 'nothing'"),
    (lambda f: f.update(ram="264K"), r"x/quipu.json: ram: expected int, found '264K'"),
    (lambda f: f.update(ram=True), r"ram: expected int, found True"),
    (lambda f: f.update(colour="green"), r"colour: no such key"),
    (lambda f: f.update(name="OTHER"), r"name: expected RPI_PICO, as the folder, found 'OTHER'"),
    (lambda f: f.update(mpy_arch="armv9"), r"mpy_arch: expected one of armv6m.*found 'armv9'"),
    (lambda f: f["capacities"].update(dim=0), r"capacities.dim: expected \d+ to \d+, found 0"),
    (lambda f: f["capacities"].pop("keys"), r"capacities.keys: expected a value"),
    (
        lambda f: f["stock"].update(driver="rp2"),
        r"stock.driver: expected files or fat.*found 'rp2'",
    ),
    (
        lambda f: f["stock"]["log"].update(path="log"),
        r"stock.log.path: expected a path from /, found 'log'",
    ),
    (
        lambda f: f["stock"]["log"].update(size=1000),
        r"stock.log.size: expected a multiple of the sector, 1536, found 1000",
    ),
    (
        lambda f: f["stock"]["geometry"].update(page=250),
        r"stock.geometry: expected sector a multiple of page",
    ),
    (
        lambda f: f["stock"].update(driver="fat"),
        r"stock.log.path: expected a file on a card, as /sd/quipu.log, found '/quipu-log'",
    ),
    (
        lambda f: f.update(
            stock={
                "driver": "fat",
                "log": {"path": "/sd/quipu.log", "size": 1 << 20},
                "geometry": {"sector": 8192, "page": 256, "unit": 512},
            }
        ),
        r"stock.geometry: expected page and unit 512",
    ),
    (
        lambda f: f.update(
            stock={
                "driver": "fat",
                "log": {"path": "/sd/quipu.log", "size": 1 << 20},
                "geometry": {"sector": 4096, "page": 512, "unit": 512},
            }
        ),
        r"stock.geometry: .* a sector of 8192 or more",
    ),
]


def test_every_board_is_valid():
    assert {
        "RPI_PICO",
        "RPI_PICO2",
        "PYBV11",
        "NUCLEO_F446RE",
        "NUCLEO_F767ZI",
        "ARDUINO_NANO_33_BLE_SENSE",
        "ADAFRUIT_ITSYBITSY_M4_EXPRESS",
    } <= set(boards.names())
    machines = [boards.load(name)["machine"] for name in boards.names()]
    assert len(set(machines)) == len(machines)
    assert all(
        boards.of_machine(machine) == name
        for machine, name in zip(machines, boards.names(), strict=True)
    )


@pytest.mark.parametrize(("change", "message"), BREAKS)
def test_what_is_wrong_is_named(change, message):
    facts = copy.deepcopy(GOOD)
    boards.check(facts, "x/quipu.json", "RPI_PICO")
    change(facts)
    with pytest.raises(errors.FormatError, match=message):
        boards.check(facts, "x/quipu.json", "RPI_PICO")


EMULATED = json.loads((boards.folder() / "MPS2_AN386" / boards.FILE).read_text())


def test_emulated_boards_have_the_same_file_with_a_key_of_their_own():
    assert set(images.boards()) >= {"MICROBIT_M0", "MPS2_AN385", "MPS2_AN386", "MPS2_AN500"}
    assert not set(images.boards()) & set(boards.names())
    for name in images.boards():
        facts = json.loads((boards.folder() / name / boards.FILE).read_text())
        boards.check(facts, name, name)
        assert images.board_facts(name).keys() | {"machine", "emulated"} == facts.keys()
        assert facts["machine"] == f"{name} with {images.emulation(name)['cpu']}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["emulated"].pop("cpu"), r"x: emulated.cpu: expected a value"),
        (
            lambda f: f["emulated"]["flash"].update(size="2M"),
            r"x: emulated.flash.size: expected int, found '2M'",
        ),
        (lambda f: f.update(ram=1), r"x: ram: no such key"),
        (
            lambda f: f["log"].update(start=1048576 - 4096),
            r"x: log: expected a place behind the filesystem, which ends at 1048576",
        ),
        (lambda f: f["log"].update(size=2097152), r"x: log: expected .* in the flash of 2097152"),
        (lambda f: f["log"].update(size=1000), r"x: log: expected whole sectors of 4096"),
        (lambda f: f.update(driver="files"), r"x: driver: expected emulated"),
    ],
)
def test_what_is_wrong_with_an_emulated_one_is_named(change, message):
    facts = copy.deepcopy(EMULATED)
    change(facts)
    with pytest.raises(errors.FormatError, match=message):
        boards.check(facts, "x", "MPS2_AN386")


def test_boards_that_are_not_there():
    assert boards.of_machine("Raspberry Pi Pico W with RP2040") is None
    with pytest.raises(errors.UsageError, match="no board 'PICO'.*RPI_PICO"):
        boards.load("PICO")


def test_facts_for_stock_firmware():
    facts = boards.for_stock("RPI_PICO")
    assert (
        facts["driver"] == "files"
        and facts["log"]["path"] == "/quipu-log"
        and facts["name"] == "RPI_PICO"
    )
    facts = boards.for_stock("NUCLEO_F767ZI")
    assert facts["driver"] == "fat" and deploy.root(facts) == "/sd"
    assert (
        all(path.startswith("/sd/") for path in deploy.files(facts))
        and deploy.folders(facts)[0] == "/sd/lib"
    )
    with pytest.raises(
        errors.UsageError, match="PYBV11: .*120 KiB.*`make firmware BOARD=PYBV11` builds one"
    ):
        boards.for_stock("PYBV11")
    with pytest.raises(
        errors.UsageError,
        match="NUCLEO_F446RE: .*FAT.*no firmware with Quipu in it: a log needs five sectors",
    ):
        boards.for_stock("NUCLEO_F446RE")
