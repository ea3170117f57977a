"""An emulated board behaves as the real one does that it stands for: prompt, files, flash, power
cut, reset, serial port.

Nothing of Quipu runs here but the images: plain MicroPython, driven by mpremote.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mpremote.transport import TransportExecError
from mpremote.transport_serial import SerialTransport
from quipu.build import images
from quipu.build.emulator import Emulator, EmulatorError

from tests.quick import some

ROOT = Path(__file__).resolve().parents[2]
BOARDS = images.boards()
LOG = "import emulated; log = emulated.Flash(1048576, 262144)\n"
LIMIT_S = 30.0


def connect(emulator):
    # On a pty, mpremote looks at its time-outs only between reads, and without this one a read
    # never returns; a short one would break its raw-paste handshake on a busy machine.
    return SerialTransport(emulator.port, timeout=LIMIT_S)


class Prompt:
    """The raw REPL of a running emulator."""

    def __init__(self, emulator):
        self.transport = connect(emulator)
        self.transport.enter_raw_repl()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        # mpremote's own close() talks to the port, which a killed board has no more
        self.transport.serial.close()

    def run(self, code):
        """Run code on the board; what it printed, without the last line's end."""
        return self.transport.exec(code).decode().removesuffix("\r\n")


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


def wait_until(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        time.sleep(0.01)


def log_bytes(emulator, n):
    """The first n bytes of the log region, from the host's file."""
    with emulator.flash.open("rb") as file:
        file.seek(emulator.facts["log"]["start"])
        return file.read(n)


@pytest.fixture(params=some(BOARDS, 1))
def emulator(request):
    with Emulator(request.param, frozen=False) as running:
        yield running


# ----------------------------------------------------------------------------------------------------
# what it stands for


def test_all_four_cores_are_there():
    cpus = {images.emulation(board)["cpu"] for board in BOARDS}
    assert cpus == {"Cortex-M0", "Cortex-M3", "Cortex-M4", "Cortex-M7"}


def test_computes_and_says_which_board_it_is(emulator):
    with Prompt(emulator) as prompt:
        assert prompt.run("print(1 + 1)") == "2"
        assert (
            prompt.run("import sys; print(sys.implementation._machine)")
            == f"{emulator.board} with {emulator.emulation['cpu']}"
        )
        assert prompt.run("import sys; print(sys.path)") == "['', '.frozen', '/lib']"


def test_compiles_for_its_own_core(emulator):
    # A Cortex-M0 faults on ARMv7-M instructions, so this also tells that its emitter keeps to
    # ARMv6-M.
    with Prompt(emulator) as prompt:
        prompt.run(
            "@micropython.viper\ndef f(p: ptr32, n: int) -> int:\n"
            "  s = 0\n  i = 0\n  while i < n:\n    s = (s ^ p[i]) * 16777619\n    i += 1\n  "
            "return s"
        )
        expected = 0
        for value in range(1000):
            expected = (expected ^ value) * 16777619 & 0xFFFFFFFF
        assert prompt.run(
            "from array import array; a = array('I', range(1000)); print(f(a, 1000) & 0xFFFFFFFF)"
        ) == str(expected)


def test_has_the_heap_it_says_or_the_one_it_is_given(emulator):
    total = "import gc; gc.collect(); print(gc.mem_alloc() + gc.mem_free())"
    with Prompt(emulator) as prompt:
        assert 0.95 < int(prompt.run(total)) / emulator.emulation["heap"] <= 1
    with Emulator(emulator.board, frozen=False, heap=96 * 1024) as small, Prompt(small) as prompt:
        assert 0.95 < int(prompt.run(total)) / (96 * 1024) <= 1


def test_unique_id_is_the_one_in_the_flash_file(emulator):
    with Prompt(emulator) as prompt:
        shown = prompt.run("import machine; print(machine.unique_id().hex())")
    with emulator.flash.open("rb") as file:
        file.seek(emulator.emulation["flash"]["size"])
        assert shown == file.read(8).hex()


def test_clock_runs_at_the_rate_of_the_wall(emulator):
    with Prompt(emulator) as prompt:
        started = time.monotonic()
        measured = int(
            prompt.run(
                "import time; t = time.ticks_ms(); time.sleep_ms(1500); "
                "print(time.ticks_diff(time.ticks_ms(), t))"
            )
        )
        # A clock that loses the wraps of its counter, or has the wrong rate, is off by hundreds of
        # milliseconds.
        assert 1500 <= measured <= 1000 * (time.monotonic() - started) + 10


def test_instructions_are_counted_exactly():
    code = (
        "import emulated\n@micropython.viper\ndef f(n: int):\n  while n:\n    n -= 1\n"
        "def count(n):\n  a = emulated.instructions(); f(n); return emulated.instructions() - a\n"
        # an interrupt's are in some of them
        "def least(n): return min([count(n) for _ in range(7)])\n"
        "count(1); print(least(1000), least(20000))"
    )
    for board in BOARDS:
        counts = []
        for _ in range(2):
            with Emulator(board, frozen=False, icount=True) as emulator, Prompt(emulator) as prompt:
                counts.append([int(word) for word in prompt.run(code).split()])
        tick = 63  # the coarsest counter: 16 MHz
        (few, many), (few_again, many_again) = counts
        assert abs(few - few_again) <= tick and abs(many - many_again) <= tick
        per_round = (many - few) / 19000
        assert 3 <= per_round <= 30, f"{board}: {per_round} instructions a round"


def test_waiting_costs_the_host_little(emulator):
    def cpu_seconds():
        fields = Path(f"/proc/{emulator.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    with Prompt(emulator) as prompt:
        prompt.run("1")
        before = cpu_seconds()
        prompt.run("import time; time.sleep_ms(1000)")
        asleep = cpu_seconds()
        time.sleep(1)
        assert asleep - before < 0.3, "time.sleep_ms() keeps the processor busy"
        assert cpu_seconds() - asleep < 0.3, "the prompt keeps the processor busy"


# -----------------------------------------------------------------------------------------------------------------
# flash


def test_new_flash_is_erased(emulator):
    with Prompt(emulator) as prompt:
        assert (
            prompt.run(
                LOG + "b = bytearray(262144); log.readblocks(0, b); print(b.count(b'\\xff'))"
            )
            == "262144"
        )
        assert (
            prompt.run("print([log.ioctl(op, 0) for op in (1, 2, 3, 4, 5)], log.ioctl(7, 0))")
            == "[0, 0, 0, 64, 4096] None"
        )


def test_programming_only_clears_bits(emulator):
    with Prompt(emulator) as prompt:
        prompt.run(
            LOG
            + "log.writeblocks(2, b'\\xf3\\xff\\x01', 5); log.writeblocks(2, b'\\x31\\x00\\x01', "
            "5)\n"
            "b = bytearray(5)"
        )
        assert prompt.run("log.readblocks(2, b, 4); print(b)") == repr(
            bytearray(b"\xff\x31\x00\x01\xff")
        )


@pytest.mark.parametrize("n", [1, 300])
def test_a_bit_never_becomes_1_without_an_erase(emulator, n):
    with Prompt(emulator) as prompt:
        prompt.run(
            LOG + f"n = {n}; log.writeblocks(0, b'\\xfe', 100 + n - 1)\n"
            "def program():\n  try: log.writeblocks(0, bytes(n - 1) + b'\\x01', 100)\n"
            "  except OSError as e: return e.errno\n"
            "def read():\n  b = bytearray(n); log.readblocks(0, b, 100); return b\n"
            "print(program(), read() == b'\\xff' * (n - 1) + b'\\xfe')"
        )
        # 5: EIO
        assert prompt.run("print(program(), read() == b'\\xff' * (n - 1) + b'\\xfe')") == "5 True"
        assert (
            prompt.run("log.ioctl(6, 0); print(program(), read() == bytes(n - 1) + b'\\x01')")
            == "None True"
        )


def test_erase_takes_one_sector_and_nothing_beside(emulator):
    with Prompt(emulator) as prompt:
        prompt.run(
            LOG + "for i in range(3): log.writeblocks(i, bytes(4096))\nlog.ioctl(6, 1)\nb = "
            "bytearray(3 * 4096)"
        )
        assert (
            prompt.run(
                "log.readblocks(0, b); print(b == bytes(4096) + b'\\xff' * 4096 + bytes(4096))"
            )
            == "True"
        )


def test_writing_whole_blocks_erases_first(emulator):
    with Prompt(emulator) as prompt:
        prompt.run(
            LOG + "log.writeblocks(0, bytes(4096)); log.writeblocks(0, b'\\xaa' * 4096); b = "
            "bytearray(4096)"
        )
        assert prompt.run("log.readblocks(0, b); print(b == b'\\xaa' * 4096)") == "True"


def test_flash_counts_its_work(emulator):
    with Prompt(emulator) as prompt:
        assert prompt.run(LOG + "print(log.stats())") == "(0, 0, 0)"
        prompt.run(
            "log.writeblocks(0, bytes(10), 0); log.writeblocks(0, bytes(4096)); log.ioctl(6, 3)\n"
            "try: log.writeblocks(0, b'\\xff', 0)\nexcept OSError: pass"
        )
        assert prompt.run("print(log.stats())") == "(4106, 2, 2)"
        assert (
            prompt.run(
                "s = emulated.stats(); open('/f', 'w').close(); t = emulated.stats(); print(t[1] "
                "> s[1])"
            )
            == "True"
        )


@pytest.mark.parametrize(
    "call",
    [
        "readblocks(64, bytearray(1), 0)",
        "readblocks(63, bytearray(4097))",
        "readblocks(-1, bytearray(1))",
        "writeblocks(64, bytes(4096))",
        "writeblocks(63, bytes(2), 4095)",
        "writeblocks(0, bytes(1), -1)",
        "writeblocks(0, bytes(10))",
        "ioctl(6, 64)",
        "ioctl(6, -1)",
    ],
)
def test_flash_refuses_what_lies_outside(emulator, call):
    with Prompt(emulator) as prompt, pytest.raises(TransportExecError, match="EINVAL"):
        prompt.run(LOG + "log." + call)


@pytest.mark.parametrize("arguments", ["-4096", "1", "0, 1", "0, 0", "2097152", "4096, 2097152"])
def test_flash_refuses_to_be_made_outside(emulator, arguments):
    with Prompt(emulator) as prompt, pytest.raises(TransportExecError, match="ValueError"):
        prompt.run(f"import emulated; emulated.Flash({arguments})")


# -------------------------------------------------------------------------------------------------------------
# power cut


def test_flash_and_files_survive_a_kill(emulator):
    with Prompt(emulator) as prompt:
        prompt.run(
            LOG + "log.writeblocks(0, b'carried far', 0)\n"
            "with open('/note.txt', 'w') as f: f.write('kept')"
        )
    emulator.kill()
    assert not emulator.running and emulator.port is None
    assert log_bytes(emulator, 12) == b"carried far\xff"
    emulator.start()
    with Prompt(emulator) as prompt:
        assert (
            prompt.run(LOG + "b = bytearray(11); log.readblocks(0, b); print(bytes(b))")
            == "b'carried far'"
        )
        assert prompt.run("print(open('/note.txt').read())") == "kept"


def test_every_program_that_returned_survives_a_kill_at_any_moment(emulator):
    rng = random.Random(1)
    for _ in range(5):
        with Prompt(emulator) as prompt:
            prompt.transport.exec_raw_no_follow(
                LOG + "for s in range(64): log.ioctl(6, s)\n"
                "for i in range(65536):\n  log.writeblocks(i >> 10, bytes((i & 255, i >> 8, 0xA5, "
                "0)), (i & 1023) * 4)\n"
                "  print(i)\n"
            )
            until = rng.randrange(50, 400)
            prompt.transport.read_until(1, b"\n%d\r\n" % until, timeout=LIMIT_S)
            emulator.kill()
        written = log_bytes(emulator, 4 * (until + 1))
        assert [written[at : at + 4] for at in range(0, len(written), 4)] == [
            bytes((i & 255, i >> 8, 0xA5, 0)) for i in range(until + 1)
        ]
        emulator.start()


def test_two_boards_share_nothing():
    for board in BOARDS:
        with Emulator(board, frozen=False) as one, Emulator(board, frozen=False) as other:
            with Prompt(one) as prompt:
                mine = prompt.run(
                    LOG + "import machine, os; log.writeblocks(0, b'mine', 0); open('/mine', "
                    "'w').close()\n"
                    "print(machine.unique_id(), os.listdir('/'))"
                )
            with Prompt(other) as prompt:
                theirs = prompt.run(
                    LOG + "import machine, os; print(machine.unique_id(), os.listdir('/'))"
                )
            assert (
                mine.endswith("['mine']")
                and theirs.endswith("[]")
                and mine.split(" [")[0] != theirs.split(" [")[0]
            )
            assert (log_bytes(one, 4), log_bytes(other, 4)) == (b"mine", b"\xff" * 4)


def test_nothing_is_formatted_that_is_not_erased(emulator):
    emulator.kill()
    content = bytearray(random.Random(2).randbytes(emulator.emulation["filesystem"]["size"]))
    with emulator.flash.open("r+b") as file:
        file.write(content)
    emulator.start()
    with Prompt(emulator) as prompt:
        assert prompt.run("import os; print(os.listdir('/'))") == "[]"
    # A single programmed bit makes it somebody's flash.
    emulator.kill()
    assert emulator.flash.read_bytes()[: len(content)] == content
    content[:] = b"\xff" * (len(content) - 1) + b"\xfe"
    with emulator.flash.open("r+b") as file:
        file.write(content)
    emulator.start()
    with Prompt(emulator) as prompt:
        prompt.run("1")
    emulator.kill()
    assert emulator.flash.read_bytes()[: len(content)] == content


def test_a_file_that_is_no_flash_is_refused_untouched(tmp_path):
    for board in BOARDS:
        file = tmp_path / board
        file.write_bytes(b"somebody's")
        with pytest.raises(EmulatorError, match="expected"):
            Emulator(board, file, frozen=False).start()
        assert file.read_bytes() == b"somebody's"


def test_a_flash_is_in_one_board_at_a_time(emulator):
    with pytest.raises(EmulatorError, match="another board"):
        Emulator(emulator.board, emulator.flash, frozen=False).start()
    emulator.kill()
    with Emulator(emulator.board, emulator.flash, frozen=False) as second, Prompt(second) as prompt:
        assert prompt.run("print(1 + 1)") == "2"


def test_what_cannot_start_says_so(tmp_path):
    with pytest.raises(EmulatorError, match="no image"):
        Emulator(BOARDS[0], image=tmp_path / "none.elf").start()
    emulator = Emulator(BOARDS[0], frozen=False)
    emulator.emulation["machine"] = "no-such-machine"
    with pytest.raises(EmulatorError, match="unsupported machine"):
        emulator.start()
    assert not emulator.running
    emulator.close()


def test_the_board_dies_with_the_one_who_started_it(tmp_path):
    code = (
        f"import sys, time\nsys.path.insert(0, {str(ROOT / 'host')!r})\nfrom quipu.build.emulator "
        f"import Emulator\n"
        f"e = Emulator({BOARDS[0]!r}, {str(tmp_path / 'flash')!r}, frozen=False)\ne.start()\n"
        "print(e.pid, flush=True)\ntime.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    qemu = int(starter.stdout.readline())
    assert Path(f"/proc/{qemu}").exists()
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    wait_until(lambda: not alive(qemu), "QEMU ends with its parent")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ----------------------------------------------------------------------------------------------------
# start and prompt


def test_mpremote_copies_and_lists_files(emulator, tmp_path):
    source = tmp_path / "data.bin"
    source.write_bytes(random.Random(3).randbytes(3000))
    mpremote(emulator, "fs", "cp", str(source), ":data.bin")
    assert re.findall(r"3000 data\.bin", mpremote(emulator, "fs", "ls"))
    back = tmp_path / "back.bin"
    mpremote(emulator, "fs", "cp", ":data.bin", str(back))
    assert back.read_bytes() == source.read_bytes()


def start_main(emulator, code):
    """Put main.py on the board and start it by a power cycle; returns the serial port as bytes
    go."""
    with Prompt(emulator) as prompt:
        prompt.transport.fs_writefile("/main.py", code)
    emulator.restart()
    return connect(emulator)


def test_main_py_starts_and_ctrl_c_stops_it(emulator):
    transport = start_main(emulator, b"print('application', 6 * 7)\nwhile True: pass\n")
    try:
        port = transport.serial
        assert b"application 42" in transport.read_until(1, b"42\r\n", timeout=LIMIT_S)
        port.write(b"\x03")
        assert b"KeyboardInterrupt" in transport.read_until(1, b">>> ", timeout=LIMIT_S)
        # Ctrl-D at the prompt is a soft reset, which starts main.py again.
        port.write(b"\x04")
        assert b"soft reboot" in transport.read_until(1, b"application 42\r\n", timeout=LIMIT_S)
        port.write(b"\x03")
        transport.read_until(1, b">>> ", timeout=LIMIT_S)
        # From the raw REPL it is one too, but main.py is not started: mpremote could not work
        # otherwise.
        transport.enter_raw_repl(soft_reset=True)
        assert transport.exec("import sys; print('main' in globals(), 1 + 1)") == b"False 2\r\n"
    finally:
        transport.close()


def test_boot_py_runs_before_main_py(emulator):
    with Prompt(emulator) as prompt:
        prompt.transport.fs_writefile("/boot.py", b"order = ['boot']\n")
    transport = start_main(emulator, b"order.append('main')\nprint(order)\n")
    try:
        assert b"['boot', 'main']" in transport.read_until(1, b">>> ", timeout=LIMIT_S)
    finally:
        transport.close()


def test_machine_reset_boots_again(emulator):
    with Prompt(emulator) as prompt:
        prompt.run("import machine; mark = 1")
        pid = emulator.pid
        prompt.transport.exec_raw_no_follow("machine.reset()")
        prompt.transport.read_until(1, b">>> ", timeout=LIMIT_S)
        prompt.transport.enter_raw_repl(soft_reset=False)
        assert prompt.run("print('mark' in globals())") == "False"
        assert emulator.pid == pid and emulator.running


# ------------------------------------------------------------------------------------------------------------
# serial port


def test_every_byte_goes_both_ways_unchanged(emulator):
    sent = bytes(range(256)) * 2
    with Prompt(emulator) as prompt:
        prompt.transport.exec_raw_no_follow(
            "import micropython, sys\nmicropython.kbd_intr(-1)\nprint('ready')\n"
            f"data = sys.stdin.buffer.read({len(sent)})\nmicropython.kbd_intr(3)\nsys.stdout.buffer.write(data)\n"
        )
        prompt.transport.read_until(1, b"ready\r\n", timeout=LIMIT_S)
        port = prompt.transport.serial
        port.write(sent)
        port.timeout = LIMIT_S
        assert port.read(len(sent)) == sent  # not by mpremote, to which a byte 04 is the end


def test_input_waits_for_a_board_that_does_not_read(emulator):
    sent = bytes(32 + i * 7 % 95 for i in range(6000))  # several times what the board can keep
    with Prompt(emulator) as prompt:
        prompt.transport.exec_raw_no_follow(
            "import sys, "
            "time\nprint('ready')\ntime.sleep_ms(500)\nsys.stdout.buffer.write(sys.stdin.buffer.read(6000))\n"
        )
        prompt.transport.read_until(1, b"ready\r\n", timeout=LIMIT_S)
        prompt.transport.serial.write(sent)
        out, error = prompt.transport.follow(timeout=LIMIT_S)
        assert (out, error) == (sent, b"")


def test_output_waits_for_a_slow_reader(emulator):
    with Prompt(emulator) as prompt:
        prompt.transport.exec_raw_no_follow("for i in range(2000): print('%0100d' % i)\n")
        # meanwhile the board fills what the kernel keeps for the port, and has to stop
        time.sleep(0.7)
        sent = b"".join(b"%0100d\r\n" % i for i in range(2000))
        port = prompt.transport.serial
        port.timeout = LIMIT_S
        assert port.read(len(sent)) == sent


def test_poll_tells_whether_input_is_there(emulator):
    with Prompt(emulator) as prompt:
        prompt.transport.exec_raw_no_follow(
            "import select, sys, time\np = select.poll(); p.register(sys.stdin, select.POLLIN)\n"
            "t = time.ticks_ms(); print(p.poll(200), 200 <= time.ticks_diff(time.ticks_ms(), t) < "
            "5000)\n"
            f"print(len(p.poll({int(LIMIT_S * 1000)})), sys.stdin.read(1))\n"
        )
        assert prompt.transport.read_until(1, b"\n", timeout=LIMIT_S) == b"[] True\r\n"
        prompt.transport.serial.write(b"x")
        assert prompt.transport.follow(timeout=LIMIT_S) == (b"1 x\r\n", b"")


def test_a_board_that_nobody_listens_to_goes_on(emulator):
    # Far more than the kernel keeps for the port; the flash tells when the board is through.
    start_main(
        emulator,
        LOG.encode() + b"for i in range(4000): print('x' * 100)\nlog.writeblocks(0, b'done', 0)\n",
    ).close()
    wait_until(
        lambda: log_bytes(emulator, 4) == b"done", "the board goes on when its output has no room"
    )


# ----------------------------------------------------------------------------------------------------------------
# images


def test_the_frozen_image_has_quipu_in_it_and_the_bare_one_has_not():
    ask = (
        "import sys\ntry:\n  import shared_kernel.const\n  from board_facts import FACTS\n  "
        "print(FACTS['name'])\n"
        "except ImportError as e: print(e)"
    )
    for board in BOARDS:
        with Emulator(board) as frozen, Prompt(frozen) as prompt:
            assert prompt.run(ask) == board
        with Emulator(board, frozen=False) as bare, Prompt(bare) as prompt:
            assert "no module" in prompt.run(ask)


def test_an_unknown_board_is_refused():
    with pytest.raises(images.ImageError, match="MPS2_AN386"):
        images.image("MPS2_AN999")
    with pytest.raises(images.ImageError, match="MPS2_AN386"):
        Emulator("MPS2_AN999")


def test_a_source_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("QUIPU_MICROPYTHON", str(tmp_path))
    with pytest.raises(images.ImageError, match="QUIPU_MICROPYTHON"):
        images.micropython_source()
    (tmp_path / "py").mkdir()
    (tmp_path / "py" / "mkenv.mk").touch()
    (tmp_path / "py" / "mpconfig.h").write_text(
        "".join(
            f"#define MICROPY_VERSION_{part} {number}\n"
            for part, number in (("MAJOR", 1), ("MINOR", 21), ("MICRO", 9))
        )
    )
    with pytest.raises(images.ImageError, match="1.21.9"):
        images.micropython_source()
