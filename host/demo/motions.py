"""Reads BasicMotions (four activities, worn on the wrist, 6 channels of 100 steps at 10 Hz) and
turns each series into 16 Q16.16 integers. Integers throughout: a board would compute the very same
features.

The recordings come as text inside the wheel of the PyPI package `aeon`; nothing of that package is
imported."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from shared_kernel.fixed import from_text

CHANNELS = 6  # accelerometer x, y, z; gyroscope x, y, z
DIM = 16


class Series(NamedTuple):
    """One recording: its activity, and for each channel its samples in Q16.16."""

    activity: str
    channels: list[list[int]]


def read(part: str) -> tuple[list[str], list[Series]]:
    """Return (activities, series) of BasicMotions' part "TRAIN" or "TEST"."""
    spec = importlib.util.find_spec("aeon")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "the recordings are in the package aeon, which is not installed: run `make demo`, or\n"
            "    pip install --no-deps aeon==1.6.0"
        )
    path = Path(
        spec.submodule_search_locations[0],
        "datasets",
        "data",
        "BasicMotions",
        f"BasicMotions_{part}.ts",
    )
    activities: list[str] = []
    series = []
    for line in path.read_text().splitlines():
        if line.startswith("@classLabel"):
            activities = line.split()[2:]
        elif line and line[0] not in "#@":
            *channels, label = line.split(":")
            series.append(
                Series(
                    label.strip(),
                    [[from_text(each) for each in channel.split(",")] for channel in channels],
                )
            )
    if (
        len(activities) != 4
        or len(series) != 40
        or any(len(each.channels) != CHANNELS for each in series)
    ):
        raise SystemExit(
            f"{path} is not the BasicMotions that this demo knows: 4 activities, 40 series of 6 "
            f"channels"
        )
    return activities, series


def features(series: Series) -> list[int]:
    """Return 16 Q16.16 integers: for each channel the mean and the mean absolute deviation; for
    each accelerometer axis and for the gyroscope as a whole the mean absolute change from one
    sample to the next. Every mean is a floor division."""
    out = []
    steps = []
    for samples in series.channels:
        n = len(samples)
        mean = sum(samples) // n
        out += [mean, sum(abs(x - mean) for x in samples) // n]
        steps.append(sum(abs(b - a) for a, b in zip(samples, samples[1:], strict=False)) // (n - 1))
    return [*out, *steps[:3], sum(steps[3:]) // 3]
