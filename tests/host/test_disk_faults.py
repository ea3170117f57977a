"""Every system call of a sync, a merge, a recovery, an export and a report fails, one after the
other, with each errno: the archive verifies or is as it was, the board was told nothing that is not
so, and the next run completes.

What the board is told is held to the model of a disk in faulty_disk.py: at the moment when it hears
that all below a seq is safe, that must be left if the power of the laptop went."""

import errno
import shutil
import warnings
from collections import Counter

import pytest
import quipu
from quipu.archive import disk as door
from quipu.archive import files as archives
from quipu.archive.files import Archive
from quipu.archive.join import merge
from quipu.board.sync import pull
from quipu.cli import formats
from quipu.cli import past as asking
from quipu.dump import recover
from quipu.dump.found import Found
from quipu.dump.image import FlashImage
from quipu.errors import QuipuError

from shared_kernel import frames as f
from shared_kernel import kernel as k
from tests.host.faulty_disk import ERRNOS, Disk
from tests.host.ram_board import RamBoard
from tests.host.sample import RamFlash, begin, every_type, give, mount, pulled, wander
from tests.quick import WHOLE, some

# Places of each job in a quick run and in a whole one, of about 20,000 in all; each fsync comes besides.
QUICK, MOST = 16, 300


class Made:
    """Boards' flashes and archives that all jobs begin from, made once."""

    def __init__(self, folder):
        self.folder = folder
        flash = RamFlash()
        store = begin(flash)
        every_type(store)
        wander(store, 40)
        store.take_snapshot()
        self.young = bytes(flash.memory)
        self.synced = folder / "synced"
        board = RamBoard(self.young)
        pull(board, self.synced)
        self.same = bytes(board.flash.memory)
        store = mount(board.flash)
        wander(store, 40, 1)
        store.take_snapshot()
        self.old = bytes(board.flash.memory)
        # what a sync that was killed leaves: frames past the note, the last of them torn
        self.broken = shutil.copytree(self.synced, folder / "broken")
        archive = Archive(self.broken)
        chain = archive.scan().chain
        more = bytes(store.read_frames(chain.seq + 1, chain.head[:8]))
        archive.append(more[: len(more) * 3 // 4])
        archive.close()
        # a board that recycles what was not pulled
        flash = RamFlash(12)
        store = begin(flash, policy=f.OVERWRITE)
        every_type(store)
        self.early = folder / "early"
        early = RamBoard(bytes(flash.memory))
        pull(early, self.early)
        store = mount(early.flash)
        for i in range(700):
            give(store, k.PUT, f.put(f"k{i % 3}", b"%d" % i))
        self.recycled = bytes(early.flash.memory)
        self.whole = folder / "whole"
        pull(RamBoard(self.old), self.whole)
        self.gaps = folder / "gaps"
        _gaps(self.whole, self.gaps)
        self.wide = folder / "wide"
        pulled(mount(_flash(self.old)), self.wide)


def _flash(memory):
    flash = RamFlash(len(memory) // 4096)
    flash.memory[:] = memory
    return flash


def _gaps(whole, path):
    """Make an archive that lacks the beginning, a range and the end of another."""
    from tests.host.test_merge import with_gaps

    with_gaps(whole, path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("made"))


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(archives, "_MARK_EVERY", 16)
    monkeypatch.setattr(door, "_said", set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# -- the jobs --------------------------------------------------------------------------------------


class Sync:
    """A sync of a board into the archive `start`, None for a new one."""

    def __init__(self, flash, start):
        self.flash, self.start = flash, start

    def prepare(self, made, folder):
        self.memory = getattr(made, self.flash)
        if self.start:
            shutil.copytree(getattr(made, self.start), folder / "a")

    def begin(self, disk, scratch):
        self.path = scratch.parent / "disk" / "a"
        self.disk, self.scratch, self.said = disk, scratch, 0
        self.board = RamBoard(self.memory, self.told)

    def told(self, seq):
        """The board hears that all below seq is safe: is it?"""
        self.said += 1
        left = self.disk.left(self.scratch / f"told{self.said}") / "a"
        try:
            reached = Archive(left).scan().chain.seq
        except QuipuError as error:
            raise AssertionError(f"told {seq}, of which is left: {error}") from None
        assert reached >= seq - 1, f"told {seq}, on the disk up to {reached}"

    def run(self):
        return pull(self.board, self.path)

    def check(self, whole):
        """whole: whether a run has come to its end."""
        if not (self.path / "archive.json").exists():
            assert not whole
            Archive.need_room(self.path)
            return
        archive = Archive(self.path)
        scan = archive.scan()
        verdict = quipu.verify(self.path, board=self.board if whole else None, allow_gap=True)
        assert verdict.exit_code == 0, verdict
        if whole:
            assert scan.chain.seq == verdict.seq == self.board.store.seq == archive.note().seq
            assert self.said
        left = self.disk.left(self.scratch / f"end{whole}") / "a"
        if (left / "archive.json").exists():
            assert quipu.verify(left, allow_gap=True).exit_code == 0
        else:
            Archive.need_room(left)
            assert not whole


class Merge(Sync):
    """The archive `source` is brought into the archive `start`."""

    def __init__(self, source, start):
        self.source, self.start = source, start

    def prepare(self, made, folder):
        self.ours = getattr(made, self.source)
        if self.start:
            shutil.copytree(getattr(made, self.start), folder / "a")

    def begin(self, disk, scratch):
        self.path = scratch.parent / "disk" / "a"
        self.disk, self.scratch, self.said, self.board = disk, scratch, 1, None

    def run(self):
        return merge(self.ours, self.path)

    def check(self, whole):
        if whole:
            left = self.disk.left(self.scratch / "merged") / "a"
            for path in (self.path, left):
                verdict = quipu.verify(path)
                assert verdict.verdict == "match" and verdict.seq == quipu.verify(self.ours).seq
                assert Archive(path).note() == Archive(self.ours).note()
        elif (self.path / "archive.json").exists():
            # whatever came over is there, but a snapshot to go on from after a gap may be due yet
            for path in (self.path, self.disk.left(self.scratch / "left") / "a"):
                if (path / "archive.json").exists():
                    Archive(path).scan()
        else:
            Archive.need_room(self.path)


class Recover(Sync):
    """The flash of a board is written into the archive `start`."""

    def begin(self, disk, scratch):
        super().begin(disk, scratch)
        flash = _flash(self.memory)
        self.found = Found(FlashImage(bytes(flash.memory), flash.sector, flash.page, flash.unit))
        self.said = 1

    def run(self):
        return recover.recover(self.found, self.path)


class Write:
    """A file for other programs is written over an older one."""

    def __init__(self, name, start, write):
        self.name, self.start, self.write = name, start, write

    def prepare(self, made, folder):
        shutil.copytree(getattr(made, self.start), folder / "a")
        (folder / self.name).write_bytes(b"what stood here")

    def begin(self, disk, scratch):
        self.folder = scratch.parent / "disk"

    def run(self):
        self.write(str(self.folder / "a"), str(self.folder / self.name))

    def check(self, whole):
        here = (self.folder / self.name).read_bytes()
        new = here[-2:] != b"re" and len(here) > 100
        assert new if whole else new or here == b"what stood here"
        if new and self.name.endswith("l"):
            assert here.endswith(b"\n") and here[0] in b"<{"
        assert sorted(each.name for each in self.folder.iterdir()) == ["a", self.name]
        assert quipu.verify(self.folder / "a").verdict == "match"


def _export(source, output):
    formats.export(source, output, None, False, None)


def _report(source, output):
    formats.report(source, None, output, None)


def _query(source, output):
    asking.query(source, "records", "", "", "", None, "", "", None, output, "csv", False)


JOBS = {
    "a first sync": Sync("young", None),
    "a later sync": Sync("old", "synced"),
    "a sync after one that broke off": Sync("old", "broken"),
    "a sync with nothing new": Sync("same", "synced"),
    "a first sync of a board that recycled": Sync("recycled", None),
    "a later sync of a board that recycled": Sync("recycled", "early"),
    "a copy": Merge("whole", None),
    "gaps that are filled": Merge("whole", "gaps"),
    "a merge after a sync that broke off": Merge("whole", "broken"),
    "a recovery": Recover("old", None),
    "a recovery that goes on": Recover("old", "synced"),
    "a recovery after a sync that broke off": Recover("old", "broken"),
    "an export of commands": Write("out.jsonl", "wide", _export),
    "an export of records": Write("out.npy", "wide", _export),
    "an export for Valori": Write("out.snap", "wide", _export),
    "a report": Write("out.html", "wide", _report),
}


def attempt(name, made, folder, fail, monkeypatch):
    """Do a job with a call that fails, then once more; return (the calls of the first run, whether
    it was said that one failed)."""
    job = JOBS[name]
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "disk").mkdir(parents=True)
    (folder / "scratch").mkdir()
    job.prepare(made, folder / "disk")
    disk = Disk(folder / "disk")
    job.begin(disk, folder / "scratch")
    said = None
    disk.begin(fail)
    with monkeypatch.context() as patch:
        disk.install(patch)
        try:
            job.run()
        except (QuipuError, OSError) as error:
            said = error
    calls, failed = disk.calls, disk.failed
    try:
        job.check(fail is None)
        disk.begin()
        with monkeypatch.context() as patch:
            disk.install(patch)
            job.run()
        shutil.rmtree(folder / "scratch")
        (folder / "scratch").mkdir()
        job.check(True)
    except BaseException as error:
        raise AssertionError(f"{name}: {failed}, call {fail}, said {said!r}: {error!r}") from error
    return calls, said


def places(name, made, folder, monkeypatch):
    calls, said = attempt(name, made, folder, None, monkeypatch)
    assert said is None and len(calls) > 20, calls
    return calls, [(n, each) for n in range(len(calls)) for each in ERRNOS]


@pytest.mark.parametrize("name", JOBS)
def test_whatever_call_fails_the_archive_is_sound_and_the_board_was_told_the_truth(
    name, made, tmp_path, monkeypatch
):
    calls, rows = places(name, made, tmp_path, monkeypatch)
    failed, said = Counter(), 0
    # an odd step, so that every errno has its turn
    tried = rows[:: len(rows) // MOST | 1] if WHOLE else some(rows, QUICK)
    fsyncs = [(n, "EIO") for n, call in enumerate(calls) if call == "fsync"]
    for n, code in dict.fromkeys(fsyncs + tried):
        fail = n, getattr(errno, code)
        _, error = attempt(name, made, tmp_path / "x", fail, monkeypatch)
        failed[calls[n]] += 1
        said += error is not None
    # of a few places, fewer may be ones whose failure matters
    assert said > (sum(failed.values()) // 3 if WHOLE else 1), failed
    print(f"{name}: {sum(failed.values())} of {len(rows)} places, {said} said; {dict(failed)}")
