"""Output of the findings of a fleet folder: lines for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from trunkline_cli.fleet.core.findings import SEVERITIES, Finding, FindingCounts, count_findings, is_clean, render


class FindingsReport(msgspec.Struct, kw_only=True):
    """`trunkline fleet check --json`; `ok` means neither an error nor a warning."""

    ok: bool
    folder: str
    counts: FindingCounts
    findings: Sequence[Finding]


def findings_report(folder: Path, findings: Sequence[Finding]) -> FindingsReport:
    """Return the findings of a folder as one JSON object."""
    return FindingsReport(ok=is_clean(findings), folder=str(folder), counts=count_findings(findings), findings=findings)


def findings_lines(folder: Path, findings: Sequence[Finding]) -> list[str]:
    """Return one line per finding and a summary."""
    return [*(render(finding, str(folder)) for finding in findings), _summary(findings)]


def _summary(findings: Sequence[Finding]) -> str:
    counts = count_findings(findings)
    parts = [f"{count} {name}{'s' if count != 1 else ''}" for name in SEVERITIES if (count := getattr(counts, name))]
    return ", ".join(parts) or "no findings"
