"""What a flash region of either format holds: snapshots that agree with the frames are kept, others
are named; what the frames say of the board is taken over; the end is the board's own."""

import pytest
from quipu.dump.held import Held, Stretch, boot_head
from quipu.errors import Damage, Mismatch

from shared_kernel import snapshot, snapshot_file
from shared_kernel.replay import Replay
from tests.kernel.log_writer import every_type

LOG = every_type()
FIRST, LAST = 5, 12  # of the stretch


@pytest.fixture
def held():
    held = Held()
    stretch = Stretch(FIRST, LOG.heads[FIRST - 1], "a test")
    for seq in range(FIRST, LAST + 1):
        stretch.add(LOG.frames[seq], LOG.heads[seq])
    held.stretches.append(stretch)
    return held


def taken(held, seq, head=None, damaged=False):
    """Let a snapshot after `seq` be kept; return what `keep_snapshot` said."""
    replay = Replay()
    for frame in LOG.frames[: seq + 1]:
        replay.step(frame)
    whole = snapshot_file.save(
        replay.kernel, seq, replay.boot, 1, LOG.name, LOG.heads[seq] if head is None else head
    )
    arena = bytearray(whole[snapshot.HEADER :])
    if damaged:
        arena[80] ^= 1
    return held.keep_snapshot(0, snapshot.decode(whole), arena)


@pytest.mark.parametrize("seq", [FIRST - 1, FIRST, LAST])
def test_a_snapshot_inside_of_a_stretch_is_kept_and_begins_none(held, seq):
    assert taken(held, seq) is False
    assert list(held.snapshots) == [seq] and not held.bad_slots


def test_a_snapshot_behind_all_stretches_is_kept_and_begins_one(held):
    assert taken(held, LAST + 1) is True
    assert list(held.snapshots) == [LAST + 1] and not held.bad_slots


@pytest.mark.parametrize(
    ("seq", "more", "why"),
    [
        (LAST, {"damaged": True}, "root"),
        (LAST, {"head": bytes(32)}, f"its chain head after seq {LAST} is 00000000"),
        (FIRST - 2, {}, f"it is of seq {FIRST - 2}, before the oldest frame, {FIRST}"),
    ],
)
def test_any_other_snapshot_is_named_and_left_out(held, seq, more, why):
    assert taken(held, seq, **more) is False
    assert not held.snapshots and why in held.bad_slots[0]


def test_frames_say_which_board_it_is_and_where_power_was_cut():
    held = Held()
    for seq, frame in enumerate(LOG.frames):
        held.note(seq, frame)
    boots = [seq for seq, frame in enumerate(LOG.frames) if boot_head(frame)]
    assert len(boots) > 1 and held.cuts == [(boots[-1], 12)]
    assert held.identity == "test"
    assert [boot_head(LOG.frames[seq]) for seq in boots] == [LOG.heads[seq - 1] for seq in boots]


def test_the_end_is_the_boards(held):
    held.need_end(None)
    held.need_end((LAST, LOG.heads[LAST]))
    for end in ((LAST, bytes(32)), (LAST - 1, LOG.heads[LAST - 1])):
        with pytest.raises(Mismatch, match="by the board's recovery"):
            held.need_end(end)
    with pytest.raises(Damage, match="nothing in this region can be proved"):
        Held().need_end(None)
