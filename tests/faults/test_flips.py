"""Flipped bits: over whole flash images, each flip is harmless (the same state) or reported
(damage, or a cut); none leads to a state that never was, and none to a state that is older without
a word."""

import pytest

from shared_kernel.errors import FormatError
from shared_kernel.genesis import begin
from shared_kernel.region import Region
from tests.faults.harness import (
    CONFIG,
    ENTROPY,
    Application,
    Chance,
    Clock,
    Run,
    Witness,
    attempt,
    genesis,
    mount,
)
from tests.flashsim import FlashSim
from tests.quick import long, some


def flip_all(sim, history, addresses, chance):
    """Flip one bit at each address and boot. Returns how many flips were (harmless, damage, cut,
    refused)."""
    clean = mount(sim.clone(0), Clock(1))
    counts = [0, 0, 0, 0]
    for address in addresses:
        flipped = sim.clone(address)
        bit = chance.below(8)
        flipped.flip(address, bit)
        where = "bit %d of 0x%x" % (bit, address)
        try:
            store = mount(flipped, Clock(1))
        except FormatError:
            counts[3] += 1
            continue
        if store.kernel is None:
            assert store.damage, "%s: a log became a blank region" % where
            counts[1] += 1
            continue
        assert (store.head, bytes(store.kernel.arena.bytes)) == history[store.seq], (
            "%s: a state that never was" % where
        )
        if store.damage:
            counts[1] += 1
        elif store.cuts != clean.cuts:
            counts[2] += 1
        else:
            assert store.seq == clean.seq, (
                "%s: seq %d is called the last, not %d, without a word"
                % (where, store.seq, clean.seq)
            )
            counts[0] += 1
    return counts


def image(geometry, seed, actions):
    unit, sector, sectors, page = geometry
    history = {}
    run = Run(FlashSim(sectors, sector, page, unit, seed=seed), seed, actions, history=history)
    return run, history


@pytest.mark.parametrize("geometry", [(1, 512, 9, 256), (4, 1024, 7, 256)])
def test_every_byte_of_a_log_that_came_round(geometry):
    run, history = image(geometry, 3, 150 if geometry[1] == 512 else 253)
    assert run.store.top > 2 * run.store.region.turn and all(run.store.slots)
    harmless, damage, cut, refused = flip_all(
        run.sim,
        history,
        some(range(0, len(run.sim.bytes), 1 + (geometry[1] > 512)), 1200),
        Chance(3),
    )
    assert harmless > long(1000, 300) and damage > long(20, 4) and cut > long(20, 4)
    assert not refused


def test_every_byte_of_a_young_log():
    """No snapshot yet: all rests on the frames. Every flip in them is noticed; one in a record or a
    copy of a header is harmless."""
    run, history = image((4, 1024, 12, 256), 9, 30)
    sim, region = run.sim, run.store.region
    assert len(run.store.order) > 1 and not any(run.store.slots)
    start = region.ring() * region.sector
    harmless, damage, cut, refused = flip_all(
        sim, history, some(range(start, start + 2 * region.sector), 600), Chance(5)
    )
    assert damage > long(800, 180) and cut > long(50, 8)


def test_a_single_frame():
    """Only the genesis: with a flip in it, or in what says that it is one, it is damage or there;
    never a blank region."""
    run, history = image((4, 1024, 12, 256), 6, 1)
    region = run.store.region
    start, last = region.ring() * 1024, (region.sectors - 2) * 1024
    harmless = 0
    for address in (
        list(range(start, start + 400))
        + list(range(last, last + 400))
        + list(range(last + 1024, last + 1424))
    ):
        for bit in range(0, 8, 3):
            flipped = run.sim.clone(1)
            flipped.flip(address, (address + bit) % 8)
            store = mount(flipped, Clock(1))
            if store.damage is None:
                assert (store.head, bytes(store.kernel.arena.bytes)) == history[0]
                harmless += 1
    assert harmless > 600


def test_a_genesis_that_was_cut_short():
    """It is as good as blank, whatever flips in it, or a log, or named; and where it is blank,
    `configure` begins one."""
    sim = FlashSim(12, 1024, 256, 4, seed=6)
    region = Region(sim)
    begin(region, -1, CONFIG, ENTROPY, "test/1", 0)
    start, last = region.ring() * 1024, (region.sectors - 2) * 1024
    blank = 0
    for address in list(range(start, start + 400)) + list(range(last, last + 200)):
        flipped = sim.clone(1)
        flipped.flip(address, address % 8)
        store = mount(flipped, Clock(1))
        if store.damage is None and store.kernel is None:
            witness = Witness()
            attempt(witness, store, genesis())
            blank += 1
        elif store.kernel:
            assert store.seq == 0
    assert blank > 300


def test_after_a_harmless_flip_the_log_goes_on():
    run, history = image((4, 1024, 12, 256), 8, 200)
    chance = Chance(8)
    went = 0
    for _ in range(150):
        flipped = run.sim.clone(chance.bits())
        flipped.flip(chance.below(len(flipped.bytes)), chance.below(8))
        store = mount(flipped.clone(1), Clock(1))
        if not store.damage and store.kernel and store.seq == run.store.seq:
            witness = run.witness.clone()
            witness.booted(store)
            attempt(witness, store, Application(chance).action(witness.model))
            went += 1
    assert went > 50


def test_two_flips_may_not_make_a_third_state():
    run, history = image((8, 512, 12, 256), 9, 120)
    chance = Chance(9)
    for _ in range(300):
        flipped = run.sim.clone(chance.bits())
        for _ in range(2 + chance.below(6)):
            flipped.flip(chance.below(len(flipped.bytes)), chance.below(8))
        try:
            store = mount(flipped, Clock(1))
        except FormatError:
            continue
        assert (
            store.kernel is None
            or (store.head, bytes(store.kernel.arena.bytes)) == history[store.seq]
        )


def test_a_flip_in_free_space_is_a_cut():
    """A flip after the log's end looks like a torn tail: it is jumped over and told in the boot
    frame."""
    run, _ = image((4, 1024, 12, 256), 10, 40)
    sim = run.sim.clone(1)
    sim.flip(run.store.address + 8, 3)
    store = mount(sim, Clock(1))
    assert store.cuts[-1][0] == store.seq + 1 and store.found.skipped
    witness = run.witness.clone()
    witness.booted(store)
    attempt(witness, store, Application(Chance(1)).action(witness.model))
    assert mount(sim, Clock(1)).cuts == store.cuts
