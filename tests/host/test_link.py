"""The laptop's half of the link: answers are found among an application's prints, damage is
noticed, every wait ends."""

import socket
import threading
import time

import pytest
import quipu
import serial
import serial.rfc2217
from hypothesis import assume, example, given
from hypothesis import strategies as st
from quipu.board.link import Answer, AnswerReader, Link, encode_request, parts
from quipu.errors import CannotOpen, LostAnswer, PortError, QuipuError, UsageError

from shared_kernel import link as kernel_link
from shared_kernel import requests
from shared_kernel.errors import LinkError
from tests.host.unix_board import Flip, Lose, UnixBoard, Wire


class Sink:
    """What an answer is written to."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += bytes(data)


def answer(ident, status, payload):
    out = Sink()
    kernel_link.answer(out, ident, status, payload)
    return out.data


pytestmark = pytest.mark.usefixtures("impatient")


# -- the codec -------------------------------------------------------------------------------------


def received(wire, limit=240):
    """Return the requests that the board's reader finds in bytes."""
    reader = kernel_link.RequestReader(limit)
    return [(each[0], each[1], bytes(each[2])) for each in map(reader.feed, wire) if each]


@given(st.integers(0, 255), st.integers(0, 127), st.binary(max_size=170))
def test_the_board_reads_what_the_laptop_writes(ident, op, payload):
    wire = encode_request(ident, op, payload)
    assert received(wire) == [(ident, op, payload)]
    assert wire[0] == 0x1E and all(0x20 < c < 0x7F for c in wire[1:])


@given(st.binary(max_size=2000), st.integers(16, 400))
def test_parts_fit_the_board_and_make_the_whole(payload, limit):
    pieces = parts(0x12, payload, limit)
    got = b""
    for i, (op, piece) in enumerate(pieces):
        assert op == (0x12 if i == len(pieces) - 1 else 0x12 | kernel_link.MORE)
        wire = encode_request(1, op, piece)
        assert len(wire) - 3 <= limit and received(wire, limit)
        got += piece
    assert got == payload


def found_in(wire, pauses, together):
    """Return what the board's reader makes of bytes, damage included; the line pauses before the
    bytes at `pauses`."""
    reader = kernel_link.RequestReader(40)
    found, at, rested = [], 0, set()

    def poll(wait_ms):
        if at in pauses and at not in rested:
            rested.add(at)
            return []
        return [at] if at < len(wire) else []

    def read(n):
        nonlocal at
        at += n
        return wire[at - n : at]

    while at < len(wire):
        try:
            got = reader.feed(read(1)[0])
            if together and not reader.size:
                got = reader.rest(poll, read, 20)
            if got:
                found.append((got[0], got[1], bytes(got[2])))
        except LinkError as e:
            found.append((at, str(e)))
    return found, reader.size


BROKEN = (
    b"\x1e#",
    b"\x1e",
    b"!",
    b"#",
    b"A" * 41,
    encode_request(5, 9, b"abc")[:-3],
    encode_request(6, 9, b"de"),
    b"\x1e#!",
    encode_request(7, 1, bytes(40)),
)


@given(
    st.lists(st.sampled_from(BROKEN) | st.binary(max_size=6), max_size=8).map(b"".join),
    st.sets(st.integers(0, 200)),
)
@example(b"".join(BROKEN), {3, 50, 51})
def test_a_request_read_at_once_is_what_it_is_byte_by_byte(wire, pauses):
    wire = wire + encode_request(3, 2, b"last")
    assert found_in(wire, pauses, True) == found_in(wire, pauses, False)


# Text that an application may print: with marks, with what begins like an answer, with a whole
# answer that lacks its end.
WHOLE = (answer(7, 0, b"abc"), answer(7, 0, b""))
BEGINNINGS = (
    b"\x1e",
    b"\x1eQ",
    b"\x1eQ\1\0\5\0",
    b"\x1eQ\1\0\xff\xff",
    WHOLE[0][:-1],
    WHOLE[1][:6],
)
text = st.binary(max_size=30) | st.sampled_from(BEGINNINGS)
answers = st.tuples(st.integers(1, 255), st.integers(0, 14), st.binary(max_size=40))


def ident(item):
    return item[0] if isinstance(item, tuple) else object()


@given(
    st.lists(text | answers, max_size=8, unique_by=ident), st.lists(st.integers(1, 30), max_size=20)
)
@example([BEGINNINGS[4], b"\xd4", (7, 0, b"abc")], [])
def test_answers_are_told_from_output(items, cuts):
    said = b"".join(each for each in items if isinstance(each, bytes))
    # two texts that make an answer side by side are one
    assume(not any(each in said for each in WHOLE))
    stream = b"".join(answer(*each) if isinstance(each, tuple) else each for each in items)
    printed, found, at = b"", [], 0

    def output(data):
        nonlocal printed
        printed += data

    reader = AnswerReader(output)
    reader.asked |= {each[0] for each in items if isinstance(each, tuple)} | {7}
    for n in [*cuts, len(stream)]:
        found += reader.feed(stream[at : at + n])
        at += n
    while reader.waiting():
        found += reader.give_up()
    assert found == [Answer(*each) for each in items if isinstance(each, tuple)]
    assert printed == said


def test_output_that_makes_a_whole_answer_is_taken_for_it():
    """What an application would have to print: mark, an id that is being asked, length and CRC.
    Link._sequence says why it does not."""
    reader = AnswerReader(lambda _: None)
    reader.asked.add(7)
    assert reader.feed(WHOLE[0][:-1]) == [] and reader.feed(WHOLE[0][-1:]) == [Answer(7, 0, b"abc")]


@given(st.binary(max_size=60), st.data())
def test_a_damaged_answer_is_never_taken(payload, data):
    whole = answer(9, 0, payload)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    broken = bytearray(whole)
    broken[bit // 8] ^= 1 << bit % 8
    reader = AnswerReader(lambda _: None)
    reader.asked = set(range(256))
    found = reader.feed(bytes(broken))
    while reader.waiting():
        found += reader.give_up()
    assert found == []
    assert reader.feed(whole) == [Answer(9, 0, payload)]  # and the next one is found


def test_output_that_looks_like_a_long_answer_hides_none():
    reader = AnswerReader(lambda _: None)
    reader.asked.add(9)
    assert reader.feed(b"\x1eQ\x08\0\xff\xff" + answer(9, 0, b"x")) == [Answer(9, 0, b"x")]
    assert reader.feed(answer(9, 0, b"x")) == []  # asked once, answered once


# -- ports -----------------------------------------------------------------------------------------


def test_a_port_that_is_not_there():
    for port in ("/dev/no-such-port", "socket://127.0.0.1:1", "nonsense://x", "socket://nowhere"):
        with pytest.raises(CannotOpen, match="cannot open") as e:
            quipu.connect(port, timeout=1)
        assert e.value.exit_code == 3


def test_a_port_where_nothing_answers(tmp_path):
    board = UnixBoard(tmp_path / "flash")
    with board:
        board.process.kill()
        board.process.wait()
        with pytest.raises(PortError):
            quipu.connect(board.port, timeout=0.6)


@pytest.fixture
def silent():
    """A port that takes everything and says nothing."""
    ours, its = socket.socketpair()
    server = socket.create_server(("127.0.0.1", 0))
    taken = []

    def accept():
        client, _ = server.accept()
        taken.append(client)

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"socket://127.0.0.1:{server.getsockname()[1]}", taken
    thread.join()
    for each in (ours, its, server, *taken):
        each.close()


def test_a_wait_has_an_end(silent):
    with pytest.raises(PortError, match="within 0.7 s"):
        quipu.connect(silent[0], timeout=0.7)
    taken = silent[1][0]
    said = b""
    taken.settimeout(5)
    while piece := taken.recv(4096):
        said += piece
    assert b"\x03" not in said  # never a Ctrl-C to what may be an application
    assert received(said)[0][1] == requests.INFO


def test_the_port_is_held(tmp_path):
    with UnixBoard(tmp_path / "flash") as board, quipu.connect(board.port):
        with pytest.raises(CannotOpen):
            quipu.connect(board.port, timeout=1)


# -- a board ---------------------------------------------------------------------------------------


def test_requests_and_typed_errors(tmp_path):
    with UnixBoard(tmp_path / "flash") as unix, Link(unix.port) as link:
        assert b'"protocol": 2' in link.greeting
        assert link.request(requests.INFO) != b""
        with pytest.raises(quipu.errors.NotFound, match="not configured"):
            link.request(requests.RECORD, bytes(4))
        with pytest.raises(quipu.errors.LinkError, match="0x7e"):
            link.request(0x7E)
        with pytest.raises(QuipuError, match="IndexError"):
            link.request(requests.RECORD, b"\1")  # too short a payload


def test_a_request_that_is_damaged_is_repeated(tmp_path):
    with UnixBoard(tmp_path / "flash") as unix, Link(unix.port) as link:
        port = link._port
        whole = link.request(requests.INFO)
        assert whole
        size = len(encode_request(1, requests.INFO, b""))
        for at in range(size):
            for fault in (Flip(at, at % 7), Lose(at), Lose(at, 3)):
                link._port = Wire(port, down=fault)
                assert set(link.request(requests.INFO)[:1]) == {ord("{")}


def test_an_answer_that_is_damaged_is_asked_for_again(tmp_path):
    with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
        board.configure((2, 4, 0, 0, 2, 0, 8))
        seq = board.put("name", b"value")
        link = board.link
        port = link._port
        size = len(answer(1, 0, seq.to_bytes(4, "little") + b"value"))
        for at in range(size):
            for fault in (Flip(at, at % 8), Lose(at)):
                link._port = Wire(port, up=fault)
                assert board.get("name") == b"value"
        assert link.sent < 200 * size * 4


def test_a_late_answer_is_nobodys(tmp_path):
    """The answer to an earlier request must not be taken for that to a later one."""
    with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
        board.configure((2, 4, 0, 0, 2, 0, 8))
        board.put("a", b"1")
        board.put("b", b"2")
        held = []

        def hold(data):
            held.append(data)
            return b""

        wire = Wire.of(board, up=hold)
        with pytest.raises(LostAnswer):
            board.link.request(requests.KEY, b"a", timeout=0.3, repeat=False)
        deadline = time.monotonic() + 30
        while b"\1\0\0\0" + b"1" not in b"".join(held):  # it does come
            wire.read(1)
            assert time.monotonic() < deadline, held

        def release(data):
            data = b"".join(held) + data
            held.clear()
            return data

        wire.up = release
        assert board.get("b") == b"2"
        assert not held and not board.link.printed


def test_many_parts(tmp_path):
    """A vector that takes several requests arrives whole, also where a part or the answer to one is
    lost or damaged."""
    config = (100, 8, 0, 0, 0, 255, 0)
    vector = [i * 65537 for i in range(100)]
    meta = bytes(range(255))
    with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
        board.configure(config)
        seqs = [board.insert(vector, 1, meta)]
        assert len(parts(0x10, bytes(667), board.link.limit)) == 4
        port = board.link._port
        for direction, fault in (
            ("down", Flip(30)),
            ("down", Flip(300)),
            ("down", Lose(500, 40)),
            ("down", Flip(800)),
            ("up", Lose(3, 2)),
            ("up", Flip(13)),
            ("up", Flip(24)),
        ):
            board.link._port = Wire(port, **{direction: fault})
            seqs.append(board.insert(vector, 1, meta))
        board.link._port = port
        assert len(set(seqs)) == 8 == board.info()["records"]
        assert all(board.record(each) == (1, vector, meta) for each in seqs)
        for direction, fault in (
            ("up", Lose(0)),
            ("up", Lose(3, 2)),
            ("up", Flip(12)),
            ("down", Flip(30)),
            ("down", Flip(300)),
        ):
            board.link._port = Wire(port, **{direction: fault})
            # repeated, with no part taken twice
            assert board.search(vector, 9) == [(0, each) for each in sorted(seqs)]


def test_what_the_application_prints_is_kept_apart(tmp_path):
    with UnixBoard(tmp_path / "flash") as unix, quipu.connect(unix.port) as board:
        board.configure((2, 4, 0, 0, 2, 0, 8))
    printed = b""

    def output(data):
        nonlocal printed
        printed += data

    with (
        UnixBoard(tmp_path / "flash", "app") as unix,
        quipu.connect(unix.port, output=output) as board,
    ):
        counts = []
        while len(counts) < 40 or printed.count(b"\n") < 41:
            counts.append(int(board.get("n")))  # changes all the time: the application goes on
            assert board.info()["protocol"] == 2
        assert counts == sorted(counts) and counts[-1] > counts[0]
    lines = printed.split(b"\n")
    assert len(lines) > 40
    first = int(lines[0].split()[1])
    for i, line in enumerate(lines[:-1]):
        assert line == b"line %d \x1eQ" % (first + i)


# -- other ways to a port --------------------------------------------------------------------------


class NoLines:
    """A pty has no modem lines; PortManager asks for them."""

    cts = dsr = ri = cd = False

    def __init__(self, port):
        self._port = port

    def __getattr__(self, name):
        return getattr(self._port, name)


class Bridge:
    """A pty as a TCP port; rfc2217: with the protocol of that name, else raw (socket://). A context
    manager."""

    def __init__(self, pty, rfc2217):
        self.serial = serial.serial_for_url(pty, timeout=0.05)
        self.server = socket.create_server(("127.0.0.1", 0))
        scheme = "rfc2217" if rfc2217 else "socket"
        self.url = f"{scheme}://127.0.0.1:{self.server.getsockname()[1]}"
        self.rfc2217 = rfc2217
        self.over = False
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over = True
        self.thread.join()
        self.server.close()
        self.serial.close()

    def write(self, data):  # what PortManager calls to answer
        self.client.sendall(data)

    def _serve(self):
        self.client, _ = self.server.accept()
        with self.client:
            self.client.settimeout(0.01)
            manager = (
                serial.rfc2217.PortManager(NoLines(self.serial), self) if self.rfc2217 else None
            )
            while not self.over:
                try:
                    data = self.client.recv(4096)
                    if not data:
                        return
                    if manager:
                        data = b"".join(manager.filter(data))
                    self.serial.write(data)
                except TimeoutError:
                    pass
                data = self.serial.read(self.serial.in_waiting or 1)
                if manager:
                    data = b"".join(manager.escape(data))
                if data:
                    try:
                        self.client.sendall(data)
                    except OSError:
                        return


@pytest.mark.parametrize("rfc2217", (False, True))
def test_over_the_network(tmp_path, rfc2217):
    with (
        UnixBoard(tmp_path / "flash") as unix,
        Bridge(unix.port, rfc2217) as bridge,
        quipu.connect(bridge.url) as board,
    ):
        board.configure((2, 40, 0, 0, 2, 8, 8))
        for i in range(20):
            board.insert([i, -i], i, bytes([0xFF, 0x1E, i]))  # 0xFF is telnet's escape
        board.sync(tmp_path / "a")
        assert quipu.verify(tmp_path / "a", board=board).verdict == "match"


def test_usage_errors_have_their_own_exit_code():
    assert (UsageError.exit_code, PortError.exit_code) == (2, 3)
    codes = {
        quipu.errors.Full("x"): 1,
        quipu.errors.LogFull("x"): 1,
        quipu.errors.Damage("x"): 1,
        quipu.errors.Busy("x"): 3,
        quipu.errors.ArchiveError("x"): 1,
        quipu.errors.Mismatch(1, "a", "b", "c"): 1,
        OSError(): 3,
    }
    assert {each: quipu.errors.exit_code(each) for each in codes} == codes
