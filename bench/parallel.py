"""One archive verified by one process and by two, the same verdict asked of both: by the clock, and
by the work that each has."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import quipu
from quipu.archive import parallel as audit
from quipu.archive.files import Archive
from quipu.archive.passes import Pass
from quipu.archive.verdict import Verdict
from quipu.archive.verify import many

from shared_kernel import frames as f
from shared_kernel import snapshot_file
from shared_kernel.genesis import encode
from shared_kernel.kernel import DELETE, INSERT
from shared_kernel.replay import Replay

FRAMES = 3_000_000
LIVE = 256  # records: an insert too many deletes the oldest
CHECKPOINT = 64  # frames between two checkpoints
SNAPSHOT = 20_000  # and between two snapshots
DIM = 16
TURNS = 5


def log_with_snapshots(folder: Path, rows: Sequence[Sequence[int]]) -> Archive:
    """Return an archive of about FRAMES frames: inserts of the rows in turn, deletions,
    checkpoints, snapshots beside them."""
    genesis = f.frame(
        f.GENESIS, encode((DIM, LIVE, 16, 16, 8, 16, 16), bytes(16), "bench"), 0, 0, 0
    )
    replay = Replay()
    replay.step(genesis)
    archive = Archive.create(folder, replay.name, "bench")
    archive.append(genesis)
    parts: list[bytes] = []
    saved: list[tuple[int, bytes]] = []

    def add(kind: int, payload: bytes) -> int:
        parts.append(f.frame(kind, payload, replay.seq + 1, replay.seq & 0x3FFFFFFF, replay.seed))
        replay.step(parts[-1])
        return replay.seq

    payloads = [bytes(f.insert(row, i % 7)) for i, row in enumerate(rows)]
    live: list[int] = []
    while replay.seq < FRAMES:
        if len(live) == LIVE:
            add(DELETE, f.ident(live.pop(0)))
        live.append(add(INSERT, payloads[replay.seq % len(payloads)]))
        if replay.seq % CHECKPOINT < 2:
            add(f.CHECKPOINT, replay.kernel.root())
        if replay.seq // SNAPSHOT > len(saved):
            saved.append(
                (
                    replay.seq,
                    snapshot_file.save(
                        replay.kernel, replay.seq, replay.boot, len(saved), replay.name, replay.head
                    ),
                )
            )
            archive.append(b"".join(parts))
            parts.clear()
    archive.append(b"".join(parts))
    archive.flush()
    for seq, data in saved:
        archive.add_snapshot(seq, data)
    archive.close()
    return archive


def run(folder: Path, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return {"frames", "one process", "two processes": seconds, "ratio": by the clock, "ratio of
    work": by processor time, were it shared equally, "cores", "ratio of two at once": how much more
    the machine does when two processes verify all of it at the same time, which no sharing can
    exceed by much}."""
    archive = log_with_snapshots(folder / "parallel", rows)

    def verified(jobs: int) -> float:
        start = time.perf_counter()
        verdict = quipu.verify(archive, jobs=jobs)
        took = time.perf_counter() - start
        found.add(
            (
                verdict.verdict,
                verdict.frames,
                verdict.snapshots,
                verdict.chain_head,
                verdict.state_root,
            )
        )
        return took

    found: set[tuple[Any, ...]] = set()
    turns = [(verified(1), verified(2)) for _ in range(TURNS)]
    assert len(found) == 1 and next(iter(found))[0] == "match", found
    begun = time.perf_counter()
    assert {each.verdict for each in many([archive.path, archive.path], jobs=2)} == {"match"}
    at_once = time.perf_counter() - begun
    (start,) = audit.plan(archive, 2)

    def worked(start: audit.Start | None, until: int | None) -> float:
        begun = time.process_time()
        work = Pass(archive, Verdict())
        if start:
            work.start_from(*start)
        work.run(until)
        return time.process_time() - begun

    whole, first, last = worked(None, None), worked(None, start.seq), worked(start, None)
    one = statistics.median(one for one, _ in turns)
    return {
        "frames": next(iter(found))[1],
        "one process": one,
        "ratio of two at once": 2 * one / at_once,
        "two processes": statistics.median(two for _, two in turns),
        "ratio": statistics.median(one / two for one, two in turns),
        "ratio of work": 2 * whole / (first + last),
        "cores": audit.cores(),
    }
