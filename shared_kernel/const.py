"""`const` for both interpreters: mpy-cross folds it at compile time, CPython just calls it."""

try:
    from micropython import const
except ImportError:

    def const(value):
        """Return value: on CPython a constant is an ordinary name."""
        return value
