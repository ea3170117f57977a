"""The whole store over a port's driver over a fake of that port's API over a simulated part, opened
by the board's facts: genesis, commands, rotation, snapshots, and what is refused, with the power
cut again and again in the middle of programs and erases. Runs under MicroPython only; prints the
last seq, how many sectors were opened, actions with a snapshot at hand, and cuts survived.

    micropython ports_store.py DRIVER ACTIONS EVERY [BREAKAGE]
"""

import sys

import nor
from quipu import block_flash, startup

from shared_kernel.store import Store
from tests.faults.harness import Application, Clock, Witness, genesis
from tests.flashsim import Chance, PowerCut

START, SECTORS = 48 * nor.SECTOR, 8  # the filesystem ends where the log begins


def facts(driver, start=START, size=SECTORS * nor.SECTOR, end=nor.SIZE):
    base = 0x08000000 if driver == "stm32" else 0
    return {
        "driver": driver,
        "log": {"start": base + start, "size": size},
        "flash": {
            "size": base + end,
            "spi": 1,
            "select": 5,
            "baudrate": 1000000,
            "jedec": "ef4013",
        },
        "geometry": {"sector": 4096, "page": 256, "unit": 4},
    }


def unpadded(self, address, data):
    """A breakage: no padding to the page, no look at where a page ends."""
    block_flash.BlockFlash.program(self, address, data)


def refused(words, changed):
    before = nor.contents()
    try:
        startup.open_flash(changed)
    except ValueError as e:
        assert words in str(e) and nor.contents() == before, e
        return
    raise AssertionError("not refused: %r" % changed)


def rules(driver, breakage):
    """What is refused, with nothing written."""
    from quipu import log_region

    log_region.filesystem_end = lambda: START  # there is no filesystem on the fake
    refused("not whole sectors", facts(driver, start=START + 256))
    refused("not whole sectors", facts(driver, size=SECTORS * nor.SECTOR - 4))
    refused("not whole sectors", facts(driver, size=0))
    if driver not in ("spi_nor", "stm32"):  # the part holds no filesystem; it ends elsewhere
        refused("not within", facts(driver, start=START - nor.SECTOR))
    refused("not within", facts(driver, start=nor.SIZE - nor.SECTOR))
    if breakage == "unchecked":
        log_region.check = lambda *_: None
    if driver == "nrf":
        refused("not within", facts(driver, start=0))
        refused("not within", facts(driver, end=START + nor.SECTOR))
    if driver == "stm32":
        import quipu_flash

        refused("not within", facts(driver, start=15 * nor.SECTOR))
        refused("not within", facts(driver, end=START + nor.SECTOR))
        refused("overlaps the filesystem", facts(driver, start=31 * nor.SECTOR))
        for name, value, words in (
            ("ECC", True, "has ECC"),
            ("UNIT", 8, "this chip has page 256, unit 8"),
            (
                "sector",
                lambda address: (address, 131072),
                "has 131072 bytes; geometry.sector is 4096",
            ),
        ):
            right = getattr(quipu_flash, name)
            setattr(quipu_flash, name, value)
            refused(words, facts(driver))
            setattr(quipu_flash, name, right)
    if driver == "spi_nor":
        import machine

        for identity in (b"\xff\xff\xff", b"\0\0\0", b"\xef\x40\x14"):
            right, machine.identity = machine.identity, identity
            refused("the facts say jedec ef4013", facts(driver))
            machine.identity = right
        machine.floating = True
        refused("stays busy", facts(driver))
        machine.floating = False


def broken(breakage):
    if breakage == "unlatched":
        from quipu.spi_nor_flash import SpiNorFlash

        SpiNorFlash._enable = lambda self: None
    if breakage == "unpadded":
        from quipu.rp2_flash import Rp2Flash

        Rp2Flash.program = unpadded
    if breakage == "unshifted":
        from quipu.samd_flash import SamdFlash

        SamdFlash.erase = block_flash.BlockFlash.erase
    if breakage == "erasing":  # the block protocol's short form, as a filesystem on FAT uses it
        block_flash.BlockFlash.program = rewrite


def rewrite(self, address, data):
    """A breakage: the sector is read, erased and written again, as pyb.Flash and internal flash of
    the SAMD51 do."""
    sector = address // self.sector
    whole = bytearray(self.sector)
    self.read(sector * self.sector, whole)
    whole[address % self.sector : address % self.sector + len(data)] = data
    self.device.writeblocks(sector, whole)


def lifetime(driver, actions, every):
    """Record, with the power cut about every so many steps of the part; return (seq, sectors
    opened, snapshots, cuts)."""
    around = nor.contents(0, START), nor.contents(START + SECTORS * nor.SECTOR)
    witness, clock, chance = Witness(), Clock(1), Chance(2)
    application = Application(Chance(1))
    store = mount_chip(driver, clock)
    snapshots = 0
    nor.chip.cut_after(every // 2 + chance.below(every))
    for _ in range(actions):
        try:
            witness.act(store, application.action(witness.model) if witness.model else genesis())
        except PowerCut:
            nor.chip.power_on()
            store = mount_chip(driver, clock)
            witness.booted(store)
            nor.chip.cut_after(every // 2 + chance.below(every))
        snapshots += any(store.slots)
    nor.chip.power_on()
    witness.booted(mount_chip(driver, clock))
    assert around == (nor.contents(0, START), nor.contents(START + SECTORS * nor.SECTOR)), (
        "something outside the region was changed"
    )
    return store.seq, store.top // store.region.blocks, snapshots, nor.chip.cuts


def mount_chip(driver, clock):
    """Boot from the facts; recovery must write nothing to the part."""
    nor.chip.forbidden = True
    try:
        return Store(startup.open_flash(facts(driver)), clock)
    finally:
        nor.chip.forbidden = False


def main(driver, actions, every, breakage=None):
    rules(driver, breakage)
    broken(breakage)
    print(*lifetime(driver, int(actions), int(every)))


main(*sys.argv[1:])
