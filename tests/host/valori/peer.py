"""Restores the snapshot named by the first argument into valoricore 0.3.0; prints the state hash
and, as JSON, how its search ranks the records for the query in the arguments after it."""

import json
import sys
import tempfile
from pathlib import Path

from valoricore.local import LocalClient

data = Path(sys.argv[1]).read_bytes()
query = [float(each) for each in sys.argv[2:]]
with tempfile.TemporaryDirectory() as folder:
    kernel = LocalClient(
        path=folder, dim=len(query), max_records=64, max_nodes=64, max_edges=64
    ).kernel
    kernel.restore(data)
    print(kernel.get_state_hash())
    print(
        json.dumps(
            [each[0] if isinstance(each, tuple) else each["id"] for each in kernel.search(query, 5)]
        )
    )
