"""The plan of a run: counts and bytes by rule and outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from trunkline_audit.core.retention.decisions import Decision, Outcome, RecordGroup


@dataclass(slots=True)
class PlanRow:
    """Sums of the groups with one outcome by one rule."""

    rule: str
    outcome: Outcome
    groups: int = 0
    records: int = 0
    bytes: int = 0
    oldest: datetime | None = None


@dataclass(slots=True)
class RetentionPlan:
    """The sums of all groups that were decided; bytes are those of the records' payloads."""

    as_of: datetime
    rows: dict[tuple[str, Outcome], PlanRow] = field(default_factory=dict)

    def add(self, group: RecordGroup, decision: Decision) -> None:
        """Count a group."""
        rule = decision.rule.name if decision.rule is not None else ""
        row = self.rows.setdefault((rule, decision.outcome), PlanRow(rule, decision.outcome))
        row.groups += 1
        row.records += group.records
        row.bytes += group.bytes
        row.oldest = group.first_at if row.oldest is None else min(row.oldest, group.first_at)

    def records(self, outcome: Outcome) -> int:
        """Return the number of records with an outcome."""
        return sum(row.records for row in self.rows.values() if row.outcome == outcome)

    @property
    def oldest_kept(self) -> datetime | None:
        """Return the time of the oldest record that stays."""
        kept = [row.oldest for row in self.rows.values() if row.outcome != "archived" and row.oldest is not None]
        return min(kept, default=None)
