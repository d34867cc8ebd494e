"""The policy: the first rule that matches decides, errors name file, line and key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from trunkline_audit.adapters.policy_file import load_policy
from trunkline_audit.core.retention.decisions import Decision, RecordGroup, decide, find_rule
from trunkline_audit.core.retention.plan import RetentionPlan
from trunkline_audit.core.retention.policy import RetentionPolicy
from trunkline_chassis.toml_file import TomlFileError
from trunkline_protocols.holds import HoldPlaced
from trunkline_protocols.ids import ConversationId

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = """
marker = "14d"

[[rule]]
name = "minutes of the board"
tenant = "board"
keep = "forever"

[[rule]]
name = "views"
kind = ["view", "notice"]
keep = "2w"

[[rule]]
region = "eu"
tenant = ["acme", "umbrella"]
keep = "1d"

[[rule]]
keep = "90d"
"""


def policy_of(text: str, folder: Path) -> RetentionPolicy:
    """Return the policy of a file with a text."""
    file = folder / "retention.toml"
    file.write_text(text, encoding="utf-8")
    return load_policy(file)


def group(**changes: Any) -> RecordGroup:
    """Return the log of a conversation that was closed 100 days ago."""
    fields: dict[str, Any] = {
        "kind": "conversation",
        "stream": "CONVERSATIONS",
        "region": "eu",
        "conversation": "c1",
        "tenant": "default",
        "customer": "ada",
        "last_at": NOW - timedelta(days=100),
        "first_at": NOW - timedelta(days=101),
        "records": 3,
        "bytes": 900,
    }
    return RecordGroup(**(fields | changes))


def hold(**fields: Any) -> HoldPlaced:
    """Return a hold."""
    return HoldPlaced(hold="h1", reason="case", placed_at=1.0, operator="Ada", role="lead", **fields)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "rule 4"),
        ({"tenant": "board"}, "minutes of the board"),
        ({"tenant": "board", "kind": "view"}, "minutes of the board"),
        ({"kind": "view"}, "views"),
        ({"kind": "notice", "tenant": ""}, "views"),
        ({"tenant": "umbrella"}, "rule 3"),
        ({"tenant": "umbrella", "region": "us"}, "rule 4"),
        # Of an unknown tenant, the longest of those that may match.
        ({"tenant": None}, "minutes of the board"),
    ],
)
def test_first_rule_that_matches_decides(tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    """By kind, region and tenant."""
    rule = find_rule(group(**changes), policy_of(RULES, tmp_path))
    assert rule is not None
    assert rule.name == name


def test_unknown_tenant_is_kept_if_only_rules_of_tenants_exist(tmp_path: Path) -> None:
    """It may be of a tenant that no rule names."""
    policy = policy_of('[[rule]]\ntenant = "acme"\nkeep = "1d"', tmp_path)
    assert decide(group(tenant=None), policy, (), NOW) == Decision("kept")


def test_age_counts_from_the_last_record_of_a_conversation(tmp_path: Path) -> None:
    """To the microsecond."""
    policy = policy_of(RULES, tmp_path)
    due = NOW - timedelta(days=90)
    assert decide(group(last_at=due), policy, (), NOW).outcome == "archived"
    assert decide(group(last_at=due + timedelta(microseconds=1)), policy, (), NOW).outcome == "kept"
    assert decide(group(tenant="board"), policy, (), NOW).outcome == "kept"
    assert decide(group(is_complete=False), policy, (), NOW).outcome == "open"


@pytest.mark.parametrize(
    ("fields", "changes", "is_held"),
    [
        ({"conversation": ConversationId("c1")}, {}, True),
        ({"conversation": ConversationId("c2")}, {}, False),
        ({"tenant": "default"}, {}, True),
        ({"tenant": "acme"}, {}, False),
        ({"tenant": "default", "customer": "ada"}, {}, True),
        ({"tenant": "default", "customer": "bob"}, {}, False),
        ({"tenant": "acme", "customer": "ada"}, {}, False),
        # Fail closed: an unknown tenant or customer may be that of the hold.
        ({"tenant": "acme"}, {"tenant": None, "customer": None}, True),
        ({"tenant": "default", "customer": "bob"}, {"customer": None}, True),
        ({"tenant": "acme"}, {"tenant": "", "customer": "", "kind": "notice", "conversation": None}, False),
    ],
)
def test_hold_covers_its_records(
    tmp_path: Path, fields: dict[str, Any], changes: dict[str, Any], *, is_held: bool
) -> None:
    """Of a conversation, a customer of a tenant, or a tenant; and of all whose tenant or customer is unknown."""
    policy = policy_of('[[rule]]\nkeep = "90d"', tmp_path)
    assert decide(group(**changes), policy, [hold(**fields)], NOW).outcome == ("held" if is_held else "archived")


def test_no_file_keeps_everything() -> None:
    """A suite without a policy never loses a record."""
    policy = load_policy(None)
    assert policy.keeps_everything
    assert decide(group(), policy, (), NOW) == Decision("kept")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('[[rule]]\nkeep = "90d"\n[[rule]]\nname = "x"\nkeep = "90 days"', 5, 'keep must be "forever" or a number'),
        ('marker = "1d"\n[[rule]]\nkeep = "90d"', 1, "marker must be 8d or more"),
        ('[[rule]]\nkeep = "1d"\n[[rule]]\nkind = "mail"\nkeep = "1d"', 4, "Invalid enum value 'mail'"),
        ('[[rule]]\nkeep = "1d"\n[[rule]]\ntenant = "a"', 3, "missing required field `keep`"),
        ('[[rule]]\nkeep = "1d"\ncustomer = "ada"', 3, "unknown field `customer`"),
        ('[[rules]]\nkeep = "1d"', 1, "unknown field `rules`"),
        ("[[rule]]\nkeep = 90", 2, "Expected `str`"),
        ("[[rule]\n", 1, "line 1"),
    ],
)
def test_fault_names_file_line_and_key(tmp_path: Path, text: str, line: int, reason: str) -> None:
    """Of a rule: the line within that rule."""
    with pytest.raises(TomlFileError, match=r"retention\.toml") as caught:
        policy_of(text, tmp_path)
    assert caught.value.line == line
    assert reason in caught.value.reason


def test_plan_sums_by_rule_and_outcome(tmp_path: Path) -> None:
    """And knows the oldest record that stays."""
    policy = policy_of(RULES, tmp_path)
    plan = RetentionPlan(NOW)
    groups = [group(), group(), group(tenant="board", first_at=NOW - timedelta(days=400)), group(conversation="c9")]
    for each in groups:
        plan.add(each, decide(each, policy, [hold(conversation=ConversationId("c9"))], NOW))
    sums = {key: (row.groups, row.records, row.bytes) for key, row in plan.rows.items()}
    assert sums == {
        ("rule 4", "archived"): (2, 6, 1_800),
        ("rule 4", "held"): (1, 3, 900),
        ("minutes of the board", "kept"): (1, 3, 900),
    }
    assert plan.records("held") == 3
    assert plan.oldest_kept == NOW - timedelta(days=400)
