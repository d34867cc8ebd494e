"""What audit keeps of a message, and how long it waits between tries. Pure.

The bytes are the truth: `raw` is what the stream holds, whatever it is. Everything else is there so that people can
search: columns from the subject and from the message's head, and the payload as jsonb where PostgreSQL can hold it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec.json import Decoder
from trunkline_protocols import subjects
from trunkline_protocols.ids import ConversationId, InvalidIdError, turn_id

_FIRST_DELAY_S: Final = 0.2
_LONGEST_DELAY_S: Final = 5.0

_NUL: Final = "\x00"
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""The JSON escape itself, not an escaped backslash before the letters u0000."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a stream holds it. `sequence` and `at` together name it, even when a stream was made anew."""

    stream: str
    sequence: int
    at: datetime
    subject: str
    payload: bytes


class Row(NamedTuple):
    """A line of table `messages`, in the order of its columns."""

    stream: str
    sequence: int
    at: datetime
    received_at: datetime
    subject: str
    region: str | None
    conversation: str | None
    turn: str | None
    type: str | None
    payload: str | None
    raw: bytes
    sha256: bytes


class _Head(msgspec.Struct):
    """The fields that audit reads of any message; those of other messages are absent."""

    type: str | None = None
    turn: str | None = None
    subject: str = ""


class _Place(NamedTuple):
    region: str | None = None
    conversation: ConversationId | None = None


_head: Final[Decoder[_Head]] = Decoder(_Head)
_NO_HEAD: Final = _Head()
_NOWHERE: Final = _Place()


def row_of(message: Message, received_at: datetime) -> Row:
    """Tell what is kept of a message; never fails, whatever the payload is."""
    text = _json_text(message.payload)
    head = _read_head(message.payload)
    place = _place_of(head.subject if head.type == "dead_letter" else message.subject)
    turn = head.turn
    if head.type == "turn.received" and place.conversation is not None:
        turn = turn_id(place.conversation, message.sequence)
    return Row(
        stream=message.stream,
        sequence=message.sequence,
        at=message.at,
        received_at=received_at,
        subject=message.subject,
        region=place.region,
        conversation=place.conversation,
        turn=_without_nul(turn),
        type=_without_nul(head.type),
        payload=text,
        raw=message.payload,
        sha256=hashlib.sha256(message.payload).digest(),
    )


def delay_s(failures: int, chance: float) -> float:
    """Seconds until the next try after so many failures; `chance` in [0, 1) spreads those who wait together."""
    longest = min(_FIRST_DELAY_S * 2.0 ** min(failures - 1, 16), _LONGEST_DELAY_S)
    return longest * (0.5 + chance / 2)


def _json_text(payload: bytes) -> str | None:
    """Return JSON as text with its numbers as they are written, None for what is no JSON.

    jsonb has no NUL: it shows as the replacement character there, and as itself in `raw`.
    """
    try:
        text = payload.decode()
        msgspec.json.decode(payload, type=msgspec.Raw)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    return _ESCAPED_NUL.sub(rf"\1{_REPLACEMENT}", text) if "\\u0000" in text else text


def _read_head(payload: bytes) -> _Head:
    try:
        return _head.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NO_HEAD


def _place_of(subject: str) -> _Place:
    try:
        parsed = subjects.parse_conversation(subject)
    except InvalidIdError:
        return _NOWHERE
    return _Place(parsed.region, parsed.conversation)


def _without_nul(text: str | None) -> str | None:
    return None if text is None else text.replace(_NUL, _REPLACEMENT)
