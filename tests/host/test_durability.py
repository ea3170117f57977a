"""What is told to be safe is on the disk; who writes is alone; what stood in a file stays until
another one is whole. Cases 04, 05, 06 and 18; every system call at once is in test_disk_faults.py."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import quipu
from quipu import locks
from quipu.archive import disk as door
from quipu.archive.files import Archive
from quipu.board.sync import pull
from quipu.cli import main as cli
from quipu.errors import ArchiveError, OtherLog, QuipuError, Weaker

from tests.host.faulty_disk import Disk
from tests.host.ram_board import RamBoard
from tests.host.sample import RamFlash, begin, every_type, sample, wander

ROOT = Path(__file__).resolve().parents[2]


def flash(entropy=bytes(range(16))):
    made = RamFlash()
    store = begin(made, entropy)
    every_type(store)
    wander(store, 60)
    store.take_snapshot()
    return bytes(made.memory)


@pytest.fixture(autouse=True)
def unsaid(monkeypatch):
    monkeypatch.setattr(door, "_said", set())


# -- case 04 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("killed", (False, True))
def test_case_04_what_an_fsync_failed_on_is_never_told_to_be_safe(tmp_path, monkeypatch, killed):
    """The first sync pulls every frame, but none comes onto the disk: every fsync of them fails, or
    the process is killed before. The second one finds all of them, pulls none, and yet its word to
    the board is true."""
    (tmp_path / "disk").mkdir()
    disk, path = Disk(tmp_path / "disk"), tmp_path / "disk" / "a"
    told = []

    def hear(seq):
        left = disk.left(tmp_path / f"left{len(told)}") / "a"
        told.append((seq, Archive(left).scan().chain.seq))

    board = RamBoard(flash(), hear)

    def fails(file):
        raise KeyboardInterrupt if killed else OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        disk.install(patch)
        with patch.context() as failing:
            failing.setattr(door, "sync_file", fails)
            with pytest.raises(KeyboardInterrupt if killed else ArchiveError):
                pull(board, path)
        assert not told and Archive(path).note() is None
        if not killed:  # so it was: the system takes the bytes for written from now on
            for each in disk._due:
                each.clear()
        held = Archive(path).scan().chain.seq
        result = pull(board, path)
    assert result.frames < 8 < held, "it has pulled them again, so this proves nothing"
    assert told and all(left >= seq - 1 for seq, left in told), told
    assert quipu.verify(path, board=board).verdict == "match"


def test_case_04_a_note_is_written_only_after_the_frames_of_all_segments_are_safe(tmp_path):
    """A gap that is met in the middle of a pull begins a new file; the one before it is due too."""
    archive, _ = sample(tmp_path / "a")
    synced = []
    real = door.sync_file
    archive.append(b"")
    archive.add_segment(archive.note().seq + 9, bytes(32))
    archive.append(b"x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door, "sync_file", lambda file: (synced.append(file.name), real(file))[1])
        archive.flush()
        assert synced == [archive.file(each).name for each in archive.segments]
        archive.append(b"y")
        archive.flush()
    assert synced[2:] == [archive.file(archive.segments[-1]).name]


# -- case 05 ---------------------------------------------------------------------------------------


def meeting(folder, at, patch, mine, other):
    """Sync a board into a new archive, and another one at the system call `at` of that; return
    (calls, errors, the boards that were told something, the others)."""
    folder.mkdir()
    disk, heard, errors, calls = Disk(folder), [], [], []
    first = RamBoard(mine, lambda seq: heard.append(first))
    second = RamBoard(other, lambda seq: heard.append(second))

    def syncs(board):
        try:
            pull(board, folder / "a")
        except QuipuError as error:
            errors.append(error)

    def comes_in(name, path):
        calls.append(name)
        if len(calls) == at + 1:
            syncs(second)

    disk.install(patch)
    patch.setattr(disk, "_count", comes_in)
    syncs(first)
    told = [each for each in (first, second) if each in heard]
    return calls, errors, told, [each for each in (first, second) if each not in told]


def test_case_05_of_two_boards_and_one_new_archive_one_is_refused(tmp_path, monkeypatch):
    """The second board's sync comes in at each system call of the first one's: an archive of two
    boards never is, and who was refused has told its board nothing and asked it for nothing."""
    mine, other = flash(), flash(b"another sixteen!")
    met = times = 0
    for at in range(0, 1000, 7):  # of about 150; each takes two syncs
        folder = tmp_path / str(at)
        with monkeypatch.context() as patch:
            calls, errors, told, refused = meeting(folder, at, patch, mine, other)
        if len(calls) <= at:
            break
        times += 1
        assert len(errors) == len(told) == len(refused) == 1 and refused[0].asked == 0, errors
        assert quipu.verify(folder / "a", board=told[0]).verdict == "match"
        writing = "another process" in str(errors[0])
        assert writing or isinstance(errors[0], OtherLog)  # before the other one began, or after
        met += writing
    assert times > 10 and met > 8, (times, met)


def test_case_05_an_archive_is_read_again_once_it_is_held(tmp_path):
    """Another process has begun a segment since it was opened: it is not forgotten."""
    archive, _ = sample(tmp_path / "a")
    stale = Archive(archive.path)
    archive.add_segment(archive.note().seq + 9, bytes(32))
    with stale.locked():
        assert stale.segments == archive.segments


def test_case_05_a_lock_on_a_file_that_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    real = fcntl.flock
    path = tmp_path / "lock"

    def removes(handle, how):
        real(handle, how)
        monkeypatch.setattr(fcntl, "flock", real)
        path.unlink()

    monkeypatch.setattr(fcntl, "flock", removes)
    with locks.take(path):
        assert path.exists() and locks.take(path) is None


def test_a_folder_that_was_made_for_a_sync_that_failed_goes_again(tmp_path):
    board = RamBoard(flash())
    board.snapshot_header = lambda: 1 // 0
    with pytest.raises(ZeroDivisionError):
        pull(board, tmp_path / "above" / "a")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_half_written_goes_with_the_next_one(tmp_path):
    archive, _ = sample(tmp_path / "a")
    left = [tmp_path / "a" / name / ".quipu-1.part" for name in ("", "frames", "snapshots")]
    for each in left:
        each.write_bytes(b"half")
    assert quipu.verify(archive.path).verdict == "match"
    with archive.locked():
        assert not any(each.exists() for each in left)


# -- case 06 ---------------------------------------------------------------------------------------


def nfs(real):
    """As NFS: an exclusive lock needs a file that may be written."""

    def flock(handle, how):
        if how & fcntl.LOCK_EX and fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(handle, how)

    return flock


def refusing(code):
    def flock(handle, how):
        raise OSError(code, os.strerror(code))

    return flock


def test_case_06_locks_are_on_files_that_may_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", nfs(fcntl.flock))
    board = RamBoard(flash())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pull(board, tmp_path / "a").created
        with quipu.open(tmp_path / "a") as memory:
            assert memory.history("name").versions and not memory.index.own
    assert quipu.verify(tmp_path / "a", board=board).verdict == "match"


@pytest.mark.parametrize("code", ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL"))
def test_case_06_without_locks_all_works_and_that_is_said_once(tmp_path, monkeypatch, code):
    monkeypatch.setattr(fcntl, "flock", refusing(getattr(errno, code)))
    board = RamBoard(flash())
    with pytest.warns(Weaker, match="has no locks") as said:
        pull(board, tmp_path / "a")
        pull(board, tmp_path / "a")
    assert len(said) == 1
    assert quipu.verify(tmp_path / "a", board=board).verdict == "match"
    with quipu.open(tmp_path / "a") as memory:
        assert memory.history("name").versions and memory.index.own


def test_case_06_a_person_reads_what_is_weaker(tmp_path, monkeypatch, capsys):
    source, _ = sample(tmp_path / "a")
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    assert cli.main(["sync", str(source.path), "--archive", str(tmp_path / "b")]) == 0
    told = capsys.readouterr().err
    assert f"quipu: warning: {tmp_path / 'b'}: this file system has no locks" in told


def test_case_06_another_error_of_a_lock_is_told_as_what_it_is(tmp_path, monkeypatch):
    board = RamBoard(flash())
    monkeypatch.setattr(fcntl, "flock", refusing(errno.EIO))
    with pytest.raises(ArchiveError, match="Input/output error"):
        pull(board, tmp_path / "a")
    assert board.asked == 0
    Archive.need_room(tmp_path / "a")


def test_case_06_a_folder_that_cannot_be_fsynced_is_said_once(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    board = RamBoard(flash())
    with pytest.warns(Weaker, match="cannot say when a file's name") as said:
        pull(board, tmp_path / "a")
    assert len(said) == len({str(each.message) for each in said}) <= 4
    assert quipu.verify(tmp_path / "a", board=board).verdict == "match"


# -- case 18 ---------------------------------------------------------------------------------------

LIMIT = 256  # bytes that a file may have, as on a disk that is full


@pytest.mark.parametrize(
    "verb",
    (
        ("report", "-o", "out.html"),
        ("export", "-o", "out.jsonl"),
        ("export", "-o", "out.npy"),
        ("export", "-o", "out.parquet"),
        ("query", "records", "--format", "csv", "-o", "out.csv"),
        ("query", "records", "--format", "arrow", "-o", "out.arrow"),
    ),
    ids=lambda verb: verb[-1],
)
def test_case_18_on_a_full_disk_what_stood_there_stays(tmp_path, verb):
    if verb[-1].endswith(("parquet", "arrow")):
        pytest.importorskip("pyarrow")
    archive = large(tmp_path)
    old = tmp_path / "out" / verb[-1]
    old.parent.mkdir()
    old.write_bytes(b"what stood here")
    command = [sys.executable, "-m", "quipu.cli", verb[0], archive, *verb[1:-1], old]

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))

    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}"}
    for act, code in ((full, 1), (None, 0)):
        done = subprocess.run(
            list(map(str, command)),
            preexec_fn=act,
            env=environment,
            capture_output=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == code and b"Traceback" not in done.stderr, done.stderr
        assert [each.name for each in old.parent.iterdir()] == [verb[-1]]
        assert (old.read_bytes() == b"what stood here") is (act is full)
    assert old.stat().st_size > LIMIT, "there was room, so this proves nothing"


def large(folder):
    """Make an archive of which every form has more than LIMIT bytes."""
    from tests.host.past import Log

    log = Log()
    for i in range(16):
        log.insert(i, i * 7919 % 1000, i, b"%d" % (i * 6007))
    for i in range(200):
        log.put(f"k{i % 8}", str(i))
    return log.archive(folder / "archive")


def test_an_output_keeps_its_mode_and_the_symlink_that_leads_to_it(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    door.put(link, [b"new"])
    assert link.is_symlink() and real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_an_output_that_is_a_stream_is_written_as_it_comes(tmp_path):
    archive = sample(tmp_path / "a")[0].path
    for output in ("/dev/stdout", "/dev/fd/1"):
        done = subprocess.run(
            [sys.executable, "-m", "quipu.cli", "export", str(archive), "--format", "jsonl"]
            + ["-o", output],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}"},
            capture_output=True,
            check=True,
            timeout=100,
        )
        assert done.stdout.startswith(b'{"seq"')
    door.put(os.devnull, [b"gone"])
    assert not Path(os.devnull).is_file()
