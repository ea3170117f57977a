"""A board as the hardware suite holds it: its port, who it is, and how its power is cut while it
records. Never judges anything."""

import os
import subprocess
import threading
import time
from contextlib import ExitStack, suppress

import quipu
from quipu.board import serial_port
from quipu.board.repl import Repl
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.errors import NotFound, PortError, QuipuError
from quipu.install import files as deploy
from quipu.install import flash

CUT_S = 0.7  # of heartbeats, until the power is cut
ARCHIVES = images.checkout_root() / "data" / "hil"  # of real boards
BACK_S = 60.0  # until a board that was cut off answers again
QUIET_S = 5.0
# No application is likely to have keys of these names.
KEY = b"hil/heartbeat"
SAID = b"hil/said"
RECORDING = b"hil/recording"
IDENTIFY = """
import sys, machine, binascii
print(sys.implementation._machine)
print(binascii.hexlify(machine.unique_id()).decode())
"""
# Where nothing can cut a real board's power, its own reset does: in the middle of a write where the
# port has a timer.
BEAT = """
import machine, quipu
memory = quipu.start()
n = %d
try:
    timer = machine.Timer(-1, mode=machine.Timer.ONE_SHOT, period=%d, callback=lambda _: machine.reset())
    last = -1
except (AttributeError, ValueError, TypeError, OSError):
    last = n + 40
while n != last:
    memory.put(b"hil/heartbeat", b"%%d" %% (n + 1))
    n += 1
    print("beat", n, "end")
machine.reset()
"""
RECORD = """
import quipu
memory = quipu.start()
n = 0
while True:
    memory.put(b"hil/recording", b"%d" % n)
    n += 1
    memory.sleep_ms(2)
"""


class Device:
    """A context manager around a board. machine, unique_id: what it says of itself, once it was
    asked; frozen: the board whose image with Quipu it runs, if it does; folder: for what may be
    thrown away."""

    def __init__(self, folder):
        self.folder = folder
        self.machine = self.unique_id = self.frozen = None
        self.may_erase = True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def archive(self, board):
        """Return the folder for the archive of the log that is on the board now."""
        return self.folder / board.log.hex()[:16]

    def identify(self):
        """Ask MicroPython which machine this is, which of its kind, and whether Quipu is in its
        firmware."""
        with deploy.opened(self.port) as repl:
            self.machine, self.unique_id = repl.run(IDENTIFY, 10).decode().splitlines()
            self.frozen = flash.frozen(repl)

    def connect(self):
        """Return a Board; waits for one that is just starting."""
        deadline = time.monotonic() + BACK_S
        while True:
            try:
                return quipu.connect(self.port, timeout=20)
            except PortError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)  # a USB port that is not there yet

    @staticmethod
    def tidy(board):
        """Delete the suite's keys from the board."""
        for each in (KEY, SAID, RECORDING):
            with suppress(NotFound):
                board.delete_key(each)

    def beat(self, first, cutter):
        """Write heartbeats from `first` + 1 on until `cutter`, started by now, has cut the board
        off; return the last acknowledged."""
        with self.connect() as board:
            cutter.start()
            try:
                while True:
                    board.put(KEY, b"%d" % (first + 1))
                    first += 1
            except PortError:
                return first
            finally:
                cutter.join()

    def recording(self):
        """Return a context in which an application on the board records without being asked.
        /main.py is not touched."""
        stack = ExitStack()
        with ExitStack() as opening:
            line = opening.enter_context(serial_port.opened(self.port, 1.0, 10.0))
            Repl(line, str(line.port)).start(RECORD)
        stack.callback(self.restart)
        return stack

    def restart(self):
        """End what runs, and start /main.py."""
        with deploy.opened(self.port):
            pass


class Emulated(Device):
    """An emulated board with plain MicroPython on a flash of its own."""

    def __init__(self, name, folder):
        super().__init__(folder)
        self.emulator = Emulator(name, folder / "flash.bin", frozen=False)

    def __enter__(self):
        self.emulator.start()
        return self

    def __exit__(self, *exc):
        self.emulator.close()

    @property
    def port(self):
        return self.emulator.port

    def cut(self, first):
        """Record, and SIGKILL the board meanwhile; return the last heartbeat that it acknowledged.
        It is on again."""
        last = self.beat(first, threading.Timer(CUT_S, self.emulator.kill))
        self.emulator.start()
        return last


class Real(Device):
    """A board on a port. The log that it holds is kept, unless may_erase. A board may recycle what
    a sync has acknowledged, so the suite's archives of it are kept as well."""

    def __init__(self, port, folder, may_erase):
        super().__init__(folder)
        self.port = port
        self.may_erase = may_erase

    def __exit__(self, *exc):
        with suppress(QuipuError):  # whatever went wrong has been said by a test
            with self.connect() as board:
                self.tidy(board)

    def archive(self, board):
        return ARCHIVES / self.unique_id / board.log.hex()[:16]

    def cut(self, first):
        """Record, and cut the board off meanwhile: by the command in QUIPU_POWER_CYCLE, which
        switches it off and on again, else by its own reset; return the last heartbeat that it
        acknowledged."""
        command = os.environ.get("QUIPU_POWER_CYCLE")
        if command:
            return self.beat(
                first,
                threading.Timer(CUT_S, lambda: subprocess.run(command, shell=True, check=True)),
            )
        said = bytearray()
        with serial_port.opened(self.port, 0.2, 10.0) as line:
            Repl(line, str(line.port)).start(BEAT % (first, int(CUT_S * 1000)))
            heard = time.monotonic()
            while time.monotonic() < heard + QUIET_S and b"MPY: soft reset" not in said:
                try:
                    piece = line.read(256)
                except OSError:  # the port is gone with the board
                    break
                if piece:
                    said += piece
                    heard = time.monotonic()
        beats = [int(each.split()[0]) for each in said.split(b"beat ")[1:] if b" end" in each]
        return max(beats, default=first)
