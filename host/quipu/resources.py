"""Where Quipu's own files lie: in the checkout that runs, or beside the installed package. The one
place that knows; it reads none of them.

A wheel carries them in quipu/data, which host/wheel/payload.py fills. They are files and no
archive's members: pip unpacks every wheel. Standard library only.
"""

import os
import sys
from pathlib import Path

import shared_kernel

_PACKAGE = Path(__file__).resolve().parent
_DATA = _PACKAGE / "data"


def is_checkout(folder: Path) -> bool:
    """Return whether a folder is a checkout of Quipu, or an sdist unpacked."""
    return (folder / "boards" / "emulated" / "Makefile").is_file()


def checkout() -> Path | None:
    """Return the checkout whose files run here; None if Quipu is installed apart from one."""
    folder = _PACKAGE.parents[1]  # of host/quipu
    return folder if _PACKAGE.parent.name == "host" and is_checkout(folder) else None


def boards() -> Path:
    """Return the folder of boards: NAME/quipu.json."""
    return _of_checkout("boards") or _DATA / "boards"


def firmware() -> Path:
    """Return the folder of the firmware's sources."""
    return _of_checkout("firmware/quipu") or _DATA / "firmware"


def snippets() -> Path:
    """Return the folder of the programs that run on a board for a moment, over its raw REPL."""
    return _PACKAGE / "install" / "snippets"


def kernel() -> Path:
    """Return the folder of the shared kernel's sources."""
    return Path(shared_kernel.__file__).resolve().parent


def modules() -> Path:
    """Return the folder of the board's modules as .mpy, compiled when the wheel or sdist was made;
    a plain checkout has none."""
    return _DATA / "mpy"


def natives() -> Path:
    """Return the folder of the native modules, compiled when the wheel or sdist was made; a plain
    checkout has none."""
    return _DATA / "native"


def cache() -> Path:
    """Return the user's cache folder for Quipu, which need not be there."""
    if sys.platform == "win32":
        above = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        above = Path.home() / "Library" / "Caches"
    else:
        above = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return above / "quipu"


def _of_checkout(path: str) -> Path | None:
    root = checkout()
    return root / path if root else None
