"""shared_kernel.query's `follow` in viper. Imported on use; on a port without viper the import
fails and the plain one serves."""

import micropython
from micropython import const

# See shared_kernel/query.py.
_START = const(1)
_HAS_TAG = const(2)
_WANTED = const(3)
_PREFIX = const(4)
_TEST = const(5)
_NUMBER = const(6)
_TESTED = const(7)
_SUMMED = const(10)
_COUNT = const(0)
_LOW = const(1)
_HIGH = const(2)
_LEAST = const(3)
_GREATEST = const(4)
_STALE = const(5)
_HAD = const(6)
_OLD = const(7)


@micropython.viper
def follow(plan_words, prefix, data, at: int, sum_words, mode: int):
    plan = ptr32(plan_words)
    sums = ptr32(sum_words)
    slot = int(ptr8(data)) + 4 * at
    words = ptr32(slot)
    lengths = words[3]
    length = lengths >> 8 & 255 | lengths >> 8 & 65280 if plan[0] else lengths & 255
    has = 1 if at else 0
    value = 0
    if has and plan[_HAS_TAG] and words[4] != plan[_WANTED]:
        has = 0
    n = plan[_PREFIX]
    if has and n:
        if lengths & 255 < n:
            has = 0
        else:
            name = ptr8(slot + 16)
            wanted = ptr8(prefix)
            while n:
                n -= 1
                if name[n] != wanted[n]:
                    has = 0
    turn = 0  # the field to test, then the field to sum
    while has and turn < 2:
        field = _SUMMED if turn else _TESTED
        width = plan[field + 1]
        value = 0
        if width:
            if plan[field] + width > length:
                has = 0
            else:
                p = ptr8(slot + plan[_START] + plan[field])
                i = width
                while i:
                    i -= 1
                    value = value << 8 | p[i]
                if plan[field + 2]:
                    shift = 32 - 8 * width
                    value = value << shift >> shift
                elif width == 4:
                    i = 1
                    value ^= i << 31
        if not turn:
            test = plan[_TEST]
            number = plan[_NUMBER]
            if test == 8:
                has = 0
            elif test and test != 7:
                if value == number:
                    if test != 1 and test != 4 and test != 6:
                        has = 0
                elif value < number:
                    if test < 2 or test > 4:
                        has = 0
                elif test != 2 and test < 5:
                    has = 0
        turn += 1
    if mode == 0:
        sums[_HAD] = has
        sums[_OLD] = value if has else 0
        return
    had = sums[_HAD]
    old = sums[_OLD]
    if had == has and (not has or old == value):
        return
    low = sums[_LOW]
    if had:
        new = low - old
        sums[_HIGH] -= (old >> 31) + ((((low ^ -1) & old) | (((low ^ -1) | old) & new)) >> 31 & 1)
        low = new
        sums[_COUNT] -= 1
        if not sums[_COUNT]:
            sums[_STALE] = 0
        elif old == sums[_LEAST] or old == sums[_GREATEST]:
            sums[_STALE] = 1
    if has:
        new = low + value
        sums[_HIGH] += (value >> 31) + (((low & value) | ((low | value) & (new ^ -1))) >> 31 & 1)
        low = new
        sums[_COUNT] += 1
        if sums[_COUNT] == 1:
            sums[_LEAST] = value
            sums[_GREATEST] = value
        elif value < sums[_LEAST]:
            sums[_LEAST] = value
        elif value > sums[_GREATEST]:
            sums[_GREATEST] = value
    sums[_LOW] = low
