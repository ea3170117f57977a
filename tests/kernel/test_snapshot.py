"""A snapshot comes back as the same state, or not at all: each bit of it is covered."""

import struct
import zlib

import blake3
import pytest

from shared_kernel import errors, frames, snapshot, snapshot_file
from shared_kernel.kernel import INSERT
from tests.kernel.test_kernel import SMALL, do, some_state
from tests.kernel.world import World, full_hash
from tests.model import contents_of

NAME, HEAD = bytes(range(32)), bytes(range(32, 64))


def saved(kernel):
    return snapshot_file.save(kernel, 7, 3, 9, NAME, HEAD)


def forged(change):
    """The example's snapshot with its arena altered, and root, length and CRC made to fit."""
    whole = saved(some_state((2, 60, 80, 50, 40, 5, 7)))
    arena = bytearray(whole[124:])
    change(arena)
    header = (
        whole[:20] + struct.pack("<I", len(arena)) + NAME + HEAD + blake3.blake3(arena).digest()
    )
    return header + struct.pack("<I", zlib.crc32(header)) + arena


def test_the_literal_bytes():
    kernel = some_state()
    arena = bytes(kernel.arena.bytes)
    header = b"QSNP" + struct.pack("<5I", 1, 7, 3, 9, len(arena)) + NAME + HEAD + full_hash(arena)
    assert saved(kernel) == header + struct.pack("<I", zlib.crc32(header)) + arena
    assert snapshot.HEADER == len(header) + 4


def test_a_snapshot_comes_back_as_the_same_state():
    kernel = some_state()
    snapshot_file.load(forged(lambda arena: None))
    for whole in (saved(kernel), bytearray(saved(kernel)), memoryview(saved(kernel))):
        header, loaded = snapshot_file.load(whole)
        assert (header.seq, header.boot, header.generation, header.name, header.head) == (
            7,
            3,
            9,
            NAME,
            HEAD,
        )
        assert loaded.arena.bytes == kernel.arena.bytes and contents_of(loaded) == contents_of(
            kernel
        )
        assert header.root == loaded.root() == kernel.root() and header.length == kernel.arena.size
        assert header.encode() + bytes(loaded.arena.bytes) == whole


def test_what_is_loaded_goes_on_like_the_original():
    kernel = some_state()
    _, loaded = snapshot_file.load(saved(kernel))
    for each in (kernel, loaded):
        do(each, INSERT, frames.insert([8, 9]), 8)
    assert loaded.root() == kernel.root() and loaded.arena.bytes == kernel.arena.bytes


def test_each_bit_is_covered():
    whole = bytearray(saved(some_state()))
    for bit in range(8 * len(whole)):
        whole[bit // 8] ^= 1 << bit % 8
        with pytest.raises(errors.FormatError):
            snapshot_file.load(whole)
        whole[bit // 8] ^= 1 << bit % 8
    snapshot_file.load(whole)


def test_a_snapshot_cut_short_or_drawn_out_is_refused():
    whole = saved(some_state())
    for size in list(range(130)) + list(range(130, len(whole), 61)) + [len(whole) - 1]:
        with pytest.raises(errors.FormatError):
            snapshot_file.load(whole[:size])
    with pytest.raises(errors.FormatError):
        snapshot_file.load(whole + b"\0")


def test_a_header_of_other_rules_is_refused_by_number():
    header = bytearray(saved(some_state())[:120])
    header[4] = 2
    with pytest.raises(errors.FormatError, match="rules 2"):
        snapshot.decode(header + struct.pack("<I", zlib.crc32(header)))


def test_an_arena_that_is_none_is_refused_though_its_hash_fits():
    def shorter(arena):
        del arena[1024:]

    def longer(arena):
        arena += bytes(1024)

    def other_size(arena):
        arena[12:16] = struct.pack("<I", 1000)  # records

    def no_dimension(arena):
        arena[8:12] = bytes(4)

    def no_configuration(arena):
        del arena[8:]

    def enormous(arena):
        arena[8:32] = struct.pack("<6I", 4096, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 255)

    for change in (shorter, longer, other_size, no_dimension, no_configuration, enormous):
        with pytest.raises(errors.FormatError):
            snapshot_file.load(forged(change))


def test_an_empty_state_has_a_snapshot_too():
    world = World((1, 0, 0, 0, 0, 0, 0))
    _, loaded = snapshot_file.load(snapshot_file.save(world.kernel, 0, 0, 0, NAME, HEAD))
    assert (
        loaded.arena.bytes == world.kernel.arena.bytes
        and loaded.config() == (1, 0, 0, 0, 0, 0, 0) != SMALL
    )
