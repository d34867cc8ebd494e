"""The archived row of a message, and the delay between retries. Pure.

The bytes are authoritative: `raw` is the payload as the stream holds it. The other columns serve queries: fields of
the subject and of the message, and the payload as jsonb if PostgreSQL can represent it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from trunkline_protocols import subjects
from trunkline_protocols.decoding import DecodeError, Decoder, decode_text
from trunkline_protocols.ids import ConversationId, InvalidIdError, turn_id

_MIN_DELAY_S: Final = 0.2
_MAX_DELAY_S: Final = 5.0

_NUL: Final = "\x00"
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""The JSON escape itself, not an escaped backslash before the letters u0000."""


@dataclass(frozen=True, slots=True)
class AuditedMessage:
    """A message as a stream holds it. `sequence` and `at` identify it, even if the stream was re-created."""

    stream: str
    sequence: int
    at: datetime
    subject: str
    payload: bytes


class ArchiveRow(NamedTuple):
    """A row of table `messages`, in the order of its columns."""

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
    raw: bytes | None
    """None once the record is archived and trimmed."""
    sha256: bytes


class _Head(msgspec.Struct):
    """The fields that are read from any message; absent ones have their default."""

    type: str | None = None
    turn: str | None = None
    subject: str = ""


class _Region(msgspec.Struct):
    """The field that names the region of a customer's data in its messages."""

    region: str = ""


class _Address(NamedTuple):
    region: str | None = None
    conversation: ConversationId | None = None


_head: Final[Decoder[_Head]] = Decoder(_Head)
_region: Final[Decoder[_Region]] = Decoder(_Region)
_any_json: Final[Decoder[msgspec.Raw]] = Decoder(msgspec.Raw)
_json_values: Final[Decoder[object]] = Decoder(object)
_NO_HEAD: Final = _Head()
_NO_ADDRESS: Final = _Address()


def row_of(message: AuditedMessage, received_at: datetime) -> ArchiveRow:
    """Return the row of a message; never fails, for any payload."""
    text = _json_text(message.payload)
    head = _read_head(message.payload)
    address = _parse_address(head.subject if head.type == "dead_letter" else message.subject)
    turn = head.turn
    if head.type == "turn.received" and address.conversation is not None:
        turn = turn_id(address.conversation, message.sequence)
    return ArchiveRow(
        stream=message.stream,
        sequence=message.sequence,
        at=message.at,
        received_at=received_at,
        subject=message.subject,
        region=address.region,
        conversation=address.conversation,
        turn=_without_nul(turn),
        type=_without_nul(head.type),
        payload=text,
        raw=message.payload,
        sha256=hashlib.sha256(message.payload).digest(),
    )


def foreign_region(message: AuditedMessage, region: str) -> str | None:
    """Return the region that a message of another one belongs to, by its subject or its content; None for an own one.

    A subject that names no region is not foreign; a dead letter counts by the subject that it came from.
    """
    head = _read_head(message.payload)
    try:
        of_subject = subjects.region_of(head.subject if head.type == "dead_letter" else message.subject)
    except InvalidIdError:
        of_subject = None
    named = [each for each in (of_subject, _read_region(message.payload)) if each]
    return next((each for each in named if each != region), None)


def row_variants(row: ArchiveRow) -> Iterator[ArchiveRow]:
    """Yield the row, then forms with less that a database may still accept; all of them keep the bytes.

    Without the payload as jsonb, and with ASCII alone in the columns of text, for a database in another encoding.
    """
    yield row
    without_payload = row._replace(payload=None)
    yield without_payload
    yield without_payload._replace(
        subject=_ascii(row.subject),
        region=_optional_ascii(row.region),
        conversation=_optional_ascii(row.conversation),
        turn=_optional_ascii(row.turn),
        type=_optional_ascii(row.type),
    )


def changed_columns(row: ArchiveRow) -> list[str]:
    """Return the columns of a stored row that do not follow from its bytes and its subject.

    Without its bytes nothing can be compared: they are in an archive.
    """
    if row.raw is None:
        return []
    expected = row_of(AuditedMessage(row.stream, row.sequence, row.at, row.subject, row.raw), row.received_at)
    variants = [_comparable(variant) for variant in row_variants(expected)]
    stored = _comparable(row)
    return min(
        ([name for name in ArchiveRow._fields if stored[name] != variant[name]] for variant in variants), key=len
    )


def _comparable(row: ArchiveRow) -> dict[str, Any]:
    """Return the columns with the payload as a value: jsonb keeps neither blanks nor the order of keys."""
    return row._asdict() | {"payload": _json_value(row.payload) if row.payload is not None else None}


def _json_value(text: str) -> object:
    """Return the value of JSON; an empty object if its numbers are too long for Python, as it is then in both forms."""
    try:
        return _json_values.decode(text.encode())
    except DecodeError:
        return {}


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _optional_ascii(text: str | None) -> str | None:
    return None if text is None else _ascii(text)


def retry_delay_s(failures: int, jitter: float) -> float:
    """Return the seconds until the next retry: exponential backoff; `jitter` in [0, 1) spreads several processes."""
    upper = min(_MIN_DELAY_S * 2.0 ** min(failures - 1, 16), _MAX_DELAY_S)
    return upper * (0.5 + jitter / 2)


def _json_text(payload: bytes) -> str | None:
    """Return JSON as text that keeps the notation of its numbers, None if the payload is not JSON.

    jsonb cannot hold NUL, which is stored as the replacement character there, and unchanged in `raw`.
    """
    try:
        text = decode_text(payload)
        _any_json.decode(payload)
    except DecodeError:
        return None
    return _ESCAPED_NUL.sub(rf"\1{_REPLACEMENT}", text) if "\\u0000" in text else text


def _read_head(payload: bytes) -> _Head:
    try:
        return _head.decode(payload)
    except DecodeError:
        return _NO_HEAD


def _read_region(payload: bytes) -> str:
    try:
        return _region.decode(payload).region
    except DecodeError:
        return ""


def _parse_address(subject: str) -> _Address:
    try:
        parsed = subjects.parse_conversation(subject)
    except InvalidIdError:
        return _NO_ADDRESS
    return _Address(parsed.region, parsed.conversation)


def _without_nul(text: str | None) -> str | None:
    return None if text is None else text.replace(_NUL, _REPLACEMENT)
