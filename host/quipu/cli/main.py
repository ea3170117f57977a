"""The command `quipu`: a table says which module has each verb, and `main` turns answers and errors
into text, only here.

A verb's module is loaded when it is named, so that a short command is a quick one. It holds the
verb's handler, which returns data, the text that shows this data to a person, and the row of its
options; --json prints the data as one JSON object instead. Exit codes: 0 ok or match; 1 gap,
mismatch, damage or a refused command; 2 usage; 3 board or port trouble."""

import contextlib
import importlib
import io
import json as json_text
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from quipu import errors, kernels
from quipu.cli import streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

EXIT_REFUSED, EXIT_USAGE = 1, 2
EXIT_INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended


# -- the table -------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """section: of the help; module: its VERBS has the verb's row; summary: the first sentence of
    its help, which needs no module then."""

    section: str
    module: str
    summary: str


BOARDS, CHANGE, ASK, PROVE = (
    "Boards",
    "Change the memory on a board",
    "Ask it",
    "Pull its log and prove it",
)
PAST = "Ask an archive what was"
FLASH = "Look into its flash"
MOVE = "Carry it elsewhere"
COMMAND = "This command"

VERBS: dict[str, Entry] = {
    "emulate": Entry(BOARDS, "quipu.cli.boards", "Run an emulated board until Ctrl-C or SIGTERM."),
    "ports": Entry(
        BOARDS, "quipu.cli.boards", "List serial ports and the boards that answer on them."
    ),
    "info": Entry(
        BOARDS, "quipu.cli.boards", "Show versions, configuration, counts, root and free space."
    ),
    "flash": Entry(BOARDS, "quipu.cli.install", "Put Quipu onto a board with MicroPython."),
    "attach": Entry(BOARDS, "quipu.cli.install", "Archive a board's log when no firmware answers."),
    "configure": Entry(BOARDS, "quipu.cli.boards", "Begin a log on a blank region."),
    "insert": Entry(CHANGE, "quipu.cli.change", "Insert a record; prints its id."),
    "update": Entry(CHANGE, "quipu.cli.change", "Set a record's tag, its metadata, or both."),
    "delete": Entry(
        CHANGE, "quipu.cli.change", "Delete a record; refused while a node refers to it."
    ),
    "create-node": Entry(
        CHANGE, "quipu.cli.change", "Create a node, perhaps for a record; prints its id."
    ),
    "delete-node": Entry(CHANGE, "quipu.cli.change", "Delete a node and its edges."),
    "create-edge": Entry(
        CHANGE, "quipu.cli.change", "Create an edge from node to node; prints its id."
    ),
    "delete-edge": Entry(CHANGE, "quipu.cli.change", "Delete an edge."),
    "put": Entry(CHANGE, "quipu.cli.change", "Set a key to a value."),
    "delete-key": Entry(CHANGE, "quipu.cli.change", "Delete a key."),
    "clock": Entry(CHANGE, "quipu.cli.change", "Tell the board's log this laptop's time."),
    "checkpoint": Entry(
        CHANGE, "quipu.cli.change", "Append a checkpoint: a frame with the state root."
    ),
    "snapshot": Entry(CHANGE, "quipu.cli.change", "Take a snapshot on the board's flash now."),
    "get": Entry(ASK, "quipu.cli.ask", "Print the value of a key."),
    "history": Entry(ASK, "quipu.cli.ask", "List the versions of a key, newest first."),
    "record": Entry(ASK, "quipu.cli.ask", "Show a record: tag, vector, metadata."),
    "node": Entry(ASK, "quipu.cli.ask", "Show a node: kind, record, edges."),
    "edge": Entry(ASK, "quipu.cli.ask", "Show an edge: kind, from, to."),
    "search": Entry(ASK, "quipu.cli.ask", "Find the records nearest to X, nearest first."),
    "neighbours": Entry(ASK, "quipu.cli.ask", "List the nodes within some steps of a node."),
    "watch": Entry(
        ASK, "quipu.cli.ask", "Print a board's changes as they become durable, until Ctrl-C."
    ),
    "sync": Entry(
        PROVE,
        "quipu.cli.prove",
        "Pull what is new from a board, or from another archive, into one.",
    ),
    "verify": Entry(PROVE, "quipu.cli.prove", "Replay archives: match, gap or mismatch?"),
    "log": Entry(PROVE, "quipu.cli.prove", "Print the frames of archives, newest last."),
    "state": Entry(
        PAST, "quipu.cli.past", "Show the state that an archive's frames, or a board's, lead to."
    ),
    "diff": Entry(
        PAST, "quipu.cli.past", "Compare two states: what was added, changed, deleted from A to B."
    ),
    "explain": Entry(
        PAST, "quipu.cli.past", "Show the frames that made a thing what it is, oldest first."
    ),
    "query": Entry(
        PAST, "quipu.cli.past", "Ask for records, nodes, edges or keys, of archives or boards."
    ),
    "index": Entry(PAST, "quipu.cli.past", "Make the index of an archive, or bring it up to date."),
    "report": Entry(
        PAST,
        "quipu.cli.formats",
        "Write a page about an archive: verdict, frames over time, keys,...",
    ),
    "export": Entry(MOVE, "quipu.cli.formats", "Write what an archive holds for other programs."),
    "import": Entry(MOVE, "quipu.cli.formats", "Carry out on a board what a file says."),
    "valori": Entry(
        MOVE,
        "quipu.cli.formats",
        "Check a file of Valori's: a kernel snapshot (version 7) or an...",
    ),
    "restore": Entry(
        MOVE, "quipu.cli.boards", "Put an archive's state onto a board, which goes on from it."
    ),
    "migrate": Entry(
        MOVE, "quipu.cli.boards", "Give a board other capacities, with all that it holds."
    ),
    "flash-map": Entry(FLASH, "quipu.cli.dump", "Show what each sector of a log's flash holds."),
    "recover": Entry(FLASH, "quipu.cli.dump", "Recover a log from a dump of its flash."),
    "completion": Entry(
        COMMAND, "quipu.cli.completion", "Print what makes a shell complete this command's verbs."
    ),
}


def command(name: str) -> click.Command:
    """Return click's command for a verb, with the module that has it. Where a vector or a value is
    taken, what looks like an unknown option is a value."""
    from quipu.cli.command import Command
    from quipu.cli.options import JSON, VECTOR, Verb

    verb: Verb = importlib.import_module(VERBS[name].module).VERBS[name]

    def run(json: bool, **options: Any) -> int:
        look = {each: options.pop(each) for each in verb.look}

        def say(data: dict[str, Any]) -> None:
            with printing():
                if json:
                    print(json_text.dumps(data), flush=True)
                else:
                    from quipu.cli import render

                    render.show(verb.show(data, **look))

        try:
            data = verb.act(say, **options) if verb.stays else verb.act(**options)
        except OSError as error:
            if options.get("output"):
                from quipu.cli import os_errors

                os_errors.name_output(error, options["output"])
            raise
        if data is None:
            return 0
        say(data)
        code: int = data.get("exit_code", 0)
        return code

    return Command(
        name,
        loose=VECTOR in verb.params or name == "put",
        callback=run,
        params=[*verb.params, JSON],
        help=verb.act.__doc__,
    )


class Quipu(click.Group):
    """The verbs, listed by section in the order of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command(cmd_name) if cmd_name in VERBS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but a verb that is unknown is told with those that are written like it."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from quipu.text import near  # seldom needed

            hint = near(args[0], VERBS) or "`quipu --help` lists them."
            ctx.fail(f"No such verb: {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(entry.section for entry in VERBS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (name, entry.summary)
                        for name, entry in VERBS.items()
                        if entry.section == section
                    ]
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem  # seldom needed

        options = click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=entry.summary)
            for name, entry in VERBS.items()
            if name.startswith(incomplete)
        ] + options


def version(ctx: click.Context, param: click.Parameter, given: bool) -> None:
    if given:
        from importlib import metadata

        click.echo(f"quipu {metadata.version('quipu-mcu')}: {kernels.describe()}")
        ctx.exit()


cli = Quipu(
    "quipu",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    help="""\
A deterministic memory for microcontrollers: what a board recorded, pulled over serial and proved by replay.

PORT is a device, an address (socket://host:port, rfc2217://host:port), id:SERIAL,
part of a description that one port has, or "-": what QUIPU_PORT says, which also
stands for a PORT left out at the end. `quipu ports` lists what is there.
DIR is an archive, which sync makes; where either will do, a directory is an archive.

\b
Try it without a board:
  quipu emulate MPS2_AN386
""",
)
cli.params.append(
    click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=version,
        help="Print the version and which kernel runs, compiled or pure.",
    )
)


# -- the edge --------------------------------------------------------------------------------------


def exit_code(error: BaseException) -> int | None:
    """Return the code that an error ends with; None for one that is no answer to the person, but a
    fault of this program."""
    if isinstance(error, click.UsageError):
        return EXIT_USAGE
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return EXIT_INTERRUPTED
    if isinstance(error, OSError):  # a file that cannot be read
        return EXIT_REFUSED
    if isinstance(error, errors.QuipuError | click.ClickException):
        return errors.exit_code(error)
    return getattr(type(error), "exit_code", None)


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Let an error of the block name standard output, which the system does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = "standard output"
        raise


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
    streams.prepare()
    try:
        ended: int = cli.main(arguments, "quipu", standalone_mode=False)
        with printing():
            sys.stdout.flush()
        return ended
    except (Exception, KeyboardInterrupt) as error:
        code = exit_code(error)
        if code is None:
            raise
        told = {"error": {"type": kind(error), "message": message(error)}}
        if "--json" in arguments and streams.tell(json_text.dumps(told), sys.stdout):
            pass
        elif isinstance(error, click.ClickException):
            shown = io.StringIO()
            error.show(shown)
            streams.tell(shown.getvalue().rstrip("\n"), sys.stderr)
        else:
            streams.tell(f"quipu: {message(error)}", sys.stderr)
        streams.give_up()
        return code


def kind(error: BaseException) -> str:
    return "UsageError" if isinstance(error, click.UsageError) else type(error).__name__


def message(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError):
        from quipu.cli import os_errors  # seldom needed

        return os_errors.sentence(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        # click's Abort stands for a KeyboardInterrupt, which may say what became of a change
        return str(error) or str(error.__cause__ or "") or "interrupted"
    return str(error) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
