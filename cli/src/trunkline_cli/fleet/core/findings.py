"""Finding of a check: what is wrong in which file of a fleet folder, at which key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from trunkline_cli.fleet.core.text import printable

FindingSeverity = Literal["error", "warning", "note"]
"""`error`: the fleet or an article is refused or lost; `warning`: accepted without effect; `note`: may be intended."""

SEVERITIES: Final[tuple[FindingSeverity, ...]] = ("error", "warning", "note")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One defect; `file` is relative to the folder, `line` is 0 for the whole file, `rule` names the kind."""

    severity: FindingSeverity
    file: str
    line: int = 0
    key: str = ""
    rule: str
    message: str


class FindingCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Number of findings per severity."""

    error: int
    warning: int
    note: int


def count_findings(findings: Iterable[Finding]) -> FindingCounts:
    """Count findings per severity."""
    severities = [finding.severity for finding in findings]
    return FindingCounts(**{severity: severities.count(severity) for severity in SEVERITIES})


def is_clean(findings: Iterable[Finding]) -> bool:
    """Return whether there is neither an error nor a warning."""
    return all(finding.severity == "note" for finding in findings)


def render(finding: Finding, folder: str) -> str:
    """Return a finding as `file:line: severity: key: message [rule]`, as editors and CI expect it."""
    place = f"{folder.rstrip('/')}/{finding.file}" if finding.file else folder
    line = f":{finding.line}" if finding.line else ""
    key = f"{finding.key}: " if finding.key else ""
    return printable(f"{place}{line}: {finding.severity}: {key}{finding.message} [{finding.rule}]")
