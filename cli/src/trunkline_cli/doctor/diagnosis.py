"""One line of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["ok", "note", "error"]
"""In order, different from the specification without harm, or a reason for which the suite does not work."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A level, the part that it is about, and the text with the remedy."""

    level: Level
    part: str
    text: str
