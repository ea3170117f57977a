"""A pull may break anywhere and be gone on with; what it keeps is checked; a wrong archive or board
is refused untouched."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
import quipu
from quipu.archive.files import Archive
from quipu.board import link
from quipu.build.emulator import Emulator
from quipu.errors import (
    ArchiveDamage,
    ArchiveError,
    NotFound,
    OtherLog,
    PortError,
    QuipuError,
    RolledBack,
)
from quipu.install import files as deploy
from quipu.install.flash import flash as flash_board

from tests.host.unix_board import Flip, Lose, UnixBoard, Wire
from tests.quick import long

CONFIG = (4, 200, 8, 8, 8, 8, 8)
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("impatient")


def fill(board, count, start=0):
    for i in range(start, start + count):
        board.insert([i, -i, i << 16, 0], i % 3, b"%d" % i)


def tree(path):
    """Return {name: content} of a folder."""
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in sorted(Path(path).rglob("*"))
        if p.is_file()
    }


def frames_of(path):
    return tree(path)["frames/0000000000.log"]


class Break:
    """The cable is pulled after `count` bytes from the board."""

    def __init__(self, count):
        self.left = count

    def __call__(self, data):
        self.left -= len(data)
        if self.left < 0:
            raise OSError("the cable was pulled")
        return data


# -- a pull ----------------------------------------------------------------------------------------


def test_a_first_sync_and_those_after_it(board, tmp_path):
    fill(board, 150)
    covered = board.snapshot()
    told = []
    first = board.sync(tmp_path / "a", progress=lambda done, total: told.append((done, total)))
    assert first.created and first.frames == first.seq + 1 and first.snapshot == covered
    assert first.log_bytes == len(frames_of(tmp_path / "a"))
    assert first.log_bytes < first.wire_bytes <= 1.20 * first.log_bytes, (
        first.wire_bytes / first.log_bytes
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] > first.log_bytes and all(
        done <= total for done, total in told
    )
    verdict = quipu.verify(tmp_path / "a", board=board)
    assert verdict.verdict == "match" and verdict.snapshots == 1 and verdict.live["ahead"] == 0
    assert verdict.live["root"] == verdict.state_root and verdict.chain_head == first.head
    info = board.info()
    assert (info["seq"], info["head"], info["root"]) == (first.seq, first.head, first.root)
    assert first.seq <= info["acknowledged"] <= first.seq + 1, (
        "the last frame may be the one that notes it"
    )

    again = board.sync(tmp_path / "a")
    assert not again.created and again.frames == again.log_bytes == 0 and again.snapshot is None
    assert (again.seq, again.head, again.root) == (board.info()["seq"], first.head, first.root)
    board.insert([1, 2, 3, 4])
    third = board.sync(tmp_path / "a")
    assert 3 <= third.frames <= 4 and quipu.verify(tmp_path / "a", board=board).verdict == "match"
    assert Archive(tmp_path / "a").note().seq == third.seq
    fresh = board.sync(tmp_path / "b")
    assert (
        frames_of(tmp_path / "b").startswith(frames_of(tmp_path / "a"))
        and fresh.frames == third.seq + 3
    )


def test_a_clock_frame_and_a_checkpoint_come_with_each_sync(board, tmp_path):
    before = time.time_ns() // 1_000_000
    board.sync(tmp_path / "a")
    last = [bytes(each) for each in Archive(tmp_path / "a").frames()][-2:]
    assert [each[1] for each in last] == [0x84, 0x03]
    wall = int.from_bytes(last[0][12:20], "little")
    assert (
        before <= wall <= time.time_ns() // 1_000_000
        and 0 < int.from_bytes(last[0][20:24], "little") < 10_000
    )


def test_a_board_without_a_log(unix, tmp_path):
    with quipu.connect(unix.port) as board, pytest.raises(NotFound, match="configure"):
        board.sync(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_folder_with_something_else_in_it(board, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"x")
    before = board.info()["seq"]
    with pytest.raises(ArchiveError, match="photo.jpg"):
        board.sync(tmp_path / "mine")
    assert (
        list((tmp_path / "mine").iterdir()) == [tmp_path / "mine" / "photo.jpg"]
        and board.info()["seq"] == before
    )


def test_the_board_goes_on_recording_meanwhile(tmp_path):
    with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
        board.configure(CONFIG)
        fill(board, 100)
    with UnixBoard(tmp_path / "flash", "app") as unix, quipu.connect(unix.port) as board:
        at_start = board.info()["seq"]
        for _ in range(3):
            result = board.sync(tmp_path / "a")
            assert result.seq > at_start
            assert board.info()["seq"] > result.seq or int(board.get("n")) > 0
            verdict = quipu.verify(tmp_path / "a", board=board)
            assert verdict.verdict == "match" and verdict.live["ahead"] >= 0, verdict
            at_start = result.seq
        assert quipu.verify(tmp_path / "a").state_root == result.root


# -- broken pulls ----------------------------------------------------------------------------------


def test_a_pull_broken_at_any_chunk(board, tmp_path):
    """The cable comes out again and again, each time a little later in what the board sends;
    nothing is lost or doubled."""
    fill(board, 120)
    board.snapshot()
    port = board.link._port
    path = tmp_path / "a"
    breaks, cut, seen = 0, 200, b""
    while True:
        board.link._port = Wire(port, up=Break(cut))
        try:
            board.sync(path)
            break
        except PortError as e:
            assert "cable" in str(e)
            breaks += 1
            cut += 311
        finally:
            board.link._port = port
            drain(board)
        if path.exists():
            now = frames_of(path)
            assert now.startswith(seen)
            seen = now
            scan, note = Archive(path).scan(), Archive(path).note()
            # the acknowledgement may be what broke
            assert scan.excess == 0 and (note is None or note.seq == scan.chain.seq)
            if now:
                assert quipu.verify(path).verdict == "match"  # of what is there
    assert breaks > 15
    whole = board.sync(tmp_path / "whole")
    board.sync(path)
    fresh = board.sync(tmp_path / "fresh")
    assert fresh.seq == whole.seq + 4
    board.sync(path)
    assert frames_of(path)[: fresh.log_bytes] == frames_of(tmp_path / "fresh")
    assert (
        {name: data for name, data in tree(path).items() if "snap" in name}
        == {name: data for name, data in tree(tmp_path / "fresh").items() if "snap" in name}
        != {}
    )
    assert quipu.verify(path, board=board).verdict == "match"


def drain(board):
    """What the board had sent when the cable came out is gone."""
    board.link._port.reset_input_buffer()
    board.link._reader.buffer.clear()


def test_a_broken_pull_of_a_snapshot_goes_on_where_it_was(board, tmp_path):
    fill(board, 60)
    covered = board.snapshot()
    path = tmp_path / "a"
    size = len(Archive_snapshot(board))
    port = board.link._port

    def after_two_parts(done, total):
        if (path / "snapshots" / f"{covered:010d}.part").exists() and done > frames_bytes(
            path
        ) + 2100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        board.sync(path, progress=after_two_parts)
    kept = (path / "snapshots" / f"{covered:010d}.part").stat().st_size
    assert 2000 < kept < size and Archive(path).snapshots() == []
    asked = []
    real = board.snapshot_data
    board.snapshot_data = lambda slot, generation, offset, n: (
        asked.append(offset) or real(slot, generation, offset, n)
    )
    board.sync(path)
    assert asked[0] == kept - 124 and Archive(path).snapshots() == [covered]
    assert quipu.verify(path, board=board).snapshots == 1
    assert not list(path.glob("snapshots/*.part")) and port is board.link._port


def frames_bytes(path):
    return (path / "frames" / "0000000000.log").stat().st_size


def Archive_snapshot(board):
    slot, header = board.snapshot_header()
    generation, length = (int.from_bytes(header[at : at + 4], "little") for at in (16, 20))
    data = header
    while len(data) < len(header) + length:
        data += board.snapshot_data(slot, generation, len(data) - len(header), 1024)
    return data


def test_a_sync_killed_in_the_middle_of_a_write(board, tmp_path, monkeypatch):
    """Half a run reached the disk: the torn frame is cut at the next sync, and reported."""
    fill(board, 60)
    path = tmp_path / "a"
    for keep in (1, 5, 13, 500):
        append = Archive.append

        def half(self, data, keep=keep, append=append):
            append(self, data[:keep])
            raise KeyboardInterrupt

        monkeypatch.setattr(Archive, "append", half)
        with pytest.raises(KeyboardInterrupt):
            board.sync(path)
        monkeypatch.setattr(Archive, "append", append)
        assert quipu.verify(path).verdict == "match" if keep == 500 else frames_of(path)
        excess = Archive(path).scan().excess
        assert excess > 0
        result = board.sync(path)
        assert result.cut == excess and quipu.verify(path, board=board).verdict == "match"
        board.put("n", b"1")
        shutil.rmtree(path)


def test_a_process_that_is_killed(unix, board, tmp_path):
    fill(board, 150)
    board.close()
    code = (
        "import sys, os, quipu\n"
        "board = quipu.connect(sys.argv[1])\n"
        "board.sync(sys.argv[2], progress=lambda done, total: done > int(sys.argv[3]) and "
        "os.kill(os.getpid(), 9))\n"
    )
    path = tmp_path / "a"
    for limit in (1000, 2000, 1500):
        done = subprocess.run(
            [sys.executable, "-c", code, unix.port, path, str(limit)],
            check=False,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}"},
        )
        assert done.returncode == -signal.SIGKILL
        assert Archive(path).note() is None and len(frames_of(path)) > limit
    with quipu.connect(unix.port) as board:
        assert board.sync(path).frames > 0
        assert quipu.verify(path, board=board).verdict == "match"


def syncing(port, path, delay=None, limit=None):
    """Fork a process that syncs; kill it after `delay` seconds, or let no file of its grow beyond
    `limit`. Return its status: 6 << 8 if the board, on a busy machine, let an impatient one wait
    too long."""
    child = os.fork()
    if not child:
        code = 4
        try:
            if delay is None:
                link._FIRST_WAIT_S = link._STALL_S = 5.0
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with quipu.connect(port) as board:
                board.sync(path)
            code = 0
        except ArchiveError as e:
            code = 3 if "make room" in str(e) else 5
        except PortError:
            code = 6
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if delay is not None:
        time.sleep(delay)  # when it dies is the test's input, not something that is waited for
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def test_a_kill_at_any_moment_leaves_a_valid_archive(unix, board, tmp_path):
    """100 kills (30 in a quick run) at random moments; each sync goes on from what the one before
    left, or begins again when it was complete."""
    fill(board, 120)
    board.snapshot()
    board.close()
    path, rng = tmp_path / "a", random.Random(11)
    begun = time.perf_counter()
    assert syncing(unix.port, tmp_path / "once") == 0
    takes = time.perf_counter() - begun
    reached, kills = set(), 0
    while kills < long(100, 30):
        status = syncing(unix.port, path, rng.random() * takes)
        assert status in (0, signal.SIGKILL, 6 << 8)
        kills += status == signal.SIGKILL
        if not (path / "archive.json").exists():
            continue
        archive = Archive(path)
        archive.scan()
        held = frames_of(path)
        whole = frames_of(tmp_path / "once")
        assert held[: len(whole)] == whole[: len(held)]
        verdict = quipu.verify(path)
        assert verdict.verdict == "match" or not held
        reached.add((verdict.seq, verdict.snapshots, verdict.note))
        if archive.note():
            shutil.rmtree(path)
    assert len(reached) > long(5, 3), reached
    with quipu.connect(unix.port) as board:
        board.sync(path)
        assert quipu.verify(path, board=board).verdict == "match"


@pytest.mark.parametrize("limit", (100, 1000, 3000, 4000))
def test_a_full_disk_is_said_and_leaves_a_valid_archive(unix, board, tmp_path, limit):
    fill(board, 120)
    board.snapshot()
    board.close()
    path = tmp_path / "a"
    assert syncing(unix.port, path, limit=limit) == 3 << 8
    if (path / "archive.json").exists():
        Archive(path).scan()
        assert Archive(path).note() is None
        assert quipu.verify(path).verdict == "match" or not frames_of(path)
    with quipu.connect(unix.port) as board:
        board.sync(path)
        assert quipu.verify(path, board=board).verdict == "match"


def test_a_sync_of_nothing_new_costs_under_200_bytes_and_no_frame(board, tmp_path):
    fill(board, 150)
    first = board.sync(tmp_path / "a")
    frames, noted = frames_of(tmp_path / "a"), Archive(tmp_path / "a").note()
    link, before = board.link, board.link.sent + board.link.received
    again = board.sync(tmp_path / "a")
    used = link.sent + link.received - before
    assert 40 < used == again.wire_bytes < 200
    assert (again.seq, again.frames, board.info()["seq"]) == (
        first.seq,
        0,
        first.seq,
    ) and frames_of(tmp_path / "a") == frames
    assert Archive(tmp_path / "a").note().time >= noted.time
    board.put("n", b"1")
    assert board.sync(tmp_path / "a").frames >= 3


def test_a_sync_of_nothing_new_says_again_that_all_is_safe(board, tmp_path, monkeypatch):
    """The acknowledgement of the sync before got lost with the cable: a full log would otherwise
    stay full."""
    fill(board, 60)

    def lost(seq):
        raise PortError("the cable was pulled")

    with monkeypatch.context() as m:
        m.setattr(board, "acknowledge", lost)
        with pytest.raises(PortError):
            board.sync(tmp_path / "a")
    noted = Archive(tmp_path / "a").note()
    assert noted.seq == board.info()["seq"] and board.info()["acknowledged"] == 0
    board.sync(tmp_path / "a")
    assert board.info()["acknowledged"] == noted.seq + 1


def test_the_board_loses_power_during_a_pull(board, unix, tmp_path):
    fill(board, 190)
    path = tmp_path / "a"

    def cut(done, total):
        unix.process.kill()
        unix.process.wait()

    with pytest.raises(PortError):
        board.sync(path, progress=cut)
    board.close()
    assert Archive(path).note() is None and frames_of(path)
    with UnixBoard(unix.flash) as again, quipu.connect(again.port) as board:
        board.sync(path)
        verdict = quipu.verify(path, board=board)
        assert verdict.verdict == "match" and verdict.boots == 2


@pytest.mark.parametrize("direction", ("up", "down"))
def test_damage_on_the_link(board, tmp_path, direction):
    """Bits flip and bytes go missing, many times in each pull: the result is right, or the error is
    a typed one."""
    fill(board, 60)
    board.snapshot()
    port = board.link._port
    rng = random.Random(7)
    right = failed = 0
    for turn in range(long(25, 8)):
        faults = [
            (Flip if rng.random() < 0.7 else Lose)(
                rng.randrange(200 if direction == "down" else 6000)
            )
            for _ in range(4)
        ]

        def all_of(data, faults=faults):
            for fault in faults:
                data = fault(data)
            return data

        board.link._port = Wire(port, **{direction: all_of})
        path = tmp_path / f"a{turn}"
        try:
            board.sync(path)
            right += 1
        except QuipuError:
            failed += 1
        board.link._port = port
        if path.exists():
            assert quipu.verify(path).verdict == "match" or not frames_of(path)
        board.sync(path)
        assert quipu.verify(path, board=board).verdict == "match"
    assert right > long(15, 2), (right, failed)


# -- the wrong archive, the wrong board ------------------------------------------------------------


def test_the_archive_of_another_board(board, tmp_path):
    board.sync(tmp_path / "a")
    before = tree(tmp_path / "a")
    with UnixBoard(tmp_path / "other") as unix, quipu.connect(unix.port) as other:
        other.configure(CONFIG)
        seq = other.info()["seq"]
        with pytest.raises(OtherLog, match="another folder") as e:
            other.sync(tmp_path / "a")
        assert e.value.exit_code == 1
        assert other.info()["seq"] == seq and tree(tmp_path / "a") == before
        verdict = quipu.verify(tmp_path / "a", board=other)
        assert verdict.verdict == "mismatch" and "log name" in verdict.first_divergence["what"]
    assert quipu.verify(tmp_path / "a", board=board).verdict == "match"


@pytest.fixture
def rolled_back(unix, board, tmp_path):
    """A board whose flash was put back to what it was at some seq, and an archive from later; gives
    a function that starts it."""
    fill(board, 40)
    board.close()
    unix.kill()
    shutil.copy(unix.flash, tmp_path / "old")
    with UnixBoard(unix.flash) as later, quipu.connect(later.port) as board:
        fill(board, 30, 500)
        board.sync(tmp_path / "a")
    return UnixBoard(tmp_path / "old")


def test_a_board_that_was_rolled_back(rolled_back, tmp_path):
    before = tree(tmp_path / "a")
    with rolled_back as unix, quipu.connect(unix.port) as board:
        seq = board.info()["seq"]
        assert seq == 40
        # a boot frame and a checkpoint of the same millisecond are the same in both lives
        with pytest.raises(RolledBack, match=r"seq 4[123]\b") as e:
            board.sync(tmp_path / "a")
        assert 41 <= e.value.seq <= 43 and tree(tmp_path / "a") == before
        assert 41 < board.info()["seq"] <= 43, "a boot frame and a checkpoint, before it is read"
        verdict = quipu.verify(tmp_path / "a", board=board)
        assert verdict.verdict == "mismatch"
        assert verdict.first_divergence["seq"] == e.value.seq
        assert verdict.first_divergence["what"] == "log of the live board"


@pytest.mark.parametrize("more", (3, 31, 60))
def test_a_board_that_was_rolled_back_and_went_on(rolled_back, tmp_path, more):
    """Its log may be shorter than the archive, or longer: both part at the first frame after the
    roll-back."""
    with rolled_back as unix, quipu.connect(unix.port) as board:
        fill(board, more, 900)
        seq = board.info()["seq"]
        before = tree(tmp_path / "a")
        with pytest.raises(RolledBack, match="not the same|ends at") as e:
            board.sync(tmp_path / "a")
        # both wrote a boot frame and a checkpoint at 41 and 42; their ticks may be equal, the
        # records are not
        assert 41 <= e.value.seq <= 43
        assert board.info()["seq"] == seq and tree(tmp_path / "a") == before
        verdict = quipu.verify(tmp_path / "a", board=board)
        assert verdict.verdict == "mismatch" and verdict.first_divergence["seq"] == e.value.seq
        board.sync(tmp_path / "new")
        assert quipu.verify(tmp_path / "new", board=board).verdict == "match"


def test_nothing_new_is_not_said_where_the_board_ends_at_the_same_seq_with_other_frames(
    rolled_back, tmp_path
):
    path = tmp_path / "a"
    with rolled_back as unix, quipu.connect(unix.port) as board:
        while board.info()["seq"] < Archive(path).note().seq:
            board.put("n", b"%d" % board.info()["seq"])
        assert board.info()["seq"] == Archive(path).note().seq
        with pytest.raises(RolledBack, match=r"seq 4[123]\b"):
            board.sync(path)


def test_a_board_that_says_what_its_log_does_not(board, tmp_path):
    """The live root and head are held to the replay: a board that states others is not believed."""
    fill(board, 20)
    board.sync(tmp_path / "a")
    real = board.info
    for field in ("root", "head"):

        def other(field=field):
            info = real()
            return {**info, field: "00" * 32}

        board.info = other
        verdict = quipu.verify(tmp_path / "a", board=board)
        assert verdict.verdict == "mismatch"
        board.insert([1, 2, 3, 4])
        verdict = quipu.verify(tmp_path / "a", board=board)
        assert verdict.verdict == "mismatch" and "board" in verdict.first_divergence["what"]
        board.info = real
        board.sync(tmp_path / "a")
    board.insert([1, 2, 3, 4])
    verdict = quipu.verify(tmp_path / "a", board=board)
    assert verdict.verdict == "match" and verdict.live["ahead"] == 1


def test_a_sync_whose_end_is_not_what_the_board_said_keeps_nothing(board, tmp_path):
    fill(board, 40)
    board.sync(tmp_path / "a")
    before = tree(tmp_path / "a")
    fill(board, 30)
    real = board.info
    calls = []

    def later():
        calls.append(1)
        return {**real(), "head": "00" * 32} if len(calls) > 1 else real()

    board.info = later
    with pytest.raises(QuipuError, match="chain head of the board"):
        board.sync(tmp_path / "a")
    board.info = real
    assert len(calls) > 1
    assert tree(tmp_path / "a") == before
    board.sync(tmp_path / "a")
    assert quipu.verify(tmp_path / "a", board=board).verdict == "match"


def test_a_damaged_archive_is_not_added_to(board, tmp_path):
    fill(board, 40)
    board.sync(tmp_path / "a")
    file = tmp_path / "a" / "frames" / "0000000000.log"
    whole = file.read_bytes()
    seq = board.info()["seq"]
    for broken in (whole[:900] + bytes([whole[900] ^ 4]) + whole[901:], whole[:-1], whole[:-44]):
        file.write_bytes(broken)
        before = tree(tmp_path / "a")
        with pytest.raises(ArchiveDamage) as e:
            board.sync(tmp_path / "a")
        assert 0 < e.value.seq <= seq
        assert tree(tmp_path / "a") == before and board.info()["seq"] == seq
    file.write_bytes(whole)
    board.sync(tmp_path / "a")


# -- recycled frames, damaged flash ----------------------------------------------------------------


def test_frames_that_were_recycled_leave_a_declared_gap(unix, tmp_path):
    with quipu.connect(unix.port) as board:
        board.configure((4, 8, 0, 0, 4, 0, 1000), policy=1)  # overwrite
        for i in range(20):
            board.put("k", bytes([i]) * 1000)
        first = board.sync(tmp_path / "a")
        i = 0
        while board.info()["first_seq"] <= first.seq + 1:
            board.put("k", bytes([i & 255]) * (900 + i % 100))
            i += 1
        verdict = quipu.verify(tmp_path / "a", board=board)
        assert verdict.verdict == "gap" and verdict.gaps[0][0] == first.seq + 1
        result = board.sync(tmp_path / "a")
        assert result.gap == [first.seq + 1, board.info()["first_seq"] - 1]
        verdict = quipu.verify(tmp_path / "a", board=board)
        assert verdict.verdict == "gap" and verdict.gaps == [result.gap] and verdict.exit_code == 1
        assert verdict.state_root == result.root and verdict.live["ahead"] == 0
        board.sync(tmp_path / "late")  # an archive that never had the beginning
        verdict = quipu.verify(tmp_path / "late", board=board, allow_gap=True)
        assert (
            verdict.verdict == "gap"
            and verdict.exit_code == 0
            and verdict.gaps == [[0, result.gap[1]]]
        )
        board.put("k", b"more")
        assert board.sync(tmp_path / "a").gap is None
        assert quipu.verify(tmp_path / "a", board=board).gaps == [result.gap]


def test_a_board_whose_flash_is_damaged_gives_what_is_before_it(unix, board, tmp_path):
    fill(board, 150)
    board.sync(tmp_path / "before")
    broken = [bytes(each) for each in Archive(tmp_path / "before").frames()][70]
    board.close()
    unix.kill()
    flash = bytearray(unix.flash.read_bytes())
    assert flash.count(broken) == 1
    flash[flash.index(broken) + 20] ^= 0x20
    unix.flash.write_bytes(flash)
    with UnixBoard(unix.flash) as again, quipu.connect(again.port) as board:
        info = board.info()
        assert info["damage"] and info["seq"] == 69
        result = board.sync(tmp_path / "a")
        assert result.damage == info["damage"] and result.seq == info["seq"]
        assert board.info()["acknowledged"] == 0
        verdict = quipu.verify(tmp_path / "a", board=board)
        assert verdict.verdict == "match" and verdict.live["damage"] == info["damage"]


# -- an emulated Cortex-M4 -------------------------------------------------------------------------

MAIN = """
import quipu
memory = quipu.start()
n = 0
while True:
    print("reading", n)
    record = memory.insert([n << 16] * 16, n & 3, b"%d" % n)
    if n > 50:
        memory.delete(record)
    n += 1
    memory.sleep_ms(1 if n < 200 else 40)
"""


def until(board, seq):
    """Return when the board's log has reached seq, by itself."""
    end = time.monotonic() + 60
    while board.info()["seq"] < seq:
        assert time.monotonic() < end, (
            f"stuck at seq {board.info()['seq']}: {bytes(board.link.printed[-200:])!r}"
        )


def test_an_emulated_board_that_records_is_pulled_and_killed(tmp_path, monkeypatch):
    # a machine that others use too makes silences, and each would be asked for again
    for name in ("_FIRST_WAIT_S", "_STALL_S", "_PIECE_STALL_S"):
        monkeypatch.setattr(f"quipu.board.link.{name}", 10)
    path = tmp_path / "a"
    with Emulator("MPS2_AN386", tmp_path / "flash", frozen=False) as emulator:
        flash_board(emulator.port, main=None)
        with deploy.opened(emulator.port) as repl:
            repl.write_file("/main.py", MAIN.encode())
        with quipu.connect(emulator.port, timeout=30) as board:
            # the last answer may hold up to 1 KiB that is newer than what was asked for
            until(board, 400)
            board.snapshot()
            result = board.sync(path)
            assert result.wire_bytes <= 1.25 * result.log_bytes and result.snapshot
            monkeypatch.undo()
            assert quipu.verify(path, board=board).verdict == "match"
            until(board, result.seq + 1)
            assert b"reading" in board.link.printed, "it never stopped"
            until(board, result.seq + 100)
            with pytest.raises(PortError):
                board.sync(path, progress=lambda done, total: emulator.kill())
        assert Archive(path).scan().chain.seq >= Archive(path).note().seq >= result.seq, (
            "what is noted is there"
        )
        assert Archive(path).scan().chain.seq > result.seq
        emulator.start()
        with quipu.connect(emulator.port, timeout=30) as board:
            after = board.sync(path)
            verdict = quipu.verify(path, board=board)
            assert (
                verdict.verdict == "match" and verdict.boots == 2 and after.seq > result.seq + 100
            )


def test_a_late_answer_to_a_program_that_is_gone_is_no_greeting(unix, monkeypatch):
    """Once in 64 it bears the id of our first request."""
    first = link.Link._greet
    for late in (b"", b"\xff\x00", b"7"):
        monkeypatch.setattr(
            link.Link, "_greet", lambda self, serve, late=late: first(self, serve) and late
        )
        with quipu.connect(unix.port) as board:
            assert board.protocol and board.protocol == board.info()["protocol"]
