"""`quipu restore`, `migrate` and `verify --origin`: what a person and what a program sees of
them."""

import json
import shutil

import pytest
from quipu.cli import main as cli

from tests.host.test_restore_board import recorded  # noqa: F401  (a fixture)
from tests.host.unix_board import UnixBoard


@pytest.fixture
def run(capsys):
    """Carry out a command line; return (what it printed, its exit code)."""

    def call(*arguments):
        capsys.readouterr()
        code = cli.main([str(each) for each in arguments])
        said = capsys.readouterr()
        return said.out + said.err, code

    return call


def test_the_fleet_story_by_command_line(recorded, tmp_path, run):  # noqa: F811
    archive, record, _ = recorded
    with UnixBoard(tmp_path / "b.bin") as b:
        said, code = run("restore", archive, b.port)
        assert code == 0 and "state root" in said and "already" not in said and archive.name in said
        again, code = run("restore", archive, b.port, "--json")
        assert code == 0 and json.loads(again)["already"] and json.loads(again)["root"] in said
        assert run("put", b.port, "mine", "1")[1] == 0
        assert run("sync", b.port, "--archive", tmp_path / "b")[1] == 0
        alone, code = run("verify", tmp_path / "b")
        assert code == 0 and "MATCH" in alone and "not checked: say it with --origin" in alone
        both, code = run("verify", tmp_path / "b", "--port", b.port, "--origin", archive)
        assert code == 0 and "MATCH" in both and "replayed too" in both
        other, code = run("verify", tmp_path / "b", "--origin", tmp_path / "nowhere")
        assert code == 2 and "is no archive" in other
        said, code = run("restore", tmp_path / "b", b.port, "--at", 5)
        assert code == 2 and "holds no state for seq 5" in said
        said, code = run("restore", archive, b.port, "--at", 5)
        assert code == 1 and "erase it (quipu flash --erase-log)" in said
    assert run("verify", archive, tmp_path / "b", "--origin", archive)[1] == 2


def test_migrate_by_command_line(recorded, tmp_path, run):  # noqa: F811
    shutil.copy(recorded[2], tmp_path / "a.bin")
    with UnixBoard(tmp_path / "a.bin") as a:
        said, code = run("migrate", a.port, "--records", 2, "--archive", tmp_path / "old")
        assert (
            code == 1
            and "does not fit these capacities" in said
            and "all 2 record slots are in use" in said
        )
        said, code = run(
            "migrate", a.port, "--records", 30, "--archive", tmp_path / "old", "--json"
        )
        done = json.loads(said)
        assert code == 0 and done["config"]["records"] == 30 and not done["already"]
        assert run("record", a.port, recorded[1])[1] == 0
        said, code = run("migrate", a.port, "--records", 30, "--archive", tmp_path / "old")
        assert code == 0 and "already; nothing was sent" in said and "records 30" in said
        assert run("sync", a.port, "--archive", tmp_path / "new")[1] == 0
        said, code = run(
            "verify", tmp_path / "new", "--origin", tmp_path / "old", "--port", a.port, "--json"
        )
        assert code == 0 and json.loads(said)["origin"]["archive"] == str(tmp_path / "old")
