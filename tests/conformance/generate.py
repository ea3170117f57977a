"""Makes the conformance vectors from seeds. Run `python tests/conformance/generate.py` to write them, with --check to only say
whether the files are what it would write (exit code 1 if not).

What a vector expects comes from elsewhere than what it tests wherever there is an elsewhere: outcomes and queries from
tests/model.py, arithmetic from Python's fractions, frames and payloads from struct and zlib, hashes from the blake3 package.
Only the arena's bytes are the kernel's own. Never runs on a board.
"""

import decimal
import fractions
import struct
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = HERE / "vectors"
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[1])]

from blake3 import blake3  # noqa: E402

from shared_kernel import primitives  # noqa: E402
from shared_kernel.errors import FormatError, Full, InUse, Invalid, NotFound, Refused, TooLong, WrongDimension  # noqa: E402
from shared_kernel.kernel import Kernel  # noqa: E402
from tests.model import Model  # noqa: E402

KINDS = {"insert": 0x10, "update": 0x11, "delete": 0x12, "create-node": 0x14, "delete-node": 0x15, "create-edge": 0x18,
         "delete-edge": 0x19, "put": 0x1C, "delete-key": 0x1D}
GENESIS, BOOT, CHECKPOINT, CLOCK, TOKEN = 0x01, 0x02, 0x03, 0x84, 0x40
MAX, MIN, TOP = 2**31 - 1, -(2**31), 2**32 - 1
# Sums of squares of 2^63 - 2, 2^63 - 1 and 2^63, as the squares of seven differences and two more.
EDGE_OF_SATURATION = [(3037000499, 76996, 377, 25, 5, 3, 1) + rest for rest in ((0, 0), (1, 0), (1, 1))]


class Pick:
    """Numbers from a seed, the same on every machine: pick(n) is 0 to n - 1. (Knuth's MMIX generator, its upper bits.)"""

    def __init__(self, seed):
        self.state = seed

    def __call__(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n

    def of(self, things):
        return things[self(len(things))]


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
    return u32s(tag, *vector) + meta


def update(ident, tag=None, meta=None):
    which = (tag is not None) | (meta is not None) << 1
    return u32s(ident, tag or 0) + bytes((which,)) + (meta or b"")


def put(name, value, prev=0):
    return u32s(prev) + bytes((0, len(name))) + name + value


class File:
    """The lines of one file of vectors."""

    def __init__(self, purpose):
        self.lines = ["# " + purpose, "# Made by tests/conformance/generate.py; what the lines mean is said in runner.py."]
        self.count = 0

    def section(self, title):
        self.lines += ["", "# " + title]

    def ask(self, question, answer=""):
        if isinstance(answer, type):
            answer = "refused %d" % answer.code
        self.lines.append(f"{question} = {answer}" if answer != "" else question)
        self.count += 1

    def text(self):
        return "\n".join(self.lines + ["end %d" % self.count, ""])


class World:
    """A kernel and the model side by side, whose commands and answers become lines of a file."""

    def __init__(self, file, config, log=False):
        self.file = file
        self.config = config
        self.dim, self.max_meta, self.max_value = config[0], config[5], config[6]
        self.kernel = Kernel(config)
        self.model = Model(config)
        self.seq = 0
        self.tick = 0
        self.ids = {"record": [], "node": [], "edge": []}  # all ever made
        self.names = []
        self.name = None
        if log:
            entropy, identity = hashed(repr(config).encode())[:16], "Conformance/ñandú".encode()
            whole = frame(GENESIS, genesis_payload(config, entropy, 1, identity), 0, 0, 0)
            self.sealed = whole
            self.name = self.head = hashed(bytes(32) + whole)
            file.ask("genesis %s %s 1 %s" % (commas(config), entropy.hex(), identity.hex()), whole.hex())
        else:
            file.ask("config " + " ".join(str(each) for each in config), str(self.kernel.arena.chunks))

    # -- commands -----------------------------------------------------------------------------------------------------

    def give(self, verb, payload, told):
        """Give a command to both. told: tells the model, given a seq; or the class of the refusal. Return whether it passed."""
        seq = self.seq + 1
        expected = None
        if isinstance(told, type):
            expected = told
        else:
            try:
                told(seq)
            except Refused as e:
                expected = type(e)
        found = None
        kind = KINDS.get(verb) or int(verb.split()[1])
        try:
            self.kernel.check(kind, payload, 0, len(payload))
        except Refused as e:
            found = type(e)
        assert found is expected, f"{verb} {payload.hex()}: the kernel says {found}, expected {expected}"
        if expected is None:
            self.kernel.apply(kind, payload, 0, len(payload), seq)
            self.seq = seq
            self.seal(kind, payload)
        self.file.ask(f"{verb} {to_hex(payload)}", expected or str(seq))
        return expected is None

    def seal(self, kind, payload):
        if self.name:
            self.sealed = frame(kind, payload, self.seq, self.tick, zlib.crc32(self.name))
            self.head = hashed(self.head + self.sealed)

    def insert(self, vector, tag=0, meta=b""):
        if self.give("insert", insert(vector, tag, meta), lambda seq: self.model.insert(seq, vector, tag, meta)):
            self.ids["record"].append(self.seq)

    def update(self, ident, tag=None, meta=None):
        self.give("update", update(ident, tag, meta), lambda seq: self.model.update(seq, ident, tag, meta))

    def delete(self, ident):
        self.give("delete", u32s(ident), lambda seq: self.model.delete(seq, ident))

    def create_node(self, kind, record=0):
        if self.give("create-node", u32s(kind, record), lambda seq: self.model.create_node(seq, kind, record)):
            self.ids["node"].append(self.seq)

    def delete_node(self, ident):
        self.give("delete-node", u32s(ident), lambda seq: self.model.delete_node(seq, ident))

    def create_edge(self, kind, origin, target):
        if self.give("create-edge", u32s(kind, origin, target), lambda seq: self.model.create_edge(seq, kind, origin, target)):
            self.ids["edge"].append(self.seq)

    def delete_edge(self, ident):
        self.give("delete-edge", u32s(ident), lambda seq: self.model.delete_edge(seq, ident))

    def put(self, name, value, prev=None):
        prev = self.last_write(name) if prev is None else prev
        if self.give("put", put(name, value, prev), lambda seq: self.model.put(seq, name, value, prev)):
            self.names.append(name)

    def put_same(self, name, prev=None):
        prev = self.last_write(name) if prev is None else prev
        self.give("put", u32s(prev) + bytes((1, len(name))) + name, lambda seq: self.model.put_same(seq, name, prev))

    def delete_key(self, name, prev=None):
        prev = self.last_write(name) if prev is None else prev
        self.give("delete-key", u32s(prev) + name, lambda seq: self.model.delete_key(seq, name, prev))

    def last_write(self, name):
        return self.model.keys[name][0] if name in self.model.keys else 0

    def log_only(self, kind, payload):
        self.seq += 1
        self.seal(kind, payload)
        self.file.ask(f"log-only {kind} {to_hex(payload)}", str(self.seq))

    def go_to(self, seq):
        """Let the next frame have the number after seq."""
        self.seq = seq
        self.file.ask("seq %d" % seq)

    def at_tick(self, tick):
        self.tick = tick
        self.file.ask("tick %d" % tick)

    # -- questions ----------------------------------------------------------------------------------------------------

    def ask(self, question, answer):
        """answer: a function; it may raise a refusal."""
        try:
            found = answer()
        except Refused as e:
            found = type(e)
        self.file.ask(question, found)

    def root(self):
        self.file.ask("root", blake3(self.kernel.arena.bytes).hexdigest())

    def arena(self):
        self.file.ask("arena", blake3(self.kernel.arena.bytes).hexdigest())

    def reload(self):
        self.file.ask("reload", blake3(self.kernel.arena.bytes).hexdigest())

    def chain(self):
        """The last frame and the chain head."""
        if self.name:
            self.file.ask("frame", self.sealed.hex())
            self.file.ask("head", self.head.hex())

    def snapshot(self, boot, generation):
        root = hashed(bytes(self.kernel.arena.bytes))
        header = (b"QSNP" + u32s(1, self.seq, boot, generation, self.kernel.arena.size) + self.name + self.head + root)
        header += u32s(zlib.crc32(header))
        self.file.ask(f"snapshot {boot} {generation}", header.hex())
        return header

    def counts(self):
        m = self.model
        self.file.ask("counts", "%d %d %d %d %d" % (m.seq, len(m.records), len(m.nodes), len(m.edges), len(m.keys)))

    def search(self, query, k, tag=None):
        self.ask("search %s %d %s" % (commas(query), k, "-" if tag is None else tag),
                 lambda: ",".join("%d:%d" % each for each in self.model.search(query, k, tag)) or "-")

    def edges(self, node, directions=3):
        self.ask(f"edges {node} {directions}",
                 lambda: commas(self.model.edges_of(node, bool(directions & 1), bool(directions & 2))))

    def near(self, node, depth, kind=None, directions=1):
        self.ask("near %d %d %s %d" % (node, depth, "-" if kind is None else kind, directions),
                 lambda: ",".join("%d:%d" % each for each in self.model.neighbourhood(
                     node, depth, kind, bool(directions & 1), bool(directions & 2))))

    def look(self, what, ident):
        def answer():
            thing = getattr(self.model, what + "s").get(ident)
            if thing is None:
                raise NotFound
            if what == "record":
                return "%d %s %s" % (thing[0], commas(thing[1]), to_hex(thing[2]))
            return " ".join(str(each) for each in thing)

        self.ask(f"{what} {ident}", answer)

    def key(self, name):
        def answer():
            if not 1 <= len(name) <= 24:
                raise TooLong
            if name not in self.model.keys:
                raise NotFound
            seq, value = self.model.keys[name]
            return f"{seq} {to_hex(value)}"

        self.ask("key " + to_hex(name), answer)

    def everything(self):
        """Look at all that is there."""
        for what in ("record", "node", "edge"):
            for ident in sorted(getattr(self.model, what + "s")):
                self.look(what, ident)
        for node in sorted(self.model.nodes):
            self.edges(node)
        for name in sorted(self.model.keys):
            self.key(name)
        self.counts()


class Walk:
    """Commands and questions drawn by chance over a World, and what is looked at after every so many."""

    NAMES = (b"a", b"b", b"temperature", b"\0", b"\0\0", "é".encode(), b"n" * 24, b"n" * 23 + b"m", b"x-axis", b"y-axis")
    NUMBERS = (0, 1, 2, 3, 3, 7, 2**30, 2**31, TOP)

    def __init__(self, world, seed, verbs):
        """verbs: of this class, as often as they are to come."""
        self.world = world
        self.pick = Pick(seed)
        self.verbs = verbs

    def go(self, steps, root, chain, question):
        """Take steps: every root-th is followed by the state root, every chain-th by frame and head, every question-th by a
        question."""
        for step in range(1, steps + 1):
            getattr(self, self.pick.of(self.verbs))()
            if not step % root:
                self.world.root()
            if not step % chain:
                self.world.chain()
            if not step % question:
                self.question()

    def ident(self, label):
        """Mostly one that is there; else one that was, 0, the next seq, the greatest u32, or an id of another kind."""
        world = self.world
        n = self.pick(12)
        live = sorted(getattr(world.model, label + "s"))
        if n < 10 and live:
            return self.pick.of(live)
        if n == 10 and world.ids[label]:
            return self.pick.of(world.ids[label])
        others = [ident for each in sorted(world.ids) for ident in world.ids[each][-2:]]
        return self.pick.of([0, min(world.seq + 1, TOP), TOP] + others)

    def bytes_up_to(self, limit):
        """Seldom one too many."""
        size = self.pick(limit + 1) if self.pick(12) else limit + 1
        return bytes(self.pick(256) for _ in range(size))

    def component(self):
        n = self.pick(8)
        if n == 0:
            return self.pick.of((0, 1, -1, 65536, -65536, MAX, MIN))
        bits = (14, 17, 17, 18, 20, 24, 31)[n - 1]
        value = self.pick(2**bits)
        return -value if self.pick(2) else value

    def vector(self):
        return [self.component() for _ in range(self.world.dim)]

    def key_name(self):
        if self.pick(20) == 0:
            return self.pick.of((b"", b"x" * 25))
        if self.pick(2):
            return b"k%d" % self.pick(2 * self.world.config[4] + 1)
        return self.pick.of(self.NAMES)

    # -- commands -----------------------------------------------------------------------------------------------------

    def insert(self):
        # A payload does not say where its vector ends: a short vector shows only when no metadata fills the gap.
        if self.pick(20) == 0:
            self.world.insert(self.vector()[:-1])
        else:
            self.world.insert(self.vector(), self.pick.of(self.NUMBERS), self.bytes_up_to(self.world.max_meta))

    def update(self):
        which = 1 + self.pick(3)
        tag = self.pick.of(self.NUMBERS) if which & 1 else None
        self.world.update(self.ident("record"), tag, self.bytes_up_to(self.world.max_meta) if which & 2 else None)

    def delete(self):
        self.world.delete(self.ident("record"))

    def create_node(self):
        self.world.create_node(self.pick.of(self.NUMBERS), self.ident("record") if self.pick(3) else 0)

    def delete_node(self):
        self.world.delete_node(self.ident("node"))

    def create_edge(self):
        self.world.create_edge(self.pick.of(self.NUMBERS), self.ident("node"), self.ident("node"))

    def delete_edge(self):
        self.world.delete_edge(self.ident("edge"))

    def prev(self, name):
        return self.pick.of((0, 1, self.world.seq)) if self.pick(10) == 0 else None

    def put(self):
        name = self.key_name()
        self.world.put(name, self.bytes_up_to(self.world.max_value), self.prev(name))

    def put_same(self):
        name = self.key_name()
        self.world.put_same(name, self.prev(name))

    def delete_key(self):
        name = self.key_name()
        self.world.delete_key(name, self.prev(name))

    def clock(self):
        self.world.log_only(CLOCK, u32s(self.pick(2**31) * 2 + 1, 0x197, self.pick(1000)))

    def tick(self):
        self.world.at_tick(self.pick.of((self.pick(100000), 2**30 + self.pick(2**30), TOP - self.pick(1000))))

    # -- questions ----------------------------------------------------------------------------------------------------

    def question(self):
        self.pick.of((self.ask_search, self.ask_search, self.ask_near, self.ask_near, self.ask_edges, self.ask_key,
                      self.ask_thing))()

    def ask_search(self):
        world = self.world
        query = self.vector()
        if world.model.records and self.pick(3) == 0:  # one that is there: distance 0
            query = list(world.model.records[self.pick.of(sorted(world.model.records))][1])
        world.search(query, self.pick.of((1, 1, 3, 10, 1000)), self.pick.of((None, None, None, *self.NUMBERS)))

    def ask_near(self):
        self.world.near(self.ident("node"), self.pick(5), self.pick.of((None, None, 3, 7)), 1 + self.pick(3))

    def ask_edges(self):
        self.world.edges(self.ident("node"), 1 + self.pick(3))

    def ask_key(self):
        self.world.key(self.key_name())

    def ask_thing(self):
        what = self.pick.of(("record", "node", "edge"))
        self.world.look(what, self.ident(what))


ALL = ("insert", "insert", "insert", "update", "delete", "create_node", "create_node", "delete_node", "create_edge", "create_edge",
       "create_edge", "delete_edge", "put", "put", "put_same", "delete_key", "clock", "tick")


# -- the files --------------------------------------------------------------------------------------------------------


def arithmetic():
    """small/arithmetic.txt"""
    file = File("Q16.16 arithmetic at its edges, payloads, and the functions that a provider offers.")
    file.section("Add and subtract saturate; multiply floors, then saturates.")
    edges = (0, 1, -1, 2, -3, 32768, -32768, 65535, 65536, -65536, 65537, 0x5A827999, -0x5A82799A, MAX, MIN, MAX - 1, MIN + 1)
    pairs = [(a, b) for a in edges for b in edges if a <= b and (abs(a) > 3 or abs(b) > 3)] + [(-1, 1), (1, 1), (-1, -1), (-3, 1)]
    pick = Pick(1)
    pairs += [(pick(2**32) - 2**31, pick(2**20) - 2**19) for _ in range(20)]
    for a, b in pairs:
        file.ask(f"mul {a} {b}", str(clamp(floor(fractions.Fraction(a * b, 65536)))))
    for a, b in ((MAX, 1), (MIN, -1), (MAX, MIN), (MIN, MIN), (MAX, MAX), (5, -7), (MAX, 0), (2**30, 2**30), (-(2**30), -(2**30)),
                 (-(2**30) - 1, -(2**30))):
        file.ask(f"add {a} {b}", str(clamp(a + b)))
    for a, b in ((MAX, -1), (MIN, 1), (MAX, MIN), (MIN, MAX), (MIN, MIN), (5, -7), (0, MIN), (-1, MAX)):
        file.ask(f"sub {a} {b}", str(clamp(a - b)))

    file.section("A dot product is exact until its one floor shift.")
    vectors = (([1, 1], [32768, 32768]), ([-1], [1]), ([-1, -1], [1, 1]), ([-1, 1], [1, 1]), ([MAX, MAX], [MAX, MAX]),
               ([MIN, MIN], [MAX, MAX]), ([MAX, MIN, 1], [MAX, MAX, 65536]), ([65536, -65536, 3], [MIN, MIN, -1]),
               ([MIN] * 16, [MIN] * 16), ([pick(2**32) - 2**31 for _ in range(16)], [pick(2**17) - 2**16 for _ in range(16)]))
    for a, b in vectors:
        total = sum(fractions.Fraction(x * y, 65536) for x, y in zip(a, b, strict=True))
        file.ask(f"dot {commas(a)} {commas(b)}", str(clamp(floor(total))))
    file.ask("dot - -", "0")
    file.ask("dot 1,2 1", Invalid)

    file.section("Decimal text: round half away from zero, clamp, refuse what is no finite decimal number.")
    for text in ("0", "-0", "1", "-1", "+1", "1.5", "-1.5", ".25", "-.25", "1.", "00012.50", " 1.5", "1.5\t", "1e0", "1E3", "1e+3",
                 "1e-3", "-2.5e-3", "0.00000762939453125", "-0.00000762939453125", "0.000007629394531249999999999999999",
                 "0.00002288818359375", "-0.00002288818359375", "0.000022888183593750000000000000001", "32767.99998474121",
                 "32767.9999999", "32767.999992370605469", "32768", "-32768", "-32768.00000762939453125", "-32769", "99999999999",
                 "1e999", "-1e999", "1e-999", "0e999", "3.14159265358979323846", "-2.71828182845904523536", "0.1", "-0.1",
                 "12345.6789e-2", "0." + "0" * 390 + "1", "9" * 400):
        file.ask(f"text [{text}]", str(nearest(fractions.Fraction(decimal.Decimal(text)))))
    for text in ("", " ", "-", "+", ".", "-.", "e5", "1e", "1e+", "1e5.0", "--1", "+-1", "1-", "1 2", "1_000", "0x10", "1,5", "nan",
                 "NaN", "inf", "-Infinity", "1e1000", "1.2.3", "1e5e5", "1e 5", "e", "9" * 401):
        file.ask(f"text [{text}]", Invalid)
    # White space and digits that only some interpreters take for such: no-break space, file separator, fullwidth 1, EM SPACE.
    for text in ("\u00a01.5", "1.5\x1c", "１.5", "\u2003" + "1", "−1", "1\0"):
        file.ask("utf8 " + text.encode().hex(), Invalid)
    for n in (0, 1, -1, 2, 65535, 65536, -65536, 98304, -98305, 2**30, MAX, MIN, MIN + 1, 6554, -6554):
        digits = format(decimal.Context(prec=60).divide(decimal.Decimal(n), decimal.Decimal(65536)), "f")
        file.ask("decimal %d" % n, digits.rstrip("0").rstrip(".") if "." in digits else digits)

    file.section("Ratios, as a laptop's floats arrive.")
    for n, d in ((1, 2), (1, 3), (-1, 3), (2, 3), (-2, 3), (1, 131072), (-1, 131072), (3, 131072), (-3, 131072), (1, 131073),
                 (0, 5), (MAX, 65536), (MAX * 2 + 1, 131072), (-(2**33), 131072), (-(2**32) - 1, 131072), (10**40, 3), (-(10**40), 3),
                 (1, 10**40), *((x.as_integer_ratio()) for x in (0.1, -0.1, 5e-324, 1.7976931348623157e308, 32767.99999999999))):
        file.ask(f"ratio {n} {d}", str(nearest(fractions.Fraction(n, d))))

    file.section("Payloads.")
    file.ask("payload insert 1,-1,65536 7 abcd", to_hex(insert([1, -1, 65536], 7, b"\xab\xcd")))
    file.ask(f"payload insert {MAX},{MIN} {TOP} -", to_hex(insert([MAX, MIN], TOP)))
    for text, error in ((f"{MAX + 1} 0 -", Invalid), (f"{MIN - 1} 0 -", Invalid), ("0 4294967296 -", Invalid), ("0 -1 -", Invalid)):
        file.ask("payload insert " + text, error)
    file.ask(f"payload update {TOP} 3 -", to_hex(update(TOP, 3)))
    file.ask("payload update 1073741824 - ff", to_hex(update(2**30, None, b"\xff")))
    file.ask("payload update 9 0 ff00", to_hex(update(9, 0, b"\xff\0")))
    file.ask("payload update 9 - -", Invalid)
    file.ask("payload update 4294967296 1 -", Invalid)
    file.ask("payload put c3a9 0001 2147483648", to_hex(put("é".encode(), b"\0\1", 2**31)))
    file.ask("payload put - 0001 0", TooLong)
    file.ask("payload put " + "61" * 25 + " - 0", TooLong)
    file.ask("payload delete-key 61 3000000000", to_hex(u32s(3000000000) + b"a"))
    file.ask("payload clock 1750000000123 250", to_hex(struct.pack("<QI", 1750000000123, 250)))
    file.ask("payload clock 4294967295 0", to_hex(struct.pack("<QI", TOP, 0)))
    file.ask(f"payload boot 3 {hashed(b'').hex()} 4000000000", to_hex(u32s(3) + hashed(b"") + u32s(4000000000)))

    file.section("Hashes and CRCs of a pattern, at every alignment; copies.")
    for at, size in ((0, 0), (0, 1), (1, 3), (2, 4), (3, 63), (0, 64), (1, 65), (2, 128), (3, 129), (0, 1023), (1, 1024), (2, 1025),
                     (0, 2048), (0, 2049), (3, 3073)):
        file.ask(f"hash {at} {size}", hashed(pattern(at, size)).hex())
    for at, size, seed in ((0, 0, 0), (0, 0, TOP), (0, 1, 0), (1, 9, 1), (2, 64, 2**30), (3, 97, 2**31), (0, 100, TOP)):
        file.ask(f"crc {at} {size} {seed}", "%08x" % zlib.crc32(pattern(at, size), seed))
    for at, counter, out_at in ((0, 0, 0), (1, 1, 1), (2, 5, 2), (3, TOP, 3), (4, 2**30, 8)):
        file.ask(f"chunk {at} {counter} {out_at}", chunk_out(at, counter, out_at).hex())
    for left, right, out_at, root in ((0, 32, 0, 0), (0, 32, 32, 1), (1, 33, 64, 0), (32, 0, 3, 1), (96, 96, 0, 0)):
        file.ask(f"parent {left} {right} {out_at} {root}", parent_out(left, right, out_at, root).hex())
    for to_at, of_at, count in ((0, 0, 0), (0, 0, 48), (4, 8, 40), (1, 2, 3), (4, 8, 41), (3, 0, 45), (47, 5, 1)):
        out = bytearray(48)
        out[to_at : to_at + count] = pattern(of_at, count)
        file.ask(f"copy {to_at} {of_at} {count}", out.hex())
    world = World(file, (1, 1, 0, 0, 0, 0, 0))
    world.root()
    return file


def clamp(n):
    return min(max(n, MIN), MAX)


def floor(x):
    return x.numerator // x.denominator


def nearest(x):
    """Return x in Q16.16: half away from zero, clamped."""
    size = floor(abs(x) * 65536 + fractions.Fraction(1, 2))
    return clamp(-size if x < 0 else size)


def pattern(at, size):
    return bytes((i * 167 ^ i >> 8) & 255 for i in range(at, at + size))


def chunk_out(at, counter, out_at):
    # The blake3 package shows no chaining values: the reference that tests/kernel/test_blake3.py holds to it does.
    from shared_kernel import blake3 as reference

    out = bytearray(40)
    reference.chunk_cv(pattern(at, 1024), 0, counter, out, out_at)
    return out


def parent_out(left, right, out_at, root):
    from shared_kernel import blake3 as reference

    cvs = bytearray(pattern(0, 128))
    reference.parent_cv(bytes(cvs), left, right, cvs, out_at, root)
    return cvs


def commands():
    """small/commands.txt"""
    file = File("Every command and every refusal, on states of a few KiB; ids, capacity, queries, the chain of frames.")
    file.section("A walk by chance, with its log.")
    world = World(file, (3, 24, 30, 30, 12, 5, 7), log=True)
    world.root()
    world.chain()
    world.log_only(BOOT, u32s(1) + world.head + u32s(0))
    world.chain()
    Walk(world, 2, ALL).go(150, root=25, chain=15, question=5)
    world.log_only(CHECKPOINT, hashed(bytes(world.kernel.arena.bytes)))
    world.chain()
    header = world.snapshot(3, 7)
    world.snapshot(TOP, 2**30)
    file.ask("header " + header.hex(), "%d 3 7 %d" % (world.seq, world.kernel.arena.size))
    for broken in (header[:-1], b"", header[:8] + bytes((header[8] ^ 1,)) + header[9:], b"q" + header[1:],
                   recrc(header[:4] + u32s(2) + header[8:])):
        file.ask("header " + to_hex(broken), FormatError)
    world.reload()
    Walk(world, 3, ALL).go(20, root=20, chain=20, question=5)
    world.arena()
    world.everything()

    file.section("Sequence numbers that are no small integers on a board, up to the last.")
    for start in (2**30 - 6, 2**31 - 12, 2**32 - 40):
        world.go_to(start)
        Walk(world, start, ALL).go(12, root=12, chain=6, question=2)
    for what in ("record", "node", "edge"):
        for ident in world.ids[what][-3:]:
            world.look(what, ident)
    world.create_node(1)
    world.create_node(2)
    first, second = world.ids["node"][-2:]
    world.create_edge(3, first, second)
    world.near(first, 1)
    world.delete_edge(world.ids["edge"][-1])
    world.put(b"a", b"last")
    world.put_same(b"a")
    world.delete_node(first)
    world.delete_node(first)
    world.go_to(TOP - 2)
    world.insert([1, 2, 3], TOP, b"end")
    world.create_node(TOP, TOP - 1)
    world.delete(TOP - 1)
    world.root()
    world.chain()
    world.counts()
    world.snapshot(1, 1)

    refusals(file)
    capacity(file)
    queries(file)
    return file


def recrc(header):
    return header[:-4] + u32s(zlib.crc32(header[:-4]))


def refusals(file):
    file.section("Refusals: each says why, and changes nothing.")
    world = World(file, (2, 4, 4, 4, 4, 3, 5))
    world.insert([1, 2], 5, b"abc")  # 1
    world.create_node(7, 1)  # 2
    world.create_node(8)  # 3
    world.create_edge(9, 2, 3)  # 4
    world.put(b"key", b"value")  # 5
    world.root()
    for config in ((0, 1, 1, 1, 1, 1, 1), (4097, 1, 1, 1, 1, 1, 1), (1, 2**20 + 1, 1, 1, 1, 1, 1), (1, -1, 1, 1, 1, 1, 1),
                   (1, 1, 1, 2**20 + 1, 1, 1, 1), (1, 1, 1, 1, 1, 256, 1), (1, 1, 1, 1, 1, 1, 4097), (1, 1, 1, 1, 1, 1), (1,) * 8):
        file.ask("config " + " ".join(str(each) for each in config), Invalid)
    for verb, payload, error in (
        ("insert", b"", WrongDimension), ("insert", u32s(5), WrongDimension), ("insert", u32s(5, 1), WrongDimension),
        ("insert", u32s(5, 1) + b"\0\0\0", WrongDimension), ("insert", insert([1, 2], 5, b"abcd"), TooLong),
        ("update", update(1, 6)[:8], Invalid), ("update", u32s(1, 6) + b"\0", Invalid), ("update", u32s(1, 6) + b"\4", Invalid),
        ("update", u32s(1, 6) + b"\2", Invalid), ("update", u32s(1, 6) + b"\1x", Invalid), ("update", update(1, 6, b"abcd"), TooLong),
        ("update", update(2, 6), NotFound), ("update", update(0, 6), NotFound), ("update", update(TOP, 6), NotFound),
        ("delete", b"", Invalid), ("delete", u32s(1)[:3], Invalid), ("delete", u32s(1) + b"\0", Invalid), ("delete", u32s(1), InUse),
        ("delete", u32s(0), NotFound), ("delete", u32s(2), NotFound), ("delete", u32s(2**31 + 1), NotFound),
        ("create-node", u32s(1), Invalid), ("create-node", u32s(1, 1) + b"\0", Invalid), ("create-node", u32s(1, 3), NotFound),
        ("delete-node", b"\1", Invalid), ("delete-node", u32s(1), NotFound), ("delete-node", u32s(2, 0), Invalid),
        ("create-edge", u32s(1, 2), Invalid), ("create-edge", u32s(1, 2, 3) + b"\0", Invalid), ("create-edge", u32s(1, 2, 4), NotFound),
        ("create-edge", u32s(1, 0, 2), NotFound), ("create-edge", u32s(1, 1, 2), NotFound),
        ("delete-edge", u32s(4)[:2], Invalid), ("delete-edge", u32s(5), NotFound), ("delete-edge", u32s(0), NotFound),
        ("put", u32s(0) + b"\0", Invalid), ("put", put(b"", b"v"), TooLong), ("put", put(b"n" * 25, b""), TooLong),
        ("put", u32s(0) + b"\0\5abcd", TooLong), ("put", u32s(0) + b"\0\xffabcd", TooLong), ("put", put(b"new", b"value+"), TooLong),
        ("put", put(b"new", b"v", 5), Invalid), ("put", put(b"key", b"v", 0), Invalid), ("put", put(b"key", b"v", 6), Invalid),
        ("put", put(b"key", b"v", 5 + 2**31), Invalid), ("put", u32s(0) + b"\1\3new", Invalid), ("put", u32s(5) + b"\2\3key", Invalid),
        ("put", u32s(5) + b"\1\3keyv", Invalid),
        ("delete-key", u32s(5)[:3], Invalid), ("delete-key", u32s(5), TooLong), ("delete-key", u32s(0) + b"n" * 25, TooLong),
        ("delete-key", u32s(0) + b"ke", NotFound), ("delete-key", u32s(0) + b"keyy", NotFound), ("delete-key", u32s(4) + b"key", Invalid),
        ("unknown 0", b"", Invalid), ("unknown 19", u32s(1), Invalid), ("unknown 22", b"", Invalid), ("unknown 30", b"", Invalid),
        ("unknown 63", b"", Invalid), ("unknown 3", bytes(32), Invalid),
    ):
        world.give(verb, payload, error)
    world.arena()
    world.everything()
    for query, k in (([1], 1), ([1, 2, 3], 1), ([1, 2], 0), ([1, 2], -1)):
        world.search(query, k)
    file.ask("search 1,2147483648 1 -", Invalid)
    file.ask("near 2 -1 - 1", Invalid)
    file.ask("near 2 1 - 0", Invalid)
    file.ask("near 2 1 - 4", Invalid)
    world.near(1, 1)
    world.edges(99)
    world.key(b"")
    world.key(b"n" * 25)
    world.key(b"ke")
    world.put_same(b"key")
    world.delete_key(b"key")
    world.delete_key(b"key")
    world.arena()


def capacity(file):
    file.section("Full pools; freed slots are used again, the last freed first; a stale id stays stale.")
    world = World(file, (1, 3, 3, 4, 3, 0, 0))
    for i in range(4):
        world.insert([i])
    for i in (2, 1):
        world.delete(i)
        world.delete(i)
    world.root()
    for i in range(3):
        world.insert([9 + i], i)
    for i in (1, 2, 3, 4, 5):
        world.look("record", i)
    world.insert([1], 0, b"x")
    for i in range(4):
        world.create_node(i, world.ids["record"][-1])
    a, b, c = world.ids["node"]
    world.delete(world.ids["record"][-1])
    for pair in ((a, b), (a, a), (b, a), (c, b), (b, c)):
        world.create_edge(1, *pair)
    for node in (a, b, c):
        world.edges(node)
        world.near(node, 9, None, 3)
    world.root()
    world.delete_node(a)
    world.edges(b)
    world.edges(a)
    world.create_edge(2, b, b)
    world.create_edge(2, c, b)
    world.near(c, 2)
    world.delete_edge(world.ids["edge"][0])
    world.delete_edge(world.ids["edge"][-1])
    world.create_node(5)
    world.delete(world.ids["record"][-1])
    for name in (b"a", b"b", b"c", b"d"):
        world.put(name, b"")
    world.put(b"b", b"v")
    world.delete_key(b"b")
    world.put_same(b"a")
    world.put(b"d", b"")
    world.put(b"b", b"")
    world.everything()
    world.arena()

    file.section("Pools of no slots at all.")
    world = World(file, (1, 0, 0, 0, 0, 0, 0))
    world.insert([1])
    world.update(1, 1)
    world.delete(1)
    world.create_node(1)
    world.create_node(1, 1)
    world.delete_node(1)
    world.create_edge(1, 1, 1)
    world.delete_edge(1)
    world.put(b"a", b"")
    world.put_same(b"a")
    world.delete_key(b"a")
    world.search([0], 3)
    world.near(1, 1)
    world.key(b"a")
    world.counts()
    world.arena()

    file.section("Slots larger than a chunk, and one that fills it exactly.")
    for config in ((252, 2, 1, 1, 1, 0, 1000), (251, 3, 0, 0, 1, 0, 984)):
        world = World(file, config)
        for i in range(3):
            world.insert([i - 1] * config[0])
        world.put(b"k", b"v" * config[6])
        world.root()
        world.put(b"k", b"w")
        world.delete(1)
        world.search([1] * config[0], 2)
        world.arena()


def queries(file):
    file.section("Distances at the edge of saturation; ties are broken by id.")
    world = World(file, (9, 12, 0, 0, 0, 0, 0))
    for i in (2, 1, 0, 1, 2):
        world.insert([MIN + each for each in EDGE_OF_SATURATION[i]], i)
    world.insert([MAX] * 9)
    world.insert([MIN] * 9, TOP)
    world.insert([0] * 9)
    world.insert([-1] * 9, 1)
    world.delete(3)
    world.insert([-1] * 9, 1)
    for query in ([MIN] * 9, [MAX] * 9, [0] * 9, [-1] * 9, [MIN, MAX] * 4 + [0]):
        for k in (1, 3, 100):
            world.search(query, k)
    for tag in (0, 1, 2, TOP, 5):
        world.search([MIN] * 9, 2, tag)
    file.section("Neighbourhoods: a ring with chords, loops and parallel edges.")
    world = World(file, (1, 1, 8, 20, 0, 0, 0))
    for i in range(8):
        world.create_node(i)
    for i in range(1, 9):
        world.create_edge(i % 3, i, i % 8 + 1)
    for origin, target, kind in ((1, 5, 0), (5, 1, 1), (3, 3, 2), (3, 3, 2), (2, 7, 0), (2, 7, 0), (8, 4, 1)):
        world.create_edge(kind, origin, target)
    for depth in (0, 1, 2, 3, 100):
        for directions in (1, 2, 3):
            world.near(1, depth, None, directions)
            world.near(3, depth, 0, directions)
    world.delete_node(5)
    for node in (1, 3, 5, 7):
        world.near(node, 3, None, 3)
        world.edges(node)
    world.arena()


def replay():
    """small/replay.txt"""
    file = File("Frames replayed: what passes, and what replay names in those that do not.")
    config = (2, 3, 3, 3, 3, 4, 4)
    head = None
    log = {"seq": 0, "head": b"", "name": b"", "boots": 0, "checkpoints": 0}

    def begin(origin=b"", seq=0, rules=1):
        payload = genesis_payload(config, b"conformance 2026"[:16], 0, b"a board", origin)
        return frame(GENESIS, u32s(rules) + payload[4:], seq, 0, 0)

    def made(kind, payload, seq=None, tick=0, seed=None):
        return frame(kind, payload, log["seq"] + 1 if seq is None else seq, tick, zlib.crc32(log["name"]) if seed is None else seed)

    def passes(whole):
        log["seq"] += 1
        log["head"] = hashed(log["head"] + whole)
        file.ask("step " + whole.hex(), "%d %d" % (log["checkpoints"], log["boots"]))

    def parts(whole, what, seq=None):
        file.ask("step " + to_hex(whole), "mismatch %d %s" % (log["seq"] + 1 if seq is None else seq, what))

    file.section("A genesis, or not.")
    origin = bytes(32) + u32s(41) + bytes(96)
    whole = begin()
    file.ask("replay")
    for broken in (b"", whole[:-1], whole + b"\0", whole[:-1] + b"\0", frame(0x10, whole[12:-4], 0, 0, 0), b"\2" + whole[1:]):
        parts(broken, "first frame", 0)
    parts(begin(rules=2), "genesis", 0)
    parts(frame(GENESIS, whole[12:-5], 0, 0, 0), "genesis", 0)
    parts(begin(seq=7), "genesis seq", 7)
    parts(begin(origin), "genesis seq", 0)
    parts(begin(origin, 42), "base state", 42)
    file.ask("step " + whole.hex(), "0 0")
    log["head"] = log["name"] = hashed(bytes(32) + whole)
    kernel = Kernel(config)
    file.ask("root", blake3(kernel.arena.bytes).hexdigest())
    file.ask("head", log["head"].hex())

    def applied(kind, payload, token=b"", tick=0):
        seq = log["seq"] + 1
        kernel.apply(kind, payload, 0, len(payload), seq)
        passes(made(kind | (TOKEN if token else 0), token + payload, tick=tick))

    file.section("Commands, with tokens and without.")
    applied(0x10, insert([1, -1], 7, b"meta"))
    applied(0x10, insert([MAX, MIN], TOP), b"12345678", tick=2**30)
    applied(0x14, u32s(1, 2), tick=TOP)
    applied(0x14, u32s(2, 0))
    applied(0x18, u32s(5, 3, 4), bytes(8))
    applied(0x1C, put(b"key", b"abcd"))
    applied(0x1C, u32s(6) + b"\1\3key")
    file.ask("root", blake3(kernel.arena.bytes).hexdigest())
    file.ask("head", log["head"].hex())

    file.section("Frames that are not the next.")
    good = made(0x12, u32s(1))
    parts(good[:-1], "frame length")
    parts(good[:12], "frame length")
    parts(made(0x12, u32s(1), seq=log["seq"]), "sequence number")
    parts(made(0x12, u32s(1), seq=log["seq"] + 2), "sequence number")
    parts(b"\2" + good[1:], "frame version")
    parts(good[:13] + b"\1" + good[14:], "frame CRC")
    parts(good[:9] + b"\1" + good[10:], "frame CRC")
    parts(made(0x12, u32s(1), seed=0), "frame CRC")
    parts(made(0x12, u32s(1), seed=zlib.crc32(bytes(32))), "frame CRC")
    parts(made(0x12, u32s(2)), "command")
    parts(made(0x12 | TOKEN, u32s(1) + bytes(7)), "command")
    parts(made(0x13, b""), "command")
    parts(made(0x04, b""), "frame type")
    parts(made(0x01, b""), "frame type")
    parts(made(CHECKPOINT, bytes(32)), "state root of the checkpoint")
    parts(made(BOOT, u32s(1) + log["head"]), "boot frame's payload")
    parts(made(BOOT, u32s(1) + bytes(36)), "chain head in the boot frame")
    parts(made(BOOT, u32s(2) + log["head"] + u32s(0)), "boot number")
    parts(made(CLOCK, bytes(11)), "clock frame's payload")
    file.ask("head", log["head"].hex())

    file.section("Frames that change no state: boot, checkpoint, clock, and a type of the future that may be skipped.")
    log["boots"] = 1
    passes(made(BOOT, u32s(1) + log["head"] + u32s(17)))
    log["checkpoints"] = 1
    passes(made(CHECKPOINT, hashed(bytes(kernel.arena.bytes))))
    passes(made(CLOCK, struct.pack("<QI", 1750000000123, 40)))
    passes(made(0x8F, b"whatever"))
    log["boots"] = 2
    passes(made(BOOT, u32s(2) + log["head"] + u32s(0)))
    passes(good := made(0x12, u32s(1)))
    kernel.apply(0x12, good[12:-4], 0, 4, log["seq"])
    log["checkpoints"] = 2
    head = hashed(bytes(kernel.arena.bytes))
    passes(made(CHECKPOINT | TOKEN, bytes(8) + head))
    file.ask("counts", "%d 1 2 1 1" % kernel.seq())
    file.ask("head", log["head"].hex())
    file.ask("arena", head.hex())
    return file


def records():
    """large/records.txt"""
    file = File("A board's usual configuration: records come and go, keys are written, neighbours are searched.")
    world = World(file, (16, 256, 64, 128, 32, 16, 16), log=True)
    walk = Walk(world, 11, ("insert",) * 6 + ("update", "delete", "put", "put", "put_same", "delete_key", "create_node", "clock", "tick"))
    walk.go(700, root=50, chain=25, question=20)
    world.reload()
    walk.verbs = ("insert",) * 3 + ("update", "update", "delete", "delete", "put", "delete_key", "create_node", "delete_node")
    walk.go(500, root=50, chain=25, question=20)
    for size in (4096, 5120, 7169, 8192):
        file.ask(f"hash 0 {size}", hashed(pattern(0, size)).hex())
    world.everything()
    world.snapshot(2, 3)
    world.arena()
    return file


def graph():
    """large/graph.txt"""
    file = File("A graph of some size: edges and nodes come and go, neighbourhoods are walked.")
    world = World(file, (1, 20, 150, 300, 5, 1, 8), log=True)
    walk = Walk(world, 12, ("insert",) + ("create_node",) * 5 + ("create_edge",) * 10 + ("delete_edge", "delete", "put"))
    walk.go(600, root=50, chain=50, question=8)
    world.go_to(2**31 - 200)
    walk.verbs = ("create_node",) * 2 + ("create_edge",) * 6 + ("delete_edge",) * 4 + ("delete_node", "insert", "delete", "clock")
    walk.go(900, root=50, chain=50, question=8)
    world.everything()
    world.arena()
    return file


def wide():
    """large/wide.txt"""
    file = File("Slots that take several chunks each: long vectors, long metadata, long values.")
    world = World(file, (260, 5, 3, 3, 4, 255, 2100), log=True)
    Walk(world, 13, ("insert", "update", "update", "delete", "create_node", "delete_node", "put", "put_same", "delete_key")).go(
        120, root=10, chain=10, question=6)
    world.reload()
    world.everything()
    world.snapshot(1, 2)
    world.arena()
    return file


FILES = {"small/arithmetic.txt": arithmetic, "small/commands.txt": commands, "small/replay.txt": replay,
         "large/records.txt": records, "large/graph.txt": graph, "large/wide.txt": wide}


class Published:
    """The hashes with which the kernel runs here."""

    name = "blake3 package"
    whole = True
    crc32 = staticmethod(zlib.crc32)

    @staticmethod
    def hash(data):
        return hashed(data)


def main(arguments):
    before = {each: getattr(primitives, each) for each in (*primitives.NAMES, "whole", "name")}
    primitives.use(Published)
    try:
        texts = {name: make().text() for name, make in FILES.items()}
    finally:
        vars(primitives).update(before)
    if arguments == ["--check"]:
        return check(texts)
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for name, text in texts.items():
        (VECTORS / name).parent.mkdir(parents=True, exist_ok=True)
        (VECTORS / name).write_text(text)
    return 0


def check(texts):
    """Compare the files with what they should be; name the first line that differs."""
    wrong = [f"{path.relative_to(VECTORS)} is not one of them" for path in sorted(VECTORS.glob("**/*"))
             if path.is_file() and path.relative_to(VECTORS).as_posix() not in texts]
    for name, text in texts.items():
        path = VECTORS / name
        found = path.read_text().splitlines() if path.is_file() else []
        expected = text.splitlines()
        if found != expected:
            line = next((i for i, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]), min(len(found), len(expected)))
            wrong.append(f"{name} differs from what is generated, first in line {line + 1}")
    for each in wrong:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
