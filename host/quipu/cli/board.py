"""What each verb of the command `quipu` does: a handler takes the options and returns what it found as data, ready for JSON.

Handlers print nothing (but `emulate`, which stays in the foreground) and catch no error: cli.py turns both into text.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import quipu
from quipu import errors
from quipu.archive.chain import Chain
from quipu.archive.join import merge
from quipu.archive.verify import many
from quipu.cli import render
from quipu.past import describe
from shared_kernel import frames, graph
from shared_kernel.config import CONFIG_NAMES
from shared_kernel.frames import NO_HEAD

Data = dict[str, Any]

DIRECTIONS = {"out": graph.OUT, "in": graph.IN, "both": graph.BOTH}


# -- emulated boards ------------------------------------------------------------------------------------------------------


def emulate(say: Callable[[Data], None], board: str, flash: str | None, bare: bool) -> None:
    """Run an emulated board until Ctrl-C or SIGTERM.

    Its image is built first if it is not there. FILE is the board's flash, kept between runs; without it the board starts
    empty. To the board, the end is a power cut.

    \b
    Example:
      quipu emulate MPS2_AN386 --flash build/flash.bin
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
            say({"port": emulator.port, "board": board, "cpu": emulator.emulation["cpu"], "flash": flash, "bare": bare,
                 "pid": emulator.pid})
            os.waitid(os.P_PID, emulator.pid or 0, os.WEXITED | os.WNOWAIT)
            raise EmulatorError(f"QEMU ended by itself: the emulated {board} is off")
    except KeyboardInterrupt:
        return


# -- a live board ---------------------------------------------------------------------------------------------------------


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

    Takes entropy from this laptop. The numbers are fixed for the life of the log. Refused if the region holds a log already.

    \b
    Example:
      quipu configure /dev/ttyACM0 --dim 3 --records 500
    """
    config = tuple(capacities[each] for each in CONFIG_NAMES)
    with quipu.connect(port) as board:
        log = board.configure(config, os.urandom(16), describe.POLICIES.index(policy))
    return {"log": log.hex(), "config": describe.config(config), "policy": policy}


def insert(port: str, components: tuple[str, ...], q16: bool, tag: int | None, meta: str | None,
           meta_hex: bytes | None) -> Data:
    """Insert a record; prints its id.

    X are decimal numbers, one for each dimension, or raw Q16.16 integers with --q16. "-" reads many records from standard
    input, one JSON value a line: [1, -2.5] or {"vector": [1, -2.5], "tag": 3, "meta": "text"}.

    \b
    Example:
      quipu insert /dev/ttyACM0 1 -0.5 3.25 --tag 2 --meta walking
      quipu insert /dev/ttyACM0 - < records.jsonl
    """
    given = _meta(meta, meta_hex) or b""
    if components != ("-",):
        vector = _vector(components, q16)
        with quipu.connect(port) as board:
            return {"id": board.insert(vector, tag or 0, given)}
    records = [_record_of(number, line, q16, tag or 0, given) for number, line in enumerate(sys.stdin, 1) if line.strip()]
    ids: list[int] = []
    with quipu.connect(port) as board, render.progress("inserting", "records") as progress:
        for vector, _, _ in records:
            if board.config and len(vector) != board.config[0]:
                raise errors.WrongDimension(f"a vector has {board.config[0]} components here, not {len(vector)}; "
                                            "nothing was inserted")
        for each in records:
            try:
                ids.append(board.insert(*each))
            except errors.QuipuError as error:
                error.args = (f"{error} (of {len(records)} records, the first {len(ids)} were inserted)",)
                raise
            progress(len(ids), len(records))
    return {"ids": ids}


def _meta(text: str | None, data: bytes | None) -> bytes | None:
    if text is not None and data is not None:
        raise errors.UsageError("--meta and --meta-hex are two ways to write one thing: give one of them")
    return data if text is None else text.encode()


def _vector(components: Any, q16: bool) -> list[int]:
    if not q16:
        return quipu.vector(components)
    try:
        return [int(each) for each in components]
    except ValueError as error:
        raise errors.Invalid(f"--q16 takes integers: {error}") from None


def _record_of(number: int, line: str, q16: bool, tag: int, meta: bytes) -> tuple[list[int], int, bytes]:
    """Return vector, tag and metadata of one line of JSON; tag and meta are those of a line that has none."""
    try:
        value = json.loads(line, parse_float=Decimal, parse_constant=Decimal)
        if isinstance(value, list):
            value = {"vector": value}
        if not isinstance(value, dict) or not isinstance(value.get("vector"), list):
            raise errors.Invalid('expected [1, -2.5] or {"vector": [1, -2.5], "tag": 3, "meta": "text"}')
        unknown = set(value) - {"vector", "tag", "meta", "meta_hex"}
        if unknown:
            raise errors.Invalid(f"unknown field {min(unknown)!r}")
        if "meta_hex" in value:
            meta = bytes.fromhex(value["meta_hex"])
        elif "meta" in value:
            meta = value["meta"].encode()
        record = _vector(value["vector"], q16), value.get("tag", tag), meta
        frames.insert(*record)  # refuses what no record can be
        return record
    except (ValueError, TypeError, AttributeError, errors.Invalid) as error:
        raise errors.Invalid(f"line {number} of the input: {error}; nothing was inserted") from None


def update(port: str, ident: int, tag: int | None, meta: str | None, meta_hex: bytes | None) -> Data:
    """Set a record's tag, its metadata, or both.

    \b
    Example:
      quipu update /dev/ttyACM0 17 --tag 4 --meta running
    """
    given = _meta(meta, meta_hex)
    with quipu.connect(port) as board:
        return {"seq": board.update(ident, tag, given)}


def delete(port: str, ident: int) -> Data:
    """Delete a record; refused while a node refers to it.

    \b
    Example:
      quipu delete /dev/ttyACM0 17
    """
    with quipu.connect(port) as board:
        return {"seq": board.delete(ident)}


def create_node(port: str, kind: int, record: int) -> Data:
    """Create a node, perhaps for a record; prints its id.

    \b
    Example:
      quipu create-node /dev/ttyACM0 2 --record 17
    """
    with quipu.connect(port) as board:
        return {"what": "node", "id": board.create_node(kind, record)}


def delete_node(port: str, ident: int) -> Data:
    """Delete a node and its edges.

    \b
    Example:
      quipu delete-node /dev/ttyACM0 18
    """
    with quipu.connect(port) as board:
        return {"seq": board.delete_node(ident)}


def create_edge(port: str, kind: int, origin: int, target: int) -> Data:
    """Create an edge from node to node; prints its id.

    \b
    Example:
      quipu create-edge /dev/ttyACM0 1 18 19
    """
    with quipu.connect(port) as board:
        return {"what": "edge", "id": board.create_edge(kind, origin, target)}


def delete_edge(port: str, ident: int) -> Data:
    """Delete an edge.

    \b
    Example:
      quipu delete-edge /dev/ttyACM0 20
    """
    with quipu.connect(port) as board:
        return {"seq": board.delete_edge(ident)}


def put(port: str, key: str, value: str, as_hex: bool) -> Data:
    """Set a key to a value.

    KEY has 1 to 24 bytes; VALUE is text, or bytes with --hex.

    \b
    Example:
      quipu put /dev/ttyACM0 mode fast
      quipu put /dev/ttyACM0 offset --hex 00ff7a
    """
    try:
        data = bytes.fromhex(value) if as_hex else value.encode()
    except ValueError:
        raise errors.UsageError(f"{value!r} is not bytes in hex, such as 00ff7a") from None
    with quipu.connect(port) as board:
        return {"seq": board.put(key, data)}


def delete_key(port: str, key: str) -> Data:
    """Delete a key.

    \b
    Example:
      quipu delete-key /dev/ttyACM0 mode
    """
    with quipu.connect(port) as board:
        return {"seq": board.delete_key(key)}


def clock(port: str) -> Data:
    """Tell the board's log this laptop's time.

    \b
    Example:
      quipu clock /dev/ttyACM0
    """
    with quipu.connect(port) as board:
        unix_ms = time.time_ns() // 1_000_000
        return {"seq": board.clock(unix_ms), "unix_ms": unix_ms}


def checkpoint(port: str) -> Data:
    """Append a checkpoint: a frame with the state root.

    \b
    Example:
      quipu checkpoint /dev/ttyACM0
    """
    with quipu.connect(port) as board:
        return {"seq": board.checkpoint()}


def snapshot(port: str) -> Data:
    """Take a snapshot on the board's flash now.

    \b
    Example:
      quipu snapshot /dev/ttyACM0
    """
    with quipu.connect(port) as board:
        return {"seq": board.snapshot()}


# -- the log, proved ------------------------------------------------------------------------------------------------------


def sync(source: str, archive: str) -> Data:
    """Pull what is new from a board, or from another archive, into one.

    That is frames and the newest snapshot. The archive is made if it does not exist. Each run is checked before it is kept; a
    broken pull goes on where it stopped. From another archive of the same log, what is missing goes over, gaps too, one way: DIR is
    only read. If both hold other frames from some seq on, that seq is named and nothing is changed.

    \b
    Example:
      quipu sync /dev/ttyACM0 --archive data/watch
      quipu sync data/watch --archive /media/stick/watch
    """
    if Path(source).is_dir():
        with render.progress("copying", "frames") as progress:
            copied = merge(source, archive, progress)
        return {**copied.as_dict(), "exit_code": 1 if copied.damage else 0}
    with quipu.connect(source) as board, render.progress("pulling") as progress:
        result = board.sync(archive, progress)
    return {**result.as_dict(), "exit_code": 1 if result.damage else 0}


def verify(archives: tuple[str, ...], archive: str | None, port: str | None, expect_root: bytes | None, expect_head: bytes | None,
           allow_gap: bool, jobs: int | None, origins: tuple[str, ...]) -> Data:
    """Replay archives: match, gap or mismatch?

        Checks every frame, every link of the chain, every checkpoint, every snapshot and the note of the last sync; with --port
    the live board too; with --expect-root and --expect-head also what is known from elsewhere. Exit code 0 only for a match.
    Several archives, or the parts of a long one, are shared out to all cores: the verdict is the same.
    A log that goes on from another one begins with the state that it names: --origin gives the other's
    archive, which is then replayed up to there.

    \b
    Example:
      quipu verify --archive data/watch --port /dev/ttyACM0
      quipu verify data/*
    """
    paths = [*archives, *([archive] if archive else [])]
    if not paths:
        raise errors.UsageError("which archive? Give its directory, or several: quipu verify DIR...")
    if len(paths) == 1:
        with quipu.connect(port) if port else contextlib.nullcontext() as board:
            found = quipu.verify(paths[0], board, expect_root, expect_head, allow_gap, jobs, origins).as_dict()
        return {**found, "kernel": quipu.kernels.kind}
    if port or expect_root or expect_head or origins:
        raise errors.UsageError(f"--port, --origin, --expect-root and --expect-head speak of one archive, not of {len(paths)}")
    each = [{"archive": path, **found.as_dict()} for path, found in zip(paths, many(paths, allow_gap, jobs))]
    return {"archives": each, "kernel": quipu.kernels.kind, "exit_code": max(one["exit_code"] for one in each)}


def log(archive: str, types: tuple[str, ...], first: int, until: int | None, last: int | None) -> Data:
    """Print the frames of an archive, newest last.

    One a line: seq, seconds since the boot or clock frame before it, type, what it says.

    \b
    Example:
      quipu log --archive data/watch --last 10
      quipu log --archive data/watch --type put --type delete-key --from 100
    """
    opened = quipu.open_archive(archive)
    out: list[Data] = []
    for segment in opened.segments:
        chain = Chain(None if segment.head == NO_HEAD else opened.log, segment.first - 1, segment.head)
        for _, data in opened.split(segment):
            try:
                chain.step(data)
            except errors.Mismatch as error:
                broken = {"seq": error.seq, "what": error.what, "expected": error.expected, "found": error.found}
                return {"frames": out[-last:] if last else out, "broken": broken, "exit_code": 1}
            frame = describe.frame(data)
            if frame["seq"] >= first and (until is None or frame["seq"] <= until) and (not types or frame["type"] in types):
                out.append(frame)
    return {"frames": out[-last:] if last else out, "broken": None}
