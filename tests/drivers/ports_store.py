"""The whole store over a port's driver over a fake of that port's API, opened by the board's facts: genesis, commands, rotation,
snapshots, restarts, and what is refused. Runs under MicroPython only.

    micropython ports_store.py DRIVER ACTIONS [BREAKAGE]
"""

import sys

import nor
from quipu import block_flash, startup

from tests.faults.harness import Application, Clock, Witness, genesis, mount
from tests.flashsim import Chance

START, SECTORS = 48 * nor.SECTOR, 8  # the filesystem ends where the log begins


def facts(driver, start=START, size=SECTORS * nor.SECTOR, end=nor.SIZE):
    return {"driver": driver, "log": {"start": start, "size": size},
            "flash": {"size": end, "spi": 1, "select": 5, "baudrate": 1000000, "jedec": "ef4013"},
            "geometry": {"sector": 4096, "page": 256, "unit": 4}}


def unpadded(self, address, data):
    """A breakage: no padding to the page, no look at where a page ends."""
    block_flash.BlockFlash.program(self, address, data)


def refused(words, changed):
    before = bytes(nor.data)
    try:
        startup.open_flash(changed)
    except ValueError as e:
        assert words in str(e) and nor.data == before, e
        return
    raise AssertionError("not refused: %r" % changed)


def main(driver, actions, breakage=None):
    from quipu import log_region

    log_region.filesystem_end = lambda: START  # there is no filesystem on the fake
    refused("not whole sectors", facts(driver, start=START + 256))
    refused("not whole sectors", facts(driver, size=SECTORS * nor.SECTOR - 4))
    refused("not whole sectors", facts(driver, size=0))
    if driver != "spi_nor":  # the part holds no filesystem
        refused("not within", facts(driver, start=START - nor.SECTOR))
    refused("not within", facts(driver, start=nor.SIZE - nor.SECTOR))
    if breakage == "unchecked":
        log_region.check = lambda *_: None
    if driver == "nrf":
        refused("not within", facts(driver, start=0))
        refused("not within", facts(driver, end=START + nor.SECTOR))
    if driver == "spi_nor":
        import machine

        for identity in (b"\xff\xff\xff", b"\0\0\0", b"\xef\x40\x14"):
            right, machine.identity = machine.identity, identity
            refused("the facts say jedec ef4013", facts(driver))
            machine.identity = right
        machine.floating = True
        refused("stays busy", facts(driver))
        machine.floating = False
    if breakage == "unlatched":
        from quipu.spi_nor_flash import SpiNorFlash

        SpiNorFlash._enable = lambda self: None
    if breakage == "unpadded":
        from quipu.rp2_flash import Rp2Flash

        Rp2Flash.program = unpadded
    if breakage == "unshifted":
        from quipu.samd_flash import SamdFlash

        SamdFlash.erase = block_flash.BlockFlash.erase
    around = bytes(nor.data[:START]), bytes(nor.data[START + SECTORS * nor.SECTOR :])
    witness, clock, application = Witness(), Clock(1), Application(Chance(1))
    store = mount(startup.open_flash(facts(driver)), clock)
    snapshots = 0
    for i in range(int(actions)):
        witness.act(store, application.action(witness.model) if witness.model else genesis())
        if i % 50 == 49:
            store = mount(startup.open_flash(facts(driver)), clock)
            witness.booted(store)
        snapshots += any(store.slots)
    assert around == (nor.data[:START], nor.data[START + SECTORS * nor.SECTOR :]), "something outside the region was changed"
    print(store.seq, store.epoch, snapshots)


main(*sys.argv[1:])
