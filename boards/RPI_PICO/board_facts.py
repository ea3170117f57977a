# Facts of RPI_PICO under an image with Quipu: the log is the last 256 KiB of the storage, `start`
# counts from its beginning, and the filesystem ends there. Under stock firmware quipu.json says
# where the log is.
FACTS = {
    "name": "RPI_PICO",
    "mpy_arch": "armv6m",
    "driver": "rp2",
    "log": {"start": 1152 * 1024, "size": 256 * 1024},
    "geometry": {"sector": 4096, "page": 256, "unit": 4},
    "capacities": {
        "dim": 16,
        "records": 256,
        "nodes": 64,
        "edges": 128,
        "keys": 32,
        "meta_bytes": 16,
        "value_bytes": 16,
    },
}
