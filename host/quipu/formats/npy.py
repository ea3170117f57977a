"""NumPy's file format .npy, version 1, for records: one array of structures, without NumPy. Reads
plain arrays of numbers too.

    id u4, tag u4, vector f8[dim], meta_size u2, meta V[meta_bytes],
    time M8[ms], uncertainty_ms i8, board S[...], log S64

time is the wall time of the frame that made the record, NaT where no clock tells; uncertainty_ms is
-1 there. A Q16.16 component is a float64 without loss. meta is filled with zeros; meta_size says how many of
its bytes count."""

import ast
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from quipu import limits
from quipu.archive import disk
from shared_kernel.errors import FormatError

_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGN = 64  # the header's length is a multiple of it
_NUMBERS = {
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
    "f4": "f",
    "f8": "d",
}
_NO_TIME = -(1 << 63)  # NaT, of a datetime64

Record = dict[str, Any]


class _Field(NamedTuple):
    """One field of a structure: `length` numbers, or (code None) size bytes."""

    name: str
    code: str | None
    length: int
    size: int


def write(
    path: Path,
    records: Iterable[tuple[int, int, list[float | int], bytes, int | None, int | None]],
    dim: int,
    meta_bytes: int,
    board: str,
    log: bytes,
) -> int:
    """Write records (id, tag, vector, metadata, ms since 1970, uncertainty in ms) and return how
    many. dim: components of each; meta_bytes: at most so many; board, log: whose they are. If it
    fails, what stood at path stays."""
    width, whose = max(meta_bytes, 1), board.encode() or b"\0"
    rows = [
        struct.pack(
            f"<II{dim}dH{width}sqq{len(whose)}s64s",
            ident,
            tag,
            *vector,
            len(meta),
            meta,
            _NO_TIME if time is None else time,
            -1 if uncertainty is None else uncertainty,
            whose,
            log.hex().encode(),
        )
        for ident, tag, vector, meta, time, uncertainty in records
    ]
    fields = [
        ("id", "<u4"),
        ("tag", "<u4"),
        ("vector", "<f8", (dim,)),
        ("meta_size", "<u2"),
        ("meta", f"|V{width}"),
        ("time", "<M8[ms]"),
        ("uncertainty_ms", "<i8"),
        ("board", f"|S{len(whose)}"),
        ("log", "|S64"),
    ]
    header = repr({"descr": fields, "fortran_order": False, "shape": (len(rows),)})
    header += " " * (-(len(_MAGIC) + 2 + len(header) + 1) % _ALIGN) + "\n"
    disk.put(path, [_MAGIC, struct.pack("<H", len(header)), header.encode("ascii"), *rows])
    return len(rows)


def read(path: Path) -> Iterator[Record]:
    """Yield {"id", "tag", "vector", "meta"} of each record of a file that `write` made (or one with
    some of its fields: vector must be there), or {"vector"} of each row of an array with two axes.
    FormatError says what else it is."""
    data = limits.contents(path)
    if data[: len(_MAGIC)] != _MAGIC:
        raise FormatError(
            f"{path} begins with {data[:8].hex()}: expected {_MAGIC.hex()}, a .npy file of "
            f"version 1"
        )
    end = len(_MAGIC) + 2 + int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + 2], "little")
    try:
        header = ast.literal_eval(data[len(_MAGIC) + 2 : end].decode("latin-1").strip())
        descr, shape, fortran = header["descr"], header["shape"], header["fortran_order"]
        sizes_fit = isinstance(shape, tuple) and all(
            isinstance(each, int) and each >= 0 for each in shape
        )
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        raise FormatError(f"{path}: its header is not that of a .npy file") from None
    if not sizes_fit or fortran:
        raise FormatError(
            f"{path}: expected rows one after the other (C order), found shape {shape}, Fortran "
            f"order {fortran}"
        )
    if isinstance(descr, str):
        if len(shape) != 2:
            raise FormatError(f"{path}: expected one vector a row, two axes; found shape {shape}")
        fields = [_field(path, ("vector", descr, (shape[1],)))]
    elif isinstance(descr, list):
        fields = [_field(path, each) for each in descr]
        if len(shape) != 1 or "vector" not in [each.name for each in fields]:
            raise FormatError(
                f"{path}: expected one axis of structures with a field vector, found shape "
                f"{shape} of {descr}"
            )
    else:
        raise FormatError(f"{path}: elements of type {descr!r} cannot be read")
    size = sum(each.size for each in fields)
    if len(data) - end != size * shape[0]:
        raise FormatError(
            f"{path}: expected {shape[0]} rows of {size} bytes, found {len(data) - end} bytes"
        )
    for at in range(end, len(data), size) if size else ():
        yield _row(data, at, fields)


def _field(path: Path, descr: Any) -> _Field:
    """Return the field that a part of a header describes: (name, type) or (name, type, shape)."""
    try:
        name, kind, *more = descr
        (count,) = more[0] if more else (1,)
        match = re.fullmatch(r"[<|](?:([iuf][1248])|[VS](\d{1,9}))", kind.replace("<M8[ms]", "<i8"))
        if match and isinstance(name, str) and isinstance(count, int) and count >= 0:
            if match[1] in _NUMBERS:
                return _Field(name, _NUMBERS[match[1]], count, count * int(match[1][1]))
            if match[2] and count == 1:
                return _Field(name, None, 1, int(match[2]))
    except (ValueError, TypeError):
        pass
    raise FormatError(
        f"{path}: a field {descr!r} cannot be read: expected little-endian numbers, such as <f4, "
        f"or bytes"
    )


def _row(data: bytes, at: int, fields: list[_Field]) -> Record:
    row: Record = {}
    for each in fields:
        if each.code is None:
            row[each.name] = data[at : at + each.size]
        else:
            values = struct.unpack_from(f"<{each.length}{each.code}", data, at)
            row[each.name] = list(values) if each.name == "vector" else values[0]
        at += each.size
    if "meta_size" in row and isinstance(row.get("meta"), bytes):
        row["meta"] = row["meta"][: row.pop("meta_size")]
    return row
