"""How much this computer gives to what a board, an archive, a file or a person says: known before
memory or time is spent. Knows no format.

A genesis of 67 bytes may ask for a state of 18 GB, a number of 12 characters for gigabytes of
digits, and nested brackets for more stack than there is."""

import contextlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quipu.errors import TooLarge, UsageError

# What a state is made of is imported where it is asked for: a short command needs none of it.
if TYPE_CHECKING:
    from shared_kernel.kernel import Kernel

VARIABLE = "QUIPU_MAX_STATE"  # bytes; also how a process tells those that it starts
REGION = 1 << 30  # bytes of a board's flash region: a few times the largest part there is
DIGITS = 40  # of a number that a person writes: more than any field, few enough to compute with

# A replay holds a state once, an index up to three times: as it is, packed, and as bytes.
_COPIES = 3
_SMALL = 1 << 20  # bytes of a state that is never too large
_BLOCK = 1 << 20
_UNKNOWN = 2 << 30  # bytes of memory, where the system does not say how many are free
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")

_SIZE = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,16})([kKmMgG]?)")

max_state: int | None = None  # bytes, as a person set it (--max-state)


def bytes_of(text: str) -> int:
    """Return a number of bytes written as 4096, 0x1000, 4k, 1M or 2G. ValueError for anything
    else."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"{shown(text)!r} is no number of bytes, such as 4096, 0x1000, 4k or 1M")
    return (
        int(match[1], 16 if match[1][1:2] in ("x", "X") else 10)
        << {
            "": 0,
            "k": 10,
            "m": 20,
            "g": 30,
        }[match[2].lower()]
    )


def state_limit() -> int:
    """Return the bytes that a state may take: what was set, else what the memory that is free
    has room for."""
    if max_state is not None:
        return max_state
    told = os.environ.get(VARIABLE, "")
    if not told:
        return free() // _COPIES
    try:
        return bytes_of(told)
    except ValueError as error:
        raise UsageError(f"{VARIABLE}: {error}") from None


def free() -> int:
    """Return the bytes of memory that this process can still have."""
    found = [_UNKNOWN]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = _MEMINFO.read_text().splitlines()
        available = next(each for each in lines if each.startswith("MemAvailable:"))
        found = [int(available.split()[1]) << 10]
    with contextlib.suppress(OSError, ValueError):  # "max": none
        most = int((_CGROUP / "memory.max").read_text())
        found.append(most - int((_CGROUP / "memory.current").read_text()))
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # Unix has it

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            found.append(most - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(found))


def state_size(config: Sequence[int]) -> int:
    """Return the bytes of a state of a configuration, which config.check_config passed."""
    from shared_kernel.arena import CHUNK, layout

    return CHUNK * int(layout(config)[1])


def need_state(size: int, config: Sequence[int] | None = None) -> None:
    """Raise TooLarge if a state of so many bytes is more than this computer gives."""
    if size > _SMALL and size > (most := state_limit()):
        from shared_kernel.config import CONFIG_NAMES

        what = ", ".join(
            f"{name} {value:,}" for name, value in zip(CONFIG_NAMES, config or (), strict=False)
        )
        raise TooLarge(
            f"a state of {size:,} bytes is asked for{f' ({what})' if what else ''}: expected at most "
            f"{most:,}, which --max-state or {VARIABLE} sets (else a third of the memory that is "
            "free). If it is meant, allow more or use a computer with more memory"
        )


def kernel(config: Sequence[int]) -> "Kernel":
    """Return a new Kernel; TooLarge if its state is more than this computer gives."""
    from shared_kernel.kernel import Kernel

    need_state(state_size(config), config)
    return Kernel(config)


def contents(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file that a person named, which may be a pipe. TooLarge if there are
    more than a state may have, or than a region: a device has no end."""
    most, out = min(state_limit(), REGION), bytearray()
    with open(path, "rb") as file:
        while data := file.read(min(_BLOCK, most + 1 - len(out))):
            out += data
            if len(out) > most:
                raise TooLarge(
                    f"{os.fspath(path)} has more than {most:,} bytes, which --max-state or {VARIABLE} "
                    "sets (else a third of the memory that is free): is it the right file?"
                )
    return bytes(out)


def parsed(text: str | bytes, exact: bool = False) -> Any:
    """Return what JSON says. exact: numbers with a point as Decimals, NaN and infinity too.

    ValueError for what is no JSON, is nested too deeply, or has a number of very many digits or
    with an exponent beyond all meaning.
    """
    from decimal import Decimal, DecimalException

    try:
        if exact:
            return json.loads(text, parse_float=Decimal, parse_constant=Decimal)
        return json.loads(text)
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None
    except DecimalException:
        raise ValueError("the exponent of a number is beyond all meaning") from None
    except ValueError as error:
        if "integer string" in str(error):  # of more than 4,300 digits
            raise ValueError("a number has too many digits") from None
        raise


def shown(value: object) -> str:
    """Return the beginning of a value as text, for an error: also of an integer that Python does
    not write out."""
    try:
        text = str(value)
    except ValueError:
        return "a number of more than 4,300 digits"
    return text if len(text) <= DIGITS else text[:DIGITS] + "..."
