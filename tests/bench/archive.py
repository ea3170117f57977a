"""How fast an archive of a million frames answers: random moments, a long history, the index's rebuild, and the memory it takes.

    python -m tests.bench.archive [--frames 1000000] [--folder build/bench/archive]

The archive is made once, from fixed seeds, by the kernel that a board runs: each frame is one that a store would have written.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import quipu
from quipu.archive import Archive, Note
from quipu.index import Index

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
    """Make an archive of about `frames` frames: puts, inserts, updates, deletions, nodes, edges, clocks, boots, checkpoints."""
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


# -- what is measured, each in a process of its own, whose peak of memory counts ------------------------------------------


def rebuild(folder: str) -> dict[str, float]:
    started = time.perf_counter()
    index = Index(Archive(folder), rebuild=True)
    took = time.perf_counter() - started
    assert index.progress and index.damage is None and not index.own
    return {"frames": index.progress.seq + 1, "index rebuild, frames/s": (index.progress.seq + 1) / took,
            "index, MiB": index.path.stat().st_size / 2**20}


def moments(folder: str) -> dict[str, float]:
    """Ask for the state at random moments, each answer as if it were the first: nothing is kept from the one before."""
    memory = quipu.open(folder)
    last = memory.moment().seq
    took = []
    for seq in random.Random(2).sample(range(last + 1), MOMENTS):
        started = time.perf_counter()
        replay = memory.replay(seq)
        replay.kernel.root()
        took.append(time.perf_counter() - started)
        assert replay.seq == seq
    return {"state at a random moment, median ms": 1000 * statistics.median(took), "the slowest of them, ms": 1000 * max(took)}


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


STEPS = {"rebuild": rebuild, "moments": moments, "history": long_history}


def run(folder: Path, frames: int) -> dict[str, float | str]:
    """Return {what: value}; the archive is made in `folder` unless it is there."""
    if not (folder / "note.json").exists():
        make(folder, frames)
    out: dict[str, float | str] = {"kernel": quipu.kernels.kind}
    peak = 0.0
    for step in STEPS:
        done = subprocess.run([sys.executable, "-m", "tests.bench.archive", "--step", step, "--folder", str(folder)], check=True,
                              capture_output=True, text=True)
        told = json.loads(done.stdout)
        peak = max(peak, told.pop("peak"))
        out.update(told)
    return {**out, "peak memory of any of these, MiB": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("build/bench/archive"))
    parser.add_argument("--step", choices=STEPS)
    given = parser.parse_args()
    if given.step:
        told = STEPS[given.step](str(given.folder))
        print(json.dumps({**told, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    for what, value in run(given.folder, given.frames).items():
        print(f"{what:<42} {value:>14,.1f}" if isinstance(value, float) else f"{what:<42} {value:>14}")


if __name__ == "__main__":
    main()
