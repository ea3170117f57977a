"""Runs conformance vectors, line by line, on whatever interpreter runs this: CPython 3.10+ and
MicroPython 1.22+ alike.

Imports only shared_kernel; never chooses a provider of hot loops (the caller does, with
primitives.use) and never computes what a vector expects.

A file of vectors is text. A line is `question = answer`, or a question alone where there is nothing
to answer; `#` begins a comment; the last line, `end N`, says how many lines there were. What each
question means stands at its method below. Binary data is hex, `-` if empty; vectors are `1,-2,3`;
`refused N` is the answer where the kernel raises the error of code N."""

import gc
import sys

from shared_kernel import fixed, frames, genesis, graph, kernel, primitives, search, snapshot
from shared_kernel.config import check_config
from shared_kernel.errors import Mismatch, QuipuError
from shared_kernel.replay import Replay

COMMANDS = {
    "insert": kernel.INSERT,
    "update": kernel.UPDATE,
    "delete": kernel.DELETE,
    "create-node": kernel.CREATE_NODE,
    "delete-node": kernel.DELETE_NODE,
    "create-edge": kernel.CREATE_EDGE,
    "delete-edge": kernel.DELETE_EDGE,
    "put": kernel.PUT,
    "delete-key": kernel.DELETE_KEY,
}


class Disagreement(Exception):
    """This machine answers otherwise than the vectors, or the file is not whole. line: its number,
    from 1."""

    def __init__(self, line, text):
        super().__init__("line %d: %s" % (line, text))
        self.line = line


def run(lines):
    """Run the vectors in an iterable of lines; return (how many there were, the last state root as
    hex, or "-" if there was no state). Disagreement at the first that differs."""
    machine = Machine()
    count = number = 0
    ended = False
    for line in lines:
        number += 1
        line = line.rstrip("\r\n")
        if not line or line[0] == "#":
            continue
        if ended:
            raise Disagreement(number, "more after the end: " + line)
        question, _, expected = line.partition(" = ")
        verb, _, rest = question.partition(" ")
        if verb == "end":
            if rest != str(count):
                raise Disagreement(number, "%d vectors were read, the file has %s" % (count, rest))
            ended = True
            continue
        try:
            found = machine.answer(verb, rest)
        except Mismatch as e:
            found = "mismatch %d %s" % (e.seq, e.what)
        except QuipuError as e:
            found = "refused %d" % e.code
        except Exception as e:
            # MemoryError and what nobody thought of: the line is worth more than the trace
            found = "%s: %s" % (type(e).__name__, e)
        if found != expected:
            raise Disagreement(number, "%s: expected %s, found %s" % (question, expected, found))
        count += 1
    if not ended:
        raise Disagreement(number, "the file stops before its end")
    return count, machine.root() if machine.kernel else "-"


def report(paths):
    """Run files of vectors, and print what ran them and then, for each, its path, how many vectors
    agreed and the last root, or where it stopped: what run.py reads."""
    version = ".".join([str(each) for each in sys.implementation.version[:3]])
    print(
        "conformance runtime", sys.implementation.name, version, primitives.name.replace(" ", "-")
    )
    for path in paths:
        gc.collect()
        try:
            with open(path) as f:
                print("conformance agrees", path, *run(f))
        except Disagreement as e:
            print("conformance differs", path, e)


def unhex(text):
    return b"" if text == "-" else bytes.fromhex(text)


def to_hex(data):
    return bytes(data).hex() or "-"


def numbers(text):
    """Return the integers in text: separated by commas; "-" is none."""
    return [] if text == "-" else [int(each) for each in text.split(",")]


def optional(text):
    return None if text == "-" else int(text)


class Machine:
    """What the vectors so far have made: a kernel, the chain of the frames sealed for it, or a
    replay."""

    def __init__(self):
        self.kernel = None
        self.replay = None
        self.name = None  # the log's; None while commands are not sealed in frames
        self.seed = 0
        self.seq = 0
        self.tick = 0
        self.head = frames.NO_HEAD
        self.sealed = b""
        self.data = None

    def answer(self, verb, rest):
        """Return the answer, as text, to one question."""
        if verb in COMMANDS:
            return self.command(COMMANDS[verb], rest)
        return getattr(self, "ask_" + verb.replace("-", "_"))(*rest.split(" "))

    def root(self):
        return self.kernel.root().hex()

    def begin(self, config):
        """Start anew with an empty state."""
        config = check_config(config)
        self.__init__()
        gc.collect()
        self.kernel = kernel.Kernel(config)

    # -- state and log -----------------------------------------------------------------------------

    def ask_config(self, *config):
        """An empty state of this configuration, and no log: how many KiB its arena has."""
        self.begin([int(each) for each in config])
        return str(self.kernel.arena.chunks)

    def ask_genesis(self, config, entropy, policy, identity):
        """An empty state, and a log that begins with this genesis; from here on commands are
        sealed: the frame."""
        payload = genesis.encode(
            numbers(config), unhex(entropy), unhex(identity).decode(), int(policy)
        )
        decoded = genesis.Genesis(payload)
        self.begin(decoded.config)
        self.sealed = frames.frame(frames.GENESIS, payload, 0, 0, 0)
        self.head = self.name = primitives.hash(frames.NO_HEAD + self.sealed)
        self.seed = frames.seed(self.name)
        again = genesis.encode(decoded.config, decoded.entropy, decoded.identity, decoded.policy)
        return self.sealed.hex() if again == payload else "decodes to " + again.hex()

    def ask_seq(self, seq):
        """The next frame's seq is the one after this."""
        self.seq = int(seq)
        return ""

    def ask_tick(self, tick):
        """The tick of the frames from here on."""
        self.tick = int(tick)
        return ""

    def command(self, kind, payload):
        """A command with this payload: its frame's seq."""
        payload = unhex(payload)
        start = 32 + frames.HEADER  # the chain head goes before the frame, as in the store
        end = start + len(payload)
        buffer = bytearray(end + 4)
        buffer[start:end] = payload
        self.kernel.check(kind, buffer, start, end)
        self.seq += 1
        self.kernel.apply(kind, buffer, start, end, self.seq)
        self.seal(kind, buffer, len(payload))
        return str(self.seq)

    def seal(self, kind, buffer, size):
        if self.name:
            end = frames.seal(buffer, 32, kind, size, self.seq, self.tick, self.seed)
            buffer[:32] = self.head
            self.head = primitives.hash(memoryview(buffer)[:end])
            self.sealed = memoryview(buffer)[32:end]

    def ask_unknown(self, kind, payload):
        """A command of any type, by number."""
        return self.command(int(kind), payload)

    def ask_log_only(self, kind, payload):
        """A frame that changes no state, by the number of its type: its seq."""
        payload = unhex(payload)
        buffer = bytearray(32 + frames.OVERHEAD + len(payload))
        buffer[32 + frames.HEADER : -4] = payload
        self.seq += 1
        self.seal(int(kind), buffer, len(payload))
        return str(self.seq)

    def ask_frame(self, _):
        """The last sealed frame."""
        return to_hex(self.sealed)

    def ask_head(self, _):
        """The chain head."""
        return self.head.hex()

    def ask_root(self, _):
        """The state root, by the chunks that changed."""
        return self.root()

    def ask_arena(self, _):
        """BLAKE3 of the whole arena, and that the root equals it."""
        whole = primitives.hash(self.kernel.arena.bytes)
        return (
            whole.hex()
            if whole == self.kernel.root()
            else "%s, but the root is %s" % (whole.hex(), self.root())
        )

    def ask_reload(self, _):
        """Go on with a copy of the arena, as after a restart from a snapshot: the state root."""
        data = bytes(self.kernel.arena.bytes)
        self.kernel = kernel.Kernel(self.kernel.config(), self.kernel.arena)
        self.kernel.arena.load(data)
        return self.root()

    def ask_snapshot(self, boot, generation):
        """The header of a snapshot taken now."""
        header = snapshot.Header(
            self.seq,
            int(boot),
            int(generation),
            self.kernel.arena.size,
            self.name,
            self.head,
            self.kernel.root(),
        ).encode()
        again = snapshot.decode(header).encode()
        return header.hex() if again == header else "decodes to " + again.hex()

    def ask_header(self, data):
        """Decode a snapshot's header: seq, boot, generation, length."""
        h = snapshot.decode(unhex(data))
        return "%d %d %d %d" % (h.seq, h.boot, h.generation, h.length)

    def ask_replay(self, _):
        """Start an empty replay."""
        self.__init__()
        self.replay = Replay()
        return ""

    def ask_step(self, frame):
        """Replay one frame: how many checkpoints were compared, and the boot number."""
        replay = self.replay
        replay.step(unhex(frame))
        self.kernel, self.seq, self.head, self.name = (
            replay.kernel,
            replay.seq,
            replay.head,
            replay.name,
        )
        return "%d %d" % (replay.checkpoints, replay.boot)

    # -- what the state holds ----------------------------------------------------------------------

    def ask_counts(self, _):
        """Seq of the last change, live records, nodes, edges, keys."""
        k = self.kernel
        return "%d %d %d %d %d" % (
            k.seq(),
            k.records.live(),
            k.nodes.live(),
            k.edges.live(),
            k.keys.live(),
        )

    def ask_record(self, ident):
        """Tag, vector, metadata."""
        tag, vector, meta = self.kernel.record(int(ident))
        return "%d %s %s" % (tag, ",".join([str(each) for each in vector]), to_hex(meta))

    def ask_node(self, ident):
        """Kind, record."""
        return "%d %d" % self.kernel.node(int(ident))

    def ask_edge(self, ident):
        """Kind, from, to."""
        return "%d %d %d" % self.kernel.edge(int(ident))

    def ask_key(self, name):
        """Seq of the last write, value."""
        seq, value = self.kernel.key(unhex(name))
        return "%d %s" % (seq, to_hex(value))

    def ask_search(self, query, k, tag):
        """The k nearest records, with a tag if one is given: distance:id each."""
        found = search.search(self.kernel, numbers(query), int(k), optional(tag))
        return ",".join(["%d:%d" % each for each in found]) or "-"

    def ask_edges(self, node, directions):
        """The ids of a node's edges."""
        return (
            ",".join(
                [str(each) for each in graph.edges_of(self.kernel, int(node), int(directions))]
            )
            or "-"
        )

    def ask_near(self, node, depth, kind, directions):
        """The neighbourhood of a node: id:distance each."""
        found = graph.neighbourhood(
            self.kernel, int(node), int(depth), optional(kind), int(directions)
        )
        return ",".join(["%d:%d" % each for each in found])

    # -- arithmetic --------------------------------------------------------------------------------

    def ask_add(self, a, b):
        return str(fixed.add(int(a), int(b)))

    def ask_sub(self, a, b):
        return str(fixed.sub(int(a), int(b)))

    def ask_mul(self, a, b):
        return str(fixed.mul(int(a), int(b)))

    def ask_dot(self, a, b):
        return str(fixed.dot(numbers(a), numbers(b)))

    def ask_ratio(self, numerator, denominator):
        return str(fixed.from_ratio(int(numerator), int(denominator)))

    def ask_text(self, *text):
        """Decimal text, between brackets, to Q16.16."""
        return str(fixed.from_text(" ".join(text)[1:-1]))

    def ask_utf8(self, text):
        """Decimal text, as hex, to Q16.16."""
        return str(fixed.from_text(unhex(text).decode()))

    def ask_decimal(self, n):
        """Q16.16 to text, and that it leads back."""
        text = fixed.to_text(int(n))
        return text if fixed.from_text(text) == int(n) else text + " is another number"

    # -- payloads, and the functions of a provider -------------------------------------------------

    def ask_payload(self, verb, *given):
        """The payload that frames.py makes: of an insert (vector, tag, metadata), an update (id,
        tag, metadata), a put (name, value, previous write), a deleted key (name, previous write), a
        clock or a boot frame."""
        if verb == "insert":
            return to_hex(frames.insert(numbers(given[0]), int(given[1]), unhex(given[2])))
        if verb == "update":
            return to_hex(
                frames.update(
                    int(given[0]), optional(given[1]), None if given[2] == "-" else unhex(given[2])
                )
            )
        if verb == "put":
            return to_hex(frames.put(unhex(given[0]), unhex(given[1]), int(given[2])))
        if verb == "delete-key":
            return to_hex(frames.delete_key(unhex(given[0]), int(given[1])))
        if verb == "clock":
            return to_hex(frames.clock(int(given[0]), int(given[1])))
        return to_hex(frames.boot(int(given[0]), unhex(given[1]), int(given[2])))

    def pattern(self, at, size):
        """Return size bytes, from an address that is no multiple of 4 if `at` is none, for the
        provider's functions."""
        if self.data is None:
            self.data = bytearray(8200)  # no list: it would take eight times the memory
            for i in range(8200):
                self.data[i] = (i * 167 ^ i >> 8) & 255
        return memoryview(self.data)[at : at + size]

    def ask_hash(self, at, size):
        return primitives.hash(self.pattern(int(at), int(size))).hex()

    def ask_crc(self, at, size, seed):
        return "%08x" % primitives.crc32(self.pattern(int(at), int(size)), int(seed))

    def ask_chunk(self, at, counter, out_at):
        """A chunk's chaining value, and that nothing around it was written."""
        out = bytearray(40)
        primitives.chunk_cv(self.pattern(0, 8200), int(at), int(counter), out, int(out_at))
        return out.hex()

    def ask_parent(self, left, right, out_at, root):
        """A parent of two chaining values, written among them."""
        cvs = bytearray(self.pattern(0, 128))
        primitives.parent_cv(cvs, int(left), int(right), cvs, int(out_at), int(root))
        return cvs.hex()

    def ask_copy(self, to_at, of_at, count):
        out = bytearray(48)
        primitives.copy(out, int(to_at), self.pattern(0, 8200), int(of_at), int(count))
        return out.hex()
