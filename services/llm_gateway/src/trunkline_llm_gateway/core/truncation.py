"""Answers cut at the limit of tokens: when to continue one, and the mark of one that stays incomplete."""

from __future__ import annotations

from typing import Final

MAX_CONTINUATIONS: Final = 2
_ENDS: Final = tuple(".!?:)]\"'\u2026\u3002\uff01\uff1f\u300d\uff09\u00bb\u201d")
"""Last characters of a complete text, in Western and East Asian scripts."""


def may_continue(parts_done: int, *, part_s: float, remaining_s: float) -> bool:
    """Return whether to continue an answer after `parts_done` parts.

    `part_s` is the time of the last part in seconds: the next one takes as long and must end before the deadline.
    """
    return parts_done <= MAX_CONTINUATIONS and part_s < remaining_s


def truncation_mark(text: str) -> str:
    """Return the mark to append to a text that is incomplete, empty if it ends like a complete one."""
    if not text.strip() or text.rstrip().endswith(_ENDS):
        return ""
    return "…" if text[-1].isspace() else " …"
