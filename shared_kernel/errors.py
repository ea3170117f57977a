"""Every error the kernel, the log and the link raise: one small tree, raised where found, never
caught here.

`code` is what crosses the link, so that the laptop raises the class that the board raised.
"""


class QuipuError(Exception):
    """Something that this project found wrong; the message says what was expected, what was found,
    and what to do."""

    code = 1


class Refused(QuipuError):
    """A command that was checked and not applied: no byte of the state changed and no frame was
    written."""

    code = 2


class Invalid(Refused):
    """A field out of its range, a payload of the wrong length, an unknown type."""

    code = 3


class WrongDimension(Refused):
    """A vector or query whose dimension is not the configured one."""

    code = 4


class TooLong(Refused):
    """A name, value or metadata longer than the configuration allows."""

    code = 5


class NotFound(Refused):
    """No record, node, edge or key of that id or name: never created, or deleted since."""

    code = 6


class Full(Refused):
    """A pool of the arena has no free slot."""

    code = 7


class InUse(Refused):
    """A record that a node still refers to."""

    code = 8


class LogFull(Refused):
    """No sector may be recycled yet: sync (which acknowledges), then go on."""

    code = 9


class Busy(QuipuError):
    """A call that arrived inside another: from a timer, a callback or a second core."""

    code = 10


class FlashError(QuipuError):
    """The flash did not do what it was told; the next call rebuilds the state from what it
    holds."""

    code = 11


class Damage(QuipuError):
    """The log is broken before its end: reads are served, nothing is appended, the host can still
    pull."""

    code = 12


class FormatError(QuipuError):
    """Bytes that are not what they should be: of another format, version or log, or altered."""

    code = 13


class LinkError(QuipuError):
    """A request that the board could not read, or that asks for something it does not have."""

    code = 14


class Mismatch(QuipuError):
    """Replay and log part at `seq`: `what` differs, `expected` by replay and `found` in the log."""

    code = 15

    def __init__(self, seq: int, what: str, expected: object, found: object) -> None:
        super().__init__("seq %d: %s: expected %s, found %s" % (seq, what, expected, found))
        self.seq = seq
        self.what = what
        self.expected = expected
        self.found = found
