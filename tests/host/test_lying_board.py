"""Case 30: whatever a broken or hostile board says is a typed error within its time, and nothing of
it is written to an archive."""

import json
import os
import pty
import threading
import tty

import pytest
from quipu import limits
from quipu.archive.verify import verify
from quipu.board import answers, sync
from quipu.board.verbs import Verbs
from quipu.cli import main as cli
from quipu.errors import LinkError, LostAnswer, PortError, QuipuError
from quipu.install import said

from shared_kernel import link, requests, snapshot
from shared_kernel.frames import NO_HEAD
from tests.faults import fuzz
from tests.host.past import Log
from tests.host.ram_board import RamBoard
from tests.host.sample import RamFlash, begin, every_type, wander

GOOD = json.loads(fuzz.facts())


def board(answer, **changed):
    """Return Verbs of a board that answers everything with `answer`; changed: of its INFO."""
    return Verbs(fuzz.Said(json.dumps(GOOD | changed).encode(), answer))


# -- INFO ------------------------------------------------------------------------------------------

OTHERS = (None, True, -1, 1.5, 1 << 33, "", "ab", "x" * 64, "A" * 64, [], [1], {}, {"a": 1})


def fits(name, value):
    """Return whether a value can stand in a field of INFO, as the page says."""
    if name in ("cuts", "snapshots"):
        return value == [] or name == "snapshots" and value == [1]
    if name == "damage":
        return value is None or isinstance(value, str)
    if name in ("firmware", "board"):
        return isinstance(value, str)
    if name == "configured":
        return value is True
    return name == "config" and value is None


@pytest.mark.parametrize("name", [each for each in GOOD if each != "protocol"])
def test_case_30_each_field_of_info_has_a_type_and_a_range(name):
    for value in OTHERS:
        facts = json.dumps(GOOD | {name: value}).encode()
        if fits(name, value):
            answers.info(facts)
            continue
        with pytest.raises(LinkError, match=rf"INFO \({name}"):
            answers.info(facts)


@pytest.mark.parametrize(
    "data",
    (
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b"[" * 100_000,
        b'{"protocol": 2}',
        b'{"protocol": "2"}',
        b'{"protocol": ' + b"9" * 5000 + b"}",
        json.dumps(GOOD | {"sector": 1 << 16, "sectors": 1 << 16}).encode(),
        json.dumps(GOOD | {"first_seq": 100}).encode(),
        json.dumps({k: v for k, v in GOOD.items() if k != "config"}).encode(),
        json.dumps(GOOD | {"config": GOOD["config"] | {"dim": 5000}}).encode(),
        json.dumps(GOOD | {"config": GOOD["config"] | {"dim": "2"}}).encode(),
    ),
    ids=range(16),
)
def test_case_30_an_info_that_cannot_be_is_a_link_error(data, tmp_path):
    with pytest.raises(LinkError, match="the board's answer on INFO"):
        answers.info(data)
    with pytest.raises(LinkError):
        Verbs(fuzz.Said(data, data))


def test_a_board_of_a_later_protocol_is_still_told_apart():
    with pytest.raises(QuipuError, match="update quipu"):
        Verbs(fuzz.Said(b'{"protocol": 9, "sector": "a new thing"}', b""))


# -- short and long answers ------------------------------------------------------------------------

ASKED = {
    "get": (lambda it: it.get("a"), lambda n: n >= 4),
    "get_at": (lambda it: it.get_at("a", 3), lambda n: n >= 4),
    "record": (lambda it: it.record(3), lambda n: 12 <= n <= 12 + 255),
    "node": (lambda it: it.node(3), lambda n: n == 8),
    "edge": (lambda it: it.edge(3), lambda n: n == 12),
    "search": (lambda it: it.search([0, 0], 3), lambda n: n % 12 == 0),
    "neighbourhood": (lambda it: it.neighbourhood(3), lambda n: n % 8 == 0),
    "edges_of": (lambda it: it.edges_of(3), lambda n: n % 4 == 0),
    "history": (lambda it: it.history("a"), lambda n: n >= 4 and (n - 4) % 6 == 0),
    "put": (lambda it: it.put("a", b"b"), lambda n: n == 4),
    "insert": (lambda it: it.insert([0, 0]), lambda n: n == 4),
    "clock": (lambda it: it.clock(1_790_000_000_000), lambda n: n == 4),
    "snapshot": (lambda it: it.snapshot(), lambda n: n == 4),
    "snapshot_header": (lambda it: it.snapshot_header(), lambda n: n == 125),
    "snapshot_data": (lambda it: it.snapshot_data(0, 1, 0, 40), lambda n: n <= 40),
    "layout": (lambda it: it.layout(0, NO_HEAD), lambda n: False),
    "read_region": (lambda it: it.read_region(0, 40), lambda n: n <= 40),
    "acknowledge": (lambda it: it.acknowledge(3), lambda n: n == 4),
}


@pytest.mark.parametrize("name", ASKED)
def test_case_30_an_answer_of_another_length_is_a_link_error(name):
    ask, can_be = ASKED[name]
    lengths = (*range(30), 40, 41, 124, 125, 126, 300, 3000)
    assert any(not can_be(each) for each in lengths)
    for length in lengths:
        if can_be(length):
            ask(board(bytes(length)))
        else:
            with pytest.raises(LinkError, match="the board's answer|says of its log"):
                ask(board(bytes(length)))


def test_case_30_a_value_that_ends_before_its_length_is_a_link_error():
    with pytest.raises(LinkError, match="value of 9 bytes"):
        board(bytes(4) + b"\1\0\0\0\x09\0abc").history("a")


# -- what has no end -------------------------------------------------------------------------------


class Endless:
    """A board whose log ends at seq 2^32 - 1, says it, and goes on and on."""

    protocol, region, damage = 1, 16 * 4096, None

    def __init__(self):
        made = Log()
        self.log, self.made, self.given = made.name, made, 0
        self.link = type("Wire", (), {"sent": 0, "received": 0, "printed_bytes": 0})

    def info(self):
        return GOOD | {
            "board": self.made.identity,
            "log": self.log.hex(),
            "seq": 0xFFFFFFFF,
            "first_head": NO_HEAD.hex(),
        }

    def clock(self, uncertainty_ms=0):
        return 1

    checkpoint = clock

    def snapshot_header(self):
        return None

    def frames(self, seq, head):
        while len(self.made.frames) < seq + 20:
            self.made.put("k", str(len(self.made.frames)))
        out = b"".join(self.made.frames[seq : seq + 20])
        self.given += len(out)
        assert self.given < 20 * self.region, "it is pulled until somebody kills it"
        return out

    def acknowledge(self, seq):
        raise AssertionError("nothing of it is safe")


def test_case_30_a_log_without_an_end_is_left(tmp_path):
    with pytest.raises(LinkError, match="its log has no end"):
        sync.pull(Endless(), tmp_path / "a")
    assert verify(tmp_path / "a").verdict == "match"  # what was pulled is what the board said


def test_case_30_a_search_for_a_lost_change_ends_too():
    endless = Endless()
    verbs = board(b"", log=endless.log.hex(), sectors=4)
    verbs.frames = endless.frames
    with pytest.raises(LinkError, match="its log has no end"):
        list(verbs._since(fuzz.Chain(None, -1, NO_HEAD)))


@pytest.fixture(scope="module")
def flash():
    made = RamFlash(16)
    store = begin(made)
    every_type(store)
    wander(store, 40)
    store.take_snapshot()
    return bytes(made.memory)


def test_case_30_a_snapshot_of_4_gib_is_not_pulled(flash, tmp_path):
    class Vast(RamBoard):
        def info(self):
            names = ("dim", "records", "nodes", "edges", "keys", "meta_bytes", "value_bytes")
            config = dict(zip(names, self.store.kernel.config(), strict=True))
            return super().info() | {"config": config}

        def snapshot_header(self):
            slot, header = super().snapshot_header()
            found = snapshot.decode(header)
            found.length = 0xFFFFFC00
            return slot, found.encode()

        def snapshot_data(self, *_):
            raise AssertionError("not a byte of it is asked for")

    told = []
    found = sync.pull(Vast(flash, told.append), tmp_path / "a")
    assert "4294966272 in its header" in found.damage and found.snapshot is None
    assert verify(tmp_path / "a").verdict == "match"


def test_case_30_an_answer_that_is_kept_has_a_longest_length():
    """What a board keeps to give in pieces is no longer than an answer can be."""
    from quipu.board.link import Link

    class Pieces(Link):
        def __init__(self):
            self.url, self.limit, self.keeps = "fake", 240, True

        def piece(self, op, ask, wanted):
            assert op == requests.KEEP, "a byte of it was asked for"
            return wanted, b"\xff\xff\xff\xff" + bytes(4)

    with pytest.raises(LinkError, match="at most 65535"):
        Pieces()._by_pieces(requests.INFO, b"")


# -- over a wire -----------------------------------------------------------------------------------


@pytest.fixture
def lying():
    """Give a function of (status, answer) that returns the port of a board which answers every
    request so."""
    ends = []

    def start(status, answer):
        board_end, port_end = pty.openpty()
        tty.setraw(port_end)
        ends.extend((board_end, port_end))

        def serve():
            reader = link.RequestReader(240)
            while True:
                try:
                    data = os.read(board_end, 256)
                except OSError:
                    return
                for each in data:
                    try:
                        got = reader.feed(each)
                    except LinkError:
                        continue
                    if got:
                        wire = fuzz.Output()
                        link.answer(wire, got[0], status, answer)
                        os.write(board_end, bytes(wire))

        threading.Thread(target=serve, daemon=True).start()
        return os.ttyname(port_end)

    yield start
    for each in ends:
        os.close(each)


@pytest.mark.parametrize(
    "changed", ({"root": "ab"}, {"first_seq": 1 << 33}, {"sector": 1 << 20, "sectors": 1 << 12})
)
def test_case_30_a_sync_with_a_liar_writes_nothing(lying, changed, tmp_path, capsys):
    port = lying(0, json.dumps(GOOD | changed).encode())
    assert cli.main(["sync", port, "--archive", str(tmp_path / "a")]) == 3
    told = capsys.readouterr()
    assert "the board's answer on INFO" in told.err and "Traceback" not in told.err
    assert not (tmp_path / "a").exists()


def test_case_30_a_boards_error_is_shown_escaped(lying, capsys):
    port = lying(5, b"\x1b[31mno\x9b2J\xe2\x80\xae")
    assert cli.main(["info", port]) in (1, 3)
    told = capsys.readouterr()
    assert "\\x1b[31mno" in told.err and not {"\x1b", "\x9b", "\u202e"} & set(told.err)


def test_the_region_is_bounded_where_it_is_learnt():
    assert board(b"").region <= limits.REGION
    with pytest.raises(LinkError, match="region of at most"):
        board(b"", sector=1 << 16, sectors=1 << 20)


def test_a_lost_answer_is_still_a_lost_answer():
    said = fuzz.Said(fuzz.facts(), b"")
    said.left = 0
    with pytest.raises(LostAnswer):
        Verbs(said).get("a")


# -- at its REPL -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decode, data",
    [
        (said.probe, data)
        for data in (
            b"",
            b"\xff",
            b"None",
            b"[" * 100_000,
            b"('micropython', (1, 'x', 0), '', 0, 1, 1, 1, 1, False)",
            b"('micropython', (1, 25, 0), '', 0, -1, 1, 1, 1, False)",
            b"('micropython', (1, 25, 0), '', '0', 1, 1, 1, 1, False)",
            b"('micropython', (1, 25, 0), '', " + b"9" * 5000 + b", 1, 1, 1, 1, False)",
        )
    ]
    + [(said.room, data) for data in (b"", b"(1, 2)", b"(1, 2, 3, 4, 5)", b"(" * 5000)]
    + [(said.hashes, data) for data in (b"ab /x", b"g" * 64 + b" /x", b"a" * 64, b"\xff")]
    + [
        (said.geometry, data)
        for data in (
            b"",
            b"[1, 2, 3]",
            b"[0, 1, 1, 1]",
            b'["4096", 1, 1, 1]',
            b"[1048576, 4096, 1, 1]",
            b"[" * 100_000,
        )
    ],
)
def test_what_a_program_prints_on_a_board_is_a_port_error_or_what_it_can_print(decode, data):
    with pytest.raises(PortError, match="^PORT: expected") as refused:
        decode("PORT", data)
    assert len(str(refused.value)) < 500


def test_what_our_programs_print_is_taken():
    for decode, valid in fuzz.PRINTED:
        assert decode("PORT", valid)
    assert said.room("PORT", b"None\r\n") is None
    assert said.octets("PORT", "a log", b"\r\n") == b""
