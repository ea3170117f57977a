"""Tables for other programs: columns without a row, cells that a spreadsheet would run, bytes that
would steer a terminal, numbers beyond 64 bits."""

import csv
import io
import json

import pytest
from quipu.past import query

from shared_kernel import frames, kernel
from tests.host.test_cli import answer, error, log, quipu, screen, write  # noqa: F401  # log is a fixture

ESCAPE = b"\x1b[2J"


@pytest.fixture
def folder(log, tmp_path):  # noqa: F811
    for name, value in ((b"=1+1", b"-5"), (b"@a", b"7"), (b"esc", ESCAPE)):
        log.add(kernel.PUT, frames.put(name, value))
    return write(tmp_path / "archive", log)


def cells(text):
    return list(csv.reader(io.StringIO(text)))


def test_case_17_formulas_are_guarded_on_request(folder):
    asked = ("query", folder, "keys", "--select", "name,value,seq", "--format", "csv")
    assert cells(quipu(*asked))[1][:2] == ["=1+1", "-5"]
    guarded = cells(quipu(*asked, "--no-formulas"))
    assert guarded[1][:2] == ["'=1+1", "'-5"] and guarded[2][:2] == ["'@a", "7"]
    assert guarded[1][2].isdecimal()  # a number is no text
    assert "--format csv" in error("query", folder, "keys", "--no-formulas", code=2)[1]


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_case_17_no_byte_from_a_board_reaches_a_terminal(folder, form):
    told = screen("query", folder, "keys", "--format", form)
    assert "\x1b[2J" not in told and ("esc" in told)
    told = screen("diff", f"{folder}@0", folder)
    assert "\x1b[2J" not in told and "esc" in told


@pytest.mark.parametrize("what", query.POOLS)
def test_case_17_without_a_row_the_columns_stay(folder, tmp_path, what):
    out = tmp_path / "e.csv"
    for more in ((), ("--group-by", "id" if what != "keys" else "name", "--aggregate", "count")):
        asked = ("query", folder, what, *more)
        none = ("--where", "seq < 0" if what == "keys" else "id < 0")
        quipu(*asked, *none, "--format", "csv", "-o", out)
        header = cells(out.read_text())
        assert header == cells(quipu(*asked, "--format", "csv"))[:1] and len(header[0]) > 1
        dated = [] if more else [each for each in query.DATED if each != "deleted"]
        assert answer(*asked, *none)["columns"] + dated == header[0]


@pytest.mark.parametrize("what", query.POOLS)
def test_columns_are_those_of_the_rows(log, tmp_path, what):  # noqa: F811
    path = write(tmp_path / "a", log)
    told = answer("query", path, what, "--at", 14)
    assert told["rows"]
    for row in told["rows"]:
        names = [
            name for name in row if name.removesuffix("_hex") not in row or name[-4:] != "_hex"
        ]
        assert names == told["columns"]


def test_case_17_numbers_beyond_floats_are_told_exactly(log, tmp_path):  # noqa: F811
    log.add(kernel.PUT, frames.put("big", b"1e999"))
    path = write(tmp_path / "a", log)
    told = answer("query", path, "keys", "--aggregate", "max(value),mean(value),min(value)")
    assert told["rows"][0]["max(value)"] == 10**999
    log.add(kernel.PUT, frames.put("tiny", b"0.5"))
    path = write(tmp_path / "b", log)
    told = answer("query", path, "keys", "--aggregate", "sum(value),min(value)")
    assert told["rows"] == [{"sum(value)": 10**999, "min(value)": 0.5}]
    assert json.loads(
        quipu("query", path, "keys", "--aggregate", "max(value)", "--format", "jsonl")
    )


def test_a_table_is_not_written_to_a_file(folder, tmp_path):
    assert "for the screen" in error("query", folder, "keys", "-o", tmp_path / "x", code=2)[1]


@pytest.mark.parametrize("form", ("csv", "jsonl"))
def test_what_other_programs_read_is_never_cut_in_a_terminal(folder, form):
    asked = ("query", folder, "keys", "--select", "name,value,log", "--format", form)
    told = screen(*asked, columns=40)
    for line in quipu(*asked).splitlines():
        if "\x1b" not in line:
            assert line in told
    assert len(quipu(*asked).splitlines()[1]) > 70


def test_a_table_names_a_log_by_its_beginning(folder):
    name = answer("query", folder, "keys", "--select", "log")["rows"][0]["log"]
    told = screen("query", folder, "keys", "--select", "name,value,log", columns=60)
    assert name[:16] in told and name not in told


@pytest.mark.parametrize(
    "own", ("frames/0000000000.log", "archive.json", "note.json", "index.sqlite", "frames/new.log")
)
def test_no_output_takes_the_place_of_an_archives_own_file(folder, own):
    answer("index", folder)
    before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    for asked in (
        ("export", folder, "--format", "jsonl"),
        ("query", folder, "keys", "--format", "csv"),
        ("report", folder),
    ):
        said = error(*asked, "-o", folder / own, code=2)[1]
        assert "is a file of an archive" in said
    assert before == {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    quipu("query", folder, "keys", "--format", "csv", "-o", folder / "mine.csv")


def test_half_a_character_in_a_value_that_is_json_is_a_value():
    assert query._inside(b'{"d":"\\ud800"}', ".d") == b"\xed\xa0\x80"
    assert query.field({"board": "\ud800"}, "board") == b"\xed\xa0\x80"
