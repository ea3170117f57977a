"""The boards' half of `make bench`: exact instruction counts on the emulated Cortex-M4 and M0, for
plain Python, viper and native code, less what the emulation of the flash takes. The same each run;
one virtual nanosecond is one instruction.

    .venv/bin/python -m bench.board        prints them as JSON
"""

import json
import shutil
import tempfile
from pathlib import Path

import serial
from quipu.board.repl import Repl
from quipu.build.emulator import Emulator
from quipu.install import files as deploy
from quipu.install.flash import flash as flash_board

from tests.boards.counting import COST

CORES = {"cortex-m4": "MPS2_AN386", "cortex-m0": "MICROBIT_M0"}
PROVIDERS = ("plain", "viper", "native")
# two arenas of a third of a MiB are measured one after the other, which no small board would have
HEAP = 2 << 20
LIMIT_S = 300
MHZ = 168
# What the architecture page of Valori's kernel gives for a part of 168 MHz, in microseconds.
VALORI = {
    "durable insert, 16 dimensions": "1,000-10,000",
    "apply alone": "5",
    "one distance of 16 dimensions": "2",
    "snapshot of 256 records": "100",
    "replay of one frame": "6",
}

# Everything below runs on the board. `measure(name, act)` prints a name and the median of five.
SETUP = (
    COST
    + """
import gc, quipu
from array import array
memory = quipu.start()
store = memory.store
from shared_kernel import frames, kernel, primitives, search
from shared_kernel.replay import Replay
from shared_kernel.kernel import Kernel, INSERT
from quipu import viper
import quipu_native
providers = {"plain": None, "viper": viper, "native": quipu_native}
def vector(n, dim=16): return [(n * 7919 + i * 104729) % 524288 - 262144 for i in range(dim)]
# The first call may load code, and after a collection the first allocation searches the whole heap: neither is measured.
def measure(name, act, divide=0, times=5):
    act()
    found = []
    for _ in range(times):
        found.append(cost(act))
    found.sort()
    middle = found[len(found) // 2]
    print(name, middle / divide if divide else middle, sep="|")
data = bytes([i & 255 for i in range(4096)])
seq = 0
def add(k, n, dim):
    global seq
    seq += 1
    p = frames.insert(vector(n, dim))
    k.apply(INSERT, p, 0, len(p), seq)
def filled(count, dim):
    global seq
    gc.collect()
    seq = 0
    primitives.use(quipu_native)
    k = Kernel((dim, count, 0, 0, 0, 0, 0))
    for n in range(count - 72): add(k, n, dim)
    k.root()
    return k
# How many chunks an insert dirties depends on where its slot falls: so the mean and the worst of consecutive ones.
def rooted(k, name, times):
    add(k, 0, 16)
    k.root()
    found = []
    for n in range(times):
        add(k, n, 16)
        found.append(cost(k.root))
    print(name + ", mean", sum(found) // times, sep="|")
    print(name + ", worst", max(found), sep="|")
for n in range(230): memory.insert(vector(n), n & 3)
gc.collect()
"""
)
EACH = """
gc.collect()
primitives.use(providers[%r])
measure("BLAKE3, a byte of 4 KiB", lambda: primitives.hash(data), 4096, 1)
measure("CRC-32, a byte", lambda: primitives.crc32(data, 0), 4096, 1)
w = array("I", range(16)); q = array("I", range(5, 21)); d = array("I", (0, 0))
measure("one distance of 16 dimensions", lambda: primitives.distances(w, 0, 16, 16, 1, q, d))
v = vector(7)
# After a collection the first dozen search a fragmented heap for room: so the median of those that follow.
found = []
for i in range(5 if %r == "plain" else 41):
    found.append(cost(lambda: memory.insert(v, 1, b"sixteen of bytes")))
    memory.delete(store.seq)
mean = sum(found) // len(found)
found = sorted(found[-21:])
print("durable insert, 16 dimensions", found[len(found) // 2], sep="|")
print("durable insert, mean with what falls due", mean, sep="|")
k = store.kernel
k.root()
p = bytearray(frames.insert(v, 1, b"sixteen of bytes"))
# Into an arena whose chunks are clean, as after a root, so that it marks those that it changes; the mean of consecutive ones.
small = Kernel((16, 64, 0, 0, 0, 16, 0))
applied = []
for i in range(32):
    primitives.use(quipu_native)
    small.root()
    primitives.use(providers[%r])
    applied.append(cost(lambda: small.apply(INSERT, p, 0, len(p), i + 1)))
print("apply alone", sum(applied) // 32, sep="|")
replay = Replay()
replay.start_from(Kernel((16, 16, 0, 0, 0, 16, 0)), store.name, 5, store.head)
frame = [frames.frame(INSERT, p, 6 + i, 0, replay.seed) for i in range(6)]
measure("replay of one frame", lambda: replay.step(frame.pop(0)))
measure("snapshot of 256 records", memory.snapshot, 0, 1)
for i in range(2): memory.delete(memory.search(v)[0][1])
"""
ROOTED = """
k = filled({0}, 16)
for name in {1!r}:
    primitives.use(providers[name])
    rooted(k, name + "|state root after an insert, {0:,} records", 2 if name == "plain" else 32)
k = None
"""
SEARCHED = """
k = filled({0}, {1})
for n in range(72): add(k, 9000 + n, {1})
for name in {2!r}:
    primitives.use(providers[name])
    v = vector(77, {1})
    measure(name + "|search {0:,} x {1}, k = 10", lambda: search.search(k, v, 10), 0, 3 if name == 'native' else 1)
k = None
"""
HEAP_USED = """
import gc, quipu
memory = quipu.start()
memory.insert([0] * 16)
memory.search([0] * 16, 10)
from quipu import report
assert report.info(memory, 240)["provider"] == %r
gc.collect()
print("heap used, bytes", gc.mem_alloc(), sep="|")
"""
FILL = """
import quipu
from shared_kernel.errors import LogFull
memory = quipu.start()
n = 0
try:
    while True:
        n += 1
        memory.put("key%d" % (n % 8), b"%012d" % n)
except LogFull:
    pass
print("frames", memory.store.seq, sep="|")
"""
BOOT = """
import emulated, quipu
a = emulated.instructions(); f = emulated.flash_instructions()
memory = quipu.start()
b = emulated.instructions(); g = emulated.flash_instructions()
print("boot with a full log", b - a - (g - f), sep="|")
"""
# Without native code, and without viper.
LESS = {"native": (), "viper": (deploy.NATIVE,), "plain": (deploy.NATIVE, "/lib/quipu/viper.mpy")}


class Board:
    """A running board: run(code) returns the [name, ..., value] that it prints."""

    def __init__(self, name, flash, icount=True, heap=None):
        self.emulator = Emulator(name, flash, frozen=False, icount=icount, heap=heap)

    def __enter__(self):
        self.emulator.start()
        self.port = serial.Serial(self.emulator.port, 115200)
        self.repl = Repl(self.port, self.emulator.port)
        return self

    def __exit__(self, *exc):
        self.port.close()
        self.emulator.close()

    def run(self, code):
        return [
            line.split("|")
            for line in self.repl.run(code, LIMIT_S).decode().split("\r\n")
            if "|" in line
        ]


def number(text):
    return round(float(text), 1) if "." in text else int(text)


def core(name, folder):
    """Return {provider: {metric: instructions}} of one board."""
    template = folder / f"{name}.bin"
    with Emulator(name, template, frozen=False) as emulator:
        flash_board(emulator.port, main=None)

    def copy(provider):
        own = folder / f"{name}-own.bin"
        shutil.copy(template, own)
        if LESS[provider]:
            with Board(name, own, False) as board:
                board.run(
                    "import os\n" + "\n".join(f"os.remove({each!r})" for each in LESS[provider])
                )
        return own

    found = {each: {} for each in PROVIDERS}
    with Board(name, copy("native")) as board:
        board.run(SETUP)
        for provider in PROVIDERS:
            for metric, value in board.run(EACH.replace("%r", repr(provider))):
                found[provider][metric] = number(value)
    with Board(name, copy("native"), heap=HEAP) as board:
        board.run(SETUP)
        for count in (256, 4096):
            for provider, metric, value in board.run(ROOTED.format(count, PROVIDERS)):
                found[provider][metric] = number(value)
        for count, dim in ((256, 16), (1000, 64)):
            for provider, metric, value in board.run(SEARCHED.format(count, dim, PROVIDERS)):
                found[provider][metric] = number(value)
    for provider in PROVIDERS:
        own = copy(provider)
        with Board(name, own, False) as board:
            for metric, value in board.run(HEAP_USED % provider):
                found[provider][metric] = number(value)
        if provider != "plain":  # it would take minutes
            with Board(name, own, False) as board:
                assert int(board.run(FILL)[0][1]) > 100
            with Board(name, own) as board:
                for metric, value in board.run(BOOT):
                    found[provider][metric] = number(value)
    return found


def run():
    """Return {core: {"plain": {metric: instructions}, "viper": ..., "native": ...}}, with columns
    in microseconds, as text."""
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        for each, name in CORES.items():
            out[each] = core(name, Path(folder))
            if each == "cortex-m4":
                out[each][f"native, us at {MHZ} MHz"] = {
                    metric: f"{value / MHZ:,.1f}"
                    for metric, value in out[each]["native"].items()
                    if "heap" not in metric
                }
                out[each]["Valori's page, us"] = dict(VALORI)
    return out


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
