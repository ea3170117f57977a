"""Genesis: the first frame of a log, and how a log begins on a blank region. Imported on use: a log begins once."""

from . import primitives
from .arena import CHUNK, RULES, layout
from .config import check_config
from .const import const
from .errors import FlashError, FormatError, Invalid
from .frames import BOOT_BYTES, GENESIS, HEADER, NO_HEAD, OVERHEAD, OVERWRITE, STOP, largest_frame, seal, words_bytes
from .kernel import u32
from .region import Open

LARGEST = const(264)  # bytes that hold any genesis frame
_ENTROPY_AT = const(32)
_POLICY_AT = const(48)
_LENGTH_AT = const(49)
_IDENTITY_AT = const(50)
_ORIGIN_BYTES = const(132)
_IDENTITY_BYTES = const(64)


def encode(config, entropy, identity, policy=STOP, origin=None):
    """Return a genesis payload. config: see config.py. entropy: 16 random bytes. identity: the board as text, cut at 64 bytes.
    origin, of a log that continues another: (its name, seq, chain head and root there, root of the state to start with)."""
    if len(entropy) != 16:
        raise Invalid("a genesis takes 16 bytes of entropy, not %d" % len(entropy))
    if policy not in (STOP, OVERWRITE):
        raise Invalid("the policy of a full log is 0 (stop) or 1 (overwrite), not %d" % policy)
    while len(identity.encode()) > _IDENTITY_BYTES:  # cut between characters: half of one could not be read back
        identity = identity[:-1]
    identity = identity.encode()
    out = words_bytes((RULES,) + check_config(config)) + entropy + bytes((policy, len(identity))) + identity
    if origin:
        name, seq, head, root, base = origin
        out += name + words_bytes((seq,)) + head + root + base
    return bytes(out)


class Genesis:
    """A decoded genesis payload. FormatError if it is none; rules this version does not know are refused by number."""

    def __init__(self, payload):
        if len(payload) < _IDENTITY_AT or len(payload) - _IDENTITY_AT - payload[_LENGTH_AT] not in (0, _ORIGIN_BYTES):
            raise FormatError("a genesis payload of %d bytes is not one" % len(payload))
        self.rules = u32(payload, 0)
        if self.rules != RULES:
            raise FormatError("this log follows rules %d; this version knows rules %d only" % (self.rules, RULES))
        self.config = check_config([u32(payload, 4 + 4 * i) for i in range(7)])
        self.entropy = bytes(payload[_ENTROPY_AT:_POLICY_AT])
        self.policy = payload[_POLICY_AT]
        at = _IDENTITY_AT + payload[_LENGTH_AT]
        self.identity = bytes(payload[_IDENTITY_AT:at]).decode()
        self.origin = None
        if len(payload) > at:
            self.origin = (bytes(payload[at : at + 32]), u32(payload, at + 32), bytes(payload[at + 36 : at + 68]),
                           bytes(payload[at + 68 : at + 100]), bytes(payload[at + 100 : at + 132]))


def continues(buffer, at, size):
    """Return whether the genesis frame at buffer[at:] of `size` bytes begins a log that continues another one."""
    return size - OVERHEAD - _IDENTITY_AT - buffer[at + HEADER + _LENGTH_AT] == _ORIGIN_BYTES


def need_slot(region, config):
    """Return how many sectors a snapshot slot takes for a configuration. Invalid, with the numbers, if the region is too small for it."""
    slot = region.slot_size(CHUNK * layout(check_config(config))[1])
    pad = region.pad  # a sector must hold a genesis; and a command with all that may be due before it
    least = pad(OVERHEAD + BOOT_BYTES) + max(pad(LARGEST), pad(largest_frame(config)) + pad(OVERHEAD + 32) + pad(OVERHEAD + 12))
    if region.sector - region.frames_at < least:
        raise Invalid("a frame and what goes before it may take %d bytes here, but a sector of %d has room for %d"
                      % (least, region.sector, region.sector - region.frames_at))
    if region.sectors < 2 * slot + 3:
        raise Invalid("this configuration needs %d sectors (two snapshots of %d and a ring of 3), the region has %d"
                      % (2 * slot + 3, slot, region.sectors))
    return slot


def begin(region, epoch, config, entropy, identity, policy, origin=None):
    """Program the beginning of a log: the first sector's records, then the genesis frame. Invalid, and nothing done, if the
    region is too small for the configuration. origin: see encode."""
    slot = need_slot(region, config)
    payload = encode(config, entropy, identity, policy, origin)
    seq = origin[1] + 1 if origin else 0
    frame = bytearray(OVERHEAD + len(payload))
    frame[HEADER : HEADER + len(payload)] = payload
    seal(frame, 0, GENESIS, len(payload), seq, 0, 0)
    region.slot_sectors = slot
    for sector in range(region.sectors):  # an earlier beginning, cut short
        if not region.is_blank(sector * region.sector, (sector + 1) * region.sector):
            region.flash.erase(sector)
    failed = None
    for sector in range(region.ring(), region.sectors):
        try:
            region.erase(sector)
            region.open(sector, Open(epoch, seq, 0, 0, policy, primitives.hash(NO_HEAD + frame), NO_HEAD))
            region.program(sector * region.sector + region.frames_at, frame)
            return
        except (FlashError, OSError) as e:  # a bad sector: the log begins in the next one
            failed = e
            epoch += 1
    raise failed
