"""What a byte of a log costs the board on its way out: exact instructions on the emulated
Cortex-M4, less those of the flash's emulation, for a pull by the link's requests and for base64
through the raw REPL. Measured while nothing waits: a request is in the board's buffer before it is
counted, and its answer is sent after that."""

import json
import os
import time
from pathlib import Path

import quipu
from quipu.board import serial_port
from quipu.board.repl import Repl
from quipu.build.emulator import Emulator
from quipu.install import files as deploy
from quipu.install.flash import flash as flash_board

from shared_kernel import requests
from tests.boards.counting import COST

BOARD = "MPS2_AN386"
RECORDS = 600
PIECES = (96, 384, 1536)  # bytes that the peer reads and writes at once: the larger, the cheaper
# what a board computes with: whether its modules are those frozen into the image
PROVIDERS = {"native": False, "viper": True}
NAMES = {value: name.lower() for name, value in vars(requests).items() if name.isupper()}
_LIMIT_S = 60
# Serves as Service.serve does, and prints [how many, instructions, bytes sent] of each kind of
# request. What is sent is put aside while instructions are counted: how long the port then waits
# for the laptop is no matter of the firmware's. Nor is how long the board waits for a request's
# end, on a busy machine: so of requests of one kind with answers of one length, the cheapest counts
# for all.
_SERVE = (
    COST
    + """
import json, quipu, sys, time
from shared_kernel import primitives
from quipu import service as module
memory = quipu.start()
class Aside:
    room = bytearray(8192)
    size = 0
    def write(self, data):
        n = self.size
        self.size = end = n + len(data)
        primitives.copy(self.room, n, data, 0, len(data))
class Out:
    buffer = Aside()
class Sys:
    stdin = sys.stdin
    stdout = Out
aside = Out.buffer
module.sys = Sys
service = memory.service = module.Service(memory)
answer = service._answer
asked = 0
def noted(ident, op, payload):
    global asked
    asked = op
    return answer(ident, op, payload)
service._answer = noted
found = {}
service.leave = False
while not service.leave:
    if service.arrived(1000):
        for _ in range(50000): pass
        n = cost(service.poll)
        same = found.setdefault(asked, {}).setdefault(aside.size // 256, [0, 0, 1 << 30])
        same[0] += 1; same[1] += aside.size; same[2] = min(same[2], n)
        sys.stdout.buffer.write(memoryview(aside.room)[:aside.size])
        aside.size = 0
print("counted", json.dumps({op: [sum([each[0] for each in of.values()]), sum([each[0] * each[2] for each in of.values()]),
                                  sum([each[1] for each in of.values()])] for op, of in found.items()}))
piece = b" " * 64
def sent():
    time.sleep_ms(50)
    return cost(lambda: sys.stdout.buffer.write(piece))
part = memoryview(bytearray(1024))
print("written", min([sent() for _ in range(20)]) / len(piece), cost(lambda: aside.write(part)) / len(part))
"""
)
# The least that gets bytes out of a prompt: one buffer, no text layer, nothing checked.
_STREAM = (
    COST
    + """
import sys, time
from binascii import b2a_base64
from quipu.startup import board_facts, open_flash
flash = open_flash(board_facts())
def measured(size, times):
    part = bytearray(size)
    def stream():
        for at in range(0, 1536, size):
            flash.read(at, part)
            sys.stdout.buffer.write(b2a_base64(part))
    total = 0
    for _ in range(times):
        time.sleep_ms(20)
        total += cost(stream)
    print("\\ncounted", total / (1536 * times))
"""
)


def _counted(text, what=b"counted "):
    return text.split(what)[1].split(b"\r\n")[0]


def streamed(port):
    """Return {bytes at once: instructions a byte} of base64 through the raw REPL."""
    with deploy.opened(port) as repl:
        repl.run(_STREAM, _LIMIT_S)
        return {
            size: round(float(_counted(repl.run(f"measured({size}, 8)", _LIMIT_S))), 1)
            for size in PIECES
        }


def pulled(port, archive):
    """Return what a sync costs: bytes of the log and of the snapshot, and instructions of each kind
    of request."""
    with serial_port.opened(port, 1.0, 10.0) as line:
        Repl(line, str(line.port)).start(_SERVE)
    with quipu.connect(port, _LIMIT_S) as board:
        done = board.sync(archive)
        snapshots = sum(each.stat().st_size for each in (archive / "snapshots").iterdir())
        board.link.request(requests.LEAVE)
        deadline = time.monotonic() + _LIMIT_S
        while b"written " not in board.link.printed or not board.link.printed.endswith(b">"):
            for _ in board.link._answers(time.monotonic() + 0.1):
                pass
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"the board never said what it counted: {bytes(board.link.printed[-200:])!r}"
                )
        printed = bytes(board.link.printed)
    found = json.loads(_counted(printed))
    kinds = {
        NAMES[int(op)]: {"requests": n, "instructions": total, "sent": sent}
        for op, (n, total, sent) in sorted(found.items())
    }
    blocks, parts = kinds["read_region"], kinds["snapshot_data"]
    # instructions for a byte: of the port's own code to send it, when it has not to wait; and to
    # put it aside, which no board does
    port, aside = map(float, _counted(printed, b"written ").split())
    flash = blocks["instructions"] / blocks["sent"] - aside
    return {
        "log_bytes": done.log_bytes,
        "frames": done.frames,
        "snapshot_bytes": snapshots,
        "wire_bytes": done.wire_bytes,
        "requests": kinds,
        "port_instructions_per_byte": round(port, 1),
        "instructions_per_flash_byte": round(flash, 1),  # the port's left out
        "instructions_per_log_byte": round((flash + port) * blocks["sent"] / done.log_bytes, 1),
        "instructions_per_snapshot_byte": round(
            parts["instructions"] / snapshots - aside + port, 1
        ),
    }


def run(folder):
    """Return the figures of each provider."""
    out = {}
    for provider, frozen in PROVIDERS.items():
        flash = Path(folder) / f"{provider}.bin"
        with Emulator(BOARD, flash, frozen=frozen) as emulator:
            if not frozen:
                flash_board(emulator.port, main=None)
            with quipu.connect(emulator.port, _LIMIT_S) as board:
                if board.info()["provider"] != provider:
                    raise AssertionError(
                        f"expected the provider {provider}, found {board.info()['provider']}"
                    )
                for i in range(RECORDS):
                    ident = board.insert([i * 65536] * 16, i & 3, os.urandom(16))
                    if i >= 100:
                        board.delete(ident)
                board.snapshot()
        with Emulator(BOARD, flash, frozen=frozen, icount=True) as emulator:
            base64 = streamed(emulator.port)
            own = out[provider] = pulled(emulator.port, Path(folder) / provider)
        own["base64_instructions_per_byte"] = base64
        own["times_base64"] = round(min(base64.values()) / own["instructions_per_log_byte"], 3)
    return out
