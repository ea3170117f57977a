"""On each emulated core the native module gives the reference's bytes, refuses what it must, and leaves the heap alone."""


import random
import zlib

import blake3 as published
import pytest
from mpremote.transport import TransportExecError
from mpremote.transport_serial import SerialTransport
from quipu import deploy, images, natives
from quipu.emulator import Emulator

from shared_kernel import frames, kernel, primitives, search
from shared_kernel.arena import CHUNK
from tests.boards import test_viper
from tests.boards.test_viper import (  # noqa: F401  the same promises, kept by another provider
    DATA,
    data,
    test_chunk_cv,
    test_copy,
    test_distances,
    test_distances_at_the_edge_of_saturation,
    test_hash,
    test_hash_of_more_chunks_than_fit_any_other_test,
    test_parent_cv,
    test_refuses,
    test_the_heap_is_left_alone,
)

SETUP = "from array import array\nimport emulated, quipu_native as it\ndata = " + DATA


class Board(test_viper.Board):
    """A board that has only the native module. mpy: its bytes."""

    def __init__(self, emulator, mpy):
        self.transport = SerialTransport(emulator.port)
        self.transport.enter_raw_repl()
        self.transport.fs_mkdir("/lib")
        self.transport.fs_writefile(deploy.NATIVE, mpy)
        self.run(SETUP)

    def cost(self, call):
        """Return the instructions that a call takes."""
        code = "a = emulated.instructions()\n%s\nb = emulated.instructions()\nprint(b - a)"
        self.run(code % call)
        return int(self.run(code % call)[0]) - int(self.run(code % "pass")[0])


@pytest.fixture(scope="module", params=images.boards())
def board(request):
    arch = natives.SERVES[images.board_facts(request.param)["mpy_arch"]]
    with Emulator(request.param, frozen=False, icount=True) as emulator:
        each = Board(emulator, natives.build(arch).read_bytes())
        each.arch = arch
        yield each
        each.transport.close()


def test_offers_the_whole_seam(board):
    names = (*primitives.NAMES, "nearest", "climb")
    assert board.run(f"print(it.seam, it.name, *[hasattr(it, each) for each in {names}])") == [
        str(primitives.SEAM), "native", *["True"] * len(names)]


def test_crc32(board):
    for seed in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        for first, size in ((0, 0), (3, 1), (1, 97), (2, 1024)):
            assert board.run(f"print(it.crc32(memoryview(data)[{first}:{first + size}], {seed}))") == [
                str(zlib.crc32(data[first : first + size], seed))]
    assert board.run("print(it.crc32(b'123456789'))") == [str(0xCBF43926)]


def test_cost(board):
    # Instructions are counted, so this cannot be flaky.
    board.run("out = bytearray(64)\nw = array('I', bytes(16384))\nq = array('I', bytes(64))\nd = array('I', bytes(2048))")
    chunk = board.cost("it.chunk_cv(data, 0, 0, out, 0)")
    parent = board.cost("it.parent_cv(data, 0, 32, out, 0, 0)")
    near = board.cost("it.nearest(w, 0, 0, 12, 256, 21, 180, 16, q, 10, None)")
    print(board.arch, "chunk", chunk, "parent", parent, "a block", (chunk - parent) // 15, "hash of 1 KiB",
          board.cost("it.hash(memoryview(data)[:1024])"), "crc", board.cost("it.crc32(memoryview(data)[:1024])"),
          "distances", board.cost("it.distances(w, 0, 16, 16, 256, q, d)"), "nearest of none", near)


def check_search(board, records, dim, query, k, tag, deleted=()):
    """Hold `nearest` to the reference's search over the same slots, on an arena that both make from the same commands."""
    machine = kernel.Kernel((dim, max(1, len(records)), 0, 0, 0, 0, 0))
    for i, (vector, label) in enumerate(records):
        payload = frames.insert(vector, label)
        machine.apply(kernel.INSERT, payload, 0, len(payload), i + 1)
    for ident in deleted:
        machine.apply(kernel.DELETE, frames.ident(ident), 0, 4, len(records) + ident)
    primitives.use(None)
    expected = search.search(machine, query, k, tag)
    pool = machine.records
    words = search.query_words(machine, query)
    found = board.run(
        f"w = array('I', bytes.fromhex('{bytes(machine.arena.bytes).hex()}'))\n"
        f"q = array('I', bytes.fromhex('{words.tobytes().hex()}'))\n"
        f"for d, i in it.nearest(w, {pool.base}, {pool.skip}, {pool.per}, {pool.span}, {pool.stride}, {pool.fresh()}, {dim}, q, {k}, "
        f"{tag}): print(d, i)")
    assert list(zip(map(int, found[::2]), map(int, found[1::2]))) == expected
    return expected


def test_search(board):
    rng = random.Random(4)
    for dim, count, bits, k in ((1, 40, 2, 7), (3, 30, 31, 30), (16, 20, 20, 5), (5, 12, 31, 100), (300, 3, 25, 2), (2, 1, 8, 1)):
        records = [([rng.randrange(-1 << bits, 1 << bits) for _ in range(dim)], rng.randrange(3)) for _ in range(count)]
        query = [rng.randrange(-1 << bits, 1 << bits) for _ in range(dim)]
        assert len(check_search(board, records, dim, query, k, None)) == min(k, count)
        check_search(board, records, dim, query, k, 1)
        check_search(board, records, dim, records[-1][0], k, None, deleted=range(2, count, 3))
    low, high = -1 << 31, (1 << 31) - 1
    assert check_search(board, [([low] * 4, 0), ([high] * 4, 0), ([0] * 4, 0), ([low] * 4, 0)], 4, [high] * 4, 4, None)[-1] == (
        (1 << 63) - 1, 4), "those past the end of 63 bits are equally far: the id decides"


def test_search_of_no_record(board):
    assert board.run("print(it.nearest(array('I', bytes(64)), 0, 0, 2, 8, 8, 0, 1, array('I', (0,)), 3, None))") == ["[]"]


@pytest.mark.parametrize("call", (
    "nearest(w, 0, 0, 2, 8, 4, 2, 1, w, 1, None)",  # a slot has no room for a vector
    "nearest(w, 0, 0, 2, 16, 8, 3, 1, w, 1, None)",  # the third slot ends past the words
    "nearest(w, 0, 2, 2, 16, 8, 1, 1, w, 1, None)",
    "nearest(w, -8, 0, 2, 16, 8, 1, 1, w, 1, None)",
    "nearest(w, 0, 0, 2, 16, 8, 1, 1, w, 0, None)",
    "nearest(w, 0, 0, 1, 16, 14, 1, 9, array('I', (1,)), 1, None)",
    "climb(bytes(2048), bytearray(95), 2, w, 0, b)",
    "climb(bytes(2047), bytearray(96), 2, w, 0, b)",
    "climb(bytes(2048), bytearray(96), 2, w, 17, b)",
    "climb(bytes(2048), bytearray(96), 2, array('I', (2,)), 1, b)",
    "climb(bytes(2048), bytearray(96), 2, w, 1, bytearray(1))",
    "climb(bytes(2048), bytearray(96), 1, w, 1, b)",
))
def test_refuses_more(board, call):
    board.run("w = array('I', range(16))\nb = bytearray(32)")
    with pytest.raises(TransportExecError, match="IndexError"):
        board.run("it." + call)


@pytest.mark.parametrize("chunks", (2, 3, 5, 6))
def test_climb(board, chunks):
    arena = bytearray(data[: chunks * CHUNK])
    total, n = 1, chunks
    while n > 1:
        total, n = total + n, (n + 1) // 2
    board.run(f"a = bytearray(data[:{chunks * CHUNK}])\ncvs = bytearray({32 * total})\nt = bytearray(b'\\1' * {chunks})\n"
              f"dirty = array('I', range({chunks}))")
    assert board.run(f"print(it.climb(a, cvs, {chunks}, dirty, {chunks}, t).hex(), t.hex())") == [
        published.blake3(arena).hexdigest(), "00" * chunks]
    for changed in ([0], [chunks - 1], [chunks - 1, 0], [chunks - 1, chunks - 2], list(range(chunks))[::-1]):
        for each in changed:
            arena[each * CHUNK + 7] ^= 255
            board.run(f"a[{each * CHUNK + 7}] ^= 255\nt[{each}] = 1\ndirty[{changed.index(each)}] = {each}")
        board.run("t[0] = 2" if 0 not in changed else "")  # unsaved by a snapshot: stays so
        found = board.run(f"print(it.climb(a, cvs, {chunks}, dirty, {len(changed)}, t).hex(), t.hex())")
        assert found == [published.blake3(arena).hexdigest(), ("00" if 0 in changed else "02") + "00" * (chunks - 1)]
        board.run("t[0] = 0")
    board.run("t[1] = 2\ndirty[0] = 1")  # changed, and then unsaved: a snapshot began in between
    assert board.run(f"print(it.climb(a, cvs, {chunks}, dirty, 1, t).hex(), t[1])") == [published.blake3(arena).hexdigest(), "2"]
