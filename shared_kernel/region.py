"""The flash region of a log: which sector holds what, as bytes. Reads, programs and erases; decides nothing.

flash object: `sector`, `page`, `unit` (bytes), `sectors` (count), read(address, buffer), program(address, data) within one
page, erase(sector number). Addresses count from the region's start.

Two snapshot slots of `slot_sectors` each stand first, then the ring of log sectors. Every sector begins with an erase
record, programmed right after its erase; a log sector has an open record after it, programmed when the sector is taken
into use. Each is padded with 0xFF to the program unit, so no unit is ever programmed twice.
"""

from . import primitives
from .const import const
from .errors import FlashError, FormatError, Invalid
from .frames import HEADER, OVERHEAD, VERSION, words_bytes
from .kernel import u32
from .snapshot import HEADER as SNAPSHOT_HEADER

ERASE_MAGIC = const(0x31505551)  # "QUP1"
OPEN_MAGIC = const(0x4E504F51)  # "QOPN"
_ERASE_BYTES = const(16)
_OPEN_BYTES = const(92)
_BLOCK = const(256)  # bytes looked at together when searching
_FRAME = bytes((VERSION,))


class Open:
    """An open record. epoch: never restarts; first: seq of the sector's first frame; boot: boot number; acked: the first
    seq that the host has not acknowledged; policy: of a full log; name: the log's; head: chain head before `first`."""

    def __init__(self, epoch, first, boot, acked, policy, name, head):
        self.epoch = epoch
        self.first = first
        self.boot = boot
        self.acked = acked
        self.policy = policy
        self.name = name
        self.head = head


class Region:
    """Geometry of one region, and its records."""

    def __init__(self, flash):
        self.flash = flash
        self.sector = flash.sector
        self.unit = flash.unit
        self.page = flash.page
        self.sectors = flash.sectors
        if self.sector % self.unit or self.page % self.unit or self.sector % self.page or self.sectors > 0xFFFF:
            raise Invalid("sector %d, page %d and program unit %d do not divide each other, or there are over 65535 sectors"
                          % (self.sector, self.page, self.unit))
        self.open_at = self.pad(_ERASE_BYTES)
        self.frames_at = self.open_at + self.pad(_OPEN_BYTES)
        self.body = self.sector - self.open_at  # what a snapshot slot may use of a sector
        self.slot_sectors = 0
        self.block = memoryview(bytearray(_BLOCK))
        self.blank = b"\xff" * _BLOCK

    def pad(self, size):
        """Return size rounded up to whole program units."""
        return (size + self.unit - 1) // self.unit * self.unit

    def slot_size(self, arena_size):
        """Return how many sectors a snapshot slot takes for an arena of that size."""
        return (arena_size + 2 * self.pad(SNAPSHOT_HEADER) + self.body - 1) // self.body

    def ring(self):
        """Return the number of the first log sector; the ring goes on to the region's end."""
        return 2 * self.slot_sectors

    # -- flash --------------------------------------------------------------------------------------------------------

    def fetch(self, address, buffer):
        """Fill buffer from the flash. A byte that cannot be read (of a unit with ECC, torn by a power cut) comes as 0."""
        try:
            self.flash.read(address, buffer)
        except OSError:
            for i in range(len(buffer)):
                try:
                    self.flash.read(address + i, memoryview(buffer)[i : i + 1])
                except OSError:
                    buffer[i] = 0

    def read(self, address, size):
        """Return size bytes."""
        data = bytearray(size)
        self.fetch(address, data)
        return data

    def program(self, address, data):
        """Program data (padded to the unit here), page by page, and read it back; FlashError unless it is all there."""
        size = len(data)
        if size % self.unit:
            data = bytes(data) + b"\xff" * (-size % self.unit)
            size = len(data)
        at = 0
        n = self.page - address % self.page
        while n < size:
            self.flash.program(address + at, data[at:n])
            at = n
            n += self.page
        self.flash.program(address + at, data[at:] if at else data)
        at = 0
        while at < size:
            part = self.block[: size - at]
            try:
                self.flash.read(address + at, part)
            except OSError:
                self.fetch(address + at, part)
            if part != (data if size <= _BLOCK else data[at : at + _BLOCK]):
                raise FlashError("flash at 0x%x does not read back what was programmed there" % (address + at))
            at += _BLOCK

    def is_blank(self, address, end):
        """Return whether every byte from address to end reads 0xFF."""
        return self.used_end(address, end) == address

    def used_end(self, address, end):
        """Return the address after the last byte in [address, end) that does not read 0xFF; `address` if all do."""
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

    # -- records of a sector ------------------------------------------------------------------------------------------

    def erase_count(self, sector):
        """Return a sector's erase count, or 0 if it has no valid erase record."""
        data = self.read(sector * self.sector, _ERASE_BYTES)
        if u32(data, 0) != ERASE_MAGIC or primitives.crc32(data[:12], 0) != u32(data, 12):
            return 0
        sectors, slot = data[8] | data[9] << 8, data[10] | data[11] << 8
        if sectors != self.sectors or self.slot_sectors not in (0, slot):
            raise FormatError("sector %d belongs to a region of %d sectors with snapshot slots of %d; this one has %d with %d"
                              % (sector, sectors, slot, self.sectors, self.slot_sectors))
        self.slot_sectors = slot
        return u32(data, 4)

    def _lost_count(self, sector):
        """Return what a sector's erase count must have been, by its neighbour's: those of a slot, and of the ring, wear alike. Of a slot
        the next sector has been erased just before it, of the ring the one before it."""
        ring = self.ring()
        if sector >= ring:
            before = sector - 1 if sector > ring else self.sectors - 1
            return max(0, self.erase_count(before) - (sector > ring))
        last = (sector + 1) % max(1, self.slot_sectors) == 0
        return self.erase_count(sector - 1) if last and sector else max(0, self.erase_count(sector + 1) - 1)

    def erase(self, sector):
        """Erase a sector and program its erase record."""
        count = (self.erase_count(sector) or self._lost_count(sector)) + 1
        self.flash.erase(sector)
        data = words_bytes((ERASE_MAGIC, count, self.sectors | self.slot_sectors << 16))
        self.program(sector * self.sector, data + words_bytes((primitives.crc32(data, 0),)))

    def opened(self, sector):
        """Return the Open record of a sector, or None."""
        data = self.read(sector * self.sector + self.open_at, _OPEN_BYTES)
        if u32(data, 0) != OPEN_MAGIC or primitives.crc32(data[:88], 0) != u32(data, 88):
            return None
        return Open(u32(data, 4), u32(data, 8), u32(data, 12), u32(data, 16), u32(data, 20), bytes(data[24:56]),
                    bytes(data[56:88]))

    def open(self, sector, record):
        """Program a sector's open record."""
        data = words_bytes((OPEN_MAGIC, record.epoch, record.first, record.boot, record.acked, record.policy))
        data += record.name + record.head
        self.program(sector * self.sector + self.open_at, data + words_bytes((primitives.crc32(data, 0),)))

    # -- frames in a sector -------------------------------------------------------------------------------------------

    def frame(self, address, limit, buffer, at):
        """Read what may be a frame at `address` into buffer from `at`; return its length, 0 if its header cannot be one."""
        if limit - address < OVERHEAD:
            return 0
        view = memoryview(buffer)
        self.fetch(address, view[at : at + HEADER])
        size = OVERHEAD + (buffer[at + 2] | buffer[at + 3] << 8)
        if buffer[at] != VERSION or size > limit - address or size > len(buffer) - at:
            return 0
        self.fetch(address + HEADER, view[at + HEADER : at + size])
        return size

    def candidates(self, address, limit, marker=_FRAME):
        """Yield the unit-aligned addresses in [address, limit) at which marker stands: where a frame may begin."""
        while address < limit:
            n = min(_BLOCK, limit - address)
            part = self.block[:n]
            self.fetch(address, part)
            if part != self.blank[:n]:
                part = bytes(part)
                i = part.find(marker)
                while i >= 0:
                    if not (address + i) % self.unit:
                        yield address + i
                    i = part.find(marker, i + 1)
            address += max(1, n - len(marker) + 1)

    # -- snapshot slots -----------------------------------------------------------------------------------------------

    def slot_read(self, slot, offset, buffer):
        """Fill buffer from a snapshot slot's data at offset."""
        self._slot(slot, offset, buffer, self.fetch)

    def slot_program(self, slot, offset, data):
        """Program data into a snapshot slot at offset and read it back."""
        self._slot(slot, offset, data, self.program)

    def _slot(self, slot, offset, data, act):
        data = memoryview(data)
        at = 0
        while at < len(data):
            inside = (offset + at) % self.body
            n = min(len(data) - at, self.body - inside)
            sector = slot * self.slot_sectors + (offset + at) // self.body
            act(sector * self.sector + self.open_at + inside, data[at : at + n])
            at += n
