"""`quipu flash --erase-log`: the only way to destroy a board's log, after it has been said what
would be lost. Files are left alone.

The region is read from outside first (attach.py) and every frame is looked for, byte by byte, in
the archives that are given."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quipu.archive.files import Archive
from quipu.board.repl import DeviceError, Repl
from quipu.dump.found import read
from quipu.dump.image import FlashImage
from quipu.errors import ArchiveError, Damage, FormatError, PortError, UsageError
from quipu.install import programs
from quipu.results import Result
from shared_kernel.kernel import u32

_SECTOR_S = 60.0  # a sector of 128 KiB takes a second or two
_SEQ_AT = 4  # in a frame: docs/format.md
CALL = "erase_log(flash, parts)\n"  # with what read_log.py has opened


@dataclass
class Loss(Result):
    """What erasing destroys. board: its identity; log: name in hex, None if the region cannot be
    read as one; first, last: seqs; frames: of the log that the board still holds; nowhere: how many
    of them are in no archive that was given, and from, to: the first and last of those; archives:
    that hold some; damage: what is wrong with the log, or None; unproved: whole frames that nothing
    proves, which no archive can hold."""

    board: str | None = None
    log: str | None = None
    first: int | None = None
    last: int | None = None
    frames: int = 0
    nowhere: int = 0
    nowhere_first: int | None = None
    nowhere_last: int | None = None
    archives: list[str] | None = None
    damage: str | None = None
    unproved: int = 0

    def __str__(self) -> str:
        if self.log is None:
            return f"a region that holds something, but no log that can be read: {self.damage}"
        if not self.nowhere:
            lost = "all of them are archived in " + ", ".join(self.archives or [])
        else:
            known = (
                f"; the other {self.frames - self.nowhere:,} are in {', '.join(self.archives)}"
                if self.archives
                else ""
            )
            lost = f"{self.nowhere:,} of them, seq {self.nowhere_first} to {self.nowhere_last}, are in no archive given{known}"
        rest = (
            f"; and {self.unproved:,} frames more, which no archive can hold: nothing proves them"
            if self.unproved
            else ""
        )
        return f"log {self.log[:16]}... of {self.board}, seq {self.first} to {self.last}, {self.frames:,} frames: {lost}{rest}"


def loss(image: FlashImage, archives: Iterable[str | os.PathLike[str]]) -> Loss:
    """Return what erasing this region would destroy. NotFound if nothing was ever recorded in it;
    ArchiveError if an archive is none."""
    try:
        found = read(image)
    except (FormatError, Damage) as error:
        return Loss(damage=str(error))
    frames = {
        seq: frame for each in found.stretches for seq, frame in enumerate(each.frames, each.first)
    }
    left: dict[int, bytes | memoryview] = dict(frames)
    holding = []
    for path in archives:
        archive = Archive(path)
        if archive.log != found.name:
            raise ArchiveError(
                f"{archive.path} is the archive of another log, {archive.log.hex()[:16]}...; the "
                f"board's is "
                f"{found.name.hex()[:16]}...: give the archives of this one"
            )
        before = len(left)
        for frame in archive.frames():
            seq = u32(frame, _SEQ_AT)
            if left.get(seq) == frame:
                del left[seq]
        if len(left) < before:
            holding.append(str(archive.path))
    return Loss(
        found.identity,
        found.name.hex(),
        min(frames, default=None),
        max(frames, default=None),
        len(frames),
        len(left),
        min(left, default=None),
        max(left, default=None),
        holding,
        found.damage,
        sum(each.frames for each in found.left),
    )


def consent(what: Loss, yes: bool, ask: Any) -> None:
    """Return if a person agrees, or has; ask: a function of a question, None where nobody can be
    asked. UsageError if not."""
    if yes:
        return
    if ask is None:
        raise UsageError(
            f"--erase-log destroys {what}. Nothing was erased: say --yes if that is meant"
        )
    if not ask(f"This destroys {what}. Erase it?"):
        raise UsageError("nothing was erased")


def erase(repl: Repl, sectors: int) -> None:
    """Erase the region that attach.py has opened on the board; every byte of it is read back.
    PortError if a sector stays as it was: those before it are erased then, and the same command
    goes on."""
    try:
        said = repl.run(programs.source("erase_log") + CALL, _SECTOR_S).split()
    except DeviceError as error:
        raise PortError(
            f"{repl.name}: the log was not erased whole: {error}: run the same command again"
        ) from None
    if said != [b"%d" % each for each in range(sectors)]:
        raise PortError(
            f"{repl.name}: expected {sectors} sectors erased, the board told of {len(said)}: run "
            f"the same command again"
        )
