"""Reads the image of a log's flash region, by docs/format.md alone: imports nothing of the project. Changes nothing."""

import struct
import zlib

from blake3 import blake3

from tests.docs.verifier import Broken, need, plan


class Image:
    """data: the whole region; sector, page, unit: its geometry in bytes. After construction: slot_sectors, and `order`, the
    ring's sectors of the newest log, oldest first, each with its open record."""

    def __init__(self, data, sector, page, unit):
        self.data, self.sector, self.page, self.unit = bytes(data), sector, page, unit
        self.sectors = len(data) // sector
        self.open_at = self.pad(16)
        self.frames_at = self.open_at + self.pad(92)
        erased = [self.erase_record(i) for i in range(self.sectors)]
        slots = {each[2] for each in erased if each}
        need(len(slots) == 1, "erase records of %d sizes of slots" % len(slots))
        self.slot_sectors = slots.pop()
        opened = {}
        for i in range(2 * self.slot_sectors, self.sectors):
            record = self.open_record(i)
            if record and erased[i]:
                opened[record["epoch"]] = i, record
        need(opened, "no sector is open")
        epoch = max(opened)
        name = opened[epoch][1]["name"]
        self.order = []
        while epoch in opened and opened[epoch][1]["name"] == name:
            self.order.insert(0, opened[epoch])
            epoch -= 1
        self.name = name

    def pad(self, size):
        return -(-size // self.unit) * self.unit

    def erase_record(self, i):
        """Return (erase count, sectors, slot_sectors), or None."""
        record = self.data[i * self.sector : i * self.sector + 16]
        magic, count, sectors, slot, crc = struct.unpack("<IIHHI", record)
        if magic != 0x31505551 or zlib.crc32(record[:12]) != crc:
            return None
        need(sectors == self.sectors, "an erase record of another region")
        return count, sectors, slot

    def open_record(self, i):
        at = i * self.sector + self.open_at
        record = self.data[at : at + 92]
        if record[:4] != b"QOPN" or zlib.crc32(record[:88]) != struct.unpack("<I", record[88:])[0]:
            return None
        fields = struct.unpack("<5I32s32s", record[4:88])
        return dict(zip(("epoch", "first", "boot", "acked", "policy", "name", "head"), fields, strict=True))

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def slot(self, number):
        """Return all of a slot's data: the bodies of its sectors, one after the other."""
        first = number * self.slot_sectors
        return b"".join([self.data[i * self.sector + self.open_at : (i + 1) * self.sector]
                         for i in range(first, first + self.slot_sectors)])

    def snapshots(self):
        """Return the valid snapshots (header and arena), oldest first."""
        found = []
        for number in (0, 1):
            data = self.slot(number)
            config = struct.unpack_from("<7I", data, 8)
            if not all(low <= each <= high for each, low, high in zip(
                    config, (1, 0, 0, 0, 0, 0, 0), (4096, 2**20, 2**20, 2**20, 2**20, 255, 4096), strict=True)):
                continue
            size = plan(config)[1]
            header = data[size : size + 124]
            if len(header) < 124 or header[:4] != b"QSNP" or zlib.crc32(header[:120]) != struct.unpack_from("<I", header, 120)[0]:
                continue
            if header[24:56] == self.name and blake3(data[:size]).digest() == header[88:120]:
                found.append((struct.unpack_from("<I", header, 8)[0], header + data[:size]))
        return [each for _, each in sorted(found)]

    # -- frames -------------------------------------------------------------------------------------------------------

    def frame(self, at, limit, seq, genesis=False):
        """Return the whole frame `seq` of this log at address `at`, or None."""
        if limit - at < 16 or self.data[at] != 1:
            return None
        frame = self.data[at : at + 16 + struct.unpack_from("<H", self.data, at + 2)[0]]
        if at + len(frame) > limit or seq is not None and struct.unpack_from("<I", frame, 4)[0] != seq:
            return None
        seed = b"" if genesis else self.name
        return frame if zlib.crc32(seed + frame[:-4]) == struct.unpack("<I", frame[-4:])[0] else None

    def frames(self):
        """Return the frames from the oldest sector on. `end` is then where the next one would be programmed, `cuts` the
        [(seq, bytes)] that power cuts voided. Broken if frames are missing."""
        out, self.cuts = [], []
        i = 0
        seq, head = self.order[0][1]["first"], self.order[0][1]["head"]
        genesis = head == bytes(32)
        at = self.order[0][0] * self.sector + self.frames_at
        while True:
            limit = (self.order[i][0] + 1) * self.sector
            after = self.order[i + 1] if i + 1 < len(self.order) else None
            if after and after[1]["first"] == seq and after[1]["head"] == head:
                i, at = i + 1, after[0] * self.sector + self.frames_at
                continue
            frame = self.frame(at, limit, seq, genesis)
            if not frame:
                for later in range(at, limit, self.unit):
                    frame = self.frame(later, limit, seq)
                    if frame and frame[1] == 2 and frame[16:48] == head:
                        self.cuts.append((seq, later - at))
                        at = later
                        break
                    frame = None
            if not frame:
                need(not after, "frames are missing before sector %d" % (after[0] if after else 0))
                break
            genesis = False
            out.append(frame)
            seq, head = seq + 1, blake3(head + frame).digest()
            at += self.pad(len(frame))
        self.seq, self.head = seq - 1, head
        self.finish(at, limit)
        return out

    def finish(self, at, limit):
        """Tell a torn tail from damage, and find where to go on."""
        config = struct.unpack_from("<7I", self.config())
        window = max(1024, 16 + max(8 + max(4 + 4 * config[0] + config[5], 30 + config[6]), 40))
        open_now = [each for each, _ in self.order]
        for i in range(2 * self.slot_sectors, self.sectors):
            start, end = i * self.sector + self.frames_at, (i + 1) * self.sector
            if i == open_now[-1]:
                start = at + window
            elif i in open_now:
                continue
            for later in range(-(-start // self.unit) * self.unit, end, self.unit):
                frame = self.frame(later, end, None)
                if frame and struct.unpack_from("<I", frame, 4)[0] > self.seq:
                    raise Broken("seq %d is missing, but a later frame stands at 0x%x" % (self.seq + 1, later))
        used = self.data[at:limit].rstrip(b"\xff")
        self.end = min(-(-(at + len(used)) // self.page) * self.page, limit) if used else at
        if used:
            self.cuts.append((self.seq + 1, self.end - at))

    def config(self):
        """Return the configuration's 28 bytes: from the genesis if it is still there, else from a snapshot."""
        sector, record = self.order[0]
        if record["head"] == bytes(32):
            at = sector * self.sector + self.frames_at + 16
            return self.data[at : at + 28]
        return self.snapshots()[-1][124 + 8 : 124 + 36]
