"""The provider of hot loops for stock Cortex-M firmware: checks and sets up here, computes in
thumb.py's assembler.

Ask usable() before installing it: without Thumb (a 64-bit port, RISC-V, Xtensa) nothing here may be
called. Leaves nothing on the heap but what hash and crc32 return. Has one set of buffers, so no
call may interrupt another: not from an interrupt handler, not from a second core. An argument out
of range raises IndexError, words that lie at no multiple of 4 ValueError. What the functions do is
said in shared_kernel/primitives.py and, for each, by its reference."""

import struct
import sys
from array import array

import micropython
from micropython import const

try:
    from .thumb import compress as _compress
    from .thumb import distances as _distances
except (ImportError, SyntaxError, ValueError):
    # not there; no assembler for this machine; compiled for another
    _compress = None

name = "viper"

# Words of _work, as thumb.py lays it out.
_COUNTER = const(40)
_BLOCK = const(41)
_OUT = const(42)
_LEFT = const(10)

# What compress is told besides the size: BLAKE3's flags (paper, table 3). Nothing here may need a
# constant of more than 16
# bits: viper's code for ARMv6-M keeps it at a multiple of 4, and frozen code lies at a multiple of
# 2 (mpy-tool, 1.25).
_CHUNK_START = const(1 << 12)
_CHUNK_END = const(2 << 12)
_PARENT = const(4 << 12)
_ROOT = const(8 << 12)

_VECTOR = const(5)  # words of a record's slot before its vector, as in shared_kernel/kernel.py

# architectures of .mpy files (py/persistentcode.h): 5 and more are ARMv7-M and up where thumb.py
# loads
_ARMV6M = const(4)

_work = array(
    "I",
    bytes(192)
    + (
        b"\x67\xe6\x09\x6a\x85\xae\x67\xbb\x72\xf3\x6e\x3c\x3a\xf5\x4f\xa5"  # BLAKE3 paper, table 1
        b"\x7f\x52\x0e\x51\x8c\x68\x05\x9b\xab\xd9\x83\x1f\x19\xcd\xe0\x5b"
    ),
)
# whether there is a 32 x 32 -> 64-bit multiplication
_long = getattr(sys.implementation, "_mpy", 0) >> 10 & 15 > _ARMV6M
_block = bytearray(64)
_stack = bytearray(17 * 32)  # the chaining values of hash's full subtrees: enough for 64 MiB
_root = memoryview(_stack)[:32]


def usable():
    """Return whether this machine can run these functions."""
    return _compress is not None


@micropython.viper
def copy(to, to_at: int, of, of_at: int, count: int):
    if (
        to_at < 0
        or of_at < 0
        or count < 0
        or to_at + count > int(len(to))
        or of_at + count > int(len(of))
    ):
        raise IndexError
    a = int(ptr8(to)) + to_at
    b = int(ptr8(of)) + of_at
    # From the end down: where the two overlap the result is not defined.
    if (a | b | count) & 3:
        a8 = ptr8(a)
        b8 = ptr8(b)
        while count:
            count -= 1
            a8[count] = b8[count]
    else:
        a32 = ptr32(a)
        b32 = ptr32(b)
        count >>= 2
        while count:
            count -= 1
            a32[count] = b32[count]


@micropython.viper
def chunk_cv(data, at: int, counter: int, out, out_at: int):
    if at < 0 or at + 1024 > int(len(data)) or out_at < 0 or out_at + 32 > int(len(out)):
        raise IndexError
    work = _work
    w = ptr32(work)
    w[_COUNTER] = counter
    w[_BLOCK] = int(ptr8(data)) + at
    w[_OUT] = int(ptr8(out)) + out_at
    _compress(work, 1024 + _CHUNK_START + _CHUNK_END)


@micropython.viper
def parent_cv(cvs, left: int, right: int, out, out_at: int, root: int):
    if left < 0 or left + 64 > int(len(cvs)) or right != left + 32:
        copy(_block, 0, cvs, left, 32)
        copy(_block, 32, cvs, right, 32)
        cvs = _block
        left = 0
    if out_at < 0 or out_at + 32 > int(len(out)):
        raise IndexError
    work = _work
    w = ptr32(work)
    w[_COUNTER] = 0
    w[_BLOCK] = int(ptr8(cvs)) + left
    w[_OUT] = int(ptr8(out)) + out_at
    _compress(work, 64 + _PARENT + _ROOT if root else 64 + _PARENT)


@micropython.viper
def hash(data):
    size = int(len(data))
    at = 0
    chunks = 0
    depth = 0  # of _stack, in bytes
    while size - at > 1024:
        chunk_cv(data, at, chunks, _stack, depth)
        at += 1024
        chunks += 1
        # Each time that the number of chunks can be halved a subtree is full. More follows, so none
        # of them is the root.
        full = chunks
        while not full & 1:
            depth -= 32
            parent_cv(_stack, depth, depth + 32, _stack, depth, 0)
            full >>= 1
        depth += 32

    size -= at  # the last chunk: 0 to 1024 bytes
    work = _work
    w = ptr32(work)
    w[_COUNTER] = chunks
    w[_BLOCK] = int(ptr8(data)) + at
    w[_OUT] = int(ptr8(_stack)) + depth
    _compress(
        work, size + (_CHUNK_START + _CHUNK_END if depth else _CHUNK_START + _CHUNK_END + _ROOT)
    )
    while depth:
        depth -= 32
        parent_cv(_stack, depth, depth + 32, _stack, depth, 0 if depth else 1)
    return bytes(_root)


def distances(words, first, stride, dim, count, query, out):
    if first < 0 or stride < 0 or dim < 0 or count < 0 or dim > len(query) or 2 * count > len(out):
        raise IndexError
    if count and first + (count - 1) * stride + dim > len(words):
        raise IndexError
    struct.pack_into("<7I", _work, 0, 4 * first, 4 * stride, 4 * dim, count, count, _long, 0)
    if _distances(_work, words, query, out):
        raise ValueError


def nearest(words, base, skip, per, span, stride, fresh, dim, query, k, tag):
    if (
        min(base, skip, fresh, dim, k - 1) < 0
        or skip >= per
        or _VECTOR + dim > stride
        or per * stride > span
        or dim > len(query)
    ):
        raise IndexError
    last = skip + fresh - 1
    if fresh and base + last // per * span + last % per * stride + stride > len(words):
        raise IndexError
    k = min(k, fresh)
    best = array("I", bytes(12 * k + 12))
    struct.pack_into(
        "<12I",
        _work,
        0,
        4 * (base + skip * stride),
        4 * stride,
        4 * dim,
        fresh,
        per - skip,
        _long,
        1 if tag is None else 2,
        per,
        4 * span,
        4 * base,
        k,
        tag or 0,
    )
    if _distances(_work, words, query, best):
        raise ValueError
    return [struct.unpack_from("<QI", best, at) for at in range(0, 12 * (k - _work[_LEFT]), 12)]


def pack(vector, tag, meta):
    if len(vector) > 0xFFFF:
        return None
    try:
        words = array("i", vector)
    except (TypeError, ValueError, OverflowError):
        return None
    if list(words) != list(vector):  # bits were cut off; or it is bytes
        return None
    if tag is None:
        return bytearray(words)
    if not isinstance(tag, int) or tag >> 32:
        return None
    return struct.pack("<HI", len(words), tag) + bytes(words) + meta


try:
    from binascii import crc32
except ImportError:
    from .crc32 import crc32  # noqa: F401
