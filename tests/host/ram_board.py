"""A board in this process: the real store on a flash in RAM, with the verbs that a sync asks of one
and no link. What it was told is kept, and handed to whoever wants to judge it."""

from types import SimpleNamespace

from quipu.board.verbs import Layout

from shared_kernel import frames as f
from shared_kernel import pull
from shared_kernel.errors import QuipuError
from shared_kernel.kernel import u32
from tests.host.sample import RamFlash, mount

NOW = 1_790_000_000_000  # ms since 1970


class RamBoard:
    """A board behind no link. memory: its flash's bytes, copied; told: called with each seq below
    which it hears that all is safe."""

    protocol = 2
    damage = None

    def __init__(self, memory, told=lambda seq: None):
        self.flash = RamFlash(len(memory) // 4096)
        self.flash.memory[:] = memory
        self.store = mount(self.flash)
        self.log = bytes(self.store.name)
        self.region = len(memory)
        self.link = SimpleNamespace(sent=0, received=0, printed_bytes=0)
        self.told = told
        self.asked = 0  # frames that it was asked to append

    def info(self):
        store = self.store
        first = store.first()
        return {
            "configured": True,
            "board": "sample/0102",
            "log": self.log.hex(),
            "damage": None,
            "seq": store.seq,
            "head": bytes(store.head).hex(),
            "root": bytes(store.kernel.root()).hex(),
            "first_seq": first.first,
            "first_head": bytes(first.head).hex(),
            "acknowledged": store.acked,
        }

    def clock(self, uncertainty_ms=0):
        self.asked += 1
        return self.store.log_only(f.CLOCK, f.clock(NOW, uncertainty_ms))

    def checkpoint(self):
        self.asked += 1
        return self.store.log_only(f.CHECKPOINT, b"")

    def snapshot_header(self):
        try:
            slot, header = self.store.newest_snapshot()
        except QuipuError:
            return None
        return slot, header.encode()

    def snapshot_data(self, slot, generation, offset, size):
        return bytes(self.store.read_snapshot(slot, generation, offset, size))

    def layout(self, seq, head, hold=False):
        words = pull.layout(self.store, seq, head[:8], hold)
        numbers = [u32(words, i) for i in range(0, len(words), 4)]
        first, certain, address, sector, sectors, block, unit, total, *runs = numbers
        slots = sectors >> 16
        sectors &= 0xFFFF
        return Layout(
            first, certain, address, sector, sectors, slots, block, unit, total, tuple(runs)
        )

    def read_region(self, address, size):
        return bytes(self.flash.memory[address : address + size])

    def frames(self, seq, head):
        return bytes(self.store.read_frames(seq, head[:8]))

    def acknowledge(self, seq):
        self.told(seq)
        self.store.acknowledge(seq)
        return self.store.seq
