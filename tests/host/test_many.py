"""Many archives are shared out to as many processes as there are cores, not one to each, and each
verdict is told when it is there."""

import shutil
import subprocess

import pytest
from quipu.archive import parallel
from quipu.archive.verify import many

from tests.host.past import Log


@pytest.fixture
def fleet(tmp_path):
    log = Log()
    for i in range(20):
        log.put(f"k{i % 3}", str(i))
    first = log.archive(tmp_path / "00")
    paths = [first] + [shutil.copytree(first, tmp_path / f"{i:02d}") for i in range(1, 30)]
    (paths[7] / "archive.json").unlink()
    frames = paths[11] / "frames" / "0000000000.log"
    frames.write_bytes(frames.read_bytes()[:200])
    return paths


def test_30_archives_are_shared_by_two_processes(fleet, monkeypatch):
    begun = []
    real = subprocess.Popen
    monkeypatch.setattr(
        parallel.subprocess, "Popen", lambda *args, **more: begun.append(1) or real(*args, **more)
    )
    told = []
    found = many(fleet, jobs=2, progress=lambda done, total: told.append((done, total)))
    assert len(begun) == 2
    assert told == [(n, 30) for n in range(1, 31)]
    wrong = {7: "no archive", 11: "mismatch"}
    assert [each.verdict for each in found] == [wrong.get(i, "match") for i in range(30)]
    assert found == many(fleet, jobs=1) and len(begun) == 2
    assert many(fleet[:3], jobs=9) == found[:3] and len(begun) == 5


def test_the_first_verdict_is_told_before_the_last_archive_is_read(fleet, monkeypatch):
    """The last archive is there only once the first verdict was told."""
    last = fleet.pop()
    aside = last.rename(last.with_name("aside"))

    def progress(done, total):
        if done == 1:
            aside.rename(last)

    assert many([*fleet, last], jobs=1, progress=progress)[-1].verdict == "match"


def test_a_process_that_dies_is_named_with_what_it_said(fleet, monkeypatch):
    monkeypatch.setattr(parallel.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match=r"a process that verifies .* ended with 1"):
        many(fleet, jobs=2)
