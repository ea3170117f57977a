"""docs/format.md, "Reading a region": a reader written from the page alone and the kernel's
recovery make the same of every image, and each rule of the page, taken back in the reader, makes
them part."""

import functools
import sys
import types
from collections import Counter
from pathlib import Path

import pytest

from shared_kernel.frames import put
from shared_kernel.kernel import PUT
from tests.docs.images import (
    CRAFTED,
    GEOMETRIES,
    a_run_in_a_record,
    begun,
    by_kernel,
    by_page,
    flashes,
    images,
    readings,
)
from tests.faults.harness import Clock, mount
from tests.flashsim import PowerCut
from tests.mutate import mutate
from tests.quick import some
from tools import flash_reader

SOURCE = Path(flash_reader.__file__).read_text()
# (rule of the page, line of the reader, what it is without that rule)
MUTATIONS = [
    (
        "1: only a valid record says how the region is cut",
        'data[:4] != b"QUP2" or not crc_fits(data)',
        'data[:4] != b"QUP2"',
    ),
    ("1: snapshot slots there are", "0 < 2 * slot", "-1 < 2 * slot"),
    (
        "1: a block has room for what a log begins with",
        "and self.sector // blocks >= self.least,",
        ",",
    ),
    ("6: a genesis leads to the layout", "if start < 0 and seq == first.first:", "if False:"),
    ("6: the name is the genesis's head", "need(head == self.name,", "need(True,"),
    ("6: so does a snapshot", "if not self.fits(config):\n            return None", "pass"),
    ("6: to its slots", "slot == self.slot_sectors\n", "True\n"),
    ("6: and to its blocks", "blocks[-1:] == [self.blocks]", "True"),
    ("2: a number leads to one place", "if run and run.number % self.turn == index:", "if run:"),
    ("2: where a frame stands no header counts", "if byte & 1:", "if False:"),
    (
        "2: the lowest bit of a header's first byte may rot",
        "if byte == 0x53 else None",
        "if False else None",
    ),
    (
        "2: either copy of a header will do",
        "self.header(at) or self.header(at + self.header_size)",
        "self.header(at)",
    ),
    (
        "3: the next frame bears the due seq",
        "if not frame or word(frame, 4) != due:\n                frame",
        "if not frame:\n                frame",
    ),
    ("3: a run goes on at the next block", "if limit < end else None", "if limit < 0 else None"),
    ("3: a group counts whole or not at all", "if not frame[11] & 0x80:", "if True:"),
    (
        "3: only what stands behind the repeats makes a run hold",
        "if due >= run.first + run.repeats:",
        "if True:",
    ),
    ("4: the newest run first", "sorted(self.all, reverse=True)", "sorted(self.all)"),
    ("4: a run that follows makes the one before certain", "or number in followed", ""),
    (
        "4: runs in the sector of the certain one are no pile",
        "if self.sector_of(each[0].number) != here",
        "if True",
    ),
    ("4: of three the second oldest", "pile[-2] if len(pile) > 2 else pile[0]", "pile[0]"),
    ("4: a boot frame alone does not count", "if not extent.settled and is_boots(run)", "if False"),
    ("4: one run of a sector in the pile", "pile = list(newest.values())", "pass"),
    (
        "4: what goes on behind a broken run is damage",
        "if self.was_in_use(run, extent):",
        "if False:",
    ),
    ("5: the oldest run may be half erased", "gone = i + 1", "pass"),
    (
        "5: so may one behind a sector that cannot be erased",
        "elif sector not in self.run.bad and sector != self.sector_of(following.number):",
        "else:",
    ),
    ("4: a boot's run with a checkpoint promised something", "frame[1] == 3:", "False:"),
    ("4: no span leads out of its sector", "if start - 8 >= (self", "if False and (self"),
    ("6: what a snapshot covers is not read", "if run.first == seq + 1:", "if False:"),
    ("5: frames count up to the next run's first", "self.chain[i + 1].first > seq]", "True]"),
    (
        "6: a snapshot hashes to its root",
        "if blake3(arena).digest() != header[88:120]:",
        "if False:",
    ),
    ("6: the newest snapshot", "if each), reverse=True):", "if each)):"),
    ("7: what the laptop has is there", "if self.acked > last + 1:", "if False:"),
    (
        "8: what goes on behind the end is damage",
        "if self.goes_on(self.run, extent.broken, extent.limit, extent.due + 1) or",
        "if",
    ),
    ("8: more than one program call is damage", "or size > window:", ":"),
    ("8: a cut is counted from the last whole group", "- extent.end", "- extent.broken"),
    (
        "9: an unfinished genesis is blank",
        "return any(not done for _, done in marks)",
        "return False",
    ),
    (
        "9: a genesis that is done is none",
        "not self.is_blank(at + self.header_size, at + 2 * self.header_size)",
        "False",
    ),
    (
        "9: anything else is no log",
        "        if used:\n            first",
        "        if False:\n            first",
    ),
    ("2: an unreadable first byte is no header's", "if byte else None", "if True else None"),
    (
        "3: a frame goes to the next block only for want of room",
        "or self.pad(len(frame)) <= limit - at:",
        ":",
    ),
    (
        "4: a boot's run may carry the genesis",
        "(run.repeats > 0 or run.head != bytes(32))",
        "run.head != bytes(32)",
    ),
    (
        "4: the genesis's own run is no boot's",
        "return not run.follows and (run.repeats > 0 or run.head != bytes(32))",
        "return not run.follows",
    ),
    ("4: a run that follows is no boot's", "return not run.follows and (", "return ("),
    (
        "4: behind its span a boot's run is blank",
        "or start < limit and self.used(start, limit) > start",
        "",
    ),
    (
        "4: the block in which the span ends counts",
        "limit = start - 8 - (start - 8) % self.sector",
        "limit = start - start % self.sector",
    ),
    (
        "4: a boot's run goes on in a later block",
        "self.goes_on(run, limit, limit, due + 1) or start < limit and",
        "start < limit and",
    ),
    (
        "4: a boot's checkpoint is not what goes on",
        "self.goes_on(run, limit, limit, due + 1)",
        "self.goes_on(run, limit, limit, due)",
    ),
    (
        "4: no more than the span stands in a run that follows",
        "or self.standing(run, extent) > run.span",
        "",
    ),
    ("4: a run that follows goes on", "self.goes_on(run, extent.broken, extent.limit, due) or", ""),
    ("4: what a run that follows holds is void", "elif run.follows:", "elif False:"),
    (
        "5: a run with the first of the next counts for nothing",
        "if before.first < run.first:",
        "if True:",
    ),
    ("5: a run bears the chain head before it", "if run.head != head:", "if False:"),
    ("6: a snapshot bears the log's name", "and header[24:56] == self.name", ""),
    ("6: a header's length is that of the configuration", "and word(header, 20) == size", ""),
    (
        "6: either copy of a snapshot's header",
        "for at in (size, size + self.pad(SNAPSHOT)):",
        "for at in (size,):",
    ),
    (
        "6: the chain leads to a snapshot's head",
        "if start >= 0 and there != (header[56:88]):",
        "if False:",
    ),
    ("6: only what is newer than the snapshot says of cuts", "if seq <= start:", "if False:"),
    ("7: an acknowledged frame has 4 bytes", "and len(frame) >= 20:", ":"),
    (
        "7: a frame before the snapshot tells too",
        "            if frame[1] == 0x89",
        "            if seq > start and frame[1] == 0x89",
    ),
    (
        "8: what goes on begins a group",
        "word(frame, 4) >= least and not frame[11] & 0x40",
        "word(frame, 4) >= least",
    ),
    (
        "8: what goes on is later than what was due",
        "self.goes_on(self.run, extent.broken, extent.limit, extent.due + 1)",
        "self.goes_on(self.run, extent.broken, extent.limit, extent.due)",
    ),
    (
        "8: it goes on where a broken frame ends",
        "while limit - at >= 12 and self.data[at] == 1:",
        "while False:",
    ),
    (
        "8: or behind whole frames after that",
        "if not frame:\n                    break\n            if limit",
        "break\n            if limit",
    ),
    (
        "8: or at a later block's boundary",
        "if limit >= end:\n                return False",
        "return False",
    ),
    (
        "8: what stands in the next block counts where nothing stands in this",
        "not size and extent.limit <",
        "False and extent.limit <",
    ),
    ("8: a run in the next block is not of this one", "and self.data[extent.limit] & 1", ""),
    (
        "8: a run whose header is rotten does not go on",
        "at += 2 * self.header_size\n            while frame :=",
        "while frame :=",
    ),
    ("8: but with a boot frame and a checkpoint it may", "not in ((1, 2), (2, 3)):", "not in ():"),
    (
        "8: an unreadable header is a rotten one",
        "elif not run and not byte & 1:",
        "elif not run and byte and not byte & 1:",
    ),
    ("9: an erase mark names the log", "if mark and mark.name == run.name and", "if mark and"),
    ("9: an erase mark names its end", "and extent.last < mark.first:", ":"),
    (
        "9: an erase mark stands under a record",
        "if not sector or self.record(sector) is None:",
        "if not sector:",
    ),
    (
        "9: an erase mark has a number of its own",
        "mark if mark and mark.number == ERASING else None",
        "mark",
    ),
    (
        "9: a log that an erase mark names is forgotten",
        "if mark and mark.name == run.name",
        "if False and mark.name == run.name",
    ),
    (
        "9: an erase mark explains a ring without a log",
        "if self.run or self.erase_mark():",
        "if self.run:",
    ),
    ("9: a genesis is all that its log has", "and extent.last == run.first and", "and"),
    ("9: the rest of its sector is blank", "and self.is_blank(extent.end, rest) and", "and"),
    (
        "9: one mark that is not done is enough",
        "return any(not done for _, done in marks)",
        "return bool(marks) and all(not done for _, done in marks)",
    ),
    ("9: a torn mark has no bit that the mark has not", "a & b == b for a, b", "True for a, b"),
    (
        "9: a torn mark stands alone",
        "(self.is_blank(sector * self.sector, at) and self.is_blank(at + 8, (sector + 1) * "
        "self.sector)",
        "(True",
    ),
    (
        "9: a torn mark stands in one of two sectors",
        "all(each in ends and self._is_torn(each) for each in used)",
        "all(self._is_torn(each) for each in used)",
    ),
    (
        "10: the last group of the log is not certain",
        "return extent.before -",
        "return extent.last -",
    ),
    (
        "10: nor the boot frame before it",
        "- (is_boots(run) and extent.before == run.first + run.repeats)",
        "",
    ),
    (
        "10: nor what only a run in doubt has",
        "self.certain = min(self.certain, below)",
        "pass",
    ),
    ("10: what a snapshot covers is certain", "self.certain = max(self.certain, start)", "pass"),
]


def test_the_page_and_the_kernel_make_the_same_of_every_image():
    kinds = Counter()
    for geometry, data, kernel in images():
        assert by_page(flash_reader, geometry, data) == kernel, geometry
        kinds[kernel if isinstance(kernel, str) else "log"] += 1
        if not isinstance(kernel, str):
            kinds["pile of %d" % len(kernel[5])] += 1
            kinds["with a cut"] += bool(kernel[9])
    assert kinds["log"] > 500 and kinds["damage"] > 100 and kinds["blank"] > 100
    assert all(kinds[each] > 20 for each in ("pile of 1", "with a cut")), kinds


TAKEN = some(MUTATIONS, 40)


@pytest.mark.parametrize("rule, line, other", TAKEN, ids=[each[0] for each in TAKEN])
def test_a_rule_taken_back_is_noticed(rule, line, other):
    reader = types.ModuleType("mutated")
    exec(compile(mutate(SOURCE, line, other, rule), flash_reader.__file__, "exec"), reader.__dict__)
    for geometry, data, kernel in images():
        try:
            if by_page(reader, geometry, data) != kernel:
                return
        except Exception:  # noqa: BLE001 - it breaks off where the page's rule would not
            return
    raise AssertionError("no image tells")


def test_a_record_that_contains_a_run_is_a_record():
    sim = a_run_in_a_record(CRAFTED)
    store = mount(sim, Clock(9))
    data = bytes(sim.bytes)
    assert by_page(flash_reader, CRAFTED, data) == by_kernel(CRAFTED, data)
    assert by_page(flash_reader, CRAFTED, data)[:2] == (store.seq, store.head)
    assert store.kernel.records.live() == 1
    at = store.region.header_at(store.order[-1])
    # but the second copy of a header is one
    data = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
    assert by_page(flash_reader, CRAFTED, data)[0] == by_kernel(CRAFTED, data)[0] == store.seq


def test_the_reader_imports_nothing_of_the_project():
    assert (
        "shared_kernel" not in SOURCE
        and "quipu" not in SOURCE.replace("QUIPU", "")
        and "tools.verifier" in sys.modules
    )


def test_what_is_certain_at_one_boot_is_there_at_every_other():
    """Over all ways in which half-programmed units may read: a pull before the boot's run gives out
    nothing that is gone later."""
    pairs = 0
    for number, geometry in enumerate(GEOMETRIES):
        for sim in flashes(number, geometry, 12):
            logs = [
                each
                for each in map(functools.partial(by_kernel, geometry), readings(sim))
                if isinstance(each, tuple)
            ]
            most = max([certain for *_, certain, _, _, _ in logs], default=-1)
            for seq, *_ in logs:
                assert seq >= most, (geometry, sim.torn, logs)
                pairs += len(logs) > 1
    assert pairs > 1000


def test_what_is_certain_is_whole_groups():
    """Cuts in a group that begins in one run and ends in the next, and in the boots after them."""
    pairs = 0
    for seed in range(4):
        base, _ = begun((14, 1024, 256, 4))
        group = [(PUT, put("name", b"no. %d" % i), None) for i in range(8)]
        for step in range(60, 260):
            sim = base.clone(seed * 1000 + step)
            sim.flicker = True
            for boot in range(2):
                store = mount(sim, Clock(boot))
                while not boot and not 0 < store.end - store.address < 100 + 40 * seed:
                    store.execute(group[:1])
                sim.tear = (None, "some")[seed % 2]
                sim.cut_after(step if not boot else 3 + step % 70)
                try:
                    store.execute(group)
                except PowerCut:
                    pass
                sim.power_on()
                logs = [
                    each
                    for each in map(functools.partial(by_kernel, (14, 1024, 256, 4)), readings(sim))
                    if isinstance(each, tuple)
                ]
                most = max(each[6] for each in logs)
                assert min(each[0] for each in logs) >= most, (seed, step, boot, logs)
                pairs += len(logs) > 1
    assert pairs > 300
