"""The seam between the kernel and its hot loops: hashing, CRC, copying, distances. Holds no state of the log.

Every function has a plain-Python reference, loaded only when no provider offers it. `use(provider)` installs whatever of
them a faster provider has (a native module or viper on the board; compiled code on the laptop). All give identical bytes:
the conformance vectors run against each.

  hash(data) -> 32 bytes                       BLAKE3, unkeyed
  chunk_cv(data, at, counter, out, out_at)     chaining value of a whole 1 KiB chunk
  parent_cv(cvs, left, right, out, out_at, root)   parent of two chaining values; root is 0 or 1
  crc32(data, seed) -> int                     CRC-32 as zlib's
  copy(to, to_at, of, of_at, count)            bytes; must not allocate on a board
  distances(words, first, stride, dim, count, query, out)   squared L2, see distances.py
"""

NAMES = ("hash", "chunk_cv", "parent_cv", "crc32", "copy", "distances")

# True where hashing the whole arena beats rehashing its changed chunks: a host whose fast hash has no chunk interface.
whole = False
name = "plain"


def copy(to, to_at, of, of_at, count):
    """Copy count bytes."""
    to[to_at : to_at + count] = of[of_at : of_at + count]


def hash(data):
    _reference()
    return hash(data)


def chunk_cv(data, at, counter, out, out_at):
    _reference()
    chunk_cv(data, at, counter, out, out_at)


def parent_cv(cvs, left, right, out, out_at, root):
    _reference()
    parent_cv(cvs, left, right, out, out_at, root)


def crc32(data, seed):
    _reference()
    return crc32(data, seed)


def distances(words, first, stride, dim, count, query, out):
    _reference()
    distances(words, first, stride, dim, count, query, out)


_PLACEHOLDERS = {each: globals()[each] for each in NAMES}


def _reference():
    """Put the plain-Python reference in the place of every function that no provider has given."""
    from . import blake3
    from . import distances as plain_distances

    found = {"hash": blake3.hash, "chunk_cv": blake3.chunk_cv, "parent_cv": blake3.parent_cv, "crc32": blake3.crc32,
             "distances": plain_distances.distances}
    here = globals()
    for each in NAMES:
        if each in found and here[each] is _PLACEHOLDERS[each]:
            here[each] = found[each]


def use(provider):
    """Install provider's functions (any object with some of NAMES); what it lacks falls back to the reference."""
    here = globals()
    for each in NAMES:
        here[each] = getattr(provider, each, _PLACEHOLDERS[each])
    here["whole"] = getattr(provider, "whole", False)
    here["name"] = getattr(provider, "name", "plain")
