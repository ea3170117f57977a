"""Replay of many frames that lie in one buffer: what a laptop's audit spends its time in. Never
loaded on a board."""

from .frames import BOOT, OVERHEAD, length_at

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Replay


def run(replay: "Replay", data: "Buffer", at: int, until: int) -> tuple[int, int]:
    """Step `replay` through the whole frames of data (bytes) from `at` on; return where the next
    one and the last one begin.

    Stops before a frame that data cuts off, after a boot frame (its caller may want to look at it)
    and after the frame `until` (-1: none). Mismatch leaves replay as it was before the frame that
    parts."""
    frames = memoryview(data)
    size = len(data)
    last = at
    while size - at >= OVERHEAD:
        after = at + length_at(data, at)
        if after > size:
            break
        replay.step_in(data, at, frames[at:after])
        last = at
        at = after
        if data[last + 1] == BOOT or replay.seq == until:
            break
    return at, last


def skip(data: "Buffer", at: int, count: int) -> tuple[int, int]:
    """Pass over at most `count` whole frames of data from `at` on, by the lengths they claim;
    return where the next one begins and how many were passed."""
    size = len(data)
    passed = 0
    while passed < count and size - at >= OVERHEAD:
        after = at + length_at(data, at)
        if after > size:
            break
        at = after
        passed += 1
    return at, passed
