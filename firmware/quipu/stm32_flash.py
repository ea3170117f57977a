"""STM32F4 and F7: the chip's own flash behind quipu_flash, a C module of ours (boards/stm32). Rated
for 10,000 cycles.

What it does (ports/stm32/flash.c, MicroPython 1.25): flash_erase clears one sector of 2 to 256 KiB
and halts the core for up to seconds where that flash also holds the code; flash_write programs
words. Here interrupts are off meanwhile, so a UART may lose bytes. Programming sets bits to 0 only.
Families with ECC (G0, G4, H5, H7, L4, WB, WL) are refused: reading a unit that a power cut tore
raises a fault there which the port does not catch, and the board might never boot again. L0 and L1
erase to 0: the module does not compile."""

_PAGE = 256


class Stm32Flash:
    """port: quipu_flash, or what behaves like it. start: absolute; size, sector: in bytes, whole
    sectors of equal size."""

    page = _PAGE

    def __init__(self, port, start, size, sector):
        self._port, self._start = port, start
        self.unit, self.sector, self.sectors = port.UNIT, sector, size // sector

    def _at(self, address, size):
        if address < 0 or address + size > self.sectors * self.sector:
            raise OSError(5)  # EIO
        return self._start + address

    def read(self, address, data):
        self._port.read(self._at(address, len(data)), data)

    def program(self, address, data):
        self._port.program(self._at(address, len(data)), data)

    def erase(self, sector):
        self._port.erase(self._at(sector * self.sector, self.sector))


def open_region(log, geometry, part):
    """Return the driver; ValueError if the region cannot be used. log: start (absolute), size;
    part: size is the first address behind the chip's flash; all in bytes."""
    import quipu_flash

    from .log_region import check

    if quipu_flash.ECC:
        raise ValueError(
            "this family's flash has ECC: reading a unit torn by a power cut raises a fault that "
            "nothing catches; use the "
            "driver files or spi_nor"
        )
    start, size, sector = log["start"], log["size"], geometry["sector"]
    if geometry["unit"] != quipu_flash.UNIT or geometry["page"] != _PAGE:
        raise ValueError(
            "geometry is page %d, unit %d; this chip has page %d, unit %d"
            % (geometry["page"], geometry["unit"], _PAGE, quipu_flash.UNIT)
        )
    firmware, begin, end = quipu_flash.reserved()
    check(start, size, sector, firmware, part["size"])
    if start < end and start + size > begin:
        raise ValueError(
            "log at 0x%x to 0x%x overlaps the filesystem at 0x%x to 0x%x: set log in the board's "
            "facts" % (start, start + size, begin, end)
        )
    for address in range(start, start + size, sector):
        found = quipu_flash.sector(address)
        if found != (address, sector):
            raise ValueError(
                "the chip's sector at 0x%x begins at 0x%x and has %d bytes; geometry.sector is %d"
                % ((address,) + found + (sector,))
            )
    return Stm32Flash(quipu_flash, start, size, sector)
