"""A live board answers what an archive answers, about all that its flash holds, and keeps no trace
of having been asked."""

import tempfile
from pathlib import Path

import pytest
import quipu
from quipu.archive.join import merge
from quipu.board.restore import restore
from quipu.build.emulator import Emulator
from quipu.errors import Damage, NotFound, UsageError
from quipu.past.query import Query

from tests.host.test_cli import answer, error
from tests.host.test_cli import quipu as said
from tests.host.unix_board import SECTOR, UnixBoard

CONFIG = (2, 50, 8, 8, 8, 8, 8)


def use(board, times=1, kept=True):
    for i in range(times):
        record = board.insert([i << 16] + [1] * (board.config[0] - 1), i % 3, b"m%d" % i)
        board.put("n", b"%d" % i)
        if i % 10 == 9 or not kept:
            board.delete(record)


def test_what_it_answers_is_what_an_archive_answers(board, tmp_path):
    use(board, 25)
    asks = Query("records", "tag = 1", ("id", "meta"), ("-id",))
    state, rows, why = board.state(), board.query(asks), board.explain("n")
    then = board.state(20)
    board.sync(tmp_path / "a")
    with quipu.open(tmp_path / "a") as memory:
        at = board.info()["seq"]
        assert (
            state.root() == memory.state(at).root()
            and then.root() == memory.state(20).root() != state.root()
        )
        assert rows == memory.query(asks, at) and len(rows) > 5
        told = memory.explain("n", at)
        assert why["is"] == told["is"] and [each["seq"] for each in why["frames"]] == [
            each["seq"] for each in told["frames"]
        ]
        with board.memory() as live:
            assert live.history("n", 5).versions == memory.history("n", 5).versions
            assert live.get("n", 20) == memory.get("n", 20) == board.get_at("n", 20)


def test_asking_changes_nothing_on_the_board_and_leaves_no_file(board, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    use(board, 5)
    before = board.info()
    board.state()
    board.query(Query("keys"))
    after = board.info()
    assert (after["seq"], after["head"], after["acknowledged"]) == (
        before["seq"],
        before["head"],
        before["acknowledged"],
    )
    assert not list(tmp_path.glob("quipu-*"))


def test_where_its_beginning_has_left_the_flash_a_snapshot_stands_in(unix, tmp_path):
    with quipu.connect(unix.port) as board:
        board.configure((4, 8, 0, 0, 4, 0, 1000))
        for i in range(999):
            board.put("k", bytes([i & 255]) * (900 + i % 100))
            if i % 10 == 9:
                board.sync(tmp_path / "a")  # the archive has everything: its answers are the truth
                if board.info()["first_seq"]:
                    break
        board.put("k", b"last")
        first, last = board.info()["first_seq"], board.info()["seq"]
        snapshot = max(board.info()["snapshots"])
        state, older = board.state(), board.state(snapshot)
        with pytest.raises(UsageError, match=f"quipu sync {unix.port} --archive DIR") as e:
            board.state(3)
        assert f"{unix.port} holds no frame of seq 3: its frames are seq {first} to {last}" in str(
            e.value
        )
        assert "/quipu-" not in str(e.value)
        with pytest.raises(UsageError, match=f"no state for seq {first}.*quipu sync"):
            board.state(first)
        board.sync(tmp_path / "a")
        with quipu.open(tmp_path / "a") as memory:
            assert (
                state.root() == memory.state(last).root()
                and older.root() == memory.state(snapshot).root()
            )


def test_a_board_without_a_log_and_what_is_not_there(unix):
    with quipu.connect(unix.port) as board:
        with pytest.raises(NotFound, match="configure"):
            board.state()
        board.configure(CONFIG)
        with pytest.raises(NotFound, match="none"):
            board.explain("none")


def test_damage_in_the_middle_ends_what_is_answered(unix, board):
    use(board, 120, kept=False)
    board.close()
    unix.kill()
    flash = bytearray(unix.flash.read_bytes())
    with UnixBoard(unix.flash) as again, quipu.connect(again.port) as board:
        whole = board.info()
    sectors = [i for i in range(0, len(flash), SECTOR) if flash[i + 200] != 0xFF]
    flash[sectors[-2] + 300] ^= 1
    assert len(sectors) > 2
    unix.flash.write_bytes(flash)
    with UnixBoard(unix.flash) as again, quipu.connect(again.port) as board:
        info = board.info()
        assert info["damage"]
        if "seq" not in info:
            with pytest.raises(Damage):
                board.state()
        else:
            assert 0 < info["seq"] < whole["seq"] and board.state().root().hex() == info["root"]


def test_the_commands_take_a_port(unix, board):
    use(board, 12)
    seq = board.info()["seq"]
    board.close()
    assert answer("state", unix.port)["seq"] == seq
    assert answer("state", unix.port, "--at", 4)["counts"]["records"] == 2
    assert "n" in said("explain", unix.port, "n")
    rows = answer("query", unix.port, "records", "--where", "tag = 2", "--select", "id")["rows"]
    assert len(rows) == 4
    assert "quipu sync" in error("explain", unix.port, "n", "--at", seq + 9, code=2)[1]
    with quipu.connect(unix.port) as board:
        assert board.info()["seq"] == seq


def test_an_emulated_board_is_asked(tmp_path):
    """The firmware in QEMU, as it ships: the laptop's replay of what is on its flash is the state
    that it has in RAM."""
    with (
        Emulator("MPS2_AN386", tmp_path / "flash") as emulator,
        quipu.connect(emulator.port, timeout=30) as board,
    ):
        use(board, 8)  # it configured itself
        info = board.info()
        versions = board.history("n").versions
        assert board.state().root().hex() == info["root"]
        assert (
            [(row["name"], row["value"]) for row in board.query(Query("keys"))]
            == [("n", "7")]
            == [("n", board.get("n").decode())]
        )
        assert [each["seq"] for each in board.explain("n")["frames"]] == [
            seq for seq, _ in versions
        ][::-1]
        assert len(versions) == 8
        for seq, value in versions:
            assert board.state(seq).key(b"n")[1] == board.get_at("n", seq) == value
        assert board.info()["seq"] == info["seq"]


def test_a_name_that_is_neither(tmp_path):
    assert error("state", Path(tmp_path / "none"), code=2)[0] == "NoArchive"
    assert error("state", "--archive", tmp_path / "none", code=2)[0] == "NoArchive"


def test_a_log_that_continues_another_one(unix, tmp_path):
    """It begins at its genesis, whose snapshot stands in for what was before: asked live, and
    copied from archive to archive."""
    with quipu.connect(unix.port) as board:
        board.configure(CONFIG)
        use(board, 6)
        board.sync(tmp_path / "old")
    with UnixBoard(tmp_path / "other") as other, quipu.connect(other.port) as board:
        restore(board, tmp_path / "old")
        use(board, 2)
        first, root = board.info()["first_seq"], board.info()["root"]
        assert first > 12 and board.state().root().hex() == root
        board.sync(tmp_path / "new")
        for _ in range(2):  # the genesis's own snapshot has left the flash then
            use(board, 1)
            board.snapshot()
        info = board.info()
        assert board.state().root().hex() == info["root"] and first not in info["snapshots"]
        board.sync(tmp_path / "new")
        done = merge(tmp_path / "new", tmp_path / "copy")
        assert done.gaps == [] and done.frames > 4
        assert merge(tmp_path / "new", tmp_path / "copy").gaps == []
        assert (
            quipu.verify(tmp_path / "copy", board).verdict
            == quipu.verify(tmp_path / "new", board).verdict
            == "match"
        )
