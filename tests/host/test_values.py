"""Numbers enter Q16.16 by one rounding, exactly; what is no finite number is refused. Fast
providers give the reference's bytes."""

from array import array
from decimal import Decimal
from fractions import Fraction

import pytest
import quipu
from hypothesis import example, given
from hypothesis import strategies as st
from quipu.errors import Invalid
from quipu.providers import Fast

from shared_kernel import blake3, distances, fixed


def rounded(x):
    """Half away from zero, then clamped: by rational arithmetic."""
    scaled = Fraction(x) * 65536
    whole = abs(scaled).__floor__()
    if abs(scaled) - whole >= Fraction(1, 2):
        whole += 1
    return max(-(2**31), min(2**31 - 1, whole if scaled >= 0 else -whole))


@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-40000, 40000)
    | st.fractions()
    | st.integers()
    | st.integers(-(2**33), 2**33).map(lambda n: Fraction(n, 2**17))
)
def test_every_kind_of_number_is_rounded_once(x):
    assert quipu.q16(x, clamp=True) == rounded(x)
    assert fixed.MIN <= quipu.q16(x, clamp=True) <= fixed.MAX


@given(st.decimals(-40000, 40000, places=7))
def test_decimals_and_text_agree(x):
    assert quipu.q16(x, clamp=True) == quipu.q16(str(x), clamp=True) == rounded(x)


@given(st.integers(-(2**34), 2**34).map(lambda n: Fraction(n, 2**18)))
@example(Fraction(2**32 - 1, 2**17))  # half a unit above the greatest: rounds away, and out
@example(Fraction(2**33 - 3, 2**18))
@example(Fraction(-(2**32) - 1, 2**17))
@example(Fraction(-(2**33) - 1, 2**18))
def test_what_is_outside_is_refused_with_the_range_and_nothing_else_is(x):
    inside = abs(x) * 65536 + Fraction(1, 2)
    fits = inside.__floor__() <= (fixed.MAX if x > 0 else -fixed.MIN)
    text = str(Decimal(x.numerator) / x.denominator)
    for form in (x, text, Decimal(text), float(x)):
        if fits:
            assert quipu.q16(form) == rounded(x), form
        else:
            with pytest.raises(Invalid, match="outside of Q16.16: expected -32768 to 32767.99998"):
                quipu.q16(form)


@pytest.mark.parametrize("text", ("1e999999999", "-1e999999999", "1e-999999999", "0e999999999"))
def test_an_exponent_is_not_expanded(text):
    sign = -1 if text[0] == "-" else 1
    zero = "e-" in text or text[0] == "0"
    wanted = 0 if zero else fixed.MAX if sign > 0 else fixed.MIN
    assert quipu.q16(Decimal(text), clamp=True) == wanted
    if zero:
        assert quipu.q16(Decimal(text)) == 0
    else:
        with pytest.raises(Invalid, match="component 0: .*outside of Q16.16"):
            quipu.vector([Decimal(text)])


def test_numbers_people_write():
    assert quipu.q16(1) == quipu.q16("1.0") == quipu.q16(Decimal(1)) == 65536
    assert quipu.q16(2) == 131072
    assert quipu.q16(0.5 / 65536) == 1 and quipu.q16(-0.5 / 65536) == -1
    assert quipu.q16(0.49 / 65536) == 0
    assert quipu.vector([1, "-0.5", 3.25]) == [65536, -32768, 212992]


class Index:
    """As numpy's integers are: no int, but as good as one."""

    def __index__(self):
        return 3


def test_what_behaves_like_an_integer_is_one():
    assert quipu.q16(Index()) == 3 * 65536


@pytest.mark.parametrize(
    "x",
    (
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("Infinity"),
        "nan",
        "inf",
        "",
        "1,5",
        "0x10",
        True,
        None,
        b"1",
        [1],
        1j,
    ),
)
def test_what_is_no_finite_number_is_refused(x):
    with pytest.raises(Invalid):
        quipu.q16(x)
    with pytest.raises(Invalid, match="component 1:"):
        quipu.vector([0, x])


component = st.sampled_from((-(2**31), -1, 0, 1, 2**31 - 1)) | st.integers(-(2**31), 2**31 - 1)


@given(
    st.integers(1, 9).flatmap(
        lambda n: st.lists(st.lists(component, min_size=n, max_size=n), min_size=2, max_size=5)
    )
)
def test_fast_distances_are_the_references(vectors):
    dim = len(vectors[0])
    words = array("I", [each & 0xFFFFFFFF for vector in vectors[1:] for each in [7, *vector]])
    query = array("I", [each & 0xFFFFFFFF for each in vectors[0]])
    got, expected = array("I", bytes(8 * len(vectors))), array("I", bytes(8 * len(vectors)))
    Fast.distances(words, 1, dim + 1, dim, len(vectors) - 1, query, got)
    distances.distances(words, 1, dim + 1, dim, len(vectors) - 1, query, expected)
    assert got == expected


@pytest.mark.parametrize("size", (0, 1, 64, 1023, 1024, 1025, 4096))
def test_fast_hashes_are_the_references(size):
    data = bytes(i * 7 & 255 for i in range(size))
    assert Fast.hash(data) == blake3.hash(data)
    assert Fast.crc32(data, 5) == blake3.crc32(data, 5)
    assert Fast.hash(memoryview(data)) != Fast.hash(data + b"\0")
