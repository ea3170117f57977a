"""A small run of the worst case of one insert, on the emulated Cortex-M4."""

import pytest

from tests.bench import blocking

PAIRS = 500
MOST_INSTRUCTIONS = 5_000_000
MOST_ERASES = 1  # of a sector that is opened, or one of a snapshot slot


@pytest.fixture(scope="module")
def worst():
    return blocking.measure(PAIRS)


def test_no_insert_keeps_the_board_longer_than_is_stated(worst):
    assert sum(row["calls"] for row in worst.values()) == PAIRS
    assert {0, 1} <= set(worst), "inserts with an erase were among them"
    instructions, erases, size = blocking.worst_of(worst)
    assert erases <= MOST_ERASES
    assert 100_000 < instructions <= MOST_INSTRUCTIONS
    assert 100 < size <= 5 * 1024


def test_the_table_states_every_part_beside_its_watchdog(worst):
    text = blocking.table(worst)
    assert all(name in text and f"{part[-1]:,} ms" in text for name, part in blocking.PARTS.items())
