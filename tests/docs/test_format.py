"""docs/format.md says what the code does: its example is regenerated, its tables are compared with
the code's constants, and a verifier written from the page alone reaches what the kernel reaches,
and notices what has been altered."""

import copy
import re
import subprocess
import sys
import zlib

import pytest

from shared_kernel import (
    errors,
    frames,
    genesis,
    link,
    region,
    requests,
    run,
    snapshot,
    snapshot_file,
    store,
)
from shared_kernel import kernel as k
from shared_kernel.arena import RULES, layout
from shared_kernel.config import CONFIG_LIMITS, CONFIG_NAMES
from shared_kernel.errors import Mismatch
from shared_kernel.frame_names import is_command
from shared_kernel.replay import Replay
from tests.docs import example
from tests.docs.example import NAMES
from tests.docs.logs import COMMANDS, Log, Wanderer, b3, every_type
from tools import flash_reader, verifier
from tools.verifier import Broken, Verifier, verify

PAGE = example.PAGE.read_text()
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


class Blank:
    """A flash's geometry."""

    sectors = 300

    def __init__(self, sector, unit):
        self.sector, self.page, self.unit = sector, max(256, unit), unit


# -- the page --------------------------------------------------------------------------------------


def rows(heading):
    """Return the cells of the tables that stand under a heading."""
    text = PAGE.split("\n%s\n" % heading, 1)[1]
    text = re.split(r"\n#+ ", text, maxsplit=1)[0]
    found = [
        re.split(r"(?<!\\)\|", line)[1:-1] for line in text.split("\n") if line.startswith("|")
    ]
    return [
        [cell.strip().replace("\\|", "|") for cell in row]
        for row in found
        if not set(row[0]) <= set("-")
    ]


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
    assert (seen, check.checkpoints, check.boot) == (len(example.Example().log), seen - 7, 1)
    arena = bytearray(1024)
    for offset, data, _ in rows("### Example: arena")[1:]:
        arena[int(offset, 16) : int(offset, 16) + 4] = bytes.fromhex(data.strip("`"))
    assert arena == check.state.arena


def test_the_tables_hold_the_codes_numbers():
    assert {
        int(row[0], 16): row[1] for row in rows("## Frames") if row[0].startswith("0x")
    } == NAMES
    for kind, row in {
        int(row[0], 16): row for row in rows("## Frames") if row[0].startswith("0x")
    }.items():
        assert row[2] == ("command" if is_command(kind) else "log-only")
        assert re.search(r"\n### 0x%02x " % kind, PAGE), "no section on type 0x%02x" % kind
    found = {
        row[1]: int(row[0], 16) for row in rows("### Requests") if re.fullmatch("0x..", row[0])
    }
    assert found == {name: number for name, number in vars(requests).items() if name.isupper()}
    found = {int(row[0]): row[1] for row in rows("### Status")[2:]}
    assert found == {
        each.code: each.__name__
        for each in vars(errors).values()
        if isinstance(each, type) and each is not Mismatch
    }
    limits = [row for row in rows("## Limits") if row[0].isdigit()]
    assert [(row[1].strip("`"), row[2]) for row in limits] == [
        (name, "%d to %d" % limit) for name, limit in zip(CONFIG_NAMES, CONFIG_LIMITS, strict=True)
    ]
    magics = {
        re.search("bytes `(....)`", row[3])[1]: int(row[3].split(",")[0], 16)
        for row in map(lambda line: line.strip("|").split("|"), PAGE.split("\n"))
        if len(row) == 4 and "bytes `Q" in row[3]
    }
    assert magics == {"QUPA": 0x41505551, "QSNP": snapshot.MAGIC, "QUP2": region.RECORD_MAGIC}
    for magic, number in magics.items():
        assert number.to_bytes(4, "little") == magic.encode()
    versions = {row[0].split(" (")[0]: int(row[1]) for row in rows("## Conventions")[1:]}
    assert versions == {
        "rules": RULES,
        "frame": frames.VERSION,
        "link protocol": link.PROTOCOL,
        "archive": 1,
        "flash region": 2,
    }
    assert (
        "| 0 | 1 | magic | 0x%02x, `R` |" % run.MAGIC in PAGE
        and b"R"[0] == run.MAGIC
        and run.HEADER == 104
    )
    assert "`%s`" % genesis.BEGUN.decode() in PAGE and "`%s`" % genesis.DONE.decode() in PAGE
    assert (frames.MORE << 24, frames.CONTINUES << 24) == (1 << 31, 1 << 30)


def test_the_pages_formulas_are_the_codes():
    for config in CONFIGS:
        dim, _, _, _, _, meta, value = config
        largest = 16 + max(8 + max(6 + 4 * dim + meta, 30 + value), 44)
        assert frames.largest_frame(config) == largest
        for unit in (1, 4, 8, 16, 32, 256):
            assert frames.span(config, unit) == -(-max(largest, 320) // unit) * unit
            for sector in (512, 1024, 2048, 4096, 65536, 131072):
                if sector < sum(-(-each // unit) * unit for each in (20, 104, 104, 264)):
                    with pytest.raises(errors.Invalid):
                        region.Region(Blank(sector, unit))
                    continue
                here = region.Region(Blank(sector, unit))
                pad = here.pad
                need = max(
                    min(1024, sector),
                    pad(20) + 2 * pad(104) + max(pad(264), pad(largest) + pad(60)),
                )
                blocks = [
                    n
                    for n in range(1, 257)
                    if sector % n == 0 and sector // n % unit == 0 and sector // n >= need
                ]
                if blocks == [1] and sector < pad(20) + 2 * pad(104) + pad(largest) + max(
                    pad(60) + pad(48), pad(28) + 2 * pad(48)
                ):
                    blocks = []
                size = 1024 * layout(config)[1]
                slot = -(-(size + 2 * pad(124)) // (sector - pad(20)))
                if blocks and here.sectors >= 2 * slot + 3:
                    assert genesis.need_layout(here, config) == (slot, sector // max(blocks))
                else:
                    with pytest.raises(errors.Invalid):
                        genesis.need_layout(here, config)
    assert (
        store.CHECKPOINT_EVERY == 64
        and store.REBASE == 2**29 - 1
        and store._TICKS_MASK == 2**30 - 1
    )
    identity = genesis.encode(
        CONFIGS[0], bytes(16), "x" * 99, origin=(bytes(32), 0, bytes(32), bytes(32), bytes(32))
    )
    assert 16 + len(identity) == 262 <= frames.GENESIS_BYTES


def test_the_verifier_imports_nothing_of_the_project():
    for each in (verifier.__file__, flash_reader.__file__):
        found = re.findall(r"^(?:import|from) (\w+(?:\.\w+)*)", open(each).read(), re.M)
        assert found and set(found) <= {
            "argparse",
            "pathlib",
            "struct",
            "sys",
            "typing",
            "zlib",
            "blake3",
            "tools.verifier",
        }


def test_every_link_of_the_page_leads_somewhere():
    anchors = [
        re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-")
        for each in re.findall(r"^#+ (.*)$", PAGE, re.M)
    ]
    assert len(anchors) == len(set(anchors)) > 20
    for each in re.findall(r"\]\(#([^)]*)\)", PAGE):
        assert each in anchors


# -- the verifier and the kernel -------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_where_slots_lie(config):
    pools, size = verifier.plan(config)
    assert size == 1024 * layout(config)[1]
    kernel = k.Kernel(config)
    for mine, (offsets, words) in zip(
        (kernel.records, kernel.nodes, kernel.edges, kernel.keys), pools, strict=True
    ):
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
    assert (
        (check.seq, check.head, b3(check.state.arena))
        == (replay.seq, replay.head, replay.kernel.root())
        == log.end()
    )
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
    assert (
        verify(b"".join(new.frames), base=copy.deepcopy(base))
        == (replay.seq, replay.head, replay.kernel.root())
        == new.end()
    )
    base.arena[200] ^= 1
    for each in (None, base):
        with pytest.raises(Broken):
            verify(b"".join(new.frames), base=each)


@pytest.mark.parametrize("seq", [0xFFF0, 0xFFFFFF, 0x7FFFFFF0, 0xFFFFF000])
def test_large_seqs_go_to_the_same_buckets(seq):
    base = k.Kernel(CONFIGS[1])
    log = Log(CONFIGS[1], (bytes(32), seq, bytes(32), bytes(32), base.root()), base)
    wanderer = Wanderer(log, seq)
    for _ in range(300):
        wanderer.step()
    assert log.seq > seq + 100
    assert verify(b"".join(log.frames), base=verifier.State(CONFIGS[1])) == log.end()


def wrong_frames(log):
    """Yield what may not come next in a log made by `every_type`, each with a CRC that fits."""
    seed = frames.seed(log.heads[0])
    head = log.heads[-1]
    yield log.frames[0]
    for seq in (log.seq, log.seq + 2, 0):
        yield frames.frame(frames.CLOCK, bytes(12), seq, 0, seed)
    for kind, payload, token in (
        (frames.GENESIS, log.frames[0][12:-4], b""),
        (frames.BOOT, frames.boot(log.boots, head, 0), b""),
        (frames.BOOT, frames.boot(log.boots + 2, head, 0), b""),
        (frames.BOOT, frames.boot(log.boots + 1, log.heads[-2], 0), b""),
        (frames.BOOT, frames.boot(log.boots + 1, head, 0) + b"\0", b""),
        (frames.BOOT, frames.boot(log.boots + 1, head, 0)[:-1], b""),
        (frames.CHECKPOINT, log.roots[-1][:-1], b""),
        (frames.CHECKPOINT, log.roots[-1] + b"\0", b""),
        (frames.CLOCK, bytes(11), b""),
        (frames.CLOCK, bytes(13), b""),
        (frames.CLOCK, b"", b"a token."),
        (0x00, b"", b""),
        (0x05, b"", b""),
        (0x0F, bytes(12), b"a token."),
        (0x13, bytes(4), b""),
        (0x3F, bytes(8), b""),
        (k.UPDATE, log.two.to_bytes(4, "little") + bytes((0, 0, 0, 0, 0)), b""),
        (k.UPDATE, log.two.to_bytes(4, "little") + bytes((1, 0, 0, 0, 4)), b""),
        (k.UPDATE, log.two.to_bytes(4, "little") + bytes((1, 0, 0, 0, 2)), b""),
        (k.UPDATE, log.two.to_bytes(4, "little") + bytes((1, 0, 0, 0, 1)) + b"m", b""),
        (k.PUT, log.t.to_bytes(4, "little") + b"\2\1t", b""),
        (k.PUT, log.t.to_bytes(4, "little") + b"\1\1tv", b""),
        (k.PUT, log.t.to_bytes(4, "little") + b"\0\2t", b""),
        (k.PUT, b"\0\0\0\0\0\0v", b""),
        (k.PUT, b"\0\0\0\0\1\3new", b""),
        (k.DELETE, log.two.to_bytes(4, "little")[:3], b""),
    ):
        yield log.make(kind, payload, token)
    good = bytearray(log.make(frames.CLOCK, bytes(12)))
    good[0] = 2
    yield resealed(bytes(good), log.heads[0])
    yield log.make(k.DELETE | frames.TOKEN, bytes(7))


def test_what_may_not_come_next_is_refused_by_both():
    log = every_type()
    count = 0
    for wrong in wrong_frames(log):
        for each in (Replay(), Verifier()):
            for frame in log.frames:
                each.step(frame)
            with pytest.raises((Broken, Mismatch)):
                each.step(wrong)
        count += 1
    assert count > 30


def test_the_verifier_as_a_program(tmp_path):
    log = every_type()
    (tmp_path / "log").write_bytes(b"".join(log.frames))
    done = subprocess.run(
        [sys.executable, verifier.__file__, tmp_path / "log"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "seq %d\nhead %s\nroot %s\n" % (
        log.seq,
        log.heads[-1].hex(),
        log.roots[-1].hex(),
    )


def program(*arguments):
    return subprocess.run(
        [sys.executable, verifier.__file__, *map(str, arguments)], capture_output=True, text=True
    )


def test_the_verifier_as_a_program_reads_a_flash_image(tmp_path):
    made = example.Example()
    end = "seq %d\nhead %s\nroot %s\n" % (
        made.log[-1][4],
        made.heads[-1].hex(),
        made.roots()[-1].hex(),
    )
    said = (
        "region at 0x%x: 8 sectors of 2048 bytes, program unit 8\nlog "
        + made.heads[0].hex()
        + ", from seq 0 on\n"
        + end
    )
    (tmp_path / "image").write_bytes(made.flash.data)
    done = program(tmp_path / "image")
    assert (done.returncode, done.stdout) == (0, said % 0), done.stderr
    (tmp_path / "dump").write_bytes(
        b"\xff" * 0x1000 + bytes(range(256)) * 8 + made.flash.data + bytes(2048)
    )
    assert program(tmp_path / "dump").stdout == said % 0x1800
    given = ("--start", "0x1800", "--size", 8 * 2048, "--sector", 2048, "--unit", 8)
    assert program(tmp_path / "dump", *given).stdout == said % 0x1800
    at = made.region.frames_at(1) + 24 + 20  # in the boot frame, behind which others stand
    made.flash.data[at] ^= 1
    (tmp_path / "image").write_bytes(made.flash.data)
    done = program(tmp_path / "image")
    assert done.returncode == 1 and "damage: " in done.stdout
    (tmp_path / "image").write_bytes(made.flash.data[: 5 * 2048])
    done = program(tmp_path / "image")
    assert done.returncode == 1 and done.stdout.startswith("broken: a region of 8 sectors")


# -- mutations -------------------------------------------------------------------------------------


def flips(data, start=0, end=None):
    for at in range(start, len(data) if end is None else end):
        for bit in range(8):
            bad = bytearray(data)
            bad[at] ^= 1 << bit
            yield bytes(bad)


def resealed(frame, name):
    return frame[:-4] + zlib.crc32(name + frame[:-4]).to_bytes(4, "little")


def test_every_flipped_bit_is_noticed():
    log = every_type()
    check = Verifier()
    count = 0
    for frame in log.frames:
        for bad in flips(frame):
            with pytest.raises(Broken):
                check.step(bad)
            count += 1
        check.step(frame)
    assert (check.seq, check.head, b3(check.state.arena)) == log.end()
    assert count == 8 * sum(map(len, log.frames)) > 8000
    whole = b"".join(log.frames)
    at = 0
    for frame in log.frames:  # in the file, a length moves all that follows
        for bad in flips(whole, at + 2, at + 4):
            with pytest.raises(Broken):
                verify(bad)
        at += len(frame)


def test_every_flipped_bit_under_a_new_crc_is_noticed_by_the_chain():
    log = every_type()
    check = Verifier()
    for i, frame in enumerate(log.frames):
        name = log.heads[0] if i else b""
        for bad in flips(frame, 0, len(frame) - 4):
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
            for bad in flips(frame, start, len(frame) - 4):
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
        for changed in (
            log.frames[:i] + log.frames[i + 1 :],
            log.frames[:i] + [log.frames[i]] + log.frames[i:],
            log.frames[:i] + log.frames[i + 1 : i + 2] + [log.frames[i]] + log.frames[i + 2 :],
        ):
            if changed == log.frames:  # there is none to swap with
                continue
            if changed == log.frames[:-1]:
                assert (
                    verify(b"".join(changed))
                    == (log.seq - 1, log.heads[-2], log.roots[-2])
                    != log.end()
                )
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
