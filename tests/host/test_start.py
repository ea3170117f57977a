"""The command starts quickly, loads only what the named verb needs, and starts where Python has no
fcntl, termios or pty."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from quipu.cli import main as cli

from tests import quick
from tests.host.sample import sample

ROOT = Path(__file__).resolve().parents[2]
HIDE = "import sys\nfrom tests.host import without_unix\nwithout_unix.hide()\n"
LOADED = "import sys, atexit\natexit.register(lambda: print('\\nloaded', *sorted(each for each in sys.modules), file=sys.stderr))\n"
PORTABLE = ("values", "boards", "verify", "diff", "valori", "history", "help")
MAIN = "from quipu.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"


def run(code, *arguments):
    """Run code and then the command in a process of its own; return it, finished."""
    done = subprocess.run(
        [sys.executable, "-c", code + MAIN, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}"},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def loaded(*arguments):
    """Return the modules that the command has loaded when it ends."""
    done = run(LOADED, *arguments)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("\nloaded ")[2].split())


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    made, _ = sample(tmp_path_factory.mktemp("start") / "a")
    made.close()
    return made.path


# -- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_tables_summary_is_the_first_sentence_of_the_help(verb):
    command = cli.command(verb)
    assert cli.VERBS[verb].summary == command.get_short_help_str(66) and command.name == verb


def test_each_row_of_a_module_is_in_the_table():
    for module in {entry.module for entry in cli.VERBS.values()}:
        here = {verb for verb, entry in cli.VERBS.items() if entry.module == module}
        assert here == set(sys.modules.get(module, __import__(module, fromlist=["VERBS"])).VERBS)


# -- what a start loads ----------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_a_start_that_only_prints_loads_no_room(argument):
    ours = {each for each in loaded(argument) if each.startswith("quipu")}
    assert ours == {
        "quipu",
        "quipu.cli",
        "quipu.cli.main",
        "quipu.cli.streams",
        "quipu.errors",
        "quipu.kernels",
        "quipu.moved",
        "quipu.providers",
        *(each for each in ours if each.startswith("quipu.compiled")),
    }


@pytest.mark.parametrize(
    "verb, never",
    [
        (
            "verify",
            ("quipu.board", "quipu.install", "quipu.build", "quipu.formats", "serial", "mpremote"),
        ),
        (
            "log",
            ("quipu.board", "quipu.install", "quipu.build", "quipu.formats", "serial", "mpremote"),
        ),
        (
            "state",
            ("quipu.board", "quipu.install", "quipu.build", "quipu.formats", "serial", "mpremote"),
        ),
        ("export", ("quipu.board", "quipu.install", "quipu.build", "serial", "mpremote")),
        (
            "info",
            (
                "quipu.install",
                "quipu.build",
                "quipu.dump",
                "quipu.formats",
                "mpremote",
                "serial",
                "sqlite3",
            ),
        ),
        (
            "insert",
            (
                "quipu.install",
                "quipu.build",
                "quipu.dump",
                "quipu.formats",
                "mpremote",
                "serial",
                "sqlite3",
            ),
        ),
    ],
)
def test_a_verb_loads_no_room_that_it_does_not_need(verb, never):
    there = loaded(verb, "--help")
    assert [each for each in never if each in there] == []


@pytest.mark.parametrize("argument, most", [("--version", 110), ("--help", 60)])
def test_a_start_loads_few_modules(argument, most):
    """Counted, for others may work on this machine: a start that loads so few takes 0.1 s of a
    processor. Most of --version are importlib.metadata's."""
    done = run(LOADED + "import click\nsys.exit()\n")
    spared = set(done.stderr.rpartition("\nloaded ")[2].split())
    assert "click" in spared
    more = {each for each in loaded(argument) - spared if not each.startswith("quipu.compiled")}
    assert len(more) <= most, sorted(more)


# -- without Unix ----------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_command_starts_without_unix(argument):
    assert run(HIDE, argument).returncode == 0


def test_every_verb_says_its_help_without_unix():
    """In one process, in which each verb's module is loaded without them all the same."""
    code = (
        HIDE + "from quipu.cli.main import VERBS, main\n"
        "print([main([verb, '--help']) for verb in VERBS])\nsys.exit()\n"
    )
    printed = run(code).stdout
    assert printed.splitlines()[-1] == str([0] * len(cli.VERBS))
    assert [verb for verb in cli.VERBS if f"Usage: quipu {verb} " not in printed] == []


@pytest.mark.parametrize(
    "verb",
    [
        ("info",),
        ("flash",),
        ("attach", "--archive", "a"),
        ("sync", "--archive", "a"),
        ("insert", "1"),
    ],
)
def test_a_port_that_is_not_there_is_named_without_unix(verb, tmp_path):
    done = (
        run(HIDE, verb[0], "COM3", *verb[1:])
        if verb[0] != "insert"
        else run(HIDE, "insert", "COM3", "1")
    )
    assert done.returncode == 3 and "COM3" in done.stderr


def test_the_hosts_tests_that_need_no_board_pass_without_unix():
    """A part of them that takes seconds: `pytest -p tests.host.without_unix` runs any other."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.host.without_unix",
            "-p",
            "no:cacheprovider",
            *(f"tests/host/test_{each}.py" for each in quick.some(PORTABLE, 3)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:]


def test_archives_are_proved_and_carried_elsewhere_without_unix(archive, tmp_path):
    here = shutil.copytree(archive, tmp_path / "a")
    found = run(HIDE, "verify", here, "--json")
    assert found.returncode == 0 and json.loads(found.stdout)["verdict"] == "match"
    done = run(HIDE, "export", here, "-o", tmp_path / "out.jsonl", "--json")
    assert (
        done.returncode == 0
        and json.loads(done.stdout)["count"]
        == len((tmp_path / "out.jsonl").read_text().splitlines())
        > 0
    )
    copied = run(HIDE, "sync", here, "--archive", tmp_path / "b", "--json")
    assert (
        copied.returncode == 0
        and json.loads(copied.stdout)["frames"] == json.loads(found.stdout)["frames"]
    )
    assert run(HIDE, "verify", tmp_path / "b").returncode == 0
    damaged = here / "frames" / "0000000000.log"
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    assert run(HIDE, "verify", here, "--jobs", 1).returncode == 1


def test_hiding_is_hiding():
    done = subprocess.run(
        [sys.executable, "-c", HIDE + "import tty"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "import of tty halted" in done.stderr


# -- completion ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell):
    done = run("import sys\n", "completion", shell)
    assert (
        done.returncode == 0
        and "_QUIPU_COMPLETE" in done.stdout
        and f"{shell}_complete" in done.stdout
    )
    if shutil.which(shell):
        assert (
            subprocess.run([shell, "-n"], input=done.stdout, text=True, capture_output=True).stderr
            == ""
        )


def test_no_other_shell_is_offered():
    assert run("import sys\n", "completion", "tcsh").returncode == 2


@pytest.mark.parametrize(
    "words, some, none",
    [
        ("quipu ver", "verify", "sync"),
        ("quipu verify --exp", "--expect-root", "--port"),
        ("quipu configure --policy ", "overwrite", "verify"),
        ("quipu --v", "--version", "verify"),
    ],
)
def test_tab_completes_verbs_options_and_choices(words, some, none):
    last = words.split(" ")[-1]
    environment = {
        **os.environ,
        "_QUIPU_COMPLETE": "zsh_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}",
    }
    done = subprocess.run(
        [sys.executable, "-c", "import sys\n" + MAIN],
        env=environment,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert some in lines and none not in lines and "Traceback" not in done.stderr, (
        last,
        done.stdout,
        done.stderr,
    )
