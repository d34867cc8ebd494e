"""The retention policy: rules by tenant, region, kind and age, of which the first that matches decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

RecordKind = Literal["conversation", "inbox", "notice", "dead_letter", "view"]
"""Kinds of records, by stream; holds have none, they are never trimmed."""
KINDS: Final[tuple[RecordKind, ...]] = get_args(RecordKind)
KIND_OF_STREAM: Final[dict[str, RecordKind]] = {
    "CONVERSATIONS": "conversation",
    "INBOX": "inbox",
    "NOTICES": "notice",
    "DEAD_LETTERS": "dead_letter",
    "VIEWS": "view",
}
STREAM_OF_KIND: Final = {kind: stream for stream, kind in KIND_OF_STREAM.items()}
CONVERSATION_KINDS: Final[frozenset[RecordKind]] = frozenset({"conversation", "inbox"})
"""Kinds that are archived conversation by conversation, once it is closed."""

FOREVER: Final = "forever"
_AGE: Final = re.compile(r"([1-9]\d{0,5})([hdwy])")
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "y": timedelta(days=365)}
_MIN_MARKER: Final = timedelta(days=8)
"""Above the default lifetime of resume tokens, 7 days."""

Names: TypeAlias = Annotated[str, Meta(min_length=1)] | Annotated[list[str], Meta(min_length=1)]


class RuleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[rule]]` of the file; a missing key matches everything."""

    keep: str
    name: str = ""
    tenant: Names | None = None
    region: Names | None = None
    kind: RecordKind | Annotated[list[RecordKind], Meta(min_length=1)] | None = None


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    rule: list[RuleEntry] = []
    marker: str = "30d"
    """Time for which the last commit of an archived conversation stays in its stream."""


class InvalidAgeError(ValueError):
    """An age cannot be read; `key` is its key, `rule` the position of its rule, None for the file itself."""

    def __init__(self, key: str, reason: str, rule: int | None = None) -> None:
        """Keep the place for the caller."""
        super().__init__(reason)
        self.key = key
        self.rule = rule


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """A rule; an empty set matches everything, and records without `keep` are kept forever."""

    name: str
    keep: timedelta | None
    tenants: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    kinds: frozenset[RecordKind] = frozenset()


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The rules in their order; without rules everything is kept."""

    rules: tuple[RetentionRule, ...] = ()
    marker: timedelta = timedelta(days=30)

    @property
    def keeps_everything(self) -> bool:
        """Return whether no record is ever archived."""
        return self.shortest() is None

    def shortest(self, kinds: frozenset[RecordKind] = frozenset(KINDS)) -> timedelta | None:
        """Return the shortest age of any rule about some of these kinds, None if they are all kept forever."""
        return min(
            (rule.keep for rule in self.rules if rule.keep is not None and (not rule.kinds or rule.kinds & kinds)),
            default=None,
        )


def parse_policy(file: PolicyFile) -> RetentionPolicy:
    """Return the policy of a file; raise `InvalidAgeError`."""
    marker = _parse_age("marker", file.marker)
    if marker is None or marker < _MIN_MARKER:
        raise InvalidAgeError("marker", f"marker must be {_MIN_MARKER.days}d or more, got {file.marker!r}")
    return RetentionPolicy(tuple(_rule_of(number, entry) for number, entry in enumerate(file.rule)), marker)


def _rule_of(number: int, entry: RuleEntry) -> RetentionRule:
    return RetentionRule(
        name=entry.name or f"rule {number + 1}",
        keep=_parse_age("keep", entry.keep, number),
        tenants=_names(entry.tenant),
        regions=_names(entry.region),
        kinds=frozenset([entry.kind] if isinstance(entry.kind, str) else entry.kind or []),
    )


def _names(given: str | Sequence[str] | None) -> frozenset[str]:
    return frozenset([given] if isinstance(given, str) else given or [])


def _parse_age(key: str, text: str, rule: int | None = None) -> timedelta | None:
    """Return an age such as 90d, None for `forever`."""
    if text == FOREVER:
        return None
    match = _AGE.fullmatch(text)
    if match is None:
        raise InvalidAgeError(key, f'{key} must be "forever" or a number with h, d, w or y, got {text!r}', rule)
    return int(match[1]) * _UNITS[match[2]]
