"""Search gives exactly the k smallest (distance, id), whatever was deleted before; walks over the
graph go as the model's."""

import random

import pytest

from shared_kernel import frames, graph
from shared_kernel.errors import Invalid, NotFound, WrongDimension
from shared_kernel.kernel import CREATE_EDGE, CREATE_NODE, DELETE, DELETE_EDGE, INSERT, Kernel
from shared_kernel.search import search
from tests.kernel.world import World, wander
from tests.model import FARTHEST, Model

MAX, MIN = 2**31 - 1, -(2**31)


class Both:
    """Records in a kernel and in the model; ids are 1, 2, 3, ..."""

    def __init__(self, dim, capacity=200):
        config = (dim, capacity, 0, 0, 0, 3, 0)
        self.kernel, self.model, self.seq = Kernel(config), Model(config), 0

    def insert(self, vector, tag=0):
        self.seq += 1
        payload = frames.insert(vector, tag)
        self.kernel.apply(INSERT, payload, 0, len(payload), self.seq)
        self.model.insert(self.seq, vector, tag)
        return self.seq

    def delete(self, ident):
        self.seq += 1
        self.kernel.apply(DELETE, frames.ident(ident), 0, 4, self.seq)
        self.model.delete(self.seq, ident)

    def search(self, query, k, tag=None):
        found = search(self.kernel, query, k, tag)
        assert found == self.model.search(query, k, tag)
        return found


def test_nearest_first():
    both = Both(2)
    for vector in ((9, 9), (3, 4), (0, 0), (-6, 8)):
        both.insert(vector)
    assert both.search((0, 0), 3) == [(0, 3), (25, 2), (100, 4)]


def test_equal_distances_are_ordered_by_id():
    both = Both(2)
    for vector in ((0, 5), (5, 0), (3, 4), (4, 3), (0, -5)):
        both.insert(vector)
    both.delete(2)
    last = both.insert((-5, 0))  # takes the slot of 2, with a later id
    assert both.search((0, 0), 9) == [(25, 1), (25, 3), (25, 4), (25, 5), (25, last)]
    assert both.search((0, 0), 2) == [(25, 1), (25, 3)]


def test_a_distance_saturates_and_never_goes_negative():
    both = Both(2)
    both.insert((MAX, MAX))
    both.insert((MAX, MIN))
    both.insert((MIN, MIN + 1))
    assert both.search((MIN, MIN), 9) == [(1, 3), (FARTHEST, 1), (FARTHEST, 2)]
    one = Both(1)
    one.insert([MAX])
    assert one.search([MIN], 1) == [(FARTHEST, 1)] and (2**32 - 1) ** 2 > FARTHEST
    one.insert([MIN + 3037000499])  # the last that does not saturate, and the first that does
    one.insert([MIN + 3037000500])
    assert one.search([MIN], 3) == [(3037000499**2, 2), (FARTHEST, 1), (FARTHEST, 3)]


def test_both_words_of_a_distance_count():
    """Neighbours that differ only in the low word, or only in the high one."""
    both = Both(2)
    for vector in ((65536, 1), (65536, 0), (65536 * 2, 0), (1, 0), (0, 65535), (65536, 2)):
        both.insert(vector)
    assert [ident for _, ident in both.search((0, 0), 6)] == [4, 5, 2, 1, 6, 3]


def test_a_tag_filters_and_k_may_exceed_what_is_there():
    both = Both(1)
    for i in range(40):
        both.insert([i * i % 17], i % 3)
    for k in (1, 2, 13, 14, 40, 41, 1000):
        for tag in (None, 0, 1, 2, 3):
            found = both.search([5], k, tag)
            assert len(found) == min(k, 40 if tag is None else (14, 13, 13, 0)[tag])
    for tag in (-1, 1 << 32):
        with pytest.raises(Invalid, match="a tag is 0 to 4294967295"):
            search(both.kernel, [5], 1, tag)


def test_deleted_records_are_not_found():
    both = Both(1)
    for i in range(60):
        both.insert([i])
    for ident in range(1, 61, 2):
        both.delete(ident)
    assert [ident for _, ident in both.search([0], 100)] == list(range(2, 61, 2))
    for ident in range(2, 61, 2):
        both.delete(ident)
    assert both.search([0], 3) == []  # a zeroed slot is as near as can be, and is no record


def test_search_equals_the_model_on_random_records():
    pick = random.Random(3).randrange
    compared = 0
    for dim in (1, 2, 16, 120, 300):
        both = Both(dim)
        live = []
        for _ in range(90):
            scale = (4, 70000, 2**31)[pick(3)]
            live.append(both.insert([pick(2 * scale) - scale for _ in range(dim)], pick(3)))
            if pick(3) == 0:
                both.delete(live.pop(pick(len(live))))
        for _ in range(10):
            query = [pick(2**32) + MIN if pick(2) else pick(9) for _ in range(dim)]
            compared += len(both.search(query, 1 + pick(70), (None, 0, 1)[pick(3)]))
    assert compared > 500


def test_a_search_that_makes_no_sense_is_refused():
    both = Both(2)
    both.insert((1, 2))
    before = bytes(both.kernel.arena.bytes)
    for query in ((), (1,), (1, 2, 3)):
        with pytest.raises(WrongDimension, match="2 components here, not %d" % len(query)):
            search(both.kernel, query, 1)
    for k in (0, -1, 1.0, "1", None):
        with pytest.raises(Invalid):
            search(both.kernel, (1, 2), k)
    for query in ((1, MAX + 1), (MIN - 1, 0), (1.0, 2), (float("nan"), 0), ("1", 2), (None, 1)):
        with pytest.raises(Invalid):
            search(both.kernel, query, 1)
    assert search(both.kernel, (1, 2), 1) == [(0, 1)] and both.kernel.arena.bytes == before


def test_search_and_neighbourhoods_equal_the_model_on_random_walks():
    """Every query, after every few commands of a random life with deletions of all kinds."""
    pick = random.Random(8).randrange
    hits = steps = 0
    for config in ((2, 6, 7, 14, 1, 3, 3), (1, 3, 12, 30, 0, 0, 0)):
        world = World(config)
        for _ in range(120):
            wander(world, pick, 4, after=lambda world: None)
            kernel, model = world.kernel, world.model
            query = [pick(9) - 4 for _ in range(config[0])]
            for tag in (None, 1):
                found = search(kernel, query, 3, tag)
                assert found == model.search(query, 3, tag)
                hits += len(found)
            for node in model.nodes:
                for directions in (graph.OUT, graph.IN, graph.BOTH):
                    out, into = bool(directions & graph.OUT), bool(directions & graph.IN)
                    assert graph.edges_of(kernel, node, directions) == model.edges_of(
                        node, out, into
                    )
                    for depth in (0, 1, 2, 30):
                        for kind in (None, 7):
                            found = graph.neighbourhood(kernel, node, depth, kind, directions)
                            assert found == model.neighbourhood(node, depth, kind, out, into)
                            steps += len(found) - 1
    assert hits > 200 and steps > 2000


def some_graph():
    """Nodes 1 to 5 and edges 6 to 11: 1 -> 2 of kind 7, 1 -> 3 of 8, 2 -> 4 of 7, 4 -> 1 of 7, 3 ->
    3 of 7, 1 -> 2 of 8."""
    kernel = Kernel((1, 0, 5, 6, 0, 0, 0))
    for seq in range(1, 6):
        kernel.apply(CREATE_NODE, frames.create_node(seq), 0, 8, seq)
    for seq, edge in enumerate(
        ((7, 1, 2), (8, 1, 3), (7, 2, 4), (7, 4, 1), (7, 3, 3), (8, 1, 2)), 6
    ):
        kernel.apply(CREATE_EDGE, frames.create_edge(*edge), 0, 12, seq)
    return kernel


def test_edges_are_newest_first_out_before_in():
    kernel = some_graph()
    assert graph.edges_of(kernel, 1) == [11, 7, 6, 9] and graph.edges_of(kernel, 5) == []
    assert graph.edges_of(kernel, 2, graph.IN) == [11, 6] and graph.edges_of(kernel, 3) == [
        10,
        10,
        7,
    ]
    kernel.apply(DELETE_EDGE, frames.ident(7), 0, 4, 12)
    assert graph.edges_of(kernel, 1) == [11, 6, 9] and graph.edges_of(kernel, 3) == [10, 10]


def test_a_neighbourhood_is_breadth_first_with_its_distances():
    kernel = some_graph()
    assert graph.neighbourhood(kernel, 1, 0) == [(1, 0)]
    assert graph.neighbourhood(kernel, 1) == [(1, 0), (2, 1), (3, 1)]
    assert graph.neighbourhood(kernel, 1, 9) == [(1, 0), (2, 1), (3, 1), (4, 2)]
    assert graph.neighbourhood(kernel, 1, 9, 7) == [(1, 0), (2, 1), (4, 2)]
    assert graph.neighbourhood(kernel, 1, 9, 9) == [(1, 0)]
    assert graph.neighbourhood(kernel, 1, 1, None, graph.IN) == [(1, 0), (4, 1)]
    assert graph.neighbourhood(kernel, 3, 2, None, graph.BOTH) == [(3, 0), (1, 1), (2, 2), (4, 2)]


def test_a_walk_that_makes_no_sense_is_refused():
    kernel = some_graph()
    for node in (0, 6, 99):
        with pytest.raises(NotFound):
            graph.neighbourhood(kernel, node)
        with pytest.raises(NotFound):
            graph.edges_of(kernel, node)
    for depth in (-1, 1.0, None):
        with pytest.raises(Invalid):
            graph.neighbourhood(kernel, 1, depth)
    for directions in (0, 4, None):
        with pytest.raises(Invalid):
            graph.neighbourhood(kernel, 1, 1, None, directions)
