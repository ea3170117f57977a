# Facts of PYBV11 under an image with Quipu: the log is a file on the card, which docs/drivers.md
# says how to make.
FACTS = {
    "name": "PYBV11",
    "mpy_arch": "armv7emsp",
    "driver": "fat",
    "log": {"path": "/sd/quipu.log", "size": 1024 * 1024},
    "geometry": {"sector": 16384, "page": 512, "unit": 512},
    "capacities": {
        "dim": 16,
        "records": 128,
        "nodes": 32,
        "edges": 64,
        "keys": 32,
        "meta_bytes": 16,
        "value_bytes": 16,
    },
}
