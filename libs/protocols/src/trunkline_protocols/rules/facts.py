"""Facts about a customer: their size, their freshness, and their place in authored texts and conditions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from trunkline_protocols.codec import encode
from trunkline_protocols.context import Context, Fact, FactValue
from trunkline_protocols.customers import CustomerKnown, Reading
from trunkline_protocols.fleet import Conditions, Fleet, Reader, Scalar
from trunkline_protocols.log import FactsUsed

MAX_FACTS_BYTES: Final = 2_048
"""Size of all facts about a customer as JSON, and of the claims, and of the messages of an earlier conversation."""

RETRY_S: Final = 10.0
"""Time after which a failed reading is tried again, if it is not to be fresh for a shorter time."""

PLACEHOLDER: Final = re.compile(r"\{(facts\.[a-z][a-z0-9_]*|claims\.[a-z][a-z0-9_]*|number|row)\}")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")


def within_limit(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts, in order, that fit into `MAX_FACTS_BYTES`; one that is too large is left out."""
    kept: list[Fact] = []
    size = 2
    for fact in facts:
        added = len(encode(fact)) + 1
        if size + added <= MAX_FACTS_BYTES:
            kept.append(fact)
            size += added
    return kept


def due_at(reader: Reader, reading: Reading | None) -> float:
    """Return the time from which a reader is to be asked again, Unix seconds; 0 for one that was never asked."""
    if reading is None:
        return 0.0
    fresh_until = reading.read_at + reader.fresh_s if reading.read_at else 0.0
    retry_at = reading.tried_at + min(reader.fresh_s, RETRY_S) if reading.failure else 0.0
    return max(fresh_until, retry_at)


def active_readers(fleet: Fleet, addresses: Mapping[str, str]) -> list[Reader]:
    """Return the readers that have an address: their own, or one of the operator's by their name."""
    return [reader for reader in fleet.readers if not reader.rests_without_address or addresses.get(reader.name)]


def due_readers(readers: Iterable[Reader], known: CustomerKnown, now: float) -> list[Reader]:
    """Return the readers to be asked."""
    return [reader for reader in readers if due_at(reader, known.readings.get(reader.name)) <= now]


def current_facts(fleet: Fleet, known: CustomerKnown) -> list[Fact]:
    """Return the facts that the fleet still declares."""
    names = fleet.fact_names
    return [fact for fact in known.facts if fact.name in names]


def allowed_claims(fleet: Fleet, known: CustomerKnown) -> dict[str, str]:
    """Return the claims that the fleet still allows."""
    return {name: value for name, value in known.claims.items() if name in fleet.customers.claims}


def facts_used(conversation: str, facts: list[Fact], now: float) -> FactsUsed | None:
    """Return the record of facts for a commit, None without facts."""
    if not facts:
        return None
    digest = hashlib.sha256(conversation.encode() + b"\0" + encode(facts)).hexdigest()
    ages = {fact.name: round(max(0.0, now - fact.read_at), 1) for fact in facts}
    return FactsUsed(ages_s=ages, sha256=digest)


def value_of(name: str, context: Context) -> FactValue | None:
    """Return the value of a condition's or placeholder's name, None if it is not known."""
    kind, _, key = name.partition(".")
    match kind:
        case "facts":
            return next((fact.value for fact in context.facts if fact.name == key), None)
        case "claims":
            return context.claims.get(key)
        case "tier" | "channel" | "locale":
            return str(getattr(context, kind)) or None
        case "verified":
            return context.verified
        case _:
            return None


def matches(conditions: Conditions, context: Context) -> bool:
    """Return whether a customer's context has all values; one that is not known does not match."""
    return all(_equals(value_of(name, context), wanted) for name, wanted in conditions.items())


def excluded_topics(fleet: Fleet, context: Context) -> list[str]:
    """Return the topics that are for other customers."""
    return [topic for topic, conditions in fleet.customers.topics.items() if not matches(conditions, context)]


def filled(text: str, context: Context, values: Mapping[str, str] | None = None) -> str | None:
    """Return an authored text with its placeholders filled, None if one of them is not known."""
    names = set(PLACEHOLDER.findall(text))
    known = {name: _shown(_placeholder_value(name, context, values or {})) for name in names}
    if None in known.values():
        return None
    return PLACEHOLDER.sub(lambda match: str(known[match[1]]), text)


def filled_sentences(text: str, context: Context) -> str:
    """Return an authored text without the sentences whose placeholders are not known."""
    if "{" not in text:
        return text
    sentences = (filled(sentence, context) for sentence in _SENTENCE.split(text))
    return " ".join(sentence for sentence in sentences if sentence)


def placeholders(text: str) -> Iterator[str]:
    """Yield the names of the facts and claims that an authored text uses."""
    return (name for name in PLACEHOLDER.findall(text) if "." in name)


def _placeholder_value(name: str, context: Context, values: Mapping[str, str]) -> FactValue | None:
    return values.get(name) if name in {"number", "row"} else value_of(name, context)


def _equals(value: FactValue | None, wanted: Scalar) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, str) and isinstance(wanted, str):
        return value.casefold() == wanted.casefold()
    return value == wanted


def _shown(value: FactValue | None) -> str | None:
    """Return a value as a text; None for a table, which has no place in a sentence."""
    match value:
        case None | dict():
            return None
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
