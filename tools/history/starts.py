"""States along fault-free lives, from which histories start: what a store has after some turns of
its ring, with several habits."""

from .flash import Owed, State
from .session import Session


def blank(world):
    return State(
        (b"\xff" * world.sector,) * world.sectors,
        (),
        frozenset(),
        frozenset(),
        Owed(-1, bytes(32), -1, bytes(32)),
        0,
        0,
        0,
        0,
    )


LIVES = 24  # states along fault-free lives
TIGHT = 6  # states of a ring that is full
HABITS = (  # of fault-free lives: what is done once in so many groups
    {"pull": 3, "snapshot": 0},
    {"pull": 0, "snapshot": 0},
    {"pull": 5, "snapshot": 7},
    {"pull": 2, "snapshot": 3, "boot": 4},
)


def life(world, habit, groups):
    """Yield the states along a fault-free life."""
    session = Session(world, blank(world), 0, collect=False)
    session.store.configure(world.config, bytes(range(16)), "t", world.policy)
    session.owed = session.owed._replace(seq=session.store.seq, head=session.store.head)
    for i in range(groups):
        session.do(("put", "group", "put", "delete", "put")[i % 5])
        if habit["pull"] and i % habit["pull"] == 0:
            session.pull()
            session.do("acknowledge")
        if habit["snapshot"] and i % habit["snapshot"] == 0:
            session.do("snapshot")
        flash = session.flash
        state = State(tuple(flash.truth), (), frozenset(), frozenset(), session.owed, 1, 0, 0, 0)
        yield state
        if habit.get("boot") and i % habit["boot"] == 0:
            session = Session(world, state._replace(boots=i % 200), 0, collect=False)


def starts(world, count):
    """Return that many of a world's states: LIVES along fault-free lives that turn the ring more
    than once, then TIGHT."""
    out = [blank_configured(world)]
    for habit in HABITS:
        states = list(life(world, habit, 14 * (world.sectors - 5) * world.sector // 512))
        n = LIVES // len(HABITS)
        out += [states[len(states) - 1 - k * max(1, len(states) // (2 * n))] for k in range(n)]
    del out[LIVES:]
    return (out + list(tight(world, states[-1])))[:count]


def tight(world, state):
    """Yield what boot after boot leaves that ends while a snapshot is being taken: the ring full,
    and what is in reserve used up."""
    left = TIGHT
    for i in range(2 * world.sectors):
        if not left:
            return
        session = Session(world, state._replace(boots=i), 0, collect=False)
        session.pull()
        session.do("acknowledge")
        session.do("step")
        store = session.store
        tight = store.free_sectors() <= store.reserve()
        state = State(
            tuple(session.flash.truth), (), frozenset(), frozenset(), session.owed, 1, 0, 0, 0
        )
        if tight:
            left -= 1
            yield state


def blank_configured(world):
    """Return the state right after a genesis."""
    session = Session(world, blank(world), 0, collect=False)
    session.store.configure(world.config, bytes(range(16)), "t", world.policy)
    return State(
        tuple(session.flash.truth),
        (),
        frozenset(),
        frozenset(),
        session.owed._replace(seq=session.store.seq, head=session.store.head),
        1,
        0,
        0,
        0,
    )
