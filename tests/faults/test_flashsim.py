"""The simulated flash: every rule that it enforces and every fault that it can make, one by one."""

import pytest

from tests.flashsim import ERASE_STEPS, FlashSim, PowerCut, SimulatorError

# sector, page, unit
GEOMETRIES = [(512, 256, 1), (1024, 256, 4), (4096, 256, 8), (16384, 512, 16), (131072, 1024, 32)]


def data_of(sim, address, size):
    out = bytearray(size)
    sim.read(address, out)
    return bytes(out)


def cut(sim, act, *args):
    """Carry out what the power cut ends, and switch on again."""
    with pytest.raises(PowerCut):
        act(*args)
    with pytest.raises(PowerCut):
        sim.read(0, bytearray(1))
    with pytest.raises(PowerCut):
        sim.program(0, bytes(sim.unit))
    with pytest.raises(PowerCut):
        sim.erase(0)
    sim.power_on()


@pytest.mark.parametrize("sector, page, unit", GEOMETRIES)
def test_what_is_programmed_reads_back_and_an_erase_blanks_it(sector, page, unit):
    sim = FlashSim(3, sector, page, unit)
    sim.program(sector, bytes(range(32)))
    assert data_of(sim, sector, 33) == bytes(range(32)) + b"\xff"
    sim.erase(1)
    assert data_of(sim, 0, 3 * sector) == b"\xff" * (3 * sector)
    assert (sim.programs, sim.erases) == ([0, 1, 0], [0, 1, 0])
    assert (sim.bytes_programmed, sim.steps) == (32, 32 // unit + ERASE_STEPS)


@pytest.mark.parametrize("address, size", [(2, 4), (4, 2), (252, 8), (4096, 4), (-4, 4), (0, 0)])
def test_a_program_off_the_unit_over_a_page_or_outside_is_a_breach(address, size):
    with pytest.raises(SimulatorError):
        FlashSim(4, 1024, 256, 4).program(address, bytes(size))


def test_a_unit_is_programmed_once_between_two_erases():
    sim = FlashSim(2, 512, 256, 8)
    sim.program(8, b"\xf0" * 8)
    for again in (b"\xf0" * 8, b"\0" * 8, b"\xff" * 8):
        with pytest.raises(SimulatorError, match="0x8 is programmed again"):
            sim.program(8, again)
    sim.erase(0)
    sim.program(8, bytes(8))


def test_a_unit_of_all_ones_is_written_all_the_same():
    sim = FlashSim(2, 512, 256, 8)
    sim.program(0, b"\xff" * 8)
    with pytest.raises(SimulatorError):
        sim.program(0, bytes(8))


def test_nor_without_ecc_takes_more_zeros_but_no_ones():
    sim = FlashSim(2, 512, 256, 4, write_once=False)
    sim.program(0, b"\xf0" * 4)
    sim.program(0, b"\x50" * 4)
    assert data_of(sim, 0, 4) == b"\x50" * 4
    with pytest.raises(SimulatorError):
        sim.program(0, b"\x0f" * 4)


def test_where_nothing_may_be_written_a_write_is_a_breach():
    sim = FlashSim(2, 512, 256, 4)
    sim.forbidden = True
    for act, args in ((sim.program, (0, bytes(4))), (sim.erase, (0,))):
        with pytest.raises(SimulatorError):
            act(*args)
    assert data_of(sim, 0, 4) == b"\xff" * 4


def test_reads_and_erases_outside_are_breaches():
    sim = FlashSim(2, 512, 256, 4)
    for address in (-1, 1022):
        with pytest.raises(SimulatorError):
            sim.read(address, bytearray(4))
    for sector in (-1, 2):
        with pytest.raises(SimulatorError):
            sim.erase(sector)


# -- power cuts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1, 4, 8, 16, 32])
def test_a_cut_in_order_leaves_the_units_before_it_and_none_after(unit):
    for step in range(64 // unit):
        sim = FlashSim(1, 512, 256, unit, seed=step)
        sim.in_order = True
        sim.cut_after(step)
        cut(sim, sim.program, 0, bytes(64))
        assert data_of(sim, 0, step * unit) == bytes(step * unit)
        assert data_of(sim, (step + 1) * unit, 64) == b"\xff" * 64
        assert sim.cuts == 1


def test_a_cut_out_of_order_leaves_any_units_of_the_page():
    seen = set()
    for seed in range(50):
        sim = FlashSim(1, 512, 256, 8, seed=seed)
        sim.cut_after(3, "nothing")
        cut(sim, sim.program, 0, bytes(64))
        seen.add(tuple([not any(data_of(sim, i, 8)) for i in range(0, 64, 8)]))
    assert all(sum(each) == 3 for each in seen) and len(seen) > 20


def test_the_unit_in_hand_is_untouched_done_or_partly_done():
    def left(tear, seed):
        sim = FlashSim(1, 512, 256, 32, seed=seed)
        sim.cut_after(0, tear)
        cut(sim, sim.program, 0, bytes(32))
        return data_of(sim, 0, 32)

    assert {left("nothing", seed) for seed in range(20)} == {b"\xff" * 32}
    assert {left("all", seed) for seed in range(20)} == {bytes(32)}
    assert any(any(0 < byte < 255 for byte in left("some", seed)) for seed in range(20)), (
        "single bits"
    )
    heads = {left("head", seed) for seed in range(300)}
    assert heads == {bytes(n) + b"\xff" * (32 - n) for n in range(33)}, "a cut at every byte"


def test_a_torn_unit_may_not_be_programmed_before_an_erase():
    # one that reads blank no reader can know; with ECC the flash itself refuses it
    wrong = refused = 0
    for seed in range(40):
        sim = FlashSim(1, 512, 256, 8, seed=seed)
        sim.cut_after(0, "some")
        cut(sim, sim.program, 0, bytes(8))
        blank = data_of(sim, 0, 8) == b"\xff" * 8
        with pytest.raises(OSError if blank else SimulatorError):
            sim.program(0, bytes(8))
        refused += blank
        wrong += not blank
        sim.erase(0)
        sim.program(0, bytes(8))
    assert wrong and refused


def test_a_torn_unit_reads_otherwise_from_one_read_to_the_next():
    sim = FlashSim(1, 512, 256, 8, seed=3)
    sim.flicker = True
    sim.cut_after(0, "some")
    cut(sim, sim.program, 0, bytes(8))
    found = {data_of(sim, 0, 8) for _ in range(60)}
    assert {bytes(8), b"\xff" * 8} < found, "as before, as after, and in between"
    assert len({data_of(sim, 8, 8) for _ in range(60)}) == 1, "its neighbour does not"
    sim.flicker = "before"
    assert data_of(sim, 0, 8) == b"\xff" * 8
    sim.flicker = "after"
    assert data_of(sim, 0, 8) == bytes(8)
    sim.erase(0)
    sim.flicker = True
    assert {data_of(sim, 0, 8) for _ in range(60)} == {b"\xff" * 8}


def test_a_torn_unit_with_ecc_cannot_be_read():
    sim = FlashSim(1, 512, 256, 16, seed=3)
    sim.ecc = True
    sim.program(16, bytes(16))
    sim.cut_after(0, "some")
    cut(sim, sim.program, 0, bytes(16))
    for address, size in ((0, 1), (15, 1), (0, 32), (15, 2)):
        with pytest.raises(OSError):
            sim.read(address, bytearray(size))
    assert data_of(sim, 16, 16) == bytes(16)
    sim.erase(0)
    assert data_of(sim, 0, 32) == b"\xff" * 32


@pytest.mark.parametrize("sector, page, unit", GEOMETRIES)
def test_an_erase_cut_short_leaves_old_bytes_blank_ones_and_noise(sector, page, unit):
    old = blank = noise = 0
    for seed in range(30):
        for step in range(ERASE_STEPS):
            sim = FlashSim(2, sector, page, unit, seed=seed)
            for at in range(0, sector, page):
                sim.program(at, b"\x5a" * page)
            sim.cut_after(step, "some")
            cut(sim, sim.erase, 0)
            now = data_of(sim, 0, sector)
            old += now.count(0x5A)
            blank += now.count(0xFF)
            noise += sector - now.count(0x5A) - now.count(0xFF)
            assert all(each & 0x5A == 0x5A for each in now), "an erase sets bits and clears none"
            if now[:unit] == b"\xff" * unit:
                with pytest.raises((SimulatorError, OSError)):
                    sim.program(0, bytes(unit))
    assert old and blank and noise


def test_an_erase_cut_late_may_look_complete_and_is_not():
    sim = FlashSim(2, 512, 256, 4)
    sim.program(0, bytes(64))
    sim.cut_after(ERASE_STEPS - 1, "all")
    cut(sim, sim.erase, 0)
    assert data_of(sim, 0, 512) == b"\xff" * 512
    with pytest.raises((SimulatorError, OSError)):
        sim.program(0, bytes(4))


def test_a_cut_at_a_read_changes_nothing():
    sim = FlashSim(2, 512, 256, 4)
    sim.program(0, bytes(64))
    before = bytes(sim.bytes)
    sim.cut_after_reads(2)
    data_of(sim, 0, 4), data_of(sim, 0, 4)
    cut(sim, sim.read, 0, bytearray(4))
    assert bytes(sim.bytes) == before and sim.cuts == 1
    assert data_of(sim, 0, 64) == bytes(64)


# -- sectors and bits that are bad -----------------------------------------------------------------


def test_a_stuck_sector_raises_lies_or_errs():
    sim = FlashSim(4, 512, 256, 4)
    for each in range(4):
        sim.program(each * 512, b"\x55" * 4)
    sim.stuck = {0: ("raise", "raise"), 1: ("nothing", "nothing"), 2: ("wrong", "wrong")}
    with pytest.raises(OSError):
        sim.program(4, bytes(4))
    with pytest.raises(OSError):
        sim.erase(0)
    sim.program(512 + 4, bytes(4))
    sim.erase(1)
    assert data_of(sim, 512, 8) == b"\x55" * 4 + b"\xff" * 4
    sim.program(1024 + 4, bytes(4))
    assert sum(bin(each).count("1") for each in data_of(sim, 1024 + 4, 4)) == 1
    sim.program(1024 + 256, bytes(4))
    sim.erase(2)
    assert data_of(sim, 1024, 4) == b"\x55" * 4 and data_of(sim, 1024 + 256, 4) == b"\xff" * 4
    sim.program(3 * 512 + 4, bytes(4))
    sim.erase(3)
    assert data_of(sim, 3 * 512, 8) == b"\xff" * 8


@pytest.mark.parametrize("worn", [("raise", "raise"), ("nothing", "nothing"), (None, "wrong")])
def test_a_sector_wears_out_after_so_many_erases(worn):
    sim = FlashSim(2, 512, 256, 4)
    sim.endurance, sim.worn = 5, worn
    for _ in range(5):
        sim.program(0, bytes(4))
        sim.erase(0)
    assert not sim.stuck
    sim.program(0, bytes(4))
    if worn[1] == "raise":
        with pytest.raises(OSError):
            sim.erase(0)
    else:
        sim.erase(0)
    assert data_of(sim, 0, 4) == bytes(4) and sim.stuck == {0: worn} and sim.erases == [6, 0]
    assert sim.clone(1).endurance == 5


def test_a_flipped_bit_stays_and_a_flip_in_a_reading_does_not():
    sim = FlashSim(2, 512, 256, 4)
    sim.flip(9, 3)
    assert data_of(sim, 8, 4) == b"\xff\xf7\xff\xff"
    sim.flip(9, 3)
    sim.read_flips = 4
    wrong = [each for each in [data_of(sim, 0, 64) for _ in range(400)] if each != b"\xff" * 64]
    assert 50 < len(wrong) < 150
    assert all(sum(bin(byte ^ 0xFF).count("1") for byte in each) == 1 for each in wrong)
    sim.read_flips = 0
    assert data_of(sim, 0, 64) == b"\xff" * 64


# -- what stands behind it -------------------------------------------------------------------------


def test_an_image_is_where_it_begins():
    sim = FlashSim(2, 512, 256, 4, image=bytes(8) + b"\xff" * 1016)
    assert data_of(sim, 0, 9) == bytes(8) + b"\xff"
    sim.program(8, bytes(4))
    with pytest.raises(SimulatorError):
        sim.program(4, bytes(4))
    with pytest.raises(
        ValueError, match="1023 bytes is not the flash of 2 sectors of 512, 1024 bytes"
    ):
        FlashSim(2, 512, 256, 4, image=bytes(1023))


def test_a_file_behind_it_has_every_change_at_once(tmp_path):
    file = str(tmp_path / "flash.bin")
    sim = FlashSim(3, 512, 256, 4, file=file)

    def same():
        with open(file, "rb") as f:
            assert f.read() == bytes(sim.bytes)

    same()
    sim.program(512, bytes(64))
    same()
    sim.flip(600, 1)
    same()
    sim.cut_after(5)
    cut(sim, sim.program, 1024, bytes(64))
    same()
    sim.cut_after(1)
    cut(sim, sim.erase, 1)
    same()
    sim.half_erase(1, 40)
    same()
    sim.erase(2)
    same()
    again = FlashSim(3, 512, 256, 4, file=file)
    assert again.bytes == sim.bytes
    with pytest.raises(ValueError, match="1536 bytes is not the flash of 4 sectors"):
        FlashSim(4, 512, 256, 4, file=file)


def test_the_same_seed_gives_the_same_faults():
    def left(seed):
        sim = FlashSim(2, 512, 256, 4, seed=seed)
        for i in range(8):
            sim.program(64 * i, bytes(64))
        sim.cut_after(1)
        cut(sim, sim.erase, 0)
        sim.cut_after(7)
        cut(sim, sim.program, 512, bytes(64))
        return bytes(sim.bytes)

    assert left(1) == left(1) and len({left(seed) for seed in range(10)}) == 10
