"""Moments of an archive: a seq, or a wall time that boot and clock frames map to one. Reads no
state.

A tick counts milliseconds since the start-up or the last clock frame. So each run of frames with
one beginning of ticks, a span, has one wall time at which its ticks were 0: that of the clock frame
before it; or, after a start-up, that of the first clock frame to follow, less the ticks in between;
or none, if no clock came before the board was switched off."""

import datetime
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from quipu.archive.files import Archive
from quipu.archive.frame import TICKS_ROUND, taken_apart, tick_of
from quipu.errors import UsageError
from quipu.past.index import Index
from quipu.text import moment
from shared_kernel.frames import BOOT, CLOCK

# one ms in so many: how far a board's clock may go wrong. Crystals are ten times better, RC
# oscillators may not be.
DRIFT = 1000
_DAY = datetime.timedelta(days=1)
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # of the years 1 to 9999, UTC
_SHOWN = 60  # characters of what a person wrote, in an error
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


# ms since the run began, wall time, uncertainty, number of the span after it: of a clock frame
_Clock = tuple[int, int, int, int]


class Moment(NamedTuple):
    """After the frame seq. unix_ms: wall time of that frame, None if no clock tells;
    uncertainty_ms: how far off it may be. others: where a wall time was asked for that came more
    than once, since a clock was set back, the last frame then for each of the other times, newest
    first."""

    seq: int
    unix_ms: int | None
    uncertainty_ms: int | None
    others: tuple[int, ...] = ()


class Span(NamedTuple):
    """Frames first to last, whose ticks count from one beginning: at zero_ms of wall time, None if
    unknown, give or take uncertainty_ms; more, the longer after (or before) the clock frame, which
    was at tick clock_tick."""

    first: int
    last: int
    zero_ms: int | None
    uncertainty_ms: int
    clock_tick: int

    def at(self, tick: int) -> tuple[int | None, int | None]:
        """Return (wall time, uncertainty) of a tick in ms."""
        if self.zero_ms is None:
            return None, None
        return self.zero_ms + tick, self.uncertainty_ms - -abs(tick - self.clock_tick) // DRIFT


def parse(text: str, now_ms: int | None = None) -> int | tuple[int]:
    """Return a seq (an int), or a wall time as (ms since 1970,).

    text: a seq; ISO 8601 with or without date and zone ("2026-11-21T14:02:30Z", "14:02": the last
        one there was); "-5m" (s, m, h,
    d before now). A time without a zone is the laptop's; of an hour that summer time repeats, the
    last one there was. UsageError for anything else, and for a time outside of the years 1 to 9999.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    text = text.strip()
    try:
        if text.isascii() and text.isdigit():
            return int(text)
        if ago := re.fullmatch(r"-(\d+(?:\.\d+)?)([smhd])", text):
            return (_in_calendar(text, now - int(float(ago[1]) * 1000) * _UNITS[ago[2]]),)
        iso = re.sub(r"[Zz]$", "+00:00", text)
        if re.match(r"\d\d:\d\d", iso):
            clock = datetime.time.fromisoformat(iso)
            today = datetime.datetime.fromtimestamp(now / 1000).astimezone(clock.tzinfo).date()
            # three days, since summer time leaves an hour out once a year
            days = [datetime.datetime.combine(today - _DAY * ago, clock) for ago in range(3)]
            return (max(each for day in days for each in _meant(day) if each <= now),)
        at = datetime.datetime.fromisoformat(iso)
        meant = _meant(at) or [_ms(at)]
        return (max((each for each in meant if each <= now), default=meant[0]),)
    except (ValueError, OverflowError):
        shown_text = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
        raise UsageError(
            f"{shown_text!r} is no moment: expected a seq (1234), a time (2026-11-21T14:02:30Z, "
            f"14:02) or how long ago (-30s, -5m, -2h, -1d)"
        ) from None


def _in_calendar(text: str, unix_ms: int) -> int:
    """Return a wall time in ms since 1970; UsageError if it is outside of the years 1 to 9999."""
    if not _FIRST_MS <= unix_ms <= _LAST_MS:
        raise UsageError(f"{text!r} is no moment: it lies outside of the years 1 to 9999")
    return unix_ms


def _meant(at: datetime.datetime) -> list[int]:
    """Return the ms since 1970 of each time that a clock showed `at`, earliest first. One without a
    zone is the laptop's: twice where summer time ended, never where it began."""
    if at.tzinfo is not None:
        return [_ms(at)]
    second = at.replace(microsecond=0, fold=0)
    out = set()
    for fold in (0, 1):
        there = datetime.datetime.fromtimestamp(second.replace(fold=fold).timestamp())
        if there.replace(fold=0) == second:
            out.add(_ms(at.replace(fold=fold)))
    return sorted(out)


def _ms(at: datetime.datetime) -> int:
    return round(at.timestamp() * 1000)


def _unseen(clock: _Clock, known: list[_Clock]) -> int:
    """Return the ms by which the next clock frame after `clock` is later than the ticks say, if a
    board may have been quiet for so long that they went round: nobody knows between which frames."""
    after = next((each for each in known if each[0] >= clock[0] and each[3] > clock[3]), None)
    if after is None:
        return 0
    late = after[1] - clock[1] - (after[0] - clock[0])
    return late if late > TICKS_ROUND // 2 else 0


class Timeline:
    """Wall times of an archive's frames, as far as its index goes."""

    def __init__(self, archive: Archive, index: Index):
        self.archive = archive
        self.index = index
        self.end = index.progress.seq if index.progress else -1
        self._ticks: dict[int, int] = {}  # of the last frame of a span, where it is known
        self.spans = list(self._spans())

    def _spans(self) -> Iterator[Span]:
        """Yield the spans of each run: from a start-up, or a segment's beginning, to the next."""
        anchors = self.index.anchors()
        starts = [each.first for each in self.archive.segments if each.first <= self.end]
        starts += [each.seq for each in anchors if each.type == BOOT]
        starts = sorted(set(starts)) + [self.end + 1]
        clocks = [each for each in anchors if each.type == CLOCK]
        for first, after in zip(starts, starts[1:], strict=False):
            end = self._held_to(first)  # a gap follows, if the next run begins later
            mine = [each for each in clocks if first <= each.seq < after]
            at = 0  # ms since the run began, where the ticks of the span begin
            begins = [(first, 0)]
            known: list[_Clock] = []
            for clock in mine:
                at += clock.tick
                begins.append((clock.seq + 1, at))
                if clock.unix_ms:
                    known.append((at, clock.unix_ms, clock.uncertainty_ms, len(begins) - 1))
            for i, (begin, since) in enumerate(begins):
                last = begins[i + 1][0] - 1 if i + 1 < len(begins) else min(after - 1, end)
                if last < begin:
                    continue
                if i + 1 < len(begins):
                    self._ticks[last] = mine[i].tick
                # the clock frame before; of a run's beginning, the first one after it
                clock_at = next(
                    (each for each in reversed(known) if each[0] <= since and i),
                    known[0] if known else None,
                )
                if clock_at is None:
                    yield Span(begin, last, None, 0, 0)
                else:
                    # each span in between has ticks of whole ms, so up to 1 ms of it is not counted
                    between = max(i - clock_at[3], clock_at[3] - i - 1)
                    if clock_at[0] <= since:
                        between += _unseen(clock_at, known)
                    yield Span(
                        begin,
                        last,
                        clock_at[1] + since - clock_at[0],
                        clock_at[2] + between,
                        clock_at[0] - since,
                    )

    def _held_to(self, seq: int) -> int:
        """Return the last frame of the segment that holds the frame seq."""
        ends = self.index.progress.ends if self.index.progress else []
        number = self.archive.segments.index(self.index.segment(seq))
        return ends[number][0] if number < len(ends) else self.end

    def span(self, seq: int) -> Span:
        """Return the span of the frame seq."""
        return next(each for each in reversed(self.spans) if each.first <= seq)

    def when(self, seq: int, tick: int | None = None) -> Moment:
        """Return the moment of the frame seq. tick: the frame's, if it is known."""
        if tick is None:
            tick = tick_of(next(self.index.frames(seq)))
        return Moment(seq, *self.span(seq).at(tick))

    def find(self, unix_ms: int) -> Moment:
        """Return the moment of the last frame at or before a wall time. Of a time that came more
        than once, since a clock was set back: the newest, and the others with it. UsageError before
        the first one, after the end, and where no clock tells which frame it was."""
        known = [each for each in self.spans if each.zero_ms is not None]
        wanted = moment(unix_ms)
        if not known:
            raise UsageError(
                f"{self.archive.path} has no wall times: no clock frame is in it; give a seq (0 "
                f"to {self.end})"
            )
        begun = [each for each in reversed(known) if (each.zero_ms or 0) <= unix_ms]
        if not begun:
            first = min(known, key=lambda each: each.zero_ms or 0)
            before = (
                ""
                if first.first == self.spans[0].first
                else f" (earlier frames, to seq {first.first - 1}, have no clock)"
            )
            raise UsageError(
                f"{wanted} is before the archive begins: its first known time is "
                f"{moment(first.zero_ms or 0)}{before}"
            )
        within = [each for each in begun if unix_ms <= self._end(each)]
        if not within:
            between = [each for each in begun if self._lasts(each, unix_ms)]
            within = [between[0] if between else begun[0]]
            self._check_after(within[0], unix_ms)
        found = [self._last(each, unix_ms - (each.zero_ms or 0)) for each in within]
        # a span begins with the frame before it: so does its time
        seqs = list(dict.fromkeys(each for each in found if each >= self.spans[0].first))
        if not seqs:
            raise UsageError(
                f"{wanted} is before the archive's first frame, seq {self.spans[0].first}"
            )
        return self.when(seqs[0])._replace(others=tuple(seqs[1:]))

    def _end(self, span: Span) -> int:
        """Return the wall time of the last frame of a span whose times are known."""
        if span.last not in self._ticks:
            self._ticks[span.last] = self.index.tick(span.last)
        return (span.zero_ms or 0) + self._ticks[span.last]

    def _lasts(self, span: Span, unix_ms: int) -> bool:
        """Return whether a span, which has ended, was the last one until a wall time: the one after
        it begins later."""
        at = self.spans.index(span) + 1
        following = self.spans[at].zero_ms if at < len(self.spans) else None
        return following is not None and unix_ms < following

    def _last(self, span: Span, tick: int) -> int:
        """Return the last frame of a span whose tick is not above `tick`; the one before the span
        if none is."""
        place = self.index.place_by_tick(span.first, span.last, tick)
        found = span.first - 1 if place is None else place.seq
        for seq, frame in enumerate(
            self.index.frames(found + (place is None)), found + (place is None)
        ):
            if seq > span.last or taken_apart(frame).tick > tick:
                break
            found = seq
        return found

    def _check_after(self, span: Span, unix_ms: int) -> None:
        """Raise UsageError unless it is known that nothing followed a span's last frame until a
        wall time."""
        last = self.when(span.last)
        wanted = moment(unix_ms)
        if span is self.spans[-1]:
            note = self.archive.note()
            end = max(last.unix_ms or 0, note.time if note and note.seq == span.last else 0)
            if unix_ms > end + (last.uncertainty_ms or 0):
                raise UsageError(
                    f"{wanted} is after the archive's end: it is known until {moment(end)}, seq "
                    f"{span.last}; "
                    "sync the board, or ask for the end"
                )
            return
        following = self.spans[self.spans.index(span) + 1]
        if following.zero_ms is None and unix_ms > (last.unix_ms or 0) + (last.uncertainty_ms or 0):
            later = next(
                (
                    each
                    for each in self.spans[self.spans.index(following) :]
                    if each.zero_ms is not None
                ),
                None,
            )
            until = f"{moment(later.zero_ms or 0)} (seq {later.first})" if later else "the end"
            raise UsageError(
                f"{wanted} lies in a gap between clocks: from {moment(last.unix_ms or 0)} (seq "
                f"{span.last}) to {until} "
                f"the board had no clock; give a seq, {span.last} to "
                f"{later.first - 1 if later else self.end}"
            )
