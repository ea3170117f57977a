"""However many processes share a verification, the verdict is that of one: to the last word, also
of a damaged archive."""

import json
import shutil

import pytest
import quipu
from quipu.archive import parallel as audit
from quipu.archive.files import Archive
from quipu.archive.verify import many
from quipu.cli import main as cli
from quipu.errors import UsageError

from shared_kernel.frames import BOOT, CHECKPOINT, length_at
from shared_kernel.kernel import INSERT, PUT, u32
from tests.host.sample import sample


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    archive, store = sample(tmp_path_factory.mktemp("made") / "a")
    return archive.path, store


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "a")


@pytest.fixture
def here(monkeypatch):
    """Do in this process what others would, through the same JSON; return the orders given, to see
    that there were any."""
    orders = []

    def child(order):
        orders.append(order)
        return json.loads(json.dumps(audit.part(json.loads(json.dumps(order)))))

    monkeypatch.setattr(audit, "child", child)
    return orders


def same(path, jobs=3):
    """Assert that the verdicts of one process and of several are equal; return it."""
    alone = quipu.verify(path, jobs=1).as_dict()
    assert quipu.verify(path, jobs=jobs).as_dict() == alone
    return alone


def log_of(path):
    return path / "frames" / "0000000000.log"


def places(whole):
    """Return the offset of each frame."""
    out, at = [], 0
    while at < len(whole):
        out.append(at)
        at += length_at(whole, at)
    return out


def test_parts_begin_at_the_snapshots(path, here):
    archive = Archive(path)
    whole, snapshots = log_of(path).read_bytes(), archive.snapshots()
    starts = audit.plan(archive, 3)
    assert [each.seq for each in starts] == snapshots
    for each in starts:
        assert each.segment == 0 and u32(whole, each.offset + 4) == each.seq + 1
    assert len(audit.plan(archive, 2)) == 1 and len(audit.plan(archive, 9)) == len(snapshots)
    assert same(path)["verdict"] == "match"
    assert [(each["start"] and each["start"][0], each["until"]) for each in here] == [
        (None, snapshots[0]),
        (snapshots[0], snapshots[1]),
    ]


def test_of_a_long_log_the_part_of_this_process_is_the_longest(path, monkeypatch):
    archive = Archive(path)
    size = log_of(path).stat().st_size
    first, second = audit.plan(archive, 9)
    monkeypatch.setattr(audit, "_WORTH_IT", size)
    for due in (first, second):
        # what is left, halved, ends there
        monkeypatch.setattr(audit, "_LATE", size - 2 * due.offset)
        assert audit.plan(archive, 2) == [due]
    monkeypatch.setattr(audit, "_WORTH_IT", size + 1)
    assert audit.plan(archive, 2) == [
        min((first, second), key=lambda each: abs(each.offset - size // 2))
    ]


def test_real_processes_give_the_same_verdict(path):
    assert same(path)["verdict"] == "match"
    whole = bytearray(log_of(path).read_bytes())
    whole[places(whole)[5] + 14] ^= 1
    log_of(path).write_bytes(whole)
    assert same(path)["first_divergence"]["seq"] == 5


@pytest.mark.parametrize("kind", (BOOT, CHECKPOINT, INSERT, PUT))
def test_a_flipped_bit_in_any_byte_of_a_frame_in_each_part(path, here, kind):
    """One frame of this type before, between and after the snapshots: each of its bytes, length and
    seq included."""
    snapshots = Archive(path).snapshots()
    whole = log_of(path).read_bytes()
    at_of = places(whole)
    chosen = []
    for low, high in zip([0, *snapshots], [*snapshots, len(at_of)]):
        chosen += [seq for seq in range(low + 1, high) if whole[at_of[seq] + 1] & 0x3F == kind][:1]
    assert chosen
    count = 0
    for seq in chosen:
        at = at_of[seq]
        for i in range(length_at(whole, at)):
            log_of(path).write_bytes(
                whole[: at + i] + bytes([whole[at + i] ^ 1 << i % 8]) + whole[at + i + 1 :]
            )
            assert same(path)["first_divergence"]["seq"] == seq
            count += 1
    assert count > 50 and len(here) >= count


def test_frames_dropped_repeated_and_cut_off(path, here):
    whole = log_of(path).read_bytes()
    at_of = places(whole)
    snapshots = Archive(path).snapshots()
    for seq in (
        1,
        snapshots[0],
        snapshots[0] + 1,
        snapshots[1] - 1,
        snapshots[1] + 1,
        len(at_of) - 1,
    ):
        at, after = at_of[seq], (at_of + [len(whole)])[seq + 1]
        for altered in (
            whole[:at] + whole[after:],
            whole[:after] + whole[at:],
            whole[:at],
            whole[: at + 9],
            whole[:at] + b"\xff" * 40 + whole[after:],
        ):
            log_of(path).write_bytes(altered)
            assert same(path)["verdict"] == "mismatch"
    log_of(path).write_bytes(b"")
    assert same(path)["verdict"] == "mismatch"
    log_of(path).unlink()
    assert same(path)["verdict"] == "mismatch"
    assert here


def test_snapshots_altered_and_lost(path, here):
    archive = Archive(path)
    for seq in archive.snapshots():
        whole = archive.snapshot_file(seq).read_bytes()
        for at in [*range(0, 130, 3), len(whole) // 2, len(whole) - 1]:
            archive.snapshot_file(seq).write_bytes(
                whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]
            )
            first = same(path)["first_divergence"]
            assert first["seq"] == seq and "snapshot" in first["what"]
        archive.snapshot_file(seq).write_bytes(b"")
        assert same(path)["first_divergence"]["seq"] == seq
        archive.snapshot_file(seq).write_bytes(whole)
    assert here
    archive.snapshot_file(archive.snapshots()[0]).rename(archive.snapshot_file(9999))
    assert same(path)["verdict"] == "mismatch"


def test_the_json_files_altered(path, here):
    for name in ("archive.json", "note.json"):
        whole = (path / name).read_bytes()
        for at in range(0, len(whole), 5):
            (path / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert same(path)["verdict"] == "mismatch"
        (path / name).write_bytes(whole)
    (path / "note.json").unlink()
    assert same(path)["verdict"] == "match" and here


def test_an_archive_with_a_gap(path, here):
    archive = Archive(path)
    base = archive.snapshots()[1]
    head = quipu.replay_to(path, base - 10).head
    frames = [bytes(each) for each in archive.frames()]
    low = archive.snapshots()[0] + 9
    log_of(path).write_bytes(b"".join(frames[:low]))
    archive.add_segment(base - 9, head)
    archive.append(b"".join(frames[base - 9 :]))
    archive.close()
    found = same(path)
    assert found["verdict"] == "gap" and found["gaps"] == [[low, base - 10]] and len(here) == 2
    later = path / "frames" / f"{base - 9:010d}.log"
    whole = later.read_bytes()
    for at in range(0, len(whole), 41):
        later.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert same(path)["verdict"] == "mismatch"


def test_a_root_known_from_elsewhere_is_held_to_the_end(path, here, made):
    known = made[1].kernel.root()
    assert quipu.verify(path, jobs=3, expect_root=known).verdict == "match"
    wrong = quipu.verify(path, jobs=3, expect_root=bytes(32))
    assert (
        wrong.as_dict() == quipu.verify(path, jobs=1, expect_root=bytes(32)).as_dict()
        and wrong.verdict == "mismatch"
    )


def test_many_archives(path, tmp_path):
    bad = shutil.copytree(path, tmp_path / "bad")
    whole = bytearray(log_of(bad).read_bytes())
    whole[100] ^= 1
    log_of(bad).write_bytes(whole)
    found = many([path, bad, path], jobs=2)
    assert [each.verdict for each in found] == ["match", "mismatch", "match"]
    assert [each.as_dict() for each in found] == [
        quipu.verify(each, jobs=1).as_dict() for each in (path, bad, path)
    ]
    assert [each.verdict for each in many([path, tmp_path / "none"])] == ["match", "no archive"]
    with pytest.raises(UsageError):
        quipu.verify(path, jobs=0)


def test_many_archives_on_the_command_line(path, tmp_path, capsys):
    bad = shutil.copytree(path, tmp_path / "bad")
    log_of(bad).write_bytes(log_of(path).read_bytes()[:-60] + bytes(60))
    assert cli.main(["verify", str(path), str(bad), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [each["verdict"] for each in told["archives"]] == ["match", "mismatch"] and told[
        "kernel"
    ] == "pure"
    assert cli.main(["verify", str(path), str(path), "--jobs", "2"]) == 0
    assert capsys.readouterr().out.count("MATCH") == 2
    assert (
        cli.main(["verify"])
        == cli.main(["verify", str(path), str(bad), "--expect-root", "00" * 32])
        == 2
    )
    assert cli.main(["--version"]) == 0
    assert "pure kernel (QUIPU_PURE is set)" in capsys.readouterr().out
