"""Case 32: an image with Quipu in it on a part whose flash another firmware's filesystem fills, the
log's region too. Nothing but the eraser, which a person has agreed to, may change a byte. Runs
under MicroPython only; READER and ERASER: files with the code that the laptop sends
(host/quipu/install/attach.py, erase.py).

    micropython stock_files.py DRIVER READER ERASER [BREAKAGE]
"""

import sys

import nor
from quipu import log_region, report, startup

from shared_kernel import continuation, frames
from shared_kernel.errors import Damage
from shared_kernel.kernel import PUT
from shared_kernel.store import command

START, SECTORS = 48 * nor.SECTOR, 24
FACTS = {
    "name": "FAKE",
    "driver": None,
    "log": {"start": START, "size": SECTORS * nor.SECTOR},
    "geometry": {"sector": 4096, "page": 256, "unit": 4},
    "capacities": {
        "dim": 2,
        "records": 7,
        "nodes": 5,
        "edges": 6,
        "keys": 4,
        "meta_bytes": 3,
        "value_bytes": 5,
    },
}


class Os:
    """os, of a board with a filesystem of so many bytes mounted at /; 0: with none."""

    def __init__(self, size):
        self.size = size

    def statvfs(self, path):
        return (4096, 4096, self.size // 4096) + (0,) * 7 if self.size else (0,) * 10


def refused(error, words, act, *args):
    before = nor.contents()
    try:
        act(*args)
    except error as e:
        assert words in str(e), e
    else:
        raise AssertionError("%r is not refused" % words)
    assert nor.contents() == before, "the flash was changed"


def main(driver, reader, eraser, breakage=None):
    FACTS["driver"] = driver
    startup.identity = lambda facts: "FAKE/1"
    for sector in range(48, 64):  # somebody's files: no log's, and not blank
        nor.clear_bits(sector * nor.SECTOR, b"littlefs of a stock firmware")
    files = nor.contents()

    log_region.os = Os(0)
    if breakage == "unmounted":
        log_region.filesystem_end = lambda: 0
    refused(ValueError, "no filesystem is mounted at /", startup.open_memory, FACTS)

    log_region.os = Os(START)  # that of our build: the log's region holds what is left of the other
    if breakage == "blank":
        from shared_kernel import unfinished

        unfinished.need_blank = lambda region: None
        startup.forget = lambda *names: None
    memory = startup.open_memory(FACTS)
    assert nor.contents() == files, "the start changed the flash"
    said = report.info(memory, 240)
    assert said["configured"] is False and said["format"] == 2, said
    assert (
        "holds something else than a log: sector 0 begins with 6c6974746c656673" in said["damage"]
    ), said["damage"]
    store = memory.store
    config = [2, 7, 5, 6, 4, 3, 5]
    refused(Damage, "is not blank", memory.configure, config, bytes(16))
    refused(Damage, "takes nothing new", command, store, PUT, frames.put("a", b"b"))
    refused(Damage, "takes nothing new", store.take_snapshot)
    refused(
        Damage,
        "is not blank",
        store.call,
        continuation.begin,
        store,
        config,
        bytes(16),
        "t",
        0,
        (bytes(32), 1) + (bytes(32),) * 3,
    )
    refused(
        Damage, "takes nothing new", store.call, continuation.erase, store, bytes(32), bytes(32)
    )

    sys.modules["quipu.startup"].board_facts = lambda: FACTS
    names = {}
    exec(open(reader).read(), names)
    assert nor.contents() == files
    exec(open(eraser).read(), names)
    start = START + SECTORS * nor.SECTOR
    assert nor.contents(0, START) == files[:START] and nor.contents(start) == files[start:], (
        "something outside the region was changed"
    )
    said = report.info(startup.open_memory(FACTS), 240)
    assert said["configured"] and said["damage"] is None and said["seq"] == 0
    print("done")


main(*sys.argv[1:])
