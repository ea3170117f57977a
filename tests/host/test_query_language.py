"""What a query asks beyond fields of the state: when, whose, what was deleted; expressions, fields
inside of JSON, what is distinct, an offset, several keys to sort by."""

import csv
import datetime
import io
import json
import random
import re
import time

import pytest
import quipu
from quipu.cli import main as cli
from quipu.errors import UsageError
from quipu.formats import mcap_file
from quipu.past.patterns import Pattern
from quipu.past.query import Query

from shared_kernel import frames as f
from shared_kernel import kernel as k
from tests.host.past import Log
from tests.host.test_move import peers, run  # noqa: F401  (a fixture)

NOW = time.time_ns() // 1_000_000


def made(identity="past/1", ago_ms=7_200_000):
    """A log of two hours: each frame 10 s after the one before, a clock at its beginning."""
    log = Log(identity)
    log.put("early", "x", 5)  # 1: before the clock, so its time follows from the clock after it
    log.clock(NOW - ago_ms, 20, 1000)  # 2
    for i, (name, value) in enumerate(
        (
            ("mode", '{"mode": "run", "speed": 2.5, "on": true, "pose": [1, {"x": "a"}]}'),
            ("b", '{"mode": "walk", "speed": 10}'),
            ("c", "no JSON"),
            ("gone", "1"),
        )
    ):
        log.put(name, value[:16] if name == "c" else value, 10_000 * (i + 1))
    log.delete_key("gone")  # 7
    for i in range(6):  # 8 to 13
        log.insert(i, -i, i % 2, (b"walk", b"run", b"walking")[i % 3])
    log.add(k.DELETE, f.ident(9))  # 14
    log.put("gone", "2", 3_600_000)  # 15, an hour after the clock
    return log


@pytest.fixture
def big(monkeypatch):
    """Values as long as JSON takes."""
    from tests.host import past

    monkeypatch.setattr(past, "CONFIG", (2, 16, 8, 8, 8, 16, 200))


@pytest.fixture
def folder(tmp_path, big):
    return made().archive(tmp_path / "a")


@pytest.fixture
def memory(folder):
    with quipu.open(folder) as memory:
        yield memory


def names(memory, where="", **more):
    return [each["name"] for each in memory.query(Query("keys", where, **more))]


# -- when and whose --------------------------------------------------------------------------------


def test_each_row_has_the_time_of_its_frame_and_whose_it_is(memory):
    rows = memory.query(Query("keys", dated=True))
    times = {each["name"]: each["time"] for each in rows}
    start = NOW - 7_200_000
    assert times == {
        "mode": start + 10_000,
        "b": start + 20_000,
        "c": start + 30_000,
        "early": start - 995,
        "gone": start + 3_600_000,
    }
    for row in rows:
        found = memory.timeline.when(row["seq"])
        assert (row["time"], row["uncertainty_ms"]) == (found.unix_ms, found.uncertainty_ms)
        assert (row["board"], row["log"]) == ("past/1", memory.log.hex())
    record = memory.query(Query("records", "id = 8", dated=True))[0]
    assert record["time"] == memory.timeline.when(8).unix_ms
    assert "time" not in memory.query(Query("keys"))[0]


def test_a_time_is_compared_with_text(memory):
    assert names(memory, 'time > "-90m"') == ["gone"]
    assert len(names(memory, 'time <= "-90m"')) == 4
    iso = datetime.datetime.fromtimestamp((NOW - 7_200_000 + 20_000) / 1000, datetime.timezone.utc)
    assert names(memory, f'time = "{iso.isoformat(timespec="milliseconds")}"') == ["b"]
    assert names(memory, f'time between "-1d" and {NOW - 7_200_000}') == ["early"]
    assert names(memory, "uncertainty_ms > 1000") == ["gone"]  # an hour of drift
    assert len(names(memory, 'board = "past/1"')) == 5 and not names(memory, 'board = "x"')
    for wrong in ('time > "soon"', 'time prefix "2"', "time > 0xff"):
        with pytest.raises(UsageError, match=r"\^"):
            names(memory, wrong)


def test_a_row_without_a_clock_has_no_time(tmp_path):
    log = Log()
    log.put("a", "1")
    with quipu.open(log.archive(tmp_path / "a")) as memory:
        row = memory.query(Query("keys", dated=True))[0]
        assert row["time"] is None and row["uncertainty_ms"] is None
        assert names(memory, 'time > "-1h"') == [] == names(memory, "time exists")


def test_files_have_the_columns_and_tables_on_request(folder, capsys):
    def told(*more):
        assert cli.main(["query", str(folder), "keys", *more]) == 0
        return capsys.readouterr().out

    header, *rows = csv.reader(io.StringIO(told("--format", "csv", "--where", "time exists")))
    assert header == ["name", "seq", "value", "time", "uncertainty_ms", "board", "log"]
    assert len(rows) == 5
    for row in rows:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row[3])
    line = json.loads(told("--format", "jsonl", "--limit", "1"))
    assert line["time"].endswith("Z") and line["board"] == "past/1"
    assert "time" not in told() and "UTC ±" in told()
    assert " UTC" in told("--select", "name,time")


def test_several_archives_are_asked_together(tmp_path, big, capsys):
    paths = [str(made(f"board/{i}", 7_200_000 - i).archive(tmp_path / f"{i}")) for i in range(2)]
    assert cli.main(["query", *paths, "keys", "--where", 'name = "b"', "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["board"] for each in told["rows"]] == ["board/0", "board/1"]
    assert [each["source"] for each in told["sources"]] == paths
    counting = ["--group-by", "board", "--aggregate", "count"]
    assert cli.main(["query", *paths, "records", *counting, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(each["board"], each["count"]) for each in rows] == [("board/0", 5), ("board/1", 5)]
    assert cli.main(["query", *paths, "keys"]) == 0
    assert capsys.readouterr().out.count("at seq 15") == 2


# -- what was deleted ------------------------------------------------------------------------------


def test_what_was_deleted_is_there_on_request(memory):
    rows = memory.query(Query("keys", 'name = "gone"', deleted=True))
    assert sorted((each["value"], each["deleted"]) for each in rows) == [("1", 7), ("2", None)]
    records = memory.query(Query("records", "deleted exists", deleted=True))
    assert [(each["id"], each["vector"], each["deleted"]) for each in records] == [(9, [1, -1], 14)]
    assert len(memory.query(Query("records"))) == 5
    # at a moment before it was deleted it is there as any other
    assert memory.query(Query("records", "deleted exists", deleted=True), at=13) == []


def test_a_deleted_node_takes_its_edges_along(tmp_path):
    log = Log()
    a, b = log.add(k.CREATE_NODE, f.create_node(1)), log.add(k.CREATE_NODE, f.create_node(2))
    first = log.add(k.CREATE_EDGE, f.create_edge(1, a, b))
    second = log.add(k.CREATE_EDGE, f.create_edge(2, a, b))
    gone = [log.add(k.DELETE_EDGE, f.ident(first)), log.add(k.DELETE_NODE, f.ident(a))]
    with quipu.open(log.archive(tmp_path / "a")) as memory:
        edges = memory.query(Query("edges", deleted=True))
        assert [(each["id"], each["deleted"]) for each in edges] == list(
            zip((first, second), gone, strict=True)
        )
        nodes = memory.query(Query("nodes", deleted=True))
        assert [(each["id"], each["deleted"]) for each in nodes] == [(a, gone[1]), (b, None)]


def test_a_command_line_asks_for_it_too(folder, capsys):
    asked = ["query", str(folder), "records", "--with-deleted", "--order", "-deleted", "--json"]
    assert cli.main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["columns"][-1] == "deleted" and told["rows"][0]["deleted"] == 14
    assert len(told["rows"]) == 6


# -- fields inside of JSON -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where, found",
    (
        ('value.mode = "run"', ["mode"]),
        ('value.mode in ("run", "walk")', ["b", "mode"]),
        ("value.speed > 2.5", ["b"]),
        ("value.speed >= 2.5", ["b", "mode"]),
        ('value.on = "true"', ["mode"]),
        ("value.pose[0] = 1", ["mode"]),
        ('value.pose[1].x prefix "a"', ["mode"]),
        ("value.pose exists", []),
        ("value.mode exists", ["b", "mode"]),
        ('value.mode matches "^r.n$"', ["mode"]),
        ('value.speed = "10"', []),
        ("value.pose[7] exists", []),
        ("value.none.deeper exists", []),
    ),
)
def test_a_field_inside_of_a_value(memory, where, found):
    assert sorted(names(memory, where)) == found


def test_such_a_field_is_selected_ordered_and_grouped(memory):
    rows = memory.query(
        Query("keys", select=("name", "value.speed", "value.mode"), order=("-value.speed",))
    )
    assert [each["value.speed"] for each in rows] == [10, 2.5, None, None, None]
    assert rows[1]["value.mode"] == "run"
    grouped = memory.query(
        Query(
            "keys", "value.mode exists", group_by=("value.mode",), aggregates=("max(value.speed)",)
        )
    )
    assert [(each["value.mode"], each["max(value.speed)"]) for each in grouped] == [
        ("run", 2.5),
        ("walk", 10),
    ]
    for wrong in ("seq.x = 1", "nothing.x = 1"):
        with pytest.raises(UsageError, match="no field"):
            names(memory, wrong)


def test_json_that_is_vast_is_no_json(tmp_path, monkeypatch):
    from tests.host import past

    monkeypatch.setattr(past, "CONFIG", (2, 16, 8, 8, 8, 16, 4000))
    log = Log()
    log.put("deep", "[" * 4000)
    log.put("wide", '{"a": ' + "9" * 3990 + "}")
    log.put("far", '{"a": 1e400000000}')
    with quipu.open(log.archive(tmp_path / "a")) as memory:
        assert names(memory, "value.a = 1 or value[0] = 1") == []


# -- expressions -----------------------------------------------------------------------------------


def random_pattern(rng, depth):
    """Return an expression that Python's re knows too."""
    if not depth or rng.random() < 0.4:
        return rng.choice(
            ["a", "b", "x", ".", "[ab]", "[^a]", r"\w", r"\d", r"\.", "^", "$", "[a-c]"]
        )
    inner = random_pattern(rng, depth - 1)
    return rng.choice(
        (
            inner + random_pattern(rng, depth - 1),
            f"({inner}|{random_pattern(rng, depth - 1)})",
            f"(?:{inner})" + rng.choice(("*", "+", "?", "{2}", "{1,3}", "{2,}", "*?")),
        )
    )


def test_an_expression_means_what_it_means_to_python():
    rng = random.Random(4)
    found = 0
    for _ in range(1500):
        text = random_pattern(rng, 4)
        try:
            expected = re.compile(text.replace("$", r"\Z"), re.ASCII)
        except re.error:
            continue
        mine = Pattern(text)
        for _ in range(4):
            data = "".join(rng.choice("abcx.1\n") for _ in range(rng.randrange(8)))
            assert mine.found(data.encode()) == bool(expected.search(data)), (text, data)
            found += bool(expected.search(data))
    assert found > 1000


def test_an_expression_never_takes_long():
    begun = time.monotonic()
    assert not Pattern("(a+)+$").found(b"a" * 4000 + b"b")
    assert not Pattern("(a|a)*b").found(b"a" * 4000)
    hard = Pattern(r"(\w?){200}\w{200}!")
    with pytest.raises(UsageError, match="takes too long here"):
        for i in range(2_000):
            hard.found(random.Random(i).randbytes(500).hex().encode())
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(
    "text, why",
    (
        ("(a", "expected a )"),
        ("a)", "closes nothing"),
        ("*a", "nothing stands before"),
        ("a{1", "expected {2}"),
        ("a{5,2}", "smaller number first"),
        ("a{999}", "at most 255"),
        ("(a{200}){200}", "too large"),
        (r"(a)\1", "not known"),
        (r"\bword", "not known"),
        ("(?=a)", "only (?:"),
        ("[z-a]", "is empty"),
        ("[a", "too early"),
        ("a\\", "too early"),
        ("(" * 60, "at most 50"),
    ),
)
def test_an_expression_that_cannot_be_read_says_where(memory, text, why):
    with pytest.raises(UsageError) as refused:
        Pattern(text)
    assert why in str(refused.value)


def test_an_expression_in_a_filter(memory):
    records = memory.query(Query("records", r'meta matches "^walk(ing)?$"'))
    assert {each["meta"] for each in records} == {"walk", "walking"}
    assert names(memory, 'name matches "(?i)^MO"') == ["mode"]
    assert sorted(names(memory, 'name not matches "o"')) == ["b", "c", "early"]
    for wrong in ("name matches 3", "seq matches '1'", 'name matches "("'):
        with pytest.raises(UsageError, match=r"\^"):
            names(memory, wrong)


# -- distinct, offset, order -----------------------------------------------------------------------


def test_distinct_offset_and_limit(memory):
    tags = Query("records", select=("tag",), order=("tag",), distinct=True)
    assert [each["tag"] for each in memory.query(tags)] == [0, 1]
    assert [each["tag"] for each in memory.query(tags._replace(offset=1))] == [1]
    ids = [each["id"] for each in memory.query(Query("records"))]
    for offset in range(7):
        for limit in (None, 0, 2, 9):
            found = memory.query(Query("records", offset=offset, limit=limit, select=("id",)))
            end = None if limit is None else offset + limit
            assert [each["id"] for each in found] == ids[offset:end]


def test_what_is_not_there_is_placed(memory):
    def ordered(*by):
        return [each["name"] for each in memory.query(Query("keys", order=by))]

    assert ordered("value.speed", "name") == ["mode", "b", "c", "early", "gone"]
    assert ordered("-value.speed", "-name") == ["b", "mode", "gone", "early", "c"]
    assert ordered("value.speed nulls first", "name") == ["c", "early", "gone", "mode", "b"]
    assert ordered("-value.speed NULLS FIRST", "name") == ["c", "early", "gone", "b", "mode"]
    assert ordered("value.speed nulls last", "-time")[2:] == ["gone", "c", "early"]
    with pytest.raises(UsageError, match="orders nothing"):
        ordered("name nulls middle")


# -- MCAP ------------------------------------------------------------------------------------------

MCAP = (
    "import json, sys; from quipu.cli import main as cli; from mcap.reader import make_reader\n"
    "assert cli.main(['export', sys.argv[1], '-o', sys.argv[2]]) == 0\n"
    "out = []\n"
    "with open(sys.argv[2], 'rb') as file:\n"
    "    for schema, channel, message in make_reader(file).iter_messages(log_time_order=False):\n"
    "        out.append([schema.name, channel.topic, channel.metadata['board'],\n"
    "                    message.log_time, json.loads(message.data)])\n"
    "print('!' + json.dumps(out))\n"
)


def test_mcap_has_a_channel_for_each_key_and_one_for_records(folder, tmp_path, peers):  # noqa: F811
    told = json.loads(run(peers, MCAP, folder, tmp_path / "a.mcap").partition("!")[2])
    topics = {topic for _, topic, *_ in told}
    assert topics == {"/keys/early", "/keys/mode", "/keys/b", "/keys/c", "/keys/gone", "/records"}
    assert all(board == "past/1" for _, _, board, *_ in told)
    with quipu.open(folder) as memory:
        for _, _, _, when, message in told:
            assert when == memory.timeline.when(message["seq"]).unix_ms * 1_000_000
    gone = [message for _, topic, _, _, message in told if topic == "/keys/gone"]
    assert [(each["number"], each["deleted"]) for each in gone] == [
        (1, False),
        (None, True),
        (2, False),
    ]
    records = [message for name, _, _, _, message in told if name == "quipu.Record"]
    assert [each["type"] for each in records] == ["insert"] * 6 + ["delete"]
    assert records[1]["vector"] == [1, -1] and records[6]["id"] == 9


def test_a_message_stands_at_the_time_of_its_frame(folder):
    with quipu.open(folder) as memory:
        told = list(mcap_file.messages(memory, 12))
        assert [message["seq"] for *_, message in told] == [1, *range(3, 13)]
        for _, _, when, message in told:
            assert when == memory.timeline.when(message["seq"]).unix_ms and message["time_known"]


def test_a_message_without_a_clock_says_so(tmp_path):
    log = Log()
    log.put("a", "1")
    log.put("a", "1")
    with quipu.open(log.archive(tmp_path / "a")) as memory:
        told = list(mcap_file.messages(memory))
        assert [(when, each["time_known"], each["value"]) for _, _, when, each in told] == [
            (0, False, "1")
        ] * 2


def test_without_the_package_mcap_it_says_what_to_install(folder, tmp_path, capsys):
    assert cli.main(["export", str(folder), "-o", str(tmp_path / "a.mcap")]) == 2
    assert "pip install 'quipu-mcu[mcap]'" in capsys.readouterr().err
    assert not (tmp_path / "a.mcap").exists()
    assert cli.main(["import", "PORT", str(tmp_path / "a.mcap")]) == 2
    assert "only written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "a(?:){255}{255}{255}{255}",
        "a" + "(?:" * 40 + "b" + "){255}" * 40,
        "(?:" * 5 + "){255}" * 5,  # repeats of nothing make no instruction
        "a" + "{1}" * 1500,
        "a" + "*" * 2000,
        "a{2,0}",
        "a**",
    ],
)
def test_an_expression_is_bounded_before_it_is_built(text):
    with pytest.raises(UsageError):
        Pattern(text)
