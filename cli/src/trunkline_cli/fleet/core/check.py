"""The check of a fleet folder: everything that loading refuses, and everything that has no effect."""

from __future__ import annotations

from trunkline_cli.fleet.core.agents import agent_findings
from trunkline_cli.fleet.core.articles import article_findings, read_articles
from trunkline_cli.fleet.core.definitions import read_definitions
from trunkline_cli.fleet.core.escalation import escalation_findings
from trunkline_cli.fleet.core.findings import SEVERITIES, Finding
from trunkline_cli.fleet.core.folder import FleetFolder
from trunkline_cli.fleet.core.layout import layout_findings
from trunkline_cli.fleet.core.readers import reader_findings
from trunkline_cli.fleet.core.tools import tool_findings
from trunkline_cli.fleet.core.topics import topic_findings


def check_folder(folder: FleetFolder) -> list[Finding]:
    """Return all findings, errors first, then by file and line."""
    definitions, refusals = read_definitions(folder)
    articles, refused_articles = read_articles(folder)
    findings = [
        *refusals,
        *refused_articles,
        *layout_findings(folder),
        *agent_findings(definitions),
        *escalation_findings(definitions),
        *tool_findings(definitions),
        *reader_findings(definitions),
        *topic_findings(definitions, articles, refused_articles),
        *article_findings(articles, definitions.fleet.specialties),
    ]
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.file, finding.line))
