"""Two archives of one log: only what is missing goes over, at any break it is valid, and a fork is
named by its first frame."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import quipu
from quipu.archive import files as archives
from quipu.archive import join as merging
from quipu.archive.files import Archive, Note
from quipu.archive.join import Reach, fork, merge
from quipu.errors import ArchiveDamage, ArchiveError, Forked, OtherLog, UsageError
from quipu.past.index import Index

from shared_kernel import frames as f
from shared_kernel import primitives
from tests.host.past import Log
from tests.host.sample import sample
from tests.host.test_cli import answer, error
from tests.host.test_cli import quipu as said
from tests.quick import long

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sample(tmp_path_factory.mktemp("merge") / "a")[0].path


@pytest.fixture
def whole(made, tmp_path):
    """An archive with everything in it: frames of every type, two boots, two snapshots."""
    return shutil.copytree(made, tmp_path / "whole")


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(archives, "_MARK_EVERY", 16)


def frames_of(path):
    return [bytes(each) for each in Archive(path).frames()]


def heads_of(frames):
    """Return the chain head before each frame, and after the last."""
    heads = [bytes(32)]
    for each in frames:
        heads.append(primitives.hash(heads[-1] + each))
    return heads


def part_of(whole, path, *ranges, snapshots=()):
    """Make an archive that holds only some ranges [first, last] of another's frames."""
    frames, source = frames_of(whole), Archive(whole)
    heads = heads_of(frames)
    shutil.rmtree(path, ignore_errors=True)
    made = None
    for first, last in ranges:
        if made is None:
            made = Archive.create(path, source.log, source.identity, first, heads[first])
        else:
            made.add_segment(first, heads[first])
        made.append(b"".join(frames[first : last + 1]))
    for seq in snapshots:
        made.add_snapshot(seq, source.snapshot(seq))
    made.close()
    return path


def with_gaps(whole, path, which=0):
    """Make an archive that lacks the beginning, a range and the end, and has a snapshot to go on
    from: verify says "gap"."""
    seq = Archive(whole).snapshots()[which]
    return part_of(whole, path, (2, 6), (seq - 4, seq + 40), snapshots=(seq,))


def tree(path):
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in sorted(Path(path).rglob("*"))
        if p.is_file()
    }


def same(a, b):
    """Assert that two archives hold the same, and that verify says so of both."""
    assert frames_of(a) == frames_of(b) and len(frames_of(a)) > 3
    assert (
        Archive(a).snapshots() == Archive(b).snapshots() and Archive(a).note() == Archive(b).note()
    )
    ours, theirs = quipu.verify(a), quipu.verify(b)
    assert ours.verdict == theirs.verdict == "match" and ours.state_root == theirs.state_root


# -- what goes over --------------------------------------------------------------------------------


def test_a_new_copy_is_the_same_and_the_source_is_only_read(whole, tmp_path):
    before = tree(whole)
    told = []
    result = merge(whole, tmp_path / "b", lambda done, total: told.append((done, total)))
    assert result.created and result.frames == len(frames_of(whole)) == told[-1][0] == told[-1][1]
    assert (
        result.snapshots == Archive(whole).snapshots()
        and result.gaps == []
        and result.damage is None
    )
    assert (result.seq, result.head) == (
        Archive(whole).note().seq,
        Archive(whole).note().head.hex(),
    )
    assert tree(whole) == before
    same(whole, tmp_path / "b")


def test_two_that_are_equal_compare_one_head(whole, tmp_path):
    merge(whole, tmp_path / "b")
    before = tree(tmp_path / "b")
    result = merge(whole, tmp_path / "b")
    assert (result.frames, result.log_bytes, result.heads, result.snapshots) == (0, 0, 1, [])
    assert result.moved_bytes == 32 + 32 + 8  # the log's name, one head, one range
    assert tree(tmp_path / "b") == before


@pytest.mark.parametrize("kept", (0, 1, 60, -1))
def test_only_what_follows_the_end_goes_over(whole, tmp_path, kept, often):
    frames = frames_of(whole)
    last = kept % len(frames) - 1
    target = part_of(whole, tmp_path / "b", (0, last))
    before = log_of(target).read_bytes()
    result = merge(whole, target)
    assert result.frames == len(frames) - last - 1 and result.log_bytes == sum(
        map(len, frames[last + 1 :])
    )
    assert result.moved_bytes == result.log_bytes + 32 + 32 * result.heads + 8 + sum(
        Archive(whole).snapshot_file(seq).stat().st_size for seq in result.snapshots
    )
    assert (
        log_of(target).read_bytes().startswith(before)
        and Archive(target).segments == Archive(whole).segments
    )
    same(whole, target)


def log_of(path):
    return Path(path) / "frames" / "0000000000.log"


def test_one_that_is_behind_gives_nothing(whole, tmp_path):
    behind = part_of(whole, tmp_path / "b", (0, 40))
    before = tree(whole)
    result = merge(behind, whole)
    assert (result.frames, result.created, result.seq) == (
        0,
        False,
        len(frames_of(whole)) - 1,
    ) and tree(whole) == before


@pytest.mark.parametrize(
    "ranges",
    (
        ((100, 150),),
        ((0, 20), (60, 90)),
        ((30, 40), (50, 60), (61, 80)),
        ((0, 0), (2, 2)),
        ((0, 20), (21, 20), (60, 59)),
        ((40, 39),),
    ),
)
def test_gaps_are_filled(whole, tmp_path, ranges, often):
    target = part_of(whole, tmp_path / "b", *ranges)
    there = {seq for first, last in ranges for seq in range(first, last + 1)}
    result = merge(whole, target)
    assert result.frames == len(frames_of(whole)) - len(there) and result.gaps == []
    for first, last in result.filled:
        assert not there & set(range(first, last + 1))
    same(whole, target)
    assert Archive(target).scan().excess == 0 and not list((target / "frames").glob("*.part"))
    assert merge(whole, target).frames == 0 and merge(target, whole).frames == 0


def test_random_ranges_of_both_sides_make_the_union(whole, tmp_path, often):
    frames, rng = frames_of(whole), random.Random(5)
    for _ in range(long(40, 20)):
        ranges = []
        for _ in range(2):
            cuts = sorted(rng.sample(range(len(frames) + 1), rng.choice((2, 4, 6))))
            ranges.append([(a, b - 1) for a, b in zip(cuts[::2], cuts[1::2])])
        source, target = (
            part_of(whole, tmp_path / "s", *ranges[0]),
            part_of(whole, tmp_path / "t", *ranges[1]),
        )
        held = [{seq for a, b in each for seq in range(a, b + 1)} for each in ranges]
        result = merge(source, target)
        union = sorted(held[0] | held[1])
        assert frames_of(target) == [frames[seq] for seq in union]
        assert result.log_bytes == sum(len(frames[seq]) for seq in held[0] - held[1])
        missing = {seq for a, b in result.gaps for seq in range(a, b + 1)}
        assert missing == set(range(union[-1] + 1)) - set(union) and result.seq == union[-1]
        assert result.head == heads_of(frames)[union[-1] + 1].hex()
        merge(whole, target)
        same(whole, target)


def test_an_index_of_before_knows_what_filled_a_gap(whole, tmp_path, often):
    """Also one that was made while the segment for the gap was still empty, as a kill may leave
    it."""
    frames = frames_of(whole)
    target = part_of(whole, tmp_path / "b", (0, 20), (60, 90))
    Archive(target).add_segment(21, heads_of(frames)[21])
    Index(Archive(target)).close()
    merge(whole, target)
    with quipu.open(target) as memory, quipu.open(whole) as truth:
        for seq in (20, 21, 59, 60, 90, len(frames) - 1):
            assert memory.state(seq).root() == truth.state(seq).root()


def test_what_a_broken_sync_left_is_cut_and_said(whole, tmp_path):
    target = part_of(whole, tmp_path / "b", (0, 40))
    with log_of(target).open("ab") as file:
        file.write(frames_of(whole)[41][:9])
    (target / "frames" / "0000000077.part").write_bytes(b"x")
    assert merge(whole, target).cut == 9
    same(whole, target)
    assert not list(target.rglob("*.part"))


def test_the_later_note_stays(whole, tmp_path):
    merge(whole, tmp_path / "b")
    note = Archive(whole).note()
    Archive(tmp_path / "b").write_note(note._replace(time=note.time + 5))
    merge(whole, tmp_path / "b")
    assert Archive(tmp_path / "b").note().time == note.time + 5
    merge(tmp_path / "b", whole)
    assert Archive(whole).note().time == note.time + 5


# -- forks, other logs, damage ---------------------------------------------------------------------


def forked(whole, path, at):
    """Make a copy whose frames from seq `at` on are others, in a chain that is whole."""
    frames, source = frames_of(whole), Archive(whole)
    heads, seed = heads_of(frames), f.seed(source.log)
    made = Archive.create(path, source.log, source.identity)
    made.append(b"".join(frames[:at]))
    head = heads[at]
    for seq in range(at, len(frames)):
        frame = f.frame(f.BOOT, f.boot(9, head, 0), seq, 0, seed)
        made.append(frame)
        head = primitives.hash(head + frame)
    made.close()
    return path


@pytest.mark.parametrize("at", (1, 2, 15, 16, 17, 100, -1))
def test_a_fork_is_named_by_the_seq_where_it_begins(whole, tmp_path, at, often):
    at %= len(frames_of(whole))
    other = forked(whole, tmp_path / "b", at)
    for a, b in ((whole, other), (other, whole)):
        before = tree(a), tree(b)
        with pytest.raises(Forked, match=f"part at seq {at}. ") as e:
            merge(a, b)
        assert (e.value.seq, e.value.exit_code) == (at, 1) and (tree(a), tree(b)) == before
    found, heads = fork(Reach(Archive(whole)), Reach(Archive(other)))
    assert found == (at, True) and heads <= 2 + len(frames_of(whole)).bit_length()


def test_a_fork_before_the_first_frame_that_both_hold(whole, tmp_path):
    other = forked(whole, tmp_path / "b", 30)
    late = part_of(other, tmp_path / "late", (50, 90))
    with pytest.raises(Forked, match="part at seq 49 or before it"):
        merge(late, whole)
    # they touch, and share no frame
    with pytest.raises(Forked, match="part at seq 49 or before it"):
        merge(late, part_of(whole, tmp_path / "early", (0, 49)))


def test_archives_of_two_logs(whole, tmp_path):
    other = Log().archive(tmp_path / "b")
    before = tree(other)
    with pytest.raises(OtherLog, match=r"past/1.*sample/0102|sample/0102.*past/1"):
        merge(whole, other)
    assert tree(other) == before


def test_an_archive_and_itself(whole):
    with pytest.raises(UsageError, match="same archive"):
        merge(whole, whole.parent / "." / whole.name)


@pytest.mark.parametrize("side", ("source", "target"))
def test_every_altered_frame_is_refused_and_nothing_changed(whole, tmp_path, side):
    target = part_of(whole, tmp_path / "b", (0, 60))
    Archive(target).write_note(Note(60, heads_of(frames_of(whole))[61], bytes(32), 1))
    path = whole if side == "source" else target
    data = log_of(path).read_bytes()
    at = 0
    for seq, frame in enumerate(frames_of(path)):
        if seq % 5 == 0:
            log_of(path).write_bytes(data[: at + 14] + bytes([data[at + 14] ^ 4]) + data[at + 15 :])
            before = tree(target)
            with pytest.raises(ArchiveDamage) as e:
                merge(whole, target)
            assert e.value.seq == seq and tree(target) == before
        at += len(frame)
    log_of(path).write_bytes(data)
    merge(whole, target)
    assert quipu.verify(target).verdict == "match"


def test_a_source_that_is_altered_meanwhile_gives_nothing_wrong(whole, tmp_path, monkeypatch):
    target = part_of(whole, tmp_path / "b", (0, 40))
    real = merging.fork

    def late(a, b):
        data = bytearray(log_of(whole).read_bytes())
        data[-30] ^= 1
        log_of(whole).write_bytes(data)
        return real(a, b)

    monkeypatch.setattr(merging, "fork", late)
    with pytest.raises(ArchiveDamage):
        merge(whole, target)
    assert quipu.verify(target).verdict == "match" and frames_of(whole)[
        : len(frames_of(target))
    ] == frames_of(target)


def test_a_damaged_snapshot_is_left_out_and_said(whole, tmp_path):
    seq = Archive(whole).snapshots()[0]
    file = Archive(whole).snapshot_file(seq)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    result = merge(whole, tmp_path / "b")
    assert f"seq {seq}" in result.damage and result.snapshots == Archive(whole).snapshots()[1:]
    assert quipu.verify(tmp_path / "b").verdict == "match"


def test_an_archive_without_frames_and_a_folder_with_something_else(whole, tmp_path):
    Archive.create(tmp_path / "empty", bytes(32), "b")
    with pytest.raises(ArchiveError, match="no frames yet"):
        merge(tmp_path / "empty", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"x")
    with pytest.raises(ArchiveError, match="photo.jpg"):
        merge(whole, tmp_path / "mine")


# -- breaks ----------------------------------------------------------------------------------------


def copying(source, target, delay=None, limit=None):
    """Fork a process that merges; kill it after `delay` seconds, or let no file of its grow beyond
    `limit`. Return its status."""
    child = os.fork()
    if not child:
        try:
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            merging._BLOCK = 200
            merge(source, target)
            os._exit(0)
        except ArchiveError:
            os._exit(3)
        finally:
            os._exit(4)
    if delay is not None:
        time.sleep(delay)  # when it dies is the test's input, not something that is waited for
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def valid(path, frames):
    """Assert that an archive, as a break left it, holds only what is right; return how many
    frames."""
    if not (path / "archive.json").exists():
        return 0
    archive = Archive(path)
    archive.scan()
    held = frames_of(path)
    assert all(each == frames[int.from_bytes(each[4:8], "little")] for each in held)
    if held:
        assert quipu.verify(path).verdict in ("match", "gap")
    return len(held)


def test_a_kill_at_any_moment_leaves_a_valid_archive(whole, tmp_path, often):
    """100 kills (30 in a quick run) at random moments; each copy goes on from what the one before
    left, or begins again when it is whole."""
    frames, rng = frames_of(whole), random.Random(3)
    begun = time.perf_counter()
    assert copying(whole, tmp_path / "whole-once") == 0
    takes = time.perf_counter() - begun
    target = with_gaps(whole, tmp_path / "b")
    reached = set()
    killed = 0
    while killed < long(100, 30):
        status = copying(whole, target, rng.random() * takes)
        killed += status == signal.SIGKILL
        assert status in (0, signal.SIGKILL)
        reached.add(
            (
                valid(target, frames),
                len(Archive(target).segments),
                Archive(target).note() is not None,
            )
        )
        if Archive(target).note():
            with_gaps(whole, target)
    assert len(reached) > long(5, 3), reached
    merge(whole, target)
    same(whole, target)


def test_a_break_before_or_after_any_step_on_the_disk(whole, tmp_path, monkeypatch):
    """The same without chance: the process ends at each of its steps (open, rename, fsync, write),
    one after the other."""
    frames = frames_of(whole)
    monkeypatch.setattr(merging, "_BLOCK", 1500)
    steps = seen = 0
    while True:
        target = with_gaps(whole, tmp_path / "b")
        left = steps

        def end(step):
            def stopped(*args, **more):
                nonlocal left
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
                return step(*args, **more)

            return stopped

        with monkeypatch.context() as m:
            for name in ("replace", "fsync"):
                m.setattr(os, name, end(getattr(os, name)))
            m.setattr(Path, "touch", end(Path.touch))
            m.setattr(Archive, "append", end(Archive.append))
            try:
                merge(whole, target)
                broke = False
            except KeyboardInterrupt:
                broke = True
        if not broke:
            break
        seen = max(seen, valid(target, frames))
        merge(whole, target)
        same(whole, target)
        steps += 1
    assert steps > 25 and seen > 50


@pytest.mark.parametrize("limit", (100, 700, 2000, 4096, 5000))
def test_a_full_disk_leaves_a_valid_archive_and_is_said(whole, tmp_path, limit):
    frames = frames_of(whole)
    target = with_gaps(whole, tmp_path / "b", -1)  # a gap larger than most of the limits
    held = valid(target, frames)
    assert copying(whole, target, limit=limit) == 3 << 8
    assert valid(target, frames) >= held
    merge(whole, target)
    same(whole, target)


def test_readers_in_other_processes_while_archives_are_brought_together(whole, tmp_path, often):
    """Each reader opens the archive over and over, and asks for the state after its last frame: it
    is always a replay's."""
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/host']\n"
        "import quipu\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    with quipu.open(sys.argv[2]) as memory:\n"
        "        replay = memory.replay()\n"
        "        print(replay.seq, replay.kernel.root().hex(), flush=True)\n"
    )
    frames = frames_of(whole)
    target = part_of(whole, tmp_path / "b", (0, 3))
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(ROOT), str(target)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    answers = []
    try:
        for each in readers:
            assert each.stdout.readline() == "ready\n"
        for last in range(10, len(frames), 10):
            merge(part_of(whole, tmp_path / "some", (0, last)), target)
            answers += [readers[last // 10 % 3].stdout.readline().split() for _ in range(2)]
    finally:
        for each in readers:
            each.kill()
            answers += [line.split() for line in each.communicate()[0].splitlines()[:-1]]
    assert len(answers) > 20 and len({seq for seq, _ in answers}) > 3
    with quipu.open(whole) as truth:
        for seq, root in answers:
            assert truth.state(int(seq)).root().hex() == root


# -- the command -----------------------------------------------------------------------------------


def test_the_command(whole, tmp_path):
    target = part_of(whole, tmp_path / "b", (0, 20), (60, 90))
    frames = frames_of(whole)
    text = said("sync", whole, "--archive", target)
    assert f"{len(frames) - 52:,} frames" in text and "filled" in text and "seq 21 to 59" in text
    assert "nothing new" in said("sync", whole, "--archive", target)
    told = answer("sync", whole, "--archive", target)
    assert told["heads"] == 3 and told["filled"] == [] and told["seq"] == len(frames) - 1
    other = forked(whole, tmp_path / "fork", 30)
    kind, message = error("sync", other, "--archive", whole, code=1)
    assert kind == "Forked" and "seq 30" in message
    assert (
        error("sync", Log().archive(tmp_path / "log"), "--archive", whole, code=1)[0] == "OtherLog"
    )
    assert error("sync", whole, "--archive", whole, code=2)[0] == "UsageError"
