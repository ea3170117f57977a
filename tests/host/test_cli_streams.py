"""What a person sees, and what a person types: bytes that are no UTF-8, terminals that lack
characters, pipes that are closed and disks that are full."""

import os
import subprocess

import pytest
from quipu.cli import os_errors
from quipu.text import named, plain, typed

from shared_kernel import frames, kernel
from tests.host.test_cli import COMMAND, answer, environment, log, quipu, write  # noqa: F401  # log is a fixture

CUT = "♥😀".encode()[:-1]  # as an application cuts a name
SHOWN = f"0x{CUT.hex()}"


@pytest.fixture
def folder(log, tmp_path):  # noqa: F811
    log.add(kernel.PUT, frames.put(CUT, b"cut"))
    log.add(kernel.PUT, frames.put("é…±", "ü".encode()))
    return write(tmp_path / "archive", log)


def ended(*arguments, stdout=subprocess.PIPE, **more):
    """Run the command with arguments as bytes, and return (exit code, its output, its errors)."""
    done = subprocess.run(
        [*map(os.fsencode, COMMAND), *map(os.fsencode, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(**more),
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout, done.stderr


def test_case_13_a_key_that_is_no_text_is_named_as_it_is_shown_or_as_it_came(folder):
    assert SHOWN in quipu("log", folder)
    for name in (SHOWN.encode(), CUT):
        code, out, _ = ended("get", folder, name)
        assert code == 0 and out.startswith(b"cut\n")
        assert ended("history", folder, name)[0] == 0
        assert f'{SHOWN} = "cut"'.encode() in ended("explain", folder, name)[1]
    assert answer("get", folder, SHOWN)["key"] == SHOWN
    assert answer("explain", folder, f"key:{SHOWN}")["name_hex"] == CUT.hex()
    where = b'name = "' + CUT + b'"'
    assert b"cut" in ended("query", folder, "keys", "--where", where)[1]


def test_case_13_what_is_not_found_is_a_sentence(folder):
    code, _, told = ended("get", folder, b"\xff\xfe")
    assert code == 1 and b"no key has the name" in told


@pytest.mark.parametrize("arguments", [("get", "x"), ("report", "-o", "r.html"), ("verify",)])
def test_case_13_a_folder_whose_name_is_no_text(folder, tmp_path, arguments):
    missing = os.fsencode(tmp_path) + b"/dir\xff"
    code, _, told = ended(arguments[0], missing, *arguments[1:])
    assert code == 2 and b"dir\\xff is no archive" in told
    there = os.fsencode(tmp_path) + b"/there\xff"
    os.rename(folder, there)
    page = tmp_path / "r.html"
    assert ended("report", there, "-o", page)[0] == 0
    assert "there\\udcff" in page.read_text(encoding="utf-8")


def test_what_a_person_types_as_bytes():
    assert typed("é\udcff") == b"\xc3\xa9\xff" == named("é\udcff") == named("0xc3a9ff")
    for text in ("0x", "0xf", "0xzz", "x", "0X00", ""):
        assert named(text) == text.encode()
    assert plain("a\x1b\x85\u202e\udcff") == "a\\x1b\\x85\\u202e\\xff"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
@pytest.mark.parametrize("verb", ["log", "verify", "state", "history", "query"])
def test_case_14_a_terminal_that_lacks_characters_gets_others(folder, verb, encoding):
    more = {"history": ("é…±",), "query": ("keys",)}.get(verb, ())
    code, out, told = ended(verb, folder, *more, PYTHONIOENCODING=encoding, PYTHONUTF8="1")
    assert (code, told) == (0, b"") and len(out) > 50
    if verb == "log" and encoding == "ascii":
        assert b'"\\xe9...+-" = "\\xfc"' in out


def test_case_14_errors_too(folder):
    code, _, told = ended("get", folder, "😀", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert code == 1 and told.isascii()
    code, _, told = ended("get", folder, "x", "--\x1b[2J")
    assert code == 2 and b"\x1b" not in told and b"--\\x1b[2J" in told


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
@pytest.mark.parametrize("arguments", [("get", "temp"), ("get", "temp", "--json"), ("log",)])
def test_case_14_a_full_disk_is_a_sentence_and_an_exit_code(log, tmp_path, arguments):  # noqa: F811
    folder = write(tmp_path / "a", log)
    more = ("--at", "14") if arguments[0] == "get" else ()
    with open("/dev/full", "wb") as full:
        code, _, told = ended(arguments[0], folder, *arguments[1:], *more, stdout=full)
    assert code == 1 and told == (
        b"quipu: standard output cannot be written whole: No space left on device. Make room, and "
        b"try again\n"
    )
    with open("/dev/full", "wb") as full:
        code, _, told = ended("get", folder, "none", "--json", stdout=full)
    assert code == 1 and b"no key" in told


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
@pytest.mark.parametrize("form", ["jsonl", "valori", "npy"])
def test_case_14_a_file_on_a_full_disk_is_named(folder, form):
    code, _, told = ended("export", folder, "--format", form, "-o", "/dev/full")
    assert code == 1 and told.startswith(b"quipu: /dev/full cannot be written whole: No space left")


def test_a_file_that_cannot_be_used_is_a_sentence_with_its_name(folder, tmp_path):
    def said(*arguments):
        code, _, told = ended(*arguments)
        assert code == 1 and b"Errno" not in told and told.count(b"\n") == 1
        return told.decode().removeprefix("quipu: ").rstrip("\n")

    archive = ("--archive", tmp_path / "new")
    missing = tmp_path / "none" / "dump.bin"
    assert said("recover", "dump.bin", *archive) == "there is no file dump.bin: correct its path"
    assert said("recover", missing, *archive).startswith(f"there is no folder {missing.parent}, ")
    assert said("recover", tmp_path, *archive) == f"{tmp_path} is a folder: name a file"
    through = folder / "archive.json" / "dump.bin"
    assert said("recover", through, *archive).startswith(f"{through} leads through a file")
    assert said("report", folder, "-o", missing).startswith(
        f"there is no folder {missing.parent}, "
    )
    assert not archive[1].exists()


def test_a_file_that_others_keep_from_us_is_a_sentence():
    assert os_errors.sentence(PermissionError(13, "Permission denied", "a.bin")) == (
        "a.bin: Permission denied: allow this user to use it, or choose another file"
    )
    beside = OSError(30, "Read-only file system", "/mnt/.quipu-12.part")
    os_errors.name_output(beside, "/mnt/page.html")
    assert os_errors.sentence(beside) == "/mnt/page.html: Read-only file system"
    other = OSError(5, "Input/output error", "/data/archive.json")
    os_errors.name_output(other, "/mnt/page.html")
    assert os_errors.sentence(other) == "/data/archive.json: Input/output error"
    assert os_errors.sentence(OSError("no number")) == "no number"


def test_case_14_a_closed_pipe_ends_quietly(folder):
    reads, writes = os.pipe()
    os.close(reads)
    try:
        code, _, told = ended("log", folder, stdout=writes)
    finally:
        os.close(writes)
    assert code == 1 and told == b""
