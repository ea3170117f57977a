"""Numbers of a person's kind into Q16.16: the one door by which floats and decimals enter. No
arithmetic beyond that.

Exact until the one rounding (half away from zero), which shared_kernel.fixed does for every
interpreter alike."""

from collections.abc import Iterable
from operator import index
from typing import Any

from shared_kernel.errors import Invalid
from shared_kernel.fixed import from_ratio, from_text


def q16(x: Any) -> int:
    """Return a number as Q16.16: q16(1) and q16("1.0") are 65536.

    x: int, float, Decimal, Fraction, anything with `as_integer_ratio`, or decimal text. Values
        beyond -32768 to 32767.99998
    are clamped. Invalid for NaN, infinity, booleans and what is no number.
    """
    if isinstance(x, str):
        return from_text(x)
    if not isinstance(x, bool):
        try:
            return from_ratio(index(x), 1)
        except TypeError:
            pass
        try:
            numerator, denominator = x.as_integer_ratio()
            return from_ratio(int(numerator), int(denominator))
        except AttributeError:
            pass
        except (ValueError, OverflowError):  # what as_integer_ratio raises for NaN and for infinity
            raise Invalid(
                f"{x!r} is not a finite number: Q16.16 has neither NaN nor infinity"
            ) from None
    raise Invalid(
        f"{x!r} is not a number: expected an int, a float, a Decimal, a Fraction or decimal text"
    )


def vector(xs: Iterable[Any]) -> list[int]:
    """Return numbers as Q16.16 integers, as insert and search take them. Invalid names the
    component that is no number."""
    out = []
    for i, x in enumerate(xs):
        try:
            out.append(q16(x))
        except Invalid as e:
            raise Invalid(f"component {i}: {e}") from None
    return out
