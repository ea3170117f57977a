"""Pulling a full ring: what a pull is about to read is held, gives way to commands, and what is
gone is declared (case 26)."""

import quipu
from quipu.archive.files import Archive

from tests.host.unix_board import UnixBoard

CONFIG = (4, 8, 0, 0, 4, 0, 1000)


def fill_ring(unix, policy=1):
    """Put values until the log's beginning has been recycled."""
    with quipu.connect(unix.port) as board:
        board.configure(CONFIG, policy=policy)
        n = 0
        while not board.info()["first_seq"]:
            for _ in range(4):
                board.put("k", bytes([n & 255]) * (900 + n % 100))
                n += 1


def test_case_26_the_first_sync_of_a_full_ring(tmp_path):
    """Right after a start-up, under overwrite, again and again: each ends with a declared gap and a
    provable archive."""
    with UnixBoard(tmp_path / "flash") as unix:
        fill_ring(unix)
    for i in range(9):
        with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
            path = tmp_path / f"a{i}"
            done = board.sync(path)
            assert (
                done.gap and done.gap[0] == 0 and done.gap[1] == Archive(path).segments[0].first - 1
            )
            verdict = quipu.verify(path, board=board, allow_gap=True)
            assert (verdict.verdict, verdict.exit_code, verdict.gaps) == ("gap", 0, [done.gap]), (
                verdict
            )
            for n in range(i):
                board.put("k", bytes([n]) * 950)


def test_commands_during_a_pull_are_never_refused_and_the_gap_is_declared(tmp_path):
    with UnixBoard(tmp_path / "flash") as unix:
        fill_ring(unix)
        with quipu.connect(unix.port) as board:
            path = tmp_path / "a"
            first = board.info()["first_seq"]
            count = 0

            def use(done, total):
                nonlocal count
                for n in range(60 if count < 2 else 0):
                    board.put("k", bytes([n]) * 950)
                count += 1

            done = board.sync(path, progress=use)
            assert board.info()["first_seq"] > first
            assert done.gap and done.gap[1] > first
            verdict = quipu.verify(path, board=board, allow_gap=True)
            assert (verdict.verdict, verdict.exit_code) == ("gap", 0), verdict
            assert verdict.seq == done.seq and verdict.gaps[-1][1] == done.gap[1]


def test_a_full_board_gives_all_in_one_call(tmp_path):
    """Policy stop, full, restarted: its boot's run has no room before the acknowledgement of what
    it can promise."""
    with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
        board.configure(CONFIG)
        n = 0
        try:
            while True:
                board.put("k", bytes([n & 255]) * (900 + n % 100))
                n += 1
        except quipu.errors.LogFull:
            pass
        last = board.info()["seq"]
    for _ in range(6):  # each boot takes room of its own, until none is left
        with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
            last = board.info()["seq"]
            board.layout(0, bytes(8))
    with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
        done = board.sync(tmp_path / "a")
        assert done.left == 0 and done.seq >= last and done.root
        verdict = quipu.verify(tmp_path / "a", board=board)
        assert verdict.verdict == "match" and verdict.seq >= last
        board.put("k", b"there is room again")


def test_case_26_an_archive_without_frames_is_no_altered_one(tmp_path):
    """What a sync that was killed at once has left, as the case has it, and the same behind a
    gap."""
    with UnixBoard(tmp_path / "flash") as unix:
        fill_ring(unix)
        with quipu.connect(unix.port) as board:
            info = board.info()
            path = tmp_path / "a"
            Archive.create(
                path, board.log, info["board"], info["first_seq"], bytes.fromhex(info["first_head"])
            )
            verdict = quipu.verify(path, allow_gap=True)
            assert (verdict.verdict, verdict.exit_code, verdict.gaps) == (
                "empty",
                0,
                [[0, info["first_seq"] - 1]],
            )
            for n in range(200):
                board.put("k", bytes([n]) * 950)
            done = board.sync(path)
            assert done.gap == [info["first_seq"], Archive(path).segments[-1].first - 1]
            assert quipu.verify(path, board=board).verdict == "gap"
            before = quipu.verify(path)
            for n in range(200):
                board.put("k", bytes([n, 1]) * 475)
            info = board.info()
            Archive(path).add_segment(info["first_seq"], bytes.fromhex(info["first_head"]))
            after = quipu.verify(path)
            assert after == before
            board.sync(path)
            assert quipu.verify(path, board=board).verdict == "gap"
