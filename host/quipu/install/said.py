"""What the programs of snippets/ print on a board, decoded: one function a program. Asks nothing.

Whatever comes is a PortError, or exactly what the program can print: another program may answer, a
line may be noisy, and a board may lie."""

import ast
import contextlib
from typing import Any, NoReturn

from quipu import limits
from quipu.errors import PortError

_COUNT = 1 << 53  # of bytes or blocks: more than any board has
_PATHS = 10_000  # files that are told


def wrong(port: str, what: str, expected: str, found: object) -> NoReturn:
    """Raise PortError: a board printed what no program of ours prints."""
    raise PortError(
        f"{port}: expected of {what} {expected}, found {limits.shown(found)!r}: is it MicroPython, "
        "and does nothing else print? Restart the board and try again"
    )


def text(port: str, what: str, data: bytes) -> str:
    """Return what was printed as text."""
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        wrong(port, what, "text in UTF-8", data)


def _tuple(port: str, what: str, data: bytes, kinds: tuple[type, ...]) -> tuple[Any, ...] | None:
    """Return a printed tuple whose values are of these kinds, numbers from 0 up; or None."""
    try:
        found = ast.literal_eval(text(port, what, data))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        wrong(port, what, "a tuple", data)
    if found is not None and (
        not isinstance(found, tuple)
        or [type(each) for each in found] != list(kinds)
        or not all(0 <= each < _COUNT for each in found if type(each) is int)
    ):
        wrong(port, what, ", ".join(kind.__name__ for kind in kinds), data)
    return found


def probe(port: str, data: bytes) -> tuple[Any, ...]:
    """Return the fields of flash.Probe."""
    kinds = (str, tuple, str, int, int, int, int, int, bool)
    found: tuple[Any, ...] | None = None
    with contextlib.suppress(PortError):
        found = _tuple(port, "what the board is", data, kinds)
    if found is None or len(found[1]) != 3 or not all(type(each) is int for each in found[1]):
        raise PortError(f"{port}: expected MicroPython, found something that answers {data[:80]!r}")
    return found


def room(port: str, data: bytes) -> tuple[int, int, int, bool, int] | None:
    """Return (block, blocks, free, whether there is a main.py, bytes of the log's file); None if
    nothing is mounted."""
    found = _tuple(port, "its filesystem", data, (int, int, int, bool, int))
    return None if found is None else (found[0], found[1], found[2], found[3], found[4])


def numbers(port: str, what: str, data: bytes) -> list[int]:
    """Return numbers, a line each."""
    out = []
    for each in data.split():
        if not each.isdigit() or len(each) > 15:
            wrong(port, what, "numbers", each)
        out.append(int(each))
    return out


def octets(port: str, what: str, data: bytes) -> bytes:
    """Return bytes that were printed in hex; none if nothing was."""
    try:
        return bytes.fromhex(text(port, what, data))
    except ValueError:
        wrong(port, what, "bytes in hex", data)


def hashes(port: str, data: bytes) -> dict[str, str]:
    """Return SHA-256 in hex by path."""
    out: dict[str, str] = {}
    for line in text(port, "its files", data).splitlines():
        digest, _, path = line.partition(" ")
        if len(digest) != 64 or digest.strip("0123456789abcdef") or not path or len(out) == _PATHS:
            wrong(port, "its files", "a hash and a path", line)
        out[path] = digest
    return out


def geometry(port: str, data: bytes) -> tuple[int, int, int, int]:
    """Return (sector, sectors, page, unit) of the region that a board's driver opened."""
    what = "the geometry of its flash"
    try:
        found = limits.parsed(data)
    except ValueError:
        wrong(port, what, "four numbers", data)
    if (
        not isinstance(found, list)
        or len(found) != 4
        or not all(type(each) is int and 0 < each <= limits.REGION for each in found)
        or found[0] * found[1] > limits.REGION
    ):
        wrong(port, what, f"four numbers, and at most {limits.REGION} bytes in all", data)
    sector, sectors, page, unit = found
    return sector, sectors, page, unit
