"""Another log's state onto this board, and the erasing of its log: the laptop's requests. Imported
on use, forgotten when done."""

import gc

from micropython import const

from shared_kernel import continuation
from shared_kernel.errors import LinkError
from shared_kernel.forget import forget
from shared_kernel.kernel import u32

# Request numbers, see shared_kernel/requests.py.
_BEGIN = const(0x50)
_CHUNK = const(0x51)
_END = const(0x52)
_ERASE = const(0x53)


def answer(memory, op, p):
    """Return the answer's payload. LinkError if a request's payload has another length than it
    should."""
    global continuation
    store = memory.store
    if op == _CHUNK:
        store.call(continuation.add, store, u32(p, 0), p[4:])
        return b""
    size = 177 if op == _BEGIN else 64 if op == _ERASE else 0
    if len(p) != size:
        raise LinkError("request 0x%02x has %d bytes, not %d" % (op, size, len(p)))
    if op == _BEGIN:
        origin = (p[45:77], u32(p, 77), p[81:113], p[113:145], p[145:177])
        store.call(
            continuation.begin,
            store,
            [u32(p, 4 * i) for i in range(7)],
            p[29:45],
            memory.identity,
            p[28],
            origin,
        )
        gc.collect()
        return b""
    if op == _END:
        store.call(continuation.end, store)
    else:
        store.call(continuation.erase, store, p[:32], p[32:])
    continuation = None
    forget("shared_kernel", "continuation", "recovery", "replay", "genesis", "config", "unfinished")
    forget("quipu", "restore")
    return store.name or b""
