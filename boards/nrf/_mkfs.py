# In place of the port's own, which runs where no filesystem could be mounted and formats: this one formats an area that is wholly erased,
# and no other.
import nrf
import vfs


def is_erased(device):
    sector = device.ioctl(5, 0)
    buf = bytearray(sector)
    erased = b"\xff" * sector
    for block in range(device.ioctl(4, 0)):
        device.readblocks(block, buf)
        if buf != erased:
            return False
    return True


def make():
    device = nrf.Flash()
    if is_erased(device):
        vfs.VfsLfs2.mkfs(device)
    else:
        print("no filesystem of this build: its flash holds something else, so it is left as it is. Erase the flash (docs/boards.md)")


make()
