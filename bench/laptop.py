"""The laptop's half of `make bench`: Quipu beside its peers in one process, turn by turn, as
ratios.

    build/bench-venv/bin/python -m bench.laptop     prints one JSON object

Run by run.py in an environment that has the peers. Each figure is the median of several turns, and
a ratio is the median of the turns' own ratios, Quipu and peer one right after the other: what else
the machine does then falls on both."""

import json
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import quipu
from blake3 import blake3
from quipu.archive.files import Archive
from valoricore import LocalClient

from bench import growth, parallel
from shared_kernel import frames as f
from shared_kernel import primitives
from shared_kernel.genesis import encode
from shared_kernel.kernel import INSERT, Kernel
from shared_kernel.replay import Replay
from shared_kernel.search import search

DIM = 16
FRAMES = 20_000  # inserts in the log that is replayed
CHECKPOINT = 64  # commands between two checkpoints, as a board writes them
SIZES = (256, 4_000, 50_000)
K = 10
TURNS = 7
APPENDS = 100  # durable appends a turn
SCALE = 65536


def vectors(count: int) -> np.ndarray:
    """Return count vectors of Q16.16 integers from -1 to 1, always the same."""
    return np.random.default_rng(16).integers(-SCALE, SCALE, (count, DIM)).astype(np.int32)


def timed(work: Callable[[], Any], times: int = 1) -> float:
    """Return seconds for one call, on average of `times`."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def beside(
    ours: Callable[[], Any], peers: dict[str, Callable[[], Any]], times: int = 1
) -> dict[str, Any]:
    """Return {"quipu": s, peer: s, ..., "ratio": {peer: how many times as long it takes as
    Quipu}}."""
    turns: dict[str, list[float]] = {each: [] for each in ("quipu", *peers)}
    for work in (ours, *peers.values()):
        work()
    for _ in range(TURNS):
        turns["quipu"].append(timed(ours, times))
        for name, work in peers.items():
            turns[name].append(timed(work, times))
    out: dict[str, Any] = {name: statistics.median(each) for name, each in turns.items()}
    out["ratio"] = {
        name: statistics.median(
            its / mine for its, mine in zip(turns[name], turns["quipu"], strict=True)
        )
        for name in peers
    }
    return out


def log_of(rows: np.ndarray, folder: Path) -> Archive:
    """Return an archive with one insert a row and a checkpoint every CHECKPOINT commands."""
    genesis = f.frame(
        f.GENESIS, encode((DIM, len(rows), 16, 16, 8, 16, 16), bytes(16), "bench"), 0, 0, 0
    )
    replay = Replay()
    replay.step(genesis)
    parts = [genesis]
    for i, row in enumerate(rows.tolist()):
        for kind in (INSERT, f.CHECKPOINT)[: 1 + (i % CHECKPOINT == CHECKPOINT - 1)]:
            payload = f.insert(row, i % 7) if kind == INSERT else replay.kernel.root()
            parts.append(f.frame(kind, payload, replay.seq + 1, 10 * i & 0x3FFFFFFF, replay.seed))
            replay.step(parts[-1])
    with Archive.create(folder, replay.name, "bench") as archive:
        archive.append(b"".join(parts))
        archive.flush()
    return archive


def kernel_of(rows: np.ndarray, capacity: int) -> Kernel:
    """Return a state that holds a record for each row."""
    kernel = Kernel((DIM, capacity, 0, 0, 0, 16, 0))
    for i, row in enumerate(rows.tolist()):
        payload = f.insert(row)
        kernel.check(INSERT, payload, 0, len(payload))
        kernel.apply(INSERT, payload, 0, len(payload), i + 1)
    return kernel


def their(folder: Path, rows: np.ndarray) -> LocalClient:
    """Return the original's database with a record for each row."""
    client = LocalClient(str(folder), max_records=len(rows) + 200, dim=DIM)
    floats = (rows / SCALE).tolist()
    for at in range(0, len(floats), 1000):
        client.kernel.insert_batch(floats[at : at + 1000])
    client.flush()
    return client


def replays(folder: Path, rows: np.ndarray) -> dict[str, Any]:
    """Replay and verification of one log; the limit is BLAKE3 over the same bytes."""
    archive = log_of(rows[:FRAMES], folder / "log")
    database = folder / "replayed"
    client = LocalClient(str(database), max_records=FRAMES + 1, dim=DIM)
    # one event for each insert, as Quipu has one frame
    for row in (rows[:FRAMES] / SCALE).tolist():
        client.kernel.insert(row, 0)
    client.flush()
    del client
    data = archive.file(archive.segments[0]).read_bytes()
    pieces = [bytes(32) + bytes(each) for each in archive.frames()]

    def reopened() -> None:
        assert (
            LocalClient(str(database), max_records=FRAMES + 1, dim=DIM).kernel.record_count()
            == FRAMES
        )

    def verified() -> None:
        assert quipu.verify(archive, jobs=1).verdict == "match"

    out = beside(
        verified,
        {
            "valoricore reopen": reopened,
            "BLAKE3 of the bytes": lambda: blake3(data).digest(),
            "BLAKE3 frame by frame": lambda: [primitives.hash(each) for each in pieces],
        },
    )
    count = len(pieces)
    return {
        **out,
        "frames": count,
        "frames_per_s": count / out["quipu"],
        "log_bytes": len(data),
        "valoricore_inserts_per_s": FRAMES / out["valoricore reopen"],
        "blake3_bytes_per_s": 1
        / statistics.median(timed(lambda: blake3(bytes(1 << 24)).digest()) for _ in range(5))
        * (1 << 24),
    }


def searches(folder: Path, rows: np.ndarray) -> dict[str, Any]:
    """Exact search for the K nearest of n records; all but Quipu's and numpy's distances are
    floats."""
    faiss.omp_set_num_threads(1)
    out = {}
    for count in SIZES:
        kernel = kernel_of(rows[:count], count)
        client = their(folder / f"search{count}", rows[:count])
        index = faiss.IndexFlatL2(DIM)
        index.add((rows[:count] / SCALE).astype(np.float32))
        query = rows[count // 3].tolist()
        floats = [each / SCALE for each in query]
        row = np.array([floats], np.float32)
        wide = rows[:count].astype(np.int64)
        whole = np.array(query, np.int64)

        def by_numpy(wide: np.ndarray = wide, whole: np.ndarray = whole) -> list[tuple[int, int]]:
            away = ((wide - whole) ** 2).sum(1)
            near = np.argpartition(away, K - 1)[:K]
            return sorted((int(away[i]), int(i) + 1) for i in near)

        assert search(kernel, query, K) == by_numpy(), "an exact search that differs from numpy's"
        out[str(count)] = beside(
            lambda kernel=kernel, query=query: search(kernel, query, K),
            {
                "faiss flat, 1 thread": lambda index=index, row=row: index.search(row, K),
                "numpy, 64-bit integers": by_numpy,
                "valoricore": lambda client=client, floats=floats: client.kernel.search(
                    floats, K, None
                ),
            },
            max(1, 20_000 // count),
        )
    return out


def roots(folder: Path, rows: np.ndarray) -> dict[str, Any]:
    """The state root after one insert, at n records."""
    out = {}
    for count in (1_000, 10_000):
        kernel = kernel_of(rows[:count], count + 1000)
        client = their(folder / f"root{count}", rows[:count])
        floats = (rows[0] / SCALE).tolist()
        turn = growth.inserter(kernel, rows[0].tolist())
        out[str(count)] = beside(
            turn,
            {
                "valoricore": lambda client=client, floats=floats: (
                    client.kernel.insert(floats, 0),
                    client.get_state_hash(),
                )
            },
            5,
        )
    return out


def appends(folder: Path, rows: np.ndarray) -> dict[str, Any]:
    """One record made durable: Quipu's archive (append, fsync) and SQLite (WAL, synchronous FULL,
    one transaction)."""
    archive = log_of(rows[:64], folder / "append")
    frame = bytes(list(archive.frames())[1])
    base = sqlite3.connect(folder / "append.sqlite", isolation_level=None)
    assert base.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    base.execute("PRAGMA synchronous=FULL")
    base.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, frame BLOB)")

    def ours() -> None:
        archive.append(frame)
        archive.flush()

    out = beside(
        ours,
        {"SQLite WAL FULL": lambda: base.execute("INSERT INTO log (frame) VALUES (?)", (frame,))},
        APPENDS,
    )
    base.close()
    archive.close()
    return out


def run() -> dict[str, Any]:
    """Measure everything; seconds, and ratios (above 1: Quipu is the quicker)."""
    rows = vectors(max(SIZES))
    # Beside the checkout, not in /tmp, which may be memory: durable must mean a disk.
    folder = Path(
        tempfile.mkdtemp(prefix="bench", dir=Path(__file__).resolve().parents[1] / "build")
    )
    out: dict[str, Any] = {
        "kernel": quipu.kernels.describe(),
        "provider": primitives.name,
        "python": sys.version.split()[0],
    }
    parts = {
        "replay": (replays, rows),
        "parallel": (parallel.run, rows[:1000].tolist()),
        "search": (searches, rows),
        "root": (roots, rows),
        "append": (appends, rows),
        "growth": (growth.run, vectors(growth.LARGEST)),
    }
    try:
        for name, (work, given) in parts.items():
            start = time.perf_counter()
            out[name] = work(folder, given)
            print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    finally:
        shutil.rmtree(folder)
    return out


if __name__ == "__main__":
    print(json.dumps(run()))
