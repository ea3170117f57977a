"""Which wall times a clock frame may carry. A computer without a battery for its clock begins in
1970, 2000 or anywhere; what such a clock said would stand in a log for ever. Standard library only.
"""

# Milliseconds since 1970. No log is older than Quipu, which was begun after 2020-01-01; nothing
# that is written down today is read after 2200-01-01.
EARLIEST, LATEST = 1_577_836_800_000, 7_258_118_400_000
RANGE = "2020-01-01 to 2200-01-01"


def believed(unix_ms: int) -> int:
    """Return a wall time in ms since 1970; 0, which says that the time is unknown, for one that no
    log can have been written at."""
    return unix_ms if EARLIEST <= unix_ms < LATEST else 0
