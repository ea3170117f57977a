"""Answers the laptop's questions about the past of a key. Imported on use."""

from micropython import const

from shared_kernel import history
from shared_kernel.frames import words_bytes
from shared_kernel.kernel import u32

_HISTORY = const(0x37)  # see shared_kernel/requests.py
_NO_VALUE = const(0xFFFF)
_ROOM = const(1024)  # bytes of versions in one answer


def answer(store, op, p):
    """Return the answer's payload for HISTORY or KEY_AT."""
    if op == _HISTORY:
        found = store.call(history.history, store, p[1:], p[0])
        out = b""
        for seq, value in found.versions:
            if len(out) > _ROOM:
                break
            size = _NO_VALUE if value is None else len(value)
            out += words_bytes((seq,)) + bytes((size & 255, size >> 8)) + (value or b"")
        return words_bytes((0 if found.archived is None else found.archived + 1,)) + out
    seq, value = store.call(history.value_at, store, p[4:], u32(p, 0))
    return words_bytes((seq,)) + value
