"""Input of the classifier, in training and in use: a customer's message and the conversation that ends with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from trunkline_protocols.context import Utterance

CUSTOMER: Final = "customer"

_LINE: Final = re.compile(r"\s*([A-Za-z][\w -]{0,40}):\s+(.*)")


class ConversationExample(NamedTuple):
    """A message; `conversation` is the dialogue up to and including it, empty if it is the first message."""

    text: str
    conversation: str = ""


def parse_conversation(source: str) -> ConversationExample:
    """Parse lines of `speaker: text`; the customer speaks first, and their last line is the message.

    A line without a speaker continues the previous one; if the first line has none, the whole text is one message.
    """
    lines: list[tuple[str, str]] = []
    for line in source.strip().splitlines():
        match = _LINE.fullmatch(line)
        if match is not None:
            lines.append((match[1], match[2]))
        elif lines:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {line}")
        else:
            return ConversationExample(source)
    if not lines:
        return ConversationExample(source)
    customer, _ = lines[0]
    last = next(text for speaker, text in reversed(lines) if speaker == customer)
    return ConversationExample(last, source if len(lines) > 1 else "")


def with_transcript(transcript: Sequence[Utterance], text: str) -> ConversationExample:
    """Append a message to the transcript that precedes it."""
    if not transcript:
        return ConversationExample(text)
    lines = [f"{utterance.specialty or CUSTOMER}: {utterance.text}" for utterance in transcript]
    return ConversationExample(text, "\n".join([*lines, f"{CUSTOMER}: {text}"]))
