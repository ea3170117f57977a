"""The versions of a key, and its value at any moment, against a full replay: KoruDelta's boundary
cases among them."""

import random

import pytest
import quipu
from quipu.errors import ArchiveDamage, NotFound

from shared_kernel.frames import length_at
from tests.host.past import Log, everything, replayed


def opened(log, tmp_path):
    return quipu.open(log.archive(tmp_path / "a"))


def values(memory, name, **more):
    return [(each.seq, each.value) for each in memory.history(name, **more).versions]


def test_every_version_at_every_moment_is_the_one_of_the_replay(tmp_path):
    rng, log = random.Random(3), Log()
    names = ["a", "b", "ab", "long name of a key 24 by"]
    for _ in range(300):
        name = rng.choice(names)
        if rng.random() < 0.15 and log.kernel.find_key(name.encode(), 0, len(name)):
            log.delete_key(name)
        else:
            log.put(name, rng.choice(["1", "2", "", "0123456789abcdef"]))
    memory = opened(log, tmp_path)
    expected = {name: [] for name in names}  # newest first, as seen by one replay
    before = {}
    for seq in range(1, len(log.frames)):
        now = everything(replayed(memory.path, seq)) if seq % 40 == 0 else None
        kernel = memory.state(seq)
        held = everything(kernel)
        assert now is None or now == held
        for name in names:
            if held.get(name.encode()) != before.get(name.encode()):
                there = held.get(name.encode())
                expected[name].insert(0, (seq, there[1] if there else None))
        before = held
        if seq % 13 == 0:
            for name in names:
                if expected[name]:
                    assert values(memory, name, at=seq) == expected[name]
                    assert values(memory, name, at=seq, limit=3) == expected[name][:3]
    assert sum(map(len, expected.values())) == 300


def test_a_then_b_then_a(tmp_path):
    log = Log()
    seqs = [log.put("k", value) for value in ("A", "B", "A")]
    memory = opened(log, tmp_path)
    assert values(memory, "k") == [(seqs[2], b"A"), (seqs[1], b"B"), (seqs[0], b"A")]
    assert [memory.get("k", at=seq) for seq in seqs] == [b"A", b"B", b"A"]


def test_rapid_writes_in_one_millisecond_keep_their_order(tmp_path):
    log = Log()
    seqs = [log.put("k", str(i), tick=5) for i in range(50)]
    memory = opened(log, tmp_path)
    assert values(memory, "k") == [(seq, b"%d" % i) for i, seq in reversed(list(enumerate(seqs)))]
    assert [memory.get_at("k", seq) for seq in seqs] == [b"%d" % i for i in range(50)]


def test_the_exact_moment_of_a_write(tmp_path):
    log = Log()
    log.put("other", "x")
    seq = log.put("k", "v")
    memory = opened(log, tmp_path)
    with pytest.raises(NotFound):
        memory.get("k", at=seq - 1)
    assert memory.get("k", at=seq) == b"v"


def test_a_value_written_again_is_told_though_its_frame_leaves_it_out(tmp_path):
    log = Log()
    log.put("k", "x")
    seqs = [log.put("k", "x") for _ in range(100)]
    memory = opened(log, tmp_path)
    assert values(memory, "k", limit=2) == [(seqs[-1], b"x"), (seqs[-2], b"x")]


def test_a_deleted_key_comes_back_with_its_older_life(tmp_path):
    log = Log()
    a, gone, b = log.put("k", "1"), log.delete_key("k"), log.put("k", "2")
    memory = opened(log, tmp_path)
    assert values(memory, "k") == [(b, b"2"), (gone, None), (a, b"1")]
    assert [each.deleted for each in memory.history("k").versions] == [False, True, False]


def test_a_key_that_never_was(tmp_path):
    log = Log()
    log.put("k", "1")
    with pytest.raises(NotFound, match="no key has had the name b'other'"):
        opened(log, tmp_path).history("other")
    with pytest.raises(NotFound, match="until then"):
        opened_again = quipu.open(tmp_path / "a")
        opened_again.history("k", at=0)


def test_what_was_answered_is_answered_again_by_another_process(tmp_path):
    log = Log()
    for i in range(20):
        log.put("k", str(i))
    with opened(log, tmp_path) as memory:
        first = values(memory, "k")
    with quipu.open(tmp_path / "a") as memory:
        assert values(memory, "k") == first


def test_an_altered_version_is_refused(tmp_path):
    log = Log()
    seqs = [log.put("k", str(i)) for i in range(20)]
    with opened(log, tmp_path) as memory:
        assert len(values(memory, "k")) == 20
    file = tmp_path / "a" / "frames" / "0000000000.log"
    data = bytearray(file.read_bytes())
    at = 0
    for _ in range(seqs[7]):
        at += length_at(data, at)
    data[at + length_at(data, at) - 5] ^= 1
    file.write_bytes(data)
    with quipu.open(tmp_path / "a") as memory:
        with pytest.raises(ArchiveDamage) as e:
            memory.history("k")
        assert e.value.seq == seqs[7]
        assert len(values(memory, "k", limit=5)) == 5  # newer ones are still proved
