"""The store's promises, without faults. Where a promise is kept by one place in the code, the test
takes it away and turns red."""

import pytest

from shared_kernel import arena, frames, kernel
from shared_kernel.errors import (
    Busy,
    Damage,
    FormatError,
    Invalid,
    LogFull,
    NotFound,
    Refused,
    TooLong,
    WrongDimension,
)
from shared_kernel.region import Region
from shared_kernel.saver import Saver
from shared_kernel.store import Store, command
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
    slots_hold,
)
from tests.flashsim import FlashSim, PowerCut, SimulatorError

GEOMETRIES = [(1, 512, 12, 256), (4, 1024, 12, 256), (8, 512, 14, 512), (32, 1024, 10, 256)]


def flash(unit=4, sector=1024, sectors=12, page=256, seed=1):
    return FlashSim(sectors, sector, page, unit, seed=seed)


def fresh(sim=None, config=CONFIG, policy=0, seed=1):
    """Return (store, witness) just configured."""
    witness = Witness(history={})
    store = mount(sim or flash(), Clock(seed))
    witness.act(store, genesis(config, policy))
    return store, witness


def turns(store):
    """Return how many sectors of the ring have been taken into use since its genesis."""
    return store.top // store.region.blocks - (store.region.sectors - store.region.ring())


def put(n, name="k"):
    return kernel.PUT, frames.put(name, b"%d" % (n % 1000)), None


# -- what is acknowledged --------------------------------------------------------------------------


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_what_was_acknowledged_is_there_after_a_boot(geometry):
    sim = flash(*geometry)
    store, witness = fresh(sim)
    application = Application(Chance(3))
    for i in range(120):
        witness.act(store, application.action(witness.model))
        if i % 7 == 0:
            store = mount(sim, Clock(i))
            witness.booted(store)
    assert witness.model.seq > 80


def test_a_group_keeps_its_order_and_is_programmed_together():
    store, witness = fresh()
    store.execute([put(0)])
    programs = sum(store.region.flash.programs)
    seqs = store.execute([put(i) for i in range(4)])
    assert seqs == list(range(seqs[0], seqs[0] + 4))
    assert store.ask(kernel.Kernel.key, b"k") == (seqs[-1], b"3")
    assert sum(store.region.flash.programs) - programs <= 2  # one run, perhaps over a page's end


def test_a_group_larger_than_the_window_is_whole():
    store, witness = fresh(flash(sector=4096, sectors=8))
    seqs = store.execute(
        [(kernel.PUT, frames.put("key%d" % (i % 4), bytes([i % 251] * 5)), None) for i in range(90)]
    )
    assert all(isinstance(each, int) for each in seqs)
    again = mount(store.region.flash, Clock(1))
    assert (again.seq, again.head, again.kernel.root()) == (
        store.seq,
        store.head,
        store.kernel.root(),
    )


def test_ids_and_tokens():
    store, witness = fresh()
    seq = store.execute([(kernel.INSERT, frames.insert([1, 2]), b"8 bytes.")])[0]
    assert store.ask(kernel.Kernel.record, seq) == (0, [1, 2], b"")
    got = witness.pull(store)
    assert (seq, kernel.INSERT, b"8 bytes.", frames.insert([1, 2])) in got
    assert isinstance(
        store.execute([(kernel.INSERT, frames.insert([1, 2]), b"7 bytes")])[0], Invalid
    )


def test_an_acknowledgement_outlives_a_boot_with_the_next_sector():
    store, witness = fresh(flash(sectors=9))
    while len(store.order) < 3:
        assert isinstance(store.execute([put(store.seq)])[0], int)
    store.acknowledge(store.seq)
    acked = store.acked
    while len(store.order) < 4:
        assert isinstance(store.execute([put(store.seq)])[0], int)
    assert mount(store.region.flash, Clock(1)).acked == acked
    with pytest.raises(Invalid):
        store.acknowledge(store.seq + 2)


# -- refusals --------------------------------------------------------------------------------------

REFUSED = [
    ((kernel.INSERT, frames.insert([1, 2, 3], 0, b"123")), (TooLong, WrongDimension)),
    ((kernel.INSERT, frames.insert([1])), WrongDimension),
    ((kernel.INSERT, frames.insert([1] * 200)), TooLong),
    ((kernel.UPDATE, frames.update(77, 1)), NotFound),
    ((kernel.DELETE, frames.ident(77)), NotFound),
    ((kernel.CREATE_NODE, frames.create_node(1, 77)), NotFound),
    ((kernel.CREATE_EDGE, frames.create_edge(1, 7, 8)), NotFound),
    ((kernel.PUT, frames.put("k", b"123456")), TooLong),
    ((kernel.PUT, frames.put("k", b"1" * 300)), TooLong),
    ((kernel.DELETE_KEY, frames.delete_key("none")), NotFound),
    ((0x3F, b"x"), Invalid),
    ((kernel.DELETE, b""), Invalid),
]


@pytest.mark.parametrize("booted", [False, True])
def test_a_refusal_changes_no_byte(booted):
    store, witness = fresh()
    store.execute([put(1)])
    if booted:
        store = mount(store.region.flash, Clock(1))
    before = bytes(store.region.flash.bytes), bytes(store.kernel.arena.bytes), store.seq, store.head
    for (kind, payload), error in REFUSED:
        (result,) = store.execute([(kind, payload, None)])
        assert isinstance(result, error), (kind, payload, result)
        assert (
            bytes(store.region.flash.bytes),
            bytes(store.kernel.arena.bytes),
            store.seq,
            store.head,
        ) == before
    for _ in range(2):
        results = store.execute(
            [(kind, payload, None) for (kind, payload), _ in REFUSED] + [put(2)]
        )
        assert [isinstance(each, Refused) for each in results] == [True] * len(REFUSED) + [False]


def test_before_a_log_there_is_nothing_to_do():
    store = mount(flash(), Clock(1))
    for call in (
        lambda: store.execute([put(1)]),
        lambda: store.take_snapshot(),
        lambda: store.log_only(frames.CHECKPOINT, b""),
        lambda: store.acknowledge(0),
        lambda: store.read_frames(0, b""),
        lambda: store.log_name(),
        lambda: store.ask(kernel.Kernel.root),
    ):
        with pytest.raises(Refused):
            call()
    assert store.region.is_blank(0, 12 * 1024)


def test_a_log_is_begun_once_and_only_where_it_fits():
    for sim, config, why in (
        (flash(sectors=5), (2, 60, 20, 20, 10, 3, 5), r"needs \d+ sectors .* the region has 5"),
        (
            flash(sector=512, sectors=40),
            (64, 1, 0, 0, 1, 0, 0),
            r"a sector of 512 has room for \d+",
        ),
        (flash(), (64, 100, 0, 0, 0, 200, 0), r"needs \d+ sectors|has room for \d+"),
    ):
        with pytest.raises(Invalid, match=why):
            mount(sim, Clock(1)).configure(config, ENTROPY, "x")
        assert not any(sim.programs) and not any(sim.erases)
    for sector, unit, least in ((256, 4, 492), (512, 16, 528), (512, 256, 1280)):
        with pytest.raises(Invalid, match="has no room for the %d that" % least):
            mount(FlashSim(40, sector, 256, unit), Clock(1))
    store, _ = fresh()
    name = store.name
    with pytest.raises(Invalid):
        store.configure(CONFIG, ENTROPY, "x")
    assert mount(store.region.flash, Clock(1)).name == name


def test_a_region_that_holds_something_else_is_refused_and_left_alone():
    for address in (0, 100, 5000):
        sim = flash()
        sim.program(address // 4 * 4, b"MZ..")
        sim.program(8192, b"....")
        before = bytes(sim.bytes)
        refuses_to_begin(mount(sim, Clock(1)))
        assert bytes(sim.bytes) == before
    sim = flash()
    sim.program(0, b"\xd2\xcd\x31\x00")  # one sector, but the first: a file system's
    refuses_to_begin(mount(sim, Clock(1)))


def refuses_to_begin(store):
    """It can be looked at, and nothing more."""
    assert store.damage and store.kernel is None
    with pytest.raises(Damage):
        store.configure(CONFIG, ENTROPY, "x")


def test_no_geometry_that_cannot_be():
    for unit, sector, page in ((3, 512, 256), (8, 512, 12), (4, 700, 256)):
        with pytest.raises(
            Invalid,
            match="sector %d, page %d and program unit %d do not divide" % (sector, page, unit),
        ):
            Region(FlashSim(4, sector, page, unit))


# -- a full log ------------------------------------------------------------------------------------


def fill(store, witness):
    n = 0
    while True:
        (result,) = witness.act(
            store,
            (
                "execute",
                [
                    put(n)
                    + (
                        lambda m, seq, n=n: m.put(
                            seq, "k", b"%d" % (n % 1000), m.keys.get(b"k", (0,))[0]
                        ),
                    )
                ],
            ),
        )
        n += 1
        if isinstance(result, LogFull):
            return n
        assert n < 5000, "the log never fills"


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_full_log_refuses_keeps_all_and_goes_on_once_acknowledged(geometry):
    store, witness = fresh(flash(*geometry))
    assert fill(store, witness) > 20
    for _ in range(20):  # a snapshot may be under way, and what was due may be written meanwhile
        fill(store, witness)
    before = bytes(store.region.flash.bytes), bytes(store.kernel.arena.bytes), store.seq
    assert isinstance(store.execute([put(1)])[0], LogFull)
    assert (bytes(store.region.flash.bytes), bytes(store.kernel.arena.bytes), store.seq) == before
    witness.booted(store)
    witness.act(store, ("checkpoint",))  # the reserve is for these
    again = mount(store.region.flash, Clock(1))
    witness.booted(again)
    fill(again, witness)
    for _ in range(3):
        witness.act(again, ("acknowledge", 0))
        assert fill(again, witness) > 5, "acknowledged, but the log stays full"


def test_the_smallest_ring_goes_round_for_ever():
    """A ring of three, one of them reserved: everything hangs on snapshots being taken in time."""
    for slots in ((2, 7, 5, 6, 4, 3, 5), (2, 60, 20, 20, 10, 3, 5)):
        region = Region(flash())
        size = region.slot_size(arena.CHUNK * arena.layout(slots)[1])
        store, witness = fresh(flash(sectors=2 * size + 3), slots)
        while turns(store) < 30:
            witness.act(store, ("acknowledge", 0))
            assert fill(store, witness) > 3
        witness.booted(mount(store.region.flash, Clock(1)))


@pytest.mark.parametrize("sector", (2048, 16384))
@pytest.mark.parametrize("ring", (3, 4, 8))
def test_no_command_is_refused_while_the_host_keeps_up(sector, ring):
    """Not the one, either, before which the frame that names a snapshot opens a sector."""
    store = Store(FlashSim(2 + ring, sector, 256, 4, seed=1), lambda: 0)
    store.configure((1, 2, 0, 0, 3, 0, 4), bytes(16), "x")
    i = 0
    while turns(store) < 5:
        put = frames.put(b"k%d" % (i % 3), b"%04d" % (i % 1000))
        assert isinstance(store.execute([(kernel.PUT, put, None)])[0], int)
        if i % 7 == 0:
            store.acknowledge(store.seq + 1)
        i += 1


def test_overwrite_waives_the_acknowledgement_but_not_the_snapshots():
    store, witness = fresh(policy=frames.OVERWRITE)
    application = Application(Chance(2), acknowledges=False)
    while turns(store) < 30:
        result = witness.act(store, application.action(witness.model))
        assert not isinstance(result, LogFull)
        if turns(store) > 8:
            for slot in store.slots:
                assert slot is None or slot.seq + 1 >= store.first().first
    with pytest.raises(NotFound):
        store.read_frames(1, b"")
    witness.booted(mount(store.region.flash, Clock(1)))


# -- rotation --------------------------------------------------------------------------------------


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_wear_is_even_over_many_turns(geometry):
    store, witness = fresh(flash(*geometry))
    sim, region = store.region.flash, store.region
    ring = range(region.ring(), region.sectors)
    while store.top < 26 * store.region.turn:
        store.acknowledge(store.seq + 1)
        for _ in range(4):
            store.execute([put(store.seq)] * 3)
    assert max(sim.erases[i] for i in ring) - min(sim.erases[i] for i in ring) <= 2
    mean = sum(sim.erases) / len(sim.erases)
    assert max(sim.erases) / mean <= 2, (max(sim.erases), mean, sim.erases)
    # the sector with the genesis' mark was not erased for it
    assert all(0 <= region.record(i)[0] - sim.erases[i] <= (i == region.sectors - 2) for i in ring)
    again = mount(sim, Clock(1))
    assert (again.seq, again.head, again.kernel.root()) == (
        store.seq,
        store.head,
        store.kernel.root(),
    )


@pytest.mark.parametrize("unit", [1, 2, 4, 8, 16, 32])
def test_the_cost_of_a_byte(unit):
    """At most 1.05 bytes programmed for each byte of frame, snapshots aside, on a real sector; with
    larger units, for each byte of the frame rounded up once."""
    sim = FlashSim(64, 4096, 256, unit)
    store, witness = fresh(sim, (16, 100, 10, 10, 10, 16, 16))
    slots = store.region.ring()
    spent = []
    program = sim.program
    sim.program = lambda address, data: (
        spent.append(len(data) if address // 4096 >= slots else 0),
        program(address, data),
    )
    start, size = store.seq, 0
    for i in range(90):
        store.execute([(kernel.INSERT, frames.insert([i] * 16, i, b"sixteen of metas"), None)])
    for data in [bytes(store.read_frames(start + 1, b""))]:
        assert data
    seq = start + 1
    while True:
        data = bytes(store.read_frames(seq, b""))
        if not data:
            break
        at = 0
        while at < len(data):
            length = frames.length_at(data, at)
            size += length if unit <= 8 else store.region.pad(length)
            at += length
            seq += 1
    assert seq > start + 90 and size > 90 * 64
    assert size <= sum(spent) <= 1.10 * size


# -- snapshots -------------------------------------------------------------------------------------

WIDE = (8, 100, 40, 40, 20, 16, 16)


def moving_snapshot(acts=400):
    """Take snapshots in steps while commands change every chunk; return (history, store) after
    checking each as it is done."""
    store, witness = fresh(flash(sectors=40), WIDE)
    application = Application(Chance(6))
    done = 0
    header = None
    for _ in range(acts):
        witness.act(store, application.action(witness.model))
        if store.saver and store.saver.header:
            header = store.saver.header
        elif header:
            slot, newest = store.newest_snapshot()
            data = b"".join(
                bytes(store.read_snapshot(slot, newest.generation, at, 800))
                for at in range(0, newest.length, 800)
            )
            head, arena_bytes = witness.history[newest.seq]
            assert newest.head == head and data == arena_bytes, (
                "the snapshot is not the state at its seq"
            )
            header = None
            done += 1
        if done == 3:
            break
    assert done
    return store


def test_a_snapshot_taken_while_commands_go_on_is_the_state_at_its_seq():
    moving_snapshot()


def test_copy_before_write_is_what_makes_it_so(monkeypatch):
    def skipping(self, chunk):
        self.arena.touched[chunk] = arena.CLEAN

    monkeypatch.setattr(
        Saver,
        "begin",
        lambda self, header, begin=Saver.begin: (
            begin(self, header),
            setattr(self.arena, "before_write", lambda chunk: skipping(self, chunk)),
        ),
    )
    with pytest.raises(AssertionError, match="not the state at its seq"):
        moving_snapshot()


def test_a_snapshot_of_changed_chunks_only_would_be_wrong(monkeypatch):
    """Saved late instead of before the write."""
    monkeypatch.setattr(
        arena.Arena,
        "touch",
        lambda self, at, touch=arena.Arena.touch: (
            setattr(self, "before_write", self.before_write and (lambda chunk: None)),
            touch(self, at),
        )[1],
    )
    with pytest.raises((AssertionError, TypeError)):
        moving_snapshot()


def test_a_snapshot_on_demand():
    store, witness = fresh()
    store.execute([put(1)])
    header = store.take_snapshot()
    # the last frame names the snapshot
    assert header.seq == store.seq - 1 and header.root == store.kernel.root()
    slots_hold(store)
    store.execute([put(2)])
    second = store.take_snapshot()
    assert second.generation == header.generation + 1 and store.newest_snapshot() == (1, second)
    with pytest.raises(NotFound):
        store.read_snapshot(0, 99, 0, 10)
    with pytest.raises(NotFound):
        store.read_snapshot(7, 1, 0, 10)


def test_a_snapshot_saves_the_replay_of_what_it_covers():
    """Recovery begins at the newest snapshot: a log whose older half is unreadable still leads to
    the same state."""
    run = Run(flash(), 4, 200)
    store = run.store
    newest = store.newest_snapshot()[1]
    sim = run.sim.clone(1)
    spoiled = 0
    for i, number in enumerate(store.order[:-1]):
        if i and store.region.run(store.order[i + 1]).first <= newest.seq:
            start = store.region.frames_at(number)
            sim.bytes[start : start + 300] = bytes(300)
            spoiled += 1
    assert spoiled
    again = mount(sim, Clock(1))
    assert again.damage is None and (again.seq, again.head) == (store.seq, store.head)
    assert again.kernel.arena.bytes == store.kernel.arena.bytes


# -- reading the log -------------------------------------------------------------------------------


def torn_log():
    """Return (store, every frame by seq, heads before each seq) of a log with torn tails, boots and
    sector borders."""
    sim = flash(sector=1024, sectors=30)
    store, witness = fresh(sim)
    application = Application(Chance(8), acknowledges=False)
    all_frames = {}
    for i in range(12):
        sim.cut_after(150 + 37 * i)
        try:
            while True:
                witness.act(store, application.action(witness.model))
        except PowerCut:
            sim.power_on()
            store = mount(sim, Clock(i))
            witness.booted(store)
    attempt(witness, store, ("checkpoint",))
    seq, heads = 0, {0: bytes(32)}
    while seq <= store.seq:
        data = bytes(store.read_frames(seq, heads[seq]))
        at = 0
        while at < len(data):
            end = at + frames.length_at(data, at)
            all_frames[seq] = data[at:end]
            from shared_kernel import primitives

            heads[seq + 1] = primitives.hash(heads[seq] + data[at:end])
            at = end
            seq += 1
    assert heads[store.seq + 1] == store.head
    return store, all_frames, heads


def test_frames_are_read_from_any_seq():
    store, all_frames, heads = torn_log()
    assert store.boot > 10 and len(store.order) > 3
    for seq in range(store.seq + 1):
        data = bytes(store.read_frames(seq, heads[seq]))
        expected = b""
        n = seq
        while len(expected) < len(data):
            expected += all_frames[n]
            n += 1
        assert data == expected and data
    assert bytes(store.read_frames(store.seq + 1, store.head)) == b""


def test_frames_are_read_on_although_a_snapshot_went_through_their_buffer():
    store, all_frames, heads = torn_log()
    slot, header = store.newest_snapshot()
    seq, reads = 0, 0
    while seq <= store.seq:
        data = bytes(store.read_frames(seq, heads[seq]))
        at = 0
        while at < len(data):
            assert data[at : at + len(all_frames[seq])] == all_frames[seq]
            at += len(all_frames[seq])
            seq += 1
        assert at
        assert len(store.read_snapshot(slot, header.generation, 0, len(store.group))) == len(
            store.group
        )
        reads += 1
    assert reads > 5


def test_a_wrong_head_or_seq_is_refused():
    store, all_frames, heads = torn_log()
    for seq in range(0, store.seq + 2, 3):
        store.reader = None
        with pytest.raises(FormatError):
            store.read_frames(seq, bytes([heads[seq][0] ^ 1]) + heads[seq][1:])
        store.reader = None
        with pytest.raises(FormatError):
            store.read_frames(seq, bytes([heads[seq][0] ^ 1]))
        store.read_frames(seq, heads[seq][:8])
    store.reader = None
    with pytest.raises(NotFound):
        store.read_frames(store.seq + 2, b"")


def test_a_damaged_log_is_served_up_to_the_damage_and_takes_nothing_new():
    history = {}
    run = Run(flash(sectors=40, sector=512), 5, 30, acknowledges=False, history=history)
    store = run.store
    assert len(store.order) > 2 and not any(store.slots)
    victim = store.region.frames_at(store.order[1]) + 40
    sim = run.sim.clone(1)
    sim.flip(victim, 0)
    again = mount(sim, Clock(1))
    assert again.damage and (again.head, bytes(again.kernel.arena.bytes)) == history[again.seq]
    for call in (
        lambda: again.execute([put(1)]),
        again.take_snapshot,
        lambda: again.log_only(frames.CHECKPOINT, b""),
    ):
        with pytest.raises(Damage):
            call()
    witness = Witness()
    witness.pull(again)
    assert witness.replay.seq == again.seq
    with pytest.raises(Damage):
        again.configure(CONFIG, ENTROPY, "x")
    assert not sum(sim.programs) - sum(run.sim.programs)


def test_a_log_whose_genesis_is_damaged_is_not_begun_anew():
    run = Run(flash(), 3, 12, acknowledges=False)
    start = run.store.region.ring() * 1024
    for address in range(start, start + 300):
        sim = run.sim.clone(1)
        sim.flip(address, 3)
        store = mount(sim, Clock(1))
        assert store.damage or store.kernel
        with pytest.raises((Damage, Invalid)):
            store.configure(CONFIG, ENTROPY, "x")


# -- one at a time ---------------------------------------------------------------------------------


def test_a_call_inside_a_call_is_busy():
    sim = flash()
    store, witness = fresh(sim)
    tries = []

    def intrude():
        for call in (
            lambda: store.execute([put(9)]),
            lambda: store.acknowledge(0),
            lambda: store.ask(kernel.Kernel.root),
            lambda: store.read_frames(0, b""),
            store.take_snapshot,
        ):
            with pytest.raises(Busy):
                call()
            tries.append(1)

    program, erase, read = sim.program, sim.erase, sim.read
    sim.program = lambda *a: (intrude(), program(*a))[1]
    sim.erase = lambda *a: (intrude(), erase(*a))[1]
    application = Application(Chance(4))
    for _ in range(30):
        witness.act(store, application.action(witness.model))
    sim.program, sim.erase = program, erase
    now = store.now
    store.now = lambda: (intrude(), now())[1]
    witness.act(store, application.action(witness.model))
    store.now = now
    sim.read = lambda *a: (intrude(), read(*a))[1]
    store.read_frames(1, b"")
    assert len(tries) > 100
    sim.read = read
    witness.booted(store)
    witness.act(store, ("snapshot",))


class LeapingClock:
    ms = leap = 0

    def __call__(self):
        self.ms += self.leap
        return self.ms & 0x3FFFFFFF


def test_a_clock_that_leaps_between_two_looks_cannot_overfill_a_sector():
    """The clock frame may become due between the check for room and the frame."""
    for before in range(60):
        sim = flash(sectors=14)
        witness = Witness()
        clock = LeapingClock()
        store = Store(sim, clock)
        witness.act(store, genesis())
        for n in range(before):
            store.execute([put(n)])
        clock.leap = 0x10000001
        store.execute([put(1)])
        clock.leap = 0
        store.execute([put(2)])
        end = mount(sim, clock)
        assert end.damage is None and end.seq == store.seq


def test_the_simulator_enforces_the_rules():
    sim = flash()
    sim.program(0, b"1234")
    for address, data in (
        (0, b"1234"),
        (2, b"1234"),
        (8, b"123"),
        (252, b"12345678"),
        (-4, b"1234"),
        (12 * 1024, b"1234"),
        (8, b""),
    ):
        with pytest.raises(SimulatorError):
            sim.program(address, data)
    with pytest.raises(SimulatorError):
        sim.erase(12)
    loose = FlashSim(2, 512, 256, 1, write_once=False)
    loose.program(0, b"\xf0")
    loose.program(0, b"\x30")
    with pytest.raises(SimulatorError):
        loose.program(0, b"\x40")
    sim.stuck[0] = ("nothing", "raise")
    with pytest.raises(OSError):
        sim.erase(0)
    assert sim.bytes[:4] == b"1234"


def test_a_refused_command_goes_on_with_a_snapshot():
    store, _ = fresh()
    store.execute([put(1)])
    store.begin_snapshot()
    for _ in range(store.region.slot_sectors + store.kernel.arena.chunks + 3):
        with pytest.raises(NotFound):
            command(store, kernel.DELETE, frames.ident(999))
    assert store.saver is None and store.newest_snapshot()[1].seq >= store.seq - 1


def test_the_table_of_a_stores_attributes_has_room():
    """MicroPython looks for a method among them first: a full table (47, then 59) is gone through
    from end to end at each call."""
    store = Store(FlashSim(12, 1024, 256, 4, seed=1), lambda: 0)
    store.configure((4, 8, 2, 2, 4, 8, 8), bytes(16), "x")
    store.execute([(kernel.INSERT, frames.insert([1, 2, 3, 4]), None)])
    store.take_snapshot()
    assert 47 < len(vars(store)) < 59
