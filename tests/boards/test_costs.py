"""What Quipu costs a board, in instructions and bytes of heap. Instructions are counted by the
emulator (one a virtual ns), the same each run; the emulation of the flash itself is taken off. The
figures go to build/reports/costs.json.

    .venv/bin/python -m tests.boards.test_costs      finds the smallest heap with which everything works, by halving
"""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
import quipu
import serial
from quipu.board.repl import Repl
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.errors import QuipuError
from quipu.install import files as deploy
from quipu.install.flash import flash as flash_board

from tests.boards.conftest import blank_log
from tests.boards.counting import COST

BOARD = "MPS2_AN386"
# instructions of a durable insert of 16 dimensions in native code, state root excluded
MOST_INSERT = 60_000
# With which start, genesis, inserts, search, snapshot and sync work, modules as .mpy from littlefs.
# From 150 on each was enough; of 126 to 149 about half, by how the heap is cut up when a module is
# loaded. The goal is 126.
HEAP_KIB = 152
TOO_SMALL_KIB = 64
LIMIT_S = 120

# A configured board with 200 records; then what is measured, in instructions less those of the
# flash's emulation.
SETUP = (
    COST
    + """
import gc, micropython, quipu
from shared_kernel import frames, kernel
from shared_kernel.search import search
memory = quipu.start()
store = memory.store
def vector(n): return [(n * 7919 + i * 104729) % 524288 - 262144 for i in range(16)]
for n in range(200): memory.insert(vector(n), n & 3)
"""
)
INSERTS = """
found = []
for n in range(41):
    v = vector(n)
    found.append(cost(lambda: memory.insert(v, n & 3, b"sixteen of bytes")))
    memory.delete(store.seq)
print(found[20:])  # after a collection the first dozen search a fragmented heap for room
"""
ROOTS = """
found = []
for n in range(200, 215):
    memory.insert(vector(n))
    found.append(cost(lambda: store.kernel.root()))
print(found)
"""
SEARCHES = """
while store.kernel.records.live() < 256: memory.insert(vector(store.seq))
found = []
for n in range(5):
    v = vector(1000 + n)
    found.append(cost(lambda: memory.search(v, 10)))
print(found)
"""
ALLOCATIONS = """
from shared_kernel.kernel import *
K = store.kernel
def grown(kind, payload, allocate=False):
    data = bytearray(payload)
    seq = K.seq() + 1
    K.check(kind, data, 0, len(data))
    gc.collect()
    gc.disable()
    a = gc.mem_alloc()
    K.apply(kind, data, 0, len(data), seq)
    if allocate: bytearray(16)
    b = gc.mem_alloc()
    gc.enable()
    assert K.seq() == seq
    return b - a
r = memory.search(vector(1))[0][1]
K.root()
ids = {}
def name(each):
    ids[each] = K.seq()
print("DELETE", grown(DELETE, frames.ident(r)))
print("INSERT", grown(INSERT, frames.insert(vector(1), 5, b"m" * 16))); name("r")
print("UPDATE", grown(UPDATE, frames.update(ids["r"], 6, b"other")))
print("CREATE_NODE", grown(CREATE_NODE, frames.create_node(1, ids["r"]))); name("a")
print("CREATE_NODE", grown(CREATE_NODE, frames.create_node(1))); name("b")
print("CREATE_EDGE", grown(CREATE_EDGE, frames.create_edge(1, ids["a"], ids["b"]))); name("e")
print("CREATE_EDGE", grown(CREATE_EDGE, frames.create_edge(1, ids["a"], ids["a"])))
print("DELETE_EDGE", grown(DELETE_EDGE, frames.ident(ids["e"])))
print("DELETE_NODE", grown(DELETE_NODE, frames.ident(ids["a"])))
print("DELETE", grown(DELETE, frames.ident(ids["r"])))
print("PUT", grown(PUT, frames.put(b"key", b"v" * 16)))
print("PUT", grown(PUT, frames.put(b"key", b"w", K.seq())))
print("DELETE_KEY", grown(DELETE_KEY, frames.delete_key(b"key", K.seq())))
print("allocates", grown(PUT, frames.put(b"key", b"v"), True))
"""
# Start, an insert, a search, what info tells: then what is in use.
HEAP = """
import gc, quipu
memory = quipu.start()
memory.insert([0] * 16)
memory.search([0] * 16, 10)
from quipu import report
report.info(memory, 240)
gc.collect()
print(gc.mem_alloc())
"""


class Prompt:
    """The raw REPL of a board that counts instructions."""

    def __init__(self, flash, icount=True):
        self.emulator = Emulator(BOARD, flash, frozen=False, icount=icount)

    def __enter__(self):
        self.emulator.start()
        self.port = serial.Serial(self.emulator.port, 115200)
        self.repl = Repl(self.port, self.emulator.port)
        return self

    def __exit__(self, *exc):
        self.port.close()
        self.emulator.close()

    def run(self, code):
        return self.repl.run(code, LIMIT_S).decode().split("\r\n")[:-1]


@pytest.fixture(scope="module")
def board(copied):
    with Prompt(copied()) as prompt:
        prompt.run(SETUP)
        yield prompt


@pytest.fixture(scope="module")
def report():
    """A dictionary that is printed and written to build/reports/costs.json at the end."""
    costs = {}
    yield costs
    path = images.checkout_root() / "build" / "reports" / "costs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(costs, indent=2) + "\n")
    print("\n" + json.dumps(costs, indent=2))


def median(line):
    counts = sorted(json.loads(line))
    assert len(counts) >= 5 and counts[0] > 1000
    return counts[len(counts) // 2]


def test_a_durable_insert(board, report):
    programs = "print(emulated.stats()[1], store.seq)"
    before = board.run(programs)[0].split()
    report["insert_instructions"] = median(board.run(INSERTS)[0])
    after = board.run(programs)[0].split()
    assert int(after[1]) - int(before[1]) >= 82 <= int(after[0]) - int(before[0]), (
        "each was a frame on the flash"
    )
    assert report["insert_instructions"] <= MOST_INSERT


def test_a_state_root_after_one_insert(board, report):
    report["root_instructions"] = median(board.run(ROOTS)[0])
    # Less than hashing the whole arena, a chunk of which takes 16 blocks of some 1,800
    # instructions.
    chunks = int(board.run("print(store.kernel.arena.chunks)")[0])
    assert report["root_instructions"] < chunks * 16 * 1800 // 2


def test_a_search_of_256_records(board, report):
    report["search_instructions"] = median(board.run(SEARCHES)[0])
    assert board.run(
        "print(memory.search(vector(7), 10) == search(store.kernel, vector(7), 10))"
    ) == ["True"]


def test_applying_a_command_allocates_nothing(board):
    found = [line.split() for line in board.run(ALLOCATIONS)]
    assert found.pop() == ["allocates", "32"], "an allocation would be seen"
    kinds = {
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE_NODE",
        "DELETE_NODE",
        "CREATE_EDGE",
        "DELETE_EDGE",
        "PUT",
        "DELETE_KEY",
    }
    assert {kind for kind, _ in found} == kinds
    assert [(kind, grown) for kind, grown in found if grown != "0"] == []


def test_the_heap_in_use(copied, report):
    with Prompt(copied(), icount=False) as prompt:
        report["heap_used"] = int(prompt.run(HEAP)[-1])
    assert 20_000 < report["heap_used"] < HEAP_KIB * 1024


def works(flash, kib, folder):
    """Whether a board with so much heap starts, begins its log, and is told, asked, synced and
    verified over its port."""
    try:
        with (
            Emulator(BOARD, flash, frozen=False, heap=kib * 1024) as emulator,
            quipu.connect(emulator.port, 20) as board,
        ):
            info = board.info()
            assert (
                list(info["config"].values())
                and sum(info["config"].values()) == 16 + 256 + 64 + 128 + 32 + 16 + 16
            )
            first = board.insert([1] * 16, 1, b"sixteen of bytes")
            node = board.create_node(1, first)
            board.create_edge(1, node, node)
            for i in range(100):
                board.insert([i] * 16, i)
            board.put("k" * 24, b"sixteen of bytes")
            assert (
                board.search([1] * 16, 1)[0][1] == first and len(board.search([0] * 16, 10)) == 10
            )
            assert board.neighbourhood(node) == [(node, 0)]
            board.snapshot()
            board.sync(folder)
            return quipu.verify(folder, board).verdict == "match"
    except QuipuError as e:
        print(f"{kib} KiB: {e}")
        return False


def test_a_small_heap_is_enough(copied, tmp_path):
    assert works(copied({"/main.py": deploy.MAIN}), HEAP_KIB, tmp_path / "archive")


def test_a_heap_can_be_too_small(copied, tmp_path):
    # So that the test above can fail: the limit is a real one.
    assert not works(copied({"/main.py": deploy.MAIN}), TOO_SMALL_KIB, tmp_path / "archive")


def smallest(folder):
    """Return the smallest heap, in KiB, with which `works` says yes, by halving."""
    template = folder / "template.bin"
    with Emulator(BOARD, template, frozen=False) as emulator:
        flash_board(emulator.port, main=None)
        with deploy.opened(emulator.port) as repl:
            repl.write_file("/main.py", deploy.MAIN.encode())
    blank_log(template)
    low, high = TOO_SMALL_KIB, 512
    while high - low > 1:
        kib = (low + high) // 2
        own = folder / f"{kib}.bin"
        shutil.copy(template, own)
        if works(own, kib, folder / f"archive-{kib}"):
            high = kib
        else:
            low = kib
        own.unlink()
    return high


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(f"the smallest heap is {smallest(Path(folder))} KiB")
