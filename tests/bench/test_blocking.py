"""A small run of the worst case of one insert, on the emulated Cortex-M4, with the log in a raw
region and in files."""

import pytest

from bench import blocking

PAIRS = 500
MOST_INSTRUCTIONS = 5_000_000
FILES_MOST_INSTRUCTIONS = 40_000_000
MOST_ERASES = 1  # of a sector that is opened, or one of a snapshot slot
FILES_PAIRS = 250  # more than a turn of the smaller ring
FILES_MOST_ERASES = 6  # littlefs's own: a directory has two blocks, and copies move others


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


@pytest.fixture(scope="module")
def files():
    return blocking.measure(FILES_PAIRS, files=True)


def test_nor_does_one_into_files_on_littlefs(files):
    assert sum(row["calls"] for row in files.values()) == FILES_PAIRS
    instructions, erases, size = blocking.worst_of(files)
    assert 1 < erases <= FILES_MOST_ERASES
    assert 1_000_000 < instructions <= FILES_MOST_INSTRUCTIONS
    assert 1024 < size <= 16 * 1024


def test_the_table_states_every_part_beside_its_watchdog(worst, files):
    text = blocking.table(worst, files)
    assert all(name in text and f"{part[-1]:,} ms" in text for name, part in blocking.PARTS.items())
    assert text.count("W25Q16JV") == 2 and "files" in text
