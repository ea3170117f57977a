"""What each sector of a flash region holds: its state, erase count, epoch and range of seqs. Reads only.

The states: of a snapshot slot `snapshot` (whole and valid), `unfinished` (begun, cut off or rotten), `empty`; of the log
`oldest`, `log`, `in use` (the newest); `free` (erased, ready), `blank` (never used), `quarantined`, `damaged` (frames are
missing, or the header is lost), `foreign` (bytes that are no part of this log).
"""

from typing import Any

from quipu.dump.recover import Found
from shared_kernel.errors import Damage, FormatError, NotFound
from shared_kernel.region import Region

Data = dict[str, Any]
STATES = ("snapshot", "unfinished", "empty", "oldest", "log", "in use", "free", "blank", "quarantined", "damaged", "foreign")


def survey(flash: Any) -> Data:
    """Return what a region holds as plain data: its geometry, its log, and a row for each sector.

    A row: sector; address (in the dump); state; erases (None without an erase record); slot ("a", "b") and part (from 1) of a
    snapshot's sector; epoch, first, last (seq) of a log's; used: bytes up to the last that does not read 0xFF; note: what else
    there is to say, or None.
    """
    region = Region(flash)
    rows: list[Data] = []
    for sector in range(region.sectors):
        start = sector * region.sector
        row: Data = {"sector": sector, "address": getattr(flash, "start", 0) + start, "state": "", "erases": None, "slot": None,
                     "part": None, "epoch": None, "first": None, "last": None, "note": None,
                     "used": region.used_end(start, start + region.sector) - start}
        try:
            row["erases"] = region.erase_count(sector) or None
        except FormatError as e:
            row["note"] = str(e)
        rows.append(row)
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
    for row in rows:
        if row["sector"] < region.ring():
            _slot(found, region, row)
        elif not row["state"]:
            _rest(found, region, row)
    erases = [row["erases"] for row in rows if row["erases"]]
    log: Data | None = None
    if found:
        recovery, last = found.recovery, found.runs[-1]
        log = {"name": found.name.hex(), "board": found.identity, "first": found.runs[0].first, "seq": last.last,
               "epoch": recovery.epoch, "acknowledged": recovery.acked, "policy": recovery.policy, "missing": found.missing(),
               "snapshots": sorted(found.snapshots)}
    return {"geometry": {"start": getattr(flash, "start", 0), "size": region.sectors * region.sector, "sector": region.sector,
                         "unit": region.unit, "sectors": region.sectors, "slot_sectors": region.slot_sectors},
            "log": log, "damage": problem, "erases": {"least": min(erases), "most": max(erases)} if erases else None,
            "states": {state: n for state in STATES if (n := sum(row["state"] == state for row in rows))}, "sectors": rows}


def _log(found: Found, rows: list[Data]) -> None:
    """Fill in the rows of the log's sectors."""
    last = found.runs[-1].last
    order = found.order
    for i, sector in enumerate(order):
        row, record = rows[sector], found.region.opened(sector)
        row["epoch"], row["first"] = record.epoch, record.first
        row["last"] = found.region.opened(order[i + 1]).first - 1 if i + 1 < len(order) else last
        lost = [(a, b) for a, b in found.missing() if a <= row["last"] and b >= record.first]
        row["state"] = "in use" if i == len(order) - 1 else "oldest" if i == 0 else "log"
        if sector in found.mended:
            row["state"], row["epoch"], row["note"] = "damaged", None, "its header is lost; what it said follows from its frames"
        between = _between(found, sector, order[i + 1]) if lost and i + 1 < len(order) else []
        for each in between:
            rows[each]["state"], rows[each]["note"] = "damaged", f"it held some of seq {lost[0][0]} to {lost[-1][1]}"
        if between and lost[0][0] > record.first and sector not in found.unproved:  # it goes up to where those began
            row["last"] = lost[0][0] - 1
        elif lost:
            row["state"] = "damaged"
            row["note"] = "missing: " + ", ".join(f"seq {max(a, record.first)} to {min(b, row['last'])}" for a, b in lost)
        if sector in found.unproved:
            n = len(found.unproved[sector])
            row["note"] = (row["note"] + "; " if row["note"] else "") + f"{n} whole frames to which no chain head leads"


def _between(found: Found, sector: int, following: int) -> list[int]:
    """Return the sectors of the ring that lie between two of the log, and so were once taken into use between them."""
    region = found.region
    out = []
    while (sector := sector + 1 if sector + 1 < region.sectors else region.ring()) != following:
        out.append(sector)
    return out


def _slot(found: Found | None, region: Any, row: Data) -> None:
    """Fill in the row of a snapshot slot's sector."""
    slot, part = divmod(row["sector"], region.slot_sectors)
    row["slot"], row["part"] = "ab"[slot], part + 1
    header = found.recovery.slots[slot] if found else None
    if header and found and slot not in found.bad_slots:
        row["state"], row["last"] = "snapshot", header.seq
    elif found and row["sector"] in found.recovery.bad:
        row["state"] = "quarantined"
    elif row["used"] > (region.open_at if row["erases"] else 0):
        row["state"] = "unfinished"
        row["note"] = found.bad_slots.get(slot) if found else None
    else:
        row["state"] = "empty"


def _rest(found: Found | None, region: Any, row: Data) -> None:
    """Fill in the row of a sector of the ring that is not the log's."""
    sector = row["sector"]
    record = region.opened(sector)
    if found and sector in found.recovery.bad:
        row["state"] = "quarantined"
    elif found and sector in found.unproved:
        row["state"], row["note"] = "damaged", f"no header; seq {found.unproved[sector][0]} and others stand in it"
    elif not row["used"]:
        row["state"] = "blank"
    elif row["erases"] and row["used"] <= region.open_at:
        row["state"] = "free"
    elif record and found and record.name == found.name:
        row["state"], row["note"] = "free", "taken into use, but no frame followed"
    else:
        row["state"] = "foreign"
        if record:
            row["note"] = f"of log {record.name.hex()[:16]}..., from seq {record.first}"
