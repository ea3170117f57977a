"""The vectors agree on every interpreter; and they disagree as soon as a vector, a runtime's report
or one line of the kernel is altered.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from quipu.providers import Fast

from shared_kernel import primitives
from tests import quick
from tests.conformance import generate, runner
from tests.mutate import mutate
from tools import conformance as run

COMMANDS = run.HERE / "vectors" / run.ROOT_OF
SMALL, LARGE = run.SMALL, run.LARGE
RUNTIMES = {
    ("CPython", "plain"),
    ("CPython", "blake3-and-zlib"),
    ("CPython compiled", "C"),
    ("MicroPython unix", "plain"),
    ("MicroPython WebAssembly", "plain"),
    *(
        (f"MicroPython {name}", provider)
        for name in run.BOARDS
        for provider in ("native", "viper", "plain")
    ),
}


def install(monkeypatch, provider):
    for each in (*primitives.NAMES, "whole", "name"):
        monkeypatch.setattr(primitives, each, getattr(primitives, each))
    primitives.use(provider)


@pytest.fixture
def fast(monkeypatch):
    install(monkeypatch, Fast)


# -- agreement -------------------------------------------------------------------------------------


def test_the_checked_in_vectors_are_what_is_generated(tmp_path, monkeypatch, capsys):
    assert generate.main(["--check"]) == 0
    monkeypatch.setattr(generate, "VECTORS", tmp_path)
    generate.main([])
    assert generate.main(["--check"]) == 0
    (tmp_path / "small" / "replay.txt").write_text(COMMANDS.read_text())
    (tmp_path / "large" / "graph.txt").unlink()
    (tmp_path / "small" / "more.txt").touch()
    assert generate.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "small/replay.txt differs from what is generated, first in line 1\n" in said
    assert "large/graph.txt differs" in said and "small/more.txt is not one of them" in said


@pytest.mark.parametrize("path", SMALL + LARGE, ids=run.short)
@pytest.mark.parametrize("provider", (None, Fast), ids=("plain", "fast"))
def test_cpython_agrees(path, provider, monkeypatch):
    install(monkeypatch, provider)
    with path.open() as lines:
        assert runner.run(lines) == run.expected(path)


def test_there_is_enough_of_everything():
    count = {path.name: run.expected(path)[0] for path in SMALL + LARGE}
    assert sum(count.values()) > 5000 and min(count.values()) > 50
    questions = "\n".join(path.read_text() for path in SMALL + LARGE)
    for verb in (
        *runner.COMMANDS,
        *(each[4:].replace("_", "-") for each in dir(runner.Machine) if each.startswith("ask_")),
    ):
        assert f"\n{verb} " in questions or f"\n{verb}\n" in questions, f"nothing asks for {verb}"
    for code in (3, 4, 5, 6, 7, 8, 13):
        assert questions.count(f" = refused {code}\n") >= 3


@pytest.mark.parametrize("name", ["compiled", "unix", "MPS2_AN386"])
def test_a_runtime_agrees(name, capsys):
    """The rest of the table is `make conformance`."""
    assert run.main(["--only", name, *quick.long([], ["--quick"])]) == 0
    printed = capsys.readouterr().out
    assert printed.count(run.expected(COMMANDS)[1][:16]) == printed.count("  yes\n") >= 1


@quick.nightly
def test_every_runtime_agrees(monkeypatch, tmp_path, capsys):
    """CPython, MicroPython for unix and WebAssembly, and the four emulated boards."""
    monkeypatch.setattr(run, "REPORT", tmp_path / "reports" / "conformance.json")
    assert run.main([]) == 0, capsys.readouterr().out
    rows = json.loads(run.REPORT.read_text())
    assert {(row["runtime"], row["provider"]) for row in rows} == RUNTIMES
    assert {row["arch"] for row in rows} >= {
        "wasm32",
        "Cortex-M0",
        "Cortex-M3",
        "Cortex-M4",
        "Cortex-M7",
    }
    everything, small = (
        sum(run.expected(path)[0] for path in paths) for paths in (SMALL + LARGE, SMALL)
    )
    root = run.expected(COMMANDS)[1]
    for row in rows:
        assert row["ok"] and row["root"] == root and row["version"]
        on_a_slow_one = row["provider"] == "plain" and row["arch"].startswith("Cortex")
        assert row["vectors"] == (small if on_a_slow_one else everything)
    printed = capsys.readouterr().out
    assert printed.count(root[:16]) == len(rows) and printed.count("  yes\n") == len(rows)


# -- an altered vector -----------------------------------------------------------------------------


def altered(text):
    """The same with its last character another one."""
    return text[:-1] + ("1" if text[-1] != "1" else "2")


def first_of_each_verb(lines):
    seen = set()
    for i, line in enumerate(lines):
        verb = line.partition(" ")[0]
        if line and line[0] != "#" and verb not in seen:
            seen.add(verb)
            yield i


@pytest.mark.parametrize("path", SMALL + LARGE, ids=run.short)
def test_an_altered_answer_is_noticed_at_its_line(path, fast):
    lines = path.read_text().splitlines()
    answered = [i for i, line in enumerate(lines) if " = " in line]
    chosen = sorted(
        {*answered[:: len(answered) // 20], answered[-1], *first_of_each_verb(lines)} & {*answered}
    )
    assert len(chosen) > 20
    for i in quick.some(chosen, 8):
        with pytest.raises(runner.Disagreement) as caught:
            runner.run([*lines[:i], altered(lines[i]), *lines[i + 1 :]])
        assert caught.value.line == i + 1


def test_an_altered_command_is_noticed(fast):
    """Wherever frames are sealed, one byte of any command changes the chain at the latest."""
    lines = COMMANDS.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("genesis "))
    verbs = (*runner.COMMANDS, "genesis", "log-only", "tick", "seq")
    chosen = [
        i
        for i in range(start, len(lines))
        if lines[i].partition(" ")[0] in verbs and "refused" not in lines[i]
    ]
    assert len(chosen) > 150
    for i in quick.some(chosen, 8):
        question, equals, answer = lines[i].partition(" = ")
        with pytest.raises(runner.Disagreement) as caught:
            runner.run([*lines[:i], altered(question) + equals + answer, *lines[i + 1 :]])
        assert caught.value.line >= i + 1


@pytest.mark.parametrize("path", SMALL, ids=run.short)
def test_a_file_that_is_not_whole_is_refused(path, fast):
    lines = path.read_text().splitlines()
    roots = [i for i, line in enumerate(lines) if line.startswith(("root = ", "arena = "))]
    for wrong in (
        lines[:-1],
        [],
        lines[:5],
        lines[: roots[0]] + lines[roots[0] + 1 :],
        lines + ["root"],
        lines + lines,
        lines[:-1] + ["end 0"],
    ):
        with pytest.raises(runner.Disagreement):
            runner.run(wrong)


# -- a runtime that does not do what it should -----------------------------------------------------


def a_row(output, files=SMALL):
    row = run.Row("A machine", "", "any", "plain")
    run.judge(row, files, output)
    return row


def a_report():
    return "conformance runtime micropython 1.25.0 plain\n" + "".join(
        "conformance agrees /%s %d %s\n" % (run.short(path), *run.expected(path)) for path in SMALL
    )


def test_a_row_counts_only_if_all_of_it_ran():
    assert a_row(a_report()).ok
    lines = a_report().splitlines(keepends=True)
    count, root = run.expected(COMMANDS)
    for output in (
        "",
        "Traceback",
        "".join(lines[1:]),
        a_report().replace(" plain", " viper"),
        *(a_report().replace(line, "") for line in lines),
        a_report().replace(f" {count} ", f" {count - 1} "),
        a_report().replace(root, "0" * 64),
        a_report() + "conformance differs /small/more.txt line 3: add 1 2: expected 3, found 4\n",
    ):
        row = a_row(output)
        assert not row.ok and row.error
    assert not a_row(a_report(), SMALL + LARGE).ok


def test_a_disagreement_is_named_and_makes_the_exit_code_1(monkeypatch, capsys):
    def unix():
        row = run.Row("MicroPython unix", "", "any", "plain")
        text = (
            a_report()
            + "conformance differs /small/more.txt line 3: add 1 2: expected 3, found 4\n"
        )
        return run.Job([row], [SMALL], lambda files: (each for each in [text]))

    monkeypatch.setattr(run, "unix", unix)
    assert run.main(["--only", "unix"]) == 1
    printed = capsys.readouterr().out
    assert "  NO\n" in printed and "small/more.txt line 3: add 1 2: expected 3, found 4" in printed


def test_without_node_the_table_says_what_to_install(monkeypatch, capsys):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "node" else which(name))
    assert run.main(["--only", "WebAssembly"]) == 1
    assert (
        "not run: node and npm are needed; install them with: sudo apt-get install nodejs npm"
        in capsys.readouterr().out
    )


def test_a_runtime_that_breaks_off_has_no_row_that_counts(capsys):
    def output(files):
        yield a_report()
        raise OSError("the port is gone")

    rows = [run.Row("A board", "", "any", "plain") for _ in range(3)]
    run.execute(run.Job(rows, [SMALL] * 3, output))
    assert [row.ok for row in rows] == [True, False, False]
    assert "the port is gone" in rows[1].error and rows[2].error


# -- an altered kernel -----------------------------------------------------------------------------

# File, one piece of it, what it becomes, and how the altered kernel runs: `fast` is the laptop's
# provider.
MUTATIONS = (
    ("fixed.py", "(a * b) >> 16", "(a * b + 32768) >> 16", "fast"),
    ("fixed.py", "clamp(a + b)", "a + b", "fast"),
    ("fixed.py", "MIN = -0x80000000", "MIN = -0x7FFFFFFF", "fast"),
    ("fixed.py", "total += a[i] * b[i]", "total += (a[i] * b[i] >> 16) << 16", "fast"),
    ("fixed.py", "ONE * 2 + denominator", "ONE * 2 + denominator - 1", "fast"),
    ("fixed.py", "-magnitude if numerator < 0", "-magnitude + 1 if numerator < 0", "fast"),
    ("arena.py", "(ident ^ ident >> 8 ^ ident >> 16)", "(ident ^ ident >> 8)", "fast"),
    (
        "arena.py",
        "        if link:\n            at = self.at(link - 1)",
        "        if link and w[h + 2] >= self.capacity:\n            at = self.at(link - 1)",
        "fast",
    ),
    (
        "arena.py",
        "w[at + _NEXT] = w[bucket]\n        w[bucket] = link",
        "w[at + _NEXT] = 0\n        w[bucket] = link",
        "fast",
    ),
    (
        "arena.py",
        "for i in range(at + _ID, at + self.stride):",
        "for i in range(at + _ID, at + self.stride - 1):",
        "fast",
    ),
    (
        "arena.py",
        "        self.touch(bucket)\n        w[at + _ID] = ident",
        "        w[at + _ID] = ident",
        "plain",
    ),
    ("arena.py", "        self.touch(at)\n        if w[bucket]", "        if w[bucket]", "plain"),
    (
        "arena.py",
        "            self.touch(bucket)\n            w[bucket]",
        "            w[bucket]",
        "plain",
    ),
    ("arena.py", "            self.touch(before)\n", "", "plain"),
    ("arena.py", "            if self.span <= CHUNK_WORDS:", "            if True:", "plain"),
    (
        "arena.py",
        "if self.words[self.header] >= self.capacity",
        "if self.words[self.header] > self.capacity",
        "fast",
    ),
    ("kernel.py", "        w[_SEQ_AT] = seq", "        w[_SEQ_AT] += 1", "fast"),
    ("kernel.py", "h = (h * 33 ^ data[i])", "h = (h * 31 ^ data[i])", "fast"),
    ("kernel.py", "if refs:", "if refs > 1:", "fast"),
    ("kernel.py", "self._refer(w[at + _RECORD], -1)", "pass", "fast"),
    ("kernel.py", "while w[at + first]:", "if w[at + first]:", "fast"),
    ("kernel.py", "            if before:", "            if before and after:", "fast"),
    (
        "kernel.py",
        "            self.records.touch(at)\n            which",
        "            which",
        "plain",
    ),
    (
        "kernel.py",
        "        self.records.touch(at)\n        self.arena",
        "        self.arena",
        "plain",
    ),
    ("kernel.py", "                self.edges.touch(first_at)\n", "", "plain"),
    (
        "kernel.py",
        "            self.nodes.touch(node_at)\n            w[node_at + _OUT + end] = link",
        "            w[node_at + _OUT + end] = link",
        "plain",
    ),
    ("kernel.py", "                edges.touch(after_at)\n", "", "plain"),
    ("kernel.py", "                edges.touch(before_at)\n", "", "plain"),
    (
        "kernel.py",
        "                self.nodes.touch(node_at)\n                w[node_at + _OUT + end] = after",
        "                w[node_at + _OUT + end] = after",
        "plain",
    ),
    ("kernel.py", "                self.keys.touch(at)\n", "", "plain"),
    ("kernel.py", "if prev != last:", "if prev and prev != last:", "fast"),
    ("kernel.py", "if data[start + 4] != 1 or not link", "if not link", "fast"),
    ("nearest.py", "if each < worst:", "if each[0] < worst[0]:", "fast"),
    (
        "nearest.py",
        "(tag is None or words[at + _TAG] == tag)",
        "(not tag or words[at + _TAG] == tag)",
        "fast",
    ),
    ("distances.py", "LIMIT = (1 << 63) - 1", "LIMIT = (1 << 63) - 2", "plain"),
    ("distances.py", "(query[i] & _MASK ^ _SIGN)", "(query[i] & _MASK)", "plain"),
    ("graph.py", "distance <= depth", "distance < depth", "fast"),
    ("graph.py", "if kind is not None and", "if kind and", "fast"),
    ("graph.py", "after.append(other)", "after.insert(0, other)", "fast"),
    ("root.py", "1 if n == 2 else 0", "0", "plain"),
    ("root.py", "if parents and parents[-1] == parent:", "if parents:", "plain"),
    (
        "blake3.py",
        "v[b] = _rotate_right(v[b] ^ v[c], 7)",
        "v[b] = _rotate_right(v[b] ^ v[c], 8)",
        "plain",
    ),
    ("blake3.py", "while 2 * chunks * _CHUNK < size", "while 2 * chunks * _CHUNK <= size", "plain"),
    ("blake3.py", "crc = seed ^ _MASK", "crc = _MASK", "plain"),
    (
        "frames.py",
        "put_u32(buffer, start + 8, tick)",
        "put_u32(buffer, start + 8, tick & 0x3FFFFFFF)",
        "fast",
    ),
    ("frames.py", "buffer[start + 3] = size >> 8", "buffer[start + 3] = 0", "fast"),
    ("frames.py", "unix_ms >> 32", "0", "fast"),
    ("genesis.py", "bytes((policy, len(identity)))", "bytes((0, len(identity)))", "fast"),
    (
        "snapshot.py",
        "self.boot, self.generation, self.length))",
        "self.generation, self.boot, self.length))",
        "fast",
    ),
    ("replay.py", "start += TOKEN_BYTES", "start += TOKEN_BYTES - 1", "fast"),
    ("replay.py", "if payload != root:", "if False:", "fast"),
    ("replay.py", "if u32(data, at + 4) != seq:", "if False:", "fast"),
    ("errors.py", "code = 7", "code = 6", "fast"),
)


def run_a_copy(folder, provider):
    """Run all vectors with the kernel copied to a folder; return what runner.report printed."""
    paths = [str(path) for path in (SMALL + LARGE if provider == "fast" else SMALL)]
    code = (run.HOST if provider == "fast" else run.PLAIN) % paths
    path = ":".join((str(folder), str(run.HERE), str(run.ROOT / "host")))
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        env={"PYTHONPATH": path, "QUIPU_PURE": "1"},
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def kernel_copy(tmp_path):
    shutil.copytree(
        run.ROOT / "shared_kernel",
        tmp_path / "shared_kernel",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return tmp_path


@pytest.mark.parametrize("provider", ("plain", "fast"))
def test_an_unaltered_copy_of_the_kernel_agrees(kernel_copy, provider):
    printed = run_a_copy(kernel_copy, provider)
    assert "differs" not in printed and printed.count("agrees") == len(
        SMALL + LARGE if provider == "fast" else SMALL
    )


@pytest.mark.parametrize("file, old, new, provider", quick.some(MUTATIONS, 14))
def test_an_altered_line_of_the_kernel_disagrees(kernel_copy, file, old, new, provider):
    path = Path(kernel_copy / "shared_kernel" / file)
    path.write_text(mutate(path.read_text(), old, new, file))
    assert "conformance differs " in run_a_copy(kernel_copy, provider)
