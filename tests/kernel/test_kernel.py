"""Kernel and model agree after every command, valid or not; what is refused changes no byte; ids
are for ever."""

import itertools
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared_kernel import errors, frames
from shared_kernel.kernel import (
    CREATE_EDGE,
    CREATE_NODE,
    DELETE,
    DELETE_EDGE,
    DELETE_KEY,
    DELETE_NODE,
    INSERT,
    PUT,
    UPDATE,
    Kernel,
)
from tests.kernel import arena_rules
from tests.kernel.world import SEED, VERBS, World, full_hash, wander
from tests.model import contents_of

pytestmark = pytest.mark.usefixtures("incremental")

SMALL = (2, 4, 4, 6, 3, 5, 7)
# Small pools, pools of none, slots as large as a chunk and larger, several chunks; first seqs
# around every word boundary.
CONFIGS = (
    SMALL,
    (1, 1, 1, 1, 1, 0, 0),
    (300, 3, 2, 3, 2, 5, 9),
    (250, 5, 3, 4, 4, 0, 1),
    (16, 40, 40, 60, 30, 16, 16),
    (3, 0, 3, 5, 0, 4, 4),
    (1, 2, 0, 0, 4, 0, 300),
    (520, 2, 1, 1, 2, 255, 1500),
    (4096, 1, 0, 2, 0, 3, 0),
)
FIRST_SEQS = (0, 250, 0xFFF8, 0x3FFFFFF0, 2**32 - 400)


def random_walk(config, first_seq, steps, seed):
    """A world after `steps` random commands, compared with the model after each."""
    world = World(config, first_seq)
    wander(world, random.Random(seed).randrange, steps)
    return world


def test_kernel_equals_model_on_random_walks():
    applied = refused = 0
    for i, config in enumerate(CONFIGS):
        world = random_walk(config, FIRST_SEQS[i % len(FIRST_SEQS)], 120, i)
        applied += world.applied
        refused += world.refused
    assert applied > 200 and refused > 200


def test_a_long_walk_in_full_pools():
    world = random_walk(SMALL, 0, 1500, 99)
    assert world.applied > 400 and world.refused > 400


number = st.integers(0, 2**16)
configs = st.one_of(
    st.sampled_from(CONFIGS),
    st.tuples(
        st.sampled_from((1, 2, 3, 120, 249, 250, 251, 300)),
        st.integers(0, 6),
        st.integers(0, 6),
        st.integers(0, 8),
        st.integers(0, 5),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
)


class KernelAgainstModel(RuleBasedStateMachine):
    """hypothesis looks for a sequence of commands after which kernel and model differ."""

    @initialize(config=configs, first_seq=st.sampled_from(FIRST_SEQS))
    def begin(self, config, first_seq):
        self.world = World(config, first_seq)

    @rule(verb=st.sampled_from(VERBS), data=st.data())
    def command(self, verb, data):
        getattr(self.world, verb)(lambda n: data.draw(st.integers(0, n - 1)))

    @precondition(lambda self: self.world.dim < 200)
    @rule(kind=st.integers(0, 255), payload=st.binary(max_size=60))
    def garbage(self, kind, payload):
        """A check of bytes that nobody meant refuses them as it should, or finds a command; it
        never changes a byte."""
        arena = self.world.kernel.arena
        before = bytes(arena.bytes)
        try:
            self.world.kernel.check(kind, payload, 0, len(payload))
        except errors.Refused:
            pass
        assert arena.bytes == before

    @invariant()
    def equal(self):
        if hasattr(self, "world"):
            self.world.verify()


TestKernelAgainstModel = KernelAgainstModel.TestCase
TestKernelAgainstModel.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


# -- one refusal at a time -------------------------------------------------------------------------


def some_state(config=SMALL):
    """Record 1 (node 2 refers to it), node 3, edges 4 (2 -> 3) and 5 (3 -> 3), key "a" of seq 6,
    record 7; seq 7."""
    kernel = Kernel(config)
    for seq, (kind, payload) in enumerate(
        (
            (INSERT, frames.insert([1, -2], 9, b"meta!")),
            (CREATE_NODE, frames.create_node(5, 1)),
            (CREATE_NODE, frames.create_node(6)),
            (CREATE_EDGE, frames.create_edge(8, 2, 3)),
            (CREATE_EDGE, frames.create_edge(9, 3, 3)),
            (PUT, frames.put("a", b"value")),
            (INSERT, frames.insert([3, 4])),
        ),
        1,
    ):
        do(kernel, kind, payload, seq)
    return kernel


def do(kernel, kind, payload, seq):
    kernel.check(kind, payload, 0, len(payload))
    kernel.apply(kind, payload, 0, len(payload), seq)


def word(n):
    return n.to_bytes(4, "little")


def test_the_example_state_is_what_it_says():
    assert contents_of(some_state()) == {
        "config": SMALL,
        "seq": 7,
        "records": [(1, 9, (1, -2), b"meta!"), (7, 0, (3, 4), b"")],
        "nodes": [(2, 5, 1, [4], []), (3, 6, 0, [5], [5, 4])],
        "edges": [(4, 8, 2, 3), (5, 9, 3, 3)],
        "keys": [(b"a", 6, b"value")],
    }


REFUSALS = [
    ("an empty insert", INSERT, b"", errors.Invalid),
    ("a vector one component short", INSERT, frames.insert([1]), errors.WrongDimension),
    (
        "a vector one component short, whose metadata would fill it",
        INSERT,
        frames.insert([1], 0, b"meta"),
        errors.WrongDimension,
    ),
    (
        "a vector one component long, which metadata would have room for",
        INSERT,
        frames.insert([1, 2, 3]),
        errors.WrongDimension,
    ),
    ("a vector one byte short", INSERT, frames.insert([1, 2])[:-1], errors.Invalid),
    ("metadata one byte too long", INSERT, frames.insert([1, 2], 0, b"123456"), errors.TooLong),
    ("an update cut short", UPDATE, frames.update(1, 2)[:8], errors.Invalid),
    ("an update that sets nothing", UPDATE, word(1) + word(0) + b"\0", errors.Invalid),
    ("an update with a flag too many", UPDATE, word(1) + word(0) + b"\4", errors.Invalid),
    ("an update with metadata it does not set", UPDATE, word(1) + word(0) + b"\1m", errors.Invalid),
    ("an update with a tag it does not set", UPDATE, word(1) + word(7) + b"\2m", errors.Invalid),
    ("an update with long metadata", UPDATE, frames.update(1, None, b"123456"), errors.TooLong),
    ("an update of no record", UPDATE, frames.update(2, 1), errors.NotFound),
    ("an update of record 0", UPDATE, frames.update(0, 1), errors.NotFound),
    ("deleting no record", DELETE, frames.ident(3), errors.NotFound),
    ("deleting a record in use", DELETE, frames.ident(1), errors.InUse),
    ("a delete cut short", DELETE, frames.ident(7)[:3], errors.Invalid),
    ("a delete with a byte more", DELETE, frames.ident(7) + b"\0", errors.Invalid),
    ("a node of no record", CREATE_NODE, frames.create_node(1, 2), errors.NotFound),
    ("a node cut short", CREATE_NODE, frames.create_node(1)[:-1], errors.Invalid),
    ("a node with a byte more", CREATE_NODE, frames.create_node(1) + b"\0", errors.Invalid),
    ("deleting no node", DELETE_NODE, frames.ident(1), errors.NotFound),
    ("deleting node 0", DELETE_NODE, frames.ident(0), errors.NotFound),
    ("deleting a node, a byte more", DELETE_NODE, frames.ident(2) + b"\0", errors.Invalid),
    ("an edge from no node", CREATE_EDGE, frames.create_edge(1, 1, 3), errors.NotFound),
    ("an edge to no node", CREATE_EDGE, frames.create_edge(1, 3, 1), errors.NotFound),
    ("an edge to node 0", CREATE_EDGE, frames.create_edge(1, 3, 0), errors.NotFound),
    ("an edge cut short", CREATE_EDGE, frames.create_edge(1, 2, 3)[:-1], errors.Invalid),
    ("an edge with a byte more", CREATE_EDGE, frames.create_edge(1, 2, 3) + b"\0", errors.Invalid),
    ("deleting no edge", DELETE_EDGE, frames.ident(2), errors.NotFound),
    ("deleting an edge, cut short", DELETE_EDGE, frames.ident(4)[:1], errors.Invalid),
    ("an empty put", PUT, b"", errors.Invalid),
    ("a put whose name runs over its end", PUT, word(0) + b"\0\3ab", errors.TooLong),
    ("a put without a name", PUT, word(0) + b"\0\0", errors.TooLong),
    ("a put of a name of 25 bytes", PUT, word(0) + b"\0\x19" + b"n" * 25, errors.TooLong),
    ("a put with a flag too many", PUT, word(6) + b"\2\1a", errors.Invalid),
    ("a put of the same value that carries one", PUT, word(6) + b"\1\1ax", errors.Invalid),
    ("a put of the same value without the key", PUT, word(0) + b"\1\1b", errors.Invalid),
    ("a put of a key that is there, as if new", PUT, frames.put("a", b""), errors.Invalid),
    ("a put of a key that is not there, as if old", PUT, frames.put("b", b"", 6), errors.Invalid),
    ("a put with a wrong last write", PUT, frames.put("a", b"", 5), errors.Invalid),
    ("a value one byte too long", PUT, frames.put("b", b"12345678"), errors.TooLong),
    ("deleting a key without a name", DELETE_KEY, word(0), errors.TooLong),
    ("deleting a key, cut short", DELETE_KEY, b"\0\0\0", errors.Invalid),
    ("deleting a key of 25 bytes", DELETE_KEY, word(0) + b"n" * 25, errors.TooLong),
    ("deleting no key", DELETE_KEY, frames.delete_key("b"), errors.NotFound),
    (
        "deleting a key with a wrong last write",
        DELETE_KEY,
        frames.delete_key("a", 5),
        errors.Invalid,
    ),
]
KINDS = (
    INSERT,
    UPDATE,
    DELETE,
    CREATE_NODE,
    DELETE_NODE,
    CREATE_EDGE,
    DELETE_EDGE,
    PUT,
    DELETE_KEY,
)
REFUSALS += [
    ("command type 0x%02x" % kind, kind, b"\0" * 12, errors.Invalid)
    for kind in range(256)
    if kind not in KINDS
]


def test_each_refusal_has_its_error_and_changes_no_byte():
    kernel = some_state()
    before = bytes(kernel.arena.bytes)
    for what, kind, payload, error in REFUSALS:
        try:
            kernel.check(kind, payload, 0, len(payload))
        except errors.Refused as e:
            assert type(e) is error, "%s: %r" % (what, e)
        else:
            raise AssertionError("%s was not refused" % what)
        assert kernel.arena.bytes == before, what


def test_a_full_pool_refuses_and_takes_again_after_a_delete():
    kernel = Kernel((1, 2, 2, 2, 2, 0, 0))
    fill = {
        "record": (INSERT, frames.insert([1]), DELETE, frames.ident),
        "node": (CREATE_NODE, frames.create_node(1), DELETE_NODE, frames.ident),
        "edge": (CREATE_EDGE, frames.create_edge(1, 11, 12), DELETE_EDGE, frames.ident),
    }
    for label, first in (("record", 1), ("node", 11), ("edge", 21)):
        create, payload, delete, of = fill[label]
        do(kernel, create, payload, first)
        do(kernel, create, payload, first + 1)
        with pytest.raises(errors.Full, match="all 2 %s slots" % label):
            do(kernel, create, payload, first + 2)
        do(kernel, delete, of(first), first + 3)
        do(kernel, create, payload, first + 4)
        do(kernel, delete, of(first + 4), first + 5)
        do(kernel, create, payload, first + 6)
        if label == "node":
            do(kernel, delete, of(first + 1), first + 7)
            do(kernel, delete, of(first + 6), first + 8)
            do(kernel, create, payload, 11)
            do(kernel, create, payload, 12)
    do(kernel, PUT, frames.put("a", b""), 31)
    do(kernel, PUT, frames.put("b", b""), 32)
    with pytest.raises(errors.Full):
        do(kernel, PUT, frames.put("c", b""), 33)
    do(kernel, PUT, frames.put("b", b"", 32), 34)  # an old key needs no room
    do(kernel, DELETE_KEY, frames.delete_key("a", 31), 35)
    do(kernel, PUT, frames.put("c", b""), 36)


def test_a_deleted_id_is_not_found_for_ever():
    world = World(SMALL)
    pick = random.Random(5).randrange
    wander(world, pick, 600, after=lambda world: None)
    made = [ident for label in world.ids for ident in world.ids[label]]
    assert len(set(made)) == len(made) > 100  # ids are seqs: no two things ever share one
    gone = 0
    for label, needs in (
        ("record", world.kernel.record),
        ("node", world.kernel.node),
        ("edge", world.kernel.edge),
    ):
        for ident in world.ids[label]:
            if ident not in getattr(world.model, label + "s"):
                gone += 1
                with pytest.raises(errors.NotFound, match="no %s has id %d" % (label, ident)):
                    needs(ident)
    assert gone > 80


def test_deleting_a_node_takes_its_edges_and_frees_its_record():
    kernel = some_state()
    do(kernel, DELETE_NODE, frames.ident(3), 8)
    assert contents_of(kernel)["edges"] == [] and kernel.node(2) == (5, 1)
    do(kernel, DELETE_NODE, frames.ident(2), 9)
    do(kernel, DELETE, frames.ident(1), 10)
    assert [each[0] for each in contents_of(kernel)["records"]] == [7]


def test_edges_deleted_in_any_order_leave_both_lists_whole():
    for order in itertools.permutations((3, 4, 5, 6)):
        kernel = Kernel((1, 0, 2, 4, 0, 0, 0))
        left = set(order)
        for seq in (1, 2):
            do(kernel, CREATE_NODE, frames.create_node(0), seq)
        for seq in (3, 4, 5, 6):
            do(kernel, CREATE_EDGE, frames.create_edge(seq, 1, 1 if seq == 4 else 2), seq)
        for seq, edge in enumerate(order, 7):
            do(kernel, DELETE_EDGE, frames.ident(edge), seq)
            left.remove(edge)
            arena_rules.check(bytes(kernel.arena.bytes))
            assert {each[0] for each in contents_of(kernel)["edges"]} == left


def test_names_that_differ_in_one_byte_are_two_keys():
    names = [b"a" + bytes(two) for two in itertools.product(b"abcdefghijkl", repeat=2)] + [
        b"a",
        b"aa",
        b"n" * 24,
        b"n" * 23,
    ]
    kernel = Kernel((1, 0, 0, 0, len(names), 0, 4))  # full, so that many names share a bucket
    for seq, name in enumerate(names, 1):
        do(kernel, PUT, frames.put(name, name[-4:]), seq)
    assert [kernel.key(name) for name in names] == [
        (seq, name[-4:]) for seq, name in enumerate(names, 1)
    ]
    for seq, name in enumerate(names, 1):
        do(kernel, DELETE_KEY, frames.delete_key(name, seq), len(names) + seq)
        assert kernel.keys.live() == len(names) - seq


def test_asking_for_a_key_by_a_bad_name_is_refused():
    kernel = some_state()
    assert kernel.key(b"a") == (6, b"value")
    for name, error in (
        (b"b", errors.NotFound),
        (b"", errors.TooLong),
        (b"n" * 25, errors.TooLong),
    ):
        with pytest.raises(error):
            kernel.key(name)


# -- determinism -----------------------------------------------------------------------------------


class Twin(World):
    """Gives every applied frame to a second kernel too."""

    def give(self, kind, payload, told):
        applied = World.give(self, kind, payload, told)
        if applied:
            # another tick, which means nothing to the state
            frame = frames.frame(kind, payload(), self.seq, 77, SEED)
            self.twin.check(kind, memoryview(frame), frames.HEADER, len(frame) - 4)
            self.twin.apply(kind, memoryview(frame), frames.HEADER, len(frame) - 4, self.seq)
        return applied


def same_bytes(world):
    assert world.kernel.arena.bytes == world.twin.arena.bytes


def test_equal_frames_give_equal_bytes():
    for seed, config in enumerate(CONFIGS):
        world = Twin(config)
        world.twin = Kernel(config)
        wander(world, random.Random(seed).randrange, 150, after=same_bytes)
        assert world.applied > 5


def test_equal_roots_fed_equal_frames_stay_equal():
    """Whatever a later command depends on lies in the arena: a kernel that has only the bytes goes
    the same way."""
    for seed in range(3):
        world = Twin(SMALL)
        world.twin = Kernel(SMALL)
        pick = random.Random(seed).randrange
        wander(world, pick, 200, after=same_bytes)
        world.twin = Kernel(SMALL)
        world.twin.arena.load(world.kernel.arena.bytes)
        wander(world, pick, 200, after=same_bytes)
        world.verify()
        assert world.twin.root() == full_hash(world.kernel.arena.bytes)
