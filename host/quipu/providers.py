"""The fast hot loops of a laptop: compiled BLAKE3 and CRC-32, and distances without a call for each number.

Holds no state. Gives the bytes that shared_kernel's plain-Python references give, only sooner.
"""

import zlib
from collections.abc import MutableSequence
from typing import Any

from blake3 import blake3

from shared_kernel import distances as reference
from shared_kernel import primitives


class Fast:
    """A provider for shared_kernel.primitives.use. It leaves chunk_cv and parent_cv to the reference: with `whole` set,
    nothing on a laptop asks for them."""

    name = "blake3 and zlib"
    whole = True  # hashing a whole arena takes less than one chunk in Python

    @staticmethod
    def hash(data: Any) -> bytes:
        return blake3(data).digest()

    @staticmethod
    def crc32(data: Any, seed: int) -> int:
        return zlib.crc32(data, seed)

    @staticmethod
    def distances(words: Any, first: int, stride: int, dim: int, count: int, query: Any, out: MutableSequence[int]) -> None:
        """See shared_kernel/distances.py."""
        try:
            signed = memoryview(words).cast("B").cast("i")
            wanted = memoryview(query).cast("B").cast("i").tolist()
        except TypeError:  # words on a big-endian machine, or a plain list
            reference.distances(words, first, stride, dim, count, query, out)
            return
        for j in range(count):
            at = first + j * stride
            total = 0
            for difference in map(int.__sub__, signed[at : at + dim].tolist(), wanted):
                total += difference * difference
            if total > reference.LIMIT:
                total = reference.LIMIT
            out[2 * j] = total & 0xFFFFFFFF
            out[2 * j + 1] = total >> 32


def install() -> None:
    """Make the kernel use them from now on."""
    primitives.use(Fast)
