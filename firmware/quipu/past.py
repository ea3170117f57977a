"""The past of a key, for the application and for the laptop. Imported on use."""

from micropython import const

from shared_kernel import history as plain
from shared_kernel.frames import words_bytes
from shared_kernel.kernel import u32

_HISTORY = const(0x37)  # see shared_kernel/requests.py
_NO_VALUE = const(0xFFFF)
_ROOM = const(1024)  # bytes of versions in one answer


try:
    from .walk import walk
except (ImportError, SyntaxError, ValueError):  # no native code on this port
    walk = plain.walk


def history(store, name, limit):
    return store.call(plain.history, store, name, limit, walk)


def value_at(store, name, seq):
    return store.call(plain.value_at, store, name, seq, walk)


def answer(store, op, p):
    """Return the answer's payload for HISTORY or KEY_AT."""
    if op == _HISTORY:
        found = history(store, p[1:], p[0])
        out = b""
        for seq, value in found.versions:
            if len(out) > _ROOM:
                break
            size = _NO_VALUE if value is None else len(value)
            out += words_bytes((seq,)) + bytes((size & 255, size >> 8)) + (value or b"")
        return words_bytes((0 if found.archived is None else found.archived + 1,)) + out
    seq, value = value_at(store, p[4:], u32(p, 0))
    return words_bytes((seq,)) + value
