"""The fate of a group of records: kept, held, or archived by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from trunkline_protocols.holds import HoldPlaced

from trunkline_audit.core.retention.policy import RecordKind, RetentionPolicy, RetentionRule
from trunkline_audit.core.retention.trimming import PendingRecord

Outcome = Literal["archived", "held", "open", "kept"]
"""`open`: old enough, but the conversation is not closed, or its last records are not below the signed head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordGroup:
    """Records that are kept or archived together: those of one kind of a conversation, or a single one."""

    kind: RecordKind
    stream: str
    region: str | None
    conversation: str | None
    tenant: str | None
    """None if it is unknown."""
    customer: str | None
    last_at: datetime
    """Time of the last record of the conversation, or of the single one."""
    first_at: datetime
    records: int
    bytes: int
    leaf: int | None = None
    """Leaf of a single record."""
    is_complete: bool = True
    """If false, the conversation is not closed, or has records that no signed head covers."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for a group, and the rule that decided."""

    outcome: Outcome
    rule: RetentionRule | None = None


def decide(group: RecordGroup, policy: RetentionPolicy, holds: Sequence[HoldPlaced], as_of: datetime) -> Decision:
    """Decide about a group at a time."""
    rule = find_rule(group, policy)
    if rule is None or rule.keep is None or group.last_at + rule.keep > as_of:
        return Decision("kept", rule)
    if not group.is_complete:
        return Decision("open", rule)
    if any(covers(hold, group) for hold in holds):
        return Decision("held", rule)
    return Decision("archived", rule)


def find_rule(group: RecordGroup, policy: RetentionPolicy) -> RetentionRule | None:
    """Return the first rule that matches; if the tenant is unknown, the longest of those that may match."""
    candidates: list[RetentionRule] = []
    for rule in policy.rules:
        if rule.kinds and group.kind not in rule.kinds:
            continue
        if rule.regions and group.region not in rule.regions:
            continue
        if not rule.tenants or group.tenant in rule.tenants:
            candidates.append(rule)
            break
        if group.tenant is None:
            candidates.append(rule)
    else:
        if group.tenant is None:
            return None  # it may be of a tenant without a rule
    return max(candidates, key=lambda rule: (rule.keep is None, rule.keep or timedelta()), default=None)


def covers(hold: HoldPlaced, group: RecordGroup | PendingRecord) -> bool:
    """Return whether a hold keeps records; if their tenant or customer is unknown, every hold of those does.

    Notices belong to no customer.
    """
    if group.kind == "notice":
        return False
    if hold.conversation is not None:
        return group.conversation == hold.conversation
    if group.tenant is not None and group.tenant != hold.tenant:
        return False
    return not hold.customer or group.customer is None or group.customer == hold.customer
