"""Recovery: from what a flash region holds to the state it proves. Writes nothing, formats nothing.

Newest valid snapshot, then the frames after it, each checked by CRC, seq, chain and meaning. Where no next frame stands it
tells a torn tail (a cut; reported) from damage (frames that were once whole are missing; everything after is refused).
"""

from . import primitives, snapshot
from .arena import CHUNK, layout
from .config import check_config
from .errors import Damage, FormatError, Mismatch, Refused
from .frames import NO_HEAD, crc_fits, largest_frame, window
from .genesis import LARGEST
from .kernel import Kernel, u32
from .reader import LogReader, frame_of
from .replay import Replay


def epochs(region):
    """Return the log sectors of the newest log that bear consecutive epochs, oldest first, and its newest Open record.

    ([], None) where no sector is open.
    """
    found = []
    for sector in range(region.ring(), region.sectors):
        each = region.opened(sector)
        if each:
            found.append((each.epoch, sector))
    found.sort()
    order, newest = [], None
    while found:
        epoch, sector = found.pop()
        each = region.opened(sector)
        if newest and (each.epoch != newest.epoch - len(order) or each.name != newest.name):
            break
        newest = newest or each
        order.insert(0, sector)
    return order, newest


def stray(reader, sector, address):
    """Return (address, seq) of the last whole frame of this log in the sector, from `address`, with a seq at or past the
    reader's; None if there is none."""
    found = None
    region, buffer, at = reader.region, reader.buffer, reader.at
    limit = (sector + 1) * region.sector
    for each in region.candidates(address, limit):
        n = region.frame(each, limit, buffer, at)
        if n and u32(buffer, at + 4) >= reader.seq and crc_fits(buffer, at, at + n, reader.seed):
            found = (each, u32(buffer, at + 4))
    return found


class Recovery:
    """What a region holds.

    replay: state, name, seq, chain head and boot number at the end (None: the region is blank); order: the log's sectors,
    oldest first; epoch, acked, policy: of the newest sector; address: where the next frame may be programmed; skipped: bytes jumped
    over since the last frame; cuts: [(seq, bytes)] of the torn tails on the way; damage: None, or what is wrong; slots: for
    each snapshot slot the Header it holds or None. fresh: the log began in this very boot. spare:
    an arena whose memory may be used again.
    """

    def __init__(self, region, spare=None):
        self.region = region
        self.spare = spare
        self.replay = None
        self.order = []
        self.epoch = 0
        self.acked = self.policy = 0
        self.address = 0
        self.skipped = 0
        self.cuts = []
        self.damage = None
        self.slots = [None, None]
        self.fresh = False
        for sector in range(region.sectors):
            if region.erase_count(sector):
                break
        else:
            if not region.is_blank(0, region.sectors * region.sector):
                raise FormatError("the region holds something, but no Quipu log: erase it on purpose, or choose another")
            return
        self.order, newest = epochs(region)
        if newest is None:
            self._unfinished()
            return
        self.epoch, self.acked, self.policy = newest.epoch, newest.acked, newest.policy
        self.replay = Replay(self._kernel)
        try:
            self._load_snapshot(newest)
            self._replay()
        except (Damage, Mismatch) as e:
            self.damage = str(e)

    def _unfinished(self):
        """A region that was erased but never got its first sector header is as good as blank, unless frames stand in it."""
        region = self.region
        for sector in range(region.ring(), region.sectors):
            start = sector * region.sector
            if not region.is_blank(start + region.frames_at, start + region.sector):
                raise FormatError("sector %d holds data, but no sector has a header: this log is damaged" % sector)

    def _load_snapshot(self, newest):
        region = self.region
        header = bytearray(snapshot.HEADER)
        for slot in (0, 1):
            try:
                # The header lies after the arena, whose size follows from the configuration in its first words.
                size = CHUNK * layout(self._config(slot))[1]
                if region.slot_size(size) != region.slot_sectors:
                    continue
                region.slot_read(slot, size, header)
                found = snapshot.decode(header)
            except (FormatError, Refused):
                continue
            if found.name == newest.name and found.length == size:
                self.slots[slot] = found
        best = None
        for slot in (0, 1):
            if self.slots[slot] and (best is None or self.slots[slot].seq > self.slots[best].seq):
                best = slot
        while best is not None:
            found = self.slots[best]
            kernel = self._kernel(self._config(best))
            for chunk in range(kernel.arena.chunks):
                region.slot_read(best, chunk * CHUNK, memoryview(kernel.arena.bytes)[chunk * CHUNK : (chunk + 1) * CHUNK])
            if kernel.root() == found.root:
                self.replay.start_from(kernel, found.name, found.seq, found.head, found.boot)
                return
            self.slots[best] = None
            self.spare = kernel.arena
            best = 1 - best if self.slots[1 - best] else None

    def _config(self, slot):
        """Return the configuration in the first words of a slot's arena; Invalid if there is none."""
        words = bytearray(64)
        self.region.slot_read(slot, 0, words)
        return check_config([u32(words, 8 + 4 * i) for i in range(7)])

    def _kernel(self, config):
        spare, self.spare = self.spare, None
        return Kernel(config, spare)

    def _reader(self, size):
        self.buffer = bytearray(32 + size)
        return LogReader(self.region, self.order, self.replay.seed, self.buffer, 32)

    def _replay(self):
        region, replay = self.region, self.replay
        if replay.kernel is None:
            reader = self._reader(LARGEST)
            first = reader.enter(self.order[0])
            if first.head != NO_HEAD:
                raise Damage("no snapshot is valid and the log's beginning has been recycled: it starts at seq %d" % first.first)
            n = region.frame(reader.address, reader.limit, self.buffer, 32)
            if not n and not stray(reader, reader.sector, reader.address) and len(self.order) == 1:
                self.replay = None  # the cut came between the first sector's header and the genesis: nothing was recorded
                return
            if not n:
                raise Damage("the genesis frame is damaged")
            replay.step(frame_of(reader, n))
        reader = self._reader(max(LARGEST, largest_frame(replay.kernel.config())))
        if replay.genesis:
            reader.enter(self.order[0])
            reader.next()
        else:
            self._skim(reader)
        while True:
            seq = reader.seq
            n = reader.next(replay.head)
            if reader.cut:
                self.cuts.append((seq, reader.cut))
            if not n:
                break
            replay.step(frame_of(reader, n))
        self._end(reader)

    def _skim(self, reader):
        """Go to the frame after the snapshot; the chain from its sector's header must lead to the snapshot's head."""
        replay = self.replay
        first = reader.seek(replay.seq)
        if first is None:
            raise Damage("the log starts after seq %d, which the newest snapshot covers" % replay.seq)
        head = first.head
        while reader.seq <= replay.seq:
            n = reader.next(head)
            if not n:
                raise Damage("the log ends at seq %d, before its newest snapshot of seq %d" % (reader.seq - 1, replay.seq))
            head = primitives.hash(head + frame_of(reader, n))
        if head != replay.head:
            raise Mismatch(replay.seq, "chain head of the snapshot", head.hex(), replay.head.hex())

    def _end(self, reader):
        """The last frame is read. Say where to go on; Damage if a later frame of this log stands beyond one torn window."""
        region, seq = self.region, reader.seq
        found = stray(reader, reader.sector, reader.address)
        if found and found[0] >= reader.address + window(self.replay.kernel.config()):
            raise Damage("seq %d is missing, but seq %d stands after it" % (seq, found[1]))
        for sector in range(region.ring(), region.sectors):
            if sector not in self.order:
                found = stray(reader, sector, sector * region.sector + region.frames_at)
                if found:
                    raise Damage("seq %d is missing, but sector %d, which lacks its header, holds seq %d" % (seq, sector, found[1]))
        end = region.used_end(reader.address, reader.limit)
        if end > reader.address:  # a torn tail: go on at the next page, past any unit that the cut may have left half programmed
            page = region.flash.page
            end = min((end + page - 1) // page * page, reader.limit)
            self.cuts.append((seq, end - reader.address))
        self.skipped = end - reader.address
        self.address = end
