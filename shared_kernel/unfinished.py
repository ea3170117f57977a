"""What the restoring of a state, or the erasing of a log, leaves on flash when it is cut short. Imported on use; writes nothing."""

from . import recovery, snapshot
from .frames import seed
from .genesis import LARGEST
from .reader import LogReader


def is_erased(region, mark):
    """Return whether the log that an open record in slot 1 names was being erased on purpose: no frame of it stands that would follow
    that record. A boot that could not read the record has gone on with the log, and written a boot frame first."""
    reader = LogReader(region, (), seed(mark.name), bytearray(LARGEST), 0)
    reader.seq = mark.first
    for sector in range(region.ring(), region.sectors):
        for _ in recovery.strays(reader, sector, sector * region.sector + region.frames_at):
            return False
    return True


def is_restored(found, newest):
    """Return whether the snapshot that a continuation begins with stands whole, with both of its headers: one alone may read
    otherwise at the next boot. found: the Recovery; newest: the Open record of the log's newest sector."""
    for slot in (0, 1):
        if found.header(slot, 0, newest) and found.header(slot, found.region.pad(snapshot.HEADER), newest):
            return True
    return False
