# Removes the stale files, then puts each new one in its place. It stands beside it, its name ending
# in `new`. What is gone already is no error: so a second run completes the first.
import os


def switch(stale, paths, new):
    for path in stale:
        try:
            os.remove(path)
        except OSError:
            pass
    for path in paths:
        try:
            os.rename(path + new, path)
        except OSError:  # FAT renames onto no file that is there
            os.remove(path)
            os.rename(path + new, path)
