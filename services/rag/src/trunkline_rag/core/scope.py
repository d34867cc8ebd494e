"""The scope of an article: for whom, where and when it holds. An empty field restricts nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Visibility = Literal["public", "internal"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Scope:
    """Internal articles are for colleagues and never quoted to customers. Dates are ISO 8601, both days included."""

    region: str = ""
    language: str = ""
    specialties: tuple[str, ...] = ()
    visibility: Visibility = "public"
    valid_from: str = ""
    valid_until: str = ""


EVERYBODY: Final = Scope()
"""Holds for all, everywhere, always."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who asks, where and when: what an article's scope is held against."""

    region: str = ""
    language: str = ""
    specialty: str = ""
    internal: bool = False
    today: str = ""

    def may_see(self, scope: Scope) -> bool:
        """Tell whether an article of this scope answers this asker."""
        return (
            (self.internal or scope.visibility == "public")
            and self.region in {"", scope.region or self.region}
            and self.language in {"", scope.language or self.language}
            and (not self.specialty or not scope.specialties or self.specialty in scope.specialties)
            and (not self.today or scope.valid_from <= self.today)
            and (not self.today or not scope.valid_until or self.today <= scope.valid_until)
        )


class ScopeError(ValueError):
    """A field of a scope cannot be read; the message says which and why."""


def read_scope(fields: Mapping[str, Any]) -> Scope:
    """Read a scope from the keys of a front matter, a line or a page; raise `ScopeError`."""
    specialties = fields.get("specialties") or []
    if not isinstance(specialties, (list, tuple)):
        raise ScopeError(f"specialties {specialties!r} must be a list")
    visibility = fields.get("visibility") or "public"
    if visibility not in {"public", "internal"}:
        raise ScopeError(f"visibility {visibility!r} is neither public nor internal")
    return Scope(
        region=_name(fields, "region"),
        language=_name(fields, "language"),
        specialties=tuple(_checked(str(name), "specialties", _NAME) for name in specialties),
        visibility="internal" if visibility == "internal" else "public",
        valid_from=_date(fields, "valid_from"),
        valid_until=_date(fields, "valid_until"),
    )


def _name(fields: Mapping[str, Any], key: str) -> str:
    value = str(fields.get(key) or "")
    return _checked(value, key, _NAME) if value else ""


def _date(fields: Mapping[str, Any], key: str) -> str:
    value = str(fields.get(key) or "")
    return _checked(value, key, _DATE) if value else ""


def _checked(value: str, key: str, form: re.Pattern[str]) -> str:
    if form.fullmatch(value) is None:
        raise ScopeError(f"{key} {value[:80]!r} is not readable")
    return value
