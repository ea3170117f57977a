"""A board's log read block by block: its bytes come as they stand on the flash, and the frames are
found here. Asks for nothing twice.

The reader is the board's own (shared_kernel/reader.py), over an image of the flash that fetches
what it is asked for. Nothing is taken on
trust: a frame counts if its CRC, its seq and its place say so, and a run if its header bears the
    chain head that the frames lead to.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from quipu.archive.chain import Chain
from quipu.board.verbs import Layout, Verbs
from shared_kernel.errors import Damage
from shared_kernel.frames import seed
from shared_kernel.reader import LogReader, frame_of
from shared_kernel.region import Region
from shared_kernel.run import HEADER, Run, decode

if TYPE_CHECKING:
    from shared_kernel.types import WritableBuffer


class Image:
    """A flash that can only be read (shared_kernel/region.py), of which a part is here; the rest is
    fetched when it is read.

    Whoever reads something goes on from there, so what follows in the sector comes along, as far as
    one answer goes."""

    def __init__(self, board: Verbs, layout: Layout):
        self.board = board
        self.sector, self.sectors, self.page, self.unit = (
            layout.sector,
            layout.sectors,
            layout.unit,
            layout.unit,
        )
        # sector: its bytes, and for each byte whether it is here
        self._here: dict[int, tuple[bytearray, bytearray]] = {}

    def read(self, address: int, buffer: "WritableBuffer") -> None:
        """Fill buffer with the bytes from address on."""
        at, end = address, address + len(buffer)
        while at < end:
            number, begin = divmod(at, self.sector)
            stop = min(self.sector, begin + end - at)
            data, here = self._here.setdefault(
                number, (bytearray(self.sector), bytearray(self.sector))
            )
            while (missing := here.find(0, begin, stop)) >= 0:
                known = here.find(1, missing)
                last = known if known >= 0 else self.sector
                piece = self.board.read_region(number * self.sector + missing, last - missing)
                data[missing : missing + len(piece)] = piece
                here[missing : missing + len(piece)] = b"\1" * len(piece)
            buffer[at - address : at - address + stop - begin] = data[begin:stop]
            at += stop - begin


class _Region(Region):
    """The board's region. Headers of runs are read by their second copy: it stands right before the
    frames, so one answer has both."""

    def run(self, number: int) -> Run | None:
        """Return the Run of that number, by either copy of its header; None if neither is valid."""
        found = decode(self.read(self.header_at(number) + self.header_size, HEADER))
        return found if found and found.number == number else super().run(number)


class Blocks:
    """The frames of a log from layout.seq on, by a board's layout.

    name: the log's; head: the chain head before the frame layout.seq as the board's flash has it,
        None if that frame begins no run.
    Damage if what stands there is not what the layout says: it was recycled meanwhile, or is
    damaged."""

    def __init__(self, board: Verbs, layout: Layout, name: bytes):
        self.layout = layout
        region = _Region(Image(board, layout))  # type: ignore[arg-type]  # an image is only read
        region.set_layout(layout.slot_sectors, layout.block)
        first = layout.runs[0]
        reader = self._reader = LogReader(
            region, list(layout.runs), seed(name), bytearray(layout.block), 0, layout.block
        )
        self.head: bytes | None = None
        if layout.address == region.frames_at(first):
            run = reader.enter(first)
            if run.first != layout.seq or run.name != name:
                raise Damage(
                    f"run {first} of the board begins with seq {run.first}, not with seq "
                    f"{layout.seq}, or is of another log"
                )
            self.head = run.head
            return
        reader.number, reader.seq, reader.address = first, layout.seq, layout.address
        reader.end = (region.sector_of(first) + 1) * layout.sector
        reader.limit = min(region.block_end(layout.address), reader.end)
        reader._look_ahead()

    def after(self, chain: Chain) -> Iterator[memoryview]:
        """Yield the frames that follow the chain, which whoever takes them moves on, up to the last
        that is certain, or to where the last of the runs that the layout names begins, if there are
        more. A frame is good until the next one."""
        reader, layout = self._reader, self.layout
        # A run's last frames may be void: where it ends is said by the header of the next one.
        last = layout.runs[-1] if layout.total > len(layout.runs) else -1
        while reader.seq <= layout.certain:
            if last >= 0 and reader.following == last and reader.until == reader.seq:
                return
            n = reader.next(chain.head)
            if not n:
                return
            yield frame_of(reader, n)
