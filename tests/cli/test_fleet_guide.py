"""fleet/README.md names every key and every finding, and its fleet from nothing works as it is written."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from trunkline_cli.fleet.core.articles import ARTICLE_FIELDS
from trunkline_cli.fleet.core.check import check_folder
from trunkline_cli.fleet.folder_reader import read_fleet_folder
from trunkline_protocols.fleet import (
    Agent,
    AgentModel,
    AuthoredReply,
    Company,
    CustomerPolicy,
    DeskHours,
    EscalationPolicy,
    EscalationRule,
    FactField,
    Fleet,
    FleetFile,
    KnowledgeFilter,
    Reader,
    Sla,
    Tool,
)

from tests.cli.fleet_files import write
from tests.support.suite import Suite, run_cli, trunkline

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "fleet" / "README.md").read_text(encoding="utf-8")
CORE = ROOT / "cli" / "src" / "trunkline_cli" / "fleet" / "core"

SECTIONS: dict[type[msgspec.Struct], str] = {
    FleetFile: "Files",
    Company: "Company",
    Agent: "Agents",
    KnowledgeFilter: "Agents",
    AgentModel: "Agents",
    AuthoredReply: "Replies",
    Tool: "Tools",
    Reader: "Customers",
    FactField: "Customers",
    CustomerPolicy: "Customers",
    EscalationPolicy: "Escalation",
    EscalationRule: "Escalation",
    Sla: "Escalation",
    DeskHours: "Escalation",
}
"""The section that documents each record of a fleet."""


def section(heading: str) -> str:
    """Return a section of the guide."""
    return GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def named_in(text: str) -> set[str]:
    """Return the words in code spans; code blocks are examples and document nothing."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return {word for span in re.findall(r"`([^`\n]+)`", prose) for word in re.findall(r"[\w-]+", span)}


def records_of(type_: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield the records in an annotation, and those in their fields."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        yield type_
        for field in msgspec.structs.fields(type_):
            yield from records_of(field.type)
    for argument in get_args(type_):
        yield from records_of(argument)


def rules_of_check() -> set[str]:
    """Return the rules in the sources of the check: `rule=` and the third argument of an article's `finding`."""
    found = set()
    for file in CORE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                values = [keyword.value for keyword in node.keywords if keyword.arg == "rule"]
                if isinstance(node.func, ast.Attribute) and node.func.attr == "finding":
                    values += node.args[2:3]
                found |= {value.value for value in values if isinstance(value, ast.Constant)}
    return {str(rule) for rule in found}


def fleet_from_nothing() -> dict[str, str]:
    """Return the files of the guide's own fleet: each block after a paragraph that begins with its path."""
    blocks = re.findall(r"^`bikes/([^`]+)`:[^\n]*\n\n```\w+\n(.*?)```$", GUIDE, flags=re.DOTALL | re.MULTILINE)
    return dict(blocks)


def test_every_record_of_a_fleet_has_its_section() -> None:
    """A new record must be documented too."""
    assert {*records_of(Fleet), FleetFile} - {Fleet} == set(SECTIONS)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        pytest.param(record, field.encode_name, id=f"{record.__name__}-{field.encode_name}")
        for record in SECTIONS
        for field in msgspec.structs.fields(record)
    ],
)
def test_every_key_is_documented(record: type[msgspec.Struct], field: str) -> None:
    """In the section of its record, not only somewhere."""
    assert field in named_in(section(SECTIONS[record]))


def test_every_field_of_an_article_is_documented() -> None:
    """They decide who may read an article."""
    assert set(ARTICLE_FIELDS) <= named_in(section("Articles"))


def test_every_rule_of_the_check_is_documented_and_exists() -> None:
    """In both directions."""
    table = section("Check a fleet").partition("| Rule |")[2]
    documented = {rule for row in table.splitlines() for rule in re.findall(r"`([\w-]+)`", row.split(" | ")[0])}
    assert documented == rules_of_check()
    assert {"unreadable", "unknown-field", "no-senior-agents"} <= documented


def test_fleet_from_nothing_has_only_the_note_that_the_guide_explains(tmp_path: Path) -> None:
    """Five files: company, reception, specialist, two articles."""
    files = fleet_from_nothing()
    assert len(files) == 5
    findings = check_folder(read_fleet_folder(write(tmp_path / "bikes", files)))
    assert [finding.rule for finding in findings] == ["no-senior-agents"]


@pytest.mark.processes
def test_fleet_from_nothing_answers(tmp_path: Path) -> None:
    """The commands of the guide, with a free port."""
    folder = write(tmp_path / "bikes", fleet_from_nothing())
    checked = subprocess.run([trunkline(), "fleet", "check", str(folder)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    (question,) = re.findall(r'trunkline ask "([^"]+)"', section("Write a fleet from nothing"))
    running = Suite(tmp_path / "data", {"TRUNKLINE_FLEET_DIR": str(folder)})
    try:
        asked = run_cli(running, "ask", question)
        log = (running.data_dir / "up.log").read_text(encoding="utf-8")
    finally:
        assert running.stop() == 0
    assert asked.returncode == 0, asked.stderr
    assert "89 euros" in asked.stdout
    assert "warning" not in log
