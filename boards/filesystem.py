# Frozen into the images of our builds, for their boot files: what looks at the filesystem's area of
# the flash before anything is formatted. Never formats what holds anything: an area that is wholly
# erased, and no other.
import vfs

PAGE = 256


def is_erased(device):
    sector = device.ioctl(5, 0)
    buf = bytearray(sector)
    erased = b"\xff" * sector
    for block in range(device.ioctl(4, 0)):
        device.readblocks(block, buf)
        if buf != erased:
            return False
    return True


def mount(device):
    """Mount the device at "/". A filesystem of stock firmware is larger than ours and is refused
    here, files and all."""
    try:
        fs = vfs.VfsLfs2(device, progsize=PAGE)
    except OSError:
        if not is_erased(device):
            print(
                "no filesystem of this build: flash holds another one, or something else, so it "
                "is left as it is. Save its files "
                "with the firmware that wrote it, then erase the flash (docs/boards.md)"
            )
            return
        vfs.VfsLfs2.mkfs(device, progsize=PAGE)
        fs = vfs.VfsLfs2(device, progsize=PAGE)
    vfs.mount(fs, "/")
