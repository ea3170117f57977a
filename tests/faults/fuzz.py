"""Every decoder that reads flash, link or archive bytes, each as a function of any bytes at all:
TARGETS.

A target returns, or raises an error of the project's own (QuipuError): anything else is a finding.
The bytes tell how to spoil something valid (`spoil`), for bytes of pure chance never get past the
first check; check sums can be made good again, to come to what stands behind them.
tests/faults/test_fuzz.py feeds the targets from hypothesis; as a program this file feeds one of
them to atheris for as long as wanted:

    python tests/faults/fuzz.py TARGET [options of libFuzzer, such as -max_total_time=60]
"""

import functools
import json
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "host")]

import quipu  # noqa: E402
from quipu import limits  # noqa: E402
from quipu.archive.chain import Chain  # noqa: E402
from quipu.board import answers as board_answers  # noqa: E402
from quipu.board import sync  # noqa: E402
from quipu.board.link import AnswerReader, Pieces, encode_request  # noqa: E402
from quipu.board.verbs import Verbs  # noqa: E402
from quipu.dump import locate as flash_image  # noqa: E402
from quipu.dump.found import Found  # noqa: E402
from quipu.errors import LostAnswer  # noqa: E402
from quipu.formats import imports, npy, valori  # noqa: E402
from quipu.install import said  # noqa: E402
from quipu.past import describe, moment, query  # noqa: E402

import tests.conftest  # noqa: E402, F401  (fast hashes)
from shared_kernel import frames, link, primitives, snapshot, snapshot_file  # noqa: E402
from shared_kernel.config import CONFIG_NAMES  # noqa: E402
from shared_kernel.errors import LinkError, QuipuError  # noqa: E402
from shared_kernel.kernel import Kernel, put_u32  # noqa: E402
from shared_kernel.reader import LogReader, frame_of  # noqa: E402
from shared_kernel.region import RECORD_MAGIC, Region  # noqa: E402
from shared_kernel.replay import Replay  # noqa: E402
from shared_kernel.requests import INFO  # noqa: E402
from shared_kernel.run import HEADER, MAGIC  # noqa: E402
from tests.faults.damage import image, pull  # noqa: E402
from tests.faults.harness import CONFIG, Clock, mount  # noqa: E402
from tests.flashsim import FlashSim  # noqa: E402
from tests.host.sample import sample  # noqa: E402

PIECE = 6  # bytes that tell of one edit


def spoil(valid, how):
    """Return valid bytes, edited as `how` tells, PIECE bytes an edit: what to do, where (3), how
    much, with what. No edits: as it was."""
    out = bytearray(valid)
    for i in range(0, len(how) - PIECE + 1, PIECE):
        what, n, value = how[i] % 6, how[i + 4], how[i + 5]
        at = int.from_bytes(how[i + 1 : i + 4], "little") % (len(out) + 1)
        if what == 0:
            out[at : at + 1] = bytes([value])
        elif what == 1:
            out[at : at + 4] = (value * 0x01010101).to_bytes(4, "little")
        elif what == 2:
            out[at : at + n] = bytes([value]) * n
        elif what == 3:
            del out[at : at + n]
        elif what == 4:
            out[at:at] = out[value : value + n]
        else:
            del out[at:]
    return bytes(out)


# -- frames and snapshots --------------------------------------------------------------------------


@functools.lru_cache(1)
def parts():
    """Return (genesis frame, frames after it, whole snapshot), of the log that never came round its
    ring."""
    _, _, store, log = image("young")
    slot, header = store.newest_snapshot()
    arena = bytearray(header.length)
    store.region.slot_read(slot, 0, arena)
    return log[0], log[1:], header.encode() + bytes(arena)


def frame(data):
    """One frame after a genesis and some commands, or in its place: spoiled, its CRC made good."""
    first, log, _ = parts()
    replay = Replay()
    replay.step(first)
    n = data[0] % 20 if data else 0
    for each in log[:n]:
        replay.step(each)
    spoiled = bytearray(spoil(log[n], data[2:]))
    if len(data) > 1 and data[1] & 1 and len(spoiled) >= frames.OVERHEAD:
        spoiled[2], spoiled[3] = (len(spoiled) - 16) & 255, len(spoiled) - 16 >> 8 & 255
        put_u32(spoiled, len(spoiled) - 4, primitives.crc32(spoiled[:-4], replay.seed))
    replay.step(bytes(spoiled))


def first_frame(data):
    """A genesis: spoiled, its CRC made good, its capacities small or left as they came."""
    spoiled = bytearray(spoil(parts()[0], data[1:]))
    if data and data[0] & 1 and len(spoiled) >= 60:
        spoiled[2], spoiled[3] = (len(spoiled) - 16) & 255, len(spoiled) - 16 >> 8 & 255
        put_u32(spoiled, len(spoiled) - 4, primitives.crc32(spoiled[:-4], 0))
    Replay(small_kernel).step(bytes(spoiled))


def small_kernel(config):
    """A Kernel, unless its arena would be larger than any board's: that a genesis may ask for, and
    a laptop must give."""
    if config[0] * config[1] + config[2] + config[3] + config[4] * (10 + config[6]) > 100000:
        raise QuipuError("too large for this test")
    return Kernel(config)


def command(data):
    """A payload as an application or the link hands it in."""
    kernel = Kernel(CONFIG)
    if data:
        kernel.check(data[0] & 0x3F, data, 1, len(data))
        kernel.apply(data[0] & 0x3F, data, 1, len(data), 1)
        kernel.root()


def snapshot_header(data):
    snapshot.decode(
        sealed(bytearray(spoil(parts()[2][: snapshot.HEADER], data[1:])), data, snapshot.HEADER)
    )


def whole_snapshot(data):
    """A .snap file: header and arena, the root made good too."""
    spoiled = bytearray(spoil(parts()[2], data[1:]))
    if data and data[0] & 2 and len(spoiled) > snapshot.HEADER:
        spoiled[88:120] = primitives.hash(bytes(spoiled[snapshot.HEADER :]))
        put_u32(spoiled, 20, len(spoiled) - snapshot.HEADER)
    snapshot_file.load(bytes(sealed(spoiled, data, snapshot.HEADER)))


def sealed(data, how, end):
    """Return data, with the CRC-32 in the last four of its first `end` bytes made good if the first
    byte of `how` is odd."""
    if how and how[0] & 1 and len(data) >= end:
        put_u32(data, end - 4, primitives.crc32(data[: end - 4], 0))
    return data


# -- flash -----------------------------------------------------------------------------------------


def spoiled_flash(data):
    """Return a FlashSim with an image that was spoiled, its length kept; the records' CRCs may be
    good all the same."""
    sim = image(("young", "turned")[data[0] & 1 if data else 0])[0]
    size = len(sim.bytes)
    spoiled = bytearray((spoil(sim.bytes, data[1:]) + b"\xff" * size)[:size])
    if data and data[0] & 2:
        clean = image(("young", "turned")[data[0] & 1])[2].region
        for at in range(0, size, sim.sector):
            if int.from_bytes(spoiled[at : at + 4], "little") == RECORD_MAGIC:
                put_u32(spoiled, at + 16, primitives.crc32(spoiled[at : at + 16], 0))
        for number in range(clean.turn):
            for at in (clean.header_at(number), clean.header_at(number) + clean.header_size):
                if spoiled[at] == MAGIC:
                    put_u32(
                        spoiled, at + HEADER - 4, primitives.crc32(spoiled[at : at + HEADER - 4], 0)
                    )
    return FlashSim(sim.sectors, sim.sector, sim.page, sim.unit, image=bytes(spoiled))


def boot(data):
    """Recovery of a spoiled flash; then what a host asks."""
    store = mount(spoiled_flash(data), Clock(1))
    store.log_name()
    pull(store, store.first().first)
    slot, header = store.newest_snapshot()
    store.read_snapshot(slot, header.generation, 0, 1024)


def log_reader(data):
    """Reading a spoiled flash as if it had been recovered, from any run on."""
    region = Region(spoiled_flash(data))
    clean = image(("young", "turned")[data[0] & 1 if data else 0])[2]
    region.set_layout(clean.region.slot_sectors, clean.region.block)
    order = [each for each in clean.order if region.run(each)]
    if order:
        reader = LogReader(region, order, clean.seed, bytearray(32 + 1024), 32)
        reader.enter(order[len(data) % len(order)])
        for _ in range(len(region.flash.bytes) // frames.OVERHEAD):  # there cannot be more
            n = reader.next()
            if not n:
                return
            frame_of(reader, n)
        raise AssertionError("the reader goes on and on")


def records(data):
    """The layout, every sector's record and every run's header."""
    region = Region(spoiled_flash(data))
    if region.read_layout():
        for sector in range(region.sectors):
            region.record(sector)
        for number in region.numbers()[0]:
            region.need_run(number)


def dump(data):
    """`recover` of a raw dump: spoiled, or of any bytes."""
    raw = data[1:] if data and data[0] & 4 else bytes(spoiled_flash(data).bytes)
    Found(flash_image.locate(raw))


# -- link ------------------------------------------------------------------------------------------


def requests(data):
    """What a board receives: spoiled requests among anything, and one whole request that must come
    through after it."""
    reader = link.RequestReader(240)
    stream = spoil(
        encode_request(1, 0x10, bytes(60)) + b"print(1)\r\n" + encode_request(2, 0x90, b"more"),
        data,
    )
    for each in stream + encode_request(3, 0x11, b"whole"):
        try:
            got = reader.feed(each)
        except LinkError:
            got = None
    assert got and (got[0], got[1], bytes(got[2])) == (3, 0x11, b"whole"), (
        "a whole request is passed over"
    )


class Output(bytearray):
    def write(self, data):
        self.extend(data)


def answers(data):
    """What a laptop receives: spoiled answers among an application's output, in pieces; nothing of
    the output is lost."""
    wire = Output()
    link.answer(wire, 1, 0, bytes(100))
    wire += b"an application prints\x1eQ"
    link.answer(wire, 2, 7, b"refused")
    stream = spoil(bytes(wire), data[1:])
    output = bytearray()
    reader = AnswerReader(output.extend)
    reader.asked |= {1, 2}
    got = []
    step = 1 + (data[0] if data else 0)
    for at in range(0, len(stream), step):
        got += reader.feed(stream[at : at + step])
    for _ in range(len(stream) + 1):
        if not reader.waiting():
            break
        got += reader.give_up()
    assert not reader.waiting()
    assert len(output) + sum(10 + len(each.payload) for each in got) == len(stream), (
        "bytes got lost, or came twice"
    )


# -- archives --------------------------------------------------------------------------------------


@functools.lru_cache(1)
def template():
    """Return the folder of a valid archive, kept until the process ends."""
    folder = tempfile.TemporaryDirectory()
    sample(Path(folder.name) / "archive")
    return folder


def archive(data):
    """`verify` of an archive of which one file was spoiled: archive.json, note.json, frames or a
    snapshot."""
    source = Path(template().name) / "archive"
    files = sorted(each for each in source.rglob("*") if each.is_file())
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "archive"
        shutil.copytree(source, there)
        if data:
            file = there / files[data[0] % len(files)].relative_to(source)
            file.write_bytes(spoil(file.read_bytes(), data[1:]))
            same = file.read_bytes() == (source / file.relative_to(there)).read_bytes()
            verdict = quipu.verify(there)
            assert verdict.verdict in ("match", "gap", "mismatch")
            if file.name in (".lock", ".index.lock"):
                return  # they say nothing
            if not same and verdict.verdict == "match":  # spaces in JSON change nothing
                assert file.suffix == ".json", "%s was altered, and matches" % file.name
                assert json.loads(file.read_bytes()) == json.loads(
                    (source / file.relative_to(there)).read_bytes()
                )
            with quipu.open_archive(there) as opened:
                opened.scan()


# -- what a board says, and what is asked of an archive --------------------------------------------


@functools.lru_cache(1)
def facts():
    """Return what a board says of itself, as INFO's answer."""
    config = dict(zip(CONFIG_NAMES, CONFIG, strict=True))
    hashes = dict.fromkeys(("log", "first_head", "head", "root"), "ab" * 32)
    return json.dumps(
        {"protocol": 2, "request_limit": 240, "answer_limit": 1024, "firmware": "0.1.0"}
        | {"rules": 1, "board": "fuzz", "sector": 4096, "sectors": 32, "damage": None}
        | {"configured": True, "first_seq": 0, "seq": 9, "cuts": [[3, 24]], "snapshots": [5]}
        | hashes
        | {"config": config}
    ).encode()


class Said:
    """A link whose every answer is `data`, to the first questions; then it is lost."""

    url, limit, keeps, sent, received, printed_bytes = "fuzz", 240, True, 0, 0, 0

    def __init__(self, greeting, data):
        self.greeting, self.data, self.pieces, self.left = greeting, data, Pieces(), 40

    def request(self, op, payload=b"", **more):
        self.left -= 1
        if self.left < 0:
            raise LostAnswer("fuzz")
        return self.greeting if op == INFO else self.data

    def piece(self, op, ask, wanted):
        ask(wanted)
        return wanted, self.request(op)

    def close(self):
        pass


def info_answer(data):
    """INFO's answer, spoiled; what it says of a size is bounded."""
    found = board_answers.info(spoil(facts(), data))
    if found.get("protocol") == 2:
        assert 0 < found["sector"] * found["sectors"] <= limits.REGION
        assert isinstance(found["configured"], bool)


VERBS = (
    lambda board: board.get("a"),
    lambda board: board.get_at("a", 3),
    lambda board: board.record(3),
    lambda board: board.node(3),
    lambda board: board.edge(3),
    lambda board: board.search([0] * CONFIG[0], 3),
    lambda board: board.neighbourhood(3),
    lambda board: board.edges_of(3),
    lambda board: board.history("a"),
    lambda board: board.put("a", b"b"),
    lambda board: board.insert([0] * CONFIG[0]),
    lambda board: board.clock(1_790_000_000_000),
    lambda board: board.checkpoint(),
    lambda board: board.snapshot(),
    lambda board: board.snapshot_header(),
    lambda board: board.snapshot_data(0, 1, 0, 512),
    lambda board: board.layout(0, bytes(32)),
    lambda board: board.read_region(0, 512),
    lambda board: board.acknowledge(3),
    lambda board: board.carried_out([bytes(8)]),
    lambda board: list(board._since(Chain(None, -1, bytes(32)))),
    lambda board: sync.pull(board, tempfile.gettempdir() + "/quipu-fuzz-none"),
)


def asked(data):
    """Any verb of a board that answers what it likes, shortly or at length."""
    board = Verbs(Said(facts(), data[1:]))
    VERBS[data[0] % len(VERBS) if data else 0](board)


def told(data):
    """What a person is told of a frame that a board sent: its CRC is good, its payload anything."""
    first, log, _ = parts()
    each = (first, *log)[data[0] % 20 if data else 0]
    body = bytearray(each[:16] if data[1:2] and data[1] & 1 else spoil(each[:-4], data[2:]))
    if len(body) >= 12:
        describe.frame(bytes(body) + bytes(4))


def index_file(data):
    """index.sqlite, spoiled: right answers, or an error that says what to do."""
    source = Path(template().name) / "archive"
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "archive"
        shutil.copytree(source, there)
        (there / "index.sqlite").write_bytes(spoil(indexed()[0], data))
        with quipu.open_archive(there) as opened:
            assert opened.state().root() == indexed()[1]
            opened.history(b"name")
            opened.timeline.when(3)


@functools.lru_cache(1)
def indexed():
    """Return (the bytes of the template's index, the root of its state)."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "archive"
        shutil.copytree(Path(template().name) / "archive", there)
        with quipu.open_archive(there) as opened:
            root = opened.state().root()
        return (there / "index.sqlite").read_bytes(), root


PRINTED = (
    (said.probe, b"('micropython', (1, 25, 0), 'A board', 2310, 200000, 4096, 256, 9, False)"),
    (said.room, b"(512, 1000, 900, True, 65536)"),
    (said.hashes, b"ab" * 32 + b" /lib/quipu/a.mpy"),
    (said.geometry, b"[4096, 256, 256, 1]"),
    (lambda port, data: said.numbers(port, "sizes", data), b"12\r\n345"),
    (lambda port, data: said.octets(port, "a log", data), b"00ff51555031"),
    (lambda port, data: said.text(port, "a name", data), b"RPI_PICO"),
)


def printed(data):
    """What a program of ours prints on a board that is asked by its REPL."""
    decode, valid = PRINTED[data[0] % len(PRINTED) if data else 0]
    decode("PORT", spoil(valid, data[1:]))


# -- what a person says ----------------------------------------------------------------------------

WORDS = (
    b'tag = 3 and (meta prefix "walk" or not vector[0] between -1 and 1)',
    b'name in ("a", 0x00ff) or value > 2.5e3',
    b"not not not (seq exists)",
)


def filters(data):
    """A filter of a query, applied to a row."""
    which = data[0] % len(WORDS) if data else 0
    what, row = (
        ("keys", {"seq": 4, "name": "a", "name_hex": "61", "value": "2", "value_hex": "32"})
        if which
        else ("records", {"id": 1, "tag": 3, "vector": [0.5], "meta": "w", "meta_hex": "77"})
    )
    query.parse(spoil(WORDS[which], data[1:]).decode("latin-1"), what, 1)(row)


def moments(data):
    """A moment as a person writes it."""
    valid = (b"2026-11-21T14:02:30.250+01:00", b"14:02", b"-5.5m", b"1234", b"2026-11-21 14:02")
    moment.parse(spoil(valid[data[0] % 5] if data else b"", data[1:]).decode("latin-1"))


LINES = b"""{"type": "insert", "seq": 1, "vector": [1.5, -2e3, 0], "tag": 3, "meta": "walk"}
{"type": "create-node", "seq": 2, "kind": 1, "record": 1}
{"type": "put", "name": "mode", "value_hex": "00ff"}
"""


def lines(data):
    """JSON lines to import."""
    imports.lines(spoil(LINES, data).split(b"\n"))


def npy_file(data):
    """A .npy file to import."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npy"
        npy.write(path, [(1, 2, [1.5, 2.5], b"abc", 5, None)] * 2, 2, 8, "board", bytes(32))
        path.write_bytes(spoil(path.read_bytes(), data))
        list(npy.read(path))


def valori_file(data):
    """A snapshot of Valori's, or its event log."""
    folder = ROOT / "tests" / "host" / "valori"
    if len(data) % 2:
        list(valori.read_log(spoil((folder / "events-4.log").read_bytes(), data)))
    else:
        valori.plan(valori.Snapshot.decode(spoil((folder / "kernel-7.snap").read_bytes(), data)))


TARGETS = {
    each.__name__: each
    for each in (
        frame,
        first_frame,
        command,
        snapshot_header,
        whole_snapshot,
        boot,
        log_reader,
        records,
        dump,
        requests,
        answers,
        archive,
        info_answer,
        asked,
        told,
        printed,
        index_file,
        filters,
        moments,
        lines,
        npy_file,
        valori_file,
    )
}


def tame(target, data):
    """Feed data to a target; return the typed error that it met, or None."""
    try:
        target(data)
    except QuipuError as e:
        return e
    return None


def main():
    try:
        import atheris
    except ImportError:
        print(
            "atheris is not installed here: `pip install atheris` (it needs Linux or macOS); "
            "until then nothing is fuzzed"
        )
        return 0
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print("usage: fuzz.py TARGET [libFuzzer options], with a target of %s" % ", ".join(TARGETS))
        return 2
    target = TARGETS[sys.argv.pop(1)]
    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: tame(target, data) and None)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
