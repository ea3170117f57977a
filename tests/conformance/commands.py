"""small/commands.txt: every command and every refusal, in few enough vectors for a Cortex-M0 in
plain Python."""

from shared_kernel.errors import FormatError, InUse, Invalid, NotFound, TooLong, WrongDimension
from tests.conformance.encoding import (
    BOOT,
    CHECKPOINT,
    MAX,
    MIN,
    TOP,
    hashed,
    insert,
    put,
    recrc,
    to_hex,
    u32s,
    update,
)
from tests.conformance.walk import ALL, Walk
from tests.conformance.world import File, World

# Sums of squares of 2^63 - 2, 2^63 - 1 and 2^63, as the squares of seven differences and two more.
EDGE_OF_SATURATION = [
    (3037000499, 76996, 377, 25, 5, 3, 1) + rest for rest in ((0, 0), (1, 0), (1, 1))
]


def commands():
    """small/commands.txt"""
    file = File(
        "Every command and every refusal, on states of a few KiB; ids, capacity, queries, the "
        "chain of frames."
    )
    refusals(file)
    capacity(file)
    queries(file)
    changed_chunks(file)
    walk(file)
    return file


def refusals(file):
    file.section("Refusals: each says why, and changes nothing.")
    world = World(file, (2, 4, 4, 4, 4, 3, 5))
    world.insert([1, 2], 5, b"abc")  # 1
    world.create_node(7, 1)  # 2
    world.create_node(8)  # 3
    world.create_edge(9, 2, 3)  # 4
    world.put(b"key", b"value")  # 5
    world.root()
    for config in (
        (0, 1, 1, 1, 1, 1, 1),
        (4097, 1, 1, 1, 1, 1, 1),
        (1, 2**20 + 1, 1, 1, 1, 1, 1),
        (1, -1, 1, 1, 1, 1, 1),
        (1, 1, 1, 2**20 + 1, 1, 1, 1),
        (1, 1, 1, 1, 1, 256, 1),
        (1, 1, 1, 1, 1, 1, 4097),
        (1,) * 6,
        (1,) * 8,
    ):
        file.ask("config " + " ".join(str(each) for each in config), Invalid)
    for verb, payload, error in (
        ("insert", b"", Invalid),
        ("insert", insert([])[:5], Invalid),
        ("insert", insert([]), WrongDimension),
        ("insert", insert([1]), WrongDimension),
        ("insert", insert([1], 5, b"meta"), WrongDimension),
        ("insert", insert([1, 2, 3]), WrongDimension),
        ("insert", b"\2\1" + insert([1, 2])[2:], WrongDimension),
        ("insert", insert([1, 2])[:-1], Invalid),
        ("insert", insert([1, 2], 5, b"abcd"), TooLong),
        ("update", update(1, 6)[:8], Invalid),
        ("update", u32s(1, 6) + b"\0", Invalid),
        ("update", u32s(1, 6) + b"\4", Invalid),
        ("update", u32s(1, 6) + b"\2", Invalid),
        ("update", u32s(1, 6) + b"\1x", Invalid),
        ("update", update(1, 6, b"abcd"), TooLong),
        ("update", update(2, 6), NotFound),
        ("update", update(0, 6), NotFound),
        ("update", update(TOP, 6), NotFound),
        ("delete", b"", Invalid),
        ("delete", u32s(1)[:3], Invalid),
        ("delete", u32s(1) + b"\0", Invalid),
        ("delete", u32s(1), InUse),
        ("delete", u32s(0), NotFound),
        ("delete", u32s(2), NotFound),
        ("delete", u32s(2**31 + 1), NotFound),
        ("create-node", u32s(1), Invalid),
        ("create-node", u32s(1, 1) + b"\0", Invalid),
        ("create-node", u32s(1, 3), NotFound),
        ("delete-node", b"\1", Invalid),
        ("delete-node", u32s(1), NotFound),
        ("delete-node", u32s(2, 0), Invalid),
        ("create-edge", u32s(1, 2), Invalid),
        ("create-edge", u32s(1, 2, 3) + b"\0", Invalid),
        ("create-edge", u32s(1, 2, 4), NotFound),
        ("create-edge", u32s(1, 0, 2), NotFound),
        ("create-edge", u32s(1, 1, 2), NotFound),
        ("delete-edge", u32s(4)[:2], Invalid),
        ("delete-edge", u32s(5), NotFound),
        ("delete-edge", u32s(0), NotFound),
        ("put", u32s(0) + b"\0", Invalid),
        ("put", put(b"", b"v"), TooLong),
        ("put", put(b"n" * 25, b""), TooLong),
        ("put", u32s(0) + b"\0\5abcd", TooLong),
        ("put", u32s(0) + b"\0\xffabcd", TooLong),
        ("put", put(b"new", b"value+"), TooLong),
        ("put", put(b"new", b"v", 5), Invalid),
        ("put", put(b"key", b"v", 0), Invalid),
        ("put", put(b"key", b"v", 6), Invalid),
        ("put", put(b"key", b"v", 5 + 2**31), Invalid),
        ("put", u32s(0) + b"\1\3new", Invalid),
        ("put", u32s(5) + b"\2\3key", Invalid),
        ("put", u32s(5) + b"\1\3keyv", Invalid),
        ("delete-key", u32s(5)[:3], Invalid),
        ("delete-key", u32s(5), TooLong),
        ("delete-key", u32s(0) + b"n" * 25, TooLong),
        ("delete-key", u32s(0) + b"ke", NotFound),
        ("delete-key", u32s(0) + b"keyy", NotFound),
        ("delete-key", u32s(4) + b"key", Invalid),
        ("unknown 0", b"", Invalid),
        ("unknown 19", u32s(1), Invalid),
        ("unknown 22", b"", Invalid),
        ("unknown 30", b"", Invalid),
        ("unknown 63", b"", Invalid),
        ("unknown 3", bytes(32), Invalid),
    ):
        world.give(verb, payload, error)
    world.arena()
    world.everything()
    for query, k in (([1], 1), ([1, 2, 3], 1), ([1, 2], 0), ([1, 2], -1)):
        world.search(query, k)
    file.ask("search 1,2147483648 1 -", Invalid)
    file.ask("near 2 -1 - 1", Invalid)
    file.ask("near 2 1 - 0", Invalid)
    file.ask("near 2 1 - 4", Invalid)
    world.near(1, 1)
    world.edges(99)
    world.key(b"")
    world.key(b"n" * 25)
    world.key(b"ke")
    world.put_same(b"key")
    world.delete_key(b"key")
    world.delete_key(b"key")
    world.arena()


def capacity(file):
    file.section(
        "Full pools; freed slots are used again, the last freed first; a stale id stays stale."
    )
    world = World(file, (1, 3, 3, 4, 3, 0, 0))
    for i in range(4):
        world.insert([i])
    for i in (2, 1):
        world.delete(i)
        world.delete(i)
    world.root()
    for i in range(3):
        world.insert([9 + i], i)
    for i in (1, 2, 3, 4, 5):
        world.look("record", i)
    world.insert([1], 0, b"x")
    for i in range(4):
        world.create_node(i, world.ids["record"][-1])
    a, b, c = world.ids["node"]
    world.delete(world.ids["record"][-1])
    for pair in ((a, b), (a, a), (b, a), (c, b), (b, c)):
        world.create_edge(1, *pair)
    for node in (a, b, c):
        world.edges(node)
        world.near(node, 9, None, 3)
    world.root()
    world.delete_node(a)
    world.edges(b)
    world.edges(a)
    world.create_edge(2, b, b)
    world.create_edge(2, c, b)
    world.near(c, 2)
    world.delete_edge(world.ids["edge"][0])
    world.delete_edge(world.ids["edge"][-1])
    world.create_node(5)
    world.delete(world.ids["record"][-1])
    for name in (b"a", b"b", b"c", b"d"):
        world.put(name, b"")
    world.put(b"b", b"v")
    world.delete_key(b"b")
    world.put_same(b"a")
    world.put(b"d", b"")
    world.put(b"b", b"")
    world.everything()
    world.arena()

    file.section("Pools of no slots at all.")
    world = World(file, (1, 0, 0, 0, 0, 0, 0))
    world.insert([1])
    world.update(1, 1)
    world.delete(1)
    world.create_node(1)
    world.create_node(1, 1)
    world.delete_node(1)
    world.create_edge(1, 1, 1)
    world.delete_edge(1)
    world.put(b"a", b"")
    world.put_same(b"a")
    world.delete_key(b"a")
    world.search([0], 3)
    world.near(1, 1)
    world.key(b"a")
    world.counts()
    world.arena()

    file.section("Slots larger than a chunk, and one that fills it exactly.")
    for config in ((252, 2, 1, 1, 1, 0, 1000), (251, 3, 0, 0, 1, 0, 984)):
        world = World(file, config)
        for i in range(3):
            world.insert([i - 1] * config[0])
        world.put(b"k", b"v" * config[6])
        world.root()
        world.put(b"k", b"w")
        world.delete(1)
        world.search([1] * config[0], 2)
        world.arena()


def queries(file):
    file.section("Distances at the edge of saturation; ties are broken by id.")
    world = World(file, (9, 12, 0, 0, 0, 0, 0))
    for i in (2, 1, 0, 1, 2):
        world.insert([MIN + each for each in EDGE_OF_SATURATION[i]], i)
    world.insert([MAX] * 9)
    world.insert([MIN] * 9, TOP)
    world.insert([0] * 9)
    world.insert([-1] * 9, 1)
    world.delete(2)
    world.insert([-1] * 9, 1)
    for query in ([MIN] * 9, [MAX] * 9, [0] * 9, [-1] * 9, [MIN, MAX] * 4 + [0]):
        for k in (1, 3, 100):
            world.search(query, k)
    for tag in (0, 1, 2, TOP, 5):
        world.search([MIN] * 9, 2, tag)
    file.section("Neighbourhoods: a ring with chords, loops and parallel edges.")
    world = World(file, (1, 1, 8, 20, 0, 0, 0))
    for i in range(8):
        world.create_node(i)
    for i in range(1, 9):
        world.create_edge(i % 3, i, i % 8 + 1)
    for origin, target, kind in (
        (1, 5, 0),
        (5, 1, 1),
        (3, 3, 2),
        (3, 3, 2),
        (2, 7, 0),
        (2, 7, 0),
        (8, 4, 1),
    ):
        world.create_edge(kind, origin, target)
    for depth in (0, 1, 2, 3, 100):
        for directions in (1, 2, 3):
            world.near(1, depth, None, directions)
            world.near(3, depth, 0, directions)
    world.delete_node(5)
    for node in (1, 3, 5, 7):
        world.near(node, 3, None, 3)
        world.edges(node)
    world.arena()


def changed_chunks(file):
    file.section(
        "The root after each command, while only a few chunks change: pools lie across chunks here."
    )
    world = World(file, (58, 9, 20, 30, 16, 4, 20))
    for i in range(9):
        world.insert([i] * 58, i)
    for i in range(20):
        world.create_node(i, world.ids["record"][i % 7])
    nodes = world.ids["node"]
    for i in range(28):
        world.create_edge(i, nodes[i % 3 * 9], nodes[19 - i % 4 * 6])
    for i in range(12):
        world.put(b"key %d" % i, b"value")
    world.root()
    # With this seed every touch() of the kernel is needed for one of the roots.
    walk = Walk(
        world,
        12,
        (
            "insert",
            "update",
            "delete",
            "create_node",
            "delete_node",
            "create_edge",
            "create_edge",
            "delete_edge",
            "delete_edge",
            "put",
            "put_same",
            "delete_key",
        ),
    )
    walk.NAMES = (b"key 0", b"key 1", b"key 4", b"key 9", b"key 11")
    walk.go(45, root=1, chain=99, question=99)
    world.arena()


def walk(file):
    file.section("A walk by chance, with its log.")
    world = World(file, (3, 24, 30, 30, 12, 5, 7), log=True)
    world.root()
    world.chain()
    world.log_only(BOOT, u32s(1) + world.head + u32s(0, 0))
    world.chain()
    Walk(world, 2, ALL).go(150, root=25, chain=15, question=5)
    world.log_only(CHECKPOINT, hashed(world.kernel.arena.bytes))
    world.chain()
    header = world.snapshot(3, 7)
    world.snapshot(TOP, 2**30)
    file.ask("header " + header.hex(), "%d 3 7 %d" % (world.seq, world.kernel.arena.size))
    for broken in (
        header[:-1],
        b"",
        header[:8] + bytes((header[8] ^ 1,)) + header[9:],
        b"q" + header[1:],
        recrc(header[:4] + u32s(2) + header[8:]),
    ):
        file.ask("header " + to_hex(broken), FormatError)
    world.reload()
    Walk(world, 3, ALL).go(20, root=20, chain=20, question=5)
    world.arena()
    world.everything()

    file.section("Sequence numbers that are no small integers on a board, up to the last.")
    for start in (2**30 - 6, 2**31 - 12, 2**32 - 40):
        world.go_to(start)
        Walk(world, start, ALL).go(12, root=12, chain=6, question=2)
    for what in ("record", "node", "edge"):
        for ident in world.ids[what][-3:]:
            world.look(what, ident)
    world.create_node(1)
    world.create_node(2)
    first, second = world.ids["node"][-2:]
    world.create_edge(3, first, second)
    world.near(first, 1)
    world.delete_edge(world.ids["edge"][-1])
    world.put(b"a", b"last")
    world.put_same(b"a")
    world.delete_node(first)
    world.delete_node(first)
    world.go_to(TOP - 2)
    world.insert([1, 2, 3], TOP, b"end")
    world.create_node(TOP, TOP - 1)
    world.delete(TOP - 1)
    world.root()
    world.chain()
    world.counts()
    world.snapshot(1, 1)
    world.arena()
