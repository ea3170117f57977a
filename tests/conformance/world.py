"""A file of vectors, and a state whose commands and answers become its lines. Never decides what to
ask."""

import zlib

from shared_kernel.errors import NotFound, Refused, TooLong
from shared_kernel.kernel import Kernel
from tests.conformance.encoding import (
    GENESIS,
    KINDS,
    commas,
    frame,
    genesis_payload,
    hashed,
    insert,
    put,
    to_hex,
    u32s,
    update,
)
from tests.model import Model


class File:
    """The lines of one file of vectors."""

    def __init__(self, purpose):
        self.lines = [
            "# " + purpose,
            "# Made by tests/conformance/generate.py; what the lines mean is said in runner.py.",
        ]
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
            file.ask(
                "genesis %s %s 1 %s" % (commas(config), entropy.hex(), identity.hex()), whole.hex()
            )
        else:
            file.ask(
                "config " + " ".join(str(each) for each in config), str(self.kernel.arena.chunks)
            )

    # -- commands ----------------------------------------------------------------------------------

    def give(self, verb, payload, told):
        """Give a command to both. told: tells the model, given a seq; or the class of the refusal.
        Return whether it passed."""
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
        assert found is expected, (
            f"{verb} {payload.hex()}: the kernel says {found}, expected {expected}"
        )
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
        if self.give(
            "insert",
            insert(vector, tag, meta),
            lambda seq: self.model.insert(seq, vector, tag, meta),
        ):
            self.ids["record"].append(self.seq)

    def update(self, ident, tag=None, meta=None):
        self.give(
            "update", update(ident, tag, meta), lambda seq: self.model.update(seq, ident, tag, meta)
        )

    def delete(self, ident):
        self.give("delete", u32s(ident), lambda seq: self.model.delete(seq, ident))

    def create_node(self, kind, record=0):
        if self.give(
            "create-node", u32s(kind, record), lambda seq: self.model.create_node(seq, kind, record)
        ):
            self.ids["node"].append(self.seq)

    def delete_node(self, ident):
        self.give("delete-node", u32s(ident), lambda seq: self.model.delete_node(seq, ident))

    def create_edge(self, kind, origin, target):
        if self.give(
            "create-edge",
            u32s(kind, origin, target),
            lambda seq: self.model.create_edge(seq, kind, origin, target),
        ):
            self.ids["edge"].append(self.seq)

    def delete_edge(self, ident):
        self.give("delete-edge", u32s(ident), lambda seq: self.model.delete_edge(seq, ident))

    def put(self, name, value, prev=None):
        prev = self.last_write(name) if prev is None else prev
        if self.give(
            "put", put(name, value, prev), lambda seq: self.model.put(seq, name, value, prev)
        ):
            self.names.append(name)

    def put_same(self, name, prev=None):
        prev = self.last_write(name) if prev is None else prev
        self.give(
            "put",
            u32s(prev) + bytes((1, len(name))) + name,
            lambda seq: self.model.put_same(seq, name, prev),
        )

    def delete_key(self, name, prev=None):
        prev = self.last_write(name) if prev is None else prev
        self.give(
            "delete-key", u32s(prev) + name, lambda seq: self.model.delete_key(seq, name, prev)
        )

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

    # -- questions ---------------------------------------------------------------------------------

    def ask(self, question, answer):
        """answer: a function; it may raise a refusal."""
        try:
            found = answer()
        except Refused as e:
            found = type(e)
        self.file.ask(question, found)

    def root(self):
        self.file.ask("root", hashed(self.kernel.arena.bytes).hex())

    def arena(self):
        self.file.ask("arena", hashed(self.kernel.arena.bytes).hex())

    def reload(self):
        self.file.ask("reload", hashed(self.kernel.arena.bytes).hex())

    def chain(self):
        """The last frame and the chain head."""
        if self.name:
            self.file.ask("frame", self.sealed.hex())
            self.file.ask("head", self.head.hex())

    def snapshot(self, boot, generation):
        root = hashed(self.kernel.arena.bytes)
        header = (
            b"QSNP"
            + u32s(1, self.seq, boot, generation, self.kernel.arena.size)
            + self.name
            + self.head
            + root
        )
        header += u32s(zlib.crc32(header))
        self.file.ask(f"snapshot {boot} {generation}", header.hex())
        return header

    def counts(self):
        m = self.model
        self.file.ask(
            "counts",
            "%d %d %d %d %d" % (m.seq, len(m.records), len(m.nodes), len(m.edges), len(m.keys)),
        )

    def search(self, query, k, tag=None):
        self.ask(
            "search %s %d %s" % (commas(query), k, "-" if tag is None else tag),
            lambda: ",".join("%d:%d" % each for each in self.model.search(query, k, tag)) or "-",
        )

    def edges(self, node, directions=3):
        self.ask(
            f"edges {node} {directions}",
            lambda: commas(self.model.edges_of(node, bool(directions & 1), bool(directions & 2))),
        )

    def near(self, node, depth, kind=None, directions=1):
        self.ask(
            "near %d %d %s %d" % (node, depth, "-" if kind is None else kind, directions),
            lambda: ",".join(
                "%d:%d" % each
                for each in self.model.neighbourhood(
                    node, depth, kind, bool(directions & 1), bool(directions & 2)
                )
            ),
        )

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
