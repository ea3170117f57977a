"""The soak of tests/faults/soak.py: some worlds whole, and proof that a broken store does not
survive it."""

import pytest

from shared_kernel import store
from tests.faults import soak


@pytest.mark.parametrize("seed", [2, 7, 15, 18])
def test_a_world_of_ten_turns_is_survived(seed):
    what, done, failed = soak.one(seed)
    assert failed is None, "%s\n%s" % (what, failed)
    assert done["turns"] >= soak.TURNS and done["cuts"] >= soak.CUTS
    assert done["actions"] >= soak.LEAST and done["boots"] > soak.CUTS


def test_a_store_that_stays_calm_after_an_interrupt_is_found(monkeypatch):
    def call(self, act, *args):
        self._inside = True
        try:
            return act(*args)
        finally:
            self._inside = False

    # neither rebuilds the state nor refuses a call from within
    monkeypatch.setattr(store.Store, "call", call)
    assert any(soak.one(seed)[2] for seed in (2, 7))


def test_interrupts_come_inside_the_kernel_only():
    world = soak.World(5)
    world.boot()
    for _ in range(40):
        world.interrupted()
    assert world.done["interrupts"] > 5
    world.finish()


def test_units_and_kinds_are_all_drawn():
    worlds = [soak.World(seed) for seed in range(60)]
    assert {each.sim.unit for each in worlds} == {1, 2, 4, 8, 16, 32}
    assert {each.kind for each in worlds} == {"plain", "flicker", "ecc", "in_order", "rewrites"}
    assert {each.policy for each in worlds} == {0, 1}
