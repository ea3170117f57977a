"""A soak: long lives of logs in random worlds, with every fault that the simulator knows, one after
another and together.

    python tests/faults/soak.py [--seconds N] [--jobs N] [--seed N]      worlds from that seed on; --world SEED: one again

A world is a geometry, a program unit of 1 to 32 bytes, a configuration, a policy and a kind of
flash. Its log turns its ring TURNS times and meets CUTS cuts at least, while the power is cut
(several boots in a row, within recovery too), a sector dies, Ctrl-C and MemoryError come between
any two bytecodes, a callback calls the store from within, and copies of the flash lose a bit. After
each of these all that was acknowledged must be there; when they end the log must take commands
again."""

import argparse
import multiprocessing
import random
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "host")]

from shared_kernel import frames  # noqa: E402
from shared_kernel.config import check_config  # noqa: E402
from shared_kernel.errors import Busy, Damage, FlashError, LogFull, Refused  # noqa: E402
from shared_kernel.genesis import need_layout  # noqa: E402
from shared_kernel.region import Region  # noqa: E402
from shared_kernel.store import Store  # noqa: E402
from tests.faults import harness  # noqa: E402
from tests.faults.harness import Application, LostAcked, Witness, genesis, mount  # noqa: E402
from tests.flashsim import Chance, FlashSim, PowerCut, SimulatorError  # noqa: E402

TURNS = 10  # of the ring, at least
CUTS = 6  # at least
LEAST = 50  # actions of a world, at least
ACTIONS = 6000  # of a world, at most
INSIDE = "shared_kernel"


class Clock(harness.Clock):
    """Milliseconds; now and then somebody calls the store from within."""

    def __init__(self, seed):
        super().__init__(seed)
        self.store = None
        self.again = 0

    def __call__(self):
        if self.store is not None and self.store._inside and self.chance.below(40) == 0:
            try:
                self.store.call(lambda: None)
            except Busy:
                self.again += 1
            else:
                raise AssertionError("a call from within was let in")
        return super().__call__()


class Interrupter:
    """Raises an exception after so many bytecodes of the kernel."""

    def __init__(self, after, what):
        self.left, self.what = after, what

    def __enter__(self):
        sys.settrace(self.call)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def call(self, frame, event, argument):
        if INSIDE not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self.opcode

    def opcode(self, frame, event, argument):
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise self.what
        return self.opcode


class World:
    """One life. done: what happened, for the report."""

    def __init__(self, seed):
        self.seed = seed
        self.chance = chance = random.Random(seed)
        while True:
            unit = chance.choice((1, 2, 4, 8, 16, 32))
            sector = chance.choice((512, 1024, 2048, 4096))
            page = chance.choice(
                [each for each in (64, 128, 256, 512, 1024) if unit <= each <= sector]
            )
            self.config = (
                chance.choice((1, 2, 5)),
                chance.choice((2, 7)),
                5,
                6,
                4,
                chance.choice((3, 40)),
                chance.choice((5, 30)),
            )
            try:
                region = Region(FlashSim(64, sector, page, unit))
                slot, _ = need_layout(region, check_config(self.config))
            except Refused:
                continue
            break
        self.ring = chance.choice((3, 4, 5, 7, 8, 9, 12))
        self.sim = FlashSim(2 * slot + self.ring, sector, page, unit, seed=seed)
        kind = chance.choice(("plain", "plain", "flicker", "ecc", "in_order", "rewrites"))
        self.kind = kind
        if kind == "rewrites":
            self.sim.write_once = False
        elif kind != "plain":
            setattr(self.sim, kind, True)
        self.policy = chance.choice((frames.STOP, frames.STOP, frames.OVERWRITE))
        self.acknowledges = self.policy == frames.STOP or chance.random() < 0.5
        self.clock = Clock(seed)
        self.witness = Witness()
        self.application = Application(Chance(seed), self.acknowledges)
        self.done = {
            "boots": 0,
            "cuts": 0,
            "interrupts": 0,
            "again": 0,
            "dead": 0,
            "rot": 0,
            "turns": 0,
            "actions": 0,
            "full": 0,
        }
        self.store = None

    def __str__(self):
        s = self.sim
        return (
            "world %d: %d sectors of %d (ring %d), page %d, unit %d, %s, policy %d, config %r"
            % (
                self.seed,
                s.sectors,
                s.sector,
                self.ring,
                s.page,
                s.unit,
                self.kind,
                self.policy,
                self.config,
            )
        )

    def boot(self):
        self.clock.store = None
        self.store = mount(self.sim, self.clock)
        self.witness.booted(self.store)
        self.clock.store = self.store
        self.done["boots"] += 1

    def action(self):
        if self.witness.model is None:
            return genesis(self.config, self.policy)
        return self.application.action(self.witness.model)

    def act(self, action):
        """Carry out an action; a flash error is tried again."""
        for left in (3, 2, 1, 0):
            try:
                result = self.witness.act(self.store, action)
                break
            except FlashError:
                if self.dying():  # what cannot be programmed any more is said, and stays said
                    self.witness.booted(self.store)
                    return None
                self.witness.booted(self.store)
                if not left:
                    raise
        self.done["actions"] += 1
        if (
            isinstance(result, LogFull)
            or action[0] == "execute"
            and any(isinstance(each, LogFull) for each in result)
        ):
            self.done["full"] += 1
            if self.acknowledges:
                self.witness.act(self.store, ("acknowledge", 0))
        return result

    def dying(self):
        return bool(self.sim.stuck)

    def interrupted(self):
        """Ctrl-C, or no memory, between two bytecodes of an action."""
        what = self.chance.choice((KeyboardInterrupt, MemoryError))
        after = int(2 ** self.chance.uniform(0, 13))
        perform = harness.perform

        def interrupted(store, action):
            with Interrupter(after, what):
                return perform(store, action)

        action = self.action()
        harness.perform = interrupted  # of the witness itself nothing may be interrupted
        try:
            self.witness.act(self.store, action)
        except (KeyboardInterrupt, MemoryError):
            self.done["interrupts"] += 1
            self.witness.booted(self.store)
        except FlashError:
            self.witness.booted(self.store)
        finally:
            harness.perform = perform

    def cut(self):
        """Several power cuts in a row, some within the recovery."""
        for _ in range(self.chance.choice((1, 1, 2, 3, 5))):
            if self.chance.random() < 0.3:
                self.sim.cut_after_reads(self.chance.randrange(100))
                try:
                    mount(self.sim, self.clock)
                except PowerCut:
                    pass
                self.sim.power_on()
            if self.chance.random() < 0.5:
                self.boot()
            self.sim.cut_after(self.chance.randrange(self.chance.choice((30, 100, 600))))
            try:
                for _ in range(20):
                    self.act(self.action())
            except PowerCut:
                self.done["cuts"] += 1
            self.sim.power_on()
            self.boot()

    def rot(self):
        """One bit of a copy of the flash is flipped: said, or nothing is lost but what one program
        call may."""
        sim = self.sim.clone(self.chance.randrange(1 << 30))
        sim.flicker = sim.ecc = False
        sim.torn.clear()
        before = Store(sim, self.clock)
        owed = self.witness.replay.seq
        if before.damage or before.seq is None or owed is None or before.seq < owed:
            return
        ring = before.region.ring() * sim.sector
        used = [i for i in range(ring, len(sim.bytes)) if sim.bytes[i] != 0xFF]
        address = self.chance.choice(used)
        end = before.address or before.found.end
        sim.flip(address, self.chance.randrange(8))
        self.done["rot"] += 1
        after = Store(sim, self.clock)
        if after.damage is None and (after.seq is None or after.seq < owed):
            if (
                not 0
                <= end - address
                <= frames.span(check_config(self.config), sim.unit) + 3 * before.region.header_size
            ):
                raise LostAcked(
                    "a flipped bit at 0x%x loses seq %d to %d in silence"
                    % (address, after.seq or -1, owed)
                )

    def die(self):
        """A sector of the ring takes nothing any more."""
        if len(self.sim.stuck) < (2 if self.ring >= 8 else 1 if self.ring >= 5 else 0):
            first = self.sim.sectors - self.ring
            self.sim.stuck[self.chance.randrange(first, self.sim.sectors)] = self.chance.choice(
                (
                    ("raise", "raise"),
                    ("nothing", None),
                    (None, "raise"),
                    ("wrong", None),
                    ("raise", None),
                )
            )
            self.done["dead"] += 1

    def turns(self):
        store = self.store
        return store.top // store.region.turn if store and store.region.turn else 0

    def young(self):
        done = self.done
        return self.turns() < TURNS or done["cuts"] < CUTS or done["actions"] < LEAST

    def live(self, until):
        self.boot()
        while self.young() and self.done["actions"] < ACTIONS and time.monotonic() < until:
            n = self.chance.random()
            if n < 0.04:
                self.boot()
            elif n < 0.14:
                self.cut()
            elif n < 0.18:
                self.interrupted()
            elif n < 0.19:
                self.rot()
            elif n < 0.1915:
                self.die()
            else:
                self.act(self.action())
        self.done["turns"] = self.turns()
        self.done["again"] = self.clock.again
        self.boot()
        if not self.dying():
            self.finish()

    def finish(self):
        """The faults have ended: the log takes commands again."""
        for _ in range(5):
            if self.witness.model is None:
                self.act(self.action())
            self.act(("acknowledge", 0))
            try:
                self.act(("snapshot",))
            except (FlashError, Damage):
                pass
            self.act(("execute", [self.application.command(self.witness.model)]))
            if self.witness.acted:
                break
        else:
            raise AssertionError("all is acknowledged and covered, but the log takes nothing")
        self.boot()


def one(seed, until=1e18):
    """Live one world; return (what it is, what was done, None or what went wrong)."""
    world = World(seed)
    try:
        world.live(until)
        return str(world), world.done, None
    except (Exception, SimulatorError, PowerCut) as e:
        world.sim.power_on()
        return (
            str(world),
            world.done,
            "%s: %s\n%s"
            % (type(e).__name__, e, "".join(traceback.format_tb(e.__traceback__)[-6:])),
        )


def _work(arguments):
    if time.monotonic() > arguments[1]:
        return None
    return one(*arguments)


def soak(seconds, jobs=2, seed=0):
    """Live worlds for that long. Return (how many, sums of what was done, [(world, what went
    wrong)])."""
    until = time.monotonic() + seconds
    worlds, total, wrong = 0, {}, []
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for lived in pool.imap_unordered(_work, _seeds(seed, until)):
            if lived is None:  # the time was over
                continue
            what, done, failed = lived
            worlds += 1
            for each, n in done.items():
                total[each] = total.get(each, 0) + n
            total["whole"] = total.get("whole", 0) + (done["turns"] >= TURNS)
            if failed:
                wrong.append((what, failed))
    return worlds, total, wrong


def _seeds(seed, until):
    pending = seed
    while time.monotonic() < until:
        yield pending, until
        pending += 1
        time.sleep(0.2 if pending - seed > 100 else 0)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Random long lives of logs.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--world", type=int)
    options = parser.parse_args(arguments)
    import tests.conftest  # noqa: F401  (fast hashes)

    if options.world is not None:
        what, done, failed = one(options.world)
        print(what, done, failed or "survived", sep="\n")
        return 1 if failed else 0
    worlds, total, wrong = soak(options.seconds, options.jobs, options.seed)
    for what, failed in wrong[:20]:
        print("%s\n    %s" % (what, failed.replace("\n", "\n    ")))
    print(
        "%s: %d worlds, %d of them wrong, %r"
        % ("FAILED" if wrong else "SURVIVED", worlds, len(wrong), total)
    )
    return 1 if wrong or not worlds else 0


if __name__ == "__main__":
    sys.exit(main())
