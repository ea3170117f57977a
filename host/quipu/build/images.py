"""Gets MicroPython's source and builds what runs it: board images, mpy-cross, the unix port.

Standard library only, for it runs before anything is installed. Everything it makes lies under
`build/` of the checkout; it never installs a package, never touches the system's apt configuration,
and never writes into a MicroPython checkout that a person points at with QUIPU_MICROPYTHON.

    python3 host/quipu/build/images.py packages             prints the Debian packages that are missing, on one line
    python3 host/quipu/build/images.py build [TARGET ...]   TARGET: a board, `unix` or `mpy-cross`; all of them without one
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OLDEST_MICROPYTHON = (1, 22)
# bookworm's own micropython is 1.19, too old; trixie's source package builds on bookworm.
SOURCE_SUITE = "trixie"
ARCHIVE_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FETCH_PAUSES_S = (0, 3, 10)
LOG_TAIL_LINES = 25
# What the unix port needs not: they would need libraries or submodules that Debian's source package
# lacks.
UNIX_OPTIONS = ("MICROPY_PY_FFI=0", "MICROPY_PY_SSL=0", "MICROPY_PY_BTREE=0")


class ImageError(Exception):
    """Something needed to build or find an image is missing, or a build failed; the message says
    what to do."""

    exit_code = 3  # errors.PORT: of a command that this ends


def checkout_root() -> Path:
    """The folder of the Quipu checkout that this file, or else the current directory, lies in."""
    from quipu import resources  # here, so that `packages` runs before Quipu is installed

    if found := resources.checkout():
        return found
    here = Path.cwd().resolve()
    for folder in [here, *here.parents]:
        if resources.is_checkout(folder):
            return folder
    raise ImageError(
        f"images are built from a checkout of Quipu, and there is none around {here}: run this "
        f"inside a checkout"
    )


def boards() -> list[str]:
    """The names of the emulated boards, sorted: those whose quipu.json has the key `emulated`."""
    from quipu import resources

    return sorted(
        path.parent.name
        for path in resources.boards().glob("*/quipu.json")
        if '"emulated":' in path.read_text()
    )


def board_facts(board: str) -> dict[str, Any]:
    """What the firmware of an emulated board knows of it: name, architecture, driver, log region,
    geometry, capacities."""
    facts = _facts(board)
    return {key: value for key, value in facts.items() if key not in ("machine", "emulated")}


def emulation(board: str) -> dict[str, Any]:
    """How QEMU runs an emulated board: machine and options, the file that is its flash, the
    filesystem in it, the heap."""
    how: dict[str, Any] = _facts(board)["emulated"]
    return how


def _facts(board: str) -> dict[str, Any]:
    if board not in boards():
        raise ImageError(f"there is no emulated board {board!r}; known: {', '.join(boards())}")
    from quipu import resources

    facts: dict[str, Any] = json.loads((resources.boards() / board / "quipu.json").read_text())
    return facts


def missing_packages() -> list[str]:
    """The Debian packages to install before Quipu can be set up, built and run; empty when nothing
    is missing."""
    missing = _missing_tools() + ([] if importlib.util.find_spec("ensurepip") else ["python3-venv"])
    # only for the native module of RISC-V, for the conformance run in WebAssembly, and for the test
    # of `quipu report`'s page
    return missing + [
        package
        for package, command in (
            ("gcc-riscv64-unknown-elf", "riscv64-unknown-elf-gcc"),
            ("nodejs", "node"),
            ("npm", "npm"),
            ("chromium", "chromium"),
        )
        if not shutil.which(command)
    ]


def _missing_tools() -> list[str]:
    def can_compile(compiler: str, header: str) -> bool:
        probe = [compiler, "-fsyntax-only", "-include", header, "-x", "c", os.devnull]
        return subprocess.run(probe, check=False, capture_output=True).returncode == 0

    missing = []
    for package, command in (
        ("make", "make"),
        ("gcc", "gcc"),
        ("gcc-arm-none-eabi", "arm-none-eabi-gcc"),
        ("qemu-system-arm", "qemu-system-arm"),
    ):
        if not shutil.which(command):
            missing.append(package)
    if "gcc" in missing or not can_compile("gcc", "stdio.h"):
        missing.append("libc6-dev")
    if "gcc-arm-none-eabi" in missing or not can_compile("arm-none-eabi-gcc", "string.h"):
        missing.append("libnewlib-arm-none-eabi")
    return missing


def micropython_source() -> Path:
    """MicroPython's source tree: the one QUIPU_MICROPYTHON names, or Debian's, fetched on the first
    call."""
    if "QUIPU_MICROPYTHON" in os.environ:
        return _checked_source(
            Path(os.environ["QUIPU_MICROPYTHON"]).expanduser().resolve(), "QUIPU_MICROPYTHON"
        )
    tree = checkout_root() / "build" / "micropython"
    if not (tree / "py" / "mkenv.mk").is_file():
        with _locked():
            if not (tree / "py" / "mkenv.mk").is_file():
                _fetch_source(tree)
    return _checked_source(tree, "build/micropython")


def mpy_cross() -> Path:
    """The cross-compiler from .py to .mpy, of the same MicroPython as the images."""
    source = micropython_source()
    inputs = _source_identity(source)

    def build(objects: Path, log: Path) -> Path:
        _empty(objects)
        _make(["-C", str(source / "mpy-cross"), f"BUILD={objects}"], log)
        return objects / "mpy-cross"

    return _product("mpy-cross", checkout_root() / "build" / "mpy-cross", inputs, build)


def unix_port() -> Path:
    """The MicroPython interpreter for this machine: standard variant, without the libraries
    Debian's source lacks."""
    source = micropython_source()
    inputs = _source_identity(source) + " ".join(UNIX_OPTIONS)
    cross = mpy_cross()

    def build(objects: Path, log: Path) -> Path:
        _empty(objects)
        # The variant's own manifest wants micropython-lib; asyncio is the part of it that needs
        # nothing else.
        manifest = source / "extmod" / "asyncio" / "manifest.py"
        _make(
            [
                "-C",
                str(source / "ports" / "unix"),
                f"BUILD={objects}",
                f"MICROPY_MPYCROSS={cross}",
                f"MPY_LIB_DIR={_library_stand_in()}",
                f"FROZEN_MANIFEST={manifest}",
                *UNIX_OPTIONS,
            ],
            log,
        )
        return objects / "micropython"

    return _product(
        "micropython-unix", checkout_root() / "build" / "micropython-unix", inputs, build
    )


def image(board: str, frozen: bool = True) -> Path:
    """The image of an emulated board: plain MicroPython, or (`frozen`) with Quipu's Python files in
    it."""
    root = checkout_root()
    board_facts(board)  # refuses an unknown board
    source = micropython_source()
    kind = "quipu" if frozen else "bare"
    manifest = (
        root / "boards" / board / "manifest.py"
        if frozen
        else root / "boards" / "emulated" / "manifest.py"
    )
    port = _digest([root / "boards" / board, root / "boards" / "emulated"]) + _source_identity(
        source
    )
    python = _digest([root / "shared_kernel", root / "firmware" / "quipu"]) if frozen else ""
    cross = mpy_cross()

    def build(objects: Path, log: Path) -> Path:
        # Objects depend on flags that make does not see, and frozen files are compared by time
        # only: what the contents say has changed is built anew. Both kinds share all other objects.
        built_from = objects / "port"
        if not built_from.is_file() or built_from.read_text() != port:
            _empty(objects)
        shutil.rmtree(objects / "frozen_mpy", ignore_errors=True)
        _make(
            [
                "-C",
                str(root / "boards" / "emulated"),
                f"MPY_DIR={source}",
                f"BOARD={board}",
                f"BUILD={objects}",
                f"MICROPY_MPYCROSS={cross}",
                f"MPY_LIB_DIR={_library_stand_in()}",
                f"FROZEN_MANIFEST={manifest}",
            ],
            log,
        )
        built_from.write_text(port)
        return objects / "firmware.elf"

    target = root / "build" / "images" / board / kind / "firmware.elf"
    return _product(f"{board}-{kind}", target, port + python, build, objects=board)


# ------------------------------------------------------------------------------------------------------------
# building


def _product(
    name: str,
    target: Path,
    inputs: str,
    build: Callable[[Path, Path], Path],
    objects: str | None = None,
) -> Path:
    """`target`, built by `build(objects, log)` unless its stamp says that it was made from the same
    inputs. objects: the name of the folder of objects that `build` gets; None: `name`."""
    stamp = target.with_name(target.name + ".stamp")

    def is_fresh() -> bool:
        return target.is_file() and stamp.is_file() and stamp.read_text() == inputs

    if is_fresh():
        return target
    missing = _missing_tools()
    if missing:
        raise ImageError(
            f"cannot build {name}: Debian packages are missing; install them with\n"
            f"    sudo apt-get install {' '.join(missing)}"
        )
    with _locked():
        if is_fresh():
            return target  # somebody else built it while we waited
        started = time.monotonic()
        folder = checkout_root() / "build"
        place = folder / "objects" / (objects or name)
        log = folder / "logs" / f"{name}.log"
        for path in (place, log.parent, target.parent):
            path.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        stamp.unlink(missing_ok=True)
        _say(f"building {name} ...")
        built = build(place, log)
        # A board may be running the old image: replace the file, never write into it.
        fresh = target.with_name(target.name + ".new")
        shutil.copy2(built, fresh)
        os.replace(fresh, target)
        stamp.write_text(inputs)
        _say(f"built {target.relative_to(folder.parent)} in {time.monotonic() - started:.0f} s")
    return target


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _make(arguments: list[str], log: Path) -> None:
    # Under a make of the project's own, its flags and job server are not meant for MicroPython's.
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    command = ["make", f"-j{os.cpu_count() or 1}", f"PYTHON={sys.executable}", *arguments]
    with log.open("ab") as out:
        out.write((" ".join(command) + "\n").encode())
        out.flush()
        done = subprocess.run(
            command,
            check=False,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=env,
        )
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        raise ImageError(f"make failed with exit code {done.returncode}; the end of {log}:\n{tail}")


def _library_stand_in() -> Path:
    """MicroPython's makefiles insist on a micropython-lib and look for its README; nothing else of
    it is used."""
    folder = checkout_root() / "build" / "no-micropython-lib"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").touch()
    return folder


def _digest(folders: list[Path]) -> str:
    """A hash over the names and contents of all files in the folders, compiled Python aside."""
    h = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                name = path.relative_to(folder).as_posix().encode()
                h.update(b"%d %s %d " % (len(name), name, path.stat().st_size))
                h.update(path.read_bytes())
        h.update(b"/")
    return h.hexdigest() + "\n"


def _source_identity(source: Path) -> str:
    """Which MicroPython it is. A person who edits their own checkout without committing deletes
    build/objects."""
    version = ".".join(map(str, _version(source)))
    if "QUIPU_MICROPYTHON" not in os.environ:
        return f"Debian {version}\n"
    head = ""
    if shutil.which("git"):
        described = ["git", "-C", str(source), "describe", "--always", "--dirty"]
        head = subprocess.run(described, check=False, capture_output=True, text=True).stdout.strip()
    return f"{source} {version} {head}\n"


def _version(source: Path) -> tuple[int, ...]:
    text = (source / "py" / "mpconfig.h").read_text()
    found = [
        re.search(rf"#define MICROPY_VERSION_{part} (\d+)", text)
        for part in ("MAJOR", "MINOR", "MICRO")
    ]
    return tuple(int(match.group(1)) for match in found if match)


def _checked_source(tree: Path, origin: str) -> Path:
    if not (tree / "py" / "mkenv.mk").is_file():
        raise ImageError(f"{origin}: {tree} is not a MicroPython source tree (no py/mkenv.mk)")
    version = _version(tree)
    if version[:2] < OLDEST_MICROPYTHON:
        raise ImageError(
            f"{origin}: {tree} is MicroPython {'.'.join(map(str, version))}; "
            f"{'.'.join(map(str, OLDEST_MICROPYTHON))} or newer is needed"
        )
    return tree


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One build at a time in a checkout; a second process waits, and then finds the product
    there."""
    from quipu import locks  # here, so that `packages` runs before Quipu is installed

    path = checkout_root() / "build" / "lock"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    lock = locks.take(path)
    if lock is None:
        _say("waiting for another build to finish ...")
        lock = locks.wait(path)
    with lock:
        yield


def _say(line: str) -> None:
    print(f"quipu: {line}", file=sys.stderr, flush=True)


# ----------------------------------------------------------------------------------------------
# Debian's source package


def _fetch_source(tree: Path) -> None:
    """Unpacks Debian's source package `micropython` into `tree`; apt checks its signatures."""
    if not shutil.which("apt-get"):
        raise ImageError(
            "MicroPython's source comes from Debian's archive, and there is no apt-get here: "
            "set QUIPU_MICROPYTHON to a MicroPython checkout (1.22 or newer)"
        )
    folder = tree.parent / "apt"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("sources", "lists/partial", "cache/archives/partial", "unpacked"):
        (folder / name).mkdir(parents=True)
    # A private apt: the system's own sources and lists are neither read nor changed, and root is
    # not needed.
    options = [
        f"Dir::Etc::SourceList={os.devnull}",
        f"Dir::Etc::SourceParts={folder / 'sources'}",
        f"Dir::State::Lists={folder / 'lists'}",
        f"Dir::Cache={folder / 'cache'}",
        "APT::Sandbox::User=",
        "APT::Update::Error-Mode=any",
    ]
    apt = ["apt-get", "-q"] + [part for option in options for part in ("-o", option)]
    failures = []
    for pause in FETCH_PAUSES_S:
        time.sleep(pause)
        for address in _debian_mirrors():
            (folder / "sources" / "micropython.sources").write_text(
                f"Types: deb-src\nURIs: {address}\nSuites: {SOURCE_SUITE}\nComponents: main\n"
                f"Signed-By: {ARCHIVE_KEYRING}\n"
            )
            _say(
                f"fetching MicroPython's source package from Debian's archive ({SOURCE_SUITE}) ..."
            )
            for step in (["update"], ["source", "--download-only", "micropython"]):
                done = subprocess.run(
                    apt + step,
                    check=False,
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                )
                if done.returncode:
                    failures.append(done.stderr.strip())
                    break
            archives = sorted(folder.glob("micropython_*.orig.tar.*"))
            if archives:
                _unpack(archives[-1], folder / "unpacked", tree)
                shutil.rmtree(folder)
                return
    raise ImageError(
        "MicroPython's source package could not be fetched; apt said:\n"
        + "\n".join(failures[-1:] or ["(no Debian mirror is configured)"])
        + "\nOr set QUIPU_MICROPYTHON to a MicroPython checkout (1.22 or newer)."
    )


def _debian_mirrors() -> list[str]:
    """The archives this machine's apt is configured for, without the security archive, which holds
    updates only."""
    # This asks nothing of the network and works before the first `apt-get update`, unlike `apt-get
    # indextargets`.
    listed = subprocess.run(
        ["apt-get", "--print-uris", "update"], check=False, capture_output=True, text=True
    )
    found = re.findall(r"^'(\S+/)dists/(\S+)/InRelease'", listed.stdout, re.MULTILINE)
    return list(dict.fromkeys(address for address, suite in found if "security" not in suite))


def _unpack(archive: Path, folder: Path, tree: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    (top,) = folder.iterdir()
    shutil.rmtree(tree, ignore_errors=True)
    os.replace(top, tree)


# --------------------------------------------------------------------------------------------------------
# command line


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="images.py", description="Builds images of the emulated boards."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("packages", help="print the Debian packages that are missing, on one line")
    build = commands.add_parser("build", help="build images, mpy-cross and the unix port")
    build.add_argument(
        "targets", nargs="*", metavar="TARGET", help="a board, `unix` or `mpy-cross` (default: all)"
    )
    kind = build.add_mutually_exclusive_group()
    kind.add_argument("--bare", action="store_true", help="only plain MicroPython")
    kind.add_argument("--frozen", action="store_true", help="only with Quipu frozen in")
    options = parser.parse_args(arguments)
    try:
        if options.command == "packages":
            print(" ".join(missing_packages()))
            return 0
        for target in options.targets or ["mpy-cross", "unix", *boards()]:
            if target == "unix":
                unix_port()
            elif target == "mpy-cross":
                mpy_cross()
            else:
                for frozen in (False, True):
                    if not (options.bare and frozen or options.frozen and not frozen):
                        image(target, frozen)
    except ImageError as error:
        print(f"quipu: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
