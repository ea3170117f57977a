"""What a region holds that has no log: nothing, or what a genesis, a restore or an erase left when
it was cut short. Writes nothing.

A genesis first programs a mark, at a fixed place in one of the region's last two sectors, and a
second one beside it when all is done. An erase leaves a mark in the first sector of slot 1 that
names the log and its end. Whatever is not one of these is damage."""

from .errors import Damage, FormatError
from .genesis import BEGUN
from .run import HEADER, NONE, decode

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Region, Run


def marks_of(region: "Region") -> list[tuple[int, bool]]:
    """Return [(sector, whether the genesis was done)] of the sectors that bear the mark of a
    genesis."""
    found = []
    for sector in candidates(region):
        at = mark_at(region, sector)
        if region.read(at, len(BEGUN)) == BEGUN:
            done = not region.is_blank(at + region.header_size, at + 2 * region.header_size)
            found.append((sector, done))
    return found


def candidates(region: "Region") -> tuple[int, int]:
    """Return the sectors in which a genesis may leave its mark."""
    return (max(0, region.sectors - 2), region.sectors - 1)


def mark_at(region: "Region", sector: int) -> int:
    """Return the address of a genesis' first mark in a sector; the second stands where a run's
    second header would."""
    return sector * region.sector + region.record_size


def is_begun(region: "Region") -> bool:
    """Return whether a genesis was begun and not done."""
    return any([not done for _, done in marks_of(region)])


def is_erased(region: "Region", name: bytes | None = None, last: int = -1) -> bool:
    """Return whether the log `name`, which ends at seq `last`, was being erased on purpose. A boot
    that could not read the mark has gone on with the log, past the end that the mark names."""
    if not region.slot_sectors or region.record(region.slot_sectors) is None:
        return False
    mark = decode(region.read(region.slot_sectors * region.sector + region.record_size, HEADER))
    return (
        mark is not None
        and mark.number == NONE - 1
        and (name is None or mark.name == name and mark.first > last)
    )


def need_unfinished(region: "Region", run: "Run | None") -> None:
    """Damage unless a region with sector records but no log (run: None), or with one to be
    forgotten, is as good as blank."""
    if run is not None or is_erased(region):
        return
    if not is_begun(region):
        raise Damage(
            "the region bears sector records of Quipu, but no run of its log can be read: nothing "
            "was changed; "
            "`quipu recover` reads what is left"
        )


def need_blank(region: "Region") -> None:
    """FormatError unless a region without any sector record is as good as blank."""
    size = region.sector
    used = [
        each
        for each in range(region.sectors)
        if not region.is_blank(each * size, (each + 1) * size)
    ]
    if not used:
        return
    if region.is_format_1():
        raise FormatError(
            "the region holds a log of format 1, which this version does not write: sync it with "
            "the version that wrote "
            "it, or read an image of it with `quipu recover`; then erase it and restore the archive"
        )
    if is_begun(region):  # an erase that was cut may have left anything besides
        return
    if all(each in candidates(region) and _is_torn(region, each) for each in used):
        return
    raise FormatError(
        "the region holds something else than a log: sector %d begins with %s. Nothing was "
        "changed; erase it on purpose "
        "(quipu flash --erase-log), or choose another region"
        % (used[0], region.read(used[0] * size, 8).hex())
    )


def _is_torn(region: "Region", sector: int) -> bool:
    """Return whether a sector holds nothing but some of the bits of a genesis' first mark, and
    units that cannot be read (with ECC): an erase that was cut may leave those anywhere."""
    start = sector * region.sector
    mark = mark_at(region, sector) - start
    data = bytearray(region.unit)
    for at in range(0, region.sector, region.unit):
        try:
            region.flash.read(start + at, data)
        except OSError:
            continue
        for i in range(len(data)):
            k = at + i - mark
            if data[i] | (BEGUN[k] if 0 <= k < len(BEGUN) else 0xFF) != data[i]:
                return False
    return True
