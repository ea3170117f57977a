# Says the bytes of each of these files, one a line.
import os


def sizes(paths):
    for path in paths:
        print(os.stat(path)[6])
