"""A second verifier, written from docs/format.md alone: it shares no line with the project and
imports nothing of it.

    python tools/verifier.py FRAMES [SNAPSHOT]
    python tools/verifier.py IMAGE [--sector BYTES] [--unit BYTES] [--start BYTE] [--size BYTES]

FRAMES is a file of whole frames one after the other, from a genesis on; with SNAPSHOT (header and
arena), from the frame after it. IMAGE is a flash region of format 2, or a dump that contains one;
what is not given is found by its sector records. The state is one bytearray, addressed by bytes
throughout."""

import argparse
import struct
import sys
import zlib
from pathlib import Path

from blake3 import blake3


class Broken(Exception):
    """The log is not what the page says."""


def need(fact, why):
    if not fact:
        raise Broken(why)


def b3(data):
    return blake3(data).digest()


def get(data, at):
    return struct.unpack_from("<I", data, at)[0]


def plan(config):
    """Return ([(offsets of the slots, words of a slot)] of the four pools, bytes of the arena)."""
    dim, records, nodes, edges, keys, meta, value = config
    pools, end = [], 128
    for words, count in (
        (5 + dim + -(-meta // 4), records),
        (7, nodes),
        (10, edges),
        (10 + -(-value // 4), keys),
    ):
        offsets, size = [], 4 * words
        for _ in range(count):
            chunk, inside = end - end % 1024, -(-(end % 1024) // size) * size
            if inside and inside + size > 1024:
                chunk, inside = chunk + 1024, 0
            offsets.append(chunk + inside)
            end = chunk + inside + size
            if size > 1024:
                end = -(-end // 1024) * 1024
        pools.append((offsets, words))
    return pools, -(-end // 1024) * 1024


class Pool:
    """counts: offset of its three header words (live, free list, fresh)."""

    def __init__(self, arena, counts, offsets, words):
        self.arena, self.counts, self.offsets, self.words = arena, counts, offsets, words

    def __getitem__(self, place):
        link, word = place
        return get(self.arena, self.offsets[link - 1] + 4 * word)

    def __setitem__(self, place, value):
        link, word = place
        struct.pack_into("<I", self.arena, self.offsets[link - 1] + 4 * word, value)

    def count(self, i, value=None):
        if value is not None:
            struct.pack_into("<I", self.arena, self.counts + 4 * i, value)
        return get(self.arena, self.counts + 4 * i)

    def bytes(self, link, word, size):
        at = self.offsets[link - 1] + 4 * word
        return bytes(self.arena[at : at + size])

    def write(self, link, word, data):
        at = self.offsets[link - 1] + 4 * word
        self.arena[at : at + len(data)] = data

    def bucket(self, ident):
        return (ident ^ (ident >> 8) ^ (ident >> 16)) % len(self.offsets) + 1

    def chain(self, bucket):
        link = self[bucket, 0]
        while link:
            yield link
            link = self[link, 2]

    def find(self, ident):
        if ident and self.offsets:
            for link in self.chain(self.bucket(ident)):
                if self[link, 1] == ident:
                    return link
        raise Broken("id %d is not there" % ident)

    def room(self):
        need(self.count(0) < len(self.offsets), "the pool is full")

    def add(self, ident, bucket):
        link = self.count(1)
        if link:
            self.count(1, self[link, 2])
        else:
            link = self.count(2, self.count(2) + 1)
        self.count(0, self.count(0) + 1)
        self[link, 1], self[link, 2] = ident, self[bucket, 0]
        self[bucket, 0] = link
        return link

    def remove(self, link, bucket):
        chain = list(self.chain(bucket))
        i = chain.index(link)
        if i:
            self[chain[i - 1], 2] = self[link, 2]
        else:
            self[bucket, 0] = self[link, 2]
        self.write(link, 1, bytes(4 * self.words - 4))
        self[link, 2] = self.count(1)
        self.count(1, link)
        self.count(0, self.count(0) - 1)


class State:
    """An arena, and what each command does to it. A command that may not be applied is Broken, and
    changes nothing."""

    def __init__(self, config, arena=None):
        self.dim, self.meta, self.value = config[0], config[5], config[6]
        pools, size = plan(config)
        self.arena = bytearray(
            arena or struct.pack("<9I", 0x41505551, 1, *config).ljust(size, b"\0")
        )
        need(len(self.arena) == size, "the arena has the wrong size")
        self.records, self.nodes, self.edges, self.keys = [
            Pool(self.arena, 40 + 12 * i, *pools[i]) for i in range(4)
        ]

    def apply(self, kind, p, seq):
        verb = {
            0x10: self.insert,
            0x11: self.update,
            0x12: self.delete,
            0x14: self.node,
            0x15: self.delete_node,
            0x18: self.edge,
            0x19: self.delete_edge,
            0x1C: self.put,
            0x1D: self.delete_key,
        }.get(kind)
        need(verb, "command 0x%02x is unknown" % kind)
        try:
            verb(p, seq)
        except struct.error:
            raise Broken("the payload is too short") from None
        struct.pack_into("<I", self.arena, 36, seq)

    def insert(self, p, seq):
        (dim,) = struct.unpack_from("<H", p)
        size = len(p) - 6 - 4 * self.dim
        need(dim == self.dim and 0 <= size <= self.meta, "wrong dimension or length of an insert")
        self.records.room()
        link = self.records.add(seq, self.records.bucket(seq))
        self.records[link, 3] = size
        self.records.write(link, 4, p[2:])

    def update(self, p, seq):
        ident, tag, fields = struct.unpack_from("<IIB", p)
        meta = p[9:]
        need(
            fields in (1, 2, 3) and (fields & 1 or not tag) and (fields & 2 or not meta),
            "wrong fields in an update",
        )
        need(len(meta) <= self.meta, "metadata is too long")
        link = self.records.find(ident)
        if fields & 1:
            self.records[link, 4] = tag
        if fields & 2:
            self.records.write(link, 5 + self.dim, meta.ljust(-(-self.meta // 4) * 4, b"\0"))
            self.records[link, 3] = self.records[link, 3] >> 8 << 8 | len(meta)

    def delete(self, p, seq):
        (ident,) = self.exactly("<I", p)
        link = self.records.find(ident)
        need(self.records[link, 3] < 256, "the record is referred to")
        self.records.remove(link, self.records.bucket(ident))

    def node(self, p, seq):
        kind, record = self.exactly("<II", p)
        of = self.records.find(record) if record else 0
        self.nodes.room()
        link = self.nodes.add(seq, self.nodes.bucket(seq))
        self.nodes[link, 3], self.nodes[link, 4] = kind, of
        if of:
            self.records[of, 3] += 256

    def delete_node(self, p, seq):
        (ident,) = self.exactly("<I", p)
        link = self.nodes.find(ident)
        for first in (5, 6):
            while self.nodes[link, first]:
                self.unhook(self.nodes[link, first])
        if self.nodes[link, 4]:
            self.records[self.nodes[link, 4], 3] -= 256
        self.nodes.remove(link, self.nodes.bucket(ident))

    def edge(self, p, seq):
        kind, origin, target = self.exactly("<III", p)
        ends = self.nodes.find(origin), self.nodes.find(target)
        self.edges.room()
        link = self.edges.add(seq, self.edges.bucket(seq))
        self.edges[link, 3] = kind
        for way, node in enumerate(ends):
            old = self.nodes[node, 5 + way]
            self.edges[link, 4 + way], self.edges[link, 6 + 2 * way] = node, old
            if old:
                self.edges[old, 7 + 2 * way] = link
            self.nodes[node, 5 + way] = link

    def delete_edge(self, p, seq):
        self.unhook(self.edges.find(*self.exactly("<I", p)))

    def unhook(self, link):
        edges = self.edges
        for way in (0, 1):
            after, before = edges[link, 6 + 2 * way], edges[link, 7 + 2 * way]
            if after:
                edges[after, 7 + 2 * way] = before
            if before:
                edges[before, 6 + 2 * way] = after
            else:
                self.nodes[edges[link, 4 + way], 5 + way] = after
        edges.remove(link, edges.bucket(edges[link, 1]))

    def put(self, p, seq):
        prev, same, length = struct.unpack_from("<IBB", p)
        name, value = p[6 : 6 + length], p[6 + length :]
        link, bucket = self.key(name, length, prev)
        need(
            same == 0 and len(value) <= self.value or same == 1 and link and not value,
            "wrong value in a put",
        )
        if link:
            self.keys[link, 1] = seq
        else:
            self.keys.room()
            link = self.keys.add(seq, bucket)
            self.keys.write(link, 4, name)
        if not same:
            self.keys.write(link, 10, value.ljust(-(-self.value // 4) * 4, b"\0"))
            self.keys[link, 3] = length | len(value) << 8

    def delete_key(self, p, seq):
        link, bucket = self.key(p[4:], len(p) - 4, get(p, 0))
        need(link, "no such key")
        self.keys.remove(link, bucket)

    def key(self, name, length, prev):
        """Return (link or 0, bucket) of a name, once `prev` is its last write."""
        need(1 <= length <= 24 and len(name) == length, "wrong length of a name")
        h, link, bucket = 0, 0, 0
        for each in name:
            h = (33 * h ^ each) % 2**24
        if self.keys.offsets:
            bucket = h % len(self.keys.offsets) + 1
            for each in self.keys.chain(bucket):
                if self.keys.bytes(each, 4, self.keys[each, 3] & 255) == name:
                    link = each
        need(prev == (self.keys[link, 1] if link else 0), "the key's previous write is another")
        return link, bucket

    @staticmethod
    def exactly(form, p):
        need(len(p) == struct.calcsize(form), "wrong length of a payload")
        return struct.unpack(form, p)


class Verifier:
    """seq, head: of the last frame; state: after it. base: the State that a continuation begins
    with."""

    def __init__(self, base=None):
        self.state, self.seq, self.head, self.name, self.boot, self.checkpoints = (
            base,
            None,
            bytes(32),
            b"",
            0,
            0,
        )

    @classmethod
    def after(cls, snapshot):
        """Return a Verifier that goes on from a snapshot (header and arena)."""
        magic, rules, seq, boot, _, size = struct.unpack_from("<6I", snapshot)
        arena = snapshot[124:]
        need(
            magic == 0x504E5351 and rules == 1 and zlib.crc32(snapshot[:120]) == get(snapshot, 120),
            "no snapshot header",
        )
        need(len(arena) == size and b3(arena) == snapshot[88:120], "the arena is not the header's")
        self = cls(State(struct.unpack_from("<7I", arena, 8), arena))
        self.seq, self.boot, self.name, self.head = seq, boot, snapshot[24:56], snapshot[56:88]
        return self

    def step(self, frame):
        """Take one whole frame."""
        need(len(frame) >= 16, "a torn frame")
        version, kind, length, seq, _ = struct.unpack_from("<BBHII", frame)
        payload = frame[12:-4]
        need(version == 1 and len(payload) == length, "wrong version or length")
        need(zlib.crc32(self.name + frame[:-4]) == get(frame, len(frame) - 4), "wrong CRC")
        need(self.seq is None or seq == self.seq + 1, "wrong sequence number")
        if self.seq is None:
            need(kind == 1, "no genesis")
            self.genesis(payload, seq)
        else:
            if kind & 0x40:
                need(length >= 8, "no token")
                kind, payload = kind & ~0x40, payload[8:]
            if 0x10 <= kind < 0x40:
                self.state.apply(kind, payload, seq)
            elif kind == 2:
                need(
                    len(payload) == 44 and payload[4:36] == self.head,
                    "a boot frame of another chain head",
                )
                need(get(payload, 0) == self.boot + 1, "wrong boot number")
                self.boot += 1
            elif kind == 3:
                need(payload == b3(self.state.arena), "the checkpoint has another root")
                self.checkpoints += 1
            elif kind == 0x84:
                need(len(payload) == 12, "wrong length of a clock frame")
            else:
                need(kind & 0x80, "frame type 0x%02x is unknown" % kind)
        self.seq, self.head = seq, b3(self.head + frame)
        self.name = self.name or self.head

    def genesis(self, p, seq):
        need(len(p) >= 50 and get(p, 0) == 1, "no genesis of rules 1")
        config, origin = struct.unpack_from("<7I", p, 4), p[50 + p[49] :]
        need(
            p[49] <= 64 and len(p) >= 50 + p[49] and len(origin) in (0, 132),
            "wrong length of a genesis or its identity",
        )
        for each, low, high in zip(
            config,
            (1, 0, 0, 0, 0, 0, 0),
            (4096, 2**20, 2**20, 2**20, 2**20, 255, 4096),
            strict=True,
        ):
            need(low <= each <= high, "a capacity is out of its range")
        try:
            p[50 : 50 + p[49]].decode()
        except UnicodeDecodeError:
            raise Broken("the identity is not UTF-8") from None
        need(seq == (get(origin, 32) + 1 if origin else 0), "wrong sequence number")
        if not origin:
            self.state = State(config)
        else:
            need(
                self.state
                and b3(self.state.arena) == origin[100:]
                and struct.unpack_from("<7I", self.state.arena, 8) == config,
                "not the state that the continuation begins with",
            )


def split(data):
    """Yield the frames of a file."""
    at = 0
    while at < len(data):
        need(len(data) - at >= 16, "a torn frame")
        end = at + 16 + data[at + 2] + 256 * data[at + 3]
        need(end <= len(data), "a torn frame")
        yield data[at:end]
        at = end


def verify(data, snapshot=None, base=None):
    """Return (seq, chain head, state root) at the end of the frames in data; Broken if they do not
    prove it."""
    verifier = Verifier.after(snapshot) if snapshot else Verifier(base)
    for frame in split(data):
        verifier.step(frame)
    need(verifier.seq is not None, "no frame")
    return verifier.seq, verifier.head, b3(verifier.state.arena)


def read_image(data, given):
    """Return what `tools/flash_reader.py` reads of a flash image, as lines of text, and whether it
    is sound."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tools.flash_reader import find

    image = find(data, given.start, given.size, given.sector, given.unit).read()
    lines = [
        "region at 0x%x: %d sectors of %d bytes, program unit %d"
        % (image.start, image.sectors, image.sector, image.unit)
    ]
    if image.blank:
        return lines + ["blank: no log"], True
    if image.seq is not None:
        first = image.chain[0].first
        lines += ["log %s, from seq %d on" % (image.name.hex(), first), "seq %d" % image.seq]
        lines += ["head " + image.head.hex(), "root " + image.root.hex()]
    lines += ["cut at seq %d: %d bytes are void" % cut for cut in image.cuts]
    damage = image.damage or image.earlier()
    if damage:
        lines.append("damage: " + damage)
    return lines, not damage


def main(arguments):
    parser = argparse.ArgumentParser(
        description="Verify frames, or a flash image, by docs/format.md alone."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("snapshot", type=Path, nargs="?")
    for each in ("--sector", "--unit", "--start", "--size"):
        parser.add_argument(each, type=lambda text: int(text, 0))
    given = parser.parse_args(arguments)
    data = given.file.read_bytes()
    try:
        if given.snapshot or data[:2] == b"\1\1":  # frames, the first of which is a genesis
            sound = True
            found = verify(data, given.snapshot and given.snapshot.read_bytes())
            lines = ["seq %d" % found[0], "head " + found[1].hex(), "root " + found[2].hex()]
        else:
            lines, sound = read_image(data, given)
    except Exception as error:  # noqa: BLE001 - Broken has two homes here: this file as a program, and as a module
        if type(error).__name__ != "Broken":
            raise
        lines, sound = ["broken: %s" % error], False
    print("\n".join(lines))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
