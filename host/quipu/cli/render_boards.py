"""Text for what commands_boards.py returns."""

from typing import Any

from rich.console import Group, RenderableType

from quipu.cli import render
from quipu.text import count

Data = dict[str, Any]


def flashed(data: Data) -> RenderableType:
    if data["erased"]:
        return _erased(data["erased"])
    plan = data["plan"]
    would = "would be " if data["dry_run"] else ""
    rows = [("board", f"{plan['board']}: {plan['machine']}"), ("form", plan["form"]),
            (would + "written", f"{count(len(plan['write']), 'file')}, {plan['bytes']:,} bytes sent"),
            ("as they were", count(len(plan["keep"]), "file")),
            (would + "removed", ", ".join(plan["remove"]) or "nothing"),
            *([(would + "removed first", f"{count(len(plan['first']), 'old file')}, for want of room")] if plan["first"] else []),
            ("filesystem", f"{plan['need']:,} bytes needed, {plan['free']:,} free before")]
    if data["dry_run"]:
        return Group(render.pairs(rows), "\n".join("  " + path for path in plan["write"]))
    return Group(render.pairs(rows), render.info(data["info"]))


def _erased(gone: Data) -> RenderableType:
    if gone["log"] is None:
        return render.pairs([("erased", "a region that held no readable log"), ("which was", gone["damage"])])
    lost = f"{gone['nowhere']:,}, seq {gone['nowhere_first']} to {gone['nowhere_last']}" if gone["nowhere"] else "none"
    return render.pairs([("erased", f"log {gone['log']}"), ("board", gone["board"]),
                         ("frames", f"{gone['frames']:,}, seq {gone['first']} to {gone['last']}"), ("in no archive given", lost)])


def attached(data: Data) -> RenderableType:
    rows = [("board", data["board"]), ("log", data["log"]), ("archive", data["archive"]),
            ("frames", f"{data['frames']:,} added, {data['log_bytes']:,} bytes"),
            ("snapshots", ", ".join(map(str, data["snapshots"])) or "none"),
            ("missing", ", ".join(f"{first} to {last}" for first, last in data["missing"]) or "nothing"),
            ("damage", data["damage"] or "none")]
    return Group(render.pairs(rows), render.verdict(data["verdict"]))
