"""What can be proved from a flash region, whatever its format: stretches of frames, snapshots, and
what nothing leads to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared_kernel import snapshot_file
from shared_kernel.errors import Damage, FormatError, Mismatch
from shared_kernel.frames import BOOT, GENESIS, HEADER
from shared_kernel.genesis import Genesis
from shared_kernel.kernel import u32

if TYPE_CHECKING:
    from shared_kernel.snapshot import Header as SnapshotHeader

UNKNOWN = "unknown"  # the identity of a board whose genesis frame is gone
_HEAD_AT = HEADER + 4  # in a boot frame: the chain head before it
_SKIPPED_AT = HEADER + 36


def boot_head(frame: bytes | memoryview) -> bytes | None:
    """Return the chain head before a boot frame, which it names; None if it is no boot frame."""
    return bytes(frame[_HEAD_AT : _HEAD_AT + 32]) if frame[1] == BOOT else None


class Stretch:
    """Frames that follow each other from a known chain head. first: seq of the first; head: the
    chain head before it; heads: the one after each frame; frames: their bytes; proof: what named
    the head."""

    def __init__(self, first: int, head: bytes, proof: str):
        self.first = first
        self.head = head
        self.proof = proof
        self.heads: list[bytes] = []
        self.frames: list[bytes] = []

    @property
    def last(self) -> int:
        """Seq of the last frame; first - 1 if there is none."""
        return self.first - 1 + len(self.frames)

    def head_at(self, seq: int) -> bytes | None:
        """Return the chain head after frame `seq`, None if this stretch does not know it."""
        if not self.first - 1 <= seq <= self.last:
            return None
        return self.heads[seq - self.first] if seq >= self.first else self.head

    def add(self, frame: bytes, head: bytes) -> None:
        """Append a frame; head: the chain head after it."""
        self.frames.append(frame)
        self.heads.append(head)

    def cut(self, last: int) -> None:
        """Drop the frames after seq `last`."""
        keep = max(0, last + 1 - self.first)
        del self.frames[keep:], self.heads[keep:]


@dataclass
class Left:
    """Whole frames in one sector that bear the log's name, but to which no chain head leads.
    frames: how many; bytes: theirs; first,
    last: the least and the greatest of their seqs."""

    sector: int
    frames: int
    bytes: int
    first: int
    last: int


class Held:
    """What a region holds.

    format: of the flash; name: the log's, 32 bytes; identity: of the board, or UNKNOWN
    stretches: of frames, oldest first; snapshots: {seq: whole snapshot (snapshot_file)} of the
        valid ones
    bad_slots: {slot: what is wrong}; mended: sectors whose lost header was deduced; left: see Left
    cuts: [(seq, bytes)] of torn tails; damage: what the board says is wrong with its log, or None
    end: (seq, chain head, state root) that the board comes to; None if it comes to none
    """

    format = 0

    def __init__(self) -> None:
        self.name = bytes(32)
        self.identity = UNKNOWN
        self.stretches: list[Stretch] = []
        self.snapshots: dict[int, bytes] = {}
        self.bad_slots: dict[int, str] = {}
        self.mended: list[int] = []
        self.left: list[Left] = []
        self.cuts: list[tuple[int, int]] = []
        self.damage: str | None = None
        self.end: tuple[int, bytes, bytes] | None = None

    def missing(self) -> list[list[int]]:
        """Return [first, last] seq of what is missing between the stretches."""
        return [
            [a.last + 1, b.first - 1]
            for a, b in zip(self.stretches, self.stretches[1:], strict=False)
            if b.first > a.last + 1
        ]

    def head_at(self, seq: int) -> bytes | None:
        """Return the chain head after frame `seq`, None if no stretch knows it."""
        return next(
            (head for each in self.stretches if (head := each.head_at(seq)) is not None), None
        )

    def holds(self, seq: int) -> bool:
        """Return whether a stretch has the frame `seq`."""
        return any(each.first <= seq <= each.last for each in self.stretches)

    def note(self, seq: int, frame: bytes) -> None:
        """Take over what a frame says of the board and of a power cut. FormatError for rules that
        this version does not know."""
        if frame[1] == GENESIS:
            self.identity = Genesis(frame[HEADER:-4]).identity
        elif frame[1] == BOOT and u32(frame, _SKIPPED_AT):
            self.cuts.append((seq, u32(frame, _SKIPPED_AT)))

    def keep_snapshot(self, slot: int, header: "SnapshotHeader", arena: bytes | bytearray) -> bool:
        """Keep a slot's snapshot, or say in `bad_slots` what is wrong with it.

        Return whether it is kept and of a seq that no stretch reaches: it proves the state there,
        and a stretch is to begin behind it."""
        data = header.encode() + bytes(arena)
        try:
            snapshot_file.load(data)
        except FormatError as e:
            self.bad_slots[slot] = str(e)
            return False
        known = self.head_at(header.seq)
        if known is not None and known != header.head:
            self.bad_slots[slot] = (
                f"its chain head after seq {header.seq} is {header.head.hex()}, that of the "
                f"log {known.hex()}"
            )
            return False
        # nothing follows from it
        if known is None and self.stretches and header.seq < self.stretches[0].first:
            self.bad_slots[slot] = (
                f"it is of seq {header.seq}, before the oldest frame, {self.stretches[0].first}"
            )
            return False
        self.snapshots[header.seq] = data
        return known is None

    def need_end(self, end: tuple[int, bytes] | None) -> None:
        """Damage if there is no stretch; Mismatch if the last one does not end where the board's
        recovery did.

        end: (seq, chain head); None: it came to no end."""
        if not self.stretches:
            raise Damage(f"nothing in this region can be proved: {self.damage}")
        last = self.stretches[-1]
        ours = last.head_at(last.last)
        if end and (last.last, ours) != end:
            raise Mismatch(
                end[0],
                "chain head by the board's recovery",
                end[1].hex(),
                f"{ours and ours.hex()} after {last.last}",
            )


def left_in(sector: int, found: list[tuple[int, int]]) -> Left:
    """Return the Left of a sector. found: (seq, bytes) of its frames, at least one."""
    seqs = [seq for seq, _ in found]
    return Left(sector, len(found), sum(size for _, size in found), min(seqs), max(seqs))
