"""What another process does of a verification: its order on standard input, the verdict on standard
output. See parallel.child."""

import json
import sys

from quipu.archive.parallel import part
from quipu.archive.verify import one_of_many


def main() -> None:
    """Do what stands on standard input, and print the verdict: the other side of
    `parallel.child`."""
    order = json.load(sys.stdin)
    if "verify" in order:
        print(json.dumps(one_of_many(order["verify"], order["allow_gap"], jobs=1).as_dict()))
    else:
        print(json.dumps(part(order)))
