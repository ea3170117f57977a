"""What a board gets: Quipu's files by their paths there, compiled or as source; and the raw REPL on
its port.

Those are /lib/shared_kernel, /lib/quipu, /quipu.json and perhaps /main.py, on a card where the log
is on one. Writes none of them: see flash.py.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from quipu.board import serial_port
from quipu.board.repl import Repl
from quipu.build import modules, natives
from quipu.errors import PortError
from quipu.install import precompiled

MAIN = "import quipu\nquipu.start()\nquipu.serve()\n"
NATIVE = f"/lib/{natives.MODULE}.mpy"
FACTS, ENTROPY, APPLICATION = "/quipu.json", "/quipu.entropy", "/main.py"
FOLDERS = ("/lib", "/lib/shared_kernel", "/lib/quipu")
_SOFT_RESET = b"\x04"  # at the friendly prompt
_STOP = b"\x03"  # ends what the board may still be running of ours
_READ_S = 1.0
_WRITE_S = 10.0  # for a board that takes no bytes


def root(facts: dict[str, Any]) -> str:
    """Return what stands before all of Quipu's paths on a board of these facts: nothing, or the
    card that the log is on, as /sd."""
    return str(facts["log"].get("path", "/")).rpartition("/")[0]


def folders(facts: dict[str, Any]) -> tuple[str, ...]:
    """Return the folders that Quipu makes: the one of libraries, then its own two."""
    return tuple(root(facts) + each for each in FOLDERS)


def files(
    facts: dict[str, Any], mpy: str | Path | Mapping[str, bytes] | None = None, native: bool = True
) -> dict[str, bytes]:
    """Return what a board of these facts (a quipu.json's) gets: contents by path.

    mpy: the path of mpy-cross, which compiles the modules; or the modules compiled, as of
        `precompiled.find`; None: their sources.
    native: with the native module, if there is one for this architecture.
    """
    out = {}
    top, arch = root(facts), facts["mpy_arch"]
    for name, source in modules.sources(precompiled.packages(), arch).items():
        if mpy is None:
            out[f"{top}/lib/{name}.py"] = source.read_bytes()
        else:
            out[f"{top}/lib/{name}.mpy"] = (
                mpy[name] if isinstance(mpy, Mapping) else modules.compiled(mpy, source, name, arch)
            )
    machine_code = natives.find(arch) if native else None
    if machine_code:
        out[top + NATIVE] = machine_code
    out[top + FACTS] = json.dumps(facts).encode()
    return out


@contextmanager
def opened(port: str, tool: type[Repl] = Repl) -> Iterator[Repl]:
    """Give the raw REPL on `port`, which interrupts what runs there; then reset the board softly,
    which runs /main.py, after an error too. tool: Repl or repl_ampy.AmpyRepl."""
    with serial_port.opened(port, _READ_S, _WRITE_S) as line:
        repl = tool(line, str(line.port))
        try:
            yield repl
        except BaseException:
            # what the board does without us matters, not what it says now
            with suppress(PortError, OSError):
                line.write(_STOP)
                _restart(repl, line)
            raise
        _restart(repl, line)


def _restart(repl: Repl, line: Any) -> None:
    repl.leave()
    line.write(_SOFT_RESET)
    line.flush()
