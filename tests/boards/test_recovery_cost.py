"""What it costs a board to recover a log of its whole region: instructions for each replayed frame,
and no heap that grows."""

import pytest
from quipu.build import images
from quipu.install import files as deploy

from shared_kernel import frames, kernel
from shared_kernel.errors import LogFull
from shared_kernel.store import Store
from tests.boards.test_costs import BOARD, Prompt
from tests.flashsim import FlashSim

MOST_REPLAY = 130_000  # instructions of recovery for a frame after the newest snapshot, viper only
# bytes that a frame's turn leaves for the collector; 16 KiB where a checkpoint has the root
# computed
MOST_GARBAGE = 1024

MOUNT = """
import emulated, gc, os
for each in (%r,):
    try: os.remove(each)
    except OSError: pass
import quipu
memory = quipu.start()
from quipu import report
print(report.info(memory, 240)["provider"])
store = memory.store
from shared_kernel import recovery
arena, store.kernel = store.kernel.arena, None
def recovered():
    found = recovery.recover(store.region, arena)
    assert found.damage is None, found.damage
    return found
gc.collect()
a = emulated.instructions(); f = emulated.flash_instructions()
found = recovered()
b = emulated.instructions(); g = emulated.flash_instructions()
print(found.replay.seq, max(each.seq for each in found.slots if each), b - a - (g - f))
print(found.replay.kernel.root().hex())
"""
# `next` is called once a frame: what the heap has grown by from one call to the next, nothing being
# collected.
GARBAGE = """
from array import array
marks = array('I', bytes(4 * 140))
count = 0
class Reader(recovery.LogReader):
    def next(self, head=None):
        global count
        if head is not None:
            begin = 200 if count < 400 else 900
            if count == begin:
                gc.collect()
                gc.disable()
            if begin <= count < begin + 70:
                marks[count - begin + (70 if begin > 400 else 0)] = gc.mem_alloc()
            if count == begin + 70:
                gc.enable()
            count += 1
        return super().next(head)
recovery.LogReader = Reader
found = None
recovered()
print(count)
for k in (0, 70): print([marks[k + i + 1] - marks[k + i] for i in range(69)])
"""


def life():
    """Return (flash, Store) of a region as the board's, filled until the log takes no more, its
    newest snapshot at its middle."""
    facts = images.board_facts(BOARD)
    geometry = facts["geometry"]
    sim = FlashSim(facts["log"]["size"] // geometry["sector"], **geometry)
    now = [0]

    def clock():
        now[0] += 20
        return now[0] & 0x3FFFFFFF

    store = Store(sim, clock)
    store.configure(tuple(facts["capacities"].values()), bytes(16), "recovery/1")
    store.distance = sim.sectors  # no snapshot but the one asked for
    ids = []
    for n in range(100_000):
        if len(ids) == 256:
            store.execute([(kernel.DELETE, frames.ident(ids.pop(0)), None)])
        vector = [(n * 7919 + i * 104729) % 524288 - 262144 for i in range(16)]
        found = store.execute(
            [
                (kernel.INSERT, frames.insert(vector, n & 3, b"sixteen of bytes"), None),
                (kernel.PUT, frames.put(b"key%d" % (n % 20), b"%012d" % n), None),
            ]
        )
        if any(isinstance(each, LogFull) for each in found):
            return sim, store
        ids.append(found[0])
        if len(store.order) > (sim.sectors - store.region.ring()) // 2 and not any(store.slots):
            store.take_snapshot()
    raise AssertionError("the log never was full")


@pytest.fixture(scope="module")
def recovered(copied):
    sim, store = life()
    flash = copied()
    log = images.board_facts(BOARD)["log"]
    with flash.open("r+b") as file:
        file.seek(log["start"])
        file.write(sim.bytes)
    with Prompt(flash) as prompt:
        yield prompt, prompt.run(MOUNT % deploy.NATIVE), store


def test_a_replayed_frame(recovered):
    _, (provider, figures, root), store = recovered
    seq, covered, instructions = map(int, figures.split())
    assert "viper" in provider and root == store.kernel.root().hex() and seq == store.seq
    replayed = seq - covered
    assert replayed > 1000 and 0.4 < covered / seq < 0.6, (seq, covered)
    print(f"{instructions:,} instructions for {replayed} frames: {instructions // replayed:,} each")
    assert instructions <= MOST_REPLAY * replayed


def test_a_frame_leaves_no_more_than_a_constant(recovered):
    prompt, (_, figures, _), _ = recovered
    seq, covered, _ = map(int, figures.split())
    count, *lines = prompt.run(GARBAGE)
    early, late = [sorted(int(each) for each in line.strip("[]").split(",")) for line in lines]
    # of the run with the snapshot's end, the frames before it are read too
    assert seq - covered <= int(count) < seq - covered + 100 and len(early) == len(late) == 69
    # frames are read some 1 KiB at a time: the first of a run pays for all of it
    for grown in early, late:
        assert 0 < sum(grown) <= MOST_GARBAGE * len(grown) and grown[-1] <= 16 * MOST_GARBAGE
    assert sum(late) <= sum(early) + 64 * len(early), "it grows with the log"
