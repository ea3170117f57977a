"""On each emulated core the native module gives the reference's bytes, refuses what it must, and leaves the heap alone."""

import random
import zlib

import blake3 as published
import pytest
from mpremote.transport import TransportExecError
from mpremote.transport_serial import SerialTransport
from quipu import deploy, images, natives
from quipu.emulator import Emulator

from shared_kernel import frames, primitives
from shared_kernel.arena import CHUNK
from shared_kernel.scan import scan
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
    test_pack,
    test_parent_cv,
    test_refuses,
    test_search,
    test_search_of_no_record,
    test_the_heap_is_left_alone,
    test_what_frames_must_judge_is_not_packed,
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
    names = (*primitives.NAMES, "climb", "seal", "pack")
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


def runs(unit, most, rng):
    """Yield (bytes, start, end, seq, seed): a run of frames with what may end it, and other bytes."""
    for count in (0, 1, 3):
        for start in (0, 3):
            seq = 0xFFFFFFFE if count == 3 and start else 5  # two frames bear it and the last number: none can come after
            seed = rng.choice((0, 1, 0x80000001))
            data, places = bytearray(rng.randbytes(start)), []
            for i in range(count):
                payload = rng.randbytes(rng.choice((0, 1, 7, most - 16)))
                each = frames.frame(rng.choice((1, 0x10, 0x84)), payload, seq + i & 0xFFFFFFFF, i, seed)
                places.append((len(data), len(each)))
                data += each + bytes(b"\xff" * (-len(each) % unit))
            for end in {len(data), len(data) - 1, max(start, len(data) - unit), start, min(len(data), start + 15)}:
                if start <= end <= len(data):
                    yield data, start, end, seq, seed
            data += b"\xff" * 20
            yield data, start, len(data), seq, seed
            yield data, start, len(data), seq + 1 & 0xFFFFFFFF, seed
            yield data, start, len(data), seq, seed ^ 1
            for at, size in places:
                for where in {at, at + 1, at + 2, at + 3, at + 4, at + 7, at + 8, at + size - 5, at + size - 1}:
                    flipped = bytearray(data)
                    flipped[where] ^= 1 << rng.randrange(8)
                    yield flipped, start, len(data), seq, seed


@pytest.mark.parametrize("unit", (1, 4, 32))
def test_scan(board, unit):
    rng, expected, lines = random.Random(unit), [], []
    for buffer, start, end, seq, seed in runs(unit, 40, rng):
        for most in {40, rng.choice((39, 40))}:
            expected.append(str(scan(buffer, start, end, unit, most, seq, seed)))
            lines.append(f"print(it.scan(bytes.fromhex('{buffer.hex()}'), {start}, {end}, {unit}, {most}, {seq}, {seed}))")
    found = []
    for i in range(0, len(lines), 40):
        found += board.run("\n".join(lines[i : i + 40]))
    assert found == expected
    assert sum(int(each) > 5 for each in expected) > 20 and sum(int(each) < 5 for each in expected) > 20


@pytest.mark.parametrize("call", (
    "scan(b, -1, 32, 4, 40, 0, 0)",
    "scan(b, 0, 33, 4, 40, 0, 0)",
    "scan(b, 2, 1, 4, 40, 0, 0)",
    "scan(b, 33, 33, 4, 40, 0, 0)",
    "scan(b, 0, 32, 0, 40, 0, 0)",
    "scan(b, 0, 32, 4, -1, 0, 0)",
    "nearest(w, 0, 0, 4, 16, 0x40000000, 4, 1, w, 1, None)",  # four such slots are 2^32 words
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
