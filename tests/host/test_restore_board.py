"""`restore` and `migrate` over a real link to the real firmware, which runs here; a kill at any
moment, and the same call again."""

import shutil

import pytest
import quipu
from quipu.archive.files import Archive
from quipu.archive.verify import verify
from quipu.board.migrate import migrate
from quipu.board.restore import restore
from quipu.errors import ArchiveError, FormatError, Full, Invalid, Mismatch, OtherLog, PortError

from shared_kernel import requests
from tests.host.test_restore_cuts import SMALL
from tests.host.unix_board import UnixBoard, Wire


def fill(board, count=6):
    for i in range(count):
        record = board.insert([i << 16, 5], i, b"m")
        node = board.create_node(1, record)
        board.put("last", b"%d" % node)
    return record


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(archive of board A, id of a record in it, flash of A)"""
    folder = tmp_path_factory.mktemp("recorded")
    with UnixBoard(folder / "a.bin") as unix, quipu.connect(unix.port) as board:
        board.configure(SMALL)
        record = fill(board, 4)
        board.snapshot()
        record = fill(board, 1)
        board.sync(folder / "archive")
    return folder / "archive", record, folder / "a.bin"


@pytest.fixture
def b(tmp_path):
    with UnixBoard(tmp_path / "b.bin") as unix:
        yield unix


def test_a_restored_board_proves_the_root_goes_on_and_both_logs_verify(recorded, b, tmp_path):
    archive, record, _ = recorded
    note = Archive(archive).note()
    with quipu.connect(b.port) as board:
        progress = []
        done = restore(board, archive, progress=lambda at, total: progress.append((at, total)))
        assert (done.root, done.seq, done.already) == (note.root.hex(), note.seq, False)
        assert progress[-1] == (done.bytes, done.bytes)
        info = board.info()
        assert info["root"] == note.root.hex() and info["first_seq"] == info["seq"] == note.seq + 1
        assert restore(board, archive).already
        assert board.record(record)[0] == 0
        assert board.insert([1, 2]) > note.seq + 1
        board.sync(tmp_path / "b")
        verdict = verify(tmp_path / "b", board, origins=[archive])
    assert verdict.verdict == "match" and verdict.origin["archive"] == str(archive)
    assert verify(archive).verdict == "match"


def test_an_earlier_seq_can_be_restored(recorded, b):
    archive, *_ = recorded
    at = 9
    with quipu.connect(b.port) as board:
        done = restore(board, archive, at)
        assert (
            done.root == quipu.state(archive, at).root().hex() == board.info()["root"]
            and done.seq == at
        )


def test_a_board_with_commands_in_its_log_is_refused_and_keeps_them_one_without_is_taken(
    recorded, b
):
    archive, *_ = recorded
    with quipu.connect(b.port) as board:
        board.configure((4, 9, 6, 6, 4, 3, 5))
        board.put("mine", b"1")
        before = b.flash.read_bytes()
        with pytest.raises(
            Invalid, match=r"holds log [0-9a-f]{16}\.\.\., seq 0 to \d+: .*quipu flash --erase-log"
        ):
            restore(board, archive)
        assert b.flash.read_bytes() == before and board.get("mine") == b"1"
    b.kill()
    b.flash.unlink()
    with b, quipu.connect(b.port) as board:
        board.configure((4, 9, 6, 6, 4, 3, 5))
        board.clock()
        assert restore(board, archive).root == Archive(archive).note().root.hex()


def test_an_altered_archive_is_not_restored(recorded, b, tmp_path):
    archive, *_ = recorded
    shutil.copytree(archive, tmp_path / "altered")
    log = tmp_path / "altered" / "frames" / "0000000000.log"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    with quipu.connect(b.port) as board:
        with pytest.raises(Mismatch):
            restore(board, tmp_path / "altered")
        assert not board.info()["configured"]
    assert set(b.flash.read_bytes()) == {0xFF}


def test_a_state_altered_on_the_way_is_refused_by_the_board(recorded, b, monkeypatch):
    archive, *_ = recorded
    with quipu.connect(b.port) as board:
        plain = board.link.request

        def altered(op, payload=b"", **how):
            if op == requests.RESTORE_CHUNK and len(payload) > 4:
                payload = payload[:-1] + bytes([payload[-1] ^ 1])
            return plain(op, payload, **how)

        monkeypatch.setattr(board.link, "request", altered)
        with pytest.raises(FormatError, match="has root"):
            restore(board, archive)
        assert not board.info()["configured"]
        monkeypatch.undo()
        restore(board, archive)


def test_a_firmware_of_other_rules_is_refused_by_number(recorded, b, monkeypatch):
    with quipu.connect(b.port) as board:
        plain = board.info
        monkeypatch.setattr(board, "info", lambda: {**plain(), "rules": 2})
        with pytest.raises(FormatError, match="follows rules 2, this version rules 1"):
            restore(board, recorded[0])
    assert set(b.flash.read_bytes()) == {0xFF}


class Broken(Exception):
    """The cable was pulled."""


def broken_after(board, count):
    """Have the link raise after that many requests, as a pulled cable would; return how many were
    made in a list."""
    plain, made = board.link.request, []

    def request(*args, **how):
        made.append(args[0])
        if len(made) > count:
            raise Broken
        return plain(*args, **how)

    board.link.request = request
    return made


@pytest.mark.parametrize("when", range(2, 8))
def test_a_board_killed_or_a_cable_pulled_after_any_request_of_a_restore(recorded, b, when):
    """Requests: INFO, (blank: no genesis to read), BEGIN, two chunks, END, INFO, FRAMES."""
    archive, record, _ = recorded
    board = quipu.connect(b.port)
    broken_after(board, when - 1)
    with pytest.raises(Broken):
        restore(board, archive)
    board.close()
    if when % 2:
        b.kill()
        b.__enter__()
    with quipu.connect(b.port) as board:
        assert board.info()["damage"] is None
        done = restore(board, archive)
        assert board.info()["root"] == done.root == Archive(archive).note().root.hex()
        assert board.record(record)
        board.put("on", b"1")


def test_an_answer_to_the_last_request_that_is_lost(recorded, b, monkeypatch):
    with quipu.connect(b.port) as board:
        plain = board.link.request

        def request(op, *args, **how):
            answer = plain(op, *args, **how)
            if op == requests.END_RESTORE:
                raise quipu.errors.LostAnswer("lost")
            return answer

        monkeypatch.setattr(board.link, "request", request)
        assert restore(board, recorded[0]).root == Archive(recorded[0]).note().root.hex()


# -- migrate ---------------------------------------------------------------------------------------


@pytest.fixture
def a(recorded, tmp_path):
    shutil.copy(recorded[2], tmp_path / "a.bin")
    shutil.copytree(recorded[0], tmp_path / "archive")
    with UnixBoard(tmp_path / "a.bin") as unix:
        yield unix


def test_migrate_keeps_every_id_and_the_new_log_names_the_old_one(a, recorded, tmp_path):
    with quipu.connect(a.port) as board:
        before, old = board.record(recorded[1]), board.info()
        done = migrate(board, tmp_path / "archive", {"records": 20, "value_bytes": 9})
        info = board.info()
        assert (
            info["config"] == {**old["config"], "records": 20, "value_bytes": 9}
            and info["log"] != old["log"]
        )
        assert (
            done.origin == old["log"]
            and info["first_seq"] == done.seq + 1
            and done.root == info["root"]
        )
        assert board.record(recorded[1]) == before
        board.put("longer", b"123456789")
        board.sync(tmp_path / "new")
        verdict = verify(tmp_path / "new", board, origins=[tmp_path / "archive"])
        assert verdict.verdict == "match" and verdict.origin["archive"]
        assert migrate(board, tmp_path / "archive", {"records": 20, "value_bytes": 9}).already
        with pytest.raises(ArchiveError, match="--origin"):
            migrate(board, tmp_path / "new", {"records": 21})
        again = migrate(board, tmp_path / "new", {"records": 21}, origins=[tmp_path / "archive"])
        assert again.origin == info["log"] and board.record(recorded[1]) == before


@pytest.mark.parametrize(
    "changes, error, word",
    [
        ({"records": 3}, Full, "does not fit these capacities"),
        ({"dim": 3}, Invalid, "dimension stays 2"),
        ({}, Invalid, "already"),
        ({"records": 1 << 20}, Invalid, "needs .* sectors"),
        ({"records": -1}, Invalid, "records must be"),
    ],
)
def test_what_cannot_be_done_is_refused_with_numbers_and_the_log_stays(
    a, recorded, tmp_path, changes, error, word
):
    with quipu.connect(a.port) as board:
        log, root = board.info()["log"], board.info()["root"]
        with pytest.raises(error, match=word):
            migrate(board, tmp_path / "archive", changes)
        assert (board.info()["log"], board.info()["root"]) == (log, root)


def test_another_boards_archive_is_refused(a, recorded, b, tmp_path):
    with quipu.connect(b.port) as board:
        board.configure(SMALL)
        board.put("mine", b"1")
        with pytest.raises(OtherLog, match="quipu restore"):
            migrate(board, tmp_path / "archive", {"records": 20})
        assert board.get("mine") == b"1"


def test_a_cut_after_any_request_of_a_migration(a, recorded, tmp_path):
    """The board then has the old log, or nothing while the archive has everything, or the new one;
    the same call completes it."""
    whole = shutil.copytree(tmp_path / "archive", tmp_path / "kept")
    a.kill()
    image = a.flash.read_bytes()
    states = set()
    count = 1
    while True:
        shutil.rmtree(tmp_path / "archive")
        shutil.copytree(whole, tmp_path / "archive")
        a.flash.write_bytes(image)
        with a:
            board = quipu.connect(a.port)
            made = broken_after(board, count)
            try:
                migrate(board, tmp_path / "archive", {"records": 20})
                assert len(made) <= count
                break
            except Broken:
                pass
            finally:
                board.close()
        last = made[-2]
        if (
            last
            not in (
                requests.ERASE_LOG,
                requests.BEGIN_RESTORE,
                requests.RESTORE_CHUNK,
                requests.END_RESTORE,
            )
            and count % 5
        ):
            count += 1
            continue  # the log is as it was
        with a, quipu.connect(a.port) as board:
            info = board.info()
            assert info["damage"] is None
            states.add("blank" if not info["configured"] else "new" if info["first_seq"] else "old")
            if info["configured"] and not info["first_seq"]:
                assert board.record(recorded[1])
            assert (
                migrate(board, tmp_path / "archive", {"records": 20}).root == board.info()["root"]
            )
            assert board.record(recorded[1]) and board.info()["config"]["records"] == 20
        count += 1
    assert states == {"old", "blank", "new"}


def test_a_board_that_goes_on_while_it_is_archived_keeps_its_log(a, tmp_path, monkeypatch):
    with quipu.connect(a.port) as board:
        monkeypatch.setattr("quipu.board.migrate.under", lambda *args: board.put("more", b"1"))
        with pytest.raises(Invalid, match="stop its application first"):
            migrate(board, tmp_path / "archive", {"records": 20})
        assert board.get("more") == b"1"


def test_a_wire_that_dies_is_port_trouble(recorded, b):
    with quipu.connect(b.port) as board:
        board.link.timeout = 0.3
        Wire.of(board, down=lambda data: b"")
        with pytest.raises(PortError):
            restore(board, recorded[0])
