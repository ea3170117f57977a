"""An index that rots is refused by name, also after it was opened (case 09): no traceback, and no
answer but the right one. Rows that are gone, changed or foreign are, too (case 10)."""

import contextlib
import random
import sqlite3
import tracemalloc
import zlib

import pytest
import quipu
from quipu.cli import main as cli
from quipu.past import index as indexes
from quipu.past import rows
from quipu.past.index import Index

from tests.host.past import Log
from tests.quick import long

PAGE = 4096
START = 1_790_000_000_000  # ms: 2026-09-21 14:13:20 UTC


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    log = Log()
    log.clock(1_790_000_000_000)
    for i in range(900):
        log.put(f"k{i % 5}", str(i))
    path = log.archive(tmp_path_factory.mktemp("index") / "a")
    Index(quipu.open_archive(path)).close()
    return path, (path / "index.sqlite").read_bytes()


def asked(path, capsys):
    """Return {question: (exit code, what was told)}."""
    out = {}
    for question in (("get", "k3"), ("history", "k3"), ("explain", "k3"), ("state",)):
        code = cli.main([question[0], str(path), *question[1:]])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        out[question] = code, told.out, told.err
    return out


def test_case_09_a_page_that_rots_is_named_or_does_not_matter(made, capsys):
    path, good = made
    truth = asked(path, capsys)
    assert all(code == 0 for code, _, _ in truth.values())
    rng = random.Random(9)
    pages = range(len(good) // PAGE)
    refused = 0
    for page in pages if len(pages) <= long(999, 12) else rng.sample(pages, 12):
        (path / "index.sqlite").write_bytes(
            good[: page * PAGE] + rng.randbytes(PAGE) + good[(page + 1) * PAGE :]
        )
        for suffix in ("-wal", "-shm"):
            (path / f"index.sqlite{suffix}").unlink(missing_ok=True)
        for question, (code, out, err) in asked(path, capsys).items():
            if code == 0:
                assert out == truth[question][1], (page, question)
            else:
                assert "--rebuild" in err or "expected" in err, (page, question, err)
                refused += 1
    assert refused > 3
    assert cli.main(["index", str(path), "--rebuild"]) == 0
    capsys.readouterr()
    assert asked(path, capsys) == truth


# -- case 10: an index is never believed -----------------------------------------------------------

ALL = ("history", "mode", "--limit", "100")
QUESTIONS = (
    ("get", "mode"),
    ALL,
    ("history", "mode", "--limit", "2"),
    ("history", "gone"),
    ("explain", "mode"),
    ("explain", "record:5"),
    ("explain", "key:gone"),
    ("get", "mode", "--at", "2026-09-21T14:13:20.100Z"),
    ("history", "mode", "--at", "40"),
    ("state",),
)


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    """An archive with two lives of a key, one that is gone, records, two clocks and two boots."""
    log = Log()
    log.clock(START)
    log.put("mode", "one")
    log.put("gone", "x")
    log.insert(1, 2, 3)  # seq 4
    log.insert(5, 2, 3)
    log.delete_key("gone")
    log.delete_key("mode")
    for i in range(30):
        log.put("mode", str(i // 2))
        log.put(f"k{i % 4}", str(i))
        if i % 12 == 0:
            log.boot()
            log.clock(START + 1000 * (i + 1))
    path = log.archive(tmp_path_factory.mktemp("lives") / "a")
    with small_steps():
        Index(quipu.open_archive(path)).close()
    return path, (path / "index.sqlite").read_bytes()


@contextlib.contextmanager
def small_steps():
    """Places and kept states at short intervals, so that a short archive has many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexes, "PLACE_EVERY", 8)
        patch.setattr(indexes, "KEEP_EVERY", 16)
        patch.setattr(indexes, "_KEEP_SHARE", 1 << 20)
        yield


def put_back(path, good):
    (path / "index.sqlite").write_bytes(good)
    for suffix in ("-wal", "-shm"):
        (path / f"index.sqlite{suffix}").unlink(missing_ok=True)


def altered(path, good, *statements):
    put_back(path, good)
    with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as db, db:
        for each in statements:
            db.execute(each)


def answers(path, capsys, questions=QUESTIONS):
    out = {}
    for question in questions:
        code = cli.main([question[0], str(path), *question[1:]])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        out[question] = code, told.out, told.err
    return out


NEWEST = "(SELECT max(seq) FROM changes WHERE thing < 0 AND nth = 32)"  # of mode


ALTERED = (
    (  # as the case was found
        (f"DELETE FROM changes WHERE seq = {NEWEST}",),
        ("history", "mode"),
        "lacks the newest change",
    ),
    (
        (f"DELETE FROM changes WHERE seq = {NEWEST}",),
        ("explain", "mode"),
        "lacks the newest change",
    ),
    (("DELETE FROM changes WHERE nth = 7",), ALL, "lacks a change"),
    (("DELETE FROM changes WHERE nth = 1",), ALL, "lacks a change"),
    (("DELETE FROM changes WHERE nth = 30",), ("history", "mode"), "lacks a change"),
    (("DELETE FROM changes WHERE thing = 5",), ("explain", "record:5"), "lacks the newest"),
    (("DELETE FROM things WHERE count = 32",), ("history", "mode"), "lacks the newest"),
    (  # rows that fit one another: only the frames and the state tell
        (
            "DELETE FROM changes WHERE nth = 32",
            "UPDATE things SET count = 31, last = (SELECT max(seq) FROM changes WHERE nth = 31)"
            " WHERE count = 32",
        ),
        ("history", "mode"),
        "the newest write of the key",
    ),
    (
        (
            "DELETE FROM changes WHERE nth = 32",
            "UPDATE things SET count = 31, last = (SELECT max(seq) FROM changes WHERE nth = 31)"
            " WHERE count = 32",
        ),
        ("explain", "mode"),
        "the newest write of the key",
    ),
    (
        (
            "DELETE FROM changes WHERE nth = 7 AND thing = (SELECT thing FROM things WHERE count = 32)",
            "UPDATE changes SET nth = nth - 1 WHERE nth > 7 AND thing = (SELECT thing FROM things"
            " WHERE count = 32)",
            "UPDATE things SET count = 31 WHERE count = 32",
        ),
        ALL,
        "the write before it",
    ),
    (  # another key's frames under this one's number
        (
            "DELETE FROM changes WHERE thing = (SELECT thing FROM things WHERE count = 32)",
            "DELETE FROM things WHERE count = 32 AND last >= 0",
        ),
        ("history", "mode"),
        "the newest write of the key",
    ),
    (
        ("UPDATE anchors SET nth = nth + 9 WHERE nth = 4",),
        ("history", "mode"),
        "lacks a clock frame",
    ),
    (("DELETE FROM anchors WHERE nth = 0",), ("history", "mode"), "lacks a clock frame"),
    (("DELETE FROM anchors",), ("history", "mode"), "lacks a clock frame"),
    (("UPDATE anchors SET place = place + 24 WHERE nth = 2",), ("history", "mode"), "digest"),
    (("UPDATE places SET place = 'x'",), ("state", "--at", "3"), "a place in it is none"),
    (
        ("UPDATE kept SET head = zeroblob(32)",),
        ("state",),
        "does not fit its digest",
    ),
    (
        ("CREATE TRIGGER t AFTER INSERT ON changes BEGIN DELETE FROM changes; END",),
        ("history", "mode"),
        "part 't'",
    ),
    (("CREATE VIEW v AS SELECT 1",), ("history", "mode"), "part 'v'"),
    (
        ("ALTER TABLE kept RENAME TO held", "CREATE VIEW kept AS SELECT * FROM held"),
        ("state",),
        "part '",
    ),
    (
        ("UPDATE facts SET value = replace(value, '0', '1') WHERE name = 'progress'",),
        ("state",),
        "does not fit its digest",
    ),
)


@pytest.mark.parametrize("statements, question, why", ALTERED)
def test_case_10_rows_that_are_gone_or_changed_are_named(lives, capsys, statements, question, why):
    path, good = lives
    put_back(path, good)
    assert cli.main([question[0], str(path), *question[1:]]) == 0
    altered(path, good, *statements)
    capsys.readouterr()
    assert cli.main([question[0], str(path), *question[1:]]) == 1
    told = capsys.readouterr()
    assert why in told.err and "--rebuild" in told.err and not told.out
    assert cli.main(["index", str(path), "--rebuild"]) == 0
    assert cli.main([question[0], str(path), *question[1:]]) == 0


def test_case_10_another_keys_frame_is_no_version_of_this_one(lives, capsys):
    path, good = lives
    altered(
        path,
        good,
        "UPDATE changes SET (seq, place, digest) = (SELECT seq, place, digest FROM changes AS other"
        " WHERE other.seq = changes.seq + 1) WHERE nth = 20"
        " AND thing = (SELECT thing FROM things WHERE count = 32)",
    )
    assert cli.main(["history", str(path), "mode"]) == 1
    assert "is no change of what was asked for" in capsys.readouterr().err


def test_case_10_times_are_read_from_the_clock_frames(lives, capsys):
    """The case's own statement finds no time in the index; one clock's row is no other one's."""
    path, good = lives
    put_back(path, good)
    with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(anchors)")]
    assert names == ["nth", "seq", "place", "digest"]
    swap = "UPDATE anchors SET (seq, place, digest) = (SELECT seq, place, digest FROM anchors AS o "
    altered(path, good, swap + "WHERE o.nth = 2) WHERE nth = 4")
    assert cli.main(["history", str(path), "mode"]) == 1
    assert "in no order" in capsys.readouterr().err


def test_case_10_a_place_with_another_tick_is_named(lives, capsys):
    path, good = lives
    altered(path, good, "UPDATE places SET tick = 0")
    question = next(each for each in QUESTIONS if "--at" in each)
    assert cli.main([question[0], str(path), *question[1:]]) == 1
    assert "has another tick" in capsys.readouterr().err


def test_case_10_a_kept_state_never_grows_beyond_its_configuration(lives, capsys):
    """A zlib bomb: what it would become is never made."""
    path, good = lives
    put_back(path, good)
    with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as db, db:
        for seq, packed in db.execute("SELECT seq, arena FROM kept").fetchall():
            bomb = zlib.compress(zlib.decompress(packed) + bytes(200_000_000), 9)
            db.execute("UPDATE kept SET arena = ? WHERE seq = ?", (bomb, seq))
    tracemalloc.start()
    try:
        assert cli.main(["state", str(path)]) == 1
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert "does not hash to its root" in capsys.readouterr().err


def damages(rng, good, path):
    """Do one random damage to an index: bytes, pages, or rows as valid SQLite."""
    kind = rng.randrange(5)
    data = bytearray(good)
    pages = len(data) // PAGE
    if kind == 0:
        for _ in range(rng.choice((1, 1, 4))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        page, at, length = rng.randrange(pages), rng.randrange(PAGE), rng.randrange(1, 200)
        data[page * PAGE + at : page * PAGE + at + length] = rng.randbytes(
            len(data[page * PAGE + at : page * PAGE + at + length])
        )
    elif kind == 2:  # a page that another one was written over
        a, b = rng.randrange(pages), rng.randrange(pages)
        data[a * PAGE : (a + 1) * PAGE] = good[b * PAGE : (b + 1) * PAGE]
    put_back(path, bytes(data))
    if kind < 3:
        return f"kind {kind}"
    with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as db, db:
        table = rng.choice(("facts", *rows.NAMES))
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        key = columns[0]
        which = rng.choice(db.execute(f"SELECT {key} FROM {table}").fetchall())[0]
        if kind == 3:
            statement = f"DELETE FROM {table} WHERE {key} = ?"
        else:
            column = rng.choice(columns)
            value = rng.choice(
                (
                    f"{column} + {rng.choice((-86400000, -1, 1, 256))}",
                    f"(SELECT {column} FROM {table} ORDER BY random() LIMIT 1)",
                    "NULL",
                    "'text'",
                    "x'00'",
                )
            )
            statement = f"UPDATE OR REPLACE {table} SET {column} = {value} WHERE {key} = ?"
        with contextlib.suppress(sqlite3.IntegrityError, sqlite3.OperationalError):  # of a datatype
            db.execute(statement, (which,))
        return f"{statement} [{which!r}]"


def test_case_10_random_damage_changes_no_answer_with_exit_code_0(lives, capsys):
    path, good = lives
    put_back(path, good)
    truth = answers(path, capsys)
    assert all(code == 0 for code, _, _ in truth.values())
    rng, refused, right = random.Random(10), 0, 0
    for _ in range(long(600, 80)):
        what = damages(rng, good, path)
        asked = rng.sample(QUESTIONS, 4)
        for question, (code, out, _) in answers(path, capsys, asked).items():
            if code == 0:
                assert out == truth[question][1], (what, question)
                right += 1
            else:
                refused += 1
    assert refused > 20 and right > 50
