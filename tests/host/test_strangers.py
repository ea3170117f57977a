"""Strangers in an archive's folder, or beside it: what other programs leave there is passed over or
named, never called altered, never followed, never overwritten."""

import json
import shutil

import pytest
import quipu
from quipu.archive.verify import many
from quipu.cli import main as cli

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
    with pytest.raises(quipu.errors.ArchiveError, match="is no archive"):
        quipu.verify(tmp_path)
