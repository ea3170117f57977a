"""rp2.Flash as in ports/rp2/rp2_flash.c, MicroPython 1.25. Programs whole pages: past a shorter
buffer it takes what lies there in RAM, here 0x00. A program that does not begin at a page is what
the SDK forbids: AssertionError."""

from nor import PAGE, SECTOR, SIZE, Device, clear_bits


class Flash(Device):
    def __init__(self, *, start=-1, len=-1):
        if start != -1 and not (0 <= start < SIZE and start % SECTOR == 0):
            raise ValueError
        start = max(0, start)
        if len != -1 and not (0 < len and start + len <= SIZE and len % SECTOR == 0):
            raise ValueError
        super().__init__(start, SIZE - start if len == -1 else len)

    def _program(self, at, source):
        assert at % PAGE == 0, "flash_range_program begins at a page"
        clear_bits(at, bytes(source) + b"\0" * (-len(source) % PAGE))
