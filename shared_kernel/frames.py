"""Frames: one entry of the log as bytes, and the payloads inside. Knows no state and no flash.

frame = version u8 | type u8 | payload length u16 | seq u32 | tick u32 | payload | CRC-32 u32
The CRC covers all before it and starts from the CRC of the log's name (from 0 in a genesis), so a
frame of another log never passes. Type: bit 7 = may be skipped by a reader that does not know it,
bit 6 = the payload begins with an 8-byte token, the rest is the number.
"""

from . import primitives
from .const import const
from .errors import Invalid, TooLong
from .kernel import SET_META, SET_TAG, put_u32, u32

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Config, Integers, WritableBuffer

    STOP: int  # genesis.py needs its type before this file has been read: they import each other

VERSION = const(1)
HEADER = const(12)
OVERHEAD = const(16)  # header and CRC
GENESIS_BYTES = const(264)  # that hold any genesis frame
# seq, number of a run, boot number and generation of a snapshot: no log goes on far beyond it
LAST = const(0xF0000000)
TOKEN_BYTES = const(8)
BOOT_BYTES = const(44)  # of a boot frame's payload

GENESIS = const(0x01)
BOOT = const(0x02)
CHECKPOINT = const(0x03)
CLOCK = const(0x84)
# Reserved for later: code 0x85, summary 0x86, capability 0x87, seal 0x8B, crash 0x8C, origin 0x0D,
# owner 0x0E, revoke 0x0F.
QUARANTINE = const(0x88)  # written by format 1 only
ACKNOWLEDGED = const(0x89)
SNAPSHOT = const(0x8A)
SKIPPABLE = const(0x80)
TOKEN = const(0x40)

# The top bits of a tick say where a frame stands in its group; a frame alone has neither. TICK_TOP:
# where in a frame they stand.
MORE = const(0x80)  # the group goes on with the next frame
CONTINUES = const(0x40)  # the group began before
TICK_TOP = const(11)

NO_HEAD = bytes(32)
STOP = const(0)  # policy of a full log
OVERWRITE = const(1)


def largest_frame(config: "Config") -> int:
    """Return the length of the largest frame, genesis aside, that a log of this configuration can
    hold."""
    return OVERHEAD + max(
        TOKEN_BYTES + max(6 + 4 * config[0] + config[5], 30 + config[6]), BOOT_BYTES
    )


def span(config: "Config", unit: int) -> int:
    """Return the most bytes that one program call of the log carries on flash of this program unit:
    what a power cut may void."""
    size = max(largest_frame(config), 320)
    return (size + unit - 1) // unit * unit


def seed(name: "Buffer") -> int:
    """Return the CRC from which the frames of the log called `name` (32 bytes) start."""
    return primitives.crc32(name, 0)


def seal(
    buffer: "WritableBuffer", start: int, kind: int, size: int, seq: int, tick: int, crc_seed: int
) -> int:
    """Write header and CRC around the payload of `size` bytes at buffer[start+12]; return where the
    frame ends."""
    buffer[start] = VERSION
    buffer[start + 1] = kind
    buffer[start + 2] = size & 255
    buffer[start + 3] = size >> 8
    put_u32(buffer, start + 4, seq)
    put_u32(buffer, start + 8, tick)
    end = start + HEADER + size
    put_u32(buffer, end, primitives.crc32(memoryview(buffer)[start:end], crc_seed))
    return end + 4


def chain(
    buffer: "WritableBuffer",
    kind: int,
    size: int,
    seq: int,
    tick: int,
    crc_seed: int,
    head: bytes,
    group: "WritableBuffer",
    at: int,
    room: int,
) -> bytes:
    """Seal the frame whose payload stands at buffer[32+12:], copy it to group[at:], filled up to
    `room` bytes; return the chain head after it. The head before it goes to the buffer's beginning:
    one hash over both is the chain's next link."""
    end = seal(buffer, 32, kind, size, seq, tick, crc_seed)
    buffer[:32] = head
    primitives.copy(group, at, buffer, 32, end - 32)
    for i in range(at + end - 32, at + room):
        group[i] = 0xFF
    return primitives.hash(memoryview(buffer)[:end])


def frame(kind: int, payload: "Buffer", seq: int, tick: int, crc_seed: int) -> bytes:
    """Return a whole frame as bytes."""
    out = bytearray(OVERHEAD + len(payload))
    out[HEADER : HEADER + len(payload)] = payload
    seal(out, 0, kind, len(payload), seq, tick, crc_seed)
    return bytes(out)


def length_at(buffer: "Buffer", start: int) -> int:
    """Return the length of the frame that the header at buffer[start] claims."""
    return OVERHEAD + (buffer[start + 2] | buffer[start + 3] << 8)


def crc_fits(buffer: "Buffer", start: int, end: int, crc_seed: int) -> bool:
    """Return whether the frame buffer[start:end] carries the CRC of its bytes."""
    return primitives.crc32(memoryview(buffer)[start : end - 4], crc_seed) == u32(buffer, end - 4)


# -- payloads --------------------------------------------------------------------------------------


def words_bytes(values: "Integers") -> bytearray:
    """Return integers (i32 or u32) as little-endian 32-bit words."""
    out = bytearray(4 * len(values))
    for i in range(len(values)):
        put_u32(out, 4 * i, values[i])
    return out


def vector_bytes(vector: "Integers") -> bytes | bytearray:
    """Return a vector of Q16.16 integers as bytes; Invalid for anything that is not a signed 32-bit
    integer."""
    packed = primitives.pack and primitives.pack(vector, None, b"")
    if packed:
        return packed
    for each in vector:
        if not isinstance(each, int):
            raise Invalid(
                "a vector's components are Q16.16 integers, not %r: convert with quipu.vector()"
                % (each,)
            )
        if not -0x80000000 <= each <= 0x7FFFFFFF:
            raise Invalid(
                "a vector's components are signed 32-bit Q16.16 integers: %d is out of range" % each
            )
    return words_bytes(vector)


def _u32(what: str, value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= 0xFFFFFFFF:
        raise Invalid("%s must be 0 to 4294967295, not %r" % (what, value))
    return value


def _name(name: "str | Buffer") -> bytes:
    if isinstance(name, str):
        name = name.encode()
    if not 1 <= len(name) <= 24:
        raise TooLong("a key's name has 1 to 24 bytes, not %d: %r" % (len(name), name))
    return bytes(name)


def insert(vector: "Integers", tag: int = 0, meta: bytes = b"") -> bytes:
    packed = primitives.pack and primitives.pack(vector, tag, meta)
    if packed:
        return packed
    dim = min(len(vector), 0xFFFF)
    return (
        bytes((dim & 255, dim >> 8))
        + words_bytes((_u32("tag", tag),))
        + vector_bytes(vector)
        + meta
    )


def update(ident: int, tag: int | None = None, meta: "Buffer | None" = None) -> bytes:
    which = (0 if tag is None else SET_TAG) | (0 if meta is None else SET_META)
    if not which:
        raise Invalid("an update sets the tag, the metadata or both: neither was given")
    return bytes(
        words_bytes((_u32("id", ident), _u32("tag", tag or 0)))
        + bytes((which,))
        + bytes(memoryview(meta or b""))
    )


def ident(ident: int) -> bytes:
    """Return the payload of delete record, delete node and delete edge."""
    return bytes(words_bytes((_u32("id", ident),)))


def create_node(kind: int, record: int | None = 0) -> bytes:
    return bytes(words_bytes((_u32("kind", kind), _u32("record", record or 0))))


def create_edge(kind: int, origin: int, target: int) -> bytes:
    return bytes(words_bytes((_u32("kind", kind), _u32("from", origin), _u32("to", target))))


def put(name: "str | Buffer", value: "Buffer", prev: int = 0) -> bytes:
    name = _name(name)
    return bytes(
        words_bytes((_u32("prev", prev),)) + bytes((0, len(name))) + name + bytes(memoryview(value))
    )


def delete_key(name: "str | Buffer", prev: int = 0) -> bytes:
    return bytes(words_bytes((_u32("prev", prev),))) + _name(name)


def boot(number: int, head: bytes, skipped: int, repeats: int = 0) -> bytes:
    """skipped: bytes that a power cut voided; repeats: bytes before this frame that repeat the
    log's last frames."""
    return bytes(words_bytes((number,)) + head + words_bytes((skipped, repeats)))


def clock(unix_ms: int, uncertainty_ms: int) -> bytes:
    """unix_ms: milliseconds since 1970 UTC; uncertainty_ms: how far off it may be."""
    return bytes(words_bytes((unix_ms & 0xFFFFFFFF, unix_ms >> 32, uncertainty_ms)))
