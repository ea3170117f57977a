"""What the pictures of a report's page are made of: their sizes, texts, axis, and the marks that all of
them bear. Knows no archive.

A picture is drawn on two sheets, for a desk and for a telephone: scaled down, text would be too small.
"""

import html
import math
from typing import Any, NamedTuple

from quipu.text import moment

Data = dict[str, Any]


class Sheet(NamedTuple):
    """How large a picture is, in its own units. name: its class on the page; left, right: room for
    names before it and for numbers after it; ticks: every so-manieth is named; apart: names of marks
    are, at least; across: sectors in a row; radius: of the graph's circle."""

    name: str
    width: int
    left: int
    right: int
    ticks: int
    apart: int
    across: int
    radius: int

    @property
    def plot(self) -> int:
        """The width of what is between names and numbers."""
        return self.width - self.left - self.right


BROAD = Sheet("broad", 960, 120, 124, 1, 60, 16, 260)
NARROW = Sheet("narrow", 380, 88, 100, 4, 60, 5, 140)


def text(value: object) -> str:
    """Return a value as text of a page."""
    return html.escape(str(value))


def note(what: str) -> str:
    """Return a sentence below a picture, or in its place."""
    return f'<p class="note">{text(what)}</p>'


def picture(name: str, height: float, parts: list[str], sheet: Sheet, square: bool = False) -> str:
    """Return an SVG. name: what a screen reader says of it."""
    hatch = (
        f'<defs><pattern id="hatch-{sheet.name}" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)">'
        '<line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>'
    )
    width = height if square else sheet.width
    return (
        f'<svg class="{"square" if square else "plain"}" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-label="{text(name)}">{hatch}{"".join(parts)}</svg>'
    )


def label(what: object, x: float, y: float, anchor: str = "start", kind: str = "") -> str:
    """Return a text of a picture."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{text(what)}</text>'
    )


def x_of(data: Data, at: float, sheet: Sheet) -> float:
    """Return where a place of the axis is in a picture."""
    share: float = (at - data["low"]) / max(1, data["high"] - data["low"])
    return sheet.left + sheet.plot * share


def axis(data: Data, y: float, sheet: Sheet) -> list[str]:
    """Return the axis of a picture: times and dates, or seqs and the wall times that are known."""
    left, right = sheet.left, sheet.left + sheet.plot
    out = [f'<line class="axis" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>']
    out.append(label("UTC" if data["axis"] == "time" else "seq", left - 10, y + 16, "end", "soft"))
    ticks = data["ticks"][:: sheet.ticks]
    more = ""
    for i, each in enumerate(ticks):
        x = x_of(data, each["at"], sheet)
        last = i and i == len(ticks) - 1
        anchor = "start" if i == 0 else "end" if last else "middle"
        out.append(label(each["label"], x, y + 16, anchor, "soft"))
        if each["more"] != more or data["axis"] == "seq":
            more = each["more"]
            out.append(label(more, x, y + 32, anchor, "soft"))
    return out


def marks(data: Data, height: float, sheet: Sheet) -> list[str]:
    """Return the bands (gaps and outages, hatched), and a dashed line for each start-up."""
    out = []
    for each in data["bands"]:
        left, right = x_of(data, each["from"], sheet), x_of(data, each["to"], sheet)
        out.append(
            f'<rect class="{each["kind"]}" x="{left:.1f}" y="16" width="{max(2.0, right - left):.1f}" '
            f'height="{height - 16}" fill="url(#hatch-{sheet.name})"><title>'
            f"{text(each['label'])}: {_span(data, each)}</title></rect>"
        )
        if right - left > 30:
            out.append(label(each["label"], (left + right) / 2, 30, "middle"))
    beside = -math.inf
    for each in data["boots"]:
        x = x_of(data, each["at"], sheet)
        out.append(f'<line class="boot" x1="{x:.1f}" x2="{x:.1f}" y1="16" y2="{height}"/>')
        if x - beside > sheet.apart:  # no name over another
            out.append(label(f"boot {each['boot']}", min(x, sheet.width - 30), 12, "middle"))
            beside = x
    return out


def _span(data: Data, band: Data) -> str:
    if data["axis"] == "seq":
        return f"seq {band['from']} to {band['to'] - 1}"
    return f"{moment(band['from'])[:19]} to {moment(band['to'])[:19]}"
