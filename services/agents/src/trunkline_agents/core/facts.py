"""Facts from the answer of a reader, and the known data about a customer after readings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace
from trunkline_protocols.context import Fact, FactValue
from trunkline_protocols.customers import CustomerKnown, Reading
from trunkline_protocols.decoding import DecodeError, Decoder
from trunkline_protocols.fleet import FactField, Reader
from trunkline_protocols.rules.facts import within_limit
from trunkline_protocols.rules.tools import PLACEHOLDER

MAX_TEXT_CHARACTERS: Final = 200
MAX_ROWS: Final = 20
_MAX_NUMBER: Final = 1e15
_decoder: Final[Decoder[object]] = Decoder(object)


class UnreadableAnswerError(ValueError):
    """The answer of a reader is not a JSON object."""


@dataclass(frozen=True, slots=True)
class ReaderAnswer:
    """The outcome of one reading: facts, or the kind of failure."""

    reader: Reader
    facts: list[Fact] = field(default_factory=list)
    failure: str = ""


def parse_facts(reader: Reader, answer: str, *, now: float) -> list[Fact]:
    """Return the facts of an answer; one that is missing or of another type is left out.

    An empty answer holds none. Raises `UnreadableAnswerError` if the answer is not a JSON object.
    """
    if not answer.strip():
        return []
    try:
        body = _decoder.decode(answer.encode("utf-8", "replace"))
    except DecodeError as error:
        raise UnreadableAnswerError("not JSON") from error
    if not isinstance(body, dict):
        raise UnreadableAnswerError("not an object")
    values = {name: _value(each, _at(body, each.path or name)) for name, each in reader.fields.items()}
    return [Fact(name=name, value=value, read_at=now) for name, value in values.items() if value is not None]


def after_readings(known: CustomerKnown, answers: Iterable[ReaderAnswer], *, now: float) -> CustomerKnown:
    """Return the known data after readings: a failed one leaves the last facts of its reader."""
    facts, readings = list(known.facts), dict(known.readings)
    for answer in answers:
        name = answer.reader.name
        before = readings.get(name)
        if answer.failure:
            read_at = before.read_at if before is not None else 0.0
            readings[name] = Reading(tried_at=now, read_at=read_at, failure=answer.failure)
            continue
        readings[name] = Reading(tried_at=now, read_at=now)
        facts = [fact for fact in facts if fact.name not in answer.reader.fields] + answer.facts
    return replace(known, facts=within_limit(facts), readings=readings, reader="", reading_until=0.0)


def _at(body: dict[str, Any], path: str) -> object:
    found: object = body
    for key in path.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def _value(field_: FactField, raw: object) -> FactValue | None:
    match field_.type, raw:
        case "text", str() | int() | float() if not isinstance(raw, bool):
            return _text(raw) or None
        case "number", int() | float() if not isinstance(raw, bool) and _is_plain(raw):
            return raw
        case "flag", bool():
            return raw
        case "table", list():
            rows = (_row(field_, each) for each in raw[:MAX_ROWS])
            return dict(row for row in rows if row is not None)
        case _:
            return None


def _row(field_: FactField, raw: object) -> tuple[str, str] | None:
    """Return the key and the text of a row, None if it lacks one of the values."""
    if not isinstance(raw, dict):
        return None
    names = {field_.key, *PLACEHOLDER.findall(field_.text)}
    values = {name: _text(raw.get(name)) for name in names}
    if not all(values.values()):
        return None
    return values[field_.key], PLACEHOLDER.sub(lambda match: values[match[1]], field_.text)


def _text(raw: object) -> str:
    """Return a value as one line without control characters, cut to `MAX_TEXT_CHARACTERS`."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float) or not _is_plain(raw):
        return ""
    words = "".join(character if character.isprintable() else " " for character in str(raw)[: 4 * MAX_TEXT_CHARACTERS])
    return " ".join(words.split())[:MAX_TEXT_CHARACTERS]


def _is_plain(raw: str | float) -> bool:
    return isinstance(raw, str) or (math.isfinite(raw) and abs(raw) < _MAX_NUMBER)
