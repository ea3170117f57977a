"""The log in one file on FAT, on an SD card. The file is made on a laptop, in full size and all
0xFF, and never grows.

What it does (lib/oofatfs/ff.c, MicroPython 1.25): a write of whole blocks of 512 at a block's
beginning, within the file, goes to the card at once: no buffer, no change of the directory or the
FAT. So unit and page are 512 and the file is neither flushed nor closed: either writes the
directory's block anew. An erase writes 0xFF over a sector's blocks that hold something. No block
that holds frames is written again before that.

What a card does inside is its maker's secret. Safe is: a cut that tears or loses the one block
being written. Not safe: a card that loses other blocks when its power goes. Never for a board's own
flash under FAT (pyb.Flash), which rewrites whole sectors of it."""

import os

_EIO = 5
_ENOENT = 2
_BLOCK = 512


class FatFlash:
    """path: of the file. size: of the log, sector: both in bytes, sector whole blocks of 512.

    ValueError if the sizes do not divide each other, or the file is missing or shorter than the
    log."""

    unit = page = _BLOCK

    def __init__(self, path, size, sector):
        if sector < _BLOCK or sector % _BLOCK or size < sector or size % sector:
            raise ValueError(
                "log of %d bytes, sector %d: not whole sectors of whole blocks of 512 bytes"
                % (size, sector)
            )
        try:
            length = os.stat(path)[6]
        except OSError as e:
            if e.errno != _ENOENT:
                raise
            length = 0
        if length < size:
            raise ValueError(
                "%s has %d bytes, the log needs %d: make it on a laptop, all 0xFF, as "
                "docs/drivers.md says" % (path, length, size)
            )
        self.path, self.sector, self.sectors = path, sector, size // sector
        self._file = None
        self._blank = b"\xff" * _BLOCK

    def _at(self, address, size):
        """Return the file, positioned. FatFs gives up a file after one error, so it is opened anew
        then."""
        if address < 0 or address + size > self.sectors * self.sector:
            raise OSError(_EIO)
        file, self._file = self._file or open(self.path, "r+b"), None  # None until all went well
        file.seek(address)
        return file

    def read(self, address, data):
        file = self._at(address, len(data))
        if file.readinto(data) != len(data):
            raise OSError(_EIO)
        self._file = file

    def program(self, address, data):
        """Write one whole block of 512 bytes."""
        if address % _BLOCK or len(data) != _BLOCK:
            raise OSError(_EIO)
        self._write(address, data)

    def erase(self, sector):
        """Write 0xFF over a sector, block after block. One that is blank is left alone: a cut would
        leave there what a genesis is to find blank."""
        data = bytearray(_BLOCK)
        for address in range(sector * self.sector, (sector + 1) * self.sector, _BLOCK):
            self.read(address, data)
            if data != self._blank:
                self._write(address, self._blank)

    def _write(self, address, data):
        file = self._at(address, _BLOCK)
        if file.write(data) != _BLOCK:
            raise OSError(_EIO)
        self._file = file


def open_region(log, geometry, part=None):
    """Return the driver. log: path of the file, size in bytes."""
    return FatFlash(log["path"], log["size"], geometry["sector"])
