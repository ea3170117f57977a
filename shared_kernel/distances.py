"""Squared Euclidean distances in plain Python: the truth that every faster provider is held to.
Never the hot path.

Exact: differences of two i32 need 33 bits and their squares 66, so nothing is cut before the one
    saturation at the end,
and the order of summation cannot matter.
"""

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Words

LIMIT = (1 << 63) - 1  # no distance is larger, so none ever reads as negative in 64 bits

_SIGN = 0x80000000
_MASK = 0xFFFFFFFF


def distances(
    words: "Words", first: int, stride: int, dim: int, count: int, query: "Words", out: "Words"
) -> None:
    """Write min(sum of squared differences, 2^63 - 1) of query and each of count vectors to out.

    words, query and out hold 32-bit words; those of words and query are Q16.16 in two's complement
    (i32 or u32). Vector j is the dim words from words[first + j * stride]; query is dim words.
    out[2j] gets the low, out[2j + 1] the high 32 bits."""
    for j in range(count):
        at = first + j * stride
        total = 0
        for i in range(dim):
            # Flipping the sign bits adds 2^31 to both, which leaves the difference as it is.
            difference = (words[at + i] & _MASK ^ _SIGN) - (query[i] & _MASK ^ _SIGN)
            total += difference * difference
        if total > LIMIT:
            total = LIMIT
        out[2 * j] = total & _MASK
        out[2 * j + 1] = total >> 32
