"""The k nearest of a pool's records in plain Python: the truth that every faster provider is held
to. Never the hot path."""

from array import array

from . import primitives
from .const import const

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Words

_ID = const(1)  # words of a record's slot, see kernel.py
_TAG = const(4)
_VECTOR = const(5)


def nearest(
    words: "Words",
    base: int,
    skip: int,
    per: int,
    span: int,
    stride: int,
    fresh: int,
    dim: int,
    query: "Words",
    k: int,
    tag: int | None,
) -> list[tuple[int, int]]:
    """Return [(distance, id)] of the k records nearest to query, ascending; only those with `tag`
    unless it is None.

    words is the arena's, query holds dim words as in distances.py, tag is an u32. The other numbers
    are a Pool's (arena.py): `fresh` slots of `stride` words, the first of them `skip` places after
    word `base`, `per` places in each `span` words."""
    out = array("I", bytes(8 * per))
    best: list[tuple[int, int, int]] = []  # (high word, low word, id), ascending
    worst = (1 << 32, 0, 0)  # no candidate reaches it
    while fresh:  # a run of slots that stand in one chunk
        count = min(per - skip, fresh)
        at = base + skip * stride
        primitives.distances(words, at + _VECTOR, stride, dim, count, query, out)
        for j in range(count):
            high = out[2 * j + 1]
            if high <= worst[0] and words[at + _ID] and (tag is None or words[at + _TAG] == tag):
                each = (high, out[2 * j], words[at + _ID])
                if each < worst:
                    i = len(best)
                    best.append(each)
                    while i and best[i - 1] > each:
                        best[i] = best[i - 1]
                        i -= 1
                    best[i] = each
                    if len(best) > k:
                        best.pop()
                    if len(best) == k:
                        worst = best[-1]
            at += stride
        fresh -= count
        base += span
        skip = 0
    return [(high << 32 | low, ident) for high, low, ident in best]
