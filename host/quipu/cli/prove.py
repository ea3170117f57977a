"""The verbs that pull a board's log and prove it: sync, verify, log."""

import contextlib
import time

import click
from rich.console import RenderableType

import quipu
from quipu import errors
from quipu.archive.chain import Chain
from quipu.archive.join import merge
from quipu.archive.verify import inside, many
from quipu.cli import render
from quipu.cli.options import (
    ARCHIVE,
    MAX_STATE,
    ORIGIN,
    SOURCE,
    U32,
    Data,
    HexBytes,
    Number,
    Verb,
    option,
)
from quipu.cli.render import pairs, says
from quipu.cli.source import is_archive
from quipu.past import describe
from quipu.text import count, plain
from shared_kernel import frame_names
from shared_kernel.frames import NO_HEAD

TYPES = tuple(frame_names.NAMES.values())


def sync(source: str, archive: str) -> Data:
    """Pull what is new from a board, or from another archive, into one.

    That is frames and the newest snapshot. The archive is made if it does not exist. Each run is
    checked before it is kept; a broken pull goes on where it stopped. From another archive of the
    same log, what is missing goes over, gaps too, one way: DIR is only read. If both hold other
    frames from some seq on, that seq is named and nothing is changed.

    \b
    Example:
      quipu sync /dev/ttyACM0 --archive data/watch
      quipu sync data/watch --archive /media/stick/watch
    """
    if is_archive(source):
        with render.progress("copying", "frames") as progress:
            copied = merge(source, archive, progress)
        return {**copied.as_dict(), "exit_code": 1 if copied.damage else 0}
    with quipu.connect(source) as board, render.progress("pulling") as progress:
        result = board.sync(archive, progress)
    return {**result.as_dict(), "exit_code": 1 if result.damage else 0}


def verify(
    archives: tuple[str, ...],
    named: tuple[str, ...],
    port: str | None,
    expect_root: bytes | None,
    expect_head: bytes | None,
    allow_gap: bool,
    recursive: bool,
    jobs: int | None,
    origins: tuple[str, ...],
) -> Data:
    """Replay archives: match, gap or mismatch?

        Checks every frame, every link of the chain, every checkpoint, every snapshot and the note
        of the last sync; with --port
    the live board too; with --expect-root and --expect-head also what is known from elsewhere. Exit
    code 0 only for a match. Several archives, or the parts of a long one, are shared out to all
    cores: the verdict is the same. A log that goes on from another one begins with the state that
        it names: --origin gives the other's
    archive, which is then replayed up to there. Of several, one that is no archive is named, and
    the others get their verdicts.

    \b
    Example:
      quipu verify --archive data/watch --port /dev/ttyACM0
      quipu verify data/*
      quipu verify --recursive /srv/fleet
    """
    paths = [*archives, *named]
    if recursive:
        paths = [found for path in paths for found in inside(path)]
    if not paths:
        raise errors.UsageError(
            "which archive? Give its directory, or several: quipu verify DIR..."
        )
    if len(paths) == 1:
        with quipu.connect(port) if port else contextlib.nullcontext() as board:
            found = quipu.verify(
                paths[0], board, expect_root, expect_head, allow_gap, jobs, origins
            ).as_dict()
        return {**_aged(found), "kernel": quipu.kernels.kind}
    if port or expect_root or expect_head or origins:
        raise errors.UsageError(
            f"--port, --origin, --expect-root and --expect-head speak of one archive, not of "
            f"{len(paths)}"
        )
    with render.progress("verifying", "archives") as progress:
        verdicts = many(paths, allow_gap, jobs, progress)
    each = [
        {"archive": path, **_aged(found.as_dict())}
        for path, found in zip(paths, verdicts, strict=True)
    ]
    return {
        "archives": each,
        "kernel": quipu.kernels.kind,
        "exit_code": max(one["exit_code"] for one in each),
    }


def _aged(found: Data) -> Data:
    """Return a verdict with how long ago the last sync was, None where this laptop's clock is
    before it, and how many frames the live board is ahead, None where none was asked."""
    synced, live = found["last_sync"], found["live"]
    if synced:
        age = time.time_ns() // 1_000_000 - synced["unix_ms"]
        synced = {**synced, "age_ms": age if age >= 0 else None}
    return {**found, "last_sync": synced, "behind": live["ahead"] if live else None}


def log(
    sources: tuple[str, ...],
    archive: str | None,
    types: tuple[str, ...],
    first: int,
    until: int | None,
    last: int | None,
) -> Data:
    """Print the frames of archives, newest last.

    One a line: seq, seconds since the boot or clock frame before it, type, what it says. Of several
    archives one after the other.

    \b
    Example:
      quipu log data/watch --last 10
      quipu log data/watch --type put --type delete-key --from 100
    """
    if bool(sources) == (archive is not None):
        raise errors.UsageError("name the archive, once: quipu log DIR")
    named = sources or (archive or "",)
    told = [{"archive": each, **_log_of(each, types, first, until, last)} for each in named]
    if len(told) == 1:
        del told[0]["archive"]
        return told[0]
    return {"archives": told, "exit_code": max(each.get("exit_code", 0) for each in told)}


def _log_of(
    source: str, types: tuple[str, ...], first: int, until: int | None, last: int | None
) -> Data:
    """Return the frames of one archive that are wanted, up to one that is broken."""
    opened = quipu.open_archive(source)
    out: list[Data] = []
    for segment in opened.segments:
        chain = Chain(
            None if segment.head == NO_HEAD else opened.log, segment.first - 1, segment.head
        )
        for _, data in opened.split(segment):
            try:
                chain.step(data)
            except errors.Mismatch as error:
                broken = {
                    "seq": error.seq,
                    "what": error.what,
                    "expected": error.expected,
                    "found": error.found,
                }
                return {"frames": out[-last:] if last else out, "broken": broken, "exit_code": 1}
            frame = describe.frame(data)
            if (
                frame["seq"] >= first
                and (until is None or frame["seq"] <= until)
                and (not types or frame["type"] in types)
            ):
                out.append(frame)
    return {"frames": out[-last:] if last else out, "broken": None}


# -- what a person sees ----------------------------------------------------------------------------


def show_sync(data: Data) -> RenderableType:
    """Return what a sync did: of a board, or of another archive."""
    if "wire_bytes" in data:
        return _pulled(data)
    copied = (
        f"{data['frames']:,} frames, {data['log_bytes']:,} log bytes"
        if data["frames"]
        else "nothing new"
    )
    return pairs(
        [
            ("board", data["board"]),
            ("copied", copied),
            (
                "filled",
                ", ".join(f"seq {first} to {last}" for first, last in data["filled"]) or None,
            ),
            ("snapshots", ", ".join(f"of seq {seq}" for seq in data["snapshots"]) or None),
            ("moved", f"{data['moved_bytes']:,} bytes, {count(data['heads'], 'head')} compared"),
            (
                "missing",
                ", ".join(f"seq {first} to {last}" for first, last in data["gaps"]) or None,
            ),
            ("damage", data["damage"]),
            ("archive", render.placed(data)),
            ("chain head", data["head"]),
        ]
    )


def _pulled(data: Data) -> RenderableType:
    pulled = f"nothing new, {data['wire_bytes']} bytes on the wire"
    if data["log_bytes"]:
        pulled = (
            f"{data['frames']:,} frames, {data['log_bytes']:,} log bytes, "
            f"{data['wire_bytes'] / data['log_bytes']:.2f} bytes on the wire for each"
        )
    return pairs(
        [
            ("board", data["board"]),
            ("pulled", pulled),
            ("snapshot", None if data["snapshot"] is None else f"of seq {data['snapshot']}"),
            (
                "missing",
                f"seq {data['gap'][0]} to {data['gap'][1]}: recycled before they were pulled"
                if data["gap"]
                else None,
            ),
            ("damage", data["damage"]),
            ("archive", render.placed(data)),
            ("chain head", data["head"]),
            ("state root", data["root"]),
        ]
    )


def show_log(data: Data) -> str:
    """Return a line for each frame; of several archives, with its path above."""
    if "archives" in data:
        return "\n\n".join(
            plain(f"{each['archive']}:") + "\n" + show_log(each) for each in data["archives"]
        )
    lines = data["frames"]
    wide = max([len(str(f["seq"])) for f in lines], default=1)
    out = [
        f"{f['seq']:>{wide}}  {f['tick'] / 1000:>10.3f}  {f['type']:<11}  {says(f)}" for f in lines
    ]
    broken = data["broken"]
    if broken:
        out.append(
            f"broken at seq {broken['seq']}: {broken['what']}: expected {broken['expected']}, "
            f"found {broken['found']}"
        )
    return "\n".join(out) or "no frame"


VERBS = {
    "sync": Verb(sync, show_sync, (SOURCE, ARCHIVE, MAX_STATE)),
    "verify": Verb(
        verify,
        render.verdict,
        (
            click.Argument(["archives"], metavar="[DIR]...", nargs=-1),
            option(
                "--archive named",
                "the same, as an option; may be given again",
                metavar="DIR",
                multiple=True,
            ),
            option(
                "--jobs",
                "processes that share the work; by default one for each core",
                type=Number(1, 1024),
                metavar="N",
            ),
            option("--port", "compare with the live board too", metavar="PORT"),
            ORIGIN,
            option(
                "--expect-root", "state root known from elsewhere", metavar="HEX", type=HexBytes(32)
            ),
            option(
                "--expect-head", "chain head known from elsewhere", metavar="HEX", type=HexBytes(32)
            ),
            option("--allow-gap", "exit code 0 for a gap as well", is_flag=True),
            option("--recursive", "look inside of each DIR for archives", is_flag=True),
            MAX_STATE,
        ),
    ),
    "log": Verb(
        log,
        show_log,
        (
            click.Argument(["sources"], metavar="[DIR]...", nargs=-1),
            option("--archive", "the same, as an option", metavar="DIR"),
            option(
                "--type types",
                "only frames of this type; may be given again: " + ", ".join(TYPES),
                multiple=True,
                type=click.Choice(TYPES),
                metavar="TYPE",
            ),
            option("--from first", "the first seq to print", type=U32, default=0, metavar="SEQ"),
            option("--to until", "the last seq to print", type=U32, metavar="SEQ"),
            option("--last", "only the last N of them", type=Number(1, 0xFFFF), metavar="N"),
        ),
    ),
}
