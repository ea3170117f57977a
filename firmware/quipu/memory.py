"""The memory as an application sees it: verbs over the store. Each change is durable when its verb
returns.

Vectors are sequences of Q16.16 integers (65536 is 1.0). Ids are integers, never reused. A refused
change raises one of shared_kernel.errors' Refused and alters nothing. Each verb also lets the
laptop be answered (`poll`)."""

import time

from shared_kernel import frames, kernel
from shared_kernel.errors import Refused
from shared_kernel.forget import forget
from shared_kernel.store import Store, command

_SELDOM = 15  # of so many polls and one, one looks at the clock


def _name(name):
    return name.encode() if isinstance(name, str) else name


def _command(memory, kind, payload):
    try:
        seq = command(memory.store, kind, payload)
    except Refused:
        memory.poll()
        raise
    memory.poll()
    return seq


class Memory:
    """A log, its state, and the service that answers the laptop. found: the
    shared_kernel.recovery.Found of its flash.
    facts: the board's, as startup.board_facts gives them."""

    def __init__(self, found, identity, facts):
        self.identity = identity
        self.facts = facts
        self.store = Store(None, time.ticks_ms, found, facts.get("snapshot_distance", 0))
        self.service = None
        self._search = None
        self._polls = 0

    def configure(self, config, entropy, policy=0):
        """Begin a log on a blank region. config: dim, records, nodes, edges, keys, meta_bytes,
        value_bytes."""
        self.store.configure(config, entropy, self.identity, policy)

    # -- changes -----------------------------------------------------------------------------------

    def group(self, commands):
        """Carry out [(type, payload)], made by shared_kernel.frames, as one group: one programming
        of the flash. Return for each the seq of its frame, or the Refused it met."""
        results = self.store.execute([(kind, payload, None) for kind, payload in commands])
        self.poll()
        return results

    def command(self, kind, payload):
        """Carry out one command and return the seq of its frame; raise the Refused that it
        meets."""
        return _command(self, kind, payload)

    def insert(self, vector, tag=0, meta=b""):
        """Insert a record; return its id. tag: u32. meta: bytes."""
        return _command(self, kernel.INSERT, frames.insert(vector, tag, meta))

    def update(self, ident, tag=None, meta=None):
        """Set a record's tag, metadata or both."""
        return self.command(kernel.UPDATE, frames.update(ident, tag, meta))

    def delete(self, ident):
        """Delete a record; refused while a node refers to it."""
        return self.command(kernel.DELETE, frames.ident(ident))

    def create_node(self, kind, record=0):
        """Create a node of a kind (u32), perhaps for a record; return its id."""
        return self.command(kernel.CREATE_NODE, frames.create_node(kind, record))

    def delete_node(self, ident):
        """Delete a node and its edges."""
        return self.command(kernel.DELETE_NODE, frames.ident(ident))

    def create_edge(self, kind, origin, target):
        """Create an edge of a kind (u32) from node to node; return its id."""
        return self.command(kernel.CREATE_EDGE, frames.create_edge(kind, origin, target))

    def delete_edge(self, ident):
        return self.command(kernel.DELETE_EDGE, frames.ident(ident))

    def put(self, name, value):
        """Set a key to a value (bytes); return the seq of the write."""
        return self.command(kernel.PUT, frames.put(name, value))

    def delete_key(self, name):
        return self.command(kernel.DELETE_KEY, frames.delete_key(name))

    # -- questions ---------------------------------------------------------------------------------

    def _ask(self, question, *args):
        result = self.store.ask(question, *args)
        self.poll()
        return result

    def get(self, name):
        """Return the value of a key; NotFound if there is none."""
        return self._ask(kernel.Kernel.key, _name(name))[1]

    def record(self, ident):
        """Return (tag, vector, metadata) of a record."""
        return self._ask(kernel.Kernel.record, ident)

    def node(self, ident):
        """Return (kind, record id or 0) of a node."""
        return self._ask(kernel.Kernel.node, ident)

    def edge(self, ident):
        """Return (kind, from, to) of an edge."""
        return self._ask(kernel.Kernel.edge, ident)

    def search(self, query, k=1, tag=None):
        """Return [(distance, id)] of the k nearest records, nearest first. distance: squared L2, in
        units of 2^-32."""
        if self._search is None:  # an import statement takes as long as a search
            from shared_kernel.search import search

            self._search = search
        return self._ask(self._search, query, k, tag)

    def give_up(self):
        """Drop what is kept only because it saves time: the heap has no room for something else."""
        self._search = self.store.reader = None
        forget("shared_kernel", "search", "nearest", "pull", "graph")

    def neighbourhood(self, node, depth=1, kind=None, directions=1):
        """Return [(node id, distance)], breadth first. directions: 1 out, 2 in, 3 both."""
        from shared_kernel.graph import neighbourhood

        return self._ask(neighbourhood, node, depth, kind, directions)

    def edges_of(self, node, directions=3):
        """Return the ids of a node's edges, newest first."""
        from shared_kernel.graph import edges_of

        return self._ask(edges_of, node, directions)

    def history(self, name, limit=10):
        """Return the History of a key: `versions`, [(seq, value)], newest first; `archived`, None
        or the seq before which older ones have left the flash (shared_kernel/history.py)."""
        from . import past

        return past.history(self.store, _name(name), limit)

    def get_at(self, name, seq):
        """Return the value that a key had after frame `seq`; Archived if that has left the
        flash."""
        from . import past

        return past.value_at(self.store, _name(name), seq)[1]

    def select(self, filter):
        """Return the ids of the records, or the names of the keys, that a Filter means
        (shared_kernel/query.py)."""
        from . import views

        return self._ask(views.select, filter)

    def aggregate(self, filter, field=None):
        """Return the Aggregate (count, sum, least, greatest, mean()) of a field over what a Filter
        means."""
        from . import views

        return self._ask(views.aggregate, filter, field)

    def watch(self):
        """Return the Watch of this memory: views and subscriptions, kept up to date as changes come
        (shared_kernel/watch.py)."""
        if self.store.watch is None:
            from . import views

            self.store.watch = views.watch(self.store.kernel)
        return self.store.watch

    # -- the log -----------------------------------------------------------------------------------

    def checkpoint(self):
        """Append a frame with the state root; return its seq."""
        return self.store.log_only(frames.CHECKPOINT, b"")

    def clock(self, unix_ms, uncertainty_ms=0):
        """Tell the log the wall time, milliseconds since 1970; return the frame's seq."""
        return self.store.log_only(frames.CLOCK, frames.clock(unix_ms, uncertainty_ms))

    def snapshot(self, wait=True):
        """Take a snapshot now; return the seq of the last frame that it covers. wait=False: begin
        one and return None; each command that follows takes it a step further, of which the longest
        is a sector's erase."""
        return self.store.take_snapshot().seq if wait else self.store.begin_snapshot()

    # -- the laptop --------------------------------------------------------------------------------

    def poll(self):
        """Tell subscribers what became durable, and answer what the laptop asked; takes some
        microseconds if nothing did."""
        if self.store.watch:
            self.deliver()
        service = self.service
        if service is None:
            from .service import Service

            service = self.service = Service(self)
        self._polls = self._polls + 1 & _SELDOM
        if not self._polls:
            self.store.keep_time()
        service.poll()

    def deliver(self):
        """Tell subscribers what became durable; an error that one of them raises reaches the
        caller."""
        store = self.store
        if store.watch and not store.busy:
            store.watch.deliver()

    def sleep_ms(self, ms):
        """Sleep, and answer the laptop meanwhile."""
        start = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), start) < ms:
            self.poll()
            time.sleep_ms(1)

    def serve(self):
        """Answer the laptop until it says leave, or Ctrl-C."""
        self.poll()
        self.service.serve()
