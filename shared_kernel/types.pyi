"""The names that the kernel's annotations use: kinds of buffers, records that are tuples, and the kernel's own classes.

Read by type checkers alone: neither a board nor a laptop ever loads it. CONTRIBUTING.md, "Annotate kernel code", says how.
"""

from array import array as array
from collections.abc import Callable as Callable
from collections.abc import Iterable as Iterable
from collections.abc import Iterator as Iterator
from collections.abc import Sequence as Sequence
from typing import NoReturn as NoReturn
from typing import Protocol, TypeAlias, TypeVar

from .arena import Arena as Arena
from .arena import Pool as Pool
from .errors import Refused as Refused
from .kernel import Kernel as Kernel
from .query import Filter as Filter
from .reader import LogReader as LogReader
from .recovery import Found as Found
from .region import Region as Region
from .replay import Replay as Replay
from .run import Run as Run
from .saver import Saver as Saver
from .snapshot import Header as Header
from .store import Store as Store
from .watch import Change as Change
from .watch import Watch as Watch
from .words import Words as _ForeignWords

T = TypeVar("T")

Buffer: TypeAlias = bytes | bytearray | memoryview  # bytes that are only read
WritableBuffer: TypeAlias = bytearray | memoryview
Words: TypeAlias = array[int] | memoryview | _ForeignWords  # u32 words
Integers: TypeAlias = Sequence[int] | array[int]

Config: TypeAlias = tuple[int, ...]  # in the order of config.CONFIG_NAMES
Origin: TypeAlias = tuple[bytes, int, bytes, bytes, bytes]  # see genesis.encode
Command: TypeAlias = tuple[int, Buffer, bytes | None]  # type, payload, token
Field: TypeAlias = tuple[int, int, bool]  # see query.py
Follow: TypeAlias = Callable[[Words, bytes, Buffer, int, Words, int], object]  # query.follow
Walk: TypeAlias = Callable[[memoryview, int, Words, int, int], int]  # history.walk
About: TypeAlias = tuple[int, int | bytes, int]  # pool, id or name, tag or kind
Subscription: TypeAlias = tuple[Callable[[Change], object], int, int | bytes]

class ReadableFlash(Protocol):
    """A flash region, or an image of one; see region.py."""

    @property
    def sector(self) -> int: ...
    @property
    def page(self) -> int: ...
    @property
    def unit(self) -> int: ...
    @property
    def sectors(self) -> int: ...
    def read(self, address: int, buffer: WritableBuffer, /) -> object: ...

class Flash(ReadableFlash, Protocol):
    """A flash region; see region.py."""

    def program(self, address: int, data: Buffer, /) -> object: ...
    def erase(self, sector: int, /) -> object: ...

class Output(Protocol):
    """A raw stream that an answer is written to."""

    def write(self, data: Buffer, /) -> object: ...
