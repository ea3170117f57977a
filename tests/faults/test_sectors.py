"""Bad sectors: programs or erases that fail, lie or leave a bit. Nothing acknowledged is lost, and
the log goes round them."""

import pytest

from shared_kernel.errors import FlashError, LogFull, Refused
from tests.faults.harness import Application, Chance, Clock, Witness, genesis, mount
from tests.flashsim import FlashSim

MODES = [
    ("raise", None),
    ("nothing", None),
    ("wrong", None),
    (None, "raise"),
    (None, "nothing"),
    (None, "wrong"),
    ("raise", "raise"),
    ("nothing", "nothing"),
]


def work(bad, mode, when, actions, geometry=(8, 512, 25, 256)):
    """Let a sector go bad after some actions; return (store, how many commands found the log full,
    how often a call failed)."""
    unit, sector, sectors, page = geometry
    seed = bad * 100 + when
    sim = FlashSim(sectors, sector, page, unit, seed=seed)
    witness, clock = Witness(), Clock(seed)
    store = mount(sim, clock)
    witness.act(store, genesis())
    application = Application(Chance(seed))
    full = failed = 0
    for i in range(actions):
        if i == when:
            sim.stuck[bad] = mode
        action = application.action(witness.model)
        for _ in range(3):
            try:
                result = witness.act(store, action)
                full += action[0] == "execute" and sum(
                    [isinstance(each, LogFull) for each in result]
                )
                break
            except (FlashError, OSError):
                failed += 1
                witness.booted(store)
        else:
            assert action[0] == "snapshot", "the store is stuck in %r" % (action,)
        if i % 40 == 39:
            store = mount(sim, clock)
            witness.booted(store)
    return store, full, failed


@pytest.mark.parametrize("mode", MODES)
def test_a_bad_sector_of_the_ring_is_passed_by(mode):
    for bad in (6, 7, 10, 17, 23, 24):
        store, full, failed = work(bad, mode, 3 + 11 * bad % 40, 280)
        assert store.region.ring() == 6 and store.top > 2 * store.region.turn, (
            "the workload does not come round the ring"
        )
        assert not full


@pytest.mark.parametrize("mode", MODES)
def test_a_bad_sector_of_a_snapshot_slot_loses_nothing(mode):
    """Known limit: with a slot dead for good the ring can no longer be recycled, and the log fills
    up."""
    for bad in range(0, 6):
        work(bad, mode, 20, 90)


def test_the_other_snapshot_stays_when_one_cannot_be_written():
    store, _, _ = work(1, ("nothing", None), 60, 150)
    assert store.newest_snapshot()[0] == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_bad_sector_is_no_room_for_a_full_log(mode):
    """It does not count as free: a full log is refused as full (once found bad), and goes on when
    acknowledged."""
    sim = FlashSim(14, 512, 256, 8, seed=3)
    witness = Witness()
    store = mount(sim, Clock(3))
    witness.act(store, genesis())
    application = Application(Chance(3), acknowledges=False)
    sim.stuck[9] = mode
    for turn in range(4):
        full = failed = 0
        for _ in range(400):
            try:
                result = witness.act(store, application.action(witness.model))
            except FlashError:
                failed += 1
                witness.booted(store)
                continue
            full += (
                isinstance(result, LogFull)
                or isinstance(result, list)
                and any([isinstance(each, LogFull) for each in result])
            )
            if full > 5:
                break
        assert full and failed <= 3, (full, failed)
        witness.act(store, ("acknowledge", 0))
        if turn == 1:
            store = mount(sim, Clock(4))
            witness.booted(store)
            witness.act(store, ("acknowledge", 0))
    assert store.top > 2 * store.region.turn


def test_a_transient_failure_is_over_when_it_is_over():
    sim = FlashSim(12, 1024, 256, 4, seed=1)
    witness, clock = Witness(), Clock(1)
    store = mount(sim, clock)
    witness.act(store, genesis())
    application = Application(Chance(1))
    failed = 0
    for i in range(60):
        action = application.action(witness.model)
        if i % 10 == 5:
            sim.stuck = {each: ("raise", "raise") for each in range(12)}
            seq = store.seq
            try:
                assert isinstance(
                    store.execute([application.command(witness.model)[:3]])[0], Refused
                )
            except (FlashError, OSError):
                failed += 1
            sim.stuck = {}
            assert store.call(lambda: store.seq) == seq
            witness.booted(store)
            witness.act(store, ("execute", [application.command(witness.model)]))
            assert witness.acted, "the log takes nothing although the flash works again"
        try:
            witness.act(store, action)
        except FlashError:
            assert action[0] == "snapshot"
            witness.booted(store)
    assert not store.damage and failed > 2
