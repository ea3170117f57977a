"""Logs for the tests of the page: written with the kernel and the frame codec, at random or with
every type of frame."""

import random

from blake3 import blake3

from shared_kernel import frames, genesis
from shared_kernel import kernel as k
from shared_kernel.errors import Refused
from shared_kernel.frame_names import is_command

COMMANDS = (
    k.INSERT,
    k.UPDATE,
    k.DELETE,
    k.CREATE_NODE,
    k.DELETE_NODE,
    k.CREATE_EDGE,
    k.DELETE_EDGE,
    k.PUT,
    k.DELETE_KEY,
)


def b3(data):
    return blake3(data).digest()


class Log:
    """A log being written. frames, heads, roots: of each frame; kernel: the state after the
    last."""

    def __init__(self, config, origin=None, base=None):
        payload = genesis.encode(config, bytes(range(16)), "bräd", frames.STOP, origin)
        self.kernel = base or k.Kernel(config)
        self.seq = origin[1] + 1 if origin else 0
        self.frames = [frames.frame(frames.GENESIS, payload, self.seq, 0, 0)]
        self.heads = [b3(bytes(32) + self.frames[0])]
        self.roots = [self.kernel.root()]
        self.boots = 0

    def make(self, kind, payload, token=b""):
        kind |= frames.TOKEN if token else 0
        return frames.frame(
            kind, token + payload, self.seq + 1, 7 * self.seq, frames.seed(self.heads[0])
        )

    def add(self, kind, payload, token=b""):
        """Append a frame and return its seq; Refused, and nothing done, if it is a command that the
        state does not allow."""
        frame = self.make(kind, payload, token)
        if is_command(kind):
            self.kernel.check(kind, payload, 0, len(payload))
            self.kernel.apply(kind, payload, 0, len(payload), self.seq + 1)
        self.seq += 1
        self.frames.append(frame)
        self.heads.append(b3(self.heads[-1] + frame))
        self.roots.append(self.kernel.root())
        return self.seq

    def boot(self, skipped=0):
        self.boots += 1
        return self.add(frames.BOOT, frames.boot(self.boots, self.heads[-1], skipped))

    def checkpoint(self):
        return self.add(frames.CHECKPOINT, self.roots[-1])

    def end(self):
        return self.seq, self.heads[-1], self.roots[-1]


class Wanderer:
    """Draws commands for a Log, most of which its state allows."""

    def __init__(self, log, seed):
        self.log, self.random = log, random.Random(seed)
        self.ids = {"record": [0], "node": [0], "edge": [0]}

    def some(self, limit):
        return self.random.randbytes(self.random.choice((0, limit // 2, limit, limit, limit + 1)))

    def ident(self, label):
        """Mostly one that is there."""
        pool = getattr(self.log.kernel, label + "s")
        live = [each for each in self.ids[label][-40:] if pool.find(each)]
        return self.random.choice(
            live if live and self.random.random() < 0.8 else self.ids[label][-8:]
        )

    def prev(self, name):
        try:
            seq = self.log.kernel.key(name)[0]
        except Refused:
            seq = 0
        return seq if self.random.random() < 0.9 else self.random.randrange(5)

    def draw(self):
        """Return (kind, payload)."""
        r, config = self.random, self.log.kernel.config()
        kind = r.choice(
            COMMANDS + (k.INSERT, k.CREATE_NODE, k.CREATE_NODE, k.CREATE_EDGE, k.CREATE_EDGE, k.PUT)
        )
        if kind == k.INSERT:
            vector = [
                r.choice((0, 1, -1, 2**31 - 1, -(2**31), r.randrange(-(2**31), 2**31)))
                for _ in range(config[0])
            ]
            return kind, frames.insert(vector, r.randrange(3), self.some(config[5]))
        if kind == k.UPDATE:
            tag, meta = r.choice((None, 9, 2**32 - 1)), self.some(config[5])
            return kind, frames.update(
                self.ident("record"), tag, meta if tag is None or r.random() < 0.5 else None
            )
        if kind == k.CREATE_NODE:
            return kind, frames.create_node(
                r.randrange(4), self.ident("record") if r.random() < 0.7 else 0
            )
        if kind == k.CREATE_EDGE:
            return kind, frames.create_edge(r.randrange(4), self.ident("node"), self.ident("node"))
        if kind in (k.PUT, k.DELETE_KEY):
            name = r.choice(
                (
                    b"a",
                    b"b",
                    b"\0",
                    b"\0\0",
                    b"n" * 24,
                    b"n" * 23 + b"m",
                    b"key-%d" % r.randrange(20),
                )
            )
            if kind == k.DELETE_KEY:
                return kind, frames.delete_key(name, self.prev(name))
            if r.random() < 0.3:
                return kind, self.prev(name).to_bytes(4, "little") + bytes((1, len(name))) + name
            return kind, frames.put(name, self.some(config[6]), self.prev(name))
        label = {k.DELETE: "record", k.DELETE_NODE: "node", k.DELETE_EDGE: "edge"}[kind]
        return kind, frames.ident(self.ident(label))

    def step(self):
        """Append a drawn frame and return it, or None and the frame that was refused."""
        r, log = self.random, self.log
        n = r.randrange(40)
        if n == 0:
            log.boot(r.randrange(100))
        elif n == 1:
            log.checkpoint()
        elif n == 2:
            log.add(frames.CLOCK, frames.clock(r.randrange(2**44), 5), r.choice((b"", b"a token.")))
        elif n == 3:
            log.add(r.choice((0x85, 0x88, 0xBF)), r.randbytes(20), r.choice((b"", b"a token.")))
        else:
            kind, payload = self.draw()
            token = r.choice((b"", b"", r.randbytes(8)))
            if r.random() < 0.05:
                payload = r.choice((payload[:-1], payload + b"\0", payload[:3], b""))
            refused = log.make(kind, payload, token)
            try:
                seq = log.add(kind, payload, token)
            except Refused:
                return None, refused
            label = {k.INSERT: "record", k.CREATE_NODE: "node", k.CREATE_EDGE: "edge"}.get(kind)
            if label:
                self.ids[label].append(seq)
        return log.frames[-1], None


def every_type():
    """Return a Log with every type of frame, with tokens and without; each command is followed by a
    checkpoint, so that what it changes is proved, and a boot frame ends it, so that the whole chain
    is."""
    log = Log((2, 4, 4, 6, 3, 5, 7))
    log.boot()

    def add(kind, payload, token=b""):
        seq = log.add(kind, payload, token)
        log.checkpoint()
        return seq

    one = add(k.INSERT, frames.insert([65536, -2], 9, b"meta!"))
    two = add(k.INSERT, frames.insert([70000, 3], 0, b"x"), b"8 bytes.")
    add(k.UPDATE, frames.update(one, 5, b"new"))
    add(k.UPDATE, frames.update(two, 6), b"a tokenn")
    node = add(k.CREATE_NODE, frames.create_node(3, one))
    other = add(k.CREATE_NODE, frames.create_node(4))
    edge = add(k.CREATE_EDGE, frames.create_edge(7, node, other))
    add(k.CREATE_EDGE, frames.create_edge(8, other, other), b"another.")
    log.add(frames.CLOCK, frames.clock(1_700_000_000_000, 50))
    log.add(frames.CLOCK, frames.clock(1_700_000_001_000, 50), b"a third.")
    put = add(k.PUT, frames.put("temp", b"21.5"))
    log.two, log.t = two, add(k.PUT, frames.put("t", b""), b"a fourth")
    same = add(k.PUT, put.to_bytes(4, "little") + b"\1\4temp")
    log.add(0x85, b"of a later version, to be skipped")
    log.boot(skipped=12)
    add(k.DELETE_EDGE, frames.ident(edge))
    add(k.DELETE_NODE, frames.ident(other))
    add(k.DELETE_NODE, frames.ident(node))
    add(k.DELETE, frames.ident(one))
    add(k.DELETE_KEY, frames.delete_key("temp", same))
    log.add(k.INSERT, frames.insert([1, 1], 2, b"m"))
    log.checkpoint()
    log.boot()
    return log
