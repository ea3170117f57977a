"""Exact nearest neighbours: squared L2 distance in integers, ties broken by id. Changes nothing.

A distance is min(sum of squared differences of Q16.16 integers, 2^63 - 1), in units of 2^-32: the
order in which it is summed cannot matter. Results are the k smallest (distance, id), ascending.
"""

import sys
from array import array

from . import primitives
from .errors import Invalid, WrongDimension
from .frames import vector_bytes
from .kernel import u32

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Integers, Kernel


def query_words(kernel: "Kernel", query: "Integers") -> "array[int]":
    """Return a query (Q16.16 integers, one for each dimension) as an array of u32 words;
    WrongDimension if it does not fit."""
    if len(query) != kernel.dim:
        raise WrongDimension("a query has %d components here, not %d" % (kernel.dim, len(query)))
    data = vector_bytes(query)
    if sys.byteorder == "little":  # the bytes are the words
        return array("I", data)
    return array("I", [u32(data, 4 * i) for i in range(kernel.dim)])


def search(
    kernel: "Kernel", query: "Integers", k: int, tag: int | None = None
) -> list[tuple[int, int]]:
    """Return [(distance, id)] of the k records nearest to query, nearest first; only those with
    `tag` if it is given."""
    if not isinstance(k, int) or k < 1:
        raise Invalid("k must be at least 1, not %r" % (k,))
    if tag is not None and not 0 <= tag <= 0xFFFFFFFF:
        raise Invalid("a tag is 0 to 4294967295, not %r" % (tag,))
    query = query_words(kernel, query)
    records = kernel.records
    return primitives.nearest(
        kernel.arena.words,
        records.base,
        records.skip,
        records.per,
        records.span,
        records.stride,
        records.fresh(),
        kernel.dim,
        query,
        k,
        tag,
    )
