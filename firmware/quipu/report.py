"""What a board tells of itself, for `quipu info`. Imported on use."""

import gc
import sys

from shared_kernel import link, primitives
from shared_kernel.arena import RULES
from shared_kernel.config import CONFIG_NAMES

VERSION = "0.1.0"


def info(memory, limit, answer_limit=4096):
    """Return a dictionary: the board, its firmware, the configuration, and (seq, chain head, state
    root) taken together.

    limit: characters that a request may have; answer_limit: bytes of flash that an answer may
    """
    store = memory.store
    region = store.region
    gc.collect()
    out = _named(
        "protocol request_limit answer_limit firmware rules board",
        (link.PROTOCOL, limit, answer_limit, VERSION, RULES, memory.identity),
    )
    out.update(
        _named(
            "micropython machine mpy provider native_refused",
            (
                ".".join([str(each) for each in sys.implementation[1][:3]]),
                getattr(sys.implementation, "_machine", sys.platform),
                getattr(sys.implementation, "_mpy", 0),
                primitives.name,
                primitives.refused,
            ),
        )
    )
    out.update(
        _named(
            "heap_free heap_used sector sectors unit format damage configured",
            (
                gc.mem_free(),
                gc.mem_alloc(),
                region.sector,
                region.sectors,
                region.unit,
                2,
                store.damage,
                store.name is not None,
            ),
        )
    )
    if store.name is not None:
        out.update(store.call(_log, store))
    return out


def _named(names, values):
    """Return {name: value}. A board keeps each short text of its code for good; what `split` makes
    of a long one it does not."""
    return dict(zip(names.split(), values))


def _log(store):
    region, kernel = store.region, store.kernel
    first = store.first()
    out = _named(
        "log policy first_seq first_head acknowledged cuts bad_sectors snapshots",
        (
            store.name.hex(),
            store.policy,
            first.first,
            first.head.hex(),
            store.acked,
            store.cuts,
            store.bad,
            [each.seq for each in store.slots if each],
        ),
    )
    if kernel:
        config = kernel.config()
        used = region.sector - region.record_size - 2 * region.header_size
        out.update(
            _named(
                "seq head root state_seq boot config",
                (
                    store.seq,
                    store.head.hex(),
                    kernel.root().hex(),
                    kernel.seq(),
                    store.boot,
                    {CONFIG_NAMES[i]: config[i] for i in range(len(config))},
                ),
            )
        )
        out.update(
            _named(
                "records nodes edges keys log_free log_size",
                (
                    kernel.records.live(),
                    kernel.nodes.live(),
                    kernel.edges.live(),
                    kernel.keys.live(),
                    max(0, store.room()) + used * max(0, store.free_sectors() - store.reserve()),
                    used * (region.sectors - region.ring()),
                ),
            )
        )
    return out
