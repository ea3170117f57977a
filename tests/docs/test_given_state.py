"""docs/format.md's "Marks", against the project: at every cut of a restore and of an erasing the
page's reader says what the store does."""

import struct

from shared_kernel import continuation
from shared_kernel import frames as f
from shared_kernel import kernel as k
from tests.faults.harness import Clock, mount
from tests.host.sample import give
from tests.host.test_restore_cuts import SMALL, cuts, old_log, restored
from tools.flash_reader import Image
from tools.verifier import Broken, State, verify


def image(sim):
    return Image(sim.bytes, sim.sector, sim.unit).read()


def test_a_restored_region_is_read_and_proved_by_the_page_alone():
    origin, arena, _, _, store = restored()
    sim = store.region.flash.clone(3)
    store = mount(sim, Clock(1))
    give(store, k.PUT, f.put("on", b"b"))
    here = image(sim)
    assert (here.seq, here.head, here.root) == (store.seq, store.head, store.kernel.root())
    frames, base = [frame for _, frame in here.frames()], b"".join(here.snapshot(0))
    assert base[124:] == arena and struct.unpack_from("<I", base, 8)[0] == origin[1] + 1
    found = verify(b"".join(frames), base=State(SMALL, arena))
    assert found == (store.seq, store.head, store.kernel.root())
    assert verify(b"".join(frames[1:]), base) == found
    altered = bytearray(arena)
    altered[200] ^= 1
    for wrong in (State(SMALL, bytes(altered)), None):
        try:
            verify(b"".join(frames), base=wrong)
            raise AssertionError("a base of another root was taken")
        except Broken:
            pass


def test_at_every_cut_of_a_restore_the_page_says_blank_where_the_store_does():
    _, _, start, trace, _ = restored()
    agreed = {True: 0, False: 0}
    for sim, place in cuts(start, trace):
        store = mount(sim, Clock(2))
        here = image(sim)
        assert (here.damage, here.blank, here.seq) == (
            store.damage,
            store.name is None,
            store.seq,
        ), place
        agreed[here.blank] += 1
    assert agreed[True] > 100 and agreed[False] >= 1


def test_at_every_cut_of_an_erasing_the_mark_is_where_the_page_says():
    store = old_log()
    name, head, seq = store.name, store.head, store.seq
    sim = store.region.flash
    start = sim.clone(9)
    slot = store.region.slot_sectors
    sim.trace = trace = []
    continuation.erase(store, name, head)
    sim.trace = None
    marked = 0
    for cut, place in cuts(start, trace):
        store = mount(cut, Clock(2))
        here = image(cut)
        assert (here.damage, here.blank, here.seq) == (
            store.damage,
            store.name is None,
            store.seq,
        ), place
        mark = here.record(slot) and here.header(slot * here.sector + here.record_size)
        if mark:
            marked += 1
            assert (mark.number, mark.name, mark.head, mark.first) == (
                0xFFFFFFFE,
                name,
                head,
                seq + 1,
            )
        assert here.blank == bool(mark)
    assert marked > 20
