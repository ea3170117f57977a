# Facts of ARDUINO_NANO_33_BLE_SENSE under an image with Quipu: the log is the last 128 KiB before
# the bootloader, and the filesystem ends there. `start` is absolute; log_region.ld says the same to
# the linker.
FACTS = {
    "name": "ARDUINO_NANO_33_BLE_SENSE",
    "mpy_arch": "armv7emsp",
    "driver": "nrf",
    "flash": {"size": 0xE0000},
    "log": {"start": 0xC0000, "size": 128 * 1024},
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
