"""What a person sees of export, import and valori. Like render.py, for 80 columns."""

from typing import Any

from rich.console import RenderableType

from quipu.cli.render import pairs
from quipu.text import count

Data = dict[str, Any]


def moved(data: Data) -> RenderableType:
    """Return how much went where, both states' hashes, and what could not be carried, a line each."""
    where = data.get("output") or data["input"]
    rows: list[tuple[str, Any]] = [(data["format"], f"{count(data['count'], data['what'])} {'to' if 'output' in data else 'from'} {where}"),
                                   ("Quipu root", data["root"]), ("Valori hash", data.get("valori_hash"))]
    rows += [("not carried", each) for each in data.get("left", ())]
    return pairs(rows)


def valori(data: Data) -> RenderableType:
    if data["kind"] == "event log":
        return pairs([("event log", f"every entry fits: {data['entries']} of them"), ("chain head", data["head"])])
    counts = ", ".join(f"{n} {what}" for what, n in data["counts"].items())
    return pairs([("snapshot", f"of dimension {data['dim']}, after {data['version']} changes"), ("holds", counts),
                  ("Valori hash", data["valori_hash"])] + [("not carried", each) for each in data["left"]])
