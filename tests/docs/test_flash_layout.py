"""docs/format.md on flash: what a Store leaves there is read by the page's description alone, over power cuts, retries and
rotation, and must be what the Store and its recovery say."""

import random

import pytest

from shared_kernel import frames
from shared_kernel import kernel as k
from shared_kernel.recovery import Recovery
from shared_kernel.store import Store
from tests.docs.flash_reader import Image
from tests.docs.logs import Wanderer, b3
from tests.flashsim import FlashSim, PowerCut
from tools import verifier
from tools.verifier import Broken, verify

FLASH_CONFIG = (2, 8, 6, 8, 4, 5, 7)
GEOMETRIES = [(24, 1024, 256, 4), (20, 1024, 256, 8), (14, 2048, 512, 32), (16, 1024, 1024, 16)]


class Board:
    """A Store on a simulated flash, commanded at random; kept: every frame it wrote."""

    def __init__(self, geometry, policy=frames.STOP, config=FLASH_CONFIG):
        self.flash = FlashSim(*geometry)
        self.ms = 0
        self.mount()
        self.store.configure(config, bytes(range(16)), "flash", policy)
        self.random = random.Random(repr(geometry))
        self.wanderer = Wanderer(self.store, 1)
        self.kept = []

    def mount(self):
        self.store = Store(self.flash, lambda: self.ms)

    def work(self, groups):
        """Give groups of commands, and acknowledge what they wrote."""
        self.keep()
        self.wanderer.log = self.store
        ids = self.wanderer.ids
        for _ in range(groups):
            drawn = [self.wanderer.draw() for _ in range(self.random.randrange(1, 5))]
            for (kind, _), seq in zip(drawn, self.store.execute([(*each, None) for each in drawn]), strict=True):
                label = {k.INSERT: "record", k.CREATE_NODE: "node", k.CREATE_EDGE: "edge"}.get(kind)
                if label and isinstance(seq, int):
                    ids[label].append(seq)
            self.ms += 10
        self.keep()

    def keep(self):
        self.pull()
        self.store.acknowledge(len(self.kept))
        self.pull()  # that may have written a frame

    def pull(self):
        while True:
            seq = len(self.kept)
            head = bytes(32)
            if seq:
                head = self.head
            data = bytes(self.store.read_frames(seq, head[:8]))
            if not data:
                break
            for frame in verifier.split(data):
                self.kept.append(frame)
                head = b3(head + frame)
            self.head = head

    def head_before(self, seq):
        head = bytes(32)
        for frame in self.kept[:seq]:
            head = b3(head + frame)
        return head

    def image(self):
        flash = self.flash
        return Image(flash.bytes, flash.sector, flash.page, flash.unit)

    def compare(self):
        """Read the flash by the page, and hold it against the store and a recovery."""
        image = self.image()
        found = image.frames()
        first = int.from_bytes(found[0][4:8], "little")
        assert first >= image.order[0][1]["first"] and found == self.kept[first:]
        mine = Recovery(self.store.region)
        assert (image.seq, image.head) == (self.store.seq, self.store.head) == (mine.replay.seq, mine.replay.head)
        assert (image.end, image.slot_sectors, [each for each, _ in image.order]) == (
            mine.address, self.store.region.slot_sectors, mine.order)
        snapshots = image.snapshots()
        assert len(snapshots) == sum(each is not None for each in self.store.slots)
        root = self.store.kernel.root()
        if first == 0:
            assert verify(b"".join(found)) == (image.seq, image.head, root)
        for each in snapshots:
            after = int.from_bytes(each[8:12], "little") + 1
            assert verify(b"".join(self.kept[after:]), each) == (image.seq, image.head, root)
        return image


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_page_alone_reads_a_flash(geometry):
    board = Board(geometry)
    for turn in range(3):
        board.work(8)
        image = board.compare()
        assert image.order[0][1]["first"] == 0 and (turn or image.snapshots() == [])
        board.mount()
    while image.order[0][1]["first"] == 0:  # until the ring has come round
        board.work(20)
        board.store.take_snapshot()
        board.keep()
        board.mount()
        image = board.image()
    assert len(image.snapshots()) == 2
    board.work(10)
    board.compare()


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_page_alone_reads_over_power_cuts(geometry):
    board = Board(geometry)
    cuts = 0
    for steps in range(1, 60):
        board.flash.cut_after(steps)
        with pytest.raises(PowerCut):
            while True:
                board.work(1)
        board.flash.power_on()
        board.mount()
        image = board.image()
        image.frames()
        assert (image.seq, image.head, image.end) == (board.store.seq, board.store.head, board.store.address)
        covered = max([each.seq for each in board.store.slots if each], default=-1)  # where the store began to read
        assert [each for each in image.cuts if each[0] > covered] == board.store.cuts
        cuts = max(cuts, len(image.cuts))
        board.work(2)
        board.compare()
    assert cuts > 0 and len(board.kept) > 100


def test_the_page_alone_reads_over_a_retried_group():
    board = Board(GEOMETRIES[0])
    board.work(3)
    board.flash.stuck[board.store.order[-1]] = ("wrong", None)
    last = board.store.order[-1]
    board.work(1)
    assert board.store.order[-1] != last
    image = board.compare()
    record = image.order[-1][1]
    old = image.order[-2][0]
    assert record["first"] > image.order[-2][1]["first"]
    assert any(image.frame(at, (old + 1) * image.sector, record["first"] - 1)
               for at in range(old * image.sector, (old + 1) * image.sector, image.unit))


def test_a_boot_frame_goes_before_a_torn_frame_that_reads_well_again():
    """Three times in one sector: the second and third boot frame must go before the frames torn before them too."""
    board = Board((16, 4096, 256, 4))
    for _ in range(3):
        board.work(2)
        end = board.store.address
        while board.store.address == end:
            board.work(1)
        end = board.store.address
        last = board.flash.bytes[end - 4 : end]
        board.flash.bytes[end - 4 : end] = b"\xff" * 4  # how a half-programmed unit may read
        torn = board.kept.pop()
        board.head = board.head_before(len(board.kept))
        board.mount()
        assert (board.store.seq, board.store.damage) == (len(board.kept) - 1, None)
        board.work(3)
        board.flash.bytes[end - 4 : end] = last  # and how it may read later
        assert torn in [each for _, each, _ in board.image().whole(0, len(board.flash.bytes))]
        board.compare()
        board.mount()


def test_a_boot_frame_of_another_head_is_damage_to_both():
    board = Board(GEOMETRIES[0])
    board.work(2)
    boot = frames.frame(frames.BOOT, frames.boot(1, b3(b"another"), 0), board.store.seq + 1, 0, frames.seed(board.store.name))
    board.flash.bytes[board.store.address : board.store.address + len(boot)] = boot
    with pytest.raises(Broken):
        board.image().frames()
    assert "chain head in the boot frame" in Recovery(board.store.region).damage


def test_missing_frames_on_flash_are_damage_to_both():
    board = Board(GEOMETRIES[0])
    while len(board.store.order) < 4:
        board.work(1)
    image = board.image()
    sector = image.order[1][0]
    for address in (sector * image.sector + image.frames_at + 5, sector * image.sector + image.open_at + 9):
        board.flash.flip(address, 2)
        with pytest.raises(Broken):
            board.image().frames()
        assert Recovery(board.store.region).damage
        board.flash.flip(address, 2)
    assert board.image().frames() and Recovery(board.store.region).damage is None


def test_a_recycled_beginning_needs_a_snapshot():
    board = Board(GEOMETRIES[1], frames.OVERWRITE)
    while board.image().order[0][1]["first"] == 0:
        board.work(4)
    board.compare()
    for slot in (0, 1):
        header = board.image().slot(slot).find(b"QSNP")
        inside = header % board.store.region.body
        sector = slot * board.store.region.slot_sectors + header // board.store.region.body
        board.flash.flip(sector * board.flash.sector + board.store.region.open_at + inside + 40, 1)
    assert board.image().snapshots() == []
    assert "no snapshot is valid" in Recovery(board.store.region).damage
