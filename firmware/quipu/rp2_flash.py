"""RP2040 and RP2350: the part's QSPI NOR flash behind rp2.Flash. Needs a build of ours, whose
filesystem ends before the log.

What it does (ports/rp2/rp2_flash.c, MicroPython 1.25): start and len count from the beginning of
the filesystem's area, in sectors of 4096. writeblocks with an offset programs without erasing, by
whole pages of 256: it reads past a shorter buffer, so data is padded with 0xFF here, which leaves
the page's other bytes as they are. Interrupts are off and the other core stands still meanwhile;
errors are not reported, so Region reads back. On stock firmware the filesystem has the whole area.
"""

from .block_flash import BlockFlash

_PAGE = 256


class Rp2Flash(BlockFlash):
    def __init__(self, device, unit):
        super().__init__(device, _PAGE, unit)
        self._padded = bytearray(_PAGE)

    def program(self, address, data):
        padded = self._padded
        offset = address % _PAGE
        for i in range(_PAGE):
            padded[i] = 0xFF
        padded[offset : offset + len(data)] = data
        super().program(address - offset, padded)


def open_region(log, geometry, part=None):
    """Return the driver; ValueError if the region cannot be used. log: start (from the filesystem's
    area), size, in bytes."""
    from rp2 import Flash

    from .log_region import check, filesystem_end

    whole = Flash()
    sector = whole.ioctl(5, 0)
    check(log["start"], log["size"], sector, filesystem_end(), whole.ioctl(4, 0) * sector)
    return Rp2Flash(Flash(start=log["start"], len=log["size"]), geometry["unit"])
