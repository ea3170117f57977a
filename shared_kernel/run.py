"""The header of a run, which says where in the log the frames behind it belong. Reads and writes no
flash.

header = 0x52 | flags u8 | repeats u8 | quarantined u8 | number u32 | prev u32 | first u32 |
         boot u32 | acked u32 | log name 32 | chain head 32 | quarantined sectors 5 x u16 |
         span / 8 u16 | CRC-32 u32 of all before it
"""

from . import primitives
from .const import const
from .frames import words_bytes
from .kernel import u32

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer

MAGIC = const(0x52)  # even, as the first byte of a frame is not, torn or whole
HEADER = const(104)
NONE = const(0xFFFFFFFF)  # in place of a number: there is no such run
_POLICY = const(0x01)
_FOLLOWS = const(0x02)
_LISTED = const(5)
_SPAN_AT = const(98)


class Run:
    """A decoded header.

    number: says where the header stands and is never used twice; of two runs the greater is the
        newer
    prev: number of the run that this one goes on from, or NONE
    first: seq of the run's first frame
    repeats: how many frames, from `first` on, stand in the run `prev` too; the frames after them
        are new
    boot: boot number of the boot that wrote the run
    acked: first seq that the host had not acknowledged
    policy: of a full log, see frames.py
    follows: whether the boot that wrote the run had written its boot frame before, in an earlier
        run
    name: the log's, 32 bytes
    head: chain head before `first`
    bad: quarantined sectors, at most 5: the ones found last
    span: how many bytes may stand there that nobody was promised, rounded up to 8: in a boot's run
        from its first frame on, else behind the place where it breaks off
    """

    def __init__(
        self,
        number: int,
        prev: int,
        first: int,
        repeats: int,
        boot: int,
        acked: int,
        policy: int,
        follows: bool,
        name: bytes,
        head: bytes,
        bad: list[int],
        span: int,
    ) -> None:
        self.number = number
        self.prev = prev
        self.first = first
        self.repeats = repeats
        self.boot = boot
        self.acked = acked
        self.policy = policy
        self.follows = follows
        self.name = name
        self.head = head
        self.bad = bad
        self.span = span

    def encode(self) -> bytes:
        """Return the header's bytes."""
        bad = self.bad[-_LISTED:]
        out = bytearray(
            (MAGIC, self.policy | (_FOLLOWS if self.follows else 0), self.repeats, len(bad))
        )
        out += words_bytes((self.number, self.prev, self.first, self.boot, self.acked))
        out += self.name + self.head
        for each in bad:
            out += bytes((each & 255, each >> 8))
        out += bytes(_SPAN_AT - len(out))
        span = (self.span + 7) >> 3
        out += bytes((span & 255, span >> 8))
        return bytes(out + words_bytes((primitives.crc32(out, 0),)))


def is_whole(data: "Buffer") -> bool:
    """Return whether `data` (104 bytes) is a header."""
    return (
        data[0] == MAGIC
        and data[1] <= _POLICY | _FOLLOWS
        and primitives.crc32(memoryview(data)[: HEADER - 4], 0) == u32(data, HEADER - 4)
    )


def decode(data: "Buffer") -> "Run | None":
    """Return the Run whose header `data` (104 bytes) is, or None if it is none."""
    if not is_whole(data):
        return None
    bad = [data[88 + 2 * i] | data[89 + 2 * i] << 8 for i in range(min(data[3], _LISTED))]
    return Run(
        u32(data, 4),
        u32(data, 8),
        u32(data, 12),
        data[2],
        u32(data, 16),
        u32(data, 20),
        data[1] & _POLICY,
        bool(data[1] & _FOLLOWS),
        bytes(data[24:56]),
        bytes(data[56:88]),
        bad,
        (data[_SPAN_AT] | data[_SPAN_AT + 1] << 8) << 3,
    )
