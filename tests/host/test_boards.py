"""The folders of real boards: each is valid, and what is wrong with one is said with its file and key."""

import copy

import pytest
from quipu import boards, errors

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
    (lambda f: f["stock"].update(driver="rp2"), r"stock.driver: expected files.*found 'rp2'"),
    (lambda f: f["stock"]["log"].update(path="log"), r"stock.log.path: expected a path from /, found 'log'"),
    (lambda f: f["stock"]["log"].update(size=1000), r"stock.log.size: expected a multiple of the sector, 1536, found 1000"),
    (lambda f: f["stock"]["geometry"].update(page=250), r"stock.geometry: expected sector a multiple of page"),
]


def test_every_board_is_valid():
    assert {"RPI_PICO", "RPI_PICO2", "PYBV11", "NUCLEO_F446RE", "NUCLEO_F767ZI", "ARDUINO_NANO_33_BLE_SENSE",
            "ADAFRUIT_ITSYBITSY_M4_EXPRESS"} <= set(boards.names())
    machines = [boards.load(name)["machine"] for name in boards.names()]
    assert len(set(machines)) == len(machines)
    assert all(boards.of_machine(machine) == name for machine, name in zip(machines, boards.names(), strict=True))


@pytest.mark.parametrize(("change", "message"), BREAKS)
def test_what_is_wrong_is_named(change, message):
    facts = copy.deepcopy(GOOD)
    boards.check(facts, "x/quipu.json", "RPI_PICO")
    change(facts)
    with pytest.raises(errors.FormatError, match=message):
        boards.check(facts, "x/quipu.json", "RPI_PICO")


def test_boards_that_are_not_there():
    assert boards.of_machine("Raspberry Pi Pico W with RP2040") is None
    with pytest.raises(errors.UsageError, match="no board 'PICO'.*RPI_PICO"):
        boards.load("PICO")


def test_facts_for_stock_firmware():
    facts = boards.for_stock("RPI_PICO")
    assert facts["driver"] == "files" and facts["log"]["path"] == "/quipu-log" and facts["name"] == "RPI_PICO"
    with pytest.raises(errors.UsageError, match="PYBV11.*FAT.*cannot be flashed yet"):
        boards.for_stock("PYBV11")
