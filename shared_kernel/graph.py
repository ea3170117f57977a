"""Walks over the knowledge graph. Changes nothing."""

from .arena import EDGE_KIND, EDGE_NEXT_IN, EDGE_NEXT_OUT, EDGE_FROM, EDGE_TO, ID, NODE_IN, NODE_OUT
from .errors import Invalid

OUT, IN, BOTH = 1, 2, 3


def edges_of(kernel, node, directions=BOTH):
    """Return the ids of a node's edges, newest first: its out-edges, then its in-edges. NotFound if there is no such node."""
    at = kernel.nodes.at(kernel.nodes.need(node) - 1)
    return [kernel.arena.words[edge + ID] for edge, _ in _around(kernel, at, directions)]


def neighbourhood(kernel, node, depth=1, kind=None, directions=OUT):
    """Return [(node id, distance)] of every node within `depth` edges of `node`, itself first, in breadth-first order.

    kind: follow only edges of this kind. directions: OUT, IN or BOTH. Neighbours come newest edge first, out before in.
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
            result.append((w[at + ID], distance))
            if distance < depth:
                for edge, other in _around(kernel, at, directions):
                    if kind is not None and w[edge + EDGE_KIND] != kind:
                        continue
                    if not seen[(other - 1) >> 3] >> (other - 1 & 7) & 1:
                        seen[(other - 1) >> 3] |= 1 << (other - 1 & 7)
                        after.append(other)
        found = after
        distance += 1
    return result


def _around(kernel, at, directions):
    """Yield (word offset of an edge, link of the node at its other end) for the edges of the node at word `at`."""
    w = kernel.arena.words
    for bit, first, following, other in ((OUT, NODE_OUT, EDGE_NEXT_OUT, EDGE_TO), (IN, NODE_IN, EDGE_NEXT_IN, EDGE_FROM)):
        if directions & bit:
            link = w[at + first]
            while link:
                edge = kernel.edges.at(link - 1)
                yield edge, w[edge + other]
                link = w[edge + following]
