"""Recovering a log from a dump of its flash: all that can be proved comes into the archive, and never anything else.

The flash is written by the real store; then it is damaged as flash is. What the store handed out before is the truth.
"""

import random
import shutil

import pytest
import quipu
from quipu import errors
from quipu.archive.chain import whole_frames
from quipu.archive.files import Archive
from quipu.cli.dump import size
from quipu.dump import recover
from quipu.dump.image import FlashImage, Geometry, locate, of_board
from quipu.dump.recover import Found

from shared_kernel import frames as f
from shared_kernel import kernel as k
from shared_kernel.frames import HEADER, NO_HEAD, seal, seed
from shared_kernel.region import Region
from tests.host.sample import RamFlash, begin, every_type, give, mount, pulled, wander


class Log:
    """A store after some life, its flash, and every frame that it holds by seq."""

    def __init__(self, flash):
        self.flash = flash
        self.store = begin(flash)
        every_type(self.store)
        wander(self.store, 270)
        self.store.take_snapshot()
        wander(self.store, 150, 1)
        self.store = mount(flash)
        wander(self.store, 60, 2)
        self.frames = everything(self.store)

    @property
    def order(self):
        return self.store.order

    def image(self):
        return bytearray(self.flash.memory)

    def at(self, seq):
        """Return the address of a frame."""
        return self.flash.memory.index(self.frames[seq])

    def first(self, sector):
        return self.store.region.opened(sector).first


def everything(store):
    out, head = [], NO_HEAD
    while data := bytes(store.read_frames(len(out), head[:8])):
        for frame in whole_frames(data):
            out.append(bytes(frame))
            head = recover.primitives.hash(head + frame)
    return out


@pytest.fixture(scope="module")
def log():
    made = Log(RamFlash())
    assert len(made.order) > 4 and len(made.frames) > 500
    return made


def found(image, flash):
    return Found(FlashImage(image, flash.sector, flash.page, flash.unit))


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def erase(image, sector, size=4096):
    image[sector * size : (sector + 1) * size] = b"\xff" * size


# -- a whole log ----------------------------------------------------------------------------------------------------------


def test_a_whole_region_becomes_what_a_sync_makes(log, tmp_path):
    result, verdict = recover.recover(found(log.image(), log.flash), tmp_path / "recovered")
    pulled(log.store, tmp_path / "synced")
    assert (verdict.verdict, verdict.seq, verdict.note) == ("match", log.store.seq, log.store.seq)
    assert verdict.state_root == log.store.kernel.root().hex()
    assert result.frames == len(log.frames) and result.created and result.missing == [] and result.damage is None
    ours, theirs = files(tmp_path / "recovered"), files(tmp_path / "synced")
    assert len(ours["frames/0000000000.log"]) > 10_000
    del ours["note.json"], theirs["note.json"]  # it has the time
    assert ours == theirs


def test_recovering_twice_changes_nothing(log, tmp_path):
    recover.recover(found(log.image(), log.flash), tmp_path)
    before = files(tmp_path)
    result, verdict = recover.recover(found(log.image(), log.flash), tmp_path)
    assert (result.frames, result.created, verdict.verdict) == (0, False, "match")
    assert files(tmp_path) == before


def test_an_archive_of_the_same_log_is_extended(tmp_path):
    log = Log(RamFlash())
    pulled(log.store, tmp_path)
    wander(log.store, 100, 9)
    result, verdict = recover.recover(found(log.image(), log.flash), tmp_path)
    assert result.frames == log.store.seq + 1 - len(log.frames) > 90
    assert (verdict.verdict, verdict.seq, verdict.note) == ("match", log.store.seq, log.store.seq)
    assert Archive(tmp_path).segments == [(0, NO_HEAD)]


def test_an_older_image_leaves_a_newer_archive_as_it_is(tmp_path):
    log = Log(RamFlash())
    old = log.image()
    wander(log.store, 100, 9)
    pulled(log.store, tmp_path)
    before = files(tmp_path)
    result, verdict = recover.recover(found(old, log.flash), tmp_path)
    assert (result.frames, verdict.verdict, verdict.seq) == (0, "match", log.store.seq)
    assert files(tmp_path) == before


@pytest.mark.parametrize("broken", ["append", "flush", "add_segment", "add_snapshot", "write_note", "cut"])
@pytest.mark.parametrize("call", [0, 1, 300])
def test_a_run_that_broke_off_is_gone_on_with(log, tmp_path, monkeypatch, broken, call):
    image = log.image()
    erase(image, log.order[1])  # so that there are two segments
    recover.recover(found(image, log.flash), tmp_path / "once")
    calls = []
    real = getattr(Archive, broken)

    def breaks(self, *args):
        calls.append(args)
        if len(calls) == call + 1:
            if broken == "append":
                real(self, bytes(args[0])[:7])  # half a frame
            raise KeyboardInterrupt
        return real(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Archive, broken, breaks)
        try:
            recover.recover(found(image, log.flash), tmp_path / "broken")
        except KeyboardInterrupt:
            pass
        else:
            assert len(calls) <= call
    _, verdict = recover.recover(found(image, log.flash), tmp_path / "broken")
    once, twice = files(tmp_path / "once"), files(tmp_path / "broken")
    del once["note.json"], twice["note.json"]
    assert verdict.verdict == "gap" and once == twice


# -- another log, another history -----------------------------------------------------------------------------------------


def test_another_log_is_refused_and_nothing_written(log, tmp_path):
    other = RamFlash()
    store = begin(other, entropy=b"another sixteen!")
    every_type(store)
    pulled(store, tmp_path)
    before = files(tmp_path)
    with pytest.raises(errors.OtherLog, match=log.store.name.hex()[:16]):
        recover.recover(found(log.image(), log.flash), tmp_path)
    assert files(tmp_path) == before


def test_a_log_that_went_another_way_is_refused_and_nothing_written(tmp_path):
    log = Log(RamFlash())
    at_fork = len(log.frames)
    image = log.image()
    give(log.store, k.PUT, f.put("one", b"way"))
    pulled(log.store, tmp_path)
    before = files(tmp_path)
    log.flash.memory[:] = image
    store = mount(log.flash)
    give(store, k.PUT, f.put("another", b"way"))
    with pytest.raises(errors.RolledBack) as caught:
        recover.recover(found(log.image(), log.flash), tmp_path)
    assert caught.value.seq == at_fork
    assert files(tmp_path) == before


def test_newer_rules_are_refused_by_number_and_nothing_written(log, tmp_path):
    image = log.image()
    genesis = bytearray(log.frames[0])
    genesis[HEADER] = 2
    seal(genesis, 0, f.GENESIS, len(genesis) - 16, 0, 0, 0)
    image[log.at(0) : log.at(0) + len(genesis)] = genesis
    name = recover.primitives.hash(NO_HEAD + genesis)
    fake = RamFlash()
    region = Region(fake)
    region.slot_sectors = log.store.region.slot_sectors
    sector = log.order[0]
    region.erase(sector)
    region.open(sector, recover.Open(1, 0, 0, 0, 0, name, NO_HEAD))
    region.program(sector * 4096 + region.frames_at, genesis)
    with pytest.raises(errors.FormatError, match="rules 2; this version knows rules 1 only"):
        Found(FlashImage(fake.memory, 4096, 256, 4))


# -- damage ---------------------------------------------------------------------------------------------------------------


def test_a_lost_header_costs_nothing(log, tmp_path):
    for sector in log.order:
        image = log.image()
        image[sector * 4096 + 20] ^= 4
        read = found(image, log.flash)
        assert read.mended == [sector] and [(run.first, run.last) for run in read.runs] == [(0, log.store.seq)], sector
        _, verdict = recover.recover(read, tmp_path / str(sector))
        assert (verdict.verdict, verdict.frames) == ("match", len(log.frames))


def test_without_any_header_the_genesis_leads_on(log, tmp_path):
    image = log.image()
    for sector in log.order:
        image[sector * 4096 + 20] ^= 4
    read = found(image, log.flash)
    assert read.mended == log.order and [(run.first, run.last) for run in read.runs] == [(0, log.store.seq)]
    assert recover.recover(read, tmp_path)[1].verdict == "match"
    image[log.at(0) + 20] ^= 1
    with pytest.raises(errors.FormatError, match="no log that can be read"):
        found(image, log.flash)


def test_a_broken_frame_ends_what_is_proved_until_something_names_a_head(log, tmp_path):
    seq = log.first(log.order[1]) + 5
    image = log.image()
    image[log.at(seq) + 14] ^= 1
    read = found(image, log.flash)
    after = log.first(log.order[2])
    assert [(run.first, run.last, run.proof) for run in read.runs] == [
        (0, seq - 1, "the genesis"), (after, log.store.seq, f"the header of sector {log.order[2]}")]
    assert read.missing() == [[seq, after - 1]]
    assert read.unproved == {log.order[1]: list(range(seq + 1, after))}, "their CRC fits, but no head leads to them"
    result, verdict = recover.recover(read, tmp_path)
    assert result.missing == verdict.gaps == [[seq, after - 1]]
    assert verdict.verdict == "gap"


def test_a_boot_frame_takes_the_log_up_again(log):
    boot = next(i for i, frame in enumerate(log.frames) if frame[1] == f.BOOT)
    sector = max(i for i in log.order if log.first(i) <= boot)
    seq = log.first(sector)
    assert seq < boot - 2
    image = log.image()
    image[log.at(seq) + 14] ^= 1
    read = found(image, log.flash)
    assert [(run.first, run.last) for run in read.runs] == [(0, seq - 1), (boot, log.store.seq)]
    assert read.runs[1].proof == "a boot frame"


def test_a_snapshot_takes_the_log_up_again_and_proves_the_state(log, tmp_path):
    snapshot = log.store.newest_snapshot()[1].seq
    sector = max(i for i in log.order if log.first(i) <= snapshot)
    seq = log.first(sector)
    image = log.image()
    image[log.at(seq) + 14] ^= 1
    read = found(image, log.flash)
    assert [(run.first, run.last) for run in read.runs] == [(0, seq - 1), (snapshot + 1, log.store.seq)]
    _, verdict = recover.recover(read, tmp_path)
    assert (verdict.verdict, verdict.gaps, verdict.seq) == ("gap", [[seq, snapshot]], log.store.seq)
    assert verdict.state_root == log.store.kernel.root().hex()


def test_a_snapshot_alone_keeps_the_state(log, tmp_path):
    image = log.image()
    for sector in log.order[1:]:
        erase(image, sector)
    snapshot = log.store.newest_snapshot()[1]
    read = found(image, log.flash)
    assert [(run.first, run.last) for run in read.runs] == [(0, log.first(log.order[1]) - 1), (snapshot.seq + 1, snapshot.seq)]
    _, verdict = recover.recover(read, tmp_path)
    assert (verdict.verdict, verdict.seq, verdict.state_root) == ("gap", snapshot.seq, snapshot.root.hex())


def test_both_sides_of_an_erased_sector_are_kept(log, tmp_path):
    image = log.image()
    erase(image, log.order[3])
    read = found(image, log.flash)
    assert "breaks off" in read.damage
    gap = [log.first(log.order[3]), log.first(log.order[4]) - 1]
    assert read.missing() == [gap]
    recover.recover(read, tmp_path)
    kept = b"".join(Archive(tmp_path).frames())
    assert kept == b"".join(log.frames[: gap[0]] + log.frames[gap[1] + 1 :])


def test_a_rotten_snapshot_is_left_out_and_said(log, tmp_path):
    image = log.image()
    slot = log.store.newest_snapshot()[0]
    image[slot * log.store.region.slot_sectors * 4096 + 16 + 200] ^= 1
    result, verdict = recover.recover(found(image, log.flash), tmp_path)
    assert result.snapshots == [] and (verdict.verdict, verdict.frames) == ("match", len(log.frames))


def damaged(log, seed):
    """Yield images that something happened to: bits, bytes, pages and sectors flipped, erased or overwritten."""
    chance = random.Random(seed)
    ring = log.order[0] * 4096
    for turn in range(300):
        image = log.image()
        for _ in range(chance.choice((1, 1, 3, 10))):
            at, n = chance.randrange(0 if turn % 4 == 0 else ring, len(image)), chance.choice((1, 1, 4, 300, 5000))
            kind = chance.randrange(3)
            for i in range(at, min(at + n, len(image))):
                image[i] = (image[i] ^ 1 << chance.randrange(8), 0xFF, chance.randrange(256))[kind]
        yield image


def only_what_was_there(log, read):
    assert all(a.last < b.first for a, b in zip(read.runs, read.runs[1:]))
    for run in read.runs:
        assert run.frames == log.frames[run.first : run.last + 1]
        assert run.heads == [log_head(log, seq) for seq in range(run.first, run.last + 1)]


def test_nothing_is_ever_invented(log, tmp_path):
    """Whatever happens to the flash: what is recovered is what was there, and what is not recovered is declared missing."""
    kept = refused = 0
    for turn, image in enumerate(damaged(log, 11)):
        try:
            read = found(image, log.flash)
        except errors.QuipuError:
            refused += 1
            continue
        only_what_was_there(log, read)
        kept += 1
        if turn % 10 == 0:
            result, verdict = recover.recover(read, tmp_path / str(turn))
            lost = log.store.seq + 1 - sum(len(run.frames) for run in read.runs)
            assert verdict.verdict != "match" if result.missing or read.runs[0].first else lost == log.store.seq - read.runs[-1].last
    assert kept > 150 and refused < 100


def no_crc(monkeypatch):
    monkeypatch.setattr("shared_kernel.reader.crc_fits", lambda *_: True)


def a_run_may_begin_anywhere(monkeypatch):
    monkeypatch.setattr(Found, "_begin", lambda self, first, head, proof: self.runs.append(recover.Run(0, head, proof)) or True)


@pytest.mark.parametrize("breakage", [no_crc, a_run_may_begin_anywhere])
def test_inventing_would_be_seen(log, monkeypatch, breakage):
    breakage(monkeypatch)
    seen = 0
    for image in damaged(log, 11):
        try:
            only_what_was_there(log, found(image, log.flash))
        except errors.QuipuError:
            pass
        except AssertionError:
            seen += 1
            break
    assert seen


def test_what_the_archive_has_already_closes_the_gap(tmp_path):
    log = Log(RamFlash())
    pulled(log.store, tmp_path)
    wander(log.store, 100, 9)
    image = log.image()
    erase(image, log.order[1])
    result, verdict = recover.recover(found(image, log.flash), tmp_path)
    assert result.missing and (verdict.verdict, verdict.seq, verdict.gaps) == ("match", log.store.seq, [])


def log_head(log, seq):
    if not hasattr(log, "heads"):
        log.heads, head = [], NO_HEAD
        for frame in log.frames:
            head = recover.primitives.hash(head + frame)
            log.heads.append(head)
    return log.heads[seq]


def test_a_frame_of_another_log_is_never_taken(log):
    """The same bytes under another log's name have another CRC."""
    image = log.image()
    at, frame = log.at(300), bytearray(log.frames[300])
    seal(frame, 0, frame[1], len(frame) - 16, 300, 0, seed(b"\1" * 32))
    image[at : at + len(frame)] = frame
    assert found(image, log.flash).runs[0].last == 299


# -- where the region lies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sector,page,unit", [(512, 256, 1), (1024, 256, 8), (4096, 256, 4), (4096, 256, 16), (8192, 512, 32),
                                              (16384, 256, 8)])
def test_the_geometry_is_found(sector, page, unit):
    log = Log(RamFlash(96 if sector < 2048 else 24, sector, page, unit))
    flash = locate(bytes(log.image()))
    assert (flash.start, flash.sector, flash.sectors) == (0, sector, log.flash.sectors)
    assert Found(flash).runs[0].heads[-1] == log.store.head, f"unit {flash.unit}"


@pytest.mark.parametrize("before,after", [(0, 12288), (8192, 0), (40960, 99999)])
def test_a_region_is_found_in_a_dump_by_its_snapshot(log, before, after):
    flash = locate(b"\0" * before + bytes(log.image()) + b"\xff" * after)
    assert (flash.start, flash.sector, flash.sectors, flash.unit) == (before, 4096, 24, 4)


def test_a_young_log_is_found_in_a_dump_by_where_its_ring_begins():
    flash = RamFlash()
    wander(begin(flash), 300)
    found = locate(bytes(8192) + bytes(flash.memory) + b"\xff" * 50000)
    assert (found.start, found.sector, found.sectors) == (8192, 4096, 24)


def test_what_cannot_be_told_is_asked_for():
    flash = RamFlash()
    store = begin(flash)
    wander(store, 300)
    erase(flash.memory, store.order[0])
    dump = bytes(8192) + bytes(flash.memory) + b"\xff" * 50000
    with pytest.raises(errors.FormatError, match="give --board, or --start, --size and --sector"):
        locate(dump)
    assert locate(dump, Geometry(start=8192, size=24 * 4096)).start == 8192


def test_images_that_are_no_region_are_refused_with_numbers(log):
    image = bytes(log.image())
    for bad, why in ((b"\xff" * 98304, "blank: all of its 98,304 bytes read 0xFF"),
                     (bytes(98304), "no erase record of a Quipu log stands at a multiple of 256 bytes in these 98,304 bytes"),
                     (image[:-4096], "wrong size: 7 erase records, the first at 0, are of a region of 24 sectors, which do not fit "
                                     "94,208 bytes in sectors of 4,096")):
        with pytest.raises(errors.FormatError, match=why):
            locate(bad)
    with pytest.raises(errors.FormatError, match="98,304 bytes are no whole number of sectors of 5,000"):
        locate(image, Geometry(sector=5000))
    with pytest.raises(errors.FormatError, match="has 98,304 bytes: a region of 98,304 at 1 is not in it"):
        locate(image, Geometry(start=1, size=98304))
    with pytest.raises(errors.FormatError, match="region of 24 sectors, which do not fit 98,304 bytes in sectors of 8,192"):
        locate(image, Geometry(sector=8192))


def test_a_geometry_that_would_hide_frames_is_refused():
    log = Log(RamFlash())
    dump = bytes(2 * 98304) + bytes(log.image())
    assert locate(dump).sectors == 24
    for sector in (512, 1024, 2048, 8192, 16384):
        with pytest.raises(errors.FormatError, match="do not fit|cannot be told by|stand inside such sectors"):
            locate(dump, Geometry(sector=sector))
    whole = len(Found(locate(dump)).runs[0].frames)
    assert whole == len(log.frames)
    for unit in (1, 2, 8, 16, 32, 64, 128):
        with pytest.raises(errors.FormatError, match=f"with a program unit of {unit}, .* with 4 there are .*: leave --unit out"):
            locate(dump, Geometry(unit=unit))
    for right in (Geometry(sector=4096), Geometry(unit=4), Geometry(2 * 98304, 98304, 4096, 256, 4)):
        assert len(Found(locate(dump, right)).runs[0].frames) == whole


def test_a_board_names_its_region():
    facts = {"name": "B", "log": {"start": 8192, "size": 98304}, "geometry": {"sector": 4096, "page": 256, "unit": 4}}
    assert of_board(facts, 98304) == Geometry(0, 98304, 4096, 256, 4)
    assert of_board(facts, 200000) == Geometry(8192, 98304, 4096, 256, 4)
    with pytest.raises(errors.FormatError, match=r"98,304 bytes \(its log region\) or at least 106,496 .* this one has 98,305"):
        of_board(facts, 98305)
    with pytest.raises(errors.Invalid, match="keeps its log in files"):
        of_board({"name": "B", "driver": "files"}, 1)


def test_a_region_before_its_first_log_holds_nothing(log):
    image = bytearray(log.image())
    image[log.order[0] * 4096 :] = b"\xff" * (len(image) - log.order[0] * 4096)
    image[: log.order[0] * 4096] = b"\xff" * (log.order[0] * 4096)
    with pytest.raises(errors.NotFound, match="nothing was ever recorded"):
        found(image, log.flash)


def test_sizes_may_be_written_as_people_write_them():
    assert [size(each) for each in ("4096", "0x1000", "4k", "1M")] == [4096, 4096, 4096, 1 << 20]
    for bad in ("", "4 k", "-1", "4kb", "x"):
        with pytest.raises(ValueError, match="is no number of bytes"):
            size(bad)


def test_an_image_is_never_changed(log, tmp_path):
    image = tmp_path / "image.bin"
    image.write_bytes(log.image())
    shutil.copy(image, tmp_path / "copy.bin")
    flash = locate(image.read_bytes())
    assert not hasattr(flash, "program") and not hasattr(flash, "erase")
    recover.recover(Found(flash), tmp_path / "archive")
    assert image.read_bytes() == (tmp_path / "copy.bin").read_bytes()
    assert quipu.verify(tmp_path / "archive").verdict == "match"
