"""The pictures of records' vectors on a report's page: a heat map over time for each tag, and all
records on a plane. Looks only; knows no archive."""

import math
from typing import Any

from quipu.formats.sheet import Sheet, axis, label, marks, note, picture, text
from quipu.text import moment, number, octets

Data = dict[str, Any]

_ROW = 14  # of a component
_DOTS = 300  # records that are placed
_DIMENSIONS = 64  # of their vectors that are looked at
_ROUNDS = 40  # of the power iteration: far more than a picture needs
_SHAPES = 5
_FAINT = 0.12  # what the lowest mean looks like, so that it is no hole


def heat(data: Data, sheet: Sheet) -> str:
    """Return a heat map for each tag: a row for each component, the fuller the higher its mean in
    that part of the axis."""
    found = data["vectors"]
    if not found["tags"]:
        return note("no record was inserted in these frames")
    low, high = found["low"], found["high"]
    out = []
    for tag in found["tags"]:
        rows = 1 + max((cell[1] for cell in tag["cells"]), default=0)
        height = 24.0 + _ROW * rows
        wide = sheet.plot / found["bins"]
        parts = [
            label(f"[{i}]", sheet.left - 10, 24 + _ROW * i + 11, "end", "soft small")
            for i in range(rows)
            if rows <= 6 or i % 2 == 0
        ]
        for at, i, mean, count in tag["cells"]:
            share = _FAINT + (1 - _FAINT) * (mean - low) / ((high - low) or 1)
            parts.append(
                f'<rect class="heat" opacity="{share:.2f}" x="{sheet.left + at * wide:.1f}" '
                f'y="{24 + _ROW * i}" width="{wide:.1f}" height="{_ROW - 1}"><title>component {i}: '
                f"mean {number(mean)} of {count}</title></rect>"
            )
        out.append(
            f"<h3>tag {tag['tag']}: {tag['count']} records</h3>"
            + picture(
                f"Vectors of {tag['count']} records with tag {tag['tag']}",
                height + 40,
                [*parts, *marks(data, height, sheet), *axis(data, height, sheet)],
                sheet,
            )
        )
    left = f" {found['left']} records of other tags are not drawn." if found["left"] else ""
    return "".join(out) + note(
        f"A row is a component, a cell the mean of what was inserted in that part: faint is "
        f"{number(low)}, full {number(high)}; pointing at one tells it.{left}"
    )


def projection(data: Data, sheet: Sheet) -> str:
    """Return the records of the last state on the plane along which they differ most."""
    state = data["state"]
    records = state["records"] if state else []
    if len(records) < 3:
        return note("fewer than three records are held at the end of these frames")
    step = math.ceil(len(records) / _DOTS)
    chosen = records[::step]
    places = plane([each["vector"] for each in chosen])
    tags = sorted({each["tag"] for each in chosen})
    size = 2.0 * sheet.radius + 60
    most = max(max(abs(x), abs(y)) for x, y in places) or 1.0
    parts = [
        f'<rect class="axis" x="1" y="1" width="{size - 2:g}" height="{size - 2:g}"/>',
    ]
    for each, (x, y) in zip(chosen, places, strict=True):
        title = f"record {each['id']}, tag {each['tag']}"
        if each["meta_hex"]:
            title += f", {octets(each, 'meta')}"
        if each.get("time") is not None:
            title += f", {moment(each['time'])}"
        parts.append(
            _dot(
                tags.index(each["tag"]),
                size / 2 + x / most * (size / 2 - 24),
                size / 2 - y / most * (size / 2 - 24),
                title,
            )
        )
    legend = "".join(
        f'<span class="key"><svg viewBox="0 0 16 16">{_dot(i, 8, 8, "")}</svg> tag {tag}</span>'
        for i, tag in enumerate(tags[:12])
    )
    told = "Each sign is a record: two axes along which the vectors differ most (principal components)."
    if step > 1:
        told += f" One of {step} is drawn."
    if len(tags) > _SHAPES:
        told += " Tags beyond five share signs; pointing at one tells its tag."
    if len(chosen[0]["vector"]) > _DIMENSIONS:
        told += f" The first {_DIMENSIONS} components are looked at."
    return (
        picture(f"{len(chosen)} records on a plane", size, parts, sheet, True)
        + f"<p>{legend}</p>"
        + note(told)
    )


def _dot(kind: int, x: float, y: float, title: str) -> str:
    """Return the sign of a tag."""
    shape = (
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="5"',
        f'<path class="dot full" d="M{x - 4.5:.1f} {y - 4.5:.1f}h9v9h-9z"',
        f'<path class="dot" d="M{x:.1f} {y - 6:.1f}l6 10h-12z"',
        f'<path class="dot full" d="M{x:.1f} {y - 6.5:.1f}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"',
        f'<path class="dot" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10"',
    )[kind % _SHAPES]
    return f"{shape}><title>{text(title)}</title></{shape[1:].split()[0]}>"


def plane(vectors: list[list[float]]) -> list[tuple[float, float]]:
    """Return each vector's place along the two directions in which all of them differ most, by power
    iteration; the same for the same vectors."""
    rows = [each[:_DIMENSIONS] for each in vectors]
    count, dim = len(rows), len(rows[0])
    mean = [sum(column) / count for column in zip(*rows, strict=True)]
    rows = [[a - b for a, b in zip(row, mean, strict=True)] for row in rows]
    directions: list[list[float]] = []
    for start in range(min(2, dim)):
        at = [1.0 if i % 2 == start else 0.5 for i in range(dim)]
        for _ in range(_ROUNDS):
            for known in directions:
                along = _dot_product(at, known)
                at = [a - along * b for a, b in zip(at, known, strict=True)]
            shares = [_dot_product(row, at) for row in rows]
            after = [_dot_product(column, shares) for column in zip(*rows, strict=True)]
            length = math.sqrt(_dot_product(after, after))
            if not length:
                break
            at = [each / length for each in after]
        for known in directions:
            along = _dot_product(at, known)
            at = [a - along * b for a, b in zip(at, known, strict=True)]
        directions.append(at)
    directions += [[0.0] * dim] * (2 - len(directions))
    return [(_dot_product(row, directions[0]), _dot_product(row, directions[1])) for row in rows]


def _dot_product(a: Any, b: Any) -> float:
    return float(sum(x * y for x, y in zip(a, b, strict=True)))
