"""What Quipu knows of boards: boards/NAME/quipu.json, checked, and which of them a board that runs
MicroPython is.

A file holds only what is true of that board; docs/boards.md says how to add one. Emulated boards
have the key `emulated` there, which says how QEMU runs them (build/images.py).
"""

import json
from pathlib import Path
from typing import Any

from quipu import resources
from quipu.build import images
from quipu.build.modules import ARCHITECTURES
from quipu.errors import FormatError, UsageError
from quipu.text import near
from shared_kernel.config import CONFIG_LIMITS, CONFIG_NAMES

FILE = "quipu.json"
_NONE = type(None)
_FAT_BLOCK, _FAT_SECTOR = 512, 8192  # docs/drivers.md
# Key: types. `stock` is the way on firmware from micropython.org; `no_stock` says in a clause why
# there is none, `no_build` why there is none with Quipu frozen in.
_KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "machine": (str,),
    "mpy_arch": (str,),
    "capacities": (dict,),
}
_REAL: dict[str, tuple[type, ...]] = {"ram": (int,), "watchdog_ms": (int, _NONE)}
_EMULATED: dict[str, tuple[type, ...]] = {
    "driver": (str,),
    "log": (dict,),
    "geometry": (dict,),
    "emulated": (dict,),
}
_QEMU: dict[str, tuple[type, ...]] = {
    "cpu": (str,),
    "machine": (str,),
    "qemu": (list,),
    "flash": (dict,),
    "filesystem": (dict,),
    "heap": (int,),
}
_AREA: dict[str, tuple[type, ...]] = {"start": (int,), "size": (int,)}
_BACKED: dict[str, tuple[type, ...]] = {
    "base": (int,),
    "size": (int,),
    "backing": (str,),
    "file_size": (int,),
}
_STOCK: dict[str, tuple[type, ...]] = {"driver": (str,), "log": (dict,), "geometry": (dict,)}
_LOG: dict[str, tuple[type, ...]] = {"path": (str,), "size": (int,)}
_GEOMETRY: dict[str, tuple[type, ...]] = dict.fromkeys(("sector", "page", "unit"), (int,))


def folder() -> Path:
    """Return the folder of all boards."""
    return resources.boards()


def names() -> list[str]:
    """Return the names of the real boards, sorted."""
    return sorted({path.parent.name for path in folder().glob(f"*/{FILE}")} - set(images.boards()))


def need(name: str, known: list[str] | None = None) -> None:
    """UsageError, which names those that there are, unless there is a board of this name. known:
    the names to choose from; None: all boards, real ones first."""
    known = names() + images.boards() if known is None else known
    if name not in known:
        hint = near(name, known)
        raise UsageError(
            f"there is no board {name!r} in {folder()}. {hint + ' ' if hint else ''}Choose one of "
            f"{', '.join(known)}, or copy the folder of a board like it (docs/boards.md)"
        )


def load(name: str) -> dict[str, Any]:
    """Return the checked facts of a real board. UsageError if there is none of this name."""
    path = folder() / name / FILE
    need(name, names())
    try:
        facts = json.loads(path.read_text())
    except ValueError as error:
        raise FormatError(f"{path}: not JSON: {error}") from None
    check(facts, str(path), name)
    return dict(facts)


def check(facts: Any, where: str, name: str) -> None:
    """FormatError, which names the file, the key, what was expected and what was found, unless
    these are the facts of board `name`."""
    if not isinstance(facts, dict):
        raise FormatError(f"{where}: expected an object, found {facts!r}")
    way = "no_stock" if "no_stock" in facts else "stock"
    if "emulated" in facts:
        _keys(facts, {**_KEYS, **_EMULATED}, where)
        _check_emulated(facts, where)
    else:
        _keys(
            facts,
            {
                **_KEYS,
                **_REAL,
                way: (str,) if way == "no_stock" else (dict,),
                **({"no_build": (str,)} if "no_build" in facts else {}),
            },
            where,
        )
        _expect(facts["ram"] > 0, where, "ram", "bytes of RAM, more than 0", facts["ram"])
    _expect(facts["name"] == name, where, "name", f"{name}, as the folder", facts["name"])
    _expect(
        facts["mpy_arch"] in ARCHITECTURES,
        where,
        "mpy_arch",
        "one of " + ", ".join(ARCHITECTURES),
        facts["mpy_arch"],
    )
    _keys(facts["capacities"], dict.fromkeys(CONFIG_NAMES, (int,)), where, "capacities.")
    for each, (low, high) in zip(CONFIG_NAMES, CONFIG_LIMITS, strict=True):
        found = facts["capacities"][each]
        _expect(low <= found <= high, where, f"capacities.{each}", f"{low} to {high}", found)
    if "stock" in facts:
        stock = facts["stock"]
        _keys(stock, _STOCK, where, "stock.")
        _expect(
            stock["driver"] in ("files", "fat"),
            where,
            "stock.driver",
            "files or fat, the drivers for stock firmware",
            stock["driver"],
        )
        _keys(stock["log"], _LOG, where, "stock.log.")
        _expect(
            stock["log"]["path"].startswith("/"),
            where,
            "stock.log.path",
            "a path from /",
            stock["log"]["path"],
        )
        _keys(stock["geometry"], _GEOMETRY, where, "stock.geometry.")
        sector, page = stock["geometry"]["sector"], stock["geometry"]["page"]
        if stock["driver"] == "fat":
            path = stock["log"]["path"]
            _expect(
                path.count("/") == 2,
                where,
                "stock.log.path",
                "a file on a card, as /sd/quipu.log",
                path,
            )
            _expect(
                page == stock["geometry"]["unit"] == _FAT_BLOCK and sector >= _FAT_SECTOR,
                where,
                "stock.geometry",
                f"page and unit {_FAT_BLOCK}, and a sector of {_FAT_SECTOR} or more",
                stock["geometry"],
            )
        _expect(
            page > 0 and sector > 0 and sector % page == 0,
            where,
            "stock.geometry",
            "sector a multiple of page",
            f"sector {sector}, page {page}",
        )
        _expect(
            stock["log"]["size"] > 0 and stock["log"]["size"] % sector == 0,
            where,
            "stock.log.size",
            f"a multiple of the sector, {sector}",
            stock["log"]["size"],
        )


def _check_emulated(facts: dict[str, Any], where: str) -> None:
    _expect(facts["driver"] == "emulated", where, "driver", "emulated", facts["driver"])
    _keys(facts["log"], _AREA, where, "log.")
    _keys(facts["geometry"], _GEOMETRY, where, "geometry.")
    how = facts["emulated"]
    _keys(how, _QEMU, where, "emulated.")
    _keys(how["flash"], _BACKED, where, "emulated.flash.")
    _keys(how["filesystem"], _AREA, where, "emulated.filesystem.")
    sector, (start, size) = (
        facts["geometry"]["sector"],
        (facts["log"]["start"], facts["log"]["size"]),
    )
    _expect(
        size > 0 and start % sector == size % sector == 0,
        where,
        "log",
        f"whole sectors of {sector}",
        facts["log"],
    )
    end = how["filesystem"]["start"] + how["filesystem"]["size"]
    _expect(
        end <= start <= start + size <= how["flash"]["size"],
        where,
        "log",
        f"a place behind the filesystem, which ends at {end}, in the flash of "
        f"{how['flash']['size']}",
        facts["log"],
    )


def _expect(true: bool, where: str, key: str, expected: str, found: object) -> None:
    if not true:
        raise FormatError(f"{where}: {key}: expected {expected}, found {found!r}")


def _keys(
    of: dict[str, Any], expected: dict[str, tuple[type, ...]], where: str, prefix: str = ""
) -> None:
    for key in sorted(of.keys() - expected.keys()):
        raise FormatError(
            f"{where}: {prefix}{key}: no such key; expected only {', '.join(expected)}"
        )
    for key, types in expected.items():
        _expect(key in of, where, prefix + key, "a value", "nothing")
        what = " or ".join("null" if each is _NONE else each.__name__ for each in types)
        _expect(
            isinstance(of[key], types) and not isinstance(of[key], bool),
            where,
            prefix + key,
            what,
            of[key],
        )


def of_machine(machine: str) -> str | None:
    """Return the name of the board that calls itself `machine` (sys.implementation._machine), None
    if no folder has it."""
    return next((name for name in names() if load(name)["machine"] == machine), None)


def for_stock(name: str) -> dict[str, Any]:
    """Return the facts that go on board `name` as /quipu.json for stock firmware. UsageError if
    there is no way on stock firmware."""
    facts = load(name)
    if "no_stock" in facts:
        way = (
            f"and it has no firmware with Quipu in it: {facts['no_build']}"
            if "no_build" in facts
            else f"`make firmware BOARD={name}` builds one with Quipu in it"
        )
        raise UsageError(f"{name}: {facts['no_stock']}; {way} (docs/boards.md)")
    return {
        "name": name,
        "mpy_arch": facts["mpy_arch"],
        **facts["stock"],
        "capacities": facts["capacities"],
    }
