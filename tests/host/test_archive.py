"""An archive on disk: made once, appended to, never half; what is broken in it is refused and
named."""

import json
import shutil

import pytest
from quipu.archive import chain
from quipu.archive.files import Archive, Note
from quipu.errors import ArchiveDamage, ArchiveError

from shared_kernel.frames import length_at
from tests.host.sample import sample


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "a"
    return sample(folder)[0].path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "a")


def log_of(path):
    return path / "frames" / "0000000000.log"


def frames_of(path):
    return [bytes(each) for each in Archive(path).frames()]


def test_what_is_written_is_read(path):
    archive = Archive(path)
    assert archive.identity == "sample/0102"
    assert b"".join(frames_of(path)) == log_of(path).read_bytes()
    scan = archive.scan()
    assert (scan.chain.seq, scan.chain.head) == (archive.note().seq, archive.note().head)
    assert scan.size == log_of(path).stat().st_size and scan.excess == 0
    assert len(archive.snapshots()) == 2


@pytest.mark.parametrize("block", (16, 61, 4096))
def test_frames_are_found_across_reads(path, block, monkeypatch):
    whole = frames_of(path)
    monkeypatch.setattr(chain, "_BLOCK", block)
    assert frames_of(path) == whole and len(whole) > 200


def test_no_archive_is_an_error(tmp_path):
    with pytest.raises(ArchiveError, match="no archive.json"):
        Archive(tmp_path)
    with pytest.raises(ArchiveError, match="no archive.json"):
        Archive(tmp_path / "nothing")


def test_no_archive_is_made_over_something(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(ArchiveError, match="photo.jpg"):
        Archive.create(tmp_path, bytes(32), "b")
    with pytest.raises(ArchiveError, match="is a file"):
        Archive.create(tmp_path / "photo.jpg", bytes(32), "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photo.jpg"]


def test_a_creation_that_broke_off_is_done_again(tmp_path):
    Archive.create(tmp_path / "a", bytes(32), "b")
    (tmp_path / "a" / "archive.json").rename(tmp_path / "a" / "archive.json.new")
    with pytest.raises(ArchiveError):
        Archive(tmp_path / "a")
    Archive.create(tmp_path / "a", bytes(32), "b")
    assert Archive(tmp_path / "a").scan().chain.seq == -1


def test_a_torn_end_past_the_note_is_excess_and_can_be_cut(path):
    archive = Archive(path)
    whole = log_of(path).read_bytes()
    with log_of(path).open("ab") as file:
        file.write(whole[-20:][:9])
    scan = archive.scan()
    assert (scan.size, scan.excess) == (len(whole), 9)
    archive.cut(scan.size)
    assert log_of(path).read_bytes() == whole
    archive.append(b"more")
    archive.close()
    assert log_of(path).read_bytes() == whole + b"more"


@pytest.mark.parametrize("lost", (1, 7, "frame"))
def test_an_end_torn_before_the_note_is_damage(path, lost):
    note = Archive(path).note()
    whole = log_of(path).read_bytes()
    lost = len(frames_of(path)[-1]) if lost == "frame" else lost
    log_of(path).write_bytes(whole[:-lost])
    with pytest.raises(ArchiveDamage) as e:
        Archive(path).scan()
    assert e.value.seq == note.seq


def test_every_broken_frame_is_named(path):
    whole = log_of(path).read_bytes()
    at = 0
    for seq in range(len(frames_of(path))):
        end = at + length_at(whole, at)
        broken = bytearray(whole)
        broken[(at + end) // 2] ^= 0x10
        log_of(path).write_bytes(broken)
        with pytest.raises(ArchiveDamage) as e:
            Archive(path).scan()
        assert e.value.seq == seq and e.value.what == "frame CRC"
        at = end
    assert at == len(whole)


def test_frames_out_of_order_are_named(path):
    whole = frames_of(path)
    for seq in (1, 50, len(whole) - 2):
        for frames in (
            whole[:seq] + whole[seq + 1 :],
            whole[:seq] + [whole[seq + 1], whole[seq]] + whole[seq + 2 :],
        ):
            log_of(path).write_bytes(b"".join(frames))
            with pytest.raises(ArchiveDamage) as e:
                Archive(path).scan()
            assert (e.value.seq, e.value.what) == (seq, "sequence number")


def test_a_file_of_frames_that_is_not_declared_is_damage(path):
    # as a kill between two steps of add_segment leaves it
    (path / "frames" / "0000000777.log").write_bytes(b"")
    assert Archive(path).scan().excess == 0
    (path / "frames" / "0000000777.log").write_bytes(b"x")
    with pytest.raises(ArchiveDamage, match="0000000777"):
        Archive(path).scan()


def test_a_file_of_frames_that_is_gone_is_damage(path):
    log_of(path).unlink()
    with pytest.raises(ArchiveDamage, match="0000000000"):
        Archive(path).scan()


@pytest.mark.parametrize(
    "change",
    (
        {"format": 2},
        {"format": "1"},
        {"log": "ab"},
        {"log": 5},
        {"identity": None},
        {"segments": []},
        {"segments": [{"first": 0}]},
        {"segments": [{"first": -1, "head": "0" * 64}]},
        {"segments": [{"first": 0, "head": "0" * 64}] * 2},
        {"extra": 1},
    ),
)
def test_an_archive_json_of_another_form_is_damage(path, change):
    facts = json.loads((path / "archive.json").read_text())
    (path / "archive.json").write_text(json.dumps({**facts, **change}))
    with pytest.raises(ArchiveDamage, match="archive.json"):
        Archive(path)


def test_a_note_is_whole_or_refused(path):
    archive = Archive(path)
    note = Note(5, bytes(range(32)), bytes(32), 1_700_000_000_000)
    archive.write_note(note)
    assert archive.note() == note
    assert not list(path.glob("*.new"))
    text = (path / "note.json").read_text()
    (path / "note.json").write_text(text.replace("1700000000000", "1700000000001"))
    with pytest.raises(ArchiveDamage, match="check"):
        archive.note()
    (path / "note.json").write_text(text[:-9])
    with pytest.raises(ArchiveDamage, match="note.json"):
        archive.note()
    (path / "note.json").unlink()
    assert archive.note() is None


def test_parts_of_a_snapshot_are_kept_and_others_dropped(path):
    archive = Archive(path)
    assert archive.partial(9, b"head") == b""
    archive.add_part(9, b"head")
    archive.add_part(9, b"more")
    assert archive.partial(9, b"head") == b"headmore"
    assert archive.partial(9, b"other") == b""
    assert not list(path.glob("snapshots/*.part"))
    archive.add_part(9, b"head")
    archive.add_snapshot(9, b"whole")
    assert 9 in archive.snapshots() and archive.snapshot(9) == b"whole"
    assert not list(path.glob("snapshots/*.part"))


def test_a_file_that_bears_no_snapshots_name_is_passed_over(path):
    before = Archive(path).snapshots()
    (path / "snapshots" / "12.snap").write_bytes(b"")
    assert Archive(path).snapshots() == before


def test_two_cannot_write_at_once(path):
    with Archive(path).locked():
        with pytest.raises(ArchiveError, match="another process"):
            with Archive(path).locked():
                pass
    with Archive(path).locked():
        pass
