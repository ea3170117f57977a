"""Questions over what a state holds: filter, projection, order, limit, aggregates by group. Reads
states as describe.py gives them, and what dated.py adds to their rows.

    tag = 3 and (meta prefix "walk" or not vector[0] between -1 and 1)
    time > "-1h" and value.mode matches "^run|walk$"

Numbers are compared exactly. Text and bytes are compared as bytes; where the other side is a
number, as the number that the text writes, if it writes one. What is not there (a node without
record, a field of a value that is no JSON) equals nothing, and is neither less nor greater."""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, NoReturn

from quipu import limits
from quipu.errors import UsageError
from quipu.past import patterns
from quipu.past.describe import POOLS, octets
from quipu.text import typed

Data = dict[str, Any]
Test = Callable[[Data], bool]
Value = int | float | Fraction | bytes | None

NUMBER, WHOLE, TIME = "a number", "a whole number", "a time"  # the first from 0 to 2^32 - 1
BYTES, TEXT, JSON = "text", "text in UTF-8", "text or a number"  # the first: bytes, mostly text
REAL, VECTOR, ANY = "a component", "components", "any number"  # of columns only
_ORDER = {  # of the columns where none are selected: as describe.py has the fields
    "records": ("id", "tag", "vector", "meta"),
    "nodes": ("id", "kind", "record"),
    "edges": ("id", "kind", "from", "to"),
    "keys": ("name", "seq", "value"),
}
# What dated.py adds to each row: wall time of the frame that made a record, node or edge, or wrote a
# key, in ms since 1970; how far off it may be; whose row it is; the frame that deleted it.
DATED = {
    "time": TIME,
    "uncertainty_ms": WHOLE,
    "board": TEXT,
    "log": TEXT,
    "deleted": NUMBER,
}
FIELDS = {
    "records": {"id": NUMBER, "tag": NUMBER, "meta": BYTES, "vector": NUMBER, **DATED},
    "nodes": {"id": NUMBER, "kind": NUMBER, "record": NUMBER, **DATED},
    "edges": {"id": NUMBER, "kind": NUMBER, "from": NUMBER, "to": NUMBER, **DATED},
    "keys": {"name": BYTES, "value": BYTES, "seq": NUMBER, **DATED},
    "changes": {
        "type": BYTES,
        "seq": NUMBER,
        "tag": NUMBER,
        "meta": BYTES,
        "id": NUMBER,
        "kind": NUMBER,
        "record": NUMBER,
        # of frames, for watch: no state holds them
        "from": NUMBER,
        "to": NUMBER,
        "name": BYTES,
        "value": BYTES,
    },
}
AGGREGATES = ("count", "sum", "min", "max", "mean")
_LONGEST = 64  # characters of a number: of a filter, or of a text that is read as one
_DEEPEST = 100  # levels of a filter
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)(?![\w.])|(?P<hex>0x[0-9a-fA-F]*)(?!\w)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<word>[A-Za-z_]\w*(?:\[\d+\]|\.[A-Za-z_]\w*)*)|(?P<sign><=|>=|!=|<>|==|=|<|>|\(|\)|,))""",
    re.VERBOSE | re.ASCII,
)


# A field of a value that is JSON: value.mode, meta.pose[0].x
_PATH = re.compile(r"(\w+?)((?:\.[A-Za-z_]\w*|\[\d{1,9}\])+)", re.ASCII)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]", re.ASCII)
_ORDERED = re.compile(r"(-?)(\S+?)(?:\s+nulls\s+(first|last))?", re.ASCII | re.IGNORECASE)


class Query(NamedTuple):
    """What to ask. what: "records", "nodes", "edges" or "keys"; where: a filter, "" for all;
    select: fields, () for all; order: fields, "-" before one for descending, " nulls first" behind
        one to have what is not there at the top; limit: rows, None for all; group_by: fields;
    aggregates: "count", "mean(vector[0])" and such; offset: rows that are left out first; distinct:
        of rows that are the same, the first; deleted: what was deleted is there too; dated: rows
        have the columns of DATED, and not only where they are named."""

    what: str
    where: str = ""
    select: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    limit: int | None = None
    group_by: tuple[str, ...] = ()
    aggregates: tuple[str, ...] = ()
    offset: int = 0
    distinct: bool = False
    deleted: bool = False
    dated: bool = False

    def is_dated(self) -> bool:
        """Return whether the rows need the columns of DATED."""
        words = " ".join((self.where, *self.select, *self.order, *self.group_by, *self.aggregates))
        return self.dated or self.deleted or bool(re.search(rf"\b({'|'.join(DATED)})\b", words))


def run(query: Query, state: Data) -> list[Data]:
    """Return the rows of a query. UsageError, pointing at the place, for what does not parse or
    names no field."""
    if query.what not in POOLS:
        raise UsageError(f"{query.what!r} cannot be asked for: expected {', '.join(POOLS)}")
    dim = state["config"]["dim"]
    test = parse(query.where, query.what, dim) if query.where.strip() else lambda row: True
    rows = [row for row in state[query.what] if test(row)]
    end = None if query.limit is None else query.offset + query.limit
    if query.aggregates or query.group_by:
        if query.select:
            raise UsageError("fields are selected, or grouped and aggregated: give one of them")
        rows = _grouped(rows, query, dim)
        columns = {*query.group_by, *map(_label, query.aggregates or ("count",))}
        rows = _ordered(
            rows, query, lambda name: name if name in columns else _unknown(name, columns), _cell
        )
        return (_distinct(rows) if query.distinct else rows)[query.offset : end]
    rows = _ordered(rows, query, lambda name: _field(name, query.what, dim), field)
    if query.select:
        for name in query.select:
            if name != "vector":
                _field(name, query.what, dim)
        if not query.distinct:
            rows = rows[query.offset : end]
        rows = [_project(row, query.select) for row in rows]
        if not query.distinct:
            return rows
    else:
        gone = {*(() if query.dated else DATED), "deleted"} - {"deleted" if query.deleted else ""}
        rows = [{name: row[name] for name in row if name not in gone} for row in rows]
    return (_distinct(rows) if query.distinct else rows)[query.offset : end]


def _distinct(rows: list[Data]) -> list[Data]:
    """Return rows without those that are as an earlier one."""
    return list({repr(row): row for row in reversed(rows)}.values())[::-1]


def columns(query: Query) -> dict[str, str]:
    """Return the columns of a query's rows, whether it finds one or none: a name and NUMBER, REAL,
    BYTES or VECTOR. An aggregate but count may be any number, or None."""
    kinds = FIELDS[query.what]

    def kind(name: str) -> str:
        if name.startswith("vector"):
            return VECTOR if name == "vector" else REAL
        return kinds.get(name, JSON)

    if query.aggregates or query.group_by:
        labels = [_label(each) for each in query.aggregates or ("count",)]
        return {name: kind(name) for name in query.group_by} | {
            each: WHOLE if each == "count" else ANY for each in labels
        }
    names = query.select or (
        *_ORDER[query.what],
        *(DATED if query.dated and query.deleted else list(DATED)[:-1] if query.dated else ()),
        *(("deleted",) if query.deleted and not query.dated else ()),
    )
    return {name: kind(name) for name in names}


# -- fields ----------------------------------------------------------------------------------------


def field(row: Data, name: str) -> Value:
    """Return what a row has under a field's name."""
    if name + "_hex" in row:
        return bytes.fromhex(row[name + "_hex"])
    if name.startswith("vector["):
        vector: list[int | float] = row["vector"]
        at = int(name[7:-1])
        return vector[at] if at < len(vector) else None  # of another archive, with fewer
    if name not in row and (path := _PATH.fullmatch(name)):
        return _inside(field(row, path[1]), path[2])
    value: Value | str = row[name]
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _inside(text: Value, path: str) -> Value:
    """Return what stands under a path in a text that is JSON: a number, or text (true and false
    too); None if nothing does, or it is a list or an object."""
    if not isinstance(text, bytes) or text[:1] not in (b"{", b"["):
        return None
    try:
        found = limits.parsed(text, exact=True)
    except ValueError:
        return None
    for name, place in _STEP.findall(path):
        if name and isinstance(found, dict):
            found = found.get(name)
        elif place and isinstance(found, list):
            found = found[int(place)] if int(place) < len(found) else None
        else:
            return None
    if isinstance(found, bool):
        return b"true" if found else b"false"
    if isinstance(found, str):
        return found.encode("utf-8", "surrogatepass")  # JSON may have half of a character
    if isinstance(found, Decimal):
        return number(str(found).encode())
    return found if isinstance(found, int) else None


def _field(name: str, what: str, dim: int) -> str:
    """Return the name of a field that has one value, or raise UsageError."""
    if what == "records" and (found := re.fullmatch(r"vector\[(\d{1,9})\]", name)):
        if int(found[1]) >= dim:
            raise UsageError(
                f"{name} does not exist: a vector has {dim} components here, vector[0] to "
                f"vector[{dim - 1}]"
            )
        return name
    if name == "vector" and what == "records":
        raise UsageError("vector is many numbers: name one of them, such as vector[0]")
    if name not in FIELDS[what]:
        path = _PATH.fullmatch(name)
        if not path or FIELDS[what].get(path[1]) != BYTES:
            _unknown(name, FIELDS[what])
    return name


def _unknown(name: str, names: Iterable[str]) -> NoReturn:
    raise UsageError(f"no field {name!r} here: expected one of {', '.join(sorted(names))}")


def number(value: Value) -> int | float | Fraction | None:
    """Return a value as a number, text as the one that it writes; None if it writes none."""
    if not isinstance(value, bytes):
        return value
    text = value.decode("ascii", "replace").strip()
    return Fraction(text) if len(text) <= _LONGEST and _DECIMAL.fullmatch(text) else None


def _project(row: Data, names: tuple[str, ...]) -> Data:
    out: Data = {}
    for name in names:
        if name + "_hex" in row:
            out.update({name: row[name], name + "_hex": row[name + "_hex"]})
        elif name in row:
            out[name] = row[name]
        else:
            out.update(_told(name, field(row, name)))
    return out


def _told(name: str, value: Value) -> Data:
    """Return a value under its name, as describe.py tells values."""
    if isinstance(value, bytes):
        return octets(name, value)
    return {name: _shown(value) if isinstance(value, Fraction) else value}


def _cell(row: Data, name: str) -> Value:
    return bytes.fromhex(row[name + "_hex"]) if name + "_hex" in row else row[name]


def _ordered(
    rows: list[Data], query: Query, known: Callable[[str], str], read: Callable[[Data, str], Any]
) -> list[Data]:
    """Sort by the fields of query.order, the last one first: a sort keeps the order of equals. What
    is not there comes last, unless it is asked for first."""
    for each in reversed(query.order):
        found = _ORDERED.fullmatch(each.strip())
        if not found:
            raise UsageError(
                f"{each!r} orders nothing: expected a field, such as id, -time or -time nulls first"
            )
        name = known(found[2])
        cells = [(read(row, name), row) for row in rows]
        there = [(value, row) for value, row in cells if value is not None]
        # of a field inside of JSON, numbers come before texts
        there.sort(key=lambda cell: (isinstance(cell[0], bytes), cell[0]), reverse=bool(found[1]))
        missing = [row for value, row in cells if value is None]
        rows = [row for _, row in there]
        rows = missing + rows if (found[3] or "").lower() == "first" else rows + missing
    return rows


# -- aggregates ------------------------------------------------------------------------------------


def _aggregate(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"(\w+)(?:\(([\w\[\].]+)\))?", text.replace(" ", ""))
    if not found or found[1] not in AGGREGATES or (found[2] is None) != (found[1] == "count"):
        raise UsageError(
            f"{text!r} is no aggregate: expected count, or sum, min, max, mean of a field, such "
            f"as mean(vector[0])"
        )
    return found[1], found[2] or ""


def _label(text: str) -> str:
    name, of = _aggregate(text)
    return f"{name}({of})" if of else name


def _grouped(rows: list[Data], query: Query, dim: int) -> list[Data]:
    """Return a row for each group, in the order of the groups' values."""
    by = [_field(name, query.what, dim) for name in query.group_by]
    wanted = [(_label(each), *_aggregate(each)) for each in query.aggregates or ("count",)]
    for _, _, of in wanted:
        if of:
            _field(of, query.what, dim)
    groups: dict[tuple[Value, ...], list[Data]] = {}
    for row in rows:
        groups.setdefault(tuple(field(row, name) for name in by), []).append(row)
    if not by:
        groups = {(): rows}
    out = []
    for values, members in sorted(
        groups.items(),
        key=lambda pair: [
            (each is None, isinstance(each, bytes), 0 if each is None else each) for each in pair[0]
        ],
    ):
        line: Data = {}
        for name, value in zip(by, values, strict=True):
            line.update(_told(name, value))
        for label, name, of in wanted:
            line[label] = _total(name, members, of)
        out.append(line)
    return out


def _total(name: str, members: list[Data], of: str) -> int | float | None:
    """Return an aggregate, exact until the last step.

    That rounds to the nearest float where it is no whole number, and to the nearest whole number
    where no float is as large. Rows whose field is no number are left out; min, max and mean of
    nothing are None."""
    if name == "count":
        return len(members)
    numbers = [Fraction(each) for row in members if (each := number(field(row, of))) is not None]
    if name == "sum":
        return _shown(sum(numbers, Fraction(0)))
    if not numbers:
        return None
    if name == "mean":
        return _shown(sum(numbers) / Fraction(len(numbers)))
    return _shown(min(numbers) if name == "min" else max(numbers))


def _shown(value: Fraction) -> int | float:
    try:
        return int(value) if value.denominator == 1 else float(value)
    except OverflowError:
        return round(value)


# -- filters ---------------------------------------------------------------------------------------


def parse(text: str, what: str, dim: int) -> Test:
    """Return a filter as a function of a row. UsageError shows the place that it cannot be read
    from."""
    parser = _Parser(text, what, dim)
    test = parser.either()
    if parser.kind != "end":
        parser.fail("'and', 'or' or the end")
    return test


class _Parser:
    """One filter, one token ahead. kind: number, hex, text, word, sign or end."""

    def __init__(self, text: str, what: str, dim: int):
        self.text, self.what, self.dim = text, what, dim
        self.after = 0
        self.depth = 0
        self.next()

    def next(self) -> None:
        """Read the next token."""
        self.at = self.after + len(self.text[self.after :]) - len(self.text[self.after :].lstrip())
        if self.at == len(self.text):
            self.kind, self.token = "end", ""
            return
        found = _TOKEN.match(self.text, self.after)
        if not found or not found.lastgroup:
            self.kind, self.token = "nothing", self.text[self.at]
            if self.token in "\"'":
                self.fail("a closing quote", "none")
            self.fail("a field, a value or an operator")
        self.kind, self.token, self.after = found.lastgroup, found[found.lastgroup], found.end()

    def fail(self, expected: str, found: str = "") -> NoReturn:
        found = found or (repr(self.token) if self.kind != "end" else "the end")
        raise UsageError(
            f"the filter cannot be read from character {self.at + 1} on: expected {expected}, "
            f"found {found}\n"
            f"  {self.text}\n  {' ' * self.at}^"
        )

    def takes(self, *tokens: str) -> bool:
        """Go on if the token is one of these words or signs."""
        if self.kind in ("word", "sign") and self.token.lower() in tokens:
            self.next()
            return True
        return False

    def need(self, token: str) -> None:
        if not self.takes(token):
            self.fail(repr(token))

    def either(self) -> Test:
        tests = [self.both()]
        while self.takes("or"):
            tests.append(self.both())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def both(self) -> Test:
        tests = [self.one()]
        while self.takes("and"):
            tests.append(self.one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def one(self) -> Test:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"at most {_DEEPEST} levels of 'not' and parentheses")
        if self.takes("not"):
            inner = self.one()
            test: Test = lambda row: not inner(row)  # noqa: E731
        elif self.takes("("):
            test = self.either()
            self.need(")")
        else:
            test = self.comparison()
        self.depth -= 1
        return test

    def field(self) -> str:
        if self.kind != "word":
            self.fail("a field (" + ", ".join(FIELDS[self.what]) + ")")
        try:
            name = _field(self.token, self.what, self.dim)
        except UsageError as e:
            raise UsageError(f"{e}\n  {self.text}\n  {' ' * self.at}^") from None
        self.next()
        return name

    def comparison(self) -> Test:
        name = self.field()
        kind = FIELDS[self.what].get(name, NUMBER if name.startswith("vector[") else JSON)
        self.bytes, self.time = kind in (BYTES, TEXT, JSON), kind == TIME
        if self.takes("not"):
            test = self.rest(name, False)
            return lambda row: not test(row)
        return self.rest(name, True)

    def rest(self, name: str, signs: bool) -> Test:
        """Read what follows a field. signs: whether it may be a sign, such as =."""
        if self.takes("exists"):
            return lambda row: field(row, name) is not None
        if self.takes("between"):
            low = self.value()
            self.need("and")
            high = self.value()
            return lambda row: (
                _compare(field(row, name), low, ">=") and _compare(field(row, name), high, "<=")
            )
        if self.takes("in"):
            self.need("(")
            values = [self.value()]
            while self.takes(","):
                values.append(self.value())
            self.need(")")
            return lambda row: any(_compare(field(row, name), each, "=") for each in values)
        for word in ("prefix", "contains"):
            if self.kind == "word" and self.token.lower() == word:
                if not self.bytes:
                    self.fail("a comparison of numbers")
                self.next()
                given = self.value(text=True)
                assert isinstance(given, bytes)
                part: bytes = given
                if word == "prefix":
                    return lambda row: _text(field(row, name))[: len(part)] == part
                return lambda row: part in _text(field(row, name))
        if self.takes("matches"):
            if not self.bytes:
                self.fail("a comparison of numbers")
            if self.kind != "text":
                self.fail('an expression in quotes, such as "^run|walk$"')
            at, text = self.at, re.sub(r"\\([\"'])", r"\1", self.token[1:-1])
            self.next()
            try:
                pattern = patterns.Pattern(text)
            except UsageError as e:
                raise UsageError(f"{e}\n  {self.text}\n  {' ' * at}^") from None
            return lambda row: isinstance(it := field(row, name), bytes) and pattern.found(it)
        sign = self.token
        if signs and self.kind == "sign" and sign not in "(),":
            self.next()
            value = self.value()
            return lambda row: _compare(field(row, name), value, sign)
        self.fail(
            ("=, !=, <, <=, >, >=, " if signs else "")
            + "between, in, prefix, contains, matches or exists"
        )

    def value(self, text: bool = False) -> int | Fraction | bytes:
        """Read a value. text: it must be text or bytes."""
        kind, token = self.kind, self.token
        value: int | Fraction | bytes
        if kind == "number" and not text:
            if len(token) > _LONGEST:
                self.fail(f"a number of at most {_LONGEST} characters", f"one of {len(token)}")
            value = Fraction(token)
        elif kind == "text" and self.time:
            value = self.moment(token)
        elif kind == "text" and self.bytes:
            value = typed(re.sub(r"\\(.)", r"\1", token[1:-1]))
        elif kind == "hex" and self.bytes and len(token) % 2 == 0:
            value = bytes.fromhex(token[2:])
        else:
            self.fail(
                (
                    '"text" or bytes such as 0x00ff'
                    if text
                    else '"text", bytes such as 0x00ff or a number'
                )
                if self.bytes
                else 'a time such as "-1h" or "2026-11-21T14:02:30Z", or ms since 1970'
                if self.time
                else "a number"
            )
        self.next()
        return value

    def moment(self, token: str) -> int:
        """Return a wall time that was given as text, in ms since 1970."""
        from quipu.past import moment  # which knows archives

        try:
            found = moment.parse(token[1:-1])
        except UsageError as e:
            raise UsageError(f"{e}\n  {self.text}\n  {' ' * self.at}^") from None
        return found if isinstance(found, int) else found[0]


def _text(value: Value) -> bytes:
    """Return a text, b"" where there is none."""
    return value if isinstance(value, bytes) else b""


def _compare(value: Value, other: int | Fraction | bytes, sign: str) -> bool:
    """Return whether a field's value compares so with one of a filter."""
    if not isinstance(other, bytes):
        value = number(value)
    elif not isinstance(value, bytes):  # a number inside of JSON is no text
        value = None
    if sign in ("!=", "<>"):
        return value is None or value != other
    if value is None:
        return False
    if sign in ("=", "=="):
        return value == other
    if sign == "<":
        return value < other  # type: ignore[operator]  # both are numbers, or both bytes
    if sign == "<=":
        return value <= other  # type: ignore[operator]  # likewise
    return value > other if sign == ">" else value >= other  # type: ignore[operator]  # likewise
