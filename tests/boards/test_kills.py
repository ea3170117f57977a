"""A board whose power is cut at any moment loses nothing that it acknowledged, and has nothing
half: some kills of the many that `make faults` makes (tests/faults/qemu_kills.py)."""

import json

import pytest
import quipu
from quipu.build.emulator import Emulator

from shared_kernel.config import CONFIG_NAMES
from tests.boards.conftest import place
from tests.faults.qemu_kills import CONFIG, Witness, kill

SEED = 20
KILLS = 12


def test_every_acknowledged_change_survives_every_cut(tmp_path):
    # What is compared after each cut, `kill` has compared; here, that there was something to
    # compare.
    witness, rounds, archive, _ = kill(tmp_path, KILLS, SEED)
    first_seqs, snapshots, boots, cuts = zip(*rounds)
    print(
        f"{KILLS} cuts, {len(witness.owed)} changes; what was under way was found whole "
        f"{witness.found} times, not there "
        f"{witness.lost} times; torn tails {cuts[-1]}; recycled up to seq {first_seqs[-1]}; "
        f"snapshots of seq {snapshots[-1]}"
    )
    assert len(rounds) == KILLS + 1 and len(witness.owed) > 20 * KILLS
    assert witness.found + witness.lost > 0
    assert len(set(boots)) == KILLS + 1, "each round began with a boot"
    assert first_seqs[0] == 0 < first_seqs[-1] and len(set(first_seqs)) > 1, "sectors were recycled"
    assert len({seq for pair in snapshots for seq in pair}) > 3
    assert quipu.verify(archive).verdict == "match"


def test_a_lost_change_would_be_noticed(tmp_path):
    # The mutation: the last acknowledged frame is wiped off the flash, as if it had been
    # acknowledged before it was programmed.
    witness = Witness()
    with Emulator("MPS2_AN386", tmp_path / "flash.bin") as emulator:
        place(
            emulator,
            {
                "/quipu.json": json.dumps(
                    {**emulator.facts, "capacities": dict(zip(CONFIG_NAMES, CONFIG))}
                )
            },
        )
        with quipu.connect(emulator.port, timeout=30) as board:
            for i in range(9):
                head = bytes.fromhex(board.info()["head"])
                witness.change(board, "put", b"key", b"value %d" % i)
            frame = board.frames(max(witness.owed), head)
        emulator.kill()
        flash = emulator.flash.read_bytes()
        at = flash.index(frame, emulator.facts["log"]["start"])
        for wiped in (False, True):
            emulator.flash.write_bytes(
                flash[:at] + b"\xff" * len(frame) + flash[at + len(frame) :] if wiped else flash
            )
            emulator.start()
            archive = tmp_path / f"archive {wiped}"
            with quipu.connect(emulator.port, timeout=30) as board:
                board.sync(archive)
                assert quipu.verify(archive, board).verdict == "match", (
                    "the board itself cannot know"
                )
            if wiped:
                with pytest.raises(AssertionError, match="an acknowledged change is gone"):
                    witness.check(archive)
            else:
                witness.check(archive)
            emulator.kill()
