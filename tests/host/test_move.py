"""Export and import: what goes out in any form comes back as the same contents, and what cannot is
refused or named."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import quipu as host
from quipu.archive.chain import Chain
from quipu.archive.files import Archive
from quipu.errors import FormatError, Invalid, NotFound, TooLong, WrongDimension
from quipu.formats import export, imports, npy, valori
from quipu.past.query import Query

from shared_kernel import frames
from shared_kernel import kernel as k
from shared_kernel.frames import NO_HEAD
from shared_kernel.kernel import Kernel
from tests.host.sample import CONFIG, RamFlash, begin, every_type, give, pulled, wander
from tests.host.test_cli import answer, error, flip, quipu
from tests.host.unix_board import UnixBoard
from tests.model import contents_of

ROOT = Path(__file__).resolve().parents[2]


class Memory:
    """The verbs of a board, on a state of our own, whose ids are not those of any file."""

    def __init__(self, config=CONFIG, seq=1000):
        self.kernel = Kernel(config)
        self.seq = seq

    def do(self, kind, payload):
        self.kernel.check(kind, payload, 0, len(payload))
        self.seq += 1
        self.kernel.apply(kind, payload, 0, len(payload), self.seq)
        return self.seq

    def insert(self, *given):
        return self.do(k.INSERT, frames.insert(*given))

    def update(self, *given):
        return self.do(k.UPDATE, frames.update(*given))

    def delete(self, ident):
        return self.do(k.DELETE, frames.ident(ident))

    def create_node(self, *given):
        return self.do(k.CREATE_NODE, frames.create_node(*given))

    def delete_node(self, ident):
        return self.do(k.DELETE_NODE, frames.ident(ident))

    def create_edge(self, *given):
        return self.do(k.CREATE_EDGE, frames.create_edge(*given))

    def delete_edge(self, ident):
        return self.do(k.DELETE_EDGE, frames.ident(ident))

    def put(self, name, value):
        link = self.kernel.find_key(name, 0, len(name))
        return self.do(k.PUT, frames.put(name, value, self.kernel.key(name)[0] if link else 0))

    def delete_key(self, name):
        return self.do(k.DELETE_KEY, frames.delete_key(name, self.kernel.key(name)[0]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    store = begin(RamFlash())
    every_type(store)
    wander(store, 150)
    store.take_snapshot()
    every_type(store)
    one, two = (give(store, k.CREATE_NODE, frames.create_node(kind)) for kind in (3, 400))
    for kind, origin, target in ((5, one, two), (600, two, one), (1, one, one)):
        give(store, k.CREATE_EDGE, frames.create_edge(kind, origin, target))
    return pulled(store, tmp_path_factory.mktemp("move") / "a").path


def bare(kernel):
    """Return a state's contents without ids and seqs: those of what things refer to are
    positions."""
    found = contents_of(kernel)
    place = {
        ident: n
        for pool in ("records", "nodes", "edges")
        for n, (ident, *_) in enumerate(found[pool])
    }
    place[0] = None
    return {
        "records": [rest for _, *rest in found["records"]],
        "nodes": [
            (kind, place[r], [place[e] for e in out], [place[e] for e in into])
            for _, kind, r, out, into in found["nodes"]
        ],
        "edges": [(kind, place[a], place[b]) for _, kind, a, b in found["edges"]],
        "keys": [(name, value) for name, _, value in found["keys"]],
    }


# -- JSON lines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", (False, True))
def test_json_lines_lead_to_the_same_contents(folder, tmp_path, state):
    out = tmp_path / "a.jsonl"
    with host.open(folder) as memory:
        kernel = memory.state()
        count = export.write_lines(
            export.state_commands(kernel) if state else export.commands(memory), out
        )
    steps = imports.lines(out.open(encoding="utf-8"))
    assert len(steps) == count > (4 if state else 200)
    back = Memory()
    imports.carry_out(back, steps)
    assert bare(back.kernel) == bare(kernel)
    assert (
        bare(kernel)["records"]
        and bare(kernel)["nodes"]
        and bare(kernel)["edges"]
        and bare(kernel)["keys"]
    )
    assert state or {step.verb for step in steps} == {
        "insert",
        "update",
        "delete",
        "create_node",
        "delete_node",
        "create_edge",
        "delete_edge",
        "put",
        "delete_key",
    }


def test_every_line_is_a_command_and_a_repeated_value_is_spelled_out(folder, tmp_path):
    assert answer("export", folder, "-o", tmp_path / "a.jsonl", "--at", 12)["count"] == 12
    lines = [json.loads(each) for each in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [each["type"] for each in lines[:3]] == ["insert", "insert", "update"]
    puts = [each for each in lines if each["type"] == "put"]
    assert puts[0]["value"] == puts[1]["value"] == "value" and puts[0]["seq"] != puts[1]["seq"]
    assert lines[0]["vector"] == [1 / 65536, -2 / 65536, 3 / 65536, 16384] and not {
        "tick",
        "token",
        "bytes",
    } & set(lines[0])


def test_a_board_takes_lines_and_its_archive_gives_them_back(tmp_path):
    given = [
        {"seq": 1, "type": "insert", "vector": [1, -2.5, 0], "tag": 3, "meta": "walk"},
        {"seq": 2, "type": "create-node", "kind": 4, "record": 1},
        {"seq": 7, "type": "create-node", "kind": 5},
        {"seq": 8, "type": "create-edge", "kind": 6, "from": 2, "to": 7},
        {"type": "put", "name": "mode", "value": "fast"},
        {"type": "update", "id": 1, "tag": 9},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, given)) + "\n")
    with UnixBoard(tmp_path / "flash") as unix:
        assert "configure it first" in error("import", unix.port, tmp_path / "in.jsonl", code=1)[1]
        answer("configure", unix.port, "--dim", 3)
        told = answer("import", unix.port, tmp_path / "in.jsonl")
        assert told["count"] == 6 and set(told["ids"]["nodes"]) == {"2", "7"}
        assert told["ids"]["records"]["1"] == answer("info", unix.port)["seq"] - 5
        quipu("sync", unix.port, "--archive", tmp_path / "a")
    quipu("export", tmp_path / "a", "-o", tmp_path / "out.jsonl")
    back = [json.loads(each) for each in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [each["type"] for each in back] == [each["type"] for each in given]
    assert (
        back[0]["vector"] == [1, -2.5, 0]
        and back[0]["meta"] == "walk"
        and back[3]["to"] == told["ids"]["nodes"]["7"]
    )


@pytest.mark.parametrize(
    "line, says",
    (
        ("nonsense", "line 2"),
        ('{"type": "jump"}', "with one of the types insert"),
        ("[1, 2]", "with one of the types"),
        ('{"type": "insert"}', "the field 'vector' is missing"),
        ('{"type": "insert", "vector": [NaN]}', "component 0"),
        ('{"type": "insert", "vector": [1], "tags": 1}', "no field 'tags'"),
        ('{"type": "put", "name": "a"}', "'value' is missing"),
        ('{"type": "put", "name": "", "value": ""}', "line 2"),
        ('{"type": "delete", "id": 9}', "record 9 is made by no line"),
        ('{"type": "create-edge", "kind": 1, "from": 1, "to": 1}', "node 1 is made by no line"),
        ('{"type": "update", "id": 1}', "tag, the metadata or both"),
        ('{"type": "put", "name": "a", "value_hex": "0"}', "line 2"),
        ('{"type": "insert", "vector": [1], "tag": -1}', "tag"),
        ('{"type": "put", "name": 7, "value": ""}', "name is text"),
    ),
)
def test_a_line_that_is_no_command_is_named(line, says):
    with pytest.raises(Invalid, match="line 2") as caught:
        imports.lines(['{"seq": 1, "type": "insert", "vector": [1]}\n', line])
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "line",
    (
        b'{"type": "put", "name": "\xff", "value": ""}',
        b"[" * 100_000,
        b"\0\0",
        b'{"type": "put", "name": "\\ud800"}',
    ),
)
def test_lines_that_are_no_json_are_named(line):
    with pytest.raises(Invalid, match="line 2: "):
        imports.lines([b'{"type": "insert", "vector": [1]}\n', line])


def test_a_file_that_cannot_be_read_is_named_before_a_port_is_opened(tmp_path):
    for name, data, says in (
        ("a.jsonl", b'\xff{"type"', "line 1: "),
        ("a.snap", b"VAL1", "Valori container: at byte 4"),
    ):
        (tmp_path / name).write_bytes(data)
        message = error("import", "/dev/no-such-port", tmp_path / name, code=1)[1]
        assert message.startswith(f"{tmp_path / name}: {says}")
    assert error("valori", tmp_path / "a.snap", code=1)[1].startswith(str(tmp_path / "a.snap"))


def test_what_does_not_fit_the_board_is_refused_before_anything_is_done():
    config = {"dim": 2, "meta_bytes": 2, "value_bytes": 2}
    with pytest.raises(WrongDimension, match="line 1.*2 components.*nothing was changed"):
        imports.check(imports.lines(['{"type": "insert", "vector": [1]}']), config)
    with pytest.raises(TooLong, match="metadata has at most 2 bytes there, not 3"):
        imports.check(
            imports.lines(['{"type": "insert", "vector": [1, 2], "meta": "abc"}']), config
        )
    with pytest.raises(TooLong, match="a value"):
        imports.check(imports.lines(['{"type": "put", "name": "a", "value": "abc"}']), config)
    imports.check(imports.lines(['{"type": "put", "name": "a", "value": "ab"}']), config)


def test_a_refused_command_says_what_was_done_before_it():
    memory = Memory()
    steps = imports.lines(
        ['{"type": "put", "name": "a", "value": "1"}', '{"type": "delete-key", "name": "b"}']
    )
    with pytest.raises(NotFound, match=r"line 2: .*of 2 commands, the first 1 were carried out"):
        imports.carry_out(memory, steps)


def test_an_archive_that_lacks_frames_gives_its_state_only(folder, tmp_path):
    whole = Archive(folder)
    seq = whole.snapshots()[0]
    chain, rest = Chain(None, -1, NO_HEAD), bytearray()
    for frame in whole.frames():
        if chain.seq < seq:
            chain.step(frame)
        else:
            rest += frame
    late = Archive.create(tmp_path / "late", whole.log, whole.identity, seq + 1, chain.head)
    late.append(rest)
    late.add_snapshot(seq, whole.snapshot(seq))
    late.write_note(whole.note())
    late.close()
    told = error("export", tmp_path / "late", "-o", tmp_path / "a.jsonl", code=2)[1]
    assert "lacks frames" in told and "--state" in told and not (tmp_path / "a.jsonl").exists()
    assert answer("export", tmp_path / "late", "-o", tmp_path / "a.jsonl", "--state")["count"] > 4
    quipu("export", folder, "-o", tmp_path / "b.jsonl", "--state")
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()


def test_damage_is_told_and_a_file_that_stood_there_stays(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "a")
    log = tmp_path / "a" / "frames" / "0000000000.log"
    flip(log, 300)
    (tmp_path / "o.jsonl").write_text("mine")
    assert (
        "seq" in error("export", tmp_path / "a", "-o", tmp_path / "o.jsonl", "--at", 60, code=1)[1]
    )
    assert (tmp_path / "o.jsonl").read_text() == "mine" and len(list(tmp_path.glob("o.*"))) == 1


# -- records ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def peers():
    """Python with NumPy, pyarrow and mcap, in an environment of its own."""
    place = ROOT / "build" / "numpy-pyarrow"
    python, ready = place / "bin" / "python", place / "ready"
    wanted = "numpy pyarrow mcap blake3 click rich pyserial mpremote"
    if not ready.exists() or ready.read_text() != wanted:
        if not python.exists():
            venv.create(place, clear=True)
        pip = [sys.executable, "-m", "pip", "--python", python]
        subprocess.run([*pip, "install", "-qq", "--no-compile", *wanted.split()], check=True)
        ready.write_text(wanted)
    return python


def run(python, code, *arguments):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}",
        "QUIPU_PURE": "1",
    }
    done = subprocess.run(
        [python, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_npy_comes_back_as_it_went(folder, tmp_path):
    with host.open(folder) as memory:
        kernel = memory.state()
        assert export.write_records(memory, tmp_path / "a.npy", "npy") == kernel.records.live() > 1
    back = Memory()
    ids = imports.carry_out(back, imports.records(tmp_path / "a.npy", "npy"))
    assert bare(back.kernel)["records"] == bare(kernel)["records"]
    assert sorted(ids["records"]) == [ident for ident, *_ in contents_of(kernel)["records"]]


def test_numpy_reads_what_we_write_and_we_what_it_writes(folder, tmp_path, peers):
    quipu("export", folder, "-o", tmp_path / "a.npy")
    told = run(
        peers,
        "import numpy, sys, json; a = numpy.load(sys.argv[1]); numpy.save(sys.argv[2], a);"
        "numpy.save(sys.argv[3], a['vector'].astype('f4')); numpy.save(sys.argv[4], "
        "a['vector'].T.copy().T);"
        "print(json.dumps([[int(r['id']), int(r['tag']), r['vector'].tolist(), "
        "bytes(r['meta'])[:r['meta_size']].hex()] for r in a]))",
        tmp_path / "a.npy",
        tmp_path / "b.npy",
        tmp_path / "c.npy",
        tmp_path / "d.npy",
    )
    with host.open(folder) as memory:
        found = memory.query(Query("records"))
    assert (
        json.loads(told)
        == [[each["id"], each["tag"], each["vector"], each["meta_hex"]] for each in found]
        and len(found) > 1
    )
    assert list(npy.read(tmp_path / "b.npy")) == list(npy.read(tmp_path / "a.npy"))
    assert [each["vector"] for each in npy.read(tmp_path / "c.npy")] == [
        each["vector"] for each in npy.read(tmp_path / "a.npy")
    ]
    with pytest.raises(FormatError, match="Fortran order True"):
        list(npy.read(tmp_path / "d.npy"))


def test_parquet_comes_back_as_it_went(folder, tmp_path, peers):
    code = (
        "import sys, pathlib, quipu\nfrom quipu.formats import export, imports\nout = "
        "pathlib.Path(sys.argv[2])\n"
        "memory = quipu.open(sys.argv[1])\nprint(export.write_records(memory, out, "
        "'parquet'))\n"
        "export.write_records(memory, out.with_suffix('.npy'), 'npy')\n"
        "a, b = imports.records(out, 'parquet'), imports.records(out.with_suffix('.npy'), 'npy')\n"
        "assert a == b and len(a) > 1, (a, b)\n"
    )
    assert int(run(peers, code, folder, tmp_path / "a.parquet")) > 1
    assert (tmp_path / "a.parquet").read_bytes()[:4] == b"PAR1"


@pytest.mark.parametrize(
    "data, says",
    (
        (b"", "begins with"),
        (b"\x93NUMPY\x01\x00\x04\x00{1: ", "its header"),
        (b"\x93NUMPY\x02\x00", "version 1"),
    ),
)
def test_a_file_that_is_no_npy_is_refused(tmp_path, data, says):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(FormatError, match=says):
        list(npy.read(tmp_path / "a.npy"))


def test_every_cut_of_a_npy_file_is_refused(tmp_path):
    rows = [(1, 2, [0.5], b"x", 5, 6), (3, 4, [1], b"", None, None)]
    npy.write(tmp_path / "a.npy", rows, 1, 4, "board", bytes(32))
    data = (tmp_path / "a.npy").read_bytes()
    assert [each["meta"] for each in npy.read(tmp_path / "a.npy")] == [b"x", b""]
    for size in range(len(data)):
        (tmp_path / "a.npy").write_bytes(data[:size])
        with pytest.raises(FormatError):
            list(npy.read(tmp_path / "a.npy"))


# -- Valori ----------------------------------------------------------------------------------------


def test_a_board_s_memory_goes_to_valori_and_back(folder, tmp_path):
    told = answer("export", folder, "-o", tmp_path / "a.snap")
    assert answer("valori", tmp_path / "a.snap")["valori_hash"] == told["valori_hash"]
    with host.open(folder) as memory:
        kernel = memory.state()
    assert told["root"] == kernel.root().hex()
    assert told["left"][0].startswith("ids") and any("key 'name'" in each for each in told["left"])
    back = Memory()
    plan = valori.plan(valori.Snapshot.decode((tmp_path / "a.snap").read_bytes()))
    imports.carry_out(back, imports.planned(plan))
    assert bare(back.kernel) == bare(kernel)
    with UnixBoard(tmp_path / "flash") as unix:
        answer("configure", unix.port, "--dim", 4)
        there = answer("import", unix.port, tmp_path / "a.snap")
        assert there["valori_hash"] == told["valori_hash"] and there["left"] == []
        assert there["root"] == answer("info", unix.port)["root"]
        shown = quipu("import", unix.port, tmp_path / "a.snap")
    assert told["valori_hash"] in shown and "Quipu root" in shown


def test_an_event_log_is_checked_by_the_command(tmp_path):
    log = Path(__file__).parent / "valori" / "events-4.log"
    assert answer("valori", log)["entries"] == 10
    (tmp_path / "log").write_bytes(log.read_bytes())
    flip(tmp_path / "log", 200)
    assert error("valori", tmp_path / "log", code=1)[0] == "FormatError"


def test_a_form_that_no_name_says_is_asked_for(folder, tmp_path):
    assert "--format" in error("export", folder, "-o", tmp_path / "a.txt", code=2)[1]
    assert "--state" in error("export", folder, "-o", tmp_path / "a.npy", "--state", code=2)[1]
