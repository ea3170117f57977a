"""The board's modules as .mpy that came with the package, so that nobody needs a compiler to flash.
Compiles none.

Below quipu/data/mpy: NAME.mpy serves every architecture, and ARCH/NAME.mpy only that one, for
modules with machine code in them. sources.json there has the hash of each package that they were
compiled from: beside other sources they do not count."""

import json
from pathlib import Path

from quipu import kernels, resources
from quipu.build import modules

SOURCES = "sources.json"


def packages() -> dict[str, Path]:
    """Return the folder of each package that a board gets, by its name there."""
    return {"shared_kernel": resources.kernel(), "quipu": resources.firmware()}


def find(arch: str) -> dict[str, bytes] | None:
    """Return every module that a board of this architecture gets, by its name as of
    `modules.sources`; None if they did not come with the package, or the sources have changed
    since."""
    folder = resources.modules()
    of = packages()
    try:
        if json.loads((folder / SOURCES).read_text()) != {
            name: kernels.digest(each) for name, each in of.items()
        }:
            return None
        names = modules.sources(of, arch)
        return {
            name: next(
                path
                for path in (folder / arch / f"{name}.mpy", folder / f"{name}.mpy")
                if path.is_file()
            ).read_bytes()
            for name in names
        }
    except (OSError, ValueError, StopIteration):
        return None
