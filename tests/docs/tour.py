"""The tour of docs/tour.md, carried out: every line of it that begins with "$ " is run, in order,
in one folder, and its output compared.

`python -m tests.docs.tour` writes what was printed into the page. A block of the page is part of
the tour if it begins with "$ ". `quipu emulate` goes on until the tour ends, `quipu watch` until
nothing new comes for some seconds; all else runs in bash."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tour.md"
BLOCK = re.compile(r"(?<=\n```\n)(?:\$ .*?)(?=^```$)", re.S | re.M)
QUIET_S, LONGEST_S = 3, 300

# What differs from run to run: hashes and names, wall times, times on the board, hence the wire's
# share and a table's widths; and with each change of the firmware: its size.
VARIES = [
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "<hex>"),
    (re.compile(r"(expected|found) +[0-9a-f]{8}\b"), r"\1 <CRC>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? UTC"), "<time>"),
    (re.compile(r"± \d+ ms"), "± <n> ms"),
    (re.compile(r"\b\d+\.\d{3}\b"), "<seconds>"),
    (re.compile(r"[\d.]+ bytes on the wire"), "<n> bytes on the wire"),
    (re.compile(r"\.html, \d+ bytes"), ".html, <n> bytes"),
    (re.compile(r"\d+ files, [\d,]+ bytes sent"), "<n> files"),
    (re.compile(r"[\d,]+ bytes needed, [\d,]+ free"), "<n> bytes"),
    (re.compile(r"[\d.]+ KiB (used, |free$)", re.M), r"<n> KiB \1"),
    # of the index: SQLite's, in pages
    (re.compile(r"^size        [\d.]+ KiB$", re.M), r"size        <n> KiB"),
    (re.compile(r"[─━═]+"), "─"),
    (re.compile(r"[ \t]+"), " "),
]


def commands(block):
    """Return [(command, output)] of a block: a command is a line that begins with "$ ", and those
    behind a backslash."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], []])
        elif found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1][0] += "\n" + line
        else:
            found[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in found]


def interruptible():
    """Let Ctrl-C end this process: a shell's background job, which may have started the tests,
    ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def masked(text):
    """Return text without what differs from run to run."""
    for pattern, name in VARIES:
        text = pattern.sub(name, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


class Tour:
    """One run of the tour in `folder`. The page's ports stand for those that the emulated boards
    really get, in their order."""

    def __init__(self, folder):
        self.folder = folder
        self.ports = {}  # as printed on the page: as it is
        self.running = []
        self.environment = dict(
            os.environ,
            PATH="%s:%s" % (Path(sys.executable).parent, os.environ["PATH"]),
            COLUMNS="100",
            TZ="UTC",
            LC_ALL="C.UTF-8",
        )

    def close(self):
        for each in self.running:
            each.terminate()
            each.wait(30)

    def start(self, command):
        with (self.folder / "stderr").open("ab") as errors:
            return subprocess.Popen(
                command.split(),
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                preexec_fn=interruptible,
            )

    def emulate(self, command):
        """Start a board, whose port the page calls /dev/pts/3, the next one's 4; return what it
        printed."""
        board = self.start(command)
        self.running.append(board)
        lines = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            lines.append(board.stdout.readline())
            if not lines[-1]:
                raise RuntimeError("%s: %s" % (command, (self.folder / "stderr").read_text()))
        output = "".join(lines)
        self.ports["/dev/pts/%d" % (3 + len(self.ports))] = re.search(
            r"/dev/pts/\d+", output
        ).group()
        return output

    def watch(self, command):
        """Return what a watch prints, once it is quiet; Ctrl-C then ends it."""
        watch = self.start(command)
        lines = []
        heard = threading.Event()

        def listen():
            for line in watch.stdout:
                lines.append(line.rstrip())
                heard.set()

        listener = threading.Thread(target=listen)
        listener.start()
        heard.wait(60)
        while heard.is_set():
            heard.clear()
            heard.wait(QUIET_S)
        watch.send_signal(signal.SIGINT)
        watch.wait(30)
        listener.join()
        return "\n".join(lines)

    def run(self, command):
        """Carry a command of the page out; return what it printed, on both streams, in the page's
        terms."""
        real = command
        for i, shown in enumerate(self.ports):
            real = real.replace(shown, "<port %d>" % i)
        for i, port in enumerate(self.ports.values()):
            real = real.replace("<port %d>" % i, port)
        if command.startswith("quipu emulate "):
            output = self.emulate(real)
        elif command.startswith("quipu watch "):
            output = self.watch(real)
        else:
            done = subprocess.run(
                ["bash", "-c", real],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LONGEST_S,
            )
            output = done.stdout
        for i, port in enumerate(self.ports.values()):
            output = output.replace(port, "<port %d>" % i)
        for i, shown in enumerate(self.ports):
            output = output.replace("<port %d>" % i, shown)
        return "\n".join(line.rstrip() for line in output.rstrip().splitlines())


def carried_out(text, folder):
    """Yield (command, output on the page, output now) for each command of the page."""
    tour = Tour(folder)
    try:
        for block in BLOCK.findall(text):
            for command, shown in commands(block):
                yield command, shown, tour.run(command)
    finally:
        tour.close()


def rewritten(text, folder):
    """Return the page with the output of now; what only differs as from run to run too, so that the
    page is of one run."""
    tour = Tour(folder)

    def block(match):
        return "".join(
            "$ %s\n%s" % (command, output + "\n" if output else "")
            for command, output in (
                (command, tour.run(command)) for command, _ in commands(match.group())
            )
        )

    try:
        return BLOCK.sub(block, text)
    finally:
        tour.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        PAGE.write_text(rewritten(PAGE.read_text(), Path(scratch)))
