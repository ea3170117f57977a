"""The whole product on emulated boards: the laptop's verbs, over the serial port, on the real
firmware, frozen and copied.

Every verb is carried out on each board and on the plain model of tests/model.py; every refusal
changes nothing at all."""

import json
import math
import os
import pty
import shutil
import time
import tty
from contextlib import ExitStack

import pytest
import quipu
import serial
from quipu.board.board import Board
from quipu.board.link import encode_request
from quipu.board.repl import Repl
from quipu.build.emulator import Emulator
from quipu.errors import (
    Damage,
    FormatError,
    Full,
    InUse,
    Invalid,
    LinkError,
    NotFound,
    PortError,
    QuipuError,
    RolledBack,
    TooLong,
    WrongDimension,
)
from quipu.past.query import Query

from shared_kernel import frames, kernel, requests, snapshot
from shared_kernel.config import CONFIG_NAMES
from shared_kernel.frames import words_bytes
from tests.boards.conftest import place
from tests.model import Model, contents_of

CONFIG = (4, 6, 5, 6, 4, 8, 8)  # small pools, so that each is soon full
FROZEN, FROZEN_M0, COPIED = (
    "frozen in an MPS2_AN386",
    "frozen in a MICROBIT_M0",
    "copied to an MPS2_AN386",
)
BOARDS = (FROZEN, FROZEN_M0, COPIED)
CAPACITIES = dict(zip(CONFIG_NAMES, CONFIG))
# stands in for the module; most ports have a generator
NO_RANDOM = {"/lib/os.py": "from uos import *\ndel urandom\n"}
LOWEST, HIGHEST = -(2**31), 2**31 - 1
TOKEN = bytes(8)


class Recorder:
    """A board that remembers which of its verbs were called."""

    def __init__(self, board):
        self.board = board
        self.called = set()

    def __getattr__(self, name):
        if not name.startswith("_") and callable(getattr(self.board, name)):
            self.called.add(name)
        return getattr(self.board, name)


class Told:
    """A running board that has been told the whole story. ids: of what it holds, and of what it
    held; model: what it must hold; archive: synced at the end; verdict: verified then."""

    def __init__(self, emulator, archive, configured):
        self.emulator = emulator
        self.archive = archive
        self.ids = {}
        self.model = Model(CONFIG)
        self.last = 0
        self.board = Recorder(quipu.connect(emulator.port, timeout=20))
        assert self.board.info()["configured"] == configured
        self.story()

    def tell(self, verb, *args):
        """Tell the board and the model one change; return its seq, which is the id of what it
        created."""
        seq = getattr(self.board, verb)(*args)
        assert seq > self.last
        self.last = seq
        if verb in ("put", "delete_key"):
            name = args[0].encode() if isinstance(args[0], str) else args[0]
            args += (self.model.keys[name][0] if name in self.model.keys else 0,)
        getattr(self.model, verb)(seq, *args)
        return seq

    def story(self):
        """Every verb at least once; at the end all pools are full."""
        tell, ids = self.tell, self.ids
        if not self.board.info()["configured"]:
            name = self.board.configure(CONFIG, entropy=b"sixteen of chaos")
            assert self.board.info()["log"] == name.hex()
        assert self.board.info()["seq"] == 0

        vectors = [
            [0, 1, -1, 65536],
            [LOWEST, HIGHEST, LOWEST, HIGHEST],
            [HIGHEST, LOWEST, HIGHEST, LOWEST],
            [7, 7, 7, 7],
            [0, 0, 0, 0],
        ]
        records = [
            tell("insert", vector, tag, b"metadata"[:size])
            for vector, tag, size in zip(vectors, (0, 0xFFFFFFFF, 3, 3, 3), (0, 8, 1, 7, 4))
        ]
        tell("update", records[0], 3)
        tell("update", records[1], None, b"other")
        tell("update", records[2], 0x80000000, b"")
        nodes = [
            tell("create_node", 1, records[0]),
            tell("create_node", 2),
            tell("create_node", 0xFFFFFFFF, records[1]),
            tell("create_node", 2, records[0]),
        ]
        edges = [
            tell("create_edge", kind, nodes[a], nodes[b])
            for kind, a, b in ((1, 0, 1), (2, 1, 2), (1, 2, 3), (1, 3, 0), (5, 0, 0), (1, 0, 2))
        ]
        assert self.board.edges_of(nodes[0]) == self.model.edges_of(nodes[0])
        for key, value in (
            ("a", b""),
            ("n" * 24, b"8 bytes."),
            (b"\0\xff", b"1"),
            ("a", b"later"),
            ("a", b"later"),
            ("b", b"2"),
        ):
            tell("put", key, value)
        tell("delete_key", "b")
        tell("delete", records[4])
        tell("delete_edge", edges[5])
        tell("delete_node", nodes[3])  # and two edges with it
        ids.update(
            record=records[2],
            referred=records[0],
            stale_record=records[4],
            node=nodes[0],
            stale_node=nodes[3],
            edge=edges[0],
            stale_edge=edges[5],
        )
        while len(self.model.records) < self.model.max_records:
            tell("insert", [9, 9, 9, len(self.model.records)])
        while len(self.model.nodes) < self.model.max_nodes:
            tell("create_node", 9, ids["record"])
        while len(self.model.edges) < self.model.max_edges:
            tell("create_edge", 9, nodes[2], nodes[1])
        while len(self.model.keys) < self.model.max_keys:
            tell("put", "key %d" % len(self.model.keys), b"v")

        self.board.clock(1790000000123, 45)
        self.snapshot = self.board.snapshot()
        self.checkpoint = self.board.checkpoint()
        self.last = max(self.last, self.checkpoint)
        self.tell("put", "a", b"the end")
        self.board.sync(self.archive)
        self.verdict = quipu.verify(self.archive, self.board.board)

    def place(self):
        """What may not change when a command is refused: seq, head and root, and every byte of the
        log region."""
        log = self.emulator.facts["log"]
        with self.emulator.flash.open("rb") as file:
            file.seek(log["start"])
            flash = file.read(log["size"])
        info = self.board.info()
        return info["seq"], info["head"], info["root"], flash


@pytest.fixture(scope="module")
def told(copied, tmp_path_factory):
    """A function that returns the Told of a board's name; started and told on its first use."""
    there = {}
    with ExitStack() as stack:

        def get(name):
            if name not in there:
                if name == COPIED:
                    emulator = Emulator("MPS2_AN386", copied(), frozen=False)
                else:
                    emulator = Emulator("MICROBIT_M0" if name == FROZEN_M0 else "MPS2_AN386")
                stack.enter_context(emulator)
                # Where a board has no randomness of its own and no file of it, the laptop must
                # begin the log.
                place(
                    emulator,
                    {"/quipu.json": json.dumps({**emulator.facts, "capacities": CAPACITIES})}
                    | ({**NO_RANDOM, "/quipu.entropy": None} if name == COPIED else {}),
                )
                it = Told(emulator, tmp_path_factory.mktemp("told") / "archive", name != COPIED)
                stack.callback(it.board.close)
                there[name] = it
            return there[name]

        yield get


@pytest.fixture(params=BOARDS)
def each(request, told):
    return told(request.param)


# -- what a board does -----------------------------------------------------------------------------


def test_the_log_proves_the_live_board(each):
    verdict, info = each.verdict, each.board.info()
    assert (
        verdict.verdict == "match" and verdict.exit_code == 0 and verdict.first_divergence is None
    )
    assert (
        verdict.frames == verdict.seq + 1 > 40
        and verdict.snapshots == 1
        and verdict.checkpoints >= 2
    )
    # the sync's own clock and checkpoint
    assert verdict.seq >= verdict.live["seq"] - verdict.live["ahead"] == each.last + 2
    assert verdict.live["root"] == verdict.state_root == info["root"]
    assert verdict.live["head"] == verdict.chain_head == info["head"]
    assert info["board"].startswith(info["machine"].split()[0]) and verdict.board == info["board"]
    assert info["provider"] in ("native", "viper") and info["damage"] is None


def test_the_board_holds_what_it_was_told_and_nothing_else(each):
    expected = each.model.contents()
    assert [len(expected[pool]) for pool in ("records", "nodes", "edges", "keys")] == list(
        CONFIG[1:5]
    )
    assert contents_of(quipu.state(each.archive)) == expected
    info = each.board.info()
    assert [info[pool] for pool in ("records", "nodes", "edges", "keys")] == list(CONFIG[1:5])
    assert info["state_seq"] == expected["seq"] and each.board.config == CONFIG


def test_every_question_is_answered_as_the_model_answers(each):
    board, model = each.board, each.model
    for ident, (tag, vector, meta) in model.records.items():
        assert board.record(ident) == (tag, list(vector), meta)
    for ident, node in model.nodes.items():
        assert board.node(ident) == node
        assert board.edges_of(ident) == model.edges_of(ident)
        assert board.edges_of(ident, 1) == model.edges_of(ident, into=False)
        assert board.edges_of(ident, 2) == model.edges_of(ident, out=False)
        for depth, kind in ((0, None), (1, None), (9, None), (9, 1), (9, 12345)):
            assert board.neighbourhood(ident, depth, kind) == model.neighbourhood(
                ident, depth, kind
            )
            assert board.neighbourhood(ident, depth, kind, 3) == model.neighbourhood(
                ident, depth, kind, True, True
            )
            assert board.neighbourhood(ident, depth, kind, 2) == model.neighbourhood(
                ident, depth, kind, False, True
            )
    for ident, edge in model.edges.items():
        assert board.edge(ident) == edge
    for name, (seq, value) in model.keys.items():
        assert board.get(name) == board.get_at(name, seq) == value and board.history(name).versions[
            0
        ] == (seq, value)
    for query in ([0, 0, 0, 0], [LOWEST, HIGHEST, LOWEST, HIGHEST], [9, 9, 9, 9]):
        for k, tag in ((1, None), (3, None), (128, None), (128, 3), (1, 4321)):
            found = board.search(query, k, tag)
            assert found == model.search(query, k, tag) and (found or tag == 4321)
    # a log that no sync has taken off the flash answers about its past too
    with board.memory() as memory:
        assert contents_of(memory.state()) == model.contents()
    assert board.state().root().hex() == board.info()["root"]
    assert [row["id"] for row in board.query(Query("records", order=("id",)))] == sorted(
        model.records
    )
    ident = min(model.nodes)
    assert board.explain("node:%d" % ident)["frames"][0]["seq"] == ident


def test_log_and_snapshot_read_back_byte_by_byte(each):
    board = each.board
    archive = quipu.open_archive(each.archive)
    first = next(iter(archive.frames()))
    assert board.frames(0, frames.NO_HEAD)[: len(first)] == first
    slot, header = board.snapshot_header()
    taken = archive.snapshot(each.snapshot)
    assert taken[: len(header)] == header
    found = snapshot.decode(header)  # between it and the checkpoint, the frame that names it
    assert (
        found.seq == each.snapshot == each.checkpoint - 2
        and len(taken) == len(header) + found.length
    )
    assert (
        board.snapshot_data(slot, found.generation, 100, 50)
        == taken[len(header) + 100 :][:50]
        != bytes(50)
    )
    assert board.read_region(0, 4) == b"QUP2"  # the first sector's record
    board.acknowledge(each.last)
    assert board.info()["acknowledged"] >= each.last


def test_no_verb_is_left_out(told):
    called = {"close"}  # of each test's board, at its end
    for name in BOARDS:
        test_every_question_is_answered_as_the_model_answers(told(name))
        test_log_and_snapshot_read_back_byte_by_byte(told(name))
        called |= told(name).board.called
    assert {verb for verb in vars(Board) if not verb.startswith("_")} <= called


def test_the_same_commands_lead_to_the_same_root_on_every_board(told):
    roots = {told(name).board.info()["root"] for name in BOARDS}
    assert len(roots) == 1
    assert len({told(name).board.info()["board"] for name in BOARDS}) == 3
    # One bit of one command makes another.
    other = quipu.state(told(FROZEN).archive)
    payload = frames.put("a", b"the enc", other.key(b"a")[0])
    other.check(kernel.PUT, payload, 0, len(payload))
    other.apply(kernel.PUT, payload, 0, len(payload), told(FROZEN).last)
    assert other.root().hex() not in roots


# -- what a board refuses --------------------------------------------------------------------------


def raw(op, payload):
    """A request past the host's own checks."""
    return lambda board, ids: board.link.request(op, payload, repeat=False)


REFUSALS = {
    "a vector of more dimensions": (WrongDimension, lambda board, ids: board.insert([1] * 5)),
    "a vector of fewer dimensions": (
        WrongDimension,
        lambda board, ids: board.insert([1] * 3, 0, b"4444"),
    ),
    "a vector of none": (WrongDimension, lambda board, ids: board.insert([])),
    "a vector longer than any frame": (TooLong, lambda board, ids: board.insert([1] * 100)),
    "a query of another dimension": (WrongDimension, lambda board, ids: board.search([1] * 5, 1)),
    "a NaN": (Invalid, lambda board, ids: board.insert(quipu.vector([1, 2, math.nan, 4]))),
    "an infinity": (Invalid, lambda board, ids: board.search(quipu.vector([math.inf, 2, 3, 4]))),
    "a float that nobody converted": (Invalid, lambda board, ids: board.insert([0.5, 0, 0, 0])),
    "a component beyond 32 bits": (Invalid, lambda board, ids: board.insert([2**31, 0, 0, 0])),
    "a tag beyond 32 bits": (Invalid, lambda board, ids: board.insert([0] * 4, 2**32)),
    "long metadata": (TooLong, lambda board, ids: board.update(ids["record"], None, b"9 bytes..")),
    "a record too many": (Full, lambda board, ids: board.insert([0] * 4)),
    "a node too many": (Full, lambda board, ids: board.create_node(1)),
    "an edge too many": (Full, lambda board, ids: board.create_edge(1, ids["node"], ids["node"])),
    "a key too many": (Full, lambda board, ids: board.put("one more", b"")),
    "a long name": (TooLong, lambda board, ids: board.put("n" * 25, b"")),
    "a long name, past the host": (
        TooLong,
        raw(kernel.PUT, TOKEN + bytes((0, 0, 0, 0, 0, 25)) + b"n" * 25),
    ),
    "no name": (TooLong, raw(kernel.PUT, TOKEN + bytes(6))),
    "a long value": (TooLong, lambda board, ids: board.put("a", b"9 bytes..")),
    "reading a deleted record": (NotFound, lambda board, ids: board.record(ids["stale_record"])),
    "updating a deleted record": (
        NotFound,
        lambda board, ids: board.update(ids["stale_record"], 1),
    ),
    "deleting a record twice": (NotFound, lambda board, ids: board.delete(ids["stale_record"])),
    "a node for a deleted record": (
        NotFound,
        lambda board, ids: board.create_node(1, ids["stale_record"]),
    ),
    "deleting what a node refers to": (InUse, lambda board, ids: board.delete(ids["referred"])),
    "a record's id for a node": (NotFound, lambda board, ids: board.node(ids["record"])),
    "reading a deleted node": (NotFound, lambda board, ids: board.node(ids["stale_node"])),
    "deleting a node twice": (NotFound, lambda board, ids: board.delete_node(ids["stale_node"])),
    "an edge from a deleted node": (
        NotFound,
        lambda board, ids: board.create_edge(1, ids["stale_node"], ids["node"]),
    ),
    "an edge to a deleted node": (
        NotFound,
        lambda board, ids: board.create_edge(1, ids["node"], ids["stale_node"]),
    ),
    "the edges of a deleted node": (NotFound, lambda board, ids: board.edges_of(ids["stale_node"])),
    "the neighbours of a deleted node": (
        NotFound,
        lambda board, ids: board.neighbourhood(ids["stale_node"], 2),
    ),
    "reading a deleted edge": (NotFound, lambda board, ids: board.edge(ids["stale_edge"])),
    "deleting an edge twice": (NotFound, lambda board, ids: board.delete_edge(ids["stale_edge"])),
    "a deleted key": (NotFound, lambda board, ids: board.get("b")),
    "deleting a key twice": (NotFound, lambda board, ids: board.delete_key("b")),
    "an id that was never given": (NotFound, lambda board, ids: board.record(0xFFFFFFFF)),
    "id 0": (NotFound, lambda board, ids: board.record(0)),
    "an unknown command": (Invalid, raw(0x1F, TOKEN)),
    "an unknown request": (LinkError, raw(0x7E, b"")),
    "a command cut short": (Invalid, raw(kernel.INSERT, TOKEN + b"\4")),
    "a command without its whole token": (Invalid, raw(kernel.DELETE, TOKEN[:5])),
    "a clock cut short": (Invalid, raw(requests.CLOCK, bytes(11))),
    "a clock too long": (Invalid, raw(requests.CLOCK, bytes(150))),
    "a question cut short": (QuipuError, raw(requests.RECORD, b"")),
    "a search for more than an answer holds": (
        LinkError,
        lambda board, ids: board.search([0] * 4, 129),
    ),
    "a genesis over a log": (Invalid, lambda board, ids: board.configure(CONFIG)),
    "frames of another log": (LinkError, raw(requests.FRAMES, words_bytes((0,)) + bytes(16))),
    "frames after another history": (FormatError, lambda board, ids: board.frames(9, b"rewritten")),
    "frames that are not written yet": (
        NotFound,
        lambda board, ids: board.frames(board.info()["seq"] + 2, bytes(8)),
    ),
    "acknowledging what is not there": (
        Invalid,
        lambda board, ids: board.acknowledge(board.info()["seq"] + 2),
    ),
    "a snapshot that never was": (NotFound, lambda board, ids: board.snapshot_data(1, 99, 0, 10)),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_is_a_typed_error_and_changes_nothing(each, what):
    error, act = REFUSALS[what]
    before = each.place()
    with pytest.raises(error) as caught:
        act(each.board, each.ids)
    assert type(caught.value) is error and len(str(caught.value)) > 10
    assert each.place() == before


def test_a_change_changes_seq_head_root_and_flash(each):
    # The other way round: so what test_a_refusal... compares can differ.
    before = each.place()
    each.tell("put", "a", b"changed")
    assert all(was != now for was, now in zip(before, each.place()))


def test_noise_on_the_line_is_refused_and_the_next_request_answered(each):
    before = each.place()
    whole = encode_request(77, kernel.PUT, TOKEN + frames.put("a", b"noise"))
    for noise in (
        whole[:-1],
        whole[:9] + b"?" + whole[10:],
        whole[1:],
        b"\x1e",
        b"\x1e#",
        b"\x1e#!",
        b"\x1e#" + b"A" * 300 + b"!",
        b"\xff\0 \r\n",
    ):
        each.board.link._write(noise)
        assert each.place() == before
    each.tell("put", "a", b"clear")
    assert each.place() != before


def test_a_blank_board_takes_only_a_genesis_that_fits():
    def blank():
        log = emulator.facts["log"]
        with emulator.flash.open("rb") as file:
            file.seek(log["start"])
            return file.read(log["size"]).count(0xFF) == log["size"]

    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator("MPS2_AN386"))
        place(emulator, NO_RANDOM)
        board = stack.enter_context(quipu.connect(emulator.port))
        for error, act in (
            (NotFound, lambda: board.insert([0] * 4)),
            (NotFound, lambda: board.get("a")),
            (NotFound, board.checkpoint),
            (NotFound, lambda: board.sync("/nowhere")),
            (
                Invalid,
                lambda: board.link.request(
                    kernel.INSERT, TOKEN + frames.insert([0] * 4), repeat=False
                ),
            ),
            (Invalid, lambda: board.configure((0, *CONFIG[1:]))),
            (
                Invalid,
                lambda: board.link.request(
                    requests.CONFIGURE, words_bytes((0, *CONFIG[1:])) + bytes(17)
                ),
            ),
            (Invalid, lambda: board.configure((4096, 1 << 20, 0, 0, 0, 0, 0))),
            (
                Invalid,
                lambda: board.link.request(requests.CONFIGURE, words_bytes(CONFIG) + bytes(1 + 15)),
            ),
        ):
            with pytest.raises(error):
                act()
            assert blank() and not board.info()["configured"]
        board.configure(CONFIG)
        assert not blank() and board.insert([0] * 4) == 1


# -- what verify and sync notice of a live board ---------------------------------------------------


def test_a_board_that_went_another_way_is_named_with_the_seq(told, tmp_path):
    ways = []
    for value in (b"one way", b"other"):
        flash = tmp_path / f"{value.decode()}.bin"
        shutil.copy(told(FROZEN).emulator.flash, flash)
        with Emulator("MPS2_AN386", flash) as emulator, quipu.connect(emulator.port) as board:
            start = board.info()["seq"]
            board.put("a", b"both")  # and a boot frame and a checkpoint before it
            parting = board.put("a", value)
            assert parting > start
            if not ways:
                board.sync(tmp_path / "archive")
                assert quipu.verify(tmp_path / "archive", board).verdict == "match"
                kept = {
                    path: path.read_bytes()
                    for path in (tmp_path / "archive").rglob("*")
                    if path.is_file()
                }
                ways.append(parting)
                continue
            verdict = quipu.verify(tmp_path / "archive", board)
            assert (verdict.verdict, verdict.exit_code) == ("mismatch", 1)
            # The ticks of the two runs differ already in the boot frame, or in what follows it.
            assert start < verdict.first_divergence["seq"] <= parting == ways[0]
            before = board.info()
            with pytest.raises(RolledBack) as caught:
                board.sync(tmp_path / "archive")
            assert caught.value.seq == verdict.first_divergence["seq"]
            assert (board.info()["seq"], board.info()["root"]) == (before["seq"], before["root"])
            assert kept == {
                path: path.read_bytes()
                for path in (tmp_path / "archive").rglob("*")
                if path.is_file()
            }


def test_a_bit_that_flips_in_a_boards_memory_is_noticed(told, tmp_path):
    flash = tmp_path / "flash.bin"
    shutil.copy(told(FROZEN).emulator.flash, flash)
    with Emulator("MPS2_AN386", flash) as emulator:
        with quipu.connect(emulator.port) as board:
            board.sync(tmp_path / "archive")
            assert quipu.verify(tmp_path / "archive", board).verdict == "match"
        with serial.Serial(emulator.port, 115200, timeout=1) as port:
            repl = Repl(port, emulator.port)
            repl.run(
                "arena = quipu.memory.store.kernel.arena\narena.touch(200)\narena.bytes[800] ^= 4",
                10,
            )
            repl.leave()
        with quipu.connect(emulator.port) as board:
            verdict = quipu.verify(tmp_path / "archive", board)
            assert (
                verdict.verdict == "mismatch"
                and verdict.first_divergence["what"] == "state root of the live board"
            )


# -- a damaged log ---------------------------------------------------------------------------------


def flip_a_bit(flash, at, frame, seed):
    flash[at + len(frame) // 2] ^= 8


def rewrite_a_checkpoint(flash, at, frame, seed):
    """Another root, and a CRC that fits it: only replay can tell."""
    forged = bytearray(frame)
    forged[frames.HEADER] ^= 1
    frames.seal(forged, 0, forged[1], 32, kernel.u32(forged, 4), kernel.u32(forged, 8), seed)
    flash[at : at + len(frame)] = forged


@pytest.mark.parametrize("damage", (flip_a_bit, rewrite_a_checkpoint))
def test_a_damaged_log_is_reported_and_takes_nothing_new_but_can_be_read(damage, tmp_path):
    with Emulator("MPS2_AN386", tmp_path / "flash.bin") as emulator:
        with quipu.connect(emulator.port) as board:
            # within the last KiB it would look like a power cut, until an archive says otherwise
            for i in range(50):
                board.put("count", b"%d" % i)
                if i == 5:
                    spoilt = board.checkpoint()
            board.sync(tmp_path / "archive")
        emulator.kill()
        archive = quipu.open_archive(tmp_path / "archive")
        frame = bytes(list(archive.frames())[spoilt])
        flash = bytearray(emulator.flash.read_bytes())
        assert flash.count(frame) == 1
        damage(flash, flash.index(frame), frame, frames.seed(archive.log))
        emulator.flash.write_bytes(flash)

        emulator.start()
        with quipu.connect(emulator.port) as board:
            info = board.info()
            assert info["seq"] == spoilt - 1 and info["damage"], (
                "it is known what stood before the damage"
            )
            assert board.get("count") == b"5"
            for change in (lambda: board.put("count", b"x"), board.checkpoint, board.snapshot):
                with pytest.raises(Damage, match="damaged"):
                    change()
            verdict = quipu.verify(archive, board)
            assert verdict.verdict == "mismatch" and verdict.first_divergence["seq"] == spoilt
        assert (
            emulator.flash.read_bytes()[: emulator.emulation["flash"]["size"]]
            == flash[: emulator.emulation["flash"]["size"]]
        ), "nothing is written to a log that somebody may want to rescue"


# -- ports without Quipu ---------------------------------------------------------------------------


def test_a_board_with_other_firmware_is_told_apart_and_left_at_its_prompt():
    with Emulator("MPS2_AN386", frozen=False) as emulator:
        with pytest.raises(
            PortError, match=r"MicroPython \S+ is here, but no Quipu .*flash it first"
        ):
            quipu.connect(emulator.port)
        with serial.Serial(emulator.port, 115200, timeout=10) as port:
            port.write(b"print('still', 6 * 7)\r")
            assert port.read_until(b"still 42\r\n>>> ").endswith(b"still 42\r\n>>> ")


def test_a_silent_port_is_given_up_within_the_limit():
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)
        started = time.monotonic()
        with pytest.raises(PortError, match="nothing here answered as a Quipu board within 2 s"):
            quipu.connect(os.ttyname(slave), timeout=2)
        assert 2 <= time.monotonic() - started < 2 + 5
    finally:
        os.close(slave)
        os.close(master)
