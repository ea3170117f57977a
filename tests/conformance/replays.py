"""small/replay.txt: frames that replay takes, and those in which it must name what is wrong."""

import struct
import zlib

from shared_kernel.kernel import Kernel
from tests.conformance.encoding import (
    BOOT,
    CHECKPOINT,
    CLOCK,
    GENESIS,
    MAX,
    MIN,
    TOKEN,
    TOP,
    frame,
    genesis_payload,
    hashed,
    insert,
    put,
    to_hex,
    u32s,
)
from tests.conformance.world import File


def replay():
    """small/replay.txt"""
    file = File("Frames replayed: what passes, and what replay names in those that do not.")
    config = (2, 3, 3, 3, 3, 4, 4)
    head = None
    log = {"seq": 0, "head": b"", "name": b"", "boots": 0, "checkpoints": 0}

    def begin(origin=b"", seq=0, rules=1):
        payload = genesis_payload(config, b"conformance 2026"[:16], 0, b"a board", origin)
        return frame(GENESIS, u32s(rules) + payload[4:], seq, 0, 0)

    def made(kind, payload, seq=None, tick=0, seed=None):
        seed = zlib.crc32(log["name"]) if seed is None else seed
        return frame(kind, payload, log["seq"] + 1 if seq is None else seq, tick, seed)

    def passes(whole):
        log["seq"] += 1
        log["head"] = hashed(log["head"] + whole)
        file.ask("step " + whole.hex(), "%d %d" % (log["checkpoints"], log["boots"]))

    def parts(whole, what, seq=None):
        file.ask(
            "step " + to_hex(whole),
            "mismatch %d %s" % (log["seq"] + 1 if seq is None else seq, what),
        )

    file.section("A genesis, or not.")
    origin = bytes(32) + u32s(41) + bytes(96)
    whole = begin()
    file.ask("replay")
    for broken in (
        b"",
        whole[:-1],
        whole + b"\0",
        whole[:-1] + b"\0",
        frame(0x10, whole[12:-4], 0, 0, 0),
        b"\2" + whole[1:],
    ):
        parts(broken, "first frame", 0)
    parts(begin(rules=2), "genesis", 0)
    parts(frame(GENESIS, whole[12:-5], 0, 0, 0), "genesis", 0)
    parts(begin(seq=7), "genesis seq", 7)
    parts(begin(origin), "genesis seq", 0)
    parts(begin(origin, 42), "base state", 42)
    file.ask("step " + whole.hex(), "0 0")
    log["head"] = log["name"] = hashed(bytes(32) + whole)
    kernel = Kernel(config)
    file.ask("root", hashed(kernel.arena.bytes).hex())
    file.ask("head", log["head"].hex())

    def applied(kind, payload, token=b"", tick=0):
        seq = log["seq"] + 1
        kernel.apply(kind, payload, 0, len(payload), seq)
        passes(made(kind | (TOKEN if token else 0), token + payload, tick=tick))

    file.section("Commands, with tokens and without.")
    applied(0x10, insert([1, -1], 7, b"meta"))
    applied(0x10, insert([MAX, MIN], TOP), b"12345678", tick=2**30)
    applied(0x14, u32s(1, 2), tick=TOP)
    applied(0x14, u32s(2, 0))
    applied(0x18, u32s(5, 3, 4), bytes(8))
    applied(0x1C, put(b"key", b"abcd"))
    applied(0x1C, u32s(6) + b"\1\3key")
    file.ask("root", hashed(kernel.arena.bytes).hex())
    file.ask("head", log["head"].hex())

    file.section("Frames that are not the next.")
    good = made(0x12, u32s(1))
    parts(good[:-1], "frame length")
    parts(good[:12], "frame length")
    parts(made(0x12, u32s(1), seq=log["seq"]), "sequence number")
    parts(made(0x12, u32s(1), seq=log["seq"] + 2), "sequence number")
    parts(b"\2" + good[1:], "frame version")
    parts(good[:13] + b"\1" + good[14:], "frame CRC")
    parts(good[:9] + b"\1" + good[10:], "frame CRC")
    parts(made(0x12, u32s(1), seed=0), "frame CRC")
    parts(made(0x12, u32s(1), seed=zlib.crc32(bytes(32))), "frame CRC")
    parts(made(0x12, u32s(2)), "command")
    parts(made(0x12 | TOKEN, u32s(1) + bytes(7)), "command")
    parts(made(0x13, b""), "command")
    parts(made(0x04, b""), "frame type")
    parts(made(0x01, b""), "frame type")
    parts(made(CHECKPOINT, bytes(32)), "state root of the checkpoint")
    parts(made(BOOT, u32s(1) + log["head"]), "boot frame's payload")
    parts(made(BOOT, u32s(1) + bytes(40)), "chain head in the boot frame")
    parts(made(BOOT, u32s(2) + log["head"] + u32s(0, 0)), "boot number")
    parts(made(CLOCK, bytes(11)), "clock frame's payload")
    file.ask("head", log["head"].hex())

    file.section(
        "Frames that change no state: boot, checkpoint, clock, and a type of the future that may "
        "be skipped."
    )
    log["boots"] = 1
    passes(made(BOOT, u32s(1) + log["head"] + u32s(17, 5)))
    log["checkpoints"] = 1
    passes(made(CHECKPOINT, hashed(kernel.arena.bytes)))
    passes(made(CLOCK, struct.pack("<QI", 1750000000123, 40)))
    passes(made(0x8F, b"whatever"))
    log["boots"] = 2
    passes(made(BOOT, u32s(2) + log["head"] + u32s(0, 0)))
    passes(good := made(0x12, u32s(1)))
    kernel.apply(0x12, good[12:-4], 0, 4, log["seq"])
    log["checkpoints"] = 2
    head = hashed(kernel.arena.bytes)
    passes(made(CHECKPOINT | TOKEN, bytes(8) + head))
    file.ask("counts", "%d 1 2 1 1" % kernel.seq())
    file.ask("head", log["head"].hex())
    file.ask("arena", head.hex())
    return file
