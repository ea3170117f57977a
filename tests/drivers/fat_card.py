"""The store over FatFlash over MicroPython's own VfsFat over a card in RAM, cut at writes of
blocks. Runs under MicroPython only; prints how many blocks a run wrote, how many sectors it opened,
and how many cuts were survived.

A cut leaves the block in hand as it was, as it should be, in part, or as noise; a breakage that
writes less than whole blocks, or flushes, is found out because the card counts writes outside of
the file.

    micropython fat_card.py SEED ACTIONS EVERY [BREAKAGE]
"""

import errno
import os
import sys

import vfs
from quipu import startup
from quipu.fat_flash import FatFlash

from shared_kernel.store import Store
from tests.faults.harness import Application, Clock, Witness, genesis
from tests.flashsim import Chance, PowerCut

BLOCK, BLOCKS, SECTOR, SECTORS = 512, 600, 8192, 16
PATH = "/f/quipu.log"


class Card:
    """A card's blocks. writes: counted; cut_at: the write in which the power goes; file: (first
    block, block after the last) that may be written, once known; failing: the number of writes to
    refuse."""

    def __init__(self, seed):
        self.bytes = bytearray(BLOCKS * BLOCK)
        self.chance = Chance(seed)
        self.writes = self.failing = 0
        self.cut_at = self.file = None
        self.gone = False

    def readblocks(self, block, buffer):
        if self.gone:
            return -errno.EIO
        buffer[:] = self.bytes[block * BLOCK : block * BLOCK + len(buffer)]

    def writeblocks(self, block, data):
        if self.gone:
            return -errno.EIO
        if self.failing:
            self.failing -= 1
            return -errno.EIO
        for i in range(len(data) // BLOCK):
            self.write(block + i, data[i * BLOCK : (i + 1) * BLOCK])

    def write(self, block, data):
        if self.file and not self.file[0] <= block < self.file[1]:
            raise AssertionError(
                "block %d is not the file's: its directory or FAT is written while the log is in "
                "use" % block
            )
        at = block * BLOCK
        if self.writes == self.cut_at:
            n, kind = self.chance.below(BLOCK + 1), self.chance.below(5)
            if kind == 0:
                data = self.bytes[at : at + BLOCK]
            elif kind == 1:
                data = bytes(data[:n]) + self.bytes[at + n : at + BLOCK]
            elif kind == 2:
                data = bytes(self.bytes[at : at + n]) + bytes(data[n:])
            elif kind == 3:
                data = bytes([self.chance.bits() >> 9 & 255 for _ in range(BLOCK)])
            self.bytes[at : at + BLOCK] = data
            self.gone = True
            raise PowerCut()
        self.writes += 1
        self.bytes[at : at + BLOCK] = data

    def ioctl(self, what, argument):
        return {4: BLOCKS, 5: BLOCK}.get(what, 0)


class Flushing(FatFlash):
    """A breakage: each write is flushed, which writes the directory's block."""

    def program(self, address, data):
        super().program(address, data)
        self._file.flush()


class Small(FatFlash):
    """A breakage: units of 256, so a block with acknowledged frames is written again."""

    unit = page = 256

    def program(self, address, data):
        block = bytearray(BLOCK)
        self.read(address // BLOCK * BLOCK, block)
        block[address % BLOCK : address % BLOCK + len(data)] = data
        super().program(address // BLOCK * BLOCK, block)


def facts(size=SECTORS * SECTOR, sector=SECTOR):
    return {
        "driver": "fat",
        "log": {"path": PATH, "size": size},
        "geometry": {"sector": sector, "page": BLOCK, "unit": BLOCK},
    }


def mount(card):
    try:
        vfs.umount("/f")
    except OSError:
        pass
    vfs.mount(vfs.VfsFat(card), "/f")


def new_card(seed, size=SECTORS * SECTOR):
    """Return a card with the file on it, as a laptop leaves it, mounted."""
    card = Card(seed)
    vfs.VfsFat.mkfs(card)
    mount(card)
    with open("/f/other.txt", "w") as f:
        f.write("the user's own")
    with open(PATH, "wb") as f:
        for _ in range(size // BLOCK):
            f.write(b"\xff" * BLOCK)
    mount(card)
    first = card.bytes.find(b"\xff" * BLOCK) // BLOCK
    assert card.bytes[first * BLOCK : first * BLOCK + size] == b"\xff" * size, (
        "the file is in one piece"
    )
    card.file = first, first + size // BLOCK
    return card


def flash_on(kind):
    return startup.open_flash(facts()) if kind is FatFlash else kind(PATH, SECTORS * SECTOR, SECTOR)


def run(card, kind, seed, actions, cut):
    witness, clock, chance = Witness(), Clock(seed), Chance(seed)
    application = Application(chance)
    begun = card.writes
    if cut is not None:
        card.cut_at = begun + cut
    store = Store(flash_on(kind), clock)
    try:
        for _ in range(actions):
            witness.act(store, application.action(witness.model) if witness.model else genesis())
    except PowerCut:
        card.gone = False
        card.cut_at = None
        mount(card)
        before = bytes(card.bytes)
        store = Store(flash_on(kind), clock)
        assert card.bytes == before, "recovery writes nothing"
        witness.booted(store)
        if not witness.model:
            witness.act(store, genesis())
        for _ in range(3):
            witness.act(store, application.action(witness.model))
        witness.booted(Store(flash_on(kind), clock))
        return 1
    assert cut is None, "the cut at write %d was never met" % cut
    with open("/f/other.txt") as f:
        assert f.read() == "the user's own"
    assert os.stat(PATH)[6] == SECTORS * SECTOR
    return card.writes - begun, store.top // store.region.blocks


def refused(words, changed):
    try:
        startup.open_flash(changed)
    except ValueError as e:
        assert words in str(e), e
        return
    raise AssertionError("not refused: %r" % changed)


def rules():
    """What is refused, and that an error of the card passes."""
    card = new_card(1)
    refused("not whole sectors", facts(sector=8000))
    refused("not whole sectors", facts(size=SECTORS * SECTOR + 512))
    refused("not whole sectors", facts(size=0))
    refused("has 131072 bytes, the log needs 139264", facts(size=(SECTORS + 1) * SECTOR))
    flash = startup.open_flash(facts())
    for act, args in (
        (flash.program, (0, b"short")),
        (flash.program, (256, bytes(BLOCK))),
        (flash.erase, (SECTORS,)),
        (flash.erase, (-1,)),
        (flash.program, (SECTORS * SECTOR, bytes(BLOCK))),
        (flash.read, (SECTORS * SECTOR - 1, bytearray(2))),
    ):
        try:
            act(*args)
        except OSError:
            continue
        raise AssertionError("not refused: %r" % (args,))
    assert card.bytes[card.file[0] * BLOCK : card.file[1] * BLOCK] == b"\xff" * (
        SECTORS * SECTOR
    ), "nothing was written"
    card.failing = 1
    try:
        flash.program(0, bytes(BLOCK))
        raise AssertionError("the card's error was swallowed")
    except OSError:
        pass
    flash.program(0, b"after" + bytes(BLOCK - 5))
    flash.read(0, part := bytearray(5))
    assert part == b"after", "the file is opened anew after an error"
    card.file = None
    os.remove(PATH)
    refused("has 0 bytes, the log needs 131072", facts())
    assert os.listdir("/f") == ["other.txt"], "a missing file is not made"


def main(seed, actions, every, breakage=None):
    rules()
    kind = {None: FatFlash, "flushing": Flushing, "small": Small}[breakage]
    seed, actions, every = int(seed), int(actions), int(every)
    total, opened = run(new_card(seed), kind, seed, actions, None)
    cuts = sum(
        [
            run(new_card(seed + cut), kind, seed, actions, cut)
            for cut in range(every // 2, total, every)
        ]
    )
    print(total, opened, cuts)


main(*sys.argv[1:])
