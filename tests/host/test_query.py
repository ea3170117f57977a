"""Filters, projection, order, limit and aggregates: against plain Python over the same state, and
errors that point at the place."""

import json
import random
from fractions import Fraction

import pytest
import quipu
from quipu.cli import past
from quipu.errors import UsageError
from quipu.past.query import Query

from shared_kernel import frames as f
from shared_kernel import kernel as k
from tests.host.past import Log


@pytest.fixture
def memory(tmp_path):
    rng, log = random.Random(2), Log()
    for i in range(12):
        log.insert(
            rng.randrange(-5, 5), i, i % 3, (b"walk", b"run", b"walking", b"\xff\x00")[i % 4]
        )
    log.add(k.CREATE_NODE, f.create_node(1, 4))
    log.add(k.CREATE_NODE, f.create_node(1))
    for name, value in (("a", "10"), ("b", "9"), ("ab", "2.5"), ("c", "text"), ("d", "")):
        log.put(name, value)
    return quipu.open(log.archive(tmp_path / "a"))


RECORDS = {
    "tag = 1": lambda r: r["tag"] == 1,
    "tag == 1": lambda r: r["tag"] == 1,
    "tag != 1": lambda r: r["tag"] != 1,
    "not tag = 1": lambda r: r["tag"] != 1,
    "tag < 1": lambda r: r["tag"] < 1,
    "tag <= 1": lambda r: r["tag"] <= 1,
    "tag > 1": lambda r: r["tag"] > 1,
    "tag >= 1": lambda r: r["tag"] >= 1,
    "id between 3 and 5": lambda r: 3 <= r["id"] <= 5,
    "id not between 3 and 5": lambda r: not 3 <= r["id"] <= 5,
    "tag in (0, 2)": lambda r: r["tag"] in (0, 2),
    "tag not in (0, 2)": lambda r: r["tag"] == 1,
    "vector[0] >= -1.5": lambda r: r["vector"][0] >= -1.5,
    "meta = 'walk'": lambda r: r["meta"] == "walk",
    'meta prefix "walk"': lambda r: (r["meta"] or "").startswith("walk"),
    'meta contains "un"': lambda r: "un" in (r["meta"] or ""),
    "meta = 0xff00": lambda r: r["meta_hex"] == "ff00",
    "tag = 1 or tag = 2 and id > 6": lambda r: r["tag"] == 1 or r["tag"] == 2 and r["id"] > 6,
    "(tag = 1 or tag = 2) and id > 6": lambda r: r["tag"] in (1, 2) and r["id"] > 6,
    "NOT (tag = 1 AND id > 6)": lambda r: not (r["tag"] == 1 and r["id"] > 6),
}


@pytest.mark.parametrize("where", RECORDS)
def test_a_filter_finds_just_what_fits(memory, where):
    rows = memory.query(Query("records"))
    found = memory.query(Query("records", where))
    assert found == [row for row in rows if RECORDS[where](row)]
    assert 0 < len(found) < len(rows) == 12


@pytest.mark.parametrize(
    "where, ids",
    (
        ("record exists", [13]),
        ("not record exists", [14]),
        ("record not exists", [14]),
        ("record = 4", [13]),
        ("record != 4", [14]),
        ("record < 9", [13]),
    ),
)
def test_what_is_not_there_equals_nothing(memory, where, ids):
    assert [row["id"] for row in memory.query(Query("nodes", where))] == ids


@pytest.mark.parametrize(
    "where, names",
    (
        ("value > 9", ["a"]),
        ("value >= 2.5 and value < 10", ["ab", "b"]),
        ("value = 10.0", ["a"]),
        ('value > "9"', ["c"]),
        ('value = ""', ["d"]),
        ('name prefix "a"', ["a", "ab"]),
    ),
)
def test_text_is_compared_as_a_number_with_numbers_and_as_bytes_with_text(memory, where, names):
    assert [row["name"] for row in memory.query(Query("keys", where))] == names


def test_order_is_stable_and_limited(memory):
    rows = memory.query(Query("records", order=("-tag",)))
    assert rows == sorted(memory.query(Query("records")), key=lambda r: -r["tag"])
    assert memory.query(Query("records", order=("-tag", "-id"), limit=2, select=("id", "tag"))) == [
        {"id": 12, "tag": 2},
        {"id": 9, "tag": 2},
    ]
    # what has none comes last
    assert [row["id"] for row in memory.query(Query("nodes", order=("record",)))] == [13, 14]


def test_aggregates_are_exact(memory):
    rows = memory.query(Query("records"))
    told = memory.query(
        Query(
            "records",
            group_by=("tag",),
            aggregates=("count", "sum(vector[0])", "min(id)", "max(id)", "mean(vector[0])"),
        )
    )
    assert [row["tag"] for row in told] == [0, 1, 2]
    for row in told:
        mine = [r for r in rows if r["tag"] == row["tag"]]
        xs = [Fraction(r["vector"][0]) for r in mine]
        assert row == {
            "tag": row["tag"],
            "count": len(mine),
            "sum(vector[0])": sum(xs),
            "min(id)": min(r["id"] for r in mine),
            "max(id)": max(r["id"] for r in mine),
            "mean(vector[0])": float(sum(xs) / len(xs)),
        }
    assert memory.query(Query("keys", aggregates=("count", "mean(value)", "sum(value)"))) == [
        {"count": 5, "mean(value)": float(Fraction("21.5") / 3), "sum(value)": 21.5}
    ]
    assert memory.query(Query("keys", "name = 'none'", aggregates=("count", "max(value)"))) == [
        {"count": 0, "max(value)": None}
    ]


def test_a_query_of_a_past_moment(memory):
    assert len(memory.query(Query("records"), at=5)) == 5
    assert memory.query(Query("keys"), at=5) == []


@pytest.mark.parametrize(
    "where, at, expected",
    (
        ("tag =", 6, "a number"),
        ("tag = 'x'", 7, "a number"),
        ("(tag = 1", 9, "')'"),
        ("tag = 1)", 8, "'and', 'or' or the end"),
        ("= 1", 1, "a field"),
        ("tag 1", 5, "between, in"),
        ("tag between 1 or 2", 15, "'and'"),
        ("tag in 1", 8, "'('"),
        ("meta prefix 3", 13, '"text"'),
        ("meta = 'x", 8, "a closing quote"),
        ("tag = 1 tag = 2", 9, "'and', 'or' or the end"),
        ("tag = 1 &", 9, "a field, a value or an operator"),
        ("tag prefix 1", 5, "a comparison of numbers"),
        ("(" * 200, 101, "at most 100"),
    ),
)
def test_a_filter_that_does_not_parse_points_at_the_place(memory, where, at, expected):
    with pytest.raises(UsageError) as e:
        memory.query(Query("records", where))
    message, shown, mark = str(e.value).splitlines()
    assert f"from character {at} on: expected" in message and expected in message
    assert shown == "  " + where and mark == " " * (at + 1) + "^"


@pytest.mark.parametrize(
    "query, says",
    (
        (Query("things"), "cannot be asked for"),
        (Query("records", "foo = 1"), "no field 'foo'"),
        (Query("records", "vector = 1"), r"vector\[0\]"),
        (Query("records", "vector[2] = 1"), "vector has 2 components"),
        (Query("records", select=("x",)), "no field 'x'"),
        (Query("records", order=("-x",)), "no field 'x'"),
        (Query("records", aggregates=("median(id)",)), "no aggregate"),
        (Query("records", aggregates=("sum",)), "no aggregate"),
        (Query("records", aggregates=("count",), select=("id",)), "give one of them"),
    ),
)
def test_what_cannot_be_asked_is_refused(memory, query, says):
    with pytest.raises(UsageError, match=says):
        memory.query(query)


def test_rows_as_json_lines_and_csv(memory):
    rows = memory.query(Query("records", "id <= 4", select=("id", "meta", "vector")))
    assert [json.loads(line) for line in past.text(rows, ["id"], "jsonl").splitlines()] == rows
    x = [json.dumps(row["vector"]) for row in rows]
    assert past.text(rows, ["id", "meta", "vector"], "csv") == "id,meta,vector\n" + "".join(
        f'{i + 1},{meta},"{x[i]}"\n' for i, meta in enumerate(("walk", "run", "walking", "0xff00"))
    )
