"""The log that parallel.py measures has what it says, and both ways of verifying it are really
taken."""

import quipu
from quipu.archive import parallel as audit

from bench import parallel

ROWS = [[(7919 * i + 104729 * n) % 131072 - 65536 for i in range(parallel.DIM)] for n in range(50)]


def test_two_processes_share_the_log_and_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "FRAMES", 4000)
    monkeypatch.setattr(parallel, "SNAPSHOT", 500)
    orders = []
    child = audit.child
    monkeypatch.setattr(audit, "child", lambda order: orders.append(order) or child(order))
    found = parallel.run(tmp_path, ROWS)
    assert found["frames"] > 4000 and len(orders) == parallel.TURNS
    assert (
        min(
            found[each]
            for each in (
                "one process",
                "two processes",
                "ratio",
                "ratio of work",
                "ratio of two at once",
            )
        )
        > 0
    )
    verdict = quipu.verify(tmp_path / "parallel", jobs=1)
    assert verdict.verdict == "match" and verdict.snapshots == 8 and verdict.checkpoints > 50
