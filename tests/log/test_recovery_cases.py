"""The cases that a recovery has to tell apart, one by one, each set up by hand: what is there
afterwards, and what is said."""

import pytest

from shared_kernel import frames, primitives
from shared_kernel.arena import CHUNK, layout
from shared_kernel.errors import Damage, FlashError, LogFull, NotFound
from shared_kernel.kernel import INSERT, PUT
from shared_kernel.recovery import recover
from shared_kernel.region import FORMAT_1, Region
from shared_kernel.run import HEADER, Run, decode
from shared_kernel.settle import settle
from shared_kernel.store import Store
from tests.faults.harness import CONFIG, Application, Clock, Witness, genesis, last, mount, perform
from tests.flashsim import Chance, FlashSim, PowerCut

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


def sector_of(store):
    """Return the sector in use."""
    return store.region.sector_of(store.order[-1])


def fill_sector(store):
    """Write until the next command would open a sector."""
    n = 0
    while store.room() >= 28:
        store.execute([put(n)])
        n += 1
    return n - 1


def turn(store, times):
    """Write, all of it acknowledged, until the log has come so many times round its ring."""
    while store.top < (times + 1) * store.region.turn:
        store.execute([put(store.seq)])
        store.acknowledge(store.seq + 1)


def test_a_torn_frame_then_a_boot_then_an_append(sim, store):
    store.execute([put(1)])
    seq = store.seq
    again = cut_in(sim, store, 3, [put(2)])
    assert value(again) == 1 and again.seq == seq and len(again.cuts) == 1
    assert again.found.skipped > 0
    run = again.order[-1]
    again.execute([put(3)])
    assert again.order[-1] > run, (
        "a boot writes a run of its own: half-programmed units are passed by"
    )
    third = mount(sim, Clock(3))
    assert (
        value(third) == 3 and third.boot == 1 and third.cuts == again.cuts and third.damage is None
    )


def test_a_torn_erase_of_the_next_sector_with_old_frames_behind_the_tail(sim, store):
    """Old whole frames of this log, of lower seq, stand where the ring goes on: they are no
    continuation and no damage."""
    turn(store, 2)
    fill_sector(store)
    before = value(store)
    run, held = store.order[-1], len(store.order)
    sim.cut_after(2)  # within the erase that the next command begins with
    with pytest.raises(PowerCut):
        for n in range(4):
            store.execute([put(500 + n)])
    sim.power_on()
    again = mount(sim, Clock(2))
    assert (
        again.damage is None and again.order[-1] == run and held - 2 <= len(again.order) <= held + 1
    )
    assert value(again) in (before, 500, 501, 502)
    again.execute([put(7)])
    assert value(mount(sim, Clock(3))) == 7


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_group_of_which_one_frame_is_not_whole_is_cut_back_whole(sim, store, broken):
    store.execute([put(1)])
    address = store.address
    store.execute([put(2), put(3), put(4)])
    sim.bytes[address + 24 * broken + 16] ^= 0x5A
    again = mount(sim, Clock(2))
    assert value(again) == 1 and again.damage is None and again.cuts, (
        "a group is there whole or not at all"
    )
    again.execute([put(5)])
    assert value(mount(sim, Clock(3))) == 5


def test_a_group_of_several_program_calls_is_there_whole_or_not_at_all(sim):
    store = mount(sim, Clock(1))
    store.configure((2, 7, 5, 6, 4, 3, 150), b"sixteen of chaos", "test/1")
    store.execute([put(1)])
    group = [(PUT, frames.put("k", b"%0150d" % n), None) for n in (7, 8, 9)]
    whole = absent = 0
    for units in range(400):
        flash = sim.clone(units)
        again = mount(flash, Clock(1))
        again.read_frames(0, b"")  # the boot's own frames are written
        seq, programs = again.seq, sum(flash.programs)
        flash.cut_after(units)
        try:
            assert again.execute(group) == [seq + 1, seq + 2, seq + 3], (
                "one group, with nothing else in it"
            )
            assert sum(flash.programs) - programs >= 3
            break
        except PowerCut:
            flash.power_on()
        third = mount(flash, Clock(2))
        assert third.damage is None and value(third) in (1, 9), "a part of a group counts"
        whole += value(third) == 9
        absent += value(third) == 1
    assert absent > 100 and units < 399


def test_when_the_last_commands_of_a_group_are_refused_a_clock_frame_ends_it(sim, store):
    refused = (PUT, frames.put("k", bytes(99)), None)
    seq = store.execute([put(1), put(2), refused])[1]
    assert [frame[1] for frame in frames_of(store)[-3:]] == [PUT, PUT, frames.CLOCK]
    ticks = [
        frame[frames.TICK_TOP] & (frames.MORE | frames.CONTINUES) for frame in frames_of(store)[-3:]
    ]
    assert ticks == [frames.MORE, frames.MORE | frames.CONTINUES, frames.CONTINUES]
    again = mount(sim, Clock(2))
    assert value(again) == 2 and again.seq == seq + 1


@pytest.mark.parametrize("behind", [1, 2, 40])
def test_a_whole_later_group_behind_a_bad_frame_is_damage(sim, store, behind):
    store.execute([put(1)])
    address, seq = store.address, store.seq
    store.execute([put(2)])
    for n in range(behind):
        store.execute([put(n)])
    sim.bytes[address + 16] ^= 0x5A
    again = mount(sim, Clock(2))
    assert again.damage and again.seq == seq and value(again) == 1
    with pytest.raises(Damage):
        again.execute([put(5)])
    assert again.read_frames(0, b""), "the host may still pull"


def test_a_program_that_fails_is_done_again_in_the_next_sector(sim, store):
    store.execute([put(1)])
    bad = sector_of(store)
    sim.stuck[bad] = ("raise", None)
    store.execute([put(2)])
    assert sector_of(store) != bad and store.bad == [bad]
    run = store.region.run(store.order[-1])
    assert run.follows and not run.repeats and run.bad == [bad], (
        "the run's header says which sector is bad"
    )
    again = mount(sim, Clock(2))
    assert value(again) == 2 and again.damage is None and again.bad == [bad]
    for n in range(120):
        again.execute([put(n)])
        again.acknowledge(again.seq + 1)
        assert sector_of(again) != bad, "a quarantined sector is not taken into use"


def frames_of(store):
    """Return the frames from the oldest sector on."""
    out, seq, head = [], store.first().first, store.first().head
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


def two_sectors(store):
    """Write a full sector and a few commands in the next; return where the header of the run there
    stands."""
    fill_sector(store)
    while len(store.order) < 2:
        store.execute([put(store.seq)])
    store.execute([put(77)])
    store.execute([put(78)])
    return store.region.header_at(store.order[-1])


def test_either_copy_of_a_runs_header_does(sim, store):
    at = two_sectors(store)
    number, size = store.order[-1], store.region.header_size
    for copy in (at, at + size):
        for byte in range(HEADER):
            for bit in range(8):
                flash = sim.clone(1)
                flash.flip(copy + byte, bit)
                assert (
                    Region.run(region_of(flash, store), number).first
                    == store.region.run(number).first
                )
                if bit == byte % 8:
                    again = mount(flash, Clock(2))
                    assert (
                        again.damage is None
                        and again.head == store.head
                        and again.order == store.order
                    )


def region_of(sim, store):
    """Return a Region on another flash with the layout of a store's."""
    region = Region(sim)
    region.set_layout(store.region.slot_sectors, store.region.block)
    return region


@pytest.mark.parametrize("newest", [True, False])
def test_a_run_without_a_header_is_never_passed_over_in_silence(sim, store, newest):
    """What is in that sector was acknowledged: with both copies of its header flipped it is damage,
    not a free sector."""
    at = two_sectors(store)
    if not newest:
        at = store.region.header_at(store.order[0])
    for byte in range(HEADER):
        for other in (byte, (byte * 7 + 1) % HEADER):
            flash = sim.clone(1)
            flash.flip(at + byte, byte % 8)
            flash.flip(at + store.region.header_size + other, other % 8)
            before = bytes(flash.bytes)
            again = mount(flash, Clock(2))
            # its lowest bit says what stands here, and is mended
            if again.damage is None and byte == 0:
                assert again.head == store.head
                continue
            assert again.damage, "bytes %d and %d" % (byte, other)
            with pytest.raises(Damage):
                again.execute([put(1)])
            assert bytes(flash.bytes) == before


@pytest.mark.parametrize("count", [0, 1, 30])
@pytest.mark.parametrize("record", [True, False])
def test_a_young_log_is_not_taken_for_blank(sim, store, record, count):
    """All that says so stands in the ring's first sector: flip it there, and in the record before
    it."""
    for n in range(count):
        store.execute([put(n)])
    region = store.region
    start, at = region.ring() * SECTOR, region.header_at(store.order[0])
    for byte in range(HEADER):
        flash = sim.clone(1)
        flash.flip(at + byte, (byte + 1) % 8)
        flash.flip(at + region.header_size + byte, byte % 8)
        if record:
            flash.flip(start + byte % 20, byte % 8)
        before = bytes(flash.bytes)
        again = mount(flash, Clock(2))
        assert again.damage and again.kernel is None
        with pytest.raises(Damage):
            again.configure(CONFIG, b"sixteen of chaos", "test/1")
        assert bytes(flash.bytes) == before


def test_a_half_done_erase_of_an_old_log_is_not_begun_on(sim, store):
    """A few sectors erased by somebody, the rest still an old log's: refused, whatever is left."""
    while len(store.order) < 5:
        store.execute([put(store.seq)])
    assert len({store.region.sector_of(each) for each in store.order}) == 5
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
    sim.flip(slot * store.region.slot_sectors * SECTOR + store.region.record_size + 100, 4)
    again = mount(sim, Clock(2))
    assert again.damage is None and value(again) == 29 and again.head == store.head
    newer = seqs.index(max(seqs))
    assert (again.slots[slot] is None) == (slot == newer), (
        "the one that recovery begins with is hashed"
    )


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
    """The boot after a cut sees a frame that nobody was told of; the next one does not. What was
    written between stands."""
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
    sim.bytes[store.region.frames_at(store.order[0]) + 20] ^= 0x55
    third = mount(sim, Clock(3))
    assert third.damage is None and value(third) == 3 and third.name == store.name
    assert frames_of(third)[0][1] == frames.GENESIS


def test_nothing_is_handed_to_a_host_before_the_boots_run_stands(sim, store):
    store.execute([put(1)])
    again = mount(sim, Clock(2))
    seq = again.seq
    again.read_frames(0, b"")
    assert again.booted and again.seq == seq + 2, "a boot frame and a checkpoint"


def test_copies_that_do_not_fit_go_to_the_next_sector(sim, store):
    number = fill_sector(store)
    again = mount(sim, Clock(2))
    before = sector_of(again)
    address = tail_address(again, number)
    again.execute([put(3)])
    assert sector_of(again) != before
    sim.bytes[address + 16] ^= 0x3C
    third = mount(sim, Clock(3))
    assert third.damage is None and value(third) == 3 and third.head == again.head


def tail_address(store, number):
    """Return where the last command's frame stands, in the sector in use."""
    data, start = bytes(store.region.flash.bytes), sector_of(store) * SECTOR
    return (
        data.rindex(frames.put("k", b"%d" % (number % 1000))[5:], start, start + SECTOR)
        - 5
        - frames.HEADER
    )


def test_a_cut_between_the_copies_and_the_boot_frame_is_as_if_none_had_been_written(sim, store):
    for n in range(8):
        store.execute([put(n)])
    clean = mount(sim, Clock(2))
    for units in range(0, 200, 3):
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
    assert 90 < units < 195, "a header twice, repeats, a boot frame, a checkpoint, the command"


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


def fill(store):
    """Write until the log is full."""
    while not isinstance(store.execute([put(store.seq)])[0], LogFull):
        pass


def test_three_sectors_are_kept_for_the_runs_of_boots(sim, store):
    fill(store)
    assert store.free_sectors() == store.reserve() == 3
    for kind, payload in ((frames.CHECKPOINT, b""), (frames.CLOCK, frames.clock(1, 1))):
        with pytest.raises(LogFull):
            while True:
                store.log_only(kind, payload)
    for _ in range(3):
        (result,) = store.execute([put(1)])
        assert isinstance(result, LogFull), "a command took the reserve"
    assert store.free_sectors() == 3 and mount(sim, Clock(2)).seq == store.seq


@pytest.mark.parametrize("free", [3, 4, 5])
@pytest.mark.parametrize("seed", range(4))
def test_a_full_log_bears_any_number_of_cut_boots(sim, free, seed):
    witness, chance = Witness(), Chance(seed)
    store = mount(sim, Clock(1))
    witness.act(store, genesis())
    while store.free_sectors() > free:
        value = b"%d" % (store.seq % 1000)
        witness.act(
            store,
            (
                "execute",
                [
                    (
                        *put(store.seq),
                        lambda m, seq, value=value: m.put(seq, b"k", value, last(m, b"k")),
                    )
                ],
            ),
        )
    cuts = 0
    for _ in range(60):
        again = mount(sim, Clock(2))
        sim.cut_after(chance.below(85))  # before its checkpoint stands
        try:
            witness.booted(again)
        except PowerCut:
            cuts += 1
        sim.power_on()
    assert cuts > 40 or free == 3, "a full log writes nothing at a boot"
    again = mount(sim, Clock(3))
    witness.booted(again)
    for _ in range(3):
        witness.act(again, ("acknowledge", 0))
    witness.act(again, ("execute", [Application(chance).command(witness.model)]))
    assert witness.acted
    witness.booted(mount(sim, Clock(4)))


def test_a_bad_first_sector_of_the_ring_does_not_keep_a_log_from_beginning(sim):
    first = 2 * Region(sim).slot_size(CHUNK * layout(CONFIG)[1])
    for stuck in (("raise", None), ("nothing", None), (None, "raise")):
        flash = sim.clone(1)
        flash.stuck[first] = stuck
        store = mount(flash, Clock(1))
        store.configure(CONFIG, b"sixteen of chaos", "test/1")
        store.execute([put(5)])
        assert sector_of(store) != first and value(mount(flash, Clock(2))) == 5


def test_a_dead_first_slot_leaves_the_second(sim, store):
    sim.stuck[0] = ("raise", "raise")
    for n in range(40):
        store.execute([put(n)])
    for _ in range(2):
        try:
            store.take_snapshot()
        except FlashError:
            pass
    assert (
        store.slots[0] is None and store.slots[1] and store.slots[1].seq and set(store.bad) & {0, 1}
    )
    assert value(mount(sim, Clock(2))) == 39
    with pytest.raises(LogFull, match="no snapshot can make room: sectors .* are quarantined"):
        while True:
            store.acknowledge(store.seq + 1)
            (result,) = store.execute([put(store.seq)])
            if isinstance(result, LogFull):
                raise result
    assert value(mount(sim, Clock(3))) == value(store)


def test_an_erase_count_that_was_lost_is_taken_from_a_neighbour(sim, store):
    turn(store, 3)
    region = store.region
    counts = [region.record(i)[0] for i in range(region.ring(), SECTORS)]
    assert max(counts) - min(counts) <= 1 and min(counts) > 2
    lost = region.sector_of(store.order[0])
    before = region.record(lost)[0]
    sim.bytes[lost * SECTOR : lost * SECTOR + 20] = bytes(20)
    assert region.record(lost) is None
    region.erase(lost)
    assert abs(region.record(lost)[0] - before - 1) <= 1


@pytest.mark.parametrize("rules", [0, 2, 77])
def test_a_log_of_other_rules_is_refused_by_name(rules, monkeypatch):
    from shared_kernel import genesis

    blank = FlashSim(SECTORS, SECTOR, PAGE, UNIT)
    monkeypatch.setattr(genesis, "RULES", rules)
    genesis.begin(Region(blank), -1, CONFIG, b"sixteen of chaos", "test/1", 0)
    monkeypatch.undo()
    genesis.finish(Region(blank))  # where the ring ends needs no layout
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
    at = region.frames_at(store.order[0])
    while sim.bytes[at] == frames.VERSION:
        size = frames.OVERHEAD + int.from_bytes(sim.bytes[at + 2 : at + 4], "little")
        sim.bytes[at] = version
        at += region.pad(size)
    before = bytes(sim.bytes)
    found = Store(sim, Clock(1))
    assert found.damage and found.kernel is None
    with pytest.raises(Damage):
        found.configure(CONFIG, b"sixteen of chaos", "test/1")
    assert bytes(sim.bytes) == before


def test_a_region_of_format_1_is_named_and_left_alone(sim):
    record = frames.words_bytes((FORMAT_1, 1, SECTORS))
    sim.bytes[3 * SECTOR : 3 * SECTOR + 16] = record + frames.words_bytes(
        (primitives.crc32(record, 0),)
    )
    before = bytes(sim.bytes)
    found = Store(sim, Clock(1))
    assert "format 1" in found.damage
    with pytest.raises(Damage, match="format 1"):
        found.configure(CONFIG, b"sixteen of chaos", "test/1")
    assert bytes(sim.bytes) == before


@pytest.mark.parametrize("sector", [0, 5, SECTORS - 1])
def test_a_region_that_holds_something_else_is_named_and_left_alone(sim, sector):
    sim.bytes[sector * SECTOR + 100 : sector * SECTOR + 108] = b"littlefs"
    before = bytes(sim.bytes)
    found = Store(sim, Clock(1))
    assert "sector %d" % sector in found.damage
    with pytest.raises(Damage):
        found.configure(CONFIG, b"sixteen of chaos", "test/1")
    assert bytes(sim.bytes) == before


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


def test_a_run_without_a_frame_is_as_if_it_were_not_there(sim, store):
    fill_sector(store)
    order = list(store.order)
    store._next_run(store.seq + 1, store.head)
    assert store.order != order
    found = recover(Region(sim))
    assert found.order == order and not found.damage and found.top >= store.order[-1], (
        "its number is never used again"
    )


@pytest.mark.parametrize("then", ["before", True])
def test_a_snapshot_header_that_reads_well_only_once_carries_nothing(sim, store, then):
    """A cut in a snapshot's header: it is there at the next boot, which writes the other slot over,
    and not at a later one."""
    for n in range(60):
        store.execute([put(n)])
        store.acknowledge(store.seq + 1)
        if n in (20, 50):
            store.take_snapshot()
    tried = 0
    for units in range(0, 62):  # of both copies of a header
        flash = sim.clone(units)
        again = mount(flash, Clock(2))
        again.take_snapshot()  # so the other slot holds one that the log names
        again.begin_snapshot()
        saver = again.saver
        while not saver.header:
            again.call(again._step)
        while saver.save_next():
            pass
        flash.cut_after(units)
        with pytest.raises(PowerCut):
            again.call(again._step)
        flash.power_on()
        flash.flicker = "after"
        again = mount(flash, Clock(3))
        assert again.damage is None
        tried += again.newest_snapshot()[0] == saver.slot
        may = [value(again)]
        again.begin_snapshot()
        flash.cut_after(units * 5)
        try:
            for n in range(300, 312):
                may.append(n)
                again.execute([put(n)])
                may = [n]
        except PowerCut:
            pass
        flash.power_on()
        flash.flicker = then
        third = mount(flash, Clock(4))
        assert third.damage is None and value(third) in may
    assert tried > 20


# -- what a record holds ---------------------------------------------------------------------------

WIDE = (150, 3, 5, 6, 4, 3, 5)  # a vector that holds a boot frame, or a run's header, whole
VECTOR_AT = frames.HEADER + 6  # in a frame: behind length and tag


def wide(unit):
    """Return (a flash with blocks of 1 KiB, four in a sector; a store whose vectors have 600
    bytes)."""
    sim = FlashSim(SECTORS, 4096, PAGE, unit, seed=3)
    store = mount(sim, Clock(1))
    store.configure(WIDE, b"sixteen of chaos", "test/1")
    store.execute([put(1)])
    return sim, store


def holding(content, at):
    """Return an insert whose frame has content from its byte `at` on."""
    vector = bytearray(4 * WIDE[0])
    vector[at - VECTOR_AT : at - VECTOR_AT + len(content)] = content
    return (
        INSERT,
        frames.insert(
            [
                int.from_bytes(vector[i : i + 4], "little", signed=True)
                for i in range(0, len(vector), 4)
            ]
        ),
        None,
    )


def reads_alike(sim, store):
    """Assert that the next boot reads what the store wrote, and goes on from it."""
    again = mount(sim, Clock(2))
    assert (
        again.damage is None
        and not again.cuts
        and (again.seq, again.head, again.order) == (store.seq, store.head, store.order)
    )
    assert again.kernel.arena.bytes == store.kernel.arena.bytes
    again.execute([put(5)])
    third = mount(sim, Clock(3))
    assert third.damage is None and value(third) == 5 and third.head == again.head


@pytest.mark.parametrize("unit", [1, 4, 32])
@pytest.mark.parametrize("then", [[], [put(2)]])
def test_a_frame_inside_a_record_changes_nothing(unit, then):
    """A whole frame of this log, of its chain head and a seq that is due, anywhere in the last
    record, or in the last but one."""
    base, store = wide(unit)
    for at in list(range(VECTOR_AT, 500, 37)) + [64, 96, 128, 256]:
        for kind in (frames.BOOT, PUT):
            for ahead in (1, 2, 3):
                sim = base.clone(at)
                store = mount(sim, Clock(1))
                store.read_frames(0, b"")
                payload = (
                    frames.boot(store.boot + 1, store.head, 0)
                    if kind == frames.BOOT
                    else frames.put("k", b"999")
                )
                inside = frames.frame(kind, payload, store.seq + ahead, 0, store.seed)
                store.execute([holding(inside, at)])
                assert inside in sim.bytes
                if then:
                    store.execute(then)
                reads_alike(sim, store)


@pytest.mark.parametrize("turns", [0, 1, 9])
@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("then", [[], [put(2)]])
def test_a_header_inside_a_record_changes_nothing(turns, first, then):
    """A record at a block's boundary, which has, where the second copy of a run's header stands,
    the header of a newer run in this very place, and a frame behind it."""
    sim, store = wide(4)
    region = store.region
    while store.limit == store.end or store.limit - store.address >= 628:
        store.execute([put(1)])
    boundary = store.limit
    number = (
        store.order[-1]
        - store.order[-1] % region.blocks
        + boundary % region.sector // region.block
        + turns * region.turn
    )
    assert region.header_at(number) == boundary
    run = Run(
        number,
        store.order[-1],
        store.seq + first,
        0,
        1,
        0,
        0,
        first == 2,
        store.name,
        store.head,
        [],
        64,
    )
    behind = frames.frame(PUT, frames.put("k", b"999"), store.seq + first, 0, store.seed)
    store.execute([holding(run.encode() + behind, region.header_size)])
    assert decode(sim.bytes[boundary + region.header_size :][:HEADER]).number == number, (
        "it stands where a second copy would"
    )
    if then:
        store.execute(then)
    reads_alike(sim, store)


# -- sequences of faults that once lost something --------------------------------------------------


def cut_at_the_next_write(base, boots):
    """Cut the next boot, at every step of what it writes first, and so many boots in a row. Return
    (cuts, how many of them lost what was acknowledged)."""
    tried = lost = 0
    for units in range(0, 900, 1 if base.unit > 1 else 7):
        sim = base.clone(1)
        acked = mount(sim, Clock(1)).seq
        for _ in range(boots):
            store = mount(sim, Clock(2))
            sim.cut_after(units, "nothing")
            try:
                store.execute([put(9)])
                return tried, lost
            except PowerCut:
                sim.power_on()
        tried += 1
        store = mount(sim, Clock(3))
        lost += store.damage is not None or store.seq < acked
    raise AssertionError("the boot never ends")


@pytest.mark.parametrize("boots", [1, 2, 4])
@pytest.mark.parametrize("unit", [1, 4, 32])
def test_a_cut_while_a_boot_repeats_frames_loses_nothing(unit, boots):
    """The frames that it repeats have a boot frame among them."""
    sim = FlashSim(12, 4096, PAGE, unit)
    store = mount(sim, Clock(1))
    store.configure((2, 4, 2, 2, 6, 4, 8), bytes(16), "t")
    store.execute([put(0)])
    store = mount(sim, Clock(1))
    for n in range(1, 6):
        store.execute([put(n)])
    tried, lost = cut_at_the_next_write(sim, boots)
    assert tried > 12 and not lost


def test_three_cuts_around_a_snapshots_turn_leave_one_snapshot():
    """In the erase of the older slot, in the second header of the good one, and in the snapshot
    after that."""
    base = FlashSim(15, 1024, 512, 32)
    store = mount(base, Clock(1))
    store.configure((7, 17, 2, 7, 1, 5, 13), bytes(16), "t")
    turn(store, 2)
    while store.saver:
        store.execute([put(1)])
    store.take_snapshot()
    assert all(store.slots) and store.first().first > 0
    tried = 0
    for tear in range(40):
        for copy in range(6):
            sim = base.clone(tear * 7 + copy)
            store = mount(sim, Clock(1))
            # this boot's: it is certain; and then the other slot is erased ...
            store.take_snapshot()
            for steps, kind, write in (
                (tear % 3, "some", True),
                (copy, "some", False),
                (20, None, False),
            ):
                sim.cut_after(steps, kind)
                try:
                    store.take_snapshot()
                except (PowerCut, LogFull):
                    pass
                sim.power_on()
                store = mount(sim, Clock(2))
                assert store.damage is None, (tear, copy, store.damage)
                if write:
                    store.execute([put(2)])
            tried += 1
    assert tried == 240


@pytest.mark.parametrize("mode", ["raise", "nothing", "wrong"])
@pytest.mark.parametrize("count", [2, 3])
def test_a_log_whose_sectors_stop_erasing_can_be_pulled_from_its_first_frame_on(count, mode):
    for seed in range(5):
        sim = FlashSim(16, SECTOR, PAGE, UNIT, seed=seed)
        store = mount(sim, Clock(1))
        store.configure((2, 4, 2, 2, 6, 4, 8), bytes(16), "t")
        turn(store, 2)
        ring = store.region.ring()
        for each in Chance(seed).shuffled(16 - ring)[:count]:
            sim.stuck[ring + each] = (None, mode)
        for n in range(700):
            try:
                store.execute([put(n)])
                if n % 5 == 0:
                    store.acknowledge(store.seq + 1)
            except FlashError:
                pass
            if n % 100 == 99:
                store = mount(sim, Clock(2))
        assert store.damage is None and (mode == "wrong" or len(store.bad) == count)
        store.execute([put(1)])  # a boot takes a sector
        first = store.first()
        got = frames_of(store)
        head = first.head
        for each in got:
            head = primitives.hash(head + each)
        assert len(got) == store.seq + 1 - first.first and head == store.head
        assert first.first > 300
        with pytest.raises(NotFound):
            store.read_frames(0, b"")


def test_a_dead_slot_beside_a_full_log_costs_no_erases(sim, store):
    sim.stuck[1] = ("raise", "raise")
    fill(store)
    store.acknowledge(store.seq + 1)
    for n in range(100):
        store.execute([put(n)])
    before = list(sim.erases)
    for n in range(800):
        store.execute([put(n)])
        store.acknowledge(store.certain() + 1)
        if n % 100 == 99:
            store = mount(sim, Clock(2))
    used = [after - each for after, each in zip(sim.erases, before)]
    assert 1 in store.bad and max(used[: store.region.ring()]) <= 8, (
        "once a boot at most: %s" % used
    )


def test_an_erase_that_leaves_something_in_silence_gives_no_sector():
    sim = FlashSim(12, 1024, 256, 4, seed=1)
    store = mount(sim, Clock(1))
    perform(store, genesis())
    sector = store.region.sector_of(store.number)
    sim.stuck[sector] = (None, "wrong")
    with pytest.raises(FlashError, match="not blank after its erase"):
        store.region.clear(sector)


def test_a_boots_run_that_carries_the_genesis_is_a_boots_run(sim, store):
    """Its head is zero, as that of the genesis's own run is. A boot frame alone is not carried; and
    where it is torn, a checkpoint behind it that its boot never had read back is no damage."""
    again = mount(sim, Clock(2))
    again.execute([put(1)])
    region, number = again.region, again.order[-1]
    run = region.run(number)
    assert run.repeats == 1 and run.head == frames.NO_HEAD and not run.follows
    boot = region.frames_at(number) + region.pad(
        frames.length_at(sim.bytes, region.frames_at(number))
    )
    checkpoint = boot + region.pad(frames.OVERHEAD + frames.BOOT_BYTES)
    behind = checkpoint + region.pad(frames.OVERHEAD + 32)
    assert sim.bytes[boot + 1] == frames.BOOT and sim.bytes[checkpoint + 1] == frames.CHECKPOINT
    sim.bytes[behind : behind + 64] = b"\xff" * 64  # no command yet
    sim.bytes[boot + 20] ^= 1
    found = recover(region)
    assert (found.damage, found.last) == (None, 0)
    sim.bytes[boot + 20] ^= 1
    sim.bytes[checkpoint:behind] = b"\xff" * (behind - checkpoint)
    found = recover(region)
    assert (found.damage, found.last, found.end, found.certain) == (None, 0, boot, -1)


def test_a_run_that_goes_on_from_itself_is_the_oldest(sim, store):
    store.execute([put(1)])
    region, number = store.region, store.order[-1]
    run = region.run(number)
    run.prev = number
    for at in (region.header_at(number), region.header_at(number) + region.header_size):
        sim.bytes[at : at + HEADER] = run.encode()
    found = recover(region)
    assert (found.damage, found.last, found.order) == (None, 1, [number])


def test_an_acknowledged_frame_of_too_few_bytes_says_nothing(sim, store):
    frame = frames.frame(frames.ACKNOWLEDGED, b"abc", store.seq + 1, 0, store.seed)
    sim.bytes[store.address : store.address + len(frame)] = frame
    found = recover(store.region)
    assert (found.damage, found.last, found.acked) == (None, store.seq + 1, 0)
