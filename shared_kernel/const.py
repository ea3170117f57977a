"""`const` for both interpreters: mpy-cross folds it at compile time, CPython just calls it."""

try:
    from micropython import const as const
except ImportError:

    def const(value: int) -> int:
        """Return value: on CPython a constant is an ordinary name."""
        return value
