"""A verdict is a proof: whatever is altered, lost, repeated or moved in an archive, it is a
mismatch that names the place."""

import json
import shutil

import pytest
import quipu
from quipu.archive import passes
from quipu.archive.files import Archive, Note
from quipu.errors import ArchiveError, UsageError

from shared_kernel import frames, snapshot_file
from shared_kernel.frame_names import NAMES
from shared_kernel.frames import CHECKPOINT, TOKEN, length_at
from shared_kernel.kernel import u32
from shared_kernel.snapshot import HEADER as SNAPSHOT_HEADER
from shared_kernel.snapshot import decode
from tests.host.sample import TOKEN as TOKEN_BYTES
from tests.host.sample import sample


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    archive, store = sample(tmp_path_factory.mktemp("made") / "a")
    return archive.path, store


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "a")


def log_of(path):
    return path / "frames" / "0000000000.log"


def frames_of(path):
    return [bytes(each) for each in Archive(path).frames()]


def flipped(data, at, bit):
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def mismatch(path, **known):
    """Assert that the verdict is mismatch, and return its first divergence."""
    verdict = quipu.verify(path, **known)
    assert verdict.verdict == "mismatch" and verdict.exit_code == 1
    first = verdict.first_divergence
    assert (
        set(first) == {"seq", "what", "expected", "found"} and first["expected"] != first["found"]
    )
    json.dumps(verdict.as_dict())
    return first


# -- what agrees -----------------------------------------------------------------------------------


def test_a_whole_archive_matches(made):
    path, store = made
    verdict = quipu.verify(path)
    assert (
        verdict.verdict == "match" and verdict.exit_code == 0 and verdict.first_divergence is None
    )
    assert verdict.frames == store.seq + 1 and verdict.seq == store.seq
    assert verdict.log_bytes == log_of(path).stat().st_size
    assert (
        verdict.chain_head == store.head.hex() and verdict.state_root == store.kernel.root().hex()
    )
    assert verdict.board == "sample/0102" and verdict.log == store.name.hex()
    kinds = [each[1] for each in frames_of(path)]
    assert verdict.checkpoints == kinds.count(CHECKPOINT) > 3
    assert (
        verdict.snapshots == 2
        and verdict.boots == 2
        and verdict.note == store.seq
        and verdict.torn == 0
    )
    assert store.cuts and [(each["seq"], each["bytes"]) for each in verdict.cuts] == store.cuts
    assert {kind & ~TOKEN for kind in kinds} == set(NAMES), (
        "a type of frame that no test here flips"
    )
    assert json.loads(json.dumps(verdict.as_dict()))["exit_code"] == 0


def test_the_state_after_any_frame(made):
    path, store = made
    assert quipu.state(path).root() == store.kernel.root()
    for frame in frames_of(path):
        if frame[1] == CHECKPOINT:
            assert quipu.state(path, u32(frame, 4) - 1).root() == frame[12:44]
    replay = quipu.replay_to(path, 7)
    assert (replay.seq, replay.head) == (7, quipu.replay_to(Archive(path), 7).head)
    with pytest.raises(UsageError, match=f"0 to {store.seq}"):
        quipu.state(path, store.seq + 1)


def test_what_is_known_from_elsewhere(made):
    path, store = made
    root, head = store.kernel.root(), store.head
    assert (
        quipu.verify(path, expect_root=root.hex(), expect_head=head.hex().upper()).verdict
        == "match"
    )
    assert quipu.verify(path, expect_root=root, expect_head=head).verdict == "match"
    first = mismatch(path, expect_root=flipped(root, 31, 7))
    assert first["seq"] == store.seq and "root" in first["what"] and first["found"] == root.hex()
    first = mismatch(path, expect_head=flipped(head, 0, 0).hex())
    assert first["seq"] == store.seq and "head" in first["what"] and first["found"] == head.hex()
    for bad in ("xyz", "00", b"short"):
        with pytest.raises(UsageError):
            quipu.verify(path, expect_root=bad)


def test_no_archive_is_no_verdict(tmp_path):
    with pytest.raises(ArchiveError):
        quipu.verify(tmp_path)


# -- frames ----------------------------------------------------------------------------------------


def first_of_each_type(path):
    """Return {type (token bit included): (offset, frame)} of the first frame of each."""
    out, at = {}, 0
    for frame in frames_of(path):
        out.setdefault(frame[1], (at, frame))
        at += len(frame)
    return out


@pytest.mark.parametrize("kind", [*sorted(NAMES), 0x10 | TOKEN, 0x18 | TOKEN])
def test_a_flipped_bit_in_any_byte_of_any_type_of_frame(path, kind):
    whole = log_of(path).read_bytes()
    at, frame = first_of_each_type(path)[kind]
    assert frame[12:20] == TOKEN_BYTES or not kind & TOKEN
    for i in range(len(frame)):  # header fields, token, each byte of the payload, CRC
        log_of(path).write_bytes(flipped(whole, at + i, (i * 5 + kind) % 8))
        assert mismatch(path)["seq"] == u32(frame, 4), f"byte {i} of {frame.hex()}"


def test_a_flipped_bit_in_every_frame(path):
    whole = log_of(path).read_bytes()
    at = 0
    for frame in frames_of(path):
        log_of(path).write_bytes(flipped(whole, at + u32(frame, 4) % len(frame), u32(frame, 4) % 8))
        assert mismatch(path)["seq"] == u32(frame, 4)
        at += len(frame)


def test_a_frame_dropped_repeated_or_swapped(path):
    all_frames = frames_of(path)
    last = len(all_frames) - 1
    for seq in [*range(0, last, 9), last]:  # the last one too
        log_of(path).write_bytes(b"".join(all_frames[:seq] + all_frames[seq + 1 :]))
        assert mismatch(path)["seq"] == seq
        log_of(path).write_bytes(b"".join(all_frames[: seq + 1] + all_frames[seq:]))
        assert mismatch(path)["seq"] == seq + 1
        if seq < last:
            swapped = [all_frames[seq + 1], all_frames[seq]]
            log_of(path).write_bytes(b"".join(all_frames[:seq] + swapped + all_frames[seq + 2 :]))
            assert mismatch(path)["seq"] == seq


def test_a_frame_altered_with_its_crc_made_to_fit(path):
    """CRCs are no secret: the chain is what notices, at the next place where a head or root is
    written down."""
    name = Archive(path).log
    all_frames = frames_of(path)
    known = (
        [each["seq"] for each in quipu.verify(path).cuts]
        + Archive(path).snapshots()
        + [Archive(path).note().seq]
    )
    known += [u32(frame, 4) for frame in all_frames if frame[1] == CHECKPOINT]
    for seq in range(1, len(all_frames), 7):
        frame = all_frames[seq]
        altered = frames.frame(frame[1], frame[12:-4], seq, u32(frame, 8) ^ 1, frames.seed(name))
        assert altered != frame and len(altered) == len(frame)
        log_of(path).write_bytes(b"".join(all_frames[:seq] + [altered] + all_frames[seq + 1 :]))
        assert (
            seq
            <= mismatch(path)["seq"]
            <= min(each for each in [*Archive(path).snapshots(), len(all_frames)] if each >= seq)
        )


def test_a_genesis_of_another_log_is_no_beginning(path):
    all_frames = frames_of(path)
    genesis = all_frames[0]
    # other entropy, its CRC right
    other = frames.frame(1, genesis[12:45] + b"?" + genesis[46:-4], 0, 0, 0)
    log_of(path).write_bytes(b"".join([other, *all_frames[1:]]))
    first = mismatch(path)
    assert first["seq"] == 0 and "log name" in first["what"]


def test_case_08_an_archive_without_frames_is_empty(path):
    """What a first sync leaves that was killed: nothing was altered, so nothing is said to be."""
    first = frames_of(path)[0]
    note = (path / "note.json").read_bytes()
    (path / "note.json").unlink()
    shutil.rmtree(path / "snapshots")
    (path / "snapshots").mkdir()
    for length in range(len(first)):
        log_of(path).write_bytes(first[:length])
        verdict = quipu.verify(path)
        assert (verdict.verdict, verdict.torn, verdict.frames) == ("empty", length, 0)
        assert verdict.exit_code == 1 and quipu.verify(path, allow_gap=True).exit_code == 0
        assert verdict.first_divergence is None and not verdict.gaps
        assert mismatch(path, expect_root=bytes(32))["seq"] == 0
    (path / "snapshots").rmdir()  # as git keeps no empty folder
    assert quipu.verify(path).verdict == "empty"
    for strange in (b"\2", b"\1\1\0\0" + b"\7" * 4, flipped(first, len(first) - 9, 1)):
        log_of(path).write_bytes(strange)
        assert mismatch(path)["seq"] == 0
    log_of(path).write_bytes(b"")
    (path / "note.json").write_bytes(note)  # which says that there were frames
    assert mismatch(path)["seq"] == 0


def test_a_torn_end(path):
    whole = log_of(path).read_bytes()
    seq = quipu.verify(path).seq
    for left in range(1, 40):  # all that a broken sync may leave of the next frame
        torn = frames.frame(0x10, bytes(40), seq + 1, 0, 0)[:left]
        log_of(path).write_bytes(whole + torn)
        verdict = quipu.verify(path)
        assert (verdict.verdict, verdict.torn, verdict.seq) == ("match", left, seq)
    for strange in (
        b"\2",
        b"\1\x10\0\0" + bytes(8),
        b"\1\x10\xff\xff" + (seq + 1).to_bytes(4, "little"),
    ):
        log_of(path).write_bytes(whole + strange)
        assert mismatch(path)["seq"] == seq + 1
    for lost in range(1, len(frames_of(path)[-1])):  # the note says that more was there
        log_of(path).write_bytes(whole[:-lost])
        assert mismatch(path)["seq"] == seq


def test_frames_past_the_note_may_be_there_but_must_be_right(path):
    archive = Archive(path)
    replay = quipu.replay_to(path, 200)
    archive.write_note(Note(200, replay.head, replay.kernel.root(), 1))
    assert quipu.verify(path).verdict == "match"
    whole = log_of(path).read_bytes()
    log_of(path).write_bytes(flipped(whole, len(whole) - 9, 1))
    assert mismatch(path)["seq"] == len(frames_of(path)) - 1


# -- snapshots -------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", (0, 1))
def test_a_flipped_bit_in_a_snapshot(path, which):
    archive = Archive(path)
    seq = archive.snapshots()[which]
    whole = archive.snapshot(seq)
    places = [*range(SNAPSHOT_HEADER), *range(SNAPSHOT_HEADER, len(whole), 83), len(whole) - 1]
    for at in places:
        archive.snapshot_file(seq).write_bytes(flipped(whole, at, at % 8))
        first = mismatch(path)
        assert first["seq"] == seq and "snapshot" in first["what"], at
    for cut in (0, 50, SNAPSHOT_HEADER, len(whole) - 1):
        archive.snapshot_file(seq).write_bytes(whole[:cut])
        assert mismatch(path)["seq"] == seq


def test_a_snapshot_that_is_right_in_itself_but_not_of_this_state(path):
    archive = Archive(path)
    seq = archive.snapshots()[1]
    whole = archive.snapshot(seq)
    header, kernel = snapshot_file.load(whole)
    cases = {
        "state root": snapshot_file.save(
            quipu.state(path, seq - 10), seq, header.boot, 2, header.name, header.head
        ),
        "chain head": snapshot_file.save(kernel, seq, header.boot, 2, header.name, bytes(32)),
        "log name": snapshot_file.save(kernel, seq, header.boot, 2, bytes(32), header.head),
        "boot number": snapshot_file.save(
            kernel, seq, header.boot + 1, 2, header.name, header.head
        ),
        "seq": snapshot_file.save(kernel, seq - 1, header.boot, 2, header.name, header.head),
    }
    for what, data in cases.items():
        archive.snapshot_file(seq).write_bytes(data)
        first = mismatch(path)
        assert first["seq"] == seq and first["what"] == f"snapshot's {what}"
    archive.snapshot_file(seq).write_bytes(
        snapshot_file.save(kernel, seq, header.boot, 3, header.name, header.head)
    )
    assert quipu.verify(path).verdict == "match"


def test_a_snapshot_from_beyond_the_end(path):
    archive = Archive(path)
    seq = archive.snapshots()[1]
    archive.snapshot_file(seq).rename(archive.snapshot_file(5000))
    assert mismatch(path)["seq"] == archive.note().seq + 1


@pytest.mark.parametrize("which", (0, 1))
def test_a_snapshot_must_be_byte_for_byte_the_state_that_replay_leads_to(path, monkeypatch, which):
    """A part of a shared verification starts from it (test_audit.py): what its header says of it is
    not enough."""
    seq = Archive(path).snapshots()[which]
    load = snapshot_file.load

    def other(data):
        header, kernel = load(data)
        if header.seq == seq:
            # one record more, after the root was compared
            kernel.arena.words[kernel.records.header] += 1
        return header, kernel

    monkeypatch.setattr(passes.snapshot_file, "load", other)
    first = mismatch(path)
    assert first["seq"] == seq and first["what"] == "snapshot's arena"


# -- archive.json, note.json -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ("archive.json", "note.json"))
@pytest.mark.parametrize("bit", (0, 5))  # bit 5: another case of a letter
def test_a_flipped_bit_in_any_byte_of_the_json(path, name, bit):
    whole = (path / name).read_bytes()
    assert len(whole) > 100
    for at in range(len(whole)):
        (path / name).write_bytes(flipped(whole, at, bit))
        first = mismatch(path)
        assert name in first["what"] or first["seq"] == 0, whole[at : at + 9]


def test_a_note_that_another_board_gave(path):
    archive = Archive(path)
    note = archive.note()
    for altered, what in (
        (note._replace(head=bytes(32)), "head"),
        (note._replace(root=bytes(32)), "root"),
    ):
        archive.write_note(altered)
        first = mismatch(path)
        assert first["seq"] == note.seq and what in first["what"]
    archive.write_note(note._replace(seq=note.seq + 1))
    assert mismatch(path)["seq"] == note.seq + 1


def test_files_of_frames_that_do_not_belong(path):
    (path / "frames" / "0000009999.log").write_bytes(b"")  # as a killed sync may leave it
    assert quipu.verify(path).verdict == "match"
    (path / "frames" / "0000009999.log").write_bytes(b"x")
    assert "9999" in mismatch(path)["found"]
    (path / "frames" / "0000009999.log").unlink()
    log_of(path).unlink()
    assert mismatch(path)["seq"] == 0


# -- gaps ------------------------------------------------------------------------------------------


@pytest.fixture
def gap(path, made):
    """The same archive with frames missing: those before the ten that lead to the second
    snapshot."""
    archive = Archive(path)
    base = archive.snapshots()[1]
    first = base - 9
    low, head = 100, quipu.replay_to(path, first - 1).head
    all_frames = frames_of(path)
    assert archive.snapshots()[0] < low < first
    log_of(path).write_bytes(b"".join(all_frames[:low]))
    archive.add_segment(first, head)
    archive.append(b"".join(all_frames[first:]))
    archive.close()
    return path, low, first, base


def test_a_gap_is_told_from_a_match(gap, made):
    path, low, first, base = gap
    verdict = quipu.verify(path)
    assert (
        verdict.verdict == "gap" and verdict.exit_code == 1 and verdict.gaps == [[low, first - 1]]
    )
    assert quipu.verify(path, allow_gap=True).exit_code == 0
    store = made[1]
    assert (
        verdict.state_root == store.kernel.root().hex() and verdict.chain_head == store.head.hex()
    )
    assert verdict.frames == low + store.seq + 1 - first and verdict.snapshots == 2
    assert quipu.state(path, base + 1).seq() <= base + 1
    with pytest.raises(UsageError):
        quipu.state(path, low + 1)


def test_a_log_whose_beginning_is_missing(gap, made):
    path, low, first, base = gap
    facts = json.loads((path / "archive.json").read_text())
    (path / "archive.json").write_text(json.dumps({**facts, "segments": facts["segments"][1:]}))
    assert "0000000000.log" in mismatch(path)["found"]
    log_of(path).unlink()
    archive = Archive(path)
    # a snapshot of a frame that is not there
    assert mismatch(path, allow_gap=True)["seq"] == archive.snapshots()[0]
    archive.snapshot_file(archive.snapshots()[0]).unlink()
    verdict = quipu.verify(path)
    assert verdict.verdict == "gap" and verdict.gaps == [[0, first - 1]]
    assert verdict.state_root == made[1].kernel.root().hex()


def test_what_is_there_around_a_gap_is_still_proved(gap):
    path, low, first, base = gap
    later = path / "frames" / f"{first:010d}.log"
    for file, seq in ((log_of(path), 50), (later, first), (later, base - 1), (later, base + 3)):
        whole = file.read_bytes()
        at = 0
        while u32(whole, at + 4) != seq:
            at += length_at(whole, at)
        for i in (0, 4, 12, length_at(whole, at) - 1):
            file.write_bytes(flipped(whole, at + i, 2))
            assert mismatch(path, allow_gap=True)["seq"] == seq
        file.write_bytes(whole)
    assert quipu.verify(path).verdict == "gap"


def test_frames_lost_beyond_what_is_declared(gap):
    path, low, first, base = gap
    all_frames = frames_of(path)
    log_of(path).write_bytes(b"".join(all_frames[: low - 1]))
    assert quipu.verify(path).gaps == [[low - 1, first - 1]]  # a longer gap, and said to be one
    log_of(path).write_bytes(b"".join(all_frames[:low]) + all_frames[low - 1])
    assert mismatch(path, allow_gap=True)["seq"] == low


def test_the_snapshot_that_stands_in_for_a_gap(gap):
    path, low, first, base = gap
    archive = Archive(path)
    whole = archive.snapshot(base)
    archive.snapshot_file(base).unlink()
    assert "snapshot" in mismatch(path, allow_gap=True)["what"]
    note = (path / "note.json").read_bytes()
    (path / "note.json").unlink()
    assert "snapshot" in mismatch(path, allow_gap=True)["what"]
    (path / "note.json").write_bytes(note)
    header = decode(whole)
    header.head = bytes(32)
    archive.snapshot_file(base).write_bytes(header.encode() + whole[SNAPSHOT_HEADER:])
    assert mismatch(path, allow_gap=True)["what"] == "snapshot's chain head"
