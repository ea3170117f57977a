"""What an archive holds, for other programs: its commands as JSON lines, its records as .npy or
Parquet. Changes nothing.

A line is a command as past/describe.py tells it, {"seq": 5, "type": "insert", "tag": 0, "vector":
[1, -2.5], "meta": "", "meta_hex": ""}; imports.py reads them back. Whatever refers to a thing names
the seq of the line that made it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quipu.archive import disk
from quipu.archive.frame import taken_apart
from quipu.errors import UsageError
from quipu.formats import npy, tables
from quipu.past import describe
from quipu.past.memory import At, Memory
from quipu.past.query import Query, columns
from shared_kernel.frames import NO_HEAD
from shared_kernel.kernel import Kernel

Data = dict[str, Any]

_OF_THE_FRAME = ("tick", "bytes", "token")  # say nothing of what the command does
_OF_THE_LOG = ("previous", "same")


def commands(memory: Memory, at: At = None) -> Iterator[Data]:
    """Yield every command up to a moment, oldest first, each proved by the chain. UsageError if
    frames are missing, ArchiveDamage where one is not what it was."""
    last = memory.moment(at).seq
    first = memory.segments[0]
    if first.head == NO_HEAD and first.first:
        raise UsageError(
            f"{memory.path} goes on from another log, so its commands alone do not lead to its "
            f"state: export the state "
            "(--state), or the commands of both archives"
        )
    if first.head != NO_HEAD or memory.index.segment(last) != first:
        raise UsageError(
            f"{memory.path} lacks frames, so its commands do not lead to its state: export the "
            f"state alone (--state)"
        )
    # of each key, for a write of the same value, which does not repeat it
    values: dict[str, Data] = {}
    for frame in memory.index.frames(0):
        data = describe.frame(frame)
        if data["seq"] > last:
            return
        if not taken_apart(frame).is_command:
            continue
        if data["type"] == "put":
            if data.get("same"):
                data.update(values[data["name_hex"]])
            else:
                values[data["name_hex"]] = {each: data[each] for each in ("value", "value_hex")}
        yield {
            each: value for each, value in data.items() if each not in _OF_THE_FRAME + _OF_THE_LOG
        }


def state_commands(kernel: Kernel) -> Iterator[Data]:
    """Yield commands that make the contents of a state anew, in an order in which each is
    allowed."""
    found = describe.state(kernel)
    for pool, kind in (("records", "insert"), ("nodes", "create-node"), ("edges", "create-edge")):
        for each in found[pool]:
            yield {"seq": each.pop("id"), "type": kind, **each}
    for each in sorted(found["keys"], key=lambda key: int(key["seq"])):
        yield {"seq": each.pop("seq"), "type": "put", **each}


def write_lines(lines: Iterator[Data], path: Path) -> int:
    """Write JSON lines to a file as they come; return how many. If `lines` fails, what stood at
    path stays."""
    count = 0

    def encoded() -> Iterator[bytes]:
        nonlocal count
        for each in lines:
            yield (json.dumps(each, ensure_ascii=False) + "\n").encode()
            count += 1

    disk.put(path, encoded())
    return count


def write_records(memory: Memory, path: Path, form: str, at: At = None) -> int:
    """Write the records at a moment, by id, as "npy" or "parquet", with the wall time of each,
    board and log; return how many. UsageError for Parquet without pyarrow. If it fails, what stood
    at path stays."""
    asks = Query("records", dated=True)
    rows = memory.query(asks, at)
    if form == "npy":
        config = describe.config(memory.state(at).config())
        return npy.write(
            path,
            (
                (
                    each["id"],
                    each["tag"],
                    each["vector"],
                    bytes.fromhex(each["meta_hex"]),
                    each["time"],
                    each["uncertainty_ms"],
                )
                for each in rows
            ),
            config["dim"],
            config["meta_bytes"],
            memory.identity,
            memory.log,
        )
    tables.need_pyarrow()
    with disk.output(path) as aside:
        tables.write(rows, columns(asks), "parquet", aside)
    return len(rows)
