"""Why a thing is what it is: all the frames that changed it, and no other."""

import pytest
import quipu
from quipu.errors import NotFound, UsageError

from shared_kernel import frames as f
from shared_kernel import kernel as k
from tests.host.past import Log


@pytest.fixture
def memory(tmp_path):
    log = Log()
    log.insert(1, 2, 5, b"one")  # 1
    log.insert(3, 4)  # 2
    log.add(k.CREATE_NODE, f.create_node(1, 1))  # 3
    log.add(k.CREATE_NODE, f.create_node(2))  # 4
    log.add(k.CREATE_EDGE, f.create_edge(7, 3, 4))  # 5
    log.add(k.UPDATE, f.update(1, tag=6))  # 6
    log.put("mode", "slow")  # 7
    log.delete_key("mode")  # 8
    log.put("mode", "fast")  # 9
    log.put("mode", "fast")  # 10
    log.add(k.DELETE_NODE, f.ident(3))  # 11
    log.add(k.DELETE, f.ident(1))  # 12
    log.put("4", "a key whose name")  # 13
    return quipu.open(log.archive(tmp_path / "a"))


@pytest.mark.parametrize(
    "thing, at, seqs, there",
    (
        ("1", 6, [1, 3, 6], True),
        ("record:1", None, [1, 3, 6, 11, 12], False),
        ("2", None, [2], True),
        ("node:3", 5, [3, 5], True),
        ("3", None, [3, 5, 11], False),
        ("4", None, [4, 5, 11], True),
        ("edge:5", None, [5, 11], False),
        ("edge:5", 10, [5], True),
        ("mode", None, [9, 10], True),
        ("mode", 7, [7], True),
        ("mode", 8, [7, 8], False),
        ("key:4", None, [13], True),
    ),
)
def test_the_frames_that_made_it(memory, thing, at, seqs, there):
    told = memory.explain(thing, at)
    assert [each["seq"] for each in told["frames"]] == seqs
    assert (told["is"] is not None) == there


@pytest.mark.parametrize(
    "thing, at",
    (("record:3", None), ("99", None), ("mode", 6), ("key:none", None), ("2", 1), ("7", None)),
)
def test_what_never_was(memory, thing, at):
    with pytest.raises(NotFound):
        memory.explain(thing, at)


def test_a_record_is_named_by_a_number(memory):
    with pytest.raises(UsageError, match="record:17"):
        memory.explain("record:x")
