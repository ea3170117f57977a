"""Verification by several processes: one archive in parts from snapshot to snapshot, or many
archives. Compares nothing itself.

A part begins with the state of a snapshot and ends at the next chosen one, which it must arrive at:
root, chain head, boot number, every byte of the arena. By induction from the genesis, parts that
all arrive prove what one pass proves; where one does not, the first of them has the verdict and
what came after it does not count. So the verdict never depends on how many processes there were.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from quipu import kernels, limits
from quipu.archive import disk
from quipu.archive.files import Archive
from quipu.archive.origin import Archives
from quipu.archive.passes import Pass
from quipu.archive.verdict import TOO_LARGE, Verdict, parted
from quipu.errors import ArchiveDamage, TooLarge, UsageError
from shared_kernel import batch
from shared_kernel.errors import FormatError, Mismatch
from shared_kernel.replay import Replay

# A process takes about 0.15 s to begin. Meanwhile this one replays so many bytes, and it takes so
# many more than each of the others. A log that is not several times as long is not worth a process.
_LATE = (8 if kernels.kind == "compiled" else 2) << 20
_WORTH_IT = 4 * _LATE
_BLOCK = 1 << 24
_SUMS = ("frames", "log_bytes", "checkpoints", "snapshots")
_LISTS = ("gaps", "cuts")


class Start(NamedTuple):
    """Where a part begins: after the snapshot of seq, at `offset` in the file of segment number
    `segment`."""

    seq: int
    segment: int
    offset: int


def replayed(
    archive: Archive, verdict: Verdict, jobs: int | None, origins: Archives = ()
) -> Replay:
    """Replay an archive to its end in `jobs` processes, this one among them, and fill in the
    verdict; return the Replay, or raise what parted."""
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs must be at least 1, not {jobs}")
    if jobs is None:
        size = sum(archive.size(each) for each in archive.segments if archive.file(each).exists())
        jobs = cores() if size >= _WORTH_IT else 1
    starts = plan(archive, jobs) if jobs > 1 else []
    if not starts:
        return Pass(archive, verdict, origins).run()
    with ThreadPoolExecutor(len(starts)) as pool:
        paths = [
            os.path.abspath(each.path if isinstance(each, Archive) else each) for each in origins
        ]
        others = [
            pool.submit(
                child,
                {
                    "archive": str(archive.path.absolute()),
                    "start": start,
                    "until": end.seq,
                    "origins": paths,
                },
            )
            for start, end in zip([None, *starts], starts)
        ]
        last, error, replay = Verdict(), None, None
        try:
            work = Pass(archive, last)
            work.start_from(*starts[-1])
            replay = work.run()
        except (Mismatch, ArchiveDamage, FormatError) as e:
            # FormatError: the part before it says so too, as of its end
            error = e
        parts = [each.result() for each in others]
    for part in parts:
        if part["verdict"] == TOO_LARGE:
            raise TooLarge(part["problem"])
        _merge(verdict, part)
        if part["first_divergence"]:
            raise Mismatch(
                *[part["first_divergence"][each] for each in ("seq", "what", "expected", "found")]
            )
    _merge(verdict, vars(last))
    if error:
        raise error
    assert replay
    return replay


def _merge(verdict: Verdict, part: dict[str, Any]) -> None:
    """Add to a verdict what the next part found."""
    for name, value in part.items():
        if name in _SUMS or name in _LISTS:
            setattr(verdict, name, getattr(verdict, name) + value)
        elif name == "verdict":
            verdict.verdict = value if value == "gap" else verdict.verdict
        elif name == "origin":  # the first part has the genesis
            verdict.origin = verdict.origin or value
        elif name not in ("allow_gap", "first_divergence", "exit_code", "live"):
            setattr(verdict, name, value)


def plan(archive: Archive, jobs: int) -> list[Start]:
    """Return up to jobs - 1 snapshots from which parts begin that take about equally long; none if
    nothing can be shared. Of a long log the last part, of this process, is longer by what it
    replays before the others begin.

    It goes by the lengths that frames claim. Where those are wrong, the part before notices, and
    what follows does not count."""
    try:
        wanted = archive.snapshots()
    except ArchiveDamage:  # one pass says what it is
        return []
    places: list[tuple[int, Start]] = []  # (bytes before it, where)
    total = 0
    for number, segment in enumerate(archive.segments):
        path = archive.file(segment)
        if not path.is_file():
            break
        seq, offset, data, at = segment.first - 1, 0, b"", 0
        stops = [each for each in wanted if each >= segment.first]
        with disk.reading(path) as file:
            while more := file.read(_BLOCK):
                data, at = data[at:] + more, 0
                while stops:
                    before = at
                    at, passed = batch.skip(data, at, stops[0] - seq)
                    seq, offset = seq + passed, offset + at - before
                    if seq != stops[0]:
                        break
                    places.append((total + offset, Start(stops.pop(0), number, offset)))
                if not stops:
                    break
        total += path.stat().st_size
    chosen: list[Start] = []
    shared = total - (_LATE if total >= _WORTH_IT else 0)
    for i in range(1, jobs):
        if places:
            nearest = min(places, key=lambda each: abs(each[0] - shared * i // jobs))[1]
            if nearest not in chosen:
                chosen.append(nearest)
    return sorted(chosen)


def part(order: dict[str, Any]) -> dict[str, Any]:
    """Replay one part: {"archive", "start": [seq, segment, offset] or None, "until": seq of the
    snapshot that ends it, "origins": paths}; return its verdict as plain data."""
    verdict = Verdict()
    try:
        work = Pass(Archive(order["archive"]), verdict, order.get("origins", ()))
        if order["start"]:
            work.start_from(*order["start"])
        work.run(order["until"])
    except (Mismatch, ArchiveDamage) as e:
        parted(verdict, e)
    except TooLarge as e:
        verdict.verdict, verdict.problem = TOO_LARGE, str(e)
    except FormatError as e:
        # of the snapshot that it starts from: the part before says so, as of its end
        parted(verdict, Mismatch(order["start"][0], "snapshot", "a whole one", str(e)))
    return verdict.as_dict()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def child(order: dict[str, Any]) -> dict[str, Any]:
    """Have another process do a part; return its verdict."""
    with Worker() as worker:
        return worker.ask(order)


def shared(orders: Sequence[dict[str, Any]], jobs: int) -> Iterator[dict[str, Any]]:
    """Yield the verdict of each order, in their order and as soon as it is there. So many processes
    share the orders as `jobs` says: each takes the next one when it is done with one."""
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        for _ in range(jobs):
            idle.put(stack.enter_context(Worker()))

        def done(order: dict[str, Any]) -> dict[str, Any]:
            worker = idle.get()
            try:
                return worker.ask(order)
            finally:
                idle.put(worker)

        yield from pool.map(done, orders)


class Worker:
    """Another process that does one order after the other; a context manager."""

    def __init__(self) -> None:
        path = os.pathsep.join(each for each in sys.path if each)
        self._errors = tempfile.TemporaryFile()  # a pipe that nobody empties would stop it
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from quipu.archive import worker; worker.main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": path,
                limits.VARIABLE: str(limits.state_limit()),
            },
        )

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Have the process carry out an order; return the verdict as plain data."""
        process = self._process
        assert process.stdin and process.stdout
        line = ""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            code = process.wait()
            self._errors.seek(0)
            told = self._errors.read().decode(errors="replace").strip()[-2000:]
            raise RuntimeError(f"a process that verifies {order} ended with {code}: {told}")
        verdict: dict[str, Any] = json.loads(line)
        return verdict

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exc: object) -> None:
        process = self._process
        assert process.stdin and process.stdout
        if exc[0] is not None:
            process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
        process.stdout.close()
        self._errors.close()
