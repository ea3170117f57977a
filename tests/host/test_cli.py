"""The command `quipu` as a person or a script runs it: exit codes, the one JSON object, and what is
on the screen.

Archives are written by LogWriter, byte for byte the same each time, so that what is printed can be
compared as a whole."""

import contextlib
import functools
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import pytest
import quipu as package
from quipu.archive import files as archive
from quipu.build import images
from quipu.cli import boards, render
from quipu.cli import main as cli

from shared_kernel import snapshot_file
from shared_kernel.replay import Replay
from tests.kernel.log_writer import every_type

ROOT = Path(__file__).resolve().parents[2]
BOARD = "MPS2_AN386"
COMMAND = [sys.executable, "-m", "quipu.cli"]
NOWHERE = "/dev/there-is-no-such-port"


def environment(**more):
    keep = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    }
    return {**keep, "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}", **more}


def process(*arguments, input=""):
    """Run the command in a process of its own; return its exit code, and what it printed on
    standard output and on standard error."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=input,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def run(*arguments, input=""):
    """Run the command here, which is sooner done; return the same."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment(), clear=True),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode()))),
        mock.patch.object(warnings, "showwarning", warnings.showwarning),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = cli.main([str(each) for each in arguments])
    return code, out.getvalue(), err.getvalue()


def quipu(*arguments, code=0, input=""):
    """Run the command, assert its exit code, and return what it printed on standard output."""
    ended, out, err = run(*arguments, input=input)
    assert ended == code, out + err
    if code and "--json" not in arguments and not out:
        assert err and "Traceback" not in err
        return err
    assert err == ""
    return out


def answer(*arguments, code=0, input=""):
    """Run it with --json and return the one object that it printed."""
    return json.loads(quipu(*arguments, "--json", code=code, input=input))


def error(*arguments, code, input=""):
    """Run it with --json, where it must fail, and return (type, message)."""
    told = answer(*arguments, code=code, input=input)
    assert list(told) == ["error"]
    return told["error"]["type"], told["error"]["message"]


def screen(*arguments, columns=80, **more):
    """Run it in a terminal and return what the terminal got."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment(TERM="xterm-256color", COLUMNS=str(columns), **more),
    )
    os.close(its)
    got = b""
    try:
        while piece := os.read(ours, 65536):
            got += piece
    except OSError:  # the end of a pty
        pass
    os.close(ours)
    process.wait()
    return got.decode()


def write(folder, log, cut=None):
    """Write a log as an archive with a note and a snapshot at its end. cut: (first, last) seq that
    are left out, declared."""
    last = len(log.frames) - 1
    target = archive.Archive.create(folder, log.name, "test")
    target.append(b"".join(log.frames[: cut[0] if cut else None]))
    if cut:
        first = cut[1] + 1
        target.add_segment(first, log.heads[cut[1]])
        target.append(b"".join(log.frames[first:]))
    # after a gap, a snapshot stands in for what is missing
    for seq in {cut[1], last} if cut else {last}:
        replay = Replay()
        for frame in log.frames[: seq + 1]:
            replay.step(frame)
        target.add_snapshot(
            seq, snapshot_file.save(replay.kernel, seq, replay.boot, 1, log.name, log.heads[seq])
        )
    target.write_note(archive.Note(last, log.heads[-1], log.roots[-1], 1790000000000))
    target.close()
    return folder


@pytest.fixture
def log():
    return every_type(notes=False)


@pytest.fixture
def folder(log, tmp_path):
    return write(tmp_path / "archive", log)


def flip(path, at, bit=1):
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)


# -- in a process ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, arguments",
    [
        (0, ("verify",)),
        (0, ("verify", "--json")),
        (1, ("verify", "--expect-root", "00" * 32)),
        (1, ("verify", "--expect-root", "00" * 32, "--json")),
        (1, ("insert", NOWHERE, "-")),
        (1, ("insert", NOWHERE, "-", "--json")),
        (2, ("verify", "--no-such-option")),
        (2, ("verify", "--no-such-option", "--json")),
        (3, ("info", NOWHERE)),
        (3, ("info", NOWHERE, "--json")),
    ],
)
def test_a_process_says_and_ends_as_a_call_does(folder, code, arguments):
    """So the tests below call the command, which spares them the start of Python."""
    more = ("--archive", folder) if arguments[0] == "verify" else ()
    alone, here = (how(*arguments, *more, input="[1, NaN]\n") for how in (process, run))
    age = re.compile(r'"age_ms": [0-9]+')
    assert alone[0] == code
    assert [age.sub("", str(each)) for each in alone] == [age.sub("", str(each)) for each in here]


# -- verify ----------------------------------------------------------------------------------------


def test_a_match_is_shown_as_a_panel(folder, log):
    assert (
        quipu("verify", "--archive", folder)
        == f"""\
╭─ MATCH ──────────────────────────────────────────────────────────────────────╮
│ board       test                                                             │
│ log         {log.name.hex()} │
│ frames      24, to seq 23; 3 boots                                           │
│ log bytes   {sum(map(len, log.frames))}                                                              │
│ checkpoints 2 compared                                                       │
│ snapshots   1 compared byte for byte                                         │
│ power cuts  at seq 16                                                        │
│ chain head  {log.heads[-1].hex()} │
│ state root  {log.roots[-1].hex()} │
│                                                                              │
│ MATCH: every frame agrees with an independent replay.                        │
╰──────────────────────────────────────────────────────────────────────────────╯
"""
    )


def test_verify_in_json(folder, log):
    told = answer("verify", "--archive", folder)
    wanted = {
        "verdict": "match",
        "frames": 24,
        "log_bytes": sum(map(len, log.frames)),
        "chain_head": log.heads[-1].hex(),
        "state_root": log.roots[-1].hex(),
        "checkpoints": 2,
        "snapshots": 1,
        "first_divergence": None,
    }
    assert {name: told[name] for name in wanted} == wanted


def test_what_is_known_from_elsewhere_must_agree(folder, log):
    head, root = log.heads[-1].hex(), log.roots[-1].hex()
    assert (
        answer("verify", "--archive", folder, "--expect-head", head, "--expect-root", root)[
            "verdict"
        ]
        == "match"
    )
    for option, value in (("--expect-head", root), ("--expect-root", head)):
        told = answer("verify", "--archive", folder, option, value, code=1)
        assert told["verdict"] == "mismatch"
        assert told["first_divergence"]["expected"] == value


@pytest.mark.parametrize("seq", [1, 6, 13, 23])
def test_a_flipped_bit_is_a_mismatch_at_its_seq(folder, log, seq):
    flip(folder / "frames" / "0000000000.log", sum(map(len, log.frames[:seq])) + 14)
    assert answer("verify", "--archive", folder, code=1)["first_divergence"]["seq"] == seq
    text = quipu("verify", "--archive", folder, code=1)
    assert text.startswith("╔═ MISMATCH ═") and f"seq {seq}: frame CRC" in text


def test_a_gap_is_an_error_unless_it_is_allowed(log, tmp_path):
    folder = write(tmp_path / "archive", log, cut=(10, 15))
    assert answer("verify", "--archive", folder, code=1)["verdict"] == "gap"
    assert answer("verify", "--archive", folder, "--allow-gap")["gaps"] == [[10, 15]]
    text = quipu("verify", "--archive", folder, code=1)
    assert text.startswith("┏━ GAP ━") and "seq 10 to 15" in text


# -- log and state ---------------------------------------------------------------------------------


def test_the_log_is_one_line_a_frame(folder, log):
    assert (
        quipu("log", "--archive", folder)
        == f"""\
 0       0.000  genesis      test: 2 dimensions
 1       0.010  boot         boot 1, on chain head {log.heads[0].hex()[:16]}…
 2       0.020  insert       tag 9  "meta!"  [1.5e-05, -3.1e-05]
 3       0.030  insert       tag 0  [1.0681, 4.6e-05]
 4       0.040  update       record 2: tag 5 metadata "new"
 5       0.050  update       record 3: tag 6
 6       0.060  checkpoint   root {log.roots[5].hex()[:16]}…
 7       0.070  create-node  kind 3 for record 2
 8       0.080  create-node  kind 4
 9       0.090  create-edge  kind 7  7 -> 8
10       0.100  clock        2023-11-14 22:13:20.000 UTC ± 50 ms
11       0.110  create-edge  kind 8  8 -> 8
12       0.120  clock        2023-11-14 22:13:21.000 UTC ± 50 ms
13       0.130  put          "temp" = "21.5"
14       0.140  put          "temp" = the same
15       0.150  0x85         0x6f662061206c617465722076657273696f6e2c20746f20626520736b6970706564
16       0.160  boot         boot 2, on chain head {log.heads[15].hex()[:16]}…, 12 bytes cut off
17       0.170  checkpoint   root {log.roots[16].hex()[:16]}…
18       0.180  delete-edge  edge 9
19       0.190  delete-node  node 7
20       0.200  delete       record 2
21       0.210  delete-key   "temp"
22       0.220  delete-node  node 8
23       0.230  insert       tag 2  "m"  [0.0002, 1.5e-05]
"""
    )


@pytest.mark.parametrize(
    "filters, seqs",
    [
        (("--last", 2), [22, 23]),
        (("--from", 20), [20, 21, 22, 23]),
        (("--from", 3, "--to", 5), [3, 4, 5]),
        (("--type", "put"), [13, 14]),
        (("--type", "put", "--type", "checkpoint", "--from", 7), [13, 14, 17]),
        (("--type", "insert", "--last", 1), [23]),
        (("--from", 24), []),
    ],
)
def test_the_log_is_filtered(folder, filters, seqs):
    assert [
        frame["seq"] for frame in answer("log", "--archive", folder, *filters)["frames"]
    ] == seqs


def test_the_log_in_json_says_all_that_a_frame_says(folder, log):
    frames = answer("log", "--archive", folder)["frames"]
    assert [frame["bytes"] for frame in frames] == [len(frame) for frame in log.frames]
    assert frames[2] == {
        "seq": 2,
        "tick": 20,
        "bytes": 35,
        "type": "insert",
        "tag": 9,
        "vector": [1 / 65536, -2 / 65536],
        "meta": "meta!",
        "meta_hex": b"meta!".hex(),
    }
    assert frames[3]["token"] == b"8 bytes.".hex()
    assert frames[6]["root"] == log.roots[5].hex()
    assert frames[9] == {
        "seq": 9,
        "tick": 90,
        "bytes": 28,
        "type": "create-edge",
        "kind": 7,
        "from": 7,
        "to": 8,
    }


def test_the_log_of_a_broken_archive_ends_where_it_breaks(folder, log):
    flip(folder / "frames" / "0000000000.log", sum(map(len, log.frames[:5])) + 13)
    told = answer("log", "--archive", folder, code=1)
    assert [frame["seq"] for frame in told["frames"]] == [0, 1, 2, 3, 4]
    assert told["broken"]["seq"] == 5
    assert (
        quipu("log", "--archive", folder, code=1)
        .splitlines()[-1]
        .startswith("broken at seq 5: frame CRC: expected ")
    )


def test_the_state_is_counted_and_listed(folder, log):
    lines = [line.rstrip() for line in quipu("state", "--archive", folder, "--at", 14).splitlines()]
    assert (
        lines
        == f"""\
seq        14
state root {log.roots[14].hex()}
sizes      2 dimensions, 5 B of metadata, 7 B of value

records: 2 of 4
 id   tag   metadata   vector
───────────────────────────────────────────
  2     5   "new"      [1.5e-05, -3.1e-05]
  3     6              [1.0681, 4.6e-05]

nodes: 2 of 4
 id   kind   record
────────────────────
  7      3        2
  8      4        -

edges: 2 of 6
 id   kind   from   to
───────────────────────
  9      7      7    8
 11      8      8    8

keys: 1 of 3
 name     value    written by seq
──────────────────────────────────
 "temp"   "21.5"               14
at seq 14, 2023-11-14 22:13:20.140 UTC ± 51 ms
""".splitlines()
    )


def test_the_state_in_json(folder, log):
    told = answer("state", "--archive", folder, "--at", 14)
    assert (told["seq"], told["root"], told["chain_head"]) == (
        14,
        log.roots[14].hex(),
        log.heads[14].hex(),
    )
    assert told["counts"] == {"records": 2, "nodes": 2, "edges": 2, "keys": 1}
    assert told["nodes"] == [
        {"id": 7, "kind": 3, "record": 2},
        {"id": 8, "kind": 4, "record": None},
    ]
    assert told["keys"] == [
        {
            "name": "temp",
            "name_hex": "74656d70",
            "seq": 14,
            "value": "21.5",
            "value_hex": "32312e35",
        }
    ]
    assert answer("state", "--archive", folder)["root"] == log.roots[-1].hex()


# -- the screen ------------------------------------------------------------------------------------


def test_a_terminal_of_80_columns_holds_every_line(folder):
    for what in ("verify", "log", "state"):
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen(what, "--archive", folder))
        assert len(text.splitlines()) > 10
        assert max(map(len, text.splitlines())) <= 80


def test_colour_is_for_terminals_that_want_it(folder):
    assert "\x1b[" in screen("verify", "--archive", folder)
    assert not re.search(
        r"\x1b\[[0-9;]*3[0-9]", screen("verify", "--archive", folder, NO_COLOR="1")
    )
    assert "\x1b" not in quipu("verify", "--archive", folder)


def test_bytes_from_a_board_cannot_steer_the_terminal(tmp_path, log):
    from shared_kernel import frames, kernel

    log.add(kernel.PUT, frames.put(b"\x1b[2J", b"\x1b]0;x\a"))
    folder = write(tmp_path / "archive", log)
    for what in ("log", "state"):
        assert "\x1b" not in quipu(what, "--archive", folder)
        assert "\x1b[2J" not in screen(what, "--archive", folder)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_command_has_help_with_an_example_and_json(verb):
    text = quipu(verb, "--help")
    assert f"  quipu {verb}" in text
    assert "--json" in text
    assert max(map(len, text.splitlines())) <= 80


INFO = {
    "board": "B/1",
    "machine": "M",
    "firmware": "0.1.0",
    "micropython": "1.25.0",
    "provider": "viper",
    "heap_used": 2048,
    "heap_free": 100,
    "damage": None,
    "configured": False,
}
LOG = {
    "configured": True,
    "log": "ab",
    "policy": 1,
    "cuts": [[7, 12]],
    "snapshots": [5],
    "seq": 9,
    "head": "cd",
    "root": "ef",
    "boot": 2,
    "records": 1,
    "nodes": 2,
    "edges": 3,
    "keys": 4,
    "log_free": 1024,
    "log_size": 2048,
    "config": {
        "dim": 2,
        "records": 9,
        "nodes": 9,
        "edges": 9,
        "keys": 9,
        "meta_bytes": 5,
        "value_bytes": 6,
    },
}


@pytest.mark.parametrize(
    "board, lines",
    [
        ({}, ["log      none yet: the region is blank; begin one with `quipu configure PORT`"]),
        ({"damage": "sector 3", "configured": True, "log": "ab"}, ["damage   sector 3"]),
        (
            LOG,
            [
                "seq        9, boot 2",
                "power cuts after seq 7 (12 B)",
                "contents   1 of 9 records, 2 of 9 nodes, 3 of 9 edges, 4 of 9 keys",
                "log space  1.0 KiB of 2.0 KiB free; when full: overwrite",
                "snapshots  seq 5",
            ],
        ),
    ],
)
def test_what_a_board_says_of_itself_is_shown(board, lines, capsys):
    render.show(boards.show_info({**INFO, **board}))
    shown = capsys.readouterr().out.splitlines()
    assert set(lines) <= set(shown)
    assert any("none yet" in line for line in shown) is not bool(board)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-such-option",),
        ("no-such-command",),
        ("verify",),
        ("insert",),
        ("insert", NOWHERE),
        ("record", NOWHERE, "seven"),
        ("record", NOWHERE, 2**32),
        ("record", NOWHERE, -1),
        ("insert", NOWHERE, 1, "--tag", 2**32),
        ("configure", NOWHERE, "--dim", 0),
        ("update", NOWHERE, 1, "--meta", "a", "--meta-hex", "61"),
        ("insert", NOWHERE, 1, "--meta-hex", "0"),
        ("put", NOWHERE, "k", "zz", "--hex"),
        ("log", "--archive", "x", "--type", "nonsense"),
        ("search", NOWHERE, 1, "-k", 0),
        ("verify", "--archive", "x", "--expect-root", "12"),
        ("verify", "--archive", "x", "--expect-head", "z" * 64),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(arguments):
    kind, message = error(*arguments, code=2)
    assert kind == "UsageError" and message
    assert quipu(*arguments, code=2)


@pytest.mark.parametrize("component", ["nan", "-inf", "one", "1,5", "0x10", "", "--tga"])
def test_only_finite_decimals_are_components(component):
    for verb in ("insert", "search"):
        kind, message = error(verb, NOWHERE, "1", component, code=1)  # before the port is looked at
        assert kind == "Invalid" and repr(component) in message


@pytest.mark.parametrize(
    "line, says",
    [
        ("[1, NaN]", "NaN"),
        ("[1, -Infinity]", "Infinity"),
        ("[1, true]", "True"),
        ("{}", "expected"),
        ("7", "expected"),
        ("[1", "line 2"),
        ('{"vector": [1], "tga": 3}', "tga"),
        ('{"vector": [1], "meta": 3}', "line 2"),
        ('{"vector": [1], "meta_hex": "0"}', "line 2"),
        ('{"vector": "12"}', "expected"),
        ('{"vector": [1], "tag": "3"}', "tag"),
    ],
)
def test_a_bad_line_stops_all_of_the_input(line, says):
    kind, message = error("insert", NOWHERE, "-", input=f"[1, 2]\n{line}\n", code=1)
    assert (
        kind == "Invalid"
        and "line 2" in message
        and says in message
        and "nothing was inserted" in message
    )


def test_a_folder_that_is_no_archive(tmp_path):
    for what in ("verify", "log", "state"):
        for folder in (tmp_path, tmp_path / "none"):
            kind, message = error(what, "--archive", folder, code=2)
            assert kind == "NoArchive" and str(folder) in message
    assert not list(tmp_path.iterdir())


def test_a_half_written_archive(folder, log):
    """A torn frame before the note is a loss; the same bytes past the note are a sync that broke
    off."""
    frames = folder / "frames" / "0000000000.log"
    frames.write_bytes(frames.read_bytes()[:-5])
    assert answer("verify", "--archive", folder, code=1)["first_divergence"]["seq"] == 23
    frames.write_bytes(b"".join(log.frames) + b"\x01\x10\x20")
    assert answer("verify", "--archive", folder)["torn"] == 3
    (folder / "archive.json").write_text('{"format": 1, "log"')
    assert error("log", "--archive", folder, code=1)[0] == "ArchiveDamage"
    assert answer("verify", "--archive", folder, code=1)["verdict"] == "mismatch"


def test_a_seq_that_the_archive_has_not(folder):
    assert error("state", "--archive", folder, "--at", 99, code=2)[0] == "UsageError"


def test_a_port_that_is_none():
    for arguments in (
        ("info", NOWHERE),
        ("insert", NOWHERE, -1),
        ("sync", NOWHERE, "--archive", "x"),
        ("info", "nonsense://x"),
    ):
        kind, message = error(*arguments, code=3)
        assert kind == "CannotOpen" and arguments[1] in message
    assert not Path("x").exists()


def test_ports_are_listed():
    told = answer("ports")
    assert isinstance(told["ports"], list) and all(
        {"port", "answer"} <= set(each) for each in told["ports"]
    )
    assert quipu("ports").startswith("no serial port found" if not told["ports"] else " port")


def test_a_port_without_a_board(folder, tmp_path, monkeypatch):
    """A pty that nobody answers on; nothing is written anywhere."""
    monkeypatch.setattr(package, "connect", functools.partial(package.connect, timeout=1.5))
    ours, its = pty.openpty()
    try:
        port = os.ttyname(its)
        kind, message = error("sync", port, "--archive", tmp_path / "new", code=3)
        assert kind == "PortError" and port in message
        assert not (tmp_path / "new").exists()
        assert error("verify", "--archive", folder, "--port", port, code=3)[0] == "PortError"
    finally:
        os.close(ours)
        os.close(its)


def test_a_reader_that_leaves_early_is_not_told_off(folder):
    script = f"{sys.executable} -m quipu.cli log --archive {folder} | head -1"
    done = subprocess.run(
        script, shell=True, capture_output=True, text=True, env=environment(), check=False
    )
    assert (done.stderr, done.stdout.split()[2]) == ("", "genesis")


# -- on an emulated board --------------------------------------------------------------------------


class Emulated:
    """`quipu emulate` as a process."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*COMMAND, "emulate", *map(str, arguments), "--json"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.told = json.loads(self.process.stdout.readline())
        self.port = self.told["port"]

    def configured(self):
        """Begin a log if the board has not begun one itself; return self."""
        if not answer("info", self.port)["configured"]:
            assert re.fullmatch("[0-9a-f]{64}", answer("configure", self.port)["log"])
        return self

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(30)
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def board():
    images.image(BOARD)
    it = Emulated(BOARD).configured()
    yield it.port
    assert it.end() == 0


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_emulate_keeps_the_flash_and_leaves_no_qemu(tmp_path, how):
    images.image(BOARD)
    flash = tmp_path / "flash.bin"
    for value in ("first", "second"):
        it = Emulated(BOARD, "--flash", flash)
        try:
            it.configured()
            if value == "second":
                assert quipu("get", it.port, "run") == "first\n"
            quipu("put", it.port, "run", value)
            assert alive(it.told["pid"])
        finally:
            assert it.end(how) == 0
        assert not alive(it.told["pid"])


def test_emulate_says_when_qemu_is_gone(tmp_path):
    images.image(BOARD)
    it = Emulated(BOARD)
    os.kill(it.told["pid"], signal.SIGKILL)
    rest = json.loads(it.process.stdout.readline())
    assert it.process.wait(30) == 3
    it.process.stdout.close()
    assert rest["error"]["type"] == "EmulatorError"


def test_emulate_refuses_an_unknown_board(tmp_path):
    kind, message = error("emulate", "ESP9000", code=3)
    assert kind == "ImageError" and BOARD in message


def test_a_session_on_a_board(board, tmp_path):
    """Every verb, from the first insert to the verdict."""
    told = answer("info", board)
    dim = told["config"]["dim"]
    assert told["board"].startswith(BOARD) and dim == 16
    first = answer("insert", board, *([-1.5] * dim), "--tag", 3, "--meta", "one")["id"]
    second = answer("insert", board, *([65536] * dim), "--q16", "--meta-hex", "00ff")["id"]
    lines = "".join(
        json.dumps({"vector": [i] * dim, "tag": i, "meta": f"m{i}"}) + "\n" for i in range(2, 5)
    )
    many = answer("insert", board, "-", input=lines)["ids"]
    assert len({first, second, *many}) == 5
    record = answer("record", board, first)
    assert record == {
        "id": first,
        "tag": 3,
        "vector": [-1.5] * dim,
        "meta": "one",
        "meta_hex": b"one".hex(),
    }
    assert answer("record", board, second)["vector"] == [1] * dim
    assert answer("update", board, first, "--tag", 4, "--meta", "-x")["seq"] > many[-1]
    assert answer("record", board, first)["meta"] == "-x"
    found = answer("search", board, *([-1] * dim), "-k", 2)["results"]
    assert found[0] == {"id": first, "distance": dim * 2**30, "l2": 2.0} and len(found) == 2
    assert [r["id"] for r in answer("search", board, *([0] * dim), "--tag", 3)["results"]] == [
        many[1]
    ]

    node = answer("create-node", board, 7, "--record", first)["id"]
    other = answer("create-node", board, 8)["id"]
    edge = answer("create-edge", board, 5, node, other)["id"]
    assert answer("edge", board, edge) == {"id": edge, "kind": 5, "from": node, "to": other}
    assert answer("node", board, node) == {"id": node, "kind": 7, "record": first, "edges": [edge]}
    assert answer("neighbours", board, node, "--depth", 2)["neighbours"] == [
        {"node": node, "distance": 0},
        {"node": other, "distance": 1},
    ]
    assert len(answer("neighbours", board, other, "--kind", 5)["neighbours"]) == 1
    assert len(answer("neighbours", board, other, "--direction", "in")["neighbours"]) == 2

    answer("put", board, "mode", "-5")
    assert quipu("get", board, "mode") == "-5\n"
    answer("put", board, "offset", "00ff", "--hex")
    assert answer("get", board, "offset") == {"key": "offset", "value": None, "value_hex": "00ff"}
    answer("delete-key", board, "mode")
    assert error("get", board, "mode", code=1)[0] == "NotFound"
    assert error("delete", board, first, code=1)[0] == "InUse"
    for verb, ident in (("delete-edge", edge), ("delete-node", node), ("delete", first)):
        answer(verb, board, ident)
        assert error(verb, board, ident, code=1)[0] == "NotFound"
    answer("clock", board)
    answer("checkpoint", board)
    covered = answer("snapshot", board)["seq"]

    folder = tmp_path / "archive"
    pulled = answer("sync", board, "--archive", folder)
    assert pulled["frames"] > 20 and pulled["snapshot"] == covered
    verdict = answer("verify", "--archive", folder, "--port", board)
    assert (
        verdict["verdict"] == "match"
        and verdict["live"]["root"] == verdict["state_root"] == pulled["root"]
    )
    assert verdict["snapshots"] == 1
    assert answer("state", "--archive", folder)["counts"] == {
        "records": 4,
        "nodes": 1,
        "edges": 0,
        "keys": 1,
    }
    assert "MATCH" in quipu("verify", "--archive", folder, "--port", board)
    assert "nothing new" in quipu("sync", board, "--archive", folder)


def test_what_a_board_refuses_changes_nothing(board):
    before = answer("info", board)
    dim = before["config"]["dim"]
    for kind, arguments in (
        ("WrongDimension", ("insert", board, *[1] * (dim - 1))),
        ("WrongDimension", ("insert", board, *[1] * (dim - 1), "--meta", "four")),
        ("WrongDimension", ("insert", board, *[1] * (dim + 1))),
        ("WrongDimension", ("search", board, *[1] * (dim + 1))),
        ("TooLong", ("insert", board, *[1] * dim, "--meta", "x" * 17)),
        ("TooLong", ("put", board, "k" * 25, "v")),
        ("TooLong", ("put", board, "k", "v" * 17)),
        ("NotFound", ("record", board, 4000000)),
        ("NotFound", ("create-node", board, 1, "--record", 4000000)),
        ("NotFound", ("create-edge", board, 1, 4000000, 4000001)),
        ("NotFound", ("get", board, "never")),
        ("Invalid", ("update", board, 1)),
        ("Invalid", ("configure", board)),
    ):
        told, message = error(*arguments, code=1)
        assert (told, bool(message)) == (kind, True), arguments
    assert (
        error("insert", board, "-", input=f"{[1] * dim}\n{[1] * (dim - 1)}\n", code=1)[0]
        == "WrongDimension"
    )
    after = answer("info", board)
    assert [after[name] for name in ("seq", "head", "root")] == [
        before[name] for name in ("seq", "head", "root")
    ]


def test_a_full_pool_is_refused_and_says_how_far_it_came():
    images.image(BOARD)
    it = Emulated(BOARD)
    try:
        vector = [1] * 16
        kind, message = error("insert", it.port, "-", input=f"{vector}\n" * 258, code=1)
        assert (
            kind == "Full"
            and "all 256 record slots" in message
            and "of 258 records, the first 256 were inserted" in message
        )
        info = answer("info", it.port)
        assert (info["records"], info["config"]["dim"]) == (256, 16)
        assert error("insert", it.port, *vector, code=1)[0] == "Full"
        assert answer("info", it.port)["head"] == info["head"]
    finally:
        assert it.end() == 0


def test_an_archive_of_another_board_is_not_touched(board, folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert error("sync", board, "--archive", folder, code=1)[0] == "OtherLog"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert answer("verify", "--archive", folder, "--port", board, code=1)["verdict"] == "mismatch"


def test_a_sync_draws_a_bar_on_a_terminal_only(board, tmp_path):
    assert "pulling" in screen("sync", board, "--archive", tmp_path / "one")
    assert "pulling" not in quipu("sync", board, "--archive", tmp_path / "two")


def test_a_bare_board_is_named_as_one():
    images.image(BOARD, frozen=False)
    it = Emulated(BOARD, "--bare")
    try:
        kind, message = error("info", it.port, code=3)
        assert kind == "PortError" and "MicroPython" in message
    finally:
        it.end()
