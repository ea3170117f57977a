"""Replay takes exactly the log that was written: whatever is altered, dropped, repeated or swapped
is a mismatch at its seq."""

import struct
import zlib

import pytest

from shared_kernel import errors, frame_names, frames
from shared_kernel.errors import Mismatch
from shared_kernel.kernel import INSERT, Kernel
from shared_kernel.replay import Replay
from tests.kernel.log_writer import CONFIG, LogWriter, every_type, sealed
from tests.model import contents_of


def replayed(frames):
    replay = Replay()
    for frame in frames:
        replay.step(frame)
    return replay


def parts_at(log, known_head):
    """Return the seq at which replay and log part, `head` if only the chain head in the end
    differs; None if nothing does."""
    replay = Replay()
    try:
        for frame in log:
            replay.step(frame)
    except Mismatch as e:
        return e.seq
    return None if replay.head == known_head else "head"


def test_a_log_replays_to_its_heads_and_roots():
    log = every_type()
    replay = Replay()
    assert replay.seq is None and replay.kernel is None
    for seq, frame in enumerate(log.frames):
        replay.step(frame if seq % 2 else memoryview(frame))
        assert (replay.seq, replay.head, replay.kernel.root()) == (
            seq,
            log.heads[seq],
            log.roots[seq],
        )
    assert replay.name == log.heads[0] and replay.boot == 2 and replay.checkpoints == 2
    assert contents_of(replay.kernel) == contents_of(log.kernel)
    assert {frame[1] for frame in log.frames} >= set(frame_names.NAMES) | {
        0x85,
        0x10 | 0x40,
        0x18 | 0x40,
        0x84 | 0x40,
    }
    assert parts_at(log.frames, log.heads[-1]) is None


def test_log_only_frames_change_no_byte_of_the_arena():
    log = every_type()
    replay = replayed(log.frames[:1])
    unchanged = 0
    for frame in log.frames[1:]:
        before = bytes(replay.kernel.arena.bytes)
        replay.step(frame)
        if not frame_names.is_command(frame[1]):
            assert replay.kernel.arena.bytes == before
            unchanged += 1
        else:
            assert replay.kernel.arena.bytes != before and replay.kernel.seq() == replay.seq
    assert unchanged == 10


def test_each_bit_of_each_frame_is_told_at_its_seq_and_nothing_is_applied():
    log = every_type()
    replay = Replay()
    for seq, frame in enumerate(log.frames):
        before = bytes(replay.kernel.arena.bytes) if replay.kernel else None
        for bit in range(8 * len(frame)):
            bad = bytearray(frame)
            bad[bit // 8] ^= 1 << bit % 8
            with pytest.raises(Mismatch) as caught:
                replay.step(bad)
            assert caught.value.seq == seq
        if before is not None:
            assert replay.kernel.arena.bytes == before
        replay.step(frame)  # none of them left a trace
    assert replay.head == log.heads[-1]


def test_a_frame_cut_short_or_drawn_out_is_told_at_its_seq():
    log = every_type()
    replay = Replay()
    for seq, frame in enumerate(log.frames):
        drawn_out = [frame + b"\0", frame + frame, frame[:-4] + b"\0\0\0\0" + frame[-4:]]
        for bad in [frame[:size] for size in range(len(frame))] + drawn_out:
            with pytest.raises(Mismatch) as caught:
                replay.step(bad)
            assert caught.value.seq == seq
        replay.step(frame)


def test_a_sealed_frame_that_lies_about_its_length_is_told():
    log = every_type()
    replay = replayed(log.frames[:2])
    body = bytearray(log.frames[2][:-4])
    body[2] += 1
    with pytest.raises(Mismatch, match="length"):
        replay.step(bytes(body) + struct.pack("<I", zlib.crc32(body, log.seed)))


def test_a_dropped_frame_is_told_at_its_seq():
    log = every_type()
    for seq in range(1, len(log.frames)):
        found = parts_at(log.frames[:seq] + log.frames[seq + 1 :], log.heads[-1])
        # the last one: only a known head tells
        assert found == (seq if seq < len(log.frames) - 1 else "head")
    assert parts_at(log.frames[1:], log.heads[-1]) == 0


def test_a_repeated_frame_is_told_where_the_next_is_due():
    log = every_type()
    for seq in range(len(log.frames)):
        assert parts_at(log.frames[: seq + 1] + log.frames[seq:], log.heads[-1]) == seq + 1


def test_swapped_frames_are_told_at_the_first():
    log = every_type()
    for i in range(1, len(log.frames)):
        for j in range(i + 1, len(log.frames)):
            swapped = list(log.frames)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            assert parts_at(swapped, log.heads[-1]) == i


def test_a_frame_of_another_log_is_told_at_its_seq():
    log, other = every_type(), every_type(b"another sixteen.")
    assert log.name != other.name
    for seq in range(1, len(log.frames)):
        if log.frames[seq][:-4] == other.frames[seq][:-4]:  # alike but for the seed
            with pytest.raises(Mismatch, match="CRC") as caught:
                replayed(log.frames[:seq] + other.frames[seq : seq + 1])
            assert caught.value.seq == seq
    assert parts_at(other.frames, log.heads[-1]) == "head"


def resealed(log, seq, change):
    """The log with payload of one frame altered and its CRC made to fit: what a careless forger
    writes."""
    frame = bytearray(log.frames[seq])
    change(frame)
    frame[-4:] = struct.pack("<I", zlib.crc32(frame[:-4], log.seed))
    return log.frames[:seq] + [bytes(frame)] + log.frames[seq + 1 :]


def test_an_alteration_with_a_fitting_crc_is_told_by_checkpoint_boot_or_head():
    log = every_type()
    told = {}
    for seq in range(1, len(log.frames)):
        for at in list(range(8, 12)) + list(range(12, len(log.frames[seq]) - 4)):

            def change(frame, at=at):
                frame[at] ^= 1

            found = parts_at(resealed(log, seq, change), log.heads[-1])
            assert found is not None, "byte %d of frame %d" % (at, seq)
            assert found == "head" or found >= seq
            told[(seq, at)] = found
    checkpoint = next(
        seq for seq in range(len(log.frames)) if log.frames[seq][1] == frames.CHECKPOINT
    )
    boot = next(seq for seq in range(2, len(log.frames)) if log.frames[seq][1] == frames.BOOT)
    assert told[(2, 18)] == checkpoint  # a component: the state differs at the next checkpoint
    # a tick, which is not in the state: the chain differs at the next boot frame
    assert told[(2, 8)] == boot
    assert told[(len(log.frames) - 1, 14)] == "head"  # a tag after the last checkpoint


def test_a_dropped_frame_with_all_later_ones_renumbered_is_told():
    log = every_type()
    for seq in range(1, len(log.frames) - 1):
        later = [
            sealed(f[1], f[12:-4], n, struct.unpack_from("<I", f, 8)[0], log.seed)
            for n, f in enumerate(log.frames[seq + 1 :], seq)
        ]
        assert parts_at(log.frames[:seq] + later, log.heads[-1]) is not None


# -- what only a log that was written wrongly holds ------------------------------------------------


def mismatch(log, kind, payload, match, token=b"", version=1):
    """Assert that a well-sealed next frame is refused at its seq, and that the true one still is
    taken."""
    replay = replayed(log.frames)
    before = bytes(replay.kernel.arena.bytes)
    seq = len(log.frames)
    frame = sealed(kind, token + payload, seq, 0, log.seed, version)
    with pytest.raises(Mismatch, match=match) as caught:
        replay.step(frame)
    assert (
        caught.value.seq == seq == replay.seq + 1
        and replay.kernel.arena.bytes == before
        and replay.head == log.heads[-1]
    )
    return caught.value


def test_a_checkpoint_must_hold_the_root():
    log = every_type()
    root = log.roots[-1]
    error = mismatch(log, 3, bytes(32), "state root of the checkpoint")
    assert error.expected == root.hex() and error.found == bytes(32).hex()
    for bad in (root[:31], root + b"\0", b"", log.roots[0]):
        mismatch(log, 3, bad, "state root of the checkpoint")
    for bit in range(256):
        bad = bytearray(root)
        bad[bit // 8] ^= 1 << bit % 8
        mismatch(log, 3, bytes(bad), "state root of the checkpoint")


def test_a_boot_frame_must_hold_the_head_and_the_next_number():
    log = every_type()
    good = struct.pack("<I", 3) + log.heads[-1] + bytes(8)
    replayed(log.frames + [sealed(2, good, len(log.frames), 0, log.seed)])
    for number in (0, 2, 4, 2**32 - 1):
        mismatch(log, 2, struct.pack("<I", number) + good[4:], "boot number")
    for at in range(4, 36):
        mismatch(
            log,
            2,
            good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :],
            "chain head in the boot frame",
        )
    for bad in (good[:43], good + b"\0", b""):
        mismatch(log, 2, bad, "boot frame's payload")


def test_a_command_that_the_state_refuses_is_a_mismatch():
    log = every_type()
    for kind, payload in (
        (0x12, frames.ident(99)),
        (0x10, b""),
        (0x13, b""),
        (0x3F, b"x"),
        (0x1C, frames.put("temp", b"", 1)),
        (0x10, frames.insert([1, 2], 0, b"123456")),
    ):
        mismatch(log, kind, payload, "command")
    for kind in (0xC5, 0x50, 0x51, 0x52, 0x54, 0x58, 0x5C, 0x5D):
        for token in (b"", b"short"):
            mismatch(log, kind, b"", "token", token)  # the token bit, and no room for a token


def test_a_type_that_may_not_be_skipped_stops_replay():
    log = every_type()
    for kind in range(0x100):
        number = kind & ~0x40
        if number & 0x80 and number != 0x84:
            before = replayed(log.frames)
            after = replayed(
                log.frames + [sealed(kind, b"8 bytes.and more", len(log.frames), 0, log.seed)]
            )
            assert (
                after.kernel.arena.bytes == before.kernel.arena.bytes
                and after.seq == before.seq + 1
            )
        elif number < 0x10 and number not in (2, 3):
            mismatch(log, kind, b"8 bytes.and more", "frame type")  # a second genesis among them
    for size in (0, 11, 13):
        mismatch(log, 0x84, bytes(size), "clock frame's payload")


def test_a_frame_of_another_version_stops_replay():
    for version in (0, 2, 255):
        mismatch(every_type(), 0x10, frames.insert([1, 2]), "frame version", version=version)


def genesis_payload(rules=1, config=CONFIG, tail=b"\0\4test"):
    return struct.pack("<8I", rules, *config) + b"sixteen of chaos" + tail


def test_a_log_begins_with_a_genesis_and_with_nothing_else():
    for bad in (
        sealed(1, genesis_payload(rules=2), 0, 0, 0),
        sealed(1, genesis_payload(config=(0,) + CONFIG[1:]), 0, 0, 0),
        sealed(1, genesis_payload()[:-1], 0, 0, 0),
        sealed(1, genesis_payload(tail=b"\0\1\xff"), 0, 0, 0),
        sealed(1, genesis_payload(), 0, 0, 1),
        sealed(1, genesis_payload(), 0, 0, 0, version=2),
        sealed(0x10, genesis_payload(), 0, 0, 0),
        sealed(0x41, b"8 bytes." + genesis_payload(), 0, 0, 0),
        sealed(1, b"", 0, 0, 0),
        b"",
    ):
        replay = Replay()
        with pytest.raises(Mismatch) as caught:
            replay.step(bad)
        assert caught.value.seq == 0 and replay.seq is None
    with pytest.raises(Mismatch):
        replayed([sealed(1, genesis_payload(), 5, 0, 0)])


# -- continuations and snapshots -------------------------------------------------------------------


def continuation(old, base, seq=None, config=CONFIG):
    """A genesis that goes on from the end of the log `old` with the state `base`."""
    origin = (
        old.name
        + struct.pack("<I", len(old.frames) - 1)
        + old.heads[-1]
        + old.roots[-1]
        + base.root()
    )
    payload = struct.pack("<8I", 1, *config) + b"chaos of sixteen" + b"\0\4test" + origin
    return sealed(1, payload, len(old.frames) if seq is None else seq, 0, 0)


def on_base(kernel, frame):
    replay = Replay()
    replay.kernel = kernel
    replay.step(frame)
    return replay


def test_a_continuation_goes_on_from_its_base_state():
    old = every_type()
    base = replayed(old.frames).kernel
    replay = on_base(base, continuation(old, base))
    assert (
        replay.seq == len(old.frames)
        and replay.kernel is base
        and replay.genesis.origin[1] == replay.seq - 1
    )
    assert replay.genesis.origin[2] == old.heads[-1]
    replay.step(sealed(INSERT, frames.insert([5, 6]), replay.seq + 1, 0, frames.seed(replay.name)))
    assert replay.kernel.record(replay.seq)[1] == [5, 6]


def test_a_continuation_on_another_base_is_refused():
    old = every_type()
    good = continuation(old, old.kernel)
    with pytest.raises(Mismatch, match="base state"):
        replayed([good])
    with pytest.raises(Mismatch, match="base state's root"):
        on_base(Kernel(CONFIG), good)
    for seq in (0, len(old.frames) - 1, len(old.frames) + 1):
        with pytest.raises(Mismatch, match="genesis seq"):
            on_base(old.kernel, continuation(old, old.kernel, seq))
    with pytest.raises(Mismatch, match="configuration"):
        on_base(old.kernel, continuation(old, old.kernel, config=(3,) + CONFIG[1:]))


def test_replay_goes_on_from_a_snapshot():
    log = every_type()
    for seq in range(1, len(log.frames)):
        begun = replayed(log.frames[: seq + 1])
        replay = Replay()
        replay.start_from(begun.kernel, log.name, seq, log.heads[seq], begun.boot)
        for frame in log.frames[seq + 1 :]:
            replay.step(frame)
        assert replay.head == log.heads[-1] and replay.kernel.root() == log.roots[-1]


def test_a_log_of_no_commands_replays():
    log = LogWriter()
    log.boot()
    log.checkpoint()
    replay = replayed(log.frames)
    assert (
        replay.checkpoints == 1
        and replay.kernel.seq() == 0
        and replay.kernel.root() == Kernel(CONFIG).root()
    )


def test_a_mismatch_says_what_where_expected_and_found():
    error = errors.Mismatch(7, "frame CRC", "aa", "bb")
    assert (error.seq, error.what, error.expected, error.found) == (7, "frame CRC", "aa", "bb")
    assert str(error) == "seq 7: frame CRC: expected aa, found bb"
