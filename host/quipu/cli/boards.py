"""The verbs that find a board, run one, and give it a log: emulate, ports, info, configure,
restore, migrate."""

import os
import signal
from collections.abc import Callable
from typing import Any

import click
from rich.console import RenderableType

import quipu
from quipu.cli import render
from quipu.cli.options import (
    ARCHIVE,
    MAX_STATE,
    ORIGIN,
    PORT,
    U32,
    Data,
    Number,
    Verb,
    argument,
    option,
)
from quipu.cli.render import grid, pairs, sizes
from quipu.past import describe
from quipu.text import size
from shared_kernel.config import CONFIG_LIMITS, CONFIG_NAMES

DEFAULT_CONFIG = (16, 256, 64, 128, 32, 16, 16)  # as in boards/*/quipu.json


def emulate(say: Callable[[Data], None], board: str, flash: str | None, bare: bool) -> None:
    """Run an emulated board until Ctrl-C or SIGTERM.

    BOARD is MICROBIT_M0 (a Cortex-M0), MPS2_AN385 (M3), MPS2_AN386 (M4) or MPS2_AN500 (M7). FILE is
    the board's flash, kept between runs; without it the board starts empty. To the board, the end
    is a power cut.

    It needs QEMU (Debian: qemu-system-arm) and an image of the board. A checkout of Quipu builds
    that itself. An installed Quipu brings none: build all of them with `make images`, in a checkout
    or in the sdist unpacked (quipu_mcu-VERSION.tar.gz), on Linux. Then say where they are, in the
    variable QUIPU_IMAGES, or copy that folder, build/images, to Quipu's cache folder
    (~/.cache/quipu/images). A real board needs no image: `quipu flash`.

    \b
    Example:
      quipu emulate MPS2_AN386 --flash flash.bin
      QUIPU_IMAGES=~/quipu/build/images quipu emulate MPS2_AN386
    """
    from quipu.build.emulator import Emulator, EmulatorError

    def end(*_: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end)
    try:
        with Emulator(board, flash, frozen=not bare) as emulator:
            say(
                {
                    "port": emulator.port,
                    "board": board,
                    "cpu": emulator.emulation["cpu"],
                    "flash": flash,
                    "bare": bare,
                    "pid": emulator.pid,
                }
            )
            os.waitid(os.P_PID, emulator.pid or 0, os.WEXITED | os.WNOWAIT)
            raise EmulatorError(f"QEMU ended by itself: the emulated {board} is off")
    except KeyboardInterrupt:
        return


def ports() -> Data:
    """List serial ports and the boards that answer on them.

    Emulated boards are not listed: their ports are ptys, which `quipu emulate` prints.

    \b
    Example:
      quipu ports
    """
    from quipu.board import ports as serial_ports

    return {"ports": serial_ports.probe_all()}


def info(port: str) -> Data:
    """Show versions, configuration, counts, root and free space.

    Also seq and chain head; (seq, chain head, state root) belong together.

    \b
    Example:
      quipu info /dev/ttyACM0
    """
    with quipu.connect(port) as board:
        return board.info()


def configure(port: str, policy: str, **capacities: int) -> Data:
    """Begin a log on a blank region.

    Takes entropy from this laptop. The numbers are fixed for the life of the log. Refused if the
    region holds a log already: Quipu's firmware begins one by itself when it first starts, and
    `quipu migrate` takes what it holds over to other numbers.

    \b
    Example:
      quipu configure /dev/ttyACM0 --dim 3 --records 500
    """
    config = tuple(capacities[each] for each in CONFIG_NAMES)
    with quipu.connect(port) as board:
        log = board.configure(config, os.urandom(16), describe.POLICIES.index(policy))
    return {"log": log.hex(), "config": describe.config(config), "policy": policy}


def restore(archive: str, port: str, at: int | None, policy: str, origins: tuple[str, ...]) -> Data:
    """Put an archive's state onto a board, which goes on from it.

    The archive is verified first. The board's log region must be blank, or hold a log without a
    command. The board reads the state back from its flash and proves its root before it takes a
    command; its new log names the archive's log, seq and root, and begins with the next seq. Broken
    off, the board is blank or restored: run it again.

    \b
    Example:
      quipu restore data/watch /dev/ttyACM1
      quipu restore data/watch /dev/ttyACM1 --at 1200
    """
    from quipu.board import restore as restoring

    with quipu.connect(port) as board, render.progress("restoring") as progress:
        return restoring.restore(
            board, archive, at, describe.POLICIES.index(policy), progress, origins
        ).as_dict()


def migrate(
    port: str, archive: str, policy: str | None, origins: tuple[str, ...], **capacities: int | None
) -> Data:
    """Give a board other capacities, with all that it holds.

    Its log is pulled into the archive DIR and verified, replayed under the new capacities, and only
    then erased. The new log begins with the state that came of it and names the old one; every id
    stays what it was. What does not fit is refused before anything changes. Stop the application
    first. Broken off, run it again: nothing is lost.

    \b
    Example:
      quipu migrate /dev/ttyACM0 --records 500 --archive data/watch
    """
    from quipu.board import migrate as migration

    changes = {name: number for name, number in capacities.items() if number is not None}
    with quipu.connect(port) as board, render.progress("restoring") as progress:
        done = migration.migrate(
            board,
            archive,
            changes,
            None if policy is None else describe.POLICIES.index(policy),
            progress,
            origins,
        )
        return {**done.as_dict(), "config": board.info()["config"]}


# -- what a person sees ----------------------------------------------------------------------------


def show_emulate(data: Data) -> str:
    flash = data["flash"] or "gone at the end"
    what = "plain MicroPython" if data["bare"] else "Quipu"
    return f"{data['board']} ({data['cpu']}, emulated) with {what}\nport   {data['port']}\nflash  {flash}\nCtrl-C ends it"


def show_ports(data: Data) -> RenderableType:
    return grid(
        "",
        ("port", "usb", "serial", "device", "answer"),
        ((p["port"], p["usb"], p["serial"], p["description"], p["answer"]) for p in data["ports"]),
        "no serial port found; is the board plugged in, and is its cable one for data?",
    )


def show_info(data: Data) -> RenderableType:
    config = data.get("config")
    rows: list[tuple[str, Any]] = [
        ("board", data["board"]),
        ("machine", data["machine"]),
        (
            "firmware",
            f"{data['firmware']} on MicroPython {data['micropython']}, hot loops: "
            f"{data['provider']}",
        ),
        ("heap", f"{size(data['heap_used'])} used, {size(data['heap_free'])} free"),
        ("damage", data.get("damage")),
    ]
    if not data["configured"]:
        rows.append(
            (
                "log",
                "none: the region holds something else; nothing of it was changed"
                if data.get("damage")
                else "none yet: the region is blank; begin one with `quipu configure PORT`",
            )
        )
    if config:
        rows += [
            ("log", data["log"]),
            ("seq", f"{data['seq']}, boot {data['boot']}"),
            (
                "power cuts",
                ", ".join(f"after seq {seq} ({size(torn)})" for seq, torn in data["cuts"]) or None,
            ),
            ("chain head", data["head"]),
            ("state root", data["root"]),
            (
                "contents",
                ", ".join(
                    f"{data[each]} of {config[each]} {each}"
                    for each in ("records", "nodes", "edges", "keys")
                ),
            ),
            ("sizes", sizes(config)),
            (
                "log space",
                f"{size(data['log_free'])} of {size(data['log_size'])} free; when full: "
                + ("stop" if data["policy"] == 0 else "overwrite"),
            ),
            ("snapshots", ", ".join(f"seq {each}" for each in data["snapshots"]) or "none"),
        ]
    return pairs(rows)


def show_configure(data: Data) -> str:
    return f"log {data['log']} begun"


def show_restored(data: Data) -> RenderableType:
    """Return what the board goes on from, and the root that it proved."""
    config = data.get("config")
    return pairs(
        [
            ("board", data["board"]),
            (
                "restored",
                "already; nothing was sent"
                if data["already"]
                else f"{size(data['bytes'])} of state",
            ),
            (
                "capacities",
                ", ".join(f"{name} {config[name]}" for name in CONFIG_NAMES) if config else None,
            ),
            ("from", f"{data['from_board']}, seq {data['seq']}, of {data['archive']}"),
            ("its log", data["origin"]),
            ("chain head", data["head"]),
            ("new log", data["log"]),
            ("state root", data["root"]),
        ]
    )


# -- rows ------------------------------------------------------------------------------------------


def capacity(i: int) -> click.Option:
    what = (
        "dimensions of a vector",
        "records",
        "nodes",
        "edges",
        "keys",
        "bytes of metadata",
        "bytes of a value",
    )[i]
    return option(
        "--" + CONFIG_NAMES[i].replace("_", "-"),
        f"{what}, at most {CONFIG_LIMITS[i][1]}",
        type=Number(*CONFIG_LIMITS[i]),
        default=DEFAULT_CONFIG[i],
        show_default=True,
    )


VERBS = {
    "emulate": Verb(
        emulate,
        show_emulate,
        (
            argument("board", "BOARD"),
            option("--flash", "the board's flash, kept between runs", metavar="FILE"),
            option("--bare", "plain MicroPython, without the firmware", is_flag=True),
        ),
        stays=True,
    ),
    "ports": Verb(ports, show_ports, ()),
    "info": Verb(info, show_info, (PORT,)),
    "configure": Verb(
        configure,
        show_configure,
        (
            PORT,
            *map(capacity, range(len(CONFIG_NAMES))),
            option(
                "--policy",
                "when the log is full: refuse, or drop its oldest part",
                type=click.Choice(describe.POLICIES),
                default="stop",
                show_default=True,
            ),
        ),
    ),
    "restore": Verb(
        restore,
        show_restored,
        (
            argument("archive", "DIR"),
            PORT,
            option("--at", "the state after this seq, not the last one", type=U32, metavar="SEQ"),
            option(
                "--policy",
                "of the new log, when it is full",
                type=click.Choice(describe.POLICIES),
                default="stop",
                show_default=True,
            ),
            ORIGIN,
            MAX_STATE,
        ),
    ),
    "migrate": Verb(
        migrate,
        show_restored,
        (
            PORT,
            ARCHIVE,
            *[
                option(
                    "--" + name.replace("_", "-"),
                    "as for `quipu configure`; by default as it is",
                    type=Number(*limits),
                )
                for name, limits in zip(CONFIG_NAMES[1:], CONFIG_LIMITS[1:])
            ],
            option(
                "--policy",
                "when the log is full; by default as it is",
                type=click.Choice(describe.POLICIES),
            ),
            ORIGIN,
            MAX_STATE,
        ),
    ),
}
