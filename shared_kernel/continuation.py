"""A log that begins with the state of another one, and the erasing of a log on purpose. Imported on
use: neither happens often.

The genesis stands first and names the other log; then the state is written as snapshot slot 0, of
the seq of the genesis. Until that snapshot stands and the genesis is marked as done, the region is
as good as blank: a power cut leaves all of the log or none of it."""

from . import genesis
from .arena import CHUNK
from .errors import Damage, FormatError, Invalid
from .frames import GENESIS_BYTES, HEADER, NO_HEAD
from .reader import LogReader, frame_of
from .run import NONE, Run
from .snapshot import HEADER as HEADER_BYTES
from .snapshot import Header

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Integers, Origin, Region, Store


def begin(
    store: "Store", config: "Integers", entropy: bytes, identity: str, policy: int, origin: "Origin"
) -> None:
    """Program the genesis of a log that goes on from `origin` (see genesis.encode) and prepare the
    slot for its state. What an earlier call left unfinished is erased. Invalid, and nothing done,
    if a log is there or the region is too small; Damage if the region holds what cannot be read."""
    _need_blank(store)
    region = store.region
    if region.block:
        store.top = max(store.top, region.numbers()[1])
    store.busy = True  # until all of it stands
    genesis.begin(region, store.top, config, entropy, identity, policy, origin)
    for sector in range(region.slot_sectors):
        region.erase(sector)
    store.found.restoring = True
    store.busy = False


def add(store: "Store", chunk: int, data: "Buffer") -> None:
    """Program chunk number `chunk` of the arena: data, and zeros up to 1 KiB. The same chunk again
    changes nothing. Invalid unless `begin` was called in this boot."""
    _need_begun(store)
    region = store.region
    if (
        not 0
        <= chunk * CHUNK
        <= region.slot_sectors * region.body - 2 * region.pad(HEADER_BYTES) - CHUNK
        or len(data) > CHUNK
    ):
        raise Invalid(
            "chunk %d with %d bytes does not fit a slot of %d sectors: begin the restore first"
            % (chunk, len(data), region.slot_sectors)
        )
    _program(region, chunk * CHUNK, bytes(data) + bytes(CHUNK - len(data)))


def end(store: "Store") -> None:
    """Prove that the state on the flash has the root that the genesis names, and make it the log's.
    FormatError if it has not: then the region stays as good as blank. After a failure it may be
    called again. Invalid unless `begin` was called in this boot."""
    _need_begun(store)
    from .recovery import kernel_for

    region = store.region
    reader, size = None, 0
    for number in region.numbers()[0] if region.block else ():
        if region.run(number).head == NO_HEAD:
            reader = LogReader(region, [number], 0, bytearray(GENESIS_BYTES), 0)
            reader.enter(number)
            size = reader.next()
            break
    if not size or not genesis.continues(reader.buffer, 0, size):
        raise FormatError("the genesis that was programmed cannot be read: begin the restore again")
    first = genesis.Genesis(frame_of(reader, size)[HEADER:-4])
    kernel = kernel_for(region, first.config)
    arena = kernel.arena
    for chunk in range(arena.chunks):
        region.slot_read(
            0, chunk * CHUNK, memoryview(arena.bytes)[chunk * CHUNK : (chunk + 1) * CHUNK]
        )
    root = kernel.root()
    if root != first.origin[4] or kernel.config() != first.config:
        raise FormatError(
            "the state on the board has root %s, not %s: restore it again"
            % (root.hex(), first.origin[4].hex())
        )
    name = region.run(number).name
    header = Header(first.origin[1] + 1, 0, 1, arena.size, name, name, root).encode()
    _program(region, arena.size, header)
    _program(region, arena.size + region.pad(HEADER_BYTES), header)
    store.busy = True
    genesis.finish(region)
    store.kernel = kernel  # whose memory serves again
    store._rebuild()
    store._go_on()


def erase(store: "Store", name: bytes, head: bytes) -> None:
    """Erase the log `name`, which must end with chain head `head`, and leave the region blank.
    Invalid, and nothing done, if it has another end, if a sector is bad, or if its newest snapshot
    is not in slot 0: take one, then.

    A mark in the first sector of slot 1 says that the erasing has begun: until it stands the log is
    whole without that slot; once it stands, the region is as good as blank. It stays, and the next
    genesis erases it."""
    store._ready()
    region = store.region
    if store.name != name or store.head != head:
        raise Invalid(
            "this board's log is %s..., and its head after seq %d is %s: not the one to be erased"
            % (store.name.hex()[:16], store.seq, store.head.hex())
        )
    if store.bad:
        raise Invalid("sectors %s are bad: this log cannot be erased whole" % store.bad)
    if store.newest_snapshot()[0] != 0 or store.proved != 0:
        raise Invalid("the newest snapshot must stand in slot 0 before the log is erased: take one")
    if not store.booted:
        store._settle()  # the mark names the log's end: no later boot may read another one
    store.busy = True
    marked = region.slot_sectors
    store.slots[1] = None
    region.erase(marked)
    mark = Run(
        NONE - 1,
        NONE,
        store.seq + 1,
        0,
        store.boot,
        store.acked,
        store.policy,
        False,
        name,
        store.head,
        [],
        0,
    )
    region.program(marked * region.sector + region.record_size, mark.encode())
    for sector in range(region.sectors):
        if sector != marked:
            region.wipe(sector)
    store._rebuild()


def _program(region: "Region", offset: int, data: bytes) -> None:
    """Program data into slot 0, unless it stands there already; FormatError if something else
    does."""
    held = bytearray(len(data))
    region.slot_read(0, offset, held)
    if held == data:
        return
    if held != b"\xff" * len(data):
        raise FormatError(
            "the snapshot holds something else already at %d: begin the restore again" % offset
        )
    region.slot_program(0, offset, data)


def _need_begun(store: "Store") -> None:
    """Invalid unless `begin` was called in this boot: where the one before was cut, units may be
    half programmed, which no reading tells."""
    _need_blank(store)
    if not store.found.restoring:
        raise Invalid("no restore has begun on this board since it was started: begin it")


def _need_blank(store: "Store") -> None:
    if store.damage:
        raise Damage("the region is not blank: %s" % store.damage)
    if store.name is not None:
        raise Invalid(
            "this region holds log %s: a state is restored onto a blank one" % store.name.hex()[:16]
        )
