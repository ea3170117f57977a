"""Puts Quipu's files on a board's file system, over the raw REPL: compiled if there is a compiler, else as source.

Writes /lib/shared_kernel, /lib/quipu, /quipu.json, /quipu.entropy and perhaps /main.py, on a card where the log is on one; touches
nothing else there, and never the log. A file that is there already is not written again.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import shared_kernel
from quipu.board import serial_port
from quipu.board.repl import Repl
from quipu.build import images, natives
from quipu.errors import PortError

MAIN = "import quipu\nquipu.start()\nquipu.serve()\n"
NATIVE = f"/lib/{natives.MODULE}.mpy"
FACTS, ENTROPY, APPLICATION = "/quipu.json", "/quipu.entropy", "/main.py"
FOLDERS = ("/lib", "/lib/shared_kernel", "/lib/quipu")
_SOFT_RESET = b"\x04"  # at the friendly prompt
_STOP = b"\x03"  # ends what the board may still be running of ours
_READ_S = 1.0
_WRITE_S = 10.0  # for a board that takes no bytes
_SURVEY_S = 60.0  # a board may be that slow to hash its files
# Runs on the board: the hash of each file in our folders, one a line. No hashlib: nothing, so everything is copied.
_SURVEY = """
import os
def survey():
    try:
        from hashlib import sha256
        from binascii import hexlify
    except ImportError:
        return
    data = bytearray(512)
    for folder in %r:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            path = folder.rstrip("/") + "/" + name
            digest = sha256()
            try:
                with open(path, "rb") as f:
                    while True:
                        n = f.readinto(data)
                        if not n:
                            break
                        digest.update(memoryview(data)[:n])
            except OSError:
                continue
            print(hexlify(digest.digest()).decode(), path)
survey()
del survey
"""


class Deployed(NamedTuple):
    """Paths written, paths that were there already, stale ones removed."""

    written: list[str]
    kept: list[str]
    removed: list[str]


def root(facts: dict[str, Any]) -> str:
    """Return what stands before all of Quipu's paths on a board of these facts: nothing, or the card that the log is on, as /sd."""
    return str(facts["log"].get("path", "/")).rpartition("/")[0]


def folders(facts: dict[str, Any]) -> tuple[str, ...]:
    """Return the folders that Quipu makes: the one of libraries, then its own two."""
    return tuple(root(facts) + each for each in FOLDERS)


def files(facts: dict[str, Any], mpy_cross: str | Path | None = None, native: bool = True) -> dict[str, bytes]:
    """Return what a board of these facts (a quipu.json's) gets: contents by path. mpy_cross: the compiler; None: sources. native:
    with the native module, if there is one for this architecture."""
    out = {}
    top = root(facts)
    for package, folder in (("shared_kernel", Path(shared_kernel.__file__).parent),
                            ("quipu", images.checkout_root() / "firmware" / "quipu")):
        for source in sorted(folder.glob("*.py")):
            name = f"{package}/{source.stem}"
            if mpy_cross is None:
                out[f"{top}/lib/{name}.py"] = source.read_bytes()
            else:
                out[f"{top}/lib/{name}.mpy"] = compiled(mpy_cross, source, name + ".py", facts["mpy_arch"])
    module = natives.find(facts["mpy_arch"]) if native else None
    if module:
        out[top + NATIVE] = module
    out[top + FACTS] = json.dumps(facts).encode()
    return out


def compiled(mpy_cross: str | Path, source: Path, name: str, arch: str) -> bytes:
    """Return a module as .mpy. -O3 leaves out assertions and line numbers; `name` is what tracebacks call it."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mpy"
        done = subprocess.run([mpy_cross, f"-march={arch}", "-O3", "-s", name, "-o", target, source], check=False,
                              capture_output=True, text=True)
        if done.returncode:
            raise images.ImageError(f"mpy-cross does not compile {source} for {arch}:\n{done.stderr.strip()}")
        return target.read_bytes()


@contextmanager
def opened(port: str, tool: type[Repl] = Repl) -> Iterator[Repl]:
    """Give the raw REPL on `port`, which interrupts what runs there; then reset the board softly, which runs /main.py,
    after an error too. tool: Repl or repl_ampy.AmpyRepl."""
    with serial_port.opened(port, _READ_S, _WRITE_S) as line:
        repl = tool(line, str(line.port))
        try:
            yield repl
        except BaseException:
            with suppress(PortError, OSError):  # what the board does without us matters, not what it says now
                line.write(_STOP)
                _restart(repl, line)
            raise
        _restart(repl, line)


def _restart(repl: Repl, line: Any) -> None:
    repl.leave()
    line.write(_SOFT_RESET)
    line.flush()


def deploy(port: str, facts: dict[str, Any], mpy_cross: str | Path | None = None, main: str | None = MAIN) -> Deployed:
    """Copy Quipu to the board on `port`, then reset it softly. main: the application, as /main.py; None: leave it alone.

    Interrupts what runs there. PortError if there is no MicroPython.
    """
    wanted = files(facts, mpy_cross)
    if main is not None:
        wanted["/main.py"] = main.encode()
    result = Deployed([], [], [])
    with opened(port) as repl:
        there = {}
        for line in repl.run(_SURVEY % (("/", *FOLDERS),), _SURVEY_S).decode().splitlines():
            digest, _, path = line.partition(" ")
            there[path] = digest
        for folder in FOLDERS:
            repl.make_folder(folder)
        # MicroPython prefers x.py to x.mpy: what is ours and stale must go.
        for path in sorted(there):
            if path not in wanted and path.rpartition("/")[0] in FOLDERS[1:]:
                repl.run(f"import os\nos.remove({path!r})", _SURVEY_S)
                result.removed.append(path)
        for path, content in wanted.items():
            if there.get(path) == hashlib.sha256(content).hexdigest():
                result.kept.append(path)
            else:
                repl.write_file(path, content)
                result.written.append(path)
        # A blank log region gets its genesis at the next start, from this; a board with randomness of its own ignores it.
        repl.write_file("/quipu.entropy", os.urandom(16))
    return result
