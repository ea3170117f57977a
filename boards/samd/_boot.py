# In place of the port's own: mounts at "/" the part of the flash that lies before the log. Never formats what holds anything: an
# area that is wholly erased, and no other. A filesystem of stock firmware is larger than this one and is refused here, files and all.
import sys

import samd
import vfs
from board_facts import FACTS

PAGE = 256


class Before:
    """The blocks of a device up to an address; the device itself knows no such limit."""

    def __init__(self, device, end):
        self.readblocks, self.writeblocks = device.readblocks, device.writeblocks
        self.device, self.blocks = device, end // device.ioctl(5, 0)

    def ioctl(self, what, argument):
        return self.blocks if what == 4 else self.device.ioctl(what, argument)


def is_erased(device):
    sector = device.ioctl(5, 0)
    buf = bytearray(sector)
    erased = b"\xff" * sector
    for block in range(device.ioctl(4, 0)):
        device.readblocks(block, buf)
        if buf != erased:
            return False
    return True


def mount():
    device = Before(samd.Flash(), FACTS["log"]["start"])
    try:
        fs = vfs.VfsLfs2(device, progsize=PAGE)
    except OSError:
        if not is_erased(device):
            print("no filesystem of this build: flash holds another one, or something else, so it is left as it is. Save its files "
                  "with the firmware that wrote it, then erase the flash (docs/boards.md)")
            return
        vfs.VfsLfs2.mkfs(device, progsize=PAGE)
        fs = vfs.VfsLfs2(device, progsize=PAGE)
    vfs.mount(fs, "/")


sys.path.append("/lib")
mount()
