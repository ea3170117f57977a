"""Exact nearest neighbours: squared L2 distance in integers, ties broken by id. Changes nothing.

A distance is min(sum of squared differences of Q16.16 integers, 2^63 - 1), in units of 2^-32: the order in which it is
summed cannot matter. Results are the k smallest (distance, id), ascending.
"""

from array import array

from . import primitives
from .const import const
from .errors import Invalid, WrongDimension
from .frames import vector_bytes
from .kernel import u32

_ID = const(1)  # words of a record's slot, see kernel.py
_TAG = const(4)
_VECTOR = const(5)


def query_words(kernel, query):
    """Return a query (Q16.16 integers, one for each dimension) as an array of u32 words; WrongDimension if it does not fit."""
    if len(query) != kernel.dim:
        raise WrongDimension("a query has %d components here, not %d" % (kernel.dim, len(query)))
    data = vector_bytes(query)
    if primitives.pack:  # a little-endian board: the bytes are the words
        return array("I", data)
    return array("I", [u32(data, 4 * i) for i in range(kernel.dim)])


def search(kernel, query, k, tag=None):
    """Return [(distance, id)] of the k records nearest to query, nearest first; only those with `tag` if it is given."""
    if not isinstance(k, int) or k < 1:
        raise Invalid("k must be at least 1, not %r" % (k,))
    query = query_words(kernel, query)
    records, w = kernel.records, kernel.arena.words
    if primitives.nearest:
        return primitives.nearest(w, records.base, records.skip, records.per, records.span, records.stride, records.fresh(),
                                  kernel.dim, query, k, tag)
    out = array("I", bytes(8 * records.per))
    best = []  # (high word, low word, id), ascending
    worst = (1 << 32, 0, 0)  # no candidate reaches it
    first = 0
    while first < records.fresh():  # a run of slots that stand in one chunk
        count = min(records.per - (first + records.skip) % records.per, records.fresh() - first)
        at = records.at(first)
        first += count
        primitives.distances(w, at + _VECTOR, records.stride, kernel.dim, count, query, out)
        for j in range(count):
            high = out[2 * j + 1]
            if high <= worst[0] and w[at + _ID] and (tag is None or w[at + _TAG] == tag):
                each = (high, out[2 * j], w[at + _ID])
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
            at += records.stride
    return [(high << 32 | low, ident) for high, low, ident in best]
