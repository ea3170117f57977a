"""The flash of a history: tiny, told of every cut that there is, and of what a cut or a failure
leaves. Knows no log.

A State is what a boot finds: it never changes. A Flash is one session's, over a State.
"""

import hashlib
import zlib
from typing import NamedTuple

from shared_kernel import frames

BLANK = 0xFF
LIED = 1000  # see Flash
# what a sector's record begins with; its erase count is the three bytes behind that
RECORD = b"QUP2"
NO_ROT, LENIENT, STRICT = 0, 1, 2  # see State


class World(NamedTuple):
    """A geometry and a configuration. ring: sectors of the ring; lives: how many groups the
    fault-free lives have, from which the starts are taken."""

    sector: int
    sectors: int
    page: int
    unit: int
    config: tuple
    policy: int = frames.STOP


WORLDS = {
    "ring4": World(512, 10, 512, 4, (1, 2, 0, 0, 3, 0, 4)),
    "ring8": World(512, 14, 512, 4, (1, 2, 0, 0, 3, 0, 4)),
    "blocks2": World(2048, 7, 256, 16, (1, 2, 0, 0, 3, 80, 4)),
    "overwrite": World(512, 11, 512, 8, (1, 2, 0, 0, 3, 0, 4), frames.OVERWRITE),
}


class Cut(BaseException):
    """The power went."""


class Breach(BaseException):
    """The store did what the part does not allow."""


class Violation(Exception):
    """What was promised did not hold."""


class Owed(NamedTuple):
    """What the store owes. seq, head: of the last frame that was reported durable; host_seq,
    host_head: of the last frame that a host was given (-1: none)."""

    seq: int
    head: bytes
    host_seq: int
    host_head: bytes


class State(NamedTuple):
    """What a boot finds. sectors: their bytes; marks: ((address, before, after), ...): what a cut
    left half programmed, it reads as before or as after; weak: sectors whose erase was cut: they
    take no program; dead: sectors that refuse from now on.

    boots: of the history
    cuts, fails: how many of each there were
    rots: NO_ROT, or what one flip may cost: LENIENT: damage may be said, but nothing may go unsaid;
        STRICT: nothing, for what it hit stands twice
    limited: one of the limits of docs/format.md was met (Session.limited): LENIENT from there on"""

    sectors: tuple
    marks: tuple
    weak: frozenset
    dead: frozenset
    owed: Owed
    boots: int
    cuts: int
    fails: int
    rots: int
    limited: bool = False

    def lenient(self):
        return self.limited or self.rots == LENIENT

    def name(self):
        """Return 64 bits that name the state, the same in each run; how often a sector was erased,
        and the counts of what happened, are no part of it."""
        owed = self.owed
        marks = tuple(
            [
                (address, zlib.crc32(after, zlib.crc32(before)))
                for address, before, after in self.marks
            ]
        )
        out = hash(
            (
                tuple([_name(each) for each in self.sectors]),
                marks,
                self.weak,
                self.dead,
                owed.seq,
                owed.host_seq,
                zlib.crc32(owed.host_head, zlib.crc32(owed.head)),
            )
        )
        return ~out if self.limited else out


_names = {}


def _name(sector):
    """Return 64 bits that name a sector's bytes, but for the erase count in its record."""
    found = _names.get(sector)
    if found is None:
        if len(_names) > 200_000:
            _names.clear()
        data = sector
        if data[:4] == RECORD and zlib.crc32(data[:16]) == int.from_bytes(data[16:20], "little"):
            data = data[:4] + data[7:16] + data[20:]
        found = _names[sector] = int.from_bytes(
            hashlib.blake2b(data, digest_size=8).digest(), "little"
        )
    return found


class Flash:
    """One session's flash over a state. reading: 0: marked units read as before, 1: as after, 2: by
    turns.

    cells: each sector as it reads; None while it reads by turns. looked: numbers of the sectors
        that were read. frozen: a boot that
    writes nothing. cut: a function that is told of each program and erase before it is done, with
    the flash as it is (see Session);
    fail: (number of the operation, how) or None."""

    def __init__(self, world, state, reading, cells=None):
        self.sector, self.page, self.unit, self.sectors = (
            world.sector,
            world.page,
            world.unit,
            len(state.sectors),
        )
        self.truth = list(state.sectors)
        self.marks = list(state.marks)
        self.weak = set(state.weak)
        # and LIED + sector: one that was half erased, and nobody was told
        self.dead = set(state.dead)
        self.lied = {each - LIED for each in state.dead if each >= LIED}
        self.reading = reading
        self.operations = self.turn = 0
        self.cut = self.fail = None
        self.failed = ""
        self.frozen = cells is not None
        self.looked = set()
        if cells:
            self.cells = cells
        else:
            self.look()

    def look(self):
        """Bring what is read up to the truth."""
        if not self.marks:
            self.cells = self.truth
        elif self.reading == 2:
            self.cells = None
            self.views = [overlaid(self.truth, self.marks, self.sector, which) for which in (1, 2)]
        else:
            self.cells = overlaid(self.truth, self.marks, self.sector, 1 + self.reading)

    def read(self, address, buffer):
        cells = self.cells
        if cells is None:
            self.turn = (self.turn * 1103515245 + 12345) & 0x7FFFFFFF
            cells = self.views[self.turn >> 20 & 1]
        i, at = divmod(address, self.sector)
        self.looked.add(i)
        end = at + len(buffer)
        if end <= self.sector and i < self.sectors:
            buffer[:] = cells[i][at:end]
            return
        if address + len(buffer) > self.sectors * self.sector:
            raise Breach("a read of %d bytes at 0x%x, behind the flash" % (len(buffer), address))
        buffer[:] = b"".join(cells)[address : address + len(buffer)]

    def _put(self, address, data):
        i, at = divmod(address, self.sector)
        old = self.truth[i]
        self.truth[i] = old[:at] + data + old[at + len(data) :]

    def program(self, address, data):
        data = bytes(data)
        n = len(data)
        i, at = divmod(address, self.sector)
        if (
            not n
            or address % self.unit
            or n % self.unit
            or address // self.page != (address + n - 1) // self.page
        ):
            raise Breach("a program of %d bytes at 0x%x" % (n, address))
        if i in self.weak and i not in self.lied:
            raise Breach(
                "a program at 0x%x, in a sector whose erase was cut, without another erase"
                % address
            )
        if i in self.dead:
            raise OSError(5)
        old = self.truth[i][at : at + n]
        if self.marks:
            for where, before, _ in self.marks:
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
            self._put(address, data[: -self.unit] + _garbage(data[-self.unit :]))
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


def overlaid(sectors, marks, size, which):
    """Return sectors as they read: the marked units as before (which: 1) or as after (2)."""
    out = list(sectors)
    for mark in marks:
        i, at = divmod(mark[0], size)
        data = mark[which]
        out[i] = out[i][:at] + data + out[i][at + len(data) :]
    return out


def _garbage(data):
    """Return some of the bits of data, the same each time."""
    return (
        bytes([each | 0x5A for each in data[:-1]] + [data[-1] | 0x81])
        if any(each != 0xFF for each in data)
        else data[:-1] + b"\x7f"
    )


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
    """Yield (name, bytes of the sector, mark or None) of what a cut may leave of an erase. The
    sector is weak in each."""
    size, old = flash.sector, flash.truth[sector]
    head = 2 * ((20 + flash.unit - 1) // flash.unit * flash.unit)
    yield "untouched", old, None
    yield "first part", b"\xff" * (size // 2) + old[size // 2 :], None
    yield "record gone", b"\xff" * head + old[head:], None
    yield "last part", old[: size // 2] + b"\xff" * (size // 2), None
    yield "all but weak", b"\xff" * size, None
    yield (
        "beginning either way",
        b"\xff" * size,
        (sector * size, old[: size // 2], b"\xff" * (size // 2)),
    )
