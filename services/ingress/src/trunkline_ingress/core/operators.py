"""Operators: a person or a program with a role, and the roles that an operation is open to."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

Role: TypeAlias = Literal["viewer", "agent", "lead", "admin", "auditor"]

VIEWERS: Final[frozenset[Role]] = frozenset({"viewer", "agent", "lead", "admin", "auditor"})
"""State of the suite and of the fleet, without customers' texts."""
READERS: Final[frozenset[Role]] = frozenset({"agent", "lead", "admin", "auditor"})
"""Escalated conversations with their texts."""
AUDITORS: Final[frozenset[Role]] = frozenset({"lead", "admin", "auditor"})
"""Every conversation with its texts."""
AGENTS: Final[frozenset[Role]] = frozenset({"agent", "lead", "admin"})
"""Replies to customers."""
LEADS: Final[frozenset[Role]] = frozenset({"lead", "admin"})
"""Notices and articles."""
ADMINS: Final[frozenset[Role]] = frozenset({"admin"})
"""Versions of the fleet, and backups."""


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated operator. `name` is empty for the shared token, which names no person."""

    name: str
    role: Role
    regions: frozenset[str] = frozenset()
    """Regions in which the key counts; empty: in every region that accepts it."""
