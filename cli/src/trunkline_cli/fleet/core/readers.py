"""Facts that an authored text names and no reader has."""

from __future__ import annotations

from collections.abc import Iterator

from trunkline_protocols.rules.facts import placeholders
from trunkline_protocols.rules.readers import unknown_names, unknown_reason

from trunkline_cli.fleet.core.definitions import Definitions
from trunkline_cli.fleet.core.findings import Finding

_TEXTS = ("greeting", "clarify", "abstain")


def reader_findings(definitions: Definitions) -> Iterator[Finding]:
    """Yield a warning for each unknown placeholder of a company's texts: its sentence is never said."""
    for key in _TEXTS:
        text = getattr(definitions.company.record.company, key)
        for name in unknown_names(definitions.fleet, placeholders(text)):
            reason = f"{unknown_reason(f'{{{name}}}')}, so that its sentence is left out"
            yield definitions.company.finding(("company", key), reason, severity="warning", rule="unknown-fact")
