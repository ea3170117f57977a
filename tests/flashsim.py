"""A NOR flash that holds its user to the part's rules and fails as parts fail. For tests, on
CPython and MicroPython.

Rules: a program is aligned to the unit, stays within a page, and meets only erased units; a breach
    is a SimulatorError, which
no handler of the code under test catches. Faults: a power cut at any program unit, within an erase
or at any read, units that a cut left half programmed (they read otherwise each time, or not at
all), sectors that refuse, lie or wear out, flipped bits, at rest or in one reading. All of it
follows from `seed`, and the flash keeps what it holds from one Store to the next."""

ERASE_STEPS = 3  # a cut within an erase: near its beginning, amid it, near its end
_ERASED, _WRITTEN, _TORN = 0, 1, 2


class SimulatorError(BaseException):
    """The code under test did what the part does not allow. Not an Exception: nothing may swallow
    it."""


class PowerCut(BaseException):
    """The power went. What was being programmed or erased is torn; nothing works until
    power_on()."""


class Chance:
    """xorshift32: the same numbers everywhere from the same seed."""

    def __init__(self, seed):
        self.state = (seed * 2654435761 + 0x9E3779B9) & 0xFFFFFFFF or 1
        for _ in range(4):
            self.bits()

    def bits(self):
        x = self.state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        self.state = x
        return x

    def below(self, n):
        return (self.bits() >> 3) % n

    def shuffled(self, n):
        out = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.below(i + 1)
            out[i], out[j] = out[j], out[i]
        return out


class FlashSim:
    """sectors of `sector` bytes, programmed by `unit` within `page`. All attributes below may be
    set at any time.

    write_once: False allows a written unit to be programmed again, from 1 to 0 (NOR without ECC).
        flicker: units that a cut
    left half programmed read as before, as after or in between, anew at each read ("before" or
    "after": always so; they may settle later). ecc: they raise OSError instead.
    in_order: units of a page are programmed one after the other; False lets a cut leave any of
        them. forbidden: programs and
    erases are breaches for now. stuck: sector -> (what a program does, what an erase does): None as
    it should, "raise", "nothing" (silently), "wrong" (a program leaves one bit, an erase one page
    as it was). endurance: erases that a sector bears (0: any number); one more, and it is stuck as
    `worn` says. read_flips: one read in so many returns a flipped bit (0: none). steps,
    bytes_programmed, programs and erases (for each sector), cuts (power cuts so far): counters.
    trace: a list that receives every program and erase.
    image: the bytes to begin with. file: path of a file that holds the flash: read if it is there,
        which it must be in full
    size; every change goes to it at once. Units that read 0xFF in them count as erased.
    """

    def __init__(self, sectors, sector, page, unit, write_once=True, seed=1, image=None, file=None):
        size = sectors * sector
        self.file = None
        if file:
            image = image or _contents(file)
            self.file = open(file, "r+b" if _contents(file) else "w+b")
        if image and len(image) != size:
            raise ValueError(
                "an image of %d bytes is not the flash of %d sectors of %d, %d bytes"
                % (len(image), sectors, sector, size)
            )
        self.sectors, self.sector, self.page, self.unit = sectors, sector, page, unit
        self.write_once = write_once
        self.flicker = self.ecc = self.in_order = self.forbidden = self.off = False
        self.chance = Chance(seed)
        self.bytes = bytearray(image or b"\xff" * size)
        self.units = bytearray(len(self.bytes) // unit)
        if image:
            for i in range(len(self.units)):
                if any(each != 0xFF for each in self.bytes[i * unit : (i + 1) * unit]):
                    self.units[i] = _WRITTEN
        self.torn = {}  # unit number: (its bytes before, its bytes after), of half-programmed units
        self.stuck = {}
        self.trace = None
        self.cut_at = self.cut_at_read = self.tear = None
        self.steps = self.reads = self.bytes_programmed = self.cuts = self.endurance = (
            self.read_flips
        ) = 0
        self.worn = ("raise", "raise")
        self.programs, self.erases = [0] * sectors, [0] * sectors
        self._keep(0, size)

    def clone(self, seed):
        """Return a copy of the flash as it is, with chances of its own."""
        new = FlashSim(0, self.sector, self.page, self.unit, self.write_once, seed)
        new.sectors = self.sectors
        new.flicker, new.ecc, new.in_order = self.flicker, self.ecc, self.in_order
        new.bytes, new.units, new.torn = (
            bytearray(self.bytes),
            bytearray(self.units),
            dict(self.torn),
        )
        new.stuck = dict(self.stuck)
        new.endurance, new.worn, new.read_flips = self.endurance, self.worn, self.read_flips
        new.programs, new.erases = list(self.programs), list(self.erases)
        return new

    # -- faults to come ----------------------------------------------------------------------------

    def cut_after(self, steps, tear=None):
        """Cut the power after that many more program units and erase steps. tear: what the unit or
        erase in hand leaves: "nothing", "all" (done, but nobody was told), "some" (any of its
        bits), "head" (its first bytes), or None for one of them by chance."""
        self.cut_at = self.steps + steps
        self.tear = tear

    def cut_after_reads(self, reads):
        """Cut the power at a read, after that many more: within a recovery, which writes
        nothing."""
        self.cut_at_read = self.reads + reads

    def power_on(self):
        self.off = False
        self.cut_at = self.cut_at_read = None

    def _cut(self):
        self.off = True
        self.cuts += 1
        raise PowerCut()

    def half_erase(self, sector, keep):
        """Leave a sector as an erase may that was cut: its first `keep` bytes as they were, the
        rest 0xFF but not erased."""
        start, end = sector * self.sector, (sector + 1) * self.sector
        self.bytes[start + keep : end] = b"\xff" * (end - start - keep)
        self.units[start // self.unit : end // self.unit] = bytes([_TORN]) * (
            self.sector // self.unit
        )
        self._keep(start, end)

    def flip(self, address, bit):
        self.bytes[address] ^= 1 << bit
        self._keep(address, address + 1)

    # -- what the store sees -----------------------------------------------------------------------

    def read(self, address, buffer):
        if self.off:
            raise PowerCut()
        n = len(buffer)
        if address < 0 or address + n > len(self.bytes):
            raise SimulatorError("read of %d bytes at 0x%x, outside of the flash" % (n, address))
        self.reads += 1
        if self.cut_at_read is not None and self.reads > self.cut_at_read:
            self._cut()
        buffer[:] = self.bytes[address : address + n]
        if self.torn and n and (self.ecc or self.flicker):
            for i in range(address // self.unit, (address + n - 1) // self.unit + 1):
                if i in self.torn:
                    if self.ecc:
                        raise OSError(5)
                    if self.flicker in ("before", "after"):
                        data = self.torn[i][self.flicker == "after"]
                    else:
                        data = self._between(*self.torn[i])
                    for k in range(self.unit):
                        at = i * self.unit + k - address
                        if 0 <= at < n:
                            buffer[at] = data[k]
        if self.read_flips and n and self.chance.below(self.read_flips) == 0:
            buffer[self.chance.below(n)] ^= 1 << self.chance.below(8)

    def program(self, address, data):
        data = bytes(data)
        n = len(data)
        unit = self.unit
        if self.off:
            raise PowerCut()
        if self.forbidden:
            raise SimulatorError("a program at 0x%x, where nothing may be written" % address)
        if address < 0 or address + n > len(self.bytes) or not n:
            raise SimulatorError("program of %d bytes at 0x%x, outside of the flash" % (n, address))
        if address % unit or n % unit:
            raise SimulatorError(
                "program of %d bytes at 0x%x: not in units of %d" % (n, address, unit)
            )
        if address // self.page != (address + n - 1) // self.page:
            raise SimulatorError(
                "program of %d bytes at 0x%x crosses a page of %d" % (n, address, self.page)
            )
        if self.trace is not None:
            self.trace.append((address, data))
        sector = address // self.sector
        self.programs[sector] += 1
        mode, other = self.stuck.get(sector, (None, None))
        if mode == "raise":
            raise OSError(5)
        if mode == "nothing":
            return
        first, count = address // unit, n // unit
        erased = self.units[first : first + count] == bytes(count)
        if not erased and not other:
            for i in range(count):
                self._may_program(first + i, data[i * unit : (i + 1) * unit])
        if self.cut_at is not None and self.cut_at < self.steps + count:
            cut = self.cut_at - self.steps
            order = list(range(count)) if self.in_order else self.chance.shuffled(count)
            for i in order[:cut]:
                self._done(first + i, data[i * unit : (i + 1) * unit])
            i = order[cut]
            self._tear(first + i, data[i * unit : (i + 1) * unit])
            self._keep(address, address + n)
            self._cut()
        self.steps += count
        self.bytes_programmed += n
        if mode == "wrong":
            data = bytes([data[0] ^ (0x80 >> self.chance.below(8))]) + data[1:]
        if erased:
            self.bytes[address : address + n] = data
            self.units[first : first + count] = bytes([_WRITTEN]) * count
        else:
            for i in range(count):
                self._put(first + i, data[i * unit : (i + 1) * unit])
        self._keep(address, address + n)

    def erase(self, sector):
        if self.off:
            raise PowerCut()
        if self.forbidden:
            raise SimulatorError("an erase of sector %d, where nothing may be erased" % sector)
        if not 0 <= sector < self.sectors:
            raise SimulatorError("erase of sector %d of %d" % (sector, self.sectors))
        if self.trace is not None:
            self.trace.append((sector, None))
        self.erases[sector] += 1
        if self.endurance and self.erases[sector] > self.endurance:
            self.stuck[sector] = self.worn
        mode = self.stuck.get(sector, (None, None))[1]
        if mode == "raise":
            raise OSError(5)
        if mode == "nothing":
            return
        start, end = sector * self.sector, (sector + 1) * self.sector
        first, last = start // self.unit, end // self.unit
        old = bytes(self.bytes[start : start + self.page]) if mode == "wrong" else b""
        if self.cut_at is not None and self.cut_at < self.steps + ERASE_STEPS:
            self._tear_erase(start, end, self.cut_at - self.steps)
            self._keep(start, end)
            self._cut()
        self.steps += ERASE_STEPS
        self.bytes[start:end] = b"\xff" * (end - start)
        self.units[first:last] = bytes(last - first)
        self._forget(first, last)
        if old:
            self.bytes[start : start + self.page] = old
        self._keep(start, end)

    # -- inside ------------------------------------------------------------------------------------

    def _keep(self, start, end):
        """Bring bytes that have changed to the file, if there is one."""
        if self.file:
            self.file.seek(start)
            self.file.write(self.bytes[start:end])
            self.file.flush()

    def _may_program(self, i, data):
        state = self.units[i]
        if state == _ERASED:
            return
        old = self.bytes[i * self.unit : (i + 1) * self.unit]
        if state == _WRITTEN:
            if not self.write_once and all(not each & ~was for each, was in zip(data, old)):
                return
            raise SimulatorError(
                "unit at 0x%x is programmed again without an erase" % (i * self.unit)
            )
        if i in self.torn and (self.flicker or all(each == 0xFF for each in old)):
            # it may have read blank: no reader can know
            if self.write_once:
                raise OSError(5)
            return
        raise SimulatorError(
            "unit at 0x%x, torn by a power cut, is programmed without an erase" % (i * self.unit)
        )

    def _put(self, i, data):
        unit = self.unit
        if self.units[i] == _ERASED:
            self.bytes[i * unit : (i + 1) * unit] = data
        else:  # 1 -> 0 only, and what a cut began may come out
            old = (
                self._between(*self.torn.pop(i))
                if i in self.torn
                else self.bytes[i * unit : (i + 1) * unit]
            )
            for k in range(unit):
                self.bytes[i * unit + k] = old[k] & data[k]
        self.units[i] = _WRITTEN

    def _done(self, i, data):
        """Program a unit, the last thing before a cut or nearly so."""
        self._put(i, data)
        if all(each == 0xFF for each in data):  # written, and no reader can know
            self.units[i] = _TORN
            self.torn[i] = (data, data)

    def _between(self, old, new):
        """Return old, new, or some of the bits in which they differ."""
        n = self.chance.below(3)
        if n < 2:
            return (old, new)[n]
        return bytes(
            [(a & mask) | (b & ~mask) & 255 for a, b, mask in zip(old, new, self._noise(len(old)))]
        )

    def _noise(self, n):
        return [self.chance.bits() >> 5 & 255 for _ in range(n)]

    def _tear(self, i, data):
        old = bytes(self.bytes[i * self.unit : (i + 1) * self.unit])
        kind = self.tear or ("nothing", "all", "some", "head")[self.chance.below(4)]
        if kind == "nothing":
            return
        if kind == "all":
            self._done(i, data)
            return
        self.units[i] = _TORN
        old, new = self.torn[i] = (old, bytes([a & b for a, b in zip(old, data)]))
        n = self.chance.below(self.unit + 1)
        self.bytes[i * self.unit : (i + 1) * self.unit] = (
            new[:n] + old[n:] if kind == "head" else self._between(old, new)
        )

    def _tear_erase(self, start, end, step):
        """Leave parts of the sector as they were, parts erased and parts noise; at the first step
        it may be untouched, at the last erased all over. No unit of it may be programmed before
        another erase."""
        first, last = start // self.unit, end // self.unit
        kind = self.tear or ("nothing", "all", "some", "some")[self.chance.below(4)]
        if kind == "nothing" and step == 0:
            return
        self._forget(first, last)
        at = start
        while at < end:
            n = min(end - at, 1 + self.chance.below((end - start) // 3))
            what = self.chance.below(6)
            if kind == "all" and step == ERASE_STEPS - 1 or what < 1 + 2 * step:
                self.bytes[at : at + n] = b"\xff" * n
            elif what == 5:
                for k in range(at, at + n):
                    self.bytes[k] |= self.chance.bits() >> 7 & 255
                for k in range(
                    at // self.unit + 1, min((at + n) // self.unit, at // self.unit + 8)
                ):
                    old = bytes(self.bytes[k * self.unit : (k + 1) * self.unit])
                    self.torn[k] = (old, b"\xff" * self.unit)
            at += n
        self.units[first:last] = bytes([_TORN]) * (last - first)

    def _forget(self, first, last):
        for i in list(self.torn):
            if first <= i < last:
                del self.torn[i]


def _contents(file):
    """Return the bytes of a file, none if it is not there."""
    try:
        with open(file, "rb") as f:
            return f.read()
    except OSError:
        return b""
