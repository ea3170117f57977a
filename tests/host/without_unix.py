"""A pytest plugin: Python without its modules for Unix, as on Windows: `pytest -p
tests.host.without_unix tests/host/test_verify.py`.

pyserial and mpremote choose parts of their own by the name of the system, which stays. So they get
parts here: ports that cannot be opened, and a console that nobody may use.
"""

import importlib.abc
import importlib.machinery
import sys

UNIX_ONLY = ("fcntl", "termios", "pty", "tty", "grp", "pwd", "resource")
_PORTS, _CONSOLE = "serial.serialposix", "mpremote.console"


class _Parts(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name in (_PORTS, _CONSOLE) else None

    def exec_module(self, module):
        if module.__name__ == _CONSOLE:
            module.VT_ENABLED = False
            return
        from serial.serialutil import SerialBase, SerialException

        class Serial(SerialBase):
            def open(self):
                raise SerialException(f"there is no port {self.portstr}")

        module.Serial = module.PosixPollSerial = module.VTIMESerial = Serial


def hide():
    """Hide them from every import that follows."""
    sys.modules.update(dict.fromkeys(UNIX_ONLY))
    sys.meta_path.insert(0, _Parts())


def pytest_configure():
    hide()
