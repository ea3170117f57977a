"""u32 words over bytes, where there is no uctypes: on CPython, whatever its byte order. Never
loaded on a board."""

import sys


class Words:
    """u32 words, little-endian, over a bytearray, for a machine whose own order is another."""

    def __init__(self, data: bytearray) -> None:
        self.data = data

    def __getitem__(self, i: int) -> int:
        i *= 4
        return int.from_bytes(self.data[i : i + 4], "little")

    def __setitem__(self, i: int, value: int) -> None:
        i *= 4
        self.data[i : i + 4] = value.to_bytes(4, "little")


def views(size: int) -> "tuple[bytearray, memoryview | Words]":
    """Return (bytes, words): two views of the same new, zeroed memory of size bytes."""
    data = bytearray(size)
    if sys.byteorder == "little" and hasattr(memoryview, "cast"):
        return data, memoryview(data).cast("I")
    return data, Words(data)
