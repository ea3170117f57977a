"""Numbers of a person's kind into Q16.16: the one door by which floats and decimals enter. No
arithmetic beyond that.

Exact until the one rounding (half away from zero), which shared_kernel.fixed does for every
interpreter alike."""

from collections.abc import Iterable
from decimal import Decimal
from operator import index
from typing import Any

from quipu import limits
from shared_kernel.errors import Invalid
from shared_kernel.fixed import MAX, MIN, ONE, from_ratio, from_text

_LONGEST = 1000  # characters of a number as text: an exact float has fewer
_DIGITS = 20  # before the point: more than any component has, few enough to write out


def q16(x: Any, clamp: bool = False) -> int:
    """Return a number as Q16.16: q16(1) and q16("1.0") are 65536.

    x: int, float, Decimal, Fraction, anything with `as_integer_ratio`, or decimal text, from -32768
        to 32767.99998.
    clamp: take the nearest end of that range for what lies outside of it, instead of Invalid.

    Invalid also for NaN, infinity, booleans and what is no number.
    """
    if isinstance(x, str):
        if len(x) > _LONGEST:
            raise Invalid(
                f"{limits.shown(x)!r} is no number of at most {_LONGEST} characters: round it"
            )
        value = from_text(x)
        # The kernel clamps. Only at an end can that have happened.
        ratio = Decimal(x.strip()).as_integer_ratio() if value in (MAX, MIN) else (0, 1)
    else:
        ratio = _ratio(x)
        value = from_ratio(*ratio)
    if not clamp and not _holds(*ratio):
        raise Invalid(
            f"{limits.shown(x)} is outside of Q16.16: expected -32768 to 32767.99998. Scale the numbers, "
            "or clamp them (--clamp; in Python clamp=True)"
        )
    return value


def _ratio(x: Any) -> tuple[int, int]:
    """Return what is a finite number as numerator and denominator, one out of all range cut to
    _DIGITS, for a Decimal's exponent costs nothing to write and much to expand."""
    if not isinstance(x, bool):
        try:
            return index(x), 1
        except TypeError:
            pass
        if isinstance(x, Decimal) and x.is_finite() and abs(x.adjusted()) > _DIGITS:
            small = x.adjusted() < 0
            return 0 if small or not x else -(10**_DIGITS) if x < 0 else 10**_DIGITS, 1
        try:
            numerator, denominator = x.as_integer_ratio()
            return int(numerator), int(denominator)
        except AttributeError:
            pass
        except (ValueError, OverflowError):  # what as_integer_ratio raises for NaN and for infinity
            raise Invalid(
                f"{limits.shown(x)} is not a finite number: Q16.16 has neither NaN nor infinity"
            ) from None
    raise Invalid(
        f"{limits.shown(x)!r} is not a number: expected an int, a float, a Decimal, a Fraction or decimal text"
    )


def _holds(numerator: int, denominator: int) -> bool:
    """Return whether a ratio, rounded half away from zero, is a Q16.16 integer."""
    doubled = 2 * ONE * numerator
    return (2 * MIN - 1) * denominator < doubled < (2 * MAX + 1) * denominator


def vector(xs: Iterable[Any], clamp: bool = False) -> list[int]:
    """Return numbers as Q16.16 integers, as insert and search take them.

    xs: the components, as of q16.
    clamp: as of q16.

    Invalid names the component that is no number, or out of range.
    """
    out = []
    for i, x in enumerate(xs):
        try:
            out.append(q16(x, clamp))
        except Invalid as e:
            raise Invalid(f"component {i}: {e}") from None
    return out
