"""Commands and questions drawn by chance. Never knows what they should give: world.py does."""

from tests.conformance.encoding import CLOCK, MAX, MIN, TOP, u32s


class Pick:
    """Numbers from a seed, the same on every machine: pick(n) is 0 to n - 1. (Knuth's MMIX
    generator, its upper bits.)"""

    def __init__(self, seed):
        self.state = seed

    def __call__(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n

    def of(self, things):
        return things[self(len(things))]


class Walk:
    """Commands and questions drawn by chance over a World, and what is looked at after every so
    many."""

    NAMES = (
        b"a",
        b"b",
        b"temperature",
        b"\0",
        b"\0\0",
        "é".encode(),
        b"n" * 24,
        b"n" * 23 + b"m",
        b"x-axis",
        b"y-axis",
    )
    NUMBERS = (0, 1, 2, 3, 3, 7, 2**30, 2**31, TOP)

    def __init__(self, world, seed, verbs):
        """verbs: of this class, as often as they are to come."""
        self.world = world
        self.pick = Pick(seed)
        self.verbs = verbs

    def go(self, steps, root, chain, question):
        """Take steps: every root-th is followed by the state root, every chain-th by frame and
        head, every question-th by a question."""
        for step in range(1, steps + 1):
            getattr(self, self.pick.of(self.verbs))()
            if not step % root:
                self.world.root()
            if not step % chain:
                self.world.chain()
            if not step % question:
                self.question()

    def ident(self, label):
        """Mostly one that is there; else one that was, 0, the next seq, the greatest u32, or an id
        of another kind."""
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

    # -- commands ----------------------------------------------------------------------------------

    def insert(self):
        vector = self.vector() if self.pick(20) else self.vector()[:-1]
        self.world.insert(vector, self.pick.of(self.NUMBERS), self.bytes_up_to(self.world.max_meta))

    def update(self):
        which = 1 + self.pick(3)
        tag = self.pick.of(self.NUMBERS) if which & 1 else None
        self.world.update(
            self.ident("record"), tag, self.bytes_up_to(self.world.max_meta) if which & 2 else None
        )

    def delete(self):
        self.world.delete(self.ident("record"))

    def create_node(self):
        self.world.create_node(
            self.pick.of(self.NUMBERS), self.ident("record") if self.pick(3) else 0
        )

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
        self.world.at_tick(
            self.pick.of((self.pick(100000), 2**30 + self.pick(2**30), TOP - self.pick(1000)))
        )

    # -- questions ---------------------------------------------------------------------------------

    def question(self):
        self.pick.of(
            (
                self.ask_search,
                self.ask_search,
                self.ask_near,
                self.ask_near,
                self.ask_edges,
                self.ask_key,
                self.ask_thing,
            )
        )()

    def ask_search(self):
        world = self.world
        query = self.vector()
        if world.model.records and self.pick(3) == 0:  # one that is there: distance 0
            query = list(world.model.records[self.pick.of(sorted(world.model.records))][1])
        world.search(
            query,
            self.pick.of((1, 1, 3, 10, 1000)),
            self.pick.of((None, None, None, *self.NUMBERS)),
        )

    def ask_near(self):
        self.world.near(
            self.ident("node"), self.pick(5), self.pick.of((None, None, 3, 7)), 1 + self.pick(3)
        )

    def ask_edges(self):
        self.world.edges(self.ident("node"), 1 + self.pick(3))

    def ask_key(self):
        self.world.key(self.key_name())

    def ask_thing(self):
        what = self.pick.of(("record", "node", "edge"))
        self.world.look(what, self.ident(what))


ALL = (
    "insert",
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
    "clock",
    "tick",
)
