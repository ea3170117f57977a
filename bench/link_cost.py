"""What a byte of a log costs the board on its way out: exact instructions on the emulated Cortex-M4, less those of the flash's emulation,
for a pull by the link's requests and for base64 through the raw REPL. Measured while nothing waits: a request is in the board's buffer
before it is counted, and what an answer takes is in the laptop's before the next.
"""

import json
import os
import time
from pathlib import Path

import quipu
from quipu.board import serial_port
from quipu.board.repl import Repl
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.install import files as deploy

from shared_kernel import requests
from tests.boards.counting import COST

BOARD = "MPS2_AN386"
RECORDS = 600
PIECES = (96, 384, 1536)  # bytes that the peer reads and writes at once: the larger, the cheaper
PROVIDERS = {"native": False, "viper": True}  # what a board computes with: whether its modules are those frozen into the image
NAMES = {value: name.lower() for name, value in vars(requests).items() if name.isupper()}
_LIMIT_S = 60
# Serves as Service.serve does, and prints [how many, instructions] of each kind of request.
_SERVE = COST + """
import json, quipu
from quipu.service import Service
memory = quipu.start()
service = memory.service = Service(memory)
do = service._do
asked = 0
def noted(op, payload):
    global asked
    asked = op
    return do(op, payload)
service._do = noted
found = {}
service.leave = False
while not service.leave:
    if service.arrived(1000):
        time.sleep_ms(20)
        n = cost(service.poll)
        count = found.setdefault(asked, [0, 0])
        count[0] += 1; count[1] += n
print("counted", json.dumps(found))
"""
# The least that gets bytes out of a prompt: one buffer, no text layer, nothing checked.
_STREAM = COST + """
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


def _counted(text):
    return text.split(b"counted ")[1].split(b"\r\n")[0]


def streamed(port):
    """Return {bytes at once: instructions a byte} of base64 through the raw REPL."""
    with deploy.opened(port) as repl:
        repl.run(_STREAM, _LIMIT_S)
        return {size: round(float(_counted(repl.run(f"measured({size}, 8)", _LIMIT_S))), 1) for size in PIECES}


def pulled(port, archive):
    """Return what a sync costs: bytes of the log and of the snapshot, and instructions of each kind of request."""
    with serial_port.opened(port, 1.0, 10.0) as line:
        Repl(line, str(line.port)).start(_SERVE)
    with quipu.connect(port, _LIMIT_S) as board:
        done = board.sync(archive)
        snapshots = sum(each.stat().st_size for each in (archive / "snapshots").iterdir())
        board.link.request(requests.LEAVE)
        deadline = time.monotonic() + _LIMIT_S
        while b"counted " not in board.link.printed or not board.link.printed.endswith(b">"):
            for _ in board.link._answers(time.monotonic() + 0.1):
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"the board never said what it counted: {bytes(board.link.printed[-200:])!r}")
        found = json.loads(_counted(bytes(board.link.printed)))
    kinds = {NAMES[int(op)]: {"requests": n, "instructions": total} for op, (n, total) in sorted(found.items())}
    return {"log_bytes": done.log_bytes, "frames": done.frames, "snapshot_bytes": snapshots, "requests": kinds,
            "instructions_per_log_byte": round(kinds["frames"]["instructions"] / done.log_bytes, 1),
            "instructions_per_snapshot_byte": round(kinds["snapshot_data"]["instructions"] / snapshots, 1)}


def run(folder):
    """Return the figures of each provider."""
    out = {}
    for provider, frozen in PROVIDERS.items():
        flash = Path(folder) / f"{provider}.bin"
        with Emulator(BOARD, flash, frozen=frozen) as emulator:
            if not frozen:
                deploy.deploy(emulator.port, images.board_facts(BOARD), images.mpy_cross(), main=None)
            with quipu.connect(emulator.port, _LIMIT_S) as board:
                if board.info()["provider"] != provider:
                    raise AssertionError(f"expected the provider {provider}, found {board.info()['provider']}")
                for i in range(RECORDS):
                    ident = board.insert([i * 65536] * 16, i & 3, os.urandom(16))
                    if i >= 100:
                        board.delete(ident)
        with Emulator(BOARD, flash, frozen=frozen, icount=True) as emulator:
            base64 = streamed(emulator.port)
            own = out[provider] = pulled(emulator.port, Path(folder) / provider)
        own["base64_instructions_per_byte"] = base64
        own["times_base64"] = round(min(base64.values()) / own["instructions_per_log_byte"], 3)
    return out
