"""Any bytes at all, to every decoder of flash, link and archive: typed errors only, no hang,
bounded memory."""

import random
import signal
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared_kernel.errors import QuipuError
from tests.faults import fuzz, sweep

EXAMPLES = 200
# of memory at any one time: a few times what the largest of the inputs takes as it is
BYTES = 8 << 20
EDITS = st.lists(st.binary(min_size=fuzz.PIECE, max_size=fuzz.PIECE), max_size=6).map(b"".join)
HEAD = st.binary(min_size=1, max_size=2)  # what a target takes before the edits
BYTES_OF_ALL_KINDS = st.one_of(st.binary(max_size=200), st.builds(bytes.__add__, HEAD, EDITS))


@pytest.fixture
def watched():
    """The test takes at most sweep.HANG_S seconds and BYTES of memory more than before."""

    def late(*_):
        raise TimeoutError("a decoder hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(sweep.HANG_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_any_bytes(name, watched):
    target = fuzz.TARGETS[name]
    fuzz.tame(target, b"")  # what it builds once

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(BYTES_OF_ALL_KINDS)
    def run(data):
        fuzz.tame(target, data)

    run()


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_many_edits_take_no_more_memory(name, watched):
    rng = random.Random(1)
    target = fuzz.TARGETS[name]
    fuzz.tame(target, b"")
    tracemalloc.start()
    try:
        for _ in range(12):
            data = rng.randbytes(1 + rng.randrange(2) + fuzz.PIECE * rng.randrange(5))
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            fuzz.tame(target, data)
            assert tracemalloc.get_traced_memory()[1] - before < BYTES, data.hex()
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "name",
    [each for each in fuzz.TARGETS if each not in ("requests", "answers", "records", "told")],
)
def test_the_bytes_get_past_the_first_check(name):
    # Or nothing would be fuzzed but that one: unspoiled input is taken, and spoiled input met with
    # more than one message.
    target = fuzz.TARGETS[name]
    met = set()
    rng = random.Random(2)
    for i in range(150):
        error = fuzz.tame(target, rng.randbytes(1 + i % 2 + fuzz.PIECE * (i % 4)))
        met.add(
            "".join([each for each in str(error) if not each.isdigit()])[:60] if error else None
        )
    if name not in ("command", "archive"):  # an archive's faults are verdicts
        assert None in met
        assert len(met) >= (2 if name == "log_reader" else 3), met


def test_an_error_of_another_kind_is_a_finding():
    def careless(data):
        return data[0]

    with pytest.raises(IndexError):
        fuzz.tame(careless, b"")

    def refusing(data):
        raise QuipuError("no")

    assert isinstance(fuzz.tame(refusing, b""), QuipuError)


def test_make_fuzz_feeds_every_decoder():
    makefile = (fuzz.ROOT / "Makefile").read_text()
    (line,) = [each for each in makefile.splitlines() if each.startswith("FUZZED :=")]
    assert line.split()[2:] == list(fuzz.TARGETS)
