"""An index that rots is refused by name, also after it was opened (case 09): no traceback, and no
answer but the right one."""

import random

import pytest
import quipu
from quipu.cli import main as cli
from quipu.past.index import Index

from tests.host.past import Log
from tests.quick import long

PAGE = 4096


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
