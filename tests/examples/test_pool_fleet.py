"""A fleet of another trade, written after fleet/README.md alone, answers as a support desk must."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_cli.fleet.core.check import check_folder
from trunkline_cli.fleet.folder_reader import read_fleet_folder

from tests.support.customer import Customer
from tests.support.meaning import suite_by_meaning
from tests.support.suite import Suite

FOLDER = Path(__file__).parents[2] / "examples" / "pool-fleet"
FLEET = load_fleet(FOLDER)
CONVERSATIONS: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("pool_questions.toml").read_text(encoding="utf-8")
)["conversations"]
MIN_GOOD = 15
"""Of 20 conversations; those about a danger or a person must all be good."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite of this fleet that searches by meaning."""
    with suite_by_meaning(tmp_path_factory.mktemp("pool"), {"TRUNKLINE_FLEET_DIR": str(FOLDER)}) as running:
        yield running


def is_good(conversation: dict[str, Any], message: dict[str, Any], escalated: list[dict[str, Any]]) -> bool:
    """Return whether the last reply is what the customer must get."""
    text, cited = message["text"], {citation["document"] for citation in message["citations"]}
    match conversation["expected"]:
        case "answer":
            said = any(words in text for words in conversation["says"])
            return said and bool(cited & set(conversation["documents"])) and not escalated
        case "danger":
            says = [rule.say for rule in FLEET.escalation.rules if rule.urgency == "critical"]
            return any(text.startswith(say) for say in says) and escalated[0]["urgency"] == "critical"
        case "person":
            return bool(escalated) and escalated[0]["level"] == "person"
        case _:
            return not cited and not escalated


async def replies(suite: Suite) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]]:
    """Yield every conversation with the reply to its last message and its escalations."""
    for conversation in CONVERSATIONS:
        async with Customer(suite.url) as customer:
            await customer.start()
            messages = [await customer.ask(f"m{number}", text) for number, text in enumerate(conversation["messages"])]
            yield conversation, messages[-1], customer.frames_of("escalated")


async def test_folder_has_no_finding() -> None:
    """Apart from the note that it has no senior agents."""
    findings = check_folder(await asyncio.to_thread(read_fleet_folder, FOLDER))
    assert [finding.rule for finding in findings] == ["no-senior-agents"]


@pytest.mark.processes
async def test_most_customers_get_what_they_need(suite: Suite) -> None:
    """And all of those in danger, and all who want a person."""
    missed = [
        (conversation["expected"], conversation["messages"][-1], message["text"])
        async for conversation, message, escalated in replies(suite)
        if not is_good(conversation, message, escalated)
    ]
    assert len(CONVERSATIONS) - len(missed) >= MIN_GOOD, missed
    assert not [each for each in missed if each[0] in {"danger", "person"}], missed
