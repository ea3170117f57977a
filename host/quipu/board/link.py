"""The laptop's half of the link: requests out, answers in, the application's own output kept apart.
Knows no log.

The framing is shared_kernel/link.py's. One request is in flight at a time. A request that changes
nothing is repeated when its answer fails to come, within a limit; any other is the caller's to
decide (`repeat=False`). On a noisy line long answers are fetched in pieces (`piece`), whose size
follows what gets through."""

import binascii
import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from quipu.board import serial_port
from quipu.errors import LostAnswer, PortError, QuipuError, by_code
from shared_kernel import link, primitives, requests
from shared_kernel.errors import LinkError, NotFound
from shared_kernel.frames import words_bytes
from shared_kernel.kernel import u32

if TYPE_CHECKING:
    from quipu.board.repl import Repl

_POLL_S = 0.02  # how long one read of the port waits
_STALL_S = 0.5  # a silence inside an answer that long means that bytes of it were lost
_FIRST_WAIT_S = 1.0  # for an answer before a request is repeated; doubled each time
_ARRIVING_S = 6.0  # what the longest answer takes at 115200 baud
# of one request: damage is noticed at once, so that waiting alone would not bound them
_ATTEMPTS = 8
_GREETING_S = 0.4  # how long a first request may take before the REPL is looked for
_PROMPT_S = 1.0
_START_S = 120.0  # how long a board may take to recover its log
_DEFAULT_LIMIT = 240  # characters of a request, until the board has said what it takes
_KEEP = 65536  # bytes of the application's output that are kept
_LEAST, _MOST = 64, 4096  # bytes of a piece
_GROW_AFTER = 8  # pieces of one size that arrived in a row
_PIECE_S = 0.05  # how long a board may take for a piece, beyond what it took for others
_PIECE_STALL_S = 0.1  # a silence inside a piece that long means that bytes of it were lost
_BYTE_S = 1.5 / 11520  # a byte at 115200 baud, with something to spare
_FRAMING = 64  # bytes on the wire for a piece beside it, at most
_HINT = 16  # bytes that came without an answer and may have been one
_LONGEST = 0xFFFF  # bytes of an answer: what two bytes say on the wire
_MIXED = 8  # answers in a row that changed while their pieces were fetched
# Answers of more than some ten bytes, to requests that change nothing.
_LONG_ANSWERS = (requests.INFO, requests.FRAMES, requests.SNAPSHOT, requests.LOG_LAYOUT)
# what any board answers shortly, if only with an error: it ends what was sent in parts before
_NOTHING = requests.PART, bytes(8)
_BANNER = re.compile(rb"MicroPython (\S+)[^\r\n]*\r\n(?:[^\r\n]*\r\n)?>>> $")


class Answer(NamedTuple):
    id: int
    status: int
    payload: bytes


def encode_request(ident: int, op: int, payload: bytes | bytearray) -> bytes:
    """Return one request as bytes for the wire."""
    body = bytes((ident, op)) + payload
    return (
        b"\x1e#"
        + binascii.b2a_base64(body + words_bytes((primitives.crc32(body, 0),)), newline=False)
        + b"!"
    )


def parts(op: int, payload: bytes | bytearray, limit: int) -> list[tuple[int, bytes | bytearray]]:
    """Return (op, payload) of the requests that carry a payload, when one may have `limit`
    characters between its marks."""
    room = limit // 4 * 3 - 6  # base64 makes 4 characters of 3 bytes; id, op and CRC take 6
    cuts = range(0, max(1, len(payload)), room)
    return [(op if at == cuts[-1] else op | link.MORE, payload[at : at + room]) for at in cuts]


class Pieces:
    """How large the pieces of an answer are that get through a line: halved when one is lost,
    doubled after some that arrived.

    size: bytes; most: what the board sends at once; wait_s: how long a board takes to answer, on
        average
    """

    def __init__(self) -> None:
        self.size = self.most = _MOST
        self.wait_s = 0.1
        self._row = 0

    def arrived(self, size: int, took_s: float) -> None:
        """A piece came whole, so long after it was asked for."""
        self.wait_s += (max(0.0, took_s - size * _BYTE_S) - self.wait_s) / 4
        self._row += size >= self.size
        if self._row >= _GROW_AFTER:
            self.size = min(2 * self.size, self.most)
            self._row = 0

    def lost(self) -> None:
        """A piece or its request was damaged on the way."""
        self.size = max(_LEAST, self.size // 2)
        self._row = 0

    def patience_s(self, size: int) -> float:
        """Return how long to wait for a piece of `size` bytes."""
        return _PIECE_S + 2 * self.wait_s + (size + _FRAMING) * _BYTE_S


class AnswerReader:
    """Takes the bytes that a board sends; gives answers, and hands everything else to `output`.

    asked: ids of requests whose answers may come. Others are no answers: an application prints what
        it likes, and what
    looks like the head of a long answer would hide the true ones behind it until its end.
    """

    def __init__(self, output: Callable[[bytes], None]):
        self.output = output
        self.buffer = bytearray()
        self.asked = {0}  # 0: what a board answers to a request that it could not read
        self.damaged = 0  # what began like an answer and was none, or not whole

    def feed(self, data: bytes) -> list[Answer]:
        """Take bytes; return the answers that they complete."""
        buffer = self.buffer
        buffer += data
        answers = []
        at = 0
        while True:
            mark = buffer.find(link.MARK, at)
            self._out(at, len(buffer) if mark < 0 else mark)
            at = len(buffer) if mark < 0 else mark
            end = self._end(at)
            if end > len(buffer):
                break
            if end and primitives.crc32(memoryview(buffer)[at + 2 : end - 4], 0) == u32(
                buffer, end - 4
            ):
                answers.append(
                    Answer(buffer[at + 2], buffer[at + 3], bytes(buffer[at + 6 : end - 4]))
                )
                self.asked -= {buffer[at + 2]} - {0}
                at = end
            else:
                self.damaged += 1 if end else 0
                self._out(at, at + 1)
                at += 1
        del buffer[:at]
        return answers

    def _end(self, at: int) -> int:
        """Return where the answer that may begin at `at` ends, or some place past the buffer while
        that is not known; 0 if none begins there."""
        head = self.buffer[at : at + 6]
        if (
            head[1:2] not in (b"", bytes((link.ANSWER,)))
            or len(head) > 2
            and head[2] not in self.asked
        ):
            return 0
        return at + 10 + (head[4] | head[5] << 8) if len(head) == 6 else len(self.buffer) + 1

    def waiting(self) -> bool:
        """Return whether something that may be an answer has begun and not ended."""
        return len(self.buffer) > 0

    def give_up(self) -> list[Answer]:
        """The rest of what has begun will not come: it was no answer, or lost bytes. Return those
        that stand behind it."""
        if not self.buffer:
            return []
        self.damaged += 1
        self._out(0, 1)
        del self.buffer[:1]
        return self.feed(b"")

    def _out(self, start: int, end: int) -> None:
        if end > start:
            self.output(bytes(self.buffer[start:end]))


def _open_input(printed: bytes) -> str | None:
    """Return what a REPL that prints no banner is in the middle of, by what it prints for Return
    and Ctrl-B; None if it says nothing of the kind."""
    line = printed.rpartition(b"\n")[2]
    if line.startswith(b"=== "):
        return "paste mode"
    if line.startswith(b"... "):
        return "an open block"
    return None


class Link:
    """An open port with a Quipu board behind it.

    url: a PORT (serial_port.resolve): /dev/ttyACM0, a pty, socket://host:port, rfc2217://host:port,
        id:SERIAL, part of a description;
    then what was opened. timeout: seconds for one
    answer, repetitions included. output: takes the application's own output; without it the last 64
    KiB are in `printed`.
    serve: where an idle REPL answers instead of an application, start the service there (and end it
        at close).

    sent, received: bytes on the wire; printed_bytes: those of them that were the application's;
        greeting: the answer to the
    first INFO request. PortError if the port cannot be opened or no Quipu answers on it.
    """

    def __init__(
        self,
        url: str,
        timeout: float = 10.0,
        output: Callable[[bytes], None] | None = None,
        serve: bool = True,
    ):
        self.url = url
        self.timeout = timeout
        self.limit = _DEFAULT_LIMIT
        self.sent = self.received = self.printed_bytes = 0
        self.printed = bytearray()
        self._output = output
        self._reader = AnswerReader(self._print)
        self._ids = self._sequence()
        self.pieces = Pieces()
        self.keeps = True  # whether the board answers KEEP, as far as is known
        self._refused = 0  # requests that the board could not read
        self._stale_parts = False
        self._complete = 0  # id of the last request of which all parts were sent
        self._repl: Repl | None = None
        self._unended: str | None = None  # the input that a REPL seems to be in the middle of
        self._port = self._open()
        try:
            self.greeting = self._greet(serve)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @staticmethod
    def _sequence() -> Iterator[int]:
        """Yield request ids for ever. The start is random, so that a late answer to an earlier
        program is nobody's. An id is one of the 64 bytes that cannot follow a letter in UTF-8: what
        an application prints then never looks like our answer."""
        ident = os.urandom(1)[0]
        while True:
            ident = 0x80 | ident + 1 & 0x3F
            yield ident

    # -- requests ----------------------------------------------------------------------------------

    def request(
        self,
        op: int,
        payload: bytes | bytearray = b"",
        *,
        timeout: float | None = None,
        repeat: bool = True,
    ) -> bytes:
        """Send a request and return the answer's payload, or raise the error that the board
        answered with.

        repeat: send it again when no answer comes, only where that changes nothing twice. Without:
            LostAnswer as soon as it is
        certain that none will come, and the request has been carried out or never will be.
        LostAnswer, too, after `timeout` s."""
        limit = timeout or self.timeout
        deadline = time.monotonic() + limit
        wait = _FIRST_WAIT_S
        for _ in range(_ATTEMPTS):
            if repeat and self.keeps and self.pieces.size < _MOST // 4 and op in _LONG_ANSWERS:
                answer = self._by_pieces(op, payload)
            else:
                hints = self._hints()
                answer = self._attempt(op, payload, min(time.monotonic() + wait, deadline))
                if not answer and not repeat:
                    answer = self._settle(deadline)
                elif (
                    not answer
                    and self.keeps
                    and op in _LONG_ANSWERS
                    and self._hints() - hints >= _HINT
                ):
                    answer = self._by_pieces(op, payload)
            if answer:
                if answer.status:
                    raise by_code(answer.status)(answer.payload.decode(errors="replace"))
                return answer.payload
            if not repeat or time.monotonic() >= deadline:
                break
            wait *= 2
        raise self._lost(op, limit)

    def _lost(self, op: int, limit: float) -> LostAnswer:
        return LostAnswer(
            f"{self.url}: no whole answer to request 0x{op:02x} (limit {limit:g} s): is the board "
            f"there, and does "
            "its application call quipu's verbs, poll() or serve() often enough?"
        )

    def piece(self, op: int, ask: Callable[[int], bytes], wanted: int) -> tuple[int, bytes]:
        """Ask for up to `wanted` bytes until an answer comes whole: ask(n) is the payload that asks
        for n of them. Return (n, the answer's payload), or raise the error that the board answered
        with. It must change nothing, and begin at the same place for any n.

        LostAnswer if none comes whole for `timeout` s.
        """
        deadline = time.monotonic() + self.timeout
        asked: dict[int, tuple[int, float]] = {}
        patience = 1.0
        while True:
            n = min(wanted, self.pieces.size)
            ident = next(self._ids)
            self._reader.asked.add(ident)
            hints, refused = self._hints(), self._refused
            begun = time.monotonic()
            asked[ident] = n, begun
            self._write(encode_request(ident, op, ask(n)))
            until = begun + patience * self.pieces.patience_s(n)
            for answer in self._answers(until, _PIECE_STALL_S):
                if answer and answer.id in asked:  # a late one serves as well: it changed nothing
                    n, sent = asked[answer.id]
                    self.pieces.arrived(n, time.monotonic() - sent)
                    if answer.status:
                        raise by_code(answer.status)(answer.payload.decode(errors="replace"))
                    return n, answer.payload
                if (
                    answer
                    and self._is_refusal(answer)
                    or not answer
                    and self._hints() - hints >= _HINT + n // 2
                ):
                    break
            if self._hints() - hints >= _HINT or self._refused > refused:
                self.pieces.lost()
                patience = 1.0
            else:  # nothing at all: the request was lost, or the board is busy
                patience = min(2 * patience, 64.0)
            if time.monotonic() >= deadline:
                raise self._lost(op, self.timeout)

    def _by_pieces(self, op: int, payload: bytes | bytearray) -> Answer | None:
        """Have the board keep its answer and fetch that in pieces; None if it cannot."""
        room = self.limit // 4 * 3 - 7
        if len(payload) > room:
            return None
        for _ in range(_MIXED):
            try:
                told = self.piece(requests.KEEP, lambda _: bytes((op,)) + payload, _LEAST)[1]
                if len(told) != 8 or u32(told, 0) > _LONGEST:
                    raise LinkError(
                        f"{self.url}: the board says of what it keeps {told.hex()}: expected its "
                        f"length, at most {_LONGEST}, and its CRC-32"
                    )
            except LinkError as e:
                if f"0x{requests.KEEP:02x}" not in str(e):
                    raise
                self.keeps = False
                return None
            try:
                data = self._kept(told[4:8], u32(told, 0))
            except NotFound:  # the board was restarted, or asked by somebody else
                continue
            if len(data) == u32(told, 0) and primitives.crc32(data, 0) == u32(told, 4):
                return Answer(0, 0, data)
        return None

    def _kept(self, crc: bytes, size: int) -> bytes:
        """Fetch the answer that the board keeps, piece by piece; less than `size` bytes if it sends
        less."""
        data = bytearray()

        def ask(n: int) -> bytes:
            at = len(data)
            return crc + bytes((at & 255, at >> 8, n & 255, n >> 8))

        while len(data) < size:
            part = self.piece(requests.PART, ask, size - len(data))[1]
            if not part:
                break
            data += part
            if len(data) > size:
                raise LinkError(f"{self.url}: the board sent more than the {size} bytes it keeps")
        return bytes(data)

    def _hints(self) -> int:
        """Return a number that grows with what came and was no answer of ours."""
        return self.printed_bytes + _HINT * (self._reader.damaged + self._refused)

    def _is_refusal(self, answer: Answer) -> bool:
        """Return whether this is what the board says to a request that arrived damaged."""
        refusal = answer.id == 0 and answer.status == LinkError.code
        self._refused += refusal
        return refusal

    def _settle(self, deadline: float) -> Answer | None:
        """Wait for the answer to the last request; None once it is certain that it was lost.
        Requests are answered in order: if the board answers a later one, which changes nothing, the
        last one is over."""
        lost = self._complete
        wait = _FIRST_WAIT_S
        while time.monotonic() < deadline:
            nothing = next(self._ids)
            self._reader.asked.add(nothing)
            self._write(encode_request(nothing, *_NOTHING))
            for answer in self._answers(min(time.monotonic() + wait, deadline)):
                if answer and lost and answer.id == lost:
                    return answer
                if answer and answer.id == nothing:
                    self._stale_parts = False
                    return None
                if answer and self._is_refusal(answer):
                    break
            wait *= 2
        return None

    def _attempt(self, op: int, payload: bytes | bytearray, deadline: float) -> Answer | None:
        """Send a request once, in as many parts as it needs; return the answer, None if it or a
        part's was lost."""
        # the board may hold parts of an earlier attempt: any whole request clears them
        if self._stale_parts:
            if not self._exchange(*_NOTHING, deadline):
                return None
            self._stale_parts = False
        pieces = parts(op, payload, self.limit)
        self._stale_parts = len(pieces) > 1
        self._complete = 0
        for each, piece in pieces[:-1]:
            answer = self._exchange(each, piece, deadline)
            if not answer or answer.status:
                return answer
        self._complete = next(self._ids)
        answer = self._exchange(*pieces[-1], deadline, self._complete)
        self._stale_parts = self._stale_parts and answer is None
        return answer

    def _exchange(
        self, op: int, payload: bytes | bytearray, deadline: float, ident: int = 0
    ) -> Answer | None:
        """Send one request and return its answer; None if it is not there at the deadline, or if
        one of the two was damaged."""
        ident = ident or next(self._ids)
        damaged = self._reader.damaged
        self._reader.asked.add(ident)
        self._write(encode_request(ident, op, payload))
        for answer in self._answers(deadline):
            if answer and answer.id == ident:
                return answer
            if answer and self._is_refusal(answer):
                return None
            if not answer and self._reader.damaged > damaged:
                return None
        return None

    def _answers(self, deadline: float, stall: float = 0.0) -> Iterator[Answer | None]:
        """Yield answers as they come, and None where the board pauses, until the deadline; a little
        longer while one is coming. stall: seconds of silence inside an answer that mean that the
        rest was lost."""
        stall = min(stall or _STALL_S, _STALL_S)
        heard = time.monotonic()
        while True:
            data = self._read()
            now = time.monotonic()
            if data:
                heard = now
                yield from self._reader.feed(data)
            elif self._reader.waiting():
                if now - heard > stall:
                    yield from self._reader.give_up()
            else:
                yield None
            if now >= deadline and not (
                self._reader.waiting() and now - heard < stall and now < deadline + _ARRIVING_S
            ):
                while self._reader.waiting():  # what has begun may hide what came whole
                    yield from self._reader.give_up()
                return

    # -- the port ----------------------------------------------------------------------------------

    def _open(self) -> Any:
        port = serial_port.opened(self.url, _POLL_S, self.timeout)
        self.url = str(port.port)
        return port

    def _read(self) -> bytes:
        try:
            data = self._port.read(self._port.in_waiting or 1)
        except (OSError, TypeError) as e:
            # TypeError: pyserial, on a port that another thread has closed
            raise PortError(serial_port.gone(self.url, e)) from None
        self.received += len(data)
        return bytes(data)

    def _write(self, data: bytes) -> None:
        self.sent += len(data)  # before: Ctrl-C in the middle of it may leave them on the wire
        try:
            self._port.write(data)
        except OSError as e:
            raise PortError(serial_port.gone(self.url, e)) from None

    def _print(self, data: bytes) -> None:
        self.printed_bytes += len(data)
        if self._output:
            self._output(data)
        self.printed += data
        del self.printed[:-_KEEP]

    def close(self) -> None:
        """Close the port; where this link started the service at a REPL, end it and leave the board
        at its prompt."""
        repl, self._repl = self._repl, None
        if repl:
            with contextlib.suppress(QuipuError, OSError):
                self.request(requests.LEAVE, timeout=_FIRST_WAIT_S)
                for _ in self._answers(time.monotonic() + _PROMPT_S):
                    if self.printed.endswith(b"\x04>"):  # how the raw REPL ends what it ran
                        break
                repl.leave()
        self._port.close()

    # -- who is there? -----------------------------------------------------------------------------

    def _greet(self, serve: bool) -> bytes:
        """Return the first answer to INFO, having started the service if only a REPL is there."""
        deadline = time.monotonic() + self.timeout
        wait = _GREETING_S
        while True:
            hints = self._reader.damaged + self._refused
            answer = self._attempt(requests.INFO, b"", min(time.monotonic() + wait, deadline))
            # a board is there, on a noisy line
            if not answer and self._reader.damaged + self._refused > hints:
                with contextlib.suppress(LostAnswer):
                    answer = self._by_pieces(requests.INFO, b"")
            if answer:
                break
            if serve and (version := self._prompt(min(time.monotonic() + _PROMPT_S, deadline))):
                self._start_service(version)
                answer = Answer(0, 0, self.request(requests.INFO))
                break
            if time.monotonic() >= deadline:
                if self._unended:
                    raise PortError(
                        f"{self.url}: it looks as if a REPL waits there for the end of an input "
                        f"({self._unended}), and no Ctrl-C is sent to what may be an application: open a "
                        f"terminal, press Ctrl-C, and try again"
                    )
                said = f" (it said {bytes(self.printed[-60:])!r})" if self.printed else ""
                raise PortError(
                    f"{self.url}: nothing here answered as a Quipu board within {self.timeout:g} "
                    f"s{said}: is it the "
                    "right port, is the board powered, and does its application call quipu's "
                    "verbs, poll() or serve()? A REPL in a raw paste is silent, too: Ctrl-C ends it"
                )
            wait *= 2
        if answer.status:
            raise by_code(answer.status)(answer.payload.decode(errors="replace"))
        return answer.payload

    def _prompt(self, deadline: float) -> str | None:
        """Return the MicroPython version if an idle REPL is there. Sends Return (our request reads
        as a comment) and Ctrl-B, on which a REPL, raw or friendly, prints its banner; to an
        application they are two characters of input, never a Ctrl-C."""
        self.printed.clear()
        self._write(b"\r\x02")
        for answer in self._answers(deadline):
            if answer:  # a late one: no REPL
                return None
            if match := _BANNER.search(bytes(self.printed)):
                self.printed.clear()
                return match[1].decode(errors="replace")
        self._unended = self._unended or _open_input(bytes(self.printed))
        return None

    def _start_service(self, version: str) -> None:
        """Start `quipu.serve()` at the idle REPL."""
        from quipu.board.repl import DeviceError, Repl

        repl = Repl(self._port, self.url)
        try:
            repl.run("import quipu\nquipu.start()", _START_S)
        except DeviceError as e:
            repl.leave()
            if e.name == "ImportError":
                raise PortError(
                    f"{self.url}: MicroPython {version} is here, but no Quipu ({e.text}): flash "
                    f"it first"
                ) from None
            raise PortError(
                f"{self.url}: MicroPython {version} is here, but Quipu does not start: {e.name}: "
                f"{e.text}"
            ) from None
        except QuipuError:
            repl.leave()
            raise
        repl.start("quipu.serve()")
        self._repl = repl
