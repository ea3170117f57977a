"""A live board: the verbs of firmware/quipu/memory.py, over a link, with the same arguments and
results.

Vectors are Q16.16 integers (quipu.vector makes them). A change carries a random token. When its
answer is lost, the log on the board is read from the last place known and searched for the token:
there, the change was made, exactly once; not there, it is sent again. No change is ever resent on
suspicion."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from quipu import times
from quipu.archive.chain import Chain, whole_frames
from quipu.archive.frame import Frame, taken_apart
from quipu.board import answers
from quipu.board.answers import PROTOCOLS as _PROTOCOLS
from quipu.board.link import Link
from quipu.errors import LostAnswer, PortError
from quipu.text import moment
from shared_kernel import frames, kernel, requests
from shared_kernel.config import CONFIG_NAMES, check_config
from shared_kernel.errors import Damage, Invalid, LinkError, NotFound
from shared_kernel.frames import CHECKPOINT, CLOCK, NO_HEAD, OVERHEAD, TOKEN_BYTES, words_bytes
from shared_kernel.history import History
from shared_kernel.run import HEADER as RUN_HEADER

if TYPE_CHECKING:
    from typing_extensions import Self

# how often a log may come round its flash while it is read: a board goes on writing meanwhile
_TURNS = 4
_TRIES = 10  # of one change, each of which was certainly not carried out
# of the log's name in a request for frames: base64 then pads nothing, and frames are checked
# against all of it
_NAME_BYTES = 6
_LAYOUT_BYTES = 36  # of a Layout with one run
_SLOW_S = 120.0  # for what erases and programs many sectors


class Layout(NamedTuple):
    """Where a log's frames stand on a board's flash, from one on.

    seq: of that frame, the log's first if what was asked for is gone; address: where it stands, in
        the region; certain: the last seq
    that every later boot will read; sector, block, unit: bytes; sectors: of the region;
    slot_sectors: of a snapshot slot; total: how many runs there are from that frame's on; runs: the
        numbers of the first of them
    """

    seq: int
    certain: int
    address: int
    sector: int
    sectors: int
    slot_sectors: int
    block: int
    unit: int
    total: int
    runs: tuple[int, ...]

    def is_possible(self) -> bool:
        """Return whether these numbers can be those of a region, and the address one in the first
        run's sector."""
        sector, block, unit = self.sector, self.block, self.unit
        if (
            not (sector and unit and block and self.runs)
            or sector % unit
            or sector % block
            or block % unit
        ):
            return False
        ring = self.sectors - 2 * self.slot_sectors
        blocks = sector // block
        if (
            ring < 1
            or not block > 2 * RUN_HEADER
            or self.total < len(self.runs)
            or self.total > len(self.runs) == 1
        ):
            return False
        begin = (2 * self.slot_sectors + self.runs[0] % (blocks * ring) // blocks) * sector
        return begin <= self.address <= begin + sector


class Verbs:
    """A board behind an open Link; a context manager. config: the log's (None before `configure`);
    log: its name, or None; damage: what is wrong with the log, as the board said when it was last
        asked for `info`, or None; protocol: the link's, of the board;
    region: bytes of the flash region that the log lies in.

    Every verb may raise what the board's kernel raises (Refused and its kinds; nothing has changed
    then), LinkError, PortError, and LostAnswer, where a board fell silent and it cannot be known
    whether a change was made."""

    # Of the next command, so that a later run can find it in the log; None: a random one.
    next_token: bytes | None = None

    def __init__(self, link: Link):
        self.link = link
        self._known = Chain(None, -1, NO_HEAD)
        try:
            self._learn(answers.info(link.greeting))
        except LinkError:
            self.info()  # a late answer to a program that was killed had our first request's id

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port."""
        self.link.close()

    # -- what the board says of itself -------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """Return the board's facts (firmware/quipu/report.py): among them seq, head and root, taken
        together."""
        info = answers.info(self.link.request(requests.INFO))
        self._learn(info)
        return info

    def _info_of_log(self) -> dict[str, Any]:
        """Return the facts of a board that has a log; NotFound or Damage if it has none that can be
        read. Learns nothing from them."""
        info = answers.info(self.link.request(requests.INFO))
        if not info["configured"]:
            raise NotFound("the board has no log yet: configure it first")
        if "seq" not in info:
            raise Damage(f"the board's log cannot be read from its beginning: {info['damage']}")
        return info

    def _learn(self, info: dict[str, Any]) -> None:
        self.protocol: int = info.get("protocol", 0)
        if self.protocol not in _PROTOCOLS:
            self.close()
            raise PortError(
                f"{self.link.url}: the board speaks link protocol {self.protocol}, and this "
                f"version of quipu "
                f"{' and '.join(map(str, _PROTOCOLS))}: update quipu on this computer (pip "
                f"install -U quipu-mcu)"
            )
        self.link.limit = info["request_limit"]
        self.link.keeps = self.protocol > 1
        self.link.pieces.most = info.get("answer_limit", self.link.pieces.most)
        self.region = info["sector"] * info["sectors"]
        self.log = bytes.fromhex(info["log"]) if info["configured"] else None
        self.damage = info.get("damage")
        config = info.get("config")
        self.config = tuple(config[each] for each in CONFIG_NAMES) if config else None
        if "seq" in info:  # where a search for a token may begin
            self._known = Chain(self.log, info["seq"], bytes.fromhex(info["head"]))

    def _log(self) -> bytes:
        if self.log is None:
            self.info()  # someone may have configured it since
        if self.log is None:
            raise NotFound("the board has no log yet: configure it first")
        return self.log

    # -- changes -----------------------------------------------------------------------------------

    def insert(self, vector: Sequence[int], tag: int = 0, meta: bytes = b"") -> int:
        """Insert a record; return its id. vector: Q16.16 integers, one for each dimension; tag:
        u32."""
        return self._command(kernel.INSERT, frames.insert(vector, tag, meta))

    def update(self, ident: int, tag: int | None = None, meta: bytes | None = None) -> int:
        """Set a record's tag, metadata or both; return the seq of the change."""
        return self._command(kernel.UPDATE, frames.update(ident, tag, meta))

    def delete(self, ident: int) -> int:
        """Delete a record; refused while a node refers to it. Return the seq."""
        return self._command(kernel.DELETE, frames.ident(ident))

    def create_node(self, kind: int, record: int = 0) -> int:
        """Create a node of a kind (u32), perhaps for a record; return its id."""
        return self._command(kernel.CREATE_NODE, frames.create_node(kind, record))

    def delete_node(self, ident: int) -> int:
        """Delete a node and its edges; return the seq."""
        return self._command(kernel.DELETE_NODE, frames.ident(ident))

    def create_edge(self, kind: int, origin: int, target: int) -> int:
        """Create an edge of a kind (u32) from node to node; return its id."""
        return self._command(kernel.CREATE_EDGE, frames.create_edge(kind, origin, target))

    def delete_edge(self, ident: int) -> int:
        """Delete an edge; return the seq."""
        return self._command(kernel.DELETE_EDGE, frames.ident(ident))

    def put(self, name: str | bytes, value: bytes) -> int:
        """Set a key (1 to 24 bytes) to a value; return the seq of the write."""
        return self._command(kernel.PUT, frames.put(name, value))

    def delete_key(self, name: str | bytes) -> int:
        """Delete a key; return the seq."""
        return self._command(kernel.DELETE_KEY, frames.delete_key(name))

    def _command(self, kind: int, payload: bytes) -> int:
        token, self.next_token = self.next_token or os.urandom(TOKEN_BYTES), None
        return self._change(
            kind, token + payload, lambda frame: (frame.kind, frame.token) == (kind, token)
        )

    def _change(
        self, op: int, payload: bytes, ours: Callable[[Frame], bool], timeout: float | None = None
    ) -> int:
        """Send a request that appends a frame and return the frame's seq. ours: tells that frame
        from others. KeyboardInterrupt says whether the frame may be there."""
        self._log()
        sent = self.link.sent
        try:
            for _ in range(_TRIES):
                try:
                    answer = self.link.request(op, payload, timeout=timeout, repeat=False)
                    return answers.seq("a change", answer)
                except LostAnswer:
                    seq = self._find(ours)
                    if seq is not None:
                        return seq
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "interrupted before the change was sent: the board has not recorded it"
                if self.link.sent == sent
                else "interrupted before the board's answer came: the change may be recorded, and "
                f"may be not. If it is, it stands after seq {self._known.seq}: sync the board and "
                f"look (`quipu log DIR --from {self._known.seq + 1}`) before you send it again"
            ) from None
        raise LostAnswer(
            f"{self.link.url}: request 0x{op:02x} was lost {_TRIES} times; the board's log has no "
            f"trace of it"
        )

    def _find(self, ours: Callable[[Frame], bool]) -> int | None:
        """Return the seq of the frame that is ours, among those since the last info; None if it is
        certainly not there.

        Requests are answered in order, so once the board answers this one, the lost one has been
        carried out or never will be."""
        info = self._info_of_log()
        # recycled meanwhile, but what we look for is at the log's end
        if self._known.seq + 1 < info["first_seq"]:
            self._known = Chain(self.log, info["first_seq"] - 1, bytes.fromhex(info["first_head"]))
        found = None
        for frame in map(taken_apart, self._since(self._known)):
            if ours(frame):
                found = frame.seq
        return found

    def carried_out(self, tokens: Iterable[bytes]) -> dict[bytes, int]:
        """Return the seqs of the commands on the board's flash that bear one of these tokens."""
        wanted = frozenset(tokens)
        info = self._info_of_log()
        chain = Chain(
            bytes.fromhex(info["log"]) if info["first_seq"] else None,
            info["first_seq"] - 1,
            bytes.fromhex(info["first_head"]),
        )
        found = map(taken_apart, self._since(chain))
        return {frame.token: frame.seq for frame in found if frame.token in wanted}

    def _since(self, chain: Chain) -> Iterable[memoryview]:
        """Yield the frames after a place in the log, up to its end, and move the place on."""
        got = 0
        while data := self.frames(chain.seq + 1, chain.head):
            got += len(data)
            if got > _TURNS * self.region:
                raise LinkError(
                    f"{self.link.url}: the board gave {got} bytes of frames, and its flash has "
                    f"{self.region}: its log has no end"
                )
            for frame in whole_frames(data):
                chain.step(frame)
                yield frame

    # -- questions ---------------------------------------------------------------------------------

    def get(self, name: str | bytes) -> bytes:
        """Return the value of a key; NotFound if there is none."""
        return answers.value("a key", self.link.request(requests.KEY, _name(name)))

    def record(self, ident: int) -> tuple[int, list[int], bytes]:
        """Return (tag, vector, metadata) of a record."""
        data = self.link.request(requests.RECORD, words_bytes((ident,)))
        return answers.record(data, self._config())

    def node(self, ident: int) -> tuple[int, int]:
        """Return (kind, record id or 0) of a node."""
        data = self.link.request(requests.NODE, words_bytes((ident,)))
        kind, record = answers.numbers("a node", data, 2)
        return kind, record

    def edge(self, ident: int) -> tuple[int, int, int]:
        """Return (kind, from, to) of an edge."""
        data = self.link.request(requests.EDGE, words_bytes((ident,)))
        kind, origin, target = answers.numbers("an edge", data, 3)
        return kind, origin, target

    def search(
        self, query: Sequence[int], k: int = 1, tag: int | None = None
    ) -> list[tuple[int, int]]:
        """Return [(distance, id)] of the k nearest records (k at most 128 over the link), nearest
        first. distance: squared L2 in units of 2^-32."""
        if not isinstance(k, int) or not 1 <= k <= 0xFFFF:
            raise Invalid(f"k must be at least 1, not {k!r}")
        data = self.link.request(
            requests.SEARCH,
            bytes((k & 255, k >> 8)) + _optional("tag", tag) + frames.vector_bytes(query),
        )
        return answers.search(data)

    def neighbourhood(
        self, node: int, depth: int = 1, kind: int | None = None, directions: int = 1
    ) -> list[tuple[int, int]]:
        """Return [(node id, distance)], breadth first. directions: 1 out, 2 in, 3 both."""
        if not isinstance(depth, int) or not 0 <= depth <= 0xFFFF:
            raise Invalid(f"depth must be 0 to 65535, not {depth!r}")
        payload = words_bytes((node,)) + bytes((depth & 255, depth >> 8, _direction(directions)))
        data = self.link.request(requests.NEIGHBOURHOOD, payload + _optional("kind", kind))
        return [(each, steps) for each, steps in answers.groups("a neighbourhood", data, 2)]

    def edges_of(self, node: int, directions: int = 3) -> list[int]:
        """Return the ids of a node's edges, newest first."""
        payload = words_bytes((node,)) + bytes((_direction(directions),))
        data = self.link.request(requests.EDGES_OF, payload)
        return [each for (each,) in answers.groups("a node's edges", data, 1)]

    def _config(self) -> tuple[int, ...]:
        if self.config is None:
            self.info()
        if self.config is None:
            raise NotFound(
                "the board has no state: it is not configured, or its log is damaged (see info)"
            )
        return self.config

    # -- the log -----------------------------------------------------------------------------------

    def configure(
        self, config: Sequence[int] | dict[str, int], entropy: bytes | None = None, policy: int = 0
    ) -> bytes:
        """Begin a log on a blank region and return its name. config: dim, records, nodes, edges,
        keys, meta_bytes, value_bytes;
        entropy: 16 bytes, by default this laptop's; policy of a full log: 0 stop, 1 overwrite.
            Invalid if a log is there."""
        numbers = check_config(
            [config[each] for each in CONFIG_NAMES] if isinstance(config, dict) else config
        )
        entropy = os.urandom(16) if entropy is None else entropy
        if len(entropy) != 16 or policy not in (frames.STOP, frames.OVERWRITE):
            raise Invalid(
                f"a genesis takes 16 bytes of entropy and policy 0 or 1, not {len(entropy)} bytes "
                f"and {policy!r}"
            )
        try:
            payload = words_bytes(numbers) + bytes((policy,)) + entropy
            self.link.request(requests.CONFIGURE, payload, timeout=_SLOW_S, repeat=False)
        except LostAnswer:
            self.info()
            if self.log is None or entropy not in self.frames(0, NO_HEAD)[: OVERHEAD + 64]:
                raise
        self.info()
        return self._log()

    def history(self, name: str | bytes, limit: int = 10) -> History:
        """Return the newest versions of a key that are on the board, at most 255; `archived` says
        whether older ones were."""
        data = self.link.request(requests.HISTORY, bytes((limit,)) + _name(name))
        return answers.history(data)

    def get_at(self, name: str | bytes, seq: int) -> bytes:
        """Return the value that a key had after frame `seq`; Archived if that has left the board's
        flash."""
        data = self.link.request(requests.KEY_AT, bytes(words_bytes((seq,))) + _name(name))
        return answers.value("a key's past", data)

    def checkpoint(self) -> int:
        """Append a frame with the state root; return its seq."""
        # a checkpoint looks like any other: if the answer is lost, only those from here on count
        self.info()
        return self._change(requests.CHECKPOINT, b"", lambda frame: frame.kind == CHECKPOINT)

    def clock(self, unix_ms: int | None = None, uncertainty_ms: int = 0) -> int:
        """Tell the log the wall time; return the frame's seq.

        unix_ms: milliseconds since 1970, from 2020 to 2199; 0 says that it is unknown; None: this
            laptop's time, now, or unknown if its clock is not set. uncertainty_ms: how far off it
            may be, at most 2^32 - 1. Invalid, and nothing sent, for anything else.
        """
        if unix_ms is None:
            unix_ms = times.believed(time.time_ns() // 1_000_000)
        elif unix_ms != times.believed(unix_ms):
            raise Invalid(
                f"the wall time {moment(unix_ms)} cannot be meant: a log's times are from "
                f"{times.RANGE}. Is this computer's clock set?"
            )
        if not 0 <= uncertainty_ms <= 0xFFFFFFFF:
            raise Invalid(
                f"an uncertainty is 0 to {0xFFFFFFFF} ms, not {uncertainty_ms}: the log cannot "
                "hold another"
            )
        payload = frames.clock(unix_ms, uncertainty_ms)
        return self._change(
            requests.CLOCK, payload, lambda frame: (frame.kind, frame.payload) == (CLOCK, payload)
        )

    def snapshot(self) -> int:
        """Take a snapshot on the board now; return the seq of the last frame that it covers."""
        # Taken twice after a lost answer, it costs the flash some wear and changes nothing else.
        answer = self.link.request(requests.TAKE_SNAPSHOT, timeout=_SLOW_S)
        return answers.seq("a snapshot", answer)

    def frames(self, seq: int, head: bytes) -> bytes:
        """Return some whole frames from `seq` on, b"" at the log's end. head: the chain head before
        it (its first 8 bytes count).

        FormatError if the board's log has another head there; NotFound if those frames were
        recycled or are not written yet."""
        return self.link.request(
            requests.FRAMES, words_bytes((seq,)) + head[:8] + self._log()[:_NAME_BYTES]
        )

    def snapshot_header(self) -> tuple[int, bytes] | None:
        """Return (slot, header) of the newest snapshot on the board, None if there is none."""
        try:
            data = self.link.request(requests.SNAPSHOT)
        except NotFound:
            return None
        return answers.snapshot_header(data)

    def snapshot_data(self, slot: int, generation: int, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of that snapshot's arena from `offset`; NotFound if the
        snapshot is gone."""
        begin = bytes((slot,)) + words_bytes((generation, offset))
        n, data = self.link.piece(
            requests.SNAPSHOT_DATA, lambda n: begin + bytes((n & 255, n >> 8)), size
        )
        return answers.at_most("a snapshot's bytes", data, n)

    def layout(self, seq: int, head: bytes, hold: bool = False) -> Layout:
        """Return where the frames from `seq` on stand on the flash. head: the chain head before it
        (its first 8 bytes count); hold: they are about to be pulled, and not to be recycled
        meanwhile.

        FormatError if the board's log has another head there, NotFound if it ends before that.
        """
        payload = words_bytes((seq,)) + bytes((hold,)) + head[:8] + self._log()[:_NAME_BYTES]
        data = self.link.request(requests.LOG_LAYOUT, payload)
        if len(data) < _LAYOUT_BYTES or len(data) % 4:
            raise LinkError(
                f"{self.link.url}: the board's answer on its log's layout has {len(data)} bytes"
            )
        first, certain, address, sector, sectors, block, unit, total, *runs = answers.words(data)
        layout = Layout(
            first,
            certain,
            address,
            sector,
            sectors & 0xFFFF,
            sectors >> 16,
            block,
            unit,
            total,
            tuple(runs),
        )
        if not layout.is_possible() or sector * layout.sectors != self.region:
            raise LinkError(f"{self.link.url}: the board says of its log what cannot be: {layout}")
        return layout

    def read_region(self, address: int, size: int) -> bytes:
        """Return bytes of the log's flash region from an address on: at least 1 of size, b"" at its
        end. A board whose log is damaged answers this too."""
        begin = bytes(words_bytes((address,)))
        if self.protocol == 1:
            data = self.link.request(requests.READ_REGION, begin + bytes((size & 255, size >> 8)))
            return answers.at_most("its flash", data, size)
        size = min(size, self.region - address)
        if size <= 0:
            return b""
        n, data = self.link.piece(
            requests.READ_REGION, lambda n: begin + bytes((n & 255, n >> 8)), size
        )
        return answers.at_most("its flash", data, n) + b"\xff" * (
            n - len(data)
        )  # it leaves those out that end an answer

    def acknowledge(self, seq: int) -> int:
        """Say that every frame below `seq` is safely archived, so that its sectors may be recycled.
        Return the seq of the log's last
        frame: a board notes in its log what frees a sector."""
        answer = self.link.request(requests.ACKNOWLEDGE, words_bytes((seq,)))
        return answers.seq("what is archived", answer)


def _name(name: str | bytes) -> bytes:
    return name.encode() if isinstance(name, str) else bytes(name)


def _optional(what: str, value: int | None) -> bytes:
    """Return a flag byte and a u32, as search's tag and the neighbourhood's kind travel."""
    if value is not None and (not isinstance(value, int) or not 0 <= value <= 0xFFFFFFFF):
        raise Invalid(f"{what} must be 0 to 4294967295, not {value!r}")
    return bytes((value is not None,)) + bytes(words_bytes((value or 0,)))


def _direction(directions: int) -> int:
    if directions not in (1, 2, 3):
        raise Invalid(f"directions must be 1 (out), 2 (in) or 3 (both), not {directions!r}")
    return directions
