"""The link's framing. Knows no port and no state; requests.py has the numbers,
host/quipu/board/link.py the laptop's half.

request, laptop to board, printable after its first byte: 0x1E "#" base64(id u8 | op u8 | payload |
CRC-32 u32) "!" At a REPL prompt it is a comment. Bit 7 of op says that the payload goes on in the
next request. answer, board to laptop, raw: 0x1E "Q" | id u8 | status u8 | length u16 | payload |
CRC-32 u32 of all between "Q" and it status 0 is success; any other is the code of an error
(errors.py) whose message is the payload."""

import binascii

from . import primitives
from .const import const
from .errors import LinkError
from .kernel import put_u32, u32

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Callable, Iterable, Output

PROTOCOL = const(2)
MARK = const(0x1E)
OPEN = const(0x23)
CLOSE = const(0x21)
ANSWER = const(0x51)
MORE = const(0x80)
_LETTER = const(0x2B)  # the least of base64's


class RequestReader:
    """Finds requests among the bytes that arrive; `limit` characters at most between "#" and
    "!"."""

    def __init__(self, limit: int) -> None:
        self.line = bytearray(limit)
        self.size = -1  # characters so far; -1: outside of a request, -2: its mark has come

    def feed(self, c: int) -> tuple[int, int, bytes] | None:
        """Take one byte. Return (id, op, payload) when it completes a request, None otherwise;
        LinkError if one is broken."""
        if c == MARK:
            self.size = -2
        elif self.size == -2:
            self.size = 0 if c == OPEN else -1
        elif self.size >= 0:
            if c == CLOSE:
                size, self.size = self.size, -1
                return self._decode(memoryview(self.line)[:size])
            if self.size == len(self.line):
                self.size = -1
                raise LinkError(
                    "a request may have %d characters: send it in parts" % len(self.line)
                )
            self.line[self.size] = c
            self.size += 1
        return None

    def rest(
        self,
        poll: "Callable[[int], Iterable[object]]",
        read: "Callable[[int], Buffer]",
        wait_ms: int,
    ) -> tuple[int, int, bytes] | None:
        """Do what `feed` does, for all that follows a request's opening, each byte within wait_ms
        of the one before. poll(wait_ms) gives something to iterate over once if a byte is there."""
        line = self.line
        size = 0
        for size in range(len(line)):
            c = -1
            for _ in poll(wait_ms):
                c = read(1)[0]
            if c < _LETTER:
                if c == CLOSE or c == MARK:
                    self.size = size
                    return self.feed(c)
                if c < 0:
                    self.size = size
                    return None
            line[size] = c
        self.size = len(line)
        return None

    def busy(self) -> bool:
        """Return whether a request has begun and not ended."""
        return self.size != -1

    def _decode(self, line: "Buffer") -> tuple[int, int, bytes]:
        try:
            body = binascii.a2b_base64(line)
        except ValueError:
            raise LinkError("a request that is not base64") from None
        end = len(body) - 4
        if end < 2 or primitives.crc32(memoryview(body)[:end], 0) != u32(body, end):
            raise LinkError("a request arrived damaged: send it again")
        return body[0], body[1], body[2:end]


def answer(output: "Output", ident: int, status: int, payload: "Buffer") -> None:
    """Write an answer to a raw stream, the payload as it stands: no copy of it is made."""
    answer_in_parts(output, ident, status, len(payload), (payload,))


def answer_in_parts(
    output: "Output", ident: int, status: int, size: int, parts: "Iterable[Buffer]"
) -> None:
    """Write an answer whose payload of `size` bytes comes in parts, each of which is written before
    the next is asked for."""
    head = bytes((MARK, ANSWER, ident, status, size & 255, size >> 8))
    crc = primitives.crc32(memoryview(head)[2:], 0)
    output.write(head)
    for each in parts:
        crc = primitives.crc32(each, crc)
        output.write(each)
    tail = bytearray(4)
    put_u32(tail, 0, crc)
    output.write(tail)
