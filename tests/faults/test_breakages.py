"""Deliberate one-line breakages of the store, and the fault runs that must turn red for each. What
no run notices is not tested."""

import inspect
import random

import pytest

from shared_kernel import frames, primitives, reader, recovery, region, run, saver, settle, store
from shared_kernel.arena import CHUNK, layout
from shared_kernel.errors import FlashError, FormatError
from shared_kernel.kernel import INSERT, PUT, Kernel, put_u32
from shared_kernel.replay import Replay
from shared_kernel.snapshot import HEADER, decode
from tests.faults.harness import (
    Application,
    Chance,
    Clock,
    Run,
    Witness,
    attempt,
    genesis,
    live_on,
    mount,
    perform,
    slots_hold,
)
from tests.faults.test_flips import flip_all
from tests.flashsim import ERASE_STEPS, FlashSim, PowerCut, SimulatorError
from tests.mutate import mutate

Region, LogReader, Saver, Store = region.Region, reader.LogReader, saver.Saver, store.Store


# -- fault runs: each passes on the store as it is -------------------------------------------------


def cuts():
    for sector, sectors in ((1024, 12), (4096, 10)):
        run = Run(FlashSim(sectors, sector, 256, 4, seed=2), 2, 100)
        for sim, witness, place in run.cuts(sorted(random.Random(2).sample(run.steps(), 40))):
            live_on(sim, witness, place[0], actions=4, cuts=1)


def flickering(first="after", then="before"):
    """What a cut left half programmed reads one way at the next boots, which are cut too, and
    another way later."""
    run = Run(FlashSim(12, 1024, 256, 4, seed=4), 4, 80)
    for sim, witness, place in run.cuts(run.steps()[::9]):
        for number in range(1 + place[0] % 3):
            sim.flicker = first
            here = mount(sim, Clock(number))
            witness.booted(here)
            sim.cut_after(place[1] * 31 % 130)
            try:
                for _ in range(4):
                    action = (
                        Application(Chance(place[0] + number)).action(witness.model)
                        if witness.model
                        else genesis()
                    )
                    attempt(witness, here, action)
            except PowerCut:
                pass
            sim.power_on()
        sim.flicker = then
        witness.booted(mount(sim, Clock(9)))
        live_on(sim, witness, place[0], actions=2, cuts=0)


def groups():
    """A group of three commands is there whole, or not at all."""
    sim = FlashSim(12, 1024, 256, 4, seed=5)
    here = mount(sim, Clock(1))
    here.configure((2, 7, 5, 6, 4, 3, 150), b"sixteen of chaos", "test/1")
    here.execute([(PUT, frames.put("k", b"before"), None)])
    for units in range(0, 200, 3):
        flash = sim.clone(units)
        again = mount(flash, Clock(2))
        again.read_frames(0, b"")
        flash.cut_after(units)
        try:
            again.execute([(PUT, frames.put("k", b"%0150d" % n), None) for n in (1, 2, 3)])
        except PowerCut:
            flash.power_on()
        assert mount(flash, Clock(3)).ask(Kernel.key, b"k")[1] in (b"before", b"%0150d" % 3), (
            "a part of a group counts"
        )


def content():
    """A record that holds, where the second copy of a run's header stands in a later block, the
    header of a newer run."""
    sim = FlashSim(12, 4096, 256, 4, seed=5)
    here = mount(sim, Clock(1))
    here.configure((150, 2, 5, 6, 4, 3, 5), b"sixteen of chaos", "test/1")
    where = here.region
    while here.limit == here.end or here.limit - here.address >= 628:
        here.execute([(PUT, frames.put("k", b"v"), None)])
    number = (
        here.order[-1] - here.order[-1] % where.blocks + here.limit % where.sector // where.block
    )
    assert where.header_at(number) == here.limit
    header = run.Run(
        number, here.order[-1], here.seq + 1, 0, 0, 0, 0, False, here.name, here.head, [], 64
    ).encode()
    header += frames.frame(PUT, frames.put("k", b"w"), here.seq + 1, 0, here.seed)
    vector = (
        bytes(where.header_size - 18) + header + bytes(600 - where.header_size + 18 - len(header))
    )
    here.execute(
        [
            (
                INSERT,
                frames.insert(
                    [
                        int.from_bytes(vector[i : i + 4], "little", signed=True)
                        for i in range(0, 600, 4)
                    ]
                ),
                None,
            )
        ]
    )
    assert mount(sim, Clock(2)).head == here.head, "what a record holds is taken for a run"


def rotation():
    run = Run(FlashSim(12, 512, 256, 4, seed=3), 3, 220)
    assert run.store.top > 2 * run.store.region.turn
    run.witness.booted(mount(run.sim, Clock(1)))
    slots_hold(run.store)


def full():
    """Nobody acknowledges: the ring fills, and nothing of it may go."""
    run = Run(FlashSim(12, 512, 256, 4, seed=3), 3, 220, acknowledges=False)
    assert run.refused > 20


def torn_and_full():
    """The last sector that commands may take is cut in: no boot has room for its run, so what may
    read otherwise later is not handed out."""
    run = Run(FlashSim(15, 512, 256, 4, seed=3), 3, 80, acknowledges=False)
    assert run.refused > 10 and run.store.free_sectors() == run.store.reserve() == 3
    start = run.store.region.ring() * 512
    opened = max(
        i for i, (address, data) in enumerate(run.trace) if data is None and address * 512 >= start
    )
    handed = 0
    for sim, witness, _ in run.cuts([(i, step) for i, step in run.steps() if i > opened]):
        for flicker in ("after", "before", "after"):
            sim.flicker = flicker
            here = mount(sim, Clock(1))
            witness.booted(here)
            handed += here.certain() < here.seq
    assert handed > 30


def reserve():
    """Whatever commands are given, three sectors stay for the runs of boots."""
    run = Run(FlashSim(15, 512, 256, 4, seed=3), 3, 120, acknowledges=False)
    assert run.refused > 20 and run.store.free_sectors() >= 3


def after_boot_frame(sim):
    """Return how many steps a boot's writes take up to the end of its boot frame; None if it has no
    room for one."""
    flash = sim.clone(3)
    flash.flicker = sim.flicker
    here = mount(flash, Clock(2))
    flash.trace, steps = [], 0
    here.read_frames(here.first().first, b"")
    for _, data in flash.trace:
        steps += ERASE_STEPS if data is None else len(data) // flash.unit
        if data and data[:2] == bytes((frames.VERSION, frames.BOOT)):
            return steps
    return None


def piles():
    """Boots cut around the end of their boot frame, one after the other, in a log that is almost
    full."""
    deepest = 0
    for seed in range(12):
        chance = Chance(seed)
        run = Run(FlashSim(22, 512, 256, 4, seed=seed % 5), seed % 5, 12, acknowledges=False)
        sim, witness, here, application = (
            run.sim,
            run.witness,
            run.store,
            Application(chance, False),
        )
        while here.free_sectors() > here.reserve() + 1 + chance.below(3):
            attempt(witness, here, application.action(witness.model))
        for _ in range(8):
            sim.flicker = ("after", "before")[chance.below(2)]
            steps = after_boot_frame(sim)
            if steps is None:
                break
            here = mount(sim, Clock(2))
            deepest = max(deepest, len(here.found.pile))
            sim.cut_after(
                steps + (chance.below(9) if chance.below(4) else -1),
                ("all", "some", None)[chance.below(3)],
            )
            try:
                witness.booted(here)
                for _ in range(3):
                    attempt(witness, here, application.action(witness.model))
            except PowerCut:
                pass
            sim.power_on()
        for sim.flicker in ("before", "after"):
            here = mount(sim, Clock(3))
            witness.booted(here)
        attempt(witness, here, ("acknowledge", 0))
    assert deepest > 3


def behind():
    """Behind a frame that flipped stands a whole later group, or more than one program call: that
    is no cut."""
    sim = FlashSim(12, 4096, 256, 4, seed=5)
    here = mount(sim, Clock(1))
    here.configure((2, 7, 5, 6, 4, 3, 5), b"sixteen of chaos", "test/1")
    address = here.address
    for n in range(20):
        here.execute([(PUT, frames.put("k", b"%d" % n), None)])
        # the flip may be in what says how long the frame is
        for byte in range(20) if n == 19 else (16,) if n else ():
            flipped = sim.clone(n)
            flipped.flip(address + byte, 1)
            assert mount(flipped, Clock(1)).damage, (
                "byte %d of a frame with %d groups behind it" % (byte, n)
            )


def failed_programs():
    """A sector whose programs fail is left at once, within the call: the caller never hears of
    it."""
    for sector, sectors in ((1024, 14), (4096, 10)):
        sim = FlashSim(sectors, sector, 256, 4, seed=5)
        witness = Witness()
        here = mount(sim, Clock(1))
        witness.act(here, genesis())
        application = Application(Chance(3))
        for mode in ("raise", "nothing", "wrong"):
            for n in range(20):
                witness.act(here, ("acknowledge", 0))
                if n == 10:
                    while here.room() < 300:
                        witness.act(here, ("execute", [application.command(witness.model)]))
                    sim.stuck = {here.region.sector_of(here.order[-1]): (mode, None)}
                witness.act(
                    here,
                    ("execute", [application.command(witness.model) for _ in range(1 + n % 3)]),
                )
        assert len(here.bad) == 3
        witness.booted(mount(sim, Clock(2)))


def slow_snapshots(ring=3):
    """A small ring and an arena of many chunks, all acknowledged: only the snapshots hold the log
    back."""
    config = (2, 200, 100, 100, 40, 3, 5)
    sim = FlashSim(
        2 * Region(FlashSim(1, 1024, 256, 4)).slot_size(CHUNK * layout(config)[1]) + ring,
        1024,
        256,
        4,
        seed=5,
    )
    witness = Witness()
    here = mount(sim, Clock(5))
    witness.act(here, genesis(config))
    application = Application(Chance(5))
    erase, begin, covered = sim.erase, here._saver, [0]

    def both():  # how far snapshots cover the log, or did when one of them began to be written over
        if here.saver is None:
            covered[0] = min(slot.seq + 1 if slot else 0 for slot in here.slots)
            for slot in here.slots:
                # this boot's, in a log that has no room to name it
                if slot and slot.generation == here.taken:
                    covered[0] = max(covered[0], slot.seq + 1)

    def saver():
        both()
        return begin()

    def recycle(sector):
        both()
        if sector >= here.region.ring() and sector in [
            here.region.sector_of(each) for each in here.region.numbers()[0]
        ]:
            end = here.first().first  # the sector is off the list by now
            assert covered[0] >= end, "recycled what two snapshots do not cover"
        erase(sector)

    sim.erase, here._saver = recycle, saver
    for i in range(160):
        witness.act(here, ("execute", [application.command(witness.model) for _ in range(5)]))
        here.acknowledge(here.seq + 1)
        witness.acked = here.seq + 1
        if any(here.slots):
            slots_hold(here)
        if i % 9 == 0:
            witness.clone().booted(mount(sim.clone(i), Clock(1)))
    assert here.top > 2 * here.region.turn and any(here.slots)


def moving_snapshots():
    """A ring wide enough for snapshots that are taken step by step while commands change the
    chunks."""
    slow_snapshots(12)


def snapshots_cut():
    """A slot without a whole arena never has a header, but for an erase that was cut."""
    run = Run(FlashSim(14, 512, 256, 4, seed=2), 2, 100)
    places = [(i, step) for i, step in run.steps() if run.trace[i][1] and run.trace[i][0] < 6 * 512]
    for sim, _, _ in run.cuts(places[::11]):
        where = Region(sim)
        where.read_layout()
        size = run.store.kernel.arena.size
        for slot in (0, 1):
            data = bytearray(size + 2 * where.pad(HEADER))
            where.slot_read(slot, 0, data)
            for at in (size, size + where.pad(HEADER)):
                try:
                    header = decode(data[at:])
                except FormatError:
                    continue
                assert primitives.hash(data[:size]) == header.root, (
                    "slot %d has a header, but not the arena to it" % slot
                )
    assert len(places) > 300


def snapshots_that_read_well_once():
    """A snapshot's header whose last unit a cut left half programmed is there at a boot, which
    takes two more, and gone later."""
    base = Run(FlashSim(14, 512, 256, 4, seed=2), 2, 100)
    gone = 0
    for n in range(40):
        sim, witness = base.sim.clone(n), base.witness.clone()
        here = mount(sim, Clock(2))
        witness.booted(here)
        attempt(witness, here, ("acknowledge", 0))
        attempt(witness, here, ("snapshot",))
        here.begin_snapshot()
        saver = here.saver
        while not saver.header:
            here.call(here._step)
        while saver.save_next():
            pass
        sim.cut_after(here.region.pad(HEADER) // 4 - 1, "some")
        try:
            here.call(here._step)
        except PowerCut:
            pass
        for flicker in ("after", "before"):
            sim.power_on()
            sim.flicker = flicker
            here = mount(sim, Clock(3))
            gone += flicker == "after" and here.newest_snapshot()[0] == saver.slot
            witness.booted(here)
            sim.cut_after(n * 17)
            try:
                for _ in range(2):
                    attempt(witness, here, ("snapshot",))
            except PowerCut:
                pass
        sim.power_on()
        witness.booted(mount(sim, Clock(4)))
    assert gone == 40


def bad_chunk():
    """A chunk cannot be programmed: the snapshot is given up, and counts for nothing."""
    for spoiled in range(8):
        sim = FlashSim(14, 512, 256, 4, seed=spoiled)
        witness = Witness()
        here = mount(sim, Clock(9))
        witness.act(here, genesis())
        application = Application(Chance(spoiled))
        while not (here.saver and here.saver.header and here.saver.chunk == 0):
            witness.act(here, ("execute", [application.command(witness.model)]))
            witness.act(here, ("acknowledge", 0))
        sim.stuck = {here.saver.slot * here.region.slot_sectors: ("nothing", None)}
        for _ in range(20):
            witness.act(here, ("execute", [application.command(witness.model)]))
            if any(here.slots):
                slots_hold(here)


def half_erased():
    """A sector that was being recycled keeps its record, or that and its run's header, and reads
    blank after it."""
    run = Run(FlashSim(12, 512, 256, 4, seed=3), 3, 220)
    assert run.store._spent()
    for keep in (0, 20, 124, 228, 300):
        sim = run.sim.clone(keep)
        sim.half_erase(run.store.region.sector_of(run.store.order[0]), keep)
        here = mount(sim, Clock(1))
        log = LogReader(here.region, here.order, here.seed, bytearray(2048), 0)
        log.enter(here.order[0])
        while log.next():
            pass
        assert log.seq == here.seq + 1, "it cannot be read from its beginning on"
        live_on(sim, run.witness.clone(), keep, actions=30, cuts=0)


def transient():
    """The flash fails altogether, then works again."""
    sim = FlashSim(12, 1024, 256, 4, seed=1)
    witness = Witness()
    here = mount(sim, Clock(1))
    witness.act(here, genesis())
    application = Application(Chance(1))
    for i in range(40):
        if i % 5 == 4:
            witness.pending = action = (
                "execute",
                [application.command(witness.model) for _ in range(3)],
            )
            sim.stuck = {each: ("raise", "raise") for each in range(12)}
            try:
                perform(here, action)
            except (FlashError, OSError):
                pass
            sim.stuck = {}
            witness.booted(here)
        attempt(witness, here, application.action(witness.model))


def rotted_snapshots():
    """With each slot's newest snapshot spoiled, the other one and the frames after it lead to the
    same state."""
    run = Run(FlashSim(14, 512, 256, 4, seed=4), 4, 60)
    application = Application(Chance(4))
    for _ in range(60):
        run.witness.act(run.store, application.action(run.witness.model))
        if all(run.store.slots):
            spoiled = run.sim.clone(1)
            spoiled.flip(
                run.store.newest_snapshot()[0] * run.store.region.slot_sectors * 512 + 100, 1
            )
            run.witness.clone().booted(mount(spoiled, Clock(1)))


def bad_sectors():
    for mode in (
        ("nothing", None),
        ("wrong", None),
        ("raise", None),
        (None, "nothing"),
        (None, "raise"),
    ):
        for bad in range(0, 14):
            sim = FlashSim(14, 512, 256, 8, seed=bad)
            witness, clock = Witness(), Clock(bad)
            here = mount(sim, clock)
            witness.act(here, genesis())
            application = Application(Chance(bad))
            for i in range(70):
                if i == 12:
                    sim.stuck[bad] = mode
                try:
                    attempt(witness, here, application.action(witness.model))
                except FlashError:
                    assert bad < 6  # a slot's
                if i % 5 == 4 and any(here.slots):
                    slots_hold(here)
                if i % 20 == 19:
                    here = mount(sim, clock)
                    witness.booted(here)


def flips():
    history = {}
    # as short as this, the newest sector has frames that no snapshot covers
    run = Run(FlashSim(14, 512, 256, 4, seed=6), 6, 40, acknowledges=False, history=history)
    chance = Chance(6)
    newest = run.store.region.sector_of(run.store.order[-1]) * 512
    here = list(range(newest, newest + 512)) + [6 * 512 + chance.below(8 * 512) for _ in range(500)]
    flip_all(run.sim, history, here, chance)


def headers():
    """A flip in either copy of any run's header changes nothing."""
    run = Run(FlashSim(12, 4096, 256, 4, seed=6), 6, 120)
    here = mount(run.sim, Clock(1))
    assert len(here.order) > 1
    for number in here.order:
        at = here.region.header_at(number)
        for byte in range(0, 2 * here.region.header_size, 5):
            sim = run.sim.clone(byte)
            sim.flip(at + byte, byte % 8)
            again = mount(sim, Clock(1))
            assert (again.damage, again.head, again.order) == (None, here.head, here.order), (
                "one copy of a header is all it takes"
            )


def reseal(sim, address, seed):
    """Alter the clock frame at an address, and make its CRC good again: only the chain can tell."""
    frame = bytearray(sim.bytes[address : address + 28])
    assert frame[1] == frames.CLOCK
    frame[14] ^= 1
    put_u32(frame, 24, primitives.crc32(frame[:24], seed))
    sim.bytes[address : address + 28] = frame


def clocked():
    """Return (flash, witness, store, address of the clock frame that is its last)."""
    sim = FlashSim(14, 1024, 256, 4, seed=7)
    witness = Witness()
    here = mount(sim, Clock(7))
    witness.act(here, genesis())
    witness.act(here, ("clock",))
    return sim, witness, here, here.address - here.region.pad(28)


def resealed():
    """What a boot repeats is altered: its boot frame tells."""
    sim, witness, here, _ = clocked()
    here = mount(sim, Clock(7))
    witness.act(here, ("checkpoint",))
    address = here.region.frames_at(here.order[-1])
    while sim.bytes[address + 1] != frames.CLOCK:
        address += here.region.pad(frames.length_at(sim.bytes, address))
    reseal(sim, address, here.seed)
    assert mount(sim, Clock(7)).damage, "an altered frame passes"


def resealed_before_a_sector():
    """What stands before a sector's end is altered: the header of the next run tells."""
    sim, _, here, address = clocked()
    while len(here.order) < 2:
        here.execute([(PUT, frames.put("e", b"v"), None)])
    reseal(sim, address, here.seed)
    assert mount(sim, Clock(7)).damage, "an altered frame passes"


def resealed_before_a_snapshot():
    """What a snapshot covers is altered: its chain head tells."""
    sim, _, here, address = clocked()
    here.take_snapshot()
    assert len(here.order) == 1
    reseal(sim, address, here.seed)
    assert mount(sim, Clock(7)).damage, "an altered frame passes"


# -- breakages -------------------------------------------------------------------------------------


def rewrite(m, owner, name, *pairs):
    """Put new text in place of old, for each pair, in the source of a function of a module, or of a
    method of a class."""
    source = inspect.cleandoc("\n" + inspect.getsource(getattr(owner, name)))
    for old, new in pairs:
        source = mutate(source, old, new, name)
    made = {}
    exec(compile(source, name, "exec"), (inspect.getmodule(owner) or owner).__dict__, made)
    m.setattr(owner, name, made[name])


def skip_frame_crc(m):
    m.setattr(reader, "crc_fits", lambda *_: True)


def skip_header_crc(m):
    rewrite(
        m,
        run,
        "is_whole",
        (
            "\n            and primitives.crc32(memoryview(data)[: HEADER - 4], 0) == u32(data, "
            "HEADER - 4)",
            "",
        ),
    )
    m.setattr(region, "is_whole", run.is_whole)


def one_copy_of_a_header(m):
    rewrite(m, Region, "write_header", ("    self.program(at + self.header_size, data)", ""))


def a_header_anywhere(m):
    rewrite(
        m,
        Region,
        "_header",
        ("if first & 1 and first != MAGIC | 1 or not first:", "if first == 0xFF or not first:"),
        ("if not whole and not first & 1:", "if not whole:"),
    )


def skip_readback(m):
    def program(self, address, data):
        size = self.pad(len(data))
        data = bytes(data) + b"\xff" * (size - len(data))
        at = 0
        while at < size:
            n = min(size - at, self.flash.page - (address + at) % self.flash.page)
            self.flash.program(address + at, data[at : at + n])
            at += n

    m.setattr(Region, "program", program)


def acknowledge_before_program(m):
    flush = store._flush
    m.setattr(store, "_flush", lambda self: flush(self) if self.group_size > 300 else None)


def recycle_before_the_snapshot(m):
    m.setattr(Store, "_recyclable", lambda self, end: self.acked >= end)


def recycle_without_an_acknowledgement(m):
    m.setattr(
        Store,
        "_recyclable",
        lambda self, end: all(slot and slot.seq + 1 >= end for slot in self.slots),
    )


def forget_the_acknowledged_seq(m):
    m.setattr(
        Store,
        "_next_run",
        lambda self, first, head, take=Store._next_run: (
            setattr(self, "acked", first),
            take(self, first, head),
        ),
    )


def snapshot_header_first(m):
    """Commit before payload. (A frame's commit is the CRC over all of it: there the order of
    programming cannot matter.)"""
    m.setattr(
        Saver,
        "begin",
        lambda self, header, begin=Saver.begin: (
            begin(self, header),
            self.region.slot_program(self.slot, self.arena.size, header.encode()),
        ),
    )
    m.setattr(Saver, "commit", lambda self: None if self.failed else self.header)


def snapshot_in_the_newer_slot(m):
    m.setattr(Store, "_slot_to_write", lambda self: max(self.proved, 0))


def forget_before_write(m):
    m.setattr(
        Saver,
        "begin",
        lambda self, header, begin=Saver.begin: (
            begin(self, header),
            setattr(self.arena, "before_write", lambda chunk: None),
        ),
    )


def trust_a_snapshot_that_failed(m):
    m.setattr(
        Saver,
        "commit",
        lambda self, commit=Saver.commit: (setattr(self, "failed", False), commit(self))[1],
    )


def trust_a_snapshot_unhashed(m):
    from shared_kernel.kernel import Kernel

    def root(self, whole=Kernel.root):
        import sys

        here = sys._getframe(1)
        return here.f_locals["header"].root if here.f_code.co_name == "_replay" else whole(self)

    m.setattr(Kernel, "root", root)


def count_on_a_snapshot_without_a_name(m):
    def adopt(self, found, take=Store._take):
        take(self, found)
        if any(self.slots):
            self.proved = found.proved = self.newest_snapshot()[0]

    m.setattr(Store, "_take", adopt)


def read_on_past_the_next_run(m):
    rewrite(
        m,
        LogReader,
        "next",
        ("while self.until == self.seq:", "while self.until == self.seq and not self._here():"),
    )


def ignore_the_headers_head(m):
    rewrite(m, LogReader, "next", ("if head is not None and run.head != head:", "if False:"))


def ignore_the_snapshots_head(m):
    rewrite(m, recovery, "_skim", ("if head != header.head:", "if False:"))


def ignore_the_boot_frames_head(m):
    m.setattr(
        Replay,
        "_log_only",
        lambda self, kind, seq, payload, step=Replay._log_only: step(
            self,
            kind,
            seq,
            payload if kind != 2 else bytes(payload[:4]) + self.head + bytes(payload[36:]),
        ),
    )


def trust_a_length(m):
    def frame(self, address, limit, buffer, at):
        self.flash.read(address, memoryview(buffer)[at : at + 12])
        if buffer[at] != 1:
            return 0
        size = 16 + (buffer[at + 2] | buffer[at + 3] << 8)
        self.fetch(address, memoryview(buffer)[at : at + size])
        return size

    m.setattr(Region, "frame", frame)


def go_on_inside_a_torn_tail(m):
    rewrite(
        m,
        settle,
        "_blocks_of",
        (
            "used = region.used_end(start, start + region.sector) - start",
            "used = store.found.end - start",
        ),
    )


def no_boot_frame(m):
    m.setattr(
        Store,
        "_take",
        lambda self, found, take=Store._take: (
            setattr(found, "fresh", found.replay is not None),
            take(self, found),
        ),
    )


def repeat_nothing(m):
    m.setattr(
        settle,
        "_tail",
        lambda store, tail=settle._tail: ([], False) if store.found.intact else tail(store),
    )


def carry_nothing(m):
    """The run after one that may be gone tomorrow depends on it."""
    m.setattr(settle, "_tail", lambda store, tail=settle._tail: ([], False))


def trust_a_group_without_its_end(m):
    m.setattr(recovery, "MORE", 0)


def ignore_what_stands_behind(m):
    m.setattr(recovery, "_goes_on", lambda *_: False)


def ignore_what_stands_behind_the_end(m):
    rewrite(
        m, recovery, "_check_end", ("size > span(replay.kernel.config(), region.unit)", "False")
    )


def keep_a_half_erased_run(m):
    rewrite(m, recovery, "_find_order", ("gone = i + 1", "pass"))


def no_reserve(m):
    m.setattr(Store, "reserve", lambda self: 0)


def all_is_certain(m):
    m.setattr(Store, "certain", lambda self: -1 if self.seq is None else self.seq)


def trust_an_erase_record(m):
    def erase(self, sector, base=0, erase=Region.erase):
        start = sector * self.sector
        if not self.record(sector) or not self.is_blank(
            start + self.record_size, start + self.sector
        ):
            erase(self, sector, base)

    m.setattr(Region, "erase", erase)


def retry_with_the_wrong_head(m):
    m.setattr(
        Store,
        "_next_run",
        lambda self, first, head, take=Store._next_run: take(self, self.seq + 1, self.head),
    )


def no_retry_in_the_next_sector(m):
    def flush(self):
        if self.group_size:
            self.region.program(self.address, memoryview(self.group)[: self.group_size])
            self.address += self.group_size
            self.group_size = 0

    m.setattr(store, "_flush", flush)


def no_rebuild_after_a_failure(m):
    m.setattr(
        Store,
        "_rebuild",
        lambda self, rebuild=Store._rebuild: (
            setattr(self, "busy", False) if self.kernel else rebuild(self)
        ),
    )


def change_the_state_before_the_check(m):
    def command(self, kind, payload, token=None, more=False, command=store._command):
        self.kernel.arena.words[9] += 0x100
        try:
            return command(self, kind, payload, token, more)
        finally:
            self.kernel.arena.words[9] = self.kernel.arena.words[9] & 0xFFFFFF

    m.setattr(store, "_command", command)


def write_while_recovering(m):
    m.setattr(
        recovery,
        "_check_end",
        lambda found, reader, end=recovery._check_end: (
            end(found, reader),
            found.region.program(found.end, b"\0" * found.region.unit),
        ),
    )


def frames_out_of_order(m):
    """The second command of a group is programmed before the first."""
    execute = Store._execute
    m.setattr(Store, "_execute", lambda self, commands: execute(self, list(commands)[::-1])[::-1])


# Each with the run that must notice it.
BREAKAGES = [
    (skip_frame_crc, cuts),
    (skip_header_crc, headers),
    (one_copy_of_a_header, headers),
    (a_header_anywhere, content),
    (trust_a_length, flips),
    (ignore_what_stands_behind, behind),
    (ignore_what_stands_behind_the_end, behind),
    (trust_a_group_without_its_end, groups),
    (read_on_past_the_next_run, flickering),
    (repeat_nothing, flickering),
    (carry_nothing, piles),
    (skip_readback, bad_sectors),
    (no_retry_in_the_next_sector, failed_programs),
    (retry_with_the_wrong_head, failed_programs),
    (trust_a_snapshot_that_failed, bad_chunk),
    (no_rebuild_after_a_failure, transient),
    (acknowledge_before_program, rotation),
    (change_the_state_before_the_check, rotation),
    (write_while_recovering, rotation),
    (frames_out_of_order, rotation),
    (forget_before_write, moving_snapshots),
    (recycle_without_an_acknowledgement, full),
    (forget_the_acknowledged_seq, full),
    (no_reserve, reserve),
    (all_is_certain, torn_and_full),
    (recycle_before_the_snapshot, slow_snapshots),
    (snapshot_in_the_newer_slot, snapshots_that_read_well_once),
    (snapshot_header_first, snapshots_cut),
    (count_on_a_snapshot_without_a_name, snapshots_that_read_well_once),
    (trust_a_snapshot_unhashed, rotted_snapshots),
    (no_boot_frame, cuts),
    (go_on_inside_a_torn_tail, cuts),
    (trust_an_erase_record, half_erased),
    (keep_a_half_erased_run, half_erased),
    (ignore_the_boot_frames_head, resealed),
    (ignore_the_headers_head, resealed_before_a_sector),
    (ignore_the_snapshots_head, resealed_before_a_snapshot),
]


@pytest.mark.parametrize(
    "run",
    sorted({run for _, run in BREAKAGES}, key=lambda run: run.__name__),
    ids=lambda run: run.__name__,
)
def test_the_store_as_it_is_survives(run):
    run()


def test_a_full_log_is_never_stuck():
    """A log that is full most of the time, and cut all along: it is never stuck."""
    for seed in range(5):
        run = Run(FlashSim(15, 512, 256, 4, seed=seed), seed, 100, acknowledges=False)
        sim, witness, chance = run.sim, run.witness, Chance(seed)
        application = Application(chance, False)
        for _ in range(15):
            sim.flicker = ("after", "before", True)[chance.below(3)]
            here = mount(sim, Clock(2))
            sim.cut_after(chance.below(100 + 500 * chance.below(3)))
            try:
                witness.booted(here)
                for _ in range(chance.below(4)):
                    attempt(witness, here, ("acknowledge", 0))
                for _ in range(40):
                    attempt(witness, here, application.action(witness.model))
            except PowerCut:
                pass
            sim.power_on()
        here = mount(sim, Clock(3))
        witness.booted(here)
        for _ in range(3):
            attempt(witness, here, ("acknowledge", 0))
        attempt(witness, here, ("execute", [application.command(witness.model)]))
        assert witness.acted, "all is acknowledged, but the log takes nothing"


@pytest.mark.parametrize("breakage, run", BREAKAGES, ids=lambda each: each.__name__)
def test_a_broken_store_does_not(breakage, run, monkeypatch, record_property):
    breakage(monkeypatch)
    try:
        run()
    except (Exception, SimulatorError, PowerCut) as e:
        record_property("noticed", "%s: %s" % (type(e).__name__, e))
        return
    pytest.fail("%s does not notice: %s" % (run.__name__, breakage.__name__))
