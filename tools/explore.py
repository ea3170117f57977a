"""Explores what power cuts and failing parts can do to a log, breadth first, with the real store:
histories, not samples.

    python tools/explore.py [--seconds N] [--jobs N] [--world NAME] [--break NAME] [--report FILE]
    [--walk SEED]

A state is what survives a power cut: the flash, with the units that read one way or the other, and
what the store owes. From each state a boot is made, every way the flash may read, and after it the
operations of each script; at every program and erase of those, every kind of cut (and failure, as
long as the history may have one) gives another state. Equal states are one. Each state is booted
and checked: nothing that was acknowledged, pulled or part of a snapshot is gone or changed, no
damage where only cuts happened, and once the faults end the log takes commands again. A failure
prints its shortest history as a test."""

import argparse
import json
import multiprocessing
import os
import sys
import time
from array import array
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "host")]

from tools.history import Fast, memo  # noqa: E402, I001  (before the kernel)
from shared_kernel import primitives  # noqa: E402
from tools.history.flash import WORLDS, Breach, Cut, Flash, Owed, State, Violation  # noqa: E402, F401
from tools.history.search import QUICK, STARTS, Explorer, Plan, as_test  # noqa: E402, F401
from tools.history.session import Session, Step, drain, follow, mount, readings, rotten, verify  # noqa: E402, F401
from tools.history.starts import starts  # noqa: E402

REPORT = ROOT / "build" / "reports" / "explore.json"


def part(task):
    """Explore from some starts of a world, in a process of its own. Return what came of it, as
    plain things."""
    world, indices, seconds, fails, rots, fault, stop_at, seed = task
    from tests.faults import putback

    primitives.use(Fast)
    if fault:
        putback.put_back(putback.named(fault))
    memo.install(whole=not fault or putback.reads_before_the_end(fault))
    every = starts(WORLDS[world], STARTS)
    began = time.monotonic(), time.process_time()
    plan = putback.named(fault).plan if fault else None
    if plan:
        found = Explorer(world, every, stop_at=stop_at).search(plan, QUICK)
        indices = list(range(STARTS))
    else:
        found = Explorer(
            world, [every[i] for i in indices], fails, rots, stop_at, seed, 0.5 if fault else 0.3
        ).run(seconds)
    for kind, (what, start, history, after) in found.violations.items():
        found.violations[kind] = what, indices[start], history, after
    done = 0  # boots of which every state was gone on from
    while done < len(found.levels) and not found.levels[done]:
        done += 1
    return {
        "world": world,
        "starts": indices,
        "fails": fails,
        "rots": rots,
        "states": len(found.seen),
        "names": array("q", found.seen),
        "boots": found.by_boots,
        "cuts": found.by_cuts,
        "shapes": len(found.shapes),
        "readings": len(found.known),
        "sessions": found.sessions,
        "complete": done,
        "violations": found.violations,
        "seconds": time.monotonic() - began[0],
        "cpu_s": time.process_time() - began[1],
    }


def tasks(seconds, jobs, fault=None, stop_at=1, worlds=None):
    """Return the tasks that share so many seconds on so many processes: of each world some starts
    without failures, some with."""
    if fault:
        from tests.faults import putback

        each = putback.named(fault)
        return [
            (
                each.world,
                list(range(k, STARTS, jobs)),
                seconds,
                each.fails,
                each.rots,
                fault,
                stop_at,
                k,
            )
            for k in range(jobs)
        ]
    out = []
    for k, world in enumerate(worlds or WORLDS):
        out.append((world, list(range(0, STARTS, 2)), 0, 0, 0, None, stop_at, k))
        out.append((world, list(range(1, STARTS, 2)), 0, 1, 1, None, stop_at, k))
    share = seconds * jobs / len(out)
    return [each[:2] + (share,) + each[3:] for each in out]


def explore(seconds, jobs=2, fault=None, stop_at=1, worlds=None):
    """Explore for that long. Return the report, without the names of the states; "histories" has a
    test for each violation."""
    began = time.monotonic()
    todo = tasks(seconds, jobs, fault, stop_at, worlds)
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        parts = pool.map(part, todo, 1)
    report = {
        "states": 0,
        "boots": {},
        "cuts": {},
        "sessions": 0,
        "readings": 0,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_s": round(sum([each["cpu_s"] for each in parts]), 1),
        "fault": fault,
        "parts": [],
        "violations": [],
        "histories": [],
    }
    for world in sorted({each["world"] for each in parts}):
        report["states"] += len(
            set().union(*[each["names"] for each in parts if each["world"] == world])
        )
    for each in parts:
        del each["names"]
        for key in ("boots", "cuts"):
            for n, count in each[key].items():
                report[key][n] = report[key].get(n, 0) + count
            each[key] = dict(sorted(each[key].items()))
        report["sessions"] += each["sessions"]
        report["readings"] += each["readings"]
        for what, start, history, after in each.pop("violations").values():
            report["violations"].append(
                {"what": what, "world": each["world"], "after": after, "boots": len(history)}
            )
            report["histories"].append(as_test(each["world"], start, history, what, fault))
        report["parts"].append(each)
    for key in ("boots", "cuts"):
        report[key] = dict(sorted(report[key].items()))
    report["a_second"] = round(report["states"] / report["seconds"])
    report["a_cpu_second"] = round(report["states"] / max(0.1, report["cpu_s"]))
    return report


def hold(name):
    """Search the plan of a fault without the fault. Return (its name, number of states, {kind:
    violation})."""
    from tests.faults import putback

    primitives.use(Fast)
    memo.install()
    each = putback.named(name)
    found = Explorer(each.world, starts(WORLDS[each.world], STARTS)).search(each.plan)
    return name, len(found.seen), found.violations


def plans_hold(jobs=2):
    """Search all plans, whole, with the store as it is: return what `hold` says of each."""
    from tests.faults import putback

    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        return pool.map(hold, [each.name for each in putback.FAULTS if each.plan], 1)


def put_back_all(seconds, jobs=2, only=None):
    """Put each fault back and explore until it is found: its plan, or without one so many seconds
    at most. Return {name: what came of it}. seconds: 0: only those with a plan."""
    from tests.faults import putback

    found = {}
    todo = [
        each for each in putback.FAULTS if each.plan or seconds if only is None or each.name in only
    ]
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        parts = pool.imap(
            part,
            [
                (each.world, list(range(STARTS)), seconds, each.fails, each.rots, each.name, 1, 0)
                for each in todo
            ],
            1,
        )
        for each, done in zip(todo, parts):
            first = next(iter(done["violations"].values()), None)
            found[each.name] = {
                "rule": each.rule,
                "world": each.world,
                "states": done["states"],
                "cpu_s": round(done["cpu_s"], 1),
                "after": first[3] if first else None,
                "found": first[0] if first else None,
                "boots": len(first[2]) if first else None,
                "expected": each.finds,
                "why_not": each.why or None,
                "history": as_test(each.world, *first[1:3], first[0], each.name) if first else None,
            }
            print(
                "%-32s %s"
                % (
                    each.name,
                    "after %d states, %d boots: %s" % (first[3], len(first[2]), first[0][:90])
                    if first
                    else "NOT FOUND in %d states%s"
                    % (done["states"], ": " + each.why if each.why else ""),
                ),
                flush=True,
            )
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description="Every history of cuts and failures, as deep as the time allows."
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--world", choices=sorted(WORLDS), action="append")
    parser.add_argument(
        "--break",
        dest="fault",
        help="with that fault of tests/faults/putback.py put back: then a failure must be found",
    )
    parser.add_argument(
        "--faults",
        type=float,
        metavar="SECONDS",
        help="put back each fault, and look for it that long",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="put back the faults that have a plan only; search all plans without a fault, too",
    )
    parser.add_argument(
        "--all", action="store_true", help="go on after the first violation of a part, for others"
    )
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args(arguments)
    report = {}
    if options.seconds:
        report = explore(
            options.seconds, options.jobs, options.fault, 50 if options.all else 1, options.world
        )
        for each in report["parts"]:
            print(
                "%(world)s, %(fails)d failures, %(rots)d flips: %(states)d states, %(sessions)d "
                "boots gone on from, %(shapes)d shapes; "
                "states by boots %(boots)s, by cuts %(cuts)s" % each
            )
        for text, each in zip(report["histories"], report["violations"]):
            print("\n# after %d states\n%s\n" % (each["after"], text))
        print(
            "%s: %d states in %.0f s, %d a second (%d a second of CPU)"
            % (
                "VIOLATED" if report["violations"] else "HELD",
                report["states"],
                report["seconds"],
                report["a_second"],
                report["a_cpu_second"],
            )
        )
    if options.faults or options.quick:
        report["faults"] = put_back_all(0 if options.quick else options.faults, options.jobs)
    if options.quick:
        report["plans"] = {
            name: {"states": states, "violations": [each[0] for each in found.values()]}
            for name, states, found in plans_hold(options.jobs)
        }
    options.report.parent.mkdir(parents=True, exist_ok=True)
    aside = options.report.with_name(options.report.name + ".new")
    aside.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(aside, options.report)
    missed = [
        name
        for name, each in report.get("faults", {}).items()
        if each["expected"] and not each["found"]
    ]
    if missed:
        print("not found: %s" % ", ".join(missed))
    return 1 if missed or report.get("violations") and not options.fault else 0


if __name__ == "__main__":
    sys.exit(main())
