"""Recorded conversations: the customer's messages of each, in order, in the format of MultiDoGO."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from trunkline_protocols.decoding import DecodeError, Decoder
from trunkline_protocols.frames import MAX_TEXT_CHARACTERS


class ReplayError(ValueError):
    """A line that is not a recorded conversation; the message names the line."""


class _Turn(msgspec.Struct):
    text: str
    turn: int | None = None


class _Line(msgspec.Struct):
    """A line of `multidogo.conversations.jsonl`: turns of the customer, numbered within the conversation."""

    conversation: str
    turns: list[_Turn]


_DECODER: Decoder[_Line] = Decoder(_Line)


def read_dialogues(lines: Iterable[bytes]) -> list[list[str]]:
    """Return the texts of each conversation in the order of its turns.

    Empty texts are left out, and conversations without any; texts over the limit of a message are cut.

    Raises:
        ReplayError: if a line is not a conversation, or two turns of one have the same number.

    """
    dialogues = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and (texts := _texts_of(number, line)):
            dialogues.append(texts)
    return dialogues


def _texts_of(number: int, line: bytes) -> list[str]:
    try:
        parsed = _DECODER.decode(line)
    except DecodeError as error:
        raise ReplayError(f"line {number}: {error}") from error
    numbers = [turn.turn for turn in parsed.turns if turn.turn is not None]
    if len(set(numbers)) != len(numbers):
        raise ReplayError(f"line {number}: conversation {parsed.conversation} has two turns of one number")
    turns = sorted(parsed.turns, key=lambda turn: turn.turn if turn.turn is not None else -1)
    return [turn.text[:MAX_TEXT_CHARACTERS] for turn in turns if turn.text.strip()]
