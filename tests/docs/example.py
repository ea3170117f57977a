"""The worked example of docs/format.md, made by running the code. `python -m tests.docs.example`
writes it into the page."""

import binascii
import io
from pathlib import Path

from shared_kernel import frames, kernel, link, primitives, requests, snapshot
from shared_kernel.frame_names import NAMES as NAMED
from shared_kernel.recovery import recover
from shared_kernel.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "format.md"
NAMES = {frames.SNAPSHOT: "snapshot", **NAMED}
BEGIN, END = "<!-- example: made by tests/docs/example.py -->\n", "<!-- end of example -->\n"

CONFIG = (2, 2, 2, 1, 2, 4, 4)
ENTROPY = bytes(range(16))
TOKEN = b"8 tokens"
PAYLOAD_FIELDS = {
    frames.GENESIS: (4, 4, 4, 4, 4, 4, 4, 4, 16, 1, 1, 7),
    frames.BOOT: (4, 32, 4, 4),
    frames.CHECKPOINT: (32,),
    kernel.INSERT: (2, 4, 4, 4, 2),
    kernel.CREATE_NODE: (4, 4),
    kernel.PUT: (4, 1, 1, 4, 4),
    frames.SNAPSHOT: (4, 4),
}
ARENA_LABELS = {
    0x00: "magic `QUPA`",
    0x04: "rules 1",
    0x08: "dim 2",
    0x0C: "records 2",
    0x10: "nodes 2",
    0x14: "edges 1",
    0x18: "keys 2",
    0x1C: "meta_bytes 4",
    0x20: "value_bytes 4",
    0x24: "seq of the last state-changing frame: %d",
    0x28: "records: 1 live",
    0x30: "records: 1 fresh",
    0x34: "nodes: 1 live",
    0x3C: "nodes: 1 fresh",
    0x4C: "keys: 1 live",
    0x54: "keys: 1 fresh",
    0x84: "record slot 0, `id` 1",
    0x8C: "1 reference, 2 bytes of metadata",
    0x90: "tag 7",
    0x94: "component 0: 1.0",
    0x98: "component 1: -0.5",
    0x9C: "metadata `hi`",
    0xA0: "record slot 1, `head`: bucket 1 begins with slot 0",
    0xC4: "node slot 0, `head`: bucket 0 begins with slot 0",
    0xC8: "`id` 2",
    0xD0: "kind 3",
    0xD4: "record: link 1, slot 0",
    0x160: "key slot 0, `head`: bucket 0 begins with slot 0",
    0x164: "`id` %d: seq of the last write",
    0x16C: "name of 4 bytes, value of 4 bytes",
    0x170: "name `temp`",
    0x188: "value `21.5`",
}


class RamFlash:
    """A NOR flash in RAM: 8 sectors of 2048 bytes, pages of 256, program units of 8."""

    sectors, sector, page, unit = 8, 2048, 256, 8

    def __init__(self):
        self.data = bytearray(b"\xff" * (self.sectors * self.sector))

    def read(self, address, buffer):
        buffer[:] = self.data[address : address + len(buffer)]

    def program(self, address, data):
        assert address % self.unit == 0 and len(data) % self.unit == 0
        assert address // self.page == (address + len(data) - 1) // self.page
        assert self.data[address : address + len(data)].count(0xFF) == len(data), (
            "a unit is programmed twice"
        )
        self.data[address : address + len(data)] = data

    def erase(self, sector):
        self.data[sector * self.sector : (sector + 1) * self.sector] = b"\xff" * self.sector


class Example:
    """flash: as the example leaves it; log: its frames; heads, roots: after each; state: the Replay
    after the last."""

    def __init__(self):
        self.flash = RamFlash()
        self.ms = 0
        store = Store(self.flash, lambda: self.ms)
        store.configure(CONFIG, ENTROPY, "example", frames.STOP)
        self.give(store, 1000, kernel.INSERT, frames.insert([65536, -32768], 7, b"hi"))
        self.give(store, 1500, kernel.CREATE_NODE, frames.create_node(3, 1))
        self.give(store, 2000, kernel.PUT, frames.put("temp", b"21.5"))
        self.ms = 2500
        self.snapshot = store.take_snapshot()
        self.ms = 9000
        store = Store(self.flash, lambda: self.ms)
        self.give(store, 9250, kernel.PUT, frames.put("temp", b"21.5"), TOKEN)
        self.log = []
        while True:
            data = bytes(
                store.read_frames(
                    len(self.log), (b"\0" * 32 if not self.log else self.heads[-1])[:8]
                )
            )
            if not data:
                break
            while data:
                size = frames.length_at(data, 0)
                self.log.append(data[:size])
                data = data[size:]
            self.heads = [b"\0" * 32]
            for each in self.log:
                self.heads.append(primitives.hash(self.heads[-1] + each))
        self.heads.pop(0)
        self.kernel = store.kernel
        assert (store.seq, store.head) == (len(self.log) - 1, self.heads[-1])
        assert recover(store.region).replay.head == store.head
        self.region = store.region

    def give(self, store, ms, kind, payload, token=None):
        self.ms = ms
        (seq,) = store.execute([(kind, payload, token)])
        assert isinstance(seq, int), seq

    def roots(self):
        """Return the state root after each frame."""
        from shared_kernel.replay import Replay

        replay, out = Replay(), []
        for each in self.log:
            replay.step(each)
            out.append(replay.kernel.root())
        return out


def fields(frame):
    """Return a frame as hex, a space between its fields."""
    kind = frame[1]
    sizes = (
        [1, 1, 2, 4, 4]
        + ([8] if kind & frames.TOKEN else [])
        + list(PAYLOAD_FIELDS[kind & ~frames.TOKEN])
    )
    out = []
    at = 0
    for size in sizes:
        if at < len(frame) - 4:
            out.append(frame[at : min(at + size, len(frame) - 4)].hex())
        at += size
    return " ".join(out + [frame[-4:].hex()])


def wrapped(text, width=96):
    """Return text in lines of at most `width`, cut at spaces."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def run(data, at, end):
    """Return data[at:end] as hex in lines of 32 bytes, each with its address; runs of 0xFF are left
    out."""
    out = []
    for line in range(at, end, 32):
        part = bytes(data[line : min(line + 32, end)])
        if part.strip(b"\xff"):
            out.append("%04x  %s" % (line, part.hex()))
    return out


def frames_text(e):
    out = [
        "A space stands between fields. `head` is the chain head after the frame, `root` the "
        "state root after it.",
        "",
        "```",
    ]
    for frame, head, root in zip(e.log, e.heads, e.roots(), strict=True):
        kind = frame[1]
        token = ", with a token" if kind & frames.TOKEN else ""
        out.append(
            "seq %d  %s%s, %d bytes"
            % (kernel.u32(frame, 4), NAMES[kind & ~frames.TOKEN], token, len(frame))
        )
        out += ["      " + line for line in wrapped(fields(frame))]
        out += ["head  " + head.hex(), "root  " + root.hex(), ""]
    out[-1] = "```"
    return out + [
        "",
        "The log's name is the first head; its CRC-32, with which the CRC of every later frame "
        "starts, is `%08x`." % frames.seed(e.heads[0]),
        "Frame 4 was written because a snapshot began, frame 5 when it was done, and frames 6 to "
        "%d because the board had started" % (len(e.log) - 2),
        "again.",
    ]


def arena_text(e):
    arena = bytes(e.kernel.arena.bytes)
    out = [
        "All %d bytes after frame %d, without the words that are 0:" % (len(arena), len(e.log) - 1),
        "",
        "| offset | bytes | meaning |",
        "|---|---|---|",
    ]
    for at in range(0, len(arena), 4):
        if any(arena[at : at + 4]):
            label = ARENA_LABELS[at]
            label = label % (len(e.log) - 1) if "%" in label else label
            out.append("| %03x | `%s` | %s |" % (at, arena[at : at + 4].hex(), label))
    return out + ["", "Its BLAKE3, the state root: `%s`." % e.kernel.root().hex()]


def flash_text(e):
    region, data = e.region, e.flash.data
    ring = region.ring()
    start = ring * region.sector
    header = region.record_size + len(e.kernel.arena.bytes)
    boot = max(region.numbers()[0])
    return [
        "A slot takes %d sector, so the ring begins with sector %d. It has two blocks of %d bytes "
        "in a sector. Slot 0 holds the snapshot" % (region.slot_sectors, ring, region.block),
        "after frame %d, slot 1 is erased. Sector 0 begins with its record, then come the arena's "
        "first bytes:" % e.snapshot.seq,
        "",
        "```",
        *run(data, 0, 64),
        "```",
        "",
        "The snapshot's header is at offset 1024 of the slot's data, at %04x, and again at %04x, "
        "each with 4 bytes of padding:" % (header, header + region.pad(snapshot.HEADER)),
        "",
        "```",
        *run(data, header, header + 2 * region.pad(snapshot.HEADER)),
        "```",
        "",
        "Sector %d, first block: record, both copies of the header of run %d at %04x and %04x, "
        "and its frames from %04x on:"
        % (
            ring,
            min(region.numbers()[0]),
            region.header_at(0),
            region.header_at(0) + region.header_size,
            region.frames_at(0),
        ),
        "",
        "```",
        *run(data, start, start + region.block),
        "```",
        "",
        "Second block: run %d, which the second start-up began at %04x. It repeats frame %d; its "
        "boot frame and what followed come then:"
        % (boot, region.header_at(boot), region.run(boot).first),
        "",
        "```",
        *run(data, start + region.block, start + 2 * region.block),
        "```",
        "",
        "The record of the region's last sector says that it was never used; behind it stand the "
        "marks of a genesis begun and done:",
        "",
        "```",
        *run(data, (region.sectors - 1) * region.sector, region.sectors * region.sector),
        *run(data, (region.sectors - 2) * region.sector, (region.sectors - 1) * region.sector),
        "```",
    ]


def request(ident, op, payload):
    """Return (body, line after the marker) of a request, which the board's reader has read."""
    body = bytes((ident, op)) + payload
    body += primitives.crc32(body, 0).to_bytes(4, "little")
    line = b"#" + binascii.b2a_base64(body, newline=False) + b"!"
    reader = link.RequestReader(240)
    assert [reader.feed(c) for c in b"\x1e" + line][-1] == (ident, op, payload)
    return body, line.decode()


def link_text(e):
    _, info = request(1, requests.INFO, b"")
    body, put = request(2, kernel.PUT, TOKEN + frames.put("temp", b"21.5"))
    answer = io.BytesIO()
    link.answer(answer, 2, 0, (len(e.log) - 1).to_bytes(4, "little"))
    return [
        "`^` stands for the byte 1e. INFO, as request 1; then frame %d's put, as request 2:"
        % (len(e.log) - 1),
        "",
        "```",
        "^" + info,
        "^" + put,
        "```",
        "",
        "Request 2 without base64 is `%s`." % body.hex(),
        "Its answer, that the frame has seq %d, is `%s`."
        % (len(e.log) - 1, answer.getvalue().hex()),
    ]


def text():
    """Return the page's section."""
    e = Example()
    out = [
        "The configuration is dim 2, 2 records, 2 nodes, 1 edge, 2 keys, 4 bytes of metadata, 4 "
        "of a value; the entropy",
        "is the bytes 00 to 0f, the identity `example`, the policy 0. The region has 8 sectors of "
        "2048 bytes, pages of 256",
        "and program units of 8.",
    ]
    for name, part in (
        ("frames", frames_text(e)),
        ("arena", arena_text(e)),
        ("flash", flash_text(e)),
        ("link", link_text(e)),
    ):
        out += ["", "### Example: " + name, ""] + part
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + text() + END + rest.split(END)[1])
