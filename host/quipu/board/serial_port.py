"""What a PORT means, and how it is opened: a device, an address, or words that only one plugged-in
board fits. Asks no board anything."""

import errno
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from quipu.errors import CannotOpen, UsageError

DEFAULT = "-"  # as a PORT: the one in the environment
VARIABLE = "QUIPU_PORT"
BAUD = 115200
_SERIAL = "id:"
_DEVICE = re.compile(r"COM\d+", re.IGNORECASE)
_BUSY = (errno.EBUSY, errno.EAGAIN)


class Port(NamedTuple):
    """device: what opens it; description: what the system says of it; usb: "vid:pid" in hex, "" if
    it is not USB; serial: the device's serial number, or ""."""

    device: str
    description: str
    usb: str = ""
    serial: str = ""

    def __str__(self) -> str:
        return ", ".join(
            filter(
                None,
                (self.device, self.usb, self.serial and _SERIAL + self.serial, self.description),
            )
        )


def ports() -> list[Port]:
    """Return the serial ports that the system knows, by name. Ptys, of emulated boards, are not
    among them."""
    # pyserial is loaded where a port is wanted: proving an archive needs none
    from serial.tools import list_ports

    return sorted(
        Port(
            each.device,
            each.description or "",
            "" if each.vid is None else f"{each.vid:04x}:{each.pid:04x}",
            each.serial_number or "",
        )
        for each in list_ports.comports()
    )


def is_device(port: str) -> bool:
    """Return whether a PORT can be nothing but one, whether it is there or not: an address, a
    device, id:SERIAL, or "-"."""
    return (
        port in (DEFAULT, "")
        or "://" in port
        or port.startswith((_SERIAL, "/dev/", "\\\\.\\"))
        or bool(_DEVICE.fullmatch(port))
    )


def resolve(port: str) -> str:
    """Return what pyserial opens for a PORT: a device or an address as it stands; for "-" the PORT
    in QUIPU_PORT; for id:SERIAL or a part of a description the one port that fits. CannotOpen if
    none does, UsageError, which lists them, if several do."""
    if port in (DEFAULT, ""):
        port = os.environ.get(VARIABLE, "")
        if port in (DEFAULT, ""):
            raise UsageError(
                f"PORT is {DEFAULT!r}, and {VARIABLE} is not set: name a port (`quipu ports` "
                f"lists them)"
            )
    if "://" in port or "/" in port or "\\" in port or _DEVICE.fullmatch(port):
        return port
    there = ports()
    if port.startswith(_SERIAL):
        fitting = [each for each in there if each.serial == port[len(_SERIAL) :]]
    else:
        fitting = [
            each
            for each in there
            if port.lower() in f"{each.device} {each.usb} {each.description}".lower()
        ]
    if not fitting:
        raise CannotOpen(f"{port}: cannot open this port: none is called so; {_listed(there)}")
    if len(fitting) > 1:
        raise UsageError(
            f"{port}: {len(fitting)} ports fit: {'; '.join(map(str, fitting))}: name one of them, "
            f"say "
            f"{next((_SERIAL + each.serial for each in fitting if each.serial), fitting[0].device)}"
        )
    return fitting[0].device


def opened(port: str, timeout: float, write_timeout: float | None = None) -> Any:
    """Open a PORT for this program alone and return pyserial's port. timeout: of a read,
    write_timeout: of a write, in s. UsageError or CannotOpen, which says why it cannot be opened
        and what to try."""
    import serial

    device = resolve(port)
    options: dict[str, Any] = {"baudrate": BAUD, "timeout": timeout}
    if "://" not in device:
        options.update(exclusive=True, write_timeout=write_timeout)
    try:
        return serial.serial_for_url(device, **options)
    except (OSError, ValueError) as error:
        # pyserial's errors are OSErrors; ValueError is a malformed URL
        raise CannotOpen(f"{device}: cannot open this port: {_reason(device, error)}") from None


def gone(port: str, error: Exception) -> str:
    """Return the sentence for a port that broke while it was open."""
    import serial

    if isinstance(error, serial.SerialTimeoutException):
        return f"{port}: the board takes no more bytes: restart it, or unplug it and plug it in, and run the same command again"
    return f"{port}: the port broke ({error}): was the cable pulled? Plug it in and run the same command again"


def _reason(device: str, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if "://" in device or code is None:
        return str(error)
    if code in _BUSY:
        users = holders(device)
        return (
            f"in use{' by ' + ', '.join(users) if users else ' by another program'}: end that first"
        )
    if code == errno.EACCES:
        return f"no permission: {_permission(device)}"
    if code in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return f"there is no such device; {_listed(ports())}"
    return str(error)


def _listed(there: list[Port]) -> str:
    if not there:
        return "no serial port is here: is the board plugged in, and is its cable one for data?"
    return "here are: " + "; ".join(map(str, there))


def _permission(device: str) -> str:
    try:
        import grp

        group = grp.getgrgid(os.stat(device).st_gid).gr_name
    except (ImportError, OSError, KeyError):
        group = "root"
    if group == "root":  # which nobody should join for the sake of a port
        return "ask whoever administers this machine for the right to open it"
    return f"it belongs to the group {group}: `sudo usermod -aG {group} $USER`, then log in again"


def holders(device: str) -> list[str]:
    """Return the programs that have a device open, as far as Linux lets us see, as "name (process
    n)"."""
    target = os.path.realpath(device)
    out = []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            if any(os.path.realpath(each) == target for each in (process / "fd").iterdir()):
                out.append(f"{(process / 'comm').read_text().strip()} (process {process.name})")
        except OSError:  # another user's, or over already
            continue
    return out
