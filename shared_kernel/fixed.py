"""Q16.16 arithmetic: 32-bit integers that count 1/65536ths. Never a float, never a rounding that
depends on the machine.

This is the one conversion by which decimal text and ratios (a host's floats) become Q16.16.
"""

from .const import const
from .errors import Invalid

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Integers

ONE = const(65536)
MAX = 0x7FFFFFFF
MIN = -0x80000000


def clamp(n: int) -> int:
    """Return n held within a signed 32-bit integer."""
    return MAX if n > MAX else MIN if n < MIN else n


def add(a: int, b: int) -> int:
    """Return a + b, saturated."""
    return clamp(a + b)


def sub(a: int, b: int) -> int:
    """Return a - b, saturated."""
    return clamp(a - b)


def mul(a: int, b: int) -> int:
    """Return the Q16.16 product: the exact 64-bit product, shifted right by 16 (towards minus
    infinity), saturated."""
    return clamp((a * b) >> 16)


def dot(a: "Integers", b: "Integers") -> int:
    """Return the Q16.16 dot product of two equally long sequences: exact sum, one floor shift at
    the end, saturated."""
    if len(a) != len(b):
        raise Invalid("dot product of dimensions %d and %d: they must be equal" % (len(a), len(b)))
    total = 0
    for i in range(len(a)):
        total += a[i] * b[i]
    return clamp(total >> 16)


def from_ratio(numerator: int, denominator: int) -> int:
    """Return numerator/denominator (denominator above 0) in Q16.16: round half away from zero, then
    clamp."""
    magnitude = abs(numerator) * ONE * 2 + denominator
    magnitude //= 2 * denominator
    return clamp(-magnitude if numerator < 0 else magnitude)


def from_text(text: str) -> int:
    """Return decimal text ("-1.5", "3", ".25", "1e-3") in Q16.16; Invalid for anything else, NaN
    and infinity included."""
    body = text.strip(" \t\n\r\v\f")  # bare strip() takes more of Unicode off on CPython
    sign = 1
    if body[:1] in ("-", "+"):
        sign = -1 if body[0] == "-" else 1
        body = body[1:]
    body, _, exponent = body.lower().partition("e")
    whole, point, fraction = body.partition(".")
    digits = whole + fraction
    power = exponent[1:] if exponent[:1] in ("-", "+") else exponent
    if (
        not _decimal(digits)
        or ("e" in text.lower()) != _decimal(power)
        or len(power) > 3
        or len(digits) > 400
    ):
        raise Invalid("%r is not a finite decimal number such as -1.5 or 2e-3" % (text,))
    shift = (int(exponent) if power else 0) - len(fraction)
    value = sign * int(digits)
    return from_ratio(value * 10 ** max(shift, 0), 10 ** max(-shift, 0))


def _decimal(text: str) -> bool:
    for c in text:
        if not "0" <= c <= "9":
            return False
    return len(text) > 0


def to_text(n: int) -> str:
    """Return the exact decimal text of a Q16.16 integer: from_text(to_text(n)) == n."""
    sign = "-" if n < 0 else ""
    n = abs(n)
    fraction = "%016d" % ((n & 0xFFFF) * 152587890625)
    fraction = fraction.rstrip("0")
    return sign + str(n >> 16) + ("." + fraction if fraction else "")
