"""The state as a person would write it down: dicts, lists and Python's unbounded integers, with no
thought of memory.

Written from the meaning of the commands, not from the kernel: no arena, no slots, no links, no
payload bytes. Each verb takes the seq of its frame first, changes the model and returns None, or
raises the class of shared_kernel.errors that the kernel must raise and changes nothing. `contents`
of a Model and `contents_of` a Kernel are equal for equal states."""

from shared_kernel import graph
from shared_kernel.contents import used
from shared_kernel.errors import Full, InUse, Invalid, NotFound, TooLong, WrongDimension

FARTHEST = 2**63 - 1


def _u32(value):
    if not 0 <= value < 2**32:
        raise Invalid


def _room(things, capacity):
    if len(things) >= capacity:
        raise Full


class Model:
    """config: (dim, records, nodes, edges, keys, meta_bytes, value_bytes)."""

    def __init__(self, config):
        self.config = tuple(config)
        (
            self.dim,
            self.max_records,
            self.max_nodes,
            self.max_edges,
            self.max_keys,
            self.max_meta,
            self.max_value,
        ) = config
        self.seq = 0
        self.records = {}  # id: (tag, vector, metadata)
        self.nodes = {}  # id: (kind, record id or 0)
        self.edges = {}  # id: (kind, from, to)
        self.keys = {}  # name: (seq of the last write, value)

    # -- commands ----------------------------------------------------------------------------------

    def insert(self, seq, vector, tag=0, meta=b""):
        _u32(tag)
        for each in vector:
            if not -(2**31) <= each < 2**31:
                raise Invalid
        if len(vector) != self.dim:
            raise WrongDimension
        if len(meta) > self.max_meta:
            raise TooLong
        _room(self.records, self.max_records)
        self.records[seq] = (tag, tuple(vector), bytes(meta))
        self.seq = seq

    def update(self, seq, ident, tag=None, meta=None):
        if tag is None and meta is None:
            raise Invalid
        _u32(ident)
        _u32(tag or 0)
        if len(meta or b"") > self.max_meta:
            raise TooLong
        if ident not in self.records:
            raise NotFound
        old_tag, vector, old_meta = self.records[ident]
        self.records[ident] = (
            old_tag if tag is None else tag,
            vector,
            old_meta if meta is None else bytes(meta),
        )
        self.seq = seq

    def delete(self, seq, ident):
        _u32(ident)
        if ident not in self.records:
            raise NotFound
        if any(record == ident for _, record in self.nodes.values()):
            raise InUse
        del self.records[ident]
        self.seq = seq

    def create_node(self, seq, kind, record=0):
        _u32(kind)
        _u32(record)
        if record and record not in self.records:
            raise NotFound
        _room(self.nodes, self.max_nodes)
        self.nodes[seq] = (kind, record)
        self.seq = seq

    def delete_node(self, seq, ident):
        _u32(ident)
        if ident not in self.nodes:
            raise NotFound
        del self.nodes[ident]
        self.edges = {e: edge for e, edge in self.edges.items() if ident not in edge[1:]}
        self.seq = seq

    def create_edge(self, seq, kind, origin, target):
        for each in (kind, origin, target):
            _u32(each)
        if origin not in self.nodes or target not in self.nodes:
            raise NotFound
        _room(self.edges, self.max_edges)
        self.edges[seq] = (kind, origin, target)
        self.seq = seq

    def delete_edge(self, seq, ident):
        _u32(ident)
        if ident not in self.edges:
            raise NotFound
        del self.edges[ident]
        self.seq = seq

    def put(self, seq, name, value, prev=0):
        name = self._name(name)
        self._last_write(name, prev)
        if len(value) > self.max_value:
            raise TooLong
        if name not in self.keys:
            _room(self.keys, self.max_keys)
        self.keys[name] = (seq, bytes(value))
        self.seq = seq

    def put_same(self, seq, name, prev):
        """The value again, without carrying it."""
        name = self._name(name)
        self._last_write(name, prev)
        if name not in self.keys:
            raise Invalid
        self.keys[name] = (seq, self.keys[name][1])
        self.seq = seq

    def delete_key(self, seq, name, prev=0):
        name = self._name(name)
        if name not in self.keys:
            raise NotFound
        self._last_write(name, prev)
        del self.keys[name]
        self.seq = seq

    def _name(self, name):
        name = name.encode() if isinstance(name, str) else bytes(name)
        if not 1 <= len(name) <= 24:
            raise TooLong
        return name

    def _last_write(self, name, prev):
        _u32(prev)
        if prev != (self.keys[name][0] if name in self.keys else 0):
            raise Invalid

    # -- queries -----------------------------------------------------------------------------------

    def search(self, query, k, tag=None):
        if k < 1:
            raise Invalid
        if len(query) != self.dim:
            raise WrongDimension
        found = []
        for ident, (record_tag, vector, _) in self.records.items():
            if tag is None or tag == record_tag:
                found.append(
                    (min(sum((a - b) ** 2 for a, b in zip(query, vector)), FARTHEST), ident)
                )
        return sorted(found)[:k]

    def edges_of(self, node, out=True, into=True):
        """Newest first, out-edges before in-edges."""
        if node not in self.nodes:
            raise NotFound
        newest_first = sorted(self.edges, reverse=True)
        return [e for e in newest_first if out and self.edges[e][1] == node] + [
            e for e in newest_first if into and self.edges[e][2] == node
        ]

    def neighbourhood(self, node, depth=1, kind=None, out=True, into=False):
        if node not in self.nodes:
            raise NotFound
        distance = {node: 0}  # in the order of discovery
        queue = [node]
        while queue:
            here = queue.pop(0)
            if distance[here] == depth:
                continue
            steps = []
            for edge in self.edges_of(here, out, False):
                steps.append((self.edges[edge][0], self.edges[edge][2]))
            for edge in self.edges_of(here, False, into):
                steps.append((self.edges[edge][0], self.edges[edge][1]))
            for edge_kind, there in steps:
                if there not in distance and (kind is None or kind == edge_kind):
                    distance[there] = distance[here] + 1
                    queue.append(there)
        return list(distance.items())

    def contents(self):
        return {
            "config": self.config,
            "seq": self.seq,
            "records": sorted((ident,) + record for ident, record in self.records.items()),
            "nodes": sorted(
                (
                    ident,
                    kind,
                    record,
                    self.edges_of(ident, into=False),
                    self.edges_of(ident, out=False),
                )
                for ident, (kind, record) in self.nodes.items()
            ),
            "edges": sorted((ident,) + edge for ident, edge in self.edges.items()),
            "keys": sorted((name, seq, value) for name, (seq, value) in self.keys.items()),
        }


def contents_of(kernel):
    """Return what Model.contents does, read out of a Kernel by slot; every thing must be found by
    its id or name too."""
    records, nodes, edges, keys = [], [], [], []
    for ident, at in used(kernel.records):
        tag, vector, meta = kernel.record_at(at)
        assert kernel.record(ident) == (tag, vector, meta)
        records.append((ident, tag, tuple(vector), meta))
    for ident, at in used(kernel.nodes):
        kind, record = kernel.node_at(at)
        assert kernel.node(ident) == (kind, record)
        nodes.append(
            (
                ident,
                kind,
                record,
                graph.edges_of(kernel, ident, graph.OUT),
                graph.edges_of(kernel, ident, graph.IN),
            )
        )
    for ident, at in used(kernel.edges):
        kind, origin, target = kernel.edge_at(at)
        assert kernel.edge(ident) == (kind, origin, target)
        edges.append((ident, kind, origin, target))
    for last_write, at in used(kernel.keys):
        name, seq, value = kernel.key_at(at)
        assert kernel.key(name) == (seq, value) and seq == last_write
        keys.append((name, seq, value))
    return {
        "config": kernel.config(),
        "seq": kernel.seq(),
        "records": sorted(records),
        "nodes": sorted(nodes),
        "edges": sorted(edges),
        "keys": sorted(keys),
    }
