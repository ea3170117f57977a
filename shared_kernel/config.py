"""The configuration of a log: capacities, fixed at its genesis. Imported where one is checked, not
while the log runs."""

from .errors import Invalid

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import Config, Iterable

CONFIG_NAMES = ("dim", "records", "nodes", "edges", "keys", "meta_bytes", "value_bytes")
CONFIG_LIMITS = (
    (1, 4096),
    (0, 1 << 20),
    (0, 1 << 20),
    (0, 1 << 20),
    (0, 1 << 20),
    (0, 255),
    (0, 4096),
)


def check_config(config: "Iterable[int]") -> "Config":
    """Return config as a tuple of ints in the order of CONFIG_NAMES, or raise Invalid with the
    range that it breaks."""
    config = tuple(config)
    if len(config) != len(CONFIG_NAMES):
        raise Invalid(
            "a configuration has %d numbers (%s), not %d"
            % (len(CONFIG_NAMES), ", ".join(CONFIG_NAMES), len(config))
        )
    for i in range(len(config)):
        low, high = CONFIG_LIMITS[i]
        if not low <= config[i] <= high:
            raise Invalid("%s must be %d to %d, not %d" % (CONFIG_NAMES[i], low, high, config[i]))
    return config
