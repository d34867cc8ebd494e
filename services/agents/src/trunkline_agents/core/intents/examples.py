"""Examples of intents: those that every fleet recognises, and those of a fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from trunkline_protocols.fleet import ESCALATION, TRIAGE, Fleet
from trunkline_protocols.intents import NEAR_MISS, QUESTION

from trunkline_agents.core.intents.model import RULE_PREFIX, URGENT_PREFIX

BuiltInExamples: TypeAlias = Mapping[str, Sequence[str]]
"""Examples by the name of the intent."""


def labelled_examples(fleet: Fleet, built_in: BuiltInExamples) -> list[tuple[str, str]]:
    """Return messages with their intents.

    Examples of senior agents are left out: they escalate themselves, and some of them ask for a person. So are those of
    triage, which greet.
    """
    policy = fleet.escalation
    found = [(text, name) for name, texts in built_in.items() for text in texts]
    found += [(text, f"{RULE_PREFIX}{rule.name}") for rule in policy.rules for text in rule.examples]
    for agent in fleet.agents:
        if agent.urgent:
            found += [(text, f"{URGENT_PREFIX}{agent.name}") for text in agent.examples]
        elif agent.specialty not in {ESCALATION, TRIAGE}:
            found += [(text, QUESTION) for text in agent.examples]
    found += [(text, NEAR_MISS) for text in policy.near_misses]
    # Of a message with two labels, the last one counts: the fleet knows better than the built-in examples.
    return list({text: (text, name) for text, name in found}.values())
