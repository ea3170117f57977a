"""A log written with struct, zlib and blake3 alone, so that the kernel's own frames and replay can
be held against it."""

import struct
import zlib

import blake3

from shared_kernel import frames
from shared_kernel.kernel import (
    CREATE_EDGE,
    CREATE_NODE,
    DELETE,
    DELETE_EDGE,
    DELETE_KEY,
    DELETE_NODE,
    INSERT,
    PUT,
    UPDATE,
    Kernel,
)

CONFIG = (2, 4, 4, 6, 3, 5, 7)
TOKEN = 0x40


def sealed(kind, payload, seq, tick, seed, version=1):
    body = struct.pack("<BBHII", version, kind, len(payload), seq, tick) + payload
    return body + struct.pack("<I", zlib.crc32(body, seed))


class LogWriter:
    """frames: all so far; heads: the chain head after each; roots: the state root after each."""

    def __init__(self, entropy=b"sixteen of chaos", config=CONFIG):
        genesis = struct.pack("<8I", 1, *config) + entropy + b"\0\4test"
        self.kernel = Kernel(config)
        self.frames = [sealed(1, genesis, 0, 0, 0)]
        self.heads = [blake3.blake3(bytes(32) + self.frames[0]).digest()]
        self.roots = [self.kernel.root()]
        self.name = self.heads[0]
        self.seed = zlib.crc32(self.name)
        self.boots = 0

    def add(self, kind, payload, token=b""):
        seq = len(self.frames)
        frame = sealed(kind | (TOKEN if token else 0), token + payload, seq, 10 * seq, self.seed)
        if 0x10 <= kind < 0x40:
            self.kernel.check(kind, payload, 0, len(payload))
            self.kernel.apply(kind, payload, 0, len(payload), seq)
        self.frames.append(frame)
        self.heads.append(blake3.blake3(self.heads[-1] + frame).digest())
        self.roots.append(self.kernel.root())
        return seq

    def boot(self, skipped=0):
        self.boots += 1
        return self.add(
            2, struct.pack("<I", self.boots) + self.heads[-1] + struct.pack("<II", skipped, 0)
        )

    def checkpoint(self):
        return self.add(3, self.roots[-1])


def every_type(entropy=b"sixteen of chaos", notes=True):
    """Return a LogWriter with a frame of every type in it, with tokens and without, and no two
    equal payloads in a row. notes: also of those in which a store notes what became of its
    sectors."""
    log = LogWriter(entropy)
    log.boot()
    one = log.add(INSERT, frames.insert([1, -2], 9, b"meta!"))
    two = log.add(INSERT, frames.insert([70000, 3]), token=b"8 bytes.")
    log.add(UPDATE, frames.update(one, 5, b"new"))
    log.add(UPDATE, frames.update(two, 6))
    log.checkpoint()
    node = log.add(CREATE_NODE, frames.create_node(3, one))
    other = log.add(CREATE_NODE, frames.create_node(4))
    edge = log.add(CREATE_EDGE, frames.create_edge(7, node, other))
    log.add(0x84, struct.pack("<QI", 1700000000000, 50))
    loop = log.add(CREATE_EDGE, frames.create_edge(8, other, other), token=b"another.")
    log.add(0x84, struct.pack("<QI", 1700000001000, 50), token=b"a third.")
    put = log.add(PUT, frames.put("temp", b"21.5"))
    log.add(PUT, struct.pack("<IBB", put, 1, 4) + b"temp")
    log.add(0x85, b"of a later version, to be skipped")
    if notes:
        log.add(0x88, b"\x07\0")
        log.add(0x89, struct.pack("<I", 5))
        log.add(0x8A, struct.pack("<II", 7, 1))
    log.boot(skipped=12)
    log.checkpoint()
    log.add(DELETE_EDGE, frames.ident(edge))
    log.add(DELETE_NODE, frames.ident(node))
    log.add(DELETE, frames.ident(one))
    log.add(DELETE_KEY, frames.delete_key("temp", put + 1))
    log.add(DELETE_NODE, frames.ident(other))
    log.add(INSERT, frames.insert([loop, 1], 2, b"m"))
    return log
