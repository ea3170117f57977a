"""Builds and finds the native module (firmware/native/quipu_native.c) as .mpy for a board's
architecture. Standard library only.

    python host/quipu/build/natives.py        builds it for every architecture that this machine has a compiler for

What is built lies in build/native/, from where it goes into a wheel. A board without one works by
viper."""

import contextlib
import shutil
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from quipu import resources
from quipu.build import images
from quipu.build.modules import SUBVERSION

MODULE = "quipu_native"
LARGEST = 6 * 1024  # bytes of a .mpy
# The compiler that each needs. A board takes code for any architecture below its own.
COMPILERS = {
    "armv6m": "arm-none-eabi-gcc",
    "armv7m": "arm-none-eabi-gcc",
    "rv32imc": "riscv64-unknown-elf-gcc",
}
SERVES = {
    "armv6m": "armv6m",
    "armv7m": "armv7m",
    "armv7em": "armv7m",
    "armv7emsp": "armv7m",
    "armv7emdp": "armv7m",
    "rv32imc": "rv32imc",
}
# .mpy number of an architecture, as four bits of `sys.implementation._mpy` from bit 10 on have it.
# From MicroPython 1.27 on more stands above them: which extensions of it the board has.
NUMBERS = {4: "armv6m", 5: "armv7m", 6: "armv7em", 7: "armv7emsp", 8: "armv7emdp", 11: "rv32imc"}


def build(arch: str) -> Path:
    """Return the module for armv6m, armv7m or rv32imc, built if its source has changed. ImageError
    if it cannot be."""
    if not shutil.which(COMPILERS[arch]):
        raise images.ImageError(
            f"{COMPILERS[arch]} is not installed: it compiles the native module for {arch}"
        )
    root = images.checkout_root()
    source = root / "firmware" / "native"
    micropython = images.micropython_source()
    inputs = images._digest([source]) + images._source_identity(micropython)

    def make(objects: Path, log: Path) -> Path:
        images._empty(objects)
        for path in sorted(source.iterdir()):
            shutil.copy(path, objects)
        images._make(["-C", str(objects), f"MPY_DIR={micropython}", f"ARCH={arch}"], log)
        built = objects / f"{MODULE}.mpy"
        if built.stat().st_size > LARGEST:
            raise images.ImageError(
                f"{MODULE} for {arch} has {built.stat().st_size} bytes, more than {LARGEST}"
            )
        return built

    return images._product(
        f"{MODULE}-{arch}", root / "build" / "native" / f"{MODULE}-{arch}.mpy", inputs, make
    )


def find(arch: str) -> bytes | None:
    """Return the module for a board of this .mpy architecture: the checkout's, else the wheel's;
    None if there is none."""
    serves = SERVES.get(arch)
    if serves is None:
        return None
    if resources.checkout():
        with contextlib.suppress(images.ImageError):  # no compiler
            return build(serves).read_bytes()
    packed = resources.natives() / f"{MODULE}-{serves}.mpy"
    return packed.read_bytes() if packed.is_file() else None


def arch_of(mpy: int) -> str | None:
    """Return the architecture in a board's `sys.implementation._mpy`; None if it takes no native
    code of ours, or not this version of .mpy."""
    if (mpy & 0xFF, mpy >> 8 & 3) != SUBVERSION:
        return None
    return named(mpy)


def named(mpy: int) -> str | None:
    """Return the architecture in a board's `sys.implementation._mpy`, whatever its version of .mpy;
    None if it is none that native code of ours is for."""
    return NUMBERS.get(mpy >> 10 & 15)


def main() -> int:
    for arch, compiler in COMPILERS.items():
        if not shutil.which(compiler):
            print(f"{arch}: not built, there is no {compiler}")
            continue
        try:
            path = build(arch)
        except images.ImageError as error:
            print(f"quipu: {error}", file=sys.stderr)
            return 3
        print(f"{arch}: {path.stat().st_size} bytes, {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
