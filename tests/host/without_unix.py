"""A pytest plugin: Python without its modules for Unix, as on Windows: `pytest -p tests.host.without_unix tests/host/test_verify.py`.

pyserial chooses its part for a system by that system's name, which stays: so it gets a part whose ports cannot be opened.
"""

import importlib.abc
import importlib.machinery
import sys

UNIX_ONLY = ("fcntl", "termios", "pty", "tty", "grp", "pwd", "resource")
_PART = "serial.serialposix"


class _PyserialsPart(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name == _PART else None

    def exec_module(self, module):
        from serial.serialutil import SerialBase, SerialException

        class Serial(SerialBase):
            def open(self):
                raise SerialException(f"there is no port {self.portstr}")

        module.Serial = module.PosixPollSerial = module.VTIMESerial = Serial


def hide():
    """Hide them from every import that follows."""
    sys.modules.update(dict.fromkeys(UNIX_ONLY))
    sys.meta_path.insert(0, _PyserialsPart())


def pytest_configure():
    hide()
