"""References to knowledge articles."""

from __future__ import annotations

from trunkline_protocols.texts import Text
from trunkline_protocols.wire import Record


class Citation(Record, frozen=True, kw_only=True):
    """A verbatim quote of an article that supports the answer."""

    document: str
    title: str
    quote: Text
    rev: int = 0
    """Article version that contains the quote verbatim; 0 if unknown."""
    statement: Text = ""
    """Sentence of the answer that the quote supports, without markup; empty if the answer contains the quote itself."""
    mark: int = 0
    """Number in the mark `[n]` that the model wrote behind the statement; 0 without one."""


class Retrieved(Record, frozen=True, kw_only=True):
    """Reference to a passage retrieved for a turn; a higher `score` means more relevant."""

    document: str
    score: float
    rev: int = 0
    """Article version that contains the passage verbatim; 0 if unknown."""
