"""The durable store: commands in, frames on flash, a state that always equals the log. Knows no pins, files or clocks.

Each command is checked, applied in RAM and its frame encoded; the frames of a group are programmed together, read back, and
only then reported. `busy` is set before the first change and cleared after the last: if anything leaves it set (Ctrl-C
between two bytecodes, MemoryError, a flash error) the next call rebuilds the state from flash.
"""

from . import primitives
from .const import const
from .errors import Busy, Damage, FlashError, FormatError, Invalid, LogFull, NotFound, Refused, TooLong
from .forget import forget
from .frames import ACKNOWLEDGED, CHECKPOINT, CLOCK, OVERHEAD, OVERWRITE, QUARANTINE, TOKEN_BYTES, clock
from .kernel import DELETE_KEY, put_u32
from .reader import LogReader, frame_of
from .region import Open, Region
from .saver import Saver
from .snapshot import HEADER as SNAPSHOT_HEADER
from .snapshot import Header

_ID = const(1)  # words of a key's slot, see kernel.py
_LENGTHS = const(3)
_VALUE = const(10)
CHECKPOINT_EVERY = const(64)  # commands
_TICKS_MASK = const(0x3FFFFFFF)  # what `now` counts modulo: MicroPython's ticks_ms
REBASE = const(0x1FFFFFFF)  # a tick past this is due for a clock frame
_SMALL = const(128)  # a head, and a log-only frame
_PAYLOAD = const(44)  # where a frame's payload stands in a buffer that has the head before it: 32 + HEADER
_TOKEN = const(0x40)
_PUT = const(0x1C)


class Store:
    """A log on one flash region, and the state that it proves.

    flash: see region.py. now: a function that returns milliseconds, counting modulo 2^30 or a multiple. found: the Recovery of the flash
    if it has been done. distance: how many sectors are opened from one snapshot to the next; 0: as many as make the slots wear
    like the ring. After construction the log is mounted: `kernel` is None if the region is blank (then `configure`); `damage` is
    None or says what is wrong, in which case nothing is appended. seq, head, name, boot: of the last frame; acked: first seq that
    the host has not acknowledged; bad: sectors that are quarantined; watch: None, or what is told of each command (watch.py).
    """

    def __init__(self, flash, now, found=None, distance=0):
        # A board looks for a method among these attributes first. With 47 their table is full, and it goes through all of them each
        # time (2,300 instructions); 48 stand in a table of 59.
        self.region = region = found.region if found else Region(flash)
        self.unit = region.unit
        self.clock_size = region.pad(OVERHEAD + 12)  # on flash, of a clock frame; of one and a checkpoint
        self.both_size = self.clock_size + region.pad(OVERHEAD + 32)
        self.now = now
        self.epoch = 0
        self.kernel = self.saver = self.reader = None
        self.watch = None
        self._inside = False
        self.avoid = -1
        self.wanted_distance = distance
        self.opened = self.last = False
        self.bad_slots = []
        if found:
            self._take(found)
        else:
            self.busy = True
            self.call(self._nothing)

    def _nothing(self):
        pass

    def call(self, act, *args):
        """Run one method of the store with nothing else inside it, on a state that equals the log."""
        if self._inside:
            self._refuse()
        try:
            try:
                self._inside = True
                if self.busy:
                    self._rebuild()
                return act(*args)
            finally:
                self._inside = False
        except BaseException:  # once more, for a Ctrl-C inside `finally`
            self._inside = False
            raise

    def _refuse(self):
        raise Busy("the store is at work on another call: from a timer, a callback or a second core, try again later")

    # -- mounting -----------------------------------------------------------------------------------------------------

    def _rebuild(self):
        """Read everything back from flash."""
        from .recovery import Recovery

        self.busy = True
        if self.saver:
            self.saver.abandon()
        self.saver = self.reader = None
        spare = self.kernel and self.kernel.arena  # used again: a board's heap has no room for two
        self.kernel = None
        found = Recovery(self.region, spare)
        forget("shared_kernel", "recovery", "replay", "genesis", "config", "unfinished")
        self._take(found)
        if self.name and self.address == self.avoid:  # nothing can be programmed there: on in the next sector, once one is free
            self.address += self.room()

    def _take(self, found):
        """Take over what a Recovery found."""
        self.damage = found.damage
        self.cuts = found.cuts
        self.order = found.order
        self.slots = found.slots
        self.solid = []
        self.epoch = found.epoch
        self.acked = found.acked
        self.policy = found.policy
        self.hollow = found.hollow
        self.bad = found.bad
        self.unsaid = []
        self.last = False
        self.booted = found.fresh  # whether this boot's boot frame is written; the boot that wrote the genesis needs none
        if found.replay is None:
            self.seq = self.name = None
        else:
            self._adopt(found.replay)
            self.address = found.address
            self.limit = (found.order[-1] + 1) * self.region.sector
            self.skipped = found.skipped
            if self.kernel:
                self._since_snapshot()
        self.base = self.now()
        if self.watch:
            self.watch.lost(self.kernel)
        self.busy = False

    def _adopt(self, replay):
        self.kernel = replay.kernel
        self.name = replay.name
        self.seed = replay.seed
        self.seq = replay.seq
        self.head = replay.head
        self.boot = replay.boot
        # the first group after a boot proves what was recovered
        self.since_checkpoint = CHECKPOINT_EVERY if self.seq else 0
        self.group_size = 0
        if self.kernel:
            from .frames import largest_frame, window

            config = self.kernel.config()
            self.frame = bytearray(32 + largest_frame(config))  # [chain head][frame]
            self.small = bytearray(_SMALL)
            region = self.region
            self.window = window(config, region.unit, region.sector - region.frames_at)  # bytes of a group
            self.group = memoryview(bytearray(self.window))

    def _since_snapshot(self):
        """Count the sectors opened since the newest snapshot; set how many make the next one due."""
        newest = max([-1 if slot is None else slot.seq for slot in self.slots])
        self.since_snapshot = 0
        while self.since_snapshot < len(self.order) and self.region.opened(self.order[-1 - self.since_snapshot]).first > newest:
            self.since_snapshot += 1
        # Two snapshots a turn, so each slot wears like the ring. What the older one covers must last until the newer is done, which
        # takes a call for each erase, of two frames as long as can be, and such a frame for each other step.
        region = self.region
        half = max(1, (region.sectors - region.ring() - 2) // 2)
        steps = 2 * region.slot_sectors + self.kernel.arena.chunks + 2
        lasting = steps * region.pad(len(self.frame)) // (region.sector - region.frames_at)
        if half > (lasting + 1) // 2:  # else the ring is too small for that, and a full one waits for a whole snapshot
            half -= (lasting + 1) // 2
        self.distance = min(self.wanted_distance or half, half)

    def configure(self, config, entropy, identity, policy=0):
        """Begin a log on a blank region: program its genesis. Invalid if the region is not blank or too small for config."""
        return self.call(self._configure, config, entropy, identity, policy)

    def _configure(self, config, entropy, identity, policy):
        from .genesis import begin

        if self.damage:
            raise Damage("the region is not blank: %s" % self.damage)
        if self.name is not None:
            raise Invalid("this region holds log %s: a genesis needs a blank region" % self.name.hex()[:16])
        begin(self.region, self.epoch + 1, config, entropy, identity, policy)
        begin = None
        self._rebuild()
        self.booted = True

    # -- commands -----------------------------------------------------------------------------------------------------

    def execute(self, commands):
        """Carry out [(type, payload, token or None)] in order. Returns once all are durable: for each the seq of its frame
        (the id of what it created), or the Refused that it met."""
        return self.call(self._execute, commands)

    def log_only(self, kind, payload):
        """Append a clock or a requested checkpoint (payload ignored) and return its seq."""
        return self.call(self._log_only, kind, payload)

    def _ready(self):
        if self.damage:
            raise Damage("the log is damaged and takes nothing new: %s" % self.damage)
        if self.kernel is None:
            raise Invalid("there is no log yet: configure the board first")

    def _execute(self, commands):
        self._ready()
        results = []
        for kind, payload, token in commands:
            try:
                results.append(_command(self, kind, payload, token))
            except Refused as e:
                results.append(e)
        self.commit(len(commands))
        return results

    def commit(self, commands):
        """The end of a group of so many commands: they are durable once it returns."""
        _flush(self)
        self.busy = False
        self._work(commands)

    def _settle(self):
        """Write this boot's boot frame, if that is still to be done. LogFull if there is no room for it."""
        from .settle import settle

        for left in (2, 1, 0):
            try:
                done = settle(self)
                break
            except FlashError:  # half-programmed units may read otherwise each time: what they hold now is what counts
                if not left:
                    raise
                self._rebuild()
                self._ready()
        forget("shared_kernel", "settle")
        self.busy = False
        if not done:
            self._full()
        self.booted = True
        self.reader = None  # what it knows of the log's end is no longer so

    def _full(self):
        if self.bad_slots and None in self.slots:
            raise LogFull("the log is full at seq %d: snapshot slot %d cannot be written, bad sectors: %s; archive the log and replace "
                          "the flash"
                          % (self.seq, self.bad_slots[0], self.bad))
        raise LogFull("the log is full at seq %d: sync it, so that its frames from seq %d on are acknowledged"
                      % (self.seq, self.acked))

    def _complete(self, kind, frame, at, end):
        """Fill in what a put or a key's deletion says of the write before it; return where the payload ends."""
        if kind == _PUT and end - at >= 6:
            start, length = at + 6, frame[at + 5]
        elif kind == DELETE_KEY and end - at > 4:
            start, length = at + 4, end - at - 4
        else:
            return end
        if not 1 <= length <= end - start:
            return end
        kernel = self.kernel
        w, b = kernel.arena.words, kernel.arena.bytes
        link = kernel.find_key(frame, start, length)
        slot = kernel.keys.at(link - 1) if link else 0
        put_u32(frame, at, w[slot + _ID] if link else 0)
        if kind == _PUT:
            frame[at + 4] = 0
            value = start + length
            if link and w[slot + _LENGTHS] >> 8 == end - value:
                stored = 4 * (slot + _VALUE) - value
                i = value
                while i < end and b[stored + i] == frame[i]:
                    i += 1
                if i == end:  # the same value again: the frame says so and leaves it out
                    frame[at + 4] = 1
                    return value
        return end

    def _log_only(self, kind, payload):
        self._ready()
        if kind not in (CLOCK, CHECKPOINT):
            raise Invalid("a log-only frame asked for from outside is a clock or a checkpoint, not 0x%02x" % kind)
        if kind == CLOCK and len(payload) != 12:
            raise Invalid("a clock frame's payload has 12 bytes, not %d" % len(payload))
        if not self.booted:
            self._settle()
        self._need_room(self.region.pad(OVERHEAD + 32) + self._due_size(), 0)
        self.busy = True
        if kind == CHECKPOINT:
            self._checkpoint()
        else:
            self._due()
            self._small(CLOCK, payload)
            _flush(self)
            self.base = self.now()
        self.busy = False
        return self.seq

    def _due_size(self):
        """Return the bytes of the frames that may be due before the next one; the clock's at any moment."""
        return self.clock_size if self.since_checkpoint < CHECKPOINT_EVERY else self.both_size

    def _due(self):
        """Append the frames that are due before the next one: clock, checkpoint."""
        if self.tick() > REBASE:
            self._small(CLOCK, clock(0, 0))  # wall time unknown: it only starts the ticks anew
            self.base = self.now()
        if self.since_checkpoint >= CHECKPOINT_EVERY:
            self._small(CHECKPOINT, self.kernel.root())

    def _small(self, kind, payload):
        primitives.copy(self.small, _PAYLOAD, payload, 0, len(payload))
        _append(self, self.small, kind, len(payload), self.tick(), self.region.pad(OVERHEAD + len(payload)))
        if kind == CHECKPOINT:
            self.since_checkpoint = 0

    def tick(self):
        """Return milliseconds since the last boot or clock frame, as frames carry them."""
        return (self.now() - self.base) & _TICKS_MASK

    # -- appending ----------------------------------------------------------------------------------------------------

    def room(self):
        """Return the bytes left in the sector in use, those of the group not yet programmed taken off."""
        return self.limit - self.address - self.group_size

    def _need_room(self, size, reserve):
        """Make sure that the sector in use has room for size bytes, in the next one if need be; `reserve` sectors stay free.
        LogFull if that cannot be: nothing has changed then."""
        if self.room() < size or self.last and reserve:
            _flush(self)
            if not self.make_room(size, reserve):
                self._full()

    def make_room(self, size, reserve=0):
        """Go on in the next sector, unless the one in use has size bytes left, with `reserve` sectors free. Return whether that
        could be done."""
        for _ in range(2):
            free = self.free_sectors()
            if self.room() >= size and free >= reserve:
                self.last = False
                return True
            if free > reserve:
                try:
                    self._next_sector(self.seq + 1, self.head)
                    self.last = free == 1
                    return True
                except FlashError:  # those that seemed free are bad
                    pass
            self._cover()
        return False

    def spoil(self):
        """The sector in use cannot be programmed where the next frame was to stand: nothing more goes there."""
        self.avoid = self.address
        self.address = self.limit
        self._quarantine(self.order[-1])

    def _quarantine(self, sector):
        if sector not in self.bad:
            self.bad.append(sector)
        if sector not in self.unsaid:
            self.unsaid.append(sector)

    def _report(self):
        """Append a quarantine frame for each sector that has been found bad."""
        while self.unsaid:
            self._need_room(self.region.pad(OVERHEAD + 2) + self._due_size(), 0)
            sector = self.unsaid.pop(0)
            self.busy = True
            self._due()
            self._small(QUARANTINE, bytes((sector & 255, sector >> 8)))
            _flush(self)
            self.busy = False

    def free_sectors(self):
        """Return how many ring sectors may be taken into use now."""
        return self.region.sectors - self.region.ring() - len(self.order) + self._spent()

    def _spent(self):
        """Return how many of the log's oldest sectors may be recycled."""
        return self._oldest(self._recyclable)

    def _oldest(self, may_go):
        """Return how many of the log's oldest sectors end where may_go(seq) says yes; it says no past the first no. By halves: each is
        looked up on the flash, which takes as long as a third of an insert."""
        low, high = 0, len(self.order)
        while high - low > 1:
            middle = (low + high) >> 1
            if may_go(self.region.opened(self.order[middle]).first):
                low = middle
            else:
                high = middle
        return low

    def _recyclable(self, end):
        """Return whether the frames below seq `end` may go: both snapshots cover them, and the host has them. While one snapshot is
        written over, what it covered with the other may still go: without it those frames have nothing left to begin from."""
        return self._covered() >= end and (self.policy == OVERWRITE or self.acked >= end)

    def _covered(self):
        if self.saver is None:
            self.covered = min([0 if slot is None else slot.seq + 1 for slot in self.slots])
        return self.covered

    def _next_sector(self, first, head):
        """Take the next sector of the ring into use, for frames from seq `first` on; head: the chain head before it. One that
        cannot be erased or programmed is passed by."""
        region = self.region
        self.busy = True
        self.reader = None
        sector = self.order[-1]
        for _ in range(region.ring(), region.sectors):
            sector += 1
            if sector == region.sectors:
                sector = region.ring()
            if sector in self.order:
                n = self.order.index(sector) + 1
                if n > self._spent():
                    break
                del self.order[:n]
                self.hollow = 0
            if sector in self.bad:  # said again each time the ring comes by, for the frame that said so has been recycled
                self._quarantine(sector)
                continue
            self.epoch += 1
            self.opened = True
            try:
                region.erase(sector)
                region.open(sector, Open(self.epoch, first, self.boot, self.acked, self.policy, self.name, head))
            except (FlashError, OSError):
                self._quarantine(sector)
                continue
            self.order.append(sector)
            self.address = sector * region.sector + region.frames_at
            self.limit = (sector + 1) * region.sector
            self.since_snapshot += 1
            return
        raise FlashError("no sector is free to go on in")

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def take_snapshot(self):
        """Take a snapshot now, whole, and return its Header."""
        return self.call(self._take_snapshot)

    def begin_snapshot(self):
        """Begin a snapshot, unless one is being taken: each call of `execute` goes a step on with it."""
        self.call(self._begin_snapshot)

    def _begin_snapshot(self):
        self._ready()
        self._saver()

    def _take_snapshot(self):
        self._ready()
        if not self.booted:
            try:
                self._settle()
            except LogFull:  # a snapshot may be what makes room
                pass
        saver = self._saver()
        while self.saver is saver:
            self._step()
        if self.slots[saver.slot] is None:
            raise FlashError("the snapshot could not be written to slot %d" % saver.slot)
        return saver.header

    def _saver(self):
        """Return the snapshot being taken; begin one, in the slot that is empty or older, if none is."""
        if self.saver is None:
            a, b = self.slots
            slot = 0 if a is None or b is not None and a.seq < b.seq else 1
            if a is None and b is None and 0 in self.bad_slots:
                slot = 1
            if self.slots[slot] and not self._is_solid(1 - slot):
                slot = 1 - slot
            self.solid = [each for each in self.solid if each != slot]
            self._covered()
            self.slots[slot] = None
            self.saver = Saver(self.region, self.kernel.arena, slot)
            self.since_snapshot = 0
        return self.saver

    def _is_solid(self, slot):
        """Return whether a snapshot will be read at later boots too, so that the other one may be erased. If it was committed before
        this boot, a power cut may have left its header half programmed: then once more, in units of its own."""
        if slot not in self.solid:
            at = self.region.pad(SNAPSHOT_HEADER)
            data = bytearray(SNAPSHOT_HEADER)
            self.region.slot_read(slot, self.slots[slot].length + at, data)
            header = self.slots[slot].encode()
            if data != header:  # else an earlier boot has done so
                try:
                    if data != b"\xff" * SNAPSHOT_HEADER:  # an earlier boot was cut short in that
                        return False
                    self.region.slot_program(slot, self.slots[slot].length + at, header)
                except (FlashError, OSError):
                    return False
            self.solid.append(slot)
        return True

    def _step(self):
        """Do one step of the snapshot being taken: a sector's erase, its beginning, a chunk, or its header."""
        saver = self.saver
        self.busy = True  # an interrupted step is forgotten like an interrupted command
        begin = saver.header is None and saver.erased == self.region.slot_sectors
        if begin and self.booted and self.room() >= self.region.pad(OVERHEAD + 32) + self._due_size():
            self._checkpoint()
        try:
            if saver.erased < self.region.slot_sectors:
                saver.erase_next()
            elif begin:
                other = self.slots[1 - saver.slot]
                saver.begin(Header(self.seq, self.boot, other.generation + 1 if other else 1, self.kernel.arena.size, self.name,
                                   self.head, self.kernel.root()))
            elif not saver.save_next():
                self.slots[saver.slot] = saver.commit()
                self.solid.append(saver.slot)
                self._saved(saver)
        except (FlashError, OSError):
            saver.failed = True
            self._saved(saver)
        self.busy = False

    def _saved(self, saver):
        """A snapshot is done, or has failed."""
        self.bad_slots = [each for each in self.bad_slots if each != saver.slot]
        if saver.failed:
            self.bad_slots.append(saver.slot)
            if saver.bad >= 0:
                self._quarantine(saver.bad)
        saver.abandon()
        self.saver = None

    def _checkpoint(self):
        self._due()
        self._small(CHECKPOINT, self.kernel.root())
        _flush(self)

    def _work(self, commands):
        """After a group of so many commands: say which sectors are bad, go on with the snapshot being taken, by a step each, or begin
        the one that is due. Not in a call that has erased a sector: one erase is the longest that a call may take."""
        if self.unsaid and self.booted:
            try:
                self._report()
            except LogFull:  # later, then
                pass
        if self.opened:
            self.opened = False
        elif self.saver or self.since_snapshot >= self.distance:
            saver = self._saver()
            erasing = saver.erased < self.region.slot_sectors
            self._step()
            while not erasing and commands > 1 and self.saver is saver:
                commands -= 1
                self._step()

    def _cover(self):
        """The ring is full: if snapshots are all that keeps its older sectors from being recycled, take them now."""
        n = len(self.order) - 1 if self.policy == OVERWRITE else self._acknowledged_sectors()
        end = self.region.opened(self.order[n]).first
        for _ in range(2):
            if n and not self._recyclable(end):
                saver = self._saver()
                while self.saver is saver:
                    self._step()

    # -- what a host asks for -----------------------------------------------------------------------------------------

    def ask(self, question, *args):
        """Return question(kernel, *args): any of the kernel's questions, on a state that equals the log."""
        return self.call(self._ask, question, args)

    def _ask(self, question, args):
        return question(self._kernel(), *args)

    def _kernel(self):
        if self.kernel is None:
            raise NotFound("there is no state: %s" % (self.damage or "the board is not configured yet"))
        return self.kernel

    def log_name(self):
        """Return the log's name, 32 bytes; NotFound if there is no log."""
        if self.name is None:
            raise NotFound("there is no log yet: configure the board first")
        return self.name

    def first(self):
        """Return the Open record from which on the log can be read."""
        return self.region.opened(self.order[self.hollow])

    def newest_snapshot(self):
        """Return (slot, Header) of the newest committed snapshot; NotFound if there is none."""
        best = None
        for slot in (0, 1):
            if self.slots[slot] and (best is None or self.slots[slot].seq > self.slots[best].seq):
                best = slot
        if best is None:
            raise NotFound("no snapshot has been taken yet")
        return best, self.slots[best]

    def read_snapshot(self, slot, generation, offset, size):
        """Return up to size bytes (a group's at most) of a committed snapshot's arena from offset, as a view that is good until
        the next call; NotFound if that snapshot is gone."""
        return self.call(self._read_snapshot, slot, generation, offset, size)

    def _read_snapshot(self, slot, generation, offset, size):
        header = self.slots[slot] if slot < 2 else None
        if header is None or header.generation != generation or offset > header.length:
            raise NotFound("snapshot %d is gone from slot %d, or is shorter" % (generation, slot))
        data = self.group[: min(size, self.window, header.length - offset)]
        self.region.slot_read(slot, offset, data)
        return data

    def acknowledge(self, seq):
        """The host has every frame below `seq`, safely: their sectors may be recycled."""
        return self.call(self._acknowledge, seq)

    def _acknowledge(self, seq):
        self._kernel()
        if not 0 <= seq <= self.seq + 1:
            raise Invalid("seq %d cannot be acknowledged: the log ends at %d" % (seq, self.seq))
        before = self._acknowledged_sectors()
        self.acked = max(self.acked, seq)
        if self.damage is None and self._acknowledged_sectors() > before:  # else a sync of nothing new would add to the log
            try:
                if not self.booted:
                    self._settle()
                self._need_room(self.region.pad(OVERHEAD + 4) + self._due_size(), 0)
            except LogFull:  # known until the next boot
                return
            self.busy = True
            self._due()
            payload = bytearray(4)
            put_u32(payload, 0, self.acked)
            self._small(ACKNOWLEDGED, payload)
            _flush(self)
            self.busy = False

    def _acknowledged_sectors(self):
        """Return how many of the log's oldest sectors the host has whole."""
        return self._oldest(lambda end: end <= self.acked)

    def read_frames(self, seq, head):
        """Return whole frames from `seq` on, some 1 KiB of them, as a view that is good until the next call; empty at the
        log's end.

        head: the chain head before that frame, or its beginning, by what the caller holds; it is compared where the reading
        begins anew: FormatError for another log, or one that was rolled back. NotFound if those frames have been recycled.
        """
        return self.call(self._read_frames, seq, head)

    def _read_frames(self, seq, head):
        self._kernel()
        if not self.booted and self.damage is None:
            try:
                self._settle()  # no host may hold what a later boot cannot read
            except LogFull:
                pass
        reader, self.reader = self.reader, None
        if reader is None or reader.seq != seq:
            reader = self._seek(seq, head)
        group, end = self.group, 0  # no group is under way here
        reader.buffer, reader.ahead_end = group, 0
        while reader.seq <= self.seq and self.window - end >= len(self.frame) - 32:
            reader.base = end
            n = reader.next()
            if not n:
                break
            at = reader.at
            if at != end:  # padding stood between
                group[end : end + n] = group[at : at + n]
            end += n
        self.reader = reader
        return group[:end]

    def _seek(self, seq, head):
        """Return a reader at `seq`, having checked that the chain leads to head there."""
        # the group's buffer holds any genesis; `frame` may not. No group is under way here
        reader = LogReader(self.region, self.order, self.seed, self.group, 0, self.window)
        first = reader.seek(seq)
        if first is None:
            raise NotFound("the frames before seq %d have been recycled" % self.first().first)
        found = first.head
        while reader.seq < seq:
            n = reader.next()
            if not n:
                raise NotFound("the log ends at seq %d, before seq %d" % (reader.seq - 1, seq))
            found = primitives.hash(found + frame_of(reader, n))
        if found[: len(head)] != head:
            raise FormatError("before seq %d this log's chain head is %s, not %s: it is another log, or was rolled back"
                              % (seq, found.hex(), head.hex()))
        return reader


# The steps of each command. Not methods: a board finds a function ten times as fast.


def command(store, kind, payload, token=None):
    """Carry out one command. Returns the seq of its frame once it is durable; raises the Refused that it met."""
    if store._inside:
        store._refuse()
    try:  # `call` once more: by it a board would take a twentieth longer
        try:
            store._inside = True
            begun = False
            if store.busy:
                store._rebuild()
            if store.damage or store.kernel is None:
                store._ready()
            begun = True
            seq = _command(store, kind, payload, token)
            _flush(store)
            store.busy = False
            if store.opened or store.saver or store.unsaid or store.since_snapshot >= store.distance:
                store._work(1)
            return seq
        except Refused:
            if begun:
                store.commit(1)
            raise
        finally:
            store._inside = False
    except BaseException:  # once more, for a Ctrl-C inside `finally`
        store._inside = False
        raise


def _command(store, kind, payload, token):
    kernel = store.kernel
    frame = store.frame
    at = _PAYLOAD
    if token:
        if len(token) != TOKEN_BYTES:
            raise Invalid("a token has %d bytes, not %d" % (TOKEN_BYTES, len(token)))
        frame[at : at + TOKEN_BYTES] = token
        at += TOKEN_BYTES
    end = at + len(payload)
    if end + 4 > len(frame):
        raise TooLong("a payload of %d bytes is longer than any that this configuration allows" % len(payload))
    primitives.copy(frame, at, payload, 0, len(payload))
    if kind >= _PUT:
        end = store._complete(kind, frame, at, end)
    kernel.check(kind, frame, at, end)
    if not store.booted:
        store._settle()
        if store.kernel is not kernel:  # half-programmed units read otherwise now, and so does the log's end
            return _command(store, kind, payload, token)
    padded = end + 4 - 32
    padded += -padded % store.unit
    checkpoint = store.since_checkpoint >= CHECKPOINT_EVERY
    size = padded + (store.both_size if checkpoint else store.clock_size)
    if store.last or store.limit - store.address - store.group_size < size:
        store._need_room(size, 1)
    store.busy = True
    tick = (store.now() - store.base) & _TICKS_MASK
    if checkpoint or tick > REBASE:
        store._due()
        tick = store.tick()
    watch = store.watch
    seq = store.seq + 1
    if watch:
        watch.before(kind, frame, at, end)
    kernel.apply(kind, frame, at, end, seq)
    if watch:
        watch.after(kind, frame, at, end, seq)
    _append(store, frame, kind | _TOKEN if token else kind, end - _PAYLOAD, tick, padded)
    store.since_checkpoint += 1
    return seq


def _append(store, buffer, kind, size, tick, room):
    """Encode the frame whose payload stands at buffer[32+12:] and add it to the group, where it has `room`."""
    seq = store.seq + 1
    if store.group_size + room > store.window:
        _flush(store)
    at = store.group_size
    if not at:
        store.group_first = seq
        store.group_head = store.head
    store.head = primitives.chain(buffer, kind, size, seq, tick, store.seed, store.head, store.group, at, room)
    store.group_size = at + room
    store.seq = seq


def _flush(store):
    """Program the group and read it back; if the flash will not, once more in the next sector."""
    if not store.group_size:
        return
    data = store.group[: store.group_size]
    try:
        store.region.program(store.address, data)
    except (FlashError, OSError):
        store.spoil()
        store._next_sector(store.group_first, store.group_head)
        store.region.program(store.address, data)
    store.address += store.group_size
    store.group_size = 0
