"""The scope of an article: the audience, region, language and dates it applies to. An empty field restricts nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Visibility = Literal["public", "internal"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIELDS: Final = ("region", "language", "specialties", "visibility", "valid_from", "valid_until")


@dataclass(frozen=True, slots=True)
class Scope:
    """Restrictions of an article. Internal ones are never quoted to customers. Dates are ISO 8601, both inclusive."""

    region: str = ""
    language: str = ""
    specialties: tuple[str, ...] = ()
    visibility: Visibility = "public"
    valid_from: str = ""
    valid_until: str = ""


UNRESTRICTED: Final = Scope()
"""The scope of an article that is public, valid everywhere and at any time."""


@dataclass(frozen=True, slots=True)
class SearchAudience:
    """The requester of a search, matched against the scope of each article."""

    region: str = ""
    language: str = ""
    specialty: str = ""
    internal: bool = False
    today: str = ""
    excluded_topics: frozenset[str] = frozenset()
    """Topics whose articles are for other customers."""

    def may_see(self, scope: Scope) -> bool:
        """Return whether an article of this scope is visible to this audience."""
        return (
            (self.internal or scope.visibility == "public")
            and self.region in {"", scope.region or self.region}
            and self.language in {"", scope.language or self.language}
            and (not self.specialty or not scope.specialties or self.specialty in scope.specialties)
            and (not self.today or scope.valid_from <= self.today)
            and (not self.today or not scope.valid_until or self.today <= scope.valid_until)
        )


class ScopeError(ValueError):
    """A scope field is invalid; the message names the field and the reason."""

    quotes_input = True


def read_scope(fields: Mapping[str, Any]) -> Scope:
    """Read a scope from the fields of front matter, a JSON line or a page; raise `ScopeError` if one is invalid."""
    check_field_names(fields)
    specialties = fields.get("specialties") or []
    if isinstance(specialties, str):
        specialties = [specialties]
    if not isinstance(specialties, (list, tuple)):
        raise ScopeError(f"specialties {specialties!r} must be a list")
    visibility = fields.get("visibility") or "public"
    if visibility not in {"public", "internal"}:
        raise ScopeError(f"visibility {visibility!r} must be one of: public, internal")
    return Scope(
        region=_read_name(fields, "region"),
        language=_read_name(fields, "language"),
        specialties=tuple(_validated(str(name), "specialties", _NAME) for name in specialties),
        visibility="internal" if visibility == "internal" else "public",
        valid_from=_read_date(fields, "valid_from"),
        valid_until=_read_date(fields, "valid_until"),
    )


def check_field_names(names: Iterable[object]) -> None:
    """Raise `ScopeError` if a name differs from that of a scope field by case, hyphens or spaces only.

    Access rules fail closed: with the field ignored, an internal article would be public.
    """
    for name in map(str, names):
        meant = name.strip().lower().replace("-", "_").replace(" ", "_")
        if meant in _FIELDS and name != meant:
            raise ScopeError(f"field {name!r} must be written {meant}")


def _read_name(fields: Mapping[str, Any], key: str) -> str:
    value = str(fields.get(key) or "")
    return _validated(value, key, _NAME) if value else ""


def _read_date(fields: Mapping[str, Any], key: str) -> str:
    value = str(fields.get(key) or "")
    return _validated(value, key, _DATE) if value else ""


def _validated(value: str, key: str, form: re.Pattern[str]) -> str:
    if form.fullmatch(value) is None:
        raise ScopeError(f"{key} {value[:80]!r} is invalid")
    return value
