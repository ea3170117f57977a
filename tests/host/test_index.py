"""The index: every moment equals a full replay from the genesis, nothing altered looks good, and no
break makes it wrong."""

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import quipu
from quipu.archive.files import Archive
from quipu.cli import ask
from quipu.errors import ArchiveDamage, ArchiveError, NotFound, UsageError
from quipu.past import index as indexes
from quipu.past import rows
from quipu.past.index import Index
from quipu.past.rows import KEY

from shared_kernel import frames, primitives
from shared_kernel.frames import length_at
from shared_kernel.replay import Replay
from tests import quick
from tests.host.sample import sample

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sample(tmp_path_factory.mktemp("made") / "a")[0].path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "a")


@pytest.fixture
def often(monkeypatch):
    """Keep states and places often, so that a short archive has many."""
    monkeypatch.setattr(indexes, "KEEP_EVERY", 16)
    monkeypatch.setattr(indexes, "_KEEP_SHARE", 1 << 20)
    monkeypatch.setattr(indexes, "PLACE_EVERY", 8)
    monkeypatch.setattr(indexes, "_BATCH", 50)


def truth(path):
    """Return (seq, root, head, arena) after every frame, by one replay from the genesis."""
    replay, out = Replay(), []
    for frame in Archive(path).frames():
        replay.step(frame)
        out.append(
            (replay.seq, replay.kernel.root(), replay.head, bytes(replay.kernel.arena.bytes))
        )
    return out


def log_of(path):
    return path / "frames" / "0000000000.log"


def alter(path, seq):
    """Alter a byte of a frame's payload; the log's first frame is seq 0."""
    whole = bytearray(log_of(path).read_bytes())
    at = 0
    for _ in range(seq):
        at += length_at(whole, at)
    whole[at + 14] ^= 1
    log_of(path).write_bytes(whole)


def tables(path):
    with sqlite3.connect(path / "index.sqlite") as db:
        return {
            name: db.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
            for name in rows.NAMES
        }


def test_every_moment_is_the_one_of_a_replay_from_the_genesis(path, often):
    index = Index(Archive(path))
    assert len(index.kept()) > 10
    expected = truth(path)
    assert len(expected) > 200
    for seq, root, head, arena in random.Random(1).sample(expected, len(expected)):
        replay = index.replay(seq)
        assert (
            replay.seq,
            replay.kernel.root(),
            replay.head,
            bytes(replay.kernel.arena.bytes),
        ) == (seq, root, head, arena)


def test_a_replay_begins_at_the_nearest_kept_state(path, often, monkeypatch):
    index = Index(Archive(path))
    steps = []
    step = Replay.step
    monkeypatch.setattr(Replay, "step", lambda self, frame: (steps.append(1), step(self, frame)))
    index.replay(200)
    assert 0 <= len(steps) <= 16


@pytest.mark.parametrize("pieces", (2, 5, 40))
def test_what_grew_piece_by_piece_is_what_was_made_at_once(path, tmp_path, pieces, often):
    Index(Archive(path)).close()
    whole = log_of(path).read_bytes()
    grown = shutil.copytree(
        path, tmp_path / "grown", ignore=shutil.ignore_patterns("index.sqlite*", "note.json")
    )
    for i in range(1, pieces + 1):
        # nearly always in the middle of a frame
        log_of(grown).write_bytes(whole[: len(whole) * i // pieces])
        Index(Archive(grown)).close()
    once, more = tables(path), tables(grown)
    for table in ("changes", "things", "places", "anchors"):
        assert more[table] == once[table] and more[table]
    index = Index(Archive(grown))
    for seq, root, *_ in truth(path)[::17]:
        assert index.replay(seq).kernel.root() == root


def test_a_rebuilt_index_is_the_same(path, often):
    Index(Archive(path)).close()
    before = tables(path)
    Index(Archive(path), rebuild=True).close()
    assert tables(path) == before


def test_an_altered_frame_is_refused_or_its_answers_stay_right(path, often):
    """With the index made before, whatever byte is altered afterwards."""
    Index(Archive(path)).close()
    expected = truth(path)
    whole = log_of(path).read_bytes()
    rng = random.Random(5)
    refused = right = 0
    for _ in range(150):
        at = rng.randrange(len(whole))
        broken = bytearray(whole)
        broken[at] ^= 1 << rng.randrange(8)
        log_of(path).write_bytes(broken)
        try:
            index = Index(Archive(path))
        except ArchiveError:
            refused += 1
            continue
        for seq in rng.sample(range(len(expected)), 6):
            try:
                assert index.replay(seq).kernel.root() == expected[seq][1]
                right += 1
            except (ArchiveDamage, UsageError):
                refused += 1
        index.close()
    assert refused > 20 and right > 200


def test_a_frame_altered_with_a_fitting_crc_is_refused(path, often):
    """Its digest and the chain tell it apart, though it looks whole."""
    archive = Archive(path)
    index = Index(archive)
    change = index.changes(KEY, b"name", 1000)[-1]
    files = {}
    frame = bytearray(index.frame(KEY, b"name", change, files))
    frame[-8] ^= 1
    frame[-4:] = frames.words_bytes((primitives.crc32(frame[:-4], frames.seed(archive.log)),))
    data = bytearray(log_of(path).read_bytes())
    data[change.place : change.place + len(frame)] = frame
    log_of(path).write_bytes(data)
    index = Index(Archive(path))
    with pytest.raises(ArchiveDamage, match=f"seq {change.seq}: frame"):
        index.frame(KEY, b"name", change, {})
    with pytest.raises(ArchiveDamage):
        for seq in range(change.seq, change.seq + 16):
            index.replay(seq)


def test_a_damaged_archive_answers_up_to_the_damage_and_says_from_where(path, often):
    expected = truth(path)
    alter(path, 100)
    with quipu.open(path) as memory:
        assert memory.damage.seq == 100
        assert memory.moment().seq == 99
        for seq in (0, 50, 99):
            assert memory.state(seq).root() == expected[seq][1]
        for seq in (100, 150):
            with pytest.raises(ArchiveDamage, match="seq 100: frame CRC"):
                memory.state(seq)


def test_damage_that_came_after_the_index_ends_what_is_answered(path, monkeypatch):
    monkeypatch.setattr(indexes, "PLACE_EVERY", 1 << 20)  # the end is proved from the beginning on
    expected = truth(path)
    Index(Archive(path)).close()
    alter(path, 100)
    with quipu.open(path) as memory:
        assert memory.moment().seq == 99 and memory.damage.seq == 100
        for seq in (0, 50, 99):
            assert memory.state(seq).root() == expected[seq][1]
        with pytest.raises(ArchiveDamage, match="seq 100: frame CRC"):
            memory.state(100)
    with pytest.raises(NotFound, match="at seq 99; damaged after that: .* seq 100: frame CRC"):
        ask.get(str(path), b"no such key", None)


def test_what_only_the_index_can_tell_from_the_frames_is_not_answered(path):
    """An altered frame whose CRC fits: an index made of the frames as they are now would take
    it."""
    archive = Archive(path)
    Index(archive).close()
    parts = [bytearray(each) for each in archive.frames()]
    parts[3][8] ^= 1  # its tick
    parts[3][-4:] = frames.words_bytes((primitives.crc32(parts[3][:-4], frames.seed(archive.log)),))
    log_of(path).write_bytes(b"".join(parts))
    with quipu.open(path) as memory, pytest.raises(ArchiveDamage):
        memory.moment(3)


def test_another_log_in_its_place_makes_the_index_anew(path, often):
    Index(Archive(path)).close()
    whole = log_of(path).read_bytes()
    (path / "note.json").unlink()
    at = 0
    for _ in range(120):
        at += length_at(whole, at)
    log_of(path).write_bytes(whole[:at])
    index = Index(Archive(path))
    assert index.progress.seq == 119 and index.damage is None
    assert not [row for row in tables(path)["changes"] if row[1] > 119]


def test_a_kept_state_that_rotted_is_refused(path, often):
    """Each bit flipped in it is refused, or (deflate has a few bits that mean nothing) changes no
    byte of the state."""
    Index(Archive(path)).close()
    seq, root = 31, truth(path)[31][1]
    with sqlite3.connect(path / "index.sqlite") as db:
        (packed,) = db.execute("SELECT arena FROM kept WHERE seq = ?", (seq,)).fetchone()
    refused = 0
    for at in range(0, len(packed), 5):
        with sqlite3.connect(path / "index.sqlite") as db:
            db.execute(
                "UPDATE kept SET arena = ? WHERE seq = ?",
                (packed[:at] + bytes([packed[at] ^ 4]) + packed[at + 1 :], seq),
            )
        index = Index(Archive(path))
        try:
            assert index.replay(seq).kernel.root() == root
        except ArchiveError as e:
            assert "--rebuild" in str(e)
            refused += 1
        index.close()
    assert refused > len(packed) // 5 * 0.9
    assert Index(Archive(path), rebuild=True).replay(seq).kernel.root() == root


def test_a_row_that_is_gone_is_noticed(path, often):
    Index(Archive(path)).close()
    with quipu.open(path) as memory:
        found = memory.index.changes(KEY, b"name", 1000)
    assert len(found) > 4
    with sqlite3.connect(path / "index.sqlite") as db:
        db.execute("DELETE FROM changes WHERE seq = ?", (found[2].seq,))
    with quipu.open(path) as memory, pytest.raises(ArchiveError, match="--rebuild"):
        memory.history("name")


@pytest.mark.parametrize("junk", (b"", b"not a database at all, whatever it says " * 200))
def test_a_file_that_is_no_index(path, junk):
    (path / "index.sqlite").write_bytes(junk)
    if junk:
        with pytest.raises(ArchiveError, match="--rebuild"):
            Index(Archive(path))
    assert Index(Archive(path), rebuild=bool(junk)).replay(50).kernel.root() == truth(path)[50][1]


def test_moments_that_are_not_there(path):
    with quipu.open(path) as memory:
        end = memory.moment().seq
        for seq in (end + 1, 4_000_000_000):
            with pytest.raises(UsageError, match=f"its frames are seq 0 to {end}"):
                memory.state(seq)
        with pytest.raises(NotFound):
            memory.get("name", at=0)


def test_after_a_gap_a_snapshot_stands_in(path, tmp_path, often):
    """The frames between are declared missing; the state is known before them, and from the
    snapshot on."""
    expected = truth(path)
    whole = [bytes(each) for each in Archive(path).frames()]
    snapshot = Archive(path).snapshots()[1]
    low, high = 60, snapshot - 20
    made = Archive.create(tmp_path / "gap", Archive(path).log, "sample/0102")
    made.append(b"".join(whole[:low]))
    made.add_segment(high, expected[high - 1][2])
    made.append(b"".join(whole[high:]))
    made.close()
    made.add_snapshot(snapshot, Archive(path).snapshot(snapshot))
    for _ in range(2):  # made, then found made
        index = Index(Archive(made.path))
        assert index.damage is None
        for seq in (0, low - 1, snapshot, snapshot + 1, len(whole) - 1):
            assert index.replay(seq).kernel.root() == expected[seq][1]
        for seq in (low, high, snapshot - 1):
            with pytest.raises(UsageError, match="frames before it are missing"):
                index.replay(seq)
        index.close()


def test_a_folder_that_cannot_be_written_answers_all_the_same(path, monkeypatch):
    def refuse(self):
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(Index, "_open", refuse)
    index = Index(Archive(path))
    assert index.own and index.replay(100).kernel.root() == truth(path)[100][1]
    assert not (path / "index.sqlite").exists()
    with pytest.raises(ArchiveError, match="cannot be written"):
        Index(Archive(path), rebuild=True)


CHILD = """
import sys
sys.path[:0] = [{root!r}, {host!r}]
import quipu
from quipu.past import index
from quipu.archive.files import Archive
index.KEEP_EVERY, index._KEEP_SHARE, index._BATCH, index.PLACE_EVERY = 16, 1 << 20, 20, 8
archive = Archive({path!r})
print("ready", flush=True)
with open({source!r}, "rb") as file, archive.locked():
    while more := file.read(140):  # as a sync appends: whole runs to the system, a torn frame at the end when it is killed
        archive.append(more)
        index.Index(archive).close()
print("done", flush=True)
"""


def child(path, source, **more):
    code = CHILD.format(root=str(ROOT), host=str(ROOT / "host"), path=str(path), source=str(source))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **more)


def grow(path, tmp_path):
    """Return (empty copy of an archive, file with all its frames)."""
    source = tmp_path / "all"
    shutil.copy(log_of(path), source)
    target = shutil.copytree(
        path,
        tmp_path / "grow",
        ignore=shutil.ignore_patterns("index.sqlite*", "note.json", "*.snap"),
    )
    log_of(target).write_bytes(b"")
    return target, source


def check(path, expected, often_rng):
    """Assert that an archive and its index, as a break left them, are those of an earlier
    moment."""
    scan = Archive(path).scan()
    index = Index(Archive(path))
    assert index.damage is None and not index.own
    assert (index.progress.seq if index.progress else -1) == scan.chain.seq
    for seq in often_rng.sample(range(scan.chain.seq + 1), min(3, scan.chain.seq + 1)):
        assert index.replay(seq).kernel.root() == expected[seq][1]
    with sqlite3.connect(path / "index.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    index.close()
    return scan


def test_a_kill_at_any_moment_leaves_the_archive_and_its_index_valid(path, tmp_path, often):
    """Kills of a process that appends and indexes; each one goes on from what the one before
    left."""
    expected = truth(path)
    target, source = grow(path, tmp_path)
    whole = source.read_bytes()
    rng = random.Random(7)
    reached = set()
    for _ in range(quick.long(100, 30)):
        process = child(target, source)
        assert process.stdout.readline() == "ready\n"
        # when it dies is the test's input, not something that is waited for
        time.sleep(rng.random() * 0.12)
        process.kill()
        process.wait()
        process.stdout.close()
        scan = check(target, expected, rng)
        reached.add(scan.chain.seq)
        rest = whole[scan.size :]
        Archive(target).cut(scan.size)
        if len(rest) < 3000:  # begin again
            log_of(target).write_bytes(b"")
            rest = whole
        source.write_bytes(rest)
    assert len(reached) > quick.long(20, 6)


@pytest.mark.parametrize("limit", (40_000, 90_000, 200_000))
def test_a_full_disk_leaves_the_archive_and_its_index_valid(path, tmp_path, often, limit):
    """No file may grow beyond `limit` bytes: the index meets that in the midst of its work."""
    expected = truth(path)
    target, source = grow(path, tmp_path)
    log_of(target).write_bytes(source.read_bytes())
    source.write_bytes(b"\x00" * 10)  # one more turn, with a torn frame
    process = child(
        target,
        source,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        stderr=subprocess.DEVNULL,
    )
    process.communicate(timeout=120)
    size = sum(each.stat().st_size for each in target.glob("index.sqlite*"))
    assert size > 0
    Archive(target).cut(len(log_of(path).read_bytes()))
    check(target, expected, random.Random(limit))


def test_many_read_while_one_writes(path, tmp_path, often):
    """Readers in other processes open the index over and over while it grows; each answer is the
    one of the replay."""
    expected = truth(path)
    target, source = grow(path, tmp_path)
    log_of(target).write_bytes(source.read_bytes()[:600])
    source.write_bytes(source.read_bytes()[600:])
    writer = child(target, source)
    answers = 0
    try:
        while writer.poll() is None:
            index = Index(Archive(target))
            seq = index.progress.seq
            assert index.replay(seq).kernel.root() == expected[seq][1] and not index.own
            index.close()
            answers += 1
    finally:
        if writer.poll() is None:
            os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    assert writer.stdout.read() == "ready\ndone\n" and answers > 3
    assert Index(Archive(target)).progress.seq == len(expected) - 1
