"""What another process does of a verification: its orders on standard input, the verdicts on standard
output. See parallel.Worker."""

import json
import sys

from quipu.archive.parallel import part
from quipu.archive.verify import one_of_many


def main() -> None:
    """Do what stands on standard input, an order a line, and print each verdict: the other side of
    `parallel.Worker`."""
    for line in sys.stdin:
        order = json.loads(line)
        if "verify" in order:
            found = one_of_many(order["verify"], order["allow_gap"], jobs=1).as_dict()
        else:
            found = part(order)
        print(json.dumps(found), flush=True)
