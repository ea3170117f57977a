"""Charts as SVG, readable on light and on dark paper: bars of ratios, and lines of growth on two
logarithmic scales. Draws only."""

import math
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

# One colour for each series, which stands out from both papers alike.
COLOURS = ("#178f7e", "#c2571a", "#5b6ee1", "#b04fa0", "#8a7a00", "#2f7fbf")
STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #222 } .title { font-size: 15px; font-weight: 600 } .axis { stroke: #999 }
  .quiet { fill: #666 } rect.paper { fill: #fff }
  @media (prefers-color-scheme: dark) { text { fill: #ddd } .quiet { fill: #999 } .axis { stroke: #666 } rect.paper { fill: #16181c } }
</style>"""


def number(value: float) -> str:
    """Return a number as a person reads it: three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """Return a time as a person reads it: three digits that count, in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= 0.9995 * size:  # what is rounded up to the unit is of it
            return f"{number(value / size)} {unit}"
    return f"{number(value / 1e-9)} ns"


def _page(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">\n'
        f'<title>{escape(title)}</title>\n{STYLE}\n<rect class="paper" width="{width}" '
        f'height="{height}"/>\n'
        f'<text class="title" x="16" y="26">{escape(title)}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def bars(
    title: str,
    unit: str,
    values: Sequence[tuple[str, float]],
    show: Callable[[float], str] = number,
) -> str:
    """Return bars, one a line; their lengths are logarithmic if the largest is over 50 times the
    smallest. show: a value as text."""
    if not values or min(value for _, value in values) <= 0:
        raise ValueError(f"{title}: bars need values above 0, not {values}")
    low, high = min(value for _, value in values), max(value for _, value in values)
    steep = high > 50 * low
    parts = [
        f'<text class="quiet" x="16" y="46">{escape(unit)}{", logarithmic" if steep else ""}</text>'
    ]
    for i, (name, value) in enumerate(values):
        share = (math.log(value / low * 2) / math.log(high / low * 2)) if steep else value / high
        y = 64 + 30 * i
        parts.append(
            f'<text x="16" y="{y + 15}">{escape(name)}</text>'
            f'<rect x="300" y="{y}" width="{max(1, 340 * share):.1f}" height="20" rx="2" '
            f'fill="{COLOURS[i % len(COLOURS)]}"/>'
            f'<text x="{308 + 340 * share:.1f}" y="{y + 15}">{escape(show(value))}</text>'
        )
    return _page(760, 76 + 30 * len(values), title, parts)


def lines(
    title: str,
    across: str,
    up: str,
    series: dict[str, Sequence[tuple[float, float]]],
    show: Callable[[float], str] = number,
) -> str:
    """Return lines of (x, y), both logarithmic, each with its name and its fitted exponent. show: a
    y as text."""
    points = [point for each in series.values() for point in each]
    if not points or min(min(point) for point in points) <= 0:
        raise ValueError(f"{title}: logarithmic scales need values above 0")
    x0, x1 = (
        rounded(math.log10(edge(x for x, _ in points)))
        for rounded, edge in ((math.floor, min), (math.ceil, max))
    )
    y0, y1 = (
        rounded(math.log10(edge(y for _, y in points)))
        for rounded, edge in ((math.floor, min), (math.ceil, max))
    )
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        return 80 + 440 * (math.log10(x) - x0) / (x1 - x0), 330 - 260 * (math.log10(y) - y0) / (
            y1 - y0
        )

    parts = [
        f'<text class="quiet" x="16" y="46">{escape(up)}, against {escape(across)}; both '
        f"logarithmic</text>"
    ]
    for power in range(x0, x1 + 1):
        x, _ = place(10.0**power, 10.0**y0)
        parts.append(
            f'<line class="axis" x1="{x:.1f}" y1="330" x2="{x:.1f}" y2="335"/>'
            f'<text class="quiet" x="{x:.1f}" y="352" text-anchor="middle">{10**power:,}</text>'
        )
    for power in range(y0, y1 + 1):
        _, y = place(10.0**x0, 10.0**power)
        parts.append(
            f'<line class="axis" x1="80" y1="{y:.1f}" x2="520" y2="{y:.1f}" stroke-opacity="0.35"/>'
            f'<text class="quiet" x="72" y="{y + 4:.1f}" '
            f'text-anchor="end">{escape(show(10.0**power))}</text>'
        )
    for i, (name, each) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        spots = [place(*point) for point in each]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in spots]
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
            f'<rect x="540" y="{70 + 24 * i}" width="12" height="12" fill="{colour}"/>'
            f'<text x="558" y="{81 + 24 * i}">{escape(name)}: n^{exponent(each):.2f}</text>'
        )
    return _page(820, 370, title, parts)


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Return b of y = a * x^b, fitted by least squares on logarithms."""
    if len(points) < 2:
        raise ValueError("an exponent needs two points")
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sum((x - mx) ** 2 for x in xs)
