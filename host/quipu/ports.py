"""Which serial ports this laptop has, and which Quipu boards answer on them. Changes nothing on a board."""

import re
from typing import Any, NamedTuple

from serial.tools import list_ports

from .board import Board
from .errors import CannotOpen, PortError, QuipuError
from .link import Link

_PROBE_S = 1.0
_NOT_PROBED = re.compile(r"bluetooth|rfcomm|/tty(S|AMA|HVC|hvc)\d|console", re.IGNORECASE)


class Port(NamedTuple):
    """device: what `connect` takes; description: what the system says of it."""

    device: str
    description: str


def ports() -> list[Port]:
    """Return the serial ports that the system knows, by name. Ptys, of emulated boards, are not among them."""
    return sorted(Port(each.device, each.description) for each in list_ports.comports())


def probe(device: str, timeout: float = _PROBE_S) -> dict[str, Any]:
    """Return the info of the board that answers on a port now. PortError if none does within `timeout` s.

    Only one request goes out, which a REPL takes for a comment; no service is started for it.
    """
    with Board(Link(device, timeout, serve=False)) as board:
        return board.info()


def not_probed(device: str, description: str) -> bool:
    """Return whether a port is Bluetooth's, where opening it may call a phone, or a console's, where a request is typed into a
    login: such a port is asked only if a person names it."""
    return bool(_NOT_PROBED.search(device) or "bluetooth" in description.lower())


def probe_all() -> list[dict[str, Any]]:
    """Return {port, description, answer, board} of every port; board: its name, or None; answer: a line for people."""
    out = []
    for device, description in ports():
        board = None
        if not_probed(device, description):
            out.append({"port": device, "description": description, "answer": "not asked: Bluetooth or a console", "board": None})
            continue
        try:
            info = probe(device)
            board = info["board"]
            answer = f"Quipu {info['firmware']} on {board}" + ("" if info["configured"] else ", not configured")
        except CannotOpen:
            answer = "cannot be opened: another program may hold it"
        except PortError:
            answer = "no Quipu answers"
        except QuipuError as e:
            answer = f"answers with an error: {e}"
        out.append({"port": device, "description": description, "answer": answer, "board": board})
    return out
