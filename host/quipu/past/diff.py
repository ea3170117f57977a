"""How two states differ, in terms of what they hold: added, deleted, changed. Reads states as
describe.py gives them."""

from typing import Any

from quipu.errors import UsageError
from quipu.past.describe import POOLS

Data = dict[str, Any]


def states(a: Data, b: Data, same_log: bool) -> Data:
    """Return {"same": bool, "same_log": bool, pool: {"added": [...], "deleted": [...], "changed":
    [...]}} from state a to state b.

    What was added or deleted comes whole; what changed as {"id" or "name": ..., "fields": {field:
    [before, after]}}. Records, nodes and edges are matched by id, keys by name. In states of two
    logs a key's seq does not count, for it cannot agree. UsageError if the vectors have different
    dimensions: such states hold nothing that could be compared."""
    if a["config"]["dim"] != b["config"]["dim"]:
        raise UsageError(
            f"the two do not belong together: one's vectors have {a['config']['dim']} dimensions, "
            f"the other's "
            f"{b['config']['dim']}"
        )
    out: Data = {"same_log": same_log, "same": a["root"] == b["root"]}
    for pool in POOLS:
        name = "name_hex" if pool == "keys" else "id"
        ours, theirs = ({each[name]: each for each in state[pool]} for state in (a, b))
        changed = []
        for ident, before in ours.items():
            fields = {
                field: [before[field], theirs[ident][field]]
                for field in before
                if ident in theirs
                and before[field] != theirs[ident][field]
                and (same_log or (pool, field) != ("keys", "seq"))
            }
            if fields:
                changed.append(
                    {
                        **(
                            {"name": before["name"], "name_hex": ident}
                            if pool == "keys"
                            else {"id": ident}
                        ),
                        "fields": fields,
                    }
                )
        out[pool] = {
            "added": [each for ident, each in theirs.items() if ident not in ours],
            "deleted": [each for ident, each in ours.items() if ident not in theirs],
            "changed": changed,
        }
    out["counts"] = {
        each: sum(len(out[pool][each]) for pool in POOLS)
        for each in ("added", "deleted", "changed")
    }
    return out
