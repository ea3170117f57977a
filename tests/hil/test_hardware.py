"""What a board must do before anything of it is believed: it says who it is, takes Quipu, computes
as every other machine does, records, survives a cut, is synced while it records, is proved, is read
when its application has crashed, and is restored. Then what the suite has put into its memory is
gone again.

The same on a real board (`make hil PORT=...`) and on emulated ones. The tests of a board go on from
one another, in this order."""

import pytest
import quipu
from quipu.archive.passes import state
from quipu.board.restore import erase, restore, settle_snapshot
from quipu.cli import install as commands_boards
from quipu.dump.image import FlashImage
from quipu.errors import NotFound, Refused
from quipu.install import files as deploy
from quipu.install import flash
from quipu.install.attach import read as read_region

from shared_kernel.search import search
from tests.hil.device import KEY, SAID
from tools.conformance import HERE, SILENCE_S, SMALL, Row, judge, short

RUN = """
import gc, quipu
quipu.memory = None
gc.collect()
from hil_runner import report
report(%r)
"""
CLEAN = """
import os
for each in %r:
    os.remove(each)
os.rmdir("small")
"""


def proved(device, board):
    """Sync and verify; return the path of the archive."""
    archive = device.archive(board)
    board.sync(archive)
    verdict = quipu.verify(archive, board)
    assert verdict.verdict == "match" and verdict.frames > 0, verdict
    return archive


def held(board):
    """Return how many things of each kind are in the board's memory."""
    info = board.info()
    return {each: info[each] for each in ("records", "nodes", "edges", "keys")}


def value(board, key):
    try:
        return int(board.get(key))
    except NotFound:
        return 0


def test_it_says_what_it_is(device):
    with deploy.opened(device.port) as repl:
        found = flash.probe(repl)
    assert found.machine == device.machine and len(device.unique_id) >= 8
    assert device.frozen or flash.facts_for(found, None)["name"]


def test_it_takes_quipu_and_answers(device):
    if device.frozen:  # it is in the firmware, and no file comes before that
        with pytest.raises(Refused, match=device.frozen):
            commands_boards.flash(device.port, None, main=False, dry_run=False)
        with device.connect() as board:
            info = board.info()
        assert (
            info["board"] == f"{device.frozen}/{device.unique_id}"
            and info["configured"]
            and info["damage"] is None
        )
        return
    done = commands_boards.flash(device.port, None, main=False, dry_run=False)
    assert done["info"]["board"].endswith(device.unique_id)
    assert done["info"]["configured"] and done["info"]["damage"] is None
    again = commands_boards.flash(device.port, None, main=False, dry_run=True)["plan"]
    assert again["write"] == again["remove"] == [] and len(again["keep"]) > 40, (
        "what was written is there, whole"
    )


def test_it_computes_what_every_other_machine_does(device):
    with device.connect() as board:
        row = Row(device.machine, "", "", board.info()["provider"].replace(" ", "-"))
    # in the current directory: a board that starts from a card has nothing at /
    paths = [short(path) for path in SMALL]
    with deploy.opened(device.port) as repl:
        repl.make_folder("small")
        repl.write_file("hil_runner.py", (HERE / "runner.py").read_bytes())
        for path, source in zip(paths, SMALL):
            repl.write_file(path, source.read_bytes())
        try:
            judge(row, SMALL, repl.run(RUN % paths, SILENCE_S).decode())
        finally:
            repl.run(CLEAN % ["hil_runner.py", *paths], 30)
    assert row.ok and row.vectors > 500, row.error


def test_it_records_and_is_proved(device):
    with device.connect() as board:
        dim = board.info()["config"]["dim"]
        device.held = held(board)
        before = board.info()["records"]
        vectors = [
            [(i * 7919 + j * 104729) % 200000 - 100000 for j in range(dim)] for i in range(4)
        ]
        ids = [board.insert(vector, 7, b"hil") for vector in vectors]
        assert ids == sorted(set(ids)) and board.info()["records"] == before + 4
        assert [board.record(ident) for ident in ids] == [(7, vector, b"hil") for vector in vectors]
        board.put(SAID, b"recorded")
        archive = proved(device, board)
        assert board.search(vectors[2], 3) == search(state(archive), vectors[2], 3)
        for ident in ids:
            board.delete(ident)
        proved(device, board)


def test_what_it_acknowledged_survives_a_cut(device):
    with device.connect() as board:
        first, boot = value(board, KEY), board.info()["boot"]
    last = device.cut(first)
    assert last > first + 3, "there was something to lose"
    with device.connect() as board:
        found = value(board, KEY)
        assert last <= found <= last + 1, (
            "nothing acknowledged is lost; what was under way is there whole, or not"
        )
        board.put(KEY, b"%d" % (found + 1))
        assert board.info()["boot"] == boot + 1
        proved(device, board)


def test_it_is_synced_while_it_records(device):
    with device.recording(), device.connect() as board:
        seqs = []
        for _ in range(3):
            board.sync(device.archive(board))
            seqs.append(board.info()["seq"])
            assert quipu.verify(device.archive(board)).verdict == "match"
        assert seqs[0] < seqs[1] < seqs[2], "it recorded meanwhile"
    with device.connect() as board:
        proved(device, board)


def test_its_log_is_read_when_its_application_has_crashed(device):
    with device.connect() as board:
        info = board.info()
    kept = device.folder / "region"
    with deploy.opened(device.port) as repl:
        repl.run("import quipu\nquipu.memory = None", 10)
        image = read_region(repl, kept)
        assert (
            isinstance(image, FlashImage)
            and kept.stat().st_size == info["sector"] * info["sectors"]
        )
    kept.unlink()
    rescued = device.folder / "rescued"
    done = commands_boards.attach(device.port, str(rescued))
    assert done["exit_code"] == 0 and done["verdict"]["verdict"] == "match"
    assert done["seq"] == info["seq"] and done["verdict"]["state_root"] == info["root"]


def test_its_state_is_restored_onto_it(device):
    if not device.may_erase:
        pytest.skip("restoring begins with erasing the board's log: ERASE=1 allows that")
    with device.connect() as board:
        settle_snapshot(board)
        archive = proved(device, board)
        before = board.info()
        erase(board, before)
        restored = restore(board, archive)
        info = board.info()
        assert (
            restored.root == before["root"]
            and info["log"] != before["log"]
            and restored.origin == before["log"]
        )
        assert board.get(SAID) == b"recorded"
        board.put(SAID, b"restored")
        board.sync(device.archive(board))
        verdict = quipu.verify(device.archive(board), board, origins=[archive])
        assert verdict.verdict == "match" and verdict.origin["archive"]


def test_it_gives_back_what_the_suite_took(device):
    with device.connect() as board:
        assert (
            board.get(SAID) and value(board, KEY) and held(board)["keys"] == device.held["keys"] + 3
        ), "it held the suite's own"
        device.tidy(board)
        assert held(board) == device.held
        proved(device, board)
