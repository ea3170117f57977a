"""A log that continues another one: what verify proves of it alone, and with the archive that it
names."""

import contextlib
import shutil

import pytest
from quipu.archive import origin
from quipu.archive import parallel as audit
from quipu.archive.chain import whole_frames
from quipu.archive.files import Archive, Note
from quipu.archive.passes import replay_to
from quipu.archive.verify import verify
from quipu.errors import ArchiveError, Full, NotFound, TooLong, UsageError
from quipu.formats import export
from quipu.past.index import Index
from quipu.past.memory import Memory

from shared_kernel import frames as f
from shared_kernel import kernel as k
from shared_kernel import primitives
from shared_kernel.frames import NO_HEAD
from tests.host.sample import CONFIG, RamFlash, begin, every_type, give, mount, pulled, wander
from tests.host.test_restore_cuts import origin_of, restore

LARGER = (4, 50, 20, 16, 9, 12, 8)


def continued(path, store, arena=None, config=CONFIG, base=None):
    """Restore a store's state onto another flash, let that go on, and return (its store, its
    archive at path)."""
    log, seq, head, root, _ = origin_of(store)
    other = mount(RamFlash())
    restore(other, (log, seq, head, root, base or root), arena or store.kernel.arena.bytes, config)
    archive = Archive.create(path, other.name, "test/2", other.seq, NO_HEAD)
    return other, keep(archive, other)


def keep(archive, store, snapshot=True):
    """Put what is new on a store into its archive, as a sync does."""
    chain = archive.scan().chain
    seq, head = chain.seq, chain.head
    while data := bytes(store.read_frames(seq + 1, head[:8])):
        archive.append(data)
        for frame in whole_frames(data):
            seq, head = seq + 1, primitives.hash(head + frame)
    if snapshot:
        slot, header = store.newest_snapshot()
        data = header.encode()
        while part := bytes(
            store.read_snapshot(slot, header.generation, len(data) - len(header.encode()), 1024)
        ):
            data += part
        archive.add_snapshot(header.seq, data)
    archive.flush()
    archive.write_note(Note(seq, head, store.kernel.root(), 1_700_000_000_123))
    archive.close()
    return archive


@pytest.fixture
def pair(tmp_path):
    """A's archive; B's store and archive: restored from A, and gone on."""
    store = begin(RamFlash())
    every_type(store)
    wander(store, 30)
    pulled(store, tmp_path / "a")
    b, archive = continued(tmp_path / "b", store)
    give(b, k.INSERT, f.insert([9, 8, 7, 6], 5))
    b = mount(b.region.flash)
    every_type(b)
    keep(archive, b)
    return tmp_path / "a", b, archive


def test_a_continuation_matches_by_its_own_snapshot_and_says_that_its_origin_was_not_checked(pair):
    a, store, b = pair
    verdict = verify(b.path)
    assert (verdict.verdict, verdict.first_divergence, verdict.gaps) == ("match", None, [])
    assert (
        verdict.seq == store.seq
        and verdict.state_root == store.kernel.root().hex()
        and verdict.boots == 2
    )
    old = Archive(a)
    assert verdict.origin["log"] == old.log.hex() and verdict.origin["archive"] is None
    assert (
        verdict.origin["seq"] == old.note().seq
        and verdict.origin["root"] == verdict.origin["base"] == old.note().root.hex()
    )
    assert verify(a).origin is None


def test_with_the_archive_that_it_names_the_link_is_replayed_too(pair):
    a, _, b = pair
    verdict = verify(b.path, origins=[a])
    assert verdict.verdict == "match" and verdict.origin["archive"] == str(a)
    assert verify(b.path, origins=[b.path]).origin["archive"] is None


def test_another_past_than_the_one_named_is_a_mismatch(pair, tmp_path):
    a, _, b = pair
    store = begin(RamFlash())  # the same genesis, another life
    for _ in range(Archive(a).note().seq):
        give(store, k.PUT, f.put("x", b"y"))
    pulled(store, tmp_path / "forged")
    verdict = verify(b.path, origins=[tmp_path / "forged"])
    assert (
        verdict.verdict == "mismatch"
        and verdict.first_divergence["what"] == "chain head of the origin"
    )


def test_an_origin_that_ends_too_early_is_a_mismatch(pair, tmp_path):
    a, _, b = pair
    shutil.copytree(a, tmp_path / "short")
    short = Archive(tmp_path / "short")
    for each in short.snapshots():
        short.snapshot_file(each).unlink()
    (short.path / "note.json").unlink()
    last = [at for at, _ in short.split(short.segments[0])][-1]
    short.cut(last)
    verdict = verify(b.path, origins=[short])
    assert verdict.verdict == "mismatch" and verdict.first_divergence["what"] == "origin"


def test_an_origin_that_was_altered_is_named(pair, tmp_path):
    """And not taken for a fault of the log that continues it."""
    a, _, b = pair
    altered = Archive(shutil.copytree(a, tmp_path / "altered"))
    file = altered.file(altered.segments[0])
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    for jobs in (1, 3):
        verdict = verify(b.path, jobs=jobs, origins=[tmp_path / "altered"])
        assert verdict.verdict == "mismatch" and verdict.first_divergence["what"] == "origin"
        assert str(tmp_path / "altered") in verdict.first_divergence["found"]


def test_without_base_and_origin_it_is_a_gap_until_the_next_snapshot_and_with_the_origin_a_match(
    pair,
):
    a, store, b = pair
    store.take_snapshot()
    keep(b, store)
    first = b.segments[0].first
    b.snapshot_file(first).unlink()
    verdict = verify(b.path)
    assert (verdict.verdict, verdict.gaps) == ("gap", [[0, first - 1]])
    assert verdict.state_root == store.kernel.root().hex()
    assert verify(b.path, origins=[a]).verdict == "match"


def test_an_altered_base_is_a_mismatch(pair):
    _, _, b = pair
    path = b.snapshot_file(b.segments[0].first)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    verdict = verify(b.path)
    assert verdict.verdict == "mismatch" and verdict.first_divergence["what"] == "snapshot"


def test_parts_in_several_processes_give_the_same_verdict(pair):
    a, store, b = pair
    for _ in range(3):
        wander(store, 20)
        store.take_snapshot()
        keep(b, store)
    assert len(audit.plan(b, 3)) == 2
    assert (
        verify(b.path, jobs=3, origins=[a]).as_dict()
        == verify(b.path, jobs=1, origins=[a]).as_dict()
    )


# -- other capacities ------------------------------------------------------------------------------


def test_replay_under_other_capacities_keeps_every_id_and_proves_itself(tmp_path):
    store = begin(RamFlash())
    every_type(store)
    record = give(store, k.INSERT, f.insert([4, 4, 4, 4], 3, b"keep"))
    pulled(store, tmp_path / "a")
    kernel = origin.under(Archive(tmp_path / "a"), LARGER, store.seq)
    assert kernel.record(record) == store.kernel.record(record) and kernel.config() == LARGER
    assert kernel.key(b"name") == store.kernel.key(b"name") and kernel.root() != store.kernel.root()
    b, archive = continued(tmp_path / "b", store, kernel.arena.bytes, LARGER, kernel.root())
    give(b, k.PUT, f.put("on", b"b"))
    keep(archive, b)
    verdict = verify(archive, origins=[tmp_path / "a"])
    assert verdict.verdict == "match" and verdict.origin["archive"] == str(tmp_path / "a")
    # and once more, through both logs
    third = origin.under(archive, CONFIG, b.seq, [tmp_path / "a"])
    assert third.record(record) == store.kernel.record(record) and third.config() == CONFIG
    with pytest.raises(ArchiveError, match="--origin"):
        origin.under(archive, CONFIG, b.seq)


def test_the_same_capacities_give_the_same_bytes(tmp_path):
    store = begin(RamFlash())
    every_type(store)
    wander(store, 60)
    pulled(store, tmp_path / "a")
    for seq in (5, store.seq):
        assert (
            origin.under(Archive(tmp_path / "a"), CONFIG, seq).root()
            == replay_to(tmp_path / "a", seq).kernel.root()
        )


def test_capacities_too_small_are_refused_by_seq_and_number(tmp_path):
    store = begin(RamFlash())
    every_type(store)
    for i in range(4):
        give(store, k.INSERT, f.insert([i, 4, 4, 4], 3, b"eightful"))
    pulled(store, tmp_path / "a")
    archive = Archive(tmp_path / "a")
    with pytest.raises(Full, match=r"seq \d+ of .* does not fit these capacities"):
        origin.under(archive, (4, 3, 16, 16, 8, 8, 8), store.seq)
    with pytest.raises(TooLong, match="7"):
        origin.under(archive, (4, 32, 16, 16, 8, 7, 8), store.seq)


# -- the past --------------------------------------------------------------------------------------


def test_the_past_of_a_continuation_is_answered_from_its_beginning_on(pair):
    a, store, b = pair
    first = b.segments[0].first
    with contextlib.closing(Index(b)) as index:
        assert index.damage is None
        for seq in (first, first + 1, store.seq):
            assert index.replay(seq).kernel.root() == replay_to(b, seq).kernel.root()
        assert index.replay(first).kernel.root() == Archive(a).note().root
        with pytest.raises(UsageError):
            index.replay(first - 1)


def test_without_its_base_the_past_begins_with_the_next_snapshot(pair):
    _, store, b = pair
    covered = store.take_snapshot().seq
    give(store, k.PUT, f.put("after", b"1"))
    keep(b, store)
    b.snapshot_file(b.segments[0].first).unlink()
    with contextlib.closing(Index(b)) as index:
        assert index.damage is None
        assert index.replay(store.seq).kernel.root() == store.kernel.root()
        with pytest.raises(UsageError, match=f"known again from seq {covered}"):
            index.replay(b.segments[0].first)


def test_what_was_made_before_the_continuation_is_told_to_be_elsewhere(pair, tmp_path):
    _, store, b = pair
    with Memory(b.path) as memory:
        with pytest.raises(NotFound, match="seq 3 is before this archive's first frame"):
            memory.explain("3", store.seq)
        with pytest.raises(UsageError, match="goes on from another log"):
            list(export.commands(memory))
        assert list(export.state_commands(memory.state(store.seq)))
