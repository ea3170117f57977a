"""`make bench`: every figure beside its peers. One table on the screen, build/reports/bench.json,
charts beside it.

Measures nothing itself: laptop.py (in an environment of its own, build/bench-venv, where the peers
are), archive.py (a million frames, and what two archives move) and board.py (instructions on
emulated boards) do. If a part fails the others are shown all the same, and the exit code is 1.
"""

import json
import os
import re
import subprocess
import sys
import time
import traceback
import venv
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import archive, board, chart
from bench.chart import seconds

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "reports"
PEERS = ROOT / "build" / "bench-venv"
PACKAGES = ("valoricore==0.3.1", "faiss-cpu", "numpy")
LIMIT_S = 600


def peers() -> Path:
    """Return the Python of the environment with the peers, made at the first call. The product
    needs none of them."""
    python = PEERS / "bin" / "python"
    ready = PEERS / "ready"
    if not ready.exists() or ready.read_text() != f"{sys.version} {PACKAGES}":
        venv.create(PEERS, with_pip=True, clear=True)
        subprocess.run(
            [
                str(python),
                "-m",
                "pip",
                "install",
                "-qq",
                "--disable-pip-version-check",
                *PACKAGES,
                "blake3",
                "click",
                "mpremote",
                "pyserial",
                "rich",
            ],
            check=True,
        )
        ready.write_text(f"{sys.version} {PACKAGES}")
    return python


def laptop() -> dict[str, Any]:
    """Run the laptop's half."""
    env = {each: value for each, value in os.environ.items() if each != "QUIPU_PURE"}
    done = subprocess.run(
        [str(peers()), "-m", "bench.laptop"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=LIMIT_S,
        env={**env, "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}"},
    )
    return json.loads(done.stdout)


def laptop_rows(found: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Return (what, Quipu, peer, its time, ratio) for the table."""
    groups = [(f"replay and verify {found['replay']['frames']:,} frames", found["replay"])]
    groups += [(f"search, {int(n):,} x 16, k = 10", each) for n, each in found["search"].items()]
    groups += [
        (f"insert and root at {int(n):,} records", each) for n, each in found["root"].items()
    ]
    groups += [("durable append", found["append"])]
    return [
        (what, seconds(each["quipu"]), peer, seconds(each[peer]), chart.number(ratio))
        for what, each in groups
        for peer, ratio in each["ratio"].items()
    ]


def show_laptop(console: Console, found: dict[str, Any]) -> None:
    table = Table(
        title=f"On this laptop ({found['kernel']}, {found['provider']}); a ratio above 1 means "
        f"that Quipu is quicker"
    )
    for each, justify in (
        ("what", "left"),
        ("Quipu", "right"),
        ("peer", "left"),
        ("peer takes", "right"),
        ("ratio", "right"),
    ):
        table.add_column(each, justify=justify)
    for row in laptop_rows(found):
        table.add_row(*row)
    console.print(table)
    speed = found["replay"]
    console.print(
        f"replay and verify: {speed['frames_per_s']:,.0f} frames/s, where BLAKE3 does "
        f"{speed['blake3_bytes_per_s'] / 1e9:.2f} GB/s on one thread"
    )
    shared = found["parallel"]
    console.print(
        f"verify {shared['frames']:,} frames: {seconds(shared['one process'])} by one process, "
        f"{seconds(shared['two processes'])} by two on {shared['cores']} cores: "
        f"{shared['ratio']:.2f} times as fast by the "
        f"clock, {shared['ratio of work']:.2f} by the work that each has; two whole verifications "
        f"at once: "
        f"{shared['ratio of two at once']:.2f} times the work of one"
    )
    table = Table(title="How cost grows")
    for each in ("what", "sizes", "time", "exponent"):
        table.add_column(each)
    for name, points in found["growth"].items():
        table.add_row(
            name,
            "  ".join(f"{int(x):,}" for x, _ in points),
            "  ".join(seconds(y) for _, y in points),
            f"{chart.exponent(points):.2f}",
        )
    console.print(table)


def show_archive(console: Console, found: dict[str, Any]) -> None:
    table = Table(title="An archive of a million frames", width=118)
    for each, justify in (
        ("what", "left"),
        ("value", "right"),
        ("target, or a peer's claim", "left"),
    ):
        table.add_column(each, justify=justify)
    for row in archive.rows(found):
        table.add_row(*row)
    console.print(table)


def show_board(console: Console, found: dict[str, Any]) -> None:
    for core, providers in found.items():
        metrics = dict.fromkeys(each for figures in providers.values() for each in figures)
        table = Table(title=f"{core}, emulated: instructions")
        table.add_column("what")
        for name in providers:
            table.add_column(name, justify="right")
        for each in metrics:
            cells = [figures.get(each) for figures in providers.values()]
            table.add_row(
                each,
                *[
                    f"{cell:,}"
                    if isinstance(cell, int | float)
                    else "-"
                    if cell is None
                    else str(cell)
                    for cell in cells
                ],
            )
        console.print(table)


def laptop_charts(found: dict[str, Any]) -> dict[str, str]:
    """Return {name: SVG}."""
    pages = {
        "growth": chart.lines(
            "How cost grows on a laptop", "records or frames", "time", found["growth"], seconds
        )
    }
    groups = {
        "replay": (
            f"Replay and verify {found['replay']['frames']:,} frames of 16 dimensions",
            found["replay"],
        )
    }
    groups |= {
        f"search-{n}": (f"Exact search, {int(n):,} records of 16 dimensions, k = 10", each)
        for n, each in found["search"].items()
    }
    groups |= {
        f"root-{n}": (f"An insert and its state root, {int(n):,} records", each)
        for n, each in found["root"].items()
    }
    groups["append"] = "One record made durable", found["append"]
    for name, (title, each) in groups.items():
        rows = [("Quipu", each["quipu"]), *[(peer, each[peer]) for peer in each["ratio"]]]
        pages[name] = chart.bars(title, "time", rows, seconds)
    shared = found["parallel"]
    pages["parallel"] = chart.bars(
        f"Verify {shared['frames']:,} frames",
        "time",
        [(each, shared[each]) for each in ("one process", "two processes")],
        seconds,
    )
    return pages


def board_charts(found: dict[str, Any]) -> dict[str, str]:
    """Return {name: SVG}."""
    pages = {}
    for core, providers in found.items():
        for metric in dict.fromkeys(each for figures in providers.values() for each in figures):
            values = [
                (name, float(figures[metric]))
                for name, figures in providers.items()
                if isinstance(figures.get(metric), int | float) and figures[metric] > 0
            ]
            if values:
                slug = re.sub("[^a-z0-9]+", "-", f"{core} {metric}".lower())
                pages[slug] = chart.bars(
                    f"{core}: {metric}", "bytes" if "bytes" in metric else "instructions", values
                )
    return pages


PARTS = {
    "laptop": (laptop, show_laptop, laptop_charts),
    "archive": (archive.run, show_archive, lambda found: {}),
    "board": (board.run, show_board, board_charts),
}


def main() -> int:
    start = time.monotonic()
    REPORTS.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {}
    for name, (work, _, _) in PARTS.items():
        try:
            report[name] = work()
        except Exception:
            # of one part, which took minutes: the figures of the others are wanted all the same
            traceback.print_exc()
            report[name] = None
    report["seconds"] = round(time.monotonic() - start, 1)
    (REPORTS / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    for old in REPORTS.glob("bench-*.svg"):
        old.unlink()
    console, count = Console(width=118), 0
    for name, (_, show, charts) in PARTS.items():
        if report[name] is None:
            console.print(f"the part {name} failed, see above")
            continue
        show(console, report[name])
        for slug, page in charts(report[name]).items():
            (REPORTS / f"bench-{slug}.svg").write_text(page)
            count += 1
    print(f"{report['seconds']:.0f} s; {REPORTS / 'bench.json'} and {count} charts beside it")
    return 1 if None in report.values() else 0


if __name__ == "__main__":
    sys.exit(main())
