"""What a PORT means and why one cannot be opened; which are asked unbidden: never Bluetooth's,
never a console's.

The list of ports is made up; the ports that are opened are ptys.
"""

import errno
import os
import pty
from types import SimpleNamespace

import pytest
import quipu
import serial
from quipu.board import ports, serial_port
from quipu.board.serial_port import Port
from quipu.cli import main as cli
from quipu.errors import CannotOpen, UsageError

PICO = Port("/dev/ttyACM0", "Board in FS mode - Board CDC", "2e8a:0005", "e6614103e7452d2f")
TWIN = Port("/dev/ttyACM1", "Board in FS mode - Board CDC", "2e8a:0005", "e66118604b4a3a2c")
NUCLEO = Port(
    "/dev/ttyACM2", "STM32 STLink - ST-Link VCP Ctrl", "0483:374b", "066DFF515055657867144725"
)


@pytest.fixture
def listed(monkeypatch):
    """The made-up ports of this laptop."""
    monkeypatch.setattr(serial_port, "ports", lambda: [PICO, TWIN, NUCLEO])


@pytest.fixture
def device():
    """A pty that nobody serves."""
    ours, its = pty.openpty()
    yield os.ttyname(its)
    os.close(ours)
    os.close(its)


@pytest.mark.parametrize(
    ("port", "device"),
    [
        ("/dev/ttyACM7", "/dev/ttyACM7"),
        ("COM3", "COM3"),
        ("socket://h:1", "socket://h:1"),
        ("rfc2217://h:1", "rfc2217://h:1"),
        ("id:e66118604b4a3a2c", TWIN.device),
        ("stlink", NUCLEO.device),
        ("0483:374b", NUCLEO.device),
        ("ttyACM2", NUCLEO.device),
    ],
)
def test_a_port_is_a_device_an_address_or_what_one_port_fits(listed, port, device):
    assert serial_port.resolve(port) == device


def test_two_that_fit_are_both_named_and_none_is_taken(listed):
    with pytest.raises(
        UsageError, match="2 ports fit.*e6614103e7452d2f.*e66118604b4a3a2c.*name one"
    ):
        serial_port.resolve("fs mode")


@pytest.mark.parametrize("port", ["id:e661", "Feather"])
def test_what_no_port_fits_is_told_with_those_that_are_here(listed, port):
    with pytest.raises(CannotOpen, match=f"{port}.*none is called so.*ttyACM0.*ttyACM2"):
        quipu.connect(port)


def test_the_environment_names_the_port(listed, monkeypatch, capsys):
    monkeypatch.delenv("QUIPU_PORT", raising=False)
    with pytest.raises(UsageError, match="QUIPU_PORT is not set"):
        serial_port.resolve("-")
    assert cli.main(["info"]) == 2
    monkeypatch.setenv("QUIPU_PORT", "stlink")
    assert serial_port.resolve("-") == NUCLEO.device
    monkeypatch.setenv("QUIPU_PORT", "/dev/no-such-port")
    capsys.readouterr()
    for arguments in (["info"], ["info", "-"], ["put", "-", "mode", "run"], ["get", "-", "mode"]):
        assert cli.main(arguments) == 3
        assert (
            "/dev/no-such-port: cannot open this port: there is no such device; here are: "
            "/dev/ttyACM0" in capsys.readouterr().err
        )


def test_a_port_that_is_in_use_says_by_whom(device):
    with serial.Serial(device, exclusive=True):
        with pytest.raises(
            CannotOpen, match=rf"in use by .*\(process {os.getpid()}\).*end that first"
        ):
            quipu.connect(device, timeout=1)


@pytest.mark.parametrize(
    ("group", "advice"),
    [
        (
            "dialout",
            "no permission: it belongs to the group dialout: .*usermod -aG dialout .*log in",
        ),
        ("root", "no permission: ask whoever administers this machine"),
    ],
)
def test_a_port_without_permission_names_the_group(device, monkeypatch, group, advice):
    """But nobody should join root for it."""
    grp = pytest.importorskip("grp")

    def refuse(*args, **options):
        raise serial.SerialException(errno.EACCES, "Permission denied")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    monkeypatch.setattr(grp, "getgrgid", lambda number: SimpleNamespace(gr_name=group))
    with pytest.raises(CannotOpen, match=advice):
        quipu.connect(device, timeout=1)


@pytest.mark.parametrize(
    ("device", "description", "asked"),
    [
        ("/dev/ttyACM0", "Board in FS mode", True),
        ("/dev/ttyUSB0", "CP2102", True),
        ("COM3", "USB Serial Device", True),
        ("COM4", "Standard Serial over Bluetooth link", False),
        ("/dev/cu.Bluetooth-Incoming-Port", "n/a", False),
        ("/dev/cu.debug-console", "n/a", False),
        ("/dev/rfcomm0", "n/a", False),
        ("/dev/ttyS0", "n/a", False),
        ("/dev/ttyAMA0", "n/a", False),
    ],
)
def test_ports_that_are_asked(monkeypatch, device, description, asked):
    calls = []
    monkeypatch.setattr(ports, "ports", lambda: [Port(device, description)])
    monkeypatch.setattr(
        ports,
        "probe",
        lambda port: calls.append(port) or {"firmware": "1", "board": "b/1", "configured": True},
    )
    (row,) = ports.probe_all()
    assert (calls == [device]) is asked and ("not asked" in row["answer"]) is not asked
