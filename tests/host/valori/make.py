"""Makes kernel-7.snap and events-4.log beside it. Run it in an environment with valoricore 0.3.0;
prints the state hash."""

import shutil
import tempfile
from pathlib import Path

from valoricore.local import LocalClient

here = Path(__file__).parent
with tempfile.TemporaryDirectory() as folder:
    kernel = LocalClient(path=folder, dim=3, max_records=8, max_nodes=8, max_edges=8).kernel
    first = kernel.insert([1.0, -0.5, 0.25], 7)
    second = kernel.insert([2, 3, 4], 9)
    kernel.set_metadata(second, b"hello")
    one, two = kernel.create_node(1, first), kernel.create_node(5, None)
    for origin, target, kind in ((one, two, 4), (two, one, 0), (one, one, 1)):
        kernel.create_edge(origin, target, kind)
    kernel.soft_delete(kernel.insert([0, 0, 1], 0))
    (here / "kernel-7.snap").write_bytes(bytes(kernel.snapshot()))
    kernel.flush()
    shutil.copy(Path(folder) / "events.log", here / "events-4.log")
    print(kernel.get_state_hash())
