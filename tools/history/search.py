"""The search for a history that breaks a promise: breadth first, the rarest shapes first, and dives
by chance, by turns."""

import collections
import gc
import heapq
import random
import re
import signal
import time
from typing import NamedTuple

from shared_kernel.errors import Damage, NotFound, QuipuError

from .flash import WORLDS, Breach, Cut, State, Violation
from .session import SCRIPTS, Session, Step, drain, named, readings, rotten, verify
from .starts import LIVES, TIGHT

STARTS = LIVES + TIGHT  # of a world
QUICK = 6000  # states in which a plan must show its fault


class Plan(NamedTuple):
    """A search in a part of a world that is small enough to be searched whole, in the order of
    boots: what one fault needs, and no more.

    starts: numbers of starts. scripts: what is done in each boot; a cut may come at any program or
        erase of it, and all that a cut
    leaves is checked. kinds: for each boot but the last, a pattern of the cuts that are gone on
    from. fails: [(number of the operation, how)]. rots: whether bits flip."""

    starts: tuple
    scripts: tuple
    kinds: tuple = ()
    fails: tuple = ()
    rots: bool = False


class Entry(NamedTuple):
    """A state to go on from. left: what has not been done from it yet."""

    name: int
    state: State
    left: list


OPERATIONS = (
    "put",
    "put",
    "put",
    "group",
    "snapshot",
    "pull",
    "acknowledge",
    "step",
    "delete",
    "frames",
    "checkpoint",
)
MOST_BOOTS = 8
KEPT = 30000  # states of a number of boots that are gone on from
FAILURES = ("half", "wrong", "whole", "dies")


HANG_S = 60  # no boot and what follows takes a second


def _hangs(*_):
    raise Breach("hangs")


class Explorer:
    """A breadth-first search from some starts of one world.

    seen: name of each state -> (name of the state before it, Step), or None for a start
    by_boots, by_cuts: how many states by that number
    violations: {kind: (what, start, shortest history, after how many states)}
    """

    def __init__(self, world_name, first, fails=1, rots=1, stop_at=1, seed=0, dives=0.5):
        self.world_name = world_name
        self.world = WORLDS[world_name]
        self.starts = first
        self.fails, self.rots, self.stop_at = fails, rots, stop_at
        self.chance = random.Random(seed)
        self.seen = {}
        self.origin = {}
        self.shapes = {}
        self.known = {}
        self.by_boots, self.by_cuts = {}, {}
        self.sessions = self.turn = 0
        self.violations = {}
        self.dives = dives
        self.levels = []  # of each number of boots: the states to go on from
        self.kept = None  # of a plan: the states of the level in hand
        self.rare = []  # a heap of the same, the rarest shape first

    def run(self, seconds, most_states=1 << 40):
        """Explore for that long: by turns the first of the states with the fewest boots, the one of
        the rarest shape, and any one."""
        until = time.monotonic() + seconds
        for i, state in enumerate(self.starts):
            name = state.name()
            if name not in self.seen:
                self.seen[name] = None
                self.origin[name] = i
                self.keep(name, state._replace(boots=0), 0)
        signal.signal(signal.SIGALRM, _hangs)
        # what is kept is kept: to look through all of it again takes ever longer
        gc.set_threshold(50000, 20, 1 << 30)
        while (
            time.monotonic() < until
            and len(self.violations) < self.stop_at
            and len(self.seen) < most_states
        ):
            signal.alarm(HANG_S)
            if self.chance.random() < self.dives:
                self.dive()
                continue
            entry = self.pick()
            if entry is None:
                self.dives = 1
            elif entry.left:
                self.go_on(entry)
        signal.alarm(0)
        return self

    def search(self, plan, most_states=1 << 40):
        """Search a plan, all of it, in the order of boots. It is so small that the store as it is
        holds beyond its limits, too."""
        Session.limits = False
        try:
            return self._search(plan, most_states)
        finally:
            Session.limits = True

    def _search(self, plan, most_states):
        level = []
        for i in plan.starts:
            state = self.starts[i]._replace(boots=0)
            self.seen[state.name()] = None
            self.origin[state.name()] = i
            level.append((state.name(), state))
        self.kept = None
        for boot in range(len(plan.kinds) + 1):
            self.kept = []
            for name, state in level:
                if plan.rots and not state.rots:
                    for which, child in enumerate(rotten(self.world, state)):
                        self.take(name, Step(("rot",), 0, None, str(which)), child)
                for reading in (0, 1) if state.marks else (0,):
                    for script in plan.scripts:
                        for fail in (None, *(plan.fails if not state.fails else ())):
                            self.session(name, state, script, reading, fail)
                        if self.violations or len(self.seen) > most_states:
                            return self
            if boot < len(plan.kinds):
                level = [
                    (name, state)
                    for name, state, what in self.kept
                    if re.search(plan.kinds[boot], what)
                ]
        return self

    def dive(self):
        """Go down one history by chance, to MOST_BOOTS boots: what is rare stands deep, and breadth
        comes there late."""
        chance = self.chance
        i = chance.randrange(len(self.starts))
        state = self.starts[i]._replace(boots=0)
        name = state.name()
        storm = chance.random() < 0.5  # one cut after another, within the boots' own runs
        while state.boots < MOST_BOOTS:
            if self.rots and not state.rots and not state.fails and chance.random() < 0.15:
                found = rotten(self.world, state)
                if found:
                    which = chance.randrange(len(found))
                    name, state = self.go(name, Step(("rot",), 0, None, str(which)), found[which])
                    if state is None:
                        return
            reading = chance.choice(readings(state))
            if storm and chance.random() < 0.8:
                script = ["put"]
            elif chance.random() < 0.2:
                script = [chance.choice(OPERATIONS) for _ in range(4)]
            else:
                script = [chance.choice(OPERATIONS)]
            fail = None
            if state.fails < self.fails and chance.random() < 0.3:
                fail = chance.randrange(12), chance.choice(FAILURES)
            at = chance.randrange(10 if storm else chance.choice((4, 10, 40)))
            self.sessions += 1
            try:
                session = Session(self.world, state, reading, fail, True, at)
                session.start()
                session.run(script)
                session.off()
            except Cut:
                pass
            except (Exception, Breach) as e:
                allowed = (
                    (QuipuError,)
                    if session.flash.failed
                    else (Damage, NotFound)
                    if state.lenient()
                    else ()
                )
                if isinstance(e, Violation) or not isinstance(e, allowed):
                    self.violation(name, Step(tuple(session.done), reading, fail, None), e)
                return
            # it never came to that: the same without
            if fail is not None and not session.flash.failed:
                session.children = [
                    (key[:2] + (None,) + key[3:], child) for key, child in session.children
                ]
            marked = [
                each for each in session.children if each[1].marks and each[1].marks != state.marks
            ]
            key, child = chance.choice(
                marked
                if marked and chance.random() < (0.85 if storm else 0.5)
                else session.children
            )
            name, state = self.go(name, Step(*key), child)
            if state is None:
                return

    def go(self, parent, step, child):
        """Check a state and return (its name, it); None if it does not hold."""
        name = child.name()
        if name not in self.seen:
            before = len(self.violations)
            self.take(parent, step, child)
            if len(self.violations) > before:
                return name, None
        return name, child

    def pick(self):
        self.turn += 1
        for _ in range(3):
            way = self.turn % 3
            if way == 0:
                for level in self.levels:
                    while level and not level[0].left:
                        level.popleft()
                    if level:
                        return level[0]
                return None
            if way == 1 and self.rare:
                rank, _, entry = heapq.heappop(self.rare)
                if len(entry.left) > 1:
                    heapq.heappush(self.rare, (rank + 3, self.chance.random(), entry))
                return entry
            level = self.levels[self.chance.randrange(len(self.levels))]
            if way == 2 and level:
                return level[self.chance.randrange(len(level))]
            self.turn += 1
        return None

    def keep(self, name, state, rank):
        """Remember a state to go on from, and all that may be done from it."""
        if (
            state.boots >= MOST_BOOTS
            or len(self.levels) > state.boots
            and len(self.levels[state.boots]) >= KEPT
        ):
            return
        left = list(
            self.choices(
                len(readings(state)),
                state.fails < self.fails,
                self.rots and not state.rots and not state.fails,
            )
        )
        self.chance.shuffle(left)
        entry = Entry(name, state, left)
        while len(self.levels) <= state.boots:
            self.levels.append(collections.deque())
        self.levels[state.boots].append(entry)
        heapq.heappush(self.rare, (rank, self.chance.random(), entry))

    @staticmethod
    def choices(ways, fail, rot):
        """Return what may be done from a state: (script, reading, whether something fails), and ()
        for a flipped bit."""
        out = [
            (script, reading, failing)
            for reading in range(ways)
            for script in SCRIPTS
            for failing in ((False, True, True) if fail else (False,))
        ]
        return out + [()] * 3 if rot else out

    def go_on(self, entry):
        """Do one of the things that may be done from a state."""
        todo = entry.left.pop()
        if todo:
            script, reading, failing = todo
            self.session(entry.name, entry.state, script, reading, None, failing)
        else:
            self.rot(entry.name, entry.state)

    def rot(self, name, state):
        found = rotten(self.world, state)
        if found:
            which = self.chance.randrange(len(found))
            self.take(name, Step(("rot",), 0, None, str(which)), found[which])

    def session(self, name, state, script, reading, fail, failing=False):
        """Make one boot and carry out a script."""
        self.sessions += 1
        if failing:
            fail = self.chance.randrange(30), self.chance.choice(FAILURES)
        try:
            session = Session(self.world, state, reading, fail)
        except Exception as e:
            self.violation(name, Step((), reading, fail, None), e)
            return
        session.start()
        try:
            session.run(script)
        except (Exception, Breach) as e:
            allowed = (
                (QuipuError,)
                if session.flash.failed
                else (Damage, NotFound)
                if state.lenient()
                else ()
            )
            if isinstance(e, Violation) or not isinstance(e, allowed):
                self.violation(name, Step(tuple(session.done), reading, fail, None), e)
        for key, child in session.children:
            if fail is None or child.fails > state.fails:
                self.take(name, Step(*key), child)

    def take(self, parent, step, child):
        """Check a state, if it is new, and keep it."""
        name = child.name()
        if name in self.seen:
            return
        self.seen[name] = parent, step
        self.by_boots[child.boots] = self.by_boots.get(child.boots, 0) + 1
        self.by_cuts[child.cuts] = self.by_cuts.get(child.cuts, 0) + 1
        try:
            found = verify(self.world, child, self.known)
            n = self.shapes[found] = self.shapes.get(found, 0) + 1
            if n <= (2 if self.kept is None else 20):
                for reading in readings(child):
                    drain(self.world, child, reading)
        except (Exception, Breach) as e:
            self.violation(name, None, e)
            return
        if self.kept is None:
            self.keep(name, child, n)
        else:
            self.kept.append((name, child, step.what))

    def violation(self, name, step, e):
        what = str(e) if isinstance(e, Violation) else named(e)
        kind = re.sub(r"[0-9a-f]{16,}|0x[0-9a-f]+|\d+", "N", what)
        if kind not in self.violations:
            history = self.history(name) + ([step] if step else [])
            self.violations[kind] = (what, self.start_of(name), history, len(self.seen))

    def history(self, name):
        out = []
        while self.seen[name]:
            name, step = self.seen[name]
            out.append(step)
        return out[::-1]

    def start_of(self, name):
        while self.seen[name]:
            name = self.seen[name][0]
        return self.origin[name]


def as_test(world_name, start, history, what, fault=None):
    """Return a history as Python code."""
    patched = (
        ["    putback.put_back(putback.named(%r), monkeypatch.setattr)" % fault] if fault else []
    )
    lines = [
        "def test_history(%s):" % ("monkeypatch" if fault else ""),
        '    """%s"""' % what.replace('"', "'"),
        '    world = explore.WORLDS["%s"]' % world_name,
        "    state = explore.starts(world, %d)[%d]._replace(boots=0)" % (STARTS, start),
        *patched,
    ]
    for each in history:
        lines.append(
            "    state = explore.follow(world, state, explore.Step(%r, %r, %r, %r))" % tuple(each)
        )
    if not history or history[-1].what is not None:
        lines += [
            "    explore.verify(world, state)",
            "    for reading in explore.readings(state):",
            "        explore.drain(world, state, reading)",
        ]
    return "\n".join(lines)
