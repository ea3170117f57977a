"""Checks that a log's region may be used, before a driver touches it. Loaded by drivers of real
parts, at start-up only."""

import os


def check(start, size, sector, begin, end):
    """ValueError unless [start, start + size) consists of whole sectors and lies within [begin,
    end), all in bytes."""
    if start % sector or size % sector or size <= 0:
        raise ValueError(
            "log at 0x%x, %d bytes: not whole sectors of %d bytes" % (start, size, sector)
        )
    if start < begin or start + size > end:
        raise ValueError(
            "log at 0x%x to 0x%x is not within 0x%x to 0x%x, what the filesystem and the part "
            "leave: set log in the "
            "board's facts, or build a firmware whose filesystem is smaller"
            % (start, start + size, begin, end)
        )


def filesystem_end():
    """Return how many bytes of its device the filesystem at / takes, from the device's beginning.
    ValueError if none is mounted there: what the flash holds is then somebody's, and where it ends
    is not known."""
    stat = os.statvfs("/")  # all zeros with nothing mounted
    end = stat[1] * stat[2]
    if not end:
        raise ValueError(
            "no filesystem is mounted at /, so where the log may begin is not known; the flash "
            "may hold the one of another "
            "firmware: save its files with that firmware, then erase the flash (docs/boards.md)"
        )
    return end
