"""The plain-Python distances are exact, and saturate only past 2^63 - 1."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_kernel.distances import LIMIT, distances

LOW, HIGH = -(1 << 31), (1 << 31) - 1
component = st.one_of(
    st.integers(LOW, HIGH),
    st.sampled_from((LOW, LOW + 1, -1, 0, 1, 0xFFFF, 0x10000, HIGH - 1, HIGH)),
)


def words(values):
    return array("I", [v & 0xFFFFFFFF for v in values])


def measure(vectors, query):
    out = array("I", [0xDEAD] * (2 * len(vectors)))
    flat = [v for vector in vectors for v in vector]
    distances(words(flat), 0, len(query), len(query), len(vectors), words(query), out)
    return [out[2 * j] | out[2 * j + 1] << 32 for j in range(len(vectors))]


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.lists(st.lists(component, min_size=n, max_size=n), min_size=1, max_size=4)
    )
)
def test_exact_or_saturated(vectors):
    query = vectors[0]
    expected = [min(sum((a - b) ** 2 for a, b in zip(v, query)), LIMIT) for v in vectors]
    assert measure(vectors, query) == expected


# (2^32 - 1)^2 passes the limit alone; the sums of the squares from 3037000499 on are 2^63 - 2, 2^63
# - 1 and 2^63.
@pytest.mark.parametrize(
    "differences, expected",
    (
        ((0xFFFFFFFF,), LIMIT),
        ((3037000499, 76996, 377, 25, 5, 3, 1), LIMIT - 1),
        ((3037000499, 76996, 377, 25, 5, 3, 1, 1), LIMIT),
        ((3037000499, 76996, 377, 25, 5, 3, 1, 1, 1), LIMIT),
        ((1 << 31, 1 << 31), LIMIT),
        ((1 << 31, (1 << 31) - 1), (1 << 62) + ((1 << 31) - 1) ** 2),
    ),
)
def test_the_edge_of_saturation(differences, expected):
    query = [LOW] * len(differences)
    assert measure([[LOW + d for d in differences]], query) == [expected]


def test_first_stride_and_unsigned_or_signed_words():
    query = array("i", [-1, 5])
    out = array("I", [7] * 6)
    distances(words([9, -1, 5, 9, 9, 0, 4, 9]), 1, 4, 2, 2, query, out)
    assert out.tolist() == [0, 0, 2, 0, 7, 7]
