"""The state root is the BLAKE3 of the arena, of all of it, whichever way it is computed."""

import random

import pytest

from shared_kernel import frames, primitives
from shared_kernel.arena import CHUNK
from shared_kernel.kernel import INSERT, Kernel
from tests.kernel.test_kernel import some_state
from tests.kernel.world import World, full_hash, wander

pytestmark = pytest.mark.usefixtures("incremental")

TINY = (1, 1, 1, 1, 1, 1, 1)
WIDE = (2, 60, 80, 50, 40, 5, 7)  # nine chunks


def test_each_bit_of_the_arena_changes_the_root(monkeypatch):
    monkeypatch.setattr(primitives, "whole", True)
    kernel = some_state(WIDE)
    arena = kernel.arena
    before = kernel.root()
    seen = {before}
    for bit in range(8 * arena.size):
        arena.touch(bit // 32)
        arena.bytes[bit // 8] ^= 1 << bit % 8
        seen.add(kernel.root())
        arena.bytes[bit // 8] ^= 1 << bit % 8
    assert len(seen) == 1 + 8 * arena.size == 1 + 8 * 9 * CHUNK
    arena.touch(0)
    assert kernel.root() == before


def test_a_bit_of_each_block_changes_the_incremental_root():
    kernel = some_state(WIDE)
    arena = kernel.arena
    seen = {kernel.root()}
    for block in range(arena.size // 64):
        arena.touch(16 * block)
        arena.bytes[64 * block + block % 64] ^= 1 << block % 8
        seen.add(kernel.root())
        assert kernel.root() == full_hash(arena.bytes)
    assert len(seen) == 1 + arena.size // 64


def test_the_incremental_root_is_the_full_hash_for_every_number_of_chunks():
    """The tree's shape differs for each number of chunks; every chunk in turn is the only one that
    changed."""
    for chunks in range(1, 19):
        kernel = Kernel((247, chunks - 1, 0, 0, 0, 0, 0))  # a record a chunk
        arena = kernel.arena
        assert arena.chunks == chunks
        for chunk in range(arena.chunks):
            arena.touch(chunk * 256 + 255)
            arena.words[chunk * 256 + 255] = chunk + 1
            assert kernel.root() == full_hash(arena.bytes)
            assert arena.dirty[chunks] == 0 and arena.touched == bytes(chunks)


def test_the_incremental_root_is_the_full_hash_over_random_configurations():
    pick = random.Random(11).randrange
    applied = 0
    for _ in range(60):
        config = (
            (1, 2, 16, 100, 240, 251, 300, 700)[pick(8)],
            pick(7),
            pick(60),
            pick(60),
            pick(50),
            pick(30),
            pick(99),
        )
        world = World(config)
        for _ in range(8):
            wander(world, pick, 1 + pick(6), after=lambda world: None)
            assert world.kernel.root() == full_hash(world.kernel.arena.bytes)
        applied += world.applied
    assert applied > 500


def test_the_root_moves_with_every_command_and_rests_without_one():
    kernel = Kernel((2, 5, 0, 0, 0, 0, 0))
    roots = [kernel.root()]
    for seq in range(1, 6):
        payload = frames.insert([0, 0])
        kernel.apply(INSERT, payload, 0, len(payload), seq)
        roots.append(kernel.root())
        assert kernel.root() == roots[-1] == full_hash(kernel.arena.bytes)
    assert len(set(roots)) == 6


def test_the_configuration_is_in_the_root():
    roots = {Kernel(TINY).root()}
    for i in range(7):
        for value in (2, 3):
            roots.add(Kernel(TINY[:i] + (value,) + TINY[i + 1 :]).root())
    assert len(roots) == 15


def test_loading_other_bytes_gives_their_root():
    source = some_state()
    kernel = Kernel(source.config())
    empty = kernel.root()
    kernel.arena.load(source.arena.bytes)
    assert kernel.root() == source.root() == full_hash(source.arena.bytes) != empty


def test_changing_the_way_midway_changes_no_root(monkeypatch):
    """A provider may be installed at any time: whole hash, then chunks, in any order."""
    kernel = Kernel((200, 9, 0, 0, 0, 0, 0))  # a record a chunk
    for seq in range(1, 10):
        monkeypatch.setattr(primitives, "whole", seq % 3 == 2)
        payload = frames.insert([seq] * 200)
        kernel.apply(INSERT, payload, 0, len(payload), seq)
        assert kernel.root() == full_hash(kernel.arena.bytes)
