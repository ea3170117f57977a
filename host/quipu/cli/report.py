"""The verb report: an archive as one HTML page. Handlers as in board.py."""

import json
from pathlib import Path
from typing import Any

from quipu import errors
from quipu.formats import page as report_page
from quipu.formats import report

Data = dict[str, Any]


def write(source: str | None, archive: str | None, output: str, wear: str | None) -> Data:
    """Write a page about an archive: verdict, frames over time, keys, wear, graph.

    One HTML file that needs nothing else: no script, no network. Exit code as that of verify.

    \b
    Example:
      quipu report data/watch -o report.html
      quipu flash-map /dev/ttyACM0 --json > map.json
      quipu report data/watch -o report.html --wear map.json
    """
    if (source is None) == (archive is None):
        raise errors.UsageError("name the archive, once: quipu report DIR -o report.html")
    data = report.collect(source or archive or "", _map(Path(wear)) if wear else None)
    Path(output).write_text(report_page.page(data), encoding="utf-8")
    return {"output": output, "bytes": Path(output).stat().st_size, "verdict": data["verdict"]["verdict"],
            "exit_code": data["verdict"]["exit_code"]}


def _map(path: Path) -> Data:
    """Return a flash map as `quipu flash-map --json` printed it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for row in found["sectors"]:
            if not isinstance(row["state"], str) or not isinstance(row["erases"], int | None):
                raise TypeError
    except (ValueError, KeyError, TypeError):
        raise errors.UsageError(f"{path} is no flash map: expected what `quipu flash-map --json` prints") from None
    data: Data = found
    return data


def said(data: Data) -> str:
    """Return what a person sees of it."""
    return f"{data['verdict']}: {data['output']}, {data['bytes']} bytes"
