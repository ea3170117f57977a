"""docs/format.md's "Archive" and "How to verify a log", where a reader of the page alone could not
know what holds: verify does what the page says."""

import json
import shutil

import pytest
from quipu.archive.files import Archive, Note
from quipu.archive.verify import verify

from shared_kernel import frames, snapshot_file
from shared_kernel import kernel as k
from shared_kernel.errors import FormatError, Mismatch
from shared_kernel.genesis import Genesis
from shared_kernel.replay import Replay
from tests.docs.logs import Log, b3, every_type
from tools.verifier import Broken, Verifier

CONFIG = (2, 4, 4, 6, 3, 5, 7)
ORIGIN = (b"o" * 32, 9, b"h" * 32, b"r" * 32)


def write(path, log, parts=None, note=True):
    """Write a log's frames into an archive. parts: [(first, last)] of the segments, as indexes into
    log.frames; None: all."""
    first = log.seq + 1 - len(log.frames)
    archive = None
    for low, high in parts or [(0, len(log.frames) - 1)]:
        head = log.heads[low - 1] if low else bytes(32)
        if archive:
            archive.add_segment(first + low, head)
        else:
            archive = Archive.create(path, log.heads[0], "bräd", first + low, head)
        archive.append(b"".join(log.frames[low : high + 1]))
    archive.flush()
    archive.close()
    if note:
        archive.write_note(Note(log.seq, log.heads[-1], log.roots[-1], 1))
    return archive


def snapshot_at(log, archive, seq, boots):
    """Add the snapshot after frame `seq` of a log that begins with seq 0."""
    replay = Replay()
    for each in log.frames[: seq + 1]:
        replay.step(each)
    archive.add_snapshot(
        seq, snapshot_file.save(replay.kernel, seq, boots, 1, log.heads[0], log.heads[seq])
    )


def said(path, **named):
    verdict = verify(path, **named)
    return verdict.verdict, verdict.first_divergence and verdict.first_divergence["what"]


def test_a_whole_log_matches(tmp_path):
    log = every_type()
    write(tmp_path / "a", log)
    found = verify(tmp_path / "a")
    assert (found.verdict, found.seq, found.chain_head, found.state_root) == (
        "match",
        log.seq,
        log.heads[-1].hex(),
        log.roots[-1].hex(),
    )


@pytest.mark.parametrize(
    "name, data, verdict",
    [
        ("frames/._0000000000.log", b"x" * 4096, "match"),
        ("frames/0000000000 (copy).log", b"x", "match"),
        ("frames/.DS_Store", b"x", "match"),
        ("frames/0000000003.part", b"x", "match"),
        ("frames/0000000003.log", b"", "match"),
        ("frames/0000000003.log", b"x", "mismatch"),
        ("snapshots/._0000000006.snap", b"x", "match"),
        ("snapshots/0000000006 (conflicted copy).snap", b"x", "match"),
        ("snapshots/0000000006.snap", b"x", "mismatch"),
    ],
)
def test_only_files_with_the_name_of_a_segment_or_a_snapshot_count(name, data, verdict, tmp_path):
    write(tmp_path / "a", every_type())
    (tmp_path / "a" / name).write_bytes(data)
    assert said(tmp_path / "a")[0] == verdict


def test_what_a_torn_end_may_be(tmp_path):
    log = every_type()
    write(tmp_path / "a", log)
    file = tmp_path / "a" / "frames" / "0000000000.log"
    whole = file.read_bytes()
    following = log.make(k.PUT, frames.put("n", b"value"))
    ends = {following[:n]: "match" for n in (1, 3, 4, 8, len(following) - 1)}
    ends[b"\2" + following[1:9]] = "mismatch"  # another version
    ends[following[:4] + b"\7\7\7\7"] = "mismatch"  # another seq
    ends[following[:2] + b"\xf8\0" + following[4:8]] = "match"  # 264 bytes in all
    ends[following[:2] + b"\xf9\0" + following[4:8]] = "mismatch"
    ends[following[:-1] + bytes([following[-1] ^ 1])] = "mismatch"  # a whole one that is altered
    for end, verdict in ends.items():
        file.write_bytes(whole + end)
        assert said(tmp_path / "a")[0] == verdict, end
    file.write_bytes(whole[:-1])  # before the note
    assert said(tmp_path / "a")[0] == "mismatch"


def test_upper_case_is_no_hexadecimal_digit(tmp_path):
    archive = write(tmp_path / "a", every_type())
    facts = json.loads((archive.path / "archive.json").read_text())
    facts["log"] = facts["log"].upper()
    (archive.path / "archive.json").write_text(json.dumps(facts))
    assert said(tmp_path / "a") == ("mismatch", "archive.json's log name")


def test_a_gap_needs_a_snapshot_behind_it_and_takes_the_boot_number_from_it(tmp_path):
    log = every_type()
    # the second boot
    half = next(i for i, each in enumerate(log.frames) if i > 10 and each[1] == frames.BOOT)
    archive = write(tmp_path / "a", log, [(0, 5), (half - 4, log.seq)])
    assert said(tmp_path / "a") == ("mismatch", "snapshot")  # no state at the end
    for wrong in (0, 3):
        snapshot_at(log, archive, half + 1, wrong)
        assert said(tmp_path / "a") == ("mismatch", "boot number")
    snapshot_at(log, archive, half + 1, 2)
    found = verify(tmp_path / "a")
    assert (found.verdict, found.gaps, found.exit_code, found.boots) == (
        "gap",
        [[6, half - 5]],
        1,
        log.boots + 1,
    )
    assert (
        found.state_root == log.roots[-1].hex()
        and verify(tmp_path / "a", allow_gap=True).exit_code == 0
    )
    snapshot_at(log, archive, 8, 1)  # of a seq that is missing
    assert said(tmp_path / "a") == ("mismatch", "snapshot")


def test_frames_that_are_only_chained_are_held_to_the_chain_alone(tmp_path):
    log = Log(CONFIG)
    for i in range(12):
        log.add(k.PUT, frames.put("n%d" % (i % 3), b"v%d" % i, prev=i - 2 if i > 2 else 0))
    log.frames[9] = frames.frame(0x3F, b"of no type that there is", 9, 0, frames.seed(log.heads[0]))
    for i in range(9, len(log.frames)):  # a chain with that frame in it
        log.heads[i] = b3(log.heads[i - 1] + log.frames[i])
    archive = write(tmp_path / "a", log, [(0, 2), (7, 12)], note=False)
    archive.add_snapshot(12, snapshot_file.save(log.kernel, 12, 0, 1, log.heads[0], log.heads[12]))
    assert said(tmp_path / "a")[0] == "gap"
    for at, what in ((0, "frame version"), (4, "sequence number"), (20, "frame CRC")):
        bad = bytearray(b"".join(log.frames[7:]))
        bad[at] ^= 1
        shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
        (tmp_path / "b" / "frames" / "0000000007.log").write_bytes(bad)
        assert said(tmp_path / "b") == ("mismatch", what)


def test_a_continuations_seq_is_the_old_one_plus_one_even_without_its_base(tmp_path):
    base = k.Kernel(CONFIG)
    for seq, what in ((10, "snapshot"), (11, "genesis seq")):
        log = Log(CONFIG, (*ORIGIN, base.root()), k.Kernel(CONFIG))
        log.frames[0] = frames.frame(frames.GENESIS, log.frames[0][12:-4], seq, 0, 0)
        log.heads[0] = b3(bytes(32) + log.frames[0])
        log.seq = seq
        write(tmp_path / str(seq), log, note=False)
        # the first: nothing says what the state at the end is
        assert said(tmp_path / str(seq)) == ("mismatch", what)


@pytest.mark.parametrize("length", [64, 65])
def test_an_identity_of_more_than_64_bytes_is_broken(length):
    payload = Log(CONFIG).frames[0][12:61] + bytes([length]) + b"x" * length
    frame = frames.frame(frames.GENESIS, payload, 0, 0, 0)
    for act, given, error in (
        (Verifier().step, frame, Broken),
        (Replay().step, frame, Mismatch),
        (Genesis, payload, FormatError),
    ):
        if length == 64:
            act(given)
        else:
            with pytest.raises(error):
                act(given)


@pytest.mark.parametrize(
    "alter, verdict, what",
    [
        (lambda path: None, "match", None),
        (lambda path: (path / "note.json").unlink(), "match", None),
        (lambda path: more(path / "snapshots" / "0000000008.snap"), "mismatch", "snapshot"),
        (
            lambda path: altered(path / "archive.json", lambda facts: facts.update(more=1)),
            "mismatch",
            "archive.json",
        ),
        (
            lambda path: altered(path / "note.json", lambda facts: facts.update(more=1)),
            "mismatch",
            "note.json",
        ),
        (
            lambda path: altered(path / "archive.json", lambda facts: facts.update(format=2)),
            "mismatch",
            "archive.json's format",
        ),
        (
            lambda path: altered(path / "archive.json", lambda facts: facts["segments"].reverse()),
            "mismatch",
            "archive.json's segments",
        ),
        (
            lambda path: altered(
                path / "archive.json", lambda facts: facts["segments"][1].update(first=5)
            ),
            "mismatch",
            None,
        ),
        (lambda path: (path / "frames" / "0000000006.log").unlink(), "mismatch", "frames"),
    ],
)
def test_what_else_an_archive_may_be(alter, verdict, what, tmp_path):
    log = every_type()
    archive = write(tmp_path / "a", log, [(0, 5), (6, log.seq)])
    snapshot_at(log, archive, 8, 1)
    alter(tmp_path / "a")
    found = said(tmp_path / "a")
    assert found[0] == verdict and what in (None, found[1])


def more(file):
    file.write_bytes(file.read_bytes() + b"\0")


def altered(file, change):
    facts = json.loads(file.read_text())
    change(facts)
    file.write_text(json.dumps(facts))


def test_an_archive_without_frames_is_empty_unless_something_says_that_there_were_some(tmp_path):
    log = every_type()
    archive = Archive.create(tmp_path / "a", log.heads[0], "bräd")
    assert said(tmp_path / "a") == ("empty", None)
    archive.write_note(Note(0, log.heads[0], log.roots[0], 1))
    assert said(tmp_path / "a")[0] == "mismatch"


def test_an_empty_segment_at_the_end_is_passed_over_with_its_gap(tmp_path):
    log = every_type()
    archive = write(tmp_path / "a", log)
    archive.add_segment(log.seq + 9, b"h" * 32)
    assert said(tmp_path / "a") == ("match", None)
    (tmp_path / "a" / "frames" / f"{log.seq + 9:010d}.log").unlink()
    assert said(tmp_path / "a") == ("mismatch", "frames")


def test_a_note_of_frames_that_are_only_chained_is_a_mismatch(tmp_path):
    log = every_type()
    half = log.seq // 2
    archive = write(tmp_path / "a", log, [(0, 5), (half, log.seq)], note=False)
    boots = sum(each[1] == frames.BOOT for each in log.frames[: half + 5])
    snapshot_at(log, archive, half + 4, boots)
    assert said(tmp_path / "a") == ("gap", None)
    archive.write_note(Note(half + 2, log.heads[half + 2], log.roots[half + 2], 1))
    assert said(tmp_path / "a") == ("mismatch", "snapshot")
