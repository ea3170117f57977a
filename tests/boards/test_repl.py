"""One serial port serves a person, mpremote, the application's prints and the laptop, one after the
other and all at once.

On an emulated board with Quipu copied onto it and a main.py of its own, which records and prints
without being asked."""

import io
import random
import re
import subprocess
import sys
import time

import pytest
import quipu
import serial
from quipu.board.link import encode_request
from quipu.board.repl import Limited
from quipu.build.emulator import Emulator

from shared_kernel import requests

BOARD = "MPS2_AN386"
LIMIT_S = 30
PROMPT = b">>> "
# Records and prints all the time, from the moment on that the laptop puts the key "go": so that
# none of its lines comes before somebody listens. A line names the key's value that is durable when
# it is printed.
APPLICATION = """
import quipu
memory = quipu.start()
records = []
n = 0

def run():
    global n
    while True:
        memory.put("n", b"%d" % (n + 1))
        n += 1
        records.append(memory.insert([n] * 16, n & 3))
        if len(records) > 40:
            memory.delete(records.pop(0))
        print("line %d, as the application printed it: \\x1e?" % n)
        memory.sleep_ms(2)

while True:
    try:
        memory.get("go")
        break
    except Exception:
        memory.sleep_ms(5)
run()
"""
LINE = re.compile(rb"line (\d+), as the application printed it: \x1e\?")


class Person:
    """Somebody at the serial port."""

    def __init__(self, emulator):
        self.port = serial.Serial(emulator.port, 115200, timeout=LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.port.close()

    def interrupt(self):
        """Press Ctrl-C; return what came until a prompt was there."""
        self.port.write(b"\x03")
        return self.until(b"\r\n" + PROMPT)

    def type(self, line):
        """Type a line at the prompt; return what the board said to it, its echo included."""
        self.port.write(line + b"\r")
        return self.until(b"\n" + PROMPT)

    def until(self, end):
        said = self.port.read_until(end)
        assert said.endswith(end), said
        return said


def mpremote(emulator, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", emulator.port, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def numbers_of(output):
    """Return the numbers of the lines that an application printed: nothing else, each whole, each
    after the one before. The last may be cut short by the port's closing."""
    lines = b"".join(output).split(b"\r\n")
    numbers = []
    for i, line in enumerate(lines[:-1]):
        match = LINE.fullmatch(line)
        assert match, f"not what the application printed: {lines[max(0, i - 3) : i + 4]}"
        numbers.append(int(match[1]))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return numbers


@pytest.fixture(scope="module")
def flash(copied):
    return copied({"/main.py": APPLICATION})


@pytest.fixture
def running(flash, tmp_path, copied):
    """An emulator whose application waits for the laptop's word, on a flash of its own."""
    own = tmp_path / "flash.bin"
    own.write_bytes(flash.read_bytes())
    with Emulator(BOARD, own, frozen=False) as emulator:
        yield emulator


def goes_on(board, seq):
    """Ask until the application has recorded beyond seq; return how far it is."""
    while (now := board.info()["seq"]) <= seq:
        pass
    return now


def test_a_recording_application_is_asked_synced_and_searched_while_it_goes_on(running, tmp_path):
    output = []
    with quipu.connect(running.port, LIMIT_S, output.append) as board:
        board.put("go", b"")
        goes_on(board, 40)
        for archive in ("one", "one", "two"):
            synced = board.sync(tmp_path / archive)
            assert synced.log_bytes > 0 and goes_on(board, synced.seq) > synced.seq
            verdict = quipu.verify(tmp_path / archive, board)
            assert verdict.verdict == "match" and verdict.live["ahead"] > 0
            found = board.search([0] * 16, 5)
            assert len(found) == 5 and found == sorted(found)
            tag, vector, _ = board.record(board.search([10**6] * 16)[0][1])
            assert len(set(vector)) == 1 and vector[0] & 3 == tag
            put = board.put("asked", archive.encode())
            n = int(board.get("n"))
            goes_on(board, put + 6)
            assert int(board.get("n")) > n
    numbers = numbers_of(output)
    assert numbers[0] == 1 and numbers[-1] >= n > 20, (
        "every line came, from the first on, and only they"
    )


def test_ctrl_c_reaches_the_application_and_what_it_recorded_stays(running, tmp_path):
    rng = random.Random(3)
    with quipu.connect(running.port, LIMIT_S) as board:
        board.put("go", b"")
    printed = 0
    with Person(running) as person:
        for _ in range(12):  # at moments of its own: in a verb, in a print, in a wait
            for _ in range(rng.randrange(1, 6)):
                person.until(b"\n")
            person.port.timeout = LIMIT_S
            said = person.interrupt()
            assert b"KeyboardInterrupt" in said and said.count(PROMPT) == 1
            printed = int(person.type(b"n").split()[-2])
            kept = int(person.type(b"int(memory.get('n'))").split()[-2])
            assert printed <= kept <= printed + 1, (
                "the write under way is there, whole, or it is not"
            )
            person.type(b"n = int(memory.get('n'))")
            person.port.write(b"run()\r")
            person.until(b"run()\r\n")
        person.interrupt()
    with quipu.connect(running.port, LIMIT_S) as board:
        board.sync(tmp_path / "archive")
        verdict = quipu.verify(tmp_path / "archive", board)
        assert (
            verdict.verdict == "match"
            and verdict.live["ahead"] == 0
            and verdict.frames > printed > 12
        )


def test_mpremote_works_after_an_application_and_quipu_after_mpremote(running, tmp_path):
    with quipu.connect(running.port, LIMIT_S) as board:
        board.put("go", b"")
        board.sync(tmp_path / "archive")
    with Person(running) as person:
        assert b"KeyboardInterrupt" in person.interrupt()
    assert mpremote(running, "exec", "print(1+1)") == "2\n"
    names = mpremote(running, "fs", "ls").split()
    assert {"main.py", "quipu.json", "lib/"} <= set(names)
    for _ in range(2):  # by the idle prompt, which is then as it was
        with quipu.connect(running.port, LIMIT_S) as board:
            assert int(board.get("n")) > 0
            board.put("go on", b"")
            board.sync(tmp_path / "archive")
            assert quipu.verify(tmp_path / "archive", board).verdict == "match"
        with Person(running) as person:
            assert person.type(b"print(6 * 7)") == b"print(6 * 7)\r\n42\r\n>>> "
    assert mpremote(running, "exec", "print(1+1)") == "2\n"


def test_mpremote_interrupts_a_running_application(running):
    with quipu.connect(running.port, LIMIT_S) as board:
        board.put("go", b"")
    assert mpremote(running, "exec", "import os; print('main.py' in os.listdir())") == "True\n"


def test_a_request_at_the_prompt_is_a_comment(running):
    asked = encode_request(7, requests.INFO, b"")
    with quipu.connect(running.port, LIMIT_S):
        pass  # a Ctrl-C that comes before the board is up is nobody's
    with Person(running) as person:
        person.interrupt()
        for typed in (asked, asked * 3, b"x = 1 " + asked):
            said = person.type(typed)
            assert said.count(b"\n") == 1 and said.endswith(b"!\r\n>>> ") and b"rror" not in said
        assert person.type(b"print(x)") == b"print(x)\r\n1\r\n>>> "
        # What it is that makes it harmless: without the mark's "#" it is not.
        assert b"SyntaxError" in person.type(asked.replace(b"#", b""))
    with quipu.connect(running.port, LIMIT_S) as board:
        assert board.info()["seq"] == 0


def test_case_21_a_repl_that_waits_for_the_end_of_an_input_is_named():
    with Emulator(BOARD, frozen=False) as emulator:
        for typed, form in (
            (b"\x05", "paste mode"),
            (b"x = '''\r", "an open block"),
            (b"\x01\x05A\x01", "raw paste"),
        ):
            with serial.Serial(emulator.port, 115200, timeout=LIMIT_S) as port:
                port.write(typed)
            with pytest.raises(quipu.errors.PortError, match=rf"{form}\b.*Ctrl-C"):
                quipu.connect(emulator.port, timeout=3)
            with serial.Serial(emulator.port, 115200, timeout=LIMIT_S) as port:
                port.write(b"\x03\x02")
                port.read_until(PROMPT)


def test_what_is_read_ahead_is_given_in_the_sizes_that_are_asked_for():
    """Also across its end: a read of two bytes gets two, of which one was taken before."""
    content = random.Random(7).randbytes(4000)

    class Port(io.BytesIO):
        in_waiting = property(lambda self: min(7, len(content) - self.tell()))
        reads = 0

        def read(self, size):
            self.reads += 1
            return super().read(size)

    for ahead, most in ((True, 1200), (False, 4000)):
        port = Port(content)
        limited = Limited(port, ValueError)
        limited.allow(60)
        got = []
        while limited.in_waiting:
            size = len(got) % 3 + 1
            if ahead and len(got) % 50:
                with limited.reads_ahead():
                    got.append(limited.read(size))
            else:
                got.append(limited.read(size))
            assert limited.in_waiting >= port.in_waiting
        assert b"".join(got) == content and port.reads < most
        assert [len(each) for each in got[:-1]] == [i % 3 + 1 for i in range(len(got) - 1)]
    vars(limited)["deadline"] = time.monotonic() - 1
    with pytest.raises(ValueError, match="says|talks"):
        limited.read(1)
