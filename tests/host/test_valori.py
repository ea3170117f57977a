"""Valori's formats, against files that valoricore 0.3.0 wrote (valori/make.py) and against that
package itself."""

import json
import subprocess
import venv
from pathlib import Path

import pytest
from quipu.formats import valori

from shared_kernel import frames
from shared_kernel.errors import FormatError, Invalid
from shared_kernel.kernel import CREATE_EDGE, CREATE_NODE, DELETE, DELETE_EDGE, INSERT, PUT, Kernel
from shared_kernel.search import search
from tests.model import contents_of

HERE = Path(__file__).parent / "valori"
SNAPSHOT = (HERE / "kernel-7.snap").read_bytes()
LOG = (HERE / "events-4.log").read_bytes()
# as valoricore printed it
HASH = "8ab8cf7b58218dbeb9442bd67d09b490ad71ebb09a379d28cf3aa3985a0436fc"
CONFIG = (3, 20, 20, 20, 10, 16, 16)


class Memory:
    """The verbs of a board, on a state of our own."""

    def __init__(self):
        self.kernel = Kernel(CONFIG)
        self.seq = 0

    def do(self, kind, payload):
        self.kernel.check(kind, payload, 0, len(payload))
        self.seq += 1
        self.kernel.apply(kind, payload, 0, len(payload), self.seq)
        return self.seq

    def insert(self, vector, tag, meta):
        return self.do(INSERT, frames.insert(vector, tag, meta))

    def create_node(self, kind, record):
        return self.do(CREATE_NODE, frames.create_node(kind, record))

    def create_edge(self, kind, origin, target):
        return self.do(CREATE_EDGE, frames.create_edge(kind, origin, target))

    def put(self, name, value):
        return self.do(PUT, frames.put(name, value))


@pytest.fixture
def memory():
    m = Memory()
    a, b, c = (m.insert([65536 * i, -3 * i, 5], 7 + i, b"meta"[:i]) for i in (1, 2, 3))
    m.do(DELETE, frames.ident(b))
    m.insert([1, 2, 3], 0, b"")
    one, two, three = m.create_node(1, a), m.create_node(400, 0), m.create_node(6, c)
    m.create_edge(4, one, two)
    gone = m.create_edge(4, one, three)
    m.create_edge(1000, two, one)
    m.create_edge(0, one, one)
    m.do(DELETE_EDGE, frames.ident(gone))
    m.put(b"mode", b"fast")
    m.put(b"\xff\x00", b"\x01")
    m.put(b"quipu:mine", b"")
    return m


@pytest.fixture(scope="session")
def peer():
    """Python with valoricore 0.3.0, in an environment of its own."""
    folder = Path(__file__).resolve().parents[2] / "build" / "valoricore-0.3.0"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "valoricore==0.3.0"], check=True)
        (folder / "ready").touch()
    return python


def test_a_snapshot_is_read_and_hashed_as_its_maker_does():
    it = valori.Snapshot.decode(SNAPSHOT)
    assert it.state_hash().hex() == HASH
    assert [each.vector for each in it.records][:2] == [
        (65536, -32768, 16384),
        (131072, 196608, 262144),
    ]
    assert it.records[2].flags == valori.SOFT_DELETED
    assert it.metadata == {b"record_1": b"68656c6c6f"}


def test_a_snapshot_is_written_as_its_maker_does():
    ours = valori.Snapshot.decode(SNAPSHOT).encode()
    size = int.from_bytes(SNAPSHOT[4:8], "little")
    assert size > 8000 and ours[: 8 + size] == SNAPSHOT[: 8 + size]


def test_a_bare_kernel_snapshot_is_read_too():
    size = int.from_bytes(SNAPSHOT[4:8], "little")
    assert valori.Snapshot.decode(SNAPSHOT[8 : 8 + size]).state_hash().hex() == HASH


def test_an_empty_state_has_the_size_that_the_format_says():
    assert len(valori.Snapshot(dim=3).encode()) == 4 + 4 + 8241 + 8


@pytest.mark.parametrize("at, what", [(0, "VALK"), (12, "version 8"), (40, "Q16.16")])
def test_another_format_is_refused_by_name(at, what):
    data = bytearray(SNAPSHOT)
    data[at] = 8 if at == 12 else 0x55
    with pytest.raises(FormatError, match=what):
        valori.Snapshot.decode(data)


@pytest.mark.parametrize("size", [0, 3, 20, 100, 8000])
def test_a_shorter_snapshot_is_refused(size):
    with pytest.raises(FormatError, match="are left"):
        valori.Snapshot.decode(SNAPSHOT[:size])


def test_a_memory_comes_back_as_it_went(memory):
    snapshot = valori.Snapshot.decode(valori.from_state(memory.kernel).encode())
    plan = valori.plan(snapshot)
    back = Memory()
    ids = plan.carry_out(back)
    assert not plan.left
    before, after = contents_of(memory.kernel), contents_of(back.kernel)
    new = {
        old: ids[each][n]
        for each in ("records", "nodes", "edges")
        for n, (old, *_) in enumerate(before[each])
    }
    new[0] = 0
    assert [(new[i], *rest) for i, *rest in before["records"]] == after["records"]
    assert [
        (new[i], kind, new[r], [new[e] for e in out], [new[e] for e in into])
        for i, kind, r, out, into in before["nodes"]
    ] == after["nodes"]
    assert [(new[i], kind, new[a], new[b]) for i, kind, a, b in before["edges"]] == after["edges"]
    assert [(name, value) for name, _, value in before["keys"]] == [
        (name, value) for name, _, value in after["keys"]
    ]
    assert len(after["records"]) == 3 and len(after["edges"]) == 3 and len(after["keys"]) == 3


def test_the_peer_restores_what_we_write(memory, peer, tmp_path):
    snapshot = valori.from_state(memory.kernel)
    path = tmp_path / "quipu.snap"
    path.write_bytes(snapshot.encode())
    out = subprocess.run(
        [peer, HERE / "peer.py", path, "1", "0", "0"], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert out[0] == snapshot.state_hash().hex()
    ours = [ident for _, ident in search(memory.kernel, [65536, 0, 0], 5)]
    order = sorted(each[0] for each in contents_of(memory.kernel)["records"])
    assert [order[slot] for slot in json.loads(out[1])] == ours and len(ours) == 3


def test_what_cannot_be_carried_is_named():
    plan = valori.plan(valori.Snapshot.decode(SNAPSHOT))
    assert plan.left == ["record 2: soft-deleted"]
    assert [slot for slot, *_ in plan.records] == [0, 1]
    snapshot = valori.Snapshot(
        dim=1,
        records=[
            valori.Record(valori.ENCRYPTED, 0, (0,), b""),
            valori.Record(0, 1 << 40, (0,), b""),
        ],
        nodes={0: valori.Node(1, 0, None, None)},
        metadata={b"n" * 25: b""},
    )
    assert len(valori.plan(snapshot).left) == 4
    with pytest.raises(Invalid, match="node 9"):
        valori.plan(valori.Snapshot(dim=1, edges={0: valori.Edge(0, 9, 9, None, None)}))


def test_an_event_log_is_verified_to_its_end():
    entries = list(valori.read_log(LOG))
    assert [each.what for each in entries] == [
        "insert",
        "insert",
        "set metadata",
        "create node",
        "create node",
        "create edge",
        "create edge",
        "create edge",
        "insert",
        "soft-delete record",
    ]


def test_every_byte_of_an_event_log_counts():
    """But for the number of the segment and the dimension in its header, which nothing in the log
    repeats."""
    whole = [each.head for each in valori.read_log(LOG)]
    for at in range(len(LOG)):
        data = bytearray(LOG)
        data[at] ^= 0x10
        try:
            heads = [each.head for each in valori.read_log(data)]
        except FormatError:
            continue
        assert 4 <= at < 8 or 12 <= at < 16, f"byte {at} changed, and nothing was noticed"
        assert heads == whole
    with pytest.raises(FormatError, match="entry 9"):
        list(valori.read_log(LOG[:-1]))


def test_the_hash_covers_what_the_format_says():
    it = valori.Snapshot.decode(SNAPSHOT)
    it.records[0] = it.records[0]._replace(tag=8)
    assert it.state_hash().hex() != HASH
    it = valori.Snapshot.decode(SNAPSHOT)
    it.metadata[b"more"] = b""
    assert it.state_hash().hex() == HASH
