"""What test_viper.py promises of distances and the nearest can fail: each line of the assembler,
changed, turns a test red."""

import shutil

import pytest
from mpremote.transport import TransportExecError
from quipu.build.emulator import Emulator

from tests import quick
from tests.boards import test_viper
from tests.mutate import mutate

M0, M4 = "MICROBIT_M0", "MPS2_AN386"
MUTATIONS = (
    (M4, "    bvs(WIDE)\n", "", test_viper.test_distances_at_the_edge_of_saturation),
    (M4, "    blt(SATURATE)\n", "", test_viper.test_distances_at_the_edge_of_saturation),
    (M4, "    add(r4, r4, r5)\n", "", test_viper.test_distances_at_the_edge_of_saturation),
    (
        M0,
        "    adc(r3, r5)\n    bcs(SATURATE)\n",
        "    adc(r3, r5)\n",
        test_viper.test_distances_at_the_edge_of_saturation,
    ),
    (M0, "    bpl(MORE)\n", "    b(MORE)\n", test_viper.test_distances_at_the_edge_of_saturation),
    (M0, "    bge(ABOVE)\n", "    bcs(ABOVE)\n", test_viper.test_distances),
    (M4, "    cmp(r1, 0)\n    beq(NEXT_SLOT)\n", "", test_viper.test_search),
    (
        M4,
        "    bne(NEXT_SLOT)\n    label(ANY_TAG)\n",
        "    label(ANY_TAG)\n",
        test_viper.test_search,
    ),
    (M4, "    ldr(r1, [r7, _ROW])\n", "", test_viper.test_search),
    (M4, "    ldr(r2, [r7, _PER])\n", "", test_viper.test_search),
    (
        M4,
        "    cmp(r7, r3)\n    bcc(AFTER)\n",
        "    cmp(r7, r3)\n    bls(AFTER)\n",
        test_viper.test_search,
    ),
    (
        M4,
        "    cmp(r7, r2)\n    bcc(AFTER)\n",
        "    cmp(r7, r2)\n    blt(AFTER)\n",
        test_viper.test_search,
    ),
    (M4, "    cmp(r7, r5)\n    bcc(AFTER)\n", "    cmp(r7, r5)\n", test_viper.test_search),
)


def altered(folder, line="", other=""):
    """Return a folder with the modules, thumb.py's line altered; it must stand there once."""
    for module in test_viper.MODULES:
        shutil.copy(test_viper.ROOT / "firmware" / "quipu" / (module + ".py"), folder)
    source = (folder / "thumb.py").read_text()
    (folder / "thumb.py").write_text(mutate(source, line, other, "thumb.py") if line else source)
    return folder


@pytest.mark.parametrize("name", (M0, M4))
def test_what_is_mutated_is_right_before(tmp_path, name):
    with Emulator(name, frozen=False) as emulator:
        board = test_viper.Board(emulator, tmp_path, altered(tmp_path))
        for promise in dict.fromkeys(promise for each, _, _, promise in MUTATIONS if each == name):
            promise(board)
        board.transport.close()


def test_the_lines_are_there(tmp_path):
    for _, line, other, _ in MUTATIONS:
        altered(tmp_path, line, other)


@pytest.mark.parametrize("name, line, other, promise", quick.some(MUTATIONS, 3))
def test_an_altered_line_of_the_assembler_is_noticed(tmp_path, name, line, other, promise):
    with Emulator(name, frozen=False) as emulator:
        board = test_viper.Board(emulator, tmp_path, altered(tmp_path, line, other))
        with pytest.raises((AssertionError, TransportExecError)):
            promise(board)
        board.transport.close()
