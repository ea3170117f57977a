"""Power cuts over whole lives of a log: where they are made, and what came of them. Prints and
writes nothing.

A life is a seeded workload on one geometry that takes the log at least TURNS times round its ring,
with every command, groups, checkpoints, clocks, snapshots and acknowledgements. A cut is named
GEOMETRY:SEED:INDEX:STEP: the index of the program or erase in the life's trace, and the program
unit or erase step within it. After it the store boots (cut again within the recovery), is checked,
goes on, is cut again, and so on: harness.live_on."""

import contextlib
import functools
import random
import signal
from typing import NamedTuple

from shared_kernel import frames, kernel
from tests.faults.harness import CONFIG, HalfApplied, LostAcked, Run, live_on
from tests.flashsim import FlashSim, PowerCut, SimulatorError

TURNS = 3
HANG_S = 60  # no cut takes a second
# frames of some hundred bytes: large sectors fill in fewer commands
LONG = (200, 7, 5, 6, 4, 200, 200)
KINDS = {
    frames.GENESIS,
    frames.BOOT,
    frames.CHECKPOINT,
    frames.CLOCK,
    kernel.INSERT,
    kernel.UPDATE,
    kernel.DELETE,
    kernel.CREATE_NODE,
    kernel.DELETE_NODE,
    kernel.CREATE_EDGE,
    kernel.DELETE_EDGE,
    kernel.PUT,
    kernel.DELETE_KEY,
}


class Geometry(NamedTuple):
    """sample: how many cuts of a life are made; 0: every one that there is."""

    sector: int
    sectors: int
    page: int
    unit: int
    sample: int = 0
    config: tuple = CONFIG


# Exhaustive where sectors have up to 1 KiB and units 4 bytes or more; named by sector, sectors and
# unit.
GEOMETRIES = {
    "512x9u1": Geometry(512, 9, 256, 1, 5000),
    "1024x7u2": Geometry(1024, 7, 64, 2, 5000),
    "1024x7u4": Geometry(1024, 7, 256, 4),
    "512x12u8": Geometry(512, 12, 512, 8),
    "1024x12u16": Geometry(1024, 12, 256, 16),  # the one whose ring keeps three sectors in reserve
    "1024x8u32": Geometry(1024, 8, 256, 32),
    "4096x8u1": Geometry(4096, 8, 256, 1, 2000),
    "4096x7u16": Geometry(4096, 7, 256, 16, 2000),
    "16384x5u8": Geometry(16384, 5, 256, 8, 600),
    "131072x5u32": Geometry(131072, 5, 1024, 32, 100, LONG),
}
# What a seed's flash and log are like, by the rest of its division.
MODES = (
    {},  # a cut leaves any of a page's units, half-programmed ones read the same each time
    {"ecc": True},  # half-programmed units cannot be read
    {"in_order": True, "policy": frames.OVERWRITE, "acknowledges": False},
    {"flicker": True},  # half-programmed units read otherwise each time
)


def mode(seed):
    return MODES[seed % len(MODES)]


@functools.lru_cache(1)
def life(name, seed):
    """Return the recorded Run, having made sure that it holds what it must."""
    g = GEOMETRIES[name]
    sim = FlashSim(g.sectors, g.sector, g.page, g.unit, seed=seed)
    more = {each: mode(seed)[each] for each in ("policy", "acknowledges") if each in mode(seed)}
    run = Run(sim, seed, 120, config=g.config, turns=TURNS, **more)
    store = run.store
    # a boot comes with the first cut
    missing = (KINDS | {frames.SNAPSHOT}) - run.witness.kinds - {frames.BOOT}
    assert not missing, "a life without frames of types %s" % sorted(missing)
    assert min(run.sim.erases[store.region.ring() :]) >= TURNS, (
        "the log did not come %d times round its ring" % TURNS
    )
    assert store.newest_snapshot()[1].generation > TURNS, "too few snapshots"
    return run


def places(name, seed):
    """Return the places (index, step) of a life's cuts, ascending."""
    found = life(name, seed).steps()
    sample = GEOMETRIES[name].sample
    return (
        sorted(random.Random(seed).sample(found, sample))
        if sample and sample < len(found)
        else found
    )


class Failure(NamedTuple):
    """kind: "lost_acked", "half_applied" or "other"; where: how to make it again; what: the
    error."""

    kind: str
    where: str
    what: str


def failure(error, where):
    """Return the Failure that an error means."""
    kind = (
        "lost_acked"
        if isinstance(error, LostAcked)
        else "half_applied"
        if isinstance(error, HalfApplied)
        else "other"
    )
    return Failure(
        kind, where, "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:300])
    )


def hung(*_):
    raise TimeoutError("one case takes more than %d s" % HANG_S)


@contextlib.contextmanager
def collected(failures, where):
    """Put what the block raises into the list of failures, a hang too; where: its name."""
    signal.signal(signal.SIGALRM, hung)
    signal.alarm(HANG_S)
    try:
        yield
    except (Exception, SimulatorError, PowerCut) as e:
        failures.append(failure(e, where))
    finally:
        signal.alarm(0)


def go_on(seed, sim, witness, place):
    """What follows a cut at `place` of a life of that seed."""
    for each in ("ecc", "in_order", "flicker"):
        setattr(sim, each, mode(seed).get(each, False))
    live_on(sim, witness, place[0] * 7 + place[1], actions=3, cuts=sum(place) % 3)


def part(name, seed, k=0, parts=1, thin=1):
    """Make the k-th of `parts` parts of a life's cuts, one in `thin` of them. Return the figures,
    and the list of Failures."""
    failures = []
    with collected(failures, "life %s:%d" % (name, seed)):
        run = life(name, seed)
    if failures:
        return {"tried": 1, "survived": 0}, failures
    chosen = places(name, seed)[::thin][k::parts]
    tried = survived = 0
    for sim, witness, place in run.cuts(chosen):
        before = len(failures)
        with collected(failures, "CUT=%s:%d:%d:%d" % (name, seed, *place)):
            go_on(seed, sim, witness, place)
        tried += sim.cuts
        survived += sim.cuts - (len(failures) - before)
    store = run.store
    return {
        "tried": tried,
        "survived": survived,
        "places": len(chosen),
        "steps": len(run.steps()),
        "turns": min(run.sim.erases[store.region.ring() :]),
        "snapshots": store.newest_snapshot()[1].generation,
    }, failures


def one(cut):
    """Make the one cut of that name again and return how many there were; what fails is raised.
    ValueError if no cut has that name."""
    try:
        name, seed, i, step = cut.split(":")
        place = int(i), int(step)
        run = life(name, int(seed))
        if place not in run.steps():
            raise ValueError
    except (KeyError, ValueError):
        raise ValueError(
            "%r names no cut: expected GEOMETRY:SEED:INDEX:STEP with a geometry of %s, and a step "
            "of its life" % (cut, ", ".join(GEOMETRIES))
        ) from None
    ((sim, witness, _),) = run.cuts([place])
    go_on(int(seed), sim, witness, place)
    return sim.cuts
