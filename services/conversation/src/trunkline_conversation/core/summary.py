"""Bounded summary of the part of a conversation that precedes the verbatim transcript, one line per utterance.

It is folded from the log alone, like the state: every process that rebuilds a conversation gets the same summary.
"""

from __future__ import annotations

from typing import Final

from trunkline_protocols.context import Utterance
from trunkline_protocols.rules.summary import line_of

MAX_SUMMARY_CHARACTERS: Final = 2_000
"""Beyond it the oldest lines are removed, except the first: it holds the customer's original request."""

_MAX_LINE_CHARACTERS: Final = 120


def append_to_summary(summary: str, oldest: Utterance) -> str:
    """Append a line for an utterance and trim the summary to its maximum length."""
    lines = [*summary.splitlines(), line_of(oldest, max_characters=_MAX_LINE_CHARACTERS)]
    while len(lines) > 2 and sum(len(line) + 1 for line in lines) > MAX_SUMMARY_CHARACTERS:  # noqa: PLR2004 - first and last stay
        lines.pop(1)
    return "\n".join(lines)
