"""A query's rows as Arrow and Parquet: pyarrow, in an environment of its own, reads from the file
just what the query found."""

import json

import pytest
import quipu
from quipu.past.query import Query

from shared_kernel import frames, kernel
from tests.host.sample import RamFlash, begin, give, pulled, sample
from tests.host.test_cli import error
from tests.host.test_move import peers, run  # noqa: F401  (a fixture)

WRITE = (
    "import json, sys; from quipu.cli import main as cli\n"
    "for arguments in json.loads(sys.argv[1]):\n"
    "    assert cli.main(arguments) == 0, arguments\n"
)
READ = (
    "import json, sys, pyarrow, pyarrow.parquet\n"
    "out = []\n"
    "for path in sys.argv[1:]:\n"
    "    table = (pyarrow.parquet.read_table(path) if path.endswith('parquet') else\n"
    "             pyarrow.ipc.open_file(path).read_all())\n"
    "    out.append([table.column_names, table.to_pylist()])\n"
    "def plain(it):\n"
    "    return it.hex() if isinstance(it, bytes) else round(it.timestamp() * 1000)\n"
    "print(json.dumps(out, default=plain))\n"
)
ASKED = (
    ("records", ()),
    ("records", ("--where", "tag = 2 and id > 30", "--select", "id,tag,meta")),
    ("nodes", ()),
    ("edges", ()),
    ("keys", ()),
    ("records", ("--group-by", "tag", "--aggregate", "count,mean(vector[0])")),
    ("keys", ("--where", "seq < 0")),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sample(tmp_path_factory.mktemp("arrow") / "a")[0].path


def test_arrow_and_parquet_hold_the_rows_that_the_query_finds(folder, tmp_path, peers):  # noqa: F811
    files, commands, expected = [], [], []
    with quipu.open(folder) as memory:
        for i, (what, more) in enumerate(ASKED):
            options = dict(zip(more[::2], more[1::2], strict=True))
            names = [
                tuple(options.get(each, "").split(",")) if each in options else ()
                for each in ("--select", "--group-by", "--aggregate")
            ]
            rows = memory.query(
                Query(
                    what,
                    options.get("--where", ""),
                    names[0],
                    (),
                    None,
                    names[1],
                    names[2],
                    dated=True,
                )
            )
            for form in ("arrow", "parquet"):
                files.append(tmp_path / f"{i}.{form}")
                commands.append(
                    ["query", str(folder), what, *more, "--format", form, "-o", str(files[-1])]
                )
                expected.append(
                    [
                        {
                            name: row.get(name + "_hex", row[name])
                            for name in row
                            if not name.endswith("_hex")
                        }
                        for row in rows
                    ]
                )
    run(peers, WRITE, json.dumps(commands))
    found = json.loads(run(peers, READ, *files))
    assert len(found) == len(expected) == 2 * len(ASKED) and sum(map(len, expected)) > 20
    for path, (names, rows), wanted in zip(files, found, expected, strict=True):
        assert rows == wanted, path
        assert set(names) >= set(wanted[0] if wanted else ()), path


def test_without_pyarrow_it_says_what_to_install(folder, tmp_path):
    for form in ("arrow", "parquet"):
        kind, message = error(
            "query", folder, "keys", "--format", form, "-o", tmp_path / "x", code=2
        )
        assert kind == "UsageError" and "pip install 'quipu-mcu[arrow]'" in message
        assert not (tmp_path / "x").exists()


TYPES = (
    "import json, sys, pyarrow.parquet\n"
    "print(json.dumps([[(f.name, str(f.type)) for f in pyarrow.parquet.read_schema(path)]\n"
    "                  for path in sys.argv[1:]]))\n"
)


def test_case_17_types_are_the_same_without_a_row(folder, tmp_path, peers):  # noqa: F811
    files, commands = [], []
    asked = (
        ("records", "id"),
        ("nodes", "id"),
        ("edges", "id"),
        ("keys", "seq"),
    )
    for what, number in asked:
        for where in (f"{number} >= 0", f"{number} < 0"):
            files.append(tmp_path / f"{len(files)}.parquet")
            commands.append(
                ["query", str(folder), what, "--at", "8", "--where", where]
                + ["--format", "parquet", "-o", str(files[-1])]
            )
    files.append(tmp_path / "exported.parquet")
    commands.append(["export", str(folder), "--at", "8", "-o", str(files[-1])])
    run(peers, WRITE, json.dumps(commands))
    *types, exported = json.loads(run(peers, TYPES, *files))
    assert types[::2] == types[1::2]
    dated = [
        ["time", "timestamp[ms, tz=UTC]"],
        ["uncertainty_ms", "int64"],
        ["board", "string"],
        ["log", "string"],
    ]
    assert (
        types[0]
        == exported
        == [
            ["id", "uint32"],
            ["tag", "uint32"],
            ["vector", "list<element: double>"],
            ["meta", "binary"],
            *dated,
        ]
    )
    assert types[6] == [["name", "binary"], ["seq", "uint32"], ["value", "binary"], *dated]


def test_case_17_a_number_beyond_64_bits_is_text_and_said_to_be(tmp_path, peers):  # noqa: F811
    store = begin(RamFlash())
    give(store, kernel.PUT, frames.put("big", b"1e30"))
    give(store, kernel.PUT, frames.put("small", b"2"))
    archive = pulled(store, tmp_path / "a").path
    out = tmp_path / "m.parquet"
    asked = ["query", str(archive), "keys", "--aggregate", "max(value),min(value)"]
    told = run(peers, WRITE, json.dumps([[*asked, "--format", "parquet", "-o", str(out)]]))
    assert "; max(value) as text, for a number in it has no place in 64 bits" in told
    assert json.loads(run(peers, READ, out)) == [
        [["max(value)", "min(value)"], [{"max(value)": str(10**30), "min(value)": 2}]]
    ]
