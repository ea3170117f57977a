"""What a board gets: Quipu's files by their paths there, compiled if there is a compiler, else as source; and the raw REPL on its port.

Those are /lib/shared_kernel, /lib/quipu, /quipu.json and perhaps /main.py, on a card where the log is on one. Writes none of them: see
flash.py.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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
                module = package if source.stem == "__init__" else f"{package}.{source.stem}"
                out[f"{top}/lib/{name}.mpy"] = compiled(mpy_cross, source, module, facts["mpy_arch"])
    machine_code = natives.find(facts["mpy_arch"]) if native else None
    if machine_code:
        out[top + NATIVE] = machine_code
    out[top + FACTS] = json.dumps(facts).encode()
    return out


def compiled(mpy_cross: str | Path, source: Path, name: str, arch: str) -> bytes:
    """Return a module as .mpy. -O3 leaves out assertions and line numbers; `name` is what tracebacks call it. A board
    keeps each name that it reads for good, but a module's own only once."""
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
