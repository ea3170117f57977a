"""A board's changes as they become durable, one after the other, over breaks of the link: no gap,
no repeat, nothing unproved.

The place reached is a seq and the chain head after it. The board is asked for what follows, again
and again; each frame must continue the chain. After a break the same place is asked for again, and
a board whose log no longer leads there is named."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from quipu.archive.chain import Chain, whole_frames
from quipu.board.board import connect
from quipu.errors import OtherLog, PortError, RolledBack, UsageError
from quipu.past import describe
from quipu.past.query import FIELDS, Test
from shared_kernel import frame_names
from shared_kernel.errors import Damage, FormatError, NotFound

if TYPE_CHECKING:
    from quipu.board.board import Board

Data = dict[str, Any]

POLL_S = 0.2  # between two questions to a board that had nothing new
RETRY_S = 1.0  # between two tries to open a port that broke


class Watch:
    """A watch on the board behind a port. Iterate over it: frames as describe.frame tells them,
    each once, and what happened to the link: {"event": "lost", "why"}, {"event": "back", "seq"},
    {"event": "gap", "first", "last"} (frames that the board has recycled unseen).

    first: begin with the frame of this seq (UsageError if the board has recycled it); None: with
        what comes from now on. open:
    connects to the port. Raises PortError if the port cannot be opened at the beginning, OtherLog
    or RolledBack if the board comes back with another log or with an older one, Mismatch if a frame
    does not continue the chain."""

    def __init__(
        self, port: str, first: int | None = None, open: "Callable[[str], Board]" = connect
    ):
        self.port = port
        self._open = open
        self.board: Board | None = open(port)
        try:
            info = self._info(self.board)
            self.log = bytes.fromhex(info["log"])
            self.first = info["seq"] + 1 if first is None else first
            if self.first < info["first_seq"]:
                raise UsageError(
                    f"{port}: frames before seq {info['first_seq']} have left the board; an "
                    f"archive may hold them "
                    "(quipu log)"
                )
            if self.first > info["seq"] + 1:
                raise UsageError(
                    f"{port}: the board's log ends at seq {info['seq']}: there is no frame "
                    f"{self.first} to begin with"
                )
            # A head in the middle of the log is known only by following the chain to it.
            begin = (
                (info["seq"], info["head"])
                if first is None
                else (info["first_seq"] - 1, info["first_head"])
            )
            self.chain = self._chain(*begin)
        except BaseException:
            self.close()
            raise

    def _chain(self, seq: int, head: str) -> Chain:
        return Chain(self.log if seq >= 0 else None, seq, bytes.fromhex(head))

    def _info(self, board: "Board") -> Data:
        info = board.info()
        if not info["configured"]:
            raise NotFound("the board has no log yet: configure it first")
        if "seq" not in info:
            raise Damage(f"the board's log cannot be read from its beginning: {info['damage']}")
        return info

    def close(self) -> None:
        """Close the port."""
        if self.board:
            self.board.close()
            self.board = None

    def __iter__(self) -> Iterator[Data]:
        while True:
            if self.board is None:
                yield from self._again()
            board = self.board
            assert board
            try:
                data = board.frames(self.chain.seq + 1, self.chain.head)
            except PortError as error:
                self.close()
                yield {"event": "lost", "seq": self.chain.seq, "why": str(error)}
                continue
            except (FormatError, NotFound):  # it was restarted behind an unbroken link
                yield from self._place(board)
                continue
            for frame in whole_frames(data):
                self.chain.step(frame)
                if self.chain.seq >= self.first:
                    yield describe.frame(frame)
            if not data:
                time.sleep(POLL_S)

    def _again(self) -> Iterator[Data]:
        """Open the port again, however long that takes."""
        while self.board is None:
            time.sleep(RETRY_S)
            board = None
            try:
                board = self._open(self.port)
                events = list(self._place(board))
            except PortError:
                if board:
                    board.close()
                continue
            except BaseException:
                if board:
                    board.close()
                raise
            self.board = board
            yield {"event": "back", "seq": self.chain.seq}
            yield from events

    def _place(self, board: "Board") -> Iterator[Data]:
        """Hold the board's log to the place reached; yield the gap, if it has recycled what would
        follow, and go on after it."""
        info = self._info(board)
        seen = self.chain.seq
        if info["log"] != self.log.hex():
            raise OtherLog(
                f"{self.port}: the board came back with log {info['log'][:16]}..., not with "
                f"{self.log.hex()[:16]}...: "
                "it was configured anew, or is another one"
            )
        if info["seq"] < seen:
            raise RolledBack(
                f"{self.port}: the board was rolled back: its log ends at seq {info['seq']}, but "
                f"frames to seq {seen} "
                "were seen",
                info["seq"] + 1,
            )
        if info["first_seq"] > seen + 1:
            self.chain = self._chain(info["first_seq"] - 1, info["first_head"])
            yield {"event": "gap", "first": seen + 1, "last": info["first_seq"] - 1}
            return
        if info["seq"] == seen and info["head"] == self.chain.head.hex():
            return
        try:
            board.frames(seen + 1, self.chain.head)
        except FormatError:
            raise RolledBack(
                f"{self.port}: the board was rolled back: its frame of seq {seen}, or one before "
                f"it, is not the one that "
                "was seen",
                seen,
            ) from None


def is_change(frame: Data) -> bool:
    """Return whether a frame, as describe.frame tells it, changed the state."""
    return frame["type"] in _CHANGES


_CHANGES = {name for kind, name in frame_names.NAMES.items() if frame_names.is_command(kind)}


def fits(test: Test, frame: Data) -> bool:
    """Return whether a frame, as describe.frame tells it, passes a filter over
    query.FIELDS["changes"]."""
    row: Data = {
        **dict.fromkeys(FIELDS["changes"]),
        **frame,
        "type_hex": frame["type"].encode().hex(),
    }
    return test(row)
