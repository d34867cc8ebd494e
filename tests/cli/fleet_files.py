"""A small fleet of another trade as texts by path, without a finding; tests change one of them."""

from __future__ import annotations

from pathlib import Path

from trunkline_cli.fleet.core.check import check_folder
from trunkline_cli.fleet.core.findings import Finding
from trunkline_cli.fleet.core.folder import FleetFolder, FolderFile

COMPANY = """[company]
name = "Towpath Boats"
description = "Towpath Boats rents boats."
greeting = "Hello."
clarify = "Is it about a price?"
abstain = "I found no answer."
examples = ["What does a kayak cost?"]
"""

AGENT = """name = "{name}"
specialty = "{specialty}"
title = "{name}"
description = "{name}"
tone = "calm"
hand_off_to = [{targets}]
examples = [
{examples}
]
tools = [{tools}]

[knowledge]
topics = ["{topic}"]
"""

TOOL = """name = "find-booking"
description = "Finds a booking."
method = "GET"
url = "https://boats.example/bookings/{booking}"

[parameters]
type = "object"
required = ["booking"]
[parameters.properties.booking]
type = "string"
"""

ARTICLE = """---
id: {name}
title: {name}
topics: [{topic}]
updated: 2026-11-01
---

A kayak costs 12 euros an hour.
"""

RECEPTION = "agents/triage/reception.toml"
BOATS = "agents/rental/boats.toml"
SENIOR = "agents/escalation/senior.toml"
FIND = "tools/find-booking.toml"
PRICES = "knowledge/prices/prices.md"
OPENING = "knowledge/opening/opening-hours.md"

FIRST_EXAMPLE_LINE = 8


def agent(name: str, specialty: str, *, topic: str, targets: str = "", tools: str = "") -> str:
    """Return the text of an agent with twelve examples of its own."""
    examples = "\n".join(f'  "{name} question {number}",' for number in range(12))
    return AGENT.format(name=name, specialty=specialty, topic=topic, targets=targets, tools=tools, examples=examples)


def clean_files() -> dict[str, str]:
    """Return a fleet in which every agent, tool, topic and article is used."""
    return {
        "fleet.toml": COMPANY,
        RECEPTION: agent("reception", "triage", topic="opening", targets='"rental"'),
        BOATS: agent("boats", "rental", topic="prices", targets='"triage"', tools='"find-booking"'),
        SENIOR: agent("senior", "escalation", topic="prices"),
        FIND: TOOL,
        PRICES: ARTICLE.format(name="prices", topic="prices"),
        OPENING: ARTICLE.format(name="opening-hours", topic="opening"),
    }


def changed(path: str, old: str, new: str) -> dict[str, str]:
    """Return the fleet with a text of one file replaced once."""
    files = clean_files()
    assert old in files[path]
    return files | {path: files[path].replace(old, new, 1)}


def line_with(text: str, part: str) -> int:
    """Return the number, from 1, of the first line that holds a text."""
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


def findings_of(files: dict[str, str], **folders: tuple[str, ...]) -> list[Finding]:
    """Check a fleet without writing it."""
    return check_folder(FleetFolder(tuple(FolderFile(path, text) for path, text in sorted(files.items())), **folders))


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write a fleet below a folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder
