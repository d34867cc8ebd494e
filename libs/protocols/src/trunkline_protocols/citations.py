"""References to knowledge articles."""

from __future__ import annotations

from trunkline_protocols.wire import Record


class Citation(Record, frozen=True, kw_only=True):
    """A verbatim quote of an article that supports the answer."""

    document: str
    title: str
    quote: str
    rev: int = 0
    """Article version that contains the quote verbatim; 0 if unknown."""
    mark: int = 0
    """Number of the mark `[n]` in the answer that the quote supports; 0 if the answer contains the quote itself."""


class Retrieved(Record, frozen=True, kw_only=True):
    """Reference to a passage retrieved for a turn; a higher `score` means more relevant."""

    document: str
    score: float
