"""samd.Flash as in ports/samd/samd_spiflash.c and samd_qspiflash.c, MicroPython 1.25: the whole
part, no arguments. Data is split by its own position; a piece that crosses a page of the part goes
on at that page's beginning, as SPI NOR does."""

from nor import PAGE, SIZE, Device, clear_bits


class Flash(Device):
    def __init__(self):
        super().__init__(0, SIZE)

    def _program(self, at, source):
        for pos in range(0, len(source), PAGE):
            address = at + pos
            piece, inside = source[pos : pos + PAGE], PAGE - address % PAGE
            clear_bits(address, piece[:inside])
            clear_bits(address // PAGE * PAGE, piece[inside:])
