"""Frame types as words, for people. Never loaded on a board."""

from .frames import ACKNOWLEDGED, BOOT, CHECKPOINT, CLOCK, GENESIS, QUARANTINE, SKIPPABLE, SNAPSHOT
from .kernel import (
    CREATE_EDGE,
    CREATE_NODE,
    DELETE,
    DELETE_EDGE,
    DELETE_KEY,
    DELETE_NODE,
    INSERT,
    PUT,
    UPDATE,
)

NAMES = {
    GENESIS: "genesis",
    BOOT: "boot",
    CHECKPOINT: "checkpoint",
    CLOCK: "clock",
    INSERT: "insert",
    UPDATE: "update",
    DELETE: "delete",
    CREATE_NODE: "create-node",
    DELETE_NODE: "delete-node",
    CREATE_EDGE: "create-edge",
    DELETE_EDGE: "delete-edge",
    PUT: "put",
    DELETE_KEY: "delete-key",
    QUARANTINE: "quarantine",
    ACKNOWLEDGED: "acknowledged",
    SNAPSHOT: "snapshot",
}


def is_command(kind: int) -> bool:
    """Return whether a type (token bit included or not) is a state-changing command's."""
    return kind < SKIPPABLE and kind & 0x3F >= 0x10
