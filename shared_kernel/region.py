"""The flash region of a log: which sector and block holds what, as bytes. Reads, programs and
erases; decides nothing.

flash object: `sector`, `page`, `unit` (bytes), `sectors` (count), read(address, buffer),
program(address, data) within one page, erase(sector number). Addresses count from the region's
start.

Two snapshot slots of `slot_sectors` each stand first, then the ring of log sectors. Every sector
begins with a sector record, programmed right after its erase. A ring sector is cut into blocks; a
run begins at a block's boundary (behind the record in a sector's first block) with two copies of
its header, and its frames follow. No frame crosses a boundary. All of it is padded with 0xFF to the
program unit, so no unit is ever programmed twice."""

from . import primitives, run, snapshot
from .const import const
from .errors import Damage, FlashError, FormatError, Invalid
from .frames import GENESIS_BYTES, HEADER, OVERHEAD, VERSION, words_bytes
from .kernel import u32
from .run import MAGIC, decode, is_whole

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Callable, Flash, Integers, Run, WritableBuffer

RECORD_MAGIC = const(0x32505551)  # "QUP2"
FORMAT_1 = const(0x31505551)  # "QUP1": what a sector of the format before this one begins with
_RECORD = const(20)
_BLOCKS = const(256)  # in a sector, at most
_PART = const(256)  # bytes looked at together
_READINGS = const(4)  # that fail before a byte counts as one that cannot be read


class Region:
    """Geometry of one region, and its records.

    sector, page, unit: bytes; sectors: count
    slot_sectors: sectors of a snapshot slot; block: bytes; both 0 until `set_layout` or
        `read_layout`
    """

    def __init__(self, flash: "Flash") -> None:
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
        self.record_size = self.pad(_RECORD)
        self.header_size = self.pad(run.HEADER)
        self.body = self.sector - self.record_size  # what a snapshot slot may use of a sector
        # of a block: what stands before its frames, and a genesis
        self.least = self.record_size + 2 * self.header_size + self.pad(GENESIS_BYTES)
        if self.least > self.sector:
            raise Invalid(
                "a sector of %d bytes, programmed by units of %d, has no room for the %d that a "
                "log begins with" % (self.sector, self.unit, self.least)
            )
        self.slot_sectors = self.block = self.blocks = self.turn = 0
        self.part = memoryview(bytearray(_PART))
        self.blank = b"\xff" * _PART

    def pad(self, size: int) -> int:
        """Return size rounded up to whole program units."""
        return (size + self.unit - 1) // self.unit * self.unit

    def slot_size(self, size: int) -> int:
        """Return how many sectors a snapshot slot takes for an arena of so many bytes."""
        return (size + 2 * self.pad(snapshot.HEADER) + self.body - 1) // self.body

    def ring(self) -> int:
        """Return the number of the first ring sector; the ring goes on to the region's end."""
        return 2 * self.slot_sectors

    def block_size(self, need: int) -> int:
        """Return the smallest block, of 1 KiB or a whole sector at least, whose first one in a
        sector has `need` bytes for frames; 0 if none has."""
        need = max(min(1024, self.sector), need + self.record_size + 2 * self.header_size)
        for blocks in range(min(_BLOCKS, self.sector // need), 0, -1):
            if self.sector % blocks == 0 and self.sector // blocks % self.unit == 0:
                return self.sector // blocks
        return 0

    def set_layout(self, slot_sectors: int, block: int) -> None:
        """Say where the ring begins and how it is cut."""
        self.slot_sectors = slot_sectors
        self.block = block
        self.blocks = self.sector // block
        # run numbers for one turn of the ring
        self.turn = self.blocks * (self.sectors - 2 * slot_sectors)

    def read_layout(self) -> bool:
        """Set the layout by the first valid sector record; return whether there is one. FormatError
        if that is of another format, or of a region of another size."""
        for sector in range(self.sectors):
            data = self.read(sector * self.sector, _RECORD)
            if _is_record(data):
                sectors, slot = data[8] | data[9] << 8, data[10] | data[11] << 8
                blocks = data[7] + 1
                if (
                    sectors != self.sectors
                    or not 0 < 2 * slot < sectors
                    or self.sector % (blocks * self.unit)
                    or self.sector // blocks < self.least
                ):
                    raise FormatError(
                        "sector %d belongs to a region of %d sectors with snapshot slots of %d "
                        "and %d blocks in a "
                        "sector; this region has %d sectors of %d bytes"
                        % (sector, sectors, slot, blocks, self.sectors, self.sector)
                    )
                self.set_layout(slot, self.sector // blocks)
                return True
        return False

    def is_format_1(self) -> bool:
        """Return whether a sector begins as one of a format 1 region does."""
        for sector in range(self.sectors):
            data = self.read(sector * self.sector, 16)
            if u32(data, 0) == FORMAT_1 and primitives.crc32(data[:12], 0) == u32(data, 12):
                return True
        return False

    # -- flash -------------------------------------------------------------------------------------

    def fetch(self, address: int, buffer: "WritableBuffer") -> None:
        """Fill buffer from the flash. A byte that cannot be read however often (of a unit with ECC,
        torn by a power cut) comes as 0."""
        try:
            self.flash.read(address, buffer)
        except OSError:
            if not self._read(address, buffer):
                for i in range(len(buffer)):
                    if not self._read(address + i, memoryview(buffer)[i : i + 1]):
                        buffer[i] = 0

    def _read(self, address: int, buffer: "WritableBuffer") -> bool:
        """Return whether one of several readings does not fail."""
        for _ in range(_READINGS):
            try:
                self.flash.read(address, buffer)
                return True
            except OSError:
                pass
        return False

    def read(self, address: int, size: int) -> bytearray:
        """Return size bytes."""
        data = bytearray(size)
        self.fetch(address, data)
        return data

    def program(self, address: int, data: "Buffer") -> None:
        """Program data (padded to the unit here), page by page, and read it back; FlashError unless
        it is all there."""
        size = len(data)
        if size % self.unit:
            data = bytes(data) + b"\xff" * (-size % self.unit)
            size = len(data)
        at = 0
        n = self.page - address % self.page
        try:
            while n < size:
                self.flash.program(address + at, data[at:n])
                at = n
                n += self.page
            self.flash.program(address + at, data[at:] if at else data)
        except OSError as e:
            raise FlashError("flash at 0x%x cannot be programmed: %s" % (address + at, e)) from e
        at = 0
        while at < size:
            part = self.part[: size - at]
            try:
                self.flash.read(address + at, part)
            except OSError:
                self.fetch(address + at, part)
            if part != (data if size <= _PART else data[at : at + _PART]):
                raise FlashError(
                    "flash at 0x%x does not read back what was programmed there" % (address + at)
                )
            at += _PART

    def is_blank(self, address: int, end: int) -> bool:
        """Return whether every byte from address to end reads 0xFF."""
        return self.used_end(address, end) == address

    def used_end(self, address: int, end: int) -> int:
        """Return the address after the last byte in [address, end) that does not read 0xFF;
        `address` if all do."""
        while end > address:
            n = min(_PART, end - address)
            part = self.part[:n]
            self.fetch(end - n, part)
            if part != self.blank[:n]:
                while part[n - 1] == 0xFF:
                    n -= 1
                    end -= 1
                return end
            end -= n
        return address

    # -- sectors -----------------------------------------------------------------------------------

    def record(self, sector: int) -> tuple[int, int] | None:
        """Return (erase count, base of the run numbers) of a sector; None if it has no valid
        record."""
        data = self.read(sector * self.sector, _RECORD)
        if not _is_record(data):
            return None
        return u32(data, 4) & 0xFFFFFF, u32(data, 12)

    def _count(self, sector: int) -> int:
        found = self.record(sector)
        return found[0] if found else 0

    def _lost_count(self, sector: int) -> int:
        """Return what a sector's erase count must have been, by its neighbour's: those of a slot,
        and of the ring, wear alike. Of a slot the next sector has been erased just before it, of
        the ring the one before it."""
        ring = self.ring()
        if sector >= ring:
            before = sector - 1 if sector > ring else self.sectors - 1
            return max(0, self._count(before) - (sector > ring))
        last = (sector + 1) % max(1, self.slot_sectors) == 0
        return self._count(sector - 1) if last and sector else max(0, self._count(sector + 1) - 1)

    def base(self, sector: int, top: int) -> int:
        """Return the base that a sector's run numbers get when `top` is the greatest used so
        far."""
        base = top - top % self.turn + (sector - self.ring()) * self.blocks
        return base if base > top else base + self.turn

    def erase(self, sector: int, base: int = 0) -> None:
        """Erase a sector and program its record. base: of its run numbers, in the ring."""
        count = (self._count(sector) or self._lost_count(sector)) + 1
        self.clear(sector)
        self.mark_erased(sector, count, base)

    def wipe(self, sector: int) -> None:
        """Erase a sector, and trust the driver; FlashError if it refuses."""
        try:
            self.flash.erase(sector)
        except OSError as e:
            raise FlashError("sector %d cannot be erased: %s" % (sector, e)) from e

    def clear(self, sector: int) -> None:
        """Erase a sector; FlashError unless it reads blank then. What an erase has left in silence
        must not stand behind a new header."""
        self.wipe(sector)
        start = sector * self.sector
        if not self.is_blank(start, start + self.sector):
            raise FlashError("sector %d is not blank after its erase" % sector)

    def mark_erased(self, sector: int, count: int, base: int) -> None:
        """Program the record of a sector that is erased."""
        data = words_bytes(
            (
                RECORD_MAGIC,
                count & 0xFFFFFF | (self.blocks - 1) << 24,
                self.sectors | self.slot_sectors << 16,
                base,
            )
        )
        self.program(sector * self.sector, data + words_bytes((primitives.crc32(data, 0),)))

    # -- runs --------------------------------------------------------------------------------------

    def sector_of(self, number: int) -> int:
        """Return the sector of the run `number`."""
        return self.ring() + number % self.turn // self.blocks

    def header_at(self, number: int) -> int:
        """Return the address of the first copy of the header of run `number`."""
        block = number % self.blocks
        return (
            self.sector_of(number) * self.sector
            + block * self.block
            + (0 if block else self.record_size)
        )

    def frames_at(self, number: int) -> int:
        """Return the address of the first frame of run `number`."""
        return self.header_at(number) + 2 * self.header_size

    def run(self, number: int) -> "Run | None":
        """Return the Run of that number, by either copy of its header; None if neither is valid."""
        data = self.header(number)
        return decode(data) if data else None

    def header(self, number: int) -> memoryview | None:
        """Return the header of run `number`, by either copy, as a view that is good until the next
        reading; None if neither is valid."""
        data = self._header(self.header_at(number))
        return data if data and u32(data, 4) == number else None

    def need_run(self, number: int) -> "Run":
        """Return the Run of that number; Damage if it cannot be read."""
        found = self.run(number)
        if found is None:
            raise Damage(
                "neither copy of the header of run %d (sector %d) can be read"
                % (number, self.sector_of(number))
            )
        return found

    def first(self, number: int) -> int:
        """Return the seq of the first frame of run `number`; Damage if its header cannot be
        read."""
        data = self.header(number)
        return u32(data, 12) if data else self.need_run(number).first

    def _header(self, at: int) -> memoryview | None:
        """Return the header that stands at an address as a view, or None.

        Where the second copy has its place, a frame that begins at this boundary may hold anything.
        But a frame's first byte is 1: its lowest bit is never cleared, not even while it is torn,
        and that of a header is. Where rot has set it, the rest of the first copy must be whole: no
        frame is that, for no frame with content of a user has a type that could be a header's
        flags."""
        data = self.part[: run.HEADER]
        self.fetch(at, data)
        first = data[0]
        if first & 1 and first != MAGIC | 1 or not first:
            return None
        if first & 1:
            data[0] = MAGIC
        whole = is_whole(data)
        if not whole and not first & 1:
            self.fetch(at + self.header_size, data)
            whole = is_whole(data)
        if whole:
            return data
        data[0] = first
        return None

    def numbers(self) -> tuple[list[int], int, list[int]]:
        """Return the numbers of all runs with a valid header, greatest first; the greatest number
        that is taken; and the addresses of headers that cannot be read, where something else than a
        frame stands."""
        found, broken = [], []
        top = -1
        for sector in range(self.ring(), self.sectors):
            record = self.record(sector)
            if record:
                top = max(top, record[1] + self.blocks - 1)
            start = sector * self.sector
            for at in range(start, start + self.sector, self.block):
                if at == start:
                    at += self.record_size
                data = self._header(at)
                # one that was written elsewhere and copied here, by a fault of the part, is none
                if data is None:
                    # what begins as a frame, torn or whole, may hold anything
                    if not self.part[0] & 1:
                        broken.append(at)
                elif self.header_at(u32(data, 4)) == at:
                    found.append(u32(data, 4))
        found.sort()
        found.reverse()
        return found, max(top, found[0] if found else -1), broken

    def write_header(self, run: "Run") -> None:
        """Program both copies of a run's header, each read back."""
        at = self.header_at(run.number)
        data = run.encode()
        self.program(at, data)
        self.program(at + self.header_size, data)

    def block_end(self, address: int) -> int:
        """Return the end of the block that an address of the ring lies in."""
        return address - address % self.sector % self.block + self.block

    def after(self, address: int, end: int, sizes: "Integers") -> int:
        """Return the address behind frames of these padded sizes that stand one after another from
        `address` on, none across a block's boundary; beyond `end` if they do not fit."""
        limit = self.block_end(address) if address < end else end
        for size in sizes:
            if limit - address < size:
                address, limit = limit, limit + self.block
            address += size
        return address

    def fits(self, address: int, end: int, sizes: "Integers") -> bool:
        """Return whether these frames fit there."""
        return self.after(address, end, sizes) <= end

    # -- frames ------------------------------------------------------------------------------------

    def frame(self, address: int, limit: int, buffer: "WritableBuffer", at: int) -> int:
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

    # -- snapshot slots ----------------------------------------------------------------------------

    def slot_read(self, slot: int, offset: int, buffer: "WritableBuffer") -> None:
        """Fill buffer from a snapshot slot's data at offset."""
        self._slot(slot, offset, buffer, self.fetch)

    def slot_program(self, slot: int, offset: int, data: "Buffer") -> None:
        """Program data into a snapshot slot at offset and read it back."""
        self._slot(slot, offset, data, self.program)

    def _slot(
        self, slot: int, offset: int, data: "Buffer", act: "Callable[[int, memoryview], object]"
    ) -> None:
        data = memoryview(data)
        at = 0
        while at < len(data):
            inside = (offset + at) % self.body
            n = min(len(data) - at, self.body - inside)
            sector = slot * self.slot_sectors + (offset + at) // self.body
            act(sector * self.sector + self.record_size + inside, data[at : at + n])
            at += n


def _is_record(data: "Buffer") -> bool:
    return u32(data, 0) == RECORD_MAGIC and primitives.crc32(data[:16], 0) == u32(data, 16)
