"""The end of a conversation that is kept for the customer's next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace
from trunkline_protocols.context import Utterance

_MAX_CHARACTERS: Final = 160
"""Characters of each message: four of them stay far below the size of all facts."""


def last_messages(transcript: Sequence[Utterance], number: int) -> list[Utterance]:
    """Return the last messages of a transcript, each shortened."""
    return [replace(each, text=_shortened(each.text), documents=[]) for each in transcript[-number:]]


def _shortened(text: str) -> str:
    line = " ".join(text[: 4 * _MAX_CHARACTERS].split())
    return line if len(line) <= _MAX_CHARACTERS else line[: _MAX_CHARACTERS - 1] + "…"
