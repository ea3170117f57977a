"""docs/format.md on flash: what a Store leaves there is read by the page's description alone, over
power cuts, retries and rotation, and must be what the Store and its recovery say.
tests/docs/test_same_reading.py does so for images of every kind."""

import random

import pytest

from shared_kernel import frames
from shared_kernel import kernel as k
from shared_kernel.recovery import recover
from shared_kernel.store import Store
from tests.docs.logs import Wanderer, b3
from tests.flashsim import FlashSim, PowerCut
from tools import verifier
from tools.flash_reader import Image
from tools.verifier import verify

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
            for (kind, _), seq in zip(
                drawn, self.store.execute([(*each, None) for each in drawn]), strict=True
            ):
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
        return Image(flash.bytes, flash.sector, flash.unit).read()

    def compare(self):
        """Read the flash by the page, and hold it against the store and a recovery."""
        image = self.image()
        assert image.damage is None and not image.blank
        found = list(image.frames())
        first = image.chain[0].first
        assert [seq for seq, _ in found] == list(range(first, len(self.kept))) and [
            frame for _, frame in found
        ] == self.kept[first:]
        mine = recover(self.store.region)
        root = self.store.kernel.root()
        assert (image.seq, image.head, image.root) == (self.store.seq, self.store.head, root)
        assert (image.seq, image.head, image.root) == (
            mine.replay.seq,
            mine.replay.head,
            mine.replay.kernel.root(),
        )
        assert (image.extent_.end, image.slot_sectors, image.order) == (
            mine.end,
            self.store.region.slot_sectors,
            mine.order,
        )
        snapshots = self.snapshots(image)
        assert len(snapshots) == sum(each is not None for each in self.store.slots)
        if first == 0:
            assert verify(b"".join(self.kept)) == (image.seq, image.head, root)
        for each in snapshots:
            after = int.from_bytes(each[8:12], "little") + 1
            assert verify(b"".join(self.kept[after:]), each) == (image.seq, image.head, root)
        return image

    @staticmethod
    def snapshots(image):
        return [b"".join(image.snapshot(slot)) for slot in (0, 1) if image.snapshots[slot]]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_page_alone_reads_a_flash(geometry):
    board = Board(geometry)
    for turn in range(3):
        board.work(8)
        image = board.compare()
        assert image.chain[0].first == 0 and (turn or None in image.snapshots)
        board.mount()
    while image.chain[0].first == 0:  # until the ring has come round
        board.work(20)
        board.store.take_snapshot()
        board.keep()
        board.mount()
        image = board.image()
    assert None not in image.snapshots
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
        assert (image.damage, image.seq, image.head) == (None, board.store.seq, board.store.head)
        assert [size for _, size in image.cuts] == [size for _, size in board.store.cuts]
        cuts = max(cuts, len(image.cuts))
        board.work(2)
        board.compare()
    assert cuts > 0 and len(board.kept) > 100


def test_the_page_alone_reads_over_a_retried_group():
    board = Board(GEOMETRIES[0])
    board.work(3)
    bad = board.store.region.sector_of(board.store.number)
    board.flash.stuck[bad] = ("wrong", None)
    board.work(1)
    assert board.store.region.sector_of(board.store.number) != bad and board.store.bad == [bad]
    image = board.compare()
    run, old = image.chain[-1], image.chain[-2]
    assert (run.follows, run.repeats, run.prev, run.bad) == (True, 0, old.number, [bad])
    void = [seq for seq, _, _ in image.extent(old).frames if seq >= run.first]
    board.flash.stuck.clear()
    board.mount()
    board.work(2)
    assert board.compare().bad == [bad] and isinstance(void, list)


def test_a_boots_run_repeats_the_last_group_and_goes_on_behind_it():
    board = Board((16, 4096, 256, 4))
    for _ in range(3):
        board.work(2)
        board.mount()
        board.work(1)
        image = board.compare()
        run, old = image.chain[-1], image.chain[-2]
        assert run.first + run.repeats == image.extent(old).due and run.repeats and not run.follows
        frames_of = dict((seq, frame) for seq, _, frame in image.extent(run).frames)
        assert frames_of[run.first + run.repeats][1] == frames.BOOT
        assert all(
            frames_of[seq] == frame
            for seq, _, frame in image.extent(old).frames
            if seq >= run.first
        )


def test_a_boot_frame_of_another_head_is_damage_to_both():
    board = Board(GEOMETRIES[0])
    board.work(2)
    store = board.store
    boot = frames.frame(
        frames.BOOT,
        frames.boot(store.boot + 1, b3(b"another"), 0),
        store.seq + 1,
        0,
        frames.seed(store.name),
    )
    board.flash.bytes[store.address : store.address + len(boot)] = boot
    assert "chain head" in board.image().damage and "chain head" in recover(store.region).damage


def test_missing_frames_on_flash_are_damage_to_both():
    board = Board(GEOMETRIES[0])
    while len(board.store.order) < 5:
        board.work(1)
    image = board.image()
    number = image.order[2]
    places = [image.place(number) + 2 * image.header_size + 5]  # a frame
    # both copies of a header
    places.append((image.place(number) + 9, image.place(number) + image.header_size + 9))
    for each in places:
        for address in (each,) if isinstance(each, int) else each:
            board.flash.flip(address, 2)
        assert board.image().damage and recover(board.store.region).damage
        for address in (each,) if isinstance(each, int) else each:
            board.flash.flip(address, 2)
    board.flash.flip(image.place(number) + 9, 2)  # one copy
    assert board.image().damage is None and recover(board.store.region).damage is None


def test_a_recycled_beginning_needs_a_snapshot():
    board = Board(GEOMETRIES[1], frames.OVERWRITE)
    while board.image().chain[0].first == 0:
        board.work(4)
    image = board.compare()
    for slot in (0, 1):
        board.flash.flip(slot * image.slot_sectors * image.sector + image.record_size + 40, 1)
    assert "no snapshot is valid" in board.image().damage
    assert "no snapshot is valid" in recover(board.store.region).damage
