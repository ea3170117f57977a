"""Where things lie, what a configuration may be, and that apply says what it will change before it
changes it."""

import random
import sys
from array import array
from types import SimpleNamespace

import pytest

from shared_kernel import arena, errors, frames, graph, kernel, nearest, store
from shared_kernel.arena import CHUNK, CHUNK_WORDS, CLEAN, DIRTY, UNSAVED, Arena
from shared_kernel.config import CONFIG_LIMITS, CONFIG_NAMES, check_config
from shared_kernel.contents import used
from shared_kernel.kernel import INSERT, Kernel
from shared_kernel.words import Words
from tests.kernel import arena_rules
from tests.kernel.test_kernel import CONFIGS
from tests.kernel.world import World, wander

pytestmark = pytest.mark.usefixtures("incremental")


def test_slots_lie_where_the_layout_says():
    pick = random.Random(1).randrange
    drawn = [
        (
            (1, 9, 16, 120, 247, 251, 252, 507, 508)[pick(9)],
            pick(9),
            pick(80),
            pick(80),
            pick(40),
            pick(30),
            pick(1200),
        )
        for _ in range(300)
    ]
    for config in (
        CONFIGS
        + ((1, 0, 0, 0, 0, 0, 0), (300, 0, 1, 1, 0, 0, 4000), (16, 256, 64, 128, 32, 16, 16))
        + tuple(drawn)
    ):
        it = Arena(config)
        pools, end = arena_rules.slots_of(config)
        assert it.size == 4 * end == it.chunks * CHUNK == len(it.bytes)
        for pool, (slots, words) in zip((it.records, it.nodes, it.edges, it.keys), pools):
            assert pool.stride == words and [pool.at(n) for n in range(pool.capacity)] == slots
            for at in slots:
                # straddles no chunk
                assert words > CHUNK_WORDS or at // CHUNK_WORDS == (at + words - 1) // CHUNK_WORDS
        arena_rules.check(bytes(it.bytes))


WORDS = {  # the words of the header and of the slots, as docs/format.md has them
    "_MAGIC": 0x41505551,
    "_CONFIG_AT": 2,
    "_SEQ_AT": 9,
    "_POOLS_AT": 10,
    "_HEADER_WORDS": 32,
    "_HEAD": 0,
    "_ID": 1,
    "_NEXT": 2,
    "_REFS": 3,
    "_TAG": 4,
    "_VECTOR": 5,
    "_KIND": 3,
    "_RECORD": 4,
    "_OUT": 5,
    "_IN": 6,
    "_NODE_WORDS": 7,
    "_FROM": 4,
    "_TO": 5,
    "_NEXT_OUT": 6,
    "_PREV_OUT": 7,
    "_NEXT_IN": 8,
    "_PREV_IN": 9,
    "_EDGE_WORDS": 10,
    "_LENGTHS": 3,
    "_NAME": 4,
    "_VALUE": 10,
    "_NAME_BYTES": 24,
    "_DIRTY": DIRTY,
}


def test_each_file_that_repeats_a_word_of_the_layout_has_it_right():
    seen = set()
    for module in (arena, graph, kernel, nearest, store):
        for name in sorted(WORDS):
            if hasattr(module, name):
                assert getattr(module, name) == WORDS[name], "%s.%s" % (module.__name__, name)
                seen.add(name)
    assert seen == set(WORDS)


def test_words_and_bytes_are_one_memory_in_little_endian():
    it = Arena((1, 1, 0, 0, 0, 0, 0))
    it.words[200] = 0x04030201
    assert it.bytes[800:804] == b"\1\2\3\4"
    plain = Words(it.bytes)  # what an interpreter without such a view uses
    plain[201] = 0xFFFFFFFE
    assert plain[200] == 0x04030201 and it.words[201] == 0xFFFFFFFE


def test_a_configuration_out_of_range_is_refused_with_its_name():
    good = (16, 256, 64, 128, 32, 16, 16)
    assert Kernel(good).config() == check_config(list(good)) == good
    for i, name in enumerate(CONFIG_NAMES):
        low, high = CONFIG_LIMITS[i]
        for bad in (low - 1, high + 1):
            with pytest.raises(
                errors.Invalid, match="%s must be %d to %d, not %d" % (name, low, high, bad)
            ):
                check_config(good[:i] + (bad,) + good[i + 1 :])
        for edge in (low, high):
            assert check_config(good[:i] + (edge,) + good[i + 1 :])[i] == edge
    for bad in (good[:6], good + (1,), ()):
        with pytest.raises(errors.Invalid):
            check_config(bad)


def test_an_arena_on_used_memory_is_as_good_as_new():
    config = (2, 4, 4, 6, 3, 5, 7)
    fresh, spare = bytes(Arena(config).bytes), Arena(config)
    spare.bytes[:] = b"\xff" * spare.size
    it = Arena(config, spare)
    assert it.bytes is spare.bytes and it.words is spare.words and it.bytes == fresh
    larger = Arena((200, 9, 0, 0, 0, 0, 0), spare)
    assert larger.bytes is not spare.bytes and it.bytes == fresh


def test_a_pool_of_none_holds_nothing():
    kernel = Kernel((1, 0, 0, 0, 0, 0, 0))
    assert kernel.arena.chunks == 1
    for pool in (kernel.records, kernel.nodes, kernel.edges):
        assert pool.find(1) == 0 and list(used(pool)) == []
        with pytest.raises(errors.Full):
            pool.need_room()
    assert kernel.find_key(b"a", 0, 1) == 0


# -- touched before changed ------------------------------------------------------------------------


class Witness:
    """Stands where a running snapshot does: sees each chunk as it was before its first change."""

    def __init__(self, world):
        self.arena = world.kernel.arena
        self.arena.before_write = self.save
        self.told = 0
        self.begin()

    def begin(self):
        self.was = bytes(self.arena.bytes)
        self.saved = {}
        for i in range(self.arena.chunks):
            self.arena.touched[i] = UNSAVED
        self.arena.dirty[self.arena.chunks] = 0

    def save(self, chunk):
        assert chunk not in self.saved, "told twice"
        self.told += 1
        self.saved[chunk] = bytes(self.arena.bytes[chunk * CHUNK : (chunk + 1) * CHUNK])

    def check(self):
        """Whatever was not told of is as it was; whatever was told of was told before it
        changed."""
        for i in range(self.arena.chunks):
            now = bytes(self.arena.bytes[i * CHUNK : (i + 1) * CHUNK])
            assert self.saved.get(i, now) == self.was[i * CHUNK : (i + 1) * CHUNK], (
                "chunk %d changed untold" % i
            )
            assert (self.arena.touched[i] == DIRTY) == (i in self.saved)
        assert sorted(self.arena.dirty[: self.arena.dirty[self.arena.chunks]]) == sorted(self.saved)


def test_apply_touches_every_chunk_before_it_changes_it():
    told = 0
    for seed, config in enumerate(
        CONFIGS + ((16, 120, 60, 90, 60, 16, 16), (300, 8, 80, 60, 50, 3, 900))
    ):
        world = World(config, 0xFFF0)
        witness = Witness(world)

        def after(world, witness=witness):
            witness.check()
            witness.begin()

        wander(world, random.Random(seed).randrange, 250, after=after)
        assert world.applied > 10
        told += witness.told
    assert told > 2000


def test_a_slot_larger_than_a_chunk_is_touched_whole():
    world = World((600, 2, 0, 0, 0, 0, 0))
    witness = Witness(world)
    at = world.kernel.records.at(1)
    world.kernel.records.touch(at)
    assert sorted(witness.saved) == [4, 5, 6]


def test_an_insert_dirties_at_most_three_chunks():
    for config in ((16, 400, 0, 0, 0, 16, 0), (1, 2000, 0, 0, 0, 0, 0), (251, 40, 0, 0, 0, 0, 0)):
        kernel = Kernel(config)
        kernel.root()
        touched, dirty, chunks = kernel.arena.touched, kernel.arena.dirty, kernel.arena.chunks
        most = 0
        for seq in range(1, config[1] + 1):
            payload = frames.insert([seq] * config[0])
            kernel.apply(INSERT, payload, 0, len(payload), 7919 * seq)
            assert touched.count(bytes((DIRTY,))) == dirty[chunks] <= 3
            most = max(most, dirty[chunks])
            for i in range(dirty[chunks]):
                touched[dirty[i]] = CLEAN
            dirty[chunks] = 0
        assert most == 3 and kernel.records.live() == config[1]


def test_words_are_little_endian_whatever_the_machine_is(monkeypatch):
    """On MicroPython, too: a view of memory in the machine's own order had another root."""
    fake = SimpleNamespace(addressof=id, bytearray_at=lambda address, size: bytearray(size))
    monkeypatch.setitem(sys.modules, "uctypes", fake)
    assert isinstance(arena.allocate(64)[1], array)
    monkeypatch.setattr(sys, "byteorder", "big")
    data, words = arena.allocate(64)
    words[1] = 0x01020304
    assert data[4:8] == b"\x04\x03\x02\x01" and words[1] == 0x01020304
