"""Reads the image of a log's flash region, by docs/format.md alone: imports nothing of the project. Changes nothing."""

import struct
import zlib

from blake3 import blake3

from tools.verifier import need, plan


class Image:
    """data: the whole region; sector, page, unit: its geometry in bytes. After construction: slot_sectors, and `order`, the
    ring's sectors of the newest log, oldest first, each with its open record."""

    def __init__(self, data, sector, page, unit):
        self.data, self.sector, self.page, self.unit = bytes(data), sector, page, unit
        self.sectors = len(data) // sector
        self.open_at = self.pad(16)
        self.frames_at = self.open_at + self.pad(92)
        self.slot_sectors = next(each[2] for each in map(self.erase_record, range(self.sectors)) if each)
        opened = [(i, self.open_record(i)) for i in range(2 * self.slot_sectors, self.sectors)]
        opened = sorted([each for each in opened if each[1]], key=lambda each: each[1]["epoch"])
        need(opened, "no sector is open")
        while len(opened) > 1 and not self.data[self.first(opened[-1]) : self.limit(opened[-1])].strip(b"\xff"):
            opened.pop()
        self.name = opened[-1][1]["name"]
        self.order = [each for each in opened if each[1]["name"] == self.name]

    def pad(self, size):
        return -(-size // self.unit) * self.unit

    def first(self, place):
        """Return the address of the first frame of (sector, open record)."""
        return place[0] * self.sector + self.frames_at

    def limit(self, place):
        return (place[0] + 1) * self.sector

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
            for at in (size, size + self.pad(124)):
                header = data[at : at + 124]
                if len(header) == 124 and header[:4] == b"QSNP" and zlib.crc32(header[:120]) == struct.unpack_from("<I", header, 120)[0]:
                    break
            else:
                continue
            if header[24:56] == self.name and blake3(data[:size]).digest() == header[88:120]:
                found.append((struct.unpack_from("<I", header, 8)[0], header + data[:size]))
        return [each for _, each in sorted(found)]

    def covered(self):
        """Return the seq of the newest snapshot, -1 if there is none."""
        return max([struct.unpack_from("<I", each, 8)[0] for each in self.snapshots()], default=-1)

    def is_unfinished(self):
        """Return whether a continuation's genesis is the log's only frame, and the state that it begins with does not stand whole."""
        only = self.frame(self.first(self.order[0]), self.limit(self.order[0]), None, True)
        more = any(True for place in self.order for _ in self.whole(self.first(place), self.limit(place)))
        if more or not only or only[1] != 1 or len(only) - 16 != 50 + only[12 + 49] + 132:
            return False
        size = plan(struct.unpack_from("<7I", only, 16))[1]
        data = self.slot(0)
        one, two = [data[at : at + 124] for at in (size, size + self.pad(124))]
        return not (one == two and one[:4] == b"QSNP" and zlib.crc32(one[:120]) == struct.unpack_from("<I", one, 120)[0]
                    and one[24:56] == one[56:88] == self.name and blake3(data[:size]).digest() == one[88:120] == only[-36:-4])

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

    def whole(self, start, end):
        """Yield (address, frame, seq) of every whole frame of this log in [start, end)."""
        for at in range(start, end, self.unit):
            frame = self.frame(at, end, None)
            if frame:
                yield at, frame, struct.unpack_from("<I", frame, 4)[0]

    def enter(self, place):
        """Return (address of the first frame, end, the sector's boot frames by seq) of a sector."""
        first, limit = self.first(place), self.limit(place)
        return first, limit, {seq: at for at, frame, seq in self.whole(first, limit) if frame[1] == 2}

    def copy(self, seq, genesis, start, limit):
        """Return (address, frame) of the copy of frame `seq` that stands before a later boot frame in [start, limit), or None."""
        for boot, frame, its in self.whole(start, limit):
            if frame[1] == 2 and its > seq:
                at = max(start, boot - struct.unpack_from("<I", frame, 52)[0])
                while at < boot:
                    found = self.frame(at, boot, None) or self.frame(at, boot, None, True)
                    if not found:
                        break
                    if found[4:8] == struct.pack("<I", seq):
                        return at, found
                    at += self.pad(len(found))
        return None

    def frames(self):
        """Return the frames from the oldest sector on that leads to the end. `end` is then where the next one would be
        programmed, `cuts` the [(seq, bytes)] that power cuts voided. Broken if frames are missing."""
        out, self.cuts = [], []
        places = list(self.order)
        seq, head = places[0][1]["first"], places[0][1]["head"]
        genesis = head == bytes(32)
        at, limit, boots = self.enter(places.pop(0))
        while True:
            if places and (places[0][1]["first"], places[0][1]["head"]) == (seq, head):
                at, limit, boots = self.enter(places.pop(0))
                continue
            if boots.get(seq, 0) > at:
                at = boots[seq]
            frame = self.frame(at, limit, seq, genesis)
            if not frame:
                for place in [None] + places[:1]:
                    copy = self.copy(seq, genesis, *((at, limit) if place is None else (self.first(place), self.limit(place))))
                    if copy:
                        if place:
                            at, limit, boots = self.enter(places.pop(0))
                        at, frame = copy
                        break
            if not frame and places and not any(its >= places[0][1]["first"] for _, _, its in self.whole(
                    self.first(places[0]), self.limit(places[0]))):
                self.order.remove(places.pop(0))
                continue
            if not frame and places and places[0][1]["first"] <= self.covered() + 1:  # a cut came while these were recycled
                out, self.cuts, genesis = [], [], False
                seq, head = places[0][1]["first"], places[0][1]["head"]
                continue
            if not frame:
                break
            need(frame[1] != 2 or frame[16:48] == head, "a boot frame of another head")
            if frame[1] == 2 and frame[48:52] != bytes(4):
                self.cuts.append((seq, struct.unpack_from("<I", frame, 48)[0]))
            out.append(frame)
            genesis = False
            seq, head = seq + 1, blake3(head + frame).digest()
            at += self.pad(len(frame))
        need(not places, "frames are missing before sector %d" % (places[0][0] if places else 0))
        self.seq, self.head = seq - 1, head
        self.finish(at, limit)
        return out

    def finish(self, at, limit):
        """Tell a torn tail from damage, and find where to go on."""
        config = struct.unpack_from("<7I", self.config())
        largest = self.pad(16 + max(8 + max(6 + 4 * config[0] + config[5], 30 + config[6]), 44))
        room = self.sector - self.frames_at - self.pad(60)
        window = max(largest, min(1024, room) // self.unit * self.unit)
        start = end = at
        for later, frame, seq in self.whole(at, limit):
            if seq > self.seq:
                start = start if later == end else later
                end = later + self.pad(len(frame))
                need(end - start <= window, "frames that no cut voided stand at 0x%x" % later)
                need(frame[1] != 2 or seq == self.seq + 1, "a later boot frame stands at 0x%x" % later)
        inside = [i for i, _ in self.order]
        for i in range(2 * self.slot_sectors, self.sectors):
            if i not in inside:
                for later, _, seq in self.whole(self.first((i, None)), self.limit((i, None))):
                    need(seq <= self.seq, "a later frame stands at 0x%x, in a sector without a header" % later)
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
