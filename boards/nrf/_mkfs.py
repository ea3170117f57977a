# In place of the port's own, which runs where no filesystem could be mounted and formats: this one
# formats an area that is wholly erased, and no other.
import filesystem
import nrf
import vfs

device = nrf.Flash()
if filesystem.is_erased(device):
    vfs.VfsLfs2.mkfs(device)
else:
    print(
        "no filesystem of this build: its flash holds something else, so it is left as it is. "
        "Erase the flash (docs/boards.md)"
    )
