"""`trunkline fleet diff`: company, escalation, agents and tools, field by field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from trunkline_cli.fleet.core.differences import differences
from trunkline_protocols.fleet import (
    Agent,
    Company,
    EscalationPolicy,
    EscalationRule,
    FactField,
    Fleet,
    KnowledgeFilter,
    Reader,
    Sla,
    Tool,
)

from tests.agents.builders import small_fleet

FIRE = EscalationRule(name="fire", phrases=["smoke", "burning"], urgency="critical")
LAW = EscalationRule(name="law", phrases=["lawyer"], urgency="high", to="person")
BASE = replace(small_fleet(), escalation=EscalationPolicy(rules=[FIRE, LAW], tiers={"plus": "normal"}))
LONG = "Boats by the hour. " * 10


def escalation(**changes: Any) -> Fleet:
    """Return the fleet with another escalation policy."""
    return replace(BASE, escalation=replace(BASE.escalation, **changes))


def billing(**changes: Any) -> Fleet:
    """Return the fleet with another billing agent."""
    agents = [replace(agent, **changes) if agent.specialty == "billing" else agent for agent in BASE.agents]
    return replace(BASE, agents=agents)


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        (BASE, []),
        (replace(BASE, company=replace(BASE.company, name="B")), ["~ company: name: 'A' -> 'B'"]),
        (
            replace(BASE, company=replace(BASE.company, examples=["x", "y", "z", "v", "w"])),
            ["~ company: examples: 4 added ('y', 'z', 'v', …)"],
        ),
        (escalation(failed_turns=2), ["~ escalation: failed_turns: 3 -> 2"]),
        (escalation(sla_s=Sla(low=60.0)), ["~ escalation: sla_s.low: 3600.0 -> 60.0"]),
        (
            escalation(tiers={"plus": "high", "gold": "critical"}),
            ["~ escalation: tiers.gold: added 'critical'", "~ escalation: tiers.plus: 'normal' -> 'high'"],
        ),
        (escalation(tiers={}), ["~ escalation: tiers.plus: removed 'normal'"]),
        (escalation(rules=[FIRE]), ["- escalation rule law (high, to person)"]),
        (escalation(rules=[FIRE, LAW, replace(FIRE, name="water")]), ["+ escalation rule water (critical, to senior)"]),
        (
            escalation(rules=[replace(FIRE, urgency="high", phrases=["flames", "smoke"]), LAW]),
            [
                "~ escalation rule fire: phrases: 1 added ('flames'), 1 removed ('burning')",
                "~ escalation rule fire: urgency: 'critical' -> 'high'",
            ],
        ),
        (escalation(rules=[LAW, FIRE]), ["~ escalation: rules: order changed to law, fire"]),
        (
            billing(knowledge=KnowledgeFilter(topics=["billing", "refunds"])),
            ["~ agent billing-one: knowledge.topics: 1 added ('refunds')"],
        ),
        (billing(tools=["search_knowledge"]), ["~ agent billing-one: tools: 1 added ('search_knowledge')"]),
        (replace(BASE, agents=BASE.agents[:2]), ["- agent technical-one (technical)"]),
        (replace(BASE, agents=BASE.agents[::-1]), []),
    ],
)
def test_every_change_is_one_line(new: Fleet, lines: list[str]) -> None:
    """The name of the record, the path of the field, and both values."""
    assert sorted(differences(BASE, new)) == sorted(lines)


def test_end_of_a_long_text_is_shown_where_it_differs() -> None:
    """Both beginnings would look the same."""
    old = replace(BASE, company=replace(BASE.company, description=f"{LONG}Closed on Mondays."))
    new = replace(BASE, company=replace(BASE.company, description=f"{LONG}Closed on Sundays."))
    (line,) = differences(old, new)
    assert "Closed on Mondays.' -> '" in line
    assert line.endswith("Closed on Sundays.'")


def test_repeated_and_moved_items_are_differences() -> None:
    """A list is no set."""
    phrases = escalation(person_phrases=["a", "b"])
    assert list(differences(phrases, escalation(person_phrases=["a", "b", "b"]))) == [
        "~ escalation: person_phrases: 1 added ('b')"
    ]
    assert list(differences(phrases, escalation(person_phrases=["b", "a"]))) == [
        "~ escalation: person_phrases: order changed"
    ]


def test_control_characters_are_shown_as_text() -> None:
    """A fleet must not write to the operator's terminal."""
    (line,) = differences(BASE, replace(BASE, company=replace(BASE.company, greeting="\x1b[2Kharmless")))
    assert "\x1b" not in line


OTHER: dict[type, Any] = {str: "other", float: 77.0, int: 77, bool: True}


def changed_record(record: msgspec.Struct, field: msgspec.structs.FieldInfo) -> msgspec.Struct:
    """Return a record with another value of one field; its type is not validated."""
    value = getattr(record, field.name)
    if isinstance(value, msgspec.Struct):
        return replace(record, **{field.name: changed_record(value, msgspec.structs.fields(value)[0])})
    other = ["other"] if isinstance(value, list) else {"other": 1} if isinstance(value, dict) else None
    return replace(
        record, **{field.name: other or (not value if isinstance(value, bool) else OTHER.get(type(value), 7))}
    )


CRM = Reader(
    name="crm", url="https://crm.example/{c}", bind={"c": "customer.sub"}, fields={"plan": FactField()}, fresh_s=60.0
)
RECORDS: list[tuple[str, msgspec.Struct]] = [
    ("company", BASE.company),
    ("escalation", BASE.escalation),
    ("agents", BASE.agents[1]),
    ("tools", Tool(name="pay", description="d")),
    ("rules", FIRE),
    ("readers", CRM),
]


@pytest.mark.parametrize(
    ("place", "record", "field"),
    [
        pytest.param(place, record, field, id=f"{place}-{field.name}")
        for place, record in RECORDS
        for field in msgspec.structs.fields(record)
        if (place, field.name) != ("escalation", "rules")
    ],
)
def test_change_of_any_field_is_a_difference(
    place: str, record: msgspec.Struct, field: msgspec.structs.FieldInfo
) -> None:
    """A field that is added later is compared too; otherwise `apply` would ignore its change."""
    old, new = (fleet_with(place, each) for each in (record, changed_record(record, field)))
    lines = list(differences(old, new))
    assert lines
    assert all(field.name in line for line in lines) or field.name == "name"


def fleet_with(place: str, record: Any) -> Fleet:
    """Return the fleet with one record of a kind."""
    match record:
        case Company() | EscalationPolicy():
            return replace(BASE, **{place: record})
        case Agent() | Tool():
            return replace(BASE, **{place: [record]})
        case _:
            return escalation(rules=[record])
