"""Flash behind MicroPython's extended block protocol, where that is true NOR programming:
rp2.Flash, the emulated boards'.

Programs with writeblocks(block, data, offset), which only clears bits; erases with ioctl(6). Never
uses writeblocks without an offset, which erases first.
"""

from micropython import const

_BLOCK_COUNT = const(4)
_BLOCK_SIZE = const(5)
_BLOCK_ERASE = const(6)


class BlockFlash:
    """device: the block device; page, unit: what one program may span and is a multiple of, in
    bytes."""

    def __init__(self, device, page, unit):
        self.device = device
        self.page = page
        self.unit = unit
        self.sector = device.ioctl(_BLOCK_SIZE, 0)
        self.sectors = device.ioctl(_BLOCK_COUNT, 0)

    def read(self, address, data):
        sector = self.sector
        self.device.readblocks(address // sector, data, address % sector)

    def program(self, address, data):
        sector = self.sector
        self.device.writeblocks(address // sector, data, address % sector)

    def erase(self, sector):
        if self.device.ioctl(_BLOCK_ERASE, sector):
            raise OSError(5)  # EIO
