"""Power cuts: after every program unit and within every erase. All that was acknowledged is there,
of the call in hand its first commands or none, each whole; and the store goes on, through further
cuts."""

import random
from itertools import product

import pytest

from tests.faults.harness import (
    Application,
    Chance,
    Clock,
    Run,
    Witness,
    attempt,
    do,
    genesis,
    live_on,
    mount,
)
from tests.flashsim import FlashSim, PowerCut
from tests.quick import long, some

# unit, sector, sectors, page
SMALL = [(1, 512, 9, 256), (4, 1024, 7, 256), (8, 512, 12, 512), (32, 1024, 8, 256)]
LARGE = [
    (1, 512, 24, 256),
    (4, 1024, 12, 256),
    (16, 4096, 7, 256),
    (32, 1024, 12, 1024),
    (2, 512, 16, 64),
    (8, 16384, 5, 256),
]


def flash(geometry, seed):
    unit, sector, sectors, page = geometry
    return FlashSim(sectors, sector, page, unit, seed=seed)


def survive(run, places, **more):
    """Cut at each place, live on, and return how many cuts there were."""
    cuts = 0
    for sim, witness, place in run.cuts(places):
        for name, value in more.items():
            setattr(sim, name, value)
        try:
            cuts += 1 + live_on(sim, witness, place[0] * 7 + place[1], actions=3, cuts=place[1] % 3)
        except (AssertionError, Exception) as e:
            raise AssertionError("after a cut at %s: %s: %s" % (place, type(e).__name__, e)) from e
    return cuts


@pytest.mark.parametrize("geometry", SMALL)
def test_a_cut_anywhere_in_a_short_life(geometry, record_property):
    """Configure, commands, groups, checkpoints, a snapshot, a sector's end: every cut where a unit
    has 8 bytes or more."""
    run = Run(flash(geometry, 1), 1, 44 if geometry[1] == 512 else 60)
    places = some(run.steps()[:: {1: 13, 4: 3}.get(geometry[0], 1)], 60)
    cuts = survive(run, places)
    record_property("cuts", cuts)
    assert cuts >= len(places) >= long(300, 60) and len(run.store.order) > 1


@pytest.mark.parametrize("geometry, seed", some(product(SMALL + LARGE, range(3)), 10))
def test_cuts_over_turns_of_the_ring(geometry, seed, record_property):
    run = Run(
        flash(geometry, seed),
        seed,
        320 if geometry[1] < 4096 else 150,
        policy=seed == 2,
        acknowledges=seed != 2,
    )
    assert run.store.top > run.store.region.turn + run.store.region.turn or geometry[1] >= 4096, (
        "the workload does not come round the ring"
    )
    places = run.steps()
    chosen = sorted(random.Random(seed).sample(places, min(len(places), long(100, 30))))
    record_property("cuts", survive(run, chosen, ecc=seed == 1, in_order=seed == 2))


@pytest.mark.parametrize("geometry", SMALL)
def test_every_step_of_an_erase(geometry, record_property):
    run = Run(flash(geometry, 5), 5, 160)
    erases = [(i, step) for i, step in run.steps() if run.trace[i][1] is None]
    assert len(erases) > 30
    record_property("cuts", survive(run, some(erases, long(100, 40))))


@pytest.mark.parametrize("geometry", SMALL)
def test_configure_cut_short_works_again(geometry, record_property):
    """At every step of it, then at every step of the next attempt, and once more: blank or
    configured, never stuck."""
    run = Run(flash(geometry, 9), 9, 1)
    cuts = 0
    for sim, _, place in run.cuts(some(run.steps()[:: 1 if geometry[0] > 4 else 7], 12)):
        store = mount(sim, Clock(1))
        assert store.damage is None
        for again in range(0, 60, 1 if geometry[0] > 4 else 4):
            flash_again = sim.clone(again + place[1])
            second = mount(flash_again, Clock(1))
            if second.kernel:
                break
            flash_again.cut_after(again)
            cuts += 1
            try:
                Witness().act(second, genesis())
                break
            except PowerCut:
                flash_again.power_on()
            third = mount(flash_again, Clock(2))
            last = Witness()
            if third.kernel is None:
                attempt(last, third, genesis())
            last.booted(third)
            attempt(last, third, Application(Chance(again)).action(last.model))
    record_property("cuts", cuts)
    assert cuts > long(20, 2)


def test_another_configuration_after_a_configure_that_was_cut(record_property):
    """Its ring begins elsewhere: what the first attempt left must not stand in the way, nor come
    back later."""
    wide = (2, 60, 20, 20, 10, 3, 5)
    run = Run(flash((4, 1024, 20, 256), 3), 3, 1, config=wide)
    for sim, _, _ in run.cuts(some(run.steps(), 100)):
        store = mount(sim, Clock(1))
        if store.kernel is None:
            witness = Witness()
            attempt(witness, store, genesis())
            live_on(sim, witness, 4, actions=60, cuts=1)


def settling(run, places, first, then):
    """Half-programmed units read one way at the next boot and another way ever after. Return
    (boots, lost, reported)."""
    boots = lost = reported = 0
    for sim, witness, place in run.cuts(places):
        if not sim.torn or not run.trace[place[0]][1]:
            continue
        sim.flicker = first
        clock = Clock(place[0])
        store = mount(sim, clock)
        witness.booted(store)
        application = Application(Chance(place[0]))
        if not witness.model:
            attempt(witness, store, genesis())
        for _ in range(4):
            attempt(witness, store, application.action(witness.model))
        if not witness.model.seq:
            continue
        sim.flicker = then
        store = mount(sim, clock)
        boots += 1
        if store.damage or store.seq < witness.replay.seq:
            lost += 1
            reported += bool(store.damage or store.cuts)
            continue
        witness.booted(store)
        live_on(sim, witness, place[0], actions=2, cuts=0)
    assert boots > long(50, 20)
    return boots, lost, reported


@pytest.mark.parametrize("geometry", [(1, 512, 24, 256), (4, 1024, 12, 256), (16, 4096, 7, 256)])
def test_units_that_read_well_only_later(geometry):
    """Recovery found a frame torn and went on after it; when it reads whole at a later boot, it
    stays void."""
    run = Run(flash(geometry, 4), 4, 80)
    boots, lost, _ = settling(
        run, some(run.steps()[:: 1 if geometry[0] > 1 else 20], 150), "before", "after"
    )
    assert not lost


@pytest.mark.parametrize("geometry", [(1, 512, 24, 256), (4, 1024, 12, 256), (16, 4096, 7, 256)])
def test_units_that_read_well_only_at_first(geometry):
    """A frame that nobody acknowledged reads whole at one boot and torn at the next. What was
    recorded on top of it stands: the first boot has written it again."""
    run = Run(flash(geometry, 4), 4, 80)
    _, lost, _ = settling(
        run, some(run.steps()[:: 1 if geometry[0] > 1 else 20], 150), "after", "before"
    )
    assert not lost


def test_recovery_writes_nothing():
    run = Run(flash((4, 1024, 12, 256), 6), 6, 60)
    for sim, _, _ in run.cuts(run.steps()[::40]):
        before = bytes(sim.bytes), sum(sim.programs), sum(sim.erases)
        mount(sim, Clock(1))
        assert (bytes(sim.bytes), sum(sim.programs), sum(sim.erases)) == before


def test_the_harness_sees_a_lost_command():
    """The witness itself can fail: undo the last acknowledged program, and it must say so."""
    run = Run(flash((4, 1024, 12, 256), 7), 7, 30)
    sim = run.start.clone(0)
    last = max(
        i for i, (_, data) in enumerate(run.trace) if data is not None and run.marks[-1][0] > i
    )
    for op in run.trace[:last]:
        do(sim, op)
    witness = run.marks[-1][1].clone()
    with pytest.raises(AssertionError):
        witness.booted(mount(sim, Clock(1)))
