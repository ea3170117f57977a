"""What a report on an archive says, as plain data: verdict, frames over time by type, boots, gaps,
state sizes, keys, graph.

Everything but the verdict is of frames that the chain proves; where it breaks, the report ends, and
says so. Memory is bounded whatever the archive's length: frames fall into bins by their time, or by
their seq where no clock tells.
"""

import os
from fractions import Fraction
from typing import Any

from quipu.archive.verify import verify
from quipu.errors import ArchiveDamage, ArchiveError, UsageError
from quipu.past import describe
from quipu.past.memory import Memory, open_archive
from quipu.past.query import Query, number
from quipu.text import moment

Data = dict[str, Any]

BINS = 120  # of frames, by time or seq
AXES = ("time", "seq")
MOMENTS = 40  # at which the state's sizes are told
KEYS = 12  # that are drawn: those with the most writes
NAMES = 1000  # of keys that are followed; a log may have had any number
TAGS = 4  # whose vectors are drawn: those with the most records
COMPONENTS = 12  # of a vector, that are drawn
VECTOR_BINS = 40
_TAGS_SEEN = 64
_OUTAGE = 50  # a silence before a start-up of this part of the axis, or more, is a band
NODES = 60  # of the graph that are drawn: those with the lowest ids
_CHARTED = 1e300  # of a number in a chart: twice as far apart is a float too


def collect(path: str | os.PathLike[str], wear: Data | None = None, axis: str = "time") -> Data:
    """Return the report on an archive. wear: a flash map (flash_map.survey) of the board's flash,
    None if it is unknown; axis: one of AXES, along which frames stand; seq
    where most have no known time.

    ArchiveError if there is no archive, or it holds no frames.
    """
    verdict = verify(path).as_dict()
    with open_archive(path) as memory:
        try:
            return {"verdict": verdict, "wear": wear, **_collected(memory, axis)}
        except ArchiveDamage as damage:  # altered since it was indexed
            if not memory.index.own:
                memory.distrust(damage)
                return {"verdict": verdict, "wear": wear, **_collected(memory, axis)}
            raise


def _collected(memory: Memory, axis: str) -> Data:
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
    along = Axis(memory, axis, first, last)
    data |= {"axis": along.kind, "low": along.low, "high": along.high, "ticks": along.ticks()}
    data |= _frames(memory, along)
    data["sizes"] = _sizes(memory, along)
    try:
        data["state"] = memory.asked(Query("records", dated=True))
    except UsageError as why:  # after a gap, until a snapshot stands in
        data["state"], data["damage"] = None, data["damage"] or str(why)
    return data


def _spread(first: int, last: int, count: int) -> list[int]:
    """Return up to `count` seqs, evenly from first to last."""
    steps = min(count - 1, last - first)
    return [first + (last - first) * i // steps for i in range(steps + 1)] if steps else [first]


class Axis:
    """Where frames stand from left to right: at their wall times, or by their seqs. kind: which of
    them; low, high: the ends."""

    def __init__(self, memory: Memory, kind: str, first: int, last: int):
        self.memory = memory
        self._spans = memory.timeline.spans
        self._place = 0
        known = [each for each in self._spans if each.zero_ms is not None]
        seqs = sorted({seq for each in known for seq in (each.first, each.last)})
        ticks = dict(memory.index.ticks(seqs))
        ends = [each.at(ticks[seq])[0] or 0 for each in known for seq in (each.first, each.last)]
        self.kind, self.low, self.high = "seq", first, last + 1
        held = sum(each.last - each.first + 1 for each in self._spans)
        timed = sum(each.last - each.first + 1 for each in known)
        if kind == "time" and 2 * timed >= held and ends and max(ends) > min(ends):
            self.kind, self.low, self.high = "time", min(ends), max(ends) + 1
        self._at = self.low

    def at(self, seq: int, tick: int) -> int:
        """Return where a frame stands. Of a whole log, frames are asked for in their order: one
        without a time stands where the one before it does."""
        if self.kind == "seq":
            return seq
        while self._place + 1 < len(self._spans) and self._spans[self._place + 1].first <= seq:
            self._place += 1
        found = self._spans[self._place].at(tick)[0]
        self._at = self._at if found is None else found
        return self._at

    def of(self, seq: int) -> int | None:
        """Return where any frame stands, None where that is not known."""
        if self.kind == "seq":
            return seq
        try:
            return self.memory.moment(seq).unix_ms
        except UsageError:
            return None

    def bin(self, at: int, bins: int) -> int:
        """Return in which of so many equal parts a place is."""
        return min(bins - 1, max(0, (at - self.low) * bins // (self.high - self.low)))

    def ticks(self, count: int = 5) -> list[Data]:
        """Return places with what stands there, {"at", "label", "more"}: a time of the day and the
        date; or a seq, and its wall time if it is known."""
        if self.kind == "seq":
            out = []
            for seq in _spread(self.low, self.high - 1, count):
                when = _time(self.memory, seq)
                more = "" if when is None else moment(when)[:16]
                out.append({"at": seq, "label": str(seq), "more": more})
            return out
        seconds = 19 if self.high - self.low < 600_000 else 16
        out = []
        for at in _spread(self.low, self.high - 1, count):
            date, _, clock = moment(at)[:seconds].partition(" ")
            out.append({"at": at, "label": clock, "more": date})
        return out


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


def _frames(memory: Memory, along: Axis) -> Data:
    """Return what the frames say: how many of each type a bin has, the boots, the gaps and the
    outages between them, the numbers that keys had, and the records' vectors."""
    bins = min(BINS, along.high - along.low)
    vectors = Vectors(along)
    bands: list[Data] = []
    before: int | None = None
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
        begins = True
        for frame in memory.index.frames(segment.first):
            told = describe.frame(frame)
            seq = told["seq"]
            where = along.at(seq, told["tick"])
            at = along.bin(where, bins)
            if begins and before is not None:
                until = where if along.kind == "time" else seq
                bands.append({"from": before, "to": until, "label": "gap", "kind": "gap"})
            elif told["type"] == "boot" and _is_long(along, before, where):
                bands.append({"from": before, "to": where, "label": "off", "kind": "off"})
            begins, before = False, where if along.kind == "time" else seq + 1
            types.setdefault(told["type"], [0] * bins)[at] += 1
            total += len(frame)
            if told["type"] == "boot" and "boot" in told:
                boots.append(
                    {"seq": seq, "at": where, "boot": told["boot"], "skipped": told["skipped"]}
                )
            elif told["type"] == "insert" and "vector" in told:
                vectors.take(told, where)
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
        "bands": bands,
        "vectors": vectors.told(),
        "bytes": total,
        "keys": charts[:KEYS],
        "keys_left": len(charts[KEYS:]),
        "names_left": len(more),
    }


def _is_long(along: Axis, before: int | None, at: int) -> bool:
    """Return whether so much time without a frame is worth a band."""
    return (
        along.kind == "time"
        and before is not None
        and at - before > (along.high - along.low) // _OUTAGE
    )


class Vectors:
    """The vectors of records as they were inserted, by tag: means of the components in each part of
    the axis."""

    def __init__(self, along: Axis):
        self._along = along
        self._tags: dict[int, Data] = {}
        self._left = 0

    def take(self, told: Data, at: int) -> None:
        """Take the vector of an insert that stands at a place."""
        if told["tag"] not in self._tags and len(self._tags) == _TAGS_SEEN:
            self._left += 1
            return
        tag = self._tags.setdefault(told["tag"], {"tag": told["tag"], "count": 0, "sums": {}})
        tag["count"] += 1
        bins = min(VECTOR_BINS, self._along.high - self._along.low)
        sums = tag["sums"].setdefault(self._along.bin(at, bins), [0, {}])
        sums[0] += 1
        for i, value in enumerate(told["vector"][:COMPONENTS]):
            sums[1][i] = sums[1].get(i, 0) + value

    def told(self) -> Data:
        """Return the tags with the most records: {"tag", "count", "cells": [[bin, component, mean,
        how many]]}; "low", "high": of all means; "left": records of other tags."""
        chosen = sorted(self._tags.values(), key=lambda tag: (-tag["count"], tag["tag"]))[:TAGS]
        out = []
        for tag in sorted(chosen, key=lambda tag: int(tag["tag"])):
            cells = [
                [at, i, total / count, count]
                for at, (count, sums) in sorted(tag["sums"].items())
                for i, total in sums.items()
            ]
            out.append({"tag": tag["tag"], "count": tag["count"], "cells": cells})
        means = [cell[2] for tag in out for cell in tag["cells"]] or [0]
        left = sum(tag["count"] for tag in self._tags.values()) - sum(t["count"] for t in out)
        return {
            "tags": out,
            "bins": min(VECTOR_BINS, self._along.high - self._along.low),
            "low": min(means),
            "high": max(means),
            "left": left + self._left,
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


def _sizes(memory: Memory, along: Axis) -> list[Data]:
    """Return how much the state held at moments spread over the log; None where it is not known."""
    out: list[Data] = []
    progress = memory.index.progress
    assert progress
    for seq in _spread(memory.segments[0].first, progress.seq, MOMENTS):
        at = along.of(seq)
        try:
            kernel = memory.state(seq)
        except UsageError:  # in a gap
            out.append({"seq": seq, "at": at, "counts": None})
            continue
        if at is not None:
            counts = {pool: getattr(kernel, pool).live() for pool in describe.POOLS}
            out.append({"seq": seq, "at": at, "counts": counts})
    return out
