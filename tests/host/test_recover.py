"""Recovering a log from a dump of its flash: all that can be proved comes into the archive, and
never anything else.

The flash is written by the real store; then it is damaged as flash is. What the store handed out
before is the truth."""

import gzip
import random
import shutil
from pathlib import Path

import pytest
import quipu
from quipu import errors
from quipu.archive.chain import whole_frames
from quipu.archive.files import Archive
from quipu.cli.dump import judged
from quipu.dump import recover
from quipu.dump.found import Found, read
from quipu.dump.held import Left, Stretch
from quipu.dump.image import FlashImage, Geometry
from quipu.dump.locate import locate, of_board
from quipu.limits import bytes_of as size

from shared_kernel import frames as f
from shared_kernel import kernel as k
from shared_kernel import primitives
from shared_kernel.frames import HEADER, NO_HEAD, seal, seed
from shared_kernel.run import NONE, Run
from tests.host.sample import RamFlash, begin, every_type, give, mount, pulled, wander
from tests.quick import long


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

    @property
    def sectors(self):
        """Of the log, oldest first."""
        return [self.store.region.sector_of(number) for number in self.order]

    def first(self, number):
        return self.store.region.run(number).first

    def header(self, number, copy=0):
        """Return the address of a run's header."""
        region = self.store.region
        return region.header_at(number) + copy * region.header_size


def everything(store):
    out, head = [], NO_HEAD
    while data := bytes(store.read_frames(len(out), head[:8])):
        for frame in whole_frames(data):
            out.append(bytes(frame))
            head = primitives.hash(head + frame)
    return out


@pytest.fixture(scope="module")
def log():
    made = Log(RamFlash())
    assert len(set(made.sectors)) == len(made.order) > 4 and len(made.frames) > 500
    return made


def found(image, flash):
    return Found(FlashImage(image, flash.sector, flash.page, flash.unit))


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def erase(image, sector, size=4096):
    image[sector * size : (sector + 1) * size] = b"\xff" * size


# -- a whole log -----------------------------------------------------------------------------------


def test_a_whole_region_becomes_what_a_sync_makes(log, tmp_path):
    result, verdict = recover.recover(found(log.image(), log.flash), tmp_path / "recovered")
    pulled(log.store, tmp_path / "synced")
    assert (verdict.verdict, verdict.seq, verdict.note) == ("match", log.store.seq, log.store.seq)
    assert verdict.state_root == log.store.kernel.root().hex()
    assert (
        result.frames == len(log.frames)
        and result.created
        and result.missing == []
        and result.damage is None
    )
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


@pytest.mark.parametrize(
    "broken", ["append", "flush", "add_segment", "add_snapshot", "write_note", "cut"]
)
@pytest.mark.parametrize("call", [0, 1, 300])
def test_a_run_that_broke_off_is_gone_on_with(log, tmp_path, monkeypatch, broken, call):
    image = log.image()
    erase(image, log.sectors[1])  # so that there are two segments
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


# -- another log, another history ------------------------------------------------------------------


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
    name = primitives.hash(NO_HEAD + genesis)
    region = log.store.region
    run = Run(log.order[0], NONE, 0, 0, 0, 0, 0, False, name, NO_HEAD, [], 0).encode()
    for copy in (0, 1):
        image[log.header(log.order[0], copy) : log.header(log.order[0], copy) + len(run)] = run
    image[log.at(0) : log.at(0) + len(genesis)] = genesis
    for sector in range(region.ring(), region.sectors):
        if sector != log.sectors[0]:
            erase(image, sector)
    image[: region.ring() * 4096] = b"\xff" * (region.ring() * 4096)
    image[log.at(0) + len(genesis) : (log.sectors[0] + 1) * 4096] = b"\xff" * (
        (log.sectors[0] + 1) * 4096 - log.at(0) - len(genesis)
    )
    with pytest.raises(errors.FormatError, match="rules 2; this version knows rules 1 only"):
        found(image, log.flash)


# -- damage ----------------------------------------------------------------------------------------


def flip(image, *addresses):
    for at in addresses:
        image[at] ^= 4


def test_a_lost_copy_of_a_header_costs_nothing(log):
    for number in log.order:
        for copy in (0, 1):
            image = log.image()
            flip(image, log.header(number, copy) + 20)
            held = found(image, log.flash)
            assert [(each.first, each.last) for each in held.stretches] == [(0, log.store.seq)], (
                number
            )
            assert (held.mended, held.left, held.damage) == ([], [], None)


def test_a_lost_header_costs_nothing_if_a_later_run_names_it(log, tmp_path):
    for number, sector in list(zip(log.order, log.sectors))[:-1]:
        image = log.image()
        flip(image, log.header(number) + 20, log.header(number, 1) + 20)
        held = found(image, log.flash)
        assert held.mended == [sector] and [(each.first, each.last) for each in held.stretches] == [
            (0, log.store.seq)
        ], sector
        _, verdict = recover.recover(held, tmp_path / str(sector))
        assert (verdict.verdict, verdict.frames) == ("match", len(log.frames))


def test_a_lost_header_of_the_newest_run_is_damage_and_nothing_of_it_is_lost(log):
    """The board refuses to go on without it; what it held is read all the same."""
    image = log.image()
    number = log.order[-1]
    flip(image, log.header(number) + 20, log.header(number, 1) + 20)
    held = found(image, log.flash)
    assert held.damage and [each.last for each in held.stretches] == [log.store.seq]


def test_without_any_header_the_genesis_leads_on(log, tmp_path):
    image = log.image()
    for number in log.order:
        flip(image, log.header(number) + 20, log.header(number, 1) + 20)
    held = found(image, log.flash)
    assert held.mended == log.sectors and [(each.first, each.last) for each in held.stretches] == [
        (0, log.store.seq)
    ]
    assert "no run of its log can be read" in held.damage
    assert recover.recover(held, tmp_path)[1].verdict == "match"
    image[log.at(0) + 20] ^= 1
    with pytest.raises(errors.FormatError, match="nothing in it can be proved"):
        found(image, log.flash)


def test_a_broken_frame_ends_what_is_proved_until_something_names_a_head(log, tmp_path):
    seq = log.first(log.order[1]) + 5
    image = log.image()
    image[log.at(seq) + 14] ^= 1
    held = found(image, log.flash)
    after = log.first(log.order[2])
    assert [(each.first, each.last, each.proof) for each in held.stretches] == [
        (0, seq - 1, "the genesis"),
        (after, log.store.seq, f"the header of run {log.order[2]} (sector {log.sectors[2]})"),
    ]
    assert held.missing() == [[seq, after - 1]]
    size = sum(map(len, log.frames[seq + 1 : after]))
    assert held.left == [Left(log.sectors[1], after - seq - 1, size, seq + 1, after - 1)], (
        "their CRC fits, but no head leads to them"
    )
    result, verdict = recover.recover(held, tmp_path)
    assert result.missing == verdict.gaps == [[seq, after - 1]]
    assert verdict.verdict == "gap" and "acknowledged frames may be missing" in result.doubt


def test_a_snapshot_takes_the_log_up_again_and_proves_the_state(log, tmp_path):
    snapshot = log.store.newest_snapshot()[1].seq
    number = max(i for i in log.order if log.first(i) <= snapshot)
    seq = log.first(number)
    image = log.image()
    image[log.at(seq) + 14] ^= 1
    held = found(image, log.flash)
    assert [(each.first, each.last) for each in held.stretches] == [
        (0, seq - 1),
        (snapshot + 1, log.store.seq),
    ]
    _, verdict = recover.recover(held, tmp_path)
    assert (verdict.verdict, verdict.gaps, verdict.seq) == ("gap", [[seq, snapshot]], log.store.seq)
    assert verdict.state_root == log.store.kernel.root().hex()


def test_a_snapshot_alone_keeps_the_state(log, tmp_path):
    image = log.image()
    for sector in log.sectors[1:]:
        erase(image, sector)
    snapshot = log.store.newest_snapshot()[1]
    held = found(image, log.flash)
    assert [(each.first, each.last) for each in held.stretches] == [
        (0, log.first(log.order[1]) - 1),
        (snapshot.seq + 1, snapshot.seq),
    ]
    assert f"before its newest snapshot of seq {snapshot.seq}" in held.damage, (
        "a snapshot past the log's end is named"
    )
    _, verdict = recover.recover(held, tmp_path)
    assert (verdict.verdict, verdict.seq, verdict.state_root) == (
        "gap",
        snapshot.seq,
        snapshot.root.hex(),
    )


def test_both_sides_of_an_erased_sector_are_kept(log, tmp_path):
    image = log.image()
    erase(image, log.sectors[3])
    held = found(image, log.flash)
    gap = [log.first(log.order[3]), log.first(log.order[4]) - 1]
    assert "the log begins with seq" in held.damage and held.missing() == [gap]
    recover.recover(held, tmp_path)
    kept = b"".join(Archive(tmp_path).frames())
    assert kept == b"".join(log.frames[: gap[0]] + log.frames[gap[1] + 1 :])


def test_a_rotten_snapshot_is_left_out_and_said(log, tmp_path):
    image = log.image()
    slot = log.store.newest_snapshot()[0]
    image[slot * log.store.region.slot_sectors * 4096 + log.store.region.record_size + 200] ^= 1
    result, verdict = recover.recover(found(image, log.flash), tmp_path)
    assert result.snapshots == [] and (verdict.verdict, verdict.frames) == (
        "match",
        len(log.frames),
    )


def damaged(log, seed, turns=300):
    """Yield images that something happened to: bits, bytes, pages and sectors flipped, erased or
    overwritten."""
    chance = random.Random(seed)
    ring = log.store.region.ring() * 4096
    for turn in range(turns):
        image = log.image()
        for _ in range(chance.choice((1, 1, 3, 10))):
            at, n = (
                chance.randrange(0 if turn % 4 == 0 else ring, len(image)),
                chance.choice((1, 1, 4, 300, 5000)),
            )
            kind = chance.randrange(3)
            for i in range(at, min(at + n, len(image))):
                image[i] = (image[i] ^ 1 << chance.randrange(8), 0xFF, chance.randrange(256))[kind]
        yield image


def only_what_was_there(log, read):
    assert all(a.last < b.first for a, b in zip(read.stretches, read.stretches[1:]))
    for run in read.stretches:
        assert run.frames == log.frames[run.first : run.last + 1]
        assert run.heads == [log_head(log, seq) for seq in range(run.first, run.last + 1)]


def test_nothing_is_ever_invented(log, tmp_path):
    """Whatever happens to the flash: what is recovered is what was there, and what is not recovered
    is declared missing."""
    kept = refused = 0
    for turn, image in enumerate(damaged(log, 11, long(300, 90))):
        try:
            read = found(image, log.flash)
        except errors.QuipuError:
            refused += 1
            continue
        only_what_was_there(log, read)
        kept += 1
        if turn % 10 == 0:
            result, verdict = recover.recover(read, tmp_path / str(turn))
            lost = log.store.seq + 1 - sum(len(run.frames) for run in read.stretches)
            whole = not (result.missing or read.stretches[0].first)
            assert (
                lost == log.store.seq - read.stretches[-1].last
                if whole
                else verdict.verdict != "match"
            )
    assert kept > long(150, 45) and refused < long(100, 35)


def no_crc(monkeypatch):
    monkeypatch.setattr("shared_kernel.reader.crc_fits", lambda *_: True)


def a_run_goes_on_from_any_other(monkeypatch):
    monkeypatch.setattr(
        Found,
        "_add",
        lambda self, out, piece, until: (
            self._follow(out[0], piece.frames)
            if out
            else out.append(Stretch(piece.first, piece.head, ""))
            or self._follow(out[0], piece.frames)
        ),
    )


@pytest.mark.parametrize("breakage", [no_crc, a_run_goes_on_from_any_other])
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
    flip(image, log.at(50) + 14)
    result, verdict = recover.recover(found(image, log.flash), tmp_path)
    assert result.missing and result.left and result.doubt is None
    assert (verdict.verdict, verdict.seq, verdict.gaps) == ("match", log.store.seq, [])


def log_head(log, seq):
    if not hasattr(log, "heads"):
        log.heads, head = [], NO_HEAD
        for frame in log.frames:
            head = primitives.hash(head + frame)
            log.heads.append(head)
    return log.heads[seq]


def test_a_frame_of_another_log_is_never_taken(log):
    """The same bytes under another log's name have another CRC."""
    image = log.image()
    at, frame = log.at(300), bytearray(log.frames[300])
    seal(frame, 0, frame[1], len(frame) - 16, 300, 0, seed(b"\1" * 32))
    image[at : at + len(frame)] = frame
    assert found(image, log.flash).stretches[0].last == 299


# -- where the region lies -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sector,page,unit",
    [
        (512, 256, 1),
        (1024, 256, 8),
        (4096, 256, 4),
        (4096, 256, 16),
        (8192, 512, 32),
        (16384, 256, 8),
    ],
)
def test_the_geometry_is_found(sector, page, unit):
    log = Log(RamFlash(96 if sector < 2048 else 24, sector, page, unit))
    flash = locate(bytes(log.image()))
    assert (flash.start, flash.sector, flash.sectors) == (0, sector, log.flash.sectors)
    assert Found(flash).stretches[0].heads[-1] == log.store.head, f"unit {flash.unit}"


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
    # a single record is left that tells the number of its sector
    for sector in range(store.region.ring() + 1, 24):
        if sector != 9:
            erase(flash.memory, sector)
    dump = bytes(8192) + bytes(flash.memory) + b"\xff" * 50000
    with pytest.raises(errors.FormatError, match="give --board, or --start, --size and --sector"):
        locate(dump)
    assert locate(dump, Geometry(start=8192, size=24 * 4096)).start == 8192


def test_images_that_are_no_region_are_refused_with_numbers(log):
    image = bytes(log.image())
    for bad, why in (
        (b"\xff" * 98304, "blank: all of its 98,304 bytes read 0xFF"),
        (bytes(98304), "no sector record of a Quipu log stands in these 98,304 bytes"),
        (
            image[:-4096],
            "cut short: by its 23 sector records the region has 24 sectors of 4,096 bytes from 0 "
            "on, 98,304 bytes "
            "in all, and the image has 94,208",
        ),
    ):
        with pytest.raises(errors.FormatError, match=why):
            locate(bad)
    with pytest.raises(
        errors.FormatError, match="98,304 bytes are no whole number of sectors of 5,000"
    ):
        locate(image, Geometry(sector=5000))
    with pytest.raises(
        errors.FormatError, match="has 98,304 bytes: a region of 98,304 at 1 is not in it"
    ):
        locate(image, Geometry(start=1, size=98304))
    with pytest.raises(
        errors.FormatError, match="the sectors have 4,096 bytes by their records, not 8,192"
    ):
        locate(image, Geometry(sector=8192))


def test_two_regions_in_one_image_are_named_and_either_can_be_said(log):
    image, other = bytes(log.image()), RamFlash()
    every_type(begin(other, entropy=b"another sixteen!"))
    both = image + bytes(4096) + bytes(other.memory)
    with pytest.raises(
        errors.FormatError,
        match="two regions are in this image: of 24 sectors each, at 0 and at 102,400: say which",
    ):
        locate(both)
    assert Found(locate(both, Geometry(start=0, size=98304))).name == log.store.name
    assert Found(locate(both, Geometry(start=102400, size=98304))).name != log.store.name
    small = RamFlash(20)
    begin(small)
    with pytest.raises(
        errors.FormatError,
        match="image: one of 24 sectors .* and one of 20 sectors .* first at 98,304",
    ):
        locate(image + bytes(small.memory))
    with pytest.raises(
        errors.FormatError,
        match="two regions are in this image: .* format 2, the first at 0, and 1 of one of format 1",
    ):
        locate(image + old_image())


def test_a_region_whose_geometry_changed_is_named(log):
    """The same part, cut otherwise by the facts of another board."""
    image = bytes(log.image())
    for other in (FlashImage(image, 8192, 256, 4), FlashImage(image[: 20 * 4096], 4096, 256, 4)):
        with pytest.raises(
            errors.FormatError,
            match="belongs to a region of 24 sectors .* this region has 1?20? sectors of",
        ):
            Found(other)


def test_a_geometry_that_would_hide_frames_is_refused():
    log = Log(RamFlash())
    dump = bytes(2 * 98304) + bytes(log.image())
    assert locate(dump).sectors == 24
    for sector in (512, 1024, 2048, 8192, 16384):
        with pytest.raises(
            errors.FormatError,
            match="have 4,096 bytes by their records, not|are no whole number of sectors",
        ):
            locate(dump, Geometry(sector=sector))
    whole = len(Found(locate(dump)).stretches[0].frames)
    assert whole == len(log.frames)
    for unit in (1, 2, 8, 16, 32, 64, 128):
        with pytest.raises(
            errors.FormatError,
            match=f"with a program unit of {unit}, .* with 4 there are .*: leave --unit out",
        ):
            locate(dump, Geometry(unit=unit))
    for right in (
        Geometry(sector=4096),
        Geometry(unit=4),
        Geometry(2 * 98304, 98304, 4096, 256, 4),
    ):
        assert len(Found(locate(dump, right)).stretches[0].frames) == whole


def test_a_board_names_its_region():
    facts = {
        "name": "B",
        "log": {"start": 8192, "size": 98304},
        "geometry": {"sector": 4096, "page": 256, "unit": 4},
    }
    assert of_board(facts, 98304) == Geometry(0, 98304, 4096, 256, 4)
    assert of_board(facts, 200000) == Geometry(8192, 98304, 4096, 256, 4)
    with pytest.raises(
        errors.FormatError,
        match=r"98,304 bytes \(its log region\) or at least 106,496 .* this one has 98,305",
    ):
        of_board(facts, 98305)
    with pytest.raises(errors.Invalid, match="keeps its log in files"):
        of_board({"name": "B", "driver": "files"}, 1)


def test_a_region_before_its_first_log_holds_nothing(log):
    image = bytearray(log.image())
    image[log.order[0] * 4096 :] = b"\xff" * (len(image) - log.order[0] * 4096)
    image[: log.order[0] * 4096] = b"\xff" * (log.order[0] * 4096)
    with pytest.raises(errors.NotFound, match="nothing was ever recorded"):
        found(image, log.flash)


# -- format 1 --------------------------------------------------------------------------------------


def old_image(name="format_1"):
    return gzip.decompress((Path(__file__).parent / f"{name}.bin.gz").read_bytes())


def test_a_format_1_image_is_read_and_named(tmp_path):
    """Case 25: written by the firmware before format 2 on an MPS2_AN386; one bit of frame 21 of 50
    is flipped."""
    held = read(locate(old_image()))
    assert (held.format, held.identity) == (1, "MPS2_AN386/729cab1c3468e8a0")
    result, verdict = recover.recover(held, tmp_path)
    assert [(each["first"], each["last"]) for each in result.holds] == [
        (0, 20)
    ] and result.format == 1
    assert result.left == [{"sector": 2, "frames": 29, "bytes": 945, "first": 22, "last": 50}]
    assert (
        "29 whole frames of this log, 945 bytes, seq 22 to 50" in result.doubt
        and judged(result, verdict)["exit_code"] == 1
    )
    with pytest.raises(errors.FormatError, match="of format 1, which this version does not write"):
        Found(locate(old_image()))


def test_a_format_1_image_whose_only_header_is_lost_is_read_whole(tmp_path):
    """Case 22 as it was found: `recover` returns every frame."""
    held = read(locate(old_image("format_1_header")))
    assert (held.mended, held.left) == ([2], []) and [
        (each.first, each.last) for each in held.stretches
    ] == [(0, 50)]
    assert recover.recover(held, tmp_path)[1].verdict == "match"


def test_no_content_of_a_format_1_record_is_taken_for_a_frame(tmp_path):
    """Case 23 as it was found: a boot frame inside of an insert's vector. That insert and the put
    after it are kept."""
    held = read(locate(old_image("format_1_content")))
    result, verdict = recover.recover(held, tmp_path)
    assert [(each.first, each.last) for each in held.stretches] == [
        (0, 7)
    ] and verdict.verdict == "match"
    assert [frame[1] & 0x3F for frame in held.stretches[0].frames[-2:]] == [k.INSERT, k.PUT]


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
