"""One row of the table: what a provider sends, and what becomes of the turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.raw_model_server import Reply

TEXT = "Refunds take 5 days [1]."
BACKUP_TEXT = "Five days, as a rule [1]."
REPORTED = (1000, 100)
"""Tokens that the scripts report as usage."""

Cost = Literal["reported", "estimated", "prompt", "none"]
"""Charged for the first provider: the reported tokens; an estimate of all; the prompt at least; nothing."""


_REPLY_FIELDS = ("status", "content_type", "headers", "end", "pauses_after")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault of the first provider; by default the customer gets `TEXT` from it as if nothing had happened."""

    replies: tuple[Reply, ...]
    seen: str = TEXT
    """The text that the customer finally sees, which is the committed one."""
    provider: Literal["primary", "backup"] = "primary"
    """The provider whose text is committed."""
    outcomes: tuple[str, ...] = ()
    """Outcomes of the attempts before the last one."""
    withdrawn: bool = False
    """A text that was displayed is withdrawn before its replacement arrives."""
    stop_reason: str = "stop"
    cost: Cost = "reported"
    tools: bool = False
    """The agent may search the knowledge base by a tool."""
    queries: tuple[str, ...] = ()
    """Searches that the model has made by its tool."""
    oddities: tuple[str, ...] = ()
    """Faults that are counted although the answer stands."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the first provider."""


def replaced(*body: bytes, outcome: str, cost: Cost = "estimated", **changes: Any) -> Case:
    """Return a fault after which the next provider answers."""
    reply_fields = {name: changes.pop(name) for name in _REPLY_FIELDS if name in changes}
    fields: dict[str, Any] = {"seen": BACKUP_TEXT, "provider": "backup", "outcomes": (outcome,), **changes}
    return Case(replies=(Reply(body, **reply_fields),), cost=cost, **fields)


def accepted(*body: bytes, **changes: Any) -> Case:
    """Return a peculiarity that does no harm."""
    reply_fields = {name: changes.pop(name) for name in _REPLY_FIELDS if name in changes}
    return Case(replies=(Reply(body, **reply_fields),), **changes)
