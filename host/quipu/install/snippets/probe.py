# Says what the board is: the fields of flash.Probe, as a tuple.
import gc
import os
import sys


def probe():
    gc.collect()
    this = sys.implementation
    disk = os.statvfs("/")
    print(
        (
            this.name,
            tuple(this.version)[:3],
            getattr(this, "_machine", ""),
            getattr(this, "_mpy", 0),
            gc.mem_free() + gc.mem_alloc(),
            disk[0],
            disk[2],
            disk[3],
            "main.py" in os.listdir("/"),
        )
    )
