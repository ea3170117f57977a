"""Which modules a board of an architecture gets, and how each becomes .mpy. Standard library only:
wheels are made with it too, before anything is installed (host/wheel/payload.py).
"""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

# Architectures of .mpy files (MicroPython's py/persistentcode.h), as mpy-cross's -march names them.
ARCHITECTURES = (
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "rv32imc",
    "xtensa",
    "xtensawin",
)
SUBVERSION = (6, 3)  # of the .mpy format: MicroPython 1.23 and newer
_OF_ARM = ("quipu/thumb",)  # in Thumb's assembler, which mpy-cross has for no other architecture


class CompileError(Exception):
    """mpy-cross does not compile a module; the message says which one and why."""

    exit_code = 3  # errors.PORT: of a command that this ends


def sources(packages: Mapping[str, Path], arch: str) -> dict[str, Path]:
    """Return the source of each module that a board gets, by its name below /lib without a suffix,
    such as quipu/memory.

    packages: the folder of each package, by its name on the board.
    arch: the board's, one of ARCHITECTURES.
    """
    found = {
        f"{package}/{path.stem}": path
        for package, folder in packages.items()
        for path in sorted(folder.glob("*.py"))
    }
    return (
        found
        if arch.startswith("arm")
        else {name: path for name, path in found.items() if name not in _OF_ARM}
    )


def compiled(mpy_cross: str | Path, source: Path, name: str, arch: str) -> bytes:
    """Return a module as .mpy. name: as of `sources`, which tracebacks then show. CompileError if
    it does not compile.

    -O3 leaves out assertions and line numbers. A board keeps each name that it reads for good, but
    a module's own only once."""
    module = name.removesuffix("/__init__").replace("/", ".")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mpy"
        done = subprocess.run(
            [mpy_cross, f"-march={arch}", "-O3", "-s", module, "-o", target, source],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise CompileError(
                f"mpy-cross does not compile {source} for {arch}:\n{done.stderr.strip()}"
            )
        return target.read_bytes()
