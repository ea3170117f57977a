"""Deliberate one-line breakages of the store, and the fault runs that must turn red for each. What no run notices is not tested."""

import random

import pytest

from shared_kernel import primitives, reader, recovery, region, replay, saver, store
from shared_kernel.arena import CHUNK, layout
from shared_kernel.errors import FlashError, FormatError
from shared_kernel.kernel import put_u32, u32
from shared_kernel.snapshot import HEADER, decode
from tests.faults.harness import Application, Chance, Clock, Run, Witness, attempt, genesis, live_on, mount, perform, slots_hold
from tests.faults.test_flips import flip_all
from tests.flashsim import FlashSim, PowerCut, SimulatorError

Region, LogReader, Recovery, Replay, Saver, Store = (region.Region, reader.LogReader, recovery.Recovery, replay.Replay,
                                                     saver.Saver, store.Store)


# -- fault runs: each passes on the store as it is ----------------------------------------------------------------------------


def cuts():
    page = 256
    run = Run(FlashSim(12, 1024, page, 4, seed=2), 2, 100)
    for sim, witness, place in run.cuts(sorted(random.Random(2).sample(run.steps(), 60))):
        found = mount(sim.clone(1), Clock(1))
        if found.kernel and found.skipped:
            assert not found.address % page, "the log goes on in the page that a cut has torn"
        live_on(sim, witness, place[0], actions=4, cuts=1)


def rotation():
    run = Run(FlashSim(12, 512, 256, 4, seed=3), 3, 220)
    assert run.store.epoch > 12
    run.witness.booted(mount(run.sim, Clock(1)))
    slots_hold(run.store)


def full():
    """Nobody acknowledges: the ring fills, and nothing of it may go."""
    run = Run(FlashSim(12, 512, 256, 4, seed=3), 3, 220, acknowledges=False)
    assert run.refused > 20


def slow_snapshots(ring=3):
    """A small ring and an arena of many chunks, all acknowledged: only the snapshots hold the log back."""
    config = (2, 200, 100, 100, 40, 3, 5)
    sim = FlashSim(2 * Region(FlashSim(1, 1024, 256, 4)).slot_size(CHUNK * layout(config)[1]) + ring, 1024, 256, 4, seed=5)
    witness = Witness()
    here = mount(sim, Clock(5))
    witness.act(here, genesis(config))
    application = Application(Chance(5))
    erase, begin, covered = sim.erase, here._saver, [0]

    def both():  # how far both snapshots cover the log, or did when one of them began to be written over
        if here.saver is None:
            covered[0] = min(slot.seq + 1 if slot else 0 for slot in here.slots)

    def saver():
        both()
        return begin()

    def recycle(sector):
        both()
        if sector >= here.region.ring() and here.region.opened(sector):
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
    assert here.epoch > 6 and any(here.slots)


def moving_snapshots():
    """A ring wide enough for snapshots that are taken step by step while commands change the chunks."""
    slow_snapshots(12)


def snapshots_cut():
    """A slot without a whole arena never has a header, but for an erase that was cut."""
    run = Run(FlashSim(14, 512, 256, 4, seed=2), 2, 100)
    places = [(i, step) for i, step in run.steps() if run.trace[i][1] and run.trace[i][0] < 6 * 512]
    for sim, _, _ in run.cuts(places[::11]):
        where = Region(sim)
        where.erase_count(run.store.region.ring())
        size = run.store.kernel.arena.size
        for slot in (0, 1):
            data = bytearray(size + HEADER)
            where.slot_read(slot, 0, data)
            try:
                header = decode(data[size:])
            except FormatError:
                continue
            assert primitives.hash(data[:size]) == header.root, "slot %d has a header, but not the arena to it" % slot
    assert len(places) > 300


def bad_chunk():
    """A chunk cannot be programmed: the snapshot is given up, and counts for nothing."""
    sim = FlashSim(14, 512, 256, 4, seed=9)
    witness = Witness()
    here = mount(sim, Clock(9))
    witness.act(here, genesis())
    application = Application(Chance(9))
    spoiled = 0
    while spoiled < 8:
        witness.act(here, ("execute", [application.command(witness.model)]))
        witness.act(here, ("acknowledge", 0))
        sim.stuck = {}
        if here.saver and here.saver.header and here.saver.chunk == 0:
            sim.stuck = {here.saver.slot * here.region.slot_sectors: ("nothing", None)}
            spoiled += 1
        if any(here.slots):
            slots_hold(here)


def half_erased():
    """A sector that was being recycled keeps its old erase record, and reads blank after it."""
    run = Run(FlashSim(12, 512, 256, 4, seed=3), 3, 220)
    assert run.store._spent()
    for keep in (0, 16, 108, 200):
        sim = run.sim.clone(keep)
        sim.half_erase(run.store.order[0], keep)
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
            witness.pending = action = ("execute", [application.command(witness.model) for _ in range(3)])
            sim.stuck = {each: ("raise", "raise") for each in range(12)}
            try:
                perform(here, action)
            except (FlashError, OSError):
                pass
            sim.stuck = {}
            witness.booted(here)
        attempt(witness, here, application.action(witness.model))


def rotted_snapshots():
    """With each slot's newest snapshot spoiled, the other one and the frames after it lead to the same state."""
    run = Run(FlashSim(14, 512, 256, 4, seed=4), 4, 60)
    application = Application(Chance(4))
    for _ in range(60):
        run.witness.act(run.store, application.action(run.witness.model))
        if all(run.store.slots):
            spoiled = run.sim.clone(1)
            spoiled.flip(run.store.newest_snapshot()[0] * run.store.region.slot_sectors * 512 + 100, 1)
            run.witness.clone().booted(mount(spoiled, Clock(1)))


def bad_sectors():
    for mode in (("nothing", None), ("wrong", None), ("raise", None), (None, "nothing"), (None, "raise")):
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
    newest = run.store.order[-1] * 512
    here = list(range(newest, newest + 512)) + [6 * 512 + chance.below(8 * 512) for _ in range(500)]
    flip_all(run.sim, history, here, chance)


def resealed():
    """A clock frame is altered and its CRC made good again. Only the chain can tell; the next boot frame carries it."""
    sim = FlashSim(14, 1024, 256, 4, seed=7)
    witness, clock = Witness(), Clock(7)
    here = mount(sim, clock)
    witness.act(here, genesis())
    witness.act(here, ("clock",))
    address = here.address - here.region.pad(28)
    here = mount(sim, clock)
    witness.act(here, ("checkpoint",))
    frame = bytearray(sim.bytes[address : address + 28])
    frame[14] ^= 1
    put_u32(frame, 24, primitives.crc32(frame[:24], here.seed))
    sim.bytes[address : address + 28] = frame
    assert mount(sim, clock).damage, "an altered frame passes"


# -- breakages ----------------------------------------------------------------------------------------------------------------


def skip_frame_crc(m):
    m.setattr(reader, "crc_fits", lambda *_: True)


def skip_header_crc(m):
    def opened(self, sector):
        data = self.read(sector * self.sector + self.open_at, 92)
        if u32(data, 0) != region.OPEN_MAGIC:
            return None
        return region.Open(u32(data, 4), u32(data, 8), u32(data, 12), u32(data, 16), u32(data, 20), bytes(data[24:56]),
                           bytes(data[56:88]))

    m.setattr(Region, "opened", opened)


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


def recycle_with_one_snapshot(m):
    m.setattr(Store, "_recyclable", lambda self, end: self.acked >= end and any(
        slot and slot.seq + 1 >= end for slot in self.slots))


def recycle_without_an_acknowledgement(m):
    m.setattr(Store, "_recyclable", lambda self, end: all(slot and slot.seq + 1 >= end for slot in self.slots))


def forget_the_acknowledged_seq(m):
    m.setattr(Store, "_next_sector", lambda self, first, head, take=Store._next_sector: (
        setattr(self, "acked", first), take(self, first, head)))


def snapshot_header_first(m):
    """Commit before payload. (A frame's commit is the CRC over all of it: there the order of programming cannot matter.)"""
    m.setattr(Saver, "begin", lambda self, header, begin=Saver.begin: (
        begin(self, header), self.region.slot_program(self.slot, self.arena.size, header.encode())))
    m.setattr(Saver, "commit", lambda self: None if self.failed else self.header)


def snapshot_in_the_newer_slot(m):
    def saver_(self):
        if self.saver is None:
            a, b = self.slots
            slot = 0 if a is None or b is not None and a.seq > b.seq else 1
            self.slots[slot] = None
            self.saver = Saver(self.region, self.kernel.arena, slot)
            self.since_snapshot = 0
        return self.saver

    m.setattr(Store, "_saver", saver_)


def forget_before_write(m):
    m.setattr(Saver, "begin", lambda self, header, begin=Saver.begin: (
        begin(self, header), setattr(self.arena, "before_write", lambda chunk: None)))


def trust_a_snapshot_that_failed(m):
    m.setattr(Saver, "commit", lambda self, commit=Saver.commit: (setattr(self, "failed", False), commit(self))[1])


def trust_a_snapshot_unhashed(m):
    from shared_kernel.kernel import Kernel

    def root(self, whole=Kernel.root):
        import sys

        here = sys._getframe(1)
        return here.f_locals["found"].root if here.f_code.co_name == "_load_snapshot" else whole(self)

    m.setattr(Kernel, "root", root)


def ignore_boot_frames(m):
    m.setattr(LogReader, "_find_boot", lambda self: setattr(self, "boot_seq", -1))


def ignore_the_boot_frames_head(m):
    m.setattr(Replay, "_log_only", lambda self, kind, seq, payload, step=Replay._log_only: step(
        self, kind, seq, payload if kind != 2 else bytes(payload[:4]) + self.head + bytes(payload[36:])))


def trust_a_length(m):
    def frame(self, address, limit, buffer, at):
        self.flash.read(address, memoryview(buffer)[at : at + 12])
        if buffer[at] != 1:
            return 0
        size = 16 + (buffer[at + 2] | buffer[at + 3] << 8)
        self.fetch(address, memoryview(buffer)[at : at + size])
        return size

    m.setattr(Region, "frame", frame)


def no_page_skip_after_a_tear(m):
    m.setattr(Recovery, "_end", lambda self, log, end=Recovery._end: (
        end(self, log), setattr(self, "address", self.region.pad(self.region.used_end(log.address, log.limit)))))


def go_on_inside_a_torn_tail(m):
    m.setattr(Recovery, "_end", lambda self, log, end=Recovery._end: (end(self, log), setattr(self, "address", log.address)))


def no_boot_frame(m):
    m.setattr(Store, "_take", lambda self, found, take=Store._take: (take(self, found), setattr(self, "booted", True)))


def no_search_for_strays(m):
    m.setattr(recovery, "strays", lambda *_: ())


def trust_an_erase_record(m):
    def erase(self, sector, erase=Region.erase):
        start = sector * self.sector
        if not self.erase_count(sector) or not self.is_blank(start + self.open_at, start + self.sector):
            erase(self, sector)

    m.setattr(Region, "erase", erase)


def retry_with_the_wrong_head(m):
    m.setattr(Store, "_next_sector", lambda self, first, head, take=Store._next_sector: take(self, self.seq + 1, self.head))


def no_retry_in_the_next_sector(m):
    def flush(self):
        if self.group_size:
            self.region.program(self.address, memoryview(self.group)[: self.group_size])
            self.address += self.group_size
            self.group_size = 0

    m.setattr(store, "_flush", flush)


def no_rebuild_after_a_failure(m):
    m.setattr(Store, "_rebuild", lambda self, rebuild=Store._rebuild: (
        setattr(self, "busy", False) if self.kernel else rebuild(self)))


def change_the_state_before_the_check(m):
    def command(self, kind, payload, token, command=store._command):
        self.kernel.arena.words[9] += 0x100
        try:
            return command(self, kind, payload, token)
        finally:
            self.kernel.arena.words[9] = self.kernel.arena.words[9] & 0xFFFFFF

    m.setattr(store, "_command", command)


def write_while_recovering(m):
    m.setattr(Recovery, "_end", lambda self, log, end=Recovery._end: (end(self, log), self.region.program(
        self.address, b"\0" * self.region.unit)))


def frames_out_of_order(m):
    """The second command of a group is programmed before the first."""
    execute = Store._execute
    m.setattr(Store, "_execute", lambda self, commands: execute(self, list(commands)[::-1])[::-1])


# Each with the run that must notice it.
BREAKAGES = [(skip_frame_crc, cuts), (skip_header_crc, flips), (trust_a_length, flips), (no_search_for_strays, flips),
             (skip_readback, bad_sectors), (no_retry_in_the_next_sector, bad_sectors), (retry_with_the_wrong_head, bad_sectors),
             (trust_a_snapshot_that_failed, bad_chunk), (no_rebuild_after_a_failure, transient),
             (acknowledge_before_program, rotation), (change_the_state_before_the_check, rotation),
             (write_while_recovering, rotation), (frames_out_of_order, rotation), (forget_before_write, moving_snapshots),
             (recycle_without_an_acknowledgement, full), (forget_the_acknowledged_seq, full),
             (recycle_before_the_snapshot, slow_snapshots), (recycle_with_one_snapshot, slow_snapshots),
             (snapshot_in_the_newer_slot, rotation), (snapshot_header_first, snapshots_cut),
             (trust_a_snapshot_unhashed, rotted_snapshots), (ignore_boot_frames, cuts), (no_boot_frame, cuts),
             (no_page_skip_after_a_tear, cuts), (go_on_inside_a_torn_tail, cuts), (trust_an_erase_record, half_erased),
             (ignore_the_boot_frames_head, resealed)]


@pytest.mark.parametrize("run", sorted({run for _, run in BREAKAGES}, key=lambda run: run.__name__), ids=lambda run: run.__name__)
def test_the_store_as_it_is_survives(run):
    run()


@pytest.mark.parametrize("breakage, run", BREAKAGES, ids=lambda each: each.__name__)
def test_a_broken_store_does_not(breakage, run, monkeypatch, record_property):
    breakage(monkeypatch)
    try:
        run()
    except (Exception, SimulatorError, PowerCut) as e:
        record_property("noticed", "%s: %s" % (type(e).__name__, e))
        return
    pytest.fail("%s does not notice: %s" % (run.__name__, breakage.__name__))
