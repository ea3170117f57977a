"""Genesis: the first frame of a log, and how a log begins on a blank region. Imported on use: a log
begins once."""

from . import primitives
from .arena import CHUNK, RULES, layout
from .config import check_config
from .const import const
from .errors import FlashError, FormatError, Invalid
from .frames import (
    BOOT_BYTES,
    GENESIS,
    GENESIS_BYTES,
    HEADER,
    LAST,
    NO_HEAD,
    OVERHEAD,
    OVERWRITE,
    STOP,
    largest_frame,
    seal,
    words_bytes,
)
from .kernel import u32
from .run import NONE, Run

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Integers, Origin, Region

BEGUN = b"QUIPUNEW"  # see unfinished.py
DONE = b"QUIPULOG"
_ENTROPY_AT = const(32)
_POLICY_AT = const(48)
_LENGTH_AT = const(49)
_IDENTITY_AT = const(50)
_ORIGIN_BYTES = const(132)
_IDENTITY_BYTES = const(64)


def encode(
    config: "Integers",
    entropy: bytes,
    identity: str,
    policy: int = STOP,
    origin: "Origin | None" = None,
) -> bytes:
    """Return a genesis payload. config: see config.py. entropy: 16 random bytes. identity: the
    board as text, cut at 64 bytes. origin, of a log that continues another: (its name, seq, chain
    head and root there, root of the state to start with)."""
    if len(entropy) != 16:
        raise Invalid("a genesis takes 16 bytes of entropy, not %d" % len(entropy))
    if policy not in (STOP, OVERWRITE):
        raise Invalid("the policy of a full log is 0 (stop) or 1 (overwrite), not %d" % policy)
    # cut between characters: half of one could not be read back
    while len(identity.encode()) > _IDENTITY_BYTES:
        identity = identity[:-1]
    identity = identity.encode()  # type: ignore[assignment]  # a second name would cost a board bytes
    out = (
        words_bytes((RULES,) + check_config(config))
        + entropy
        + bytes((policy, len(identity)))
        + identity  # type: ignore[operator]  # bytes now
    )
    if origin:
        name, seq, head, root, base = origin
        out += name + words_bytes((seq,)) + head + root + base
    return bytes(out)


class Genesis:
    """A decoded genesis payload. FormatError if it is none; rules this version does not know are
    refused by number."""

    if 0:  # read by type checkers only
        origin: "Origin | None"

    def __init__(self, payload: "Buffer") -> None:
        if len(payload) < _IDENTITY_AT or len(payload) - _IDENTITY_AT - payload[_LENGTH_AT] not in (
            0,
            _ORIGIN_BYTES,
        ):
            raise FormatError("a genesis payload of %d bytes is not one" % len(payload))
        if payload[_LENGTH_AT] > _IDENTITY_BYTES:
            raise FormatError(
                "a genesis names the board in at most %d bytes, not %d"
                % (_IDENTITY_BYTES, payload[_LENGTH_AT])
            )
        self.rules = u32(payload, 0)
        if self.rules != RULES:
            raise FormatError(
                "this log follows rules %d; this version knows rules %d only" % (self.rules, RULES)
            )
        self.config = check_config([u32(payload, 4 + 4 * i) for i in range(7)])
        self.entropy = bytes(payload[_ENTROPY_AT:_POLICY_AT])
        self.policy = payload[_POLICY_AT]
        at = _IDENTITY_AT + payload[_LENGTH_AT]
        self.identity = bytes(payload[_IDENTITY_AT:at]).decode()
        self.origin = None
        if len(payload) > at:
            self.origin = (
                bytes(payload[at : at + 32]),
                u32(payload, at + 32),
                bytes(payload[at + 36 : at + 68]),
                bytes(payload[at + 68 : at + 100]),
                bytes(payload[at + 100 : at + 132]),
            )


def continues(buffer: "Buffer", at: int, size: int) -> bool:
    """Return whether the genesis frame at buffer[at:] of `size` bytes begins a log that continues
    another one."""
    return size - OVERHEAD - _IDENTITY_AT - buffer[at + HEADER + _LENGTH_AT] == _ORIGIN_BYTES


def need_layout(region: "Region", config: "Integers") -> tuple[int, int]:
    """Return (sectors of a snapshot slot, bytes of a block) for a configuration. Invalid, with the
    numbers, if the region is too small for it."""
    pad = region.pad
    config = check_config(config)
    slot = region.slot_size(CHUNK * layout(config)[1])
    # the first block of a sector must hold a genesis, or the largest frame and a boot frame
    largest, checkpoint = pad(largest_frame(config)), pad(OVERHEAD + 32)
    need = max(pad(GENESIS_BYTES), largest + pad(OVERHEAD + BOOT_BYTES))
    block = region.block_size(need)
    if block == region.sector:
        # it must hold what goes before the largest frame and behind it, too: there is no next block
        due = max(pad(OVERHEAD + BOOT_BYTES), pad(OVERHEAD + 12) + checkpoint)
        need = max(need, largest + due + checkpoint)
        block = region.block_size(need)
    if not block:
        raise Invalid(
            "a frame and what goes before it may take %d bytes here, but a sector of %d has room "
            "for %d"
            % (need, region.sector, region.sector - region.record_size - 2 * region.header_size)
        )
    if region.sectors < 2 * slot + 3:
        raise Invalid(
            "this configuration needs %d sectors (two snapshots of %d and a ring of 3), the "
            "region has %d" % (2 * slot + 3, slot, region.sectors)
        )
    return slot, block


def begin(
    region: "Region",
    top: int,
    config: "Integers",
    entropy: bytes,
    identity: str,
    policy: int,
    origin: "Origin | None" = None,
) -> None:
    """Program the beginning of a log on a region that is as good as blank: a mark, the sectors'
    records, the run with the genesis frame. Until `finish` the region stays as good as blank.

    top: the greatest run number that was seen there. origin: see encode. Invalid, and nothing done,
        if the region is too small.
    """
    slot, block = need_layout(region, config)
    if origin and origin[1] >= LAST:
        raise Invalid(
            "seq %d: a log goes no further than %d: begin one without another's state"
            % (origin[1], LAST)
        )
    payload = encode(config, entropy, identity, policy, origin)
    seq = origin[1] + 1 if origin else 0
    frame = bytearray(OVERHEAD + len(payload))
    frame[HEADER : HEADER + len(payload)] = payload
    seal(frame, 0, GENESIS, len(payload), seq, 0, 0)
    from .unfinished import candidates, is_erased

    named = is_erased(region)
    # it goes last: until no run is left, only its mark says that the log is to be forgotten
    last = region.slot_sectors if named else -1
    region.set_layout(slot, block)
    marked, erased = _mark(region)

    # nothing is ever half erased there: a record would say nothing
    whole = getattr(region.flash, "erases_whole", False)
    # Even those that read blank: an earlier beginning may have been cut there. No record before all
    # are erased: what the region had says how it was cut, and so what its marks mean.
    bad = [] if erased else [marked]  # taken when the ring comes by, or never
    for i in range(region.sectors + 1):
        sector = i if i < region.sectors else last
        if sector < 0 or sector == marked or i == last:
            continue
        try:
            region.clear(sector)
        except FlashError:
            bad.append(sector)
    if top >= LAST:
        if bad:  # a run may stand there that is newer than any of the log's
            raise FlashError(
                "the numbers of runs are used up here, and sectors %s cannot be erased: choose "
                "another region" % bad
            )
        top = -1
    for sector in () if whole else range(region.sectors):
        try:
            if sector not in bad:
                region.mark_erased(
                    sector, 1, region.base(sector, top) if sector >= region.ring() else 0
                )
        except FlashError:
            bad.append(sector)
    failed = None
    name = primitives.hash(NO_HEAD + frame)
    for sector in range(region.ring(), region.sectors):
        if sector in candidates(region):
            continue
        base = region.base(sector, top)
        try:
            if whole or sector in bad:
                region.erase(sector, base)
            region.write_header(
                Run(
                    base,
                    NONE,
                    seq,
                    0,
                    0,
                    0,
                    policy,
                    False,
                    name,
                    NO_HEAD,
                    [],
                    region.pad(GENESIS_BYTES),
                )
            )
            region.program(region.frames_at(base), frame)
            return
        except FlashError as e:  # a bad sector: the log begins in the next one
            failed = e
    raise failed


def _mark(region: "Region") -> tuple[int, bool]:
    """Program the mark that says that a genesis was begun, in a sector that is erased for it; return
    (that sector, True). An older mark goes only when the new one stands; where no sector takes a
    new one, the older serves: (its sector, False). Also one that reads blank is erased: an erase,
    or the program of a mark, may have been cut there."""
    from .unfinished import candidates, mark_at, marks_of

    marks = marks_of(region)
    old = [each[0] for each in marks]
    free = [each for each in candidates(region) if each not in old]
    if not free:  # two attempts were cut: either mark says so, but not that of one that was done
        free = [([each for each, done in marks if done] or old)[-1]]
    failed = None
    for sector in free:
        try:
            region.wipe(sector)
            region.program(mark_at(region, sector), BEGUN)
            return sector, True
        except FlashError as e:
            failed = e
    for sector, done in marks:
        if sector not in free and not done:
            return sector, False
    raise failed


def finish(region: "Region") -> None:
    """Program the mark that says that the genesis, and the state that it begins with, are done;
    beside every mark of one that was begun: the sector of an earlier one could not be erased."""
    from .unfinished import mark_at, marks_of

    for sector, done in marks_of(region):
        if not done:
            region.program(mark_at(region, sector) + region.header_size, DONE)
