# Says of the filesystem at `folder` its block, blocks and free blocks, whether a main.py is in it,
# and the bytes of the file `log`, 0 without one. None: nothing is mounted there.
import os


def room(folder, log):
    try:
        disk = os.statvfs(folder)
        names = os.listdir(folder)
        try:
            size = os.stat(log)[6]
        except OSError:
            size = 0
        print((disk[0], disk[2], disk[3], "main.py" in names, size))
    except OSError:
        print(None)
