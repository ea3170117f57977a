"""One boot of a history and the operations after it, and what must hold of it: nothing promised is
gone. Chooses nothing."""

import traceback
import zlib
from pathlib import Path
from typing import NamedTuple

from shared_kernel import frames, primitives
from shared_kernel.errors import Damage, FlashError, LogFull, NotFound, QuipuError, Refused
from shared_kernel.kernel import DELETE_KEY, INSERT, PUT
from shared_kernel.reader import LogReader, frame_of
from shared_kernel.run import HEADER
from shared_kernel.snapshot import HEADER as SNAPSHOT_HEADER
from shared_kernel.store import Store, command

from .flash import (
    LENIENT,
    STRICT,
    Cut,
    Flash,
    State,
    Violation,
    overlaid,
    torn_erases,
    torn_programs,
)

FIRST_WORD = 9  # of a snapshot's arena that is not its configuration
TURNS = 8  # boots of a flash that reads by turns, until one finds all that is owed
MARKS = 4  # units that read either way, at most; the oldest settle first
SCRIPTS = (
    ("put", "put", "snapshot", "put"),
    ("pull", "acknowledge", "put", "group"),
    ("snapshot", "acknowledge", "put"),
    ("step", "step", "step", "step", "step", "step", "step"),
    ("group", "delete", "pull", "frames", "put"),
)


class Session:
    """One boot from a state and the operations after it.

    children: the states that cuts, and powering off, leave: [(what happened, State)]
    at: None, or the only program or erase (by its number) that is cut: the session ends there
    limited: a limit of docs/format.md was met: a snapshot was taken before the boot's run, for want
        of sectors in reserve, or that run goes to a sector that another one stands in and may be
        erased from. From there on damage may be said; nothing may go unsaid. Not where `limits` is
        False."""

    limits = True

    def __init__(self, world, state, reading, fail=None, collect=True, at=None):
        self.at = at
        self.world = world
        self.state = state
        self.owed = state.owed
        self.flash = Flash(world, state, reading)
        self.children = []
        self.done = []
        self.number = 0
        self.fail = fail
        self.collect = collect
        self.limited = state.limited
        self.store = mount(self.flash)
        self._unsettled, self.store._snapshot_unsettled = (
            self.store._snapshot_unsettled,
            self._early,
        )

    def _early(self):
        self.limited = self.limits
        return self._unsettled()

    def start(self):
        """The faults begin: from here on programs and erases may be cut."""
        self.flash.fail = self.fail
        if self.collect:
            self.flash.cut = self._cut

    def _cut(self, flash, address, data):
        if self.at is not None and flash.operations <= self.at:
            return
        self._cuts(flash, address, data)
        if self.at is not None:
            raise Cut

    def _cuts(self, flash, address, data):
        owed, before = self.owed, self.state
        base = flash.truth
        fails = before.fails + (1 if flash.failed else 0)
        number = flash.operations - 1
        if data is None:
            for name, left, mark in torn_erases(flash, address):
                sectors = base[:address] + [left] + base[address + 1 :]
                marks = [each for each in flash.marks if each[0] // flash.sector != address]
                if mark:
                    marks.append(mark)
                self._add(
                    "cut in operation %d, erase of sector %d: %s" % (number, address, name),
                    sectors,
                    marks,
                    flash.weak | {address},
                    owed,
                    before.cuts + 1,
                    fails,
                )
            return
        i, at = divmod(address, flash.sector)
        old = base[i]
        found, store = self.store.found, self.store
        if found and found.run and not found.intact and not store.booted:
            self.limited |= self.limits and i == store.region.sector_of(found.run.number)
        for name, left, mark in torn_programs(flash, address, data):
            sectors = list(base)
            sectors[i] = old[:at] + left + old[at + len(left) :]
            self._add(
                "cut in operation %d, program at 0x%x: %s" % (number, address, name),
                sectors,
                flash.marks + [mark] if mark else flash.marks,
                flash.weak,
                owed,
                before.cuts + 1,
                fails,
            )

    def _add(self, what, sectors, marks, weak, owed, cuts, fails):
        self.children.append(
            (
                (tuple(self.done), self.flash.reading, self.fail, what),
                State(
                    tuple(sectors),
                    tuple(marks[-MARKS:]),
                    frozenset(weak),
                    frozenset(self.flash.dead),
                    owed,
                    self.state.boots + 1,
                    cuts,
                    fails,
                    self.state.rots,
                    self.limited,
                ),
            )
        )

    def off(self):
        """Power off between two operations."""
        flash = self.flash
        self._add(
            "off",
            flash.truth,
            flash.marks,
            flash.weak,
            self.owed,
            self.state.cuts,
            self.state.fails + (1 if flash.failed else 0),
        )

    def run(self, script):
        for operation in script:
            self.done.append(operation)
            self.do(operation)
            if self.collect and self.at is None:
                self.off()

    def do(self, operation):
        """Carry out one operation and note what it promises."""
        store, owed = self.store, self.owed
        self.number += 1
        value = bytes((self.state.boots & 255, self.number, 7, 7))
        try:
            if operation == "put":
                command(store, PUT, frames.put(b"a", value[: self.world.config[6]]))
            elif operation == "delete":
                command(store, DELETE_KEY, frames.delete_key(b"a"))
            elif operation == "configure":
                if store.name is None:
                    store.configure(self.world.config, bytes(range(16)), "t", self.world.policy)
            elif operation == "group":
                got = store.execute(
                    [
                        (PUT, frames.put(b"a", value[:2]), None),
                        (PUT, frames.put(b"b", value[:3]), None),
                    ]
                )
                if not all(isinstance(each, int) for each in got):
                    return
            elif operation == "frames":
                self.insert_frames()
            elif operation == "snapshot":
                store.take_snapshot()
                return
            elif operation == "step":
                store.begin_snapshot()
                command(store, PUT, frames.put(b"a", value[: self.world.config[6]]))
            elif operation == "pull":
                self.pull()
                return
            elif operation == "acknowledge":
                if owed.host_seq >= 0:
                    store.acknowledge(owed.host_seq + 1)
                return
            elif operation == "checkpoint":
                store.log_only(frames.CHECKPOINT, b"")
        except (LogFull, FlashError):
            return
        except Refused:
            # the pool is full, or what is to be deleted is not there: this too is an answer
            return
        self.owed = owed._replace(seq=store.seq, head=store.head)

    def insert_frames(self):
        """Insert a record whose metadata is two whole frames of this log, of the insert's own seq
        and of the one after it, each where a program unit begins; a put where the records are all
        taken."""
        store = self.store
        config = self.world.config
        if store.kernel.records.live() == config[1] or config[5] < 64 or not store.booted:
            command(store, PUT, frames.put(b"b", bytes((self.state.boots & 255, self.number))))
            if store.kernel.records.live() == config[1] or config[5] < 64:
                return
        at = frames.HEADER + 6 + 4 * config[0]  # of the metadata, in the frame
        meta = b""
        for seq in (store.seq + 1, store.seq + 2):
            meta += bytes(-(at + len(meta)) % self.world.unit)
            meta += frames.frame(frames.CLOCK, frames.clock(0, 0), seq, 0, store.seed)
        command(store, INSERT, frames.insert([1], self.number, meta[: config[5]]))

    def pull(self):
        """Read the frames that the host has not."""
        store = self.store
        owed = self.owed
        for _ in range(40):
            try:
                data = bytes(
                    store.read_frames(
                        owed.host_seq + 1, owed.host_head if owed.host_seq >= 0 else bytes(32)
                    )
                )
            except NotFound:
                if self.world.policy == frames.OVERWRITE:
                    first = store.first()
                    self.owed = owed = owed._replace(host_seq=first.first - 1, host_head=first.head)
                    continue
                if store.damage and self.state.lenient():
                    return
                raise Violation(
                    "the host has frames up to seq %d, but those after it are gone" % owed.host_seq
                ) from None
            if not data:
                return
            at = 0
            while at < len(data):
                end = at + frames.length_at(data, at)
                seq = owed.host_seq + 1
                if int.from_bytes(data[at + 4 : at + 8], "little") != seq:
                    raise Violation("a pull at seq %d gives another frame" % seq)
                owed = owed._replace(
                    host_seq=seq, host_head=primitives.hash(owed.host_head + data[at:end])
                )
                at = end
            self.owed = owed


def mount(flash):
    return Store(flash, _now)


def _now():
    return 0


# -- what must hold --------------------------------------------------------------------------------


_heads, _ticks = {}, {}  # what was read of a run, by the bytes of its sector


def _of_its_run(memory, read, store, seq):
    """Return read(store, seq), which depends on the newest run of the log that begins at seq + 1 or
    before."""
    cells, region = store.region.flash.cells, store.region
    if cells is None:
        return read(store, seq)
    for number in reversed(store.order):
        if region.first(number) <= seq + 1:
            key = cells[region.sector_of(number)], number, seq
            if key not in memory:
                if len(memory) > 100000:
                    memory.clear()
                memory[key] = read(store, seq)
            return memory[key]
    return read(store, seq)


def head_at(store, seq):
    """Return the chain head at seq, as the store's log has it; None if it does not reach back or on
    so far."""
    if seq == store.seq:
        return store.head
    if seq > store.seq:
        return None
    return _of_its_run(_heads, _head_at, store, seq)


def _head_at(store, seq):
    reader = LogReader(store.region, store.order, store.seed, bytearray(1100), 0)
    run = reader.seek(seq + 1) or reader.seek(seq)
    if run is None:
        first = store.first()
        return first.head if first.first == seq + 1 else None
    head = run.head
    while reader.seq <= seq:
        n = reader.next(head)
        if not n:
            return None
        head = primitives.hash(head + frame_of(reader, n))
    return head


def last_tick(store):
    """Return the tick of the log's last frame; 0 if it cannot be read now."""
    return _of_its_run(_ticks, _tick_at, store, store.seq)


def _tick_at(store, seq):
    reader = LogReader(store.region, store.order, store.seed, bytearray(1100), 0)
    try:
        reader.seek(seq)
        while reader.seq <= seq:
            if not reader.next():
                return 0
    except QuipuError:
        return 0
    return int.from_bytes(reader.buffer[8:12], "little")


def check(world, state, store):
    """Violation unless a booted store has what is owed."""
    owed = state.owed
    if store.damage is not None:
        if state.limited or state.rots == LENIENT and store.seq is not None:
            return  # said, and nothing is lost in silence
        raise Violation("damage: %s" % store.damage)
    if store.kernel is None:
        if owed.seq >= 0:
            raise Violation("the log is gone: seq %d was promised" % owed.seq)
        return
    if store.seq > owed.seq and last_tick(store) & 0x80000000:
        raise Violation("the log ends within a group, at seq %d" % store.seq)
    first = store.first().first
    for what, seq, head in (
        ("acknowledged", owed.seq, owed.head),
        ("pulled", owed.host_seq, owed.host_head),
    ):
        if seq < 0 or seq + 1 < first:
            continue
        if seq > store.seq:
            raise Violation("seq %d was %s, but the log ends at %d" % (seq, what, store.seq))
        try:
            found = head_at(store, seq)
        except QuipuError as e:
            # the oldest sector would not be erased, and a cut fell into the next one's erase: a
            # hole in what the laptop and a snapshot have
            covered = max([each.seq for each in store.slots if each], default=-1)
            if state.fails and seq <= min(owed.host_seq, covered):
                continue
            raise Violation("seq %d was %s, but: %s" % (seq, what, e)) from None
        if found != head and store.region.flash.reading != 2:
            raise Violation("seq %d was %s with another chain head" % (seq, what))
    if world.policy == frames.STOP and first > owed.host_seq + 1:
        raise Violation(
            "frames from seq %d on are not on the host, but gone: the log begins at %d"
            % (owed.host_seq + 1, first)
        )


def drain(world, state, reading):
    """The faults have ended: the log must come to take a command again."""
    session = Session(world, state, reading, collect=False)
    why = []
    for _ in range(5):
        store = session.store
        if store.damage or store.kernel is None:
            return
        before = session.owed.seq
        try:
            session.do("put")
            if session.owed.seq > before:
                return
            session.pull()
            session.do("acknowledge")
            for _ in range(2):
                session.do("snapshot")
        except QuipuError as e:
            if reading != 2 and isinstance(e, Damage):
                raise
            why.append(str(e))
        if reading == 2:
            session.store = mount(session.flash)
    try:
        command(store, PUT, frames.put(b"a", b"zz"))
    except QuipuError as e:
        if state.fails or reading == 2 and isinstance(e, (FlashError, Damage)):
            return
        raise Violation("stuck: %s %s" % (e, "; ".join(why))) from None


def shape(store):
    """Return what kind of state a store was booted from, without its numbers."""
    found = store.found
    if store.kernel is None or found is None:
        return (store.kernel is None,)
    return (
        len(found.order),
        len(found.pile),
        found.intact,
        len(found.unknown),
        found.skipped > 0,
        found.last - found.certain,
        found.proved,
        tuple([each is not None for each in found.slots]),
        store.free_sectors() if store.damage is None else -1,
        len(store.bad),
        found.end % store.region.sector // 64,
    )


# -- histories -------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One boot of a history: the operations done, how marked units read, the failure (number of the
    operation, how) or None, and what ended it; None: nothing did, it was carried out to the end."""

    done: tuple
    reading: int
    fail: tuple
    what: str


def follow(world, state, step):
    """Return the state that a step leads to; Violation or Breach if it goes wrong on the way."""
    if step.done == ("rot",):
        return rotten(world, state)[int(step.what)]
    session = Session(world, state, step.reading, step.fail, step.what is not None)
    check(world, state, session.store)
    session.start()
    session.run(step.done)
    for key, child in session.children:
        if key == step:
            return child
    if step.what is not None:
        raise ValueError("no such cut: %r" % (step,))


def readings(state):
    """Return the ways in which the marked units of a state may read: as before, as after, and of
    one state in four by turns."""
    if not state.marks:
        return (0,)
    return (0, 1, 2) if state.name() & 3 == 0 else (0, 1)


def as_read(world, state, reading):
    """Return the sectors of a state as they read."""
    return (
        tuple(overlaid(state.sectors, state.marks, world.sector, 1 + reading))
        if state.marks
        else state.sectors
    )


def verify(world, state, known=None):
    """Check a state, however its marked units read; return its shape. Violation if it does not hold
    what it owes.

    known: {what was read and owed: shape}, of the boots that have been checked: a boot writes
        nothing, so it depends on no more."""
    for reading in readings(state):
        key = cells = None
        if known is not None and reading != 2:
            cells = as_read(world, state, reading)
            key = hash((cells, state.owed, state.rots, state.limited))
            found = known.get(key)
            if found is not None:
                continue
        flash = Flash(world, state, reading, cells)
        try:
            # what reads by turns may read as damage once
            for left in range(TURNS if reading == 2 else 1, 0, -1):
                try:
                    store = mount(flash)
                    check(world, state, store)
                    break
                except (Violation, QuipuError):
                    if left == 1:
                        raise
            found = shape(store)
            if key is not None:
                known[key] = found
        except Violation as e:
            raise Violation("%s (reading %d)" % (e, reading)) from e
        except Exception as e:
            raise Violation("%s (reading %d)" % (named(e), reading)) from e
    return found


def rotten(world, state):
    """Return the states with one flip: strict, in a copy of a run's or a snapshot's header, or in
    one of two snapshots that the log names; lenient, in both copies of the newest run's header, or
    in a frame that later ones follow."""
    out = []

    def flip(places, rots):
        sectors = list(state.sectors)
        for i, at in places:
            sectors[i] = sectors[i][:at] + bytes([sectors[i][at] ^ 4]) + sectors[i][at + 1 :]
        out.append(state._replace(sectors=tuple(sectors), rots=rots))

    def fits(data, at, size):
        return len(data) >= at + size and zlib.crc32(data[at : at + size - 4]) == int.from_bytes(
            data[at + size - 4 : at + size], "little"
        )

    for i, data in enumerate(state.sectors):
        for magic, size in ((b"\x52", HEADER), (b"QSNP", SNAPSHOT_HEADER)):
            at = data.find(magic)
            while at >= 0:
                if at % world.unit == 0 and fits(data, at, size):
                    flip([(i, at + 17)], STRICT)
                at = data.find(magic, at + 1)
    store = mount(Flash(world, state, 0))
    if store.damage is None and store.kernel is not None:
        region = store.region
        ring = region.ring()
        halves = [each for each in state.weak if each < ring]  # slots whose erase was cut
        halves += [each[0] for each in state.marks if each[0] < ring * world.sector]
        if store.proved >= 0 and None not in store.slots and not halves:
            for slot in (0, 1):
                flip([(slot * region.slot_sectors, region.record_size + 4 * FIRST_WORD)], STRICT)
        number = store.order[-1]
        places = []
        reader = LogReader(region, [number], store.seed, bytearray(1100), 0)
        reader.enter(number)
        while reader.next():
            places.append(reader.address)
        # not where a later run may be read at another boot, which would hide the loss
        if (
            not state.marks
            and len(store.order) > 1
            and len(places) > region.need_run(number).repeats + 2
        ):
            i, at = divmod(region.header_at(number), world.sector)
            flip([(i, at + 17), (i, at + region.header_size + 17)], LENIENT)
        for address in places[:-3]:  # three later ones are behind it
            flip([divmod(address - world.unit, world.sector)], LENIENT)
    return out


def named(e):
    where = [
        each for each in traceback.extract_tb(e.__traceback__) if "shared_kernel" in each.filename
    ]
    return "%s: %s%s" % (
        type(e).__name__,
        e,
        " (%s:%d)" % (Path(where[-1].filename).name, where[-1].lineno) if where else "",
    )
