"""The header of a snapshot: it names log, seq, chain head and state root. Reads and writes no
flash.

header = "QSNP" | rules u32 | seq u32 | boot u32 | generation u32 | arena length u32 | log name 32 |
chain head 32 |
         state root 32 | CRC-32 u32 of all before it
"""

from . import primitives
from .arena import RULES
from .const import const
from .errors import FormatError
from .frames import words_bytes
from .kernel import u32

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer

MAGIC = const(0x504E5351)  # "QSNP"
HEADER = const(124)


class Header:
    """A snapshot's header. seq: the last frame that the state covers; boot: the boot number then;
    generation: counts the snapshots of a log, so that the newer of two is known."""

    def __init__(
        self,
        seq: int,
        boot: int,
        generation: int,
        length: int,
        name: bytes,
        head: bytes,
        root: bytes,
    ) -> None:
        self.seq = seq
        self.boot = boot
        self.generation = generation
        self.length = length
        self.name = name
        self.head = head
        self.root = root

    def encode(self) -> bytes:
        out = (
            words_bytes((MAGIC, RULES, self.seq, self.boot, self.generation, self.length))
            + self.name
            + self.head
            + self.root
        )
        return bytes(out + words_bytes((primitives.crc32(out, 0),)))


def decode(data: "Buffer") -> "Header":
    """Return the Header in the first bytes of data, or raise FormatError."""
    if len(data) < HEADER or u32(data, 0) != MAGIC:
        raise FormatError("no snapshot header here")
    if primitives.crc32(data[: HEADER - 4], 0) != u32(data, HEADER - 4):
        raise FormatError("the snapshot header's CRC does not fit")
    if u32(data, 4) != RULES:
        raise FormatError(
            "this snapshot follows rules %d; this version knows rules %d only"
            % (u32(data, 4), RULES)
        )
    return Header(
        u32(data, 8),
        u32(data, 12),
        u32(data, 16),
        u32(data, 20),
        bytes(data[24:56]),
        bytes(data[56:88]),
        bytes(data[88:120]),
    )
