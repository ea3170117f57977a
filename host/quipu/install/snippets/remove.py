# Removes these files.
import os


def remove(paths):
    for path in paths:
        os.remove(path)
