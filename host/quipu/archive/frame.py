"""A frame as a record: the fields that every type has, read from its bytes in one place. Checks
nothing; knows no payload."""

from typing import TYPE_CHECKING, Any, NamedTuple

from shared_kernel import frame_names
from shared_kernel.frames import HEADER, TOKEN, TOKEN_BYTES
from shared_kernel.kernel import u32

if TYPE_CHECKING:
    from shared_kernel.types import Buffer


TICKS_ROUND = 1 << 30  # ms that a board's ticks count


class Frame(NamedTuple):
    """A whole frame taken apart.

    data: all of its bytes. kind: its type, without the bit that says that it has a token. seq: its
        sequence number. tick: ms since the last boot or clock frame. start, end: where the payload
        stands in data, past the token if there is one."""

    data: Any
    kind: int
    seq: int
    tick: int
    start: int
    end: int

    @property
    def token(self) -> bytes:
        """The 8 bytes by which a laptop finds its change again; b"" of a frame that has none."""
        return bytes(self.data[HEADER : self.start])

    @property
    def payload(self) -> bytes:
        """What the type is about."""
        return bytes(self.data[self.start : self.end])

    @property
    def is_command(self) -> bool:
        """Whether it changes the state."""
        return bool(frame_names.is_command(self.kind))


def tick_of(data: "Buffer") -> int:
    """Return a whole frame's ms since the last boot or clock frame: the bits above say where it
    stands in its group."""
    return u32(data, 8) % TICKS_ROUND


def kind_and_payload(data: "Buffer") -> tuple[int, int, int]:
    """Return a whole frame's type without the bit for a token, and where its payload starts and
    ends: for loops over very many frames."""
    kind = data[1]
    if kind & TOKEN:
        return kind & ~TOKEN, HEADER + TOKEN_BYTES, len(data) - 4
    return kind, HEADER, len(data) - 4


def taken_apart(data: "Buffer") -> Frame:
    """Return a whole frame (bytes or memoryview) as a record."""
    kind, start, end = kind_and_payload(data)
    return Frame(data, kind, u32(data, 4), tick_of(data), start, end)
