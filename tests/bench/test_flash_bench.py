"""A small run of `make bench-flash`: the report is whole, its figures hang together, and the
promises on wear and cost are kept."""

import json

import pytest

from bench import flash
from bench.flash import CYCLES, GEOMETRIES, MOST_OVERHEAD, MOST_SPREAD, SMALL_UNIT, TURNS, USUAL
from bench.workload import DIM, META, CountingFlash, line, vector
from tests.quick import long

WRITES = 600
_TURNS = long(TURNS, 15)


@pytest.fixture(scope="module")
def report():
    return flash.measure([USUAL], _TURNS, WRITES)


def test_the_report_has_every_row_and_every_figure(report):
    rows = {"quipu", *flash.ALTERNATIVES}
    assert (
        set(report["bytes_per_insert"])
        == set(report["erases_per_1000"])
        == set(report["wear_spread"])
        == rows
    )
    run = {
        name: row
        for name, row in {"quipu": report["quipu"][USUAL], **report["alternatives"]}.items()
        if row
    }
    assert set(run) >= rows - {"btree on littlefs"}, (
        "only the btree may be missing, where MicroPython has none"
    )
    for name, row in run.items():
        assert row["bytes_per_insert"] * row["inserts"] == pytest.approx(row["bytes_programmed"])
        assert row["erases_per_1000"] * row["inserts"] == pytest.approx(1000 * row["erases"])
        assert 1 <= row["wear_spread"] <= row["erases"], name
        assert row["life"] == {
            str(each): each * row["inserts"] // row["most_erases"] for each in CYCLES
        }
    assert run["quipu"]["inserts"] > 1000 * _TURNS
    assert json.loads(json.dumps(report)) == report
    text = flash.tables(report)
    assert all(name in text for name in flash.ALTERNATIVES)


def test_what_was_programmed_is_the_sum_of_its_parts(report):
    row = report["quipu"][USUAL]
    parts = [row[f"{each}_bytes_per_insert"] for each in ("snapshot", "header", "frame")]
    assert all(each > 1 for each in parts)
    assert sum(parts) == pytest.approx(row["bytes_per_insert"])


def test_wear_is_even_after_many_turns_snapshot_slots_included(report):
    """Fifty, in a quick run fifteen."""
    row = report["quipu"][USUAL]
    assert TURNS == 50 and row["turns"] == _TURNS <= row["most_erases"]
    assert row["wear_spread"] <= MOST_SPREAD


def test_a_record_costs_a_fraction_of_a_json_line(report):
    quipu, others = (
        report["quipu"][USUAL],
        [row for name, row in report["alternatives"].items() if row and name != "quipu files"],
    )
    for row in others:
        assert (
            quipu["bytes_per_insert"] * 3 < row["bytes_per_insert"]
            and quipu["erases_per_1000"] * 3 < row["erases_per_1000"]
        )


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, (_, sector, _, unit) in GEOMETRIES.items()
        if sector >= 4096 and unit <= SMALL_UNIT
    ],
)
def test_appending_costs_hardly_more_than_the_frames(name):
    row = flash.appending(GEOMETRIES[name])
    assert row["frames"] >= 200 and row["slots"] == 0
    assert row["frame_bytes"] <= row["programmed"] and row["overhead"] <= MOST_OVERHEAD


@pytest.mark.parametrize(
    "name", [name for name, (*_, unit) in GEOMETRIES.items() if unit > SMALL_UNIT]
)
def test_with_larger_units_a_frame_is_rounded_up_once(name):
    # raises unless the flash counted exactly the padded frames
    row = flash.appending(GEOMETRIES[name])
    assert (
        row["frame_bytes"]
        < row["programmed"]
        < row["frame_bytes"] + row["frames"] * GEOMETRIES[name][3]
    )


def test_the_flash_counts_every_byte():
    counting = CountingFlash(2, 512, 256, 4)
    counting.split = 16
    counting.program(0, b"a" * 12)
    counting.program(512 + 12, b"b" * 8)
    counting.program(512 + 20, b"c" * 4)
    counting.erase(1)
    assert (counting.filled, counting.heads, counting.erases, counting.bytes_programmed) == (
        [12, 12],
        [12, 8],
        [0, 1],
        24,
    )
    counting.count_anew()
    assert sum(counting.filled + counting.erases) == counting.bytes_programmed == 0


def test_all_candidates_record_the_same():
    told = json.loads(line(7))
    assert (told["id"], told["tag"], told["meta"], len(told["vector"])) == (7, 3, META, DIM)
    for text, q16 in zip(told["vector"], vector(7)):
        assert abs(text * 65536 - q16) <= 4
