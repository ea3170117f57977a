"""Flipped bits and bad sectors, one after the other: what came of each. Prints and writes nothing.
(Power cuts: sweep.py.)"""

import functools

from shared_kernel.errors import FlashError, FormatError, LogFull, QuipuError
from shared_kernel.frames import BOOT, CHECKPOINT, GENESIS, SNAPSHOT, length_at
from shared_kernel.kernel import u32
from shared_kernel.reader import LogReader
from shared_kernel.run import HEADER as RUN_HEADER
from shared_kernel.snapshot import HEADER
from tests.faults.harness import (
    Application,
    Chance,
    Clock,
    Run,
    Witness,
    genesis,
    mount,
    slot_holds,
    slots_hold,
)
from tests.faults.sweep import KINDS, HalfApplied, LostAcked, collected
from tests.flashsim import FlashSim

# sectors, sector, page, unit, acknowledges: a log from its genesis on, and one that came round its
# ring
IMAGES = {"young": (16, 1024, 256, 4, False), "turned": (14, 512, 256, 8, True)}
MODES = [
    ("raise", None),
    ("nothing", None),
    ("wrong", None),
    (None, "raise"),
    (None, "nothing"),
    (None, "wrong"),
    ("raise", "raise"),
    ("nothing", "nothing"),
]
SECTORS, SECTOR, PAGE, UNIT = 14, 512, 256, 8  # two slots of 3 and a ring of 8


# -- flipped bits ----------------------------------------------------------------------------------


def pull(store, seq):
    """Return the frames from seq on as a host gets them."""
    out = []
    while True:
        data = bytes(store.read_frames(seq, b""))
        at = 0
        while at < len(data):
            out.append(data[at : at + length_at(data, at)])
            at += len(out[-1])
            seq += 1
        if not data:
            return out


@functools.lru_cache(2)
def image(name):
    """Return (flash, history, store, frames) of a log with every type of frame, both snapshots, and
    frames that neither covers; history: see Witness."""
    sectors, sector, page, unit, acknowledges = IMAGES[name]
    history = {}
    run = Run(
        FlashSim(sectors, sector, page, unit, seed=6),
        6,
        100,
        acknowledges=acknowledges,
        history=history,
        turns=acknowledges,
    )
    application = Application(Chance(7), acknowledges)
    wanted = KINDS - {GENESIS} if acknowledges else KINDS
    store = mount(run.sim, Clock(7))
    run.witness.booted(store)
    for _ in range(300):
        again = mount(run.sim.clone(1), Clock(1))
        again.read_frames(again.seq + 1, b"")  # its boot may take the oldest sector
        frames = pull(store, again.first().first)
        late = frames[-5:]  # covered by no snapshot, and repeated by no boot
        if (
            again.booted
            and all(store.slots)
            and wanted <= {each[1] & ~0x40 for each in frames}
            and all(each[1] != BOOT for each in late)
            and store.seq > max(each.seq for each in store.slots) + len(late)
        ):
            return run.sim, history, mount(run.sim, Clock(1)), frames
        run.witness.act(store, application.action(run.witness.model))
    raise AssertionError("the image %s never holds both snapshots and every type of frame" % name)


def place_of(name, address):
    """Return what stands at an address: "record", "header", "frame", "unused", "newer snapshot" or
    "older snapshot"."""
    _, _, store, _ = image(name)
    region = store.region
    sector, offset = divmod(address, region.sector)
    if offset < region.record_size:
        return "record" if offset < 20 and region.record(sector) else "unused"
    if sector < region.ring():
        slot = sector // region.slot_sectors
        inside = sector % region.slot_sectors * region.body + offset - region.record_size
        if inside >= store.kernel.arena.size:
            copy = (inside - store.kernel.arena.size) % region.pad(HEADER)
            return (
                "header"
                if inside < store.kernel.arena.size + 2 * region.pad(HEADER) and copy < HEADER
                else "unused"
            )
        return "newer snapshot" if slot == store.newest_snapshot()[0] else "older snapshot"
    for number in store.order:
        at = address - region.header_at(number)
        if 0 <= at < 2 * region.header_size:
            return "header" if at % region.header_size < RUN_HEADER else "unused"
    return "frame" if address in frame_bytes(name) else "unused"


@functools.lru_cache(2)
def frame_bytes(name):
    """Return the addresses of the bytes of all frames that the log consists of."""
    _, _, store, frames = image(name)
    found = set()
    reader = LogReader(store.region, store.order, store.seed, bytearray(2048), 0)
    reader.enter(store.order[0])
    while True:
        n = reader.next()
        if not n:
            break
        if reader.seq > u32(frames[0], 4):  # else the next boot takes its sector
            start = reader.address - store.region.pad(n)
            found.update(range(start, start + n))
    assert len(found) == sum(len(each) for each in frames)
    return found


def flipped(name, address, bit):
    """Flip a bit, boot, pull the log and both snapshots. Return how it showed: "damage", "cut",
    "refused", "other snapshot" (the boot passed one over), "pull" (the boot had no need of it) or
    "not at all"; HalfApplied or LostAcked where it leads to another state or log that is called
    good."""
    sim, history, clean, frames = image(name)
    sim = sim.clone(address)
    sim.flip(address, bit)
    try:
        store = mount(sim, Clock(1))
    except FormatError:
        return "refused"
    if store.kernel is None:
        if not store.damage:
            raise LostAcked("a log became a blank region")
        return "damage"
    if (store.head, bytes(store.kernel.arena.bytes)) != history[store.seq]:
        raise HalfApplied("a state that never was")
    if store.damage:
        return "damage"
    if store.cuts != clean.cuts:
        return "cut"
    if store.seq != clean.seq:
        raise LostAcked(
            "seq %d is called the last, not %d, without a word" % (store.seq, clean.seq)
        )
    if not all(store.slots):
        return "other snapshot"
    try:
        found = pull(store, u32(frames[0], 4))
        for slot in (0, 1):
            slot_holds(store, slot)
    except (QuipuError, AssertionError):
        return "pull"
    known, rest = found[: len(frames)], found[len(frames) :]  # the boot that was read wrote its own
    if known != frames[: len(known)] or any(
        each[1] not in (BOOT, CHECKPOINT, SNAPSHOT) for each in rest
    ):
        raise HalfApplied("the host is given other frames")
    if len(known) < len(frames):
        raise LostAcked("the host is given %d frames of %d" % (len(known), len(frames)))
    return "not at all"


def flips(name, k=0, parts=1, thin=1):
    """Flip one bit of each byte of an image: of the k-th of `parts`, of one byte in `thin`. Return
    counts by place and how it showed, and the list of Failures: a flip in a frame or a snapshot
    that nothing shows is one."""
    failures, classes = [], {}
    chance = Chance(k)
    addresses = range(0, len(image(name)[0].bytes), thin)[k::parts]
    for address in addresses:
        bit = chance.below(8)
        with collected(failures, "FLIP=%s:0x%x:%d" % (name, address, bit)):
            place, how = place_of(name, address), flipped(name, address, bit)
            classes[place + ": " + how] = classes.get(place + ": " + how, 0) + 1
            assert how != "not at all" or place in ("record", "header", "unused"), (
                "a flip in a %s goes unnoticed" % place
            )
            assert how == "not at all" or place != "header", (
                "a flip in one copy of a header: %s" % how
            )
    return {
        "tried": len(addresses),
        "survived": len(addresses) - len(failures),
        "classes": classes,
    }, failures


# -- bad sectors -----------------------------------------------------------------------------------


def life(sim, seed, actions, bad, mode, when):
    """Work for so many actions; from the one numbered `when` on, sector `bad` is stuck as `mode`
    says. Return (commands that found the log full although the host had acknowledged all of it,
    calls that failed)."""
    witness, clock = Witness(), Clock(seed)
    store = mount(sim, clock)
    witness.act(store, genesis())
    application = Application(Chance(seed))
    full = failed = 0
    for i in range(actions):
        if i == when:
            sim.stuck[bad] = mode
        action = application.action(witness.model)
        for _ in range(3):
            try:
                result = witness.act(store, action)
                if action[0] == "execute" and any([isinstance(each, LogFull) for each in result]):
                    # the host was late: it comes now, and what was refused is asked again
                    witness.act(store, ("acknowledge", 0))
                    again = witness.act(store, ("execute", [application.command(witness.model)]))
                    full += isinstance(again[0], LogFull)
                break
            except (FlashError, OSError):
                failed += 1
                witness.booted(store)
        else:
            assert action[0] == "snapshot", "the store is stuck in %r" % (action[0],)
        if i % 40 == 39:
            store = mount(sim, clock)
            witness.booted(store)
            if any(store.slots):
                slots_hold(store)
    assert bytes(sim.bytes) != b"\xff" * len(sim.bytes)
    return full, failed


def bad_sector(sector, when):
    """Let a sector go bad in every mode after `when` actions. Return the figures, and the list of
    Failures."""
    failures = []
    full = failed = 0
    for mode in MODES:
        seed = sector * 100 + when
        sim = FlashSim(SECTORS, SECTOR, PAGE, UNIT, seed=seed)
        with collected(failures, "sector %d, %s at action %d" % (sector, mode, when)):
            each = life(sim, seed, 130, sector, mode, when)
            full, failed = full + each[0], failed + each[1]
            assert sector < 6 or not each[0], "one bad sector of 8 fills a log that is acknowledged"
    return {
        "tried": len(MODES),
        "survived": len(MODES) - len(failures),
        "found_full": full,
        "calls_failed": failed,
    }, failures


def worn(seed):
    """Let every sector bear only so many erases. When the log takes no more, all that was
    acknowledged is still there."""
    failures = []
    taken = 0
    for mode in (("raise", "raise"), ("nothing", "nothing"), (None, "raise")):
        sim = FlashSim(SECTORS, SECTOR, PAGE, UNIT, seed=seed)
        sim.endurance, sim.worn = 4 + seed, mode
        with collected(failures, "endurance %d, %s" % (4 + seed, mode)):
            witness, clock = Witness(), Clock(seed)
            store = mount(sim, clock)
            witness.act(store, genesis())
            application = Application(Chance(seed))
            refused = 0
            while refused < 20:
                action = application.action(witness.model)
                assert taken < 100000, "worn-out sectors are still written"
                try:
                    result = witness.act(store, action)
                    taken += 1
                    refused += action[0] == "execute" and any(
                        [isinstance(each, LogFull) for each in result]
                    )
                except (FlashError, OSError):
                    refused += 1
                    witness.booted(store)
            witness.booted(mount(sim, clock))
    return {"tried": 3, "survived": 3 - len(failures), "actions_taken": taken}, failures
