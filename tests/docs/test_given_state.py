"""docs/format.md's "A state that is given", against the project: the page's readers agree with the store at every cut of a restore."""

import struct

from shared_kernel import continuation
from shared_kernel import frames as f
from shared_kernel import kernel as k
from tests.docs.flash_reader import Image
from tests.faults.harness import Clock, mount
from tests.host.sample import give
from tests.host.test_restore_cuts import SMALL, cuts, old_log, restored
from tools.verifier import Broken, State, verify


def image(sim):
    return Image(sim.bytes, sim.sector, sim.page, sim.unit)


def test_a_restored_region_is_read_and_proved_by_the_page_alone():
    origin, arena, _, _, store = restored()
    sim = store.region.flash.clone(3)
    store = mount(sim, Clock(1))
    give(store, k.PUT, f.put("on", b"b"))
    here = image(sim)
    frames, base = here.frames(), here.snapshots()[0]
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
        blank = mount(sim, Clock(2)).name is None
        try:
            here = image(sim)
            said = not here.order[0][1]["head"].strip(b"\0") and (here.is_unfinished() or not here.frames())
        except (Broken, StopIteration):  # no sector is open
            said = True
        assert said == blank, place
        agreed[blank] += 1
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
        blank = mount(cut, Clock(2)).name is None
        here = Image.__new__(Image)
        here.data, here.sector, here.page, here.unit = bytes(cut.bytes), cut.sector, cut.page, cut.unit
        here.open_at = here.pad(16)
        record = here.open_record(slot)
        if record:
            marked += 1
            assert (record["name"], record["head"], record["first"]) == (name, head, seq + 1)
        ring = bytes(cut.bytes[2 * slot * cut.sector :])
        assert blank == (record is not None or not ring.strip(b"\xff")), place
    assert marked > 20
