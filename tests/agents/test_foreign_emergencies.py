"""Emergencies in languages that a fleet does not serve: a line in every reply, and an alarm where it is certain."""

from __future__ import annotations

import msgspec
import pytest
from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.core.foreign_emergencies import with_foreign_emergency
from trunkline_agents.core.intents.recognition import Alarm
from trunkline_agents.core.routing.router import Router
from trunkline_agents.core.routing.training import train
from trunkline_protocols.knowledge import MessageAnalysed
from trunkline_protocols.turn import Answered, Escalate, TurnResult

from tests.agents.builders import BUILT_IN, LANGUAGES, make_request, make_task, make_worker, small_fleet
from tests.agents.fakes import FakeKnowledgeBase, FakeModel

FLEET = small_fleet()
ROUTING = FleetRouting(1, FLEET, Router(FLEET, train(FLEET, "test", built_in=BUILT_IN)))
GENERAL = FLEET.escalation.emergency_say


def alarm_of(
    text: str, *, alarm: Alarm | None = None, language: str = "", served: list[str] | None = None
) -> Alarm | None:
    fleet = msgspec.structs.replace(FLEET, company=msgspec.structs.replace(FLEET.company, languages=served or ["en"]))
    return with_foreign_emergency(alarm, text, language, texts=LANGUAGES, fleet=fleet)


async def process(text: str, language: str) -> TurnResult:
    analyses = FakeKnowledgeBase(analysis=MessageAnalysed(language=language))
    worker = make_worker(FakeModel(), analyses=analyses)
    return await worker.process(make_task(make_request(text, specialty="triage", hop=0), ROUTING))


def test_every_language_with_a_reply_has_its_emergency_texts() -> None:
    """The line names a number, and the language has a name."""
    assert LANGUAGES.replies.keys() == LANGUAGES.emergencies.keys() == LANGUAGES.dangers.keys()
    assert LANGUAGES.replies.keys() <= LANGUAGES.names.keys()
    assert all("112" in line for line in LANGUAGES.emergencies.values())


async def test_reply_in_another_language_names_the_emergency_number() -> None:
    """Whatever the message says."""
    result = await process("Wann bekomme ich endlich mein Geld zurück?", "de")
    assert isinstance(result, Answered)
    assert result.text.startswith("Leider")
    assert result.text.endswith(LANGUAGES.emergencies["de"])


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hilfe, es brennt!", "de"),
        ("Au secours, mon routeur est en feu", "fr"),
        ("mi hijo se tragó una pila", "es"),
        ("в квартире запах газа!!", "ru"),
        ("台所で火事です", "ja"),
        ("הראוטר עולה באש", "he"),
        ("घर में आग लग गई है", "hi"),
        ("Do routeru udeřil blesk, pokoj hoří.", "cs"),
    ],
)
async def test_danger_in_another_language_calls_a_person(text: str, language: str) -> None:
    """Also if the message is too short to know its language; its own line comes first."""
    result = await process(text, "")
    assert isinstance(result, Escalate)
    assert (result.urgency, result.level) == ("critical", "person")
    assert result.say == f"{LANGUAGES.emergencies[language]}\n\n{GENERAL}"


@pytest.mark.parametrize(
    "text", ["Die Lampe brennt nicht mehr", "Je cherche le détecteur d'incendie", "is the fire brand new?", "hoři"]
)
def test_words_that_only_resemble_danger_raise_no_alarm(text: str) -> None:
    """A phrase must be certain by itself."""
    assert alarm_of(text, language="de") is None


def test_danger_in_a_served_language_is_left_to_the_examples() -> None:
    """The fleet knows its own language better."""
    assert alarm_of("Hilfe, es brennt!", served=["en", "de"]) is None


def test_rule_of_the_fleet_keeps_its_instruction_below_the_line() -> None:
    """And an alarm that is no emergency stays as it is."""
    fire = Alarm("critical", "person", "rule fire", "Leave the room.")
    found = alarm_of("Es brennt in der Küche", alarm=fire, language="de")
    assert found is not None
    assert (found.reason, found.say) == ("rule fire", f"{LANGUAGES.emergencies['de']}\n\nLeave the room.")
    assert alarm_of("I smell gas", alarm=fire) == fire
    wish = Alarm("normal", "person", "the customer asks for a person")
    assert alarm_of("Ich möchte mit einem Menschen sprechen", alarm=wish, language="de") == wish
