"""The whole product on emulated boards: the laptop's verbs, over the serial port, on the real firmware, frozen and copied.

Every verb is carried out on each board and on the plain model of tests/model.py; every refusal changes nothing at all.
"""

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
from quipu.board import Board
from quipu.emulator import Emulator
from quipu.errors import (FormatError, Full, InUse, Invalid, LinkError, NotFound, PortError, QuipuError, Refused, RolledBack, TooLong,
                          WrongDimension)
from quipu.link import encode_request
from quipu.repl import Repl

from shared_kernel import frames, kernel, requests
from shared_kernel.frames import words_bytes
from tests.model import Model, contents_of

CONFIG = (4, 6, 5, 6, 4, 8, 8)  # small pools, so that each is soon full
FROZEN, FROZEN_M0, COPIED = "frozen in an MPS2_AN386", "frozen in a MICROBIT_M0", "copied to an MPS2_AN386"
BOARDS = (FROZEN, FROZEN_M0, COPIED)
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
    """A running board that has been told the whole story. ids: of what it holds, and of what it held; model: what it must
    hold; archive: synced at the end; verdict: verified then."""

    def __init__(self, emulator, archive):
        self.emulator = emulator
        self.archive = archive
        self.ids = {}
        self.model = Model(CONFIG)
        self.last = 0
        self.board = Recorder(quipu.connect(emulator.port, timeout=60))
        assert not self.board.info()["configured"], "a blank region begets no log unasked"
        self.story()

    def tell(self, verb, *args):
        """Tell the board and the model one change; return its seq, which is the id of what it created."""
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
        name = self.board.configure(CONFIG, entropy=b"sixteen of chaos")
        assert self.board.info()["log"] == name.hex()

        vectors = [[0, 1, -1, 65536], [LOWEST, HIGHEST, LOWEST, HIGHEST], [HIGHEST, LOWEST, HIGHEST, LOWEST], [7, 7, 7, 7], [0, 0, 0, 0]]
        records = [tell("insert", vector, tag, b"metadata"[:size])
                   for vector, tag, size in zip(vectors, (0, 0xFFFFFFFF, 3, 3, 3), (0, 8, 1, 7, 4))]
        tell("update", records[0], 3)
        tell("update", records[1], None, b"other")
        tell("update", records[2], 0x80000000, b"")
        nodes = [tell("create_node", 1, records[0]), tell("create_node", 2), tell("create_node", 0xFFFFFFFF, records[1]),
                 tell("create_node", 2, records[0])]
        edges = [tell("create_edge", kind, nodes[a], nodes[b])
                 for kind, a, b in ((1, 0, 1), (2, 1, 2), (1, 2, 3), (1, 3, 0), (5, 0, 0), (1, 0, 2))]
        assert self.board.edges_of(nodes[0]) == self.model.edges_of(nodes[0])
        for key, value in (("a", b""), ("n" * 24, b"8 bytes."), (b"\0\xff", b"1"), ("a", b"later"), ("a", b"later"), ("b", b"2")):
            tell("put", key, value)
        tell("delete_key", "b")
        tell("delete", records[4])
        tell("delete_edge", edges[5])
        tell("delete_node", nodes[3])  # and two edges with it
        ids.update(record=records[2], referred=records[0], stale_record=records[4], node=nodes[0], stale_node=nodes[3],
                   edge=edges[0], stale_edge=edges[5])
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
        """What may not change when a command is refused: seq, head and root, and every byte of the log region."""
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
                    # without the entropy: here the laptop begins the log
                    emulator = Emulator("MPS2_AN386", copied({"/quipu.entropy": None}), frozen=False)
                else:
                    emulator = Emulator("MICROBIT_M0" if name == FROZEN_M0 else "MPS2_AN386")
                it = Told(stack.enter_context(emulator), tmp_path_factory.mktemp("told") / "archive")
                stack.callback(it.board.close)
                there[name] = it
            return there[name]

        yield get


@pytest.fixture(params=BOARDS)
def each(request, told):
    return told(request.param)


# -- what a board does ----------------------------------------------------------------------------------------------------


def test_the_log_proves_the_live_board(each):
    verdict, info = each.verdict, each.board.info()
    assert verdict.verdict == "match" and verdict.exit_code == 0 and verdict.first_divergence is None
    assert verdict.frames == verdict.seq + 1 > 40 and verdict.snapshots == 1 and verdict.checkpoints >= 2
    assert verdict.seq >= verdict.live["seq"] - verdict.live["ahead"] == each.last + 2  # the sync's own clock and checkpoint
    assert verdict.live["root"] == verdict.state_root == info["root"]
    assert verdict.live["head"] == verdict.chain_head == info["head"]
    assert info["board"].startswith(info["machine"].split()[0]) and verdict.board == info["board"]
    assert info["provider"] == "viper" and info["damage"] is None


def test_the_board_holds_what_it_was_told_and_nothing_else(each):
    expected = each.model.contents()
    assert [len(expected[pool]) for pool in ("records", "nodes", "edges", "keys")] == list(CONFIG[1:5])
    assert contents_of(quipu.state(each.archive)) == expected
    info = each.board.info()
    assert [info[pool] for pool in ("records", "nodes", "edges", "keys")] == list(CONFIG[1:5])
    assert info["state_seq"] == expected["seq"] and tuple(info["config"].values()) == CONFIG


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
            assert board.neighbourhood(ident, depth, kind) == model.neighbourhood(ident, depth, kind)
            assert board.neighbourhood(ident, depth, kind, 3) == model.neighbourhood(ident, depth, kind, True, True)
            assert board.neighbourhood(ident, depth, kind, 2) == model.neighbourhood(ident, depth, kind, False, True)
    for ident, edge in model.edges.items():
        assert board.edge(ident) == edge
    for name, (_, value) in model.keys.items():
        assert board.get(name) == value
    for query in ([0, 0, 0, 0], [LOWEST, HIGHEST, LOWEST, HIGHEST], [9, 9, 9, 9]):
        for k, tag in ((1, None), (3, None), (128, None), (128, 3), (1, 4321)):
            found = board.search(query, k, tag)
            assert found == model.search(query, k, tag) and (found or tag == 4321)


def test_the_log_reads_back_frame_by_frame_and_the_snapshot_byte_by_byte(each):
    board = each.board
    archived = list(quipu.open_archive(each.archive).frames())
    assert board.frames(0, frames.NO_HEAD)[:len(archived[0])] == archived[0]
    slot, header = board.snapshot_header()
    taken = quipu.open_archive(each.archive).snapshot(each.snapshot)
    assert taken[:len(header)] == header
    generation, length = kernel.u32(header, 12), len(taken) - len(header)
    found = [g for g in range(3) for _ in [0] if _snapshot_part(board, slot, g, 100, 50) == taken[len(header) + 100:][:50]]
    assert found and length % 1024 == 0, generation
    board.acknowledge(each.last)


def _snapshot_part(board, slot, generation, offset, size):
    try:
        return board.snapshot_data(slot, generation, offset, size)
    except NotFound:
        return None
