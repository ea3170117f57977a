"""The link service: answers the laptop's requests on the serial port that the REPL uses. Holds no
state of the log.

It takes only what stands between a request's marks (shared_kernel/link.py); a bare Ctrl-C reaches
the person as ever."""

import gc
import select
import sys

from micropython import const

from shared_kernel import kernel, link, primitives
from shared_kernel.errors import LinkError, NotFound, QuipuError
from shared_kernel.forget import forget
from shared_kernel.frames import CHECKPOINT, CLOCK, TOKEN_BYTES, words_bytes
from shared_kernel.kernel import u32
from shared_kernel.store import command

# Request numbers, see shared_kernel/requests.py.
_INFO = const(0x01)
_SEARCH = const(0x30)
_RECORD = const(0x31)
_NODE = const(0x32)
_EDGE = const(0x33)
_KEY = const(0x34)
_NEIGHBOURHOOD = const(0x35)
_EDGES_OF = const(0x36)
_HISTORY = const(0x37)
_KEY_AT = const(0x38)
_FRAMES = const(0x40)
_SNAPSHOT = const(0x41)
_SNAPSHOT_DATA = const(0x42)
_TAKE_SNAPSHOT = const(0x43)
_CHECKPOINT = const(0x44)
_CLOCK = const(0x45)
_ACKNOWLEDGE = const(0x46)
_LEAVE = const(0x47)
_CONFIGURE = const(0x48)
_READ_REGION = const(0x49)
_LOG_LAYOUT = const(0x4A)
_KEEP = const(0x4B)
_PART = const(0x4C)
_BEGIN_RESTORE = const(0x50)
_ERASE_LOG = const(0x53)

# A request must fit the smallest receive buffer that a port has (stm32 UART: 256 bytes), marks
# included.
LIMIT = 240
ANSWER_LIMIT = const(4096)  # bytes of flash that one answer may have
_ANSWER = const(1536)  # bytes of payload that other answers may have
_LARGEST = const(32768)  # bytes of a request, all parts together
_WAIT_MS = const(20)  # how long a begun request may pause before the application goes on


def _signed(value):
    return value - (1 << 32) if value >> 31 else value


class Service:
    """Answers for one Memory, over standard input and output."""

    def __init__(self, memory):
        self.memory = memory
        self.reader = link.RequestReader(LIMIT)
        self.input = sys.stdin.buffer
        poller = select.poll()
        poller.register(sys.stdin, select.POLLIN)
        self.arrived = poller.poll
        self.arriving = poller.ipoll  # the same without a list
        # shared_kernel.pull, once a pull has begun: an import takes as long as a search
        self.blocks = None
        self.parts = b""
        self.kept = 0, b""  # an answer that is fetched in parts, its CRC before it
        self.busy = self.leave = False

    def poll(self):
        """Answer every request that has arrived; return at once if none has."""
        reader, poll = self.reader, self.arrived
        # an answer in progress called a verb; or nothing has come
        if self.busy or reader.size == -1 and not poll(0):
            return
        self.busy = True
        try:
            read = self.input.read
            while poll(_WAIT_MS if reader.busy() else 0):
                try:
                    request = reader.feed(read(1)[0])
                    if not reader.size:  # one has begun
                        request = reader.rest(self.arriving, read, _WAIT_MS)
                except LinkError as e:
                    self._send(0, e.code, str(e).encode())
                    continue
                if request:
                    self._answer(*request)
                    self.memory.deliver()
        finally:
            self.busy = False

    def serve(self):
        """Answer until the laptop says leave."""
        self.leave = False
        while not self.leave:
            self.arrived(1000)
            self.memory.store.keep_time()
            self.poll()

    def _send(self, ident, status, payload):
        link.answer(sys.stdout.buffer, ident, status, payload)

    def _answer(self, ident, op, payload):
        payload = self.parts + payload
        self.parts = b""
        try:
            if len(payload) > _LARGEST:
                raise LinkError("a request has at most %d bytes, not %d" % (_LARGEST, len(payload)))
            if op != _PART:
                self.kept = 0, b""
            if op & link.MORE:
                self.parts, status, out = payload, 0, b""
            elif op == _READ_REGION:
                return self._send_region(ident, u32(payload, 0), payload[4] | payload[5] << 8)
            else:
                status, out = 0, self._carry_out(op, payload)
                if len(out) > 0xFFFF:
                    raise LinkError(
                        "the answer has %d bytes, and room for 65535: ask for less" % len(out)
                    )
        except QuipuError as e:
            status, out = e.code, str(e).encode()
        except Exception as e:  # a request must never end the application
            status, out = 1, ("%s: %s" % (type(e).__name__, e)).encode()
        self._send(ident, status, out)

    def _send_region(self, ident, address, size):
        """Answer with bytes of the flash as they stand, those at the end that read 0xFF left out;
        no frame is looked at."""
        pull = self.blocks
        if pull is None:
            from shared_kernel import pull

            self.blocks = pull
        store = self.memory.store
        region = store.region
        if size > ANSWER_LIMIT or address + size > region.sector * region.sectors:
            raise LinkError(
                "%d bytes at 0x%x: an answer has at most %d, and the region ends at 0x%x"
                % (size, address, ANSWER_LIMIT, region.sector * region.sectors)
            )
        if store._inside:
            store._refuse()
        store.hold_on()
        end = pull.used_end(region, address, address + size)
        # no group is under way here; a log that is damaged from its beginning has no such buffer
        buffer = store.block if store.kernel else region.part
        link.answer_in_parts(
            sys.stdout.buffer, ident, 0, end - address, pull.parts(region, buffer, address, end)
        )

    def _hold_to(self, p, at):
        """LinkError unless the log's name begins with the 4 bytes or more of a request from `at`
        on."""
        name = self.memory.store.log_name()
        if len(p) < at + 4 or p[at:] != name[: len(p) - at]:
            raise LinkError(
                "this board's log is %s..., not %s..." % (name[:8].hex(), bytes(p[at:]).hex())
            )

    def _carry_out(self, op, payload):
        try:
            return self._do(op, payload)
        except MemoryError:
            if not _SEARCH <= op <= _KEY_AT:  # not only a question
                raise
        self.blocks = None
        self.memory.give_up()
        return self._do(op, payload)

    def _do(self, op, p):
        memory = self.memory
        store = memory.store
        if 0x10 <= op < 0x20:
            return words_bytes((command(store, op, p[TOKEN_BYTES:], p[:TOKEN_BYTES]),))
        if op == _INFO:
            import json

            from . import report

            out = json.dumps(report.info(memory, LIMIT, ANSWER_LIMIT)).encode()
            report = None
            forget("quipu", "report")
            forget("shared_kernel", "config")
            return out
        if op == _SEARCH:
            from shared_kernel.search import search

            k, tag = p[0] | p[1] << 8, u32(p, 3) if p[2] else None
            if k * 12 > _ANSWER:
                raise LinkError(
                    "a search over the link has k of at most %d, not %d" % (_ANSWER // 12, k)
                )
            query = [_signed(u32(p, i)) for i in range(7, len(p) - 3, 4)]
            out = b""
            for distance, ident in store.ask(search, query, k, tag):
                out += words_bytes((distance & 0xFFFFFFFF, distance >> 32, ident))
            return out
        if op == _RECORD:
            tag, vector, meta = store.ask(kernel.Kernel.record, u32(p, 0))
            return words_bytes([tag] + vector) + meta
        if op == _NODE:
            return words_bytes(store.ask(kernel.Kernel.node, u32(p, 0)))
        if op == _EDGE:
            return words_bytes(store.ask(kernel.Kernel.edge, u32(p, 0)))
        if op == _KEY:
            seq, value = store.ask(kernel.Kernel.key, p)
            return words_bytes((seq,)) + value
        if op == _NEIGHBOURHOOD:
            from shared_kernel.graph import neighbourhood

            pairs = store.ask(
                neighbourhood, u32(p, 0), p[4] | p[5] << 8, u32(p, 8) if p[7] else None, p[6]
            )
            return b"".join([words_bytes(each) for each in pairs])
        if op == _EDGES_OF:
            from shared_kernel.graph import edges_of

            return words_bytes(store.ask(edges_of, u32(p, 0), p[4]))
        if op == _HISTORY or op == _KEY_AT:
            from . import past

            return past.answer(store, op, p)
        if op == _FRAMES:
            self._hold_to(p, 12)
            return store.read_frames(u32(p, 0), p[4:12])
        if op == _LOG_LAYOUT:
            from shared_kernel.pull import layout

            self._hold_to(p, 13)
            return layout(store, u32(p, 0), p[5:13], p[4])
        if op == _KEEP:
            out = bytes(self._do(p[0], p[1:]))
            self.kept = primitives.crc32(out, 0), out
            return words_bytes((len(out), self.kept[0]))
        if op == _PART:
            at, size = p[4] | p[5] << 8, p[6] | p[7] << 8
            if size and u32(p, 0) != self.kept[0]:
                raise NotFound("that answer is not kept any more")
            return self.kept[1][at : at + size]
        if op == _SNAPSHOT:
            slot, header = store.newest_snapshot()
            return bytes((slot,)) + header.encode()
        if op == _SNAPSHOT_DATA:
            store.hold_on()
            return store.read_snapshot(p[0], u32(p, 1), u32(p, 5), p[9] | p[10] << 8)
        if op == _TAKE_SNAPSHOT:
            return words_bytes((store.take_snapshot().seq,))
        if op == _CHECKPOINT:
            return words_bytes((store.log_only(CHECKPOINT, b"", True),))
        if op == _CLOCK:
            return words_bytes((store.log_only(CLOCK, p, True),))
        if op == _ACKNOWLEDGE:
            store.acknowledge(u32(p, 0))
            return words_bytes((store.seq,))
        if op == _CONFIGURE:
            memory.configure([u32(p, 4 * i) for i in range(7)], p[29:45], p[28])
            gc.collect()
            return store.log_name()
        if _BEGIN_RESTORE <= op <= _ERASE_LOG:
            from . import restore

            return restore.answer(memory, op, p)
        if op == _LEAVE:
            self.leave = True
            return b""
        raise LinkError("request 0x%02x is unknown to this firmware" % op)
