"""The one adapter around mpremote: a board's raw REPL, over a port that is already open. Nothing
else imports mpremote.

Entering interrupts whatever runs on the board (mpremote sends Ctrl-C): call it only where an idle
prompt has been seen."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mpremote import transport_serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from quipu import errors
from quipu.errors import PortError, QuipuError

_READ_S = 1.0  # mpremote reads whole answers; a link's own reads are far shorter
_START_S = 30.0
_LEAVE_S = 5.0
_FILE_S = 120.0
_EOF = b"\x04"
_ENTER_TRIES = 4
_ENTER_S = 3  # for one try
_CHATTER = 10  # times the silence that one call allows: so long may a board keep talking in it
_DEVICE_ERROR = re.compile(r"^(\w+)(?:: (.*))?$")

# It prints on standard output what it did not expect of a board, and raises too. Not by redirecting
# that: other threads use it.
vars(transport_serial)["print"] = lambda *args, **kwargs: None


class DeviceError(PortError):
    """Code on the board raised; name: of the exception's class, text: its message."""

    def __init__(self, message: str, name: str, text: str):
        super().__init__(message)
        self.name = name
        self.text = text


class Limited:
    """An open port on which nothing goes on past `deadline`: a tool waits for a silence that a
    chattering board never makes. error: what the tool itself raises, BaseException or not.

    A tool that reads byte by byte is given them from what `reads_ahead` took at once. Read ahead
    only what ends at a prompt: what is left over is nobody else's."""

    def __init__(self, port: Any, error: type[BaseException]):
        vars(self).update(port=port, error=error, deadline=0.0, heard=False)
        vars(self).update(ahead=False, taken=bytearray())

    @contextmanager
    def reads_ahead(self) -> Iterator[None]:
        """Take all that has come in one read, inside of a with block."""
        vars(self).update(ahead=True)
        try:
            yield
        finally:
            vars(self).update(ahead=False)

    def allow(self, seconds: float) -> None:
        """Begin anew: for so long from now."""
        vars(self).update(deadline=time.monotonic() + seconds, heard=False)

    def _check(self) -> None:
        if time.monotonic() > self.deadline:
            what = "talks on and on, and is not done" if self.heard else "says nothing"
            raise self.error(
                f"the board {what}: restart it, or unplug it and plug it in, and try again"
            )

    def read(self, size: int = 1) -> Any:
        self._check()
        lacks = size - len(self.taken)
        if lacks > 0:
            more = max(lacks, self.port.in_waiting) if self.ahead else lacks
            self.taken.extend(self.port.read(more))
        data = bytes(self.taken[:size])
        del self.taken[:size]
        if data:
            vars(self)["heard"] = True
        return data

    def inWaiting(self) -> Any:  # noqa: N802  (pyserial's older name, which mpremote uses)
        self._check()
        return len(self.taken) + self.port.in_waiting

    in_waiting = property(inWaiting)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.port, name)

    def __setattr__(self, name: str, value: Any) -> None:
        with suppress(OSError):  # a timeout set on a port that is gone: reading says so
            setattr(self.port, name, value)


class Repl:
    """The raw REPL on `port` (pyserial's). name: how messages call the port. PortError where the
    board does not play along. streams: whether it can `start` code and `feed` it."""

    streams = True

    def __init__(self, port: Any, name: str):
        self.name = name
        # mpremote would open a port of its own; ours is open already, and only one can be.
        port = self._port = Limited(port, TransportError)
        self._transport = SerialTransport.__new__(SerialTransport)
        vars(self._transport).update(
            serial=port,
            device_name=name,
            in_raw_repl=False,
            use_raw_paste=True,
            mounted=False,
            # that is: wait for bytes by reading, not by polling
            is_pty=True,
        )
        self._timeout = port.timeout
        port.timeout = _READ_S
        # A board that is just starting drops what comes before its console is there, the Ctrl-C
        # among it: ask again.
        for last in (False,) * (_ENTER_TRIES - 1) + (True,):
            try:
                port.allow(_ENTER_S)
                self._transport.enter_raw_repl(soft_reset=False, timeout_overall=_ENTER_S)
                break
            except (TransportError, OSError) as e:
                if last or isinstance(e, OSError):
                    port.timeout = self._timeout
                    raise PortError(f"{name}: no raw REPL: {e}") from None

    def run(self, code: str, timeout: float) -> bytes:
        """Run code and return what it printed. DeviceError if it raised; PortError if it printed
        nothing for `timeout` s."""
        try:
            self._port.allow(timeout * _CHATTER)
            with self._port.reads_ahead():
                out, error = self._transport.exec_raw(code, timeout)
        except (TransportError, OSError) as e:
            raise PortError(f"{self.name}: the REPL broke off: {e}") from None
        if error:
            raise self._device_error(error.decode(errors="replace"))
        return bytes(out)

    def start(self, code: str) -> None:
        """Start code and return while it runs; the port is the caller's again."""
        try:
            self._port.allow(_START_S)
            self._transport.exec_raw_no_follow(code)
        except (TransportError, OSError) as e:
            raise PortError(f"{self.name}: the REPL broke off: {e}") from None
        self._transport.serial.timeout = self._timeout

    def feed(self, blocks: Iterable[bytes], timeout: float) -> None:
        """Send blocks to started code that answers each with a dot, one unanswered at a time; wait
        for its end. DeviceError if it raised; PortError if no dot came for `timeout` s."""
        transport = self._transport
        transport.serial.timeout = _READ_S
        try:
            for block in blocks:
                self._port.allow(timeout + _READ_S)
                transport.serial.write(block)
                self._dot(timeout)
            self._port.allow(timeout + _READ_S)
            _, error = transport.follow(timeout)
        except (TransportError, OSError) as e:
            raise PortError(f"{self.name}: the REPL broke off: {e}") from None
        if error:
            raise self._device_error(error.decode(errors="replace"))

    def _dot(self, timeout: float) -> None:
        port = self._transport.serial
        deadline = time.monotonic() + timeout
        while not (found := port.read(1)):
            if time.monotonic() > deadline:
                raise PortError(
                    f"{self.name}: the board took no more of a file for {timeout:.0f} s: unplug "
                    f"it, plug it in, try again"
                )
        if found == _EOF:  # the code ended: an exception follows
            error = self._transport.read_until(1, _EOF, timeout=timeout)[:-1]
            raise self._device_error(error.decode(errors="replace") or "it ended early")
        if found != b".":
            raise PortError(
                f"{self.name}: expected a dot for each block sent, found "
                f"{found + port.read(port.in_waiting)!r}"
            )

    def leave(self) -> None:
        """Go back to the friendly REPL; nothing may be running. The port is the caller's again."""
        port = self._transport.serial
        port.timeout = _READ_S
        self._port.allow(_LEAVE_S)
        try:
            self._transport.exit_raw_repl()
            self._transport.read_until(1, b">>> ", timeout=_READ_S)
        except (TransportError, OSError) as e:
            raise PortError(f"{self.name}: the REPL broke off: {e}") from None
        finally:
            port.timeout = self._timeout

    def write_file(
        self, path: str, data: bytes, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Write a file on the board. progress: bytes of it, of all."""
        self._files("fs_writefile", path, data, progress_callback=progress)

    def read_file(self, path: str) -> bytes:
        """Return a file of the board."""
        return bytes(self._files("fs_readfile", path))

    def make_folder(self, path: str) -> None:
        """Make a folder on the board unless it is there."""
        if not self._files("fs_exists", path):
            self._files("fs_mkdir", path)

    def _files(self, verb: str, *args: Any, **more: Any) -> Any:
        try:
            self._port.allow(_FILE_S)
            with self._port.reads_ahead():
                return getattr(self._transport, verb)(*args, **more)
        except (TransportError, OSError) as e:
            raise PortError(f"{self.name}: {verb[3:]} {args[0]}: {e}") from None

    def _device_error(self, trace: str) -> QuipuError:
        """Return the board's exception: as the same class if it is one of ours, else as a
        DeviceError."""
        last = trace.strip().splitlines()[-1]
        match = _DEVICE_ERROR.match(last)
        name, text = (match[1], match[2] or "") if match else ("", last)
        ours = getattr(errors, name, None)
        if isinstance(ours, type) and issubclass(ours, QuipuError) and name != "Mismatch":
            return ours(text)
        return DeviceError(f"{self.name}: on the board: {last}", name, text)
