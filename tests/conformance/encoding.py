"""The bytes that vectors expect, made with struct, zlib and the blake3 package only. Never imports
the kernel, which is what these bytes are held against.
"""

import struct
import zlib

from blake3 import blake3

KINDS = {
    "insert": 0x10,
    "update": 0x11,
    "delete": 0x12,
    "create-node": 0x14,
    "delete-node": 0x15,
    "create-edge": 0x18,
    "delete-edge": 0x19,
    "put": 0x1C,
    "delete-key": 0x1D,
}
GENESIS, BOOT, CHECKPOINT, CLOCK, TOKEN = 0x01, 0x02, 0x03, 0x84, 0x40
MAX, MIN, TOP = 2**31 - 1, -(2**31), 2**32 - 1  # of an i32, and of a u32


def hashed(data):
    return blake3(data).digest()


def to_hex(data):
    return bytes(data).hex() or "-"


def commas(values):
    return ",".join(str(each) for each in values) or "-"


def u32s(*values):
    return struct.pack("<%dI" % len(values), *(each & TOP for each in values))


def frame(kind, payload, seq, tick, crc_seed):
    body = struct.pack("<BBHII", 1, kind, len(payload), seq, tick) + payload
    return body + u32s(zlib.crc32(body, crc_seed))


def genesis_payload(config, entropy, policy, identity, origin=b""):
    return u32s(1, *config) + entropy + bytes((policy, len(identity))) + identity + origin


def insert(vector, tag=0, meta=b""):
    return struct.pack("<H", len(vector)) + u32s(tag, *vector) + meta


def update(ident, tag=None, meta=None):
    which = (tag is not None) | (meta is not None) << 1
    return u32s(ident, tag or 0) + bytes((which,)) + (meta or b"")


def put(name, value, prev=0):
    return u32s(prev) + bytes((0, len(name))) + name + value


def recrc(header):
    return header[:-4] + u32s(zlib.crc32(header[:-4]))


def pattern(at, size):
    """Return the bytes from which the functions of a provider are asked for hashes."""
    return bytes((i * 167 ^ i >> 8) & 255 for i in range(at, at + size))
