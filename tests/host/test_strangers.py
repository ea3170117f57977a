"""Strangers in an archive's folder, or beside it: what other programs leave there is passed over or
named, never called altered, never followed, never overwritten."""

import json
import os
import shutil
import socket

import pytest
import quipu
from quipu.archive.files import Archive
from quipu.archive.join import merge
from quipu.archive.verify import many
from quipu.cli import main as cli
from quipu.errors import ArchiveDamage, ArchiveError

from tests.host.sample import sample


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    archive, store = sample(tmp_path_factory.mktemp("made") / "a")
    return archive.path, store


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "a")


# -- beside it -------------------------------------------------------------------------------------


@pytest.fixture
def fleet(path, tmp_path):
    """Two good archives among what a folder of archives may hold besides; return its paths."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    path.rename(folder / "a")
    shutil.copytree(folder / "a", folder / "z")
    (folder / "notes.txt").write_text("mine")
    (folder / "lost+found").mkdir()
    return sorted(folder.iterdir())


@pytest.mark.parametrize("jobs", (1, 2))
def test_case_19_a_stray_file_costs_the_other_archives_nothing(fleet, jobs):
    found = many(fleet, jobs=jobs)
    told = {path.name: each.verdict for path, each in zip(fleet, found, strict=True)}
    assert told == {
        "a": "match",
        "lost+found": "no archive",
        "notes.txt": "no archive",
        "z": "match",
    }
    for each, path in zip(found, fleet, strict=True):
        assert each.exit_code == (each.verdict != "match")
        assert (each.problem is None) == (each.verdict == "match")
        assert each.problem is None or f"{path} is no archive" in each.problem


@pytest.mark.parametrize("jobs", (1, 2))
def test_case_19_the_command_line_gives_all_verdicts_and_names_the_stray(fleet, jobs, capsys):
    arguments = ["verify", "--jobs", str(jobs), *map(str, fleet)]
    assert cli.main([*arguments, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["archives"]
    assert [each["verdict"] for each in told] == ["match", "no archive", "no archive", "match"]
    assert cli.main(arguments) == 1
    lines = " ".join(capsys.readouterr().out.split())
    assert lines.count("sample/0102") == 2 and "notes.txt is no archive" in lines


def test_case_19_nothing_but_strays_is_told_too(fleet):
    found = many([each for each in fleet if each.name not in ("a", "z")], jobs=2)
    assert [each.verdict for each in found] == ["no archive"] * 2


def test_one_archive_alone_that_is_none_is_an_error(tmp_path):
    with pytest.raises(ArchiveError, match="is no archive"):
        quipu.verify(tmp_path)


# -- inside it -------------------------------------------------------------------------------------

STRAYS = (
    "._archive.json",
    ".DS_Store",
    "Thumbs.db",
    "archive (conflicted copy).json",
    "frames/._0000000000.log",
    "frames/.DS_Store",
    "frames/0000000000 (1).log",
    "frames/0000000000.sync-conflict-20261129-172245-ABCDEFG.log",
    "frames/._0000000000.part",
    "frames/download.part",
    "snapshots/._0000000006.snap",
    "snapshots/0000000006 (conflicted copy).snap",
    "snapshots/._0000000006.part",
    "snapshots/download.part",
)


def test_case_08_what_other_programs_leave_in_an_archive_is_passed_over_and_kept(path, tmp_path):
    for each in STRAYS:
        (path / each).write_bytes(os.urandom(4096))
    (path / "frames" / "lost+found").mkdir()
    before = {each: (path / each).read_bytes() for each in STRAYS}
    assert quipu.verify(path).verdict == "match"
    archive = Archive(path)
    assert archive.scan().excess == 0 and len(archive.snapshots()) == 2
    archive.partial(9, b"head")
    archive.drop_parts()
    merge(path, tmp_path / "copy")
    assert quipu.verify(tmp_path / "copy").verdict == "match"
    merge(tmp_path / "copy", path)
    assert {each: (path / each).read_bytes() for each in STRAYS} == before


@pytest.mark.parametrize("name", ("._x", ".DS_Store", "Thumbs.db", "desktop.ini", "lost+found"))
def test_case_08_an_empty_folder_may_hold_what_the_system_puts_into_any(name, tmp_path):
    (tmp_path / name).mkdir() if name == "lost+found" else (tmp_path / name).write_bytes(b"x")
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "._y").write_bytes(b"y")
    Archive.create(tmp_path, bytes(32), "b")
    assert Archive(tmp_path).scan().chain.seq == -1
    assert (tmp_path / name).exists()


def test_nothing_is_made_over_what_a_person_keeps(tmp_path):
    for name in ("frames/photo.jpg", "snapshots/0000000006.snap", "notes"):
        folder = tmp_path / name.replace("/", "-")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"mine")
        with pytest.raises(ArchiveError, match=f"not empty .it holds {name}"):
            Archive.create(folder, bytes(32), "b")


# -- what is no regular file -----------------------------------------------------------------------

FILES = (
    "archive.json",
    "note.json",
    "frames/0000000000.log",
    "snapshots/{seq:010d}.snap",
    "frames",
    "snapshots",
)
KINDS = ("FIFO", "folder", "device", "socket", "loop")


def put(kind, file):
    """Put something at `file` that is no regular file, in place of what is there."""
    shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
    if kind == "FIFO":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "loop":
        file.symlink_to(file)
    else:
        here = os.getcwd()
        os.chdir(file.parent)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
        os.chdir(here)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_regular_file_is_never_waited_for(path, name, kind, capsys):
    seq = Archive(path).snapshots()[0]
    file = path / name.format(seq=seq)
    if kind == "folder" and file.is_dir():
        return
    put(kind, file)
    for verb in ("verify", "history", "get", "log"):
        asked = ["--type", "put", "--archive", path] if verb == "log" else [path]
        if verb in ("history", "get"):
            asked.append("name")
        code = cli.main([verb, *map(str, asked)])
        told = "".join(capsys.readouterr())
        assert "Traceback" not in told
        # what does not read it may answer
        assert code in (0, 1) and told, (verb, code, told)
        assert code == 1 or name not in ("archive.json", "frames/0000000000.log", "frames"), told
    verdict = many([path, path], jobs=1)[0]
    assert verdict.exit_code == 1 or name == "snapshots" and kind == "loop"


@pytest.mark.parametrize("kind", ("FIFO", "device", "folder", "loop"))
@pytest.mark.parametrize("suffix", ("", "-wal"))
def test_an_index_that_is_no_regular_file_is_not_opened(path, kind, suffix, tmp_path):
    put(kind, path / f"index.sqlite{suffix}")
    with quipu.open(path) as memory:
        assert memory.history("name").versions and memory.index.own


def test_an_index_is_not_written_through_a_symlink(path, tmp_path):
    (path / "index.sqlite").symlink_to(tmp_path / "elsewhere")
    with quipu.open(path) as memory:
        assert memory.history("name").versions and memory.index.own
    assert not (tmp_path / "elsewhere").exists()
    assert cli.main(["index", str(path), "--rebuild"]) == 0
    assert not (path / "index.sqlite").is_symlink() and not (tmp_path / "elsewhere").exists()


def test_no_write_follows_a_symlink(path, tmp_path):
    """Each door by which an archive is written, with a symlink where it writes."""
    other = tmp_path / "other"
    archive = Archive(path)
    doors = (
        ("frames/0000000000.log", lambda: archive.append(b"x")),
        ("frames/0000000000.log", lambda: archive.cut(0)),
        ("frames/0000000999.log", lambda: archive.add_segment(999, bytes(32))),
        ("snapshots/0000000009.part", lambda: archive.add_part(9, b"x")),
        ("frames", lambda: archive.append(b"x")),
        ("frames", lambda: archive.fill(archive.segments[0], [b"x"])),
        ("snapshots", lambda: archive.add_snapshot(9, b"x")),
    )
    for name, write in doors:
        file = path / name
        kept = tmp_path / "kept"
        if file.exists():
            file.rename(kept)
        if kept.is_dir():
            shutil.copytree(kept, other)
        else:
            other.write_bytes(b"mine")
        before = sorted(other.rglob("*")) or other.read_bytes()
        file.symlink_to(other)
        with pytest.raises(ArchiveError, match="is a symlink to .*other"):
            write()
        assert (sorted(other.rglob("*")) or other.read_bytes()) == before, name
        file.unlink()
        shutil.rmtree(other) if other.is_dir() else other.unlink()
        if kept.exists():
            kept.rename(file)
        archive.close()
    assert quipu.verify(path).verdict == "match"


def test_what_is_replaced_takes_the_place_of_a_symlink(path, tmp_path):
    archive = Archive(path)
    note, seq = archive.note(), archive.snapshots()[0]
    snapshot = archive.snapshot(seq)
    doors = (
        ("note.json", lambda: archive.write_note(note)),
        ("archive.json", archive._write_facts),
        (f"snapshots/{seq:010d}.snap", lambda: archive.add_snapshot(seq, snapshot)),
    )
    for name, write in doors:
        file = path / name
        was = file.read_bytes()
        file.unlink()
        (tmp_path / "other").write_bytes(b"mine")
        file.symlink_to(tmp_path / "other")
        write()
        assert (tmp_path / "other").read_bytes() == b"mine"
        assert not file.is_symlink() and file.read_bytes() == was
    assert quipu.verify(path).verdict == "match"


def test_a_symlink_to_a_regular_file_may_be_read(path, tmp_path):
    log = path / "frames" / "0000000000.log"
    log.rename(tmp_path / "big.log")
    log.symlink_to(tmp_path / "big.log")
    assert quipu.verify(path).verdict == "match"


@pytest.mark.parametrize("name", ("archive.json", "note.json"))
def test_a_file_of_facts_that_is_far_too_long_is_not_read(path, name):
    with (path / name).open("r+b") as file:
        file.truncate(1 << 40)  # a sparse file
    assert "at most" in quipu.verify(path).first_divergence["expected"]


def test_a_snapshot_that_is_far_too_long_is_not_read(path):
    seq = Archive(path).snapshots()[0]
    with Archive(path).snapshot_file(seq).open("r+b") as file:
        file.truncate(1 << 40)
    assert quipu.verify(path).first_divergence["what"] == "snapshot"


def test_a_file_of_frames_that_is_no_file_is_damage_of_its_seq(path):
    put("FIFO", path / "frames" / "0000000777.log")
    with pytest.raises(ArchiveDamage, match="0000000777"):
        Archive(path).scan()
