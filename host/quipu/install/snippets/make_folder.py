# Makes a folder unless it is there.
import os


def make_folder(path):
    try:
        os.stat(path)
    except OSError:
        os.mkdir(path)
