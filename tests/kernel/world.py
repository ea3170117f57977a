"""A kernel and the model side by side: commands drawn at random, given to both, and everything
compared after each.

`pick(n)` is the only source of chance (0 to n-1): hypothesis draws it, or a seeded generator does.
"""

import functools
import zlib

import blake3

from shared_kernel import blake3 as reference
from shared_kernel import frames
from shared_kernel.errors import Refused
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
from tests.kernel import arena_rules
from tests.model import Model, contents_of

SEED = 0x1234ABCD  # of the frames' CRC; any
COMPONENTS = (0, 1, -1, 65536, -65536, 2**31 - 1, -(2**31), 0x12345678, -0x0FEDCBA9)
NUMBERS = (0, 1, 7, 2**31, 2**32 - 1)
NAMES = (b"a", b"b", b"temperature", b"\0", b"\0\0", "é".encode(), b"n" * 24, b"n" * 23 + b"m")


@functools.lru_cache(maxsize=8192)
def _chunk_cv(chunk, counter):
    out = bytearray(32)
    reference.chunk_cv(chunk, 0, counter, out, 0)
    return out


def full_hash(data):
    return blake3.blake3(data).digest()


class Incremental:
    """The plain reference, remembering its chunks, so that the root takes the board's way: changed
    chunks and their path."""

    name = "incremental"
    hash = staticmethod(full_hash)
    crc32 = staticmethod(zlib.crc32)
    whole = False

    @staticmethod
    def chunk_cv(data, at, counter, out, out_at):
        out[out_at : out_at + 32] = _chunk_cv(bytes(data[at : at + 1024]), counter)


class World:
    """config as the kernel's; seq: the last one before the first command."""

    def __init__(self, config, seq=0):
        self.kernel = Kernel(config)
        self.model = Model(config)
        self.seq = seq
        self.dim, self.max_meta, self.max_value = config[0], config[5], config[6]
        self.ids = {"record": [], "node": [], "edge": []}  # all ever made
        self.applied = 0
        self.refused = 0

    # -- one command -------------------------------------------------------------------------------

    def give(self, kind, payload, told):
        """Give a command to both. payload: a function that returns its bytes; told: one that tells
        the model, given a seq.

        Returns whether it was applied.
        """
        seq = self.seq + 1
        refused = None
        try:
            told(seq)
        except Refused as e:
            refused = type(e)
        before = bytes(self.kernel.arena.bytes)
        try:
            frame = frames.frame(kind, payload(), seq, 0, SEED)
            self.kernel.check(kind, frame, frames.HEADER, len(frame) - 4)
        except Refused as e:
            assert type(e) is refused, "the kernel says %r, the model %r" % (e, refused)
            assert str(e)
            assert self.kernel.arena.bytes == before, "a refused command changed the arena"
            self.refused += 1
            return False
        assert refused is None, "the kernel takes what the model refuses as %s" % refused
        assert self.kernel.arena.bytes == before, "a check changed the arena"
        self.kernel.apply(kind, frame, frames.HEADER, len(frame) - 4, seq)
        self.seq = seq
        self.applied += 1
        return True

    def verify(self):
        """Assert that kernel and model are equal, that the arena keeps its rules, and that the root
        is its BLAKE3."""
        assert contents_of(self.kernel) == self.model.contents()
        arena_rules.check(bytes(self.kernel.arena.bytes))
        assert self.kernel.root() == full_hash(self.kernel.arena.bytes)

    # -- what to draw ------------------------------------------------------------------------------

    def ident(self, pick, label):
        """Mostly one that is there; else one that was, 0, the next seq, the greatest u32, or an id
        of another kind."""
        n = pick(8)
        live = sorted(getattr(self.model, label + "s"))
        if n < 6 and live:
            return live[pick(len(live))]
        if n == 6 and self.ids[label]:
            return self.ids[label][pick(len(self.ids[label]))]
        others = [ident for each in sorted(self.ids) for ident in self.ids[each][-2:]]
        return ([0, self.seq + 1, 2**32 - 1] + others)[pick(3 + len(others))]

    def bytes_up_to(self, pick, limit):
        """Seldom one too many."""
        size = (0, limit // 2, limit, limit, limit + 1)[pick(5)]
        return (b"\xff\x01\0" * (size // 3 + 1))[:size]

    def number(self, pick):
        return NUMBERS[pick(len(NUMBERS))]

    def name(self, pick):
        return (NAMES + NAMES + (b"", b"x" * 25))[pick(2 * len(NAMES) + 2)]

    def prev(self, pick, name):
        seq = self.model.keys[name][0] if name in self.model.keys else 0
        return (seq, seq, seq, seq, 0, 1, self.seq)[pick(7)]

    # -- commands ----------------------------------------------------------------------------------

    def insert(self, pick):
        dim = self.dim - 1 if pick(12) == 0 else self.dim
        start = pick(len(COMPONENTS))
        vector = [COMPONENTS[(start + i * i) % len(COMPONENTS)] for i in range(dim)]
        # a payload does not say where its vector ends: a short vector shows only when no metadata
        # fills the gap
        tag, meta = (
            self.number(pick),
            self.bytes_up_to(pick, self.max_meta) if dim == self.dim else b"",
        )
        if self.give(
            INSERT,
            lambda: frames.insert(vector, tag, meta),
            lambda seq: self.model.insert(seq, vector, tag, meta),
        ):
            self.ids["record"].append(self.seq)

    def update(self, pick):
        ident = self.ident(pick, "record")
        tag = None if pick(3) == 0 else self.number(pick)
        meta = None if pick(3) == 0 else self.bytes_up_to(pick, self.max_meta)
        self.give(
            UPDATE,
            lambda: frames.update(ident, tag, meta),
            lambda seq: self.model.update(seq, ident, tag, meta),
        )

    def delete(self, pick):
        ident = self.ident(pick, "record")
        self.give(DELETE, lambda: frames.ident(ident), lambda seq: self.model.delete(seq, ident))

    def create_node(self, pick):
        kind = self.number(pick)
        record = 0 if pick(3) == 0 else self.ident(pick, "record")
        if self.give(
            CREATE_NODE,
            lambda: frames.create_node(kind, record),
            lambda seq: self.model.create_node(seq, kind, record),
        ):
            self.ids["node"].append(self.seq)

    def delete_node(self, pick):
        ident = self.ident(pick, "node")
        self.give(
            DELETE_NODE, lambda: frames.ident(ident), lambda seq: self.model.delete_node(seq, ident)
        )

    def create_edge(self, pick):
        kind, origin, target = self.number(pick), self.ident(pick, "node"), self.ident(pick, "node")
        if self.give(
            CREATE_EDGE,
            lambda: frames.create_edge(kind, origin, target),
            lambda seq: self.model.create_edge(seq, kind, origin, target),
        ):
            self.ids["edge"].append(self.seq)

    def delete_edge(self, pick):
        ident = self.ident(pick, "edge")
        self.give(
            DELETE_EDGE, lambda: frames.ident(ident), lambda seq: self.model.delete_edge(seq, ident)
        )

    def put(self, pick):
        name, value = self.name(pick), self.bytes_up_to(pick, self.max_value)
        prev = self.prev(pick, name)
        self.give(
            PUT,
            lambda: frames.put(name, value, prev),
            lambda seq: self.model.put(seq, name, value, prev),
        )

    def put_same(self, pick):
        name = self.name(pick)
        prev = self.prev(pick, name)
        self.give(
            PUT,
            lambda: prev.to_bytes(4, "little") + bytes((1, len(name))) + name,
            lambda seq: self.model.put_same(seq, name, prev),
        )

    def delete_key(self, pick):
        name = self.name(pick)
        prev = self.prev(pick, name)
        self.give(
            DELETE_KEY,
            lambda: frames.delete_key(name, prev),
            lambda seq: self.model.delete_key(seq, name, prev),
        )

    def log_only(self, pick):
        """A frame that is no command takes a seq and changes nothing."""
        self.seq += 1


VERBS = (
    "insert",
    "insert",
    "update",
    "delete",
    "create_node",
    "create_node",
    "delete_node",
    "create_edge",
    "create_edge",
    "create_edge",
    "delete_edge",
    "put",
    "put",
    "put_same",
    "delete_key",
    "log_only",
)


def wander(world, pick, steps, after=World.verify):
    """Give `steps` commands drawn by pick, and call after(world) after each."""
    for _ in range(steps):
        getattr(world, VERBS[pick(len(VERBS))])(pick)
        after(world)
