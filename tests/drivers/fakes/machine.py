"""machine.SPI and machine.Pin with one SPI NOR part on them, as parts with JEDEC's common commands
behave: a write enable latch that each program and erase uses up, some busy reads of the status
    after them, a program wrapping round within its page."""

import nor
from nor import PAGE, SECTOR, SIZE, clear_bits

identity = b"\xef\x40\x13"
floating = False  # nobody is there: all bits read 1
polls = 3  # how often the status reads busy after a program or an erase
_part = None


class Pin:
    OUT = 1

    def __init__(self, name, mode, value):
        self.level = value

    def __call__(self, level):
        if self.level and not level:
            _part.begin()
        elif level and not self.level:
            _part.end()
        self.level = level


class SPI:
    def __init__(self, number, baudrate):
        global _part
        _part = self
        self.latch, self.busy, self.sent = False, 0, bytearray()

    def begin(self):
        self.sent = bytearray()

    def write(self, source):
        self.sent.extend(source)

    def readinto(self, into):
        sent = self.sent
        if floating:
            into[:] = b"\xff" * len(into)
        elif sent[0] == 0x05:
            into[:] = bytes([(self.busy > 0) | self.latch << 1])
            self.busy -= self.busy > 0
        else:
            assert not self.busy, "a command while the part is busy"
            at = self.address() if sent[0] == 0x03 else 0
            into[:] = nor.fetch(at, len(into)) if sent[0] == 0x03 else identity

    def address(self):
        return (self.sent[1] << 16 | self.sent[2] << 8 | self.sent[3]) % SIZE

    def end(self):
        sent = self.sent
        if sent[0] not in (0x02, 0x06, 0x20):
            return
        assert not self.busy, "a command while the part is busy"
        if sent[0] == 0x06:
            self.latch = True
            return
        if not self.latch:  # the part ignores it without a word
            return
        at = self.address()
        if sent[0] == 0x20:
            nor.chip.erase(at // SECTOR)
        else:
            inside = PAGE - at % PAGE
            clear_bits(at, sent[4 : 4 + inside])
            clear_bits(at // PAGE * PAGE, sent[4 + inside :])
        self.latch, self.busy = False, polls
