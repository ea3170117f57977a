"""An archive with everything in it, made by the real store on a flash in RAM: no board, no link."""

import random
from pathlib import Path

from quipu.archive.chain import whole_frames
from quipu.archive.files import Archive, Note

from shared_kernel import frames as f
from shared_kernel import kernel as k
from shared_kernel import primitives
from shared_kernel.errors import QuipuError
from shared_kernel.store import Store, _flush

CONFIG = (4, 32, 16, 16, 8, 8, 8)
TOKEN = b"a token!"


class RamFlash:
    """NOR flash in RAM: programming clears bits of erased units, within a page."""

    def __init__(self, sectors=24, sector=4096, page=256, unit=4):
        self.sectors, self.sector, self.page, self.unit = sectors, sector, page, unit
        self.memory = bytearray(b"\xff" * (sectors * sector))

    def read(self, address, buffer):
        buffer[:] = self.memory[address : address + len(buffer)]

    def program(self, address, data):
        assert address // self.page == (address + len(data) - 1) // self.page
        assert set(self.memory[address : address + len(data)]) <= {0xFF}
        self.memory[address : address + len(data)] = data

    def erase(self, sector):
        self.memory[sector * self.sector : (sector + 1) * self.sector] = b"\xff" * self.sector


class Ticks:
    def __init__(self):
        self.ms = 0

    def __call__(self):
        self.ms += 7
        return self.ms & 0x3FFFFFFF


def mount(flash):
    return Store(flash, Ticks())


def begin(flash, entropy=bytes(range(16)), config=CONFIG, policy=0):
    store = mount(flash)
    store.configure(config, entropy, "sample/0102", policy)
    return store


def give(store, kind, payload, token=None):
    result = store.execute([(kind, payload, token)])[0]
    if isinstance(result, QuipuError):
        raise result
    return result


def every_type(store):
    """Append at least one frame of every type that a store writes (a boot frame comes with a new
    mount)."""
    first = give(store, k.INSERT, f.insert([1, -2, 3, 1 << 30], 7, b"meta"), TOKEN)
    second = give(store, k.INSERT, f.insert([5, 6, 7, 8]))
    give(store, k.UPDATE, f.update(first, tag=9))
    give(store, k.UPDATE, f.update(second, meta=b"new"))
    node = give(store, k.CREATE_NODE, f.create_node(1, first))
    other = give(store, k.CREATE_NODE, f.create_node(2))
    edge = give(store, k.CREATE_EDGE, f.create_edge(3, node, other))
    give(store, k.CREATE_EDGE, f.create_edge(4, other, other), TOKEN)
    give(store, k.PUT, f.put("name", b"value"))
    give(store, k.PUT, f.put("name", b"value"))
    give(store, k.PUT, f.put("other", b""))
    give(store, k.DELETE_EDGE, f.ident(edge))
    give(store, k.DELETE_KEY, f.delete_key("other"))
    give(store, k.DELETE_NODE, f.ident(other))
    give(store, k.DELETE, f.ident(second))
    store.log_only(f.CLOCK, f.clock(1_700_000_000_000, 20))
    store.log_only(f.CHECKPOINT, b"")
    store.call(note, store)


def note(store):
    """Append what a store writes when the host has acknowledged a sector's frames, and of a
    skippable type of a later version."""
    store._small(f.ACKNOWLEDGED, bytes(4), False)
    store._small(f.QUARANTINE, b"\5\0", False)
    _flush(store)


def wander(store, count, seed=0):
    """Append about `count` inserts, puts and deletions."""
    rng = random.Random(seed)
    live = []
    for _ in range(count):
        if len(live) > 20:
            give(store, k.DELETE, f.ident(live.pop(0)))
        elif rng.random() < 0.7:
            live.append(
                give(
                    store,
                    k.INSERT,
                    f.insert(
                        [rng.randrange(-9, 9) << 16 for _ in range(4)], rng.randrange(4), b"m"
                    ),
                )
            )
        else:
            give(store, k.PUT, f.put(f"k{rng.randrange(3)}", bytes([rng.randrange(9)])))
    for each in live:
        give(store, k.DELETE, f.ident(each))


def pulled(store, path):
    """Put everything that a store has into an archive, as a sync does; into an existing one, what
    is new."""
    path = Path(path)
    if (path / "archive.json").exists():
        archive = Archive(path)
        chain = archive.scan().chain
        seq, head = chain.seq, chain.head
    else:
        archive = Archive.create(path, store.name, "sample/0102")
        seq, head = -1, bytes(32)
    while data := bytes(store.read_frames(seq + 1, head[:8])):
        archive.append(data)
        for frame in whole_frames(data):
            seq, head = seq + 1, primitives.hash(head + frame)
    try:
        slot, header = store.newest_snapshot()
    except QuipuError:
        header = None
    if header:
        data = header.encode()
        while part := bytes(
            store.read_snapshot(slot, header.generation, len(data) - len(header.encode()), 1024)
        ):
            data += part
        archive.add_snapshot(header.seq, data)
    assert (seq, head) == (store.seq, store.head)
    archive.flush()
    archive.write_note(Note(seq, head, store.kernel.root(), 1_700_000_000_123))
    archive.close()
    return archive


def sample(path):
    """Make an archive at path with frames of every type, two boots, a torn tail's skipped bytes and
    two snapshots; return (archive, store)."""
    flash = RamFlash()
    store = begin(flash)
    every_type(store)
    store.take_snapshot()
    pulled(store, path)
    give(store, k.PUT, f.put("cut", b"here"))
    flash.program(store.address, b"\x01\x10\x00\x00")  # a frame that a power cut tore
    store = mount(flash)
    every_type(store)
    wander(store, 150)
    store.take_snapshot()
    every_type(store)
    return pulled(store, path), store
