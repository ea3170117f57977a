"""The command `quipu`: one table maps verbs to handlers, and `main` turns their answers and errors into text, only here.

A handler (board.py and its siblings) returns data; --json prints it as one JSON object, otherwise render.py shows it to a person.
Exit codes: 0 ok or match; 1 gap, mismatch, damage or a refused command; 2 usage; 3 board or port trouble.
"""

import json as json_text
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import click

from quipu import errors, kernels
from quipu.build.emulator import EmulatorError
from quipu.build.images import ImageError
from quipu.cli import board as do
from quipu.cli import boards as commands_boards
from quipu.cli import dump as commands_flash
from quipu.cli import move, past, render, render_boards, render_past
from quipu.cli import render_dump as render_flash
from quipu.cli import render_move as moved
from quipu.cli import render_restore as restored
from quipu.cli import render_watch as watching
from quipu.cli import report as reports
from quipu.cli import restore as restoring
from quipu.cli.render_past import dated
from quipu.cli.watch import watch
from quipu.past import describe
from shared_kernel import frame_names
from shared_kernel.config import CONFIG_LIMITS, CONFIG_NAMES

DEFAULT_CONFIG = (16, 256, 64, 128, 32, 16, 16)  # as in boards/*/quipu.json
TYPES = tuple(frame_names.NAMES.values())
EXIT_REFUSED, EXIT_USAGE = 1, 2
EXIT_INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended


# -- options --------------------------------------------------------------------------------------------------------------


class HexBytes(click.ParamType):
    """Bytes written in hex. size: how many, if that is fixed."""

    name = "hex"

    def __init__(self, size: int | None = None) -> None:
        self.size = size

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        try:
            data = bytes.fromhex(value)
        except ValueError:
            self.fail(f"{value!r} is not bytes in hex, such as 00ff7a")
        if self.size is not None and len(data) != self.size:
            self.fail(f"it has {2 * self.size} hex digits, not {2 * len(data)}: {value!r}")
        return data


class Number(click.ParamType):
    """An integer from `low` to `high`."""

    name = "n"

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not an integer")
        if not self.low <= number <= self.high:
            self.fail(f"{number} is not from {self.low} to {self.high}")
        return number


class Size(click.ParamType):
    """A number of bytes: 4096, 0x1000, 4k or 1M."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return commands_flash.size(value)
        except ValueError as error:
            self.fail(str(error))


U32 = Number(0, 0xFFFFFFFF)


def argument(name: str, metavar: str, type: Any = str, many: bool = False, env: str | None = None) -> click.Argument:
    return click.Argument([name], metavar=metavar, type=type, nargs=-1 if many else 1, required=True, envvar=env)


def option(names: str, help: str, **more: Any) -> click.Option:
    return click.Option(names.split(), help=help, **more)


def capacity(i: int) -> click.Option:
    what = ("dimensions of a vector", "records", "nodes", "edges", "keys", "bytes of metadata", "bytes of a value")[i]
    return option("--" + CONFIG_NAMES[i].replace("_", "-"), f"{what}, at most {CONFIG_LIMITS[i][1]}",
                  type=Number(*CONFIG_LIMITS[i]), default=DEFAULT_CONFIG[i], show_default=True)


PORT = argument("port", "PORT", env="QUIPU_PORT")
ORIGIN = option("--origin origins", "archive of the log that this one goes on from; may be given again", metavar="DIR", multiple=True)
SOURCE = argument("source", "PORT|DIR")
AT = option("--at", "of an archive: after this seq, or at this time (2026-11-21T14:02:30Z, 14:02, -5m)", metavar="SEQ|TIME")
ARCHIVE = option("--archive", "the archive's directory", metavar="DIR", required=True)
VECTOR = argument("components", "X...", many=True)
Q16 = option("--q16", "X are raw Q16.16 integers: 65536 is 1", is_flag=True)
ID = argument("ident", "ID", U32)
KEY = argument("key", "KEY")
META = (option("--meta", "metadata: text", metavar="TEXT"),
        option("--meta-hex", "metadata: bytes in hex", metavar="HEX", type=HexBytes()))
TAG = option("--tag", "tag of the record", type=U32)
REGION = (option("--board", "the image is of this emulated board: region and geometry are its", metavar="NAME"),
          option("--sector", "bytes of a sector", metavar="N", type=Size()),
          option("--page", "bytes that one program may not cross", metavar="N", type=Size()),
          option("--unit", "bytes that a program is a multiple of", metavar="N", type=Size()),
          option("--start", "where in the image the region begins; without --size: where the search does", metavar="N", type=Size()),
          option("--size length", "bytes of the region", metavar="N", type=Size()))
FORM = option("--format form", "if the file's name does not say it", type=click.Choice(move.FORMS))
JSON = option("--json", "print one JSON object, errors too", is_flag=True)


# -- the table ------------------------------------------------------------------------------------------------------------


class Verb(NamedTuple):
    """act: the handler; show: what renders its data; look: options that only `show` takes."""

    section: str
    act: Callable[..., Any]
    show: Callable[..., Any]
    params: tuple[click.Parameter, ...]
    look: tuple[str, ...] = ()


BOARD, CHANGE, ASK, PROVE = "Boards", "Change the memory on a board", "Ask it", "Pull its log and prove it"
PAST = "Ask an archive what was"
FLASH = "Look into its flash"
MOVE = "Carry it elsewhere"

VERBS: dict[str, Verb] = {
    "emulate": Verb(BOARD, do.emulate, render.emulating, (
        argument("board", "BOARD"),
        option("--flash", "the board's flash, kept between runs", metavar="FILE"),
        option("--bare", "plain MicroPython, without the firmware", is_flag=True))),
    "ports": Verb(BOARD, do.ports, render.ports, ()),
    "info": Verb(BOARD, do.info, render.info, (PORT,)),
    "flash": Verb(BOARD, commands_boards.flash, render_boards.flashed, (
        PORT, option("--board", "it is this board of boards/", metavar="NAME"),
        option("--main", "replace the board's /main.py", is_flag=True),
        option("--dry-run", "show what would be written; the board restarts", is_flag=True),
        option("--tool", "what writes the files", type=click.Choice(commands_boards.TOOLS), default=commands_boards.TOOLS[0],
               show_default=True),
        option("--erase-log", "write nothing, destroy the log; asks first", is_flag=True),
        option("--archive archives", "with --erase-log: what is in here is not lost; may be given again", metavar="DIR", multiple=True),
        option("--yes", "do not ask", is_flag=True))),
    "attach": Verb(BOARD, commands_boards.attach, render_boards.attached, (PORT, ARCHIVE)),
    "configure": Verb(BOARD, do.configure, render.configured, (
        PORT, *map(capacity, range(len(CONFIG_NAMES))),
        option("--policy", "when the log is full: refuse, or drop its oldest part", type=click.Choice(describe.POLICIES),
               default="stop", show_default=True))),

    "insert": Verb(CHANGE, do.insert, render.inserted, (PORT, VECTOR, Q16, TAG, *META)),
    "update": Verb(CHANGE, do.update, render.changed, (PORT, ID, TAG, *META)),
    "delete": Verb(CHANGE, do.delete, render.changed, (PORT, ID)),
    "create-node": Verb(CHANGE, do.create_node, render.created, (
        PORT, argument("kind", "KIND", U32), option("--record", "the record it stands for", type=U32, default=0))),
    "delete-node": Verb(CHANGE, do.delete_node, render.changed, (PORT, ID)),
    "create-edge": Verb(CHANGE, do.create_edge, render.created, (
        PORT, argument("kind", "KIND", U32), argument("origin", "FROM", U32), argument("target", "TO", U32))),
    "delete-edge": Verb(CHANGE, do.delete_edge, render.changed, (PORT, ID)),
    "put": Verb(CHANGE, do.put, render.changed, (
        PORT, KEY, argument("value", "VALUE"), option("--hex as_hex", "VALUE is bytes in hex", is_flag=True))),
    "delete-key": Verb(CHANGE, do.delete_key, render.changed, (PORT, KEY)),
    "clock": Verb(CHANGE, do.clock, render.clock, (PORT,)),
    "checkpoint": Verb(CHANGE, do.checkpoint, render.checkpoint, (PORT,)),
    "snapshot": Verb(CHANGE, do.snapshot, render.snapshot, (PORT,)),

    "get": Verb(ASK, past.get, dated(render.value), (SOURCE, KEY, AT)),
    "history": Verb(ASK, past.history, dated(render_past.history), (
        SOURCE, KEY, option("--limit", "versions at most", type=U32, default=20, show_default=True), AT)),
    "record": Verb(ASK, past.record, dated(render.record), (SOURCE, ID, AT)),
    "node": Verb(ASK, past.node, dated(render.node), (SOURCE, ID, AT)),
    "edge": Verb(ASK, past.edge, dated(render.edge), (SOURCE, ID, AT)),
    "search": Verb(ASK, past.search, dated(render.results), (
        SOURCE, VECTOR, Q16, option("-k", "how many, at most 128", type=Number(1, 128), default=5, show_default=True),
        option("--tag", "only records of this tag", type=U32), AT)),
    "neighbours": Verb(ASK, past.neighbours, dated(render.neighbours), (
        SOURCE, argument("node", "NODE", U32),
        option("--depth", "steps at most", type=Number(0, 0xFFFF), default=1, show_default=True),
        option("--kind", "along edges of this kind only", type=U32),
        option("--direction", "along which edges", type=click.Choice(list(do.DIRECTIONS)), default="out",
               show_default=True), AT)),

    "watch": Verb(ASK, watch, watching.line, (
        PORT, click.Argument(["filter"], metavar="[FILTER]", required=False),
        option("--from first", "begin with this frame, which the board still holds", type=U32, metavar="SEQ"),
        option("--all everything", "frames too that change nothing: boots, checkpoints, clocks", is_flag=True))),

    "sync": Verb(PROVE, do.sync, render_past.synced, (SOURCE, ARCHIVE)),
    "verify": Verb(PROVE, do.verify, render.verdict, (
        click.Argument(["archives"], metavar="[DIR]...", nargs=-1), option("--archive", "the archive's directory", metavar="DIR"),
        option("--jobs", "processes that share the work; by default one for each core", type=Number(1, 1024), metavar="N"),
        option("--port", "compare with the live board too", metavar="PORT"), ORIGIN,
        option("--expect-root", "state root known from elsewhere", metavar="HEX", type=HexBytes(32)),
        option("--expect-head", "chain head known from elsewhere", metavar="HEX", type=HexBytes(32)),
        option("--allow-gap", "exit code 0 for a gap as well", is_flag=True))),
    "log": Verb(PROVE, do.log, render.log, (
        ARCHIVE,
        option("--type types", "only frames of this type; may be given again: " + ", ".join(TYPES), multiple=True,
               type=click.Choice(TYPES), metavar="TYPE"),
        option("--from first", "the first seq to print", type=U32, default=0, metavar="SEQ"),
        option("--to until", "the last seq to print", type=U32, metavar="SEQ"),
        option("--last", "only the last N of them", type=Number(1, 0xFFFF), metavar="N"))),

    "state": Verb(PAST, past.state, dated(render.state), (
        click.Argument(["source"], metavar="[PORT|DIR]", required=False),
        option("--archive", "the archive, as an option", metavar="DIR"), AT,
        option("--all whole", f"print whole tables, not {render.ROWS} rows of each", is_flag=True)), ("whole",)),
    "diff": Verb(PAST, past.diff, render_past.diff, (argument("a", "A"), argument("b", "B"))),
    "explain": Verb(PAST, past.explain, dated(render_past.explain), (SOURCE, argument("thing", "THING"), AT)),
    "query": Verb(PAST, past.query, render_past.rows, (
        SOURCE, argument("what", "WHAT", click.Choice(describe.POOLS)),
        option("--where", "only what this fits", metavar="FILTER", default=""),
        option("--select", "these fields only", metavar="FIELD,...", default=""),
        option("--order", "sort by these; -FIELD is descending", metavar="FIELD,...", default=""),
        option("--limit", "rows at most", type=U32),
        option("--group-by", "a row for each value of these", metavar="FIELD,...", default=""),
        option("--aggregate", "count, or sum, min, max, mean of a FIELD", metavar="NAME(FIELD),...", default=""), AT,
        option("--format", "form of the rows", type=click.Choice(render_past.FORMATS), default="table", show_default=True),
        option("-o output", "write the rows to a file", metavar="FILE"))),
    "index": Verb(PAST, past.index, render_past.index, (
        argument("archive", "DIR"), option("--rebuild", "make it anew", is_flag=True))),

    "report": Verb(PAST, reports.write, reports.said, (
        click.Argument(["source"], metavar="[DIR]", required=False), option("--archive", "the same, as an option", metavar="DIR"),
        option("-o output", "the page to write", metavar="FILE", required=True),
        option("--wear", "the board's flash, as `quipu flash-map --json` printed it", metavar="FILE"))),

    "export": Verb(MOVE, move.export, dated(moved.moved), (
        argument("source", "DIR"), option("-o output", "the file to write", metavar="FILE", required=True), FORM,
        option("--state", "JSON lines that make the contents anew, not all commands", is_flag=True), AT)),
    "import": Verb(MOVE, move.import_, moved.moved, (PORT, argument("file", "FILE"), FORM)),
    "valori": Verb(MOVE, move.valori_, moved.valori, (argument("file", "FILE"),)),
    "restore": Verb(MOVE, restoring.restore, restored.restored, (
        argument("archive", "DIR"), PORT, option("--at", "the state after this seq, not the last one", type=U32, metavar="SEQ"),
        option("--policy", "of the new log, when it is full", type=click.Choice(describe.POLICIES), default="stop", show_default=True),
        ORIGIN)),
    "migrate": Verb(MOVE, restoring.migrate, restored.restored, (
        PORT, ARCHIVE, *[option("--" + name.replace("_", "-"), "as for `quipu configure`; by default as it is", type=Number(*limits))
                         for name, limits in zip(CONFIG_NAMES[1:], CONFIG_LIMITS[1:])],
        option("--policy", "when the log is full; by default as it is", type=click.Choice(describe.POLICIES)), ORIGIN)),

    "flash-map": Verb(FLASH, commands_flash.flash_map, render_flash.flash_map, (argument("source", "PORT|IMAGE"), *REGION)),
    "recover": Verb(FLASH, commands_flash.recover, render_flash.recovered, (argument("image", "IMAGE"), ARCHIVE, *REGION)),
}


STAYS = (do.emulate, watch)  # in the foreground; they say what they have as it comes


def command(name: str, verb: Verb) -> click.Command:
    """Return click's command for a row of the table. A negative number is an argument, not an option."""

    def run(json: bool, **options: Any) -> int:
        look = {each: options.pop(each) for each in verb.look}

        def say(data: dict[str, Any]) -> None:
            if json:
                print(json_text.dumps(data), flush=True)
            else:
                render.show(verb.show(data, **look))

        data = verb.act(say, **options) if verb.act in STAYS else verb.act(**options)
        if data is None:
            return 0
        say(data)
        return data.get("exit_code", 0)

    return click.Command(name, callback=run, params=[*verb.params, JSON], help=verb.act.__doc__,
                         context_settings={"ignore_unknown_options": VECTOR in verb.params or name == "put"})


class Quipu(click.Group):
    """The verbs, listed by section in the order of the table."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(verb.section for verb in VERBS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(66))
                                    for name, verb in VERBS.items() if verb.section == section])


def version(ctx: click.Context, param: click.Parameter, given: bool) -> None:
    if given:
        click.echo(f"quipu {metadata.version('quipu')}: {kernels.describe()}")
        ctx.exit()


cli = Quipu("quipu", {name: command(name, verb) for name, verb in VERBS.items()},
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}, help="""\
A deterministic memory for microcontrollers: what a board recorded, pulled over serial and proved by replay.

PORT is a device, an address (socket://host:port, rfc2217://host:port), id:SERIAL,
part of a description that one port has, or "-": what QUIPU_PORT says, which also
stands for a PORT left out at the end. `quipu ports` lists what is there.
DIR is an archive, which sync makes; where either will do, a directory is an archive.

\b
Try it without a board:
  quipu emulate MPS2_AN386
""")
cli.params.append(click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=version,
                               help="Print the version and which kernel runs, compiled or pure."))


# -- the edge -------------------------------------------------------------------------------------------------------------


def exit_code(error: BaseException) -> int:
    if isinstance(error, click.UsageError):
        return EXIT_USAGE
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return EXIT_INTERRUPTED
    if isinstance(error, OSError):  # a file that cannot be read
        return EXIT_REFUSED
    return errors.exit_code(error)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
    try:
        return cli.main(arguments, "quipu", standalone_mode=False)
    except (click.ClickException, click.Abort, KeyboardInterrupt, errors.QuipuError, EmulatorError, ImageError,
            OSError) as error:
        if "--json" in arguments:
            print(json_text.dumps({"error": {"type": kind(error), "message": message(error)}}), flush=True)
        elif isinstance(error, click.ClickException):
            error.show()
        else:
            print(f"quipu: {message(error)}", file=sys.stderr)
        return exit_code(error)


def kind(error: BaseException) -> str:
    return "UsageError" if isinstance(error, click.UsageError) else type(error).__name__


def message(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    return str(error) or {KeyboardInterrupt: "interrupted", click.Abort: "interrupted"}.get(type(error), type(error).__name__)


if __name__ == "__main__":
    sys.exit(main())
