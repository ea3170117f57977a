"""The seam between the kernel and its hot loops: hashing, CRC, copying, distances. Holds no state
of the log.

Every function has a plain-Python reference, loaded only when no provider offers it. `use(provider)`
installs whatever of them a faster provider has (a native module or viper on the board; compiled
code on the laptop). All give identical bytes: the conformance vectors run against each.

  hash(data) -> 32 bytes                       BLAKE3, unkeyed
  chunk_cv(data, at, counter, out, out_at)     chaining value of a whole 1 KiB chunk
  parent_cv(cvs, left, right, out, out_at, root)   parent of two chaining values; root is 0 or 1
  crc32(data, seed) -> int                     CRC-32 as zlib's
  copy(to, to_at, of, of_at, count)            bytes; must not allocate on a board
  distances(words, first, stride, dim, count, query, out)   squared L2, see distances.py
  nearest(words, base, skip, per, span, stride, fresh, dim, query, k, tag) -> [(distance, id)]   see nearest.py
  scan(buffer, start, end, unit, most, seq, crc_seed) -> end   of a run of whole frames, see scan.py
  chain(buffer, kind, size, seq, tick, crc_seed, head, group, at, room) -> head   of the chain after a new frame, see frames.py

A provider may also have these, which do a whole loop of root.py, arena.py and frames.py (None where
it has not):

  climb(data, cvs, chunks, dirty, count, touched) -> root   rehash the dirty chunks and what is above; mark them clean; sorts dirty
  take(words, touched, dirty, shape, ident, bucket) -> word offset   as Pool.take; or 0: nothing was done, Pool.take is to do it
  pack(vector, tag, meta) -> an insert's payload, or the vector's words if tag is None; None for
  what frames.py must judge
"""

if 0:  # read by type checkers only: a board's compiler drops it
    from .blake3 import chunk_cv as chunk_cv
    from .blake3 import crc32 as crc32
    from .blake3 import hash as hash
    from .blake3 import parent_cv as parent_cv
    from .distances import distances as distances
    from .frames import chain as chain
    from .nearest import nearest as nearest
    from .scan import scan as scan
    from .types import Buffer, Callable, Integers, Words, WritableBuffer

    copy: "Callable[[WritableBuffer, int, Buffer, int, int], None]"
    climb: "Callable[[Buffer, WritableBuffer, int, Words, int, WritableBuffer], bytes] | None"
    take: "Callable[[Words, WritableBuffer, Words, Words, int, int], int] | None"
    pack: "Callable[[Integers, int | None, bytes], bytes | None] | None"

NAMES = ("hash", "chunk_cv", "parent_cv", "crc32", "copy", "distances", "nearest", "scan", "chain")

# True where hashing the whole arena beats rehashing its changed chunks: a host whose fast hash has
# no chunk interface.
whole = False
climb = take = pack = None
name = "plain"
SEAM = 1  # what all these functions mean; native code that was made for another number is not used
refused = None  # why native code that was there is not used


def use(provider: object) -> None:
    """Install provider's functions (any object with some of NAMES; None: none); what it lacks falls
    back to the reference."""
    here = globals()
    for each in NAMES:
        here.pop(each, None)
        if hasattr(provider, each):
            here[each] = getattr(provider, each)
    here["whole"] = getattr(provider, "whole", False)
    for each in ("climb", "take", "pack"):
        here[each] = getattr(provider, each, None)
    here["name"] = getattr(provider, "name", "plain")


def __getattr__(each: str) -> object:
    """Return, and install, the reference of a function that no provider has given: it is loaded
    only where it is needed."""
    if each == "copy":
        found: object = _copy
    elif each == "distances":
        from .distances import distances as found
    elif each == "nearest":
        from .nearest import nearest as found
    elif each == "scan":
        from .scan import scan as found
    elif each == "chain":
        from .frames import chain as found
    elif each in NAMES:
        from . import blake3

        found = getattr(blake3, each)
    else:
        raise AttributeError(each)
    globals()[each] = found
    return found


def _copy(to: "WritableBuffer", to_at: int, of: "Buffer", of_at: int, count: int) -> None:
    to[to_at : to_at + count] = of[of_at : of_at + count]
