"""The summary of a long conversation: what was said before the transcript begins, a line each, bounded.

A fold like the state itself, from the log alone: every process that rebuilds a conversation gets the same summary.
"""

from __future__ import annotations

from typing import Final

from trunkline_protocols.context import Utterance
from trunkline_protocols.rules.summary import line_of

LONGEST_SUMMARY: Final = 2_000
"""Characters. Over it the oldest lines go, but for the first: what the conversation began with."""

_LINE: Final = 120


def summarised(summary: str, oldest: Utterance) -> str:
    """Add what was said to a summary."""
    lines = [*summary.splitlines(), line_of(oldest, longest=_LINE)]
    while len(lines) > 2 and sum(len(line) + 1 for line in lines) > LONGEST_SUMMARY:  # noqa: PLR2004 - first and last stay
        lines.pop(1)
    return "\n".join(lines)
