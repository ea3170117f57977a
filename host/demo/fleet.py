"""The fleet demo: an emulated Cortex-M4 records real motions; the laptop pulls its log and proves
it; an emulated Cortex-M7 takes over its state, proves the same root before it takes a command, and
goes on recording as a log of its own that names the first. Both logs are verified in the end, the
second one back to the first board's genesis.

Every figure that it prints comes from what just happened. Exit code: the worse of the two
verdicts'."""

import shutil
import sys

import quipu
from motions import features, read
from quipu.board.restore import restore
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.cli import render
from run import ACTIVITY, port, record, step

OLD, NEW = "MPS2_AN386", "MPS2_AN500"
HANDED_OVER = 12  # series that the first board records
IN_ALL = 20


def main() -> int:
    folder = images.checkout_root() / "build" / "demo-fleet"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    activities, training = read("TRAIN")
    with step("MicroPython for an emulated Cortex-M4 and an emulated Cortex-M7"):
        images.image(OLD)
        images.image(NEW)

    with Emulator(OLD, flash=folder / "a.bin") as emulator:
        with quipu.connect(port(emulator)) as board:
            with step(f"Board A records {HANDED_OVER} series") as done:
                nodes = [board.create_node(ACTIVITY) for _ in activities]
                record(board, training[:HANDED_OVER], activities, nodes, 0)
                last = board.search(features(training[0]))
                done(f"{board.info()['board']}: {board.info()['records']} records")
            with step("Pulling and proving its log"):
                board.sync(folder / "a")
                first = quipu.verify(folder / "a", board)
    if first.exit_code:
        render.show(render.verdict(first.as_dict()))
        return first.exit_code

    with Emulator(NEW, flash=folder / "b.bin") as emulator, quipu.connect(port(emulator)) as board:
        with step("Board A is gone: its state goes onto board B") as done:
            restored = restore(board, folder / "a")
            same = restored.root == first.state_root and board.search(features(training[0])) == last
            done(
                f"{restored.board}: {restored.bytes} bytes of state, root {restored.root[:16]}..., "
                + ("the root of board A, and its answers" if same else "NOT what board A had")
            )
        with step(f"Board B records {IN_ALL - HANDED_OVER} more, over a power cut") as done:
            record(board, training[HANDED_OVER:IN_ALL], activities, nodes, HANDED_OVER)
            emulator.kill()
            emulator.start()
        with quipu.connect(port(emulator)) as board:
            info = board.info()
            done(
                f"{info['records']} records, seq {info['first_seq']} to {info['seq']}, boot "
                f"{info['boot']}"
            )
            board.sync(folder / "b")
            second = quipu.verify(folder / "b", board, origins=[folder / "a"])
    for verdict in (first, second):
        render.show(render.verdict(verdict.as_dict()))
    followed = (
        second.origin is not None
        and second.origin["archive"] is not None
        and info["records"] == IN_ALL
    )
    return max(first.exit_code, second.exit_code) if same and followed else 1


if __name__ == "__main__":
    sys.exit(main())
