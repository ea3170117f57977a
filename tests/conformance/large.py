"""large/*.txt: thousands of commands, for every machine with fast hot loops."""

from tests.conformance.encoding import hashed, pattern
from tests.conformance.walk import Walk
from tests.conformance.world import File, World


def records():
    """large/records.txt"""
    file = File(
        "A board's usual configuration: records come and go, keys are written, neighbours are "
        "searched."
    )
    world = World(file, (16, 256, 64, 128, 32, 16, 16), log=True)
    walk = Walk(
        world,
        11,
        ("insert",) * 6
        + (
            "update",
            "delete",
            "put",
            "put",
            "put_same",
            "delete_key",
            "create_node",
            "clock",
            "tick",
        ),
    )
    walk.go(700, root=50, chain=25, question=20)
    world.reload()
    walk.verbs = ("insert",) * 3 + (
        "update",
        "update",
        "delete",
        "delete",
        "put",
        "delete_key",
        "create_node",
        "delete_node",
    )
    walk.go(500, root=50, chain=25, question=20)
    for size in (4096, 5120, 7169, 8192):
        file.ask(f"hash 0 {size}", hashed(pattern(0, size)).hex())
    world.everything()
    world.snapshot(2, 3)
    world.arena()
    return file


def graph():
    """large/graph.txt"""
    file = File("A graph of some size: edges and nodes come and go, neighbourhoods are walked.")
    world = World(file, (1, 20, 150, 300, 5, 1, 8), log=True)
    walk = Walk(
        world,
        12,
        ("insert",)
        + ("create_node",) * 5
        + ("create_edge",) * 10
        + ("delete_edge", "delete", "put"),
    )
    walk.go(600, root=50, chain=50, question=8)
    world.go_to(2**31 - 200)
    walk.verbs = (
        ("create_node",) * 2
        + ("create_edge",) * 6
        + ("delete_edge",) * 4
        + ("delete_node", "insert", "delete", "clock")
    )
    walk.go(900, root=50, chain=50, question=8)
    world.everything()
    world.arena()
    return file


def wide():
    """large/wide.txt"""
    file = File("Slots that take several chunks each: long vectors, long metadata, long values.")
    world = World(file, (260, 5, 3, 3, 4, 255, 2100), log=True)
    Walk(
        world,
        13,
        (
            "insert",
            "update",
            "update",
            "delete",
            "create_node",
            "delete_node",
            "put",
            "put_same",
            "delete_key",
        ),
    ).go(120, root=10, chain=10, question=6)
    world.reload()
    world.everything()
    world.snapshot(1, 2)
    world.arena()
    return file
