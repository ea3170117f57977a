"""Numbers, bytes, sizes and times as a person reads them, in one line of text. Knows no table and
no page."""

import datetime
import json
import re
from collections.abc import Iterable
from typing import Any

Data = dict[str, Any]

_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})+")
SHOWN_COMPONENTS = 3  # of a vector, in one line


def typed(text: str) -> bytes:
    """Return what a person typed as bytes: UTF-8, and bytes that are none as they came."""
    return text.encode("utf-8", "surrogateescape")


def named(text: str) -> bytes:
    """Return the bytes of a name as it is shown: 0xf09f98 is three bytes, anything else is text.
    The text 0xf0 itself is named by its own bytes, 0x30786630."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text[2:])
    return typed(text)


def plain(text: str) -> str:
    """Return text with everything that is not printable escaped."""
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def escaped(c: str) -> str:
    """Return a character as an escape in ASCII, such as \\x1b."""
    if "\udc80" <= c <= "\udcff":  # a byte that is no UTF-8, as Python has it from a command line
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape", "backslashreplace").decode()


def near(word: str, known: Iterable[str]) -> str:
    """Return "Did you mean ...?" with the known words that are written like this one, in either
    case; empty if none is."""
    import difflib  # seldom needed

    by_small = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), by_small, 3)
    return f"Did you mean {' or '.join(by_small[each] for each in found)}?" if found else ""


def octets(data: Data, name: str) -> str:
    """Return the bytes under `name` (see past/describe.py) quoted if they are printable text, else
    in hex."""
    text: str | None = data[name]
    if text is not None and text.isprintable():
        return json.dumps(text, ensure_ascii=False)
    return f"0x{data[name + '_hex']}"


def number(value: float) -> str:
    """Return a component of a vector with at most 4 decimals, a smaller one by its power of ten."""
    text = f"{value:.4f}" if abs(value) >= 0.00005 else f"{value:.1e}"
    return (
        text.rstrip("0").rstrip(".")
        if value % 1 and "e" not in text
        else text
        if value % 1
        else str(int(value))
    )


def vector(values: list[float | int]) -> str:
    if len(values) <= SHOWN_COMPONENTS:
        return "[" + ", ".join(map(number, values)) + "]"
    return "[" + ", ".join(map(number, values[:SHOWN_COMPONENTS])) + f", … {len(values)}]"


def size(count: int) -> str:
    return f"{count / 1024:.1f} KiB" if count >= 1024 else f"{count} B"


def count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def moment(unix_ms: int) -> str:
    """Return milliseconds since 1970 as date and time, UTC."""
    try:
        at = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=unix_ms)
    except OverflowError:
        return f"{unix_ms} ms after 1970"
    return at.isoformat(" ", "milliseconds") + " UTC"


def iso(unix_ms: int | None) -> str | None:
    """Return milliseconds since 1970 in ISO 8601, UTC, as other programs read it; None for None."""
    return None if unix_ms is None else moment(unix_ms).replace(" UTC", "Z").replace(" ", "T", 1)
