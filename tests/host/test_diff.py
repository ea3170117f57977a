"""Two moments, or two archives, compared in terms of what they hold."""

import pytest
import quipu
from quipu.errors import UsageError
from quipu.past import describe

from shared_kernel import frames as f
from shared_kernel import kernel as k
from tests.host import past
from tests.host.past import Log, replayed


def apply(before, found):
    """Return a state's contents after the differences that were found: the check that they leave
    nothing out."""
    out = {}
    for pool in describe.POOLS:
        name = "name_hex" if pool == "keys" else "id"
        things = {each[name]: dict(each) for each in before[pool]}
        for each in found[pool]["deleted"]:
            assert things.pop(each[name]) == each
        for each in found[pool]["added"]:
            assert each[name] not in things
            things[each[name]] = each
        for each in found[pool]["changed"]:
            for field, (old, new) in each["fields"].items():
                assert things[each[name]][field] == old and old != new
                things[each[name]][field] = new
        out[pool] = things
    return out


@pytest.fixture
def log():
    log = Log()
    first = log.insert(1, 2, 5, b"one")
    log.insert(3, 4)
    a, b = (log.add(k.CREATE_NODE, f.create_node(kind)) for kind in (1, 2))
    edge = log.add(k.CREATE_EDGE, f.create_edge(7, a, b))
    log.put("mode", "slow")
    log.put("gone", "x")
    log.add(k.UPDATE, f.update(first, tag=6))
    log.put("mode", "fast")
    log.delete_key("gone")
    log.add(k.DELETE_EDGE, f.ident(edge))
    log.put("mode", "slow")
    log.add(k.DELETE, f.ident(first))
    log.add(k.DELETE_NODE, f.ident(b))
    return log


def test_any_two_moments_differ_by_just_what_leads_from_one_to_the_other(log, tmp_path):
    memory = quipu.open(log.archive(tmp_path / "a"))
    last = len(log.frames) - 1
    states = [describe.state(replayed(memory.path, seq)) for seq in range(last + 1)]
    for a in range(last + 1):
        for b in range(last + 1):
            found = memory.diff(a, memory, b)
            assert found["same"] == (a == b)
            led = apply(states[a], found)
            for pool in describe.POOLS:
                name = "name_hex" if pool == "keys" else "id"
                assert led[pool] == {each[name]: each for each in states[b][pool]}


def test_a_then_b_then_a_is_a_write_but_no_other_value(log, tmp_path):
    memory = quipu.open(log.archive(tmp_path / "a"))
    changed = memory.diff(6, memory, 12)["keys"]["changed"]
    assert changed == [{"name": "mode", "name_hex": b"mode".hex(), "fields": {"seq": [6, 12]}}]


def test_two_boards_are_compared_by_what_they_hold(tmp_path):
    one, other = Log("board/1"), Log("board/2")
    one.put("mode", "slow")
    other.put("pad", "x")
    other.put("mode", "slow")
    a, b = quipu.open(one.archive(tmp_path / "a")), quipu.open(other.archive(tmp_path / "b"))
    found = a.diff(None, b)
    assert not found["same_log"] and found["keys"]["changed"] == []
    assert [each["name"] for each in found["keys"]["added"]] == ["pad"]


def test_states_of_other_dimensions_do_not_belong_together(tmp_path, monkeypatch):
    a = quipu.open(Log("board/1").archive(tmp_path / "a"))
    monkeypatch.setattr(past, "CONFIG", (3, *past.CONFIG[1:]))
    b = quipu.open(Log("board/2").archive(tmp_path / "b"))
    with pytest.raises(
        UsageError, match="do not belong together: one's vectors have 2 dimensions, the other's 3"
    ):
        a.diff(None, b)
