"""Format 1, read only: which sector of a region holds what. As shared_kernel/region.py was before
format 2, without what writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from shared_kernel import primitives
from shared_kernel.errors import FormatError, Invalid
from shared_kernel.frames import HEADER, OVERHEAD, VERSION
from shared_kernel.kernel import u32
from shared_kernel.snapshot import HEADER as SNAPSHOT_HEADER

if TYPE_CHECKING:
    from shared_kernel.types import ReadableFlash, WritableBuffer

ERASE_MAGIC = 0x31505551  # "QUP1"
OPEN_MAGIC = 0x4E504F51  # "QOPN"
_ERASE_BYTES = 16
_OPEN_BYTES = 92
_BLOCK = 256  # bytes looked at together when searching
_FRAME = bytes((VERSION,))


class Open:
    """An open record. epoch: never restarts; first: seq of the sector's first frame; boot: boot
    number; acked: the first seq that the host has not acknowledged; policy: of a full log; name:
    the log's; head: chain head before `first`."""

    def __init__(
        self, epoch: int, first: int, boot: int, acked: int, policy: int, name: bytes, head: bytes
    ) -> None:
        self.epoch = epoch
        self.first = first
        self.boot = boot
        self.acked = acked
        self.policy = policy
        self.name = name
        self.head = head


class Region:
    """Geometry of one region, and its records."""

    def __init__(self, flash: ReadableFlash) -> None:
        self.flash = flash
        self.sector = flash.sector
        self.unit = flash.unit
        self.page = flash.page
        self.sectors = flash.sectors
        if (
            self.sector % self.unit
            or self.page % self.unit
            or self.sector % self.page
            or self.sectors > 0xFFFF
        ):
            raise Invalid(
                "sector %d, page %d and program unit %d do not divide each other, or there are "
                "over 65535 sectors" % (self.sector, self.page, self.unit)
            )
        self.open_at = self.pad(_ERASE_BYTES)
        self.frames_at = self.open_at + self.pad(_OPEN_BYTES)
        self.body = self.sector - self.open_at  # what a snapshot slot may use of a sector
        self.slot_sectors = 0
        self.block = memoryview(bytearray(_BLOCK))
        self.blank = b"\xff" * _BLOCK

    def pad(self, size: int) -> int:
        """Return size rounded up to whole program units."""
        return (size + self.unit - 1) // self.unit * self.unit

    def slot_size(self, arena_size: int) -> int:
        """Return how many sectors a snapshot slot takes for an arena of that size."""
        return (arena_size + 2 * self.pad(SNAPSHOT_HEADER) + self.body - 1) // self.body

    def ring(self) -> int:
        """Return the number of the first log sector; the ring goes on to the region's end."""
        return 2 * self.slot_sectors

    # -- flash -------------------------------------------------------------------------------------

    def fetch(self, address: int, buffer: WritableBuffer) -> None:
        """Fill buffer from the flash. A byte that cannot be read (of a unit with ECC, torn by a
        power cut) comes as 0."""
        try:
            self.flash.read(address, buffer)
        except OSError:
            for i in range(len(buffer)):
                try:
                    self.flash.read(address + i, memoryview(buffer)[i : i + 1])
                except OSError:
                    buffer[i] = 0

    def read(self, address: int, size: int) -> bytearray:
        """Return size bytes."""
        data = bytearray(size)
        self.fetch(address, data)
        return data

    def is_blank(self, address: int, end: int) -> bool:
        """Return whether every byte from address to end reads 0xFF."""
        return self.used_end(address, end) == address

    def used_end(self, address: int, end: int) -> int:
        """Return the address after the last byte in [address, end) that does not read 0xFF;
        `address` if all do."""
        while end > address:
            n = min(_BLOCK, end - address)
            part = self.block[:n]
            self.fetch(end - n, part)
            if part != self.blank[:n]:
                while part[n - 1] == 0xFF:
                    n -= 1
                    end -= 1
                return end
            end -= n
        return address

    # -- records of a sector -----------------------------------------------------------------------

    def erase_count(self, sector: int) -> int:
        """Return a sector's erase count, or 0 if it has no valid erase record."""
        data = self.read(sector * self.sector, _ERASE_BYTES)
        if u32(data, 0) != ERASE_MAGIC or primitives.crc32(data[:12], 0) != u32(data, 12):
            return 0
        sectors, slot = data[8] | data[9] << 8, data[10] | data[11] << 8
        if sectors != self.sectors or self.slot_sectors not in (0, slot):
            raise FormatError(
                "sector %d belongs to a region of %d sectors with snapshot slots of %d; this one "
                "has %d with %d" % (sector, sectors, slot, self.sectors, self.slot_sectors)
            )
        self.slot_sectors = slot
        return u32(data, 4)

    def opened(self, sector: int) -> Open | None:
        """Return the Open record of a sector, or None."""
        data = self.read(sector * self.sector + self.open_at, _OPEN_BYTES)
        if u32(data, 0) != OPEN_MAGIC or primitives.crc32(data[:88], 0) != u32(data, 88):
            return None
        return Open(
            u32(data, 4),
            u32(data, 8),
            u32(data, 12),
            u32(data, 16),
            u32(data, 20),
            bytes(data[24:56]),
            bytes(data[56:88]),
        )

    # -- frames in a sector ------------------------------------------------------------------------

    def frame(self, address: int, limit: int, buffer: WritableBuffer, at: int) -> int:
        """Read what may be a frame at `address` into buffer from `at`; return its length, 0 if its
        header cannot be one."""
        if limit - address < OVERHEAD:
            return 0
        view = memoryview(buffer)
        self.fetch(address, view[at : at + HEADER])
        size = OVERHEAD + (buffer[at + 2] | buffer[at + 3] << 8)
        if buffer[at] != VERSION or size > limit - address or size > len(buffer) - at:
            return 0
        self.fetch(address + HEADER, view[at + HEADER : at + size])
        return size

    def candidates(self, address: int, limit: int, marker: bytes = _FRAME) -> Iterator[int]:
        """Yield the unit-aligned addresses in [address, limit) at which marker stands: where a
        frame may begin."""
        while address < limit:
            n = min(_BLOCK, limit - address)
            part = self.block[:n]
            self.fetch(address, part)
            if part != self.blank[:n]:
                data = bytes(part)
                i = data.find(marker)
                while i >= 0:
                    if not (address + i) % self.unit:
                        yield address + i
                    i = data.find(marker, i + 1)
            address += max(1, n - len(marker) + 1)

    # -- snapshot slots ----------------------------------------------------------------------------

    def slot_read(self, slot: int, offset: int, buffer: WritableBuffer) -> None:
        """Fill buffer from a snapshot slot's data at offset."""
        buffer = memoryview(buffer)
        at = 0
        while at < len(buffer):
            inside = (offset + at) % self.body
            n = min(len(buffer) - at, self.body - inside)
            sector = slot * self.slot_sectors + (offset + at) // self.body
            self.fetch(sector * self.sector + self.open_at + inside, buffer[at : at + n])
            at += n
