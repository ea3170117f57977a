"""Start-up: from a board's facts to an open Memory. Chooses the provider of hot loops and the flash
driver; records nothing but the genesis of a region that is blank."""

import gc
import os

from shared_kernel.forget import forget

# Where `quipu flash` leaves its files: at /, or on the card that a board starts from, where nothing
# is at /.
_TOPS = ("/", "")
_DRIVERS = "files fat rp2 nrf samd spi_nor stm32"


def board_facts():
    """Return the facts of this board: /quipu.json, or the card's, if there is one, else those
    frozen into the image."""
    for top in _TOPS:
        try:
            import json

            with open(top + "quipu.json") as f:
                return json.load(f)
        except OSError:
            pass
    try:
        from board_facts import FACTS

        return FACTS
    except ImportError:
        raise OSError(
            "no /quipu.json: `quipu flash` writes it, docs/boards.md says what is in it"
        ) from None


def open_flash(facts):
    """Return the flash driver over the log region; only the chosen one is loaded. docs/drivers.md
    has the facts of each."""
    driver, log, geometry = facts["driver"], facts["log"], facts["geometry"]
    if driver == "emulated":
        from emulated import Flash

        from .block_flash import BlockFlash

        return BlockFlash(Flash(log["start"], log["size"]), geometry["page"], geometry["unit"])
    if driver not in _DRIVERS.split():
        raise ValueError("driver %r is unknown" % driver)
    # An import statement for each would leave their names in memory for good.
    module = __import__("quipu.%s_flash" % driver, None, None, ("open_region",))
    return module.open_region(log, geometry, facts.get("flash"))


def identity(facts):
    """Return the board's name and unique id as text."""
    import binascii

    import machine

    return facts["name"] + "/" + binascii.hexlify(machine.unique_id()).decode()


def entropy():
    """Return 16 random bytes for a genesis, or None: from the port's own source, else from
    quipu.entropy, which the laptop left there and which is used only once."""
    if hasattr(os, "urandom"):
        return os.urandom(16)
    for top in _TOPS:
        try:
            with open(top + "quipu.entropy", "rb") as f:
                random = f.read(16)
            os.remove(top + "quipu.entropy")
            return random if len(random) == 16 else None
        except OSError:
            pass
    return None


class Plain:
    """Some attributes of an object, without the code behind it: so that recovery's can be
    dropped."""

    def __init__(self, of, names):
        for each in names:
            setattr(self, each, getattr(of, each))


def open_memory(facts):
    """Recover the log and return it as a Memory. A blank region gets a genesis if there is entropy
    for one; otherwise the laptop configures it (`quipu configure`).

    What recovery needs is loaded, used and dropped before the rest is loaded: a small heap has no
    room for both."""
    from .provider import choose

    choose()
    choose = None
    forget("quipu", "provider")
    from shared_kernel.arena import Arena
    from shared_kernel.root import RootTree

    c = facts["capacities"]
    config = [
        c[each]
        for each in ("dim", "records", "nodes", "edges", "keys", "meta_bytes", "value_bytes")
    ]
    gc.collect()
    spare = Arena(config)  # the largest blocks, while the heap is still whole
    RootTree(spare).room()
    from shared_kernel.recovery import recover
    from shared_kernel.region import Region

    region = Region(open_flash(facts))
    found = recover(region, spare)
    random = entropy() if found.replay is None and not found.damage else None
    if random:
        from shared_kernel.genesis import begin, finish

        begin(region, found.top, config, random, identity(facts), facts.get("policy", 0))
        finish(region)
        begin = finish = None
        found = recover(region, spare)
        found.fresh = found.run is not None and not found.damage
    replay = found.replay
    if replay:
        replay = Plain(replay, ("kernel", "name", "seed", "seq", "head", "boot"))
    found = Plain(
        found,
        (
            "region",
            "order",
            "top",
            "run",
            "last",
            "end",
            "certain",
            "intact",
            "pile",
            "unknown",
            "acked",
            "policy",
            "skipped",
            "cuts",
            "damage",
            "slots",
            "proved",
            "generation",
            "below",
            "newest",
            "fresh",
            "restoring",
            "bad",
        ),
    )
    found.replay = replay
    recover = spare = None
    forget("shared_kernel", "recovery", "replay", "genesis", "config", "unfinished")
    from .memory import Memory

    return Memory(found, identity(facts), facts)
