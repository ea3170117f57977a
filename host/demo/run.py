"""The demo: an emulated Cortex-M4 records real motions, loses power in the middle of a write, goes
on; the laptop pulls log and snapshot over the serial port, replays them, and says whether they
prove the board's state. Then the board classifies recordings that it has never seen.

Every figure that it prints comes from what just happened. Exit code: the verdict's.
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import quipu
from motions import DIM, Series, features, read
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.cli import render
from quipu.errors import PortError
from quipu.install.flash import flash
from rich.console import Console

from shared_kernel.search import search

BOARD = "MPS2_AN386"
# Kinds of nodes and of edges.
ACTIVITY, RECORDING = 1, 2
SHOWS = 1
CUT_AFTER = 20  # series
CUT_S = 0.5  # of heartbeats

console = Console(highlight=False)


@contextmanager
def step(text: str) -> Iterator[Callable[[str], None]]:
    """Print what is being done, then how long it took and what `done` was told."""
    said: list[str] = []
    console.print(f"[bold]{text}[/bold] ...", end=" " if console.is_terminal else "\n")
    start = time.monotonic()
    yield said.append
    console.print(f"[dim]{time.monotonic() - start:.1f} s[/dim]")
    for line in said:
        console.print(f"  {line}")


def port(emulator: Emulator) -> str:
    assert emulator.port, "the emulated board is off"
    return emulator.port


def record(
    board: quipu.Board, series: list[Series], activities: list[str], nodes: list[int], first: int
) -> None:
    """Record series: a vector tagged with its activity, a node for it, an edge to the activity's
    node, and a counter."""
    for i, each in enumerate(series, first):
        tag = activities.index(each.activity)
        vector = board.insert(features(each), tag, f"train/{i}".encode())
        board.create_edge(SHOWS, board.create_node(RECORDING, vector), nodes[tag])
        board.put("recorded", str(i + 1).encode())


def beat_until_power_cut(board: quipu.Board, emulator: Emulator) -> int:
    """Write one heartbeat after another while the emulator is killed at a moment of its own; return
    the last acknowledged."""
    cut = threading.Timer(CUT_S, emulator.kill)
    cut.start()
    beats = 0
    try:
        while True:
            board.put("heartbeat", str(beats + 1).encode())
            beats += 1
    except PortError:
        return beats
    finally:
        cut.join()


def main() -> int:
    folder = images.checkout_root() / "build" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    archive = folder / "archive"
    activities, training = read("TRAIN")
    _, held_back = read("TEST")

    with step("MicroPython for an emulated Cortex-M4"):
        images.image(BOARD, frozen=False)
        images.mpy_cross()
    with Emulator(BOARD, flash=folder / "flash.bin", frozen=False) as emulator:
        with step("Copying the firmware to the board") as done:
            written = flash(port(emulator)).write
            done(f"{len(written)} files on {emulator.port}")

        with step(f"Recording {CUT_AFTER} series, then cutting the power while it writes") as done:
            with quipu.connect(port(emulator)) as board:
                nodes = [board.create_node(ACTIVITY) for _ in activities]
                for name, node in zip(activities, nodes, strict=True):
                    board.put(f"activity/{name}", str(node).encode())
                record(board, training[:CUT_AFTER], activities, nodes, 0)
                beats = beat_until_power_cut(board, emulator)
            done(f"{beats} heartbeats were acknowledged before the board died")

        with step("Power on again, and recording the rest") as done:
            emulator.start()
            with quipu.connect(port(emulator)) as board:
                found = int(board.get("heartbeat"))
                kept = beats <= found <= beats + 1  # the one in flight may be there, whole
                done(
                    f"recovered to heartbeat {found}: "
                    + ("nothing acknowledged is lost" if kept else "LOST")
                )
                record(board, training[CUT_AFTER:], activities, nodes, CUT_AFTER)
                covered, info = board.snapshot(), board.info()
                done(
                    f"{info['records']} records, {info['nodes']} nodes, {info['edges']} edges; "
                    f"snapshot of seq {covered}"
                )

        with quipu.connect(port(emulator)) as board:
            with render.progress("Pulling log and snapshot") as progress:
                pulled = board.sync(archive, progress)
            console.print(
                f"[bold]Pulled[/bold] {pulled.log_bytes} bytes of log, {pulled.wire_bytes} on the "
                f"wire"
            )
            verdict = quipu.verify(archive, board)
            render.show(render.verdict(verdict.as_dict()))

            with step(f"Classifying {len(held_back)} held-back series on the board") as done:
                replayed = quipu.state(archive)
                right = 0
                for each in held_back:
                    query = features(each)
                    nearest = board.search(query)
                    if nearest != search(replayed, query, 1):
                        console.print(
                            f"[bold]DIFFERENT[/bold]: the board says {nearest}, the replayed "
                            f"state {search(replayed, query, 1)}"
                        )
                        return 1
                    tag, vector, _ = board.record(nearest[0][1])
                    assert len(vector) == DIM
                    right += activities[tag] == each.activity
                done(
                    f"every answer equals the laptop's on its replayed state; accuracy {right} of "
                    f"{len(held_back)}"
                )
    return verdict.exit_code if kept else 1


if __name__ == "__main__":
    sys.exit(main())
