"""No call erases more than one sector: not where snapshots take many sectors of a small ring, nor
with four commands a call.

Where more are given at once, a full ring may still have to take a whole snapshot before it takes
the next."""

import pytest

from bench.workload import CONFIG, DIM, META
from shared_kernel import frames
from shared_kernel.kernel import DELETE, INSERT
from shared_kernel.store import Store
from tests.flashsim import FlashSim

KEPT = 200
TURNS = 4
SYNC_EVERY = 64  # seqs between two acknowledgements
GEOMETRIES = {
    "256 KiB of 4 KiB": (64, 4096, 256, 4),
    "files on littlefs, as on a Pico": (80, 1536, 256, 1),
    "a ring of ten": (28, 4096, 256, 8),
    "sectors of 16 KiB": (12, 16384, 256, 4),
}


def calls(geometry, together, turns=TURNS):
    """Yield the erases of each call of a store that records, and deletes its oldest records,
    `together` commands a call, for so many turns of the ring."""
    sim = FlashSim(*geometry)
    store = Store(sim, lambda: 0)
    store.configure(CONFIG, b"sixteen of chaos", "board")
    live, acknowledged, written = [], 0, 0
    while store.top < (turns + 1) * store.region.turn:
        commands = []
        for _ in range(together):
            written += 1
            if len(live) >= KEPT and written % 2:
                commands.append((DELETE, frames.ident(live.pop(0)), None))
            else:
                commands.append(
                    (
                        INSERT,
                        frames.insert(
                            [written * 7919 % 65536 - 32768] * DIM, written & 3, META.encode()
                        ),
                        None,
                    )
                )
        before = sum(sim.erases)
        results = store.execute(commands)
        assert all(isinstance(each, int) for each in results), results
        yield sum(sim.erases) - before
        live += [seq for seq, (kind, _, _) in zip(results, commands, strict=True) if kind == INSERT]
        if store.seq - acknowledged >= SYNC_EVERY:
            acknowledged = store.seq
            store.acknowledge(store.seq + 1)
    assert max(each.generation for each in store.slots if each) >= 2 * turns, (
        "snapshots were taken all along"
    )


@pytest.mark.parametrize("together", [1, 2, 4])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_no_call_erases_more_than_one_sector(geometry, together):
    erases = list(calls(geometry, together))
    assert max(erases) == 1 and erases.count(1) > TURNS * (geometry[0] // 2)


def test_a_ring_that_counts_on_more_than_it_has_is_noticed(monkeypatch):
    """What is promised above can fail: with room for two snapshots alone, or when one being taken
    keeps all frames."""
    pico = GEOMETRIES["files on littlefs, as on a Pico"]

    def half(self, since=Store._since_snapshot):
        since(self)
        self.distance = (self.region.sectors - self.region.ring() - 2) // 2

    with monkeypatch.context() as m:
        m.setattr(Store, "_since_snapshot", half)
        assert max(calls(pico, 1)) > 1
    with monkeypatch.context() as m:
        m.setattr(
            Store,
            "_covered",
            lambda self: min([0 if each is None else each.seq + 1 for each in self.slots]),
        )
        assert max(calls(pico, 1)) > 1
    with monkeypatch.context() as m:
        m.setattr(Store, "_work", lambda self, commands, work=Store._work: work(self, 1))
        assert max(calls(pico, 4)) > 1
