"""What a customer said, and the conversation that it ends: as an example teaches it, and as a transcript has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from trunkline_protocols.context import Utterance

CUSTOMER: Final = "customer"

_LINE: Final = re.compile(r"\s*([A-Za-z][\w -]{0,40}):\s+(.*)")


class ConversationExample(NamedTuple):
    """A message; `conversation` is all that was said up to it, itself included, and empty where it is the first."""

    text: str
    conversation: str = ""


def read_conversation(written: str) -> ConversationExample:
    """Read lines of `speaker: text`: the customer speaks first, and their last line is the message.

    A line without a speaker goes on with the one above; a text whose first line has none is a message alone.
    """
    lines: list[tuple[str, str]] = []
    for line in written.strip().splitlines():
        spoken = _LINE.fullmatch(line)
        if spoken is not None:
            lines.append((spoken[1], spoken[2]))
        elif lines:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {line}")
        else:
            return ConversationExample(written)
    if not lines:
        return ConversationExample(written)
    customer, _ = lines[0]
    last = next(text for speaker, text in reversed(lines) if speaker == customer)
    return ConversationExample(last, written if len(lines) > 1 else "")


def said_after(transcript: Sequence[Utterance], text: str) -> ConversationExample:
    """Put a message behind what was said before it."""
    if not transcript:
        return ConversationExample(text)
    lines = [f"{said.specialty or CUSTOMER}: {said.text}" for said in transcript]
    return ConversationExample(text, "\n".join([*lines, f"{CUSTOMER}: {text}"]))
