"""What a board tells of itself, for `quipu info`. Imported on use."""

import gc
import sys

from shared_kernel import link, primitives
from shared_kernel.arena import RULES
from shared_kernel.config import CONFIG_NAMES

VERSION = "0.1.0"


def info(memory, limit, answer_limit=4096):
    """Return a dictionary: the board, its firmware, the configuration, and (seq, chain head, state root) taken together.

    limit: characters that a request may have; answer_limit: bytes of flash that an answer may
    """
    store = memory.store
    region = store.region
    gc.collect()
    out = {
        "protocol": link.PROTOCOL,
        "request_limit": limit,
        "answer_limit": answer_limit,
        "firmware": VERSION,
        "rules": RULES,
        "board": memory.identity,
        "micropython": ".".join([str(each) for each in sys.implementation[1][:3]]),
        "machine": getattr(sys.implementation, "_machine", sys.platform),
        "mpy": getattr(sys.implementation, "_mpy", 0),
        "provider": primitives.name,
        "native_refused": primitives.refused,
        "heap_free": gc.mem_free(),
        "heap_used": gc.mem_alloc(),
        "sector": region.sector,
        "sectors": region.sectors,
        "unit": region.unit,
        "format": 2,
        "damage": store.damage,
        "configured": store.name is not None,
    }
    if store.name is not None:
        out.update(store.call(_log, store))
    return out


def _log(store):
    region, kernel = store.region, store.kernel
    first = store.first()
    out = {
        "log": store.name.hex(),
        "policy": store.policy,
        "first_seq": first.first,
        "first_head": first.head.hex(),
        "acknowledged": store.acked,
        "cuts": store.cuts,
        "bad_sectors": store.bad,
        "snapshots": [each.seq for each in store.slots if each],
    }
    if kernel:
        config = kernel.config()
        used = region.sector - region.record_size - 2 * region.header_size
        out.update({
            "seq": store.seq,
            "head": store.head.hex(),
            "root": kernel.root().hex(),
            "state_seq": kernel.seq(),
            "boot": store.boot,
            "config": {CONFIG_NAMES[i]: config[i] for i in range(len(config))},
            "records": kernel.records.live(),
            "nodes": kernel.nodes.live(),
            "edges": kernel.edges.live(),
            "keys": kernel.keys.live(),
            "log_free": max(0, store.room()) + used * max(0, store.free_sectors() - store.reserve()),
            "log_size": used * (region.sectors - region.ring()),
        })
    return out
