"""The fleet story on emulated boards: a Cortex-M4's state goes onto a Cortex-M7, whose power is cut
while it comes; both logs verify."""

import random
import threading

import pytest
import quipu
from quipu.board.migrate import migrate
from quipu.board.restore import restore
from quipu.build.emulator import Emulator
from quipu.errors import PortError

KILLS = 4
LONGEST_S = 5  # about what connecting and a restore take
DIM = 16


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """(archive of the Cortex-M4, its verdict, what it answers to a search)"""
    folder = tmp_path_factory.mktemp("first")
    with (
        Emulator("MPS2_AN386", folder / "a.bin") as emulator,
        quipu.connect(emulator.port, timeout=30) as board,
    ):
        if not board.info()["configured"]:
            board.configure((DIM, 64, 16, 16, 8, 16, 16))
        for i in range(12):
            board.create_node(
                1,
                board.insert(
                    [(i * 7919 + j * 104729) % 524288 for j in range(DIM)], i & 3, b"m%d" % i
                ),
            )
        board.put("made", b"here")
        board.sync(folder / "archive")
        verdict = quipu.verify(folder / "archive", board)
        answer = board.search([99999] * DIM, 5)
    assert verdict.verdict == "match" and len(answer) == 5
    return folder / "archive", verdict, answer


def test_a_cortex_m7_takes_over_from_a_cortex_m4_over_power_cuts(first, tmp_path):
    archive, verdict, answer = first
    rng = random.Random(4)
    blank = whole = 0
    with Emulator("MPS2_AN500", tmp_path / "b.bin") as emulator:
        for kill in range(KILLS):
            cutter = threading.Timer(
                rng.uniform(0.2, LONGEST_S * (kill + 1) / KILLS), emulator.kill
            )
            cutter.start()
            try:
                with quipu.connect(emulator.port, timeout=30) as board:
                    restore(board, archive)
                    while True:
                        board.clock()
            except PortError:
                pass
            finally:
                cutter.join()
            emulator.start()
            with quipu.connect(emulator.port, timeout=30) as board:
                info = board.info()
                assert info["damage"] is None
                if info["configured"] and info["first_seq"]:
                    assert (
                        info["root"] == verdict.state_root
                        and board.search([99999] * DIM, 5) == answer
                    )
                    whole += 1
                else:
                    assert not info.get("records")
                    blank += 1
        assert blank + whole == KILLS and blank > 1
        with quipu.connect(emulator.port, timeout=30) as board:
            done = restore(board, archive)
            assert done.root == verdict.state_root and done.seq == verdict.seq
            assert board.search([99999] * DIM, 5) == answer
            assert board.insert([1] * DIM) > verdict.seq + 1
            board.sync(tmp_path / "b")
            second = quipu.verify(tmp_path / "b", board, origins=[archive])
    assert (
        second.verdict == "match"
        and second.origin["archive"] == str(archive)
        and second.live["ahead"] == 0
    )
    assert quipu.verify(archive).verdict == "match"


def test_a_board_migrates_itself_and_starts_again_with_the_new_capacities(tmp_path):
    with Emulator("MPS2_AN386", tmp_path / "a.bin") as emulator:
        with quipu.connect(emulator.port, timeout=30) as board:
            if not board.info()["configured"]:
                board.configure((DIM, 64, 16, 16, 8, 16, 16))
            record = board.insert([5] * DIM, 3, b"kept")
            records = board.info()["config"]["records"]
            migrate(board, tmp_path / "old", {"records": records + 100, "keys": 9})
        emulator.kill()
        emulator.start()
        with quipu.connect(emulator.port, timeout=30) as board:
            info = board.info()
            assert (info["config"]["records"], info["config"]["keys"], info["damage"]) == (
                records + 100,
                9,
                None,
            )
            assert board.record(record) == (3, [5] * DIM, b"kept")
            board.put("on", b"1")
            board.sync(tmp_path / "new")
            assert (
                quipu.verify(tmp_path / "new", board, origins=[tmp_path / "old"]).verdict == "match"
            )
