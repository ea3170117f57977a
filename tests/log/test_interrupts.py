"""A Ctrl-C or a MemoryError at any line of the store and what it stands on. The next call works on
a state that equals the log, and nothing acknowledged is lost."""

import os
import sys

import pytest

import shared_kernel
from shared_kernel.frames import BOOT
from tests.faults.harness import (
    Application,
    Chance,
    Clock,
    Run,
    attempt,
    mount,
    perform,
    slots_hold,
)
from tests.flashsim import FlashSim
from tests.quick import some

FILES = [
    os.path.join(os.path.dirname(shared_kernel.__file__), each + ".py")
    for each in ("store", "frames", "saver", "region", "reader", "recovery", "settle")
]


class Lines:
    """Counts the lines executed in FILES; at the n-th of them it raises."""

    def __init__(self, at=None, error=KeyboardInterrupt):
        self.at = at
        self.error = error
        self.seen = []  # (file, line) in the order of execution

    def __enter__(self):
        sys.settrace(self.call)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def call(self, frame, event, arg):
        return self.line if frame.f_code.co_filename in FILES else None

    def line(self, frame, event, arg):
        if event == "line":
            self.seen.append((frame.f_code.co_filename, frame.f_lineno))
            if len(self.seen) - 1 == self.at:
                sys.settrace(None)
                raise self.error(
                    "at %s:%d" % (os.path.basename(self.seen[-1][0]), self.seen[-1][1])
                )
        return self.line


class Situation:
    """A flash, what is owed, and a few actions; the last one is the one to be interrupted."""

    def __init__(self, sim, witness, seed, call=None, warm=3):
        self.sim, self.witness, self.seed, self.make, self.warm = sim, witness, seed, call, warm

    def run(self, at, error=KeyboardInterrupt):
        """Return (lines of the last action, store, witness, whether it was interrupted)."""
        sim, witness = self.sim.clone(self.seed), self.witness.clone()
        store = mount(sim, Clock(self.seed))
        witness.pending = None
        witness.booted(store)
        application = Application(Chance(self.seed))
        for _ in range(self.warm):
            witness.act(store, application.action(witness.model))
        lines = Lines(at, error)
        self.call = Reading() if self.make is Reading else self.make
        witness.pending = action = self.call or application.action(witness.model)
        interrupted = False
        try:
            with lines:
                if callable(action):
                    action(store)
                else:
                    perform(store, action)
        except error:
            interrupted = True
        if callable(action):
            witness.pending = None
        return lines.seen, store, witness, interrupted, sim, application


class Reading:
    """Reads the whole log, frame by frame; can be called again to go on where it was
    interrupted."""

    def __init__(self):
        self.got = []

    def __call__(self, store):
        first = store.first().first
        while True:
            data = bytes(store.read_frames(first + len(self.got), b""))
            at = 0
            while at < len(data):
                end = at + 16 + (data[at + 2] | data[at + 3] << 8)
                self.got.append(data[at:end])
                at = end
            if not data:
                return


def rebuild(store):
    store.busy = True
    store.acknowledge(0)


def situations():
    run = Run(FlashSim(10, 512, 256, 4, seed=11), 11, 150)
    out = []
    sim = run.start.clone(0)
    done = 0
    from tests.faults.harness import do

    for i, (mark, witness) in enumerate(run.marks[:-1]):
        while done < mark:
            do(sim, run.trace[done])
            done += 1
        if i > 20 and i % 9 == 0:
            out.append(Situation(sim.clone(i), witness, i))
        if i in (100, 130):
            for call in (
                ("snapshot",),
                ("checkpoint",),
                ("clock",),
                ("acknowledge", 0),
                Reading,
                rebuild,
            ):
                out.append(Situation(sim.clone(i), witness, i, call))
    return out


def places(error):
    """Return (situation, n) so that every line which any of the situations executes is interrupted:
    the first and the last time that it comes by (for a MemoryError, once)."""
    chosen = []
    seen = set()
    for situation in situations():
        lines = situation.run(None)[0]
        first, last = {}, {}
        for n, line in enumerate(lines):
            first.setdefault(line, n)
            last[line] = n
        for line in first:
            for which, at in (
                (("first", first), ("last", last))
                if error is KeyboardInterrupt
                else (("first", first),)
            ):
                if (line, which) not in seen:
                    seen.add((line, which))
                    chosen.append((situation, at[line]))
    return chosen, {line for line, _ in seen}


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_error_at_any_line(error, record_property):
    chosen, lines = places(error)
    record_property("places", len(chosen))
    assert len(lines) > 330, "only %d lines are reached" % len(lines)
    for situation, n in some(chosen, 250):
        seen, store, witness, interrupted, sim, application = situation.run(n, error)
        where = "%s:%d" % (os.path.basename(seen[-1][0]), seen[-1][1]) if seen else "?"
        try:
            if isinstance(situation.call, Reading):
                situation.call(store)
                again = Reading()
                other = mount(sim.clone(1), Clock(1))
                again(other)
                got = situation.call.got
                # a full log: the last group is kept back until this boot's run has room
                if other.certain() < other.seq:
                    got = got[: len(again.got)]
                more = again.got[len(got) :]
                assert got == again.got[: len(got)] and all(frame[1] == BOOT for frame in more)
            witness.booted(store)
            other = mount(sim.clone(1), Clock(1))
            assert (other.seq, other.head) == (store.seq, store.head)
            assert other.kernel.arena.bytes == store.kernel.arena.bytes
            for _ in range(2):
                attempt(witness, store, application.action(witness.model))
            while store.saver:
                attempt(witness, store, ("execute", [application.command(witness.model)]))
            if any(store.slots):
                slots_hold(store)
            witness.booted(mount(sim, Clock(2)))
        except (AssertionError, Exception) as e:
            raise AssertionError(
                "%s at %s: %s: %s" % (error.__name__, where, type(e).__name__, e)
            ) from e


def test_most_interrupts_reach_the_caller():
    chosen, _ = places(KeyboardInterrupt)
    assert all(situation.run(n)[3] for situation, n in some(chosen[::10], 40))
