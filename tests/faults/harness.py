"""A store on a simulated flash, and a witness that knows what it owes: every acknowledged command,
each whole, in order.

The witness holds the plain model of tests/model.py, which each acknowledged command is told, and an
independent replay of the frames that the store hands out; after every call and every boot all three
must agree: model, replay, and the store's own state. Chance comes from seeds only.
"""

from shared_kernel import frames, primitives
from shared_kernel.config import check_config
from shared_kernel.errors import FlashError, LogFull, Refused
from shared_kernel.kernel import (
    CREATE_EDGE,
    CREATE_NODE,
    DELETE,
    DELETE_EDGE,
    DELETE_KEY,
    DELETE_NODE,
    INSERT,
    PUT,
    UPDATE,
    Kernel,
    u32,
)
from shared_kernel.reader import LogReader, frame_of
from shared_kernel.replay import Replay
from shared_kernel.snapshot import HEADER
from shared_kernel.store import REBASE, Store, command
from tests.flashsim import ERASE_STEPS, Chance, PowerCut
from tests.model import Model, contents_of

CONFIG = (2, 7, 5, 6, 4, 3, 5)
ENTROPY = b"sixteen of chaos"
NAMES = (b"a", b"temperature", b"n" * 24, b"\0", b"e", b"f")


class LostAcked(AssertionError):
    """Something that was acknowledged is gone."""


class HalfApplied(AssertionError):
    """Something is there that is no whole command that was asked for: a state that never was, or
    frames of nobody."""


class Clock:
    """Milliseconds that mostly crawl and sometimes leap past what a tick may be."""

    def __init__(self, seed):
        self.chance = Chance(seed)
        self.ms = 0

    def __call__(self):
        n = self.chance.below(2000)
        self.ms += REBASE if n == 0 else n % 50
        return self.ms & 0x3FFFFFFF


class Application:
    """What an application and a host do with a store, drawn by chance from what the model holds.
    `action()` returns one of ("execute", [(kind, payload, token, told)]), ("clock",),
    ("checkpoint",), ("snapshot",), ("acknowledge", how far back)."""

    def __init__(self, chance, acknowledges=True):
        self.chance = chance
        self.acknowledges = acknowledges

    def action(self, model):
        n = self.chance.below(32)
        if n == 0:
            return ("clock",)
        if n == 1:
            return ("checkpoint",)
        if n == 2:
            return ("snapshot",)
        if n < 7 and self.acknowledges:
            return ("acknowledge", self.chance.below(6))
        return (
            "execute",
            [self.command(model) for _ in range(1 + self.chance.below(3) * self.chance.below(3))],
        )

    def pick(self, things, else_=99):
        """Mostly one of things, sometimes what is not there."""
        if not things or self.chance.below(12) == 0:
            return else_
        return things[self.chance.below(len(things))]

    def command(self, m):
        below = self.chance.below
        token = bytes([below(256) for _ in range(8)]) if below(4) == 0 else None
        n = below(16)
        if n < 4:
            vector, tag, meta = (
                [below(1 << 20) - (1 << 19) for _ in range(m.dim)],
                below(9),
                bytes([below(256)] * below(5)),
            )
            return (
                INSERT,
                frames.insert(vector, tag, meta),
                token,
                lambda m, seq: m.insert(seq, vector, tag, meta),
            )
        if n == 4:
            ident, tag, meta = (
                self.pick(sorted(m.records)),
                below(1 << 16),
                b"xyz"[: below(4)] if below(2) else None,
            )
            return (
                UPDATE,
                frames.update(ident, tag, meta),
                token,
                lambda m, seq: m.update(seq, ident, tag, meta),
            )
        if n == 5:
            ident = self.pick(sorted(m.records))
            return (DELETE, frames.ident(ident), token, lambda m, seq: m.delete(seq, ident))
        if n < 8:
            kind, record = below(5), self.pick(sorted(m.records), 0)
            return (
                CREATE_NODE,
                frames.create_node(kind, record),
                token,
                lambda m, seq: m.create_node(seq, kind, record),
            )
        if n == 8:
            ident = self.pick(sorted(m.nodes))
            return (
                DELETE_NODE,
                frames.ident(ident),
                token,
                lambda m, seq: m.delete_node(seq, ident),
            )
        if n < 11:
            kind, origin, target = below(5), self.pick(sorted(m.nodes)), self.pick(sorted(m.nodes))
            return (
                CREATE_EDGE,
                frames.create_edge(kind, origin, target),
                token,
                lambda m, seq: m.create_edge(seq, kind, origin, target),
            )
        if n == 11:
            ident = self.pick(sorted(m.edges))
            return (
                DELETE_EDGE,
                frames.ident(ident),
                token,
                lambda m, seq: m.delete_edge(seq, ident),
            )
        name = NAMES[below(len(NAMES))]
        if n == 15:
            return (
                DELETE_KEY,
                frames.delete_key(name),
                token,
                lambda m, seq: m.delete_key(seq, name, last(m, name)),
            )
        value = b"valuev"[: below(3) * 3]
        return (
            PUT,
            frames.put(name, value),
            token,
            lambda m, seq: m.put(seq, name, value, last(m, name)),
        )


def last(model, name):
    """Return the seq of the last write of a key, which the store fills in."""
    return model.keys[name][0] if name in model.keys else 0


def perform(store, action):
    """Carry out an action on a store and return what it returned."""
    kind = action[0]
    if kind == "execute":
        commands = [each[:3] for each in action[1]]
        if len(commands) > 1:
            return store.execute(commands)
        try:
            return [command(store, *commands[0])]
        except Refused as e:
            return [e]
    try:
        if kind == "clock":
            return store.log_only(frames.CLOCK, frames.clock(1700000000000, 50))
        if kind == "checkpoint":
            return store.log_only(frames.CHECKPOINT, b"")
    except LogFull as e:
        return e
    if kind == "snapshot":
        try:
            return store.take_snapshot()
        except LogFull as e:
            return e
    if kind == "acknowledge":
        return store.acknowledge(max(0, store.certain() + 1 - action[1]))
    if kind == "configure":
        return store.configure(*action[1:])
    raise ValueError(kind)


def same(kind, found, asked):
    """Return whether a frame's payload is what was asked for, apart from what the store fills
    in."""
    if kind == DELETE_KEY:
        return found[4:] == asked[4:]
    if kind == PUT:
        return found[5 : 6 + found[5]] == asked[5 : 6 + asked[5]] and (
            found[4] == 1 or found[6:] == asked[6:]
        )
    return found == asked


class Witness:
    """What a store owes. model: None before the genesis. pending: the action that was never
    acknowledged, or None. acted: how many commands of the last action found room in the log.
    history, if a dict: (chain head, arena) after each seq."""

    def __init__(self, history=None):
        self.history = history
        self.model = None
        self.replay = Replay()
        self.pending = None
        # commands that were never acknowledged, and may stand where the store reads but may not
        # promise
        self.open = []
        self.acted = self.acked = 0
        self.kinds = set()  # types of the frames so far

    def clone(self):
        new = Witness()
        new.pending, new.acked, new.open = self.pending, self.acked, list(self.open)
        if self.model:
            m = Model(self.model.config)
            m.seq = self.model.seq
            m.records, m.nodes, m.edges, m.keys = (
                dict(self.model.records),
                dict(self.model.nodes),
                dict(self.model.edges),
                dict(self.model.keys),
            )
            new.model = m
            r = self.replay
            kernel = Kernel(m.config)
            kernel.arena.load(r.kernel.arena.bytes)
            new.replay.start_from(kernel, r.name, r.seq, r.head, r.boot)
        return new

    def _host_has(self, action):
        """The host has what it is about to acknowledge, whether or not the board comes to write
        that down."""
        if action and action[0] == "acknowledge" and self.replay.seq is not None:
            self.acked = max(self.acked, self.replay.seq + 1 - action[1])

    def act(self, store, action):
        """Carry out an action and check all that it promises."""
        self.pending = action
        self._host_has(action)
        result = perform(store, action)
        found = self._settled(store, self.pull(store))
        self.acted = (
            1
            if action[0] != "execute"
            else len([each for each in result if not isinstance(each, LogFull)])
        )
        commands = []
        if action[0] == "configure":
            self.model = Model(check_config(action[1]))
        if action[0] == "execute":
            assert len(result) == len(action[1])
            for (kind, _, token, told), seq in zip(action[1], result):
                if (
                    isinstance(seq, LogFull)
                    or isinstance(seq, Refused)
                    and store.certain() < store.seq
                ):
                    # in the latter case judged by a state that the model does not have yet
                    continue
                refusal = seq
                try:
                    told(self.model, seq if isinstance(seq, int) else 1)
                except Refused as e:
                    assert type(e) is type(refusal) or isinstance(e, type(refusal)), (e, refusal)
                else:
                    assert isinstance(seq, int), "refused what the model takes: %r" % refusal
                    commands.append((seq, kind, token))
        got = [each[:3] for each in found]
        if len(got) < len(commands):
            raise LostAcked("%r were acknowledged, but the log has %r" % (commands, got))
        assert got == commands, (got, commands)
        self.pending = None
        self.agree(store, store.seq % 8 == 0)  # the model's turn is slow: seldom, and at every boot
        return result

    def booted(self, store):
        """After a power cut: all that was acknowledged is there, and of the call in hand the first
        commands, each whole."""
        self._host_has(self.pending)
        store.call(lambda: None)  # if the last call failed, the store reads its flash again
        if (
            store.damage
            and self.replay.seq is not None
            and (store.seq is None or store.seq < self.replay.seq)
        ):
            raise LostAcked("seq %d was acknowledged, but: %s" % (self.replay.seq, store.damage))
        assert store.damage is None, store.damage
        if self.model is None:
            if store.kernel is None:
                return  # the genesis never came to be
            self.model = Model(store.kernel.config())
        if store.kernel is None:
            raise LostAcked("an acknowledged log is gone")
        if self.replay.seq is not None and store.seq < self.replay.seq:
            raise LostAcked(
                "seq %d was acknowledged, but %d is the last" % (self.replay.seq, store.seq)
            )
        if self.pending and self.pending[0] == "execute":
            self.open += self.pending[1]
        got = self._settled(store, self.pull(store))
        if got:
            raise HalfApplied("frames that nobody asked for, or not in that order: %r" % (got,))
        self.pending = None
        self.agree(store)

    def _settled(self, store, got):
        """Tell the model of the commands in got that were asked for but never acknowledged; return
        the rest of got."""
        left = list(self.open)
        while left and got:  # in order; what was refused is left out
            kind, payload, token, told = left.pop(0)
            if got[0][1:3] == (kind, token) and same(kind, got[0][3], payload):
                try:
                    told(self.model, got[0][0])
                    got.pop(0)
                except Refused:
                    pass
        if got or store.certain() == store.seq:
            self.open = []
        return got

    def pull(self, store):
        """Read the frames that are new, replay them, and return (seq, kind, token, payload) of the
        commands."""
        got = []
        # half-programmed units may hide a frame from one reading and show it to the next
        tries = 40
        seq, head = (
            (0, bytes(32)) if self.replay.seq is None else (self.replay.seq + 1, self.replay.head)
        )
        while True:
            data = bytes(store.read_frames(seq, head))
            if not data:
                tries -= 1
                if seq > store.certain() or not tries:
                    break
                continue
            at = 0
            while at < len(data):
                end = at + frames.length_at(data, at)
                frame = data[at:end]
                self.replay.step(frame)
                if self.history is not None:
                    self.history[self.replay.seq] = (
                        self.replay.head,
                        bytes(self.replay.kernel.arena.bytes),
                    )
                kind = frame[1]
                self.kinds.add(kind & ~frames.TOKEN)
                if 0x10 <= kind & 0x3F and kind < 0x80:
                    token = frame[12:20] if kind & frames.TOKEN else None
                    got.append((u32(frame, 4), kind & 0x3F, token, frame[20 if token else 12 : -4]))
                at = end
            assert at == len(data)
            seq, head = self.replay.seq + 1, self.replay.head
        return got

    def _uncertain(self, store):
        """Return a replay that has gone on to what a store reads but may not promise: the log is
        full, and has no room for a boot's run."""
        # half-programmed units may hide a frame from one reading and show it to the next
        for _ in range(40):
            new = self.clone().replay
            reader = LogReader(store.region, store.order, store.seed, bytearray(2048), 0)
            reader.seek(min(new.seq + 1, store.seq))
            while reader.seq <= store.seq:
                if not reader.next():
                    break
                if reader.seq > new.seq + 1:
                    new.step(bytes(frame_of(reader, frames.length_at(reader.buffer, reader.at))))
            if new.seq == store.seq:
                return new
        raise AssertionError("a frame at the log's end is gone")

    def agree(self, store, deep=True):
        replay = self.replay
        if store.policy == frames.STOP and store.first().first > self.acked:
            raise LostAcked("frames from seq %d on are not on the host, but gone" % self.acked)
        if store.certain() < store.seq:
            replay, deep = self._uncertain(store), False
        assert (store.seq, store.head, store.boot) == (replay.seq, replay.head, replay.boot)
        if store.kernel.arena.bytes != replay.kernel.arena.bytes:
            raise HalfApplied("the store's state is not the log's")
        if deep and contents_of(store.kernel) != self.model.contents():
            raise HalfApplied("the store's state is not the model's")
        assert store.kernel.root() == replay.kernel.root()


def slots_hold(store):
    """Assert that the newest snapshot which the store counts on is whole on flash. (Of the older
    one, recovery checks only the
    header: an erase that was cut may have left just that. The next snapshot goes there.)"""
    slot_holds(store, store.newest_snapshot()[0])


def slot_holds(store, slot):
    """Assert that the snapshot in a slot is what its header says."""
    header = store.slots[slot]
    arena = bytearray(header.length)
    store.region.slot_read(slot, 0, arena)
    assert primitives.hash(arena) == header.root, (
        "the snapshot in slot %d is not what its header says" % slot
    )
    raw = bytearray(HEADER)
    for at in (0, store.region.pad(HEADER)):
        store.region.slot_read(slot, header.length + at, raw)
        if bytes(raw) == header.encode():
            return
    # Half programmed, it may have read whole at the boot and torn now: then nothing may rest on it
    # yet.
    assert store.region.flash.flicker and slot != store.proved, (
        "the snapshot in slot %d has no header" % slot
    )


def mount(sim, clock):
    """Mount a store; recovery must write nothing."""
    sim.forbidden = True
    try:
        return Store(sim, clock)
    finally:
        sim.forbidden = False


def genesis(config=CONFIG, policy=0):
    return ("configure", config, ENTROPY, "test/1", policy)


class Run:
    """A workload recorded as the flash saw it, so that a cut at any step of it can be made
    afterwards.

    start: the flash before; trace: its programs and erases; marks: (how many of them, what was owed
        by then), one before each
    action; `pending` of a mark's witness is the action that follows. It goes on until there were
    `actions` of them and the log came `turns` times round its ring.
    """

    def __init__(
        self, sim, seed, actions, policy=0, config=CONFIG, acknowledges=True, history=None, turns=0
    ):
        self.start = sim.clone(seed)
        self.sim = sim
        sim.trace = self.trace = []
        self.marks = []
        self.witness = witness = Witness(history)
        self.store = store = mount(sim, Clock(seed))
        self.refused = 0
        application = Application(Chance(seed), acknowledges)
        while len(self.marks) < actions or store.top < (turns + 1) * store.region.turn and turns:
            action = application.action(witness.model) if witness.model else genesis(config, policy)
            mark = witness.clone()
            mark.pending = action
            self.marks.append((len(self.trace), mark))
            result = witness.act(store, action)
            if (
                isinstance(result, LogFull)
                or action[0] == "execute"
                and any(isinstance(each, LogFull) for each in result)
            ):
                self.refused += 1
                assert not turns or self.refused < 1000, "the log is full and stays so"
        self.marks.append((len(self.trace), witness.clone()))
        sim.trace = None

    def steps(self):
        """Return (index in the trace, step within) of every place where the power can be cut."""
        unit = self.start.unit
        return [
            (i, step)
            for i, (_, data) in enumerate(self.trace)
            for step in range(ERASE_STEPS if data is None else len(data) // unit)
        ]

    def cuts(self, chosen):
        """Yield (flash, witness, place) for each of the chosen places, ascending: the flash as the
        cut there leaves it."""
        base = self.start.clone(0)
        mark = done = 0
        for i, step in chosen:
            while done < i:
                do(base, self.trace[done])
                done += 1
            while mark + 1 < len(self.marks) and self.marks[mark + 1][0] <= i:
                mark += 1
            sim = base.clone(i * 1000003 + step)
            sim.cut_after(step)
            try:
                do(sim, self.trace[i])
            except PowerCut:
                pass
            sim.power_on()
            yield sim, self.marks[mark][1].clone(), (i, step)


def do(sim, op):
    address, data = op
    if data is None:
        sim.erase(address)
    else:
        sim.program(address, data)


def live_on(sim, witness, seed, actions=6, cuts=2):
    """Boot, check, go on with commands, cut again within them, and so on, half of the times within
    the recovery first; at last everything is acknowledged, a snapshot is taken and a last boot
    checked. Returns how many cuts there were."""
    chance = Chance(seed)
    clock = Clock(seed)
    application = Application(chance)
    done = 0
    while True:
        if cuts and chance.below(2):
            sim.cut_after_reads(chance.below(100))
            try:
                mount(sim, clock)
            except PowerCut:
                done += 1
            sim.power_on()
        store = mount(sim, clock)
        witness.booted(store)
        if any(store.slots):
            slots_hold(store)
        if cuts:
            sim.cut_after(chance.below(chance.below(3) * 400 + 20))
        try:
            for _ in range(actions):
                if not witness.model:
                    attempt(witness, store, genesis())
                attempt(witness, store, application.action(witness.model))
        except PowerCut:
            done += 1
            cuts -= 1
            sim.power_on()
            continue
        break
    sim.power_on()
    for _ in range(2):  # once more for what the first one made certain
        attempt(witness, store, ("acknowledge", 0))
    attempt(witness, store, ("snapshot",))
    slots_hold(store)
    attempt(witness, store, ("execute", [application.command(witness.model)]))
    assert witness.acted, "all is acknowledged and covered, but the log takes nothing"
    again = mount(sim, clock)
    witness.booted(again)
    return done


def attempt(witness, store, action, times=3):
    """Carry out an action; if the flash will not, check that nothing is lost and try again."""
    for left in range(times, 0, -1):
        try:
            return witness.act(store, action)
        except FlashError:
            witness.booted(store)
            if left == 1:
                raise
