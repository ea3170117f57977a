"""nrf.Flash as in ports/nrf/modules/nrf/flashbdev.c, MicroPython 1.25: absolute addresses that
nothing checks but their alignment. The filesystem has sectors 32 to 47, the firmware what is below.
A word of the chip is programmed at most twice (its datasheet)."""

import nor

FILESYSTEM = 32 * nor.SECTOR
written = {}


class Flash(nor.Device):
    def __init__(self, *, start=-1, len=-1):
        if (start, len) == (-1, -1):
            start, len = FILESYSTEM, 16 * nor.SECTOR
        if start == -1 or len == -1 or start % nor.SECTOR or len % nor.SECTOR:
            raise ValueError
        super().__init__(start, len)

    def __repr__(self):
        return "Flash(start=0x%08x, len=%u)" % (self._start, self._size)

    def _program(self, at, source):
        for word in range(at // 4, (at + len(source) + 3) // 4):
            written[word] = written.get(word, 0) + 1
            assert written[word] <= 2, "a word may be programmed twice between erases"
        nor.clear_bits(at, source)

    def _erase(self, at):
        assert at >= FILESYSTEM, "the firmware is erased"
        for word in range(at // 4, (at + nor.SECTOR) // 4):
            written.pop(word, None)
        super()._erase(at)
