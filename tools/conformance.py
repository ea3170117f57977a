"""Runs the conformance vectors on every interpreter, prints one table, and writes
build/reports/conformance.json.

    python tools/conformance.py [--only TEXT] [--quick]
        TEXT: run only runtimes whose name has it in it, and write no report
        --quick: boards run the small vectors, and not on the plain reference; no report either

Exit code 1 if any of them answers otherwise than the vectors, runs fewer than there are, or cannot
be run here. Never says what is right: the vectors do, and runner.py compares.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "tests" / "conformance"  # the vectors, and what runs them on one interpreter
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "host")]

import serial  # noqa: E402
from quipu.board.repl import Repl  # noqa: E402
from quipu.build import images  # noqa: E402
from quipu.build.emulator import Emulator  # noqa: E402
from quipu.install import files as deploy  # noqa: E402

REPORT = ROOT / "build" / "reports" / "conformance.json"
SMALL = tuple(sorted((HERE / "vectors" / "small").glob("*.txt")))
LARGE = tuple(sorted((HERE / "vectors" / "large").glob("*.txt")))
ROOT_OF = "small/commands.txt"  # every runtime runs it: its last root is the one in the table
BOARDS = ("MICROBIT_M0", "MPS2_AN385", "MPS2_AN386", "MPS2_AN500")  # Cortex-M0, M3, M4, M7
MINORS = range(10, 20)  # of Python 3
SILENCE_S = 300  # a board says nothing while it runs a file
PACKAGE = "@micropython/micropython-webassembly-pyscript"

PLAIN = "from runner import report\nreport(%r)"
HOST = "import quipu\n" + PLAIN
COMPILED = "import quipu\nassert quipu.kernels.kind == 'compiled', quipu.kernels.why\n" + PLAIN
VIPER = (
    "from shared_kernel import primitives\nfrom quipu import viper\nif viper.usable(): "
    "primitives.use(viper)\n" + PLAIN + "\nprimitives.use(None)"
)
NATIVE = (
    "from shared_kernel import primitives\nimport quipu_native\nprimitives.use(quipu_native)\n"
    + PLAIN
    + "\nprimitives.use(None)"
)


class NotRun(Exception):
    """This runtime cannot be run here; the message says what to do."""


@dataclasses.dataclass
class Row:
    """One runtime with one provider. vectors: how many agreed; root: the last of
    small/commands.txt; files: each file's own vectors and root; error: where it first differs, or
    why it did not run."""

    runtime: str
    version: str
    arch: str
    provider: str
    vectors: int = 0
    root: str = ""
    ok: bool = False
    seconds: float = 0.0
    files: dict = dataclasses.field(default_factory=dict)
    error: str | None = None


@dataclasses.dataclass
class Job:
    """Rows that come out of one process or board. output: yields, for each, what runner.report
    printed."""

    rows: list[Row]
    files: list[tuple[Path, ...]]  # for each row
    output: Callable[[list[tuple[Path, ...]]], Iterator[str]]


def short(path: str | Path) -> str:
    """small/commands.txt, wherever the folder of vectors is."""
    return "/".join(str(path).split("/")[-2:])


def expected(path: Path) -> tuple[int, str]:
    """How many vectors a file has, and the last state root in it."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    roots = [line.partition(" = ")[2] for line in lines if line.startswith(("root = ", "arena = "))]
    return len(lines) - 1, roots[-1]


def judge(row: Row, files: tuple[Path, ...], output: str) -> None:
    """Fill in a row by what its runtime printed."""
    printed = re.search(r"^conformance runtime (\S+) (\S+) (\S+)", output, re.M)
    if not printed:
        row.error = "it printed no report: " + output.strip()[-500:]
        return
    row.version = printed[2]
    if printed[3] != row.provider:
        row.error = f"it ran with the provider {printed[3]!r}"
        return
    agreed = {
        short(found[1]): (int(found[2]), found[3])
        for found in re.finditer(r"^conformance agrees (\S+) (\d+) (\S+)", output, re.M)
    }
    row.vectors = sum(count for count, _ in agreed.values())
    row.files = {name: {"vectors": count, "root": root} for name, (count, root) in agreed.items()}
    row.root = agreed.get(ROOT_OF, (0, ""))[1]
    differs = re.search(r"^conformance differs (\S+) (.*)", output, re.M)
    if differs:
        row.error = f"{short(differs[1])} {differs[2]}"
        return
    for path in files:
        if agreed.get(short(path)) != expected(path):
            row.error = f"{short(path)}: has (vectors, root) {expected(path)}, it ran {agreed.get(short(path))}"
            return
    row.ok = True


# -- the runtimes ----------------------------------------------------------------------------------


def interpreters() -> dict[tuple[int, ...], str]:
    """CPythons 3.10+ here, one of each minor version, this one first: path by version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [sys.executable]
    for minor in MINORS:
        candidates += [str(path) for path in sorted(pyenv.glob(f"3.{minor}.*/bin/python"))]
        candidates += filter(None, [shutil.which(f"python3.{minor}")])
    found: dict[tuple[int, ...], str] = {}
    for path in candidates:
        # pyenv's stand-ins on the PATH fail for a version that is not the chosen one.
        probe = subprocess.run(
            [path, "-c", "import sys; print(sys.implementation.name, *sys.version_info[:3])"],
            capture_output=True,
            text=True,
        )
        name, *version = probe.stdout.split() or [""]
        if name == "cpython" and not any(
            each[:2] == tuple(map(int, version[:2])) for each in found
        ):
            found[tuple(map(int, version))] = path
    return found


def finished(command: list[str], **more) -> str:
    """What a command printed; its errors too if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SILENCE_S, **more)
    return done.stdout + (done.stderr if done.returncode else "")


def cpythons() -> Iterator[Job]:
    for version, path in interpreters().items():
        for runtime, provider, code in (
            ("CPython", "plain", PLAIN),
            ("CPython", "blake3-and-zlib", HOST),
            ("CPython compiled", "C", COMPILED),
        ):
            # the others need not have the blake3 package
            if provider == "plain" or path == sys.executable:

                def output(files, path=path, code=code, pure=str(int(provider != "C"))):
                    folders = os.pathsep.join(str(each) for each in (HERE, ROOT, ROOT / "host"))
                    yield finished(
                        [path, "-B", "-c", code % [str(each) for each in files[0]]],
                        env={**os.environ, "PYTHONPATH": folders, "QUIPU_PURE": pure},
                    )

                row = Row(runtime, ".".join(map(str, version)), platform.machine(), provider)
                yield Job([row], [SMALL + LARGE], output)


def unix() -> Job:
    def output(files):
        yield finished(
            [
                str(images.unix_port()),
                "-X",
                "heapsize=4M",
                "-c",
                PLAIN % [str(each) for each in files[0]],
            ],
            env={**os.environ, "MICROPYPATH": f"{HERE}:{ROOT}"},
        )

    return Job([Row("MicroPython unix", "", platform.machine(), "plain")], [SMALL + LARGE], output)


def webassembly() -> Job:
    def output(files):
        if not shutil.which("node") or not shutil.which("npm"):
            raise NotRun(
                "not run: node and npm are needed; install them with: sudo apt-get install nodejs "
                "npm"
            )
        folder = ROOT / "build" / "webassembly"
        module = folder / "node_modules" / PACKAGE / "micropython.mjs"
        if not module.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            got = subprocess.run(
                [
                    "npm",
                    "install",
                    "--prefix",
                    str(folder),
                    "--no-audit",
                    "--no-fund",
                    PACKAGE + "@latest",
                ],
                capture_output=True,
                text=True,
            )
            if got.returncode:
                raise NotRun(
                    f"not run: npm could not install {PACKAGE}: {got.stderr.strip()[-500:]}"
                )
        sources = [*(ROOT / "shared_kernel").glob("*.py"), HERE / "runner.py", *files[0]]
        yield finished(
            ["node", str(HERE / "webassembly.mjs")],
            input=json.dumps(
                {
                    "module": str(module),
                    "files": {str(path): path.read_text() for path in sources},
                    "code": f"import sys\nsys.path[:0] = [{str(HERE)!r}, {str(ROOT)!r}]\n"
                    + PLAIN % [str(each) for each in files[0]],
                }
            ),
        )

    return Job([Row("MicroPython WebAssembly", "", "wasm32", "plain")], [SMALL + LARGE], output)


def board(name: str, quick: bool = False) -> Job:
    facts = images.board_facts(name)

    def output(files):
        with (
            Emulator(name, frozen=False) as emulator,
            serial.serial_for_url(emulator.port, timeout=1) as port,
        ):
            repl = Repl(port, emulator.port)
            for folder in ("/lib", "/lib/shared_kernel", "/lib/quipu", "/small", "/large"):
                repl.make_folder(folder)
            for path, content in deploy.files(facts, images.mpy_cross()).items():
                if path.startswith("/lib/shared_kernel/") or Path(path).stem in (
                    "__init__",
                    "viper",
                    "thumb",
                    "crc32",
                    "quipu_native",
                ):
                    repl.write_file(path, content)
            repl.write_file("/lib/runner.py", (HERE / "runner.py").read_bytes())
            for path in files[0]:
                repl.write_file("/" + short(path), path.read_bytes())
            for code, paths in zip((NATIVE, VIPER, PLAIN), files):
                yield repl.run(code % ["/" + short(path) for path in paths], SILENCE_S).decode()

    rows = [
        Row(f"MicroPython {name}", "", images.emulation(name)["cpu"], provider)
        for provider in ("native", "viper", "plain")
    ]
    if quick:
        return Job(rows[:2], [SMALL, SMALL], output)
    # The plain reference takes a board some million instructions for each 64 bytes that it hashes.
    return Job(rows, [SMALL + LARGE, SMALL + LARGE, SMALL], output)


# -- all together ----------------------------------------------------------------------------------


def execute(job: Job) -> list[Row]:
    """Run a job's rows; whatever goes wrong stands in them."""
    last = time.monotonic()
    outputs = job.output(job.files)
    for row, files in zip(job.rows, job.files, strict=True):
        try:
            judge(row, files, next(outputs))
        except StopIteration:
            row.error = "not run, for the one before it broke off"
        except Exception as e:
            row.error = str(e) if isinstance(e, NotRun) else f"{type(e).__name__}: {e}"
        row.seconds, last = round(time.monotonic() - last, 1), time.monotonic()
        print(
            f"{row.runtime} {row.arch} {row.provider}: {'agrees' if row.ok else row.error}, "
            f"{row.seconds} s",
            file=sys.stderr,
            flush=True,
        )
    outputs.close()
    return job.rows


def table(rows: list[Row]) -> str:
    """The rows, as a person reads them."""
    head = ("runtime", "version", "architecture", "provider", "vectors", "root", "agree?")
    cells = [head] + [
        (
            row.runtime,
            row.version or "-",
            row.arch,
            row.provider,
            str(row.vectors),
            row.root[:16] or "-",
            "yes" if row.ok else "NO",
        )
        for row in rows
    ]
    widths = [max(len(each[i]) for each in cells) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(width) if i == 4 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(each, widths, strict=True))
        ).rstrip()
        for each in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(
        lines
        + [f"{row.runtime} {row.arch} {row.provider}: {row.error}" for row in rows if not row.ok]
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="conformance", description="Runs the conformance vectors on every interpreter."
    )
    parser.add_argument(
        "--only",
        metavar="TEXT",
        help="only runtimes whose name has this in it; no report is written",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="boards run the small vectors, and not on the plain reference; no report is written",
    )
    options = parser.parse_args(arguments)
    only = options.only
    if not SMALL or not LARGE:
        print(f"there are no vectors in {HERE / 'vectors'}", file=sys.stderr)
        return 1
    jobs = [*cpythons(), unix(), webassembly(), *(board(name, options.quick) for name in BOARDS)]
    if only:
        jobs = [job for job in jobs if only in job.rows[0].runtime]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        # the boards, which take longest, first
        for each in [pool.submit(execute, job) for job in reversed(jobs)]:
            each.result()
    rows = [row for job in jobs for row in job.rows]
    print(table(rows))
    if not only and not options.quick:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")
    return 0 if rows and all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
