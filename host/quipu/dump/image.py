"""A flash region as bytes out of a file: a flash that can only be read.

Whatever reads an image is the same code that reads a flash (shared_kernel/region.py); since an
image has neither `program` nor `erase`, none of it can change anything.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from shared_kernel.errors import FormatError

if TYPE_CHECKING:
    from shared_kernel.types import WritableBuffer

# bytes: the erase units of the parts in docs/drivers.md and round about
SECTORS = tuple(1 << n for n in range(8, 19))
UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PAGE = 256  # bytes; reading does not depend on it
LARGEST = 16 + 65535  # bytes of any frame


class Geometry(NamedTuple):
    """Where a region lies in a dump, and its geometry; bytes. None: to be found."""

    start: int | None = None
    size: int | None = None
    sector: int | None = None
    page: int | None = None
    unit: int | None = None


class FlashImage:
    """A flash region of `sectors` sectors, read from `data` (its bytes); start: where it began in
    the dump. Read-only."""

    def __init__(
        self,
        data: Any,
        sector: int,
        page: int,
        unit: int,
        start: int = 0,
        sectors: int | None = None,
    ):
        self.data = memoryview(data)
        self.sector, self.page, self.unit, self.start = sector, page, unit, start
        self.sectors = len(self.data) // sector if sectors is None else sectors

    def read(self, address: int, buffer: "WritableBuffer") -> None:
        """Fill buffer with the bytes from address on. FormatError past the region's end: what reads
        there believed its bytes."""
        if address + len(buffer) > len(self.data):
            raise FormatError(
                f"{len(buffer)} bytes at 0x{address:x} are not all in this region of "
                f"{len(self.data):,} bytes"
            )
        buffer[:] = self.data[address : address + len(buffer)]
