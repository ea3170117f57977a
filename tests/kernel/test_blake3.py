"""The plain-Python hash and CRC are the published ones, and their parts put together are the
whole."""

import zlib

import blake3 as published
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_kernel import blake3

# The lengths of BLAKE3's official test vectors; their input is the repeated bytes 0 to 250.
LENGTHS = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    63,
    64,
    65,
    127,
    128,
    129,
    1023,
    1024,
    1025,
    2048,
    2049,
    3072,
    3073,
    4096,
    4097,
    5120,
    5121,
    6144,
    6145,
    7168,
    7169,
    8192,
    8193,
    16384,
    31744,
    102400,
)


def official(length):
    return bytes(i % 251 for i in range(length))


def tree(data):
    """Hash whole chunks, 2 or more, with chunk_cv and parent_cv alone, level by level in one
    buffer."""
    n = len(data) // 1024
    cvs = bytearray(32 * n)
    for i in range(n):
        blake3.chunk_cv(data, 1024 * i, i, cvs, 32 * i)
    while n > 1:
        for i in range(n // 2):
            blake3.parent_cv(cvs, 64 * i, 64 * i + 32, cvs, 32 * i, 1 if n == 2 else 0)
        if n % 2:
            cvs[16 * (n - 1) : 16 * (n + 1)] = cvs[32 * (n - 1) : 32 * n]
        n = (n + 1) // 2
    return bytes(cvs[:32])


@pytest.mark.parametrize("length", LENGTHS)
def test_hash_is_the_published_one(length):
    data = official(length)
    assert blake3.hash(data) == published.blake3(data).digest()


def test_hash_of_nothing_is_the_constant_that_everyone_knows():
    assert (
        blake3.hash(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    )


@given(st.binary(max_size=4000))
def test_hash_of_any_bytes(data):
    for buffer in (data, bytearray(data), memoryview(data)):
        assert blake3.hash(buffer) == published.blake3(data).digest()


@given(st.binary(min_size=1, max_size=1200), st.data())
def test_every_bit_counts(data, draw):
    changed = bytearray(data)
    changed[draw.draw(st.integers(0, len(data) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    assert blake3.hash(changed) != blake3.hash(data)


@pytest.mark.parametrize("chunks", (2, 3, 4, 5, 7, 8, 9, 31))
def test_chunks_and_parents_make_the_hash(chunks):
    data = official(1024 * chunks)
    assert tree(data) == published.blake3(data).digest()


def test_a_chunk_depends_on_its_number_and_its_offset():
    data = official(4096)
    out = bytearray(40 * 4)
    for k, (at, counter) in enumerate(((0, 0), (0, 1), (1, 0), (0, 1 << 32))):
        blake3.chunk_cv(data, at, counter, out, 40 * k + 3)
    found = [bytes(out[40 * k : 40 * k + 40]) for k in range(4)]
    assert len(set(found)) == 4
    # 32 bytes, where it was told to
    assert all(each[:3] == bytes(3) and each[35:] == bytes(5) for each in found)


def test_a_parent_depends_on_order_and_root():
    cvs = bytearray(official(64))
    found = set()
    for left, right, root in ((0, 32, 0), (32, 0, 0), (0, 32, 1), (32, 0, 1)):
        out = bytearray(32)
        blake3.parent_cv(cvs, left, right, out, 0, root)
        found.add(bytes(out))
    assert len(found) == 4


def test_a_parent_may_replace_its_children():
    cvs = bytearray(official(64))
    apart = bytearray(32)
    blake3.parent_cv(cvs, 0, 32, apart, 0, 0)
    blake3.parent_cv(cvs, 0, 32, cvs, 16, 0)
    assert cvs == official(16) + apart + official(64)[48:]


def test_a_chunk_that_is_too_short_is_an_error():
    with pytest.raises(IndexError):
        blake3.chunk_cv(bytes(2047), 1024, 1, bytearray(32), 0)


@given(st.binary(max_size=200), st.integers(0, 0xFFFFFFFF))
def test_crc32_is_zlibs(data, seed):
    assert blake3.crc32(data, seed) == zlib.crc32(data, seed)
    assert blake3.crc32(data) == zlib.crc32(data)
