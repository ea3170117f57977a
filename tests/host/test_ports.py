"""Which serial ports are asked unbidden: never Bluetooth's, never a console's."""

import pytest
from quipu import ports


@pytest.mark.parametrize(("device", "description", "asked"), [
    ("/dev/ttyACM0", "Board in FS mode", True),
    ("/dev/ttyUSB0", "CP2102", True),
    ("COM3", "USB Serial Device", True),
    ("COM4", "Standard Serial over Bluetooth link", False),
    ("/dev/cu.Bluetooth-Incoming-Port", "n/a", False),
    ("/dev/cu.debug-console", "n/a", False),
    ("/dev/rfcomm0", "n/a", False),
    ("/dev/ttyS0", "n/a", False),
    ("/dev/ttyAMA0", "n/a", False),
])
def test_ports_that_are_asked(monkeypatch, device, description, asked):
    calls = []
    monkeypatch.setattr(ports, "ports", lambda: [ports.Port(device, description)])
    monkeypatch.setattr(ports, "probe", lambda port: calls.append(port) or {"firmware": "1", "board": "b/1", "configured": True})
    (row,) = ports.probe_all()
    assert (calls == [device]) is asked and ("not asked" in row["answer"]) is not asked
