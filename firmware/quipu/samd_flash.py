"""SAMD21 and SAMD51 boards with SPI or QSPI NOR flash behind samd.Flash. Needs a build of ours with
a smaller filesystem.

What it does (ports/samd/samd_spiflash.c and samd_qspiflash.c, MicroPython 1.25): one object for the
whole part, without start or len. writeblocks with an offset programs without erasing, but splits
pages by the position in the data, not by the address: data that crosses a page of 256 wraps round
within it. Region never crosses a page, and a crossing is refused here. Errors are not reported, so
Region reads back. The SAMD51's internal flash (boards without such a part) erases on every write:
not for this."""

from .block_flash import BlockFlash

_PAGE = 256


class SamdFlash(BlockFlash):
    """device: samd.Flash(). start, size: of the region, in bytes."""

    def __init__(self, device, start, size, unit):
        super().__init__(device, _PAGE, unit)
        self._first = start // self.sector
        self.sectors = size // self.sector

    def read(self, address, data):
        super().read(self._first * self.sector + address, data)

    def program(self, address, data):
        if address % _PAGE + len(data) > _PAGE:
            raise OSError(5)  # EIO
        super().program(self._first * self.sector + address, data)

    def erase(self, sector):
        super().erase(self._first + sector)


def open_region(log, geometry, part=None):
    """Return the driver; ValueError if the region cannot be used. log: start (from the part's
    beginning), size, in bytes."""
    from samd import Flash

    from .log_region import check, filesystem_end

    device = Flash()
    # only the object over the internal flash has it (samd_flash.c)
    if hasattr(device, "flash_version"):
        raise ValueError(
            "samd.Flash is this board's internal flash, which erases on every write: use the "
            "driver files"
        )
    sector = device.ioctl(5, 0)
    check(log["start"], log["size"], sector, filesystem_end(), device.ioctl(4, 0) * sector)
    return SamdFlash(device, log["start"], log["size"], geometry["unit"])
