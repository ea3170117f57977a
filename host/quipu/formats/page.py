"""A report as one HTML page that needs nothing else: no script, no network. Pictures are SVG; looks
only, no facts.

Nothing is told by colour alone: every row and line has its name beside it, lines differ in their
dashes, tags in their shapes, gaps and worn sectors are hatched or numbered. Light or dark follows the
reader's system. Each picture is drawn twice, for a desk and for a telephone, and shown once.
"""

import math
from collections.abc import Callable
from typing import Any

from quipu.formats import vectors
from quipu.formats.sheet import BROAD, NARROW, Sheet, axis, label, marks, note, picture, text, x_of
from quipu.text import octets, size

Data = dict[str, Any]


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
.broad svg, .narrow svg { display: block; width: 100%; height: auto; } .narrow { display: none; }
@media (max-width: 720px) { .broad { display: none; } .narrow { display: block; } body { padding: .7rem; } }
.broad svg.square { max-width: 640px; }
.key { display: inline-block; margin-right: 1.2rem; } .key svg { display: inline; width: 16px; height: 16px; vertical-align: middle; }
svg .dot { stroke: var(--mark); fill: none; stroke-width: 1.6; } svg .dot.full { fill: var(--mark); }
h1, h2, h3 { overflow-wrap: anywhere; }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; stroke: var(--back); stroke-width: 3px; paint-order: stroke; }
svg .soft { fill: var(--soft); } svg .small { font-size: 11px; }
svg .axis { stroke: var(--line); fill: none; } svg .bar { fill: var(--mark); }
svg .stroke { stroke: var(--mark); fill: none; stroke-width: 2; }
svg .boot { stroke: var(--bad); stroke-dasharray: 3 3; } svg .hatch { stroke: var(--bad); }
svg .node { fill: var(--back); stroke: var(--text); }
svg .area { fill: var(--mark); opacity: .25; } svg .heat { fill: var(--mark); }
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
        f"<h1>{text(title)}</h1>",
        f'<p class="verdict {text(kind)}"><strong>{_SIGNS[kind]} {text(kind)}</strong>: '
        f"{_MEANS[kind]}</p>",
    ]
    if verdict["first_divergence"]:
        it = verdict["first_divergence"]
        parts.append(
            f"<p>At seq {it['seq']}: {text(it['what'])}: expected {text(it['expected'])}, found "
            f"{text(it['found'])}.</p>"
        )
    if data["damage"]:
        parts.append(f"<p>The pictures end before what is wrong: {text(data['damage'])}.</p>")
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
            f"{text(value)}</dd>"
            for name, value in facts
            if value is not None
        )
        + "</dl>"
    )
    sections: tuple[tuple[str, Callable[[Data, Sheet], str]], ...] = (
        ("Frames by type", _timeline),
        ("What the state held", _sizes),
        ("Keys with numbers", _keys),
        ("Records over time, by tag", vectors.heat),
        ("Records, the nearer the more alike", vectors.projection),
        ("Wear of the flash", _wear),
        ("Graph", _graph),
    )
    for heading, draw in sections:
        parts.append(f"<h2>{heading}</h2>{both(data, draw)}")
        if draw is _timeline:
            parts.append(f"<h2>Start-ups</h2>{_boots(data)}")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
        "'unsafe-inline'\">"
        f"<title>{text(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def both(data: Data, draw: Callable[[Data, Sheet], str]) -> str:
    """Return a part of the page for a desk and for a telephone, of which one is shown."""
    broad, narrow = draw(data, BROAD), draw(data, NARROW)
    if broad == narrow:  # a sentence
        return broad
    return f'<div class="broad">{broad}</div><div class="narrow">{narrow}</div>'


def _timeline(data: Data, sheet: Sheet) -> str:
    """Return a row for each type of frame: bars of how many a part of the log has."""
    rows = sorted(data["types"].items(), key=lambda pair: -sum(pair[1]))
    wide = sheet.plot / data["bins"]
    height = 24 + _ROW * len(rows)
    out = []
    for i, (name, counts) in enumerate(rows):
        base = 24 + _ROW * (i + 1) - 4
        out.append(
            label(name, sheet.left - 10, base - 3, "end")
            + label(sum(counts), sheet.left + sheet.plot + 10, base - 3)
        )
        out.append(
            f'<line class="axis" x1="{sheet.left}" x2="{sheet.left + sheet.plot}" y1="{base}" y2="{base}"/>'
        )
        top = max(counts)
        for at, count in enumerate(counts):
            if count:
                tall = max(2.0, (_ROW - 8) * count / top)
                out.append(
                    f'<rect class="bar" x="{sheet.left + at * wide:.1f}" y="{base - tall:.1f}" '
                    f'width="{max(1.0, wide - 0.8):.1f}" '
                    f'height="{tall:.1f}"/>'
                )
    return picture(
        f"Frames of {len(rows)} types over the log",
        height + 40,
        [*out, *marks(data, height, sheet), *axis(data, height, sheet)],
        sheet,
    ) + note(
        "Bars of a row are as high as its own busiest part; the number after a row is how many "
        "there are."
    )


def _boots(data: Data) -> str:
    # The start-up that wrote the genesis has no boot frame; verify counts it too.
    genesis = [{"boot": 0, "seq": 0, "skipped": 0}] if data["first"] == 0 else []
    boots = genesis + data["boots"]
    if not boots:
        return note("none in these frames")
    rows = "".join(
        f'<tr><td class="n">{each["boot"]}</td><td class="n">{each["seq"]}</td><td '
        f'class="n">{each["skipped"] or "-"}</td></tr>'
        for each in boots[-_BOOTS:]
    )
    left = len(boots) - _BOOTS
    return (
        '<table><tr><th class="n">start-up</th><th class="n">seq</th><th class="n">bytes that a '
        "power cut left</th></tr>"
        f"{rows}</table>" + (note(f"{left} earlier ones are not listed") if left > 0 else "")
    )


def _sizes(data: Data, sheet: Sheet) -> str:
    known = [each for each in data["sizes"] if each["counts"]]
    if not known:
        return note("no state is known in these frames")
    top = max(max(each["counts"].values()) for each in known) or 1
    tall, base = 180.0, 204.0
    out = [
        label(top, sheet.left - 10, base - tall + 5, "end", "soft"),
        label(0, sheet.left - 10, base, "end", "soft"),
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
            runs[-1].append(f"{x_of(data, each['at'], sheet):.1f},{y:.1f}")
        out += [
            f'<polyline class="stroke" stroke-dasharray="{dashes}" points="{" ".join(run)}"/>'
            for run in runs
            if run
        ]
        ends.append((y, f"{known[-1]['counts'][pool]} {pool}"))
    floor = math.inf
    for y, name in sorted(ends, reverse=True):  # names at the ends of the lines, none over another
        floor = min(y + 4, floor - 16)
        out.append(label(name, sheet.left + sheet.plot + 10, floor))
    legend = []
    across = min(len(_DASHES), (sheet.width - 20) // 170)
    for i, (pool, dashes) in enumerate(_DASHES.items()):
        x, y = 20 + 170 * (i % across), 264.0 + 20 * (i // across)
        legend += [
            f'<line class="stroke" stroke-dasharray="{dashes}" x1="{x}" x2="{x + 50}" y1="{y:g}" '
            f'y2="{y:g}"/>',
            label(pool, x + 60, y + 4),
        ]
    return picture(
        "How many records, nodes, edges and keys the state held",
        264.0 + 20 * math.ceil(len(_DASHES) / across),
        [*out, *legend, *marks(data, base, sheet), *axis(data, base, sheet)],
        sheet,
    )


def _keys(data: Data, sheet: Sheet) -> str:
    if not data["keys"]:
        return note("no key had a number as its value")
    out = []
    tall, base = 90.0, 114.0
    for key in data["keys"]:
        bins = sorted(key["bins"].items())
        low, high = min(low for _, (low, _, _) in bins), max(high for _, (_, high, _) in bins)
        span = high - low or 1.0
        wide = sheet.plot / data["bins"]

        def y(value: float, low: float = low, scale: float = tall / span) -> float:
            return base - scale * (value - low)

        line, shadow = [], []
        for at, (least, most, last) in bins:
            x = sheet.left + (at + 0.5) * wide
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
        drawn = [
            *shadow,
            f'<polyline class="stroke" points="{" ".join(line)}"/>',
            dot,
            label(f"{high:.5g}", sheet.left - 10, base - tall + 5, "end", "soft"),
            label(f"{low:.5g}", sheet.left - 10, base, "end", "soft"),
            label(
                f"{bins[-1][1][2]:.5g} last", sheet.left + sheet.plot + 10, y(bins[-1][1][2]) + 4
            ),
        ]
        out.append(
            f"<h3>{text(name)}</h3>"
            + picture(
                f"Key {name}, {key['writes']} writes, from {low:g} to {high:g}",
                base + 40,
                [*drawn, *marks(data, base, sheet), *axis(data, base, sheet)],
                sheet,
            )
        )
    told = "The line is the last value of each part of the log; the shade, from its lowest to its highest."
    left = data["keys_left"] + data["names_left"]
    return "".join(out) + note(told + (f" {left} more keys are not drawn." if left else ""))


def _wear(data: Data, sheet: Sheet) -> str:
    """Return a cell for each sector, with its erases as a number, and hatched the more it has of
    them."""
    wear = data["wear"]
    if wear is None:
        return note(
            "unknown: an archive does not say which sectors its frames lay in. Give what `quipu "
            "flash-map --json` printed "
            "with --wear."
        )
    rows = wear["sectors"]
    most = max((row["erases"] or 0 for row in rows), default=0) or 1
    across, cell = sheet.across, sheet.width / sheet.across
    out = []
    for i, row in enumerate(rows):
        x, y = cell * (i % across), 40.0 * (i // across)
        share = (row["erases"] or 0) / most
        out.append(
            f'<rect class="axis" x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2:.1f}" '
            f'height="38"/>'
            f'<rect class="area" x="{x + 1:.1f}" y="{y + 39 - 38 * share:.1f}" '
            f'width="{cell - 2:.1f}" height="{38 * share:.1f}"/>'
            + label("?" if row["erases"] is None else row["erases"], x + cell / 2, y + 17, "middle")
            + label(row["state"], x + cell / 2, y + 33, "middle", "soft small")
        )
    return picture(
        f"Erases of {len(rows)} sectors, at most {most}",
        40.0 * math.ceil(len(rows) / across),
        out,
        sheet,
    ) + note(
        "A cell is a sector: how often it was erased, and what it holds; filled up to its share "
        "of the most erases. "
        "?: no erase record is left."
    )


def _graph(data: Data, sheet: Sheet) -> str:
    """Return the nodes on a circle, by id, and their edges as arrows."""
    state = data["state"]
    if not state or not state["nodes"]:
        return note("no nodes" if state else "no state is known at the end of these frames")
    from quipu.formats.report import NODES

    nodes = state["nodes"][:NODES]
    middle, radius = sheet.radius + 60, sheet.radius
    place = {}
    for i, each in enumerate(nodes):
        turn = 2 * math.pi * i / len(nodes) - math.pi / 2
        place[each["id"]] = (middle + radius * math.cos(turn), middle + radius * math.sin(turn))
    out = [
        '<defs><marker id="arrow-'
        + sheet.name
        + '" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto">'
        '<path class="bar" d="M0 0L8 4L0 8z"/></marker></defs>'
    ]
    r = 20 if len(nodes) <= 30 and sheet is BROAD else 12
    drawn = 0
    for each in state["edges"]:
        if each["from"] not in place or each["to"] not in place:
            continue
        drawn += 1
        (ax, ay), (bx, by) = place[each["from"]], place[each["to"]]
        if each["from"] == each["to"]:
            out.append(
                f'<path class="stroke" marker-end="url(#arrow-{sheet.name})" d="M{ax - r * 0.5:.1f} '
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
            f'<path class="stroke" marker-end="url(#arrow-{sheet.name})" d="M{ax:.1f} {ay:.1f}Q{cx:.1f} '
            f'{cy:.1f} {ex:.1f} {ey:.1f}"/>'
        )
        out.append(label(each["kind"], cx, cy, "middle", "soft"))
    for each in nodes:
        x, y = place[each["id"]]
        out.append(
            f'<circle class="node" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
            + label(each["id"], x, y + 4, "middle")
        )
        if len(nodes) <= (30 if sheet is BROAD else 8):
            record = f", record {each['record']}" if each["record"] else ""
            out.append(label(f"kind {each['kind']}{record}", x, y + r + 15, "middle", "soft"))
    left = len(state["nodes"]) - len(nodes)
    told = "A circle is a node with its id, an arrow an edge with its kind."
    return picture(
        f"Graph of {len(nodes)} nodes and {drawn} edges", 2 * middle + 20, out, sheet, True
    ) + note(told + (f" {left} nodes with higher ids are not drawn." if left else ""))
