# Facts of NUCLEO_F767ZI under an image with Quipu: the log is the chip's last five sectors. `start`
# is absolute; log_region.ld keeps the code before it.
FACTS = {
    "name": "NUCLEO_F767ZI",
    "mpy_arch": "armv7emdp",
    "driver": "stm32",
    "flash": {"size": 0x08200000},
    "log": {"start": 0x080C0000, "size": 5 * 256 * 1024},
    "geometry": {"sector": 256 * 1024, "page": 256, "unit": 4},
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
