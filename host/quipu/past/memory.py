"""An archive's memory: the verbs of a board, answered for any past moment. Changes nothing but the
index beside the frames.

Each answer comes from a state that frames, checked one by one, led to; see index.py for where that
begins."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from quipu.archive.files import Archive
from quipu.errors import ArchiveDamage, ArchiveError, about
from quipu.past import dated, describe, diff, explain, history, query
from quipu.past.index import Index
from quipu.past.moment import Moment, Timeline, parse
from quipu.past.query import Query
from shared_kernel import graph
from shared_kernel import search as nearest
from shared_kernel.errors import NotFound
from shared_kernel.kernel import Kernel
from shared_kernel.replay import Replay

At = int | str | None

# of archive.files.Chain and index.py
_OF_THE_FRAME = ("frame", "frame CRC", "frame length", "frame version", "sequence number")


class Memory(Archive):
    """An archive that answers. Every verb takes `at`: a seq, a time as text (see moment.parse), or
    None for the last frame.

    ArchiveError if there is no archive. Verbs raise NotFound for what was not there then,
    UsageError for a moment that the archive does not reach, and ArchiveDamage where its frames are
    not what they were."""

    _index: Index | None = None
    _timeline: Timeline | None = None
    _replay: Replay | None = None

    @property
    def index(self) -> Index:
        """The index, made or brought up to date at its first use; `refresh` does so again."""
        if self._index is None:
            try:
                self._index = Index(self)
            except ArchiveDamage as e:  # of what was indexed before
                return self.distrust(e)
        return self._index

    def distrust(self, damage: ArchiveDamage) -> Index:
        """Answer from here on from the frames before the damage, which one that was indexed has
        taken since, with an index of this process alone; return it. Raise the damage if it is not
        of the frame itself: then those before it are in doubt too."""
        self.close()
        index = Index(self, own=True)
        if damage.what not in _OF_THE_FRAME or not index.damage or index.damage.seq != damage.seq:
            found = index.damage
            index.close()
            if found is None:
                raise about(
                    damage,
                    f"{damage}. Does `quipu verify {self.path}` find nothing, the index is wrong: "
                    f"make it anew with `quipu index {self.path} --rebuild`",
                )
            raise damage
        self._index = index
        return index

    @property
    def timeline(self) -> Timeline:
        """The wall times of the frames."""
        if self._timeline is None:
            try:
                self._timeline = Timeline(self, self.index)
            except ArchiveDamage as e:  # of a clock frame, since it was indexed
                if self.index.own:
                    raise
                self._timeline = Timeline(self, self.distrust(e))
        return self._timeline

    @property
    def damage(self) -> ArchiveDamage | None:
        """What is wrong with the frames after the last one that answers come from; None if nothing
        is."""
        return self.index.damage

    def refresh(self) -> None:
        """Take in what a sync has brought meanwhile."""
        self.close()
        self.segments = Archive(self.path).segments

    def close(self) -> None:
        if self._index:
            self._index.close()
        self._index = self._timeline = self._replay = None
        super().close()

    def moment(self, at: At = None) -> Moment:
        """Return the moment that `at` means, its wall time if one is known."""
        if isinstance(at, str):
            parsed = parse(at)
            if isinstance(parsed, tuple):
                return self._proved(lambda: self.timeline.find(parsed[0]))
            at = parsed
        return self._proved(lambda: self.timeline.when(self._seq(at)))

    def _proved(self, moment: Callable[[], Moment]) -> Moment:
        try:
            return moment()
        except ArchiveDamage as e:
            if self.index.own:
                raise
            self.distrust(e)
            return moment()

    def _seq(self, at: At) -> int:
        if isinstance(at, str):
            return self.moment(at).seq
        if at is not None:
            self.index.need(at)
            return at
        progress = self.index.progress
        if progress is None:
            raise self.damage or ArchiveError(f"{self.path} holds no frames yet")
        return progress.seq

    def replay(self, at: At = None) -> Replay:
        """Return the replay up to a moment: its kernel, seq and chain head. Not to be stepped: it
        is kept for the next question."""
        seq = self._seq(at)
        if self._replay is None or self._replay.seq != seq:
            self._replay = self.index.replay(seq)
        return self._replay

    def state(self, at: At = None) -> Kernel:
        """Return the state (a Kernel)."""
        return self.replay(at).kernel

    # -- what a board answers too ------------------------------------------------------------------

    def get(self, name: str | bytes, at: At = None) -> bytes:
        """Return the value of a key; NotFound if there was none."""
        value: bytes = self.state(at).key(_bytes(name))[1]
        return value

    def get_at(self, name: str | bytes, seq: int) -> bytes:
        """Return the value that a key had after the frame seq."""
        return self.get(name, seq)

    def record(self, ident: int, at: At = None) -> tuple[int, list[int], bytes]:
        """Return (tag, vector, metadata) of a record."""
        found: tuple[int, list[int], bytes] = self.state(at).record(ident)
        return found

    def node(self, ident: int, at: At = None) -> tuple[int, int]:
        """Return (kind, record id or 0) of a node."""
        found: tuple[int, int] = self.state(at).node(ident)
        return found

    def edge(self, ident: int, at: At = None) -> tuple[int, int, int]:
        """Return (kind, from, to) of an edge."""
        found: tuple[int, int, int] = self.state(at).edge(ident)
        return found

    def search(
        self, query: Sequence[int], k: int = 1, tag: int | None = None, at: At = None
    ) -> list[tuple[int, int]]:
        """Return [(distance, id)] of the k nearest records, nearest first. distance: squared L2 in
        units of 2^-32."""
        found: list[tuple[int, int]] = nearest.search(self.state(at), query, k, tag)
        return found

    def neighbourhood(
        self, node: int, depth: int = 1, kind: int | None = None, directions: int = 1, at: At = None
    ) -> list[tuple[int, int]]:
        """Return [(node id, distance)], breadth first. directions: 1 out, 2 in, 3 both."""
        found: list[tuple[int, int]] = graph.neighbourhood(
            self.state(at), node, depth, kind, directions
        )
        return found

    def edges_of(self, node: int, directions: int = 3, at: At = None) -> list[int]:
        """Return the ids of a node's edges, newest first."""
        found: list[int] = graph.edges_of(self.state(at), node, directions)
        return found

    def history(
        self, name: str | bytes, limit: int | None = None, at: At = None
    ) -> history.Versions:
        """Return the writes of a key, newest first, deletions among them; NotFound if it never was.
        limit: at most so many."""
        seq = self._seq(at)
        found = history.versions(
            self.index, _bytes(name), seq, -1 if limit is None else limit, self.state
        )
        if not found.versions and limit != 0:
            raise NotFound(
                f"no key has had the name {_bytes(name)!r}"
                + (" until then" if at is not None else "")
            )
        return found

    # -- what only an archive answers --------------------------------------------------------------

    def query(self, text: Query, at: At = None) -> list[dict[str, Any]]:
        """Return the rows that a query finds; see query.Query."""
        return query.run(text, self.asked(text, at))

    def asked(self, text: Query, at: At = None) -> dict[str, Any]:
        """Return the state that a query looks at; the rows of its pool with the deleted ones and
        the columns of query.DATED, if it needs them."""
        seq = self._seq(at)
        state: dict[str, Any] = describe.state(self.state(seq))
        if text.is_dated() and text.what in describe.POOLS:
            timeline = self.timeline
            rows = state[text.what]
            if text.deleted:
                rows += dated.deleted(self.index, text.what, seq)
                rows.sort(key=lambda row: row["name_hex"] if text.what == "keys" else row["id"])
            dated.add(rows, self.index, timeline, seq)
        return state

    def explain(self, thing: str, at: At = None) -> dict[str, Any]:
        """Return what a thing is at a moment, and the frames that made it so; see
        explain.explain."""
        timeline = self.timeline
        return explain.explain(self.index, timeline, self.state, thing, self._seq(at))

    def diff(self, at: At, other: "Memory", other_at: At = None) -> dict[str, Any]:
        """Return how the state of `other` at a moment differs from this one's; see diff.states."""
        return diff.states(
            describe.state(self.state(at)),
            describe.state(other.state(other_at)),
            self.log == other.log,
        )


def open_archive(path: str | os.PathLike[str]) -> Memory:
    """Open the archive at path. ArchiveError if there is none."""
    return Memory(path)


def _bytes(name: str | bytes) -> bytes:
    return name.encode() if isinstance(name, str) else bytes(name)
