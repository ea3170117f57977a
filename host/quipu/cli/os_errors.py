"""What the operating system refused, as a sentence with the file's name. Knows no verb."""

import errno
import os

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ASIDE = ".quipu-"  # a file that is written beside the one that was asked for: archive/disk.py


def name_output(error: OSError, output: str) -> None:
    """Let an error that names no file, or one beside `output`, name `output`, to which a verb was
    writing."""
    if error.filename is None or os.path.basename(os.fsdecode(error.filename)).startswith(_ASIDE):
        error.filename = output


def sentence(error: OSError) -> str:
    """Return what happened, to which file, and what to do."""
    name = None if error.filename is None else os.fsdecode(error.filename)
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in _FULL:
        return f"{name or 'a file'} cannot be written whole: {reason}. Make room, and try again"
    if name is None:
        return reason
    folder = os.path.dirname(name)
    if error.errno == errno.ENOENT:
        if folder and not os.path.isdir(folder):
            return f"there is no folder {folder}, so no {name}: make it first, or correct the path"
        return f"there is no file {name}: correct its path"
    if error.errno == errno.EISDIR:
        return f"{name} is a folder: name a file"
    if error.errno == errno.ENOTDIR:
        return f"{name} leads through a file, not a folder: correct the path"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{name}: {reason}: allow this user to use it, or choose another file"
    return f"{name}: {reason}"
