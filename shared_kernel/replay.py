"""Replay: frames in, state out; every frame is checked as it is applied. The only way from a log to
a state.

Board recovery and the laptop's verify both run this. It reads no flash and no file: frames are
handed to it."""

from . import primitives
from .errors import FormatError, Mismatch, Refused
from .frames import (
    BOOT,
    BOOT_BYTES,
    CHECKPOINT,
    CLOCK,
    GENESIS,
    HEADER,
    NO_HEAD,
    SKIPPABLE,
    TOKEN,
    TOKEN_BYTES,
    VERSION,
    length_at,
    seed,
)
from .genesis import Genesis
from .kernel import Kernel, u32

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Buffer, Callable, Config


class Replay:
    """The state after the frames so far.

    kernel: None before the genesis (unless started from a snapshot); name: the log's 32 bytes; seq:
        the last frame's; head:
    the chain head after it; boot: boot number; checkpoints: how many roots were compared.
    new_kernel: what makes a kernel of a configuration.
    """

    if 0:  # read by type checkers only
        kernel: "Kernel"  # these three are None before the genesis, and whoever asks is past it
        name: bytes
        seq: int
        genesis: "Genesis | None"
        head: bytes

    def __init__(self, new_kernel: "Callable[[Config], Kernel]" = Kernel) -> None:
        self.new_kernel = new_kernel
        self.kernel = None
        self.genesis = None
        self.name = None
        self.seed = 0
        self.seq = None
        self.head = NO_HEAD
        self.boot = 0
        self.checkpoints = 0

    def start_from(
        self, kernel: "Kernel", name: bytes, seq: int, head: bytes, boot: int = 0
    ) -> None:
        """Go on from a snapshot: a kernel loaded with its arena, and the log's name, seq and chain
        head there."""
        self.kernel = kernel
        self.name = name
        self.seed = seed(name)
        self.seq = seq
        self.head = head
        self.boot = boot

    def step(self, frame: bytes | memoryview) -> None:
        """Check one whole frame (bytes or memoryview) against the chain so far and apply it;
        Mismatch says what parts."""
        self.step_in(frame, 0, frame)

    def step_in(self, data: "Buffer", at: int, frame: bytes | memoryview) -> None:
        """Take a step with a frame that lies in data (bytes or memoryview) at `at`; frame is a view
        of it there."""
        end = at + len(frame) - 4
        whole = end - at >= HEADER and length_at(data, at) == end + 4 - at
        if self.seq is None:
            self._begin(frame, end - at, whole)
            return
        seq = self.seq + 1
        if not whole:
            raise Mismatch(
                seq, "frame length", "that of a whole frame", "a frame of %d bytes" % (end + 4 - at)
            )
        if u32(data, at + 4) != seq:
            raise Mismatch(seq, "sequence number", seq, u32(data, at + 4))
        if data[at] != VERSION:
            raise Mismatch(seq, "frame version", VERSION, data[at])
        crc = primitives.crc32(frame[: end - at], self.seed)
        if crc != u32(data, end):
            raise Mismatch(seq, "frame CRC", "%08x" % crc, "%08x" % u32(data, end))
        kind = data[at + 1]
        start = at + HEADER
        if kind & TOKEN:
            kind &= ~TOKEN
            start += TOKEN_BYTES
            if start > end:
                raise Mismatch(
                    seq, "token", "8 bytes or more", "%d bytes at most" % (end - at - HEADER)
                )
        if 0x10 <= kind < 0x40:
            kernel = self.kernel
            try:
                kernel.check(kind, data, start, end)
            except Refused as e:
                raise Mismatch(seq, "command", "one that the state allows", str(e)) from None
            kernel.apply(kind, frame, start - at, end - at, seq)
        else:
            self._log_only(kind, seq, frame[start - at : end - at])
        self.seq = seq
        self.head = primitives.hash(self.head + frame)

    def _begin(self, frame: bytes | memoryview, end: int, whole: bool) -> None:
        if (
            not whole
            or frame[0] != VERSION
            or frame[1] != GENESIS
            or primitives.crc32(frame[:end], 0) != u32(frame, end)
        ):
            seq = u32(frame, 4) if self.kernel and whole else 0  # without a base only 0 can be due
            raise Mismatch(seq, "first frame", "a whole genesis", bytes(frame[:HEADER]).hex())
        seq = u32(frame, 4)
        try:
            self.genesis = Genesis(frame[HEADER:end])
        except (FormatError, Refused, ValueError) as e:
            raise Mismatch(seq, "genesis", "one this version can read", str(e)) from None
        origin = self.genesis.origin
        due = 0 if origin is None else origin[1] + 1
        if seq != due:
            raise Mismatch(seq, "genesis seq", due, seq)
        if origin is None:
            self.kernel = self.new_kernel(self.genesis.config)
        elif self.kernel is None:
            raise Mismatch(
                seq, "base state", "a snapshot of root %s" % origin[4].hex(), "no state at all"
            )
        elif self.kernel.root() != origin[4]:
            raise Mismatch(seq, "base state's root", origin[4].hex(), self.kernel.root().hex())
        elif self.kernel.config() != self.genesis.config:
            raise Mismatch(
                seq, "base state's configuration", self.genesis.config, self.kernel.config()
            )
        self.seq = seq
        self.head = self.name = primitives.hash(NO_HEAD + frame)
        self.seed = seed(self.name)

    def _log_only(self, kind: int, seq: int, payload: "Buffer") -> None:
        if kind == CHECKPOINT:
            root = self.kernel.root()
            if payload != root:
                raise Mismatch(
                    seq, "state root of the checkpoint", root.hex(), bytes(payload).hex()
                )
            self.checkpoints += 1
        elif kind == BOOT:
            if len(payload) != BOOT_BYTES:
                raise Mismatch(
                    seq,
                    "boot frame's payload",
                    "that of %d bytes" % BOOT_BYTES,
                    "that of %d bytes" % len(payload),
                )
            if payload[4:36] != self.head:
                raise Mismatch(
                    seq, "chain head in the boot frame", self.head.hex(), bytes(payload[4:36]).hex()
                )
            if u32(payload, 0) != self.boot + 1:
                raise Mismatch(seq, "boot number", self.boot + 1, u32(payload, 0))
            self.boot += 1
        elif kind == CLOCK:
            if len(payload) != 12:
                raise Mismatch(
                    seq,
                    "clock frame's payload",
                    "that of 12 bytes",
                    "that of %d bytes" % len(payload),
                )
        elif not kind & SKIPPABLE:
            raise Mismatch(
                seq, "frame type", "one that this version knows", "frame type 0x%02x" % kind
            )
