"""Runs an emulated board: one QEMU process, its serial port, and the host file that is its flash.

The file is the board's flash byte for byte: 2 MiB from offset 0 (0xFF is erased; file system first,
the log region where quipu.json says), then one page for what a chip has beside its flash: 8 bytes
of unique id, a u32 with the size of the heap (0xFFFFFFFF: as built), 4 unused bytes, and 8 random
bytes, new at every start, from which os.urandom draws. On MPS2 boards the file is 16 MiB, the size
of the memory it backs; the rest is zero and unused. It holds what was written when QEMU dies,
however it dies.

Never talks to the board: that is the business of whoever opens the port.
"""

import os
import select
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from quipu import locks
from quipu.build import images, ready

QEMU = "qemu-system-arm"
PORT_LINE = "char device redirected to "
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
UNIQUE_ID_LEN = 8
SEED_LEN = 8
# QEMU executes one instruction in each nanosecond of virtual time: the same run takes the same
# count.
ICOUNT = ("-icount", "shift=0")


class EmulatorError(Exception):
    """The emulated board could not be started, or is not running; the message says why and what to
    do."""

    exit_code = 3  # errors.PORT: of a command that this ends


class Emulator:
    """An emulated board; a context manager that starts it and stops it.

    board      a folder of boards/, e.g. "MPS2_AN386"
    flash      the file that is its flash, made (erased) if it does not exist; None: a temporary one, gone at the end
    frozen     boot the image with Quipu in it, as ready.py finds it; False: plain MicroPython
    icount     count instructions: deterministic virtual time, slower
    image      boot this ELF file instead
    unique_id  8 bytes, for a flash file that is made now; None: random
    heap       bytes of MicroPython heap for this run; None: as built

    `port` is the path of a pty, new at every start. Output that nobody reads is kept by the kernel,
    some ten KiB of it; beyond that the board waits for a reader for 2 s and then drops it. The
    board dies with the thread that started it (Linux's parent-death signal), so start it from a
    thread that lives as long."""

    def __init__(
        self,
        board: str,
        flash: str | Path | None = None,
        *,
        frozen: bool = True,
        icount: bool = False,
        image: str | Path | None = None,
        unique_id: bytes | None = None,
        heap: int | None = None,
    ) -> None:
        self.facts = images.board_facts(board)
        self.emulation = images.emulation(board)
        self.board = board
        self.icount = icount
        self.image = Path(image) if image else ready.image(board, frozen)
        self.port: str | None = None
        if unique_id is not None and len(unique_id) != UNIQUE_ID_LEN:
            raise EmulatorError(f"unique_id must have {UNIQUE_ID_LEN} bytes, not {len(unique_id)}")
        self._unique_id = unique_id
        self._heap = heap
        self._temporary = Path(tempfile.mkdtemp(prefix="quipu-flash-")) if flash is None else None
        self.flash = (
            self._temporary / "flash.bin" if self._temporary else Path(str(flash)).resolve()
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._held: int | None = None  # our own file descriptor of the port
        self._flash_lock: locks.Lock | None = None

    def __enter__(self) -> "Emulator":
        try:
            self.start()
        except EmulatorError:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """QEMU's process id, or None when the board is off."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Powers the board up; returns when its port exists. Nothing is said yet about what runs on
        the board."""
        if self.running:
            raise EmulatorError(f"{self.board} is already running, on {self.port}")
        if not self.image.is_file():
            raise EmulatorError(f"there is no image {self.image}")
        if not shutil.which(QEMU):
            raise EmulatorError(
                f"{QEMU} is not installed; install it with\n    sudo apt-get install {QEMU}"
            )
        self._release()
        self._prepare_flash()
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.port = self._wait_for_port(self._process)
        # While the port is open somewhere, QEMU takes it as connected: it then neither drops the
        # board's output nor looks for a new reader once a second only.
        import tty  # here, for Windows has none

        try:
            self._held = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self._held)  # or the board's first words would be echoed to it as if typed
        except OSError as error:
            port = self.port
            self.kill()
            raise EmulatorError(
                f"QEMU ended right after its start, and its port {port} with it"
            ) from error

    def kill(self) -> None:
        """A power cut: SIGKILL, at once. What the flash file held stays."""
        if self._process:
            self._process.kill()
        self._release()

    def stop(self) -> None:
        """Ends QEMU politely; to the board it is a power cut all the same."""
        if self._process and self.running:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._release()

    def restart(self) -> None:
        """Power off and on again, with the same flash. The port's path may change."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Stops the board and removes its flash if it was a temporary one."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _release(self) -> None:
        if self._process:
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()
            self._process = None
        if self._held is not None:
            os.close(self._held)
            self._held = None
        if self._flash_lock:
            self._flash_lock.release()
            self._flash_lock = None
        self.port = None

    def _prepare_flash(self) -> None:
        layout = self.emulation["flash"]
        heap = struct.pack("<I", self._heap or 0xFFFFFFFF)
        if not self.flash.exists():
            identity = self._unique_id or os.urandom(UNIQUE_ID_LEN)
            sector = self.facts["geometry"]["sector"]
            self.flash.parent.mkdir(parents=True, exist_ok=True)
            # Made aside and renamed, so that no half-made flash is ever found.
            aside = self.flash.with_name(self.flash.name + ".new")
            with aside.open("wb") as new:
                new.write(b"\xff" * layout["size"])
                new.write((identity + heap).ljust(sector, b"\xff"))
                new.truncate(layout["file_size"])
            os.replace(aside, self.flash)
        size = self.flash.stat().st_size
        if size != layout["file_size"]:
            raise EmulatorError(
                f"{self.flash} is not the flash of a {self.board}: it has {size} bytes, "
                f"expected {layout['file_size']}"
            )
        self._flash_lock = locks.take(self.flash)
        if self._flash_lock is None:
            self._release()
            raise EmulatorError(f"{self.flash} is the flash of another board that is running")
        with self.flash.open("r+b") as file:
            file.seek(layout["size"] + UNIQUE_ID_LEN)
            file.write(heap.ljust(8, b"\xff") + os.urandom(SEED_LEN))

    def _command(self) -> list[str]:
        def option(path: Path) -> str:
            return str(path).replace(",", ",,")  # QEMU's way to write a comma inside an option

        layout = self.emulation["flash"]
        machine = self.emulation["machine"]
        command = [QEMU]
        if layout["backing"] == "psram":
            command += [
                "-machine",
                f"{machine},memory-backend=flash",
                "-object",
                f"memory-backend-file,id=flash,size={layout['file_size']},share=on,mem-path={option(self.flash)}",
            ]
        else:
            command += [
                "-machine",
                machine,
                "-semihosting-config",
                f"enable=on,target=native,arg=flash={option(self.flash)}",
            ]
        command += [
            *self.emulation["qemu"],
            *(ICOUNT if self.icount else ()),
            "-nographic",
            "-monitor",
            "none",
            "-chardev",
            "pty,id=uart0",
            "-serial",
            "chardev:uart0",
            "-kernel",
            str(self.image),
        ]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        return command

    def _wait_for_port(self, process: subprocess.Popen[bytes]) -> str:
        # Read as it comes: if the port is opened (see start) before QEMU sets its machine up, QEMU
        # finds it connected; otherwise it would look again only after a second.
        deadline = time.monotonic() + START_TIMEOUT_S
        output = process.stdout
        assert output is not None
        text = ""
        while True:
            left = deadline - time.monotonic()
            readable = select.select([output], [], [], max(left, 0))[0]
            piece = os.read(output.fileno(), 4096).decode(errors="replace") if readable else ""
            text += piece
            for line in text.splitlines(keepends=True):
                if line.startswith(PORT_LINE) and line.endswith("\n"):
                    return line[len(PORT_LINE) :].split()[0]
            if not piece:
                self.kill()
                raise EmulatorError(
                    f"QEMU did not start {self.board}: {text.strip() or 'it said nothing'}"
                )
