"""An archive's state onto a board whose log region is blank, where a new log goes on from it.

The new log's genesis names the archive's log, seq, chain head and root. The board reads the state
back from its flash and proves its root before it takes a command. Broken off at any moment, it is
blank or restored; the same call again completes it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from quipu import limits
from quipu.archive.chain import whole_frames
from quipu.archive.files import Archive
from quipu.archive.origin import Archives, Origin, named
from quipu.archive.passes import replay_to
from quipu.archive.verify import verify
from quipu.board.board import Board
from quipu.errors import LostAnswer
from quipu.results import Result
from shared_kernel import requests
from shared_kernel.arena import CHUNK, RULES
from shared_kernel.config import CONFIG_NAMES
from shared_kernel.errors import Damage, FormatError, Invalid, Mismatch, NotFound
from shared_kernel.frames import NO_HEAD, words_bytes
from shared_kernel.genesis import need_layout
from shared_kernel.kernel import Kernel
from shared_kernel.region import Region

Progress = Callable[[int, int], None]

_SLOW_S = 120.0  # for what erases and programs many sectors
_SPARE_HEAP = 16384  # bytes that the board's own work may take beside its state
_TRIES = 3


@dataclass
class Restored(Result):
    """What a restore did. archive, from_board, origin, seq, head: what the new log goes on from;
    board, log, root: the board, its new log and the state that it proved; bytes: of the state;
        already: it had been done before, and nothing was sent."""

    archive: str
    from_board: str
    origin: str
    seq: int
    head: str
    board: str
    log: str = ""
    root: str = ""
    bytes: int = 0
    already: bool = False


class _Geometry:
    """As much of a board's flash as its capacity depends on."""

    def __init__(self, info: dict[str, Any]):
        self.sector, self.sectors, self.unit = info["sector"], info["sectors"], info["unit"]
        self.page = self.unit


def restore(
    board: Board,
    archive: Archive | str | os.PathLike[str],
    at: int | None = None,
    policy: int = 0,
    progress: Progress | None = None,
    origins: Archives = (),
) -> Restored:
    """Put the state after frame `at` (None: the last one) of an archive onto a board, and begin a
    log there that goes on from it.

    Mismatch or ArchiveDamage if the archive does not prove that state; Invalid, and nothing
    changed, if the board holds a log in which commands stand, or has too little flash or memory.
    policy, of the new log when it is full: 0 stop, 1 overwrite."""
    if not isinstance(archive, Archive):
        archive = Archive(archive)
    prove(archive, origins)
    replay = replay_to(archive, at)
    root = replay.kernel.root()
    return put(
        board,
        archive,
        Origin(archive.log, replay.seq, replay.head, root, root),
        replay.kernel,
        policy,
        progress,
    )


def prove(archive: Archive, origins: Archives = (), board: Board | None = None) -> None:
    """Raise Mismatch unless an archive (and the live board) agrees with its replay."""
    verdict = verify(archive, board, origins=origins)
    if verdict.first_divergence:
        raise Mismatch(
            *[verdict.first_divergence[each] for each in ("seq", "what", "expected", "found")]
        )


def put(
    board: Board,
    archive: Archive,
    origin: Origin,
    kernel: Kernel,
    policy: int,
    progress: Progress | None = None,
) -> Restored:
    """Put a state onto a board as the beginning of a log that goes on from `origin`; see
    restore."""
    info = board.info()
    config = kernel.config()
    done = Restored(
        str(archive.path),
        archive.identity,
        origin.log.hex(),
        origin.seq,
        origin.head.hex(),
        info["board"],
        bytes=kernel.arena.size,
    )
    if continues(board, info) == origin:
        if info["seq"] == origin.seq + 1:
            board.checkpoint()  # a frame after the genesis makes what stands there final
        done.already = True
        return _finished(board, origin, done)
    need_fit(info, config)
    _need_blank(board, info)
    payload = (
        words_bytes(config)
        + bytes((policy,))
        + os.urandom(16)
        + origin.log
        + words_bytes((origin.seq,))
    )
    request = board.link.request
    request(
        requests.BEGIN_RESTORE,
        bytes(payload) + origin.head + origin.root + origin.base,
        timeout=_SLOW_S,
    )
    for chunk in range(kernel.arena.chunks):
        data = bytes(kernel.arena.bytes[chunk * CHUNK : (chunk + 1) * CHUNK]).rstrip(b"\0")
        request(requests.RESTORE_CHUNK, bytes(words_bytes((chunk,))) + data)
        if progress:
            progress((chunk + 1) * CHUNK, kernel.arena.size)
    try:
        request(requests.END_RESTORE, timeout=_SLOW_S, repeat=False)
    except LostAnswer:
        if continues(board, board.info()) != origin:
            raise
    return _finished(board, origin, done)


def _finished(board: Board, origin: Origin, done: Restored) -> Restored:
    """Compare what the board says of itself with what it was given."""
    info = board.info()
    found = continues(board, info)
    if found != origin:
        raise Mismatch(origin.seq + 1, "origin of the board's log", str(origin), str(found))
    if not done.already and info["root"] != origin.base.hex():
        raise Mismatch(origin.seq + 1, "state root of the board", origin.base.hex(), info["root"])
    done.log, done.root = info["log"], info["root"]
    return done


def continues(board: Board, info: dict[str, Any]) -> Origin | None:
    """Return what the board's log goes on from; None if it has no log, or its genesis is not on the
    board or names nothing."""
    if (
        not info["configured"]
        or "seq" not in info
        or info["first_head"] != NO_HEAD.hex()
        or not info["first_seq"]
    ):
        return None
    return named(next(iter(whole_frames(board.frames(info["first_seq"], NO_HEAD)))))


def need_fit(info: dict[str, Any], config: Sequence[int]) -> None:
    """Raise Invalid, with numbers, unless a board has flash and memory for a configuration;
    FormatError if its firmware follows other rules."""
    if info.get("rules", RULES) != RULES:
        raise FormatError(
            f"the board's firmware follows rules {info['rules']}, this version rules {RULES}: a "
            f"state means the same only "
            "under the same rules; put the firmware of this version onto the board"
        )
    need_layout(Region(_Geometry(info)), config)  # type: ignore[arg-type]  # numbers are all that is asked of it
    size = limits.state_size(config)
    old = info.get("config")
    held = limits.state_size([old[each] for each in CONFIG_NAMES]) if old else 0
    room = held + info["heap_free"] - _SPARE_HEAP
    if size > room:
        raise Invalid(
            f"this state takes {size:,} bytes of memory, and the board {info['board']} has "
            f"{max(0, room):,} for it"
        )


def _need_blank(board: Board, info: dict[str, Any]) -> None:
    """Make sure that the board's region is blank: a log in which no command ever stood is erased.
    Invalid if there is another."""
    if info["damage"]:
        raise Damage(
            f"the board's region is not blank: {info['damage']}. Archive what can be proved "
            f"(quipu attach), then erase it "
            "(quipu flash --erase-log)"
        )
    if not info["configured"]:
        return
    if info["state_seq"] or info["first_seq"]:
        raise Invalid(
            f"the board {info['board']} holds log {info['log'][:16]}..., seq {info['first_seq']} "
            f"to {info['seq']}: a state is "
            "restored onto a blank region only. Archive that log (quipu sync), then erase it "
            "(quipu flash --erase-log)"
        )
    settle_snapshot(board)
    erase(board, board.info())


def settle_snapshot(board: Board) -> None:
    """Have the board's newest snapshot stand in slot 0, where the erasing of its log leaves it
    until the end."""
    for _ in range(_TRIES):
        header = board.snapshot_header()
        if header and header[0] == 0:
            return
        board.snapshot()
    raise NotFound(
        "the board's newest snapshot does not come to stand in slot 0: has the other slot a bad "
        "sector? (quipu flash-map)"
    )


def erase(board: Board, info: dict[str, Any]) -> None:
    """Erase the board's log, which must still end as info says: Invalid otherwise."""
    try:
        board.link.request(
            requests.ERASE_LOG,
            bytes.fromhex(info["log"]) + bytes.fromhex(info["head"]),
            timeout=_SLOW_S,
            repeat=False,
        )
    except LostAnswer:
        if board.info().get("log") == info["log"]:
            raise
    board.info()
