"""The verbs that ask a board what is, and most of them an archive what was: get, record, search,
watch and the like."""

import math
from collections.abc import Callable

import click
from rich.console import Group, RenderableType
from rich.text import Text

from quipu.cli.options import (
    AT,
    CLAMP,
    ID,
    KEY,
    MAX_STATE,
    PORT,
    Q16,
    SOURCE,
    U32,
    VECTOR,
    Data,
    Number,
    Verb,
    argument,
    components_of,
    option,
)
from quipu.cli.render import dated, grid, pairs, says
from quipu.cli.source import asked
from quipu.past import describe, query
from quipu.text import moment, named, number, octets, plain
from shared_kernel import graph

DIRECTIONS = {"out": graph.OUT, "in": graph.IN, "both": graph.BOTH}


def get(source: str, key: bytes, at: str | None) -> Data:
    """Print the value of a key.

    As text if it is text, else in hex after 0x. KEY is read so too: 0xf09f98 is three bytes.

    \b
    Example:
      quipu get /dev/ttyACM0 mode
      quipu get data/watch mode --at 14:02
    """
    with asked(source, at) as it:
        return it.told({"key": _label(key), **describe.octets("value", it.it.get(key, **it.at))})


def history(source: str, key: bytes, limit: int, at: str | None) -> Data:
    """List the versions of a key, newest first.

    Seq, wall time if a clock tells it, and value; deletions too. A live board knows those whose
    frames are still on its flash, without their times.

    \b
    Example:
      quipu history data/watch mode --limit 5
    """
    with asked(source, at) as it:
        if it.memory is None:
            there = it.it.history(key, min(limit, 255))
            return {
                "key": _label(key),
                "missing": there.archived,
                "versions": [
                    {
                        "seq": seq,
                        "unix_ms": None,
                        "uncertainty_ms": None,
                        "deleted": False,
                        **(
                            describe.octets("value", value)
                            if value is not None
                            else {"value": None, "value_hex": None}
                        ),
                    }
                    for seq, value in there.versions
                ],
            }
        found = it.memory.history(key, limit, **it.at)
        out = []
        for each in found.versions:
            when = it.memory.timeline.when(each.seq, each.tick)
            value = (
                {"value": None, "value_hex": None}
                if each.value is None
                else describe.octets("value", each.value)
            )
            out.append(
                {
                    "seq": each.seq,
                    "unix_ms": when.unix_ms,
                    "uncertainty_ms": when.uncertainty_ms,
                    "deleted": each.deleted,
                    **value,
                }
            )
        return it.told({"key": _label(key), "missing": found.missing, "versions": out})


def _label(key: bytes) -> str:
    """Return a key's name as it can be typed."""
    name: str | None = describe.octets("name", key)["name"]
    return f"0x{key.hex()}" if name is None or named(name) != key else name


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
        return it.told(
            {
                **describe.node(ident, it.it.node(ident, **it.at)),
                "edges": it.it.edges_of(ident, **it.at),
            }
        )


def edge(source: str, ident: int, at: str | None) -> Data:
    """Show an edge: kind, from, to.

    \b
    Example:
      quipu edge /dev/ttyACM0 20
    """
    with asked(source, at) as it:
        return it.told(describe.edge(ident, it.it.edge(ident, **it.at)))


def search(
    source: str,
    components: tuple[str, ...],
    q16: bool,
    clamp: bool,
    k: int,
    tag: int | None,
    at: str | None,
) -> Data:
    """Find the records nearest to X, nearest first.

    Exactly; equal distances come in the order of their ids. In JSON, `distance` is exact: the
    squared distance in units of 2^-32; `l2` is its root as a number.

    \b
    Example:
      quipu search /dev/ttyACM0 1 -0.5 3.25 -k 3 --tag 2
      quipu search data/watch 1 -0.5 3.25 --at -1d
    """
    query = components_of(components, q16, clamp)
    with asked(source, at) as it:
        found = it.it.search(query, k, tag, **it.at)
        return it.told(
            {
                "results": [
                    {"id": ident, "distance": distance, "l2": math.sqrt(distance) / 65536}
                    for distance, ident in found
                ]
            }
        )


def neighbours(
    source: str, node: int, depth: int, kind: int | None, direction: str, at: str | None
) -> Data:
    """List the nodes within some steps of a node.

    Breadth first, itself first.

    \b
    Example:
      quipu neighbours /dev/ttyACM0 18 --depth 2 --direction both
    """
    with asked(source, at) as it:
        found = it.it.neighbourhood(node, depth, kind, DIRECTIONS[direction], **it.at)
        return it.told(
            {
                "node": node,
                "neighbours": [{"node": ident, "distance": distance} for ident, distance in found],
            }
        )


def watch(
    say: Callable[[Data], None], port: str, filter: str | None, first: int | None, everything: bool
) -> None:
    """Print a board's changes as they become durable, until Ctrl-C.

    One a line: seq, seconds since the boot or clock frame before it, type, what it says; with
    --json one object a line. A link that breaks is opened again, and the watch goes on where it
    was: no change is left out or said twice. A board that comes back with an older or another log
        ends it, with exit code 1.

    FILTER is that of query, over the fields type, seq, tag, meta, id, kind, record, from, to, name,
    value.

    \b
    Example:
      quipu watch /dev/ttyACM0
      quipu watch /dev/ttyACM0 'type = "put" and name prefix "sensor/"' --json
    """
    from quipu.board.watch import Watch, fits, is_change

    test = query.parse(filter, "changes", 0) if filter and filter.strip() else None
    watching = Watch(port, first)
    try:
        for each in watching:
            if (
                "event" in each
                or (everything or is_change(each))
                and (test is None or fits(test, each))
            ):
                say(each)
    except KeyboardInterrupt:
        return
    finally:
        watching.close()


# -- what a person sees ----------------------------------------------------------------------------


def show_value(data: Data) -> str:
    text: str | None = data["value"]
    return text if text is not None and text.isprintable() else f"0x{data['value_hex']}"


def show_record(data: Data) -> RenderableType:
    return pairs(
        [
            ("record", data["id"]),
            ("tag", data["tag"]),
            ("vector", " ".join(map(number, data["vector"]))),
            ("metadata", octets(data, "meta") if data["meta_hex"] else "none"),
        ]
    )


def show_node(data: Data) -> RenderableType:
    edges = data.get("edges")
    return pairs(
        [
            ("node", data["id"]),
            ("kind", data["kind"]),
            ("record", data["record"] or "none"),
            ("edges", None if edges is None else ", ".join(map(str, edges)) or "none"),
        ]
    )


def show_edge(data: Data) -> RenderableType:
    return pairs(
        [("edge", data["id"]), ("kind", data["kind"]), ("from", data["from"]), ("to", data["to"])]
    )


def show_results(data: Data) -> RenderableType:
    rows = (
        (i + 1, r["id"], f"{r['l2']:.6g}", r["distance"]) for i, r in enumerate(data["results"])
    )
    return grid("", (">", ">record", ">distance", ">squared, 2^-32"), rows, "no record")


def show_neighbours(data: Data) -> RenderableType:
    return grid("", (">node", ">steps"), ((n["node"], n["distance"]) for n in data["neighbours"]))


def show_history(data: Data) -> RenderableType:
    rows = []
    for each in data["versions"]:
        value = (
            "deleted"
            if each["deleted"]
            else octets(each, "value")
            if each["value_hex"] is not None
            else "in a frame that is gone"
        )
        at = (
            ""
            if each["unix_ms"] is None
            else f"{moment(each['unix_ms'])} ± {each['uncertainty_ms']} ms"
        )
        rows.append((each["seq"], at, value))
    table = grid("", (">seq", "time", "value"), rows)
    if data["missing"] is None:
        return table
    return Group(table, Text(f"archived before that: seq {data['missing']} and older are not here"))


def show_watch(data: Data) -> str:
    """Return a frame, or an event of the link, in one line."""
    event = data.get("event")
    if event == "lost":
        return plain(f"-- lost after seq {data['seq']}: {data['why']}")
    if event == "back":
        return f"-- back, going on after seq {data['seq']}"
    if event == "gap":
        return f"-- gap: seq {data['first']} to {data['last']} have left the board unseen"
    return f"{data['seq']:>6}  {data['tick'] / 1000:>10.3f}  {data['type']:<11}  {says(data)}"


VERBS = {
    "get": Verb(get, dated(show_value), (SOURCE, KEY, AT, MAX_STATE)),
    "history": Verb(
        history,
        dated(show_history),
        (
            SOURCE,
            KEY,
            option("--limit", "versions at most", type=U32, default=20, show_default=True),
            AT,
            MAX_STATE,
        ),
    ),
    "record": Verb(record, dated(show_record), (SOURCE, ID, AT, MAX_STATE)),
    "node": Verb(node, dated(show_node), (SOURCE, ID, AT, MAX_STATE)),
    "edge": Verb(edge, dated(show_edge), (SOURCE, ID, AT, MAX_STATE)),
    "search": Verb(
        search,
        dated(show_results),
        (
            SOURCE,
            VECTOR,
            Q16,
            CLAMP,
            option(
                "-k", "how many, at most 128", type=Number(1, 128), default=5, show_default=True
            ),
            option("--tag", "only records of this tag", type=U32),
            AT,
            MAX_STATE,
        ),
    ),
    "neighbours": Verb(
        neighbours,
        dated(show_neighbours),
        (
            SOURCE,
            argument("node", "NODE", U32),
            option(
                "--depth", "steps at most", type=Number(0, 0xFFFF), default=1, show_default=True
            ),
            option("--kind", "along edges of this kind only", type=U32),
            option(
                "--direction",
                "along which edges",
                type=click.Choice(list(DIRECTIONS)),
                default="out",
                show_default=True,
            ),
            AT,
            MAX_STATE,
        ),
    ),
    "watch": Verb(
        watch,
        show_watch,
        (
            PORT,
            click.Argument(["filter"], metavar="[FILTER]", required=False),
            option(
                "--from first",
                "begin with this frame, which the board still holds",
                type=U32,
                metavar="SEQ",
            ),
            option(
                "--all everything",
                "frames too that change nothing: boots, checkpoints, clocks",
                is_flag=True,
            ),
        ),
        stays=True,
    ),
}
