"""Which serial ports this laptop has, and which Quipu boards answer on them. Changes nothing on a
board."""

import re
from typing import Any

from quipu.board.board import Board
from quipu.board.link import Link
from quipu.board.serial_port import Port, ports
from quipu.errors import CannotOpen, PortError, QuipuError

_PROBE_S = 1.0
_NOT_PROBED = re.compile(r"bluetooth|rfcomm|/tty(S|AMA|HVC|hvc)\d|console", re.IGNORECASE)


def probe(device: str, timeout: float = _PROBE_S) -> dict[str, Any]:
    """Return the info of the board that answers on a port now. PortError if none does within
    `timeout` s.

    Only one request goes out, which a REPL takes for a comment; no service is started for it.
    """
    with Board(Link(device, timeout, serve=False)) as board:
        return board.info()


def not_probed(port: Port) -> bool:
    """Return whether a port is Bluetooth's, where opening it may call a phone, or a console's,
    where a request is typed into a
    login: such a port is asked only if a person names it."""
    return bool(_NOT_PROBED.search(port.device) or "bluetooth" in port.description.lower())


def probe_all() -> list[dict[str, Any]]:
    """Return {port, usb, serial, description, answer, board} of every port; usb: "vid:pid" or "";
    board: its name, or None; answer: a line for people."""
    out = []
    for port in ports():
        board, answer = (
            (None, "not asked: Bluetooth or a console") if not_probed(port) else _asked(port.device)
        )
        out.append(
            {
                "port": port.device,
                "usb": port.usb,
                "serial": port.serial,
                "description": port.description,
                "answer": answer,
                "board": board,
            }
        )
    return out


def _asked(device: str) -> tuple[str | None, str]:
    try:
        info = probe(device)
    except CannotOpen as error:
        return None, str(error).partition(": ")[2]
    except PortError:
        return None, "no Quipu answers"
    except QuipuError as error:
        return None, f"answers with an error: {error}"
    return info["board"], f"Quipu {info['firmware']} on {info['board']}" + (
        "" if info["configured"] else ", not configured"
    )
