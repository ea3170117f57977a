"""A log can be begun anew while it holds nothing but its genesis; after that it is never overwritten."""

import pytest

from shared_kernel import frames, kernel
from shared_kernel.errors import Invalid
from shared_kernel.store import Store
from tests.flashsim import FlashSim, PowerCut

SMALL, OTHER = (2, 4, 4, 4, 4, 4, 4), (40, 60, 4, 4, 4, 4, 4)  # their snapshot slots differ in size


def store(flash):
    return Store(flash, lambda: 0)


def region():
    return FlashSim(64, 1024, 256, 4)


def test_a_genesis_alone_gives_way_to_another_configuration():
    flash = region()
    board = store(flash)
    board.configure(SMALL, bytes(16), "board")
    first, slots = board.name, board.region.slot_sectors
    board.configure(OTHER, bytes(15) + b"1", "board")
    assert board.kernel.config() == OTHER and board.name != first and board.region.slot_sectors > slots
    assert board.execute([(kernel.PUT, frames.put("a", b"1"), None)]) == [1]
    again = store(flash)
    assert (again.name, again.head, again.kernel.root()) == (board.name, board.head, board.kernel.root())


def test_a_log_with_a_frame_in_it_stays():
    flash = region()
    board = store(flash)
    board.configure(SMALL, bytes(16), "board")
    board.execute([(kernel.PUT, frames.put("a", b"1"), None)])
    before, head = bytes(flash.bytes), board.head
    with pytest.raises(Invalid, match="holds log"):
        board.configure(OTHER, bytes(16), "board")
    assert bytes(flash.bytes) == before and board.head == head == store(flash).head


def test_a_configuration_that_does_not_fit_leaves_the_genesis_there():
    flash = region()
    board = store(flash)
    board.configure(SMALL, bytes(16), "board")
    name, before = board.name, bytes(flash.bytes)
    for bad in ((2, 4000, 4, 4, 4, 4, 4), (0, 4, 4, 4, 4, 4, 4)):
        with pytest.raises(Invalid):
            board.configure(bad, bytes(16), "board")
    assert bytes(flash.bytes) == before and board.name == name == store(flash).name


def test_a_power_cut_at_any_step_leaves_one_log_or_none():
    names, steps = set(), 0
    while True:
        flash = region()
        board = store(flash)
        board.configure(SMALL, bytes(16), "board")
        old = board.name
        flash.cut_after(steps)
        try:
            board.configure(OTHER, bytes(16), "board")
            break
        except PowerCut:
            steps += 1
        flash.power_on()
        after = store(flash)
        names.add("none" if after.name is None else "old" if after.name == old else "new")
        if after.name is None:
            after.configure(OTHER, bytes(16), "board")
        assert after.execute([(kernel.PUT, frames.put("a", b"1"), None)])[0] in (1, 2)  # a boot frame goes before it
        assert store(flash).head == after.head
    assert steps > 10 and "none" in names
