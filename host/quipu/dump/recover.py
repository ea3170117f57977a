"""From a flash region to an archive: everything provable that a dump of it holds (found.py). Never
changes the flash."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from quipu.archive.chain import Chain
from quipu.archive.files import Archive, Hold, Note, held
from quipu.archive.verdict import GAP, MATCH, Verdict
from quipu.archive.verify import verify
from quipu.dump.held import Held
from quipu.errors import OtherLog, RolledBack
from shared_kernel.errors import Mismatch
from shared_kernel.frames import NO_HEAD


@dataclass
class Recovered:
    """What `recover` did. frames, log_bytes: appended to the archive; cut: bytes of an earlier,
    broken run or sync that were cut off first; format: of the flash; holds: [{first, last, proof}]
    of what can be proved from the region; missing: [first, last] seq between them; snapshots: seqs
    kept; slots: {slot: why its snapshot was not kept}; mended: sectors whose lost header was
    deduced; left: [{sector, frames, bytes, first, last}] of whole frames that bear the log's name,
    to which no chain head leads; cuts: {seq, bytes} that power cuts voided; damage: None, or what
    the board would say; seq: the archive's last; doubt: why acknowledged frames may be missing from
    the archive, or None."""

    archive: str
    board: str
    log: str
    created: bool = False
    frames: int = 0
    log_bytes: int = 0
    cut: int = 0
    format: int = 2
    holds: list[dict[str, Any]] = field(default_factory=list)
    missing: list[list[int]] = field(default_factory=list)
    snapshots: list[int] = field(default_factory=list)
    slots: dict[str, str] = field(default_factory=dict)
    mended: list[int] = field(default_factory=list)
    left: list[dict[str, int]] = field(default_factory=list)
    cuts: list[dict[str, int]] = field(default_factory=list)
    damage: str | None = None
    seq: int = -1
    doubt: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def recover(
    found: Held, path: str | os.PathLike[str], progress: Callable[[int, int], None] | None = None
) -> tuple[Recovered, Verdict]:
    """Write what a region holds into an archive, which is made if there is none, and verify it.
    Going on after a break, and doing it twice, lead to the same archive.

    OtherLog or RolledBack if the archive is not of this log, ArchiveDamage if it is broken: nothing
    has changed then."""
    path = Path(path)
    with held(path) as hold:
        return _recover(found, hold, progress)


def _recover(
    found: Held, hold: Hold, progress: Callable[[int, int], None] | None
) -> tuple[Recovered, Verdict]:
    path = hold.path
    result = Recovered(str(path), found.identity, found.name.hex(), hold.archive is None)
    result.format = found.format
    result.holds = [
        {"first": each.first, "last": each.last, "proof": each.proof} for each in found.stretches
    ]
    result.missing, result.mended, result.damage = found.missing(), found.mended, found.damage
    result.left = [asdict(each) for each in found.left]
    result.slots = {"ab"[slot]: why for slot, why in found.bad_slots.items()}
    result.cuts = [{"seq": seq, "bytes": size} for seq, size in found.cuts]
    if hold.archive is None:
        first = found.stretches[0]
        archive = hold.create(found.name, found.identity, first.first, first.head)
        _write(found, archive, result, progress, first.first - 1)
    else:
        archive = hold.archive
        if archive.log != found.name:
            raise OtherLog(
                f"{path} is the archive of {archive.identity}, log {archive.log.hex()[:16]}...; "
                f"the image holds log "
                f"{found.name.hex()[:16]}... of {found.identity}: recover it into another folder"
            )
        result.board = archive.identity
        scan = archive.scan()
        _agree(found, archive, scan.chain)
        if scan.excess:
            if scan.problem and not any(each.last > scan.chain.seq for each in found.stretches):
                raise scan.problem
            archive.cut(scan.size)
            result.cut = scan.excess
        _write(found, archive, result, progress, scan.chain.seq)
    verdict = verify(archive)
    if (
        found.end
        and verdict.seq == found.end[0]
        and not verdict.first_divergence
        and verdict.state_root != found.end[2].hex()
    ):
        raise Mismatch(
            verdict.seq,
            "state root by the board's recovery",
            verdict.state_root,
            found.end[2].hex(),
        )
    noted = -1 if verdict.note is None else verdict.note
    if verdict.verdict in (MATCH, GAP) and verdict.seq is not None and verdict.seq > noted:
        archive.write_note(
            Note(
                verdict.seq,
                bytes.fromhex(verdict.chain_head or ""),
                bytes.fromhex(verdict.state_root or ""),
                time.time_ns() // 1_000_000,
            )
        )
        verdict.note = verdict.seq
    result.doubt = _doubt(found, verdict)
    return result, verdict


def _doubt(found: Held, verdict: Verdict) -> str | None:
    """Return why acknowledged frames may be missing from an archive into which all was written that
    can be proved; None if none can."""
    end = -1 if verdict.seq is None else verdict.seq
    left = [
        each
        for each in found.left
        if each.last > end or any(a <= each.last and b >= each.first for a, b in verdict.gaps)
    ]
    if left:
        frames, size = sum(each.frames for each in left), sum(each.bytes for each in left)
        low, high = min(each.first for each in left), max(each.last for each in left)
        return (
            f"{frames:,} whole frame{'' if frames == 1 else 's'} of this log, {size:,} bytes, seq "
            f"{low} to {high}, "
            f"{'stands' if frames == 1 else 'stand'} on the flash where no chain head leads: "
            f"acknowledged frames may be missing"
        )
    if verdict.gaps:
        return "frames are missing between those that can be proved: some of them may have been acknowledged"
    if found.damage and not found.end:
        return f"the log is damaged ({found.damage}): acknowledged frames may be missing"
    return None


def _agree(found: Held, archive: Archive, end: Chain) -> None:
    """Raise RolledBack unless archive and image agree wherever both have frames."""
    for segment in archive.segments:
        chain = Chain(
            None if segment.head == NO_HEAD else archive.log, segment.first - 1, segment.head
        )
        frames = archive.split(segment)
        while True:
            known = found.head_at(chain.seq)
            if known is not None and known != chain.head:
                raise RolledBack(
                    f"{archive.path} and the image agree no longer at seq {chain.seq}: chain head "
                    f"{chain.head.hex()} in "
                    f"the archive, {known.hex()} in the image. One of them was rolled back; "
                    f"nothing was changed. "
                    "Recover into another folder",
                    chain.seq,
                )
            step = next(frames, None)
            if step is None or chain.seq == end.seq:
                break
            chain.step(step[1])


def _write(
    found: Held,
    archive: Archive,
    result: Recovered,
    progress: Callable[[int, int], None] | None,
    seq: int,
) -> None:
    """Append what lies past `seq`, the archive's last; then the snapshots; return when all of it is
    on the disk."""
    total = sum(
        len(frame)
        for each in found.stretches
        for frame in each.frames[max(0, seq + 1 - each.first) :]
    )
    for stretch in found.stretches:
        new = stretch.frames[max(0, seq + 1 - stretch.first) :]
        if stretch.first > seq + 1:
            archive.flush()
            archive.add_segment(stretch.first, stretch.head)
        for frame in new:
            archive.append(frame)
            result.log_bytes += len(frame)
            if progress:
                progress(result.log_bytes, total)
        result.frames += len(new)
        seq = max(seq, stretch.last)
    archive.flush()
    archive.close()
    for each in sorted(found.snapshots):
        if not archive.snapshot_file(each).exists() and _holds(archive, each):
            archive.add_snapshot(each, found.snapshots[each])
            result.snapshots.append(each)
    result.seq = seq


def _holds(archive: Archive, seq: int) -> bool:
    """Whether `seq` is the last frame before a segment or in one: verify has no use for other
    snapshots."""
    return any(
        each.first - 1 <= seq < each.first + sum(1 for _ in archive.split(each))
        for each in archive.segments
    )
