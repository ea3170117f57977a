"""An import that was interrupted goes on after what an earlier run carried out, and one that was
complete changes nothing: nothing of a file is ever there twice unless that is asked for."""

import json

import pytest
import quipu
from quipu.errors import UsageError
from quipu.formats import imports

from tests.host.test_cli import answer
from tests.host.test_cli import quipu as command
from tests.host.unix_board import UnixBoard

LINES = [
    {"seq": 1, "type": "insert", "vector": [1, 2], "meta": "walk"},
    {"seq": 2, "type": "create-node", "kind": 4, "record": 1},
    {"seq": 3, "type": "create-node", "kind": 5},
    {"type": "put", "name": "mode", "value": "fast"},
    {"type": "put", "name": "mode", "value": "fast"},
    {"seq": 8, "type": "create-edge", "kind": 6, "from": 2, "to": 3},
]


def first(port, file, count):
    """Carry out the first commands of a file, as an import that is interrupted there."""
    steps = imports.lines(file.open("rb"))
    marks = imports.tokens(steps, file.read_bytes() + b"jsonl False")
    with quipu.connect(port) as board:
        imports.carry_out(board, steps[:count], marks=marks)


def test_an_interrupted_import_goes_on_and_never_doubles(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in LINES))
    for cut in (0, 1, 3, 5, 6):
        with UnixBoard(tmp_path / f"flash{cut}") as unix:
            answer("configure", unix.port, "--dim", 2)
            first(unix.port, file, cut)
            command("put", unix.port, "by", "another")  # what is not ours in between does no harm
            told = answer("import", unix.port, file)
            assert (told["before"], told["count"]) == (cut, len(LINES))
            info = answer("info", unix.port)
            assert [info[each] for each in ("records", "nodes", "edges", "keys")] == [1, 2, 1, 2]
            edge = answer("edge", unix.port, told["ids"]["edges"]["8"])
            assert (edge["from"], edge["to"]) == (
                told["ids"]["nodes"]["2"],
                told["ids"]["nodes"]["3"],
            )
            again = answer("import", unix.port, file)
            assert again["before"] == len(LINES) and again["ids"] == told["ids"]
            assert answer("info", unix.port)["head"] == info["head"]


def test_the_same_file_comes_once_more_only_when_asked(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(LINES[0]) + "\n")
    with UnixBoard(tmp_path / "flash") as unix:
        answer("configure", unix.port, "--dim", 2)
        for more, records in (((), 1), ((), 1), (("--again",), 2), (("--again",), 3), ((), 3)):
            answer("import", unix.port, file, *more)
            assert answer("info", unix.port)["records"] == records
        assert "1 by an earlier run" in command("import", unix.port, file)
        file.write_text(json.dumps(LINES[0]) + "\n\n")  # another file: its bytes differ
        answer("import", unix.port, file)
        assert answer("info", unix.port)["records"] == 4


def test_frames_that_have_left_the_board_are_not_guessed():
    class Board:
        def carried_out(self, marks):
            return {marks[2]: 40, marks[3]: 41}

    with pytest.raises(UsageError, match="carried out 4 commands .* frames of 2 of them have left"):
        imports.done(Board(), [bytes([i]) * 8 for i in range(6)])
