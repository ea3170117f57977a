"""An archive's past as MCAP, which Foxglove, Rerun and others open: a channel for each key, one for
the records. Changes nothing.

    /keys/NAME   {"seq", "value", "number", "deleted", "time_known", "uncertainty_ms"}
    /records     {"seq", "type", "id", "tag", "vector", "meta", "time_known", "uncertainty_ms"}

A message stands at the wall time of its frame. Where no clock tells, it stands at the time of the
frame before it that has one (or the first that has), and time_known is false."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quipu.archive import disk
from quipu.errors import UsageError
from quipu.past import describe
from quipu.past.memory import At, Memory
from quipu.past.query import number
from quipu.text import octets
from shared_kernel.kernel import u32

Data = dict[str, Any]

_RECORDS = ("insert", "update", "delete")
_NANOSECONDS = 1_000_000  # of a ms
_TEXT, _NUMBER = {"type": ["string", "null"]}, {"type": ["number", "null"]}
_COMMON = {
    "seq": {"type": "integer"},
    "time_known": {"type": "boolean"},
    "uncertainty_ms": {"type": ["integer", "null"]},
}
_KEY = {"value": _TEXT, "number": _NUMBER, "deleted": {"type": "boolean"}, **_COMMON}
_RECORD = {
    "type": {"type": "string"},
    "id": {"type": "integer"},
    "tag": {"type": ["integer", "null"]},
    "vector": {"type": ["array", "null"], "items": {"type": "number"}},
    "meta": _TEXT,
    **_COMMON,
}


def need_mcap() -> Any:
    """Return the module mcap.writer; UsageError where it is not installed."""
    try:
        import mcap.writer
    except ImportError:
        raise UsageError(
            "MCAP needs the package mcap, which is not installed: pip install 'quipu-mcu[mcap]'"
        ) from None
    return mcap.writer


def write(memory: Memory, path: Path, at: At = None) -> int:
    """Write what frames up to a moment did to keys and records; return how many messages.
    UsageError without the package mcap. If it fails, what stood at path stays."""
    module = need_mcap()
    count = 0
    with disk.output(path) as aside, aside.open("wb") as file:
        writer = module.Writer(file)
        writer.start(library="quipu")
        channels: dict[str, int] = {}
        schemas = {
            name: writer.register_schema(
                name=f"quipu.{name}",
                encoding="jsonschema",
                data=json.dumps({"type": "object", "properties": fields}).encode(),
            )
            for name, fields in (("Key", _KEY), ("Record", _RECORD))
        }
        for topic, schema, unix_ms, message in messages(memory, at):
            if topic not in channels:
                channels[topic] = writer.register_channel(
                    topic=topic,
                    message_encoding="json",
                    schema_id=schemas[schema],
                    metadata={"board": memory.identity, "log": memory.log.hex()},
                )
            when = unix_ms * _NANOSECONDS
            data = json.dumps(message, ensure_ascii=False).encode()
            writer.add_message(
                channels[topic], log_time=when, publish_time=when, sequence=count, data=data
            )
            count += 1
        writer.finish()
    return count


def messages(memory: Memory, at: At = None) -> Iterator[tuple[str, str, int, Data]]:
    """Yield (topic, schema, ms since 1970, message) of each frame up to a moment that changed a key
    or a record, oldest first."""
    last = memory.moment(at).seq
    spans = memory.timeline.spans
    known = next((each.zero_ms for each in spans if each.zero_ms is not None), 0) or 0
    values: dict[str, Data] = {}  # of each key: a write of the same value does not repeat it
    place = 0
    for segment in memory.segments:
        if segment.first > last or memory.index.progress is None:
            break
        if segment.first > memory.index.progress.seq:
            break
        for frame in memory.index.frames(segment.first):
            seq = u32(frame, 4)
            if seq > last:
                break
            while place + 1 < len(spans) and spans[place + 1].first <= seq:
                place += 1
            told = describe.frame(frame)
            unix_ms, uncertainty = spans[place].at(told["tick"])
            known = known if unix_ms is None else unix_ms
            timed = {"seq": seq, "time_known": unix_ms is not None, "uncertainty_ms": uncertainty}
            if told["type"] in ("put", "delete-key"):
                topic = f"/keys/{_name(told)}"
                yield topic, "Key", known, {**_key(told, values), **timed}
            elif told["type"] in _RECORDS:
                yield "/records", "Record", known, {**_record(told), **timed}


def _name(told: Data) -> str:
    return octets(told, "name").strip('"')


def _key(told: Data, values: dict[str, Data]) -> Data:
    name = told["name_hex"]
    if told["type"] == "delete-key":
        values.pop(name, None)
        return {"value": None, "number": None, "deleted": True}
    if "value_hex" in told:
        data = bytes.fromhex(told["value_hex"])
        found = number(data)
        values[name] = {
            "value": told["value"] if told["value"] is not None else "0x" + told["value_hex"],
            "number": float(found) if found is not None and -1e300 < found < 1e300 else None,
        }
    return {**values.get(name, {"value": None, "number": None}), "deleted": False}


def _record(told: Data) -> Data:
    return {
        "type": told["type"],
        "id": told.get("id", told["seq"]),
        "tag": told.get("tag"),
        "vector": told.get("vector"),
        "meta": told.get("meta"),
    }
