"""What a message may continue: the question before it and the articles that answered it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from trunkline_language.terms import tokenize
from trunkline_protocols.context import Utterance

_MAX_EXCHANGES: Final = 3
"""Exchanges before the message in which its subject is looked for."""


_MAX_FRAGMENT_WORDS: Final = 5

_CORRECTION: Final = re.compile(
    r"\b(?:i (?:really |actually )?(?:mean|meant)|i'?d rather|rather than|instead|not (?:that|this|the) one"
    r"|wrong (?:one|product))\b",
    re.IGNORECASE,
)
"""Words of a customer who corrects the subject: the articles that were cited are the wrong ones."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The customer's earlier question, empty at the start, and the articles that its answer cited."""

    question: str = ""
    documents: list[str] = field(default_factory=list)


def follow_up_of(text: str, transcript: Sequence[Utterance]) -> FollowUp:
    """Return what `text` may continue: the last question that was answered from articles.

    A fragment of a few words continues the last message too, for example an answer to a question that asked back.
    A correction continues the question, but not its answer.
    """
    exchanges = _exchanges(transcript)[-_MAX_EXCHANGES:]
    for question, documents in reversed(exchanges):
        if documents:
            return FollowUp(question, [] if _CORRECTION.search(text) else documents)
    is_fragment = len(tokenize(text)) <= _MAX_FRAGMENT_WORDS
    return FollowUp(exchanges[-1][0]) if exchanges and is_fragment else FollowUp()


def _exchanges(transcript: Sequence[Utterance]) -> list[tuple[str, list[str]]]:
    """Return the customer's messages with the articles that the reply to each cites."""
    found: list[tuple[str, list[str]]] = []
    for utterance in transcript:
        if utterance.role == "customer":
            found.append((utterance.text, []))
        elif utterance.role == "agent" and found:
            found[-1][1].extend(utterance.documents)
    return found
