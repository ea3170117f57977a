"""Questions over all records or all keys: which match a filter, and count, sum, minimum, maximum and mean of a field of theirs.

A field is (offset, width, signed): an integer of 1 to 4 bytes, little-endian, in a record's metadata or in a key's value. What
is too short to have the field does not match a test on it and does not count. Reads the arena, changes nothing.
"""

from .const import const
from .errors import Invalid
from .kernel import u32

RECORDS = const(0)  # what a filter is over
KEYS = const(1)

_ID = const(1)  # words of a slot, see kernel.py
_LENGTHS = const(3)
_TAG = const(4)
_VECTOR = const(5)
_NAME = const(4)
_VALUE = const(10)

TESTS = ("==", "!=", "<", "<=", ">", ">=")


def check_field(field):
    """Return (offset, width, signed); Invalid unless it is one."""
    try:
        offset, width, signed = field
        if 0 <= offset <= 0xFFFF and 1 <= width <= 4 and signed in (False, True):
            return offset, width, signed
    except (TypeError, ValueError):
        pass
    raise Invalid("a field is (offset, width of 1 to 4 bytes, signed), not %r" % (field,))


class Filter:
    """Which records or keys are meant. over: RECORDS or KEYS; tag: only records of this tag; prefix: only keys whose name begins
    with these bytes; where: None, or (field, test, number) with one of TESTS."""

    def __init__(self, over, tag=None, prefix=b"", where=None):
        if over not in (RECORDS, KEYS) or over == KEYS and tag is not None or over == RECORDS and prefix:
            raise Invalid("a filter is over RECORDS, perhaps with a tag, or over KEYS, perhaps with a prefix")
        self.over = over
        self.tag = tag
        self.prefix = bytes(prefix)
        self.field = self.test = None
        if where is not None:
            try:
                field, test, self.number = where
                self.test = TESTS.index(test)
            except (TypeError, ValueError):
                raise Invalid("`where` is (field, one of %s, number), not %r" % (" ".join(TESTS), where)) from None
            self.field = check_field(field)

    def pool(self, kernel):
        return kernel.keys if self.over else kernel.records

    def matches(self, kernel, at):
        """Return whether the slot in use at word `at` is meant."""
        arena = kernel.arena
        if self.tag is not None and arena.words[at + _TAG] != self.tag:
            return False
        if self.prefix:
            n = len(self.prefix)
            if arena.words[at + _LENGTHS] & 255 < n:
                return False
            at_name = 4 * (at + _NAME)
            i = 0
            while i < n:
                if arena.bytes[at_name + i] != self.prefix[i]:
                    return False
                i += 1
        if self.field is None:
            return True
        found = self.value(kernel, at, self.field)
        if found is None:
            return False
        test = self.test
        if test < 2:
            return (found == self.number) == (test == 0)
        if test < 4:
            return found < self.number or test == 3 and found == self.number
        return found > self.number or test == 5 and found == self.number

    def value(self, kernel, at, field):
        """Return the integer that the slot at word `at` has in a field; None if it is too short."""
        offset, width, signed = field
        length = kernel.arena.words[at + _LENGTHS]
        if self.over:
            length >>= 8
            start = _VALUE
        else:
            length &= 255
            start = _VECTOR + kernel.dim
        if offset + width > length:
            return None
        data = kernel.arena.bytes
        i = 4 * (at + start) + offset
        value = data[i]
        if width == 2:
            value |= data[i + 1] << 8
        elif width > 2:
            value = u32(data, i) if width == 4 else value | data[i + 1] << 8 | data[i + 2] << 16
        if signed and value >> (8 * width - 1):
            value -= 1 << 8 * width
        return value

    def name(self, kernel, at):
        """Return how a person calls the slot at word `at`: a record's id, a key's name."""
        return kernel.key_at(at)[0] if self.over else kernel.arena.words[at + _ID]


def slots(kernel, filter):
    """Yield the word offset of each slot that a filter means, in slot order."""
    pool = filter.pool(kernel)
    w = kernel.arena.words
    for slot in range(pool.fresh()):
        at = pool.at(slot)
        if w[at + _ID] and filter.matches(kernel, at):
            yield at


def select(kernel, filter):
    """Return the ids of the records, ascending, or the names of the keys, ascending, that a filter means."""
    return sorted([filter.name(kernel, at) for at in slots(kernel, filter)])


class Aggregate:
    """count, sum of the integers taken in, and their extremes; None where there are none.

    What leaves may be the least or the greatest of them: `stale` is then true, until `least` and `greatest` are found anew.
    """

    def __init__(self):
        self.clear()

    def clear(self):
        self.count = self.sum = 0
        self.least = self.greatest = None
        self.stale = False

    def add(self, value):
        self.sum += value
        self.count += 1
        if self.count == 1:
            self.least = self.greatest = value
            self.stale = False
        elif value < self.least:
            self.least = value
        elif value > self.greatest:
            self.greatest = value

    def remove(self, value):
        self.sum -= value
        self.count -= 1
        if not self.count:
            self.least = self.greatest = None
            self.stale = False
        elif value == self.least or value == self.greatest:
            self.stale = True

    def mean(self):
        """Return sum / count, rounded towards minus infinity; None of nothing."""
        return self.sum // self.count if self.count else None


def aggregate(kernel, filter, field=None):
    """Return the Aggregate of a field over what a filter means; without a field, each counts as 0: a count."""
    out = Aggregate()
    field = None if field is None else check_field(field)
    for at in slots(kernel, filter):
        value = 0 if field is None else filter.value(kernel, at, field)
        if value is not None:
            out.add(value)
    return out
