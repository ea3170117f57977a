"""Archives whose every frame, time and value a test chooses, and the answers that a full replay
from the genesis gives."""

from quipu.archive.files import Archive, Note

from shared_kernel import frames as f
from shared_kernel import genesis, primitives
from shared_kernel import kernel as k
from shared_kernel.kernel import Kernel
from shared_kernel.replay import Replay

CONFIG = (2, 16, 8, 8, 8, 16, 16)
START = 1_700_000_000_000  # ms: 2023-11-14 22:13:20 UTC


class Log:
    """A log that a store could have written. Each verb takes the tick of its frame, by default 10
    ms after the one before, and returns its seq."""

    def __init__(self, identity="past/1"):
        self.kernel = Kernel(CONFIG)
        first = f.frame(
            f.GENESIS, genesis.encode(CONFIG, identity.encode().ljust(16), identity), 0, 0, 0
        )
        self.identity, self.frames, self.tick, self.boots = identity, [first], 0, 0
        self.head = self.name = primitives.hash(f.NO_HEAD + first)

    def add(self, kind, payload, tick=None):
        self.tick = self.tick + 10 if tick is None else tick
        frame = f.frame(kind, payload, len(self.frames), self.tick, f.seed(self.name))
        if kind < 0x40 and kind >= 0x10:
            self.kernel.check(kind, payload, 0, len(payload))
            self.kernel.apply(kind, payload, 0, len(payload), len(self.frames))
        self.head = primitives.hash(self.head + frame)
        self.frames.append(frame)
        return len(self.frames) - 1

    def put(self, name, value, tick=None):
        name, value = name.encode(), value.encode()
        link = self.kernel.find_key(name, 0, len(name))
        seq, held = self.kernel.key(name) if link else (0, None)
        payload = bytearray(f.put(name, b"" if held == value else value, seq))
        payload[4] = held == value
        return self.add(k.PUT, bytes(payload), tick)

    def delete_key(self, name):
        return self.add(
            k.DELETE_KEY, f.delete_key(name.encode(), self.kernel.key(name.encode())[0])
        )

    def insert(self, x, y, tag=0, meta=b""):
        return self.add(k.INSERT, f.insert([x << 16, y << 16], tag, meta))

    def clock(self, unix_ms, uncertainty=5, tick=None):
        seq = self.add(f.CLOCK, f.clock(unix_ms, uncertainty), tick)
        self.tick = 0
        return seq

    def boot(self):
        self.boots += 1
        return self.add(f.BOOT, f.boot(self.boots, self.head, 0), 0)

    def archive(self, path, time=None):
        made = Archive.create(path, self.name, self.identity)
        made.append(b"".join(self.frames))
        made.flush()
        made.write_note(Note(len(self.frames) - 1, self.head, self.kernel.root(), time or START))
        made.close()
        return path


def replayed(path, seq):
    """Return the kernel after the frame seq, by a replay from the genesis that knows no index."""
    replay = Replay()
    for frame in Archive(path).frames():
        replay.step(frame)
        if replay.seq == seq:
            return replay.kernel
    raise AssertionError(f"no frame {seq}")


def everything(kernel):
    """Return all that a state says of its keys: {name: (seq, value)}."""
    from shared_kernel.contents import used

    return {
        name: (seq, value)
        for name, seq, value in (kernel.key_at(at) for _, at in used(kernel.keys))
    }
