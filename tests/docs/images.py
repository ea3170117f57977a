"""Images of flash regions for the tests of the page: lives with power cuts, units that read either
way, and what rots; and what shared_kernel.recovery finds in each. Chance comes from seeds only."""

import copy
import functools

from shared_kernel import primitives
from shared_kernel.errors import QuipuError
from shared_kernel.frames import (
    ACKNOWLEDGED,
    BOOT,
    CHECKPOINT,
    CLOCK,
    CONTINUES,
    GENESIS,
    MORE,
    TOKEN,
    VERSION,
    clock,
    frame,
    insert,
    length_at,
    put,
    seed,
    words_bytes,
)
from shared_kernel.genesis import BEGUN, DONE, encode
from shared_kernel.kernel import INSERT, PUT, Kernel
from shared_kernel.recovery import recover
from shared_kernel.region import RECORD_MAGIC, Region
from shared_kernel.run import NONE, Run
from shared_kernel.unfinished import candidates, mark_at, marks_of
from tests.faults.harness import CONFIG, Application, Clock, genesis, mount, perform
from tests.faults.harness import Run as Life
from tests.flashsim import Chance, FlashSim, PowerCut, SimulatorError
from tests.model import Model

GEOMETRIES = [
    (14, 1024, 256, 4),
    (22, 1024, 256, 8),
    (12, 4096, 256, 4),
    (20, 512, 256, 8),
    (14, 2048, 512, 32),
    (11, 1024, 256, 1),
]
CRAFTED = (24, 4096, 256, 4)
W = 320  # bytes of one program call under CONFIG


class Still:
    """A flash that can only be read, and always reads the same."""

    def __init__(self, geometry, data):
        self.sectors, self.sector, self.page, self.unit = geometry
        self.data = data

    def read(self, address, buffer):
        buffer[:] = self.data[address : address + len(buffer)]


def by_kernel(geometry, data):
    """Return what recovery makes of an image: "damage", or what it found."""
    found = recover(Region(Still(geometry, data)))
    if found.damage:
        return "damage"
    replay = found.replay
    if replay is None:
        return "blank"
    return (
        replay.seq,
        replay.head,
        replay.kernel.root(),
        replay.boot,
        found.order,
        found.pile,
        found.certain,
        found.acked,
        found.bad,
        [size for _, size in found.cuts],
    )


def by_page(reader, geometry, data):
    """Return what a reader of the page (tools/flash_reader.py) makes of an image, in the same
    form."""
    here = reader.Image(data, geometry[1], geometry[3]).read()
    if here.damage:
        return "damage"
    if here.blank:
        return "blank"
    return (
        here.seq,
        here.head,
        here.root,
        here.boot,
        here.order,
        here.pile,
        here.certain,
        here.acked,
        here.bad,
        [size for _, size in here.cuts],
    )


def resolved(sim):
    """Return the flash as it reads, and with its half-programmed units all as before and all as
    after."""
    out = [bytes(sim.bytes)]
    for way in (0, 1) if sim.torn else ():
        data = bytearray(sim.bytes)
        for i, ways in sim.torn.items():
            data[i * sim.unit : (i + 1) * sim.unit] = ways[way]
        out.append(bytes(data))
    return out


def spoilt(data, sector, chance):
    """Return an image with flipped bits, a sector in part erased or all over weak, or a sector
    copied onto another."""
    data, below = bytearray(data), chance.below
    kind = below(6)
    if kind < 3:
        used = [i for i in range(len(data)) if data[i] != 0xFF] or [0]
        for _ in range(1 + below(2)):
            data[used[below(len(used))] if kind else below(len(data))] ^= 1 << below(8)
    elif kind == 3:
        start = below(len(data))
        size = below(sector - start % sector)
        data[start : start + size] = b"\xff" * size
    elif kind == 4:
        one, other = sector * below(len(data) // sector), sector * below(len(data) // sector)
        data[one : one + sector] = data[other : other + sector]
    else:
        start = below(len(data))
        for i in range(start, min(start + below(200), len(data))):
            data[i] |= below(256)
    return bytes(data)


def lives(geometry, seed, how_many):
    """Yield the flash after each of so many lives of a board, each ended by a power cut, often
    within the boot."""
    chance = Chance(seed)
    sim, clock = FlashSim(*geometry, seed=seed), Clock(seed)
    sim.flicker = chance.below(2) == 0
    policy, application, model = chance.below(2), Application(chance), Model(genesis()[1])
    for _ in range(how_many):
        sim.stuck = {chance.below(sim.sectors): ("wrong", None)} if chance.below(3) == 0 else {}
        try:
            store = mount(sim, clock)
            sim.cut_after(chance.below((30, 300, 3000)[chance.below(3)]))
            for _ in range(60):
                action = application.action(model) if store.kernel else genesis(policy=policy)
                result = perform(store, action)
                for asked, seq in zip(action[1], result) if action[0] == "execute" else ():
                    if isinstance(seq, int):
                        asked[3](model, seq)
        except (PowerCut, QuipuError, SimulatorError):
            # what the store may not do, tests/faults holds
            pass
        sim.power_on()
        yield sim


def puts(store, count=1):
    return [
        store.execute([(PUT, put("name", b"%d" % (store.seq % 1000)), None)]) for _ in range(count)
    ]


def begun(geometry, config=CONFIG):
    """Return (flash, store) of a log with some commands, after a second start."""
    sim = FlashSim(*geometry)
    store = mount(sim, Clock(1))
    perform(store, genesis(config))
    puts(store, 5)
    store = mount(sim, Clock(2))
    puts(store, 5)
    return sim, store


def filled(geometry):
    """Return (flash, store) of a log whose sector has no room for another run."""
    sim, store = begun(geometry)
    while store.end - store.address > 200:
        puts(store)
    return sim, store


def piled(sim, count):
    """Return the flash after so many boots in a row whose runs got no further than the boot frame,
    and erased nothing of the pile."""
    for _ in range(count):
        store = mount(sim, Clock(3))
        store.region.flash = Stubborn(
            sim, [store.region.sector_of(each) for each in store.found.pile]
        )
        try:
            puts(store)
        except PowerCut:
            pass
    return sim


class Stubborn:
    """A flash on which the power goes when one of some sectors is to be erased, or a checkpoint to
    be programmed."""

    def __init__(self, sim, sectors):
        self.sim, self.kept = sim, sectors

    def __getattr__(self, name):
        return getattr(self.sim, name)

    def erase(self, sector):
        if sector in self.kept:
            raise PowerCut
        self.sim.erase(sector)

    def program(self, address, data):
        if bytes(data[:2]) == bytes((VERSION, CHECKPOINT)):
            raise PowerCut
        self.sim.program(address, data)


def rewritten(sim, run):
    """Return the image in which both copies of a run's header are those of `run`."""
    region, data = Region(sim), bytearray(sim.bytes)
    region.read_layout()
    for at in (region.header_at(run.number), region.header_at(run.number) + region.header_size):
        data[at : at + 104] = run.encode()
    return bytes(data)


def crafted(geometry):
    """Yield what chance seldom makes."""
    for count in (1, 2, 3):
        yield bytes(piled(filled(geometry)[0], count).bytes)
        yield bytes(piled(begun(geometry)[0], count).bytes)
    sim, store = begun(geometry)
    run = store.region.run(store.number)
    run.acked = store.seq + 5
    yield rewritten(sim, run)
    data, region = bytearray(sim.bytes), store.region
    last = next(
        each for each in range(store.address - region.unit, 0, -region.unit) if data[each] == 1
    )
    # the last frame once more
    data[store.address : store.address + store.address - last] = data[last : store.address]
    yield bytes(data)
    data = bytearray(sim.bytes)  # a header that was copied to another place, and is lost at its own
    at, free = region.header_at(store.number), region.sectors - 1
    start = free * region.sector + region.record_size
    data[start : start + 104] = data[at : at + 104]
    for each in (at, at + region.header_size):
        data[each + 50] ^= 1
    yield bytes(data)
    data = bytearray(a_run_in_a_record(geometry).bytes)
    yield bytes(data)
    data[max(i for i in range(0, len(data), 1024) if data[i : i + 2] == b"\1\x10")] = 0x53  # torn
    yield bytes(data)
    sim, store = begun(geometry)
    sim.bytes[region.header_at(1)] ^= 1
    sim.bytes[region.header_at(1) + region.header_size + 50] ^= 1
    yield bytes(sim.bytes)
    sim, store = begun(geometry)
    while not 400 < store.limit - store.address < 900:
        puts(store)
    data = bytearray(sim.bytes)  # more than one program call carries
    data[store.address + 4 : store.address + 380] = bytes(376)
    yield bytes(data)
    yield bytes(followed(geometry).bytes)
    yield twice(geometry)
    sim = FlashSim(*geometry)
    perform(mount(sim, Clock(1)), genesis())
    yield bytes(sim.bytes)
    yield from unfinished(geometry)
    yield from erased(geometry)
    for sim in (
        piled(born(geometry)[0], 1),
        piled(begun(geometry)[0], 1),
        piled(filled(geometry)[0], 2),
    ):
        yield from unheld(sim)
    yield from behind(geometry)
    yield from acknowledged(geometry)
    yield from snapshots(geometry)
    yield from chains(geometry)
    yield from half_gone(geometry)


def born(geometry):
    """Return (flash, store) of a log that has its genesis only."""
    sim = FlashSim(*geometry)
    store = mount(sim, Clock(1))
    perform(store, genesis())
    return sim, store


def laid(data, address, *parts):
    """Return an image in which each of these parts stands behind the one before it, from an address
    on, padded to 4 bytes."""
    data = bytearray(data)
    for each in parts:
        data[address : address + len(each)] = each
        address += (len(each) + 3) // 4 * 4
    return bytes(data)


def layouts(geometry):
    """Yield logs of which the record that is read first, or the genesis, says what no log has."""
    sim, store = born(geometry)
    region = store.region
    slot, unit = region.slot_sectors, geometry[3]
    done = mark_at(region, marks_of(region)[0][0]) + region.header_size
    undone = laid(sim.bytes, done, b"\xff" * 8)
    gone = laid(undone, region.frames_at(store.number) + 20, b"\0")  # as good as blank
    for blocks in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        for each in (0, slot, geometry[0] // 2 - 1, geometry[0] // 2):
            for data in (sim.bytes, gone):
                yield laid(data, 0, record(geometry, each, blocks), b"\xff" * (-20 % unit))
    for config in (
        CONFIG,
        (1, 1, 0, 0, 1, 0, 1),
        CONFIG[:5] + (255, 4096),  # its frames are longer than the blocks
        (4096, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 255, 4096),
    ):
        first = frame(GENESIS, encode(config, bytes(16), "t"), 0, 0, 0)
        name = primitives.hash(bytes(32) + first)
        for each, said in ((slot, name), (slot + 1, name), (slot, bytes(32))):
            header = Run(0, NONE, 0, 0, 0, 0, 0, False, said, bytes(32), [], 0).encode()
            start = 2 * each * region.sector
            here = b"\xff" * (geometry[0] * geometry[1])
            here = laid(here, start, record(geometry, each, region.blocks))
            at = start + region.record_size
            here = laid(laid(here, at, header), at + region.header_size, header)
            yield laid(here, at + 2 * region.header_size, first)


def record(geometry, slot, blocks):
    """Return a sector record of a region."""
    words = words_bytes((RECORD_MAGIC, 1 | blocks - 1 << 24, geometry[0] | slot << 16, 0))
    return words + words_bytes((primitives.crc32(words, 0),))


def unfinished(geometry):
    """Yield what a genesis leaves that was not done, or was and its mark is torn."""
    sim, store = born(geometry)
    region = store.region
    sector = next(each for each, _ in marks_of(region))
    other = next(each for each in candidates(region) if each != sector)
    at = mark_at(region, sector)
    done = at + region.header_size
    undone = laid(sim.bytes, done, b"\xff" * 8)
    address = store.address
    for data in (
        undone,
        laid(undone, done + 5, b"\xfe"),
        laid(sim.bytes, mark_at(region, other), BEGUN),
        laid(sim.bytes, mark_at(region, other), BEGUN, b"\xff" * (region.header_size - 8), DONE),
    ):
        yield data
        for place in (address, address // 4096 * 4096 + 4095):
            yield laid(data, place, b"\0")  # the genesis is not all that stands in its sector
        yield laid(data, region.frames_at(store.number) + 20, b"\0")  # no run holds
    puts(store)
    yield laid(sim.bytes, done, b"\xff" * 8)


def chains(geometry):
    """Yield logs whose last run goes on from itself, from a run like it or of another log, or bears
    another chain head; and one whose header begins with a byte that cannot be read."""
    sim, store = begun(geometry)
    yield laid(sim.bytes, store.region.header_at(store.number), b"\0")
    number = store.number
    while store.number == number:
        puts(store)
    region, run = store.region, store.region.run(store.number)
    for prev, head in ((run.number, run.head), (run.prev, b"another." * 4)):
        other = copy.copy(run)
        other.prev, other.head = prev, head
        yield rewritten(sim, other)
    again = copy.copy(run)
    again.number, again.prev = region.base(region.sectors - 3, store.top), run.number
    start = region.frames_at(run.number)
    frames = sim.bytes[start : store.address]
    yield laid(sim.bytes, region.header_at(again.number), again.encode(), again.encode(), frames)
    store.take_snapshot()
    between = region.run(run.prev)
    between.name = b"another." * 4
    yield rewritten(sim, between)


def long_log(geometry):
    """Return (flash, store) of a log that goes over more than two sectors, and two snapshots of its
    end."""
    sim, store = begun(geometry)
    while len({store.region.sector_of(each) for each in store.order}) < 3:
        puts(store)
    for _ in range(2):
        puts(store, 5)
        store.take_snapshot()
    return sim, store


def half_gone(geometry):
    """Yield long logs that have lost their beginning, or of which the second run breaks off, behind
    one in a sector that cannot be erased; and one that has neither beginning nor the first copies of
    its snapshots' headers."""
    sim, store = long_log(geometry)
    region = store.region
    sector = [region.sector_of(each) for each in store.order]
    last = region.run(store.number)
    last.bad = sector[:1]
    half = (sector[1] * 2 + 1) * region.sector // 2
    broken = laid(rewritten(sim, last), half, b"\xff" * (region.sector // 2))
    yield broken
    gone = laid(sim.bytes, sector[0] * region.sector, b"\xff" * region.sector)
    yield gone
    for slot in (0, 1):
        at = slot * region.slot_sectors * region.sector + region.record_size
        gone = laid(gone, at + store.slots[slot].length, b"\0")
        yield gone


def rotten_repeat():
    """Return an image in which the first frame that the newest run repeats has rotted, where nothing
    stands behind its checkpoint: a boot that comes to that may have erased what it repeats. And one
    whose header says that more stands there than its sector holds."""
    sim, store = filled(GEOMETRIES[1])
    number = store.number
    mounted = mount(sim, Clock(3))
    mounted.log_only(CHECKPOINT, b"")
    region, run = mounted.region, mounted.region.run(mounted.number)
    assert run.number > number and run.repeats and run.first + run.repeats + 2 >= mounted.seq
    data = bytearray(sim.bytes)
    data[region.frames_at(run.number) + 20] ^= 1
    end = region.frames_at(run.number) + run.span
    data[end : region.block_end(end - 8)] = b"\xff" * (region.block_end(end - 8) - end)
    far = region.run(run.number)
    far.span = 65535 // 8 * 8
    torn = bytearray(rewritten(sim, far))
    start = region.frames_at(run.number)
    torn[start : (start // region.sector + 1) * region.sector] = b"\xff" * (
        region.sector - start % region.sector
    )
    return bytes(data), bytes(torn)


def torn_marks(geometry):
    """Yield flashes on which nothing stands but some of the bits of a genesis's mark, and perhaps
    others."""
    region = Region(FlashSim(*geometry))
    blank = b"\xff" * (geometry[0] * geometry[1])
    torn = bytes(each | 0x0D for each in BEGUN)
    one, other = (mark_at(region, each) for each in candidates(region))
    for data in (
        laid(blank, one, torn),
        laid(blank, other, torn),
        laid(laid(blank, one, torn), other, torn),
    ):
        yield data
        for place in (one - 1, one + 8, one + region.pad(8), other + 9, 0):
            yield laid(data, place, b"\xfe")
    yield laid(blank, mark_at(region, 3), torn)
    for bad in (b"\0" * 8, BEGUN[:7], BEGUN[:-1] + b"\0"):
        yield laid(blank, one, bad)


def erased(geometry):
    """Yield logs with the mark of an erasing: of them, of another one, of an earlier end, at
    another place."""
    sim, store = begun(geometry)
    region, data = store.region, bytes(sim.bytes)
    at = region.slot_sectors * region.sector + region.record_size
    gone = laid(data, region.ring() * region.sector, b"\xff" * (geometry[1] * 8))
    for number, prev, first, name in (
        (NONE - 1, NONE, store.seq + 1, store.name),
        (NONE - 1, 3, store.seq + 9, store.name),
        (NONE - 1, NONE, store.seq, store.name),
        (NONE - 1, NONE, store.seq + 1, b"another " * 4),
        (NONE - 2, NONE, store.seq + 1, store.name),
    ):
        mark = Run(
            number, prev, first, 0, store.boot, 0, 0, False, name, store.head, [], 0
        ).encode()
        for each in (data, gone):
            yield laid(each, at, mark)
            yield laid(each, at + region.header_size, mark)
            yield laid(laid(each, at, mark), at - 4, b"\0\0\0\0")  # without a valid record
        broken = laid(data, region.frames_at(store.number) + 20, b"\0")  # 9 comes before damage
        yield laid(broken, at, mark)


def unheld(sim):
    """Yield images of a boot's run that does not hold: with what its boot may leave that promised
    nothing, and with more."""
    region, data = Region(sim), bytes(sim.bytes)
    region.read_layout()
    number = region.numbers()[0][0]
    run, at = region.run(number), region.frames_at(number)
    key = seed(run.name)
    for _ in range(run.repeats):
        at += region.pad(length_at(data, at))
    behind = at + region.pad(length_at(data, at))
    data = laid(data, at + 20, b"\0")  # its boot frame is torn
    due, end = run.first + run.repeats, region.frames_at(number) + run.span
    yield data
    # and yet its checkpoint reads as whole
    yield laid(data, behind, frame(CHECKPOINT, bytes(32), due + 1, 0, key))
    for place in (end - 1, end, end + 3, region.block_end(end) - 1):
        yield laid(data, place, b"\0")
    for seq in (due + 1, due + 2):
        clocks = frame(CLOCK, clock(0, 0), seq, 0, key), frame(CLOCK, clock(0, 0), due + 2, 0, key)
        boundary = region.block_end(end - 8)
        yield laid(data, boundary, *clocks[:1])
        yield laid(data, boundary, *clocks)
        yield laid(data, boundary + region.block, clocks[0])
        yield laid(data, end, clocks[0])
    yield laid(data, region.frames_at(number) + 20, b"\0")  # nor do its repeats read
    run.span = region.block_end(region.frames_at(number)) - region.frames_at(number)
    data = laid(data, region.header_at(number), run.encode(), run.encode())
    for place in (-1, 0, 3):
        yield laid(data, region.frames_at(number) + run.span + place, b"\0")


def behind(geometry):
    """Yield what may stand behind the log's end: frames at the places where they are looked for,
    and at others."""
    sim, store = begun(geometry)
    data, region, key = bytes(sim.bytes), store.region, seed(store.name)
    at, limit, due = store.address, store.limit, store.seq + 1

    def made(seq, tick=0):
        return frame(CLOCK, clock(0, 0), seq, tick, key)

    torn = made(due)[:-1] + b"\0"
    for seq in (due, due + 1):
        for tick in (0, CONTINUES << 24, MORE << 24):
            each = made(seq, tick)
            yield laid(data, limit, each)  # at a boundary, although it had room before
            yield laid(data, limit + region.block, each)
            yield laid(data, at, each)
            yield laid(data, at, torn, each)
            yield laid(data, at, torn, made(due), each)
            yield laid(data, at, torn, b"\0\0\0\0", each)
            yield laid(data, limit, torn, each)
            yield laid(data, limit + region.block, b"\2", b"\0\0\0\0", each)
    full = begun(geometry)[1]
    while full.limit - full.address > 200:
        puts(full)
    room, due = full.limit - full.address, full.seq + 1
    # with padding, what is left of the block, and a unit more and less
    for size in (room, room + 4, room - 4):
        for more in (0, 1):
            each = frame(0x87, bytes(size - 16 - 3 * more), due, 0, key)
            yield laid(full.region.flash.bytes, full.limit, each)
            yield laid(full.region.flash.bytes, full.address, each)
    for count in (W - 1, W, W + 1):
        if at + count < limit:
            yield laid(data, at, bytes(count))
    lost = begun(geometry)[1]
    # neither copy of a header can be read, in a sector that is free
    rotten = bytearray(lost.region.flash.bytes)
    start = (region.sectors - 3) * region.sector + region.record_size
    frames_at = start + 2 * region.header_size
    for first in (0x54, 0, 0x53):
        rotten[start] = first
        boots = frame(BOOT, bytes(44), lost.seq + 1, 0, key)
        roots = [
            frame(kind, bytes(32), lost.seq + more, 0, key)
            for kind, more in ((CHECKPOINT, 2), (CHECKPOINT, 1), (0x87, 2), (CHECKPOINT, 3))
        ]
        for parts in (
            (boots,),
            (boots, roots[0]),
            (roots[1],),
            (boots, roots[2]),
            (boots, roots[0], roots[3]),
            (made(3), made(lost.seq + 1)),
        ):
            yield laid(rotten, frames_at, *parts)
    run = Run(0, NONE, 0, 0, 0, 0, 0, False, store.name, store.head, [], 0)
    run.number = 7 * region.turn + 5  # a header that fits, but leads elsewhere, is none
    yield laid(laid(rotten, start, run.encode(), run.encode()), frames_at, made(lost.seq + 5))


def acknowledged(geometry):
    """Yield logs that say in a frame what the laptop has: of all, of more than there is, in too few
    bytes."""
    sim, store = begun(geometry)
    for payload in (
        (store.seq + 1).to_bytes(4, "little"),
        (store.seq + 9).to_bytes(4, "little"),
        b"",
        b"\1\2\3",
    ):
        for kind in (ACKNOWLEDGED, ACKNOWLEDGED | TOKEN):
            payload = bytes(8) * (kind > 0xC0) + payload
            yield laid(
                sim.bytes, store.address, frame(kind, payload, store.seq + 1, 0, seed(store.name))
            )


def snapshots(geometry):
    """Yield logs with two snapshots of which one or both are rotten, past the end, or alike in
    number."""
    sim, store = begun(geometry)
    store.take_snapshot()
    puts(store, 5)
    store.take_snapshot()
    puts(store, 3)
    region, data = store.region, bytes(sim.bytes)
    size = store.slots[0].length
    places = [slot * region.slot_sectors * region.sector + region.record_size for slot in (0, 1)]
    newer = 0 if store.slots[0].generation > store.slots[1].generation else 1
    at = places[newer]
    assert size < region.body
    pad = region.pad(124)
    yield laid(data, at + 60, b"\0")
    yield laid(data, at + 8, b"\0")  # another configuration
    yield laid(data, at + size, b"\0")
    yield laid(data, at + size, b"\0" * (pad + 8))
    yield laid(laid(data, at + 60, b"\0"), places[1 - newer] + 60, b"\0")
    for field, value in (
        ("seq", store.seq),
        ("seq", store.seq + 1),
        ("seq", 0),
        ("generation", store.slots[1 - newer].generation),
        ("generation", 0),
        ("head", bytes(32)),
        ("name", bytes(32)),
        ("length", size + 1024),
        ("root", bytes(32)),
    ):
        header = copy.copy(store.slots[newer])
        setattr(header, field, value)
        yield laid(data, at + size, header.encode(), header.encode())
    other = Kernel((4096, 0, 0, 0, 0, 0, 0))  # whose frames no block of this region holds
    header = copy.copy(store.slots[newer])
    header.root, header.length = other.root(), len(other.arena.bytes)
    assert region.slot_size(header.length) == region.slot_sectors
    yield laid(data, at, bytes(other.arena.bytes), header.encode(), header.encode())


def followed(geometry):
    """Return the flash with two runs that follow, each of one group: the first one's second group
    could not be programmed."""
    sim, store = filled(geometry)
    number = store.number
    while store.number == number:
        puts(store)
    sim.stuck = {store.region.sector_of(store.number): ("wrong", None)}
    puts(store)
    sim.stuck = {}
    return sim


def twice(geometry):
    """Return the image of a pile's run of which a copy, as a newer run, stands in the next block of
    its sector."""
    sim = piled(filled(geometry)[0], 1)
    region, data = Region(sim), bytearray(sim.bytes)
    region.read_layout()
    number = region.numbers()[0][0]
    run, end = region.run(number), region.block_end(region.frames_at(number))
    size = end - region.frames_at(number)
    run.number += 1
    data[region.frames_at(number + 1) : region.frames_at(number + 1) + size] = data[
        region.frames_at(number) : end
    ]
    sim.bytes[:] = data
    return rewritten(sim, run)


def a_run_in_a_record(geometry):
    """Return the flash whose last command is an insert that begins a block and has a run's header,
    and a frame of that, where the second copy of the block's header would be. It would void three
    acknowledged commands."""
    sim, store = begun(geometry, (140, 8, 2, 2, 4, 4, 16))
    region = store.region
    early, head = store.seq + 1, store.head
    puts(store, 3)
    while store.limit - store.address >= 580 or store.limit == store.end:
        puts(store)
    at = store.limit
    number = (
        store.number
        - store.number % region.blocks
        + at % region.sector // region.block
        + region.turn
    )
    run = Run(
        number, store.number, early, 0, store.boot, 0, 0, False, store.name, head, [], 64
    ).encode()
    inside = frame(CLOCK, clock(0, 0), early, 0, seed(store.name))
    body = bytearray(18 + 560)
    for place, each in ((region.header_size, run), (2 * region.header_size, inside)):
        body[place : place + len(each)] = each
    store.execute(
        [
            (
                INSERT,
                insert(
                    [
                        int.from_bytes(body[i : i + 4], "little", signed=True)
                        for i in range(18, 578, 4)
                    ]
                ),
                None,
            )
        ]
    )
    assert bytes(sim.bytes[at : at + 2]) == b"\1\x10" and run in sim.bytes[at : at + 700]
    return sim


def flashes(number, geometry, count=4):
    """Return flashes after a power cut in a life, and after each of several in a row."""
    life = Life(FlashSim(*geometry), number + 1, 60, policy=number % 2)
    steps = life.steps()
    found = [sim for sim, _, _ in life.cuts(steps[:: len(steps) // 12])]
    for each in range(count):
        found += [sim.clone(0) for sim in lives(geometry, 100 * number + each, 7)]
    return found


def readings(sim, most=4):
    """Yield the image for each way in which the half-programmed units may read, up to `most` of
    them each its own way."""
    torn = sorted(sim.torn)
    for way in range(1 << min(len(torn), most)):
        data = bytearray(sim.bytes)
        for k, i in enumerate(torn):
            data[i * sim.unit : (i + 1) * sim.unit] = sim.torn[i][way >> min(k, most - 1) & 1]
        yield bytes(data)


@functools.cache
def images():
    """Return [(geometry, image, what the kernel makes of it)]."""
    found = [(CRAFTED, each) for each in crafted(CRAFTED)]
    found += [
        (geometry, each) for geometry in (CRAFTED, GEOMETRIES[4]) for each in torn_marks(geometry)
    ]
    found += [
        (geometry, each) for geometry in (CRAFTED, GEOMETRIES[3]) for each in layouts(geometry)
    ]
    found += [(GEOMETRIES[1], each) for each in rotten_repeat()]
    for number, geometry in [*enumerate(GEOMETRIES), (8, GEOMETRIES[3])]:
        chance = Chance(number)
        for sim in flashes(number, geometry):
            here = resolved(sim)
            here += [spoilt(each, sim.sector, chance) for each in here for _ in range(2)]
            found += [(geometry, each) for each in here]
    return [(geometry, data, by_kernel(geometry, data)) for geometry, data in found]
