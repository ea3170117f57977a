"""`quipu attach`: the way to a board's log when no firmware answers, say because its application
crashed. Reads, never writes.

Over the raw REPL, the board's own driver reads the log region, sector by sector; the laptop then
takes from it all that can be proved (dump/recover.py). What was read stands in a file until it is
archived, and a sector that still has the hash it had is not read again."""

import binascii
import hashlib
from collections.abc import Callable
from pathlib import Path

from quipu.board.repl import DeviceError, Repl
from quipu.dump.image import FlashImage
from quipu.errors import FlashError, PortError
from quipu.install import programs, said

_START_S = 30.0
_SECTOR_S = 30.0  # without a byte from the board


def read(repl: Repl, kept: Path, progress: Callable[[int, int], None] | None = None) -> FlashImage:
    """Return the board's log region. kept: a file that holds what an earlier try has read, and then
    all of it.

    PortError if the board has none of our files, FlashError if what came is not what the board
    hashed."""
    try:
        program = programs.source("read_log") + programs.call("geometry")
        answer = repl.run(program, _START_S)
    except DeviceError as error:
        way = (
            ": `quipu flash` puts it there, and leaves the log as it is"
            if error.name == "ImportError"
            else ""
        )
        raise PortError(
            f"{repl.name}: the board's driver could not be opened: {error}{way}"
        ) from None
    sector, sectors, page, unit = said.geometry(repl.name, answer)
    data = bytearray(kept.read_bytes() if kept.exists() else b"")
    if len(data) % sector or len(data) > sector * sectors:
        data = data[: min(len(data) // sector, sectors) * sector]
    with kept.open("wb") as file:
        for i in range(sectors):
            digest = repl.run(programs.call("digest", i), _SECTOR_S).decode().strip()
            at = i * sector
            if hashlib.sha256(data[at : at + sector]).hexdigest() != digest:
                data[at : at + sector] = _sector(repl, i, digest)
            file.write(data[at : at + sector])
            file.flush()
            if progress:
                progress(at + sector, sector * sectors)
    return FlashImage(data, sector, page, unit)


def _sector(repl: Repl, number: int, digest: str) -> bytes:
    text = repl.run(programs.call("read", number), _SECTOR_S)
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
