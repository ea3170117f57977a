"""Benchmarks: every figure that the documents quote, beside its peers. `make bench` runs them;
tests/bench tests them."""
