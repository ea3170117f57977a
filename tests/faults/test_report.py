"""`make faults` in a small size: its table, its report and its exit code; and that a broken store
turns it red."""

import json

import pytest

from tests.faults import run, sweep
from tests.faults.test_breakages import BREAKAGES


def faults(tmp_path, capfd, *arguments):
    """Return (exit code, what was printed, the report)."""
    report = tmp_path / "faults.json"
    code = run.main([*arguments, "--report", str(report)])
    return code, capfd.readouterr().out, json.loads(report.read_text())


def test_a_small_run_survives_and_reports_what_it_did(tmp_path, capfd):
    code, text, found = faults(tmp_path, capfd, "--small", "--seeds", "1")
    assert code == 0, text
    assert found["cuts_tried"] == found["cuts_survived"] > 500
    assert found["lost_acked"] == found["half_applied"] == found["other_failures"] == 0
    assert found["seeds"] == [0] and found["small"] and found["broken"] is None
    assert {each["name"] for each in found["geometries"]} == {
        name for name, g in sweep.GEOMETRIES.items() if g.sector < 16384
    }
    assert sum(each["tried"] for each in found["geometries"]) == found["cuts_tried"]
    assert all(
        each["turns"] >= sweep.TURNS and each["snapshots"] > sweep.TURNS
        for each in found["geometries"]
    )
    sections = found["sections"]
    assert {
        "power cuts",
        "files on littlefs",
        "bit flips",
        "bad sectors",
        "fault runs",
        "breakages",
    } <= set(sections)
    for name, here in sections.items():
        assert here["tried"] == here["survived"] > 0 and not here["failures"], name
        assert name in text
    for image in ("young", "turned"):
        classes = sections["bit flips"]["groups"][image]["classes"]
        assert {
            "frame: damage",
            "frame: pull",
            "newer snapshot: other snapshot",
            "older snapshot: pull",
        } <= set(classes)
    assert "SURVIVED" in text and str(found["cuts_tried"]) in text


@pytest.mark.parametrize(
    "breakage, section, kind",
    [
        ("acknowledge_before_program", "power cuts", "lost_acked"),
        ("go_on_inside_a_torn_tail", "power cuts", None),
        ("change_the_state_before_the_check", "power cuts", "half_applied"),
        ("no_boot_frame", "power cuts", None),
        ("recycle_without_an_acknowledgement", "fault runs", "lost_acked"),
        ("skip_frame_crc", "bit flips", None),
        ("skip_readback", "bad sectors", None),
    ],
)
def test_a_broken_store_turns_it_red(breakage, section, kind, tmp_path, capfd):
    code, text, found = faults(
        tmp_path, capfd, "--small", "--seeds", "1", "--only", section, "--break", breakage
    )
    assert code == 1 and "FAILED" in text
    assert found["sections"][section]["survived"] < found["sections"][section]["tried"]
    failures = found["sections"][section]["failures"]
    assert failures
    assert found["lost_acked"] + found["half_applied"] + found["other_failures"] == len(failures)
    if kind:
        assert found[kind]
    assert failures[0]["where"] in text


def test_a_broken_store_is_noticed_under_files_too():
    figures, failures = run.files(1, 20)
    assert figures["tried"] == figures["survived"] == 20 and not failures
    figures, failures = run.files(1, 20, "broken")
    assert figures["survived"] == 0 and "Lost" in failures[0].what


def test_a_breakage_that_nobody_notices_turns_it_red(tmp_path, capfd, monkeypatch):
    name = BREAKAGES[0][0].__name__
    monkeypatch.setattr(run.test_breakages, "BREAKAGES", [(BREAKAGES[0][0], lambda: None)])
    figures, failures = run.breakage(name)
    assert (
        figures["survived"] == 0
        and name in failures[0].where
        and "does not notice" in failures[0].what
    )


def test_a_case_that_cannot_be_made_turns_it_red(tmp_path):
    options = type("Options", (), {"seeds": 1, "small": True, "broken": None, "jobs": 1})
    figures = run.work(("power cuts", "512x9u1", sweep.part, ("no such geometry", 0)))
    found = run.report([figures], options, 1.0)
    assert found["other_failures"] == 1 and found["cuts_survived"] == 0


def test_one_cut_can_be_made_again(tmp_path, capfd):
    life = sweep.life("1024x8u32", 0)
    i, step = life.steps()[200]
    cut = "1024x8u32:0:%d:%d" % (i, step)
    assert run.main(["--cut", cut]) == 0
    assert cut + ": survived" in capfd.readouterr().out
    for nonsense in (
        "1024x8u32:0:%d:%d" % (i, step + 1000),
        "1024x8u32",
        "none:0:1:1",
        "1024x8u32:0:x:1",
    ):
        assert run.main(["--cut", nonsense]) == 2
        assert "names no cut" in capfd.readouterr().out


def test_a_failure_names_the_cut_that_fails_again(monkeypatch):
    from tests.faults.test_breakages import no_boot_frame

    no_boot_frame(monkeypatch)
    _, failures = sweep.part("1024x8u32", 0, thin=20)
    assert failures
    with pytest.raises((AssertionError, Exception)):
        sweep.one(failures[0].where.removeprefix("CUT="))
