"""The account that a suite runs as if it is started as root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SERVICE_UID: Final = 10001
"""The uid that the suite drops to unless another account is named; the same as in the container image."""

SERVICE_NAME: Final = "trunkline"


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this machine."""

    name: str
    """Empty for a uid without an entry in the user database."""
    uid: int
    gid: int

    def __str__(self) -> str:
        """Return name and uid."""
        return f"{self.name} (uid {self.uid})" if self.name else f"uid {self.uid}"
