# Frozen into every emulated board; runs at each start, before boot.py: mounts the file system at
# "/". Never formats a flash that holds anything: only one whose file-system area is wholly erased.
import os

import emulated

FILE_SYSTEM_SIZE = 1024 * 1024
SECTOR = 4096
PAGE = 256


def is_erased(device):
    buf = bytearray(SECTOR)
    erased = b"\xff" * SECTOR
    for block in range(FILE_SYSTEM_SIZE // SECTOR):
        device.readblocks(block, buf)
        if buf != erased:
            return False
    return True


def mount():
    device = emulated.Flash(0, FILE_SYSTEM_SIZE)
    try:
        fs = os.VfsLfs2(device, progsize=PAGE)
    except OSError:
        if not is_erased(device):
            print("no file system: flash is neither littlefs nor erased, so it is left as it is")
            return
        os.VfsLfs2.mkfs(device, progsize=PAGE)
        fs = os.VfsLfs2(device, progsize=PAGE)
    os.mount(fs, "/")


mount()
