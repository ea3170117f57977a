"""Q16.16 arithmetic against exact fractions: one rounding, one clamp, nothing that is not a finite
decimal."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_kernel import fixed
from shared_kernel.errors import Invalid
from shared_kernel.fixed import MAX, MIN, ONE

words = st.one_of(
    st.integers(MIN, MAX), st.sampled_from((MIN, MIN + 1, -ONE, -1, 0, 1, ONE, MAX - 1, MAX))
)
quick = settings(max_examples=200, deadline=None, derandomize=True)


def clamp(n):
    return max(-(2**31), min(2**31 - 1, n))


def nearest(value):
    """Return the Q16.16 integer nearest to a Fraction, halves away from zero, held in 32 bits."""
    n = floor(abs(value) * 2**16 + Fraction(1, 2))
    return clamp(-n if value < 0 else n)


RATIOS = (  # numerator, denominator, Q16.16
    (0, 1, 0),
    (0, 7, 0),
    (1, 1, 65536),
    (-1, 1, -65536),
    (1, 3, 21845),
    (2, 3, 43691),
    (-1, 3, -21845),
    (-2, 3, -43691),
    # half of the last place goes away from zero
    (1, 131072, 1),
    (-1, 131072, -1),
    (1, 131073, 0),
    (-1, 131073, 0),
    (3, 131072, 2),
    (-3, 131072, -2),
    (5, 131072, 3),  # and not to even
    (32767, 1, 0x7FFF0000),
    (32768, 1, MAX),
    (-32768, 1, MIN),
    (-32769, 1, MIN),
    (10**30, 1, MAX),
    (-(10**30), 1, MIN),
    (2**31 - 1, 65536, MAX),
    (2**32 - 1, 131072, MAX),
    (-(2**32) - 1, 131072, MIN),
    (10**30, 10**30, ONE),
)

TEXTS = (
    ("0", 0),
    ("-0", 0),
    ("1", ONE),
    ("-1.5", -98304),
    ("+2", 131072),
    (".25", 16384),
    ("3.", 196608),
    ("1e-3", 66),
    ("-1E-3", -66),
    ("2e+1", 1310720),
    ("0.00000762939453125", 1),
    ("-0.00000762939453125", -1),
    ("0.00000762939453124999999999999999", 0),
    ("32767.9999923706054687", MAX),
    ("32768", MAX),
    ("-32768", MIN),
    ("1e99", MAX),
    ("-1e999", MIN),
    ("1e-999", 0),
    ("  7\n", 458752),
    ("0" * 390 + "1", ONE),
    ("0.1", 6554),
    ("-0.1", -6554),
)

GARBAGE = (
    "",
    " ",
    ".",
    "-",
    "+",
    "e5",
    "1e",
    "1e+",
    "1e-",
    "nan",
    "NaN",
    "-nan",
    "inf",
    "-inf",
    "Infinity",
    "1.2.3",
    "1,5",
    "--1",
    "+-1",
    "1e1.5",
    "1e5e6",
    "0x10",
    "1_000",
    "1 000",
    "1e1000",
    "1e99999999999",
    "١",
    "²",
    "½",
    "1e٣",
    "1" * 401,
    "1f",
    "e",
    "1e+-5",
    "1/2",
    "1\0",
)


def test_ratios_round_half_away_from_zero_then_clamp():
    for numerator, denominator, expected in RATIOS:
        assert (
            fixed.from_ratio(numerator, denominator)
            == expected
            == nearest(Fraction(numerator, denominator))
        )


def test_decimal_text():
    for text, expected in TEXTS:
        assert fixed.from_text(text) == expected == nearest(Fraction(text)), text


def test_what_is_no_finite_decimal_is_refused():
    for text in GARBAGE:
        with pytest.raises(Invalid, match="finite decimal"):
            fixed.from_text(text)


@quick
@given(st.integers(), st.integers(1, 2**80))
def test_every_ratio_is_the_nearest(numerator, denominator):
    assert fixed.from_ratio(numerator, denominator) == nearest(Fraction(numerator, denominator))


@quick
@given(
    st.from_regex(
        r"[-+]?([0-9]{1,6}\.?[0-9]{0,25}|\.[0-9]{1,25})([eE][-+]?[0-9]{1,2})?", fullmatch=True
    )
)
def test_every_text_is_the_nearest(text):
    assert fixed.from_text(text) == nearest(Fraction(text))


@quick
@given(st.text(alphabet="0123456789+-.eE_ nafi", max_size=5))
def test_text_means_what_python_reads_or_nothing(text):
    try:
        expected = nearest(Fraction(text)) if "_" not in text and "/" not in text else None
    except ValueError:
        expected = None
    try:
        found = fixed.from_text(text)
    except Invalid:
        found = None
    assert found == expected


@quick
@given(words)
def test_text_and_back_is_exact(n):
    assert Fraction(fixed.to_text(n)) == Fraction(n, 65536)
    assert fixed.from_text(fixed.to_text(n)) == n


def test_texts_of_edges():
    assert [fixed.to_text(n) for n in (0, ONE, -ONE, 1, -1, MAX, MIN)] == [
        "0",
        "1",
        "-1",
        "0.0000152587890625",
        "-0.0000152587890625",
        "32767.9999847412109375",
        "-32768",
    ]


EDGES = (MIN, MIN + 1, -ONE - 1, -ONE, -1, 0, 1, 2, ONE - 1, ONE, ONE + 1, 0x7FFF0000, MAX - 1, MAX)


def check_pair(a, b):
    assert fixed.add(a, b) == clamp(a + b)
    assert fixed.sub(a, b) == clamp(a - b)
    assert fixed.mul(a, b) == clamp(floor(Fraction(a * b, 65536)))


def test_add_sub_mul_at_every_edge():
    for a in EDGES:
        for b in EDGES:
            check_pair(a, b)
    assert fixed.mul(-1, 1) == -1 and fixed.mul(1, 1) == 0  # floor, not towards zero
    assert (
        fixed.add(MAX, 1) == MAX
        and fixed.sub(MIN, 1) == MIN
        and fixed.mul(MIN, MIN) == MAX
        and fixed.mul(MIN, MAX) == MIN
    )


@quick
@given(words, words)
def test_add_sub_mul_of_any_pair(a, b):
    check_pair(a, b)


@quick
@given(st.lists(st.tuples(words, words), max_size=40))
def test_a_dot_product_is_exact_until_its_one_shift(pairs):
    a, b = [a for a, _ in pairs], [b for _, b in pairs]
    assert (
        fixed.dot(a, b)
        == fixed.dot(a[::-1], b[::-1])
        == clamp(floor(Fraction(sum(x * y for x, y in pairs), 65536)))
    )


def test_dot_products_of_edges():
    assert fixed.dot([], []) == 0
    # two halves of the last place: shifted once, not each
    assert fixed.dot([1, 1], [32768, 32768]) == 1
    assert fixed.dot([-1], [1]) == -1
    assert fixed.dot([MAX] * 9, [MAX] * 9) == MAX and fixed.dot([MAX] * 9, [MIN] * 9) == MIN
    for a, b in (([1], []), ([], [1]), ([1, 2], [1])):
        with pytest.raises(Invalid):
            fixed.dot(a, b)
