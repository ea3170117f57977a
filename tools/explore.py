"""Explores what power cuts and failing parts can do to a log, breadth first, with the real store: histories, not samples.

    python tools/explore.py [--seconds N] [--jobs N] [--world NAME] [--break NAME] [--report FILE] [--walk SEED]

A state is what survives a power cut: the flash, with the units that read one way or the other, and what the store owes. From
each state a boot is made, every way the flash may read, and after it the operations of each script; at every program and erase
of those, every kind of cut (and failure, as long as the history may have one) gives another state. Equal states are one. Each
state is booted and checked: nothing that was acknowledged, pulled or part of a snapshot is gone or changed, no damage where only
cuts happened, and once the faults end the log takes commands again. A failure prints its shortest history as a test.
"""

import argparse
import collections
import functools
import heapq
import json
import multiprocessing
import os
import random
import re
import struct
import sys
import time
import traceback
import zlib
from array import array
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "host")]
sys.modules.setdefault("uctypes", None)  # CPython has none, and looks for it in every folder each time
if os.environ.get("EXPLORE_COMPILED", "1") != "0" and "shared_kernel" not in sys.modules:
    from tools import fast_kernel

    fast_kernel.use()

from blake3 import blake3  # noqa: E402
from quipu.providers import Fast as _Fast  # noqa: E402

from shared_kernel import kernel as kernel_module  # noqa: E402

_U32 = struct.Struct("<I").unpack_from


def _u32(data, at):
    return _U32(data, at)[0]


kernel_module.u32 = _u32  # before the others take it: three times as fast

from shared_kernel import frames, primitives, recovery, region  # noqa: E402
from shared_kernel.errors import Damage, FlashError, LogFull, NotFound, QuipuError, Refused  # noqa: E402
from shared_kernel.kernel import DELETE_KEY, INSERT, PUT  # noqa: E402
from shared_kernel.reader import LogReader, frame_of  # noqa: E402
from shared_kernel.store import Store, command  # noqa: E402



class Fast(_Fast):
    crc32 = staticmethod(zlib.crc32)

    @staticmethod
    def hash(data):
        return blake3(data).digest()


_decoded = {}


def _decode(data, decode=region.decode):
    """run.decode, which gives the same for the same bytes."""
    data = bytes(data)
    if data not in _decoded:
        if len(_decoded) > 100000:
            _decoded.clear()
        _decoded[data] = decode(data)
    return _decoded[data]


region.decode = _decode

REPORT = ROOT / "build" / "reports" / "explore.json"
BLANK = 0xFF
LIED = 1000
STARTS = 24  # of a world
MARKS = 4  # units that read either way, at most; the oldest settle first


class World(NamedTuple):
    """A geometry and a configuration. ring: sectors of the ring; lives: how many groups the fault-free lives have, from which
    the starts are taken."""

    sector: int
    sectors: int
    page: int
    unit: int
    config: tuple
    policy: int = frames.STOP


WORLDS = {
    "ring4": World(512, 10, 512, 4, (1, 2, 0, 0, 3, 0, 4)),
    "ring8": World(512, 14, 512, 4, (1, 2, 0, 0, 3, 0, 4)),
    "blocks2": World(2048, 7, 256, 16, (1, 2, 0, 0, 3, 64, 4)),
    "overwrite": World(512, 11, 512, 8, (1, 2, 0, 0, 3, 0, 4), frames.OVERWRITE),
}


class Cut(BaseException):
    """The power went."""


class Breach(BaseException):
    """The store did what the part does not allow."""


class Violation(Exception):
    """What was promised did not hold."""


class Owed(NamedTuple):
    """What the store owes. seq, head: of the last frame that was reported durable; host_seq, host_head: of the last frame that a
    host was given (-1: none)."""

    seq: int
    head: bytes
    host_seq: int
    host_head: bytes


class State(NamedTuple):
    """What a boot finds. sectors: their bytes; marks: ((address, before, after), ...): what a cut left half programmed, it reads as
    before or as after; weak: sectors whose erase was cut: they take no program; dead: sectors that refuse from now on.

    boots: of the history; cuts, fails, rots: how many of each there were."""

    sectors: tuple
    marks: tuple
    weak: frozenset
    dead: frozenset
    owed: Owed
    boots: int
    cuts: int
    fails: int
    rots: int

    def name(self):
        """Return 64 bits that name the state; the counts of what happened are no part of it."""
        return hash((self.sectors, self.marks, self.weak, self.dead, self.owed))


# -- the flash -----------------------------------------------------------------------------------------------------------------


class Flash:
    """One session's flash over a state. reading: 0: marked units read as before, 1: as after, 2: by turns.

    cut: a function that is told of each program and erase before it is done, with the flash as it is (see Session); fail:
    (number of the operation, how) or None."""

    def __init__(self, world, state, reading):
        self.sector, self.page, self.unit, self.sectors = world.sector, world.page, world.unit, len(state.sectors)
        self.truth = list(state.sectors)
        self.marks = list(state.marks)
        self.weak = set(state.weak)
        self.dead = set(state.dead)  # and LIED + sector: one that was half erased, and nobody was told
        self.lied = {each - LIED for each in state.dead if each >= LIED}
        self.reading = reading
        self.operations = self.turn = 0
        self.cut = self.fail = None
        self.failed = ""
        self.look()

    def look(self):
        """Bring what is read up to the truth."""
        self.view = view = bytearray().join(self.truth)
        if self.marks:
            if self.reading == 2:
                self.views = view, bytearray(view)
                for address, before, after in self.marks:
                    for each, data in zip(self.views, (before, after)):
                        each[address : address + len(data)] = data
            else:
                for address, before, after in self.marks:
                    view[address : address + len(before)] = after if self.reading else before

    def read(self, address, buffer):
        view = self.view
        if self.reading == 2 and self.marks:
            self.turn = (self.turn * 1103515245 + 12345) & 0x7FFFFFFF
            view = self.views[self.turn >> 20 & 1]
        end = address + len(buffer)
        if end > len(view):
            raise Breach("a read of %d bytes at 0x%x, behind the flash" % (len(buffer), address))
        buffer[:] = view[address:end]

    def _put(self, address, data):
        i, at = divmod(address, self.sector)
        old = self.truth[i]
        self.truth[i] = old[:at] + data + old[at + len(data) :]
        self.view[address : address + len(data)] = data

    def program(self, address, data):
        data = bytes(data)
        n = len(data)
        i, at = divmod(address, self.sector)
        if not n or address % self.unit or n % self.unit or address // self.page != (address + n - 1) // self.page:
            raise Breach("a program of %d bytes at 0x%x" % (n, address))
        if i in self.weak and i not in self.lied:
            raise Breach("a program at 0x%x, in a sector whose erase was cut, without another erase" % address)
        if i in self.dead:
            raise OSError(5)
        old = self.truth[i][at : at + n]
        if self.marks:
            for where, before, after in self.marks:
                if where < address + n and address < where + len(before):
                    raise OSError(5)  # the part refuses; that it is not blank no reader could know
        if i in self.lied:
            data = bytes([a & b for a, b in zip(old, data)])
        elif old.count(BLANK) != n:
            raise Breach("a program at 0x%x, which is not erased" % address)
        number = self.operations
        self.operations += 1
        if self.cut:
            self.cut(self, address, data)
        if self.fail and self.fail[0] == number:
            self._fail(address, data, i)
        else:
            self._put(address, data)
        if self.marks:
            self.look()

    def _fail(self, address, data, i):
        how = self.fail[1]
        self.failed = how
        if how == "half":
            self._put(address, _garbage(data[: self.unit]))
        elif how == "wrong":  # silently
            self._put(address, data[:-self.unit] + _garbage(data[-self.unit :]))
            self.look()
            return
        elif how == "whole":
            self._put(address, data)
        elif how == "dies":
            self.dead.add(i)
        self.look()
        raise OSError(5)

    def erase(self, sector):
        if sector in self.dead:
            raise OSError(5)
        number = self.operations
        self.operations += 1
        if self.cut:
            self.cut(self, sector, None)
        if self.fail and self.fail[0] == number:
            self.failed = how = self.fail[1]
            if how == "dies":
                self.dead.add(sector)
            elif how != "whole":
                self._forget(sector)
                self.weak.add(sector)
                half = self.sector // 2
                self.truth[sector] = b"\xff" * half + self.truth[sector][half:]
            if how == "wrong":  # that is: half erased, and nobody was told
                self.lied.add(sector)
                self.dead.add(LIED + sector)
            else:
                self.look()
                raise OSError(5)
        else:
            self._forget(sector)
            self.weak.discard(sector)
            self.lied.discard(sector)
            self.dead.discard(LIED + sector)
            self.truth[sector] = b"\xff" * self.sector
        self.look()

    def _forget(self, sector):
        if self.marks:
            self.marks = [each for each in self.marks if each[0] // self.sector != sector]


def _garbage(data):
    """Return some of the bits of data, the same each time."""
    return bytes([each | 0x5A for each in data[:-1]] + [data[-1] | 0x81]) if any(each != 0xFF for each in data) else data[:-1] + b"\x7f"


def torn_programs(flash, address, data):
    """Yield (name, bytes that stand, mark or None) of what a cut may leave of a program."""
    unit = flash.unit
    units = len(data) // unit
    yield "nothing", b"", None
    for u in sorted({0, units // 2, units - 1}):
        this = data[u * unit : (u + 1) * unit]
        blank = b"\xff" * unit
        if this == blank:
            continue
        bad = _garbage(this)
        at = address + u * unit
        if bad != this:
            yield "unit %d of %d some bits" % (u, units), data[: u * unit] + bad, None
        if u in (0, units - 1):
            yield "unit %d of %d either way" % (u, units), data[: u * unit], (at, blank, this)
        if u == units - 1 and bad != this:
            yield "last unit bad or whole", data[: u * unit] + bad, (at, bad, this)
    yield "all", data, None


def torn_erases(flash, sector):
    """Yield (name, bytes of the sector, mark or None) of what a cut may leave of an erase. The sector is weak in each."""
    size, old = flash.sector, flash.truth[sector]
    head = 2 * ((20 + flash.unit - 1) // flash.unit * flash.unit)
    yield "untouched", old, None
    yield "first part", b"\xff" * (size // 2) + old[size // 2 :], None
    yield "record gone", b"\xff" * head + old[head:], None
    yield "last part", old[: size // 2] + b"\xff" * (size // 2), None
    yield "all but weak", b"\xff" * size, None
    yield "beginning either way", b"\xff" * size, (sector * size, old[: size // 2], b"\xff" * (size // 2))


# -- one boot, and some operations ------------------------------------------------------------------------------------------------

SCRIPTS = (
    ("put", "put", "snapshot", "put"),
    ("pull", "acknowledge", "put", "group"),
    ("snapshot", "acknowledge", "put"),
    ("step", "step", "step", "step", "step", "step", "step"),
    ("group", "delete", "pull", "frames", "put"),
)


class Session:
    """One boot from a state and the operations after it. `children` collects the states that cuts, and powering off, leave:
    [(what happened, State)]. at: None, or the only program or erase (by its number) that is cut: the session ends there."""

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
        self.store = mount(self.flash)

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
                self._add("cut in operation %d, erase of sector %d: %s" % (number, address, name), sectors, marks,
                          flash.weak | {address}, owed, before.cuts + 1, fails)
            return
        i, at = divmod(address, flash.sector)
        old = base[i]
        for name, left, mark in torn_programs(flash, address, data):
            sectors = list(base)
            sectors[i] = old[:at] + left + old[at + len(left) :]
            self._add("cut in operation %d, program at 0x%x: %s" % (number, address, name), sectors,
                      flash.marks + [mark] if mark else flash.marks, flash.weak, owed, before.cuts + 1, fails)

    def _add(self, what, sectors, marks, weak, owed, cuts, fails):
        self.children.append(((tuple(self.done), self.flash.reading, self.fail, what),
                              State(tuple(sectors), tuple(marks[-MARKS:]), frozenset(weak), frozenset(self.flash.dead), owed,
                                    self.state.boots + 1, cuts, fails, self.state.rots)))

    def off(self):
        """Power off between two operations."""
        flash = self.flash
        self._add("off", flash.truth, flash.marks, flash.weak, self.owed, self.state.cuts, self.state.fails + (1 if flash.failed else 0))

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
            elif operation == "insert":
                command(store, INSERT, frames.insert([self.number], self.state.boots & 255))
            elif operation == "group":
                got = store.execute([(PUT, frames.put(b"a", value[:2]), None), (PUT, frames.put(b"b", value[:3]), None)])
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
        except Refused:  # the pool is full, or what is to be deleted is not there: this too is an answer
            return
        self.owed = owed._replace(seq=store.seq, head=store.head)

    def insert_frames(self):
        """Insert a record whose metadata is a whole frame, of this log and of the seq that is due next but one."""
        store = self.store
        room = self.world.config[5]
        seq = store.seq + 2
        payload = frames.boot(store.boot + 1, store.head, 0)[: max(0, room - frames.OVERHEAD)]
        meta = frames.frame(frames.BOOT, payload, seq, 0, store.seed)[:room]
        live = store.kernel.records.live()
        if live == self.world.config[1]:
            meta = meta[:room]
            command(store, PUT, frames.put(b"b", bytes((self.state.boots & 255, self.number))))
            return
        command(store, INSERT, frames.insert([seq], self.number, meta))

    def pull(self):
        """Read the frames that the host has not."""
        store = self.store
        owed = self.owed
        for _ in range(40):
            try:
                data = bytes(store.read_frames(owed.host_seq + 1, owed.host_head if owed.host_seq >= 0 else bytes(32)))
            except NotFound:
                if self.world.policy == frames.OVERWRITE:
                    first = store.first()
                    self.owed = owed = owed._replace(host_seq=first.first - 1, host_head=first.head)
                    continue
                if store.damage and self.state.rots:
                    return
                raise Violation("the host has frames up to seq %d, but those after it are gone" % owed.host_seq) from None
            if not data:
                return
            at = 0
            while at < len(data):
                end = at + frames.length_at(data, at)
                seq = owed.host_seq + 1
                if int.from_bytes(data[at + 4 : at + 8], "little") != seq:
                    raise Violation("a pull at seq %d gives another frame" % seq)
                owed = owed._replace(host_seq=seq, host_head=primitives.hash(owed.host_head + data[at:end]))
                at = end
            self.owed = owed


def mount(flash):
    return Store(flash, _now)


def _now():
    return 0


# -- what must hold ----------------------------------------------------------------------------------------------------------------


def head_at(store, seq):
    """Return the chain head at seq, as the store's log has it; None if it does not reach back or on so far."""
    if seq == store.seq:
        return store.head
    if seq > store.seq:
        return None
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
    reader = LogReader(store.region, store.order, store.seed, bytearray(1100), 0)
    try:
        reader.seek(store.seq)
        while reader.seq <= store.seq:
            if not reader.next():
                return 0
    except QuipuError:
        return 0
    return int.from_bytes(reader.buffer[8:12], "little")


def check(world, state, store):
    """Violation unless a booted store has what is owed."""
    owed = state.owed
    if store.damage is not None:
        if state.rots and store.seq is not None:
            return  # said, and nothing is lost in silence
        raise Violation("damage: %s" % store.damage)
    if store.kernel is None:
        if owed.seq >= 0:
            raise Violation("the log is gone: seq %d was promised" % owed.seq)
        return
    if store.seq > owed.seq and last_tick(store) & 0x80000000:
        raise Violation("the log ends within a group, at seq %d" % store.seq)
    first = store.first().first
    for what, seq, head in (("acknowledged", owed.seq, owed.head), ("pulled", owed.host_seq, owed.host_head)):
        if seq < 0 or seq + 1 < first:
            continue
        if seq > store.seq:
            raise Violation("seq %d was %s, but the log ends at %d" % (seq, what, store.seq))
        try:
            found = head_at(store, seq)
        except QuipuError as e:
            raise Violation("seq %d was %s, but: %s" % (seq, what, e)) from None
        if found != head and store.region.flash.reading != 2:
            raise Violation("seq %d was %s with another chain head" % (seq, what))
    if world.policy == frames.STOP and first > owed.host_seq + 1:
        raise Violation("frames from seq %d on are not on the host, but gone: the log begins at %d" % (owed.host_seq + 1, first))


def drain(world, state, reading):
    """The faults have ended: the log must come to take a command again."""
    session = Session(world, state, reading, collect=False)
    why = []
    for _ in range(5):
        store = session.store
        if store.damage or store.kernel is None:
            return
        before = session.owed.seq
        session.do("put")
        if session.owed.seq > before:
            return
        try:
            session.pull()
            session.do("acknowledge")
            for _ in range(2):
                session.do("snapshot")
        except QuipuError as e:
            why.append(str(e))
        if reading == 2:
            session.store = mount(session.flash)
    try:
        command(store, PUT, frames.put(b"a", b"zz"))
    except QuipuError as e:
        if state.fails or reading == 2 and isinstance(e, FlashError):
            return
        raise Violation("stuck: %s %s" % (e, "; ".join(why))) from None


def shape(store):
    """Return what kind of state a store was booted from, without its numbers."""
    found = store.found
    if store.kernel is None or found is None:
        return (store.kernel is None,)
    return (len(found.order), len(found.pile), found.intact, len(found.unknown), found.skipped > 0, found.last - found.certain,
            found.proved, tuple([each is not None for each in found.slots]), store.free_sectors() if store.damage is None else -1,
            len(store.bad), found.end % store.region.sector // 64)


# -- starts ------------------------------------------------------------------------------------------------------------------------


def blank(world):
    return State((b"\xff" * world.sector,) * world.sectors, (), frozenset(), frozenset(), Owed(-1, bytes(32), -1, bytes(32)), 0, 0, 0, 0)


HABITS = (  # of fault-free lives: what is done once in so many groups
    {"pull": 3, "snapshot": 0},
    {"pull": 0, "snapshot": 0},
    {"pull": 5, "snapshot": 7},
    {"pull": 2, "snapshot": 3, "boot": 4},
)


def life(world, habit, groups):
    """Yield the states along a fault-free life."""
    session = Session(world, blank(world), 0, collect=False)
    session.store.configure(world.config, bytes(range(16)), "t", world.policy)
    session.owed = session.owed._replace(seq=session.store.seq, head=session.store.head)
    for i in range(groups):
        session.do(("put", "group", "put", "delete", "put")[i % 5])
        if habit["pull"] and i % habit["pull"] == 0:
            session.pull()
            session.do("acknowledge")
        if habit["snapshot"] and i % habit["snapshot"] == 0:
            session.do("snapshot")
        flash = session.flash
        state = State(tuple(flash.truth), (), frozenset(), frozenset(), session.owed, 1, 0, 0, 0)
        yield state
        if habit.get("boot") and i % habit["boot"] == 0:
            session = Session(world, state._replace(boots=i % 200), 0, collect=False)


def starts(world, count):
    """Return that many states, spread along fault-free lives that turn the ring more than once."""
    out = [blank_configured(world)]
    for habit in HABITS:
        states = list(life(world, habit, 14 * (world.sectors - 5) * world.sector // 512))
        n = max(1, (count + len(HABITS) - 1) // len(HABITS))
        out += [states[len(states) - 1 - k * max(1, len(states) // (2 * n))] for k in range(n)]
    return out[:count]


def blank_configured(world):
    """Return the state right after a genesis."""
    session = Session(world, blank(world), 0, collect=False)
    session.store.configure(world.config, bytes(range(16)), "t", world.policy)
    return State(tuple(session.flash.truth), (), frozenset(), frozenset(),
                 session.owed._replace(seq=session.store.seq, head=session.store.head), 1, 0, 0, 0)


# -- histories ---------------------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One boot of a history: the operations done, how marked units read, the failure (number of the operation, how) or None,
    and what ended it; None: nothing did, it was carried out to the end."""

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
    """Return the ways in which the marked units of a state may read: as before, as after, and of one state in four by turns."""
    if not state.marks:
        return (0,)
    return (0, 1, 2) if state.name() & 3 == 0 else (0, 1)


def as_read(world, state, reading):
    """Return the sectors of a state as they read."""
    if not state.marks:
        return state.sectors
    out = list(state.sectors)
    for address, before, after in state.marks:
        i, at = divmod(address, world.sector)
        data = after if reading else before
        out[i] = out[i][:at] + data + out[i][at + len(data) :]
    return tuple(out)


def verify(world, state, known=None):
    """Check a state, however its marked units read; return its shape. Violation if it does not hold what it owes.

    known: {what was read and owed: shape}, of the boots that have been checked: a boot writes nothing, so it depends on no more."""
    for reading in readings(state):
        if known is not None and reading != 2:
            key = hash((as_read(world, state, reading), state.owed, state.rots))
            found = known.get(key)
            if found is not None:
                continue
        else:
            key = None
        try:
            store = mount(Flash(world, state, reading))
            check(world, state, store)
            found = shape(store)
            if key is not None:
                known[key] = found
        except Violation as e:
            raise Violation("%s (reading %d)" % (e, reading)) from e
        except Exception as e:
            raise Violation("%s (reading %d)" % (named(e), reading)) from e
    return found


def rotten(world, state):
    """Return the states with one flipped bit: in a copy of a run's or a snapshot's header, or in a frame that later ones follow."""
    out = []

    def flip(i, at):
        data = state.sectors[i]
        flipped = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        out.append(state._replace(sectors=state.sectors[:i] + (flipped,) + state.sectors[i + 1 :], rots=state.rots + 1))

    def fits(data, at, size):
        return len(data) >= at + size and zlib.crc32(data[at : at + size - 4]) == int.from_bytes(data[at + size - 4 : at + size], "little")

    for i, data in enumerate(state.sectors):
        for magic, size in ((b"\x51", 104), (b"QSNP", 124)):
            at = data.find(magic)
            while at >= 0:
                if at % world.unit == 0 and fits(data, at, size):
                    flip(i, at + 17)
                at = data.find(magic, at + 1)
    store = mount(Flash(world, state, 0))
    if store.damage is None and store.kernel is not None:
        number = store.order[-1]
        places = []
        reader = LogReader(store.region, [number], store.seed, bytearray(1100), 0)
        reader.enter(number)
        while reader.next():
            places.append((reader.address, reader.buffer[reader.at + 11] & 0xC0))
        for address, _ in places[1:-3]:  # three later ones are behind it
            i, at = divmod(address, world.sector)
            flip(i, at - world.unit)
    return out


def named(e):
    where = [each for each in traceback.extract_tb(e.__traceback__) if "shared_kernel" in each.filename]
    return "%s: %s%s" % (type(e).__name__, e, " (%s:%d)" % (Path(where[-1].filename).name, where[-1].lineno) if where else "")


class Entry(NamedTuple):
    """A state to go on from. left: what has not been done from it yet."""

    name: int
    state: State
    left: list


OPERATIONS = ("put", "put", "put", "group", "snapshot", "pull", "acknowledge", "step", "delete", "frames", "checkpoint")
MOST_BOOTS = 8
KEPT = 100000  # states of a number of boots that are gone on from
FAILURES = ("half", "wrong", "whole", "dies")


class Explorer:
    """A breadth-first search from some starts of one world.

    seen: name of each state -> (name of the state before it, Step), or None for a start
    by_boots, by_cuts: how many states by that number
    violations: {kind: (what, start, shortest history, after how many states)}
    """

    def __init__(self, world_name, first, fails=1, rots=1, stop_at=1, seed=0, dives=0.5):
        self.world_name = world_name
        self.world = WORLDS[world_name]
        self.starts = first
        self.fails, self.rots, self.stop_at = fails, rots, stop_at
        self.chance = random.Random(seed)
        self.seen = {}
        self.origin = {}
        self.shapes = {}
        self.known = {}
        self.by_boots, self.by_cuts = {}, {}
        self.sessions = self.turn = 0
        self.violations = {}
        self.dives = dives
        self.levels = []  # of each number of boots: the states to go on from
        self.rare = []  # a heap of the same, the rarest shape first

    def run(self, seconds, most_states=1 << 40):
        """Explore for that long: by turns the first of the states with the fewest boots, the one of the rarest shape, and any one."""
        until = time.monotonic() + seconds
        for i, state in enumerate(self.starts):
            name = state.name()
            if name not in self.seen:
                self.seen[name] = None
                self.origin[name] = i
                self.keep(name, state._replace(boots=0), 0)
        while time.monotonic() < until and len(self.violations) < self.stop_at and len(self.seen) < most_states:
            if self.chance.random() < self.dives:
                self.dive()
                continue
            entry = self.pick()
            if entry is None:
                self.dives = 1
            elif entry.left:
                entry.left.pop()(entry.name, entry.state)
        return self

    def dive(self):
        """Go down one history by chance, to MOST_BOOTS boots: what is rare stands deep, and breadth comes there late."""
        chance = self.chance
        i = chance.randrange(len(self.starts))
        state = self.starts[i]._replace(boots=0)
        name = state.name()
        while state.boots < MOST_BOOTS:
            if state.rots < self.rots and not state.fails and chance.random() < 0.15:
                found = rotten(self.world, state)
                if found:
                    which = chance.randrange(len(found))
                    name, state = self.go(name, Step(("rot",), 0, None, str(which)), found[which])
                    if state is None:
                        return
            reading = chance.choice(readings(state))
            if chance.random() < 0.2:
                script = [chance.choice(OPERATIONS) for _ in range(4)]
            else:
                script = [chance.choice(OPERATIONS)]
            fail = None
            if state.fails < self.fails and chance.random() < 0.3:
                fail = chance.randrange(12), chance.choice(FAILURES)
            at = chance.randrange(chance.choice((4, 10, 40)))
            self.sessions += 1
            try:
                session = Session(self.world, state, reading, fail, True, at)
                session.start()
                session.run(script)
                session.off()
            except Cut:
                pass
            except (Exception, Breach) as e:
                allowed = (QuipuError,) if session.flash.failed else (Damage, NotFound) if state.rots else ()
                if isinstance(e, Violation) or not isinstance(e, allowed):
                    self.violation(name, Step(tuple(session.done), reading, fail, None), e)
                return
            if fail is not None and not session.flash.failed:  # it never came to that: the same without
                session.children = [(key[:2] + (None,) + key[3:], child) for key, child in session.children]
            marked = [each for each in session.children if each[1].marks and each[1].marks != state.marks]
            key, child = chance.choice(marked if marked and chance.random() < 0.6 else session.children)
            name, state = self.go(name, Step(*key), child)
            if state is None:
                return

    def go(self, parent, step, child):
        """Check a state and return (its name, it); None if it does not hold."""
        name = child.name()
        if name not in self.seen:
            before = len(self.violations)
            self.take(parent, step, child)
            if len(self.violations) > before:
                return name, None
        return name, child

    def pick(self):
        self.turn += 1
        for _ in range(3):
            way = self.turn % 3
            if way == 0:
                for level in self.levels:
                    while level and not level[0].left:
                        level.popleft()
                    if level:
                        return level[0]
                return None
            if way == 1 and self.rare:
                rank, _, entry = heapq.heappop(self.rare)
                if len(entry.left) > 1:
                    heapq.heappush(self.rare, (rank + 3, self.chance.random(), entry))
                return entry
            level = self.levels[self.chance.randrange(len(self.levels))]
            if way == 2 and level:
                return level[self.chance.randrange(len(level))]
            self.turn += 1
        return None

    def keep(self, name, state, rank):
        """Remember a state to go on from, and all that may be done from it."""
        if state.boots >= MOST_BOOTS or len(self.levels) > state.boots and len(self.levels[state.boots]) >= KEPT:
            return
        left = []
        for reading in readings(state):
            for script in SCRIPTS:
                left.append(functools.partial(self.session, script=script, reading=reading, fail=None))
                if state.fails < self.fails:
                    left += [functools.partial(self.session, script=script, reading=reading, fail=None, failing=True)] * 2
        if state.rots < self.rots and not state.fails:
            left += [self.rot] * 3
        self.chance.shuffle(left)
        entry = Entry(name, state, left)
        while len(self.levels) <= state.boots:
            self.levels.append(collections.deque())
        self.levels[state.boots].append(entry)
        heapq.heappush(self.rare, (rank, self.chance.random(), entry))

    def rot(self, name, state):
        found = rotten(self.world, state)
        if found:
            which = self.chance.randrange(len(found))
            self.take(name, Step(("rot",), 0, None, str(which)), found[which])

    def session(self, name, state, script, reading, fail, failing=False):
        """Make one boot and carry out a script."""
        self.sessions += 1
        if failing:
            fail = self.chance.randrange(30), self.chance.choice(FAILURES)
        try:
            session = Session(self.world, state, reading, fail)
        except Exception as e:
            self.violation(name, Step((), reading, fail, None), e)
            return
        session.start()
        try:
            session.run(script)
        except (Exception, Breach) as e:
            allowed = (QuipuError,) if session.flash.failed else (Damage, NotFound) if state.rots else ()
            if isinstance(e, Violation) or not isinstance(e, allowed):
                self.violation(name, Step(tuple(session.done), reading, fail, None), e)
        for key, child in session.children:
            if fail is None or child.fails > state.fails:
                self.take(name, Step(*key), child)

    def take(self, parent, step, child):
        """Check a state, if it is new, and keep it."""
        name = child.name()
        if name in self.seen:
            return
        self.seen[name] = parent, step
        self.by_boots[child.boots] = self.by_boots.get(child.boots, 0) + 1
        self.by_cuts[child.cuts] = self.by_cuts.get(child.cuts, 0) + 1
        try:
            found = verify(self.world, child, self.known)
            n = self.shapes[found] = self.shapes.get(found, 0) + 1
            if n <= 2:
                for reading in readings(child):
                    drain(self.world, child, reading)
        except (Exception, Breach) as e:
            self.violation(name, None, e)
            return
        self.keep(name, child, n)

    def violation(self, name, step, e):
        what = str(e) if isinstance(e, Violation) else named(e)
        kind = re.sub(r"[0-9a-f]{16,}|0x[0-9a-f]+|\d+", "N", what)
        if kind not in self.violations:
            history = self.history(name) + ([step] if step else [])
            self.violations[kind] = (what, self.start_of(name), history, len(self.seen))

    def history(self, name):
        out = []
        while self.seen[name]:
            name, step = self.seen[name]
            out.append(step)
        return out[::-1]

    def start_of(self, name):
        while self.seen[name]:
            name = self.seen[name][0]
        return self.origin[name]


def as_test(world_name, start, history, what, fault=None):
    """Return a history as Python code."""
    patched = ["    putback.put_back(putback.named(%r), monkeypatch.setattr)" % fault] if fault else []
    lines = ["def test_history(%s):" % ("monkeypatch" if fault else ""), '    """%s"""' % what.replace('"', "'"), '    world = explore.WORLDS["%s"]' % world_name,
             "    state = explore.starts(world, %d)[%d]._replace(boots=0)" % (STARTS, start), *patched]
    for each in history:
        lines.append("    state = explore.follow(world, state, explore.Step(%r, %r, %r, %r))" % tuple(each))
    if not history or history[-1].what is not None:
        lines += ["    explore.verify(world, state)", "    for reading in explore.readings(state):",
                  "        explore.drain(world, state, reading)"]
    return "\n".join(lines)


# -- the whole search --------------------------------------------------------------------------------------------------------------


def part(task):
    """Explore from some starts of a world, in a process of its own. Return what came of it, as plain things."""
    world, indices, seconds, fails, rots, fault, stop_at, seed = task
    primitives.use(Fast)
    if fault:
        from tests.faults import putback

        putback.put_back(putback.named(fault))
    _decoded.clear()
    every = starts(WORLDS[world], STARTS)
    began = time.monotonic(), time.process_time()
    found = Explorer(world, [every[i] for i in indices], fails, rots, stop_at, seed).run(seconds)
    for kind, (what, start, history, after) in found.violations.items():
        found.violations[kind] = what, indices[start], history, after
    done = 0  # boots of which every state was gone on from
    while done < len(found.levels) and not found.levels[done]:
        done += 1
    return {"world": world, "starts": indices, "fails": fails, "rots": rots, "states": len(found.seen), "names": array("q", found.seen),
            "boots": found.by_boots, "cuts": found.by_cuts, "shapes": len(found.shapes), "readings": len(found.known),
            "sessions": found.sessions, "complete": done, "violations": found.violations, "seconds": time.monotonic() - began[0],
            "cpu_s": time.process_time() - began[1]}


def tasks(seconds, jobs, fault=None, stop_at=1, worlds=None):
    """Return the tasks that share so many seconds on so many processes: of each world some starts without failures, some with."""
    if fault:
        from tests.faults import putback

        each = putback.named(fault)
        return [(each.world, list(range(k, STARTS, jobs)), seconds, each.fails, each.rots, fault, stop_at, k) for k in range(jobs)]
    out = []
    for k, world in enumerate(worlds or WORLDS):
        out.append((world, list(range(0, STARTS, 2)), 0, 0, 0, None, stop_at, k))
        out.append((world, list(range(1, STARTS, 2)), 0, 1, 1, None, stop_at, k))
    share = seconds * jobs / len(out)
    return [each[:2] + (share,) + each[3:] for each in out]


def explore(seconds, jobs=2, fault=None, stop_at=1, worlds=None):
    """Explore for that long. Return the report, without the names of the states; "histories" has a test for each violation."""
    began = time.monotonic()
    todo = tasks(seconds, jobs, fault, stop_at, worlds)
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        parts = pool.map(part, todo, 1)
    report = {"states": 0, "boots": {}, "cuts": {}, "sessions": 0, "readings": 0, "seconds": round(time.monotonic() - began, 1),
              "cpu_s": round(sum([each["cpu_s"] for each in parts]), 1), "fault": fault, "parts": [], "violations": [], "histories": []}
    for world in sorted({each["world"] for each in parts}):
        report["states"] += len(set().union(*[each["names"] for each in parts if each["world"] == world]))
    for each in parts:
        del each["names"]
        for key in ("boots", "cuts"):
            for n, count in each[key].items():
                report[key][n] = report[key].get(n, 0) + count
            each[key] = dict(sorted(each[key].items()))
        report["sessions"] += each["sessions"]
        report["readings"] += each["readings"]
        for kind, (what, start, history, after) in each.pop("violations").items():
            report["violations"].append({"what": what, "world": each["world"], "after": after, "boots": len(history)})
            report["histories"].append(as_test(each["world"], start, history, what, fault))
        report["parts"].append(each)
    for key in ("boots", "cuts"):
        report[key] = dict(sorted(report[key].items()))
    report["a_second"] = round(report["states"] / report["seconds"])
    report["a_cpu_second"] = round(report["states"] / max(0.1, report["cpu_s"]))
    return report


def put_back_all(seconds, jobs=2, only=None):
    """Put each fault back and explore until it is found, so many seconds at most. Return {name: what came of it}."""
    from tests.faults import putback

    found = {}
    todo = [each for each in putback.FAULTS if only is None or each.name in only]
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        parts = pool.imap(part, [(each.world, list(range(STARTS)), seconds, each.fails, each.rots, each.name, 1, 0) for each in todo], 1)
        for each, done in zip(todo, parts):
            first = next(iter(done["violations"].values()), None)
            found[each.name] = {"rule": each.rule, "world": each.world, "states": done["states"], "seconds": round(done["seconds"], 1),
                                "found": first[0] if first else None, "boots": len(first[2]) if first else None,
                                "expected": each.finds, "why_not": each.why or None}
            print("%-32s %s" % (each.name, "after %d states, %d boots: %s" % (first[3], len(first[2]), first[0][:90]) if first else
                                "NOT FOUND in %d states%s" % (done["states"], ": " + each.why if each.why else "")), flush=True)
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Every history of cuts and failures, as deep as the time allows.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--world", choices=sorted(WORLDS), action="append")
    parser.add_argument("--break", dest="fault", help="with that fault of tests/faults/putback.py put back: then a failure must be found")
    parser.add_argument("--faults", type=float, metavar="SECONDS", help="put back each fault, and look for it that long")
    parser.add_argument("--all", action="store_true", help="go on after the first violation of a part, for others")
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args(arguments)
    report = {}
    if options.seconds:
        report = explore(options.seconds, options.jobs, options.fault, 50 if options.all else 1, options.world)
        for each in report["parts"]:
            print("%(world)s, %(fails)d failures, %(rots)d flips: %(states)d states, %(sessions)d boots gone on from, %(shapes)d shapes; states by "
                  "boots %(boots)s, by cuts %(cuts)s" % each)
        for text, each in zip(report["histories"], report["violations"]):
            print("\n# after %d states\n%s\n" % (each["after"], text))
        print("%s: %d states in %.0f s, %d a second (%d a second of CPU)" % (
            "VIOLATED" if report["violations"] else "HELD", report["states"], report["seconds"], report["a_second"], report["a_cpu_second"]))
    if options.faults:
        report["faults"] = put_back_all(options.faults, options.jobs)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    aside = options.report.with_name(options.report.name + ".new")
    aside.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(aside, options.report)
    missed = [name for name, each in report.get("faults", {}).items() if each["expected"] and not each["found"]]
    if missed:
        print("not found: %s" % ", ".join(missed))
    return 1 if missed or report.get("violations") and not options.fault else 0


if __name__ == "__main__":
    sys.exit(main())
