"""The log in small files on littlefs: for every stock firmware, where the filesystem owns the whole
flash.

A sector is a directory, a page of it one file ("0", "1", ...), short or missing where nothing was
programmed yet. A program opens its page's file, writes and closes; littlefs commits that as a whole
or not at all (lfs2.c, MicroPython 1.25: a new copy, then one CRC-checked entry), so a power cut
tears no page. An erase removes the files, the first (with the sector's records) first.

Files of at most a page that littlefs keeps inline, in the directory's own metadata, cost least: 256
B on ports that mount with progsize=256 (rp2, SAMD), 128 B with the default of 32 (nRF, stm32).
Measured for appends of 96 B, 4 KiB blocks, see docs/drivers.md. A sector should stay under half a
block less 256 B, so that its directory never outgrows its two blocks."""

import os

_EIO = 5
_ENOENT = 2
_EEXIST = 17
_BLOCKS = 2  # of the filesystem, for each directory


class FilesFlash:
    """path: a directory, made at the first erase or program. size: of the log, in bytes. sector,
    page: in bytes; a page is a file.

    ValueError if the sizes do not divide each other, a page cannot be kept inline, or the
    filesystem lacks the space."""

    unit = 1
    # file by file, each whole or not at all: nothing reads otherwise from one time to the next
    erases_whole = True

    def __init__(self, path, size, sector, page):
        if page < 1 or sector < page or size < sector or sector % page or size % sector:
            raise ValueError(
                "log of %d bytes, sector %d and page %d do not divide each other"
                % (size, sector, page)
            )
        self.path, self.sector, self.page = path, sector, page
        self.sectors = size // sector
        self._number = -1  # of the page whose file is open for reading
        self._file = None
        self._check_space()

    def _check_space(self):
        parent = self.path.rsplit("/", 1)[0] or "/"
        os.stat(parent)  # OSError if it is not there: statvfs does not look
        stat = os.statvfs(parent)
        block, free = stat[0], stat[3]
        if self.page > block // 8:
            raise ValueError(
                "littlefs with blocks of %d bytes keeps files up to %d inline; the page is %d: "
                "set geometry.page" % (block, block // 8, self.page)
            )
        try:
            made = len(os.listdir(self.path))
        except OSError as e:
            if e.errno != _ENOENT:
                raise
            made = 0
        need = _BLOCKS * (self.sectors - made + 1)
        if made < self.sectors and free < need:
            raise ValueError(
                "the log of %d sectors at %s needs %d more blocks of %d bytes; the filesystem has "
                "%d free" % (self.sectors, self.path, need, block, free)
            )

    def _name(self, number):
        per = self.sector // self.page
        return "%s/%d/%d" % (self.path, number // per, number % per)

    def _close(self):
        if self._file:
            self._file.close()
        self._file = None
        self._number = -1

    def _open(self, number):
        """Have the page's file open for reading; None in `_file` if it is not there."""
        if number != self._number:
            self._close()
            try:
                self._file = open(self._name(number), "rb")
            except OSError as e:
                if e.errno != _ENOENT:
                    raise
            self._number = number

    def _inside(self, address, size):
        if address < 0 or address + size > self.sectors * self.sector:
            raise OSError(_EIO)

    def read(self, address, data):
        """Fill data. What no file holds reads 0xFF."""
        data = memoryview(data)
        self._inside(address, len(data))
        at = 0
        while at < len(data):
            offset = (address + at) % self.page
            part = data[at : at + self.page - offset]
            self._open((address + at) // self.page)
            got = 0
            if self._file:
                self._file.seek(offset)
                got = self._file.readinto(part)
            for i in range(got, len(part)):
                part[i] = 0xFF
            at += len(part)

    def program(self, address, data):
        """Write data, which lies within one page: whole or not at all."""
        number, offset = address // self.page, address % self.page
        self._inside(address, len(data))
        if offset + len(data) > self.page:
            raise OSError(_EIO)
        self._close()
        name = self._name(number)
        try:
            file = open(name, "r+b")
        except OSError as e:
            if e.errno != _ENOENT:
                raise
            self._directory(address // self.sector)
            file = open(name, "wb")
        with file:
            end = file.seek(0, 2)
            if end < offset:
                file.write(b"\xff" * (offset - end))
            file.seek(offset)
            file.write(data)

    def erase(self, sector):
        """Remove the sector's files."""
        if not 0 <= sector < self.sectors:
            raise OSError(_EIO)
        self._close()
        self._directory(sector)
        per = self.sector // self.page
        for number in range(sector * per, (sector + 1) * per):
            try:
                os.remove(self._name(number))
            except OSError as e:
                if e.errno != _ENOENT:
                    raise

    def _directory(self, sector):
        for name in (self.path, "%s/%d" % (self.path, sector)):
            try:
                os.mkdir(name)
            except OSError as e:
                if e.errno != _EEXIST:
                    raise


def open_region(log, geometry, part=None):
    """Return the driver. log: path of the directory, size in bytes."""
    return FilesFlash(log["path"], log["size"], geometry["sector"], geometry["page"])
