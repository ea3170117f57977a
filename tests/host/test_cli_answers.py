"""Commands answer what was asked, or say why not: every kind of frame has a text, an option is said
once, what was typed is what is stored, and no traceback reaches a person.

In one process, so that a table of many commands costs little."""

import io
import json
import random
import struct

import click
import pytest
from quipu.cli import main as cli
from quipu.cli import render
from quipu.formats import imports
from quipu.past import describe

from shared_kernel import frame_names, frames
from tests.host import sample
from tests.host.test_cli import folder, log, write  # noqa: F401  # folder and log are fixtures


@pytest.fixture
def run(capsys):
    """Run the command here, assert its exit code, and return what it printed on both streams."""

    def run(*arguments, code=0):
        found = cli.main([str(each) for each in arguments])
        told = capsys.readouterr()
        assert found == code, told
        return told.out + told.err

    return run


@pytest.fixture
def answer(run):
    return lambda *arguments, code=0: json.loads(run(*arguments, "--json", code=code))


# -- every frame has a text ------------------------------------------------------------------------


def test_every_type_of_frame_has_a_text_whatever_its_payload():
    rng = random.Random(14)
    for kind in range(256):
        for size in (0, 1, 2, 4, 5, 8, 12, 20, 32, 44, 60):
            data = frames.frame(kind, rng.randbytes(size), 7, 9, 0)
            text = render.says(describe.frame(data))
            assert text.isprintable() and (text or not size), (kind, size)


def test_a_frame_with_fields_and_no_text_of_its_own_shows_the_fields():
    told = {"seq": 1, "tick": 2, "bytes": 3, "type": "of-later", "sector": 5, "why": "\x1b[2J"}
    assert render.says(told) == "sector 5  why \\x1b[2J"


def test_the_log_of_a_store_says_what_its_notes_are(tmp_path, run):
    sample.sample(tmp_path / "a")
    text = run("log", "--archive", tmp_path / "a")
    assert "quarantine   sector 5" in text
    assert "acknowledged  a laptop has all frames below seq 0" in text
    assert {line.split()[2] for line in text.splitlines()} >= set(frame_names.NAMES.values()) - {
        "snapshot"
    }


# -- what was typed is what is meant ---------------------------------------------------------------


def one_valued():
    """Yield (verb, option) for every option that takes one value."""
    for verb in cli.VERBS:
        for each in cli.command(verb).params:
            if isinstance(each, click.Option) and not (each.multiple or each.is_flag):
                yield verb, each.opts[0]


@pytest.mark.parametrize("verb, option", list(one_valued()))
def test_an_option_given_twice_is_an_error(verb, option, run):
    text = run(verb, option, "1", option, "2", code=2)
    assert f"{option} is given 2 times: it takes one value, so give it once" in text


def test_verify_takes_every_archive_that_is_named(log, tmp_path, answer):  # noqa: F811
    good, bad = write(tmp_path / "a", log), write(tmp_path / "b", log)
    (bad / "frames" / "0000000000.log").write_bytes(b"altered")
    for order in ((bad, good), (good, bad)):
        told = answer("verify", "--archive", order[0], "--archive", order[1], code=1)
        assert {one["archive"]: one["verdict"] for one in told["archives"]} == {
            str(good): "match",
            str(bad): "mismatch",
        }


def parsed(verb, *arguments):
    """Return what click makes of a verb's arguments."""
    return cli.command(verb).make_context(verb, list(arguments)).params


@pytest.mark.parametrize("value", ["-5h", "-5", "-.5", "-1e3", "-5 h", "-hot", "-low", "--x", "-"])
def test_put_stores_what_was_typed(value):
    assert parsed("put", "PORT", "off", value)["value"] == value
    assert parsed("put", "PORT", "off", value, "--json")["json"]


@pytest.mark.parametrize("key", ["-5h", "-1"])
def test_a_key_that_begins_with_a_minus_and_a_digit_can_be_named(key):
    assert parsed("get", "DIR", key)["key"] == key.encode()
    assert parsed("put", "PORT", key, "v")["key"] == key.encode()


def test_numbers_below_0_and_options_stand_together():
    told = parsed("search", "DIR", "-1", "--at", "-5m", "-.5", "-k3", "--tag", "7", "-1e-2")
    assert (told["components"], told["at"], told["k"], told["tag"]) == (
        ("-1", "-.5", "-1e-2"),
        "-5m",
        3,
        7,
    )


def test_help_is_still_help(run):
    for name in ("-h", "--help"):
        assert "quipu put PORT KEY VALUE" in " ".join(run("put", name).split()).replace(
            "[OPTIONS] ", ""
        )


# -- what is no archive ----------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["nothing", "a folder", "a file"])
@pytest.mark.parametrize(
    "verb, more",
    [
        ("state", ()),
        ("verify", ()),
        ("get", ("mode",)),
        ("record", (1,)),
        ("query", ("keys",)),
        ("explain", ("mode",)),
        ("index", ()),
        ("report", ("-o", "r.html")),
        ("export", ("-o", "e.jsonl")),
        ("sync", ("--archive", "NEW")),
    ],
)
def test_what_is_no_archive_is_said_in_one_text_with_code_2(
    verb,
    more,
    there,
    tmp_path,
    monkeypatch,
    answer,
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "nodir"
    if there == "a folder":
        path.mkdir()
    if there == "a file":
        path.write_text("{}")
    told = answer(verb, path, *more, code=2)["error"]
    assert told["type"] == "NoArchive"
    assert told["message"] == (
        f"{path} is no archive: it has no archive.json (`quipu sync` makes one)"
    )


def test_a_word_that_is_neither_archive_nor_port_is_told_as_neither(answer):
    told = answer("state", "NODIR", code=2)["error"]
    assert "NODIR is no archive" in told["message"] and "none is called so" in told["message"]


@pytest.mark.parametrize("port", ["/dev/none", "socket://127.0.0.1:1", "id:123", "COM77"])
def test_what_can_only_be_a_port_keeps_the_code_of_ports(port, answer):
    assert answer("state", port, code=3)["error"]["type"] == "CannotOpen"


# -- numbers out of range --------------------------------------------------------------------------

OUTSIDE = "is outside of Q16.16: expected -32768 to 32767.99998"


@pytest.fixture
def no_board(monkeypatch):
    """No port is opened: what is wrong with an argument is told before."""
    monkeypatch.setattr("quipu.connect", lambda port: pytest.fail(f"{port} was opened"))


@pytest.mark.parametrize("value", ["32768", "-32768.1", "1e5", "-1e300"])
def test_a_component_out_of_range_is_refused_at_every_door(
    value,
    no_board,
    log,  # noqa: F811
    tmp_path,
    run,
    monkeypatch,
):
    path = write(tmp_path / "a", log)
    assert f"component 1: {value} {OUTSIDE}" in run("search", path, 1, value, code=1)
    assert "record 2" not in run("search", path, 1, value, "--clamp")
    assert f"component 0: {value} {OUTSIDE}" in run("insert", "PORT", value, 1, code=1)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"[1, 2]\n[0, {value}]\n"))
    text = run("insert", "PORT", "-", code=1)
    assert "line 2 of the input: component 1: " in text and OUTSIDE in text
    lines = tmp_path / "a.jsonl"
    lines.write_text(f'{{"type": "insert", "vector": [0, {value}]}}\n')
    text = run("import", "PORT", lines, code=1)
    assert "line 1: component 1: " in text and OUTSIDE in text
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2)}"
    (tmp_path / "a.npy").write_bytes(
        b"\x93NUMPY\1\0"
        + struct.pack("<H", len(header))
        + header
        + struct.pack("<2d", 0, float(value))
    )
    text = run("import", "PORT", tmp_path / "a.npy", code=1)
    assert "row 0: component 1: " in text and OUTSIDE in text


def test_raw_integers_out_of_range_are_refused_too(no_board, run):
    text = run("insert", "PORT", "--q16", 1 << 31, code=1)
    assert (
        "component 0: 2147483648 is outside of Q16.16: expected -2147483648 to 2147483647" in text
    )


def test_imports_clamp_on_request(tmp_path):
    line = b'{"type": "insert", "vector": [40000, -1e300]}'
    assert imports.lines([line], True)[0].arguments[0] == [(1 << 31) - 1, -(1 << 31)]


# -- two verbs, one answer -------------------------------------------------------------------------


def test_report_and_verify_count_the_same_boots(log, tmp_path, run, answer):  # noqa: F811
    path, page = write(tmp_path / "a", log), tmp_path / "r.html"
    run("report", path, "-o", page)
    text = page.read_text(encoding="utf-8")
    assert f"<dt>boots</dt><dd>{answer('verify', path)['boots']}</dd>" in text
    starts = text[text.index("Start-ups") : text.index("What the state held")]
    assert starts.count("<tr>") - 1 == answer("verify", path)["boots"] == 3


def test_verify_says_when_the_last_sync_was(log, tmp_path, monkeypatch, answer):  # noqa: F811
    path, synced = write(tmp_path / "a", log), 1790000000000
    for later, age in ((5000, 5000), (0, 0), (-5000, None)):
        monkeypatch.setattr("time.time_ns", lambda later=later: (synced + later) * 1_000_000)
        told = answer("verify", path)
        assert told["last_sync"] == {"seq": 23, "unix_ms": synced, "age_ms": age}
        assert told["behind"] is None
    (path / "note.json").unlink()
    assert answer("verify", path)["last_sync"] is None


def test_the_log_takes_its_archive_as_other_verbs_do(log, tmp_path, run):  # noqa: F811
    path = write(tmp_path / "a", log)
    assert run("log", path) == run("log", "--archive", path)
    for twice in ((), (path, "--archive", path)):
        assert "name the archive, once: quipu log DIR" in run("log", *twice, code=2)


def test_the_log_of_several_archives_says_whose_it_is(log, tmp_path, run, answer):  # noqa: F811
    paths = [write(tmp_path / name, log) for name in ("a", "b")]
    frames = paths[1] / "frames" / "0000000000.log"
    whole = bytearray(frames.read_bytes())
    whole[-6] ^= 1
    frames.write_bytes(whole)
    text = run("log", *paths, "--last", 2, code=1)
    assert text.startswith(f"{paths[0]}:\n") and f"\n\n{paths[1]}:\n" in text
    assert text.count("broken at seq") == 1
    told = answer("log", *paths, code=1)["archives"]
    assert [each["archive"] for each in told] == [str(each) for each in paths]
    assert told[0]["frames"][:-1] == told[1]["frames"] and told[1]["broken"]


def test_verify_looks_inside_of_folders(log, tmp_path, answer):  # noqa: F811
    fleet = tmp_path / "fleet"
    paths = [fleet / "a", fleet / "room" / "b", fleet / "room" / "c"]
    for each in paths:
        write(each, log)
    (fleet / "stray").write_text("")
    (fleet / "a" / "archive-in-it").symlink_to(fleet / "room")
    (fleet / "again").symlink_to(fleet / "a")
    (paths[2] / "frames" / "0000000000.log").write_bytes(b"altered")
    told = answer("verify", "--recursive", fleet, code=1)["archives"]
    assert [(each["archive"], each["verdict"]) for each in told] == list(
        zip(map(str, paths), ("match", "match", "mismatch"), strict=True)
    )
    assert answer("verify", "--recursive", paths[0])["verdict"] == "match"
    (paths[1] / "archive.json").unlink()  # what has lost it is not passed over
    told = answer("verify", "--recursive", fleet, code=1)["archives"]
    assert [each["verdict"] for each in told] == ["match", "no archive", "mismatch"]
    (tmp_path / "empty").mkdir()
    for none in (tmp_path / "empty", fleet / "stray", tmp_path / "missing"):
        told = answer("verify", "--recursive", none, code=2)["error"]
        assert told["type"] == "NoArchive" and f"{none} is no archive" in told["message"]


def test_an_origin_that_is_no_archive_is_said_also_where_none_is_needed(answer, tmp_path):
    sample.sample(tmp_path / "a")
    told = answer("verify", tmp_path / "a", "--origin", tmp_path / "none", code=2)
    assert told["error"]["type"] == "NoArchive"
    assert str(tmp_path / "none") in told["error"]["message"]


def test_a_verb_that_is_unknown_is_told_with_those_written_like_it(answer):
    for typed, hint in (("verifz", "Did you mean verify"), ("zzz", "`quipu --help` lists them")):
        told = answer(typed, code=2)["error"]
        assert f"No such verb: '{typed}'" in told["message"] and hint in told["message"]
