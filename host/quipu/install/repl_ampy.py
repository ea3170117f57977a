"""The one adapter around adafruit-ampy: a board's raw REPL for boards on which mpremote's does not
work. Nothing else imports ampy, and this module is imported only when it is asked for: ampy is an
extra.

ampy resets the board softly whenever it enters the raw REPL, and its own way to write a file enters
anew for each: here it enters once, and all that follows are programs in that one session. It sends
nothing while a program runs, so files go within programs."""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ampy import pyboard

from quipu.board.repl import Limited, Repl
from quipu.errors import PortError
from quipu.install import programs

_READ_S = 2.0  # ampy asks for the first byte of an answer and waits for it so long
_ENTER_TRIES = 3
# for one try: ampy sleeps for a second of it, and the board runs its boot.py; after ten it would
# print what it heard
_ENTER_S = 8.0
_LEAVE_S = 5.0
_CHATTER = 10  # as repl.py
_FILE_S = 10.0  # a board may be that slow to take a block
_BLOCK = 2048  # bytes of a file in one program, which has a third more characters


class AmpyRepl(Repl):
    """As Repl, over ampy. It cannot `start` code and `feed` it."""

    streams = False

    def __init__(self, port: Any, name: str):
        self.name = name
        port = self._port = Limited(port, pyboard.PyboardError)
        # ampy would open a port of its own, without limits and without locking out others; ours is
        # open already.
        self._board = pyboard.Pyboard.__new__(pyboard.Pyboard)
        self._board.serial = port
        pyboard._rawdelay = 0  # what its constructor would have set
        self._timeout = port.timeout
        port.timeout = _READ_S
        # A board that is just starting drops what comes before its console is there, the Ctrl-C
        # among it: ask again.
        for last in (False,) * (_ENTER_TRIES - 1) + (True,):
            try:
                with self._errors("no raw REPL"):
                    port.allow(_ENTER_S)
                    self._board.enter_raw_repl()
                break
            except PortError as e:
                if last or isinstance(e.__context__, OSError):
                    port.timeout = self._timeout
                    raise

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turn what ampy raises into a PortError: its own error is none that `except Exception`
        catches."""
        try:
            yield
        except (pyboard.PyboardError, OSError) as e:
            raise PortError(f"{self.name}: {what}: {e}") from None

    def run(self, code: str, timeout: float) -> bytes:
        """Run code and return what it printed. DeviceError if it raised; PortError if it printed
        nothing for `timeout` s."""
        with self._errors("the REPL broke off"):
            self._port.allow(timeout * _CHATTER)
            out, error = self._board.exec_raw(code, timeout)
        if error:
            raise self._device_error(error.decode(errors="replace"))
        return bytes(out)

    def start(self, code: str) -> None:
        """Refused with a PortError."""
        raise PortError(f"{self.name}: ampy sends nothing to running code: use mpremote for this")

    def leave(self) -> None:
        """Go back to the friendly REPL; nothing may be running. The port is the caller's again."""
        port = self._port
        port.timeout = _READ_S
        try:
            with self._errors("the REPL broke off"):
                port.allow(_LEAVE_S)
                self._board.exit_raw_repl()
                self._board.read_until(1, b">>> ", timeout=_LEAVE_S)
        finally:
            port.timeout = self._timeout

    def write_file(
        self, path: str, data: bytes, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Write a file on the board. progress: bytes of it, of all."""
        # Each program costs a round and a pause of ampy's: the first block opens the file and the
        # last closes it.
        before = f"from binascii import a2b_base64\nf = open({path!r}, 'wb')\n"
        for i in range(0, len(data) or 1, _BLOCK):
            block = data[i : i + _BLOCK]
            after = "f.close()\n" if i + _BLOCK >= len(data) else ""
            self.run(
                f"{before}_ = f.write(a2b_base64({b2a_base64(block, newline=False)!r}))\n{after}",
                _FILE_S,
            )
            before = ""
            if progress:
                progress(i + len(block), len(data))

    def read_file(self, path: str) -> bytes:
        """Return a file of the board."""
        said = self.run(programs.program("read_file", path), _FILE_S)
        return b"".join(map(a2b_base64, said.splitlines()))

    def make_folder(self, path: str) -> None:
        """Make a folder on the board unless it is there."""
        self.run(programs.program("make_folder", path), _FILE_S)
