"""An archive held to the live log that it is of: where the two part, and what the board has beyond
the archive's end. Changes neither."""

from typing import Any, Protocol

from quipu import limits
from quipu.archive.chain import Chain, whole_frames
from quipu.archive.files import Archive
from quipu.archive.verdict import GAP, Verdict
from shared_kernel.errors import FormatError, LinkError, Mismatch
from shared_kernel.frames import NO_HEAD
from shared_kernel.replay import Replay

_TURNS = 4  # how often a log may come round its flash while it is read


class Live(Protocol):
    """What is asked of a board (board.board.Board is one)."""

    def info(self) -> dict[str, Any]:
        """Return the board's facts: among them seq, head and root, taken together."""

    def frames(self, seq: int, head: bytes) -> bytes:
        """Return some whole frames from `seq` on, b"" at the log's end; FormatError if the chain
        head before it is not `head`."""


def compare(verdict: Verdict, archive: Archive, replay: Replay, board: Live) -> None:
    """Hold a live board to the archive's end, then replay what it has beyond that, and compare its
    root."""
    info = board.info()
    if not info["configured"] or "seq" not in info:
        raise Mismatch(
            replay.seq, "live board", f"log {archive.log.hex()}", info["damage"] or "a blank region"
        )
    live = verdict.live = {
        "board": info["board"],
        "log": info["log"],
        "seq": info["seq"],
        "head": info["head"],
        "root": info["root"],
        "damage": info["damage"],
        "ahead": max(0, info["seq"] - replay.seq),
    }
    if info["log"] != archive.log.hex():
        raise Mismatch(replay.seq, "log name of the live board", archive.log.hex(), info["log"])
    # the board has recycled what would join the two: nothing contradicts either
    if info["first_seq"] > replay.seq + 1:
        verdict.verdict = GAP
        verdict.gaps.append([replay.seq + 1, info["first_seq"] - 1])
        return
    part = parting(archive, board, info, replay.seq, replay.head)
    if part is not None:
        found = f"its end at seq {info['seq']}" if part > info["seq"] else "another frame"
        raise Mismatch(part, "log of the live board", "the archive's frame", found)
    got, most = 0, _TURNS * getattr(board, "region", limits.REGION)
    while replay.seq < info["seq"]:
        if got > most:
            raise LinkError(
                f"the board gave {got} bytes of frames after the archive's end, more than its flash "
                f"can hold: its log has no end"
            )
        data = board.frames(replay.seq + 1, replay.head)
        if not data:
            raise LinkError(
                f"the board says that its log ends at seq {info['seq']}, but gives nothing after "
                f"seq {replay.seq}"
            )
        got += len(data)
        for frame in whole_frames(data):
            if replay.seq < info["seq"]:
                replay.step(frame)
    for what, ours, its in (
        ("chain head", replay.head, live["head"]),
        ("state root", replay.kernel.root(), live["root"]),
    ):
        if ours.hex() != its:
            raise Mismatch(replay.seq, f"{what} of the live board", ours.hex(), its)


def parting(
    archive: Archive, board: Live, info: dict[str, Any], seq: int, head: bytes
) -> int | None:
    """Return the first seq whose frame in the archive the board's log lacks; None if the log goes
    on from the archive's end.

    info: the board's; seq, head: at the archive's end. The board must hold the frames from seq + 1
        on.
    """
    if seq <= info["seq"]:
        if seq == info["seq"]:
            if head.hex() == info["head"]:
                return None
        elif _agrees(board, info, seq, head):
            return None
    # Heads after each frame, so that halving finds the first that differs: once apart, chains never
    # meet again.
    starts, heads = [], bytearray()
    chain = Chain(None, -1, NO_HEAD)
    for segment in archive.segments:
        chain = Chain(
            None if segment.head == NO_HEAD else archive.log, segment.first - 1, segment.head
        )
        starts = [chain.seq]
        heads = bytearray(chain.head[:8])
        for _, frame in archive.split(segment):
            if chain.seq == seq:
                break
            chain.step(frame)
            heads += chain.head[:8]
    last: int = min(seq, info["seq"])
    low, high = starts[0], last + 1  # they agree at low, and part below or at high
    low = max(low, info["first_seq"] - 1)
    while high - low > 1:
        middle = (low + high) // 2
        at = 8 * (middle - starts[0])
        if _agrees(board, info, middle, bytes(heads[at : at + 8])):
            low = middle
        else:
            high = middle
    return high


def _agrees(board: Live, info: dict[str, Any], seq: int, head: bytes) -> bool:
    """Return whether the board's chain head after frame `seq` is `head`."""
    # A board compares heads only where its reading begins anew. So it is first sent to its log's
    # end.
    stated: str = info["head"]
    if seq == info["seq"]:
        return head[:8].hex() == stated[:16]
    try:
        board.frames(info["seq"] + 1, bytes.fromhex(info["head"]))
    except FormatError as e:
        raise Mismatch(
            info["seq"],
            "chain head that the board states",
            "that of its log",
            f"{info['head']} ({e})",
        ) from None
    try:
        board.frames(seq + 1, head)
    except FormatError:
        return False
    return True
