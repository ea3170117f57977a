"""nRF51 and nRF52: the chip's own flash behind nrf.Flash, in a region behind the filesystem. Rated
for 10,000 cycles.

What it does (ports/nrf/modules/nrf/flashbdev.c and drivers/flash.c, MicroPython 1.25): start is an
absolute address and nothing checks where it lies, so a wrong one would erase the firmware: it is
checked here. Sectors are 4096 bytes (nRF51: 1024), programs whole words of 4; the filesystem's
place is told by repr(nrf.Flash()) only. With the Bluetooth stack on, a word waits its turn."""

from .block_flash import BlockFlash


def open_region(log, geometry, part):
    """Return the driver; ValueError if the region cannot be used. log: start (absolute), size;
    part: size is the first address behind what is the log's to use (a bootloader's, or the chip's
        end); all in bytes."""
    from nrf import Flash

    from .log_region import check

    filesystem = Flash()
    text = repr(filesystem)  # Flash(start=0x000e0000, len=65536)
    start = int(text[text.index("start=0x") + 8 : text.index(",")], 16)
    sector = filesystem.ioctl(5, 0)
    check(log["start"], log["size"], sector, start + filesystem.ioctl(4, 0) * sector, part["size"])
    return BlockFlash(
        Flash(start=log["start"], len=log["size"]), geometry["page"], geometry["unit"]
    )
