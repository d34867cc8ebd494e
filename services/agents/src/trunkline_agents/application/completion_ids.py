"""Ids of completion requests."""

from __future__ import annotations

import itertools

from trunkline_protocols.ids import Instance


class CompletionIds:
    """Sequence of ids that are unique across processes and restarts."""

    def __init__(self, instance: Instance, start: int) -> None:
        """Start at a number above those of earlier runs of the process, such as its start time in milliseconds."""
        self._instance = instance
        self._numbers = itertools.count(start)

    def next(self) -> str:
        """Return the next id."""
        return f"{self._instance}-{next(self._numbers)}"
