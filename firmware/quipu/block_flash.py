"""Flash behind MicroPython's extended block protocol, where that is true NOR programming: rp2.Flash, the emulated boards'.

Programs with writeblocks(block, data, offset), which only clears bits; erases with ioctl(6). Never uses writeblocks without
an offset, which erases first.
"""

_BLOCK_COUNT = 4
_BLOCK_SIZE = 5
_BLOCK_ERASE = 6


class BlockFlash:
    """device: the block device; page, unit: what one program may span and is a multiple of, in bytes."""

    def __init__(self, device, page, unit):
        self.device, self._read, self._write = device, device.readblocks, device.writeblocks
        self.page = page
        self.unit = unit
        self.sector = device.ioctl(_BLOCK_SIZE, 0)
        self.sectors = device.ioctl(_BLOCK_COUNT, 0)

    def read(self, address, data):
        sector = self.sector
        self._read(address // sector, data, address % sector)

    def program(self, address, data):
        sector = self.sector
        self._write(address // sector, data, address % sector)

    def erase(self, sector):
        if self.device.ioctl(_BLOCK_ERASE, sector):
            raise OSError(5)  # EIO
