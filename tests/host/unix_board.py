"""A board without hardware and without QEMU: the real firmware on MicroPython's unix port, at the
far end of a pty.

Also what can go wrong between it and the laptop: `Wire` stands before an open port and drops or
alters bytes on request."""

import os
import pty
import subprocess
import tty
from pathlib import Path

from quipu.build import images

SECTOR, SECTORS = 4096, 32
MAIN = Path(__file__).with_name("unix_main.py")


class UnixBoard:
    """A context manager. flash: the file that keeps the board's flash, made erased if it is not
    there; mode: see unix_main.py."""

    def __init__(self, flash, mode="serve", *args):
        self.flash = Path(flash)
        self.command = [
            str(images.unix_port()),
            "-X",
            "heapsize=4M",
            str(MAIN),
            str(flash),
            mode,
            *map(str, args),
        ]
        self.process = None

    def __enter__(self):
        if not self.flash.exists():
            self.flash.write_bytes(b"\xff" * (SECTOR * SECTORS))
        master, self._slave = pty.openpty()
        # before anyone writes: an echo would be taken for the board's words
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.errors = open(f"{self.flash}.stderr", "w+b")
        self.process = subprocess.Popen(
            self.command, stdin=master, stdout=master, stderr=self.errors
        )
        os.close(master)
        return self

    def __exit__(self, *exc):
        self.kill()

    def kill(self):
        """A power cut."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            os.close(self._slave)
            self.errors.seek(0)
            said = self.errors.read().decode()
            self.errors.close()
            assert "Traceback" not in said, said


class Wire:
    """An open pyserial port whose bytes pass through `down` (to the board) and `up` (from it); each
    takes and gives bytes."""

    def __init__(self, port, down=None, up=None):
        self._port = port
        self.down = down or (lambda data: data)
        self.up = up or (lambda data: data)

    def write(self, data):
        altered = self.down(bytes(data))
        if altered:
            self._port.write(altered)
        return len(data)

    def read(self, size):
        return self.up(self._port.read(size))

    def __getattr__(self, name):
        return getattr(self._port, name)

    @staticmethod
    def of(board, down=None, up=None):
        """Put a wire into a Board's link."""
        wire = board.link._port = Wire(board.link._port, down, up)
        return wire


class Flip:
    """Flips bit `bit` of the byte `at` (counted over all calls from now on), once."""

    def __init__(self, at, bit=0):
        self.at, self.bit, self.done = at, bit, False

    def __call__(self, data):
        if not self.done and self.at < len(data):
            self.done = True
            return data[: self.at] + bytes([data[self.at] ^ 1 << self.bit]) + data[self.at + 1 :]
        self.at -= len(data)
        return data


class Lose:
    """Loses the byte `at` and `count` - 1 after it (counted over all calls from now on)."""

    def __init__(self, at, count=1):
        self.at, self.count = at, count

    def __call__(self, data):
        first, last = max(self.at, 0), max(self.at + self.count, 0)
        self.at -= len(data)
        return data[:first] + data[last:]
