"""The verb watch: a handler that stays in the foreground and says each change as it comes. Handlers as in board.py."""

from collections.abc import Callable
from typing import Any

from quipu.board.watch import Watch, fits, is_change
from quipu.past import query

Data = dict[str, Any]


def watch(say: Callable[[Data], None], port: str, filter: str | None, first: int | None, everything: bool) -> None:
    """Print a board's changes as they become durable, until Ctrl-C.

    One a line: seq, seconds since the boot or clock frame before it, type, what it says; with --json one object a line. A link
    that breaks is opened again, and the watch goes on where it was: no change is left out or said twice. A board that comes back
    with an older or another log ends it, with exit code 1.

    FILTER is that of query, over the fields type, seq, tag, meta, id, kind, record, from, to, name, value.

    \b
    Example:
      quipu watch /dev/ttyACM0
      quipu watch /dev/ttyACM0 'type = "put" and name prefix "sensor/"' --json
    """
    test = query.parse(filter, "changes", 0) if filter and filter.strip() else None
    watching = Watch(port, first)
    try:
        for each in watching:
            if "event" in each or (everything or is_change(each)) and (test is None or fits(test, each)):
                say(each)
    except KeyboardInterrupt:
        return
    finally:
        watching.close()
