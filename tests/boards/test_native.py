"""On each emulated core the native module gives the reference's bytes, refuses what it must, and
leaves the heap alone."""

import random
import zlib
from array import array

import blake3 as published
import pytest
from mpremote.transport import TransportExecError
from mpremote.transport_serial import SerialTransport
from quipu.build import images, natives
from quipu.build.emulator import Emulator
from quipu.install import files as deploy

from shared_kernel import frames, primitives
from shared_kernel.arena import CHUNK, CLEAN, DIRTY, UNSAVED, Arena
from shared_kernel.scan import scan
from tests import quick
from tests.boards import test_viper
from tests.boards.test_viper import (  # noqa: F401  the same promises, kept by another provider
    DATA,
    data,
    test_copy,
    test_distances,
    test_distances_at_the_edge_of_saturation,
    test_hash,
    test_hash_of_more_chunks_than_fit_any_other_test,
    test_pack,
    test_refuses,
    test_search,
    test_search_of_no_record,
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


@pytest.fixture(scope="module", params=quick.some(images.boards()[::-1], 1))
def board(request):
    arch = natives.SERVES[images.board_facts(request.param)["mpy_arch"]]
    with Emulator(request.param, frozen=False, icount=True) as emulator:
        each = Board(emulator, natives.build(arch).read_bytes())
        each.arch = arch
        yield each
        each.transport.close()


def test_offers_the_whole_seam(board):
    # climb does what they are for
    names = [each for each in primitives.NAMES if each not in ("chunk_cv", "parent_cv")]
    names += ["climb", "take", "pack"]
    assert board.run(f"print(it.seam, it.name, *[hasattr(it, each) for each in {names}])") == [
        str(primitives.SEAM),
        "native",
        *["True"] * len(names),
    ]


def test_crc32(board):
    for seed in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        for first, size in ((0, 0), (3, 1), (1, 97), (2, 1024)):
            assert board.run(
                f"print(it.crc32(memoryview(data)[{first}:{first + size}], {seed}))"
            ) == [str(zlib.crc32(data[first : first + size], seed))]
    assert board.run("print(it.crc32(b'123456789'))") == [str(0xCBF43926)]


def test_cost(board):
    # Instructions are counted, so this cannot be flaky.
    board.run(
        "w = array('I', bytes(16384))\nq = array('I', bytes(64))\nd = array('I', bytes(2048))"
    )
    one, block = (
        board.cost("it.hash(memoryview(data)[:1024])"),
        board.cost("it.hash(memoryview(data)[:64])"),
    )
    near = board.cost("it.nearest(w, 0, 0, 12, 256, 21, 180, 16, q, 10, None)")
    print(
        board.arch,
        "a block",
        (one - block) // 15,
        "hash of 1 KiB",
        one,
        "crc",
        board.cost("it.crc32(memoryview(data)[:1024])"),
        "distances",
        board.cost("it.distances(w, 0, 16, 16, 256, q, d)"),
        "nearest of none",
        near,
    )


def runs(unit, most, rng):
    """Yield (bytes, start, end, seq, seed): a run of frames with what may end it, and other
    bytes."""
    for count in (0, 1, 3):
        for start in (0, 3):
            # two frames bear it and the last number: none can come after
            seq = 0xFFFFFFFE if count == 3 and start else 5
            seed = rng.choice((0, 1, 0x80000001))
            data, places = bytearray(rng.randbytes(start)), []
            for i in range(count):
                payload = rng.randbytes(rng.choice((0, 1, 7, most - 16)))
                each = frames.frame(
                    rng.choice((1, 0x10, 0x84)), payload, seq + i & 0xFFFFFFFF, i, seed
                )
                places.append((len(data), len(each)))
                data += each + bytes(b"\xff" * (-len(each) % unit))
            for end in {
                len(data),
                len(data) - 1,
                max(start, len(data) - unit),
                start,
                min(len(data), start + 15),
            }:
                if start <= end <= len(data):
                    yield data, start, end, seq, seed
            data += b"\xff" * 20
            yield data, start, len(data), seq, seed
            yield data, start, len(data), seq + 1 & 0xFFFFFFFF, seed
            yield data, start, len(data), seq, seed ^ 1
            for at, size in places:
                for where in {
                    at,
                    at + 1,
                    at + 2,
                    at + 3,
                    at + 4,
                    at + 7,
                    at + 8,
                    at + size - 5,
                    at + size - 1,
                }:
                    flipped = bytearray(data)
                    flipped[where] ^= 1 << rng.randrange(8)
                    yield flipped, start, len(data), seq, seed


@pytest.mark.parametrize("unit", (1, 4, 32))
def test_scan(board, unit):
    rng, expected, lines = random.Random(unit), [], []
    for buffer, start, end, seq, seed in runs(unit, 40, rng):
        for most in {40, rng.choice((39, 40))}:
            expected.append(str(scan(buffer, start, end, unit, most, seq, seed)))
            lines.append(
                f"print(it.scan(bytes.fromhex('{buffer.hex()}'), {start}, {end}, {unit}, {most}, "
                f"{seq}, {seed}))"
            )
    found = []
    for i in range(0, len(lines), 40):
        found += board.run("\n".join(lines[i : i + 40]))
    assert found == expected
    assert (
        sum(int(each) > 5 for each in expected) > 20
        and sum(int(each) < 5 for each in expected) > 20
    )


@pytest.mark.parametrize(
    "call",
    (
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
        # a frame past its buffer
        "chain(bytearray(128), 1, 81, 1, 1, 1, bytes(32), bytearray(200), 0, 100)",
        "chain(bytearray(128), 1, -1, 1, 1, 1, bytes(32), bytearray(200), 0, 100)",
        "chain(bytearray(128), 1, 80, 1, 1, 1, bytes(31), bytearray(200), 0, 100)",
        # past the group
        "chain(bytearray(128), 1, 80, 1, 1, 1, bytes(32), bytearray(200), 101, 100)",
        "chain(bytearray(128), 1, 80, 1, 1, 1, bytes(32), bytearray(200), -1, 100)",
        # longer than its place
        "chain(bytearray(128), 1, 80, 1, 1, 1, bytes(32), bytearray(200), 0, 95)",
        "take(a, bytearray(1), d, array('I', (10, 0, 32, 36, 256, 7, 3)), 1, 0)",
        "take(a, b, array('I', (0, 0)), array('I', (10, 0, 5, 36, 256, 7, 3)), 1, 0)",
        "take(a, b, d, array('I', (10, 0, 5, 36, 256, 7)), 1, 0)",
        "take(a, b, d, array('I', (510, 0, 5, 36, 256, 7, 3)), 1, 0)",
        "take(a, b, d, array('I', (10, 0, 5, 36, 256, 7, 0)), 1, 40)",  # none is free
        "take(a, b, d, array('I', (10, 510, 5, 36, 256, 7, 3)), 1, 40)",
        "take(a, b, d, array('I', (10, 0, 5, 36, 256, 7, 3)), 1, 512)",
        "take(a, b, d, array('I', (10, 0, 5, 36, 256, 7, 3)), 1, -1)",
        # three of two chunks are dirty
        "take(a, b, array('I', (0, 0, 3)), array('I', (10, 0, 5, 36, 256, 7, 3)), 1, 0)",
    ),
)
def test_refuses_more(board, call):
    board.run(
        "w = array('I', range(16))\nb = bytearray(32)\na = array('I', bytes(2048))\nd = "
        "array('I', bytes(12))"
    )
    with pytest.raises(TransportExecError, match="IndexError"):
        board.run("it." + call)


@pytest.mark.parametrize("chunks", (2, 3, 5, 6))
def test_climb(board, chunks):
    arena = bytearray(data[: chunks * CHUNK])
    total, n = 1, chunks
    while n > 1:
        total, n = total + n, (n + 1) // 2
    board.run(
        f"a = bytearray(data[:{chunks * CHUNK}])\ncvs = bytearray({32 * total})\nt = "
        f"bytearray(b'\\1' * {chunks})\n"
        f"dirty = array('I', range({chunks}))"
    )
    assert board.run(f"print(it.climb(a, cvs, {chunks}, dirty, {chunks}, t).hex(), t.hex())") == [
        published.blake3(arena).hexdigest(),
        "00" * chunks,
    ]
    for changed in (
        [0],
        [chunks - 1],
        [chunks - 1, 0],
        [chunks - 1, chunks - 2],
        list(range(chunks))[::-1],
    ):
        for each in changed:
            arena[each * CHUNK + 7] ^= 255
            board.run(
                f"a[{each * CHUNK + 7}] ^= 255\nt[{each}] = 1\ndirty[{changed.index(each)}] = "
                f"{each}"
            )
        board.run("t[0] = 2" if 0 not in changed else "")  # unsaved by a snapshot: stays so
        found = board.run(
            f"print(it.climb(a, cvs, {chunks}, dirty, {len(changed)}, t).hex(), t.hex())"
        )
        assert found == [
            published.blake3(arena).hexdigest(),
            ("00" if 0 in changed else "02") + "00" * (chunks - 1),
        ]
        board.run("t[0] = 0")
    board.run("t[1] = 2\ndirty[0] = 1")  # changed, and then unsaved: a snapshot began in between
    assert board.run(f"print(it.climb(a, cvs, {chunks}, dirty, 1, t).hex(), t[1])") == [
        published.blake3(arena).hexdigest(),
        "2",
    ]


def test_chain(board):
    rng = random.Random(7)
    for size, unit, at in ((0, 1, 0), (1, 4, 0), (48, 4, 32), (79, 32, 7), (80, 256, 0)):
        buffer, head, kind = (
            bytearray(rng.randbytes(128)),
            rng.randbytes(32),
            rng.choice((0x10, 0x50, 0x84)),
        )
        seq, tick, seed = (
            rng.choice((1, 0xFFFFFFFF)),
            rng.choice((0, 0x3FFFFFFF)),
            rng.choice((0, 0x80000001)),
        )
        padded = -(-(size + 16) // unit) * unit
        group = bytearray(at + padded + 3)
        given = f"{kind}, {size}, {seq}, {tick}, {seed}, bytes.fromhex('{head.hex()}')"
        board.run(f"f = bytearray(bytes.fromhex('{buffer.hex()}'))\ng = bytearray({len(group)})")
        found = board.run(f"print(it.chain(f, {given}, g, {at}, {padded}).hex(), f.hex(), g.hex())")
        new = frames.chain(buffer, kind, size, seq, tick, seed, head, group, at, padded)
        assert found == [new.hex(), buffer.hex(), group.hex()]
        frame = buffer[32 : 48 + size]
        assert new == published.blake3(head + frame).digest() and group == bytes(
            at
        ) + frame + b"\xff" * (padded - size - 16) + bytes(3)


@pytest.mark.parametrize(
    "config",
    quick.some(((1, 45, 0, 0, 0, 0, 0), (16, 40, 0, 0, 0, 16, 0), (250, 3, 0, 0, 0, 0, 0)), 1),
)
def test_take(board, config):
    """Slots are taken, fresh and freed ones, as Pool.take does it; but none is where a snapshot
    must be told of a chunk first."""
    rng, lines, expected = random.Random(config[0]), [], []
    arena = Arena(config)
    pool, ids, told = arena.records, {}, []
    arena.before_write = told.append
    parts = arena.words, arena.dirty, arena.touched

    def shown():
        return [str(zlib.crc32(bytes(each))) for each in parts]

    board.run(
        f"s = array('I', {tuple(pool.shape)})\nw = array('I', bytes({arena.size}))\n"
        f"d = array('I', bytes({4 * len(arena.dirty)}))\nt = bytearray({arena.chunks})"
    )
    for _ in range(quick.long(120, 40)):
        arena.touched[:] = bytes(
            rng.choice((CLEAN, DIRTY, DIRTY, UNSAVED)) for _ in range(arena.chunks)
        )
        dirty = [i for i in range(arena.chunks) if arena.touched[i] == DIRTY]
        arena.dirty[:] = array("I", dirty + [0] * (arena.chunks - len(dirty)) + [len(dirty)])
        if len(ids) == pool.capacity or ids and rng.random() < 0.4:
            ident = rng.choice(list(ids))
            pool.free(pool.find(ident), ids.pop(ident))
            continue
        ident = rng.choice((rng.randrange(1, 300), rng.randrange(1, 1 << 32)))
        if ident in ids:
            continue
        lines.append(
            f"w[:] = array('I', bytes.fromhex('{bytes(arena.words).hex()}'))\nd[:] = array('I', "
            f"{tuple(arena.dirty)})\n"
            f"t[:] = bytes.fromhex('{bytes(arena.touched).hex()}')\n"
            f"print(it.take(w, t, d, s, {ident}, {rng.choice((0, pool.bucket(ident)))}), "
            f"it.crc32(w), it.crc32(d), it.crc32(t))"
        )
        before = shown()
        told.clear()
        at = pool.take(ident)
        ids[ident] = pool.bucket(ident)
        expected += ["0", *before] if told else [str(at), *shown()]
    found = []
    for i in range(0, len(lines), 6):
        found += board.run("\n".join(lines[i : i + 6]))
    assert found == expected
    assert expected[::4].count("0") > quick.long(5, 1) and len(expected) > quick.long(120, 40)
    large = Arena((300, 2, 0, 0, 0, 0, 0))  # slots of several chunks are left to Python
    assert (
        large.records.span > 256
        and board.run(
            f"w = array('I', bytes({large.size}))\nt = bytearray({large.chunks})\nd = array('I', "
            f"bytes({4 * len(large.dirty)}))\n"
            f"print(it.take(w, t, d, array('I', {tuple(large.records.shape)}), 1, 0), max(w), "
            f"max(t), max(d))"
        )
        == ["0"] * 4
    )


def test_a_loop_leaves_the_heap_alone(board):
    # A locked heap raises MemoryError at the first allocation. Each result is checked, so that each
    # call was made.
    board.run(
        "import micropython\nout = bytearray(16)\nd = array('I', (0, 0, 0))\nw = array('I', "
        "bytes(2048))\nt = bytearray(2)\n"
        "s = array('I', (10, 0, 5, 36, 256, 7, 3))\nwhat = None\nq = array('I', (3,))\nz = "
        "array('I', (0, 0))"
    )
    found = board.run(
        "micropython.heap_lock()\n"
        "try:\n it.copy(out, 0, data, 1, 9)\n at = it.take(w, t, d, s, 9, 0)\n it.distances(w, 0, "
        "1, 1, 1, q, z)\n"
        " try:\n  it.hash(data)\n  what = 'the result of hash was free'\n"
        " except MemoryError:\n  what = 'locked'\n"
        "finally: micropython.heap_unlock()\n"
        "print(out.hex(), at, w[at + 1], z[0], what)"
    )
    assert found == [data[1:10].hex() + "00" * 7, "35", "9", "9", "locked"]
