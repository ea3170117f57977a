"""An external SPI NOR part on machine.SPI and a chip select pin: pages of 256, sectors of 4096,
addresses of three bytes.

What such a part does (JEDEC's common commands): every program and erase needs a write enable (06h)
before it, which the status register's bit 1 shows and which the part drops when done; bit 0 is set
while it works. A program that crosses a page goes on at that page's beginning: refused here. A
protected part drops commands without a word, so Region reads back."""

import time

_EIO = 5
_ETIMEDOUT = 110
_PAGE = 256
_SECTOR = 4096
_READ = 0x03
_PROGRAM = 0x02
_ERASE = 0x20
_BUSY = 1
_ENABLED = 2
_PROGRAM_LIMIT = 20  # ms; parts promise 3 to 5
_ERASE_LIMIT = 2000  # ms; parts promise 400 to 500


class SpiNorFlash:
    """spi: a machine.SPI; select: its Pin, high at rest; start, size: of the region, in bytes,
    whole sectors.

    OSError ETIMEDOUT if the part stays busy, EIO if it takes no write enable, or at what lies
    outside or crosses a page."""

    page = _PAGE
    sector = _SECTOR

    def __init__(self, spi, select, start, size, unit):
        self._spi, self._select, self._start = spi, select, start
        self.sectors, self.unit = size // _SECTOR, unit
        self._command = bytearray(4)
        self._answer = bytearray(1)

    def identity(self):
        """Return the part's three bytes of identity (maker, kind, capacity)."""
        self._wait(_ERASE_LIMIT)  # a reset may have met it amid an erase
        answer = bytearray(3)
        self._transfer(b"\x9f", answer, None)
        return answer

    def read(self, address, data):
        self._inside(address, len(data))
        self._transfer(self._addressed(_READ, address), data, None)

    def program(self, address, data):
        self._inside(address, len(data))
        if address % _PAGE + len(data) > _PAGE:
            raise OSError(_EIO)
        self._enable()
        self._transfer(self._addressed(_PROGRAM, address), None, data)
        self._wait(_PROGRAM_LIMIT)

    def erase(self, sector):
        if not 0 <= sector < self.sectors:
            raise OSError(_EIO)
        self._enable()
        self._transfer(self._addressed(_ERASE, sector * _SECTOR), None, None)
        self._wait(_ERASE_LIMIT)

    def _inside(self, address, size):
        if address < 0 or address + size > self.sectors * _SECTOR:
            raise OSError(_EIO)

    def _addressed(self, command, address):
        address += self._start
        out = self._command
        out[0], out[1], out[2], out[3] = command, address >> 16, address >> 8 & 255, address & 255
        return out

    def _transfer(self, command, into, data):
        self._select(0)
        try:
            self._spi.write(command)
            if into is not None:
                self._spi.readinto(into)
            if data is not None:
                self._spi.write(data)
        finally:
            self._select(1)

    def _status(self):
        self._transfer(b"\x05", self._answer, None)
        return self._answer[0]

    def _enable(self):
        self._transfer(b"\x06", None, None)
        if not self._status() & _ENABLED:
            raise OSError(_EIO)

    def _wait(self, limit):
        begun = time.ticks_ms()
        late = False
        while self._status() & _BUSY:
            if late:
                raise OSError(_ETIMEDOUT)
            # asked once more: an interrupt may have held us up, not the part
            late = time.ticks_diff(time.ticks_ms(), begun) > limit


def open_region(log, geometry, part):
    """Return the driver; ValueError if the part or the region cannot be used.

    log: start (from the part's beginning), size, in bytes. part: spi (the bus's number), select
        (the pin's name or number),
    baudrate (Hz), size (bytes, at most 16 MiB), jedec (the part's identity, six hexadecimal
    digits)."""
    import binascii

    from machine import SPI, Pin

    from .log_region import check

    if part["size"] > 1 << 24:
        raise ValueError("flash of %d bytes: three address bytes reach 16777216" % part["size"])
    if geometry["sector"] != _SECTOR or geometry["page"] != _PAGE:
        raise ValueError(
            "geometry is sector %d, page %d; spi_nor has sector 4096, page 256"
            % (geometry["sector"], geometry["page"])
        )
    check(log["start"], log["size"], _SECTOR, 0, part["size"])
    select = Pin(part["select"], Pin.OUT, value=1)
    flash = SpiNorFlash(
        SPI(part["spi"], baudrate=part["baudrate"]),
        select,
        log["start"],
        log["size"],
        geometry["unit"],
    )
    try:
        found = binascii.hexlify(flash.identity()).decode()
    except OSError:
        raise ValueError(
            "no SPI flash answers on spi %s, select %s: it stays busy; check the wires"
            % (part["spi"], part["select"])
        ) from None
    if found != part["jedec"]:
        raise ValueError(
            "the SPI flash answers %s, the facts say jedec %s: check the wires and the facts"
            % (found, part["jedec"])
        )
    return flash
