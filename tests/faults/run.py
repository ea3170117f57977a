"""Runs the proofs of the store: prints one table, and writes build/reports/faults.json.

    python tests/faults/run.py [--seeds N] [--jobs N] [--only SECTION] [--small] [--kills N]
    [--break NAME] [--report FILE]
    python tests/faults/run.py --cut GEOMETRY:SEED:INDEX:STEP      one cut again, as a failure line names it

--small: one case in many, of each kind, and no kills. --break: with that breakage of
test_breakages.py in the store; then some section must fail. Exit code 1 unless every case of every
section is survived; 2 for a cut that does not exist. Makes no cases
itself: sweep.py, damage.py, test_breakages.py and qemu_kills.py do, and on_littlefs.py for a log in
    files.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "host")]

import pytest  # noqa: E402
from quipu.build import images  # noqa: E402

import tests.conftest  # noqa: E402, F401  (fast hashes)
from tests.faults import damage, sweep, test_breakages  # noqa: E402
from tests.faults.sweep import Failure, collected, failure  # noqa: E402
from tests.flashsim import PowerCut, SimulatorError  # noqa: E402

REPORT = ROOT / "build" / "reports" / "faults.json"
SECTIONS = (
    "power cuts",
    "files on littlefs",
    "bit flips",
    "bad sectors",
    "fault runs",
    "breakages",
    "kills of QEMU",
)
SEEDS = 4  # each with a mode of sweep.py
KILLS = 200
SHOWN = 20  # failures printed; the report has all


# -- cases: each returns its figures ("tried", "survived" and others) and a list of Failures -------


def fault_run(name):
    """A run of test_breakages.py on the store as it is."""
    failures = []
    with collected(failures, name):
        getattr(test_breakages, name)()
    return {"tried": 1, "survived": 1 - len(failures)}, failures


def breakage(name):
    """A breakage, and the run that must notice it."""
    broken, run = next(each for each in test_breakages.BREAKAGES if each[0].__name__ == name)
    noticed = []
    with pytest.MonkeyPatch.context() as patch, collected(noticed, name):
        broken(patch)
        run()
    if noticed:
        return {
            "tried": 1,
            "survived": 1,
            "noticed": {name: "%s: %s" % (run.__name__, noticed[0].what)},
        }, []
    return {"tried": 1, "survived": 0, "noticed": {name: None}}, [
        Failure("other", name, "%s does not notice it" % run.__name__)
    ]


def files(seed, cuts, *broken):
    """Cuts under a log in files, on MicroPython's own littlefs: one life of on_littlefs.py."""
    command = [
        str(images.unix_port()),
        "-X",
        "heapsize=64M",
        "tests/faults/on_littlefs.py",
        str(seed),
        "1",
        str(cuts),
        *broken,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    last = (done.stdout.strip().splitlines() or [""])[-1].split(None, 4)
    if done.returncode or len(last) < 4 or last[0] != str(seed):
        last = [
            seed,
            cuts,
            0,
            0,
            "MicroPython ended with %d: %s" % (done.returncode, (done.stdout + done.stderr)[-300:]),
        ]
    failures = [Failure("other", " ".join(command[3:]), last[4])] if len(last) > 4 else []
    return {"tried": int(last[1]), "survived": int(last[2]), "turns": int(last[3])}, failures


def kills(count, seed):
    """Kills of an emulated board. Return the figures, and the list of Failures."""
    from tests.faults import qemu_kills

    with tempfile.TemporaryDirectory() as folder:
        try:
            done = qemu_kills.kill(Path(folder), count, seed)
            first_seqs = {each[0] for each in done.rounds}
            assert count < 20 or len(first_seqs) > 3, "the log did not come round its ring"
        except Exception as e:
            return {"tried": count, "survived": 0}, [failure(e, "kills with seed %d" % seed)]
    return {
        "tried": count,
        "survived": count,
        "changes": len(done.witness.owed),
        "under_way_found": done.witness.found,
        "under_way_lost": done.witness.lost,
        "torn_tails": done.rounds[-1][3],
        "recycled_up_to_seq": done.rounds[-1][0],
        "slowest_start_s": round(max(done.boot_s), 2),
    }, []


# -- which cases -----------------------------------------------------------------------------------


def cases(options):
    """Return [(section, group within it or None, function, arguments)]; the longest first, so that
    no process waits for one."""
    small = options.small
    out = []
    geometries = [
        each for each in sweep.GEOMETRIES if not small or sweep.GEOMETRIES[each].sector < 16384
    ]
    for name in geometries:
        sampled = sweep.GEOMETRIES[name].sample
        parts = 1 if small else 2 if sampled else 8
        thin = 1 if not small else 50 if sampled else 150
        for seed in range(options.seeds):
            out += [
                ("power cuts", name, sweep.part, (name, seed, k, parts, thin)) for k in range(parts)
            ]
    out.sort(key=lambda each: -sweep.GEOMETRIES[each[1]].sector)
    if not options.broken:
        out += [
            ("files on littlefs", None, files, (seed, 15 if small else 200))
            for seed in range(1 if small else 2 * options.seeds)
        ]
    for name in damage.IMAGES:
        parts = 1 if small else 8
        out += [
            ("bit flips", name, damage.flips, (name, k, parts, 41 if small else 1))
            for k in range(parts)
        ]
    for sector in range(0, damage.SECTORS, 4 if small else 1):
        out += [
            ("bad sectors", None, damage.bad_sector, (sector, when))
            for when in ((30,) if small else (1, 12, 30, 57, 90))
        ]
    out += [("bad sectors", "worn out", damage.worn, (seed,)) for seed in range(1 if small else 12)]
    runs = sorted({run.__name__ for _, run in test_breakages.BREAKAGES})
    out += [
        ("fault runs", None, fault_run, (name,))
        for name in runs[:: 5 if small and not options.broken else 1]
    ]
    if not options.broken:
        names = [each.__name__ for each, _ in test_breakages.BREAKAGES]
        out += [("breakages", None, breakage, (name,)) for name in names[:: 9 if small else 1]]
    return [each for each in out if options.only in (None, each[0])]


def work(case):
    """Carry out one case in a process of the pool. Return (its section, group, figures, failures,
    seconds of CPU)."""
    section, group, function, arguments = case
    began = cpu()
    try:
        figures, failures = function(*arguments)
    except (Exception, SimulatorError, PowerCut) as e:
        # of the case itself: a life that does not hold what it must
        figures, failures = (
            {"tried": 1, "survived": 0},
            [failure(e, "%s%r" % (function.__name__, arguments))],
        )
    return section, group, figures, failures, cpu() - began


def cpu():
    """Return the seconds of CPU that this process and those that it started have taken."""
    return sum(os.times()[:4])


def begin(broken):
    """Prepare a process of the pool: with the breakage of that name, if any."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if broken:
        next(each for each, _ in test_breakages.BREAKAGES if each.__name__ == broken)(
            pytest.MonkeyPatch()
        )


# -- what came of them -----------------------------------------------------------------------------


def merge(into, figures):
    """Add figures to those so far: numbers are summed, tables merged, text kept; of turns the least
    is kept."""
    for key, value in figures.items():
        if isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        elif isinstance(value, int):
            into[key] = (
                min(into.get(key, value), value)
                if key in ("turns", "snapshots")
                else into.get(key, 0) + value
            )
        else:
            into[key] = value


def kinds(failures):
    return {
        kind: len([each for each in failures if each.kind == kind])
        for kind in ("lost_acked", "half_applied", "other")
    }


def report(results, options, seconds):
    """Return the whole report of the results of `work`."""
    sections, failed = {}, {}
    for section, group, figures, failures, cpu in results:
        here = sections.setdefault(section, {})
        merge(here, {each: figures[each] for each in ("tried", "survived")} if group else figures)
        if group:
            merge(here.setdefault("groups", {}).setdefault(group, {}), figures)
        here["cpu_s"] = here.get("cpu_s", 0.0) + cpu
        failed.setdefault(section, []).extend(failures)
    for section, here in sections.items():
        here.update(
            kinds(failed[section]),
            cpu_s=round(here["cpu_s"], 1),
            failures=[each._asdict() for each in failed[section]],
        )
    cuts = sections.get("power cuts", {"tried": 0, "survived": 0, "groups": {}})
    counted = kinds([each for section in failed.values() for each in section])
    geometries = [
        {
            "name": name,
            **sweep.GEOMETRIES[name]._asdict(),
            "exhaustive": not sweep.GEOMETRIES[name].sample and not options.small,
            **figures,
        }
        for name, figures in cuts["groups"].items()
    ]
    return {
        "cuts_tried": cuts["tried"],
        "cuts_survived": cuts["survived"],
        "lost_acked": counted["lost_acked"],
        "half_applied": counted["half_applied"],
        "other_failures": counted["other"],
        "seeds": list(range(options.seeds)),
        "modes": [sweep.mode(seed) for seed in range(options.seeds)],
        "geometries": geometries,
        "broken": options.broken,
        "small": options.small,
        "seconds": round(seconds, 1),
        "jobs": options.jobs,
        "sections": {each: sections[each] for each in SECTIONS if each in sections},
    }


def table(found):
    """Return the report as text: a line a section, and for the power cuts a line a geometry."""
    columns = ("section", "tried", "survived", "lost acked", "half applied", "other", "CPU s")
    rows = []
    for name, here in found["sections"].items():
        rows.append(
            (
                name,
                here["tried"],
                here["survived"],
                here["lost_acked"],
                here["half_applied"],
                here["other"],
                here["cpu_s"],
            )
        )
        for each in found["geometries"] if name == "power cuts" else ():
            what = "every cut" if each["exhaustive"] else "sample"
            name = "  %s, %s, %d turns" % (each["name"], what, each.get("turns", 0))
            rows.append((name, each["tried"], each["survived"], "", "", "", ""))
    lines = [[str(each) for each in row] for row in [columns] + rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        ).rstrip()
        for line in lines
    )


def again(cut):
    """Make one cut again and say what came of it; return the exit code."""
    try:
        print("%s: survived, with %d cuts" % (cut, sweep.one(cut)))
        return 0
    except ValueError as e:
        if "names no cut" not in str(e):
            raise
        print(e)
        return 2


def main(arguments=None):
    parser = argparse.ArgumentParser(description="The proofs of the store.")
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="lives of each geometry (%(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--only", choices=SECTIONS)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--kills", type=int, help="kills of QEMU (%d; 0 if small)" % KILLS)
    parser.add_argument("--cut", metavar="GEOMETRY:SEED:INDEX:STEP", help="make one cut again")
    parser.add_argument(
        "--break", dest="broken", choices=[each.__name__ for each, _ in test_breakages.BREAKAGES]
    )
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args(arguments)
    if options.cut:
        return again(options.cut)
    began = time.monotonic()
    todo = cases(options)
    results = []
    with multiprocessing.get_context("spawn").Pool(options.jobs, begin, (options.broken,)) as pool:
        for result in pool.imap_unordered(work, todo):
            results.append(result)
            if sys.stderr.isatty():
                print("\r%d of %d cases" % (len(results), len(todo)), end="", file=sys.stderr)
    count = options.kills if options.kills is not None else 0 if options.small else KILLS
    if count and options.only in (None, "kills of QEMU") and not options.broken:
        results.append(work(("kills of QEMU", None, kills, (count, 20))))
    found = report(results, options, time.monotonic() - began)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    aside = options.report.with_name(options.report.name + ".new")
    aside.write_text(json.dumps(found, indent=1) + "\n")
    os.replace(aside, options.report)
    print(table(found))
    failures = [
        (name, each) for name, here in found["sections"].items() for each in here["failures"]
    ]
    for name, each in failures[:SHOWN]:
        print("%s: %s: %s\n    %s" % (name, each["kind"], each["where"], each["what"]))
    if len(failures) > SHOWN:
        print("%d failures more in %s" % (len(failures) - SHOWN, options.report))
    good = not failures and all(
        here["tried"] == here["survived"] > 0 for here in found["sections"].values()
    )
    print(
        "%s: %d cases, %d of them power cuts, in %.0f s"
        % (
            "SURVIVED" if good else "FAILED",
            sum([here["tried"] for here in found["sections"].values()]),
            found["cuts_tried"],
            found["seconds"],
        )
    )
    return 0 if good and found["sections"] else 1


if __name__ == "__main__":
    sys.exit(main())
