"""What appends to files on littlefs cost by the sizes of page and sector: the table of
docs/drivers.md. Runs under MicroPython only.

    MICROPYPATH=.:firmware build/micropython-unix -X heapsize=64M tests/drivers/costs.py

Each row: 1,500 appends of 96 bytes with FilesFlash, on 16 sectors taken in turn and erased before
they are used again, in a filesystem of 128 blocks of 4096 on a counting flash. Counts: the same at
each run."""

import vfs
from quipu.files_flash import FilesFlash

from bench.workload import BlockDevice, CountingFlash

APPENDS, SIZE, SECTORS = 1500, 96, 16
# progsize of the mount, page, pages of a sector
ROWS = ((256, 128, 12), (256, 256, 6), (256, 256, 7), (256, 512, 3), (256, 512, 8), (32, 128, 12))


class Flat(FilesFlash):
    """All pages in one directory ("p0", "p1", ...), to compare."""

    def _name(self, number):
        return "%s/p%d" % (self.path, number)

    def _directory(self, sector):
        super()._directory(0)


def cost(kind, progsize, page, pages):
    """Return (bytes programmed, blocks erased) for each append."""
    chip = CountingFlash(128, 4096, 256, 4)
    device = BlockDevice(chip)
    vfs.VfsLfs2.mkfs(device, progsize=progsize)
    vfs.mount(vfs.VfsLfs2(device, progsize=progsize), "/f")
    sector = page * pages
    flash = kind("/f/log", SECTORS * sector, sector, page)
    chip.count_anew()
    at = 0
    for i in range(APPENDS):
        if at % sector == 0:
            flash.erase(at // sector)
        data, done = bytes([i & 127]) * SIZE, 0
        # as Region programs: never across a page, and a frame never across a sector
        while done < SIZE:
            n = min(SIZE - done, page - (at + done) % page)
            flash.program(at + done, data[done : done + n])
            done += n
        flash.read(at, found := bytearray(SIZE))
        assert found == data
        at += SIZE
        if sector - at % sector < SIZE:
            at += sector - at % sector
        at %= SECTORS * sector
    flash._close()
    vfs.umount("/f")
    return chip.bytes_programmed / APPENDS, sum(chip.erases) / APPENDS


def main():
    print(
        "| progsize | page x pages | directory for each sector: bytes, erases a write | one flat "
        "directory: bytes, erases a write |"
    )
    print("|---|---|---|---|")
    for progsize, page, pages in ROWS:
        print(
            "| %d | %d x %d | %d, %.3f | %d, %.3f |"
            % (
                (progsize, page, pages)
                + cost(FilesFlash, progsize, page, pages)
                + cost(Flat, progsize, page, pages)
            )
        )


main()
