"""What the fakes of the ports share: one simulated NOR flash (tests/flashsim.py, so that the power
can be cut in the middle of a program or an erase). Programs only clear bits; a driver that wants a
bit set gets what the part would leave: the AND."""

from tests.flashsim import FlashSim

SIZE, SECTOR, PAGE, UNIT = 96 * 4096, 4096, 256, 4
chip = FlashSim(SIZE // SECTOR, SECTOR, PAGE, UNIT, write_once=False)


def contents(start=0, end=SIZE):
    return bytes(chip.bytes[start:end])


def fetch(address, size):
    out = bytearray(size)
    chip.read(address, out)
    return out


def clear_bits(address, source):
    """Program bytes of one page. Units in which nothing changes cost the part nothing and are left
    out."""
    first = address // UNIT * UNIT
    end = (address + len(source) + UNIT - 1) // UNIT * UNIT
    wanted = bytearray(b"\xff" * (end - first))
    wanted[address - first : address - first + len(source)] = source
    at = 0
    while at < len(wanted):
        to = at
        while to < len(wanted) and wanted[to : to + UNIT] != b"\xff" * UNIT:
            old = chip.bytes[first + to : first + to + UNIT]
            for i in range(UNIT):
                wanted[to + i] &= old[i]
            to += UNIT
        if to > at:
            chip.program(first + at, wanted[at:to])
        at = to + UNIT


class Device:
    """The block protocol over [start, start + len) of the flash."""

    def __init__(self, start, size):
        self._start, self._size = start, size

    def readblocks(self, block, buffer, offset=0):
        chip.read(self._start + block * SECTOR + offset, buffer)

    def writeblocks(self, block, source, offset=None):
        at = self._start + block * SECTOR
        if offset is None:
            for i in range(0, len(source), SECTOR):
                self._erase(at + i)
        self._program(at + (offset or 0), source)

    def _program(self, at, source):
        clear_bits(at, source)

    def _erase(self, at):
        chip.erase(at // SECTOR)

    def ioctl(self, what, argument):
        if what == 4:
            return self._size // SECTOR
        if what == 5:
            return SECTOR
        if what == 6:
            self._erase(self._start + argument * SECTOR)
        return 0 if what in (1, 2, 3, 6) else None
