"""A run of frames in plain Python: the truth that native code is held to. Knows no flash; applies
nothing."""

from .frames import OVERHEAD, VERSION, crc_fits, length_at
from .kernel import u32

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer


def scan(
    buffer: "Buffer", start: int, end: int, unit: int, most: int, seq: int, crc_seed: int
) -> int:
    """Return where the run of whole frames that begins at buffer[start] ends, its last frame
    padded; `start` if none stands there.

    The frames bear seq, seq + 1, ..., each a CRC that fits and at most `most` bytes, all of them
    before `end`, and each begins where the one before ends, rounded up to `unit` bytes. So the
    place returned may lie past `end` by less than a unit."""
    while end - start >= OVERHEAD:
        n = length_at(buffer, start)
        if buffer[start] != VERSION or n > end - start or n > most or u32(buffer, start + 4) != seq:
            break
        if not crc_fits(buffer, start, start + n, crc_seed):
            break
        start += (n + unit - 1) // unit * unit
        seq += 1
    return start
