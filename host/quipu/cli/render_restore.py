"""What a person sees of restore and migrate. Like render.py, for 80 columns."""

from typing import Any

from rich.console import RenderableType

from quipu.cli.render import pairs
from quipu.text import size
from shared_kernel.config import CONFIG_NAMES

Data = dict[str, Any]


def restored(data: Data) -> RenderableType:
    """Return what the board goes on from, and the root that it proved."""
    config = data.get("config")
    return pairs([
        ("board", data["board"]),
        ("restored", "already; nothing was sent" if data["already"] else f"{size(data['bytes'])} of state"),
        ("capacities", ", ".join(f"{name} {config[name]}" for name in CONFIG_NAMES) if config else None),
        ("from", f"{data['from_board']}, seq {data['seq']}, of {data['archive']}"),
        ("its log", data["origin"]),
        ("chain head", data["head"]),
        ("new log", data["log"]),
        ("state root", data["root"]),
    ])
