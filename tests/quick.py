"""What `make test` leaves to `make nightly`: most rows of the long tables of mutations, and the
long forms of random tests.

A table that breaks one line after another proves that tests can fail. Of each, a quick run takes a
few rows, other ones whenever a source changes; QUIPU_WHOLE=1, which `make nightly PART=tests` sets,
takes all."""

import functools
import os
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WHOLE = os.environ.get("QUIPU_WHOLE") == "1"
nightly = pytest.mark.skipif(not WHOLE, reason="of `make nightly PART=tests`")


@functools.cache
def _sources():
    """Return a number that changes with each source of the product."""
    out = 0
    for folder in ("shared_kernel", "firmware", "host"):
        for path in sorted((ROOT / folder).rglob("*.py")) + sorted((ROOT / folder).rglob("*.c")):
            out = zlib.crc32(path.read_bytes(), out)
    return out


def some(rows, count):
    """Return `count` of the rows, in their order, the same ones as long as no source changes; all
    of them in a whole run."""
    rows = list(rows)
    if WHOLE or len(rows) <= count:
        return rows
    places = sorted(range(len(rows)), key=lambda i: zlib.crc32(b"%d" % i, _sources()))
    return [rows[i] for i in sorted(places[:count])]


def long(whole, quick):
    """Return how often, or how long, something is tried: `quick` in a quick run."""
    return whole if WHOLE else quick
