"""CRC-32 in viper, for boards whose firmware has no binascii.crc32. Needs 32-bit words: viper.py
sees to that."""

from array import array

import micropython

# The CRC of each half byte (polynomial 0x04C11DB7, reflected).
_table = array("I", bytes(64))
for _i in range(16):
    _c = _i
    for _ in range(4):
        _c = _c >> 1 ^ (0xEDB88320 if _c & 1 else 0)
    _table[_i] = _c


@micropython.viper
def _crc32(data, seed: uint) -> uint:
    p = ptr8(data)
    t = ptr32(_table)
    crc = seed ^ uint(-1)
    n = int(len(data))
    i = 0
    while i < n:
        crc = crc ^ p[i]
        crc = (crc >> 4) ^ t[crc & 15]
        crc = (crc >> 4) ^ t[crc & 15]
        i += 1
    return crc ^ uint(-1)


def crc32(data, seed=0):
    """Return what binascii.crc32 would."""
    return _crc32(data, seed)
