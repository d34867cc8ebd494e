"""Agents that load but cannot work as written: repeated or few examples, targets that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from trunkline_protocols.fleet import ESCALATION, Agent

from trunkline_cli.fleet.core.definitions import Definition, Definitions
from trunkline_cli.fleet.core.findings import Finding
from trunkline_cli.fleet.core.folder import AGENTS
from trunkline_cli.fleet.core.text import comparable, shortened

MIN_EXAMPLES_PER_SPECIALTY: Final = 12
"""Examples that routing needs of a specialty; only a specialty with a single agent can have fewer."""

_MAX_EXAMPLE_CHARACTERS: Final = 60


def agent_findings(definitions: Definitions) -> Iterator[Finding]:
    """Yield the silent defects of agents."""
    yield from _repeated_examples(definitions.agents)
    yield from _few_examples(definitions)
    for agent in definitions.agents:
        yield from _targets(agent)
    if definitions.agents and ESCALATION not in definitions.fleet.specialties:
        reason = f"no agent has the specialty {ESCALATION!r}: every escalation goes to people"
        yield Finding(severity="note", file=AGENTS, key="specialty", rule="no-senior-agents", message=reason)


def _repeated_examples(agents: tuple[Definition[Agent], ...]) -> Iterator[Finding]:
    """Yield examples that occur before, in any agent; case and punctuation make no difference to routing."""
    first: dict[str, str] = {}
    for agent in agents:
        examples = agent.record.examples
        lines = agent.item_lines(("examples",), examples)
        for example, line in zip(examples, lines, strict=True):
            earlier = first.get(comparable(example))
            if earlier is None:
                first[comparable(example)] = f"{agent.file.path}:{line}"
            else:
                reason = f"{shortened(repr(example), _MAX_EXAMPLE_CHARACTERS)} is also an example in {earlier}"
                finding = agent.finding(("examples",), reason, severity="warning", rule="repeated-example")
                yield msgspec.structs.replace(finding, line=line)


def _few_examples(definitions: Definitions) -> Iterator[Finding]:
    fleet = definitions.fleet
    for agent in definitions.agents:
        count = len(agent.record.examples)
        is_only = len(fleet.of(agent.record.specialty)) == 1
        is_known = agent.is_readable and not agent.defective & {"examples", "specialty"}
        if is_only and is_known and count < MIN_EXAMPLES_PER_SPECIALTY:
            reason = (
                f"{count} examples for the specialty {agent.record.specialty!r}, which has no other agent; "
                f"routing needs at least {MIN_EXAMPLES_PER_SPECIALTY}"
            )
            yield agent.finding(("examples",), reason, severity="warning", rule="few-examples")


def _targets(agent: Definition[Agent]) -> Iterator[Finding]:
    record = agent.record
    if record.specialty in record.hand_off_to and "specialty" not in agent.defective:
        reason = f"an agent cannot hand over to its own specialty {record.specialty!r}"
        yield agent.finding(("hand_off_to",), reason, severity="warning", rule="handoff-to-itself")
    for tool, key, targets in (("handoff", "hand_off_to", record.hand_off_to), ("consult", "consult", record.consult)):
        if tool in record.tools and not targets and key not in agent.defective:
            reason = f"the tool {tool!r} is never offered, because {key} is empty"
            yield agent.finding(("tools",), reason, severity="warning", rule="tool-without-target")
