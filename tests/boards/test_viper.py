"""On each emulated core the assembler gives the reference's bytes, refuses what it must, and leaves
the heap alone."""

import contextlib
import random
import shutil
import subprocess
import zlib
from array import array
from pathlib import Path

import blake3 as published
import pytest
from mpremote.transport import TransportExecError
from mpremote.transport_serial import SerialTransport
from quipu.build import images
from quipu.build.emulator import Emulator

from shared_kernel import blake3, distances, frames, kernel, primitives, search
from tests.quick import some

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("thumb", "viper", "crc32")
# The same text makes the same bytes on both sides.
DATA = "bytes((i * 167 ^ i >> 8) & 255 for i in range(7200))"
data = eval(DATA)


class Board:
    """A board that has only the assembler and what sets it up. folder: for what is compiled;
    source: where the modules are."""

    def __init__(self, emulator, folder, source=ROOT / "firmware" / "quipu"):
        self.arch = emulator.facts["mpy_arch"]
        self.transport = SerialTransport(emulator.port)
        self.transport.enter_raw_repl()
        self.transport.fs_mkdir("/lib")
        self.transport.fs_mkdir("/lib/quipu")
        self.transport.fs_writefile("/lib/quipu/__init__.py", b"")
        for module in MODULES:
            compiled = folder / (module + ".mpy")
            subprocess.run(
                [
                    images.mpy_cross(),
                    "-march=" + self.arch,
                    "-o",
                    compiled,
                    source / (module + ".py"),
                ],
                check=True,
            )
            self.transport.fs_writefile(f"/lib/quipu/{module}.mpy", compiled.read_bytes())
        self.run("from array import array\nfrom quipu import viper as it\ndata = " + DATA)

    def run(self, code):
        """Run code on the board and return the lines that it prints."""
        return self.transport.exec(code).decode().split()


@pytest.fixture(scope="module", params=some(images.boards()[1:] + images.boards()[:1], 1))
def board(request, tmp_path_factory):
    # icount: for the test of the cost; it changes nothing else.
    with Emulator(request.param, frozen=False, icount=True) as emulator:
        each = Board(emulator, tmp_path_factory.mktemp(request.param))
        yield each
        each.transport.close()


def test_offers_the_whole_seam(board):
    # those are left to their references
    names = [each for each in primitives.NAMES if each not in ("scan", "chain")] + ["pack"]
    assert board.run(f"print(it.usable(), it.name, *[hasattr(it, each) for each in {names}])") == [
        "True",
        "viper",
        *["True"] * len(names),
    ]


def test_hash(board):
    lengths = (
        0,
        1,
        2,
        3,
        4,
        63,
        64,
        65,
        127,
        128,
        129,
        960,
        961,
        1023,
        1024,
        1025,
        1088,
        2047,
        2048,
        2049,
        3072,
        3073,
        4096,
        5000,
        5120,
        7168,
        7169,
    )
    for first in range(4):  # at every alignment
        found = board.run(
            f"for n in {lengths}: print(it.hash(memoryview(data)[{first} : n + {first}]).hex())"
        )
        assert found == [published.blake3(data[first : n + first]).hexdigest() for n in lengths]


def test_hash_of_more_chunks_than_fit_any_other_test(board):
    assert board.run("print(it.hash(bytes(70000)).hex())") == [
        published.blake3(bytes(70000)).hexdigest()
    ]


def test_chunk_cv(board):
    for at, counter, out_at in (
        (0, 0, 0),
        (1, 1, 0),
        (2, 5, 1),
        (3, 0xFFFFFFFF, 2),
        (1024, 1, 3),
        (4100, 0x40000000, 8),
    ):
        found = board.run(
            f"out = bytearray(48)\nit.chunk_cv(data, {at}, {counter}, out, "
            f"{out_at})\nprint(out.hex())"
        )
        expected = bytearray(48)
        blake3.chunk_cv(data, at, counter, expected, out_at)
        assert found == [expected.hex()]


@pytest.mark.parametrize("root", (0, 1))
def test_parent_cv(board, root):
    for left, right, out_at in (
        (0, 32, 0),
        (1, 33, 1),
        (32, 0, 64),
        (100, 3, 2),
        (64, 64, 160),
        (0, 160, 80),
        (128, 160, 128),
    ):
        found = board.run(
            f"cvs = bytearray(data[:192])\nit.parent_cv(cvs, {left}, {right}, cvs, {out_at}, "
            f"{root})\n"
            "print(cvs.hex())"
        )
        expected = bytearray(data[:192])
        blake3.parent_cv(expected, left, right, expected, out_at, root)
        assert found == [expected.hex()]


def test_crc32(board):
    for seed in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        for size in (0, 1, 97):
            found = board.run(
                f"import quipu.crc32\nprint(it.crc32(data[:{size}], {seed}), "
                f"quipu.crc32.crc32(data[:{size}], {seed}))"
            )
            assert found == [str(zlib.crc32(data[:size], seed))] * 2
    assert (
        board.run("print(it.crc32(b'123456789'), quipu.crc32.crc32(b'123456789'))")
        == [str(0xCBF43926)] * 2
    )


def test_copy(board):
    for to_at, of_at, count in (
        (0, 0, 0),
        (0, 0, 64),
        (4, 8, 40),
        (1, 2, 3),
        (4, 8, 41),
        (3, 0, 61),
        (60, 12, 4),
    ):
        found = board.run(
            f"to = bytearray(64)\nit.copy(to, {to_at}, data, {of_at}, {count})\nprint(to.hex())"
        )
        expected = bytearray(64)
        expected[to_at : to_at + count] = data[of_at : of_at + count]
        assert found == [expected.hex()]


def check_distances(board, words, first, stride, dim, count, query):
    expected = array("I", [0xABCD] * (2 * count + 1))
    distances.distances(words, first, stride, dim, count, query, expected)
    found = board.run(
        f"out = array('I', [0xABCD] * {2 * count + 1})\n"
        f"it.distances(array('I', bytes.fromhex('{words.tobytes().hex()}')), {first}, {stride}, "
        f"{dim}, {count}, "
        f"array('I', bytes.fromhex('{query.tobytes().hex()}')), out)\nfor each in out: print(each)"
    )
    assert [int(each) for each in found] == expected.tolist()


def test_distances(board):
    rng = random.Random(1)

    def word():
        kind = rng.randrange(4)
        bits = rng.choice((1, 8, 15, 16, 17, 24, 31, 32))
        return (
            rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
            if kind == 0
            else rng.getrandbits(bits)
            if kind == 1
            else -rng.getrandbits(bits)
        ) & 0xFFFFFFFF

    for dim, count, first, extra in (
        (1, 20, 0, 0),
        (2, 20, 3, 1),
        (3, 10, 1, 0),
        (16, 16, 6, 6),
        (5, 0, 0, 0),
        (0, 2, 0, 1),
    ):
        words = array("I", [word() for _ in range(first + count * (dim + extra))])
        check_distances(
            board, words, first, dim + extra, dim, count, array("I", [word() for _ in range(dim)])
        )


def test_distances_at_the_edge_of_saturation(board):
    # The sums of squares are 2^63 - 2, 2^63 - 1, 2^63, and others whose last addition overflows in
    # another place; with a difference of more than 31 bits, and without one.
    for edge in (
        (3037000499, 76996, 377, 25, 5, 3, 1),
        (0x7FFFFFFF, 0x7FFFFFFF, 92681, 408, 19, 1, 1),
    ):
        assert sum(each * each for each in edge) == (1 << 63) - 2
        for rest in (
            (0, 0),
            (1, 0),
            (1, 1),
            (0xFFFFFFFF, 1),
            (0xFFFF, 0xFFFF),
            (0x10000, 0),
            (0x7FFFFFFF, 0x7FFFFFFF),
        ):
            differences = edge + rest
            words = array(
                "I", [0x80000000 + d & 0xFFFFFFFF for d in differences + differences[::-1]]
            )
            check_distances(board, words, 0, 9, 9, 2, array("I", [0x80000000] * 9))
    for pair in (
        (1 << 31, 1 << 31),
        (1 << 31, (1 << 31) - 1),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0xB504F333, 0xFFFF),
        (3036962500, 0xB505FFFF),
    ):
        words = array("I", [0x80000000 + d & 0xFFFFFFFF for d in pair])
        check_distances(board, words, 0, 2, 2, 1, array("I", [0x80000000] * 2))


@contextlib.contextmanager
def plain():
    """While this is open, the plain reference is what runs."""
    before = {each: getattr(primitives, each) for each in (*primitives.NAMES, "whole", "name")}
    primitives.use(None)
    try:
        yield
    finally:
        vars(primitives).update(before)


def check_search(board, records, dim, query, k, tag, deleted=()):
    """Hold `nearest` to the reference's search over the same slots, on an arena that both make from
    the same commands."""
    machine = kernel.Kernel((dim, max(1, len(records)), 0, 0, 0, 0, 0))
    for i, (vector, label) in enumerate(records):
        payload = frames.insert(vector, label)
        machine.apply(kernel.INSERT, payload, 0, len(payload), i + 1)
    for ident in deleted:
        machine.apply(kernel.DELETE, frames.ident(ident), 0, 4, len(records) + ident)
    with plain():
        expected = search.search(machine, query, k, tag)
    pool = machine.records
    words = search.query_words(machine, query)
    found = board.run(
        f"w = array('I', bytes.fromhex('{bytes(machine.arena.bytes).hex()}'))\n"
        f"q = array('I', bytes.fromhex('{words.tobytes().hex()}'))\n"
        f"for d, i in it.nearest(w, {pool.base}, {pool.skip}, {pool.per}, {pool.span}, "
        f"{pool.stride}, {pool.fresh()}, {dim}, q, {k}, "
        f"{tag}): print(d, i)"
    )
    assert list(zip(map(int, found[::2]), map(int, found[1::2]))) == expected
    return expected


def test_search(board):
    rng = random.Random(4)
    for dim, count, bits, k in (
        (1, 40, 2, 7),
        (1, 40, 16, 7),
        (3, 30, 31, 30),
        (16, 20, 20, 5),
        (5, 12, 31, 100),
        (300, 3, 25, 2),
        (2, 1, 8, 1),
    ):
        records = [
            ([rng.randrange(-1 << bits, 1 << bits) for _ in range(dim)], rng.randrange(3))
            for _ in range(count)
        ]
        query = [rng.randrange(-1 << bits, 1 << bits) for _ in range(dim)]
        assert len(check_search(board, records, dim, query, k, None)) == min(k, count)
        check_search(board, records, dim, query, k, 1)
        check_search(board, records, dim, records[-1][0], k, None, deleted=range(2, count, 3))
    low, high = -1 << 31, (1 << 31) - 1
    assert check_search(
        board,
        [([low] * 4, 0), ([high] * 4, 0), ([0] * 4, 0), ([low] * 4, 0)],
        4,
        [high] * 4,
        4,
        None,
    )[-1] == ((1 << 63) - 1, 4), "those past the end of 63 bits are equally far: the id decides"


def test_search_of_no_record(board):
    assert board.run(
        "print(it.nearest(array('I', bytes(64)), 0, 0, 2, 16, 8, 0, 1, array('I', (0,)), 3, None))"
    ) == ["[]"]


def test_pack(board, monkeypatch):
    monkeypatch.setattr(primitives, "pack", None)
    edge = (0, 1, -1, 255, 256, -256, 65536, (1 << 29) - 1, -(1 << 29))
    for vector in ((), (7,), edge, edge * 30):
        for tag, meta in ((0, b""), (1, b"abc"), ((1 << 29) - 1, bytes(range(20)))):
            assert board.run(f"print(it.pack({list(vector)}, {tag}, {meta}).hex())") == [
                frames.insert(vector, tag, meta).hex()
            ]
        assert board.run(
            f"print(bytes(it.pack({vector}, None, b'')) == "
            f"bytes.fromhex('{frames.vector_bytes(vector).hex()}'))"
        ) == ["True"]
    # what is no small integer of a board may be left to frames.py
    vector = [(1 << 31) - 1, -1 << 31]
    assert board.run(f"p = it.pack({vector}, 0xFFFFFFFF, b'')\nprint(p and p.hex())")[0] in (
        "None",
        frames.insert(vector, 0xFFFFFFFF).hex(),
    )


def test_what_frames_must_judge_is_not_packed(board):
    for vector in (
        "[1.0]",
        "[1.5]",
        "[float('nan')]",
        "['1']",
        "[None]",
        "'1'",
        "[1 << 31]",
        "[-1 - (1 << 31)]",
        "[1 << 32]",
        "[1 << 64]",
        "b'1234'",
        "[0, 1, 1 << 32]",
        "range(65536)",
    ):
        for tag in ("None", "1"):
            assert board.run(f"print(it.pack({vector}, {tag}, b''))") == ["None"]
    for tag in ("-1", "1 << 32", "'1'", "1.0"):
        assert board.run(f"print(it.pack([1], {tag}, b''))") == ["None"]


@pytest.mark.parametrize(
    "call, error",
    (
        ("copy(bytearray(8), 1, bytes(8), 0, 8)", "IndexError"),
        ("copy(bytearray(8), 0, bytes(8), 1, 8)", "IndexError"),
        ("copy(bytearray(8), -1, bytes(8), 0, 1)", "IndexError"),
        ("copy(bytearray(8), 4, bytes(8), 4, -1)", "IndexError"),
        ("distances(w, 1, 4, 4, 2, w, w)", "IndexError"),
        ("distances(w, 0, 4, 9, 0, w, w)", "IndexError"),
        ("distances(w, 0, 1, 1, 5, w, w)", "IndexError"),
        ("distances(w, 0, 1, 1, -1, w, w)", "IndexError"),
        # a slot has no room for a vector
        ("nearest(w, 0, 0, 2, 8, 4, 2, 1, w, 1, None)", "IndexError"),
        # the second slot ends past the words
        ("nearest(w, 0, 0, 1, 8, 8, 2, 1, w, 1, None)", "IndexError"),
        ("nearest(w, 0, 1, 1, 8, 8, 1, 1, w, 1, None)", "IndexError"),
        ("nearest(w, -8, 0, 1, 8, 8, 1, 1, w, 1, None)", "IndexError"),
        ("nearest(w, 0, 0, 1, 8, 8, 1, 1, w, 0, None)", "IndexError"),
        ("nearest(w, 0, 0, 1, 8, 8, 1, 3, w[:2], 1, None)", "IndexError"),
        ("nearest(memoryview(b)[2:], 0, 0, 1, 8, 8, 1, 1, w, 1, None)", "ValueError"),
        ("nearest(w, 0, 0, 1, 8, 8, 1, 1, memoryview(b)[1:], 1, None)", "ValueError"),
        ("distances(memoryview(b)[1:], 0, 1, 1, 1, w, w)", "ValueError"),
        ("distances(w, 0, 1, 1, 1, memoryview(b)[2:], w)", "ValueError"),
        ("distances(w, 0, 1, 1, 1, w, memoryview(b)[1:])", "ValueError"),
    ),
)
def test_refuses(board, call, error):
    board.run("w = array('I', range(8))\nb = bytearray(32)")
    with pytest.raises(TransportExecError, match=error):
        board.run("it." + call)
    assert board.run("print(it.hash(data).hex())") == [published.blake3(data).hexdigest()]


@pytest.mark.parametrize(
    "call",
    (
        "chunk_cv(data, 7200 - 1023, 0, bytearray(32), 0)",
        "chunk_cv(data, -1, 0, bytearray(32), 0)",
        "chunk_cv(data, 0, 0, bytearray(32), 1)",
        "chunk_cv(data, 0, 0, bytearray(64), -1)",
        "parent_cv(bytearray(63), 0, 32, bytearray(32), 0, 0)",
        "parent_cv(bytearray(64), 33, 0, bytearray(32), 0, 0)",
        "parent_cv(bytearray(64), -32, 0, bytearray(32), 0, 0)",
        "parent_cv(bytearray(64), 0, 32, bytearray(32), 1, 0)",
    ),
)
def test_a_chunk_out_of_range_is_refused(board, call):
    test_refuses(board, call, "IndexError")


def test_the_heap_is_left_alone(board):
    # A locked heap raises MemoryError at the first allocation. Each result is checked, so that each
    # call was made.
    found = board.run(
        "import micropython\n"
        "out = bytearray(96)\nw = array('I', range(64))\nq = array('I', range(16))\nd = "
        "array('I', bytes(32))\n"
        "view = memoryview(data)[:100]\nwhat = None\n"
        "micropython.heap_lock()\n"
        "try:\n"
        " it.chunk_cv(data, 1, 7, out, 0)\n it.parent_cv(data, 0, 32, out, 32, 1)\n"
        " it.parent_cv(data, 0, 64, out, 64, 0)\n it.copy(out, 0, data, 1, 9)\n it.distances(w, "
        "0, 16, 16, 4, q, d)\n"
        " try:\n  it.hash(view)\n  what = 'the result of hash was free'\n"
        " except MemoryError:\n  what = 'locked'\n"
        "finally: micropython.heap_unlock()\n"
        "print(out.hex(), d[2], what)"
    )
    expected = bytearray(96)
    blake3.chunk_cv(data, 1, 7, expected, 0)
    blake3.parent_cv(data, 0, 32, expected, 32, 1)
    blake3.parent_cv(data, 0, 64, expected, 64, 0)
    expected[:9] = data[1:10]
    assert found == [expected.hex(), str(16 * 16 * 16), "locked"]


def test_cost(board):
    # Instructions are counted, so this cannot be flaky. Measured: 1,821 a block; 54,400 for the
    # distances, 77,200 on an M0. The least of five, as an allocation may fall on a full part of the
    # heap.
    def cost(call):
        code = (
            "found = []\nfor _ in range(5):\n a = emulated.instructions()\n %s\n b = "
            "emulated.instructions()\n"
            " found.append(b - a)\nprint(min(found))"
        )
        return int(board.run("import emulated\n" + code % call)[0]) - int(
            board.run(code % "pass")[0]
        )

    board.run(
        "out = bytearray(64)\nw = array('I', range(5632))\nq = array('I', bytes(64))\nd = "
        "array('I', bytes(2048))"
    )
    chunk = cost("it.chunk_cv(data, 0, 0, out, 0)")
    parent = cost("it.parent_cv(data, 0, 32, out, 0, 0)")
    distance = cost("it.distances(w, 0, 16, 16, 256, q, d)")
    near = cost("it.nearest(w, 0, 0, 12, 256, 21, 256, 16, q, 10, None)")
    print(chunk, parent, (chunk - parent) // 15, distance, near)
    assert 15 * 1700 < chunk - parent < 15 * 1900  # 16 blocks less one, the calls about equal
    # an M0 has no 32 x 32 -> 64-bit multiplication
    a_component = 15 if board.arch == "armv6m" else 9
    assert 256 * 16 * a_component < distance < 256 * (16 * a_component + 80)
    # 28,500 more measured, 34,600 and up to 40,000 on an M0, where the list is allocated: for
    # records, not vectors
    assert distance < near < distance + 60000


@pytest.mark.parametrize("name", images.boards())
def test_frozen_code_is_the_same_code(name):
    # mpy-tool 1.25 lays frozen code at multiples of 2, where code for an M0 that needs multiples of
    # 4 reads wrong constants.
    with Emulator(name) as emulator:
        transport = SerialTransport(emulator.port)
        transport.enter_raw_repl()
        found = (
            transport.exec(
                "from quipu import viper\nout = bytearray(96)\ndata = " + DATA + "\n"
                "viper.chunk_cv(data, 0, 0, out, 0)\n"
                "for root in (0, 1): viper.parent_cv(data, 0, 32, out, 32 + 32 * root, root)\n"
                "print(viper.hash(data[:100]).hex(), viper.hash(data).hex(), out.hex())"
            )
            .decode()
            .split()
        )
        transport.close()
    expected = bytearray(96)
    blake3.chunk_cv(data, 0, 0, expected, 0)
    for root in (0, 1):
        blake3.parent_cv(data, 0, 32, expected, 32 + 32 * root, root)
    assert found == [
        published.blake3(data[:100]).hexdigest(),
        published.blake3(data).hexdigest(),
        expected.hex(),
    ]


def test_a_machine_of_another_kind_is_refused(tmp_path):
    (tmp_path / "quipu").mkdir()
    (tmp_path / "quipu" / "__init__.py").touch()
    for module in MODULES:
        shutil.copy(ROOT / "firmware" / "quipu" / (module + ".py"), tmp_path / "quipu")
    run = subprocess.run(
        [images.unix_port(), "-c", "from quipu import viper\nprint(viper.usable(), viper.hash)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.stdout.startswith("False <function"), run.stderr
