"""`make bench` puts what its parts found on the screen, into bench.json and into charts; a part
that fails takes no other with it."""

import json
from xml.etree import ElementTree

import pytest

from bench import run

TIMES = {"quipu": 2e-4, "peer": 3e-3, "ratio": {"peer": 15.04}}
LAPTOP = {
    "kernel": "compiled kernel",
    "provider": "C",
    "search": {"4000": TIMES},
    "root": {"1000": TIMES},
    "append": TIMES,
    "replay": {**TIMES, "frames": 20313, "frames_per_s": 654321.0, "blake3_bytes_per_s": 1.5e9},
    "parallel": {
        "frames": 1000003,
        "one process": 1.25,
        "two processes": 0.7,
        "ratio": 1.79,
        "ratio of work": 1.95,
        "cores": 2,
        "ratio of two at once": 1.88,
    },
    "growth": {
        "root after one insert": [[1000, 3e-6], [10000, 3e-6], [100000, 3e-6]],
        "boot": [[100, 1e-3], [1000, 1e-2]],
    },
}
BOARD = {
    "cortex-m4": {
        "plain": {"apply alone": 9000, "heap used, bytes": 800},
        "native": {"apply alone": 120},
        "Valori's page, us": {"apply alone": "5"},
    }
}
FIGURES = {"laptop": LAPTOP, "archive": {"index rebuild, frames/s": 188608.0}, "board": BOARD}


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """Return what runs the bench with given figures, None for a part that fails: (exit code, what
    it printed, its folder)."""

    def bench(**given):
        def work(name):
            found = {**FIGURES, **given}[name]
            if found is None:
                raise RuntimeError(f"no {name} today")
            return found

        monkeypatch.setattr(run, "REPORTS", tmp_path)
        monkeypatch.setattr(
            run,
            "PARTS",
            {name: (lambda name=name: work(name), *rest) for name, (_, *rest) in run.PARTS.items()},
        )
        return run.main(), capsys.readouterr(), tmp_path

    return bench


def test_every_figure_is_told_and_drawn(bench):
    code, said, folder = bench()
    assert code == 0 and not said.err
    for text in (
        "compiled kernel, C",
        "15",
        "654,321 frames/s",
        "1.50 GB/s",
        "1.79 times as fast",
        "1.88 times",
        "0.00",
        "1.00",
        "188,608",
        "at least 100,000",
        "9,000",
        "120",
        "200 us",
        "3 ms",
    ):
        assert text in said.out, text
    told = json.loads((folder / "bench.json").read_text())
    assert {name: told[name] for name in FIGURES} == FIGURES
    charts = sorted(each.name for each in folder.glob("*.svg"))
    assert charts == sorted(
        f"bench-{each}.svg"
        for each in (
            "append",
            "cortex-m4-apply-alone",
            "cortex-m4-heap-used-bytes",
            "growth",
            "parallel",
            "replay",
            "root-1000",
            "search-4000",
        )
    )
    for name in charts:
        assert len(list(ElementTree.parse(folder / name).iter())) > 5
    assert "8 charts" in said.out


@pytest.mark.parametrize("failed", sorted(FIGURES))
def test_a_part_that_fails_is_named_and_the_others_are_shown(bench, failed):
    code, said, folder = bench(**{failed: None})
    assert (
        code == 1 and f"no {failed} today" in said.err and f"the part {failed} failed" in said.out
    )
    for name, text in (
        ("laptop", "1.79 times as fast"),
        ("archive", "188,608"),
        ("board", "cortex-m4"),
    ):
        assert (text in said.out) == (name != failed)
    assert json.loads((folder / "bench.json").read_text())[failed] is None


def test_charts_of_an_earlier_run_are_removed(bench, tmp_path):
    (tmp_path / "bench-old.svg").write_text("x")
    bench()
    assert not (tmp_path / "bench-old.svg").exists()
