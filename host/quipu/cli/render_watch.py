"""What a person sees of watch: a line for each frame, as log has them, and for each break of the link."""

from typing import Any

from quipu.cli.render import says
from quipu.text import plain

Data = dict[str, Any]


def line(data: Data) -> str:
    """Return a frame, or an event of the link, in one line."""
    event = data.get("event")
    if event == "lost":
        return plain(f"-- lost after seq {data['seq']}: {data['why']}")
    if event == "back":
        return f"-- back, going on after seq {data['seq']}"
    if event == "gap":
        return f"-- gap: seq {data['first']} to {data['last']} have left the board unseen"
    return f"{data['seq']:>6}  {data['tick'] / 1000:>10.3f}  {data['type']:<11}  {says(data)}"
