"""Whole snapshots as bytes, header and arena: what a host keeps in its archive. Never loaded on a
board."""

from . import primitives
from .arena import CHUNK, layout
from .config import check_config
from .errors import FormatError, Invalid
from .kernel import Kernel, u32
from .snapshot import HEADER, Header, decode

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer


def load(data: "Buffer") -> "tuple[Header, Kernel]":
    """Return (Header, Kernel) of a whole snapshot; FormatError unless the arena has the length and
    the root it claims."""
    header = decode(data)
    arena = memoryview(data)[HEADER:]
    if len(arena) != header.length or len(arena) < 64:
        raise FormatError(
            "the snapshot of seq %d has %d bytes of arena, not %d"
            % (header.seq, len(arena), header.length)
        )
    root = primitives.hash(arena)
    if root != header.root:
        raise FormatError(
            "the snapshot of seq %d hashes to %s, not to its root %s"
            % (header.seq, root.hex(), header.root.hex())
        )
    try:
        config = check_config([u32(arena, 8 + 4 * i) for i in range(7)])
    except Invalid as e:
        raise FormatError("the snapshot of seq %d holds no state: %s" % (header.seq, e)) from None
    size = CHUNK * layout(config)[1]  # before any of it is allocated
    if size != len(arena):
        raise FormatError(
            "the snapshot of seq %d is %d bytes; its configuration needs %d"
            % (header.seq, len(arena), size)
        )
    kernel = Kernel(config)
    kernel.arena.load(arena)
    return header, kernel


def save(kernel: "Kernel", seq: int, boot: int, generation: int, name: bytes, head: bytes) -> bytes:
    """Return the whole snapshot of a kernel as bytes."""
    return Header(
        seq, boot, generation, kernel.arena.size, name, head, kernel.root()
    ).encode() + bytes(kernel.arena.bytes)
