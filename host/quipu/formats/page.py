"""A report as one HTML page that needs nothing else: no script, no network. Pictures are SVG; looks
only, no facts.

Nothing is told by colour alone: every row and line has its name beside it, lines differ in their
dashes, gaps and worn sectors are hatched or numbered. Light or dark follows the reader's system.
"""

import html
import math
from typing import Any

from quipu.text import moment, octets, size

Data = dict[str, Any]

# of a picture, in its own units: room for names before it and for numbers after it
_WIDTH, _LEFT, _RIGHT = 960, 120, 100
_PLOT = _WIDTH - _LEFT - _RIGHT
_ROW = 26
_DASHES = {"records": "", "nodes": "7 4", "edges": "2 3", "keys": "10 3 2 3"}
_MEANS = {
    "match": "every frame, link and checkpoint agrees with the replay",
    "gap": "frames are missing; all others agree",
    "empty": "no frame is here yet, so nothing was compared",
    "mismatch": "what the archive says is not what its frames lead to",
}
_SIGNS = {"match": "\u2713", "gap": "\u2026", "empty": "\u2205", "mismatch": "\u2717"}
_BOOTS = 40  # that the table names

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1a1a1a; --soft: #595959; --line: #c8c8c8; --mark: #005a9c; --bad: #9c3a00; }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181b; --text: #ececec; --soft: #b0b4ba; --line: #474c53; --mark: #7cc4ff; --bad: #ffab70; } }
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 64rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.verdict { border: 2px solid var(--mark); border-radius: 6px; padding: .6rem 1rem; font-size: 1.1rem; }
.verdict.gap { border-style: dashed; } .verdict.mismatch { border: 5px double var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; } code, dd.hash { font-family: ui-monospace, monospace; font-size: .85em; }
.wide { overflow-x: auto; } .wide svg { display: block; min-width: 720px; width: 100%; height: auto; }
.wide svg.square { min-width: 0; max-width: 640px; }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; stroke: var(--back); stroke-width: 3px; paint-order: stroke; }
svg .soft { fill: var(--soft); } svg .small { font-size: 11px; }
svg .axis { stroke: var(--line); fill: none; } svg .bar { fill: var(--mark); }
svg .stroke { stroke: var(--mark); fill: none; stroke-width: 2; }
svg .boot { stroke: var(--bad); stroke-dasharray: 3 3; } svg .hatch { stroke: var(--bad); }
svg .node { fill: var(--back); stroke: var(--text); }
svg .area { fill: var(--mark); opacity: .25; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } td, th { padding: .15rem .9rem .15rem 0; text-align: left; }
th { color: var(--soft); font-weight: normal; border-bottom: 1px solid var(--line); } td.n, th.n { text-align: right; }
p.note { color: var(--soft); }
"""


def page(data: Data) -> str:
    """Return the page of a report (report.collect)."""
    verdict = data["verdict"]
    kind = verdict["verdict"]
    title = f"Report on {data['board']}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="verdict {_text(kind)}"><strong>{_SIGNS[kind]} {_text(kind)}</strong>: '
        f"{_MEANS[kind]}</p>",
    ]
    if verdict["first_divergence"]:
        it = verdict["first_divergence"]
        parts.append(
            f"<p>At seq {it['seq']}: {_text(it['what'])}: expected {_text(it['expected'])}, found "
            f"{_text(it['found'])}.</p>"
        )
    if data["damage"]:
        parts.append(f"<p>The pictures end before what is wrong: {_text(data['damage'])}.</p>")
    frames = sum(map(sum, data["types"].values()))
    facts = [
        ("archive", data["archive"]),
        ("frames", f"{frames}, seq {data['first']} to {data['last']}, {size(data['bytes'])}"),
        ("checkpoints", verdict["checkpoints"]),
        ("snapshots", verdict["snapshots"]),
        ("boots", verdict["boots"]),
        ("missing", ", ".join(f"seq {low} to {high}" for low, high in data["gaps"]) or "nothing"),
        ("log", data["log"]),
        ("chain head", verdict["chain_head"]),
        ("state root", verdict["state_root"]),
    ]
    parts.append(
        "<dl>"
        + "".join(
            f"<dt>{name}</dt><dd{' class=hash' if name in ('log', 'chain head', 'state root') else ''}>"
            f"{_text(value)}</dd>"
            for name, value in facts
            if value is not None
        )
        + "</dl>"
    )
    for heading, body in (
        ("Frames by type", _timeline(data)),
        ("Start-ups", _boots(data)),
        ("What the state held", _sizes(data)),
        ("Keys with numbers", _keys(data)),
        ("Wear of the flash", _wear(data["wear"])),
        ("Graph", _graph(data["state"])),
    ):
        parts.append(f"<h2>{heading}</h2>{body}")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
        "'unsafe-inline'\">"
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _picture(label: str, height: float, parts: list[str], width: int = _WIDTH) -> str:
    """Return an SVG in a box that scrolls where the screen is narrower. label: what a screen reader
    says of it."""
    hatch = (
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)">'
        '<line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>'
    )
    kind = "plain" if width == _WIDTH else "square"
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{_text(label)}"><svg '
        f'class="{kind}" viewBox="0 0 {width} '
        f'{height:g}" role="img" aria-label="{_text(label)}">{hatch}{"".join(parts)}</svg></div>'
    )


def _at(text: object, x: float, y: float, anchor: str = "start", kind: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{_text(text)}</text>'
    )


def _x(data: Data, seq: float) -> float:
    x: float = _LEFT + _PLOT * (seq - data["first"]) / max(1, data["last"] - data["first"] + 1)
    return x


def _below(data: Data, y: float) -> list[str]:
    """Return the axis of a picture: seqs, and the wall times that are known."""
    out = [
        f'<line class="axis" x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{y}" y2="{y}"/>',
        _at("seq", _LEFT - 10, y + 16, "end", "soft"),
    ]
    for i, each in enumerate(data["times"]):
        x = _x(data, each["seq"])
        anchor = "start" if i == 0 else "end" if x > _LEFT + 0.9 * _PLOT else "middle"
        out.append(_at(each["seq"], x, y + 16, anchor, "soft"))
        if each["unix_ms"] is not None:
            out.append(_at(moment(each["unix_ms"])[:16], x, y + 32, anchor, "soft"))
    return out


def _marks(data: Data, height: float) -> list[str]:
    """Return the gaps, hatched, and a dashed line for each start-up."""
    out = []
    for low, high in data["gaps"]:
        left, right = _x(data, max(low, data["first"])), _x(data, high + 1)
        if right > left:
            out.append(
                f'<rect x="{left:.1f}" y="16" width="{right - left:.1f}" height="{height - 16}" '
                f'fill="url(#hatch)"/>' + _at("gap", (left + right) / 2, 12, "middle")
            )
    beside = -math.inf
    for each in data["boots"]:
        x = _x(data, each["seq"])
        out.append(f'<line class="boot" x1="{x:.1f}" x2="{x:.1f}" y1="16" y2="{height}"/>')
        if x - beside > 60:  # no name over another
            out.append(_at(f"boot {each['boot']}", x, 12, "middle"))
            beside = x
    return out


def _timeline(data: Data) -> str:
    """Return a row for each type of frame: bars of how many a part of the log has."""
    rows = sorted(data["types"].items(), key=lambda pair: -sum(pair[1]))
    wide = _PLOT / data["bins"]
    height = 24 + _ROW * len(rows)
    out = []
    for i, (name, counts) in enumerate(rows):
        base = 24 + _ROW * (i + 1) - 4
        out.append(
            _at(name, _LEFT - 10, base - 3, "end") + _at(sum(counts), _LEFT + _PLOT + 10, base - 3)
        )
        out.append(
            f'<line class="axis" x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{base}" y2="{base}"/>'
        )
        top = max(counts)
        for at, count in enumerate(counts):
            if count:
                tall = max(2.0, (_ROW - 8) * count / top)
                out.append(
                    f'<rect class="bar" x="{_LEFT + at * wide:.1f}" y="{base - tall:.1f}" '
                    f'width="{max(1.0, wide - 0.8):.1f}" '
                    f'height="{tall:.1f}"/>'
                )
    return _picture(
        f"Frames of {len(rows)} types over the log",
        height + 40,
        [*out, *_marks(data, height), *_below(data, height)],
    ) + _note(
        "Bars of a row are as high as its own busiest part; the number after a row is how many "
        "there are."
    )


def _boots(data: Data) -> str:
    # The start-up that wrote the genesis has no boot frame; verify counts it too.
    genesis = [{"boot": 0, "seq": 0, "skipped": 0}] if data["first"] == 0 else []
    boots = genesis + data["boots"]
    if not boots:
        return _note("none in these frames")
    rows = "".join(
        f'<tr><td class="n">{each["boot"]}</td><td class="n">{each["seq"]}</td><td '
        f'class="n">{each["skipped"] or "-"}</td></tr>'
        for each in boots[-_BOOTS:]
    )
    left = len(boots) - _BOOTS
    return (
        '<table><tr><th class="n">start-up</th><th class="n">seq</th><th class="n">bytes that a '
        "power cut left</th></tr>"
        f"{rows}</table>" + (_note(f"{left} earlier ones are not listed") if left > 0 else "")
    )


def _sizes(data: Data) -> str:
    known = [each for each in data["sizes"] if each["counts"]]
    if not known:
        return _note("no state is known in these frames")
    top = max(max(each["counts"].values()) for each in known) or 1
    tall, base = 180.0, 204.0
    out = [
        _at(top, _LEFT - 10, base - tall + 5, "end", "soft"),
        _at(0, _LEFT - 10, base, "end", "soft"),
    ]
    ends = []
    for pool, dashes in _DASHES.items():
        runs: list[list[str]] = [[]]
        y = base
        for each in data["sizes"]:
            if each["counts"] is None:
                runs.append([])
                continue
            y = base - tall * each["counts"][pool] / top
            runs[-1].append(f"{_x(data, each['seq'] + 1):.1f},{y:.1f}")
        out += [
            f'<polyline class="stroke" stroke-dasharray="{dashes}" points="{" ".join(run)}"/>'
            for run in runs
            if run
        ]
        ends.append((y, f"{known[-1]['counts'][pool]} {pool}"))
    floor = math.inf
    for y, label in sorted(ends, reverse=True):  # names at the ends of the lines, none over another
        floor = min(y + 4, floor - 16)
        out.append(_at(label, _LEFT + _PLOT + 10, floor))
    legend = "".join(
        f'<line class="stroke" stroke-dasharray="{dashes}" x1="{x}" x2="{x + 50}" y1="264" '
        f'y2="264"/>' + _at(pool, x + 60, 268)
        for x, (pool, dashes) in zip(range(_LEFT, _WIDTH, 170), _DASHES.items())
    )
    return _picture(
        "How many records, nodes, edges and keys the state held",
        280,
        [*out, legend, *_marks(data, base), *_below(data, base)],
    )


def _keys(data: Data) -> str:
    if not data["keys"]:
        return _note("no key had a number as its value")
    out = []
    tall, base = 90.0, 114.0
    for key in data["keys"]:
        bins = sorted(key["bins"].items())
        low, high = min(low for _, (low, _, _) in bins), max(high for _, (_, high, _) in bins)
        span = high - low or 1.0
        wide = _PLOT / data["bins"]

        def y(value: float, low: float = low, scale: float = tall / span) -> float:
            return base - scale * (value - low)

        line, shadow = [], []
        for at, (least, most, last) in bins:
            x = _LEFT + (at + 0.5) * wide
            line.append(f"{x:.1f},{y(last):.1f}")
            if most > least:
                shadow.append(
                    f'<rect class="area" x="{x - wide / 2:.1f}" y="{y(most):.1f}" '
                    f'width="{wide:.1f}" '
                    f'height="{y(least) - y(most):.1f}"/>'
                )
        name = octets(key, "name")
        dot = (
            ""
            if len(line) > 1
            else f'<circle class="bar" r="4" cx="{line[0].split(",")[0]}" '
            f'cy="{line[0].split(",")[1]}"/>'
        )
        picture = [
            *shadow,
            f'<polyline class="stroke" points="{" ".join(line)}"/>',
            dot,
            _at(f"{high:g}", _LEFT - 10, base - tall + 5, "end", "soft"),
            _at(f"{low:g}", _LEFT - 10, base, "end", "soft"),
            _at(f"{bins[-1][1][2]:g} last", _LEFT + _PLOT + 10, y(bins[-1][1][2]) + 4),
        ]
        out.append(
            f"<h3>{_text(name)}</h3>"
            + _picture(
                f"Key {name}, {key['writes']} writes, from {low:g} to {high:g}",
                base + 40,
                [*picture, *_marks(data, base), *_below(data, base)],
            )
        )
    told = "The line is the last value of each part of the log; the shade, from its lowest to its highest."
    left = data["keys_left"] + data["names_left"]
    return "".join(out) + _note(told + (f" {left} more keys are not drawn." if left else ""))


def _wear(wear: Data | None) -> str:
    """Return a cell for each sector, with its erases as a number, and hatched the more it has of
    them."""
    if wear is None:
        return _note(
            "unknown: an archive does not say which sectors its frames lay in. Give what `quipu "
            "flash-map --json` printed "
            "with --wear."
        )
    rows = wear["sectors"]
    most = max((row["erases"] or 0 for row in rows), default=0) or 1
    across, cell = 16, _WIDTH / 16
    out = []
    for i, row in enumerate(rows):
        x, y = cell * (i % across), 40.0 * (i // across)
        share = (row["erases"] or 0) / most
        out.append(
            f'<rect class="axis" x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2:.1f}" '
            f'height="38"/>'
            f'<rect class="area" x="{x + 1:.1f}" y="{y + 39 - 38 * share:.1f}" '
            f'width="{cell - 2:.1f}" height="{38 * share:.1f}"/>'
            + _at("?" if row["erases"] is None else row["erases"], x + cell / 2, y + 17, "middle")
            + _at(row["state"], x + cell / 2, y + 33, "middle", "soft small")
        )
    return _picture(
        f"Erases of {len(rows)} sectors, at most {most}", 40.0 * math.ceil(len(rows) / across), out
    ) + _note(
        "A cell is a sector: how often it was erased, and what it holds; filled up to its share "
        "of the most erases. "
        "?: no erase record is left."
    )


def _graph(state: Data | None) -> str:
    """Return the nodes on a circle, by id, and their edges as arrows."""
    if not state or not state["nodes"]:
        return _note("no nodes" if state else "no state is known at the end of these frames")
    from quipu.formats.report import NODES

    nodes = state["nodes"][:NODES]
    middle, radius = 320, 260
    place = {}
    for i, each in enumerate(nodes):
        turn = 2 * math.pi * i / len(nodes) - math.pi / 2
        place[each["id"]] = (middle + radius * math.cos(turn), middle + radius * math.sin(turn))
    out = [
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto">'
        '<path class="bar" d="M0 0L8 4L0 8z"/></marker></defs>'
    ]
    r = 20 if len(nodes) <= 30 else 12
    drawn = 0
    for each in state["edges"]:
        if each["from"] not in place or each["to"] not in place:
            continue
        drawn += 1
        (ax, ay), (bx, by) = place[each["from"]], place[each["to"]]
        if each["from"] == each["to"]:
            out.append(
                f'<path class="stroke" marker-end="url(#arrow)" d="M{ax - r * 0.5:.1f} '
                f"{ay - r * 0.9:.1f}c-20 -34 40 -34 "
                f'{r:.1f} 0"/>'
            )
            continue
        far = math.hypot(bx - ax, by - ay) or 1.0
        ux, uy = (bx - ax) / far, (by - ay) / far
        # bent to one side, so that an edge back does not hide it
        cx, cy = (ax + bx) / 2 - uy * 24, (ay + by) / 2 + ux * 24
        end = math.hypot(bx - cx, by - cy) or 1.0
        ex, ey = bx - (bx - cx) / end * r, by - (by - cy) / end * r
        out.append(
            f'<path class="stroke" marker-end="url(#arrow)" d="M{ax:.1f} {ay:.1f}Q{cx:.1f} '
            f'{cy:.1f} {ex:.1f} {ey:.1f}"/>'
        )
        out.append(_at(each["kind"], cx, cy, "middle", "soft"))
    for each in nodes:
        x, y = place[each["id"]]
        out.append(
            f'<circle class="node" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
            + _at(each["id"], x, y + 4, "middle")
        )
        if len(nodes) <= 30:
            record = f", record {each['record']}" if each["record"] else ""
            out.append(_at(f"kind {each['kind']}{record}", x, y + r + 15, "middle", "soft"))
    left = len(state["nodes"]) - len(nodes)
    told = "A circle is a node with its id, an arrow an edge with its kind."
    return _picture(
        f"Graph of {len(nodes)} nodes and {drawn} edges", 2 * middle + 20, out, 2 * middle
    ) + _note(told + (f" {left} nodes with higher ids are not drawn." if left else ""))
