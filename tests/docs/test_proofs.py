"""docs/proofs.md says how many cases each proof has: the numbers are those of the tests."""

import re
from pathlib import Path

import pytest

from tests.boards import test_kills, test_native_mutations, test_viper_mutations
from tests.docs import images, test_same_reading
from tests.faults import fuzz, sweep, test_breakages, test_fuzz
from tests.host import (
    test_index_damage,
    test_limits,
    test_lying_board,
    test_past_mutations,
    test_times,
)
from tests.kernel import test_kernel, test_mutations

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "proofs.md").read_text()
VECTORS = ROOT / "tests" / "conformance" / "vectors"
EXHAUSTIVE = [each for each in sweep.GEOMETRIES.values() if not each.sample]


def vectors(files):
    """Return how many vectors there are in these files: their last lines say so."""
    return sum(int(path.read_text().rsplit("end ", 1)[1]) for path in VECTORS.glob(files))


@pytest.mark.parametrize(
    "said, count",
    [
        ("%s vectors", vectors("*/*.txt")),
        ("%s of them on Cortex-M", vectors("small/*.txt")),
        ("random walks over %s configurations", len(test_kernel.CONFIGS)),
        ("exhaustive for %s small geometries", len(EXHAUSTIVE)),
        ("random for %s larger ones", len(sweep.GEOMETRIES) - len(EXHAUSTIVE)),
        ("%s kills in `make test`", test_kills.KILLS),
        ("%s decoders", len(fuzz.TARGETS)),
        ("%s fields of INFO", len(test_lying_board.GOOD) - 1),
        ("fields of INFO with %s values each", len(test_lying_board.OTHERS)),
        ("%s verbs with 37 lengths", len(test_lying_board.ASKED)),
        ("%s vast numbers at", len(test_limits.NUMBERS)),
        ("vast numbers at %s kinds of lines", len(test_limits.LINES)),
        ("%s alterations by name", len(test_index_damage.ALTERED)),
        ("in %s random lives", test_times.WORLDS),
        ("%s examples each", test_fuzz.EXAMPLES),
        ("%s images in each run", len(images.images())),
        ("one at a time | %s rules", len(test_same_reading.MUTATIONS)),
        ("`tests/kernel/test_mutations.py` | %s |", len(test_mutations.MUTATIONS)),
        ("`tests/faults/test_breakages.py` | %s |", len(test_breakages.BREAKAGES)),
        ("`tests/host/test_past_mutations.py` | %s |", len(test_past_mutations.MUTATIONS)),
        ("`tests/boards/test_native_mutations.py` | %s |", len(test_native_mutations.MUTATIONS)),
        ("`tests/boards/test_viper_mutations.py` | %s |", len(test_viper_mutations.MUTATIONS)),
    ],
)
def test_the_page_counts_as_the_tests_do(said, count):
    found = re.search(re.escape(said).replace("%s", r"([\d,]+)"), PAGE)
    assert found, said
    assert int(found[1].replace(",", "")) == count, said
