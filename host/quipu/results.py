"""What a verb that did something returns: a record that is plain data when it is asked for. Holds
no rule of any verb."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Result:
    """The base of such records; each says in its own text what its fields are."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)
