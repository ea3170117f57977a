"""Regular expressions whose time is bounded: what a filter's `matches` compares with. Knows no row.

Python's own `re` tries one way after the other, and "(a+)+$" takes it ages to refuse thirty letters.
Here all ways are followed at once (Thompson, 1968), so a text costs its length times the length of
the expression at most, and what one query may spend has an end.

    .  [a-z]  [^0-9]  \\d \\w \\s \\D \\W \\S  ( )  |  *  +  ?  {2,5}  ^  $   (?i) at the beginning

Found anywhere in the text, as by re.search. What needs another way of matching (\\1, \\b, lookahead)
is refused."""

from typing import Any, NoReturn

from quipu.errors import UsageError
from quipu.text import plain

_LARGEST = 1000  # instructions of an expression, its repeats written out
_STEPS = 3_000_000  # of one query: a few seconds
_CACHED = 20_000  # moves that are kept
_DEEPEST = 50  # parentheses in each other
_REPEATS = 255

Ranges = tuple[tuple[str, str], ...]

_CLASSES: dict[str, Ranges] = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("a", "z"), ("_", "_")),
    "s": ((" ", " "), ("\t", "\r")),
}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_CHAR, _SPLIT, _BEGIN, _END, _MATCH = range(5)


class Pattern:
    """One expression. UsageError, with its place, for what cannot be read."""

    def __init__(self, text: str):
        self.text = text
        self._small = text.startswith("(?i)")
        self._at = 4 if self._small else 0
        self._depth = 0
        self._left = _STEPS
        self._program: list[tuple[int, Any, Any]] = []
        self._written = 0
        tree = self._either()
        if self._at < len(text):
            self._fail("this ) closes nothing")
        self._write(tree)
        self._program.append((_MATCH, None, None))
        self._moves: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self._begin = self._closed([0], True)
        self._again = self._closed([0], False)

    def found(self, data: bytes) -> bool:
        """Return whether the expression matches somewhere in a text (UTF-8; other bytes stand for
        themselves). UsageError once a query has spent all that it may."""
        text = data.decode("utf-8", "surrogateescape")
        if self._small:
            text = text.lower()
        states, moves, program = self._begin, self._moves, self._program
        end = len(program) - 1
        for c in text:
            if end in states:
                return True
            key = states, c
            after = moves.get(key)
            if after is None:
                self._spend(2 * len(states))
                if len(moves) >= _CACHED:
                    moves.clear()
                after = self._again | self._closed(
                    [
                        at + 1
                        for at in states
                        if program[at][0] == _CHAR
                        and any(low <= c <= high for low, high in program[at][1]) != program[at][2]
                    ],
                    False,
                )
                moves[key] = after
            states = after
        self._spend(len(text))
        return end in self._closed(states, not text, True)

    def _spend(self, steps: int) -> None:
        self._left -= steps + 1
        if self._left < 0:
            raise UsageError(
                f"the expression {plain(self.text)!r} takes too long here: ask for fewer rows first "
                "(tag = 3 and ...), or write a simpler one"
            )

    def _closed(self, states: Any, begin: bool, end: bool = False) -> frozenset[int]:
        """Return the states that are reached from some without a character."""
        out: set[int] = set()
        rest = list(states)
        while rest:
            at = rest.pop()
            if at in out:
                continue
            out.add(at)
            what, one, other = self._program[at]
            if what == _SPLIT:
                rest += [one, other]
            elif what == _BEGIN and begin or what == _END and end:
                rest.append(at + 1)
        return frozenset(out)

    # -- reading it --------------------------------------------------------------------------------

    def _fail(self, why: str) -> NoReturn:
        raise UsageError(
            f"the expression cannot be read from character {self._at + 1} on: {why}\n"
            f"  {plain(self.text)}"
        )

    def _peek(self) -> str:
        return self.text[self._at : self._at + 1]

    def _take(self) -> str:
        c = self._peek()
        if not c:
            self._fail("it ends too early")
        self._at += 1
        return c

    def _either(self) -> Any:
        ways = [self._row()]
        while self._peek() == "|":
            self._at += 1
            ways.append(self._row())
        return ("either", ways) if len(ways) > 1 else ways[0]

    def _row(self) -> Any:
        out = []
        while self._peek() not in ("", "|", ")"):
            out.append(self._repeated(self._one()))
        return "row", out

    def _repeated(self, one: Any) -> Any:
        if (c := self._peek()) and c in "*+?{":
            self._at += 1
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1), "{": (0, 0)}[c]
            if c == "{":
                numbers = self.text[self._at :].partition("}")[0]
                parts = numbers.split(",")
                if "}" not in self.text[self._at :] or not all(
                    each.isascii() and each.isdigit() and len(each) <= 3 or each == "" and i
                    for i, each in enumerate(parts)
                ):
                    self._fail("expected {2}, {2,} or {2,5}; a brace itself is \\{")
                low = int(parts[0])
                high = low if len(parts) == 1 else int(parts[1]) if parts[1] else None
                most = low if high is None else high
                if len(parts) > 2 or not low <= most <= _REPEATS:
                    self._fail(f"expected at most {_REPEATS} repeats, the smaller number first")
                self._at += len(numbers) + 1
            if self._peek() == "?":  # as few as may be: found or not is the same
                self._at += 1
            one = "repeat", one, low, high
            if self._peek() and self._peek() in "*+?{":
                self._fail("a repeat is not repeated itself: put it in parentheses")
        return one

    def _one(self) -> Any:
        c = self._take()
        if c == "(":
            self._depth += 1
            if self._depth > _DEEPEST:
                self._fail(f"expected at most {_DEEPEST} parentheses in each other")
            if self._peek() == "?":
                if self.text[self._at : self._at + 2] != "?:":
                    self._fail("of what begins with (? only (?: ) is known, and (?i) at the start")
                self._at += 2
            inner = self._either()
            if self._peek() != ")":
                self._fail("expected a )")
            self._at += 1
            self._depth -= 1
            return inner
        if c == "[":
            return self._class()
        if c == ".":
            return "char", (("\n", "\n"),), True
        if c in "^$":
            return ("begin",) if c == "^" else ("end",)
        if c in "*+?{":
            self._fail("nothing stands before it that could be repeated")
        if c == "\\":
            return ("char", *self._escape())
        c = c.lower() if self._small else c
        return "char", ((c, c),), False

    def _escape(self) -> tuple[Ranges, bool]:
        c = self._take()
        if c.lower() in _CLASSES:
            return _CLASSES[c.lower()], c.isupper()
        if c.isalnum() and c not in _ESCAPES:
            self._fail(f"\\{c} is not known here: expected \\d \\w \\s \\n \\t or an escaped sign")
        c = _ESCAPES.get(c, c)
        return ((c, c),), False

    def _class(self) -> Any:
        other = self._peek() == "^"
        self._at += other
        ranges: list[tuple[str, str]] = []
        first = True
        while self._peek() != "]" or first:
            first = False
            low = self._take()
            if low == "\\":
                found, not_in = self._escape()
                if not_in:
                    self._fail("\\D, \\W and \\S do not stand in [ ]")
                ranges += found
                if len(found) > 1 or found[0][0] != found[0][1]:
                    continue
                low = found[0][0]
            if self._peek() == "-" and self.text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._take()
                if high == "\\":
                    high = self._escape()[0][0][0]
                if high < low:
                    self._fail(f"the range {low}-{high} is empty")
                ranges.append((low, high))
            else:
                ranges.append((low, low))
        self._at += 1
        if self._small:
            ranges += [(a.lower(), b.lower()) for a, b in ranges if a.lower() <= b.lower()]
        return "char", tuple(ranges), other

    # -- writing the program -----------------------------------------------------------------------

    def _write(self, tree: Any) -> None:
        program, (kind, *rest) = self._program, tree
        self._written += 1  # repeats of nothing make no instruction
        if max(len(program), self._written >> 4) > _LARGEST:
            raise UsageError(
                f"the expression {plain(self.text)!r} is too large: expected at most {_LARGEST} steps "
                "with its repeats written out"
            )
        if kind == "char":
            program.append((_CHAR, rest[0], rest[1]))
        elif kind in ("begin", "end"):
            program.append((_BEGIN if kind == "begin" else _END, None, None))
        elif kind == "row":
            for each in rest[0]:
                self._write(each)
        elif kind == "either":
            self._ways(rest[0])
        else:
            one, low, high = rest
            for _ in range(low):
                self._write(one)
            if high is None:
                self._optional(one, again=True)
            for _ in range((high or low) - low):
                self._optional(one)

    def _ways(self, ways: list[Any]) -> None:
        if len(ways) == 1:
            self._write(ways[0])
            return
        program, at = self._program, len(self._program)
        program.append((_SPLIT, 0, 0))
        self._write(ways[0])
        jump = len(program)
        program.append((_SPLIT, 0, 0))
        program[at] = _SPLIT, at + 1, len(program)
        self._ways(ways[1:])
        program[jump] = _SPLIT, len(program), len(program)

    def _optional(self, one: Any, again: bool = False) -> None:
        program, at = self._program, len(self._program)
        program.append((_SPLIT, 0, 0))
        self._write(one)
        if again:
            program.append((_SPLIT, at, at))
        program[at] = _SPLIT, at + 1, len(program)
