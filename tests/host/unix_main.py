"""Runs under MicroPython's unix port: the real firmware over a flash that is a file, on standard
input and output.

micropython unix_main.py FLASH serve                 answers the laptop until it says leave
micropython unix_main.py FLASH app                   prints a line and puts a key, over and over, and polls between
micropython unix_main.py FLASH quiet N               answers nothing before N other bytes have come in, then serves
"""

import sys

ROOT = __file__.rsplit("/", 3)[0] or "."
sys.path[:] = [ROOT, ROOT + "/firmware"]

from quipu.memory import Memory  # noqa: E402

from shared_kernel.recovery import recover  # noqa: E402
from shared_kernel.region import Region  # noqa: E402


class FileFlash:
    """NOR flash in a file: programming only clears bits; what was written stays when the process is
    killed."""

    sector, page, unit, sectors = 4096, 256, 4, 32

    def __init__(self, path):
        self.file = open(path, "r+b")

    def read(self, address, data):
        self.file.seek(address)
        self.file.readinto(data)

    def program(self, address, data):
        old = bytearray(len(data))
        self.read(address, old)
        if address % self.unit or len(data) % self.unit or any([each != 0xFF for each in old]):
            raise OSError(5)
        self.file.seek(address)
        self.file.write(data)
        self.file.flush()

    def erase(self, sector):
        self.file.seek(sector * self.sector)
        self.file.write(b"\xff" * self.sector)
        self.file.flush()


def main(path, mode, *args):
    memory = Memory(recover(Region(FileFlash(path))), "unix/0001", {})
    if mode == "serve":
        memory.serve()
    elif mode == "app":
        n = 0
        while True:
            print("line %d \x1eQ" % n)  # with what looks like the beginning of an answer
            memory.put("n", b"%d" % n)
            memory.sleep_ms(2)
            n += 1


main(*sys.argv[1:])
