"""Rows of a query as Arrow and Parquet: one schema for a kind of rows, whichever command writes
them. Asks nothing."""

from pathlib import Path
from typing import Any

from quipu.errors import UsageError
from quipu.past.query import (
    ANY,
    BYTES,
    JSON,
    NUMBER,
    REAL,
    TEXT,
    TIME,
    VECTOR,
    WHOLE,
)

Data = dict[str, Any]


def need_pyarrow() -> Any:
    """Return the module pyarrow, with its Parquet; UsageError where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise UsageError(
            "Arrow and Parquet need pyarrow, which is not installed: pip install 'quipu-mcu[arrow]'"
        ) from None
    return pyarrow


def write(rows: list[Data], kinds: dict[str, str], form: str, path: Path) -> list[str]:
    """Write rows as "arrow" or "parquet", with the types of their columns whatever the rows are;
    return the columns that are text because a number in them has no place in 64 bits. UsageError
    where pyarrow is not installed."""
    pyarrow = need_pyarrow()
    as_text, arrays = [], []
    for name, kind in kinds.items():
        array, is_text = _array(pyarrow, rows, name, kind)
        arrays.append(array)
        if is_text:
            as_text.append(name)
    table = pyarrow.table(arrays, names=list(kinds))
    if form == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        with (
            pyarrow.OSFile(str(path), "wb") as file,
            pyarrow.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)
    return as_text


def _array(pyarrow: Any, rows: list[Data], name: str, kind: str) -> tuple[Any, bool]:
    """Return a column, and whether it is text for want of room."""
    types = {
        NUMBER: pyarrow.uint32(),
        WHOLE: pyarrow.int64(),
        REAL: pyarrow.float64(),
        BYTES: pyarrow.binary(),
        TEXT: pyarrow.string(),
        JSON: pyarrow.string(),
        TIME: pyarrow.timestamp("ms", "UTC"),
        VECTOR: pyarrow.list_(pyarrow.float64()),
    }
    cells = [bytes.fromhex(row[name + "_hex"]) if kind == BYTES else row[name] for row in rows]
    if kind == JSON:
        cells = [each if each is None or isinstance(each, str) else str(each) for each in cells]
    if kind != ANY:
        return pyarrow.array(cells, types[kind]), False
    if any(isinstance(each, int) and not _fits(each) for each in cells):
        texts = [None if each is None else str(each) for each in cells]
        return pyarrow.array(texts, pyarrow.string()), True
    integers = cells and all(isinstance(each, int) for each in cells)
    return pyarrow.array(cells, types[WHOLE if integers else REAL]), False


def _fits(number: int) -> bool:
    return -(1 << 63) <= number < 1 << 63
