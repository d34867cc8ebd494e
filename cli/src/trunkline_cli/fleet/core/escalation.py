"""Escalation rules that load but cannot work as written: without a trigger, or with examples that contradict others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from trunkline_protocols.fleet import ESCALATION, TRIAGE, EscalationRule

from trunkline_cli.fleet.core.definitions import Definitions
from trunkline_cli.fleet.core.findings import Finding
from trunkline_cli.fleet.core.text import comparable, shortened

_MIN_EXAMPLES: Final = 5
_MAX_EXAMPLE_CHARACTERS: Final = 60


def escalation_findings(definitions: Definitions) -> Iterator[Finding]:
    """Yield the silent defects of escalation rules; none if a rule is refused, because positions are unknown then."""
    if "escalation" in definitions.company.defective:
        return
    places = _ordinary_messages(definitions)
    names: set[str] = set()
    for index, rule in enumerate(definitions.company.record.escalation.rules):
        if rule.name in names:
            path = ("escalation", "rules", index, "name")
            reason = f"the rule {rule.name!r} is defined twice"
            yield definitions.company.finding(path, reason, severity="warning", rule="repeated-rule")
        names.add(rule.name)
        yield from _trigger(definitions, index, rule)
        yield from _contradictions(definitions, index, rule, places)


def _ordinary_messages(definitions: Definitions) -> dict[str, str]:
    """Return the messages that are labelled as ordinary questions, with their places."""
    places = {comparable(text): "near_misses" for text in definitions.company.record.escalation.near_misses}
    for agent in definitions.agents:
        if not agent.record.urgent and agent.record.specialty not in {ESCALATION, TRIAGE}:
            places |= {comparable(text): f"the examples of {agent.file.path}" for text in agent.record.examples}
    return places


def _trigger(definitions: Definitions, index: int, rule: EscalationRule) -> Iterator[Finding]:
    path = ("escalation", "rules", index)
    if not rule.phrases and not rule.examples:
        reason = f"the rule {rule.name!r} has neither examples nor phrases, so that no message triggers it"
        yield definitions.company.finding(path, reason, severity="warning", rule="rule-without-trigger")
    elif 0 < len(rule.examples) < _MIN_EXAMPLES:
        reason = (
            f"{len(rule.examples)} examples of the rule {rule.name!r}; at least {_MIN_EXAMPLES} are needed, or none"
        )
        yield definitions.company.finding((*path, "examples"), reason, severity="warning", rule="few-examples")


def _contradictions(
    definitions: Definitions, index: int, rule: EscalationRule, places: dict[str, str]
) -> Iterator[Finding]:
    """Yield examples that are labelled otherwise elsewhere, which the rule does not learn; add its own to `places`."""
    company = definitions.company
    path = ("escalation", "rules", index, "examples")
    for example, line in zip(rule.examples, company.item_lines(path, rule.examples), strict=True):
        earlier = places.setdefault(comparable(example), f"rule {rule.name!r}")
        if earlier != f"rule {rule.name!r}":
            shown = shortened(repr(example), _MAX_EXAMPLE_CHARACTERS)
            reason = f"{shown} is also in {earlier}, so that the rule {rule.name!r} does not learn it"
            finding = company.finding(path, reason, severity="warning", rule="contradictory-example")
            yield msgspec.structs.replace(finding, line=line)
