"""A board's verbs over the link: the same results as the kernel's; a refusal changes nothing; a
change happens exactly once."""

import random

import pytest
import quipu
import serial
from hypothesis import given
from hypothesis import strategies as st
from quipu.archive.chain import Chain, whole_frames
from quipu.board import ports
from quipu.board.blocks import Blocks
from quipu.board.link import encode_request
from quipu.board.repl import DeviceError, Repl
from quipu.build.emulator import Emulator
from quipu.errors import (
    Damage,
    Full,
    InUse,
    Invalid,
    LinkError,
    LostAnswer,
    Mismatch,
    NotFound,
    PortError,
    Refused,
    TooLong,
    WrongDimension,
)
from quipu.install.flash import flash as flash_board

from shared_kernel import graph, search
from shared_kernel.frames import NO_HEAD, TOKEN
from shared_kernel.kernel import u32
from tests.host.unix_board import Flip, Lose, UnixBoard, Wire

CONFIG = (3, 12, 10, 12, 4, 8, 8)

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def board(unix):
    with quipu.connect(unix.port, timeout=2) as board:
        board.configure(CONFIG)
        yield board


def log(board):
    """Return every frame of a board's log."""
    out, head = [], NO_HEAD
    chain = Chain(None, -1, head)
    while data := board.frames(chain.seq + 1, chain.head):
        for frame in whole_frames(data):
            chain.step(frame)
            out.append(bytes(frame))
    return out


def tokens(board):
    """Return {token: seq} of the changes in the log; each token stands there once."""
    found = [
        (frame[12:20], u32(frame, 4))
        for frame in log(board)
        if frame[1] & TOKEN and frame[1] < 0x80
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def now(board):
    info = board.info()
    return info["seq"], info["head"], info["root"]


def interrupted(*_):
    raise KeyboardInterrupt


def test_ctrl_c_says_whether_the_change_may_be_recorded(board, monkeypatch):
    seq = board.info()["seq"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="has not recorded"):
        patch.setattr(board.link, "_write", interrupted)
        board.put("mode", b"1")
    assert board.info()["seq"] == seq
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as caught:
        patch.setattr(board.link, "_answers", interrupted)
        board.put("mode", b"2")
    assert f"may be recorded, and may be not. If it is, it stands after seq {seq}:" in str(
        caught.value
    )
    assert board.get("mode") == b"2" and board.info()["seq"] == seq + 1


# -- verbs -----------------------------------------------------------------------------------------


def test_each_verb_does_what_its_frame_says(board):
    first = board.insert([1, -2, 1 << 30], 7, b"meta")
    second = board.insert([4, 5, 6])
    assert board.record(first) == (7, [1, -2, 1 << 30], b"meta") and board.record(second) == (
        0,
        [4, 5, 6],
        b"",
    )
    board.update(first, tag=9)
    board.update(second, meta=b"new")
    assert board.record(first)[0] == 9 and board.record(second)[2] == b"new"
    a, b = board.create_node(1, first), board.create_node(2)
    edge = board.create_edge(3, a, b)
    assert board.node(a) == (1, first) and board.node(b) == (2, 0) and board.edge(edge) == (3, a, b)
    assert board.edges_of(a) == [edge] == board.edges_of(b, 2) and board.edges_of(b, 1) == []
    assert board.neighbourhood(a) == [(a, 0), (b, 1)] and board.neighbourhood(a, kind=4) == [(a, 0)]
    assert board.neighbourhood(b, 1, None, 2) == [(b, 0), (a, 1)] and board.neighbourhood(a, 0) == [
        (a, 0)
    ]
    put = board.put("name", b"value")
    assert board.get("name") == b"value" == board.get(b"name")
    assert board.put(b"name", b"") == put + 1 and board.get("name") == b""
    assert board.search([4, 5, 6], 2) == [
        (0, second),
        ((1 << 30) ** 2 + 9 + 49 - 12 * (1 << 30) + 36, first),
    ]
    assert (
        board.search([4, 5, 6], 5, tag=9)[0][1] == first
        and board.search([0, 0, 0], 1, tag=77) == []
    )
    assert board.checkpoint() == put + 2 and board.clock(1_700_000_000_000) == put + 3
    assert board.snapshot() >= put + 3
    for verb, ident in (
        (board.delete_edge, edge),
        (board.delete_node, a),
        (board.delete_node, b),
        (board.delete, first),
    ):
        assert verb(ident) == board.info()["seq"]
    board.delete_key("name")
    info = board.info()
    assert (info["records"], info["nodes"], info["edges"], info["keys"]) == (1, 0, 0, 0)
    assert info["config"] == dict(
        zip(
            ("dim", "records", "nodes", "edges", "keys", "meta_bytes", "value_bytes"),
            CONFIG,
            strict=True,
        )
    )
    changes = [frame for frame in log(board) if 0x10 <= frame[1] < 0x80]
    assert len(tokens(board)) == len(changes) == 14  # every change carries a token


def test_answers_are_those_of_a_replay(board, tmp_path):
    rng = random.Random(4)
    nodes = []
    for _ in range(12):
        board.insert(
            [rng.randrange(-99, 99) << 12 for _ in range(3)],
            rng.randrange(2),
            bytes(rng.randrange(8)),
        )
    for _ in range(10):
        nodes.append(board.create_node(rng.randrange(3), rng.choice((0, 3, 5))))
    for _ in range(12):
        board.create_edge(rng.randrange(2), rng.choice(nodes), rng.choice(nodes))
    board.sync(tmp_path / "a")
    kernel = quipu.state(tmp_path / "a")
    assert board.info()["root"] == kernel.root().hex()
    for _ in range(40):
        query, k, tag = (
            [rng.randrange(-99, 99) << 12 for _ in range(3)],
            rng.randrange(1, 14),
            rng.choice((None, 0, 1)),
        )
        assert board.search(query, k, tag) == search.search(kernel, query, k, tag) != []
        node, depth, kind, ways = (
            rng.choice(nodes),
            rng.randrange(4),
            rng.choice((None, 0, 1)),
            rng.randrange(1, 4),
        )
        assert board.neighbourhood(node, depth, kind, ways) == graph.neighbourhood(
            kernel, node, depth, kind, ways
        )
        assert board.edges_of(node, ways) == graph.edges_of(kernel, node, ways)


@pytest.mark.parametrize(
    "call, error",
    (
        (lambda b: b.insert([1, 2]), WrongDimension),
        (lambda b: b.insert([1, 2, 3, 4]), (WrongDimension, TooLong)),
        (lambda b: b.insert([1, 2, 1.5]), Invalid),
        (lambda b: b.insert([1, 2, 1 << 31]), Invalid),
        (lambda b: b.insert(quipu.vector([0, 0, float("nan")])), Invalid),
        (lambda b: b.insert(quipu.vector([0, 0, float("inf")])), Invalid),
        (lambda b: b.insert([1, 2, 3], 1 << 32), Invalid),
        (lambda b: b.insert([1, 2, 3], -1), Invalid),
        (lambda b: b.insert([1, 2, 3], 0, bytes(9)), TooLong),
        (lambda b: b.insert([1, 2, 3], 0, bytes(3000)), TooLong),
        (lambda b: b.insert([0] * 900), Refused),
        (lambda b: b.update(1), Invalid),
        (lambda b: b.update(99, tag=1), NotFound),
        (lambda b: b.delete(99), NotFound),
        (lambda b: b.delete(2), NotFound),  # the node's id
        (lambda b: b.delete(1), InUse),
        (lambda b: b.create_node(1, 99), NotFound),
        (lambda b: b.create_edge(1, 2, 99), NotFound),
        (lambda b: b.delete_node(1), NotFound),
        (lambda b: b.delete_edge(2), NotFound),
        (lambda b: b.put("", b"x"), TooLong),
        (lambda b: b.put("n" * 25, b"x"), TooLong),
        (lambda b: b.put("n", bytes(9)), TooLong),
        (lambda b: b.delete_key("n"), NotFound),
        (lambda b: b.get("n"), NotFound),
        (lambda b: b.record(2), NotFound),
        (lambda b: b.node(1), NotFound),
        (lambda b: b.edge(1), NotFound),
        (lambda b: b.search([1, 2], 1), WrongDimension),
        (lambda b: b.search([1, 2, 3], 0), Invalid),
        (lambda b: b.search([1, 2, 3], 129), LinkError),
        (lambda b: b.search([1, 2, 3], 1, tag=1 << 40), Invalid),
        (lambda b: b.neighbourhood(2, -1), Invalid),
        (lambda b: b.neighbourhood(2, directions=4), Invalid),
        (lambda b: b.edges_of(2, 0), Invalid),
        (lambda b: b.configure(CONFIG), Invalid),
        (lambda b: b.configure((0,) * 7), Invalid),
        (lambda b: b.configure(CONFIG, b"short"), Invalid),
        (lambda b: b.acknowledge(999), Invalid),
        (lambda b: b.frames(999, bytes(8)), NotFound),
        (lambda b: b.frames(1, bytes(8)), quipu.errors.FormatError),
        (lambda b: b.link.request(0x10, b""), Refused),
        (lambda b: b.link.request(0x1F, bytes(9)), Refused),
    ),
    ids=lambda x: None,
)
def test_what_is_refused_changes_nothing(board, call, error):
    assert board.insert([1, 2, 3]) == 1 and board.create_node(1, 1) == 2
    before = now(board)
    with pytest.raises(error) as e:
        call(board)
    assert len(str(e.value)) > 15
    assert now(board) == before
    assert board.create_node(1) == 3  # and it goes on


def test_a_full_pool(board):
    for i in range(12):
        board.insert([i, i, i])
    before = now(board)
    with pytest.raises(Full, match="all 12 record slots"):
        board.insert([0, 0, 0])
    assert now(board) == before


def test_a_board_that_is_not_configured(unix):
    with quipu.connect(unix.port) as board:
        assert board.log is None and board.info()["configured"] is False
        for call in (
            lambda: board.insert([1]),
            lambda: board.frames(0, NO_HEAD),
            lambda: board.record(1),
            lambda: board.sync("nowhere"),
        ):
            with pytest.raises(NotFound, match="configure"):
                call()
        name = board.configure(
            dict(
                zip(
                    ("dim", "records", "nodes", "edges", "keys", "meta_bytes", "value_bytes"),
                    CONFIG,
                    strict=True,
                )
            )
        )
        assert name.hex() == board.info()["log"] and board.config == CONFIG
        assert board.insert([1, 2, 3]) == 1


# -- exactly once ----------------------------------------------------------------------------------

CHANGES = {
    "insert": lambda b, i: b.insert([i, i, i]),
    "put": lambda b, i: b.put("name", b"%d" % i),
    "create_node": lambda b, i: b.create_node(i),
    "update": lambda b, i: b.update(1, tag=i),
    "create_edge": lambda b, i: b.create_edge(i, 2, 2),
}


@pytest.mark.parametrize("verb", CHANGES)
def test_an_answer_that_is_lost(board, verb):
    assert board.insert([1, 2, 3]) == 1 and board.create_node(1) == 2
    for i, fault in enumerate((Lose(0, 14), Lose(0), Lose(5), Lose(13))):
        board.info()  # what the board prints must not be in the way of the count
        wire = Wire.of(board, up=fault)
        seq = CHANGES[verb](board, i)
        board.link._port = wire._port
        assert tokens(board) and max(tokens(board).values()) == seq == board.info()["seq"]
        assert len(tokens(board)) == 3 + i


@pytest.mark.parametrize("verb", CHANGES)
def test_a_request_that_is_lost(board, verb):
    assert board.insert([1, 2, 3]) == 1 and board.create_node(1) == 2
    wire = Wire.of(board, down=Lose(0, 1000))
    size = len(encode_request(1, 0x10, bytes(8)))
    wire.down = Lose(0, size)  # enough of it that nothing is left to be taken for a request
    seq = CHANGES[verb](board, 1)
    assert len(tokens(board)) == 3 and max(tokens(board).values()) == seq


@pytest.mark.parametrize("direction", ("down", "up"))
def test_a_put_survives_damage_at_any_byte(board, direction):
    """A flipped bit or a lost byte anywhere in the request or its answer: one frame, and its seq is
    what put returns."""
    size = len(encode_request(1, 0x1C, bytes(8 + 6 + 1 + 2))) if direction == "down" else 14
    done = []
    port = board.link._port
    for at in range(size):
        for fault in (Flip(at, at % 7), Lose(at)):
            board.link._port = Wire(port, **{direction: fault})
            done.append(board.put("n", b"%02d" % (len(done) % 100)))
    board.link._port = port
    changes = {u32(frame, 4): frame for frame in log(board) if frame[1] == 0x1C | TOKEN}
    assert sorted(changes) == done and len(done) == 2 * size
    assert list(tokens(board).values()) == done
    for i, seq in enumerate(done):
        assert changes[seq][12 + 8 + 6 : -4] == b"n%02d" % (i % 100)


def test_a_change_whose_answers_never_come(board, unix):
    port = board.link._port
    board.link._port = Wire(port, up=lambda data: b"")
    with pytest.raises(LostAnswer, match="limit 2 s"):
        board.put("n", b"1")
    board.link._port = port
    assert board.get("n") == b"1"  # it was made; whoever asks finds it
    board.link._port = Wire(port, down=lambda data: b"")
    with pytest.raises(LostAnswer):
        board.put("n", b"2")
    board.link._port = port
    assert board.get("n") == b"1" and len(tokens(board)) == 1


def test_a_board_that_dies(board, unix, tmp_path):
    seq = board.put("n", b"1")
    unix.process.kill()
    unix.process.wait()
    with pytest.raises(PortError):
        board.put("n", b"2")
    board.close()
    with UnixBoard(unix.flash) as again, quipu.connect(again.port) as board:
        assert board.get("n") == b"1" and board.info()["seq"] == seq
        assert board.put("n", b"2") == seq + 3  # after a boot frame and a checkpoint
        assert board.sync(tmp_path / "a").seq == board.info()["seq"]
        assert quipu.verify(tmp_path / "a", board=board).boots == 2


@pytest.mark.parametrize(
    "call, kind", ((lambda b: b.clock(1_700_000_000_000, 5), 0x84), (lambda b: b.checkpoint(), 3))
)
def test_frames_without_a_token_are_found_too(board, call, kind):
    board.put("n", b"1")
    board.checkpoint()
    size = len(encode_request(1, 0x40, b""))
    for direction, fault in (("up", Lose(0, 14)), ("down", Flip(size // 2))):
        if kind == 3 and direction == "up":
            fault = AfterInfo(fault)
        before = len(log(board))
        port = board.link._port
        board.link._port = Wire(port, **{direction: fault})
        seq = call(board)
        board.link._port = port
        frames = log(board)
        assert len(frames) == before + 1 and frames[-1][1] == kind and u32(frames[-1], 4) == seq


class AfterInfo:
    """Lets the answer to an info request by (it is long), then does what `fault` does."""

    def __init__(self, fault):
        self.fault, self.seen = fault, b""

    def __call__(self, data):
        if b"}" in self.seen[:-5]:
            return self.fault(data)
        self.seen += data
        return data


def test_configure_whose_answer_is_lost(unix):
    with quipu.connect(unix.port, timeout=2) as board:
        port = board.link._port
        board.link._port = Wire(port, up=Lose(0, 42))
        name = board.configure(CONFIG, bytes(range(16)))
        board.link._port = port
        assert name.hex() == board.info()["log"] and log(board)[0][44:60] == bytes(range(16))


# -- an emulated Cortex-M4, at its REPL ------------------------------------------------------------


@pytest.fixture(scope="module")
def flash(tmp_path_factory):
    """The flash of an emulated board that has Quipu's files and no application."""
    flash = tmp_path_factory.mktemp("emulated") / "flash.bin"
    with Emulator("MPS2_AN386", flash, frozen=False) as emulator:
        flash_board(emulator.port, main=None)
        with quipu.connect(emulator.port, timeout=20) as board:
            board.sync(flash.with_name("warm"))
    return flash


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr("quipu.board.link._FIRST_WAIT_S", 1.0)
    monkeypatch.setattr("quipu.board.link._STALL_S", 0.5)


def test_an_idle_repl_is_made_to_serve_and_left_as_it_was(flash, patient, tmp_path):
    with Emulator("MPS2_AN386", flash, frozen=False) as emulator:
        for turn in range(2):
            with quipu.connect(emulator.port, timeout=20) as board:
                assert board.info()["board"].startswith("MPS2_AN386/")
                vector = [i << 16 for i in range(16)]
                record = board.insert(vector, turn, b"m4")
                assert (
                    board.record(record) == (turn, vector, b"m4")
                    and board.search(vector)[0][0] == 0
                )
                board.sync(tmp_path / "a")
                assert quipu.verify(tmp_path / "a", board=board).verdict == "match"
            port = serial.serial_for_url(emulator.port, timeout=2)
            port.write(b"print(6*7)\r")
            # a friendly prompt, nothing running
            assert port.read_until(b">>> ").endswith(b"\r\n42\r\n>>> ")
            port.close()


def test_a_raw_repl_that_someone_left(flash, patient):
    with Emulator("MPS2_AN386", flash, frozen=False) as emulator:
        port = serial.serial_for_url(emulator.port, timeout=5)
        port.read_until(b">>> ")
        port.write(b"\x01")
        assert port.read_until(b"\r\n>").endswith(b"raw REPL; CTRL-B to exit\r\n>")
        port.close()
        with quipu.connect(emulator.port, timeout=20) as board:
            assert board.info()["configured"]


def test_a_board_with_other_firmware(patient):
    with Emulator("MPS2_AN386", frozen=False) as emulator:
        for _ in range(2):
            with pytest.raises(PortError, match="MicroPython .* no Quipu .*flash it first"):
                quipu.connect(emulator.port, timeout=20)
        with pytest.raises(PortError, match="nothing here answered"):
            ports.probe(emulator.port, timeout=0.5)  # which starts nothing at a REPL
        port = serial.serial_for_url(emulator.port, timeout=2)
        repl = Repl(port, "here")
        with pytest.raises(DeviceError, match="ZeroDivisionError") as e:
            repl.run("1/0", 5)
        assert e.value.name == "ZeroDivisionError"
        with pytest.raises(quipu.errors.Full, match="no room"):
            repl.run("class Full(Exception): pass\nraise Full('no room')", 5)
        assert repl.run("print(1)", 5) == b"1\r\n"
        repl.leave()
        port.close()


def test_probing_a_board_that_serves(unix):
    assert ports.probe(unix.port)["board"] == "unix/0001"


# -- link protocols --------------------------------------------------------------------------------


def test_a_board_of_link_protocol_1_gives_its_log_by_frames(board, tmp_path, monkeypatch):
    for i in range(40):
        board.put("n", b"%d" % i)
    real = type(board)._learn
    monkeypatch.setattr(
        type(board), "_learn", lambda self, info: real(self, {**info, "protocol": 1})
    )
    monkeypatch.setattr(type(board), "layout", None)
    board.info()
    assert board.protocol == 1 and not board.link.keeps
    done = board.sync(tmp_path / "a")
    assert done.frames > 40 and board.sync(tmp_path / "a").frames == 0
    board.put("n", b"more")
    assert board.sync(tmp_path / "a").frames >= 3
    assert quipu.verify(tmp_path / "a", board=board).verdict == "match"


def test_a_board_of_a_newer_link_protocol_is_named(board, monkeypatch):
    real = type(board)._learn
    monkeypatch.setattr(
        type(board), "_learn", lambda self, info: real(self, {**info, "protocol": 3})
    )
    with pytest.raises(
        PortError,
        match="link protocol 3, and this version of quipu 1 and 2: update quipu on this computer",
    ):
        board.info()


@given(
    st.binary(max_size=80)
    | st.lists(
        st.sampled_from((0, 1, 2, 4, 1024, 4096, 32 | 2 << 16, 0xFFFFFFFF)), min_size=9, max_size=12
    ).map(lambda words: b"".join(each.to_bytes(4, "little") for each in words))
)
def test_any_answer_on_the_layout_is_taken_or_named(data):
    class Silent:
        url = "a port"
        request = staticmethod(lambda op, payload: data)

    board = object.__new__(quipu.Board)
    board.link, board.log, board.protocol, board.region = Silent, bytes(32), 2, 4096 * 32
    board.read_region = lambda address, size: bytes(size)
    try:
        layout = board.layout(0, bytes(8))
        list(Blocks(board, layout, bytes(32)).after(Chain(None, -1, bytes(32))))
    except (LinkError, Damage, Mismatch):
        pass
