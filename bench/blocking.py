"""The longest that one insert keeps a board: instructions, sector erases and bytes programmed in
one call, at their worst.

    .venv/bin/python -m bench.blocking      prints the table, writes build/reports/blocking.json

Counted on the emulated Cortex-M4 over a turn and more of the ring, with snapshots, checkpoints and
acknowledgements at their defaults; the emulation of the flash is taken off. What the flash itself
then takes follows from its data sheet (PARTS). With the log in files, as on stock firmware,
littlefs's own instructions, erases and bytes are in it."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from quipu.build import images
from quipu.build.emulator import Emulator
from quipu.install import boards
from quipu.install.flash import flash as flash_board

from tests.boards.conftest import blank_log
from tests.boards.test_costs import BOARD, SETUP, Prompt

PAIRS = 2000  # inserts, each with a deletion: more than a turn of the ring
BATCH = 250
FILES_PAIRS = 1000  # with the log in files: some five turns of that smaller ring
STOCK = "RPI_PICO"  # whose driver, log and geometry on stock firmware the row of files has

# For each number of erases in one call: [calls, most instructions, most bytes programmed, most
# program calls].
MEASURE = """
worst = {}
live = [each for each in range(1, store.seq + 1)]
from shared_kernel.errors import QuipuError
def oldest():
    while live:
        ident = live.pop(0)
        try:
            memory.record(ident)
            return ident
        except QuipuError: pass
def batch(n):
    for _ in range(n):
        memory.delete(oldest())
        v = vector(store.seq)
        s = emulated.stats(); a = emulated.instructions(); f = emulated.flash_instructions()
        ident = memory.insert(v, 3, b"sixteen of bytes")
        b = emulated.instructions(); g = emulated.flash_instructions(); t = emulated.stats()
        live.append(ident)
        row = worst.setdefault(t[2] - s[2], [0, 0, 0, 0])
        row[0] += 1
        for i, each in enumerate((b - a - (g - f), t[0] - s[0], t[1] - s[1])):
            row[i + 1] = max(row[i + 1], each)
        if not store.seq & 31: store.acknowledge(store.seq + 1)
"""

# name: (board, MHz, erase usual ms, erase longest ms, program of 256 bytes ms, longest watchdog
# ms); docs/wear.md names the sources
PARTS = {
    "W25Q16JV": ("RPI_PICO", 125, 45, 400, 0.4, 8388),
    "nRF52840": ("ARDUINO_NANO_33_BLE_SENSE", 64, 85, 85, 2.6, 131_072_000),
    "GD25Q16C": ("ADAFRUIT_ITSYBITSY_M4_EXPRESS", 120, 50, 400, 0.6, 16_000),
    "STM32F7, 256 KiB sector": ("NUCLEO_F767ZI", 216, 2000, 4000, 1.0, 32_768),
}
# those that stock firmware formats as littlefs, with room for the log
FILES_PARTS = ("W25Q16JV", "GD25Q16C")


def facts_of(files):
    """Return the emulated board's facts, with files=True those of a board with stock firmware in
    what concerns the log."""
    facts = images.board_facts(BOARD)
    if files:
        facts = {**facts, **boards.load(STOCK)["stock"]}
    return facts


def measure(pairs=PAIRS, files=False):
    """Return {erases in one insert: {calls, instructions, bytes, programs}}, each the most of all
    such inserts.

    files: the log in files on the board's littlefs, instead of its raw region.
    """
    with tempfile.TemporaryDirectory() as folder:
        flash = Path(folder) / "flash.bin"
        with Emulator(BOARD, flash, frozen=False) as emulator:
            flash_board(emulator.port, main=None, facts=facts_of(files))
        blank_log(flash)
        shutil.copy(flash, Path(folder) / "copy.bin")
        with Prompt(flash) as prompt:
            prompt.run(SETUP)
            prompt.run(MEASURE)
            for done in range(0, pairs, BATCH):
                prompt.run(f"batch({min(BATCH, pairs - done)})")
            worst = json.loads(prompt.run("import json\nprint(json.dumps(worst))")[-1])
    return {
        int(erases): dict(zip(("calls", "instructions", "bytes", "programs"), row, strict=True))
        for erases, row in worst.items()
    }


def worst_of(worst):
    """Return (instructions, erases, bytes) that no insert went beyond."""
    return (
        max(row["instructions"] for row in worst.values()),
        max(worst),
        max(row["bytes"] for row in worst.values()),
    )


def table(worst, files):
    out = [
        "One insert on the emulated Cortex-M4, by the sector erases in it, of the flash that "
        "holds the log:",
        "",
        f"{'log':<8}{'erases':>7}{'inserts':>9}{'instructions':>14}{'bytes':>8}{'programs':>10}",
    ]
    for log, counted in (("raw", worst), ("files", files)):
        for erases, row in sorted(counted.items()):
            out.append(
                f"{log:<8}{erases:>7}{row['calls']:>9,}{row['instructions']:>14,}{row['bytes']:>8,}{row['programs']:>10}"
            )
    out += [
        "",
        "On a part, from its data sheet, the worst of each together:",
        "",
        f"{'log':<8}{'part':<26}{'board':<31}{'usual':>9}{'longest':>9}{'watchdog':>16}",
    ]
    for log, counted, parts in (("raw", worst, PARTS), ("files", files, FILES_PARTS)):
        instructions, erases, size = worst_of(counted)
        for name in parts:
            board, mhz, usual, most, program, watchdog = PARTS[name]
            code = instructions / mhz / 1000 + size / 256 * program
            out.append(
                f"{log:<8}{name:<26}{board:<31}{code + erases * usual:>6,.0f} "
                f"ms{code + erases * most:>6,.0f} ms{watchdog:>13,} ms"
            )
    return "\n".join(out)


def main():
    worst, files = measure(), measure(FILES_PAIRS, files=True)
    path = images.checkout_root() / "build" / "reports" / "blocking.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"board": BOARD, "worst": worst, "files": files}, indent=2) + "\n")
    print(table(worst, files))


if __name__ == "__main__":
    sys.exit(main())
