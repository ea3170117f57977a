"""The durable store: commands in, frames on flash, a state that always equals the log. Knows no
pins, files or clocks.

Each command is checked, applied in RAM and its frame encoded; the frames of a group are programmed
together, read back, and only then reported. `busy` is set before the first change and cleared after
the last: if anything leaves it set (Ctrl-C between two bytecodes, MemoryError, a flash error) the
next call rebuilds the state from flash."""

from . import primitives
from .const import const
from .errors import (
    Busy,
    Damage,
    FlashError,
    FormatError,
    Invalid,
    LogFull,
    NotFound,
    QuipuError,
    Refused,
    TooLong,
)
from .forget import forget
from .frames import (
    ACKNOWLEDGED,
    CHECKPOINT,
    CLOCK,
    LAST,
    NO_HEAD,
    OVERHEAD,
    OVERWRITE,
    SNAPSHOT,
    TOKEN_BYTES,
    clock,
)
from .kernel import DELETE_KEY, put_u32
from .reader import LogReader, frame_of
from .region import Region
from .run import Run
from .saver import Saver
from .snapshot import Header

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import (
        Buffer,
        Callable,
        Command,
        Flash,
        Found,
        Integers,
        Kernel,
        NoReturn,
        Replay,
        Sequence,
        T,
        Watch,
        WritableBuffer,
    )

_ID = const(1)  # words of a key's slot, see kernel.py
_LENGTHS = const(3)
_VALUE = const(10)
CHECKPOINT_EVERY = const(64)  # commands
_TICKS_MASK = const(0x3FFFFFFF)  # what `now` counts modulo: MicroPython's ticks_ms
_END = const(0xFFFF0000)  # of what u32 counts, nearly
REBASE = const(0x1FFFFFFF)  # a tick past this is due for a clock frame
_SMALL = const(128)  # a head, and a log-only frame
# where a frame's payload stands in a buffer that has the head before it: 32 + HEADER
_PAYLOAD = const(44)
_TOKEN = const(0x40)
_PUT = const(0x1C)
# of a tick: the group goes on with the next frame, or began before; see frames.py
_MORE = const(0x80000000)
_CONTINUES = const(0x40000000)
_GROUP = const(1024)  # bytes of one group, at most
# how long a pull may be silent before what it is about to read may be recycled
_HOLD_MS = const(60000)


class Store:
    """A log on one flash region, and the state that it proves.

    flash: see region.py
    now: a function that returns milliseconds, counting modulo 2^30 or a multiple
    found: the Found of the flash (recovery.py) if it has been recovered
    distance: how many sectors are opened from one snapshot to the next; 0: as many as make the
        slots wear like the ring

    After construction the log is mounted:
    kernel: the state, or None if the region is blank: then `configure`
    damage: None, or what is wrong: then nothing is appended
    seq, head, name, boot: of the last frame
    acked: first seq that the host has not acknowledged
    order: numbers of the log's runs, oldest first
    bad: sectors that are quarantined
    watch: None, or what is told of each command (watch.py)
    """

    if 0:  # read by type checkers only
        kernel: "Kernel | None"
        saver: "Saver | None"
        reader: "LogReader | None"
        watch: "Watch | None"
        found: "Found | None"
        damage: str | None
        seq: int
        name: bytes
        seed: int
        head: bytes
        boot: int
        acked: int
        policy: int
        order: list[int]
        bad: list[int]
        cuts: list[tuple[int, int]]
        slots: "list[Header | None]"
        opened: bool
        partial: bool
        busy: bool
        booted: bool
        number: int
        address: int
        limit: int
        end: int
        base: int
        covered: int
        since_snapshot: int
        since_checkpoint: int
        distance: int
        group_size: int
        group_first: int
        group_head: bytes
        mark: int
        frame: bytearray
        small: bytearray
        window: int
        block: memoryview
        group: memoryview

    def __init__(
        self,
        flash: "Flash | None",
        now: "Callable[[], int]",
        found: "Found | None" = None,
        distance: int = 0,
    ) -> None:
        # A board looks for a method among these attributes first. With 47 their table is full, and
        # it goes through all of them each time (2,300 instructions); 48 stand in a table of 59.
        self.region = region = found.region if found else Region(flash)
        self.unit = region.unit
        self.clock_size = region.pad(OVERHEAD + 12)  # on flash, of a clock frame
        self.now = now
        self.kernel = self.saver = self.reader = None
        self.watch = None
        self._inside = False
        self.wanted_distance = distance
        self.opened = self.partial = False
        self.bad = []
        self.acked = 0
        self.slots = None
        self.proved = -1
        self.taken = -1  # generation of the newest snapshot that was taken in this boot
        self.generation = 0  # the greatest that a frame or a slot has named
        self.hold = -1  # seq from which on a pull is about to read, or -1
        self.held = 0  # when it last read; see hold_from
        if found:
            self._take(found)
        else:
            self.busy = True
            self.call(bool)

    def call(self, act: "Callable[..., T]", *args: object) -> "T":
        """Run one method of the store with nothing else inside it, on a state that equals the
        log."""
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

    def _refuse(self) -> "NoReturn":
        raise Busy(
            "the store is at work on another call: from a timer, a callback or a second core, try "
            "again later"
        )

    # -- mounting ----------------------------------------------------------------------------------

    def _rebuild(self, until: int = -1) -> None:
        """Read everything back from flash. until: the last seq that counts; -1: the log's last."""
        self.busy = True  # also if there is no room to import what reads
        from .recovery import recover

        self.partial = until >= 0  # then `busy` stays: the state is not the log's
        if self.saver:
            self.saver.abandon()
        self.saver = self.reader = None
        spare = self.kernel and self.kernel.arena  # used again: a board's heap has no room for two
        bad, acked = self.bad, self.acked
        self.kernel = None
        found = recover(self.region, spare, until)  # type: ignore[arg-type]  # a kernel is never false
        recover = None
        forget("shared_kernel", "recovery", "replay", "genesis", "config", "unfinished")
        named = None if self.slots is None or self.proved < 0 else self.slots[self.proved]
        self._take(found)
        if named and self.proved < 0:  # the frame that names it may be one that does not count now
            for slot in (0, 1):
                if self.slots[slot] and self.slots[slot].generation == named.generation:
                    self.proved = slot
        for each in bad:  # found in this boot: no header names them yet
            self.quarantine(each)
        if self.kernel and acked <= self.certain() + 1:
            self.acked = max(self.acked, acked)

    def _take(self, found: "Found") -> None:
        """Take over what recovery found."""
        self.damage = found.damage
        self.cuts = found.cuts
        self.order = found.order
        self.slots = found.slots
        self.proved = found.proved
        # a part of the log that is read back may not have the frame
        self.generation = max(
            [self.generation, found.generation] + [each.generation for each in found.slots if each]
        )
        self.top = found.top
        self.acked = found.acked
        self.policy = found.policy
        self.bad = found.bad
        # whether this boot's boot frame is written; the boot that wrote the genesis needs none
        self.booted = False
        self.found = found  # what the run of this boot is to be made of
        self.address = self.limit = self.end = 0
        if found.replay is None:
            self.seq = self.name = None
        else:
            self._adopt(found.replay)
            if self.kernel:
                self._since_snapshot()
            if found.fresh:
                self._go_on()
        self.base = self.now()
        if self.watch:
            self.watch.lost(self.kernel)
        self.busy = self.partial

    def _go_on(self) -> None:
        """Append behind the genesis that this boot has written. Not where a later boot may read
        another one, which a program has left that was reported as failed: then a boot's run
        follows."""
        run = self.found.run
        if self.damage or run is None:
            raise FlashError(
                "the genesis was programmed, and yet the region does not hold it: %s"
                % (self.damage or "it reads as good as blank")
            )
        if run.number != self.found.newest:
            return
        self.number = run.number
        self.address = self.found.end
        self.limit = self.region.block_end(self.address - 1)
        self.end = (self.region.sector_of(self.number) + 1) * self.region.sector
        self.booted = True
        self.found = None

    def _adopt(self, replay: "Replay") -> None:
        self.kernel = replay.kernel
        self.name = replay.name
        self.seed = replay.seed
        self.seq = replay.seq
        self.head = replay.head
        self.boot = replay.boot
        # the first group after a boot proves what was recovered
        self.since_checkpoint = CHECKPOINT_EVERY if self.seq else 0
        self.group_size = self.mark = 0
        if self.kernel:
            from .frames import largest_frame, span

            config = self.kernel.config()
            self.frame = bytearray(32 + largest_frame(config))  # [chain head][frame]
            self.small = bytearray(_SMALL)
            self.window = span(config, self.unit)  # bytes of one program call
            self.block = memoryview(bytearray(max(self.window, 1024)))
            self.group = self.block[: self.window]

    def _since_snapshot(self) -> None:
        """Count the sectors opened since the newest snapshot; set how many make the next one
        due."""
        region = self.region
        newest = max([-1 if slot is None else slot.seq for slot in self.slots])
        opened: list[int] = []
        for number in reversed(self.order):
            run = region.run(number)
            if run is None or run.first <= newest:
                break
            if not opened or opened[-1] != region.sector_of(number):
                opened.append(region.sector_of(number))
        self.since_snapshot = len(opened)
        # Two snapshots a turn, so each slot wears like the ring. What the older one covers must
        # last until the newer is done, which takes a call for each erase, of two frames as long as
        # can be, and such a frame for each other step.
        half = max(1, (region.sectors - region.ring() - 1 - self.reserve()) // 2)
        steps = 2 * region.slot_sectors + self.kernel.arena.chunks + 2
        lasting = (
            steps
            * region.pad(len(self.frame))
            // (region.sector - region.record_size - 2 * region.header_size)
        )
        # else the ring is too small for that, and a full one waits for a whole snapshot
        if half > (lasting + 1) // 2:
            half -= (lasting + 1) // 2
        self.distance = min(self.wanted_distance or half, half)
        # the first one is early by what one lasts: there is no other that covers anything meanwhile
        if newest < 0:
            self.since_snapshot += lasting

    def reserve(self) -> int:
        """Return how many ring sectors commands leave free, for the runs of boots: three hold any
        number of cuts in a row."""
        ring = self.region.sectors - self.region.ring()
        return 3 if ring >= 8 else 1

    def configure(self, config: "Integers", entropy: bytes, identity: str, policy: int = 0) -> None:
        """Begin a log on a blank region: program its genesis. Invalid if the region is not blank or
        too small for config."""
        return self.call(self._configure, config, entropy, identity, policy)

    def _configure(self, config: "Integers", entropy: bytes, identity: str, policy: int) -> None:
        from .genesis import begin, finish

        if self.damage:
            raise Damage("the region is not blank: %s" % self.damage)
        if self.name is not None:
            raise Invalid(
                "this region holds log %s: a genesis needs a blank region" % self.name.hex()[:16]
            )
        self.busy = True
        begin(self.region, self.top, config, entropy, identity, policy)
        finish(self.region)
        begin = finish = None
        self._rebuild()
        self._go_on()

    # -- commands ----------------------------------------------------------------------------------

    def execute(self, commands: "Sequence[Command]") -> "list[int | Refused]":
        """Carry out [(type, payload, token or None)] in order. Returns once all are durable: for
        each the seq of its frame (the id of what it created), or the Refused that it met."""
        return self.call(self._execute, commands)

    def log_only(self, kind: int, payload: "Buffer", yielding: bool = False) -> int:
        """Append a clock or a requested checkpoint (payload ignored) and return its seq. yielding:
        LogFull if it could be had only by recycling what a pull is about to read."""
        return self.call(self._log_only, kind, payload, yielding)

    def _ready(self) -> None:
        if self.damage:
            raise Damage("the log is damaged and takes nothing new: %s" % self.damage)
        if self.kernel is None:
            raise Invalid("there is no log yet: configure the board first")

    def _execute(self, commands: "Sequence[Command]") -> "list[int | Refused]":
        self._ready()
        results: "list[int | Refused]" = []
        left = len(commands)
        size = 0  # bytes of the group so far, at most
        most = (
            self.region.pad(len(self.frame)) + self.region.pad(OVERHEAD + 32) + 2 * self.clock_size
        )
        for kind, payload, token in commands:
            left -= 1
            size = size + most if self.mark else most
            more = left > 0 and size + most <= _GROUP
            try:
                try:
                    results.append(_command(self, kind, payload, token, more))
                except LogFull:
                    if not self.mark:
                        raise
                    self._end_group()  # room is made between groups only
                    results.append(_command(self, kind, payload, token, more))
            except Refused as e:
                results.append(e)
        self._end_group()
        self.commit(len(commands))
        return results

    def _end_group(self) -> None:
        """End the group in hand, if its last frame says that it goes on: the commands that were to
        follow were refused."""
        if self.mark:
            self._small(CLOCK, clock(0, 0), False)
            self.base = self.now()
            _flush(self)

    def commit(self, commands: int) -> None:
        """The end of a group of so many commands: they are durable once it returns."""
        _flush(self)
        self.busy = False
        self._work(commands)

    def may_cover(self) -> bool:
        """Return whether snapshots are all that keeps the oldest sector that is still held from
        being recycled."""
        end = self._held_end()
        return (
            end >= 0 and self._covered() < end and (self.policy == OVERWRITE or self.acked >= end)
        )

    def _held_end(self) -> int:
        """Return the seq behind the last frame of the log's oldest sector that may not be recycled;
        -1 if it is the newest one."""
        region, order = self.region, self.order[self._spent() :]
        for number in order:
            if region.sector_of(number) != region.sector_of(order[0]):
                return region.need_run(number).first
        return -1

    def _settle(self, more: bool = True) -> None:
        """Write this boot's boot frame, if that is still to be done. LogFull if there is no room
        for it."""
        from .settle import settle

        self._need_numbers(_END)
        for left in (2, 1, 0):
            try:
                done = settle(self)
                break
            except FlashError:
                # half-programmed units may read otherwise each time: what they hold now is what
                # counts
                if not left:
                    raise
                self._rebuild()
                self._ready()
        settle = None
        forget("shared_kernel", "settle")
        self.busy = False
        if not done:
            if self.hold >= 0:  # a pull gives way
                self.hold = -1
                return self._settle(more)
            if more and self.may_cover() and self._snapshot_unsettled():
                return self._settle(False)
            self._full()
        self.booted = True
        self.found = None
        self.reader = None  # what it knows of the log's end is no longer so
        self._name_taken()

    def _need_numbers(self, last: int) -> None:
        """LogFull if the log has used up its seqs, or other numbers that only grow. last: LAST for
        commands; later for a boot's run, without which a log could not be erased."""
        if max(self.seq, self.top, self.boot, self.generation) >= last:
            raise LogFull(
                "the log is at seq %d, run %d, boot %d and snapshot %d, and goes no further than "
                "%d: sync it, erase it and begin a new one"
                % (self.seq, self.top, self.boot, self.generation, LAST)
            )

    def _full(self) -> "NoReturn":
        if self._slot_to_write() is None:
            raise LogFull(
                "the log is full at seq %d and no snapshot can make room: sectors %s are "
                "quarantined; archive the log and "
                "replace the flash" % (self.seq, self.bad)
            )
        raise LogFull(
            "the log is full at seq %d: sync it, so that its frames from seq %d on are acknowledged"
            % (self.seq, self.acked)
        )

    def _complete(self, kind: int, frame: "WritableBuffer", at: int, end: int) -> int:
        """Fill in what a put or a key's deletion says of the write before it; return where the
        payload ends."""
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

    def _log_only(self, kind: int, payload: "Buffer", yielding: bool) -> int:
        self._ready()
        if kind not in (CLOCK, CHECKPOINT):
            raise Invalid(
                "a log-only frame asked for from outside is a clock or a checkpoint, not 0x%02x"
                % kind
            )
        if kind == CLOCK and len(payload) != 12:
            raise Invalid("a clock frame's payload has 12 bytes, not %d" % len(payload))
        if not self.booted:
            self._need_numbers(LAST)
            self._settle()
        size = self.region.pad(OVERHEAD + 32)
        if (
            yielding
            and self.hold >= 0
            and not self._fits((size,))
            and self.free_sectors() <= self.reserve()
        ):
            raise LogFull(
                "the log is full at seq %d but for frames that are about to be pulled" % self.seq
            )
        self._need_room((size,))
        self.busy = True
        if kind == CHECKPOINT:
            self._checkpoint()
        else:
            self._due()
            self._small(CLOCK, payload, False)
            _flush(self)
            self.base = self.now()
        self.busy = False
        return self.seq

    def _due(self) -> None:
        """Append the frames that are due before the next one, in its group: clock, checkpoint."""
        if self.tick() > REBASE:
            # wall time unknown: it only starts the ticks anew
            self._small(CLOCK, clock(0, 0), True)
            self.base = self.now()
        if self.since_checkpoint >= CHECKPOINT_EVERY:
            self._small(CHECKPOINT, self.kernel.root(), True)

    def _small(self, kind: int, payload: "Buffer", more: bool) -> None:
        primitives.copy(self.small, _PAYLOAD, payload, 0, len(payload))
        tick = self.tick() | self.mark | (_MORE if more else 0)
        self.mark = _CONTINUES if more else 0
        _append(
            self, self.small, kind, len(payload), tick, self.region.pad(OVERHEAD + len(payload))
        )
        if kind == CHECKPOINT:
            self.since_checkpoint = 0

    def tick(self) -> int:
        """Return milliseconds since the last boot or clock frame, as frames carry them."""
        return (self.now() - self.base) & _TICKS_MASK

    def keep_time(self) -> None:
        """Begin the ticks anew before they pass what they count to, 12 days. A log to which nothing
        is appended meanwhile needs this call once in 6 days, at least: it then takes two frames."""
        if self._inside or self.tick() <= REBASE:
            return
        if not self.booted:  # no frame counts from there
            self.base = self.now()
            return
        try:
            self.log_only(CHECKPOINT, b"", True)
        except QuipuError:  # the next frame does it, if it comes in time
            pass

    # -- appending ---------------------------------------------------------------------------------

    def room(self) -> int:
        """Return the bytes left in the sector in use, those of the group not yet programmed taken
        off."""
        return self.end - self.address - self.group_size

    def _fits(self, sizes: tuple[int, ...]) -> bool:
        """Return whether the sector in use has room for frames of these padded sizes, and for those
        that may be due before them."""
        due = (self.clock_size, self.region.pad(OVERHEAD + 32))
        return self.region.fits(self.address + self.group_size, self.end, due + sizes)

    def _need_room(self, sizes: tuple[int, ...]) -> None:
        """Make sure that the sector in use has room for frames of these padded sizes, in the next
        one if need be. LogFull if that cannot
        be: nothing has changed then."""
        if not self._fits(sizes):
            _flush(self)
            if not self._make_room(sizes):
                self._full()

    def _make_room(self, sizes: tuple[int, ...]) -> bool:
        """Go on in the next sector, if those in reserve stay free. Return whether there is room
        now."""
        self._need_numbers(LAST)
        for left in (2, 1, 0):
            self._name_taken()
            if self._fits(sizes):  # the frame that names a snapshot has opened one
                return True
            if self.free_sectors() > self.reserve():
                try:
                    self._next_run(self.seq + 1, self.head)
                    return True
                except FlashError:  # those that seemed free are bad
                    continue
            if self.mark:  # no snapshot is taken amid a group
                return False
            if self.hold >= 0:  # a pull gives way
                self.hold = -1
            elif left:
                self._cover()
        return False

    def quarantine(self, sector: int) -> None:
        """Take a sector out of use: it could not be erased or programmed. What it holds is read
        until it stands elsewhere."""
        if sector not in self.bad:
            self.bad.append(sector)

    def free_in_order(self) -> list[int]:
        """Return the ring sectors that may be taken into use now, in the order of the ring."""
        region, order = self.region, self.order
        spent = self._spent()
        sectors = [region.sector_of(each) for each in order]
        held = sectors[spent:] + self.bad
        ring = region.ring()
        count = region.sectors - ring
        out = []
        for i in range(1, count):
            sector = ring + (sectors[-1] - ring + i) % count
            if sector not in held and sector not in sectors:
                out.append(sector)
        for sector in sectors[:spent]:  # the oldest first: a cut must not leave a hole in the log
            if sector not in held and sector not in out:
                out.append(sector)
        return out

    def free_sectors(self) -> int:
        """Return how many ring sectors may be taken into use now."""
        return len(self.free_in_order())

    def take(self, sector: int) -> bool:
        """Erase a free sector of the ring; the frames that it held leave the log. Return whether it
        could be done."""
        region, order = self.region, self.order
        self.busy = True
        self.reader = None
        for i in range(len(order) - 1, -1, -1):
            if region.sector_of(order[i]) == sector:
                del order[: i + 1]
                break
        base = region.base(sector, self.top)
        self.top = base + region.blocks - 1
        self.opened = True
        try:
            region.erase(sector, base)
        except FlashError:
            self.quarantine(sector)
            return False
        self.since_snapshot += 1
        return True

    def enter(self, run: "Run") -> None:
        """Go on in a run whose header stands."""
        region = self.region
        self.order.append(run.number)
        self.number = run.number
        self.address = region.frames_at(run.number)
        self.limit = region.block_end(self.address)
        self.end = (region.sector_of(run.number) + 1) * region.sector

    def _next_run(self, first: int, head: bytes) -> None:
        """Begin a run in the next sector that is free, for frames from seq `first` on; head: the
        chain head before it."""
        region = self.region
        before = region.run(self.number)
        prev = self.number
        if before and before.follows and before.first == first:  # nothing of it counts
            prev = before.prev
            self.order.remove(self.number)
        bad = list(self.bad)
        for sector in self.free_in_order():
            if not self.take(sector):
                continue
            run = Run(
                self.top - region.blocks + 1,
                prev,
                first,
                0,
                self.boot,
                self.acked,
                self.policy,
                True,
                self.name,
                head,
                self.bad,
                self.window,
            )
            try:
                region.write_header(run)
            except FlashError:
                self.quarantine(sector)
                continue
            self.enter(run)
            return
        # where none could be taken, it is the flash that fails and not its sectors
        self.bad[:] = bad
        raise FlashError("no sector is free to go on in")

    def _spent(self) -> int:
        """Return how many of the log's oldest runs may be recycled."""
        return self._oldest(self._recyclable)

    def _oldest(self, act: "Callable[[int], bool]") -> int:
        """Return how many of the log's oldest runs end where act(seq) says yes; it says no past the
        first no. By halves: each is looked up on the flash, which takes as long as a third of an
        insert."""
        low, high = 0, len(self.order)
        while high - low > 1:
            middle = (low + high) >> 1
            run = self.region.run(self.order[middle])
            if run and act(run.first):
                low = middle
            else:
                high = middle
        return low

    def _recyclable(self, end: int) -> bool:
        """Return whether the frames below seq `end` may go: both snapshots cover them, the host has
        them, and no pull is about to read them. While one snapshot is written over, what it covered
        with the other may still go: without it those frames have nothing left to begin from."""
        return (
            self._covered() >= end
            and (self.policy == OVERWRITE or self.acked >= end)
            and not (0 <= self.hold < end and self.holds())
        )

    def hold_from(self, seq: int) -> None:
        """A pull is about to read the frames from `seq` on: they are not recycled before it is
        done, or silent for a minute, or a command needs their room."""
        self.hold = seq
        self.held = self.now()

    def hold_on(self) -> None:
        """The pull goes on."""
        if self.hold >= 0 and self.holds():
            self.held = self.now()

    def holds(self) -> bool:
        """Return whether the pull for which frames are held goes on; if not, they are not held any
        more."""
        if (self.now() - self.held) & _TICKS_MASK > _HOLD_MS:
            self.hold = -1
        return self.hold >= 0

    def _covered(self) -> int:
        """Return the seq before which snapshots cover everything: both of them, if the log names
        the newer, or has lost its beginning, for which the older was named; the one that the log
        names, where it is the only one and the beginning is gone; or one that was taken in this
        boot, where the log has no room for the frame that names it."""
        if self.saver is None:
            self.covered = 0
            a, b = self.slots
            if a and b:
                if self.proved >= 0 or self._lost_beginning():
                    self.covered = min(a.seq, b.seq) + 1
            elif self.proved >= 0 and self._lost_beginning():
                self.covered = self.slots[self.proved].seq + 1
            for header in self.slots:
                if header and header.generation == self.taken:
                    self.covered = max(self.covered, header.seq + 1)
        return self.covered

    def _lost_beginning(self) -> bool:
        """Return whether the log's genesis has been recycled; False if that cannot be read now."""
        run = self.region.run(self.order[0])
        return run is not None and run.head != NO_HEAD

    # -- snapshots ---------------------------------------------------------------------------------

    def take_snapshot(self) -> "Header":
        """Take a snapshot now, whole, and return its Header."""
        return self.call(self._take_snapshot)

    def begin_snapshot(self) -> None:
        """Begin a snapshot, unless one is being taken: each call of `execute` goes a step on with
        it."""
        self.call(self._begin_snapshot)

    def _begin_snapshot(self) -> None:
        self._ready()
        self._saver()

    def _take_snapshot(self) -> "Header":
        self._ready()
        if not self.booted:
            self._settle()
        saver = self._whole_snapshot()
        if self.slots[saver.slot] is None:
            raise FlashError(
                "the snapshot could not be written to slot %d: sectors %s are quarantined"
                % (saver.slot, self.bad)
            )
        return saver.header

    def _saver(self) -> "Saver":
        """Return the snapshot being taken; begin one, if none is. FlashError if no slot can be
        written."""
        if self.saver is None:
            self._name_taken()
            slot = self._slot_to_write()
            if slot is None:
                raise FlashError(
                    "no snapshot slot can be written: sectors %s are quarantined" % self.bad
                )
            header = self.slots[slot]
            if header and header.generation == self.taken:
                self.taken = -1  # what it alone covered is covered no more
            self._covered()
            self.slots[slot] = None
            if slot == self.proved:
                self.proved = -1
            self.saver = Saver(self.region, self.kernel.arena, slot)
            self.since_snapshot = 0
        return self.saver

    def _slot_to_write(self) -> int | None:
        """Return the slot that holds nothing which is needed; None if there is none without
        quarantined sectors. Recovery has hashed the one that stays."""
        a, b = self.slots
        if a is None or b is None:
            tries = (1,) if a else (0,) if b else (0, 1)
        elif self.proved >= 0:
            header, named = self.slots[1 - self.proved], self.slots[self.proved]
            if header.generation == self.taken and named.seq + 1 < self.first().first:
                tries = (self.proved,)  # what it left has gone, since the newer one was taken
            else:
                tries = (1 - self.proved,)
        else:
            # the log does not name the newer one: it goes, unless the older one is of no use any
            # more
            newer = 0 if a.generation > b.generation else 1
            first = self.first()
            useless = first.head != NO_HEAD and self.slots[1 - newer].seq + 1 < first.first
            tries = (1 - newer,) if useless else (newer,)
        size = self.region.slot_sectors
        for slot in tries:
            if not [each for each in self.bad if slot * size <= each < (slot + 1) * size]:
                return slot
        return None

    def _step(self) -> None:
        """Do one step of the snapshot being taken: a sector's erase, its beginning, a chunk, or its
        header."""
        saver = self.saver
        self.busy = True  # an interrupted step is forgotten like an interrupted command
        header = None
        begin = saver.header is None and saver.erased == self.region.slot_sectors
        if begin and self.booted and self._fits((self.region.pad(OVERHEAD + 32),)):
            self._checkpoint()
        try:
            if saver.erased < self.region.slot_sectors:
                saver.erase_next()
            elif begin:
                other = self.slots[1 - saver.slot]
                saver.begin(
                    Header(
                        self.seq,
                        self.boot,
                        # a frame must not name a snapshot that was taken after it
                        max(self.generation, other.generation if other else 0) + 1,
                        self.kernel.arena.size,
                        self.name,
                        self.head,
                        self.kernel.root(),
                    )
                )
            elif not saver.save_next():
                header = saver.commit()
                self._saved(saver)
                if header:
                    self.slots[saver.slot] = header
                    self.taken = header.generation
        except FlashError:
            saver.failed = True
            self._saved(saver)
        if header and self.booted:
            self._name_snapshot(header)
        self.busy = self.partial

    def _saved(self, saver: "Saver") -> None:
        """A snapshot is done, or has failed."""
        if saver.failed and saver.bad >= 0:
            self.quarantine(saver.bad)
            if self._slot_to_write() is None:
                self.distance = 1 << 29
        saver.abandon()
        self.saver = None

    def _name_taken(self) -> None:
        """Name the snapshot of this boot for which the log had no room, if it has now."""
        if self.taken >= 0 and self.booted and self.saver is None and not self.mark:
            for header in self.slots:
                if header and header.generation == self.taken:
                    self.busy = True
                    self._name_snapshot(header)
                    self.busy = self.partial

    def _name_snapshot(self, header: "Header") -> None:
        """Append the frame by which later boots know that a snapshot was whole. Until then nothing
        may rest on the snapshot alone, unless no sector is left for that frame, not even in
        reserve."""
        self.taken = -1
        size = self.region.pad(OVERHEAD + 8)
        if not self._fits((size,)):
            # a sector in reserve comes back only if snapshots can make room
            done = self.free_sectors() > self.reserve() or self.may_cover()
            try:
                if done:
                    self._next_run(self.seq + 1, self.head)
            except FlashError:
                done = False
            if not done:
                self.taken = header.generation
                return
        self._due()
        payload = bytearray(8)
        put_u32(payload, 0, header.seq)
        put_u32(payload, 4, header.generation)
        self._small(SNAPSHOT, payload, False)
        _flush(self)
        self.generation = header.generation
        self.proved = 0 if self.slots[0] is header else 1

    def _checkpoint(self) -> None:
        self.since_checkpoint = 0  # one is enough
        self._due()
        self._small(CHECKPOINT, self.kernel.root(), False)
        _flush(self)

    def _work(self, commands: int) -> None:
        """After a group of so many commands: go on with the snapshot being taken, by a step each,
        or begin the one that is due. Not in a call that has erased a sector: one erase is the
        longest that a call may take. The commands are durable whatever comes of it: after a
        failure the next call reads the flash again."""
        try:
            self._housekeep(commands)
        except FlashError:
            self.busy = True

    def _housekeep(self, commands: int) -> None:
        if not self.booted:
            return
        if self.opened:
            self.opened = False
        elif self.saver or self.since_snapshot >= self.distance:
            self._name_taken()
            if self.saver is None and self._slot_to_write() is None:
                self.distance = 1 << 29
                return
            saver = self._saver()
            erasing = saver.erased < self.region.slot_sectors
            self._step()
            while not erasing and commands > 1 and self.saver is saver:
                commands -= 1
                self._step()

    def _cover(self) -> None:
        """The ring is full: if snapshots are all that keeps its older sectors from being recycled,
        take them now."""
        n = len(self.order) - 1 if self.policy == OVERWRITE else self._acknowledged_runs()
        run = self.region.run(self.order[n])
        for _ in range(2):
            self._name_taken()
            if (
                n
                and run
                and self._covered() < run.first
                and (self.saver or self._slot_to_write() is not None)
            ):
                self._whole_snapshot()

    def _whole_snapshot(self) -> "Saver":
        saver = self._saver()
        while self.saver is saver:
            self._step()
        return saver

    def _snapshot_unsettled(self) -> bool:
        """Take a snapshot although no sector is left for this boot's run, not even in reserve: of
        the state at the last seq that is certain. Return whether that could be done."""
        seq = self.found.certain
        if seq < 0 or self._slot_to_write() is None:
            return False
        self._rebuild(seq)
        done = False
        if self.damage is None and self.kernel and self._slot_to_write() is not None:
            done = self.slots[self._whole_snapshot().slot] is not None
        self._rebuild()
        self._ready()
        return done

    # -- what a host asks for ----------------------------------------------------------------------

    def ask(self, question: "Callable[..., T]", *args: object) -> "T":
        """Return question(kernel, *args): any of the kernel's questions, on a state that equals the
        log."""
        return self.call(self._ask, question, args)  # type: ignore[no-any-return]  # _ask returns what question does

    def _ask(self, question: "Callable[..., T]", args: tuple[object, ...]) -> "T":
        return question(self._kernel(), *args)

    def _kernel(self) -> "Kernel":
        if self.kernel is None:
            raise NotFound(
                "there is no state: %s" % (self.damage or "the board is not configured yet")
            )
        return self.kernel

    def log_name(self) -> bytes:
        """Return the log's name, 32 bytes; NotFound if there is no log."""
        if self.name is None:
            raise NotFound("there is no log yet: configure the board first")
        return self.name

    def first(self) -> "Run":
        """Return the Run from which on the log can be read; NotFound if no log was found."""
        if not self.order:
            raise NotFound(
                "there is no log to be read: %s" % (self.damage or "the region is blank")
            )
        return self.region.need_run(self.order[0])

    def newest_snapshot(self) -> "tuple[int, Header]":
        """Return (slot, Header) of the newest committed snapshot; NotFound if there is none."""
        a, b = self.slots
        if a is None and b is None:
            raise NotFound("no snapshot has been taken yet")
        slot = 0 if b is None or a and a.generation > b.generation else 1
        return slot, self.slots[slot]

    def read_snapshot(self, slot: int, generation: int, offset: int, size: int) -> memoryview:
        """Return up to size bytes (a group's at most) of a committed snapshot's arena from offset,
        as a view that is good until the next call; NotFound if that snapshot is gone."""
        return self.call(self._read_snapshot, slot, generation, offset, size)

    def _read_snapshot(self, slot: int, generation: int, offset: int, size: int) -> memoryview:
        header = self.slots[slot] if slot < 2 else None
        if header is None or header.generation != generation or offset > header.length:
            raise NotFound("snapshot %d is gone from slot %d, or is shorter" % (generation, slot))
        data = self.block[: min(size, len(self.block), header.length - offset)]
        self.region.slot_read(slot, offset, data)
        return data

    def acknowledge(self, seq: int) -> None:
        """The host has every frame below `seq`, safely: their sectors may be recycled."""
        return self.call(self._acknowledge, seq)

    def _acknowledge(self, seq: int) -> None:
        self._kernel()
        if not 0 <= seq <= self.seq + 1:
            raise Invalid("seq %d cannot be acknowledged: the log ends at %d" % (seq, self.seq))
        self.hold = -1  # the pull is done
        before = self._acknowledged_runs()
        self.acked = max(self.acked, min(seq, self.certain() + 1))
        # else a sync of nothing new would add to the log
        if self.damage is None and self._acknowledged_runs() > before:
            try:
                if not self.booted:
                    self._settle()
                    self.acked = max(self.acked, seq)
                self._need_room((self.region.pad(OVERHEAD + 4),))
            except LogFull:  # known until the next boot
                return
            self.busy = True
            self._due()
            payload = bytearray(4)
            put_u32(payload, 0, self.acked)
            self._small(ACKNOWLEDGED, payload, False)
            _flush(self)
            self.busy = False

    def _acknowledged_runs(self) -> int:
        """Return how many of the log's oldest runs the host has whole."""
        return self._oldest(lambda end: end <= self.acked)

    def certain(self) -> int:
        """Return the seq up to which every later boot will read the same log: before this boot's
        run stands, not all of it."""
        if self.seq is None:
            return -1
        return self.seq if self.booted or self.damage else min(self.seq, self.found.certain)

    def read_frames(self, seq: int, head: bytes) -> memoryview:
        """Return whole frames from `seq` on, some 1 KiB of them, as a view that is good until the
        next call; empty at the log's end.

        head: the chain head before that frame, or its beginning, by what the caller holds; it is
            compared where the reading
        begins anew: FormatError for another log, or one that was rolled back. NotFound if those
        frames have been recycled."""
        return self.call(self._read_frames, seq, head)

    def _read_frames(self, seq: int, head: bytes) -> memoryview:
        self._kernel()
        if not self.booted and self.damage is None:
            try:
                self._settle()  # no host may hold what a later boot cannot read
            except LogFull:
                pass
        reader, self.reader = self.reader, None
        if reader is None or reader.seq != seq:
            reader = self._seek(seq, head)
        group, end = self.block, 0  # no group is under way here
        reader.buffer, reader.ahead_end = group, 0
        last = self.certain()
        while reader.seq <= last and len(group) - end >= len(self.frame) - 32:
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

    def _seek(self, seq: int, head: bytes) -> "LogReader":
        """Return a reader at `seq`, having checked that the chain leads to head there."""
        # the group's buffer holds any genesis; `frame` may not. No group is under way here
        reader = LogReader(self.region, self.order, self.seed, self.block, 0, len(self.block))
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
            raise FormatError(
                "before seq %d this log's chain head is %s, not %s: it is another log, or was "
                "rolled back" % (seq, found.hex(), head.hex())
            )
        return reader


# The steps of each command. Not methods: a board finds a function ten times as fast.


def command(store: "Store", kind: int, payload: "Buffer", token: bytes | None = None) -> int:
    """Carry out one command. Returns the seq of its frame once it is durable; raises the Refused
    that it met."""
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
            if store.opened or store.saver or store.since_snapshot >= store.distance:
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


def _command(
    store: "Store", kind: int, payload: "Buffer", token: bytes | None, more: bool = False
) -> int:
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
        raise TooLong(
            "a payload of %d bytes is longer than any that this configuration allows" % len(payload)
        )
    primitives.copy(frame, at, payload, 0, len(payload))
    if kind >= _PUT:
        end = store._complete(kind, frame, at, end)
    kernel.check(kind, frame, at, end)
    if not store.booted:
        store._need_numbers(LAST)
        store._settle()
        # half-programmed units read otherwise now, and so does the log's end
        if store.kernel is not kernel:
            return _command(store, kind, payload, token, more)
    padded = end + 4 - 32
    padded += -padded % store.unit
    tick = (store.now() - store.base) & _TICKS_MASK
    due = store.since_checkpoint >= CHECKPOINT_EVERY or tick > REBASE
    mark = store.mark
    if due or more or mark or store.limit - store.address - store.group_size < padded:
        # the frame that ends a group must have room too
        # so that a boot can carry the group
        store._need_room((padded, store.region.pad(OVERHEAD + 32)))
    store.busy = True
    if due:
        store._due()
        tick = store.tick()
        mark = store.mark
    if more:
        mark |= _MORE
    if mark:
        tick |= mark
        store.mark = _CONTINUES if more else 0
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


def _append(
    store: "Store", buffer: "WritableBuffer", kind: int, size: int, tick: int, room: int
) -> None:
    """Encode the frame whose payload stands at buffer[32+12:] and add it to what is programmed
    next, where it takes `room` bytes."""
    seq = store.seq + 1
    at = store.group_size
    # one program call has frames of one group only: a later group is proof that the earlier one was
    # read back
    if at and (
        not tick & _CONTINUES or at + room > store.window or store.limit - store.address - at < room
    ):
        _flush(store)
        at = 0
    if not at:
        if store.limit - store.address < room:  # on at the boundary of the next block
            store.address = store.limit
            store.limit += store.region.block
        store.group_first = seq
        store.group_head = store.head
    store.head = primitives.chain(
        buffer, kind, size, seq, tick, store.seed, store.head, store.group, at, room
    )
    store.group_size = at + room
    store.seq = seq


def _flush(store: "Store") -> None:
    """Program what the group has and read it back; if the flash will not, once more in a run of its
    own."""
    if not store.group_size:
        return
    data = store.group[: store.group_size]
    try:
        store.region.program(store.address, data)
    except FlashError:
        store.quarantine(store.region.sector_of(store.number))
        store._next_run(store.group_first, store.group_head)
        store.region.program(store.address, data)
    store.address += store.group_size
    store.group_size = 0
