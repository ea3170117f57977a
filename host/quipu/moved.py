"""Where the modules of the flat package went: importing one by its old name fails, and the error
names the new one."""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

PLACES = {  # old name in quipu: new name in quipu
    "archive": "archive.files",
    "attach": "install.attach",
    "audit": "archive.parallel",
    "board": "board.board",
    "boards": "install.boards",
    "commands": "cli.change",
    "commands_boards": "cli.install",
    "commands_flash": "cli.dump",
    "commands_move": "cli.formats",
    "commands_past": "cli.past",
    "commands_report": "cli.formats",
    "commands_restore": "cli.boards",
    "commands_watch": "cli.ask",
    "deploy": "install.files",
    "describe": "past.describe",
    "diff": "past.diff",
    "emulator": "build.emulator",
    "erase": "install.erase",
    "explain": "past.explain",
    "export": "formats.export",
    "flash": "install.flash",
    "flash_image": "dump.image",
    "flash_map": "dump.map",
    "history": "past.history",
    "images": "build.images",
    "imports": "formats.imports",
    "index": "past.index",
    "link": "board.link",
    "live": "board.live",
    "memory": "past.memory",
    "merge": "archive.join",
    "migrate": "board.migrate",
    "mip": "build.mip",
    "moment": "past.moment",
    "natives": "build.natives",
    "npy": "formats.npy",
    "origin": "archive.origin",
    "ports": "board.ports",
    "query": "past.query",
    "recover": "dump.recover",
    "render": "cli.render",
    "render_boards": "cli.install",
    "render_flash": "cli.dump",
    "render_move": "cli.formats",
    "render_past": "cli.past",
    "render_restore": "cli.boards",
    "render_watch": "cli.ask",
    "repl": "board.repl",
    "repl_ampy": "install.repl_ampy",
    "report": "formats.report",
    "report_page": "formats.page",
    "restore": "board.restore",
    "serial_port": "board.serial_port",
    "sync": "board.sync",
    "valori": "formats.valori",
    "verify": "archive.verify",
    "watch": "board.watch",
}


class Signpost:
    """Finds nothing. Asked last, after every finder that could have found the module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        package, _, name = fullname.rpartition(".")
        if package == "quipu" and name in PLACES:
            raise ModuleNotFoundError(f"{fullname} is now quipu.{PLACES[name]}", name=fullname)


def install() -> None:
    """Make the import of a module that moved name its new place."""
    if not any(isinstance(each, Signpost) for each in sys.meta_path):
        sys.meta_path.append(Signpost())


def attribute(name: str) -> NoReturn:
    """The `__getattr__` of quipu. AttributeError, which names the new place of a module that
    moved."""
    more = f": it is now quipu.{PLACES[name]}" if name in PLACES else ""
    raise AttributeError(f"module 'quipu' has no attribute {name!r}{more}", name=name)


def within(room: str, names: Sequence[str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a room that has the name of a module that moved into it.

    room: its name in quipu. names: what that module had in public. ImportError for these, which
        names the new module.
    """

    def missing(name: str) -> Any:
        if name in names:
            raise ImportError(
                f"quipu.{room}.{name} is now quipu.{PLACES[room]}.{name}", name=f"quipu.{room}"
            )
        raise AttributeError(f"module 'quipu.{room}' has no attribute {name!r}", name=name)

    return missing
