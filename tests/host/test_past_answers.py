"""Every verb's answer at a past moment is that of a replay from the genesis which knows no index;
an altered frame never makes another."""

import random
import shutil

import pytest
import quipu
from quipu.archive.files import Archive
from quipu.errors import ArchiveError, NotFound, UsageError
from quipu.past import describe, index
from quipu.past.query import Query

from shared_kernel import frames as f
from shared_kernel import graph
from shared_kernel import kernel as k
from shared_kernel import search as nearest
from shared_kernel.contents import used
from shared_kernel.errors import Mismatch
from shared_kernel.replay import Replay
from tests.host.past import START, Log, everything

NAMES = ("b", "a", "ab", "Z", "\u00e9")
FRAMES = 220


def workload(path, seed):
    """Make an archive of FRAMES frames: each kind of command, boots and clocks, by a seed."""
    rng, log = random.Random(seed), Log()
    log.clock(START, 5, 1000)
    kernel = log.kernel
    ids = lambda pool: sorted(ident for ident, _ in used(pool))  # noqa: E731
    while len(log.frames) < FRAMES:
        nodes, edges, records = ids(kernel.nodes), ids(kernel.edges), ids(kernel.records)
        held = {kernel.node(each)[1] for each in nodes}
        free = [each for each in records if each not in held]
        chance = rng.random()
        if chance < 0.3:
            log.put(rng.choice(NAMES), str(rng.randrange(3)))
        elif chance < 0.36:
            name = rng.choice(NAMES)
            if kernel.find_key(name.encode(), 0, len(name.encode())):
                log.delete_key(name)
        elif chance < 0.5 and kernel.records.live() < 16:
            log.insert(
                rng.randrange(-9, 9),
                rng.randrange(-9, 9),
                rng.randrange(3),
                b"m%d" % rng.randrange(9),
            )
        elif chance < 0.56 and free:
            log.add(k.DELETE, f.ident(rng.choice(free)))
        elif chance < 0.66 and records:
            log.add(
                k.UPDATE,
                f.update(
                    rng.choice(records),
                    tag=rng.randrange(3),
                    meta=b"new" if rng.random() < 0.5 else None,
                ),
            )
        elif chance < 0.74 and len(nodes) < 8:
            log.add(k.CREATE_NODE, f.create_node(rng.randrange(3), rng.choice([0, *records])))
        elif chance < 0.77 and nodes:
            log.add(k.DELETE_NODE, f.ident(rng.choice(nodes)))
        elif chance < 0.88 and nodes and len(edges) < 8:
            log.add(
                k.CREATE_EDGE, f.create_edge(rng.randrange(2), rng.choice(nodes), rng.choice(nodes))
            )
        elif chance < 0.91 and edges:
            log.add(k.DELETE_EDGE, f.ident(rng.choice(edges)))
        elif chance < 0.95:
            log.add(f.CHECKPOINT, kernel.root())
        elif chance < 0.97:
            log.boot()
        else:
            log.clock(START + 1000 * len(log.frames))
    return log.archive(path)


def answers(kernel):
    """Return all that the verbs of a board say of a state."""
    nodes = sorted(ident for ident, _ in used(kernel.nodes))
    return {
        "root": kernel.root(),
        "keys": everything(kernel),
        "records": {ident: kernel.record(ident) for ident, _ in used(kernel.records)},
        "nodes": {ident: kernel.node(ident) for ident in nodes},
        "edges": {ident: kernel.edge(ident) for ident, _ in used(kernel.edges)},
        "search": [
            nearest.search(kernel, [x << 16, 0], 5, tag) for x in (-4, 3) for tag in (None, 1)
        ],
        "around": {ident: graph.neighbourhood(kernel, ident, 3, None, 3) for ident in nodes},
        "touching": {ident: graph.edges_of(kernel, ident, 3) for ident in nodes},
        "all": describe.state(kernel),
    }


def asked(memory, at, like):
    """Return the same, asked of a Memory; the things are those of `like`."""
    return {
        "root": memory.state(at).root(),
        "keys": {
            name: (memory.state(at).key(name)[0], memory.get(name, at)) for name in like["keys"]
        },
        "records": {ident: memory.record(ident, at) for ident in like["records"]},
        "nodes": {ident: memory.node(ident, at) for ident in like["nodes"]},
        "edges": {ident: memory.edge(ident, at) for ident in like["edges"]},
        "search": [memory.search([x << 16, 0], 5, tag, at) for x in (-4, 3) for tag in (None, 1)],
        "around": {ident: memory.neighbourhood(ident, 3, None, 3, at) for ident in like["nodes"]},
        "touching": {ident: memory.edges_of(ident, 3, at) for ident in like["nodes"]},
        "all": describe.state(memory.state(at)),
    }


def truth(path):
    """Return what each frame leaves, by a replay from the genesis: {seq: answers}."""
    out, replay = {}, Replay()
    for frame in Archive(path).frames():
        replay.step(frame)
        out[replay.seq] = answers(replay.kernel)
    return out


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Keep states and places far closer together than a small archive would have them."""
    for name, value in (
        ("KEEP_EVERY", 16),
        ("_KEEP_SHARE", 1 << 20),
        ("_BATCH", 50),
        ("PLACE_EVERY", 8),
    ):
        monkeypatch.setattr(index, name, value)


@pytest.mark.parametrize("seed", range(6))
def test_every_verb_at_every_moment_is_the_replays(tmp_path, seed):
    path = workload(tmp_path / "a", seed)
    expected = truth(path)
    assert (
        len(expected) == FRAMES and sum(len(each["edges"]) > 1 for each in expected.values()) > 20
    )
    moments = list(expected)
    random.Random(seed).shuffle(moments)
    with quipu.open(path) as memory:
        for at in moments:
            assert asked(memory, at, expected[at]) == expected[at], at
            for name in NAMES:
                if name.encode() not in expected[at]["keys"]:
                    with pytest.raises(NotFound):
                        memory.get(name, at)


@pytest.mark.parametrize("seed", range(3))
def test_questions_over_a_state_and_differences_are_those_of_the_replay(tmp_path, seed):
    path = workload(tmp_path / "a", seed)
    expected = {at: each["all"] for at, each in truth(path).items()}
    rng = random.Random(seed)
    found = 0
    with quipu.open(path) as memory:
        for at in rng.sample(range(FRAMES), 60):
            rows = memory.query(Query("records", "tag = 1", ("id",)), at)
            assert rows == [{"id": row["id"]} for row in expected[at]["records"] if row["tag"] == 1]
            names = [bytes.fromhex(row["name_hex"]) for row in memory.query(Query("keys"), at)]
            assert (
                names
                == sorted(names)
                == [bytes.fromhex(row["name_hex"]) for row in expected[at]["keys"]]
            )
            tags = [
                (row["tag"], row["id"])
                for row in memory.query(Query("records", order=("tag",)), at)
            ]
            assert tags == sorted(tags), "equal tags keep the order of their ids"
            other = rng.randrange(FRAMES)
            told = memory.diff(at, memory, other)
            for pool in ("records", "nodes", "edges"):
                before, after = (
                    {row["id"]: row for row in expected[when][pool]} for when in (at, other)
                )
                assert {row["id"] for row in told[pool]["added"]} == set(after) - set(before)
                assert {row["id"] for row in told[pool]["deleted"]} == set(before) - set(after)
                changed = {
                    ident for ident in set(before) & set(after) if before[ident] != after[ident]
                }
                assert {row["id"] for row in told[pool]["changed"]} == changed
                found += len(changed) + len(rows)
            for row in expected[at]["records"]:
                why = memory.explain(f"record:{row['id']}", at)
                assert (
                    why["is"] == row
                    and why["frames"][0]["seq"] == row["id"]
                    and why["frames"][-1]["seq"] <= at
                )
    assert found > 100


def test_an_altered_frame_is_refused_or_the_answer_is_right_for_every_verb(tmp_path):
    """Each frame in turn has a bit flipped, before and after the index was made."""
    path = workload(tmp_path / "a", 1)
    expected = truth(path)
    log = path / "frames" / "0000000000.log"
    with quipu.open(path) as memory:
        memory.moment()
    data, at, refused, right = log.read_bytes(), 0, 0, 0
    rng = random.Random(9)
    for seq, frame in enumerate([bytes(each) for each in Archive(path).frames()]):
        place = at + rng.randrange(len(frame))
        at += len(frame)
        altered = data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        for fresh in (False, True) if seq % 11 == 0 else (False,):
            copy = shutil.copytree(
                path, tmp_path / "b", ignore=shutil.ignore_patterns("index*") if fresh else None
            )
            (copy / "frames" / log.name).write_bytes(altered)
            with quipu.open(copy) as memory:
                for moment in {seq, max(seq - 1, 0), rng.randrange(FRAMES)}:
                    try:
                        assert asked(memory, moment, expected[moment]) == expected[moment]
                        right += 1
                    except (ArchiveError, Mismatch, UsageError):
                        refused += 1
            shutil.rmtree(copy)
    assert refused > FRAMES and right > 50, (refused, right)
