"""An emulated board is killed at moments of chance, and switched on again: what it must still hold,
and does. Prints nothing.

Each round the laptop tells a board changes, one at a time, and SIGKILLs the emulator at a moment of
its own while one is under way; the flash file is kept. After each cut the log must hold exactly the
acknowledged frames, perhaps the one under way, whole, and what the store itself adds; the state
must be that of the plain model told the same; and the live board's root must equal the replay of
the pulled log. The region is small, so that sectors and snapshots turn over meanwhile."""

import json
import mmap
import os
import random
import signal
import threading
import time
from typing import NamedTuple

import quipu
from quipu.build.emulator import Emulator
from quipu.errors import PortError

from shared_kernel import frames, kernel
from shared_kernel.config import CONFIG_NAMES
from tests.boards.conftest import place
from tests.faults.harness import HalfApplied, LostAcked
from tests.model import Model, contents_of

BOARD = "MPS2_AN386"
CONFIG = (4, 24, 8, 12, 6, 8, 12)
LOG_BYTES = 32 * 1024
# Half of the cuts come some time within the next change, which takes about 4 ms from request to
# answer; the other half at some write to the flash that the host sees in the file, or some µs after
# it.
MOMENT_S = 0.006
WRITES = 12
AFTER_S = 0.0005


class Witness:
    """What a board owes: each change that it acknowledged, by its seq, and the one that was under
    way."""

    def __init__(self):
        self.owed = {}  # seq: (verb, args)
        self.pending = None  # (verb, args) that was not acknowledged
        self.model = Model(CONFIG)
        self.seen = 0  # last seq that was checked
        self.found = self.lost = 0  # how often what was under way was there, and was not

    def change(self, board, verb, *args):
        """Carry out one change; it is owed once the board's answer is here."""
        self.pending = (verb, args)
        seq = getattr(board, verb)(*args)
        assert seq not in self.owed
        self.owed[seq] = self.pending
        self.pending = None
        self.tell(seq, verb, *args)

    def tell(self, seq, verb, *args):
        if verb == "put":
            args += (self.model.keys[args[0]][0] if args[0] in self.model.keys else 0,)
        getattr(self.model, verb)(seq, *args)

    def check(self, archive):
        """Compare an archive, pulled after a cut, with what is owed; then nothing is under way any
        more."""
        stood = {}
        for frame in quipu.open_archive(archive).frames():
            if 0x10 <= frame[1] & 0x3F < 0x40 and not frame[1] & frames.SKIPPABLE:
                stood[kernel.u32(frame, 4)] = frame[1] & 0x3F
        kinds = {
            verb: getattr(kernel, verb.upper())
            for verb in ("insert", "delete", "put", "create_node", "create_edge")
        }
        if not {seq: kinds[verb] for seq, (verb, _) in self.owed.items()}.items() <= stood.items():
            raise LostAcked("an acknowledged change is gone")
        more = sorted(stood.keys() - self.owed.keys())
        if self.pending and more:
            seq = more.pop()
            assert seq > max(self.owed, default=0) and stood[seq] == kinds[self.pending[0]]
            self.owed[seq] = self.pending
            self.tell(seq, self.pending[0], *self.pending[1])
            self.found += 1
        elif self.pending:
            self.lost += 1
        self.pending = None
        if more:
            raise HalfApplied("there is what nobody asked for: seq %s" % more)
        if contents_of(quipu.state(archive)) != self.model.contents():
            raise HalfApplied("the state is not that of the model")


def some_change(rng, model):
    """Return a change that the state allows, drawn by chance."""
    records = list(model.records)
    nodes = list(model.nodes)
    n = rng.randrange(10)
    if len(records) == model.max_records or n == 0 and records:
        free = [
            each for each in records if all(each != record for _, record in model.nodes.values())
        ]
        return ("delete", rng.choice(free))
    if n == 1 and records and len(nodes) < model.max_nodes:
        return ("create_node", rng.randrange(3), rng.choice(records))
    if n == 2 and nodes and len(model.edges) < model.max_edges:
        return ("create_edge", rng.randrange(3), rng.choice(nodes), rng.choice(nodes))
    if n < 6:
        return ("put", b"key %d" % rng.randrange(model.max_keys), rng.randbytes(rng.randrange(13)))
    return (
        "insert",
        [rng.randrange(-(2**31), 2**31) for _ in range(4)],
        rng.randrange(4),
        rng.randbytes(rng.randrange(9)),
    )


def cut_at_a_moment(emulator, rng):
    """Return a thread that will kill the emulator at a moment drawn by chance."""
    return threading.Timer(rng.uniform(0, MOMENT_S), emulator.kill)


def cut_at_a_write(emulator, rng):
    """Return a thread that will kill the emulator when its log region has changed some times, the
    number drawn by chance."""
    writes, after = rng.randrange(1, WRITES), rng.uniform(0, AFTER_S)
    pid, log = emulator.pid, emulator.facts["log"]["start"]

    def watch():
        with (
            emulator.flash.open("rb") as file,
            mmap.mmap(file.fileno(), log + LOG_BYTES, prot=mmap.PROT_READ) as flash,
        ):
            for _ in range(writes):
                now = flash[log:]
                while flash[log:] == now:
                    pass
            end = time.perf_counter() + after
            while time.perf_counter() < end:
                pass
            os.kill(pid, signal.SIGKILL)
        emulator.kill()

    return threading.Thread(target=watch)


class Survived(NamedTuple):
    """What came of the kills. rounds: for each boot (first seq, seqs of the snapshots, boots so
    far, torn tails so far); archive: the folder it was pulled to, in the end; boot_s: seconds from
    power on to the first answer, of each round but the first."""

    witness: Witness
    rounds: list
    archive: object
    boot_s: list


def kill(folder, kills, seed):
    """Kill a board so many times, checking after each; what is wrong is raised. Return what came of
    it, as Survived."""
    rng = random.Random(seed)
    emulator = Emulator(BOARD, folder / "flash.bin")
    facts = {
        **emulator.facts,
        "log": {**emulator.facts["log"], "size": LOG_BYTES},
        "capacities": dict(zip(CONFIG_NAMES, CONFIG)),
    }
    survived = Survived(Witness(), [], folder / "archive", [])
    with emulator:
        place(
            emulator,
            {"/quipu.json": json.dumps(facts), "/main.py": "import quipu\nquipu.serve()\n"},
        )
        while True:
            began = time.monotonic()
            with quipu.connect(emulator.port, timeout=30) as board:
                survived.boot_s.append(time.monotonic() - began)
                _check(board, survived)
                if len(survived.rounds) > kills:
                    return survived
                _work(
                    board,
                    survived.witness,
                    rng,
                    rng.choice((cut_at_a_moment, cut_at_a_write))(emulator, rng),
                )
            assert not emulator.running
            emulator.start()


def _check(board, survived):
    board.sync(survived.archive)
    verdict = quipu.verify(survived.archive, board)
    assert verdict.verdict == "match", verdict.first_divergence
    assert verdict.live["root"] == verdict.state_root
    info = board.info()
    assert info["damage"] is None
    survived.witness.check(survived.archive)
    survived.rounds.append((info["first_seq"], info["snapshots"], verdict.boots, len(verdict.cuts)))


def _work(board, witness, rng, cut):
    """Tell the board changes, and more until the power is gone."""
    for _ in range(rng.randrange(20, 80)):
        witness.change(board, *some_change(rng, witness.model))
    cut.start()
    try:
        while True:
            if rng.randrange(3) == 0:
                board.snapshot()
            witness.change(board, *some_change(rng, witness.model))
    except PortError:
        pass
    finally:
        cut.join()
