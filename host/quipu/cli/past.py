"""The verbs that ask: of a live board what is, of an archive what was at any moment. Handlers as in board.py.

Where a directory of the name exists, the source is an archive; anything else is a port.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import quipu
from quipu import errors
from quipu.cli import render
from quipu.cli.board import DIRECTIONS, _vector
from quipu.past import describe
from quipu.past.index import Index
from quipu.past.memory import Memory
from quipu.past.moment import Moment
from quipu.past.query import Query

Data = dict[str, Any]


class Source:
    """What a question goes to. board: the live Board, or memory: the Memory and moment: the one asked for; at: what the verbs of a
    Memory take beside those of a Board."""

    def __init__(self, it: Any, moment: Moment | None):
        self.it = it
        self.memory = it if moment else None
        self.moment = moment
        self.at = {"at": moment.seq} if moment else {}

    def told(self, data: Data) -> Data:
        """Return an answer; an archive's with the moment that it holds for, and with what is wrong after it."""
        if self.moment is None or self.memory is None:
            return data
        damage = self.memory.damage
        data = {**data, "moment": self.moment._asdict(), "damage": str(damage) if damage else None}
        return {**data, "exit_code": 1} if damage else data


@contextlib.contextmanager
def _archived(path: str, at: str | None) -> Iterator[Source]:
    """Open an archive for questions. What is not found in one that is damaged may stand behind the damage: the error says so."""
    with quipu.open(path) as memory:
        it = Source(memory, memory.moment(at))
        try:
            yield it
        except errors.NotFound as error:
            if memory.damage:
                error.args = (f"{error} at seq {memory.moment(at).seq}; damaged after that: {memory.damage}",)
            raise


@contextlib.contextmanager
def asked(source: str, at: str | None) -> Iterator[Source]:
    """Open a source for questions about the moment `at` (None: now, or an archive's last frame)."""
    if Path(source).is_dir():
        with _archived(source, at) as it:
            yield it
        return
    if at is not None:
        raise errors.UsageError(f"{source} is no directory, so it is a port, and a live board is asked for what is now: for --at, "
                                "sync it and name the archive")
    with quipu.connect(source) as board:
        yield Source(board, None)


@contextlib.contextmanager
def recalled(source: str, at: str | None, archive: bool = False) -> Iterator[Source]:
    """Open a source for questions that only an archive answers: of a board, all that its flash holds is pulled first. archive: it
    cannot be a port."""
    if archive or Path(source).is_dir():
        with _archived(source, at) as it:
            yield it
        return
    with quipu.connect(source) as board, render.progress("pulling") as progress, board.memory(progress) as memory:
        yield Source(memory, memory.moment(at))


def get(source: str, key: str, at: str | None) -> Data:
    """Print the value of a key.

    As text if it is text, else in hex after 0x.

    \b
    Example:
      quipu get /dev/ttyACM0 mode
      quipu get data/watch mode --at 14:02
    """
    with asked(source, at) as it:
        return it.told({"key": key, **describe.octets("value", it.it.get(key, **it.at))})


def record(source: str, ident: int, at: str | None) -> Data:
    """Show a record: tag, vector, metadata.

    \b
    Example:
      quipu record /dev/ttyACM0 17
    """
    with asked(source, at) as it:
        return it.told(describe.record(ident, it.it.record(ident, **it.at)))


def node(source: str, ident: int, at: str | None) -> Data:
    """Show a node: kind, record, edges.

    \b
    Example:
      quipu node /dev/ttyACM0 18
    """
    with asked(source, at) as it:
        return it.told({**describe.node(ident, it.it.node(ident, **it.at)), "edges": it.it.edges_of(ident, **it.at)})


def edge(source: str, ident: int, at: str | None) -> Data:
    """Show an edge: kind, from, to.

    \b
    Example:
      quipu edge /dev/ttyACM0 20
    """
    with asked(source, at) as it:
        return it.told(describe.edge(ident, it.it.edge(ident, **it.at)))


def search(source: str, components: tuple[str, ...], q16: bool, k: int, tag: int | None, at: str | None) -> Data:
    """Find the records nearest to X, nearest first.

    Exactly; equal distances come in the order of their ids. In JSON, `distance` is exact: the squared distance in units of
    2^-32; `l2` is its root as a number.

    \b
    Example:
      quipu search /dev/ttyACM0 1 -0.5 3.25 -k 3 --tag 2
      quipu search data/watch 1 -0.5 3.25 --at -1d
    """
    query = _vector(components, q16)
    with asked(source, at) as it:
        found = it.it.search(query, k, tag, **it.at)
        return it.told({"results": [{"id": ident, "distance": distance, "l2": math.sqrt(distance) / 65536}
                                    for distance, ident in found]})


def neighbours(source: str, node: int, depth: int, kind: int | None, direction: str, at: str | None) -> Data:
    """List the nodes within some steps of a node.

    Breadth first, itself first.

    \b
    Example:
      quipu neighbours /dev/ttyACM0 18 --depth 2 --direction both
    """
    with asked(source, at) as it:
        found = it.it.neighbourhood(node, depth, kind, DIRECTIONS[direction], **it.at)
        return it.told({"node": node, "neighbours": [{"node": ident, "distance": distance} for ident, distance in found]})


def history(source: str, key: str, limit: int, at: str | None) -> Data:
    """List the versions of a key, newest first.

    Seq, wall time if a clock tells it, and value; deletions too. A live board knows those whose frames are still on its flash,
    without their times.

    \b
    Example:
      quipu history data/watch mode --limit 5
    """
    with asked(source, at) as it:
        if it.memory is None:
            there = it.it.history(key, min(limit, 255))
            return {"key": key, "missing": there.archived,
                    "versions": [{"seq": seq, "unix_ms": None, "uncertainty_ms": None, "deleted": False,
                                  **(describe.octets("value", value) if value is not None else {"value": None, "value_hex": None})}
                                 for seq, value in there.versions]}
        found = it.memory.history(key, limit, **it.at)
        out = []
        for each in found.versions:
            when = it.memory.timeline.when(each.seq, each.tick)
            value = {"value": None, "value_hex": None} if each.value is None else describe.octets("value", each.value)
            out.append({"seq": each.seq, "unix_ms": when.unix_ms, "uncertainty_ms": when.uncertainty_ms, "deleted": each.deleted,
                        **value})
        return it.told({"key": key, "missing": found.missing, "versions": out})


def state(source: str | None, archive: str | None, at: str | None) -> Data:
    """Show the state that an archive's frames, or a board's, lead to.

    After the last frame, or at a moment: counts, root, contents. Of a board, all that its flash holds is pulled first, into a
    temporary archive; the board is only read.

    \b
    Example:
      quipu state data/watch --at 100
      quipu state /dev/ttyACM0
    """
    if (source is None) == (archive is None):
        raise errors.UsageError("name the archive or the port, once: quipu state DIR")
    with recalled(source or archive or "", at, archive is not None) as it:
        replay = it.it.replay(**it.at)
        return it.told({"seq": replay.seq, "chain_head": replay.head.hex(), **describe.state(replay.kernel)})


def diff(a: str, b: str) -> Data:
    """Compare two states: what was added, changed, deleted from A to B.

    A and B are archives, or moments of archives: DIR@SEQ or DIR@TIME. Two boards' archives are compared by ids and names.

    \b
    Example:
      quipu diff data/watch@100 data/watch
      quipu diff data/watch@14:02 data/watch@-5m --json
    """
    with _moment(a) as (ours, first), _moment(b) as (theirs, second):
        found = ours.diff(first.seq, theirs, second.seq)
        damage = ours.damage or theirs.damage
        found = {**found, "a": {"archive": str(ours.path), **first._asdict()}, "b": {"archive": str(theirs.path), **second._asdict()},
                 "damage": str(damage) if damage else None}
        return {**found, "exit_code": 1} if damage else found


@contextlib.contextmanager
def _moment(text: str) -> Iterator[tuple[Memory, Moment]]:
    path, at = text, None
    if not Path(text).is_dir() and "@" in text:
        path, at = text.rsplit("@", 1)
    with quipu.open(path) as memory:
        yield memory, memory.moment(at)


def explain(source: str, thing: str, at: str | None) -> Data:
    """Show the frames that made a thing what it is, oldest first.

    THING is a key, or the id of a record, node or edge; record:17, node:18, edge:20 and key:17 say which is meant.

    \b
    Example:
      quipu explain data/watch mode
      quipu explain data/watch node:18 --at 200
      quipu explain /dev/ttyACM0 mode
    """
    with recalled(source, at) as it:
        return it.told(it.it.explain(thing, **it.at))


def query(source: str, what: str, where: str, select: str, order: str, limit: int | None, group_by: str,
          aggregate: str, at: str | None, format: str, output: str | None) -> Data:
    """Ask for records, nodes, edges or keys, of an archive or a board.

    FILTER compares fields: tag = 3 and (meta prefix "walk" or not vector[0] between -1 and 1). Comparisons: = != < <= > >=,
    between A and B, in (A, B), prefix, contains, exists; not, and, or, parentheses.

    \b
    Fields:
      records  id tag meta vector[0] vector[1] ...
      nodes    id kind record
      edges    id kind from to
      keys     name value seq

    \b
    Example:
      quipu query data/watch records --where 'tag = 3' --order -id --limit 5
      quipu query data/watch keys --where 'value > 20' --select name,value
      quipu query data/watch records --group-by tag --aggregate 'max(id)'
    """
    asks = Query(what, where, _names(select), _names(order), limit, _names(group_by), _names(aggregate))
    if format in ("arrow", "parquet") and output is None:
        raise errors.UsageError(f"--format {format} is for files: name one with -o")
    with recalled(source, at) as it:
        data = it.told({"what": what, "rows": it.it.query(asks, **it.at), "output": output, "format": format})
    if output:
        from quipu.cli import render_past

        render_past.write(data["rows"], format, Path(output))
    return data


def _names(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def index(archive: str, rebuild: bool) -> Data:
    """Make the index of an archive, or bring it up to date.

    It is a file beside the frames that makes answers about the past fast. Questions bring it up to date themselves; verify never
    reads it. --rebuild makes it anew out of the frames.

    \b
    Example:
      quipu index data/watch --rebuild
    """
    with quipu.open(archive) as memory, render.progress("indexing") as progress:
        made = Index(memory, rebuild, progress)
        try:
            if made.own:
                raise errors.ArchiveError(f"{made.path} cannot be written: is the disk full, or the folder read only?")
            seq = made.progress.seq if made.progress else None
            kept = len(made.kept())
        finally:
            made.close()
        return {"index": str(made.path), "seq": seq, "kept": kept, "bytes": made.path.stat().st_size,
                "damage": str(made.damage) if made.damage else None, "exit_code": 1 if made.damage else 0}
