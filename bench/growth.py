"""How cost grows on the laptop: root, search, replay, sync and boot as records and log grow 10 and
100 times. Seconds by size.

Boot and sync run the real store over a flash in RAM, without a link: what grows there is the work,
not the wire."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import quipu

from shared_kernel import frames as f
from shared_kernel.kernel import INSERT, PUT, Kernel
from shared_kernel.search import search
from tests.host import sample

SIZES = (1_000, 10_000, 100_000)
LARGEST = SIZES[-1]
STORED = (100, 1_000, 10_000)  # commands in the log of a board
TURNS = 5


def inserter(kernel: Kernel, row: list[int]) -> Callable[[], bytes]:
    """Return what inserts one more record and asks for the root."""
    payload = f.insert(row)

    def turn() -> bytes:
        kernel.check(INSERT, payload, 0, len(payload))
        kernel.apply(INSERT, payload, 0, len(payload), kernel.seq() + 1)
        return kernel.root()

    return turn


def median(work: Callable[[], Any], times: int = 1, count: int = TURNS) -> float:
    """Return the median of `count` turns, in seconds for one call."""
    work()
    turns = []
    for _ in range(count):
        start = time.perf_counter()
        for _ in range(times):
            work()
        turns.append((time.perf_counter() - start) / times)
    return statistics.median(turns)


def run(folder: Path, rows: Any) -> dict[str, list[tuple[int, float]]]:
    """Return [(size, seconds)] for each: what is measured in the laptop's half, on logs and states
    of growing size."""
    from bench.laptop import kernel_of, log_of

    out: dict[str, list[tuple[int, float]]] = {
        "root after one insert": [],
        "search, k = 10": [],
        "replay of the log": [],
        "boot": [],
        "sync": [],
    }
    for count in SIZES:
        kernel = kernel_of(rows[:count], count + 1000)
        out["search, k = 10"].append(
            (count, median(lambda kernel=kernel: search(kernel, rows[7].tolist(), 10)))
        )
        out["root after one insert"].append(
            (count, median(inserter(kernel, rows[0].tolist()), 20, 9 * TURNS))
        )
        archive = log_of(rows[:count], folder / f"growth{count}")
        out["replay of the log"].append(
            (count, median(lambda archive=archive: quipu.verify(archive, jobs=1)))
        )
    for count in STORED:
        flash = sample.RamFlash(sectors=24 + count // 40)
        store = sample.begin(flash)
        for i in range(count):
            sample.give(
                store,
                PUT,
                f.put(f"k{i % 8}", i.to_bytes(8, "little"), 0)
                if i < 8
                else f.put(
                    f"k{i % 8}", i.to_bytes(8, "little"), store.kernel.key(b"k%d" % (i % 8))[0]
                ),
            )
        out["boot"].append((count, median(lambda flash=flash: sample.mount(flash))))
        turn = iter(range(99))
        out["sync"].append(
            (
                count,
                median(
                    lambda store=store, turn=turn, count=count: sample.pulled(
                        store, folder / f"sync{count}-{next(turn)}"
                    )
                ),
            )
        )
    return out
