"""What Quipu takes of a board: flash and heap, on each emulated architecture, frozen into the image
and copied as files. Prints the table of docs/boards.md and writes build/reports/footprint.json.

    python -m bench.footprint

Heap: what is in use after start-up with a blank log, as `quipu info` says it (after a collection),
    less what plain MicroPython uses
at its prompt. It grows with the board's capacities: the state itself is in it, and is in a column
of its own."""

import json
import subprocess

import quipu
from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.install import files as deploy
from quipu.install.flash import flash as flash_board

from shared_kernel.config import CONFIG_NAMES
from shared_kernel.kernel import Kernel

REPORT = images.checkout_root() / "build" / "reports" / "footprint.json"
BLOCK = 4096  # of littlefs: a file of more than its inline size takes whole ones
ASK = "import gc\ngc.collect()\nprint(gc.mem_alloc())"


def loaded(elf):
    """Bytes of an ELF file that stand in the chip's flash: code, constants, and the start values of
    variables."""
    row = (
        subprocess.run(["arm-none-eabi-size", elf], check=True, capture_output=True, text=True)
        .stdout.splitlines()[1]
        .split()
    )
    return int(row[0]) + int(row[1])


def plain_heap(emulator):
    with deploy.opened(emulator.port) as repl:
        return int(repl.run(ASK, 30))


def measure(name):
    """Return the row of one board."""
    facts = images.board_facts(name)
    files = deploy.files(facts, images.mpy_cross())
    with Emulator(name, frozen=False) as emulator:
        plain = plain_heap(emulator)
        flash_board(emulator.port)
        with quipu.connect(emulator.port, timeout=30) as board:
            copied = board.info()
    with Emulator(name) as emulator, quipu.connect(emulator.port, timeout=30) as board:
        frozen = board.info()
    return {
        "board": name,
        "cpu": images.emulation(name)["cpu"],
        "arch": facts["mpy_arch"],
        "state": Kernel([facts["capacities"][each] for each in CONFIG_NAMES]).arena.size,
        "frozen_flash": loaded(images.image(name)) - loaded(images.image(name, frozen=False)),
        "frozen_heap": frozen["heap_used"] - plain,
        "frozen_provider": frozen["provider"],
        "copied_bytes": sum(map(len, files.values())),
        "copied_blocks": sum(-(-len(each) // BLOCK) for each in files.values()),
        "copied_heap": copied["heap_used"] - plain,
        "copied_provider": copied["provider"],
    }


def table(rows):
    """The rows, as docs/boards.md has them."""
    lines = [
        "| core | .mpy | frozen: flash | frozen: heap | copied: files | in blocks of 4 KiB | "
        "copied: heap | of it the state |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        numbers = [
            row[key]
            for key in (
                "frozen_flash",
                "frozen_heap",
                "copied_bytes",
                "copied_blocks",
                "copied_heap",
                "state",
            )
        ]
        lines.append(
            f"| {row['cpu']} | {row['arch']} | "
            + " | ".join(f"{each:,}" for each in numbers)
            + " |"
        )
    return "\n".join(lines)


def main():
    rows = [measure(name) for name in images.boards()]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    for row in rows:
        print(
            f"{row['board']}: providers {row['frozen_provider']} frozen, {row['copied_provider']} "
            f"copied"
        )


if __name__ == "__main__":
    main()
