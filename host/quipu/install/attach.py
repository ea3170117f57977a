"""`quipu attach`: the way to a board's log when no firmware answers, say because its application
crashed. Reads, never writes.

Over the raw REPL, the board's own driver reads the log region, sector by sector; the laptop then
takes from it all that can be proved (dump/recover.py). What was read stands in a file until it is
archived, and a sector that still has the hash it had is not read again."""

import binascii
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from quipu.board.repl import DeviceError, Repl
from quipu.dump.image import FlashImage
from quipu.errors import FlashError, PortError

_START_S = 30.0
_SECTOR_S = 30.0  # without a byte from the board
# `part` is bytes of one answer's line; hashing goes through it too, so that a small heap serves
# large sectors.
_READER = """
import sys, json
from binascii import b2a_base64, hexlify
from hashlib import sha256
from quipu.startup import board_facts, open_flash
flash = open_flash(board_facts())
part = bytearray(min(192, flash.sector))
def parts(sector):
    for at in range(0, flash.sector, len(part)):
        piece = memoryview(part)[:min(len(part), flash.sector - at)]
        flash.read(sector * flash.sector + at, piece)
        yield piece
def digest(sector):
    h = sha256()
    for piece in parts(sector):
        h.update(piece)
    print(hexlify(h.digest()).decode())
def read(sector):
    for piece in parts(sector):
        sys.stdout.write(b2a_base64(piece))
print(json.dumps([flash.sector, flash.sectors, flash.page, flash.unit]))
"""


def read(repl: Repl, kept: Path, progress: Callable[[int, int], None] | None = None) -> FlashImage:
    """Return the board's log region. kept: a file that holds what an earlier try has read, and then
    all of it.

    PortError if the board has none of our files, FlashError if what came is not what the board
    hashed."""
    try:
        sector, sectors, page, unit = json.loads(repl.run(_READER, _START_S))
    except DeviceError as error:
        way = (
            ": `quipu flash` puts it there, and leaves the log as it is"
            if error.name == "ImportError"
            else ""
        )
        raise PortError(
            f"{repl.name}: the board's driver could not be opened: {error}{way}"
        ) from None
    data = bytearray(kept.read_bytes() if kept.exists() else b"")
    if len(data) % sector or len(data) > sector * sectors:
        data = data[: min(len(data) // sector, sectors) * sector]
    with kept.open("wb") as file:
        for i in range(sectors):
            digest = repl.run(f"digest({i})", _SECTOR_S).decode().strip()
            at = i * sector
            if hashlib.sha256(data[at : at + sector]).hexdigest() != digest:
                data[at : at + sector] = _sector(repl, i, digest)
            file.write(data[at : at + sector])
            file.flush()
            if progress:
                progress(at + sector, sector * sectors)
    return FlashImage(data, sector, page, unit)


def _sector(repl: Repl, number: int, digest: str) -> bytes:
    text = repl.run(f"read({number})", _SECTOR_S)
    try:
        data = b"".join(binascii.a2b_base64(line) for line in text.splitlines())
    except binascii.Error:
        data = b""
    if hashlib.sha256(data).hexdigest() != digest:
        raise FlashError(
            f"{repl.name}: sector {number} did not arrive as the board hashed it (expected "
            f"{digest[:16]}..., found "
            f"{len(data)} other bytes): try again, what has arrived is kept"
        )
    return data
