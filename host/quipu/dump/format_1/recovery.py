"""Format 1, read only: from what a region holds to the state it proves. As
shared_kernel/recovery.py was before format 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from quipu import limits
from quipu.dump.format_1.reader import LogReader, frame_of
from quipu.dump.format_1.region import Open, Region
from shared_kernel import primitives, snapshot
from shared_kernel.arena import CHUNK, Arena, layout
from shared_kernel.config import check_config
from shared_kernel.errors import Damage, FormatError, Mismatch, Refused
from shared_kernel.frames import (
    ACKNOWLEDGED,
    BOOT,
    BOOT_BYTES,
    GENESIS_BYTES,
    HEADER,
    NO_HEAD,
    OVERHEAD,
    QUARANTINE,
    VERSION,
    largest_frame,
    seed,
)
from shared_kernel.genesis import continues
from shared_kernel.kernel import Kernel, u32
from shared_kernel.replay import Replay
from shared_kernel.snapshot import Header

if TYPE_CHECKING:
    from shared_kernel.types import Config

_AHEAD = 1024  # bytes of frames that are read together


def epochs(region: Region) -> tuple[list[int], Open | None]:
    """Return the sectors of the newest log in the order of their epochs, oldest first, and its
    newest Open record.

    ([], None) where no sector is open. A newest sector without a frame is left out: its header may
    be half programmed."""
    found = []
    for sector in range(region.ring(), region.sectors):
        each = region.opened(sector)
        if each:
            found.append((each.epoch, sector))
    found.sort()
    order: list[int] = []
    newest = None
    while found:
        sector = found.pop()[1]
        start = sector * region.sector
        if (
            newest is None
            and found
            and region.is_blank(start + region.frames_at, start + region.sector)
        ):
            continue
        each = region.opened(sector)
        newest = newest or each
        if each and each.name == newest.name:
            order.insert(0, sector)
    return order, newest


def strays(reader: LogReader, sector: int, address: int) -> Iterator[tuple[int, int, int]]:
    """Yield (address, length, seq) of the whole frames of this log in the sector, from `address`,
    with a seq at or past the reader's. The reader's buffer has the frame."""
    limit = (sector + 1) * reader.region.sector
    for each in reader.region.candidates(address, limit):
        n = reader.whole(each, limit, reader.seed)
        seq = u32(reader.buffer, reader.at + 4)
        if n and seq >= reader.seq:
            yield each, n, seq


class Recovery:
    """What a region holds.

    replay: state, name, seq, chain head and boot number at the end (None: the region is blank);
        order: the log's sectors,
    oldest first; epoch, acked, policy: of the newest sector; address: where the next frame may be
    programmed; skipped: bytes jumped over since the last frame; cuts: [(seq, bytes)] of the torn
    tails on the way; bad: sectors that the log calls bad;
    damage: None, or what is wrong; slots: for each snapshot slot the Header it holds or None;
        hollow: 1 if the oldest sector
    lacks frames, as a cut while it was being recycled leaves it, else 0; fresh: the log began in
    this very boot. spare: an arena whose memory may be used again.
    """

    def __init__(self, region: Region, spare: Arena | None = None) -> None:
        self.region = region
        self.spare = spare
        self.replay: Replay | None = None
        self.order: list[int] = []
        self.epoch = 0
        self.acked = self.policy = 0
        self.address = 0
        self.skipped = 0
        self.cuts: list[tuple[int, int]] = []
        self.damage: str | None = None
        self.slots: list[Header | None] = [None, None]
        self.fresh = False
        self.hollow = 0
        self.bad: list[int] = []
        try:
            for sector in range(region.sectors):
                if region.erase_count(sector):
                    break
            mark = region.opened(region.slot_sectors) if region.slot_sectors else None
            if mark:  # the log was being erased on purpose
                if _is_erased(region, mark):
                    self.epoch = mark.epoch
                    return
            self.order, newest = epochs(region)
            if newest is None:
                self._unfinished()
                return
        except FormatError as e:
            self.damage = str(e)
            return
        self.epoch, self.acked, self.policy = newest.epoch, newest.acked, newest.policy
        self.replay = Replay(self._kernel)
        self.replay.name, self.replay.seed = newest.name, seed(newest.name)
        try:
            self._load_snapshot(newest)
            self._replay()
            replay = self.replay
            # a continuation's genesis, and nothing more
            if replay and replay.seq and replay.head == replay.name:
                if not _is_restored(self, newest):
                    self.replay, self.slots = None, [None, None]
        except (Damage, Mismatch) as e:
            self.damage = str(e)

    def _unfinished(self) -> None:
        """No sector has a header. As good as blank if at most one holds anything, neither the first
        nor with a genesis: a cut while a log was begun leaves that."""
        region = self.region
        region.slot_sectors = 0
        used = [
            i
            for i in range(region.sectors)
            if not region.is_blank(i * region.sector, (i + 1) * region.sector)
        ]
        if used:
            start = used[0] * region.sector
            reader = LogReader(region, used, 0, bytearray(GENESIS_BYTES), 0)
            if (
                len(used) > 1
                or not start
                or reader.whole(start + region.frames_at, start + region.sector, 0)
            ):
                raise FormatError(
                    "the region holds something, but no log that can be read: erase it on "
                    "purpose, or choose another"
                )

    def _load_snapshot(self, newest: Open) -> None:
        region = self.region
        for slot in (0, 1):
            self.slots[slot] = self.header(slot, 0, newest) or self.header(
                slot, region.pad(snapshot.HEADER), newest
            )
        best = None
        for slot in (0, 1):
            if self.slots[slot] and (best is None or self.slots[slot].seq > self.slots[best].seq):
                best = slot
        while best is not None:
            found = self.slots[best]
            kernel = self._kernel(self._config(best))
            for chunk in range(kernel.arena.chunks):
                region.slot_read(
                    best,
                    chunk * CHUNK,
                    memoryview(kernel.arena.bytes)[chunk * CHUNK : (chunk + 1) * CHUNK],
                )
            if kernel.root() == found.root:
                self.replay.start_from(kernel, found.name, found.seq, found.head, found.boot)
                return
            self.slots[best] = None
            self.spare = kernel.arena
            best = 1 - best if self.slots[1 - best] else None

    def header(self, slot: int, at: int, newest: Open) -> Header | None:
        """Return the snapshot header that stands `at` bytes after a slot's arena; None if none of
        this log does."""
        region = self.region
        data = bytearray(snapshot.HEADER)
        try:
            # The arena's size follows from the configuration in its first words.
            size = CHUNK * layout(self._config(slot))[1]
            if region.slot_size(size) != region.slot_sectors:
                return None
            region.slot_read(slot, size + at, data)
            found = snapshot.decode(data)
        except (FormatError, Refused):
            return None
        return found if found.name == newest.name and found.length == size else None

    def _config(self, slot: int) -> Config:
        """Return the configuration in the first words of a slot's arena; Invalid if there is
        none."""
        words = bytearray(64)
        self.region.slot_read(slot, 0, words)
        return check_config([u32(words, 8 + 4 * i) for i in range(7)])

    def _kernel(self, config: Config) -> Kernel:
        spare, self.spare = self.spare, None
        limits.need_state(limits.state_size(config), config)
        return Kernel(config, spare)

    def _reader(self, size: int) -> LogReader:
        self.buffer = bytearray(32 + max(size, _AHEAD))
        self.reader = LogReader(self.region, self.order, self.replay.seed, self.buffer, 32, size)
        return self.reader

    def _replay(self) -> None:
        replay = self.replay
        if replay.kernel is None:
            reader = self._reader(GENESIS_BYTES)
            first = reader.enter(self.order[0])
            if first.head != NO_HEAD:
                raise Damage(
                    "no snapshot is valid and the log's beginning has been recycled: it starts at "
                    "seq %d" % first.first
                )
            n = reader.next()
            if not n:
                for _ in strays(reader, reader.sector, reader.address):
                    raise Damage("the genesis frame is damaged")
                self._no_genesis(reader)
                # the cut came before the genesis was whole: nothing was recorded
                self.replay = None
                return
            if (
                continues(self.buffer, 32, n)
                and len(self.order) == 1
                and not any(strays(reader, reader.sector, reader.address))
            ):
                self.replay = None  # the cut came before the state that it begins with was whole
                return
            replay.step(frame_of(reader, n))
        reader = self._reader(max(GENESIS_BYTES, largest_frame(replay.kernel.config())))
        if replay.genesis:
            reader.enter(self.order[0])
            reader.next()
        else:
            self.hollow = self._oldest_lacks(reader)
            self._skim(reader)
        while True:
            seq = reader.seq
            n = reader.next(replay.head)
            if not n:
                break
            replay.step(frame_of(reader, n))
            self._note(seq)
        self._end(reader)

    def _no_genesis(self, reader: LogReader) -> None:
        """Raise Damage if what stands where the genesis belongs is more than a cut leaves of one:
        it may be a later version's log."""
        region, at = self.region, reader.address
        version = region.read(at, 1)[0]
        rest = region.used_end(at, reader.limit) - at - region.pad(GENESIS_BYTES)
        # a cut leaves set what programming would have left set
        if rest > 0 or version and not version & VERSION:
            raise Damage(
                "the log's first frame begins with version %d and %d bytes follow it; this "
                "version reads frames of version %d: "
                "nothing was changed" % (version, max(0, rest), VERSION)
            )

    def _note(self, seq: int | None) -> None:
        """Take over what the frame in the buffer says of cuts (not if seq is None), of what the
        host has, and of bad sectors."""
        data, at = self.buffer, self.reader.at + HEADER
        kind = data[self.reader.at + 1]
        if kind == BOOT:
            skipped = u32(data, at + 36)
            if skipped and seq is not None:
                self.cuts.append((seq, skipped))
        elif kind == ACKNOWLEDGED:
            self.acked = max(self.acked, u32(data, at))
        elif kind == QUARANTINE:
            self.bad.append(data[at] | data[at + 1] << 8)

    def _oldest_lacks(self, reader: LogReader) -> int:
        try:
            reader.enter(self.order[0])
            while reader.next() and reader.sector == self.order[0]:
                pass
            return 0
        except Damage:
            return 1

    def _skim(self, reader: LogReader) -> None:
        """Go to the frame after the snapshot; the chain from its sector's header must lead to the
        snapshot's head."""
        replay = self.replay
        first = reader.seek(replay.seq + 1)
        if first is None:
            raise Damage(
                "the log starts after seq %d, which the newest snapshot covers" % replay.seq
            )
        head = first.head
        while reader.seq <= replay.seq:
            n = reader.next(head)
            if not n:
                raise Damage(
                    "the log ends at seq %d, before its newest snapshot of seq %d"
                    % (reader.seq - 1, replay.seq)
                )
            head = primitives.hash(head + frame_of(reader, n))
            self._note(None)
        if head != replay.head:
            raise Mismatch(replay.seq, "chain head of the snapshot", head.hex(), replay.head.hex())

    def _end(self, reader: LogReader) -> None:
        """The last frame is read. Say where to go on; Damage if frames of this log stand after it
        that no cut can explain."""
        region, seq = self.region, reader.seq
        region.slot_sectors = region.slot_size(self.replay.kernel.arena.size)
        end = first = reader.address
        voided = _window(self.replay.kernel.config(), region)
        for at, n, its in strays(reader, reader.sector, reader.address):
            # A cut voids one group at most, and a boot frame is written only where all before it
            # stands.
            if at != end:
                first = at
            end = at + region.pad(n)
            if end - first > voided or its > seq and self.buffer[33] == BOOT:
                raise Damage("seq %d is missing, but seq %d stands after it" % (seq, its))
        for sector in range(region.ring(), region.sectors):
            if sector not in self.order:
                for _, _, its in strays(reader, sector, sector * region.sector + region.frames_at):
                    raise Damage(
                        "seq %d is missing, but sector %d, which lacks its header, holds seq %d"
                        % (seq, sector, its)
                    )
        end = region.used_end(reader.address, reader.limit)
        # a torn tail: go on at the next page, past any unit that the cut may have left half
        # programmed
        if end > reader.address:
            page = region.page
            end = min((end + page - 1) // page * page, reader.limit)
            self.cuts.append((seq, end - reader.address))
        self.skipped = end - reader.address
        self.address = end


def _window(config: Config, region: Region) -> int:
    """Return the bytes that one group may span: what a power cut may void at the log's end. A group
    leaves room for a boot frame in its sector, so that it can be repeated before one."""
    room = region.sector - region.frames_at - region.pad(OVERHEAD + BOOT_BYTES)
    return max(region.pad(largest_frame(config)), min(1024, room) // region.unit * region.unit)


def _is_erased(region: Region, mark: Open) -> bool:
    """Return whether the log that an open record in slot 1 names was being erased on purpose: no
    frame of it stands that would follow that record. A boot that could not read the record has gone
    on with the log, and written a boot frame first."""
    reader = LogReader(region, [], seed(mark.name), bytearray(GENESIS_BYTES), 0)
    reader.seq = mark.first
    for sector in range(region.ring(), region.sectors):
        for _ in strays(reader, sector, sector * region.sector + region.frames_at):
            return False
    return True


def _is_restored(found: Recovery, newest: Open) -> bool:
    """Return whether the snapshot that a continuation begins with stands whole, with both of its
    headers: one alone may read otherwise at the next boot. found: the Recovery; newest: the Open
        record of the log's newest sector."""
    for slot in (0, 1):
        if found.header(slot, 0, newest) and found.header(
            slot, found.region.pad(snapshot.HEADER), newest
        ):
            return True
    return False
