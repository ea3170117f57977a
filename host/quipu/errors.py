"""Every error that the host library raises: the kernel's, re-exported, and those that only a laptop
can meet.

Raised where found, turned into text once, by the command line; `exit_code` says with what number it
then ends."""

from shared_kernel.errors import (
    Busy,
    Damage,
    FlashError,
    FormatError,
    Full,
    InUse,
    Invalid,
    LinkError,
    LogFull,
    Mismatch,
    NotFound,
    QuipuError,
    Refused,
    TooLong,
    WrongDimension,
)
from shared_kernel.history import Archived

__all__ = [
    "ArchiveDamage",
    "ArchiveError",
    "Archived",
    "Busy",
    "CannotOpen",
    "Damage",
    "FlashError",
    "Forked",
    "FormatError",
    "Full",
    "HostError",
    "InUse",
    "Invalid",
    "LinkError",
    "LogFull",
    "LostAnswer",
    "Mismatch",
    "NoArchive",
    "NotFound",
    "OtherLog",
    "PortError",
    "QuipuError",
    "Refused",
    "RolledBack",
    "TooLarge",
    "TooLong",
    "UsageError",
    "Weaker",
    "WrongDimension",
    "about",
    "by_code",
    "exit_code",
]

WRONG, USAGE, PORT = 1, 2, 3  # exit codes: mismatch or damage; bad input; board or port trouble


class HostError(QuipuError):
    """Something that the laptop found wrong."""

    exit_code = WRONG


class UsageError(HostError):
    """An argument that cannot be meant."""

    exit_code = USAGE


class PortError(HostError):
    """A port that cannot be opened, a board that does not answer, or one that has no Quipu."""

    exit_code = PORT


class CannotOpen(PortError):
    """A port that is not there, or that another program holds."""


class LostAnswer(PortError):
    """No answer came: whether the request was carried out is not known."""


class TooLarge(HostError):
    """More memory is asked for than this computer gives (see limits)."""


class ArchiveError(HostError):
    """A folder that is no archive, or one that cannot take what is to be written to it."""


class NoArchive(ArchiveError):
    """A path where no archive is, so that nothing can be said of one: no sign of tampering."""

    exit_code = USAGE

    def __init__(self, path: object, more: str = ""):
        super().__init__(
            f"{path} is no archive: it has no archive.json (`quipu sync` makes one){more}"
        )


class ArchiveDamage(ArchiveError):
    """An archive that contradicts itself: from `seq` on, `what` is not what was `expected`, but
    what was `found`."""

    def __init__(self, where: object, seq: int, what: str, expected: object, found: object):
        super().__init__(f"{where}: seq {seq}: {what}: expected {expected}, found {found}")
        self.seq = seq
        self.what = what
        self.expected = expected
        self.found = found


class Weaker(UserWarning):
    """What an archive's file system cannot promise, such as locks: everything works without."""


class OtherLog(ArchiveError):
    """The archive holds another log than the board."""


class RolledBack(ArchiveError):
    """The archive holds frames that the board's log has not, from `seq` on."""

    def __init__(self, message: str, seq: int):
        super().__init__(message)
        self.seq = seq


class Forked(ArchiveError):
    """Two archives of one log hold different frames from `seq` on."""

    def __init__(self, message: str, seq: int):
        super().__init__(message)
        self.seq = seq


def about(error: QuipuError, message: str) -> QuipuError:
    """Return an error of the same class and with the same fields that says `message`: for who knows
    what it was about."""
    out = type(error).__new__(type(error), message)
    out.__dict__.update(error.__dict__)
    return out


def by_code(code: int) -> type[QuipuError]:
    """Return the class of a code that came over the link; QuipuError for one that this version does
    not know."""
    for each in (
        Refused,
        Invalid,
        WrongDimension,
        TooLong,
        NotFound,
        Full,
        InUse,
        LogFull,
        Busy,
        FlashError,
        Damage,
        FormatError,
        LinkError,
        Archived,
    ):
        if each.code == code:
            return each
    return QuipuError


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error: 1 a command was refused or something is wrong with a log,
    2 usage, 3 board or port trouble."""
    if isinstance(error, HostError):
        return error.exit_code
    return WRONG if isinstance(error, (Damage, FormatError, Mismatch, Refused)) else PORT
