"""Questions over all records or all keys: which match a filter, and count, sum, minimum, maximum
and mean of a field of theirs.

A field is (offset, width, signed): an integer of 1 to 4 bytes, little-endian, in a record's
metadata or in a key's value. What is too short to have the field does not match a test on it and
does not count. Reads the arena, changes nothing.

`follow` has all that is done for each slot, on flat arrays, so that a board may do it in native
code. Integers are kept there in 32 bits, so those of an unsigned field of 4 bytes less 2^31 (their
bias): order and differences stay."""

from array import array

from .const import const
from .errors import Invalid
from .kernel import u32

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Field, Follow, Kernel, Pool, Words

RECORDS = const(0)  # what a filter is over
KEYS = const(1)
TESTS = ("==", "!=", "<", "<=", ">", ">=")

REMEMBER = const(0)  # what `follow` does with what it finds at a slot
CHANGE = const(1)

_ID = const(1)  # words of a slot, see kernel.py
_LENGTHS = const(3)
_TAG = const(4)
_VECTOR = const(5)
_NAME = const(4)
_VALUE = const(10)

# Words of a plan: of what the filter is over; where metadata or value begins in a slot; tag;
# prefix; test; field to sum.
_OVER = const(0)
_START = const(1)
_HAS_TAG = const(2)
_WANTED = const(3)
_PREFIX = const(4)
_TEST = const(5)  # 0 none, 1 to 6 one of TESTS, 7 any number, 8 no number
_NUMBER = const(6)
_TESTED = const(7)  # a field: offset, width, signed
_SUMMED = const(10)  # likewise; a width of 0: each counts as 0
_PLAN = const(13)
_ANY = const(7)
_NONE = const(8)

# Words of sums.
_COUNT = const(0)
_LOW = const(1)
_HIGH = const(2)
_LEAST = const(3)
_GREATEST = const(4)
_STALE = const(5)
_HAD = const(6)
_OLD = const(7)
_SUMS = const(8)


def check_field(field: "Field") -> "Field":
    """Return (offset, width, signed); Invalid unless it is one."""
    try:
        offset, width, signed = field
        if 0 <= offset <= 0xFFFF and 1 <= width <= 4 and signed in (False, True):
            return offset, width, signed
    except (TypeError, ValueError):
        pass
    raise Invalid("a field is (offset, width of 1 to 4 bytes, signed), not %r" % (field,))


def bias(field: "Field | None") -> int:
    """Return what is taken off an integer of this field to keep it in 32 bits."""
    return 1 << 31 if field and field[1] == 4 and not field[2] else 0


class Filter:
    """Which records or keys are meant. over: RECORDS or KEYS; tag: only records of this tag;
    prefix: only keys whose name begins with these bytes; where: None, or (field, test, number) with
        one of TESTS."""

    if 0:  # read by type checkers only
        where: "tuple[Field, int, int] | None"

    def __init__(
        self,
        over: int,
        tag: int | None = None,
        prefix: "Buffer" = b"",
        where: "tuple[Field, str, int] | None" = None,
    ) -> None:
        if (
            over not in (RECORDS, KEYS)
            or over == KEYS
            and tag is not None
            or over == RECORDS
            and prefix
        ):
            raise Invalid(
                "a filter is over RECORDS, perhaps with a tag, or over KEYS, perhaps with a prefix"
            )
        self.over = over
        self.tag = tag
        self.prefix = bytes(prefix)
        self.where = None
        if where is not None:
            try:
                field, test, number = where
                self.where = check_field(field), TESTS.index(test), int(number)
            except (TypeError, ValueError):
                raise Invalid(
                    "`where` is (field, one of %s, number), not %r" % (" ".join(TESTS), where)
                ) from None

    def pool(self, kernel: "Kernel") -> "Pool":
        return kernel.keys if self.over else kernel.records

    def plan(self, kernel: "Kernel", field: "Field | None" = None) -> "array[int]":
        """Return the array that `follow` takes for this filter and a field to sum."""
        plan = array("I", bytes(4 * _PLAN))
        plan[_OVER] = self.over
        plan[_START] = 4 * (_VALUE if self.over else _VECTOR + kernel.dim)
        if self.tag is not None:
            plan[_HAS_TAG] = 1
            plan[_WANTED] = self.tag
        plan[_PREFIX] = len(self.prefix)
        if self.where:
            field_tested, test, number = self.where
            plan[_TEST] = test + 1
            number -= bias(field_tested)
            if -(1 << 31) <= number < 1 << 31:
                plan[_NUMBER] = number & 0xFFFFFFFF
            else:  # every integer of 32 bits lies on one side of it
                plan[_TEST] = (
                    _ANY if test == 1 or (test in (2, 3)) == (number > 0) and test > 1 else _NONE
                )
            self._place(plan, _TESTED, field_tested)
        if field:
            self._place(plan, _SUMMED, field)
        return plan

    def _place(self, plan: "Words", at: int, field: "Field") -> None:
        plan[at], plan[at + 1] = field[0], field[1]
        plan[at + 2] = 1 if field[2] else 0


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def _integer(plan: "Words", at_field: int, data: "Buffer", start: int, length: int) -> int | None:
    """Return an integer of a field less its bias; None if there are too few bytes."""
    offset, width = plan[at_field], plan[at_field + 1]
    if offset + width > length:
        return None
    value = 0
    for i in range(width):
        value |= data[start + offset + i] << 8 * i
    if plan[at_field + 2]:
        return value - (1 << 8 * width) if value >> (8 * width - 1) else value
    return value - (1 << 31) if width == 4 else value


def look(plan: "Words", prefix: bytes, data: "Buffer", at: int) -> int | None:
    """Return the integer that the slot in use at word `at` has in the field to sum, less its bias;
    None if the filter does not mean that slot, or it has no such field. data: the arena."""
    at *= 4
    length = (
        data[at + 4 * _LENGTHS]
        if plan[_OVER] == RECORDS
        else data[at + 4 * _LENGTHS + 1] | data[at + 4 * _LENGTHS + 2] << 8
    )
    if plan[_HAS_TAG] and u32(data, at + 4 * _TAG) != plan[_WANTED]:
        return None
    n = plan[_PREFIX]
    if n and (data[at + 4 * _LENGTHS] < n or data[at + 4 * _NAME : at + 4 * _NAME + n] != prefix):
        return None
    start = at + plan[_START]
    test = plan[_TEST]
    if test:
        value = _integer(plan, _TESTED, data, start, length)
        if value is None or test == _NONE:
            return None
        number = _signed(plan[_NUMBER])
        if not (
            test == _ANY
            or (value == number if test in (1, 4, 6) else False)
            or value != number
            and test == 2
            or value < number
            and test in (3, 4)
            or value > number
            and test in (5, 6)
        ):
            return None
    if not plan[_SUMMED + 1]:
        return 0
    return _integer(plan, _SUMMED, data, start, length)


def follow(plan: "Words", prefix: bytes, data: "Buffer", at: int, sums: "Words", mode: int) -> None:
    """REMEMBER what the slot at word `at` (0: there is none) adds to sums; or CHANGE them: what was
    remembered goes, what is there now comes. The truth that native code is held to."""
    value = look(plan, prefix, data, at) if at else None
    if mode == REMEMBER:
        sums[_HAD] = 0 if value is None else 1
        sums[_OLD] = (value or 0) & 0xFFFFFFFF
        return
    old = _signed(sums[_OLD]) if sums[_HAD] else None
    if old == value:
        return
    total = (sums[_HIGH] << 32 | sums[_LOW]) - (old or 0) + (value or 0)
    sums[_LOW] = total & 0xFFFFFFFF
    sums[_HIGH] = total >> 32 & 0xFFFFFFFF
    if old is not None:
        sums[_COUNT] -= 1
        if not sums[_COUNT]:
            sums[_STALE] = 0
        elif old in (_signed(sums[_LEAST]), _signed(sums[_GREATEST])):
            sums[_STALE] = 1
    if value is not None:
        sums[_COUNT] += 1
        if sums[_COUNT] == 1 or value < _signed(sums[_LEAST]):
            sums[_LEAST] = value & 0xFFFFFFFF
        if sums[_COUNT] == 1 or value > _signed(sums[_GREATEST]):
            sums[_GREATEST] = value & 0xFFFFFFFF


class Aggregate:
    """count; sum; least and greatest, None of nothing."""

    def __init__(self, sums: "Words", bias: int) -> None:
        self.count = sums[_COUNT]
        self.sum = (_signed(sums[_HIGH]) << 32 | sums[_LOW]) + self.count * bias
        self.least = _signed(sums[_LEAST]) + bias if self.count else None
        self.greatest = _signed(sums[_GREATEST]) + bias if self.count else None

    def mean(self) -> int | None:
        """Return sum / count, rounded towards minus infinity; None of nothing."""
        return self.sum // self.count if self.count else None


def is_stale(sums: "Words") -> int:
    """Return whether an extreme has gone, so that sums' least or greatest is no longer true."""
    return sums[_STALE]


def gather(
    kernel: "Kernel", filter: "Filter", plan: "Words", follow: "Follow" = follow
) -> "array[int]":
    """Return the sums of all that a plan, made of filter, means now."""
    sums = array("I", bytes(4 * _SUMS))
    pool = filter.pool(kernel)
    for slot in range(pool.fresh()):
        at = pool.at(slot)
        if pool.words[at + _ID]:
            follow(plan, filter.prefix, kernel.arena.bytes, at, sums, CHANGE)
    return sums


def aggregate(
    kernel: "Kernel", filter: "Filter", field: "Field | None" = None, follow: "Follow" = follow
) -> "Aggregate":
    """Return the Aggregate of a field over what a filter means; without a field, each counts as 0:
    a count."""
    if field is not None:
        field = check_field(field)
    return Aggregate(gather(kernel, filter, filter.plan(kernel, field), follow), bias(field))


def select(kernel: "Kernel", filter: "Filter") -> list[int] | list[bytes]:
    """Return the ids of the records, ascending, or the names of the keys, ascending, that a filter
    means."""
    pool = filter.pool(kernel)
    plan = filter.plan(kernel)
    found = []
    for slot in range(pool.fresh()):
        at = pool.at(slot)
        if pool.words[at + _ID] and look(plan, filter.prefix, kernel.arena.bytes, at) is not None:
            found.append(kernel.key_at(at)[0] if filter.over else pool.words[at + _ID])
    return sorted(found)  # type: ignore[return-value]  # all are of one kind
