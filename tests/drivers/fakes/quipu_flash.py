"""quipu_flash, the C module of boards/stm32, on a chip with equal sectors: absolute addresses,
words of 4, programs of erased words only. The firmware has the first 16 sectors, the filesystem the
next 16. A program that meets a written word is what F4 and F7 bear, but the log never asks for:
SimulatorError."""

import nor

BASE = 0x08000000
FIRMWARE = BASE + 16 * nor.SECTOR
UNIT = 4
ECC = False


def reserved():
    return FIRMWARE, FIRMWARE, FIRMWARE + 16 * nor.SECTOR


def sector(address):
    return address // nor.SECTOR * nor.SECTOR, nor.SECTOR


def _place(address, size):
    if address < reserved()[2] or address + size > BASE + nor.SIZE or not size:
        raise OSError(22)
    return address - BASE


def read(address, buffer):
    nor.chip.read(_place(address, len(buffer)), buffer)


def program(address, data):
    at = _place(address, len(data))
    if address % UNIT or len(data) % UNIT:
        raise OSError(22)
    nor.chip.write_once = True
    for i in range(0, len(data), UNIT):  # one flash_write each
        nor.chip.program(at + i, data[i : i + UNIT])


def erase(address):
    if address % nor.SECTOR:
        raise OSError(22)
    nor.chip.erase(_place(address, nor.SECTOR) // nor.SECTOR)
