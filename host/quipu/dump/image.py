"""A flash region as bytes out of a file: a flash that can only be read, and the search for where in a dump it lies.

Whatever reads an image is the same code that reads a flash (shared_kernel/region.py); since an image has neither `program`
nor `erase`, none of it can change anything.
"""

from collections import Counter
from math import gcd
from typing import Any, NamedTuple

from shared_kernel.errors import FormatError, Invalid, QuipuError
from shared_kernel.frames import seed
from shared_kernel.reader import LogReader
from shared_kernel.recovery import Recovery
from shared_kernel.region import Region

SECTORS = tuple(1 << n for n in range(8, 19))  # bytes: the erase units of the parts in docs/drivers.md and round about
UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PAGE = 256  # bytes; reading does not depend on it
LARGEST = 16 + 65535  # bytes of any frame
_MAGIC = b"QUP1"  # an erase record begins with it, and then has its region's number of sectors as u16 at 8
_SECTORS_AT = 8


class Geometry(NamedTuple):
    """Where a region lies in a dump, and its geometry; bytes. None: to be found."""

    start: int | None = None
    size: int | None = None
    sector: int | None = None
    page: int | None = None
    unit: int | None = None


class FlashImage:
    """A flash region of `sectors` sectors, read from `data` (its bytes); start: where it began in the dump. Read-only."""

    def __init__(self, data: Any, sector: int, page: int, unit: int, start: int = 0, sectors: int | None = None):
        self.data = memoryview(data)
        self.sector, self.page, self.unit, self.start = sector, page, unit, start
        self.sectors = len(self.data) // sector if sectors is None else sectors

    def read(self, address: int, buffer: Any) -> None:
        """Fill buffer with the bytes from address on. FormatError past the region's end: what reads there believed its bytes."""
        if address + len(buffer) > len(self.data):
            raise FormatError(f"{len(buffer)} bytes at 0x{address:x} are not all in this region of {len(self.data):,} bytes")
        buffer[:] = self.data[address : address + len(buffer)]


def locate(dump: bytes, given: Geometry = Geometry()) -> FlashImage:  # noqa: B008 - a tuple
    """Return the flash region in a dump. What `given` leaves open is found by the erase records at the sectors' beginnings and
    by the frames. FormatError says what is wrong with the image, or what has to be told; Invalid, of a geometry that cannot be.
    """
    start = given.start or 0
    end = len(dump) if given.size is None else start + given.size
    if end > len(dump) or start >= end:
        raise FormatError(f"the image has {len(dump):,} bytes: a region of {end - start:,} at {start:,} is not in it")
    view = memoryview(dump)
    part = view[start:end]
    if given.sector is not None:
        if given.sector < 1 or len(part) % given.sector:
            raise FormatError(f"{len(part):,} bytes are no whole number of sectors of {given.sector:,}")
        whole = given.size is not None
    else:
        whole = given.start is not None and given.size is not None
    if not bytes(part).strip(b"\xff"):
        raise FormatError(f"the image is blank: all of its {len(part):,} bytes read 0xFF, nothing was ever recorded there")
    offset, sector, sectors = _place(part, given.sector, whole)
    data = part[offset : offset + sectors * sector]
    page = given.page or min(PAGE, sector)
    flashes = [FlashImage(data, sector, page, unit, start + offset) for unit in UNITS if page % unit == 0]
    said = FlashImage(data, sector, page, given.unit or 1, start + offset)
    Region(said)  # Invalid if these numbers do not divide each other
    best = max(reversed(flashes), key=_frames)
    if not given.unit:
        return best
    there, more = _frames(said), _frames(best)
    if there < more:
        raise FormatError(f"with a program unit of {given.unit}, {there} headers and frames can be read; with {best.unit} there are "
                          f"{more}: leave --unit out")
    return said


def _records(dump: memoryview, step: int) -> list[tuple[int, int, int]]:
    """Return (offset, sectors of the region, sectors of a slot) of each valid erase record at a multiple of step."""
    found, data, at = [], bytes(dump), -1
    while (at := data.find(_MAGIC, at + 1)) >= 0:
        if at % step == 0 and at + step <= len(data):
            sectors = data[at + _SECTORS_AT] | data[at + _SECTORS_AT + 1] << 8
            region = Region(FlashImage(dump[at : at + step], step, step, 1, 0, sectors))
            if sectors and region.erase_count(0):
                found.append((at, sectors, region.slot_sectors))
    return found


def _place(dump: memoryview, sector: int | None, whole: bool) -> tuple[int, int, int]:
    """Return (offset, sector size, number of sectors) of the region in a dump. whole: it is all of the dump."""
    records = _records(dump, sector or SECTORS[0])
    if not records:
        what = f"at a multiple of {sector or SECTORS[0]:,} bytes"
        raise FormatError(f"no erase record of a Quipu log stands {what} in these {len(dump):,} bytes: they are no log region, or "
                          "one of a newer format, or begin elsewhere (--start)")
    (sectors, slot), _ = Counter(each[1:] for each in records).most_common(1)[0]
    ours = [at for at, *rest in records if rest == [sectors, slot]]
    places = []
    for size in [sector] if sector else SECTORS:
        length = sectors * size
        if any(at % size != ours[0] % size for at in ours) or length > len(dump):
            continue
        if whole:
            places += [(0, size)] if length == len(dump) and ours[0] % size == 0 else []
            continue
        low, high = max(0, ours[-1] + size - length), min(ours[0], len(dump) - length)
        first = ours[0] % size
        places += [(at, size) for at in range(first, high + 1, size) if at >= low]
    apart = gcd(*(at - ours[0] for at in ours))  # neighbours are a sector apart
    exact = [each for each in places if sectors * each[1] == len(dump) and (sector or each[1] == apart)]
    if not exact:
        exact = [(at, size) for at, size in places if _fits(dump[at : at + sectors * size], size, slot)]
    if not exact and (not places or sectors * apart > len(dump)):
        raise FormatError(f"the image has the wrong size: {len(ours)} erase records, the first at {ours[0]:,}, are of a region of "
                          f"{sectors} sectors, which do not fit {len(dump):,} bytes in sectors of {sector or apart or SECTORS[0]:,}")
    inside = [at for at, *rest in _records(dump, min(sector, SECTORS[0])) if rest == [sectors, slot] and (at - ours[0]) % sector] \
        if sector else []
    if inside:  # each begins a sector that would not be read
        raise FormatError(f"the sectors have not {sector:,} bytes: {len(inside)} erase records stand inside such sectors, the first "
                          f"at {inside[0]:,}: leave --sector out, or name the board that the image is of")
    if len(exact) != 1:
        raise FormatError(f"where a region of {sectors} sectors lies in these {len(dump):,} bytes cannot be told by its {len(ours)} "
                          f"erase records (the first at {ours[0]:,}): give --board, or --start, --size and --sector")
    return exact[0][0], exact[0][1], sectors


def _fits(data: memoryview, sector: int, slot: int) -> bool:
    """Return whether a region may lie here: the ring begins behind the slots, and a snapshot is valid or the log undamaged."""
    for unit in (each for each in UNITS if sector % each == 0):
        region = Region(FlashImage(data, sector, min(PAGE, sector), unit))
        region.slot_sectors = slot
        try:
            first = next((i for i in range(region.sectors) if region.opened(i)), None)
            if first == region.ring():
                found = Recovery(region)
                if any(found.slots) or found.replay and not found.damage:
                    return True
        except QuipuError:
            continue
    return False


def _frames(flash: FlashImage) -> int:
    """Return how many sector headers and frames stand where flash of this geometry has them."""
    region = Region(flash)
    count = 0
    for sector in range(region.sectors):
        try:
            region.erase_count(sector)
        except FormatError:
            continue
    for sector in range(region.ring(), region.sectors):
        record = region.opened(sector)
        if record:
            reader = LogReader(region, [sector], seed(record.name), bytearray(LARGEST), 0)
            reader.enter(sector)
            count += 1
            while reader.next():
                count += 1
    return count


def of_board(facts: dict[str, Any], dump_size: int) -> Geometry:
    """Return the geometry that a board's facts (quipu.json) give a dump of its flash, or of its log region alone."""
    log, geometry = facts.get("log"), facts.get("geometry")
    if not log or not geometry or "start" not in log:
        raise Invalid(f"{facts['name']} keeps its log in files, not in a flash region: there is no region to read")
    start, size = log["start"], log["size"]
    if dump_size == size:
        start = 0
    elif dump_size < start + size:
        raise FormatError(f"an image of {facts['name']} has {size:,} bytes (its log region) or at least {start + size:,} (its flash "
                          f"up to the region's end); this one has {dump_size:,}")
    return Geometry(start, size, geometry["sector"], geometry["page"], geometry["unit"])
