"""What is recorded in files, on MicroPython's own littlefs over a counting flash: Quipu's log in
files, and what a user would do without it. Runs under MicroPython only.

    micropython alternatives.py CANDIDATE SECTORS SECTOR PAGE UNIT PROGRAM_SIZE WRITES

prints one JSON object with what it cost. CANDIDATE: `quipu` (the log in files, with the sizes of
the Pico's stock firmware), `json` (a line appended to a file, flushed; of two files the older is
removed when the newer holds enough records), `btree` (a key for each record, flushed).
"""

import json
import sys

import vfs
from quipu.files_flash import FilesFlash

from bench.workload import KEPT, BlockDevice, CountingFlash, Recorder, line
from shared_kernel.store import Store

# as MicroPython's ports mount littlefs; the program size differs by port
READ_SIZE = LOOKAHEAD = 32

QUIPU_FILES = (122880, 1536, 256)  # log, sector and page, as in boards/RPI_PICO/quipu.json


def mount(flash, program_size):
    device = BlockDevice(flash)
    options = {"readsize": READ_SIZE, "progsize": program_size, "lookahead": LOOKAHEAD}
    vfs.VfsLfs2.mkfs(device, **options)
    vfs.mount(vfs.VfsLfs2(device, **options), "/f")


def json_lines(writes, most):
    """Append line after line, each flushed; the file before the last is removed, so at least KEPT
    records are there."""
    file, here, n = None, 0, 0
    for i in range(writes):
        if file is None or n >= most:
            if file:
                file.close()
            here = 1 - here
            file, n = open("/f/%d.jsonl" % here, "w"), 0
        file.write(line(i))
        file.flush()
        n += 1
    file.close()
    last = writes - 1
    with open("/f/%d.jsonl" % here) as file:
        found = [json.loads(each)["id"] for each in file]
    assert found == list(range(last - len(found) + 1, last + 1)), (
        "the newest file holds the newest records"
    )


def quipu_files(writes, most):
    recorder = Recorder(FilesFlash("/f/quipu-log", *QUIPU_FILES))
    for _ in range(writes):
        recorder.write()
    seq, head = recorder.store.seq, recorder.store.head
    again = Store(FilesFlash("/f/quipu-log", *QUIPU_FILES), lambda: 0)
    assert (again.seq, again.head, again.damage) == (seq, head, None), (
        "a boot finds what was recorded"
    )


def btree_keys(writes, most):
    import btree

    file = open("/f/records.db", "w+b")
    db = btree.open(file)
    for i in range(writes):
        db[b"%08d" % i] = line(i).encode()
        if i >= KEPT:
            del db[b"%08d" % (i - KEPT)]
        db.flush()
        file.flush()
    assert db[b"%08d" % (writes - 1)] == line(writes - 1).encode()
    assert len([1 for _ in db.keys()]) == min(writes, KEPT)
    db.close()
    file.close()


def main(candidate, sectors, sector, page, unit, program_size, writes):
    flash = CountingFlash(int(sectors), int(sector), int(page), int(unit))
    mount(flash, int(program_size))
    flash.count_anew()
    writes = int(writes)
    {"quipu": quipu_files, "json": json_lines, "btree": btree_keys}[candidate](writes, KEPT)
    print(
        json.dumps(
            {
                "writes": writes,
                "programmed": flash.bytes_programmed,
                "erases": flash.erases,
                "payload": sum([len(line(i)) for i in range(writes)]),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
