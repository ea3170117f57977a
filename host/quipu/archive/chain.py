"""Frames as bytes: one after the other, each with a length, a CRC and its place in the chain. Knows
no file's folder and no meaning."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quipu.archive import disk
from shared_kernel import primitives
from shared_kernel.errors import LinkError, Mismatch
from shared_kernel.frames import GENESIS, OVERHEAD, VERSION, length_at, seed
from shared_kernel.kernel import u32

if TYPE_CHECKING:
    from shared_kernel.types import Buffer

_BLOCK = 1 << 20  # bytes read together; more than the longest frame


class Chain:
    """Frames checked for version, seq, CRC and order, without their meaning. seq, head: of the last
    one.

    name: the log's; None if the first frame is a genesis, which gives it.
    """

    def __init__(self, name: bytes | None, seq: int, head: bytes):
        self.name = name
        self.seed = 0 if name is None else seed(name)
        self.seq = seq
        self.head = head

    def step(self, frame: "Buffer") -> None:
        """Take the next whole frame (bytes or memoryview); Mismatch, and nothing changed, if it is
        not the next one."""
        seq = self.seq + 1
        end = len(frame) - 4
        if frame[0] != VERSION:
            raise Mismatch(seq, "frame version", VERSION, frame[0])
        if u32(frame, 4) != seq:
            raise Mismatch(seq, "sequence number", seq, u32(frame, 4))
        crc = primitives.crc32(frame[:end], self.seed)
        if crc != u32(frame, end):
            raise Mismatch(seq, "frame CRC", f"{crc:08x}", f"{u32(frame, end):08x}")
        if self.name is None and frame[1] != GENESIS:
            raise Mismatch(seq, "first frame", "a genesis", f"type 0x{frame[1]:02x}")
        self.head = primitives.hash(self.head + frame)
        if self.name is None:
            self.name = self.head
            self.seed = seed(self.name)
        self.seq = seq


def whole(data: "Buffer", at: int = 0) -> Iterator[tuple[int, int]]:
    """Yield (its first byte, the byte after it) of each frame in data from byte `at` on, by the
    lengths they claim; stop before one that data cuts off."""
    end = len(data)
    while end - at >= OVERHEAD:
        after = at + length_at(data, at)
        if after > end:
            return
        yield at, after
        at = after


def split(path: Path, place: int = 0, kind: Any = memoryview) -> Iterator[tuple[int, Any]]:
    """Yield (offset, frame) for each frame of a file from byte `place` on, as `whole` finds them.
    kind: memoryview, or bytes."""
    with disk.reading(path) as file:
        file.seek(place)
        # data[at:] is to be looked at; base is the offset of data[0]
        data, at, base = b"", 0, place
        while more := file.read(_BLOCK):
            data, base, at = data[at:] + more, base + at, 0
            view = kind(data)
            end = len(data)
            while end - at >= OVERHEAD:  # as in `whole`: a loop in a loop would take a fourth more
                after = at + OVERHEAD + (data[at + 2] | data[at + 3] << 8)
                if after > end:
                    break
                yield base + at, view[at:after]
                at = after


def whole_frames(data: bytes) -> Iterable[memoryview]:
    """Yield the frames that a FRAMES answer consists of; LinkError if it does not consist of whole
    frames."""
    view = memoryview(data)
    after = 0
    for first, after in whole(data):
        yield view[first:after]
    if after < len(data):
        raise LinkError(
            f"the board sent {len(data)} bytes that are not whole frames: the frame at byte "
            f"{after} is cut off"
        )


def claims(frame: bytes, limit: int, seq: int) -> bool:
    """Return whether bytes could be the torn beginning of the frame `seq`, which has at most
    `limit` bytes."""
    return (
        frame[0] == VERSION
        and (len(frame) < 4 or len(frame) < length_at(frame, 0) <= limit)
        and (len(frame) < 8 or u32(frame, 4) == seq)
    )
