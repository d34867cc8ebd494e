"""Emergencies, wishes for a person and waiting, in a complete suite of the demo fleet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from trunkline_chassis.fleet_folder import load_fleet

from tests.support.customer import Customer
from tests.support.meaning import suite_by_meaning
from tests.support.suite import Suite

pytestmark = pytest.mark.processes

POLICY = load_fleet(Path(__file__).parents[2] / "fleet").escalation
SAY = {rule.name: rule.say for rule in POLICY.rules}
FIRE = "Thick smoke is pouring out of my router"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite that searches by meaning."""
    with suite_by_meaning(tmp_path_factory.mktemp("meaning")) as running:
        yield running


@pytest.fixture
async def customer(suite: Suite) -> AsyncIterator[Customer]:
    """A customer in a new conversation, who ends it, so that it leaves the queue."""
    async with Customer(suite.url) as each:
        await each.start()
        yield each
        await each.send({"type": "end"})
        await each.until("closed")


@pytest.mark.parametrize(
    ("text", "rule"),
    [(FIRE, "fire"), ("my daughter has swallowed the cell of the door sensor", "swallowed-battery")],
)
async def test_emergency_begins_with_the_authored_instruction(customer: Customer, text: str, rule: str) -> None:
    """A person is called, and nothing comes before it."""
    message = await customer.ask("m1", text)
    assert message["text"].startswith(SAY[rule])
    assert customer.frames_of("delta")[:1] == [] or SAY[rule].startswith(customer.frames_of("delta")[0]["text"])
    (escalated,) = customer.frames_of("escalated")
    assert (escalated["urgency"], escalated["level"]) == ("critical", "person")


async def test_answer_never_closes_a_critical_case(customer: Customer, suite: Suite) -> None:
    """What follows belongs to the case: it is confirmed, and a question with a good answer is answered."""
    await customer.ask("m1", FIRE)
    noted = await customer.ask("m2", "it is the one in the bedroom")
    assert noted["text"].startswith(SAY["fire"])
    assert POLICY.noted_note.split("{position}")[0] in noted["text"]
    answer = await customer.ask("m3", "How many days do I have to return an item?")
    assert "start-a-return" in {citation["document"] for citation in answer["citations"]}
    assert "closed" not in {frame["type"] for frame in customer.frames}
    queue = await asyncio.to_thread(suite.get, "/v1/ops/desk")
    (entry,) = [entry for entry in queue if entry["conversation"] == customer.conversation]
    assert entry["urgency"] == "critical"


async def test_second_emergency_of_a_waiting_customer_gets_its_instruction(customer: Customer) -> None:
    """The case stays one case."""
    await customer.ask("m1", "I would like to deal with a human being about my invoice")
    message = await customer.ask("m2", FIRE)
    assert message["text"].startswith(SAY["fire"])
    assert [frame["urgency"] for frame in customer.frames_of("escalated")] == ["normal", "critical"]


@pytest.mark.parametrize("text", ["Could one of your staff look into this with me?", "no more robots, a human please"])
async def test_wish_for_a_person_is_understood_in_other_words(customer: Customer, text: str) -> None:
    """No phrase of the fleet contains it."""
    await customer.ask("m1", text)
    (escalated,) = customer.frames_of("escalated")
    assert (escalated["urgency"], escalated["level"]) == ("normal", "person")


async def test_advice_that_did_not_help_twice_calls_a_person(customer: Customer) -> None:
    """The first time, the next advice follows."""
    first = await customer.ask("m1", "My camera is offline")
    second = await customer.ask("m2", "tried that, it did not help")
    assert second["citations"]
    assert not {citation["quote"] for citation in first["citations"]} & {
        citation["quote"] for citation in second["citations"]
    }
    await customer.ask("m3", "that does not work either")
    assert [frame["level"] for frame in customer.frames_of("escalated")] == ["person"]


async def test_follow_up_carries_the_subject_of_the_question_before(customer: Customer) -> None:
    """Neither words nor meaning of the second question name it."""
    await customer.ask("m1", "Do Mesh Points work with the Router 6?")
    answer = await customer.ask("m2", "How many of those can it take?")
    assert "five" in answer["text"]


async def test_unserved_language_is_answered_in_it(customer: Customer) -> None:
    """Without any citation."""
    answer = await customer.ask("m1", "Wann bekomme ich endlich mein Geld zurück?")
    assert answer["text"].startswith("Leider")
    assert "English" in answer["text"]
    assert answer["citations"] == []


async def test_several_questions_are_answered_one_by_one(customer: Customer) -> None:
    """Each from its own article."""
    answer = await customer.ask("m1", "Which battery does the door sensor need, and do you take PayPal?")
    assert len({citation["document"] for citation in answer["citations"]}) > 1
    assert "CR2032" in answer["text"]
    assert "PayPal" in answer["text"]
