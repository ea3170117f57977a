"""The kernel: what each command means. `check` may refuse and changes nothing; `apply` changes the
arena and cannot fail.

Commands arrive as payload bytes inside a frame buffer (docs/format.md, "Commands"), so live work,
recovery and the laptop's replay run the very same code. It knows nothing of frames around them, of
flash or of hashes. `apply` allocates nothing on a MicroPython heap as long as sequence numbers stay
below 2^30."""

from . import primitives
from .arena import Arena
from .const import const
from .errors import InUse, Invalid, NotFound, TooLong, WrongDimension
from .root import RootTree

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Config, Integers, NoReturn, WritableBuffer

# Command types, the low six bits of a frame's type.
INSERT = const(0x10)
UPDATE = const(0x11)
DELETE = const(0x12)
CREATE_NODE = const(0x14)
DELETE_NODE = const(0x15)
CREATE_EDGE = const(0x18)
DELETE_EDGE = const(0x19)
PUT = const(0x1C)
DELETE_KEY = const(0x1D)

# Which fields an update sets.
SET_TAG = const(1)
SET_META = const(2)

# The header's words and the slots' (arena.py has their sum). A record: how many nodes refer to it
# << 8 | metadata length, tag, vector, metadata. A node: kind, record, first out-edge, first
# in-edge. An edge: kind, from, to, next and previous of the same `from`, next and previous of the
# same `to`. A key: name length | value length << 8, name, value.
_CONFIG_AT = const(2)
_SEQ_AT = const(9)
_HEAD = const(0)
_ID = const(1)
_NEXT = const(2)
_REFS = const(3)
_TAG = const(4)
_VECTOR = const(5)
_KIND = const(3)
_RECORD = const(4)
_OUT = const(5)
_IN = const(6)
_FROM = const(4)
_TO = const(5)
_NEXT_OUT = const(6)
_PREV_OUT = const(7)
_NEXT_IN = const(8)
_PREV_IN = const(9)
_LENGTHS = const(3)
_NAME = const(4)
_VALUE = const(10)
_NAME_BYTES = const(24)
_DIRTY = const(1)


def u32(data: "Buffer", at: int) -> int:
    """Return the little-endian u32 at data[at]."""
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24


def put_u32(data: "WritableBuffer", at: int, value: int) -> None:
    """Store value as a little-endian u32 at data[at]."""
    data[at] = value & 255
    data[at + 1] = value >> 8 & 255
    data[at + 2] = value >> 16 & 255
    data[at + 3] = value >> 24 & 255


class Kernel:
    """The state machine over one arena. config: (dim, records, nodes, edges, keys, meta_bytes,
    value_bytes). spare: an arena that is needed no more; the new one takes its memory if the sizes
    agree."""

    def __init__(self, config: "Integers", spare: "Arena | None" = None) -> None:
        self.arena = arena = Arena(config, spare)
        self.words = arena.words
        self.tree = RootTree(arena)
        self.records, self.nodes, self.edges, self.keys = (
            arena.records,
            arena.nodes,
            arena.edges,
            arena.keys,
        )
        self.dim = arena.config[0]
        self.bare = 6 + 4 * self.dim  # bytes of an insert's payload before the metadata
        self.meta_bytes = arena.config[5]
        self.value_bytes = arena.config[6]

    def root(self) -> bytes:
        """Return the 32-byte state root."""
        return self.tree.value()

    def seq(self) -> int:
        """Return the seq of the last state-changing frame."""
        return self.arena.words[_SEQ_AT]

    # -- checks: pure ------------------------------------------------------------------------------

    def check(self, kind: int, data: "Buffer", start: int, end: int) -> None:
        """Raise Refused if command `kind` with payload data[start:end] cannot be applied now."""
        size = end - start
        if kind == INSERT:
            if size < 6 or data[start] | data[start + 1] << 8 != self.dim:
                self._at_least(kind, size, 6)
                raise WrongDimension(
                    "a vector has %d components here, not %d"
                    % (self.dim, data[start] | data[start + 1] << 8)
                )
            size -= self.bare
            if size < 0:
                self._at_least(kind, end - start, self.bare)
            if size > self.meta_bytes:
                self._too_long("metadata", size, self.meta_bytes)
            records = self.records
            if self.words[records.header] >= records.capacity:
                records.need_room()
        elif kind == UPDATE:
            self._at_least(kind, size, 9)
            which = data[start + 8]
            if not 1 <= which <= 3:
                raise Invalid(
                    "an update sets the tag (1), the metadata (2) or both (3), not %d" % which
                )
            if not which & SET_TAG and u32(data, start + 4) or not which & SET_META and size > 9:
                raise Invalid("an update carries a field that it does not set")
            if size - 9 > self.meta_bytes:
                self._too_long("metadata", size - 9, self.meta_bytes)
            self.records.need(u32(data, start))
        elif kind == DELETE:
            self._exactly(kind, size, 4)
            link = self.records.need(u32(data, start))
            refs = self.arena.words[self.records.at(link - 1) + _REFS] >> 8
            if refs:
                raise InUse(
                    "record %d is referred to by %d nodes: delete them first"
                    % (u32(data, start), refs)
                )
        elif kind == CREATE_NODE:
            self._exactly(kind, size, 8)
            if u32(data, start + 4):
                self.records.need(u32(data, start + 4))
            self.nodes.need_room()
        elif kind == DELETE_NODE:
            self._exactly(kind, size, 4)
            self.nodes.need(u32(data, start))
        elif kind == CREATE_EDGE:
            self._exactly(kind, size, 12)
            self.nodes.need(u32(data, start + 4))
            self.nodes.need(u32(data, start + 8))
            self.edges.need_room()
        elif kind == DELETE_EDGE:
            self._exactly(kind, size, 4)
            self.edges.need(u32(data, start))
        elif kind == PUT:
            self._at_least(kind, size, 6)
            length = data[start + 5]
            self._check_name(length, size - 6)
            link = self.find_key(data, start + 6, length)
            self._check_prev(link, u32(data, start))
            if data[start + 4]:
                if data[start + 4] != 1 or not link or size != 6 + length:
                    raise Invalid(
                        "a put of the same value needs the key to be there, and carries no value"
                    )
            elif size - 6 - length > self.value_bytes:
                self._too_long("a value", size - 6 - length, self.value_bytes)
            if not link:
                self.keys.need_room()
        elif kind == DELETE_KEY:
            self._at_least(kind, size, 4)
            self._check_name(size - 4, size - 4)
            link = self.find_key(data, start + 4, size - 4)
            if not link:
                raise NotFound("no key has the name %r" % (bytes(data[start + 4 : end]),))
            self._check_prev(link, u32(data, start))
        else:
            raise Invalid("command type 0x%02x is unknown" % kind)

    def _exactly(self, kind: int, size: int, need: int) -> None:
        if size != need:
            raise Invalid("command 0x%02x has a payload of %d bytes, not %d" % (kind, need, size))

    def _at_least(self, kind: int, size: int, need: int) -> None:
        if size < need:
            raise Invalid(
                "command 0x%02x has a payload of at least %d bytes, not %d" % (kind, need, size)
            )

    def _too_long(self, what: str, size: int, limit: int) -> "NoReturn":
        raise TooLong("%s has at most %d bytes here, not %d" % (what, limit, size))

    def _check_name(self, length: int, room: int) -> None:
        if not 1 <= length <= _NAME_BYTES or length > room:
            raise TooLong("a key's name has 1 to %d bytes, not %d" % (_NAME_BYTES, length))

    def _check_prev(self, link: int, prev: int) -> None:
        last = self.arena.words[self.keys.at(link - 1) + _ID] if link else 0
        if prev != last:
            raise Invalid("the key was last written by seq %d, not %d" % (last, prev))

    # -- changes: cannot fail after check ----------------------------------------------------------

    def apply(self, kind: int, data: "Buffer", start: int, end: int, seq: int) -> None:
        """Apply a command that `check` passed; seq is its frame's, and the id of what it
        creates."""
        arena = self.arena
        w = self.words
        if kind == INSERT:
            take = primitives.take
            at = (
                take
                and take(w, arena.touched, arena.dirty, self.records.shape, seq, 0)
                or self.records.take(seq)
            )
            w[at + _REFS] = end - start - self.bare
            # tag, vector and metadata lie in the slot as they do in the payload
            primitives.copy(arena.bytes, 4 * (at + _TAG), data, start + 2, end - start - 2)
        elif kind == UPDATE:
            at = self.records.at(self.records.find(u32(data, start)) - 1)
            self.records.touch(at)
            which = data[start + 8]
            if which & SET_TAG:
                primitives.copy(arena.bytes, 4 * (at + _TAG), data, start + 4, 4)
            if which & SET_META:
                self._fill(at + _VECTOR + self.dim, self.meta_bytes, data, start + 9, end)
                w[at + _REFS] = w[at + _REFS] & ~255 | end - start - 9
        elif kind == DELETE:
            ident = u32(data, start)
            self.records.free(self.records.find(ident), self.records.bucket(ident))
        elif kind == CREATE_NODE:
            at = self.nodes.take(seq)
            primitives.copy(arena.bytes, 4 * (at + _KIND), data, start, 4)
            link = self.records.find(u32(data, start + 4))
            w[at + _RECORD] = link
            if link:
                self._refer(link, 1)
        elif kind == DELETE_NODE:
            self._delete_node(u32(data, start))
        elif kind == CREATE_EDGE:
            self._create_edge(data, start, seq)
        elif kind == DELETE_EDGE:
            self._delete_edge(self.edges.find(u32(data, start)))
        elif kind == PUT:
            length = data[start + 5]
            link = self.find_key(data, start + 6, length)
            if link:
                at = self.keys.at(link - 1)
                self.keys.touch(at)
                w[at + _ID] = seq
            else:
                at = self.keys.take(seq, self._name_bucket(data, start + 6, length))
                primitives.copy(arena.bytes, 4 * (at + _NAME), data, start + 6, length)
            if not data[start + 4]:
                self._fill(at + _VALUE, self.value_bytes, data, start + 6 + length, end)
                w[at + _LENGTHS] = length | (end - start - 6 - length) << 8
        elif kind == DELETE_KEY:
            self.keys.free(
                self.find_key(data, start + 4, end - start - 4),
                self._name_bucket(data, start + 4, end - start - 4),
            )
        if arena.touched[0] != _DIRTY:
            arena.touch(0)
        w[_SEQ_AT] = seq

    def _fill(self, at: int, room: int, data: "Buffer", start: int, end: int) -> None:
        """Put data[start:end] at word `at` and zero the rest of its room (bytes, up to a whole
        word)."""
        w = self.arena.words
        for i in range(at, at + (room + 3) // 4):
            w[i] = 0
        primitives.copy(self.arena.bytes, 4 * at, data, start, end - start)

    def _refer(self, link: int, count: int) -> None:
        at = self.records.at(link - 1)
        self.records.touch(at)
        self.arena.words[at + _REFS] += count * 256

    def _create_edge(self, data: "Buffer", start: int, seq: int) -> None:
        w = self.arena.words
        at = self.edges.take(seq)
        link = w[self.edges.bucket(seq)]
        primitives.copy(self.arena.bytes, 4 * (at + _KIND), data, start, 4)
        for end in (0, 1):  # out-edges of `from`, then in-edges of `to`: new ones first
            node = self.nodes.find(u32(data, start + 4 + 4 * end))
            node_at = self.nodes.at(node - 1)
            w[at + _FROM + end] = node
            first = w[node_at + _OUT + end]
            w[at + _NEXT_OUT + 2 * end] = first
            if first:
                first_at = self.edges.at(first - 1)
                self.edges.touch(first_at)
                w[first_at + _PREV_OUT + 2 * end] = link
            self.nodes.touch(node_at)
            w[node_at + _OUT + end] = link

    def _delete_edge(self, link: int) -> None:
        w = self.arena.words
        edges = self.edges
        at = edges.at(link - 1)
        for end in (0, 1):
            after = w[at + _NEXT_OUT + 2 * end]
            before = w[at + _PREV_OUT + 2 * end]
            if after:
                after_at = edges.at(after - 1)
                edges.touch(after_at)
                w[after_at + _PREV_OUT + 2 * end] = before
            if before:
                before_at = edges.at(before - 1)
                edges.touch(before_at)
                w[before_at + _NEXT_OUT + 2 * end] = after
            else:
                node_at = self.nodes.at(w[at + _FROM + end] - 1)
                self.nodes.touch(node_at)
                w[node_at + _OUT + end] = after
        edges.free(link, edges.bucket(w[at + _ID]))

    def _delete_node(self, ident: int) -> None:
        w = self.arena.words
        link = self.nodes.find(ident)
        at = self.nodes.at(link - 1)
        for first in (_OUT, _IN):
            while w[at + first]:
                self._delete_edge(w[at + first])
        if w[at + _RECORD]:
            self._refer(w[at + _RECORD], -1)
        self.nodes.free(link, self.nodes.bucket(ident))

    # -- keys by name ------------------------------------------------------------------------------

    def _name_bucket(self, data: "Buffer", start: int, length: int) -> int:
        h = 0
        for i in range(start, start + length):
            # 24 bits: the product stays a small integer on a board
            h = (h * 33 ^ data[i]) & 0xFFFFFF
        return self.keys.at(h % self.keys.capacity)

    def find_key(self, data: "Buffer", start: int, length: int) -> int:
        """Return the slot link of the key named data[start:start+length]; 0 for none."""
        if not self.keys.capacity:
            return 0
        w = self.arena.words
        b = self.arena.bytes
        link = w[self._name_bucket(data, start, length) + _HEAD]
        while link:
            at = self.keys.at(link - 1)
            if w[at + _LENGTHS] & 255 == length:
                name = 4 * (at + _NAME)
                i = 0
                while i < length and b[name + i] == data[start + i]:
                    i += 1
                if i == length:
                    return link
            link = w[at + _NEXT]
        return 0

    # -- what things are ---------------------------------------------------------------------------

    def config(self) -> "Config":
        """Return the configuration as the arena's header has it."""
        return tuple([self.arena.words[_CONFIG_AT + i] for i in range(7)])

    def record(self, ident: int) -> tuple[int, list[int], bytes]:
        """Return (tag, vector, metadata) of a record: u32, list of dim i32, bytes. NotFound if
        there is none."""
        return self.record_at(self.records.at(self.records.need(ident) - 1))

    def record_at(self, at: int) -> tuple[int, list[int], bytes]:
        w = self.arena.words
        vector = []
        for i in range(at + _VECTOR, at + _VECTOR + self.dim):
            vector.append(w[i] - (1 << 32) if w[i] >> 31 else w[i])
        meta = 4 * (at + _VECTOR + self.dim)
        return w[at + _TAG], vector, bytes(self.arena.bytes[meta : meta + (w[at + _REFS] & 255)])

    def node(self, ident: int) -> tuple[int, int]:
        """Return (kind, record id or 0) of a node. NotFound if there is none."""
        return self.node_at(self.nodes.at(self.nodes.need(ident) - 1))

    def node_at(self, at: int) -> tuple[int, int]:
        w = self.arena.words
        link = w[at + _RECORD]
        return w[at + _KIND], w[self.records.at(link - 1) + _ID] if link else 0

    def edge(self, ident: int) -> tuple[int, int, int]:
        """Return (kind, from node id, to node id) of an edge. NotFound if there is none."""
        return self.edge_at(self.edges.at(self.edges.need(ident) - 1))

    def edge_at(self, at: int) -> tuple[int, int, int]:
        w = self.arena.words
        return (
            w[at + _KIND],
            w[self.nodes.at(w[at + _FROM] - 1) + _ID],
            w[self.nodes.at(w[at + _TO] - 1) + _ID],
        )

    def key(self, name: "Buffer") -> tuple[int, bytes]:
        """Return (seq of the last write, value) of a key. NotFound if there is none."""
        self._check_name(len(name), len(name))
        link = self.find_key(name, 0, len(name))
        if not link:
            raise NotFound("no key has the name %r" % (bytes(name),))
        _, seq, value = self.key_at(self.keys.at(link - 1))
        return seq, value

    def key_at(self, at: int) -> tuple[bytes, int, bytes]:
        """Return (name, seq of the last write, value) of the key slot at word `at`."""
        w = self.arena.words
        b = self.arena.bytes
        name, value = 4 * (at + _NAME), 4 * (at + _VALUE)
        return (
            bytes(b[name : name + (w[at + _LENGTHS] & 255)]),
            w[at + _ID],
            bytes(b[value : value + (w[at + _LENGTHS] >> 8)]),
        )
