"""What FilesFlash promises, on MicroPython's littlefs: reads, programs, erases, and what it
refuses. Runs under MicroPython only."""

import os

import vfs
from quipu.files_flash import FilesFlash

from bench.workload import BlockDevice
from tests.flashsim import FlashSim

device = BlockDevice(FlashSim(64, 4096, 256, 4, write_once=False))
vfs.VfsLfs2.mkfs(device, progsize=256)
vfs.mount(vfs.VfsLfs2(device, progsize=256), "/f")


def refused(error, words, act, *args):
    try:
        act(*args)
    except error as e:
        assert words in str(e), e
        return
    raise AssertionError("not refused: %r" % (args,))


for args, words in (
    ((1536 * 4 + 1, 1536, 256), "do not divide"),
    ((1536 * 4, 1500, 256), "do not divide"),
    ((0, 1536, 256), "do not divide"),
    ((1536 * 4, 128, 256), "do not divide"),
    ((4096, 4096, 1024), "up to 512 inline; the page is 1024"),
    ((1536 * 40, 1536, 256), "needs 82 more blocks"),
):
    refused(ValueError, words, FilesFlash, "/f/log", *args)
refused(OSError, "ENOENT", FilesFlash, "/f/none/log", 1536, 1536, 256)
flash = FilesFlash("/f/log", 1536 * 4, 1536, 256)
everything = bytearray(1536 * 4)
flash.read(0, everything)
assert everything == b"\xff" * len(everything) and os.listdir("/f") == [], (
    "opening and reading write nothing"
)

flash.program(1536 + 256 + 10, b"later")
flash.program(1536 + 256 + 2, b"first")  # a snapshot is programmed in any order
flash.read(1536 + 250, part := bytearray(30))
assert part == b"\xff" * 8 + b"first" + b"\xff" * 3 + b"later" + b"\xff" * 9, part
flash.program(1536 * 2 - 3, b"end")
flash.program(1536 * 2, b"next")
flash.read(1536 * 2 - 5, part := bytearray(10))
assert part == b"\xff\xffendnext\xff", part
again = FilesFlash("/f/log", 1536 * 4, 1536, 256)
again.read(1536 * 2 - 5, part)
assert part == b"\xff\xffendnext\xff", part
flash.erase(1)
flash.read(0, everything)
assert everything == b"\xff" * (1536 * 2) + b"next" + b"\xff" * (1536 * 2 - 4)
for act, args in (
    (flash.program, (250, b"over a page")),
    (flash.program, (1536 * 4, b"x")),
    (flash.program, (-1, b"x")),
    (flash.read, (1536 * 4 - 1, bytearray(2))),
    (flash.erase, (4,)),
    (flash.erase, (-1,)),
):
    refused(OSError, "5", act, *args)
print("ok")
