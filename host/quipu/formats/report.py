"""What a report on an archive says, as plain data: verdict, frames over time by type, boots, gaps,
state sizes, keys, graph.

Everything but the verdict is of frames that the chain proves; where it breaks, the report ends, and
says so. Memory is bounded whatever the archive's length: frames fall into bins by their seq.
"""

import os
from fractions import Fraction
from typing import Any

from quipu.archive.verify import verify
from quipu.errors import ArchiveDamage, ArchiveError, UsageError
from quipu.past import describe
from quipu.past.memory import Memory, open_archive
from quipu.past.query import number

Data = dict[str, Any]

BINS = 120  # of frames, by seq
MOMENTS = 40  # at which the state's sizes are told
KEYS = 12  # that are drawn: those with the most writes
NAMES = 1000  # of keys that are followed; a log may have had any number
NODES = 60  # of the graph that are drawn: those with the lowest ids
_CHARTED = 1e300  # of a number in a chart: twice as far apart is a float too


def collect(path: str | os.PathLike[str], wear: Data | None = None) -> Data:
    """Return the report on an archive. wear: a flash map (flash_map.survey) of the board's flash,
    None if it is unknown.

    ArchiveError if there is no archive, or it holds no frames.
    """
    verdict = verify(path).as_dict()
    with open_archive(path) as memory:
        try:
            return {"verdict": verdict, "wear": wear, **_collected(memory)}
        except ArchiveDamage as damage:  # altered since it was indexed
            if not memory.index.own:
                memory.distrust(damage)
                return {"verdict": verdict, "wear": wear, **_collected(memory)}
            raise


def _collected(memory: Memory) -> Data:
    progress = memory.index.progress
    if progress is None:
        raise memory.damage or ArchiveError(f"{memory.path} holds no frames yet: sync it first")
    first, last = memory.segments[0].first, progress.seq
    data: Data = {
        "archive": str(memory.path),
        "board": memory.identity,
        "log": memory.log.hex(),
        "first": first,
        "last": last,
        "damage": str(memory.damage) if memory.damage else None,
    }
    data["gaps"] = _gaps(memory, last)
    data |= _frames(memory, first, last)
    data["sizes"] = _sizes(memory, first, last)
    data["times"] = [
        {"seq": seq, "unix_ms": _time(memory, seq)}
        for seq in _spread(first, last, 5)
        if _held(data["gaps"], seq)
    ]
    try:
        data["state"] = describe.state(memory.state())
    except UsageError as why:  # after a gap, until a snapshot stands in
        data["state"], data["damage"] = None, data["damage"] or str(why)
    return data


def _spread(first: int, last: int, count: int) -> list[int]:
    """Return up to `count` seqs, evenly from first to last."""
    steps = min(count - 1, last - first)
    return [first + (last - first) * i // steps for i in range(steps + 1)] if steps else [first]


def _held(gaps: list[list[int]], seq: int) -> bool:
    return not any(low <= seq <= high for low, high in gaps)


def _time(memory: Memory, seq: int) -> int | None:
    """Return the wall time of a frame, None where no clock tells it or its state is not known."""
    try:
        return memory.moment(seq).unix_ms
    except UsageError:
        return None


def _gaps(memory: Memory, last: int) -> list[list[int]]:
    """Return [first, last] of the frames that are missing between segments, and before the
    first."""
    progress = memory.index.progress
    assert progress
    ends = [end for end, _ in progress.ends]
    begun = memory.segments[: len(ends)]
    out = [[0, begun[0].first - 1]] if begun[0].first else []
    return out + [
        [end + 1, after.first - 1] for end, after in zip(ends, begun[1:]) if after.first > end + 1
    ]


def _frames(memory: Memory, first: int, last: int) -> Data:
    """Return what the frames say: how many of each type a bin has, the boots, and the numbers that
    keys had."""
    width = last - first + 1
    bins = min(BINS, width)
    types: dict[str, list[int]] = {}
    boots: list[Data] = []
    keys: dict[str, Data] = {}
    more: set[str] = set()
    total = 0
    progress = memory.index.progress
    assert progress
    for number_of, segment in enumerate(memory.segments[: len(progress.ends)]):
        if progress.ends[number_of][0] < segment.first:
            continue
        for frame in memory.index.frames(segment.first):
            told = describe.frame(frame)
            seq = told["seq"]
            at = (seq - first) * bins // width
            types.setdefault(told["type"], [0] * bins)[at] += 1
            total += len(frame)
            if told["type"] == "boot" and "boot" in told:
                boots.append({"seq": seq, "boot": told["boot"], "skipped": told["skipped"]})
            elif told["type"] in ("put", "delete-key") and "name_hex" in told:
                name = told["name_hex"]
                if name not in keys and len(keys) == NAMES:
                    more.add(name) if len(more) < NAMES else None
                    continue
                key = keys.setdefault(
                    name,
                    {
                        "name": told["name"],
                        "name_hex": name,
                        "writes": 0,
                        "value": None,
                        "bins": {},
                    },
                )
                _write(key, told, at)
    charts = [key for key in keys.values() if key["bins"]]
    charts.sort(key=lambda key: (-key["writes"], key["name_hex"]))
    return {
        "bins": bins,
        "types": types,
        "boots": boots,
        "bytes": total,
        "keys": charts[:KEYS],
        "keys_left": len(charts[KEYS:]),
        "names_left": len(more),
    }


def _write(key: Data, told: Data, at: int) -> None:
    """Take a write of a key into its chart: lowest, highest and last number of each bin; a deletion
    ends the line."""
    key["writes"] += 1
    if told["type"] == "delete-key":
        key["value"] = None
        return
    if "value_hex" in told:
        found = number(bytes.fromhex(told["value_hex"]))
        key["value"] = _charted(found)
    value = key["value"]
    if value is not None:
        low, high, _ = key["bins"].get(at, (value, value, value))
        key["bins"][at] = (min(low, value), max(high, value), value)


def _charted(found: int | float | Fraction | None) -> float | None:
    """Return a number as it stands in a chart, None if it is too large for one."""
    return None if found is None or not -_CHARTED < found < _CHARTED else float(found)


def _sizes(memory: Memory, first: int, last: int) -> list[Data]:
    """Return how much the state held at moments spread over the log; None where it is not known."""
    out: list[Data] = []
    for seq in _spread(first, last, MOMENTS):
        try:
            kernel = memory.state(seq)
        except UsageError:  # in a gap
            out.append({"seq": seq, "counts": None})
            continue
        out.append(
            {"seq": seq, "counts": {pool: getattr(kernel, pool).live() for pool in describe.POOLS}}
        )
    return out
