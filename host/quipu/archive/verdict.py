"""A verdict: what a verification found, as a plain record. Finds nothing itself."""

from dataclasses import asdict, dataclass, field
from typing import Any

from quipu.errors import ArchiveDamage
from shared_kernel.errors import Mismatch

MATCH, GAP, MISMATCH = "match", "gap", "mismatch"
EMPTY = "empty"  # nothing is there yet, and nothing says that there was
NO_ARCHIVE = "no archive"  # one of several that were named cannot be opened as one
TOO_LARGE = "too large"  # one of several has a state that is more than this computer gives


@dataclass
class Verdict:
    """What a verification found. Hashes are hexadecimal; of a mismatch, all but first_divergence is
    as of the last frame that agreed.

    verdict: "match", "gap" (frames that archive.json declares missing, all others agree), "empty"
        (no whole frame yet, as after a first sync that broke off) or "mismatch"; of one of several,
        "no archive" and "too large" too, and `problem` says why; first_divergence:
    None, or {seq, what, expected, found}; frames, log_bytes: replayed; checkpoints, snapshots:
    compared; boots: of the board;
    seq, chain_head, state_root: at the archive's end; note: seq of the last complete sync, None if
        there was none; last_sync: its {seq, unix_ms} by the laptop's clock, or None; gaps:
    [first, last] seq missing; cuts: {seq, bytes} that power cuts left on the flash; torn: bytes of
    an unfinished frame at the end; live: None, or the board's {seq, head, root, damage} and how
    many frames it is `ahead` of the archive; origin: None, or of a log that continues another one
    what its genesis names, {log, seq, head, root, base}, and the `archive` that was found to agree
    with all of it, None if it was not given: then nothing before this log's genesis was checked.
    """

    verdict: str = MATCH
    board: str = ""
    log: str = ""
    frames: int = 0
    log_bytes: int = 0
    seq: int | None = None
    chain_head: str | None = None
    state_root: str | None = None
    checkpoints: int = 0
    snapshots: int = 0
    boots: int = 0
    note: int | None = None
    last_sync: dict[str, Any] | None = None
    gaps: list[list[int]] = field(default_factory=list)
    cuts: list[dict[str, int]] = field(default_factory=list)
    torn: int = 0
    live: dict[str, Any] | None = None
    origin: dict[str, Any] | None = None
    first_divergence: dict[str, Any] | None = None
    problem: str | None = None
    allow_gap: bool = False

    @property
    def exit_code(self) -> int:
        """0 for a match (and for a gap that is allowed, or an empty archive then), else 1."""
        return 0 if self.verdict == MATCH or self.verdict in (GAP, EMPTY) and self.allow_gap else 1

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, the exit code included."""
        out = asdict(self)
        del out["allow_gap"]
        return {**out, "exit_code": self.exit_code}


def parted(verdict: Verdict, e: Mismatch | ArchiveDamage) -> None:
    """Make a verdict "mismatch"."""
    verdict.verdict = MISMATCH
    verdict.first_divergence = {
        "seq": e.seq,
        "what": e.what,
        "expected": _plain(e.expected),
        "found": _plain(e.found),
    }


def _plain(value: object) -> object:
    return value if isinstance(value, (int, str)) else str(value)
