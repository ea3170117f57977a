"""Giving back the memory of modules whose work is done. Does nothing on CPython."""

import gc
import sys


def forget(package: str, *names: str) -> None:
    """On a board, drop these modules of a package; an import loads them again."""
    if sys.implementation.name == "micropython":
        for name in names:
            if sys.modules.pop(package + "." + name, None):
                delattr(sys.modules[package], name)
        gc.collect()
