"""The cases that a recovery has to tell apart, one by one, each set up by hand: what is there afterwards, and what is said."""

import pytest

from shared_kernel import frames
from shared_kernel.errors import Damage, FlashError, LogFull
from shared_kernel.kernel import PUT
from shared_kernel.recovery import Recovery, epochs
from shared_kernel.region import Region
from shared_kernel.settle import settle
from shared_kernel.store import Store
from tests.faults.harness import CONFIG, Clock, Witness, mount
from tests.flashsim import FlashSim, PowerCut

SECTOR, SECTORS, PAGE, UNIT = 1024, 14, 256, 4


def put(n):
    return (PUT, frames.put("k", b"%d" % (n % 1000)), None)


@pytest.fixture
def sim():
    return FlashSim(SECTORS, SECTOR, PAGE, UNIT, seed=3)


@pytest.fixture
def store(sim):
    store = mount(sim, Clock(1))
    store.configure(CONFIG, b"sixteen of chaos", "test/1")
    return store


def cut_in(sim, store, units, commands):
    """Carry out commands, the power failing after so many units."""
    sim.cut_after(units)
    with pytest.raises(PowerCut):
        store.execute(commands)
    sim.power_on()
    return mount(sim, Clock(2))


def value(store):
    return int(store.ask(lambda kernel: kernel.key(b"k"))[1])


def fill_sector(store):
    """Write until the next command would open a sector."""
    n = 0
    while store.room() >= 80:
        store.execute([put(n)])
        n += 1
    return n - 1


def test_a_torn_frame_then_a_boot_then_an_append(sim, store):
    store.execute([put(1)])
    seq = store.seq
    again = cut_in(sim, store, 3, [put(2)])
    assert value(again) == 1 and again.seq == seq and len(again.cuts) == 1
    assert again.skipped > 0 and again.address % PAGE == 0, "half-programmed units are passed by, to the next page"
    again.execute([put(3)])
    third = mount(sim, Clock(3))
    assert value(third) == 3 and third.boot == 1 and third.cuts == again.cuts and third.damage is None


def test_a_torn_erase_of_the_next_sector_with_old_frames_behind_the_tail(sim, store):
    """Old whole frames of this log, of lower seq, stand where the ring goes on: they are no continuation and no damage."""
    while store.epoch < SECTORS + 3:
        store.execute([put(store.seq)])
        store.acknowledge(store.seq + 1)
    fill_sector(store)
    last = value(store)
    sector, held = store.order[-1], len(store.order)
    sim.cut_after(2)  # within the erase that the next command begins with
    with pytest.raises(PowerCut):
        for n in range(4):
            store.execute([put(500 + n)])
    sim.power_on()
    again = mount(sim, Clock(2))
    assert again.damage is None and again.order[-1] == sector and held - 2 <= len(again.order) <= held + 1
    assert value(again) in (last, 500, 501, 502)
    again.execute([put(7)])
    assert value(mount(sim, Clock(3))) == 7


def test_the_second_frame_of_a_group_is_whole_and_the_first_is_not(sim, store):
    store.execute([put(1)])
    address = store.address
    store.execute([put(2), put(3), put(4)])
    sim.bytes[address + 16] ^= 0x5A  # the first of them did not come to be; the others did
    again = mount(sim, Clock(2))
    assert value(again) == 1 and again.damage is None and again.cuts, "a group is there from its beginning or not at all"
    again.execute([put(5)])
    assert value(mount(sim, Clock(3))) == 5


def test_more_than_a_group_behind_a_bad_frame_is_damage(sim, store):
    store.execute([put(1)])
    address, seq = store.address, store.seq
    for n in range(40):
        store.execute([put(n)])
    sim.bytes[address + 16] ^= 0x5A
    again = mount(sim, Clock(2))
    assert again.damage and again.seq == seq and value(again) == 1
    with pytest.raises(Damage):
        again.execute([put(5)])
    assert again.read_frames(0, b""), "the host may still pull"


def test_a_program_that_fails_is_done_again_in_the_next_sector(sim, store):
    store.execute([put(1)])
    bad = store.order[-1]
    sim.stuck[bad] = ("raise", None)
    store.execute([put(2)])
    assert store.order[-1] != bad and store.bad == [bad]
    kinds = [frame[1] for frame in frames_of(store)]
    assert kinds[-1] == frames.QUARANTINE, "the log says which sector is bad"
    again = mount(sim, Clock(2))
    assert value(again) == 2 and again.damage is None and again.bad == [bad]
    for n in range(120):
        again.execute([put(n)])
        again.acknowledge(again.seq + 1)
        assert again.order[-1] != bad, "a quarantined sector is not taken into use"


def frames_of(store):
    """Return the frames from the oldest sector on."""
    out, seq, head = [], store.first().first, store.first().head
    from shared_kernel import primitives

    while True:
        data = bytes(store.read_frames(seq, head))
        if not data:
            return out
        at = 0
        while at < len(data):
            n = frames.length_at(data, at)
            out.append(data[at : at + n])
            head = primitives.hash(head + data[at : at + n])
            seq, at = seq + 1, at + n


def test_a_flipped_bit_in_the_newest_sectors_header(sim, store):
    """What is in that sector was acknowledged: without its header it is damage, not a free sector."""
    fill_sector(store)
    while len(store.order) < 2:
        store.execute([put(store.seq)])
    store.execute([put(77)])
    newest = store.order[-1]
    sim.flip(newest * SECTOR + store.region.open_at + 8, 2)
    again = mount(sim, Clock(2))
    assert again.damage and "lacks its header" in again.damage
    with pytest.raises(Damage):
        again.execute([put(1)])


def test_a_half_done_erase_of_an_old_log_is_not_begun_on(sim, store):
    """A few sectors erased by somebody, the rest still an old log's: refused, whatever is left."""
    while len(store.order) < 5:
        store.execute([put(store.seq)])
    for sector in range(store.region.ring() + 2):
        sim.bytes[sector * SECTOR : (sector + 1) * SECTOR] = b"\xff" * SECTOR
    again = mount(sim, Clock(2))
    assert again.damage
    before = bytes(sim.bytes)
    with pytest.raises(Damage):
        again.configure(CONFIG, b"sixteen of chaos", "test/1")
    assert bytes(sim.bytes) == before


def test_a_cut_in_a_recovery_changes_nothing(sim, store):
    for n in range(30):
        store.execute([put(n)])
    again = cut_in(sim, store, 5, [put(99)])
    before = bytes(sim.bytes)
    for reads in range(0, 60, 7):
        sim.cut_after_reads(reads)
        with pytest.raises(PowerCut):
            mount(sim, Clock(3))
        sim.power_on()
        assert bytes(sim.bytes) == before
    assert mount(sim, Clock(3)).head == again.head


@pytest.mark.parametrize("slot", [0, 1])
def test_of_two_snapshots_one_may_be_damaged(sim, store, slot):
    for n in range(30):
        store.execute([put(n)])
        if n in (10, 20):
            store.take_snapshot()
    assert all(store.slots)
    seqs = [each.seq for each in store.slots]
    sim.flip(slot * store.region.slot_sectors * SECTOR + store.region.open_at + 100, 4)
    again = mount(sim, Clock(2))
    assert again.damage is None and value(again) == 29 and again.head == store.head
    newer = seqs.index(max(seqs))
    assert (again.slots[slot] is None) == (slot == newer), "the one that recovery begins with is hashed"


def test_a_cut_in_a_snapshot_leaves_the_other_one(sim, store):
    for n in range(20):
        store.execute([put(n)])
        if n == 10:
            store.take_snapshot()
    (kept,) = [each for each in store.slots if each]
    sim.cut_after(200)
    with pytest.raises(PowerCut):
        store.take_snapshot()
    sim.power_on()
    again = mount(sim, Clock(2))
    assert [each.seq for each in again.slots if each] == [kept.seq] and value(again) == 19


def test_a_frame_that_reads_well_only_once_carries_nothing(sim, store):
    """The boot after a cut sees a frame that nobody was told of; the next one does not. What was written between stands."""
    store.execute([put(1)])
    address = store.address
    store.execute([put(2)])
    again = mount(sim, Clock(2))
    again.execute([put(3)])
    sim.bytes[address + 16] ^= 0x5A
    third = mount(sim, Clock(3))
    assert third.damage is None and value(third) == 3 and third.head == again.head
    witness = Witness()
    witness.pull(third)
    assert witness.replay.head == third.head


def test_a_genesis_that_reads_well_only_once_carries_nothing(sim, store):
    again = mount(sim, Clock(2))
    again.execute([put(3)])
    sim.bytes[store.region.ring() * SECTOR + store.region.frames_at + 20] ^= 0x55
    third = mount(sim, Clock(3))
    assert third.damage is None and value(third) == 3 and third.name == store.name
    assert frames_of(third)[0][1] == frames.GENESIS


def test_nothing_is_handed_to_a_host_before_it_is_written_twice(sim, store):
    store.execute([put(1)])
    again = mount(sim, Clock(2))
    seq = again.seq
    again.read_frames(0, b"")
    assert again.booted and again.seq == seq + 1


def test_copies_that_do_not_fit_go_to_the_next_sector(sim, store):
    last = fill_sector(store)
    again = mount(sim, Clock(2))
    before = again.order[-1]
    again.execute([put(3)])
    assert again.order[-1] != before
    address = tail_address(store, last)
    sim.bytes[address + 16] ^= 0x3C
    third = mount(sim, Clock(3))
    assert third.damage is None and value(third) == 3 and third.head == again.head


def tail_address(store, last):
    """Return where the last command's frame stands."""
    data = bytes(store.region.flash.bytes)
    return data.rindex(frames.put("k", b"%d" % (last % 1000))[5:], 0, store.address) - 5 - frames.HEADER


def test_a_cut_between_the_copies_and_the_boot_frame_is_as_if_none_had_been_written(sim, store):
    for n in range(8):
        store.execute([put(n)])
    clean = mount(sim, Clock(2))
    for units in range(0, 100, 3):
        copy = sim.clone(units)
        again = mount(copy, Clock(2))
        copy.cut_after(units)
        try:
            again.execute([put(9)])
            break
        except PowerCut:
            copy.power_on()
        third = mount(copy, Clock(3))
        assert third.damage is None and value(third) in (7, 9) and third.seq >= clean.seq
        third.execute([put(10)])
        assert value(mount(copy, Clock(4))) == 10
    assert units > 30


def test_settling_notices_that_the_flash_reads_otherwise_than_at_the_boot(sim, store):
    store.execute([put(1)])
    address = store.address
    store.execute([put(2)])
    again = mount(sim, Clock(2))
    sim.bytes[address + 16] ^= 0x5A
    with pytest.raises(FlashError, match="reads differently"):
        settle(again)
    again.execute([put(3)])  # reads its flash again and goes on from what is there
    assert value(mount(sim, Clock(3))) == 3


def test_an_acknowledgement_outlives_a_restart(sim, store):
    while len(store.order) < 3:
        store.execute([put(store.seq)])
    store.acknowledge(store.seq + 1)
    end = store.acked
    seq = store.seq
    store.acknowledge(store.seq + 1)
    assert store.seq == seq, "nothing new became recyclable: no frame"
    assert mount(sim, Clock(2)).acked == end


def test_the_last_sector_is_kept_for_frames_that_are_no_commands(sim, store):
    with pytest.raises(LogFull):
        while True:
            (result,) = store.execute([put(store.seq)])
            if isinstance(result, LogFull):
                raise result
    store.log_only(frames.CHECKPOINT, b"")
    for _ in range(3):
        (result,) = store.execute([put(1)])
        assert isinstance(result, LogFull), "a command took the reserve"
    store.log_only(frames.CLOCK, frames.clock(1, 1))
    assert mount(sim, Clock(2)).seq == store.seq


def test_a_bad_first_sector_of_the_ring_does_not_keep_a_log_from_beginning(sim):
    first = 2 * Region(sim).slot_size(1024)
    for stuck in (("raise", None), ("nothing", None), (None, "raise")):
        flash = sim.clone(1)
        flash.stuck[first] = stuck
        store = mount(flash, Clock(1))
        store.configure(CONFIG, b"sixteen of chaos", "test/1")
        store.execute([put(5)])
        assert first not in store.order[-1:] and value(mount(flash, Clock(2))) == 5


def test_a_dead_first_slot_leaves_the_second(sim, store):
    sim.stuck[0] = ("raise", "raise")
    for n in range(40):
        store.execute([put(n)])
    for _ in range(2):
        try:
            store.take_snapshot()
        except FlashError:
            pass
    assert store.slots[0] is None and store.slots[1] and store.slots[1].seq and set(store.bad) & {0, 1}
    assert value(mount(sim, Clock(2))) == 39
    with pytest.raises(LogFull, match="snapshot slot 0 cannot be written, bad sectors"):
        while True:
            store.acknowledge(store.seq + 1)
            (result,) = store.execute([put(store.seq)])
            if isinstance(result, LogFull):
                raise result
    last = value(store)
    assert value(mount(sim, Clock(3))) == last


def test_an_erase_count_that_was_lost_is_taken_from_a_neighbour(sim, store):
    while store.epoch < 3 * SECTORS:
        store.execute([put(store.seq)])
        store.acknowledge(store.seq + 1)
    region = store.region
    counts = [region.erase_count(i) for i in range(region.ring(), SECTORS)]
    assert max(counts) - min(counts) <= 1 and min(counts) > 2
    lost = store.order[0]
    before = region.erase_count(lost)
    sim.bytes[lost * SECTOR : lost * SECTOR + 16] = bytes(16)
    assert region.erase_count(lost) == 0
    region.erase(lost)
    assert abs(region.erase_count(lost) - before - 1) <= 1


@pytest.mark.parametrize("rules", [0, 2, 77])
def test_a_log_of_other_rules_is_refused_by_name(rules, monkeypatch):
    from shared_kernel import genesis

    blank = FlashSim(SECTORS, SECTOR, PAGE, UNIT)
    monkeypatch.setattr(genesis, "RULES", rules)
    genesis.begin(Region(blank), 1, CONFIG, b"sixteen of chaos", "test/1", 0)
    monkeypatch.undo()
    before = bytes(blank.bytes)
    found = Store(blank, Clock(1))
    assert "rules %d" % rules in found.damage and found.kernel is None
    with pytest.raises(Damage):
        found.configure(CONFIG, b"sixteen of chaos", "test/1")
    assert bytes(blank.bytes) == before


@pytest.mark.parametrize("version", [2, 3, 4, 255])
@pytest.mark.parametrize("count", [0, 9])
def test_a_log_of_another_version_of_frames_is_not_taken_for_blank(sim, store, version, count):
    for i in range(count):
        store.execute([put(i)])
    region = store.region
    at = region.ring() * SECTOR + region.frames_at
    while sim.bytes[at] == frames.VERSION:
        size = frames.OVERHEAD + int.from_bytes(sim.bytes[at + 2 : at + 4], "little")
        sim.bytes[at] = version
        at += region.pad(size)
    before = bytes(sim.bytes)
    found = Store(sim, Clock(1))
    if version in (2, 4) or count:  # a genesis alone of an odd version may be one of ours, cut short
        assert "version %d" % version in found.damage and "frames of version 1" in found.damage
        with pytest.raises(Damage):
            found.configure(CONFIG, b"sixteen of chaos", "test/1")
        assert bytes(sim.bytes) == before
    else:
        assert found.damage is None and found.kernel is None


def test_a_snapshot_step_by_step_erases_one_sector_a_call(sim):
    wide = FlashSim(40, 512, 256, 4, seed=1)
    store = mount(wide, Clock(1))
    store.configure((2, 60, 20, 20, 10, 3, 5), b"sixteen of chaos", "test/1")
    store.begin_snapshot()
    n = 0
    while store.saver:
        before = sum(wide.erases)
        store.execute([put(n)])
        assert sum(wide.erases) - before <= 1
        n += 1
        assert n < 500
    assert any(store.slots) and n > 5


def test_snapshots_come_at_the_distance_that_was_asked_for():
    taken = {}
    for distance in (1, 3):
        sim = FlashSim(40, 512, 256, 4, seed=1)
        store = Store(sim, Clock(1), distance=distance)
        store.configure((2, 8, 4, 4, 10, 3, 5), b"sixteen of chaos", "test/1")
        for n in range(300):
            store.execute([put(n)])
            store.acknowledge(store.seq + 1)
        taken[distance] = max(each.generation for each in store.slots if each)
    assert taken[1] > 2 * taken[3] > 4


def test_epochs_leave_out_a_sector_that_was_only_opened(sim, store):
    fill_sector(store)
    order = list(store.order)
    store._next_sector(store.seq + 1, store.head)
    assert epochs(store.region)[0] == order
    assert Recovery(store.region).order == order


def test_a_snapshot_header_that_reads_well_only_once_carries_nothing(sim, store):
    """Both snapshots are there at a boot; the newer one's header, cut short, is gone at a later one, when the older slot has been
    erased for the next snapshot."""
    for n in range(60):
        store.execute([put(n)])
        store.acknowledge(store.seq + 1)
        if n in (20, 50):
            store.take_snapshot()
    tried = lost = 0
    for steps in range(1, 30):
        flash = sim.clone(steps)
        again = mount(flash, Clock(2))
        newer, header = again.newest_snapshot()
        again.begin_snapshot()
        flash.cut_after(steps * 7)
        try:
            for n in range(steps):
                again.execute([put(300 + n)])
        except PowerCut:
            pass
        flash.power_on()
        region = again.region
        offset = header.length + 40
        address = (newer * region.slot_sectors + offset // region.body) * SECTOR + region.open_at + offset % region.body
        flash.bytes[address] ^= 0x5A
        third = mount(flash, Clock(3))
        tried += 1
        lost += third.damage is not None
    assert tried > 20 and not lost
