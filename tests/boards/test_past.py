"""History, queries, views and subscriptions on emulated boards: viper's `walk` and `follow` give
what the plain ones give, and what the laptop changes is told and counted like what the application
changes."""

import pytest
import quipu
from quipu.build.emulator import Emulator
from quipu.errors import Archived, NotFound

from tests.boards.conftest import BOARD
from tests.boards.test_costs import Prompt

SAME = """
import quipu
from array import array
from quipu.follow import follow as fast
from quipu.walk import walk as fast_walk
from shared_kernel import history, query
from shared_kernel.query import *
memory = quipu.start()
K = memory.store.kernel
seed = 7
def some(n):
    global seed
    seed = seed * 1103515 + 12345 & 0x3FFFFFFF
    return (seed >> 8) % n
fields = [(0, 1, False), (0, 1, True), (1, 2, False), (0, 2, True), (0, 3, True), (0, 4, False), (1, 4, True), None]
numbers = [0, -1, 5, 128, 1 << 31, -(1 << 31), 1 << 33, -(1 << 40), 70000, 1 << 24]
tried = counted = wrong = 0
for _ in range(300):
    over = some(2)
    f = Filter(over, None if over or some(2) else some(3), (b"", b"o", b"oth", b"key")[some(4)] if over else b"",
               None if some(2) else (fields[some(7)], TESTS[some(6)], numbers[some(10)]))
    plan = f.plan(K, fields[some(8)])
    a, b = array("I", bytes(32)), array("I", bytes(32))
    data = bytearray([some(256) if some(3) else 255 for _ in range(512)])
    for _ in range(12):
        at = some(100) if some(4) else 0
        if at and some(2):
            data[4 * at + 12 : 4 * at + 15] = bytes((some(20), some(20), 0))
            if some(2): data[4 * at + 16 : 4 * at + 19] = b"oth"
            if some(2): data[4 * at + 16 : 4 * at + 20] = bytes((some(3), 0, 0, 0))
        mode = some(2)
        follow(plan, f.prefix, data, at, a, mode)
        fast(plan, f.prefix, data, at, b, mode)
        tried += 1
        counted += a[0]
        wrong += list(a) != list(b)
print(tried, counted > 500, wrong)
tried = wrong = found = 0
for n in range(40): memory.put(b"k%d" % some(5), b"v" * some(9))
data = bytearray(4096)
memory.store.region.fetch(memory.store.region.frames_at(memory.store.order[-1]), data)
for _ in range(300):
    end = some(4096)
    if some(3) == 0: data[some(4096)] ^= 1 << some(8)
    a, b = array("I", (0, 9, 9, 9)), array("I", (0, 9, 9, 9))
    until = some(60)
    same = history.walk(data, end, a, until, 4) == fast_walk(data, end, b, until, 4)
    if not a[1]: a[2] = a[3] = b[2] = b[3] = 0
    tried += 1
    found += a[1] > 0
    wrong += not same or list(a) != list(b)
print(tried, found > 20, wrong)
"""
MAIN = """
import quipu
from shared_kernel.query import Filter, KEYS
memory = quipu.start()
watch = memory.watch()
view = watch.view(Filter(KEYS, prefix=b"t"), (0, 1, False))
def heard(change):
    memory.put("heard", b"%d:%s:%d" % (change.seq, change.what, view.result(memory.store.kernel).sum))
watch.subscribe(heard, prefix=b"t")
quipu.serve()
"""


def test_viper_does_what_the_plain_functions_do(copied):
    with Prompt(copied(), icount=False) as prompt:
        assert prompt.run(SAME) == ["3600 True 0", "300 True 0"]


def test_a_subscriber_hears_of_what_the_laptop_changes(copied):
    with (
        Emulator(BOARD, copied({"/main.py": MAIN}), frozen=False) as emulator,
        quipu.connect(emulator.port, 20) as board,
    ):
        board.put("other", b"\x07")
        seq = board.put("temp", b"\x05")
        assert board.get("heard") == b"%d:temp:5" % seq
        again = board.put("t", b"\x02")
        assert [value for _, value in board.history("heard").versions] == [
            b"%d:t:7" % again,
            b"%d:temp:5" % seq,
        ]
        assert board.get_at("temp", seq) == b"\x05"
        with pytest.raises(NotFound):
            board.get_at("temp", seq - 1)
        assert issubclass(Archived, NotFound)
