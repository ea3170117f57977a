"""BLAKE3 (unkeyed, 32 bytes) and CRC-32 in plain Python: the truth that every faster provider is
held to.

Never the hot path: one 64-byte block costs a board about a million instructions. "Paper" is the
BLAKE3 paper, O'Connor, Aumasson, Neves, Wilcox-O'Hearn (2020); its section is beside each rule.
`data` is any buffer of bytes."""

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Integers, WritableBuffer

_MASK = 0xFFFFFFFF
_BLOCK = 64
_CHUNK = 1024

# Paper, table 1: the initial chaining value, which is also the third row of every state.
IV = (
    0x6A09E667,
    0xBB67AE85,
    0x3C6EF372,
    0xA54FF53A,
    0x510E527F,
    0x9B05688C,
    0x1F83D9AB,
    0x5BE0CD19,
)
# Paper, table 2: word i of the next round's message is word PERMUTATION[i] of this round's.
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
# Paper, table 3.
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8


def _rotate_right(x: int, n: int) -> int:
    return (x >> n | x << 32 - n) & _MASK


def _g(v: list[int], a: int, b: int, c: int, d: int, x: int, y: int) -> None:
    """The mixing function G (paper, 2.2), on words a, b, c, d of the state v with message words x
    and y."""
    v[a] = v[a] + v[b] + x & _MASK
    v[d] = _rotate_right(v[d] ^ v[a], 16)
    v[c] = v[c] + v[d] & _MASK
    v[b] = _rotate_right(v[b] ^ v[c], 12)
    v[a] = v[a] + v[b] + y & _MASK
    v[d] = _rotate_right(v[d] ^ v[a], 8)
    v[c] = v[c] + v[d] & _MASK
    v[b] = _rotate_right(v[b] ^ v[c], 7)


def _compress(cv: "Integers", m: list[int], counter: int, length: int, flags: int) -> list[int]:
    """The compression function (paper, 2.2), cut to its first 8 words: no output here is longer
    than 32 bytes."""
    v = list(cv)
    v.extend(IV[:4])
    v.extend((counter & _MASK, counter >> 32, length, flags))
    for _ in range(7):
        _g(v, 0, 4, 8, 12, m[0], m[1])  # columns
        _g(v, 1, 5, 9, 13, m[2], m[3])
        _g(v, 2, 6, 10, 14, m[4], m[5])
        _g(v, 3, 7, 11, 15, m[6], m[7])
        _g(v, 0, 5, 10, 15, m[8], m[9])  # diagonals
        _g(v, 1, 6, 11, 12, m[10], m[11])
        _g(v, 2, 7, 8, 13, m[12], m[13])
        _g(v, 3, 4, 9, 14, m[14], m[15])
        m = [m[i] for i in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def _words(data: "Buffer", at: int, size: int) -> list[int]:
    """Return the 16 message words of the size (0 to 64) bytes at data[at], padded with zeros
    (paper, 2.1)."""
    m = [0] * 16
    for i in range(size):
        m[i >> 2] |= data[at + i] << 8 * (i & 3)
    return m


def _chunk(data: "Buffer", at: int, size: int, counter: int, root: int) -> list[int]:
    """Return the chaining value, 8 words, of a chunk of 0 to 1024 bytes; root is ROOT or 0 (paper,
    2.4)."""
    cv: "Integers" = IV
    flags = CHUNK_START
    while size > _BLOCK:
        cv = _compress(cv, _words(data, at, _BLOCK), counter, _BLOCK, flags)
        flags = 0
        at += _BLOCK
        size -= _BLOCK
    return _compress(cv, _words(data, at, size), counter, size, flags | CHUNK_END | root)


def _parent(left: list[int], right: list[int], root: int) -> list[int]:
    """Return the chaining value of a parent of two chaining values (paper, 2.5)."""
    return _compress(IV, left + right, 0, _BLOCK, PARENT | root)


def _tree(data: "Buffer", at: int, size: int, counter: int, root: int) -> list[int]:
    """Return the chaining value of the tree over size bytes; counter is the number of its first
    chunk."""
    if size <= _CHUNK:
        return _chunk(data, at, size, counter, root)
    # in the left subtree: the largest power of two that leaves the right one a byte (paper, 2.1)
    chunks = 1
    while 2 * chunks * _CHUNK < size:
        chunks *= 2
    left = _tree(data, at, chunks * _CHUNK, counter, 0)
    right = _tree(data, at + chunks * _CHUNK, size - chunks * _CHUNK, counter + chunks, 0)
    return _parent(left, right, root)


def _store(cv: list[int], out: "WritableBuffer", out_at: int) -> None:
    for i in range(32):
        out[out_at + i] = cv[i >> 2] >> 8 * (i & 3) & 0xFF


def hash(data: "Buffer") -> bytes:
    """Return the 32-byte BLAKE3 hash of data, of any length."""
    out = bytearray(32)
    _store(_tree(data, 0, len(data), 0, ROOT), out, 0)
    return bytes(out)


def chunk_cv(data: "Buffer", at: int, counter: int, out: "WritableBuffer", out_at: int) -> None:
    """Write the 32-byte chaining value of the whole chunk data[at : at + 1024], chunk number
    counter, to out[out_at]."""
    _store(_chunk(data, at, _CHUNK, counter, 0), out, out_at)


def parent_cv(
    cvs: "Buffer", left: int, right: int, out: "WritableBuffer", out_at: int, root: int
) -> None:
    """Write the parent of the chaining values at cvs[left] and cvs[right] to out[out_at]; out may
    be cvs.

    root is 1 for the top of the tree (what is written is then the hash), else 0.
    """
    m = _words(cvs, left, 32)[:8]
    _store(_parent(m, _words(cvs, right, 32)[:8], ROOT if root else 0), out, out_at)


def crc32(data: "Buffer", seed: int = 0) -> int:
    """Return the CRC-32 of data as zlib and PNG have it (polynomial 0x04C11DB7, reflected); seed is
    the CRC before data."""
    crc = seed ^ _MASK
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ _MASK
