"""Walks over the knowledge graph. Changes nothing."""

from .const import const
from .errors import Invalid

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Iterator, Kernel

OUT = const(1)
IN = const(2)
BOTH = const(3)

# Words of a node's and an edge's slot, see kernel.py.
_ID = const(1)
_KIND = const(3)
_OUT = const(5)
_IN = const(6)
_FROM = const(4)
_TO = const(5)
_NEXT_OUT = const(6)
_NEXT_IN = const(8)


def edges_of(kernel: "Kernel", node: int, directions: int = BOTH) -> list[int]:
    """Return the ids of a node's edges, newest first: its out-edges, then its in-edges. NotFound if
    there is no such node."""
    at = kernel.nodes.at(kernel.nodes.need(node) - 1)
    return [kernel.arena.words[edge + _ID] for edge, _ in _around(kernel, at, directions)]


def neighbourhood(
    kernel: "Kernel", node: int, depth: int = 1, kind: int | None = None, directions: int = OUT
) -> list[tuple[int, int]]:
    """Return [(node id, distance)] of every node within `depth` edges of `node`, itself first, in
    breadth-first order.

    kind: follow only edges of this kind. directions: OUT, IN or BOTH. Neighbours come newest edge
        first, out before in.
    NotFound if there is no such node.
    """
    if not isinstance(depth, int) or depth < 0:
        raise Invalid("depth must be 0 or more, not %r" % (depth,))
    if directions not in (OUT, IN, BOTH):
        raise Invalid("directions must be 1 (out), 2 (in) or 3 (both), not %r" % (directions,))
    w = kernel.arena.words
    found = [kernel.nodes.need(node)]
    seen = bytearray((kernel.nodes.fresh() + 7) // 8)
    seen[(found[0] - 1) >> 3] |= 1 << (found[0] - 1 & 7)
    result = []
    distance = 0
    while found and distance <= depth:
        after = []
        for link in found:
            at = kernel.nodes.at(link - 1)
            result.append((w[at + _ID], distance))
            if distance < depth:
                for edge, other in _around(kernel, at, directions):
                    if kind is not None and w[edge + _KIND] != kind:
                        continue
                    if not seen[(other - 1) >> 3] >> (other - 1 & 7) & 1:
                        seen[(other - 1) >> 3] |= 1 << (other - 1 & 7)
                        after.append(other)
        found = after
        distance += 1
    return result


def _around(kernel: "Kernel", at: int, directions: int) -> "Iterator[tuple[int, int]]":
    """Yield (word offset of an edge, link of the node at its other end) for the edges of the node
    at word `at`."""
    w = kernel.arena.words
    for bit, first, following, other in ((OUT, _OUT, _NEXT_OUT, _TO), (IN, _IN, _NEXT_IN, _FROM)):
        if directions & bit:
            link = w[at + first]
            while link:
                edge = kernel.edges.at(link - 1)
                yield edge, w[edge + other]
                link = w[edge + following]
