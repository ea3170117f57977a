"""Other capacities for a board's memory: its log is archived and proved, replayed under the new
configuration, and goes on as a new log.

Every command is replayed with its own seq, so every id stays what it was. The old log is erased
only when the archive holds all of it, on the disk and verified. Broken off, the board has the old
log, or nothing while the archive has everything, or the new log; the same call again completes it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quipu.archive.files import Archive
from quipu.archive.frame import taken_apart
from quipu.archive.origin import Archives, Origin, under
from quipu.archive.passes import replay_to
from quipu.board.board import Board
from quipu.board.restore import (
    Progress,
    Restored,
    continues,
    erase,
    need_fit,
    prove,
    put,
    settle_snapshot,
)
from quipu.board.sync import pull
from quipu.errors import ArchiveError, OtherLog
from shared_kernel.config import CONFIG_NAMES, check_config
from shared_kernel.errors import Damage, Invalid
from shared_kernel.genesis import Genesis


def migrate(
    board: Board,
    archive: str | os.PathLike[str],
    changes: Mapping[str, int],
    policy: int | None = None,
    progress: Progress | None = None,
    origins: Archives = (),
) -> Restored:
    """Give a board other capacities. changes: {name of a capacity: its new number}; policy: None as
    before.

    archive: where the old log is kept: a new folder, or its archive. Refused kinds, naming seq and
        number, if what was recorded does
    not fit; Invalid if nothing changes or the board has too little flash or memory: the log is then
    as it was, but for the frames of a sync. Mismatch if archive or board do not agree with the
    replay; OtherLog if the board holds another log."""
    info = board.info()
    if info["damage"]:
        raise Damage(f"the board's log is damaged: {info['damage']}. Nothing was changed")
    path = Path(os.fspath(archive))
    kept = Archive(path) if (path / "archive.json").exists() else None
    found = continues(board, info)
    if kept and found and found.log == kept.log:  # it was done, perhaps all but the answer
        return _again(board, kept, info, found, changes, policy, progress, origins)
    if info["configured"] and (kept is None or info["log"] == kept.log.hex()):
        kept = _archived(board, path, info, changes, origins)
    elif kept is None:
        raise ArchiveError(
            f"the board {info['board']} has no log, and {path} is no archive: nothing is there to "
            f"go on from"
        )
    elif info["board"] != kept.identity or info.get("state_seq") or info.get("first_seq"):
        raise OtherLog(
            f"{path} is the archive of {kept.identity}, log {kept.log.hex()[:16]}...; the board "
            f"is {info['board']}"
            + (f", log {info['log'][:16]}..." if info["configured"] else ", without a log")
            + ": what another board recorded comes here by quipu restore"
        )
    prove(kept, origins)
    state = _state(kept, changes, policy, origins)
    return put(board, kept, *state, progress)


def _archived(
    board: Board, path: Path, info: dict[str, Any], changes: Mapping[str, int], origins: Archives
) -> Archive:
    """Archive and prove the board's log, find that all of it fits the new capacities and the board
    has room, and only then erase it."""
    config = _changed(tuple(info["config"][each] for each in CONFIG_NAMES), changes)
    need_fit(info, config)
    _keep(board, path, config, origins)  # first look whether it can be done at all
    settle_snapshot(board)
    kept, head = _keep(board, path, config, origins)
    info = board.info()
    if info["head"] != head:
        raise Invalid(
            f"the board went on to seq {info['seq']} while its log was archived: stop its "
            f"application first"
        )
    erase(board, info)
    return kept


def _keep(
    board: Board, path: Path, config: tuple[int, ...], origins: Archives
) -> tuple[Archive, str]:
    """Archive what is new on the board, prove all of it and find that it fits; return the archive
    and its chain head."""
    head = pull(board, path).head
    kept = Archive(path)
    prove(kept, origins, board)
    under(kept, config, 0xFFFFFFFF, origins)
    return kept, head


def _genesis(archive: Archive) -> Genesis:
    return Genesis(taken_apart(next(archive.frames())).payload)


def _changed(config: tuple[int, ...], changes: Mapping[str, int]) -> tuple[int, ...]:
    """Return a configuration with changes; Invalid if that changes nothing, or the dimension."""
    new = check_config(
        changes.get(name, number) for name, number in zip(CONFIG_NAMES, config, strict=True)
    )
    if new == config:
        raise Invalid(
            "these are the board's capacities already: "
            + ", ".join(f"{n} {v}" for n, v in zip(CONFIG_NAMES, config))
        )
    if new[0] != config[0]:
        raise Invalid(
            f"the dimension stays {config[0]}: the vectors that were recorded have it, not {new[0]}"
        )
    return tuple(new)


def _state(
    kept: Archive, changes: Mapping[str, int], policy: int | None, origins: Archives
) -> tuple[Origin, Any, int]:
    """Return what the new log goes on from, the state that it begins with, and its policy."""
    replay = replay_to(kept)
    genesis = _genesis(kept)
    kernel = under(kept, _changed(genesis.config, changes), replay.seq, origins)
    origin = Origin(kept.log, replay.seq, replay.head, replay.kernel.root(), kernel.root())
    return origin, kernel, genesis.policy if policy is None else policy


def _again(
    board: Board,
    kept: Archive,
    info: dict[str, Any],
    found: Origin,
    changes: Mapping[str, int],
    policy: int | None,
    progress: Progress | None,
    origins: Archives,
) -> Restored:
    """The board's log goes on from the archive's: say so, if it has the capacities that are
    wanted."""
    wanted = _changed(_genesis(kept).config, changes)
    here = tuple(info["config"][each] for each in CONFIG_NAMES)
    if here != wanted:
        raise Invalid(
            f"the board was migrated from {kept.path} to other capacities: "
            + ", ".join(f"{n} {v}" for n, v in zip(CONFIG_NAMES, here))
            + ". Migrate it from an archive of its log as it is now"
        )
    prove(kept, origins)
    origin, kernel, old_policy = _state(kept, changes, policy, origins)
    return put(board, kept, origin, kernel, old_policy, progress)
