"""What a board answers, decoded: one function a request, from bytes to typed values. Asks nothing.

A board may be broken, of another version or hostile: whatever it says is a LinkError, or exactly
what the request's page (docs/format.md, Requests) says it can be. Sizes are bounded here, before
anything is allocated or pulled by their word."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from quipu import limits
from shared_kernel import snapshot
from shared_kernel.config import CONFIG_NAMES, check_config
from shared_kernel.errors import Invalid, LinkError
from shared_kernel.history import History
from shared_kernel.kernel import u32
from shared_kernel.link import PROTOCOL

PROTOCOLS = (1, PROTOCOL)  # of the link: a board of protocol 1 gives its log by frames only
_NO_VALUE = 0xFFFF  # length of a version whose value has left the flash
_TEXT = 1024  # characters of a text
_SEQ = 0xFFFFFFFF
_COUNT = 1 << 53  # what any JSON can hold

Check = Callable[[Any], bool]


def wrong(what: str, expected: str, found: object) -> NoReturn:
    """Raise LinkError: an answer is none that a board can give."""
    raise LinkError(
        f"the board's answer on {what} cannot be: expected {expected}, found "
        f"{limits.shown(found)!r}. Is it of another version of Quipu, or another program? See "
        "`quipu info`, and try again"
    )


# -- INFO ------------------------------------------------------------------------------------------


def _number(low: int, high: int) -> tuple[str, Check]:
    return f"a number from {low} to {high}", lambda it: type(it) is int and low <= it <= high


def _hash(it: Any) -> bool:
    return isinstance(it, str) and len(it) == 64 and not it.strip("0123456789abcdef")


def _text(it: Any) -> bool:
    return isinstance(it, str) and len(it) <= _TEXT


def _list(it: Any, each: Check) -> bool:
    return isinstance(it, list) and len(it) <= _TEXT * 64 and all(map(each, it))


_SEQ_NUMBER = _number(0, _SEQ)
_ANY_COUNT = _number(-_COUNT, _COUNT)
_HASH = "64 hexadecimal digits in lower case", _hash
_ANY_TEXT = f"text of at most {_TEXT} characters", _text
_TEXT_OR_NONE = "text or null", lambda it: it is None or _text(it)
_FIELDS: dict[str, tuple[str, Check]] = {
    "request_limit": _number(64, 0xFFFF),
    "answer_limit": _number(64, 0xFFFF),
    "firmware": _ANY_TEXT,
    "rules": _SEQ_NUMBER,
    "board": _ANY_TEXT,
    "micropython": _ANY_TEXT,
    "machine": _ANY_TEXT,
    "mpy": _ANY_COUNT,
    "provider": _ANY_TEXT,
    "native_refused": _TEXT_OR_NONE,
    "heap_free": _ANY_COUNT,
    "heap_used": _ANY_COUNT,
    "sector": _number(1, limits.REGION),
    "sectors": _number(1, 0xFFFFFF),
    "unit": _number(1, 0xFFFF),
    "format": _number(1, 0xFFFF),
    "damage": _TEXT_OR_NONE,
    "configured": ("true or false", lambda it: isinstance(it, bool)),
    "log": _HASH,
    "policy": _number(0, 0xFF),
    "first_seq": _SEQ_NUMBER,
    "first_head": _HASH,
    "acknowledged": _number(0, _SEQ + 1),
    "cuts": ("a list of pairs", lambda it: _list(it, lambda each: _list(each, _is_count))),
    "bad_sectors": ("a list of numbers", lambda it: _list(it, _is_count)),
    "snapshots": ("a list of seqs", lambda it: _list(it, _SEQ_NUMBER[1])),
    "seq": _SEQ_NUMBER,
    "head": _HASH,
    "root": _HASH,
    "state_seq": _SEQ_NUMBER,
    "boot": _SEQ_NUMBER,
    "records": _SEQ_NUMBER,
    "nodes": _SEQ_NUMBER,
    "edges": _SEQ_NUMBER,
    "keys": _SEQ_NUMBER,
    "log_free": _ANY_COUNT,
    "log_size": _ANY_COUNT,
}
_ALWAYS = ("request_limit", "board", "sector", "sectors", "damage", "configured")
_OF_A_LOG = ("log", "first_seq", "first_head")  # of a board that is configured
_OF_A_STATE = ("head", "root", "config")  # where there is a seq


def _is_count(it: Any) -> bool:
    return _ANY_COUNT[1](it)


def info(data: bytes) -> dict[str, Any]:
    """Return a board's facts. Of another protocol of the link nothing but its number is known: then
    the rest is as it came."""
    try:
        facts = limits.parsed(data)
    except ValueError as error:
        wrong("INFO", "JSON", f"{error}")
    if not isinstance(facts, dict):
        wrong("INFO", "a JSON object", facts)
    protocol = facts.get("protocol", 0)
    if type(protocol) is not int:
        wrong("INFO (protocol)", "a number", protocol)
    if protocol not in PROTOCOLS:
        return facts
    due = list(_ALWAYS)
    if facts.get("configured") is True:
        due += _OF_A_LOG
    if "seq" in facts:
        due += (*_OF_A_LOG, *_OF_A_STATE)
    for name in due:
        if name not in facts:
            wrong(f"INFO ({name})", "the field", "none")
    for name, (expected, fits) in _FIELDS.items():
        if name in facts and not fits(facts[name]):
            wrong(f"INFO ({name})", expected, facts[name])
    if facts["sector"] * facts["sectors"] > limits.REGION:
        wrong(
            "INFO (sector, sectors)",
            f"a region of at most {limits.REGION} bytes",
            facts["sector"] * facts["sectors"],
        )
    if "seq" in facts and facts["first_seq"] > facts["seq"] + 1:
        wrong("INFO (first_seq)", f"at most seq + 1, {facts['seq'] + 1}", facts["first_seq"])
    if facts.get("config") is not None:
        _config(facts["config"])
    return facts


def _config(config: Any) -> None:
    if not isinstance(config, dict) or set(config) != set(CONFIG_NAMES):
        wrong("INFO (config)", "the fields " + ", ".join(CONFIG_NAMES), config)
    if not all(type(config[name]) is int for name in CONFIG_NAMES):
        wrong("INFO (config)", "numbers", list(config.values()))
    try:
        check_config(config[name] for name in CONFIG_NAMES)
    except Invalid as error:
        wrong("INFO (config)", "a configuration", error)


# -- numbers ---------------------------------------------------------------------------------------


def words(data: bytes) -> list[int]:
    """Return the u32s of an answer that was found to consist of them."""
    return [u32(data, at) for at in range(0, len(data), 4)]


def numbers(what: str, data: bytes, count: int) -> list[int]:
    """Return the u32s of an answer that has so many."""
    if len(data) != 4 * count:
        wrong(what, f"{4 * count} bytes", f"{len(data)} bytes")
    return words(data)


def groups(what: str, data: bytes, count: int) -> list[list[int]]:
    """Return the u32s of an answer in groups of `count`."""
    if len(data) % (4 * count):
        wrong(what, f"a multiple of {4 * count} bytes", f"{len(data)} bytes")
    found = words(data)
    return [found[at : at + count] for at in range(0, len(found), count)]


def seq(what: str, data: bytes) -> int:
    """Return the seq that an order was answered with."""
    return numbers(what, data, 1)[0]


# -- what is in the state --------------------------------------------------------------------------


def value(what: str, data: bytes) -> bytes:
    """Return the value in an answer to KEY or KEY_AT, behind the seq that wrote it."""
    if len(data) < 4:
        wrong(what, "4 bytes or more", f"{len(data)} bytes")
    return data[4:]


def record(data: bytes, config: Sequence[int]) -> tuple[int, list[int], bytes]:
    """Return (tag, vector, metadata). config: the log's."""
    end = 4 + 4 * config[0]
    if not end <= len(data) <= end + 255:
        wrong("a record", f"{end} to {end + 255} bytes", f"{len(data)} bytes")
    tag, *vector = words(data[:end])
    return tag, [each - (1 << 32) if each >> 31 else each for each in vector], data[end:]


def search(data: bytes) -> list[tuple[int, int]]:
    """Return [(distance, id)]."""
    return [(low | high << 32, ident) for low, high, ident in groups("a search", data, 3)]


def history(data: bytes) -> History:
    """Return the versions of a key."""
    out = History()
    if len(data) < 4:
        wrong("a key's history", "4 bytes or more", f"{len(data)} bytes")
    out.archived = u32(data, 0) - 1 if u32(data, 0) else None
    at = 4
    while at < len(data):
        if at + 6 > len(data):
            wrong("a key's history", "whole versions", f"{len(data) - at} bytes of one")
        size = data[at + 4] | data[at + 5] << 8
        held = 0 if size == _NO_VALUE else size
        if at + 6 + held > len(data):
            wrong("a key's history", f"a value of {held} bytes", f"{len(data) - at - 6} bytes")
        out.versions.append(
            (u32(data, at), None if size == _NO_VALUE else data[at + 6 : at + 6 + held])
        )
        at += 6 + held
    return out


# -- the log ---------------------------------------------------------------------------------------


def snapshot_header(data: bytes) -> tuple[int, bytes]:
    """Return (slot, header) of a snapshot."""
    if len(data) != 1 + snapshot.HEADER or data[0] > 1:
        wrong(
            "its snapshot",
            f"a slot and {snapshot.HEADER} bytes",
            f"{len(data)} bytes" if len(data) != 1 + snapshot.HEADER else f"slot {data[0]}",
        )
    return data[0], data[1:]


def at_most(what: str, data: bytes, size: int) -> bytes:
    """Return an answer of at most `size` bytes."""
    if len(data) > size:
        wrong(what, f"at most {size} bytes", f"{len(data)} bytes")
    return data
