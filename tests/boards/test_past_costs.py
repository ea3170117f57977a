"""What the past of a key and a running view cost a board, in instructions less those of the flash's
emulation. The same each run."""

import pytest

from tests.boards.counting import COST
from tests.boards.test_costs import Prompt

MOST_HISTORY = 300_000  # of 10 versions that stand close together, with viper
# of 10 versions in as many sectors: some 130,000 for each, whose blocks are read one by one
MOST_SPREAD = 1_400_000
MOST_VIEW = 5_000  # of one view's update

SETUP = (
    COST
    + """
import quipu
from shared_kernel.query import Filter, KEYS, RECORDS
memory = quipu.start()
def median(act): return sorted([cost(lambda: act(n)) for n in range(15)])[7]
def vector(n): return [(n * 7919 + i * 104729) % 524288 - 262144 for i in range(16)]
for n in range(10):
    memory.put(b"mode", b"%d" % n)
    for i in range(60): memory.insert(vector(i)) if memory.store.kernel.records.live() < 200 else memory.put(b"other", b"%d" % i)
"""
)
# Ten versions, each in a sector of its own; then ten that follow each other.
HISTORY = """
found = memory.history(b"mode")
print(len(found.versions), found.archived, memory.get_at(b"mode", found.versions[5][0]))
print(median(lambda n: memory.history(b"mode")))
for n in range(10): memory.put(b"mode", b"again %d" % n)
print(median(lambda n: memory.history(b"mode")))
"""
# The watch alone, then with a view over records and one over keys.
VIEWS = """
memory.put(b"key", b"")
first = memory.insert(vector(1), 3, b"ab")
def put(n): memory.put(b"key", bytes((n,)))
def update(n): memory.update(first, None, bytes((n, n)))
watch = memory.watch()
figures = []
for over, act, field in ((KEYS, put, (0, 1, False)), (RECORDS, update, (0, 2, True))):
    before = median(act)
    view = watch.view(Filter(over), field)
    figures.append(median(act) - before)
    result = view.result(memory.store.kernel)
    print(result.count, result.sum, result.least, result.greatest)
print(figures)
"""


@pytest.fixture(scope="module")
def board(copied):
    with Prompt(copied()) as prompt:
        prompt.run(SETUP)
        yield prompt


def test_ten_versions_of_a_key(board, record_property):
    said, spread, near = board.run(HISTORY)
    assert said == "10 None b'4'"
    record_property("history_spread", int(spread))
    record_property("history_near", int(near))
    assert 10_000 < int(near) <= MOST_HISTORY and 10_000 < int(spread) <= MOST_SPREAD


def test_an_update_of_a_view(board, record_property):
    keys, records, figures = board.run(VIEWS)
    assert keys.split()[0] >= "1" and records.split()[0] == "1"
    found = [int(each) for each in figures.strip("[]").split(",")]
    record_property("view", found)
    assert 0 < max(found) <= MOST_VIEW
