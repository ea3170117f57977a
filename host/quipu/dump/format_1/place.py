"""Format 1, read only: where a region lies in a dump, by its erase records."""

from collections import Counter
from math import gcd

from quipu.dump.format_1.reader import LogReader, frame_of
from quipu.dump.format_1.recovery import Recovery
from quipu.dump.format_1.region import Region
from quipu.dump.image import LARGEST, PAGE, SECTORS, UNITS, FlashImage
from shared_kernel import primitives
from shared_kernel.errors import FormatError, QuipuError
from shared_kernel.frames import NO_HEAD, seed

# an erase record begins with it, and then has its region's number of sectors as u16 at 8
_MAGIC = b"QUP1"
_SECTORS_AT = 8


def records(dump: memoryview, step: int) -> list[tuple[int, int, int]]:
    """Return (offset, sectors of the region, sectors of a slot) of each valid erase record at a
    multiple of step."""
    found, data, at = [], bytes(dump), -1
    while (at := data.find(_MAGIC, at + 1)) >= 0:
        if at % step == 0 and at + step <= len(data):
            sectors = data[at + _SECTORS_AT] | data[at + _SECTORS_AT + 1] << 8
            region = Region(FlashImage(dump[at : at + step], step, step, 1, 0, sectors))
            if sectors and region.erase_count(0):
                found.append((at, sectors, region.slot_sectors))
    return found


def place(dump: memoryview, sector: int | None, whole: bool) -> tuple[int, int, int]:
    """Return (offset, sector size, number of sectors) of the region in a dump. whole: it is all of
    the dump."""
    found = records(dump, sector or SECTORS[0])
    if not found:
        what = f"at a multiple of {sector or SECTORS[0]:,} bytes"
        raise FormatError(
            f"no erase record of a Quipu log stands {what} in these {len(dump):,} bytes: they are "
            f"no log region, or "
            "one of a newer format, or begin elsewhere (--start)"
        )
    (sectors, slot), _ = Counter(each[1:] for each in found).most_common(1)[0]
    ours = [at for at, *rest in found if rest == [sectors, slot]]
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
    exact = [
        each
        for each in places
        if sectors * each[1] == len(dump) and (sector or apart in (0, each[1]))
    ]
    if not exact:
        exact = [
            (at, size) for at, size in places if _fits(dump[at : at + sectors * size], size, slot)
        ]
    if not exact and (not places or sectors * apart > len(dump)):
        raise FormatError(
            f"the image has the wrong size: {len(ours)} erase records, the first at {ours[0]:,}, "
            f"are of a region of "
            f"{sectors} sectors, which do not fit {len(dump):,} bytes in sectors of "
            f"{sector or apart or SECTORS[0]:,}"
        )
    inside = (
        [
            at
            for at, *rest in records(dump, min(sector, SECTORS[0]))
            if rest == [sectors, slot] and (at - ours[0]) % sector
        ]
        if sector
        else []
    )
    if inside:  # each begins a sector that would not be read
        raise FormatError(
            f"the sectors have not {sector:,} bytes: {len(inside)} erase records stand inside "
            f"such sectors, the first "
            f"at {inside[0]:,}: leave --sector out, or name the board that the image is of"
        )
    if len(exact) != 1:
        raise FormatError(
            f"where a region of {sectors} sectors lies in these {len(dump):,} bytes cannot be "
            f"told by its {len(ours)} "
            f"erase records (the first at {ours[0]:,}): give --board, or --start, --size and "
            f"--sector"
        )
    return exact[0][0], exact[0][1], sectors


def _fits(data: memoryview, sector: int, slot: int) -> bool:
    """Return whether a region may lie here: the ring begins behind the slots, and a snapshot is
    valid or the log undamaged."""
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


def frames_in(flash: FlashImage) -> int:
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
        reader = LogReader(
            region, [sector], seed(record.name) if record else 0, bytearray(LARGEST), 0
        )
        if record:
            reader.enter(sector)
            count += 1
            while reader.next():
                count += 1
        elif n := reader.whole(
            at := sector * region.sector + region.frames_at,
            at + region.sector - region.frames_at,
            0,
        ):
            count += 1  # a genesis, which bears no name, and what follows it
            crc_seed = seed(primitives.hash(NO_HEAD + frame_of(reader, n)))
            while n := reader.whole(
                at := at + region.pad(n), (sector + 1) * region.sector, crc_seed
            ):
                count += 1
    return count
