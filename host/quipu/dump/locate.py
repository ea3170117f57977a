"""Where in a dump of a flash the log's region lies, and its geometry: by the records that its
sectors begin with. Reads only."""

from collections import Counter
from typing import Any, NamedTuple

from quipu.dump.format_1 import place as format_1
from quipu.dump.image import LARGEST, PAGE, SECTORS, UNITS, FlashImage, Geometry
from shared_kernel import primitives
from shared_kernel.errors import FormatError, Invalid, QuipuError
from shared_kernel.frames import NO_HEAD, seed
from shared_kernel.kernel import u32
from shared_kernel.reader import LogReader, frame_of
from shared_kernel.region import Region

_MAGIC = b"QUP2"  # a sector record begins with it: docs/format.md
_RECORD = 20  # bytes
_STEP = SECTORS[0]  # sectors begin at multiples of it


class _Record(NamedTuple):
    """A sector record. at: where in the dump; sectors, slot, blocks: of the region, of a snapshot
    slot, of a sector; base: of the run numbers in it, 0 in a slot."""

    at: int
    sectors: int
    slot: int
    blocks: int
    base: int

    @property
    def of(self) -> tuple[int, int, int]:
        return self.sectors, self.slot, self.blocks

    @property
    def number(self) -> int | None:
        """Of its sector in the region; None if the record does not tell, as all of a slot and one
        of the ring's first sector."""
        turn = self.blocks * (self.sectors - 2 * self.slot)
        place = self.base % turn if turn > 0 else 0
        return 2 * self.slot + place // self.blocks if place else None


def locate(dump: bytes, given: Geometry = Geometry()) -> FlashImage:  # noqa: B008 - a tuple
    """Return the flash region in a dump. What `given` leaves open is found by the records at the
    sectors' beginnings and by the frames. FormatError says what is wrong with the image, or what
    has to be told; Invalid, of a geometry that cannot be."""
    start = given.start or 0
    end = len(dump) if given.size is None else start + given.size
    if end > len(dump) or start >= end:
        raise FormatError(
            f"the image has {len(dump):,} bytes: a region of {end - start:,} at {start:,} is not "
            f"in it"
        )
    part = memoryview(dump)[start:end]
    if given.sector is not None:
        if given.sector < 1 or len(part) % given.sector:
            raise FormatError(
                f"{len(part):,} bytes are no whole number of sectors of {given.sector:,}"
            )
        whole = given.size is not None
    else:
        whole = given.start is not None and given.size is not None
    if not bytes(part).strip(b"\xff"):
        raise FormatError(
            f"the image is blank: all of its {len(part):,} bytes read 0xFF, nothing was ever "
            f"recorded there"
        )
    records = _records(part)
    old = format_1.records(part, given.sector or _STEP)
    if records and old and not whole:
        raise FormatError(
            f"two regions are in this image: {len(records)} sector records of a log of format 2, "
            f"the first at "
            f"{start + records[0].at:,}, and {len(old)} of one of format 1, the first at "
            f"{start + old[0][0]:,}: say which "
            "with --start and --size"
        )
    if old and not records:
        offset, sector, sectors = format_1.place(part, given.sector, whole)
        count = format_1.frames_in
    elif records:
        offset, sector, sectors = _place(part, records, given.sector, whole, start)
        count = _frames
    else:
        raise FormatError(
            f"no sector record of a Quipu log stands in these {len(part):,} bytes: they are no "
            f"log region, or one of a newer "
            "format"
        )
    data = part[offset : offset + sectors * sector]
    page = given.page or min(PAGE, sector)
    flashes = [
        FlashImage(data, sector, page, unit, start + offset) for unit in UNITS if page % unit == 0
    ]
    said = FlashImage(data, sector, page, given.unit or 1, start + offset)
    Region(said)  # type: ignore[arg-type]  # an image is only read; it raises Invalid if these numbers do not divide each other
    best = max(reversed(flashes), key=count)
    if not given.unit:
        return best
    there, more = count(said), count(best)
    if there < more:
        raise FormatError(
            f"with a program unit of {given.unit}, {there} headers and frames can be read; with "
            f"{best.unit} there are "
            f"{more}: leave --unit out"
        )
    return said


def _records(dump: memoryview) -> list[_Record]:
    """Return every valid sector record where a sector may begin."""
    found, data, at = [], bytes(dump), -1
    while (at := data.find(_MAGIC, at + 1)) >= 0:
        if at % _STEP or primitives.crc32(data[at : at + _RECORD - 4], 0) != _u32(
            data, at + _RECORD - 4
        ):
            continue
        each = _Record(
            at,
            data[at + 8] | data[at + 9] << 8,
            data[at + 10] | data[at + 11] << 8,
            data[at + 7] + 1,
            _u32(data, at + 12),
        )
        if 2 * each.slot < each.sectors:
            found.append(each)
    return found


def _u32(data: bytes, at: int) -> int:
    return int(u32(data, at)) if at + 4 <= len(data) else -1


def _place(
    dump: memoryview, found: list[_Record], sector: int | None, whole: bool, start: int
) -> tuple[int, int, int]:
    """Return (offset, sector size, number of sectors) of the region in a dump that begins at
    `start` of the image. whole: it is all of the dump."""
    kinds = Counter(each.of for each in found).most_common()
    if len(kinds) > 1 and not whole:
        said = ", and ".join(
            f"one of {of[0]} sectors with snapshot slots of {of[1]} ({n} records, the first at "
            f"{start + next(each.at for each in found if each.of == of):,})"
            for of, n in kinds
        )
        raise FormatError(
            f"two regions are in this image: {said}: say which with --start and --size"
        )
    sectors = kinds[0][0][0]
    ours = [each for each in found if each.of == kinds[0][0]]
    places = _told(ours, sector) or _fitting(ours, sector, len(dump))
    if whole:
        places = [each for each in places if each[0] == 0 and sectors * each[1] == len(dump)]
        if not places:
            raise FormatError(
                f"a region of {sectors} sectors, by the {len(ours)} records in it, is not these "
                f"{len(dump):,} bytes"
                + (f" in sectors of {sector:,}" if sector else "")
                + ": leave --start, --size and --sector out, or --board"
            )
    if len(places) > 1:
        if len({size for _, size in places}) == 1 and _told(ours, sector):
            raise FormatError(
                "two regions are in this image: of "
                + str(sectors)
                + " sectors each, at "
                + " and at ".join(f"{start + at:,}" for at, _ in places)
                + ": say which with --start and --size"
            )
        places = []
    if not places:
        raise FormatError(
            f"where a region of {sectors} sectors lies in these {len(dump):,} bytes cannot be "
            f"told by its {len(ours)} "
            f"sector records (the first at {start + ours[0].at:,}): give --board, or --start, "
            f"--size and --sector"
        )
    at, size = places[0]
    inside = [each.at for each in ours if (each.at - at) % size]
    if inside:  # each begins a sector that would not be read
        raise FormatError(
            f"the sectors have not {size:,} bytes: {len(inside)} sector records stand inside such "
            f"sectors, the first "
            f"at {start + inside[0]:,}: leave --sector out, or name the board that the image is of"
        )
    if at < 0 or at + sectors * size > len(dump):
        raise FormatError(
            f"the image is cut short: by its {len(ours)} sector records the region has {sectors} "
            f"sectors of {size:,} bytes "
            f"from {start + at:,} on, {sectors * size:,} bytes in all, and the image has "
            f"{len(dump):,} from {start:,} on"
        )
    return at, size, sectors


def _told(ours: list[_Record], given: int | None) -> list[tuple[int, int]]:
    """Return the (offset, sector size) at which a region begins by the records that tell the number
    of their sector: one, or those of several copies; none if fewer than two tell it."""
    sure = [each for each in ours if each.number is not None]
    if len({each.number for each in sure}) < 2:
        return []
    best: dict[int, int] = {}
    for size in SECTORS:
        starts = Counter(each.at - (each.number or 0) * size for each in sure)
        if not best or len(starts) < len(best):
            best, sector = dict(starts), size
    if given and given != sector:
        inside = [each.at for each in ours if (each.at - ours[0].at) % given]
        raise FormatError(
            f"the sectors have {sector:,} bytes by their records, not {given:,}"
            + (f": {len(inside)} of them stand inside such sectors" if inside else "")
            + ": leave --sector out, or name the board that the image is of"
        )
    return [(at, sector) for at in sorted(best)]


def _fitting(ours: list[_Record], given: int | None, size: int) -> list[tuple[int, int]]:
    """Return the (offset, sector size) of a region that is all of a dump of `size` bytes."""
    return [
        (0, each)
        for each in ([given] if given else SECTORS)
        if ours[0].sectors * each == size and not any(record.at % each for record in ours)
    ]


def _frames(flash: FlashImage) -> int:
    """Return how many run headers and frames stand where flash of this geometry has them."""
    try:
        region = Region(flash)  # type: ignore[arg-type]  # an image is only read
        if not region.read_layout():
            return 0
        numbers = region.numbers()[0]
    except QuipuError:
        return 0
    count = 0
    for number in numbers:
        run = region.need_run(number)
        reader = LogReader(region, [number], seed(run.name), bytearray(LARGEST), 0)
        reader.enter(number)
        count += 1
        while reader.next():
            count += 1
    # no header is left: a genesis may be, and what follows it
    for sector in range(region.ring(), 0 if numbers else region.sectors):
        reader = LogReader(region, [], 0, bytearray(LARGEST), 0)
        at = region.frames_at((sector - region.ring()) * region.blocks)
        limit, crc_seed = min(region.block_end(at), (sector + 1) * region.sector), 0
        while n := reader.whole(at, limit, crc_seed):
            crc_seed = crc_seed or seed(primitives.hash(NO_HEAD + frame_of(reader, n)))
            at += region.pad(n)
            count += 1
    return count


def of_board(facts: dict[str, Any], dump_size: int) -> Geometry:
    """Return the geometry that a board's facts (quipu.json) give a dump of its flash, or of its log
    region alone."""
    log, geometry = facts.get("log"), facts.get("geometry")
    if not log or not geometry or "start" not in log:
        raise Invalid(
            f"{facts['name']} keeps its log in files, not in a flash region: there is no region "
            f"to read"
        )
    start, size = log["start"], log["size"]
    if dump_size == size:
        start = 0
    elif dump_size < start + size:
        raise FormatError(
            f"an image of {facts['name']} has {size:,} bytes (its log region) or at least "
            f"{start + size:,} (its flash "
            f"up to the region's end); this one has {dump_size:,}"
        )
    return Geometry(start, size, geometry["sector"], geometry["page"], geometry["unit"])
