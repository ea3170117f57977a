"""What the fakes of the ports share: a flash of bytes that programs only clear bits of, and sectors that erases fill with 0xFF."""

SIZE, SECTOR, PAGE = 96 * 4096, 4096, 256
data = bytearray(b"\xff" * SIZE)


def clear_bits(address, source):
    for i, each in enumerate(source):
        data[address + i] &= each


class Device:
    """The block protocol over [start, start + len) of the flash."""

    def __init__(self, start, size):
        self._start, self._size = start, size

    def readblocks(self, block, buffer, offset=0):
        at = self._start + block * SECTOR + offset
        buffer[:] = data[at : at + len(buffer)]

    def writeblocks(self, block, source, offset=None):
        at = self._start + block * SECTOR
        if offset is None:
            for i in range(0, len(source), SECTOR):
                self._erase(at + i)
        self._program(at + (offset or 0), source)

    def _program(self, at, source):
        clear_bits(at, source)

    def _erase(self, at):
        data[at : at + SECTOR] = b"\xff" * SECTOR

    def ioctl(self, what, argument):
        if what == 4:
            return self._size // SECTOR
        if what == 5:
            return SECTOR
        if what == 6:
            self._erase(self._start + argument * SECTOR)
        return 0 if what in (1, 2, 3, 6) else None
