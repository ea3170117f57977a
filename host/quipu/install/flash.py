"""`quipu flash`: brings Quipu onto a board with MicroPython, over the raw REPL. The old files stay
until the new ones are whole.

What differs is written beside its place (PATH.new), read back by hash, and only when all of it is
right renamed into its place. Broken off at any moment, the same call again completes it: what was
written whole is not written again. The renames are one after the other: a power cut among them
leaves old and new modules side by side until then. The application is interrupted, and the board
restarts, also to look what would be done. Never touches the log, never formats a filesystem,
removes nothing but stale modules of Quipu's own two packages."""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from quipu import limits
from quipu.board.repl import DeviceError, Repl
from quipu.build import images, modules, natives
from quipu.errors import PortError, Refused, UsageError
from quipu.install import boards, precompiled, programs, said
from quipu.install import files as deploy
from quipu.results import Result

NEW = ".new"
OLDEST = (1, 22)
LEAST_HEAP = 120 * 1024  # bytes, with copied files: tests/boards/test_costs.py
_RUN_S = 60.0  # a board may be that slow to hash its files
_PROBE_S = 10.0
# bytes of a file that a board takes at once and answers with a dot: while it writes them nothing is
# on its way to it
_BLOCK = 2048
_WINDOW = 11  # a block fits deflate's window of 2^11 bytes
# A running program's terminal keeps Ctrl-C for itself and reads Return as a new line, so these two
# go as two bytes, and so does what says it. Undone in the reverse order.
_ESCAPES = ((b"\x10", b"\x10P"), (b"\x03", b"\x10C"), (b"\r", b"\x10R"))
_ENTRY = 64  # bytes that a file's entry may take in its directory


@dataclass(frozen=True)
class Probe:
    """What a board says of itself. mpy: sys.implementation._mpy; heap: bytes, used and free; block:
    bytes of one of the filesystem's `blocks`, of which `free` are free; has_main: whether there is
    a /main.py."""

    name: str
    version: tuple[int, ...]
    machine: str
    mpy: int
    heap: int
    block: int
    blocks: int
    free: int
    has_main: bool

    @property
    def mpy_version(self) -> tuple[int, int]:
        """Version and sub-version of the .mpy files that it takes."""
        return self.mpy & 0xFF, self.mpy >> 8 & 3


@dataclass
class Plan(Result):
    """What flashing writes. root: what stands before all paths. write: paths, in order; staged:
    those of them that stand beside their place already, whole; keep: paths that are right; remove:
    stale ones; first: what must go before there is room, the board being without Quipu until the
    new files are whole: only with consent. bytes: of files, to send; need, free: bytes of the
    filesystem."""

    port: str
    board: str
    machine: str
    form: str
    root: str = ""
    write: list[str] = field(default_factory=list)
    staged: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    bytes: int = 0
    need: int = 0
    free: int = 0


def flash(
    port: str,
    board: str | None = None,
    *,
    main: bool | None = False,
    facts: dict[str, Any] | None = None,
    dry_run: bool = False,
    yes: bool = False,
    ask: Callable[[str], bool] | None = None,
    tool: type[Repl] = Repl,
    progress: Callable[[], AbstractContextManager[Callable[[int, int], None] | None]] = nullcontext,
) -> Plan:
    """Bring Quipu onto the board on a port, which restarts; return what was written, or with
    dry_run would be.

    board: its folder in boards/; None: by what it says it is.
    main: True: /main.py is replaced; False: written if there is none; None: left alone.
    facts: what goes onto the board as its facts; None: those of its folder.
    yes, ask: as of `consent`.
    tool: the raw REPL: Repl, or repl_ampy.AmpyRepl.
    progress: gives, while files are sent, a function that takes bytes done and in all.
    PortError if it is nothing that can run Quipu, Refused if Quipu is in its firmware, UsageError
    if it is not `board`, or there is none of this name."""
    if board is not None:
        boards.need(board)
    with deploy.opened(port, tool) as repl:
        found = probe(repl)
        if name := frozen(repl):
            raise Refused(
                f"{port}: this board's firmware is the image of {name} with Quipu in it, which "
                f"comes before any files: there is "
                "nothing to flash. For another Quipu install another image (docs/boards.md)"
            )
        need_no_old_log(repl)
        facts = facts or facts_for(found, board)
        found = settled(repl, found, facts)
        form, wanted = contents(found, facts, main)
        todo = plan(repl, found, facts, form, wanted)
        if not dry_run:
            consent(todo, yes, ask)
            if todo.write or todo.remove:
                with progress() as told:
                    carry_out(repl, todo, wanted, told)
    return todo


def probe(repl: Repl) -> Probe:
    """Ask the board what it is. PortError if it is nothing that can run Quipu."""
    try:
        answer = repl.run(programs.program("probe"), _PROBE_S)
    except DeviceError as error:
        raise PortError(
            f"{repl.name}: this is no MicroPython with a filesystem mounted at /: {error}"
        ) from None
    found = Probe(*said.probe(repl.name, answer))
    if found.name != "micropython":
        raise PortError(
            f"{repl.name}: expected MicroPython, found {found.name}: install MicroPython on this "
            f"board first"
        )
    if found.version[:2] < OLDEST:
        raise PortError(
            f"{repl.name}: MicroPython {'.'.join(map(str, found.version))} is too old: install "
            f"1.22 or newer"
        )
    if found.heap < LEAST_HEAP:
        raise PortError(
            f"{repl.name}: the board has a heap of {found.heap:,} bytes, and Quipu's copied files "
            f"need {LEAST_HEAP:,}: "
            "use a firmware with Quipu frozen in"
        )
    return found


def frozen(repl: Repl) -> str:
    """Return the name of the board whose image with Quipu runs here; empty: Quipu is not in the
    firmware."""
    answer = repl.run(programs.program("frozen"), _PROBE_S)
    return said.text(repl.name, "its firmware", answer)


def need_no_old_log(repl: Repl) -> None:
    """Refused if the board holds a log of format 1, which the new firmware would not go on with: it
    says how to take it over."""
    answer = repl.run(programs.program("old_log"), _RUN_S)
    start = said.octets(repl.name, "its log", answer)
    if len(start) == 16 and zlib.crc32(start[:12]).to_bytes(4, "little") == start[12:]:
        raise Refused(
            f"{repl.name}: the board holds a log of format 1, which this version reads and does "
            f"not go on with. Nothing was "
            f"written. Archive it: quipu attach {repl.name} --archive DIR. Erase it: quipu flash "
            f"{repl.name} --erase-log "
            f"--archive DIR. Then flash again: quipu flash {repl.name}. Last, give the board its "
            f"state back: quipu restore "
            f"DIR {repl.name}"
        )


def facts_for(found: Probe, board: str | None) -> dict[str, Any]:
    """Return the facts that go on this board, from the folder of its machine, or of `board`.
    UsageError if that is another one."""
    emulated = {each: each for each in images.boards()}
    name = (
        board or boards.of_machine(found.machine) or emulated.get(found.machine.split(" with ")[0])
    )
    if name is None:
        raise UsageError(
            f"no folder in boards/ is of {found.machine!r}: choose one with --board "
            f"({', '.join(boards.names())}), or copy the folder of a board like it (docs/boards.md)"
        )
    if name in emulated:
        facts = images.board_facts(name)
        expected = name
        here = found.machine.split(" with ")[0]
    else:
        facts = boards.for_stock(name)
        expected, here = boards.load(name)["machine"], found.machine
    if here != expected:
        raise UsageError(
            f"--board {name} is {expected!r}, and this board says it is {found.machine!r}: leave "
            f"--board away, or copy that "
            "folder for your board"
        )
    arch = natives.named(found.mpy)
    # Of chips without a floating-point unit MicroPython calls a Cortex-M3 (armv7m) armv7em too.
    if arch and arch != facts["mpy_arch"] and (arch, facts["mpy_arch"]) != ("armv7em", "armv7m"):
        raise UsageError(
            f"boards/{name} says mpy_arch {facts['mpy_arch']}, and this board takes {arch}: "
            f"correct the folder's file"
        )
    return facts


def settled(repl: Repl, found: Probe, facts: dict[str, Any]) -> Probe:
    """Return what the board said, its filesystem being the one that Quipu's files go to: a card,
    where the log is on one. PortError if there is no card, or no file for the log on it."""
    if facts["driver"] != "fat":
        return found
    top, path, size = deploy.root(facts), facts["log"]["path"], facts["log"]["size"]
    answer = said.room(repl.name, repl.run(programs.program("room", top, path), _PROBE_S))
    if answer is None:
        raise PortError(
            f"{repl.name}: nothing is mounted at {top}, and boards/{facts['name']} keeps the log "
            f"and Quipu's files on a card "
            "there: put in a card with a FAT filesystem, restart the board and try again"
        )
    block, blocks, free, has_main, there = answer
    if there < size:
        raise PortError(
            f"{repl.name}: the log's file {path} has {there:,} bytes and must have {size:,}: make "
            f"it on the laptop, with the "
            f"card in its reader: python3 -c \"open('{path.rpartition('/')[2]}', "
            f"'wb').write(b'\\xff' * {size})\""
        )
    return replace(found, block=block, blocks=blocks, free=free, has_main=has_main)


def contents(
    found: Probe, facts: dict[str, Any], main: bool | None
) -> tuple[str, dict[str, bytes]]:
    """Return (form, contents by path): compiled where the board's .mpy version is ours, else
    sources. main: as of `flash`."""
    compiled = found.mpy_version == modules.SUBVERSION
    mpy = (precompiled.find(facts["mpy_arch"]) or images.mpy_cross()) if compiled else None
    wanted = deploy.files(facts, mpy, native=compiled)
    if main or main is False and not found.has_main:
        wanted[deploy.root(facts) + deploy.APPLICATION] = deploy.MAIN.encode()
    return ".mpy" if compiled else "source", wanted


def plan(
    repl: Repl, found: Probe, facts: dict[str, Any], form: str, wanted: dict[str, bytes]
) -> Plan:
    """Compare what is wanted with what is there. Changes nothing. PortError if the filesystem
    cannot hold the new files, even with the old ones gone."""
    folders = deploy.folders(facts)
    there = hashes(repl, folders)
    if deploy.root(facts) + deploy.FACTS in there:
        _same_log(repl, facts)
    result = Plan(
        repl.name,
        facts["name"],
        found.machine,
        form,
        root=deploy.root(facts),
        free=found.free * found.block,
    )
    for path, content in wanted.items():
        digest = hashlib.sha256(content).hexdigest()
        if there.get(path) == digest:
            result.keep.append(path)
            continue
        result.write.append(path)
        if there.get(path + NEW) == digest:
            result.staged.append(path)
        else:
            result.bytes += len(content)
            result.need += _taken(len(content), found)
    result.remove = sorted(
        path
        for path in there
        if path.rpartition("/")[0] in folders[1:]
        and path not in wanted
        and path.removesuffix(NEW) not in result.write
    )
    if result.need > result.free:
        result.first = result.remove + [
            path for path in result.write if path in there and path.rpartition("/")[0] in folders
        ]
        answer = repl.run(programs.program("sizes", result.first), _RUN_S)
        sizes = said.numbers(repl.name, "its files' sizes", answer)
        room = result.free + sum(_taken(size, found) for size in sizes)
        if result.need > room:
            raise PortError(
                f"{repl.name}: there is no room for Quipu's files: {result.need:,} bytes are to "
                f"be written, {result.free:,} "
                f"are free, of {found.blocks * found.block:,}, and {room - result.free:,} more "
                f"without Quipu's old files: "
                "remove files of yours"
            )
    return result


def _taken(size: int, found: Probe) -> int:
    """Return the bytes that a file of `size` takes of the filesystem, at most."""
    return -(-(size + _ENTRY) // found.block) * found.block


def consent(todo: Plan, yes: bool, ask: Callable[[str], bool] | None) -> None:
    """Refused unless old and new files fit at once, or `yes` or whoever is asked agrees that the
    old ones go first."""
    if not todo.first or yes:
        return
    what = (
        f"old and new files do not fit at once: {todo.need:,} bytes are to be written and "
        f"{todo.free:,} are free. "
        f"{len(todo.first)} old files can go first; from then on, until all is written, the board "
        f"has no Quipu, and broken off, the "
        "same command completes it"
    )
    if ask is None:
        raise Refused(f"{todo.port}: {what}: say --yes to do so, or remove files of yours")
    if not ask(f"{todo.port}: {what}. Remove them first?"):
        raise Refused(f"{todo.port}: nothing was written: remove files of yours")


def _same_log(repl: Repl, facts: dict[str, Any]) -> None:
    """PortError if the board's own facts place its log elsewhere: it would not be found again, and
    a second one begun."""
    try:
        there = limits.parsed(repl.read_file(deploy.root(facts) + deploy.FACTS))
        old = {key: there[key] for key in ("driver", "log", "geometry")}
    except (ValueError, KeyError, TypeError):
        return  # the firmware could not start from these facts either
    new = {key: facts[key] for key in old}
    if old != new:
        raise PortError(
            f"{repl.name}: {deploy.FACTS} on the board says that its log is at {old}, and "
            f"boards/{facts['name']} says {new}: "
            f"pull the log (`quipu sync`), then remove {deploy.FACTS} from the board, or correct "
            f"the folder's file"
        )


def hashes(repl: Repl, folders: tuple[str, ...] = deploy.FOLDERS) -> dict[str, str]:
    """Return SHA-256 in hex by path, of the files in the folders that Quipu uses, and beside the
    first of them."""
    program = programs.program("survey", (folders[0].removesuffix("lib"), *folders))
    return said.hashes(repl.name, repl.run(program, _RUN_S))


def carry_out(
    repl: Repl,
    todo: Plan,
    wanted: dict[str, bytes],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write beside, read back by hash, switch, read back again. PortError if what the board holds
    is not what was sent: the old files are in place then, unless the message says otherwise."""
    top = todo.root
    folders = tuple(top + each for each in deploy.FOLDERS)
    for folder in folders:
        repl.make_folder(folder)
    repl.run(programs.program("remove", todo.first), _RUN_S)
    new = {path + NEW: wanted[path] for path in todo.write if path not in todo.staged}
    if repl.streams:
        send(repl, new, receiver(repl), progress)
    else:
        write(repl, new, progress)
    old = "the old files are gone" if todo.first else "the old files are in place"
    _compare(repl, folders, {path + NEW: wanted[path] for path in todo.write}, old)
    # A board with randomness of its own ignores it; on others a blank region gets its genesis from
    # it.
    repl.write_file(top + deploy.ENTROPY, os.urandom(16))
    repl.run(programs.program("switch", todo.remove, todo.write, NEW), _RUN_S)
    _compare(
        repl, folders, {path: wanted[path] for path in todo.write}, "the new files are in place"
    )


def write(
    repl: Repl, files: dict[str, bytes], progress: Callable[[int, int], None] | None = None
) -> None:
    """Write files, contents by path, where nothing can be sent to running code. progress: bytes of
    them, of all."""
    total = sum(map(len, files.values()))
    done = 0
    for path, content in files.items():
        told = (
            None
            if progress is None
            else lambda part, _, before=done: progress(before + part, total)
        )
        repl.write_file(path, content, told)
        done += len(content)


def receiver(repl: Repl) -> bool:
    """Define on the board what `send` talks to; return whether it takes packed files."""
    program = programs.source("receive") + programs.call("inflates")
    return repl.run(program, _PROBE_S).strip() == b"True"


def send(
    repl: Repl,
    files: dict[str, bytes],
    packed: bool,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write files, contents by path, through the board's receiver, packed by deflate or as they
    are. progress: bytes of them, of all."""
    total = sum(map(len, files.values()))
    blocks = {
        path: [_on_wire(content[i : i + _BLOCK], packed) for i in range(0, len(content), _BLOCK)]
        for path, content in files.items()
    }

    def each() -> Iterator[bytes]:
        done = 0
        for path, content in files.items():
            for i, block in enumerate(blocks[path], 1):
                yield block  # the next one is asked for when this has its dot
                if progress:
                    progress(done + min(i * _BLOCK, len(content)), total)
            done += len(content)

    sizes = [(path, [len(block) for block in of]) for path, of in blocks.items()]
    repl.start(programs.call("receive", sizes, _WINDOW if packed else 0, _ESCAPES[::-1]))
    repl.feed(each(), _PROBE_S)


def _on_wire(block: bytes, packed: bool) -> bytes:
    if packed:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -_WINDOW)
        block = deflate.compress(block) + deflate.flush()
    for byte, pair in _ESCAPES:
        block = block.replace(byte, pair)
    return block


def _compare(repl: Repl, folders: tuple[str, ...], wanted: dict[str, bytes], state: str) -> None:
    there = hashes(repl, folders)
    wrong = [
        path
        for path, content in wanted.items()
        if there.get(path) != hashlib.sha256(content).hexdigest()
    ]
    if wrong:
        raise PortError(
            f"{repl.name}: read back, {', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not "
            f"what was sent; {state}: "
            "flash it again"
        )
