"""References to knowledge articles."""

from __future__ import annotations

from trunkline_protocols.wire import Record


class Citation(Record, frozen=True, kw_only=True):
    """A verbatim quote of one article that supports the answer."""

    document: str
    title: str
    quote: str
    rev: int = 0
    """Version of the article that the quote is verbatim in; 0 where it is not known."""


class Retrieved(Record, frozen=True, kw_only=True):
    """A passage that was found for a turn, by reference; `score` grows with relevance."""

    document: str
    score: float
