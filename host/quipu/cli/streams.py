"""The standard streams, so that whatever is printed arrives: no character that a terminal lacks and
no disk that is full ends in a traceback. Knows no verb."""

import codecs
import contextlib
import io
import os
import sys
import warnings
from typing import Any

_NEAREST = {"…": "...", "±": "+-", "→": "->", "✓": "v", "✗": "x"}


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks: the nearest ones, else escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    from quipu.text import escaped  # seldom needed, and a start is to be quick

    lacking = error.object[error.start : error.end]
    return "".join(_NEAREST.get(c) or escaped(c) for c in lacking), error.end


codecs.register_error("quipu", _replaced)


def prepare() -> None:
    """Let standard output and standard error take every character, and tell a warning as a
    sentence."""
    warnings.showwarning = _warned
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="quipu")


def _warned(message: Warning | str, *where: Any, **more: Any) -> None:
    tell(f"quipu: warning: {message}", sys.stderr)


def tell(text: str, stream: Any) -> bool:
    """Print what is wrong, escaped, and return whether it could be written."""
    from quipu.text import plain

    try:
        print("\n".join(map(plain, text.split("\n"))), file=stream, flush=True)
    except OSError:
        return False
    return True


def give_up() -> None:
    """Drop what standard output could not take, so that Python's end does not try it again."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
