"""Which kernel runs on this laptop: shared_kernel's files compiled, or the same files as Python
reads them.

Imported before anything of shared_kernel. The compiled modules live in quipu/compiled/, made by
setup.py; they are put in front of the files only if they were compiled from exactly those, so an
edited file always runs as it is."""

import hashlib
import importlib
import json
import os
import sys
from pathlib import Path

import shared_kernel

_HERE = Path(__file__).resolve().parent / "compiled"
_SOURCES = Path(shared_kernel.__file__).resolve().parent


def digest(folder: Path) -> str:
    """Return the hash of a folder's .py files, names included: what is compiled of them says it
    (host/native/fold.py)."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        content = path.read_bytes()
        total.update(f"{path.name} {len(content)}\n".encode() + content)
    return total.hexdigest()


def _choose() -> tuple[str, str]:
    """Return ("compiled" or "pure", why it is not compiled)."""
    if os.environ.get("QUIPU_PURE", "") not in ("", "0"):
        return "pure", "QUIPU_PURE is set"
    if "shared_kernel.kernel" in sys.modules:
        return "pure", "shared_kernel was imported before quipu"
    try:
        made_of = json.loads((_HERE / "sources.json").read_text())["shared_kernel"]
    except (OSError, ValueError, KeyError):
        return "pure", "nothing was compiled when Quipu was installed here"
    if made_of != digest(_SOURCES):
        return (
            "pure",
            "shared_kernel has changed since it was compiled: `make kernel` compiles it again",
        )
    if not any((_HERE / "shared_kernel").glob("kernel.*")):
        return "pure", "this machine could not compile it"
    before = set(sys.modules)
    shared_kernel.__path__.insert(0, str(_HERE / "shared_kernel"))
    try:
        importlib.import_module("shared_kernel.batch")  # and with it the rest
    except ImportError as e:  # compiled for another Python
        shared_kernel.__path__.pop(0)
        for each in [
            name for name in sys.modules if name.startswith("shared_kernel.") and name not in before
        ]:
            del sys.modules[each]
        return "pure", f"what was compiled does not load: {e}"
    return "compiled", ""


kind, why = _choose()


def describe() -> str:
    """Say which kernel runs, and if it is not the compiled one, why."""
    return f"{kind} kernel" + (f" ({why})" if why else "")
