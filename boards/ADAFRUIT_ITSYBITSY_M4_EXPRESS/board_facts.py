# Facts of ADAFRUIT_ITSYBITSY_M4_EXPRESS under an image with Quipu: the log is the last 256 KiB of
# the QSPI part of 2 MiB, and the filesystem ends there.
FACTS = {
    "name": "ADAFRUIT_ITSYBITSY_M4_EXPRESS",
    "mpy_arch": "armv7emsp",
    "driver": "samd",
    "log": {"start": 1792 * 1024, "size": 256 * 1024},
    "geometry": {"sector": 4096, "page": 256, "unit": 4},
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
