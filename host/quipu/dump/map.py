"""What each sector of a flash region holds: its state, erase count and runs, with their blocks,
boots and seqs. Reads only.

The states: of a snapshot slot `snapshot` (whole and valid), `unnamed` (whole, but the log does not
name it yet: the next one is written over it), `unfinished` (begun, cut off or rotten), `empty`; of
the log `oldest`, `log`, `in use` (the newest), `given up` (a run that a power cut ended, and that
the log does not go on from); `free` (erased, ready), `blank` (never used), `torn` (half erased),
`quarantined`, `damaged` (frames are missing, or a header is lost), `foreign` (bytes that are no
part of this log)."""

from typing import Any

from quipu.dump.found import Found, Piece
from quipu.dump.image import FlashImage
from shared_kernel.errors import Damage, FormatError, NotFound
from shared_kernel.region import Region
from shared_kernel.run import Run
from shared_kernel.unfinished import is_erased, marks_of

Data = dict[str, Any]
STATES = (
    "snapshot",
    "unnamed",
    "unfinished",
    "empty",
    "oldest",
    "log",
    "in use",
    "given up",
    "free",
    "blank",
    "torn",
    "quarantined",
    "damaged",
    "foreign",
)


def survey(flash: FlashImage) -> Data:
    """Return what a region holds as plain data: its geometry, its log, and a row for each sector.

    A row: sector; address (in the dump); state; erases (None without a sector record); slot ("a",
    "b") and part (from 1) of a snapshot's sector; runs: [{run (its number), block, boot, first,
    last}] that begin in it, with the seqs that count; first, last: seq of all of them, or the one
    that a snapshot covers; used: bytes up to the last that does not read 0xFF; note: what else
    there is to say, or None."""
    region = Region(flash)  # type: ignore[arg-type]  # an image is only read
    rows: list[Data] = []
    for sector in range(region.sectors):
        start = sector * region.sector
        record = region.record(sector)
        rows.append(
            {
                "sector": sector,
                "address": getattr(flash, "start", 0) + start,
                "state": "",
                "erases": record[0] if record else None,
                "slot": None,
                "part": None,
                "runs": [],
                "first": None,
                "last": None,
                "note": None,
                "used": region.used_end(start, start + region.sector) - start,
            }
        )
    found: Found | None = None
    problem: str | None = None
    try:
        found = Found(flash)
    except NotFound:
        pass
    except (FormatError, Damage) as e:
        problem = str(e)
    if found:
        region = found.region
        problem = found.damage
        _log(found, rows)
    else:
        try:
            region.read_layout()
        except FormatError:
            pass
    for row in rows:
        if row["sector"] < region.ring():
            _slot(found, region, row)
        elif not row["state"]:
            _rest(found, region, row)
    if region.block:
        _marks(region, rows)
    erases = [row["erases"] for row in rows if row["erases"]]
    log: Data | None = None
    if found:
        recovery, last = found.recovery, found.stretches[-1]
        log = {
            "name": found.name.hex(),
            "board": found.identity,
            "first": found.stretches[0].first,
            "seq": last.last,
            "boot": recovery.replay.boot if recovery.replay else None,
            "acknowledged": recovery.acked,
            "policy": recovery.policy,
            "missing": found.missing(),
            "left": sum(each.frames for each in found.left),
            "snapshots": sorted(found.snapshots),
        }
    return {
        "format": 1 if region.is_format_1() and not region.block else 2,
        "geometry": {
            "start": getattr(flash, "start", 0),
            "size": region.sectors * region.sector,
            "sector": region.sector,
            "unit": region.unit,
            "sectors": region.sectors,
            "slot_sectors": region.slot_sectors,
            "block": region.block,
        },
        "log": log,
        "damage": problem,
        "erases": {"least": min(erases), "most": max(erases)} if erases else None,
        "states": {
            state: n for state in STATES if (n := sum(row["state"] == state for row in rows))
        },
        "sectors": rows,
    }


def _log(found: Found, rows: list[Data]) -> None:
    """Fill in the rows of the log's sectors."""
    newest = found.pieces[-1]
    for i, piece in enumerate(found.pieces):
        after = found.pieces[i + 1] if i + 1 < len(found.pieces) else None
        _run(
            rows[piece.sector],
            found,
            piece,
            after.first - 1 if after else max(found.stretches[-1].last, piece.first - 1),
        )
    for sector in {piece.sector for piece in found.pieces}:
        row = rows[sector]
        row["first"], row["last"] = row["runs"][0]["first"], row["runs"][-1]["last"]
        row["state"] = (
            "in use"
            if sector == newest.sector
            else "oldest"
            if sector == found.pieces[0].sector
            else "log"
        )
        lost = [
            (max(a, row["first"]), min(b, row["last"]))
            for a, b in found.missing()
            if a <= row["last"] and b >= row["first"]
        ]
        if sector in found.mended:
            row["state"] = "damaged"
            _say(row, "a run's header is lost; what it said follows from its frames")
        elif sector in found.recovery.bad:
            row["state"] = "quarantined"
            _say(row, "read until what it holds stands elsewhere")
        if lost:
            row["state"] = "damaged"
            _say(row, "missing: " + ", ".join(f"seq {a} to {b}" for a, b in lost))
    for left in found.left:
        row = rows[left.sector]
        row["state"] = "damaged"
        what = f"{left.frames} whole frame{'s' if left.frames > 1 else ''}"
        _say(row, f"{what} to which no chain head leads, seq {left.first} to {left.last}")
    for low, high in found.missing():
        if not any(
            row["state"] == "damaged"
            and row["first"] is not None
            and row["first"] <= high
            and row["last"] >= low
            for row in rows
        ):
            _say(rows[newest.sector], f"missing: seq {low} to {high}")
            rows[newest.sector]["state"] = "damaged"


def _run(row: Data, found: Found, piece: Piece, last: int) -> None:
    run = found.region.run(piece.number)
    row["runs"].append(
        {
            "run": piece.number,
            "block": piece.number % found.region.blocks,
            "boot": run.boot if run else None,
            "first": piece.first,
            "last": last,
        }
    )


def _say(row: Data, what: str) -> None:
    row["note"] = f"{row['note']}; {what}" if row["note"] else what


def _slot(found: Found | None, region: Region, row: Data) -> None:
    """Fill in the row of a snapshot slot's sector."""
    slot, part = divmod(row["sector"], region.slot_sectors)
    row["slot"], row["part"] = "ab"[slot], part + 1
    header = found.recovery.slots[slot] if found else None
    if header and found and slot not in found.bad_slots:
        other = found.recovery.slots[1 - slot]
        newest = other is None or header.seq > other.seq
        row["state"], row["last"] = (
            "unnamed" if newest and found.recovery.proved != slot else "snapshot",
            header.seq,
        )
    elif found and row["sector"] in found.recovery.bad:
        row["state"] = "quarantined"
    elif row["used"] > (region.record_size if row["erases"] else 0):
        row["state"] = "unfinished"
        row["note"] = found.bad_slots.get(slot) if found else None
    else:
        row["state"] = "empty"


def _rest(found: Found | None, region: Region, row: Data) -> None:
    """Fill in the row of a sector of the ring that is not the log's."""
    sector = row["sector"]
    runs = []
    if region.block:
        for block in range(region.blocks):
            run = region.run((sector - region.ring()) * region.blocks + block) or _of(
                region, sector, block
            )
            runs += [run] if run else []
    if found and sector in found.recovery.bad:
        row["state"] = "quarantined"
    elif not row["used"]:
        row["state"] = "blank"
    elif row["erases"] and row["used"] <= region.record_size:
        row["state"] = "free"
    elif runs and found and runs[0].name == found.name:
        row["state"] = "given up"
        row["note"] = "; ".join(
            f"run {run.number} of boot {run.boot}, from seq {run.first}" for run in runs
        )
    elif runs:
        row["state"], row["note"] = (
            "foreign",
            f"of log {runs[0].name.hex()[:16]}..., from seq {runs[0].first}",
        )
    elif found and (row["erases"] is None or sector not in _marked(region)):
        row["state"] = "torn"
    elif region.block and sector in _marked(region):
        row["state"] = "free"
    else:
        row["state"] = "foreign"


def _of(region: Region, sector: int, block: int) -> Run | None:
    """Return the Run that stands at a block, whatever its number; None if none does."""
    record = region.record(sector)
    return (
        region.run(record[1] + block)
        if record
        else next(
            (
                region.run(each)
                for each in region.numbers()[0]
                if region.sector_of(each) == sector and each % region.blocks == block
            ),
            None,
        )
    )


def _marked(region: Region) -> list[int]:
    return [sector for sector, _ in marks_of(region)]


def _marks(region: Region, rows: list[Data]) -> None:
    """Say where a genesis or an erase left its mark."""
    for sector, done in marks_of(region):
        if rows[sector]["state"] in ("free", "torn"):
            _say(
                rows[sector],
                "bears the mark of a genesis" + ("" if done else " that was cut short"),
            )
    if is_erased(region):
        _say(rows[region.slot_sectors], "bears the mark of a log that was erased on purpose")
