"""docs/format.md says what the code does: its example is regenerated, its tables are compared with the code's constants, and a
verifier written from the page alone reaches what the kernel reaches, and notices what has been altered."""

import copy
import random
import re
import subprocess
import sys
import zlib

import pytest
from blake3 import blake3

from shared_kernel import errors, frames, genesis, link, region, requests, snapshot, snapshot_file, store
from shared_kernel import kernel as k
from shared_kernel.arena import RULES, layout
from shared_kernel.config import CONFIG_LIMITS, CONFIG_NAMES
from shared_kernel.errors import Mismatch, Refused
from shared_kernel.frame_names import NAMES, is_command
from shared_kernel.recovery import Recovery
from shared_kernel.replay import Replay
from shared_kernel.store import Store
from tests.docs import example, verifier
from tests.docs.flash_reader import Image
from tests.docs.verifier import Broken, Verifier, verify
from tests.flashsim import FlashSim, PowerCut

PAGE = example.PAGE.read_text()
COMMANDS = (k.INSERT, k.UPDATE, k.DELETE, k.CREATE_NODE, k.DELETE_NODE, k.CREATE_EDGE, k.DELETE_EDGE, k.PUT, k.DELETE_KEY)
CONFIGS = [
    (2, 4, 4, 6, 3, 5, 7),
    (3, 60, 40, 90, 30, 12, 16),  # pools that share chunks
    (300, 6, 4, 6, 3, 17, 9),  # a record larger than a chunk
    (251, 5, 3, 3, 2, 0, 1),  # a record of exactly a chunk
    (252, 5, 3, 3, 2, 0, 1),  # and one word more
    (2, 3, 2, 2, 3, 255, 4096),  # a key larger than a chunk
    (1, 0, 5, 8, 2, 0, 0),  # no records
    (2, 9, 0, 0, 0, 3, 3),  # nothing else
    (1, 0, 0, 0, 0, 0, 0),
]


def b3(data):
    return blake3(data).digest()


class Log:
    """A log being written. frames, heads, roots: of each frame; kernel: the state after the last."""

    def __init__(self, config, origin=None, base=None):
        payload = genesis.encode(config, bytes(range(16)), "bräd", frames.STOP, origin)
        self.kernel = base or k.Kernel(config)
        self.seq = origin[1] + 1 if origin else 0
        self.frames = [frames.frame(frames.GENESIS, payload, self.seq, 0, 0)]
        self.heads = [b3(bytes(32) + self.frames[0])]
        self.roots = [self.kernel.root()]
        self.boots = 0

    def make(self, kind, payload, token=b""):
        kind |= frames.TOKEN if token else 0
        return frames.frame(kind, token + payload, self.seq + 1, 7 * self.seq, frames.seed(self.heads[0]))

    def add(self, kind, payload, token=b""):
        """Append a frame and return its seq; Refused, and nothing done, if it is a command that the state does not allow."""
        frame = self.make(kind, payload, token)
        if is_command(kind):
            self.kernel.check(kind, payload, 0, len(payload))
            self.kernel.apply(kind, payload, 0, len(payload), self.seq + 1)
        self.seq += 1
        self.frames.append(frame)
        self.heads.append(b3(self.heads[-1] + frame))
        self.roots.append(self.kernel.root())
        return self.seq

    def boot(self, skipped=0):
        self.boots += 1
        return self.add(frames.BOOT, frames.boot(self.boots, self.heads[-1], skipped))

    def checkpoint(self):
        return self.add(frames.CHECKPOINT, self.roots[-1])

    def end(self):
        return self.seq, self.heads[-1], self.roots[-1]


class Wanderer:
    """Draws commands for a Log, most of which its state allows."""

    def __init__(self, log, seed):
        self.log, self.random = log, random.Random(seed)
        self.ids = {"record": [0], "node": [0], "edge": [0]}

    def some(self, limit):
        return self.random.randbytes(self.random.choice((0, limit // 2, limit, limit, limit + 1)))

    def ident(self, label):
        """Mostly one that is there."""
        pool = getattr(self.log.kernel, label + "s")
        live = [each for each in self.ids[label][-40:] if pool.find(each)]
        return self.random.choice(live if live and self.random.random() < 0.8 else self.ids[label][-8:])

    def prev(self, name):
        try:
            seq = self.log.kernel.key(name)[0]
        except Refused:
            seq = 0
        return seq if self.random.random() < 0.9 else self.random.randrange(5)

    def draw(self):
        """Return (kind, payload)."""
        r, config = self.random, self.log.kernel.config()
        kind = r.choice(COMMANDS + (k.INSERT, k.CREATE_NODE, k.CREATE_NODE, k.CREATE_EDGE, k.CREATE_EDGE, k.PUT))
        if kind == k.INSERT:
            vector = [r.choice((0, 1, -1, 2**31 - 1, -(2**31), r.randrange(-(2**31), 2**31))) for _ in range(config[0])]
            return kind, frames.insert(vector, r.randrange(3), self.some(config[5]))
        if kind == k.UPDATE:
            tag, meta = r.choice((None, 9, 2**32 - 1)), self.some(config[5])
            return kind, frames.update(self.ident("record"), tag, meta if tag is None or r.random() < 0.5 else None)
        if kind == k.CREATE_NODE:
            return kind, frames.create_node(r.randrange(4), self.ident("record") if r.random() < 0.7 else 0)
        if kind == k.CREATE_EDGE:
            return kind, frames.create_edge(r.randrange(4), self.ident("node"), self.ident("node"))
        if kind in (k.PUT, k.DELETE_KEY):
            name = r.choice((b"a", b"b", b"\0", b"\0\0", b"n" * 24, b"n" * 23 + b"m", b"key-%d" % r.randrange(20)))
            if kind == k.DELETE_KEY:
                return kind, frames.delete_key(name, self.prev(name))
            if r.random() < 0.3:
                return kind, self.prev(name).to_bytes(4, "little") + bytes((1, len(name))) + name
            return kind, frames.put(name, self.some(config[6]), self.prev(name))
        label = {k.DELETE: "record", k.DELETE_NODE: "node", k.DELETE_EDGE: "edge"}[kind]
        return kind, frames.ident(self.ident(label))

    def step(self):
        """Append a drawn frame and return it, or None and the frame that was refused."""
        r, log = self.random, self.log
        n = r.randrange(40)
        if n == 0:
            log.boot(r.randrange(100))
        elif n == 1:
            log.checkpoint()
        elif n == 2:
            log.add(frames.CLOCK, frames.clock(r.randrange(2**44), 5), r.choice((b"", b"a token.")))
        elif n == 3:
            log.add(r.choice((0x85, 0x88, 0xBF)), r.randbytes(20), r.choice((b"", b"a token.")))
        else:
            kind, payload = self.draw()
            token = r.choice((b"", b"", r.randbytes(8)))
            if r.random() < 0.05:
                payload = r.choice((payload[:-1], payload + b"\0", payload[:3], b""))
            refused = log.make(kind, payload, token)
            try:
                seq = log.add(kind, payload, token)
            except Refused:
                return None, refused
            label = {k.INSERT: "record", k.CREATE_NODE: "node", k.CREATE_EDGE: "edge"}.get(kind)
            if label:
                self.ids[label].append(seq)
        return log.frames[-1], None


def every_type():
    """Return a Log with every type of frame, with tokens and without; each command is followed by a checkpoint, so that what
    it changes is proved, and a boot frame ends it, so that the whole chain is."""
    log = Log((2, 4, 4, 6, 3, 5, 7))
    log.boot()

    def add(kind, payload, token=b""):
        seq = log.add(kind, payload, token)
        log.checkpoint()
        return seq

    one = add(k.INSERT, frames.insert([65536, -2], 9, b"meta!"))
    two = add(k.INSERT, frames.insert([70000, 3], 0, b"x"), b"8 bytes.")
    add(k.UPDATE, frames.update(one, 5, b"new"))
    add(k.UPDATE, frames.update(two, 6), b"a tokenn")
    node = add(k.CREATE_NODE, frames.create_node(3, one))
    other = add(k.CREATE_NODE, frames.create_node(4))
    edge = add(k.CREATE_EDGE, frames.create_edge(7, node, other))
    add(k.CREATE_EDGE, frames.create_edge(8, other, other), b"another.")
    log.add(frames.CLOCK, frames.clock(1_700_000_000_000, 50))
    log.add(frames.CLOCK, frames.clock(1_700_000_001_000, 50), b"a third.")
    put = add(k.PUT, frames.put("temp", b"21.5"))
    add(k.PUT, frames.put("t", b""), b"a fourth")
    same = add(k.PUT, put.to_bytes(4, "little") + b"\1\4temp")
    log.add(0x85, b"of a later version, to be skipped")
    log.boot(skipped=12)
    add(k.DELETE_EDGE, frames.ident(edge))
    add(k.DELETE_NODE, frames.ident(other))
    add(k.DELETE_NODE, frames.ident(node))
    add(k.DELETE, frames.ident(one))
    add(k.DELETE_KEY, frames.delete_key("temp", same))
    log.add(k.INSERT, frames.insert([1, 1], 2, b"m"))
    log.checkpoint()
    log.boot()
    return log


# -- the page ---------------------------------------------------------------------------------------------------------


def rows(heading):
    """Return the cells of the tables that stand under a heading."""
    text = PAGE.split("\n%s\n" % heading, 1)[1]
    text = re.split(r"\n#+ ", text, maxsplit=1)[0]
    found = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.split("\n") if line.startswith("|")]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in found if not set(row[0]) <= set("-")]


def test_the_worked_example_is_what_the_code_makes():
    section = PAGE.split(example.BEGIN)[1].split(example.END)[0]
    assert len(section) > 4000
    assert section == example.text(), "run: python -m tests.docs.example"


def test_the_example_as_printed_proves_itself():
    logged = PAGE.split("### Example: frames")[1].split("```")[1]
    check = Verifier()
    seen = 0
    for part in logged.strip().split("\n\n"):
        lines = part.split("\n")
        at = [i for i in range(len(lines)) if lines[i].startswith("head")][0]
        check.step(bytes.fromhex("".join(lines[1:at])))
        assert lines[at:] == ["head  " + check.head.hex(), "root  " + b3(check.state.arena).hex()]
        seen += 1
    assert (seen, check.checkpoints, check.boot) == (8, 2, 1)
    arena = bytearray(1024)
    for offset, data, _ in rows("### Example: arena")[1:]:
        arena[int(offset, 16) : int(offset, 16) + 4] = bytes.fromhex(data.strip("`"))
    assert arena == check.state.arena


def test_the_tables_hold_the_codes_numbers():
    assert {int(row[0], 16): row[1] for row in rows("## Frames") if row[0].startswith("0x")} == NAMES
    for kind, row in {int(row[0], 16): row for row in rows("## Frames") if row[0].startswith("0x")}.items():
        assert row[2] == ("command" if is_command(kind) else "log-only")
        assert re.search(r"\n### 0x%02x " % kind, PAGE), "no section on type 0x%02x" % kind
    found = {row[1]: int(row[0], 16) for row in rows("### Requests") if re.fullmatch("0x..", row[0])}
    assert found == {name: number for name, number in vars(requests).items() if name.isupper()}
    found = {int(row[0]): row[1] for row in rows("### Status")[2:]}
    assert found == {each.code: each.__name__ for each in vars(errors).values()
                     if isinstance(each, type) and each is not Mismatch}
    limits = [row for row in rows("## Limits") if row[0].isdigit()]
    assert [(row[1].strip("`"), row[2]) for row in limits] == [
        (name, "%d to %d" % limit) for name, limit in zip(CONFIG_NAMES, CONFIG_LIMITS, strict=True)]
    magics = {re.search("bytes `(....)`", row[3])[1]: int(row[3].split(",")[0], 16)
              for row in map(lambda line: line.strip("|").split("|"), PAGE.split("\n")) if len(row) == 4 and "bytes `Q" in row[3]}
    assert magics == {"QUPA": 0x41505551, "QSNP": snapshot.MAGIC, "QUP1": region.ERASE_MAGIC, "QOPN": region.OPEN_MAGIC}
    for magic, number in magics.items():
        assert number.to_bytes(4, "little") == magic.encode()
    versions = {row[0].split(" (")[0]: int(row[1]) for row in rows("## Conventions")[1:]}
    assert versions == {"rules": RULES, "frame": frames.VERSION, "link protocol": link.PROTOCOL, "archive": 1}


def test_the_pages_formulas_are_the_codes():
    for config in CONFIGS:
        dim, _, _, _, _, meta, value = config
        largest = 16 + max(8 + max(6 + 4 * dim + meta, 30 + value), 40)
        assert frames.largest_frame(config) == largest
        assert frames.window(config) == max(1024, largest)
    assert store.CHECKPOINT_EVERY == 64 and store.REBASE == 2**29 - 1 and store.TICKS_MASK == 2**30 - 1
    identity = genesis.encode(CONFIGS[0], bytes(16), "x" * 99, origin=(bytes(32), 0, bytes(32), bytes(32), bytes(32)))
    assert 16 + len(identity) == 262 <= genesis.LARGEST


def test_the_verifier_imports_nothing_of_the_project():
    for each in (verifier.__file__, sys.modules[Image.__module__].__file__):
        found = re.findall(r"^(?:import|from) (\w+(?:\.\w+)*)", open(each).read(), re.M)
        assert found and set(found) <= {"struct", "sys", "zlib", "blake3", "tests.docs.verifier"}


def test_every_link_of_the_page_leads_somewhere():
    anchors = [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.*)$", PAGE, re.M)]
    assert len(anchors) == len(set(anchors)) > 20
    for each in re.findall(r"\]\(#([^)]*)\)", PAGE):
        assert each in anchors


# -- the verifier and the kernel --------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_where_slots_lie(config):
    pools, size = verifier.plan(config)
    assert size == 1024 * layout(config)[1]
    kernel = k.Kernel(config)
    for mine, (offsets, words) in zip((kernel.records, kernel.nodes, kernel.edges, kernel.keys), pools, strict=True):
        assert [4 * mine.at(i) for i in range(mine.capacity)] == offsets
        assert mine.stride == words


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_verifier_reaches_what_replay_reaches(config, seed):
    log = Log(config)
    wanderer = Wanderer(log, seed)
    replay, check = Replay(), Verifier()
    replay.step(log.frames[0])
    check.step(log.frames[0])
    refusals = 0
    for _ in range(500):
        frame, refused = wanderer.step()
        if refused:
            refusals += 1
            for each in (replay.step, check.step):
                with pytest.raises((Broken, Mismatch)):
                    each(refused)
        else:
            replay.step(frame)
            check.step(frame)
            assert check.state.arena == replay.kernel.arena.bytes, "seq %d" % log.seq
    assert (check.seq, check.head, b3(check.state.arena)) == (replay.seq, replay.head, replay.kernel.root()) == log.end()
    assert check.checkpoints == replay.checkpoints > 0 and check.boot == replay.boot > 0
    assert refusals > 20 and (log.seq > 100 or not any(config[1:]))
    assert verify(b"".join(log.frames)) == log.end()
    kinds = {each[1] & ~frames.TOKEN for each in log.frames}
    if all(config[1:5]):
        assert kinds >= set(COMMANDS)


def test_the_verifier_goes_on_from_a_snapshot():
    log = Log(CONFIGS[1])
    wanderer = Wanderer(log, 5)
    while log.seq < 200:
        wanderer.step()
    data = snapshot_file.save(log.kernel, log.seq, log.boots, 3, log.heads[0], log.heads[-1])
    while log.seq < 400:
        wanderer.step()
    assert verify(b"".join(log.frames[201:]), data) == log.end()
    for bit in range(8 * snapshot.HEADER):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Broken):
            Verifier.after(bytes(bad))
    for at in range(snapshot.HEADER, len(data), 11):
        bad = bytearray(data)
        bad[at] ^= 4
        with pytest.raises(Broken):
            Verifier.after(bytes(bad))


def test_the_verifier_follows_a_continuation():
    old = Log(CONFIGS[1])
    wanderer = Wanderer(old, 6)
    while old.seq < 150:
        wanderer.step()
    origin = (old.heads[0], old.seq, old.heads[-1], old.roots[-1], old.roots[-1])
    base = verifier.State(CONFIGS[1], old.kernel.arena.bytes)
    new = Log(CONFIGS[1], origin, old.kernel)
    wanderer.log = new
    while new.seq < 300:
        wanderer.step()
    replay = Replay()
    replay.kernel = k.Kernel(CONFIGS[1])
    replay.kernel.arena.load(base.arena)
    for each in new.frames:
        replay.step(each)
    assert verify(b"".join(new.frames), base=copy.deepcopy(base)) == (replay.seq, replay.head, replay.kernel.root()) == new.end()
    base.arena[200] ^= 1
    for each in (None, base):
        with pytest.raises(Broken):
            verify(b"".join(new.frames), base=each)


def test_the_verifier_as_a_program(tmp_path):
    log = every_type()
    (tmp_path / "log").write_bytes(b"".join(log.frames))
    done = subprocess.run([sys.executable, verifier.__file__, tmp_path / "log"], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == "seq %d\nhead %s\nroot %s\n" % (log.seq, log.heads[-1].hex(), log.roots[-1].hex())


# -- mutations --------------------------------------------------------------------------------------------------------


def flips(data, start=0, end=None):
    for at in range(start, len(data) if end is None else end):
        for bit in range(8):
            bad = bytearray(data)
            bad[at] ^= 1 << bit
            yield at, bytes(bad)


def resealed(frame, name):
    return frame[:-4] + zlib.crc32(name + frame[:-4]).to_bytes(4, "little")


def test_every_flipped_bit_is_noticed():
    log = every_type()
    check = Verifier()
    count = 0
    for frame in log.frames:
        for at, bad in flips(frame):
            with pytest.raises(Broken):
                check.step(bad)
            count += 1
        check.step(frame)
    assert (check.seq, check.head, b3(check.state.arena)) == log.end()
    assert count == 8 * sum(map(len, log.frames)) > 8000
    whole = b"".join(log.frames)
    at = 0
    for frame in log.frames:  # in the file, a length moves all that follows
        for _, bad in flips(whole, at + 2, at + 4):
            with pytest.raises(Broken):
                verify(bad)
        at += len(frame)


def test_every_flipped_bit_under_a_new_crc_is_noticed_by_the_chain():
    log = every_type()
    check = Verifier()
    for i, frame in enumerate(log.frames):
        name = log.heads[0] if i else b""
        for at, bad in flips(frame, 0, len(frame) - 4):
            forged = copy.deepcopy(check)
            if i == log.seq:  # nothing after the last frame tells, but its own head does
                try:
                    forged.step(resealed(bad, name))
                except Broken:
                    continue
                assert forged.head != log.heads[-1]
                continue
            with pytest.raises(Broken):
                for each in [resealed(bad, name)] + log.frames[i + 1 :]:
                    forged.step(each)
        check.step(frame)


def test_every_flipped_bit_of_a_command_is_noticed_by_the_next_checkpoint():
    log = every_type()
    check = Verifier()
    refused = altered = 0
    for i, frame in enumerate(log.frames):
        if is_command(frame[1]):
            start = 20 if frame[1] & frames.TOKEN else 12
            for at, bad in flips(frame, start, len(frame) - 4):
                forged = copy.deepcopy(check)
                try:
                    forged.step(resealed(bad, log.heads[0]))
                except Broken:
                    refused += 1
                    continue
                with pytest.raises(Broken, match="checkpoint"):
                    forged.step(log.frames[i + 1])
                altered += 1
        check.step(frame)
    assert refused > 100 and altered > 100


def test_a_dropped_repeated_or_swapped_frame_is_noticed():
    log = every_type()
    n = len(log.frames)
    for i in range(n):
        for changed in (log.frames[:i] + log.frames[i + 1 :], log.frames[:i] + [log.frames[i]] + log.frames[i:],
                        log.frames[:i] + log.frames[i + 1 : i + 2] + [log.frames[i]] + log.frames[i + 2 :]):
            if changed == log.frames:  # there is none to swap with
                continue
            if changed == log.frames[:-1]:
                assert verify(b"".join(changed)) == (log.seq - 1, log.heads[-2], log.roots[-2]) != log.end()
                continue
            with pytest.raises(Broken):
                verify(b"".join(changed))
    whole = b"".join(log.frames)
    for cut in range(1, len(log.frames[-1])):
        with pytest.raises(Broken):
            verify(whole[:-cut])


def test_a_frame_of_another_log_is_noticed():
    log, other = every_type(), Log((2, 4, 4, 6, 3, 5, 8))
    other.boot()
    assert other.frames[1][4:12] == log.frames[1][4:12]
    with pytest.raises(Broken):
        verify(log.frames[0] + other.frames[1])


# -- flash ------------------------------------------------------------------------------------------------------------

FLASH_CONFIG = (2, 8, 6, 8, 4, 5, 7)
GEOMETRIES = [(24, 1024, 256, 4), (20, 1024, 256, 8), (14, 2048, 512, 32), (16, 1024, 1024, 16)]


class Board:
    """A Store on a simulated flash, commanded at random; kept: every frame it wrote."""

    def __init__(self, geometry, policy=frames.STOP, config=FLASH_CONFIG):
        self.flash = FlashSim(*geometry)
        self.ms = 0
        self.mount()
        self.store.configure(config, bytes(range(16)), "flash", policy)
        self.random = random.Random(repr(geometry))
        self.wanderer = Wanderer(self.store, 1)
        self.kept = []

    def mount(self):
        self.store = Store(self.flash, lambda: self.ms)

    def work(self, groups):
        """Give groups of commands, and acknowledge what they wrote."""
        self.keep()  # a start-up forgets what was acknowledged since the newest sector was opened
        self.wanderer.log = self.store
        ids = self.wanderer.ids
        for _ in range(groups):
            drawn = [self.wanderer.draw() for _ in range(self.random.randrange(1, 5))]
            for (kind, _), seq in zip(drawn, self.store.execute([(*each, None) for each in drawn]), strict=True):
                label = {k.INSERT: "record", k.CREATE_NODE: "node", k.CREATE_EDGE: "edge"}.get(kind)
                if label and isinstance(seq, int):
                    ids[label].append(seq)
            self.ms += 10
        self.keep()

    def keep(self):
        while True:
            seq = len(self.kept)
            head = bytes(32)
            if seq:
                head = self.head
            data = bytes(self.store.read_frames(seq, head[:8]))
            if not data:
                break
            for frame in verifier.split(data):
                self.kept.append(frame)
                head = b3(head + frame)
            self.head = head
        self.store.acknowledge(len(self.kept))

    def image(self):
        flash = self.flash
        return Image(flash.bytes, flash.sector, flash.page, flash.unit)

    def compare(self):
        """Read the flash by the page, and hold it against the store and a recovery."""
        image = self.image()
        found = image.frames()
        first = image.order[0][1]["first"]
        assert len(found) > 0 and found == self.kept[first:]
        mine = Recovery(self.store.region)
        assert (image.seq, image.head) == (self.store.seq, self.store.head) == (mine.replay.seq, mine.replay.head)
        assert (image.end, image.slot_sectors, [each for each, _ in image.order]) == (
            mine.address, self.store.region.slot_sectors, mine.order)
        snapshots = image.snapshots()
        assert len(snapshots) == sum(each is not None for each in self.store.slots)
        root = self.store.kernel.root()
        if first == 0:
            assert verify(b"".join(found)) == (image.seq, image.head, root)
        for each in snapshots:
            after = int.from_bytes(each[8:12], "little") + 1
            assert verify(b"".join(self.kept[after:]), each) == (image.seq, image.head, root)
        return image


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_page_alone_reads_a_flash(geometry):
    board = Board(geometry)
    for _ in range(3):
        board.work(12)
        image = board.compare()
        assert (image.order[0][1]["first"], image.snapshots()) == (0, [])
        board.mount()
    while image.order[0][1]["first"] == 0:  # until the ring has come round
        board.work(20)
        board.store.take_snapshot()
        board.keep()
        board.mount()
        image = board.image()
    assert len(image.snapshots()) == 2
    board.work(10)
    board.compare()


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_page_alone_reads_over_power_cuts(geometry):
    board = Board(geometry)
    cuts = 0
    for steps in range(1, 60):
        board.flash.cut_after(steps)
        with pytest.raises(PowerCut):
            while True:
                board.work(1)
        board.flash.power_on()
        board.mount()
        image = board.image()
        image.frames()
        assert (image.seq, image.head) == (board.store.seq, board.store.head)
        covered = max([each.seq for each in board.store.slots if each], default=-1)  # where the store began to read
        assert [each for each in image.cuts if each[0] > covered] == board.store.cuts
        cuts = max(cuts, len(image.cuts))
        board.work(2)
        board.compare()
    assert cuts > 0 and len(board.kept) > 100


def test_the_page_alone_reads_over_a_retried_group():
    board = Board(GEOMETRIES[0])
    board.work(3)
    board.flash.stuck[board.store.order[-1]] = ("wrong", None)
    last = board.store.order[-1]
    board.work(1)
    assert board.store.order[-1] != last
    image = board.compare()
    record = image.order[-1][1]
    old = image.order[-2][0]
    assert record["first"] > image.order[-2][1]["first"]
    assert any(image.frame(at, (old + 1) * image.sector, record["first"] - 1)
               for at in range(old * image.sector, (old + 1) * image.sector, image.unit))


def test_missing_frames_on_flash_are_damage_to_both():
    board = Board(GEOMETRIES[0])
    while len(board.store.order) < 4:
        board.work(1)
    image = board.image()
    sector = image.order[1][0]
    for address in (sector * image.sector + image.frames_at + 5, sector * image.sector + image.open_at + 9):
        board.flash.flip(address, 2)
        with pytest.raises(Broken):
            board.image().frames()
        assert Recovery(board.store.region).damage
        board.flash.flip(address, 2)
    assert board.image().frames() and Recovery(board.store.region).damage is None


def test_a_recycled_beginning_needs_a_snapshot():
    board = Board(GEOMETRIES[1], frames.OVERWRITE)
    while board.image().order[0][1]["first"] == 0:
        board.work(4)
    board.compare()
    for slot in (0, 1):
        header = board.image().slot(slot).find(b"QSNP")
        inside = header % board.store.region.body
        sector = slot * board.store.region.slot_sectors + header // board.store.region.body
        board.flash.flip(sector * board.flash.sector + board.store.region.open_at + inside + 40, 1)
    assert board.image().snapshots() == []
    assert "no snapshot is valid" in Recovery(board.store.region).damage
