"""What people who attacked the log found, each in its smallest form."""

import sys
from types import SimpleNamespace

import pytest

from shared_kernel import continuation, frames, genesis
from shared_kernel.arena import CHUNK
from shared_kernel.errors import FlashError, FormatError, Invalid, LogFull
from shared_kernel.frames import CHECKPOINT, VERSION
from shared_kernel.genesis import BEGUN, need_layout
from shared_kernel.kernel import DELETE, INSERT, PUT
from shared_kernel.region import Region
from shared_kernel.run import Run
from shared_kernel.settle import _places
from shared_kernel.store import Store, _flush, command
from shared_kernel.unfinished import marks_of
from tests.faults.harness import Clock, mount
from tests.flashsim import Chance, FlashSim, PowerCut
from tests.host import test_restore_cuts as restore_cuts
from tests.quick import long

SMALL = (1, 2, 0, 0, 3, 0, 4)


# -- a sector that holds the largest frame, and not what goes with it ------------------------------


@pytest.mark.parametrize("sector, page, unit", ((1024, 256, 64), (2048, 256, 256), (4096, 256, 1)))
def test_a_sector_of_one_block_holds_the_largest_frame_and_all_that_goes_with_it(
    sector, page, unit
):
    """Or the configuration is refused: what did not fit went to the next sector's beginning."""
    sim = FlashSim(24, sector, page, unit, seed=1)
    region = Region(sim)
    fits = 0
    for dim in range(1, sector // 4):
        config = (dim, 1, 0, 0, 1, 0, 1)
        try:
            slot, block = need_layout(region, config)
        except Invalid:
            break
        fits = dim, slot, block
    dim, _, block = fits
    assert block == sector
    store = Store(sim, lambda: 0)
    store.configure((dim, 1, 0, 0, 1, 0, 1), bytes(16), "t")
    for i in range(24):
        if i % 2 == 0:
            ident = command(store, INSERT, frames.insert([1] * dim))
        else:  # the record goes, so that another has room
            command(store, DELETE, frames.ident(ident))
        seq = store.seq
        store.acknowledge(seq + 1)
        store = Store(sim, lambda: 0)
        assert store.damage is None and store.seq >= seq


# -- the snapshot on which alone the log stands ----------------------------------------------------


def test_a_snapshot_that_alone_has_what_was_recycled_is_not_written_over():
    store = Store(FlashSim(22, 1024, 256, 4, seed=1), lambda: 0)
    store.configure(SMALL, bytes(16), "t")
    store.slots = [
        SimpleNamespace(seq=91, generation=13),
        SimpleNamespace(seq=113, generation=14),
    ]
    store.proved, store.taken = 0, 14
    store.first = lambda: SimpleNamespace(first=93, head=b"")
    store._name_taken = lambda: None  # as where the log has no room for its name
    assert store._slot_to_write() == 0
    store._saver()
    assert store.proved == -1 and store._covered() == 114
    store.taken = -1  # it is of an earlier boot: that one is named, and the other may be no more
    store.slots[0], store.proved = SimpleNamespace(seq=91, generation=13), 0
    assert store._slot_to_write() == 1


# -- a boot's run where another one would end ------------------------------------------------------


def test_a_boots_run_stands_behind_all_that_another_may_have_written():
    sim = FlashSim(12, 8192, 256, 4, seed=1)
    store = mount(sim, Clock(3))
    store.configure((4, 8, 2, 2, 4, 250, 200), bytes(16), "t")
    store.execute([(PUT, frames.put(b"k%d" % i, bytes([i]) * 190), None) for i in range(4)])
    store.execute([(PUT, frames.put(b"k%d" % i, bytes([i]) * 150), None) for i in range(4)])
    region = store.region
    # as one that carries all frames of the run before it, and was cut behind its header
    number = next(_places(mount(sim, Clock(3)), [48, 60, 48]))
    span = 2 * region.block
    region.write_header(Run(number, 0, 0, 4, 1, 0, 0, False, store.name, store.name, [], span))
    store = mount(sim, Clock(3))
    found, region = store.found, store.region
    run = region.run(found.newest)
    assert found.newest > found.run.number and run.span > region.block
    need = [48, region.pad(60), region.pad(48)]
    sector = region.sector_of(found.newest)
    start = sector * region.sector
    here = [each for each in _places(store, need) if region.sector_of(each) == sector]
    end = region.frames_at(found.newest) + run.span
    assert here and all(start + each % region.blocks * region.block >= end for each in here)


# -- an erase, and a genesis after it --------------------------------------------------------------


def cut(sim, act, step):
    """Return (the flash after a cut, whether there was none)."""
    after = sim.clone(step)
    store = Store(after, lambda: 0)
    after.cut_after(step, "all")
    done = True
    try:
        act(store)
    except PowerCut:
        done = False
    after.power_on()
    return after, done


def erase(store):
    continuation.erase(store, store.name, store.head)


def begin(store):
    store.configure(SMALL, b"2" * 16, "t")


@pytest.fixture(scope="module")
def turned():
    """Return a log whose ring has gone round, so that its runs do not stand without a snapshot."""
    sim = FlashSim(12, 2048, 256, 8, seed=1)
    store = Store(sim, lambda: 0)
    store.configure(SMALL, bytes(16), "t", frames.OVERWRITE)
    while store.first().first < 2 or store.proved:
        command(store, PUT, frames.put(b"a", bytes([store.seq & 255])))
    return sim


@pytest.mark.parametrize("stride", (long(1, 5),))
def test_a_cut_in_an_erase_and_one_in_the_genesis_after_it_leave_no_damage(turned, stride):
    blank = begun = 0
    for first in range(0, 400, stride):
        erased, done = cut(turned, erase, first)
        if done:
            break
        store = Store(erased, lambda: 0)
        assert store.damage is None
        if store.name is not None:
            continue
        blank += 1
        for second in range(0, 400, stride):
            again, done = cut(erased, begin, second)
            if done:
                break
            begun += 1
            store = Store(again, lambda: 0)
            assert store.damage is None, (first, second)
            if second % 3 == 0 and store.name is None:  # two marks may stand: a third cut
                third, _ = cut(again, begin, second % 7)
                assert Store(third, lambda: 0).damage is None, (first, second)
    assert blank > 3 and begun > 30


# -- blocks that only read blank -------------------------------------------------------------------


def test_a_cut_that_leaves_a_unit_that_reads_blank_costs_no_sector():
    """Each boot's run begins in the block where the one before was cut at its first unit."""
    sim = FlashSim(10, 4096, 256, 8)
    sim.flicker = "before"
    store = Store(sim, lambda: 0)
    store.configure(SMALL, bytes(16), "t")
    cuts = 0
    for i in range(40):
        store = Store(sim, lambda: 0)
        sim.cut_after(0, "some")
        try:
            command(store, PUT, frames.put(b"a", bytes([i])))
        except PowerCut:
            cuts += 1
        sim.power_on()
        store = Store(sim, lambda: 0)
        assert isinstance(command(store, PUT, frames.put(b"a", bytes([i]))), int)
        store.acknowledge(store.certain() + 1)
        store.take_snapshot()
    assert cuts > 20 and not store.bad


# -- a driver that raises, at any call and more than once -------------------------------------------


class Failing(FlashSim):
    """Raises OSError at these of its programs and erases, counted together; having done them
    first, half or not at all."""

    def __init__(self, *geometry, fails=(), done=0):
        super().__init__(*geometry, seed=1)
        self.fails, self.done, self.count = fails, done, -1

    def _fail(self):
        self.count += 1
        return self.count in self.fails

    def program(self, address, data):
        if not self._fail():
            return super().program(address, data)
        if self.done:
            size = max(1, len(data) // self.unit // self.done) * self.unit
            super().program(address, bytes(data)[:size])
        raise OSError(5)

    def erase(self, sector):
        if not self._fail():
            return super().erase(sector)
        if self.done:
            super().erase(sector)
        raise OSError(5)


GEOMETRY = (12, 4096, 256, 8)


@pytest.mark.parametrize("done", (0, 1, 2))
def test_whatever_a_driver_raises_is_a_flash_error(done):
    """Of a command, of a genesis and of an erase: and what was acknowledged is there."""
    failed = 0
    for first in range(0, 90):
        for gap in (1, 4, 5):
            sim = Failing(*GEOMETRY, fails=(first, first + gap), done=done)
            store = Store(sim, lambda: 0)
            told = None
            for act in (
                lambda s: s.configure(SMALL, bytes(16), "t", frames.OVERWRITE),
                lambda s: command(s, PUT, frames.put(b"a", b"1")),
                lambda s: s.take_snapshot(),
                lambda s: command(s, PUT, frames.put(b"a", b"2")),
                lambda s: s.execute(
                    [(PUT, frames.put(b"a", b"%d" % i), None) for i in range(3, 9)]
                ),
            ):
                try:
                    act(store)
                    told = store.seq
                except (FlashError, Invalid):  # Invalid: there is no log
                    failed += 1
            after = Store(sim, lambda: 0)
            assert after.damage is None and (told is None or after.seq >= told)
    assert failed > 40


# -- a restore whose end fails, and is asked for again ----------------------------------------------


@pytest.fixture(scope="module")
def state():
    """Return (origin, arena) of a log to be gone on with."""
    store = Store(FlashSim(*GEOMETRY, seed=1), lambda: 0)
    store.configure(SMALL, bytes(16), "t")
    for i in range(5):
        command(store, PUT, frames.put(b"a", bytes([i])))
    return restore_cuts.origin_of(store), bytes(store.kernel.arena.bytes)


def restore(store, state, seq=None):
    origin, arena = state
    if seq is not None:
        origin = origin[:1] + (seq,) + origin[2:]
    restore_cuts.restore(store, origin, arena, SMALL)


@pytest.mark.parametrize("done", (0, 1, 2))
def test_the_end_of_a_restore_may_be_asked_for_again(state, done):
    """The simulator tells of any unit that is programmed twice."""
    whole = Failing(*GEOMETRY)
    restore(Store(whole, lambda: 0), state)
    again = 0
    for at in range(whole.count + 1):
        sim = Failing(*GEOMETRY, fails=(at,), done=done)
        store = Store(sim, lambda: 0)
        try:
            restore(store, state)
        except FlashError:
            try:
                continuation.end(store)
                again += 1
            except (FlashError, FormatError, Invalid):
                continue  # to be begun again
        after = Store(sim, lambda: 0)
        assert after.damage is None and after.kernel.root() == state[0][4]
    assert again


def test_a_restore_that_a_cut_ended_is_begun_again(state):
    """Else units would be programmed that may be half programmed and read blank."""
    whole = FlashSim(*GEOMETRY, seed=1)
    restore(Store(whole, lambda: 0), state)
    refused = 0
    for step in range(0, whole.steps, long(1, 5)):
        sim = FlashSim(*GEOMETRY, seed=step)
        store = Store(sim, lambda: 0)
        sim.cut_after(step)
        with pytest.raises(PowerCut):
            restore(store, state)
        sim.power_on()
        store = Store(sim, lambda: 0)
        assert store.damage is None
        if store.name is None:
            with pytest.raises(Invalid, match="no restore has begun"):
                continuation.add(store, 0, state[1][:CHUNK])
            with pytest.raises(Invalid, match="no restore has begun"):
                continuation.end(store)
            refused += 1
            restore(store, state)
        assert Store(sim, lambda: 0).kernel.root() == state[0][4]
    assert refused > 20


# -- the ends of what u32 counts ---------------------------------------------------------------------


def test_no_log_goes_on_to_where_seqs_end(state):
    for seq in (frames.LAST, 2**32 - 2, 2**32 - 1):
        sim = FlashSim(*GEOMETRY, seed=1)
        with pytest.raises(Invalid, match="goes no further"):
            restore(Store(sim, lambda: 0), state, seq)
        assert not any(sim.programs) and not any(sim.erases)
    sim = FlashSim(*GEOMETRY, seed=1)
    store = Store(sim, lambda: 0)
    restore(store, state, frames.LAST - 20)
    told = []
    with pytest.raises(LogFull, match="begin a new one"):
        while True:
            told.append(command(store, PUT, frames.put(b"a", bytes([len(told) & 255]))))
    assert len(told) > 20 and told[-1] < 2**32 - 60000
    after = Store(sim, lambda: 0)
    assert after.damage is None and after.seq >= told[-1]
    with pytest.raises(LogFull, match="begin a new one"):
        command(after, PUT, frames.put(b"a", b"x"))
    with pytest.raises(LogFull, match="begin a new one"):
        after.log_only(frames.CHECKPOINT, b"")


# -- flash that reads otherwise a moment later --------------------------------------------------------


class Fading(FlashSim):
    """Units of slot 1's beginning are readable for so many readings, and read blank from then
    on."""

    readable = 0

    def read(self, address, buffer):
        super().read(address, buffer)
        start = self.sector
        if address <= start + 32 < address + len(buffer) and len(buffer) == 64:
            self.readable -= 1
            if self.readable < 0:
                buffer[:] = b"\xff" * len(buffer)


def test_a_slot_that_fades_while_it_is_read_is_no_slot():
    """As one whose erase was cut, when the log does not name its snapshot."""
    sim = Fading(*GEOMETRY, seed=1)
    sim.readable = 1 << 30
    store = Store(sim, lambda: 0)
    store.configure(SMALL, bytes(16), "t")
    for i in range(4):
        command(store, PUT, frames.put(b"a", bytes([i])))
        if i in (1, 2):
            store.take_snapshot()
    assert all(store.slots)
    for readable in range(4):
        sim.readable = readable
        after = Store(sim, lambda: 0)
        assert after.damage is None and after.seq == store.seq and after.slots[0]


# -- marks on sectors that a cut has left in doubt ------------------------------------------------------


def test_a_mark_goes_to_a_sector_that_was_erased_for_it():
    """Its own program, or an erase of it, may have been cut, though it reads blank."""
    for torn in (None, 10, 11):
        sim = FlashSim(12, 4096, 256, 8, seed=1)
        if torn:
            at = torn * 4096 + 24
            sim.bytes[at : at + 8] = bytes(each | 0x0D for each in BEGUN)
        store = Store(sim, lambda: 0)
        assert store.damage is None
        sim.trace = []
        begin(store)
        erased, _ = sim.trace[0]
        assert sim.trace[:2] == [(erased, None), (erased * 4096 + 24, BEGUN)] and erased in (10, 11)


def test_no_order_of_cuts_in_geneses_leaves_damage_or_programs_what_may_be_torn(state):
    """On a blank region: the simulator tells of a program where a cut may have left something."""
    ends = [0, 0]
    for number in range(long(2000, 300)):
        chance = Chance(number)
        unit = (1, 8, 64, 256)[chance.below(4)]
        sector = (1024, 4096)[chance.below(2)] if unit < 64 else 4096
        sim = FlashSim(12, sector, 256, unit, seed=number)
        sim.flicker = (False, True, "before", "after")[chance.below(4)]
        sim.ecc = not sim.flicker and chance.below(3) == 0
        for i in range(1 + chance.below(4)):
            store = Store(sim, lambda: 0)
            assert store.damage is None
            if store.name is not None:
                break
            sim.cut_after(chance.below((3, 30, 60, 600)[chance.below(4)]))
            try:
                if chance.below(2):
                    store.configure(SMALL, bytes([i]) * 16, "t")
                else:
                    restore(store, state)
            except PowerCut:
                pass
            sim.power_on()
        store = Store(sim, lambda: 0)
        assert store.damage is None
        ends[store.name is None] += 1
    assert min(ends) > 30


def test_units_under_ecc_that_an_erase_left_in_a_marks_sector_are_no_content():
    """Which a cut leaves that falls into that erase: the region is as blank as before."""
    left = 0
    for number in range(long(400, 100)):
        sim = FlashSim(8, 4096, 256, 8, seed=number)
        sim.ecc = True
        for step in (0, 2):
            store = Store(sim, lambda: 0)
            assert store.damage is None and store.name is None
            sim.cut_after(step, "some")
            with pytest.raises(PowerCut):
                begin(store)
            sim.power_on()
            left += len(sim.torn) > 1
        assert Store(sim, lambda: 0).damage is None
        begin(Store(sim, lambda: 0))
    assert left > 20


# -- a second round -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ("_rebuild", "begin", "finish"))
@pytest.mark.parametrize("act", (begin, None))
def test_a_beginning_that_is_interrupted_is_read_anew(state, where, act, monkeypatch):
    """At a line where a board may have no memory left, as in importing what reads the flash."""

    def no_memory(frame, event, arg):
        if frame.f_code.co_name == where and "shared_kernel" in frame.f_code.co_filename:
            sys.settrace(None)
            raise MemoryError

    sim = FlashSim(*GEOMETRY, seed=1)
    store = Store(sim, lambda: 0)
    act = act or (lambda store: store.call(restore, store, state))
    sys.settrace(no_memory)
    try:
        with pytest.raises(MemoryError):
            act(store)
    finally:
        sys.settrace(None)
    if where == "_rebuild" and act is not begin:
        command(store, PUT, frames.put(b"a", b"1"))
    with pytest.raises(Invalid, match="configure|needs a blank|already|there is no log"):
        command(store, PUT, frames.put(b"a", b"1"))
        begin(store)
    if store.name is None:
        begin(store)
    assert Store(sim, lambda: 0).seq == store.seq


def test_a_restore_that_is_begun_again_and_fails_is_not_gone_on_with(state):
    whole = Failing(*GEOMETRY)
    continuation.begin(Store(whole, lambda: 0), SMALL, b"f" * 16, "t", 0, state[0])
    failed = 0
    for at in range(whole.count + 1):
        sim = Failing(*GEOMETRY, done=1)
        store = Store(sim, lambda: 0)
        store.call(continuation.begin, store, SMALL, b"f" * 16, "t", 0, state[0])
        sim.fails = (sim.count + 1 + at, sim.count + 2 + at)
        try:
            store.call(continuation.begin, store, SMALL, b"f" * 16, "t", 0, state[0])
            continue
        except FlashError:
            failed += 1
        with pytest.raises(Invalid, match="no restore has begun"):
            store.call(continuation.add, store, 0, state[1][:CHUNK])
    assert failed > 1


def test_a_genesis_whose_end_was_reported_as_failed_is_a_log_at_once():
    sim = Failing(*GEOMETRY, done=1)
    begin(Store(sim, lambda: 0))
    sim = Failing(*GEOMETRY, fails=(sim.count,), done=1)
    store = Store(sim, lambda: 0)
    with pytest.raises(FlashError):
        begin(store)
    with pytest.raises(Invalid, match="needs a blank region"):
        begin(store)
    assert command(store, PUT, frames.put(b"a", b"1")) == Store(sim, lambda: 0).seq


@pytest.mark.parametrize("done", (0, 2))
def test_a_mark_that_cannot_be_erased_hides_no_log(done):
    """Of a beginning that was cut: the next one is done, or says that it is not."""
    stands = refused = 0
    for step in range(0, 60, 3):
        base = FlashSim(8, 4096, 256, 8, seed=1)
        base.cut_after(step, "all")
        try:
            begin(Store(base, lambda: 0))
        except PowerCut:
            pass
        base.power_on()
        for first in range(0, 34):
            for gap in (1, 2):
                sim = Failing(8, 4096, 256, 8, fails=(first, first + gap), done=done)
                sim.bytes[:], sim.units[:] = base.bytes, base.units
                sim.torn = dict(base.torn)
                store = Store(sim, lambda: 0)
                if store.name is not None:
                    break
                try:
                    begin(store)
                except FlashError:
                    refused += 1
                    continue
                after = Store(sim, lambda: 0)
                assert after.damage is None and after.name == store.name
                stands += 1
    # both fail only where the mark's own sector can be neither erased nor programmed
    assert stands > 100 and 0 < refused < stands // 8


def test_an_erase_and_a_genesis_of_another_layout_are_both_cut():
    """What the erase has marked is found by the layout that the old records tell."""
    config, other = (64, 12, 0, 0, 3, 0, 4), SMALL
    sim = FlashSim(12, 2048, 256, 8, seed=1)
    store = Store(sim, lambda: 0)
    store.configure(config, bytes(16), "t", frames.OVERWRITE)
    assert need_layout(store.region, config) != need_layout(store.region, other)
    while store.top < 3 * store.region.turn or store.proved:
        command(store, PUT, frames.put(b"a", bytes([store.seq & 255])))
    blank = 0
    for first in range(5, 200, long(5, 15)):
        erased, done = cut(sim, erase, first)
        if done:
            break
        if Store(erased, lambda: 0).name is not None:
            continue
        for second in range(0, 60, long(1, 3)):
            again, done = cut(erased, lambda s: s.configure(other, b"2" * 16, "t"), second)
            assert Store(again, lambda: 0).damage is None
            blank += 1
    assert blank > 30


def test_an_erase_names_an_end_that_every_boot_reads():
    """The log's last group was half programmed: void when it was to be erased, whole after that."""
    sim = FlashSim(8, 4096, 256, 8, seed=1)
    sim.in_order = True
    store = Store(sim, lambda: 0)
    store.configure(SMALL, bytes(16), "t", frames.OVERWRITE)
    while store.first().first < 2 or store.proved:
        command(store, PUT, frames.put(b"a", bytes([store.seq & 255])))
    sim.cut_after(2, "some")
    with pytest.raises(PowerCut):
        command(store, PUT, frames.put(b"a", b"3"))
    sim.power_on()
    gone = 0
    for step in range(200):
        here = sim.clone(step)
        here.flicker = "before"
        store = Store(here, lambda: 0)
        assert not store.booted
        here.cut_after(step, "all")
        try:
            erase(store)
            break
        except PowerCut:
            pass
        here.power_on()
        here.flicker = "after"
        after = Store(here, lambda: 0)
        assert after.damage is None
        gone += after.name is None
    assert gone > 20


def test_numbers_that_only_grow_end_before_they_wrap():
    """An image may bear any: nothing is acknowledged that a later boot would not read."""
    for what in ("boot", "generation"):
        sim = FlashSim(8, 2048, 256, 8, seed=1)
        store = Store(sim, lambda: 0)
        store.configure(SMALL, bytes(16), "t", frames.OVERWRITE)
        setattr(store, what, 0xFFFFFFFE)
        store.take_snapshot()
        store = Store(sim, lambda: 0)
        assert store.damage is None
        with pytest.raises(LogFull, match="goes no further"):
            command(store, PUT, frames.put(b"a", b"1"))


def test_a_boot_frame_that_is_none_says_nothing_before_a_snapshot():
    for number in range(72):  # one of them ends what is read together with its 16 bytes
        sim = FlashSim(8, 8192, 256, 8, seed=1)
        store = Store(sim, lambda: 0)
        store.configure((1, 2, 0, 0, 3, 0, 800), bytes(16), "t")
        for i in range(2 + number % 3):
            command(store, PUT, frames.put(b"a", bytes([i]) * 200))
        for _ in range(number // 3):
            store._small(0x85, b"", False)
            _flush(store)
        store._small(frames.BOOT, b"", False)
        _flush(store)
        store.take_snapshot()
        assert Store(sim, lambda: 0).cuts == []


class Deaf(FlashSim):
    """Three of its readings in a row fail, once."""

    fails, count = -3, 0

    def read(self, address, buffer):
        self.count += 1
        if 0 <= self.count - self.fails < 3:
            raise OSError(5)
        super().read(address, buffer)


def test_readings_that_fail_at_one_boot_lose_nothing():
    """Not even of the byte by which a run's header is known."""
    sim = Deaf(8, 4096, 256, 8, seed=1)
    store = Store(sim, lambda: 0)
    store.configure(SMALL, bytes(16), "t", frames.OVERWRITE)
    while len(store.order) < 4:
        command(store, PUT, frames.put(b"a", bytes([store.seq & 255])))
    sim.count = 0
    Store(sim, lambda: 0)
    readings = sim.count
    for number in range(1, readings):
        sim.count, sim.fails = 0, number
        after = Store(sim, lambda: 0)  # which writes nothing
        assert after.damage is None and (after.seq, after.head) == (store.seq, store.head)
    assert readings > 100


def test_a_log_begins_although_the_other_marks_sector_is_dead():
    """After a genesis that was cut and has left its mark."""
    for dead in (6, 7):
        sim = FlashSim(8, 4096, 256, 8, seed=1)
        sim.cut_after(8, "all")
        with pytest.raises(PowerCut):
            begin(Store(sim, lambda: 0))
        sim.power_on()
        marked = [each for each, _ in marks_of(Store(sim, lambda: 0).region)]
        if dead in marked:
            continue
        sim.stuck[dead] = ("raise", "raise")
        begin(Store(sim, lambda: 0))
        assert Store(sim, lambda: 0).name is not None
        return
    raise AssertionError("neither sector is free of marks")


@pytest.mark.parametrize("boots", (0, 1))
def test_a_log_at_its_last_number_can_be_erased_and_a_new_one_begun(state, boots):
    sim = FlashSim(*GEOMETRY, seed=1)
    store = Store(sim, lambda: 0)
    restore(store, state, frames.LAST - 20)
    store.top = frames.LAST  # as after very many turns of the ring
    store._next_run(store.seq + 1, store.head)
    with pytest.raises(LogFull, match="begin a new one"):
        while True:
            command(store, PUT, frames.put(b"a", b"1"))
    for _ in range(boots):
        store = Store(sim, lambda: 0)
    while store.newest_snapshot()[0] != 0 or store.proved != 0:
        store.take_snapshot()
    begun = 0
    for step in range(0, 200, 5):
        here, done = cut(sim, erase, step)
        after = Store(here, lambda: 0)
        if after.name is None:  # what is left has records with such numbers
            begin(after)
            after = Store(here, lambda: 0)
            assert command(after, PUT, frames.put(b"a", b"1")) > 0 and after.top < 1000
            begun += 1
        if done:
            break
    assert begun > 5


def test_no_span_leads_out_of_the_region():
    """A header in the last sector whose span ends less than 8 bytes behind it."""
    sim = FlashSim(8, 4096, 256, 4, seed=1)
    store = Store(sim, lambda: 0)
    store.configure(SMALL, bytes(16), "t")
    region = store.region
    command(store, PUT, frames.put(b"a", b"1"))
    number = region.base(7, store.top)
    region.erase(7, number)
    span = 8 * 4096 - region.frames_at(number) + 8
    span -= span % 8
    run = Run(number, store.number, 1, 1, 1, 0, 0, False, store.name, store.head, [], span)
    region.write_header(run)
    at = 8 * 4096 - 44  # what may be the checkpoint that the span ends with
    sim.bytes[at : at + 4] = bytes((VERSION, CHECKPOINT, 32, 0))
    assert Store(sim, lambda: 0).seq == 1


def test_a_genesis_that_does_not_stand_was_not_begun(monkeypatch):
    """As on a flash that has forgotten what it was given, or shows an older record."""
    sim = FlashSim(*GEOMETRY, seed=1)
    finish = genesis.finish

    def forgetful(region):
        finish(region)
        sim.bytes[region.frames_at(0) + 20] ^= 1

    monkeypatch.setattr(genesis, "finish", forgetful)
    store = Store(sim, lambda: 0)
    with pytest.raises(FlashError, match="does not hold it"):
        begin(store)
    assert Store(sim, lambda: 0).damage
