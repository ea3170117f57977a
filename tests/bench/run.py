"""`make bench`: every figure beside its peers. One table on the screen, build/reports/bench.json, charts beside it.

Measures nothing itself: laptop.py (in an environment of its own, build/bench-venv, where the peers are), archive.py (a million
frames, and what two archives move) and board.py (instructions on emulated boards) do. Exit code 1 if a part did not run.
"""

import json
import os
import re
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import archive, chart
from tests.bench.chart import seconds

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "build" / "reports"
PEERS = ROOT / "build" / "bench-venv"
PACKAGES = ("valoricore==0.3.1", "faiss-cpu", "numpy")
LIMIT_S = 600


def peers() -> Path:
    """Return the Python of the environment with the peers, made at the first call. The product needs none of them."""
    python = PEERS / "bin" / "python"
    ready = PEERS / "ready"
    if not ready.exists() or ready.read_text() != f"{sys.version} {PACKAGES}":
        venv.create(PEERS, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PACKAGES, "blake3", "click",
                        "mpremote", "pyserial", "rich"], check=True)
        ready.write_text(f"{sys.version} {PACKAGES}")
    return python


def laptop() -> dict[str, Any]:
    """Run the laptop's half."""
    env = {each: value for each, value in os.environ.items() if each != "QUIPU_PURE"}
    done = subprocess.run([str(peers()), "-m", "tests.bench.laptop"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
                          timeout=LIMIT_S, env={**env, "PYTHONPATH": f"{ROOT / 'host'}{os.pathsep}{ROOT}"})
    return json.loads(done.stdout)


def board() -> dict[str, Any] | None:
    """Run the boards' half; None if it is not there."""
    try:
        from tests.bench import board as half
    except ImportError:
        return None
    return half.run()


def laptop_rows(found: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Return (what, Quipu, peer, its time, ratio) for the table."""
    groups = [(f"replay and verify {found['replay']['frames']:,} frames", found["replay"])]
    groups += [(f"search, {int(n):,} x 16, k = 10", each) for n, each in found["search"].items()]
    groups += [(f"insert and root at {int(n):,} records", each) for n, each in found["root"].items()]
    groups += [("durable append", found["append"])]
    return [(what, seconds(each["quipu"]), peer, seconds(each[peer]), chart.number(ratio))
            for what, each in groups for peer, ratio in each["ratio"].items()]


def show(report: dict[str, Any]) -> None:
    console = Console(width=118)
    found = report["laptop"]
    table = Table(title=f"On this laptop ({found['kernel']}, {found['provider']}); a ratio above 1 means that Quipu is quicker")
    for each, justify in (("what", "left"), ("Quipu", "right"), ("peer", "left"), ("peer takes", "right"), ("ratio", "right")):
        table.add_column(each, justify=justify)
    for row in laptop_rows(found):
        table.add_row(*row)
    console.print(table)
    speed = found["replay"]
    console.print(f"replay and verify: {speed['frames_per_s']:,.0f} frames/s, where BLAKE3 does "
                  f"{speed['blake3_bytes_per_s'] / 1e9:.2f} GB/s on one thread")
    shared = found["parallel"]
    console.print(f"verify {shared['frames']:,} frames: {seconds(shared['one process'])} by one process, "
                  f"{seconds(shared['two processes'])} by two on {shared['cores']} cores: {shared['ratio']:.2f} times as fast by the "
                  f"clock, {shared['ratio of work']:.2f} by the work that each has")
    table = Table(title="How cost grows")
    for each in ("what", "sizes", "time", "exponent"):
        table.add_column(each)
    for name, points in found["growth"].items():
        table.add_row(name, "  ".join(f"{int(x):,}" for x, _ in points), "  ".join(seconds(y) for _, y in points),
                      f"{chart.exponent(points):.2f}")
    console.print(table)
    table = Table(title="An archive of a million frames", width=118)
    for each, justify in (("what", "left"), ("value", "right"), ("target, or a peer's claim", "left")):
        table.add_column(each, justify=justify)
    for row in archive.rows(report["archive"]):
        table.add_row(*row)
    console.print(table)
    for core, providers in (report["board"] or {}).items():
        metrics = dict.fromkeys(each for figures in providers.values() for each in figures)
        table = Table(title=f"{core}, emulated: instructions")
        table.add_column("what")
        for name in providers:
            table.add_column(name, justify="right")
        for each in metrics:
            cells = [figures.get(each) for figures in providers.values()]
            table.add_row(each, *[f"{cell:,}" if isinstance(cell, int | float) else "-" if cell is None else str(cell) for cell in cells])
        console.print(table)
    if not report["board"]:
        console.print("the boards' half did not run: tests/bench/board.py is not there")


def charts(report: dict[str, Any]) -> list[Path]:
    """Write the charts and return where they are."""
    found = report["laptop"]
    pages = {"growth": chart.lines("How cost grows on a laptop", "records or frames", "time", found["growth"], seconds)}
    rows = [("Quipu", found["replay"]["quipu"])] + [(name, found["replay"][name]) for name in found["replay"]["ratio"]]
    pages["replay"] = chart.bars(f"Replay and verify {found['replay']['frames']:,} frames of 16 dimensions", "time", rows, seconds)
    pages["parallel"] = chart.bars(f"Verify {found['parallel']['frames']:,} frames", "time",
                                   [(name, found["parallel"][name]) for name in ("one process", "two processes")], seconds)
    titles = {f"search-{n}": (f"Exact search, {int(n):,} records of 16 dimensions, k = 10", each) for n, each in found["search"].items()}
    titles |= {f"root-{n}": (f"An insert and its state root, {int(n):,} records", each) for n, each in found["root"].items()}
    titles["append"] = "One record made durable", found["append"]
    for name, (title, each) in titles.items():
        pages[name] = chart.bars(title, "time", [(who.replace("quipu", "Quipu"), each[who]) for who in ("quipu", *each["ratio"])],
                                 seconds)
    for core, providers in (report["board"] or {}).items():
        for metric in dict.fromkeys(each for figures in providers.values() for each in figures):
            values = [(name, float(figures[metric])) for name, figures in providers.items()
                      if isinstance(figures.get(metric), int | float) and figures[metric] > 0]
            if values:
                slug = re.sub("[^a-z0-9]+", "-", f"{core} {metric}".lower())
                pages[slug] = chart.bars(f"{core}: {metric}", "bytes" if "bytes" in metric else "instructions", values)
    for old in REPORTS.glob("bench-*.svg"):
        old.unlink()
    out = []
    for name, page in pages.items():
        out.append(REPORTS / f"bench-{name}.svg")
        out[-1].write_text(page)
    return out


def main() -> int:
    start = time.monotonic()
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = {"laptop": laptop(), "archive": archive.run(), "board": board(), "seconds": 0.0}
    report["seconds"] = round(time.monotonic() - start, 1)
    (REPORTS / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    show(report)
    print(f"{report['seconds']:.0f} s; {REPORTS / 'bench.json'} and {len(charts(report))} charts beside it")
    return 0 if report["board"] else 1


if __name__ == "__main__":
    sys.exit(main())
