"""Histories of power cuts and failures, explored with the real store: the quick run of
tools/explore.py, and proof that it can fail.

One process of its own explores the store as it is, then each rule that was taken back, then the
same plans with the rules in place. EXPLORE_SECONDS: how long the first takes, on two processes
(20). `make explore` goes on for ten minutes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared_kernel import frames, primitives
from tests.faults import putback
from tests.quick import WHOLE, some
from tools import explore
from tools.history import memo
from tools.history.flash import Flash

ROOT = Path(__file__).resolve().parents[2]
SECONDS = os.environ.get("EXPLORE_SECONDS", "20")
FOUND = [each.name for each in putback.FAULTS if each.finds]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    report = tmp_path_factory.mktemp("explore") / "quick.json"
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools" / "explore.py"),
            "--quick",
            "--seconds",
            SECONDS,
            "--report",
            str(report),
        ],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert report.exists(), done.stdout + done.stderr
    return json.loads(report.read_text())


def test_no_history_loses_what_was_promised(quick, record_property):
    record_property("states", quick["states"])
    assert not quick["violations"], "\n\n".join(quick["histories"])
    for each in quick["parts"]:
        assert each["states"] > 100, each
    assert max(map(int, quick["cuts"])) >= 3 and max(map(int, quick["boots"])) >= 3


@pytest.mark.parametrize("name", FOUND)
def test_a_rule_taken_back_is_found(quick, name):
    found = quick["faults"][name]
    assert found["found"], "%d states, and nothing was found" % found["states"]


@pytest.mark.parametrize("name", FOUND)
def test_with_the_rule_in_place_the_same_histories_hold(quick, name):
    plan = quick["plans"][name]
    assert not plan["violations"] and plan["states"] > 1


def test_each_fault_has_a_plan_or_says_why_not():
    assert all(
        bool(each.plan) == each.finds and bool(each.why) != each.finds for each in putback.FAULTS
    )


def test_what_is_held_elsewhere_is_what_the_explorer_does_not_find():
    assert set(putback.HELD) <= {each.name for each in putback.FAULTS if not each.finds}


QUICK = [name for name, test in putback.HELD.items() if "/log/" in test]


@pytest.mark.parametrize("name", putback.HELD if WHOLE else some(QUICK, 6))
def test_what_the_explorer_does_not_find_another_test_does(name):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        + ["-p", "tests.faults.put_back_plugin", putback.HELD[name]],
        cwd=ROOT,
        env={**os.environ, "QUIPU_PUT_BACK": name},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "\nFAILED " in done.stdout, done.stdout + done.stderr


def test_what_is_remembered_changes_no_boot():
    world = explore.WORLDS["blocks2"]
    states = []
    for start in explore.starts(world, 24)[::6]:
        it = explore.Session(world, start, 0)
        it.start()
        it.run(("put", "snapshot"))
        states += [child for _, child in it.children]
    plain = [
        booted(world, each, reading)
        for each in states
        for reading in explore.readings(each)
        if reading < 2
    ]
    memo.install()
    try:
        for _ in range(2):  # as it is noted, and as it is remembered
            assert plain == [
                booted(world, each, reading)
                for each in states
                for reading in explore.readings(each)
                if reading < 2
            ]
    finally:
        memo.uninstall()
    assert len(plain) > 300


def booted(world, state, reading):
    """Return all that a boot finds."""
    store = explore.mount(Flash(world, state, reading))
    found = store.found
    kernel = store.kernel
    return (
        store.damage,
        store.seq,
        store.head,
        store.boot,
        store.acked,
        store.order,
        store.bad,
        store.top,
        store.proved,
        store.cuts,
        [each and each.encode() for each in store.slots],
        kernel and kernel.root(),
        kernel and bytes(kernel.arena.bytes),
        found
        and (
            found.pile,
            found.certain,
            found.end,
            found.last,
            found.intact,
            found.unknown,
            found.skipped,
        ),
    )


def search(name, monkeypatch):
    fault = putback.named(name)
    putback.put_back(fault, monkeypatch.setattr)
    return explore.Explorer(
        fault.world, explore.starts(explore.WORLDS[fault.world], explore.STARTS)
    ).search(fault.plan)


def said(found):
    return "\n\n".join(
        [
            explore.as_test(found.world_name, start, history, what)
            for what, start, history, _ in found.violations.values()
        ]
    )


@pytest.mark.parametrize("fault", putback.FAULTS, ids=[each.name for each in putback.FAULTS])
def test_the_line_that_a_fault_changes_is_there(fault):
    putback.put_back(fault, lambda *_: None)


def test_a_history_is_printed_as_a_test_that_fails_again(monkeypatch):
    found = search("recycled_unacknowledged", monkeypatch)
    text = said(found)
    scope = {"explore": explore}
    exec(text.split("\n\n")[0], scope)
    with pytest.raises((explore.Violation, explore.Breach, Exception)):
        scope["test_history"]()


# -- the flash of the explorer ---------------------------------------------------------------------


def session(reading=0, **changes):
    world = explore.WORLDS["ring4"]
    state = explore.starts(world, 1)[0]._replace(**changes)
    return world, explore.Session(world, state, reading)


def test_the_flash_takes_no_program_without_an_erase():
    world, it = session()
    used = len(it.flash.truth) * world.sector - world.sector
    with pytest.raises(explore.Breach, match="not erased"):
        it.flash.program(used, bytes(world.unit))
    it.flash.erase(used // world.sector)
    it.flash.program(used, bytes(world.unit))


def test_a_sector_whose_erase_was_cut_takes_no_program():
    world, it = session(weak=frozenset([9]))
    with pytest.raises(explore.Breach, match="erase was cut"):
        it.flash.program(9 * world.sector + 256, bytes(world.unit))


def test_a_marked_unit_reads_as_before_or_as_after():
    read = []
    for reading in (0, 1):
        world, it = session(reading, marks=((5120 - 4, b"\xff" * 4, b"abcd"),))
        buffer = bytearray(8)
        it.flash.read(5120 - 8, buffer)
        read.append(bytes(buffer[4:]))
        with pytest.raises(OSError):
            it.flash.program(5120 - 4, b"abcd")
    assert read == [b"\xff" * 4, b"abcd"]


def test_every_cut_of_a_put_is_a_state():
    world, it = session()
    it.start()
    it.run(("put",))
    names = [key[3] for key, _ in it.children]
    assert names[-1] == "off" and len({child.name() for _, child in it.children}) > 20
    for kind in ("nothing", "some bits", "either way", "bad or whole", "all"):
        assert any(kind in each for each in names), kind
    assert all(child.boots == 2 for _, child in it.children)


def test_what_was_promised_and_is_gone_is_a_violation():
    world = explore.WORLDS["ring4"]
    state = explore.starts(world, 1)[0]
    owed = state.owed._replace(seq=state.owed.seq + 1)
    with pytest.raises(explore.Violation, match="was acknowledged, but the log ends at"):
        explore.verify(world, state._replace(owed=owed))
    owed = state.owed._replace(head=bytes(32))
    with pytest.raises(explore.Violation, match="another chain head"):
        explore.verify(world, state._replace(owed=owed))


def test_the_frames_in_an_insert_are_whole_frames_of_this_log():
    world = explore.WORLDS["blocks2"]
    it = explore.Session(world, explore.starts(world, 1)[0], 0)
    it.do("frames")
    record = bytes(b"".join(it.flash.truth))
    meta = frames.frame(frames.BOOT, b"", 0, 0, 0)[:2]
    assert record.count(meta) > 1 and primitives.crc32
