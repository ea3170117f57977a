"""Walking through everything that a state holds. Never loaded on a board."""

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Iterator, Pool

_ID = 1  # word of a slot, see kernel.py


def used(pool: "Pool") -> "Iterator[tuple[int, int]]":
    """Yield (id, word offset) of every slot in use, in slot order."""
    for slot in range(pool.fresh()):
        at = pool.at(slot)
        if pool.words[at + _ID]:
            yield pool.words[at + _ID], at
