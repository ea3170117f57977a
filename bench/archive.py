"""How fast an archive of a million frames answers, what a copy of it that is behind costs to bring
up to it, and the memory of it all.

    python -m bench.archive [--frames 1000000] [--folder build/bench/archive]

The archive is made once, from fixed seeds, by the kernel that a board runs: each frame is one that
a store would have written. Each figure is of a process of its own; KoruDelta's claims for bytes
moved stand beside ours."""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import quipu
from quipu.archive.files import Archive, Note
from quipu.archive.join import merge
from quipu.cli import main as cli
from quipu.past.index import Index

from shared_kernel import frames as f
from shared_kernel import genesis, primitives
from shared_kernel import kernel as k
from shared_kernel.contents import used
from shared_kernel.kernel import Kernel

CONFIG = (16, 256, 64, 128, 64, 16, 16)  # a board's default, with a few more keys
LONG = b"long"  # the key that is written LONG_VERSIONS times, evenly
LONG_VERSIONS = 1000
START_MS = 1_700_000_000_000
MOMENTS = 101  # asked for, at random; their median counts
ROOT = Path(__file__).resolve().parents[1]
# Differences in percent, and what KoruDelta's README says that its sync moves for them.
CLAIMED = {0: "32 bytes", 1: "about 1%", 50: "about 50%"}
LIMITS = {
    "index rebuild, frames/s": 100_000,
    "state at a random moment, median ms": 100,
    f"history of {LONG_VERSIONS} versions, median ms": 20,
    "peak memory of any of these, MiB": 300,
}


class Maker:
    """Writes frames of a log that a board could have written, some hundreds together."""

    def __init__(self, folder: Path):
        self.kernel = Kernel(CONFIG)
        payload = genesis.encode(CONFIG, bytes(range(16)), "bench/01")
        first = f.frame(f.GENESIS, payload, 0, 0, 0)
        self.head = self.name = primitives.hash(f.NO_HEAD + first)
        self.seed = f.seed(self.name)
        self.archive = Archive.create(folder, self.name, "bench/01")
        self.out = bytearray(first)
        self.seq, self.tick, self.boots, self.commands, self.now = 0, 0, 0, 0, START_MS

    def frame(self, kind, payload):
        self.seq += 1
        self.tick += 50
        self.now += 50
        frame = f.frame(kind, payload, self.seq, self.tick, self.seed)
        self.head = primitives.hash(self.head + frame)
        self.out += frame
        if len(self.out) > 1 << 16:
            self.archive.append(self.out)
            self.out = bytearray()
        return self.seq

    def command(self, kind, payload):
        self.kernel.check(kind, payload, 0, len(payload))
        seq = self.frame(kind, payload)
        self.kernel.apply(kind, payload, 0, len(payload), seq)
        self.commands += 1
        if self.commands % 64 == 0:
            self.frame(f.CHECKPOINT, self.kernel.root())
        return seq

    def put(self, name, value):
        link = self.kernel.find_key(name, 0, len(name))
        last = self.kernel.key_at(self.kernel.keys.at(link - 1)) if link else (name, 0, None)
        payload = bytearray(f.put(name, b"" if last[2] == value else value, last[1]))
        payload[4] = last[2] == value
        self.command(k.PUT, bytes(payload))

    def delete_key(self, name):
        self.command(k.DELETE_KEY, f.delete_key(name, self.kernel.key(name)[0]))

    def clock(self):
        self.frame(f.CLOCK, f.clock(self.now + 50, 20))
        self.tick = 0

    def boot(self):
        self.boots += 1
        self.now += 60_000
        self.tick = 0
        self.frame(f.BOOT, f.boot(self.boots, self.head, 0))

    def finish(self):
        self.archive.append(self.out)
        self.archive.flush()
        self.archive.write_note(Note(self.seq, self.head, self.kernel.root(), self.now))
        self.archive.close()


def make(folder: Path, frames: int) -> None:
    """Make an archive of about `frames` frames: puts, inserts, updates, deletions, nodes, edges,
    clocks, boots, checkpoints."""
    maker, rng = Maker(folder), random.Random(1)
    kernel = maker.kernel
    every = frames // LONG_VERSIONS
    written = 0
    names = [b"sensor/%02d" % i for i in range(40)]
    nodes: list[int] = []
    records: list[int] = []
    maker.clock()
    while maker.seq < frames - 1:
        if written < LONG_VERSIONS and maker.seq >= written * every:
            maker.put(LONG, b"%d" % written)
            written += 1
        if maker.seq % 50_000 < 2 and maker.seq > 10:
            maker.boot()
        if maker.seq % 10_000 < 2:
            maker.clock()
        chance = rng.random()
        if chance < 0.7:
            maker.put(rng.choice(names), b"%d" % rng.randrange(1000))
        elif chance < 0.71 and kernel.keys.live() > 20:
            name = rng.choice(names)
            if kernel.find_key(name, 0, len(name)):
                maker.delete_key(name)
        elif chance < 0.85:
            if len(records) == 200:
                maker.command(k.DELETE, f.ident(records.pop(0)))
            vector = [rng.randrange(-9 << 16, 9 << 16) for _ in range(CONFIG[0])]
            records.append(maker.command(k.INSERT, f.insert(vector, rng.randrange(5), b"walking")))
        elif chance < 0.93 and records:
            maker.command(k.UPDATE, f.update(rng.choice(records), tag=rng.randrange(5)))
        elif chance < 0.96:
            if len(nodes) == 60:
                maker.command(k.DELETE_NODE, f.ident(nodes.pop(0)))
            nodes.append(maker.command(k.CREATE_NODE, f.create_node(rng.randrange(3))))
        elif nodes and kernel.edges.live() < 120:
            maker.command(k.CREATE_EDGE, f.create_edge(1, rng.choice(nodes), rng.choice(nodes)))
        else:
            edges = sorted(ident for ident, _ in used(kernel.edges))
            if edges:
                maker.command(k.DELETE_EDGE, f.ident(edges[0]))
    maker.finish()


# -- what is measured, each in a process of its own, whose peak of memory counts -------------------


def rebuild(folder: str) -> dict[str, float]:
    started = time.perf_counter()
    index = Index(Archive(folder), rebuild=True)
    took = time.perf_counter() - started
    assert index.progress and index.damage is None and not index.own
    return {
        "frames": index.progress.seq + 1,
        "index rebuild, frames/s": (index.progress.seq + 1) / took,
        "index, MiB": index.path.stat().st_size / 2**20,
    }


def moments(folder: str) -> dict[str, float]:
    """Ask for the state at random moments, each answer as if it were the first: nothing is kept
    from the one before."""
    memory = quipu.open(folder)
    last = memory.moment().seq
    took = []
    for seq in random.Random(2).sample(range(last + 1), MOMENTS):
        started = time.perf_counter()
        replay = memory.replay(seq)
        replay.kernel.root()
        took.append(time.perf_counter() - started)
        assert replay.seq == seq
    return {
        "state at a random moment, median ms": 1000 * statistics.median(took),
        "the slowest of them, ms": 1000 * max(took),
    }


def long_history(folder: str) -> dict[str, float]:
    memory = quipu.open(folder)
    memory.moment()
    took = []
    for _ in range(9):
        started = time.perf_counter()
        found = memory.history(LONG).versions
        took.append(time.perf_counter() - started)
        assert [each.value for each in found] == [b"%d" % i for i in reversed(range(LONG_VERSIONS))]
    return {f"history of {LONG_VERSIONS} versions, median ms": 1000 * statistics.median(took)}


def command(*arguments: object) -> float:
    """Run a command of the CLI in this process, its output unread; return the seconds it took."""
    keep = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        sys.stdout.flush()
        os.dup2(nowhere.fileno(), 1)
        started = time.perf_counter()
        code = cli.main([str(each) for each in arguments])
        took = time.perf_counter() - started
        sys.stdout.flush()
        os.dup2(keep, 1)
    assert code == 0, (arguments, code)
    return took


def verified(folder: str) -> dict[str, float]:
    return {"quipu verify, s": command("verify", "--archive", folder)}


def queried(folder: str) -> dict[str, float]:
    return {
        "quipu query, s": command(
            "query", folder, "records", "--where", "tag = 3", "--order", "-id", "--json"
        )
    }


def exported(folder: str) -> dict[str, float]:
    out = Path(folder).with_name("export.jsonl")
    took = command("export", folder, "-o", out)
    assert out.stat().st_size > 50 * Archive(folder).note().seq
    out.unlink()
    return {"quipu export of all commands, s": took}


def reported(folder: str) -> dict[str, float]:
    out = Path(folder).with_name("report.html")
    took = command("report", folder, "-o", out)
    out.unlink()
    return {"quipu report, s": took}


def differences(folder: str) -> dict[str, float]:
    """Bring copies that lack some of the newest frames up to the archive."""
    out: dict[str, float] = {}
    source = Archive(folder)
    count = source.note().seq + 1
    size = source.size(source.segments[0])
    target = Path(folder).with_name("behind")
    for percent in CLAIMED:
        shutil.rmtree(target, ignore_errors=True)
        made = Archive.create(target, source.log, source.identity)
        kept = count - count * percent // 100
        end = (
            next(
                at
                for seq, (at, frame) in enumerate(source.split(source.segments[0]))
                if seq == kept
            )
            if percent
            else size
        )
        with source.file(source.segments[0]).open("rb") as file:
            for at in range(0, end, 1 << 20):
                made.append(file.read(min(1 << 20, end - at)))
        if not percent:
            made.write_note(source.note())
        made.close()
        started = time.perf_counter()
        result = merge(folder, target)
        assert result.seq == count - 1 and result.frames == count - kept
        out[f"sync of archives, {percent}% missing, bytes"] = float(result.moved_bytes)
        out[f"sync of archives, {percent}% missing, % of the log"] = 100 * result.moved_bytes / size
        out[f"sync of archives, {percent}% missing, s"] = time.perf_counter() - started
    shutil.rmtree(target)
    return out


STEPS = {
    "rebuild": rebuild,
    "moments": moments,
    "history": long_history,
    "verify": verified,
    "query": queried,
    "export": exported,
    "report": reported,
    "differences": differences,
}


def ready(folder: Path, frames: int) -> None:
    """Have the archive in `folder`, made anew if what makes it has changed since."""
    sources = [*sorted((ROOT / "shared_kernel").glob("*.py")), Path(__file__)]
    mark = hashlib.sha256(
        b"".join(each.read_bytes() for each in sources) + b"%d" % frames
    ).hexdigest()
    made = folder.with_suffix(".made")
    if not made.exists() or made.read_text() != mark:
        shutil.rmtree(folder, ignore_errors=True)
        make(folder, frames)
        made.write_text(mark)


def step(name: str, folder: Path, **environment: str) -> dict[str, float]:
    """Carry out a step in a process of its own; return what it told, the peak of its memory among
    it."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.archive", "--step", name, "--folder", str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def run(
    folder: Path = ROOT / "build" / "bench" / "archive", frames: int = 1_000_000
) -> dict[str, float | str]:
    """Return {what: value}."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    ready(folder, frames)
    out: dict[str, float | str] = {"kernel": quipu.kernels.kind}
    out["index rebuild by the pure kernel, frames/s"] = step("rebuild", folder, QUIPU_PURE="1")[
        "index rebuild, frames/s"
    ]
    peaks = {}
    for name in STEPS:
        told = step(name, folder)
        peaks[name] = told.pop("peak")
        out.update(told)
    out.update({f"peak memory of {name}, MiB": peak for name, peak in peaks.items()})
    return {**out, "peak memory of any of these, MiB": max(peaks.values())}


def rows(found: dict[str, float | str]) -> list[tuple[str, str, str]]:
    """Return (what, value, what it is held to or what a peer claims) for a table."""
    claims = {
        f"sync of archives, {percent}% missing, bytes": f"KoruDelta claims {claim}"
        for percent, claim in CLAIMED.items()
    }
    out = []
    for what, value in found.items():
        shown = (
            value
            if isinstance(value, str)
            else f"{value:,.0f}"
            if value >= 1000 or value == int(value)
            else f"{value:,.4g}"
        )
        limit = LIMITS.get(what)
        beside = (
            f"{'at least' if 'frames/s' in what else 'at most'} {limit:,}"
            if limit
            else claims.get(what, "")
        )
        out.append((what, shown, beside))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench" / "archive")
    parser.add_argument("--step", choices=STEPS)
    given = parser.parse_args()
    if given.step:
        told = STEPS[given.step](str(given.folder))
        # Of the largest process, in KiB. Not RUSAGE_SELF: Linux lets that begin with what the
        # process had that started this one.
        own = next(
            int(line.split()[1])
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
        peak = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
        print(json.dumps({**told, "peak": peak / 1024}))
        return
    for what, value, beside in rows(run(given.folder, given.frames)):
        print(f"{what:<50} {value:>12}  {beside}")


if __name__ == "__main__":
    main()
