"""Routing on the demo fleet: bands, short messages, handoffs that do not flap, and the artefact that carries it."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_agents.core.briefing import asked_back, previous_owner
from trunkline_agents.core.routing.artefact import UnreadableArtefactError, decode, encode, version_of
from trunkline_agents.core.routing.router import STRANGE_TURNS, Router
from trunkline_agents.core.routing.training import train
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols.context import Utterance
from trunkline_protocols.fleet import Agent, Fleet

from tests.support.embedders import WordEmbedder

FLEET = load_fleet(Path(__file__).parents[2] / "fleet")
MODEL = train(FLEET, version_of(FLEET, "lexical"))
ROUTER = Router(FLEET, MODEL)
WITH_VECTORS = Router(FLEET, train(FLEET, "words", WordEmbedder().embed))
STRANGE = "qwx zzyv blorf"
BROKEN = "my router keeps dropping the wifi connection every night"


def agent(name: str) -> Agent:
    return next(agent for agent in FLEET.agents if agent.name == name)


def test_clear_message_goes_to_its_specialist() -> None:
    """Specialty first, then the agent in it."""
    choice = ROUTER.choose("I was charged twice for my order, can I get a refund?")
    assert (choice.specialty, choice.agent.name) == ("billing", "billing-refunds")
    assert ROUTER.choose(BROKEN).specialty == "technical"


def test_strange_message_is_asked_back_and_then_given_to_a_person() -> None:
    """Not rejected, and not asked for ever."""
    assert ROUTER.choose(STRANGE).specialty == "triage"
    assert ROUTER.choose(STRANGE, asked_back=STRANGE_TURNS).specialty == "escalation"


def test_short_message_stays_with_its_owner() -> None:
    """Most real turns are that short, and say nothing about who should answer."""
    assert ROUTER.better_specialty(agent("billing-refunds"), "router offline") is None
    assert ROUTER.agent_of("billing", "ok thanks", current="billing-invoices").name == "billing-invoices"


def test_new_topic_moves_the_conversation_and_the_old_one_keeps_it() -> None:
    """By a clear margin only."""
    moved = ROUTER.better_specialty(agent("billing-refunds"), BROKEN)
    assert moved is not None
    assert moved.specialty == "technical"
    assert ROUTER.better_specialty(agent("technical-wifi"), BROKEN) is None


def test_way_back_is_longer_than_the_way_there() -> None:
    """Whatever moves a conversation back would have moved it from a third place as well; not the other way round."""
    for text in (text for one in FLEET.of("billing") for text in one.examples):
        back = ROUTER.better_specialty(agent("technical-wifi"), text, came_from="billing")
        assert back is None or ROUTER.better_specialty(agent("technical-wifi"), text) is not None


def test_questions_back_are_counted_until_somebody_else_has_answered() -> None:
    """From the transcript alone."""
    transcript = [
        Utterance(role="agent", text="?", specialty="billing"),
        Utterance(role="customer", text="hm"),
        Utterance(role="agent", text="?", specialty="triage"),
        Utterance(role="agent", text="?", specialty="triage"),
    ]
    assert asked_back(transcript) == 2
    assert asked_back([]) == 0
    assert previous_owner(transcript[:1]) == ""
    assert previous_owner([*transcript[:1], Utterance(role="agent", text="!", specialty="technical")]) == "billing"


def test_artefact_decides_as_the_model_it_was_made_of() -> None:
    """Halved floats change no choice of the fleet's own examples."""
    payload = encode(MODEL)
    again = Router(FLEET, decode(payload))
    for text in (text for one in FLEET.agents for text in one.examples):
        assert again.choose(text).agent == ROUTER.choose(text).agent


@pytest.mark.parametrize("payload", [b"", b"no artefact", encode(MODEL)[:-9]])
def test_anything_else_is_no_artefact(payload: bytes) -> None:
    """A clear error, whatever is wrong with the bytes."""
    with pytest.raises(UnreadableArtefactError):
        decode(payload)


def test_version_changes_with_what_is_learnt_and_with_nothing_else() -> None:
    """An example more is another version; a tone is none."""
    first, *others = FLEET.agents
    more = Fleet(company=FLEET.company, agents=[_with(first, examples=[*first.examples, "one more"]), *others])
    softer = Fleet(company=FLEET.company, agents=[_with(first, tone="softer"), *others])
    assert version_of(more, "lexical") != version_of(FLEET, "lexical")
    assert version_of(softer, "lexical") == version_of(FLEET, "lexical")
    assert version_of(FLEET, "minilm-1") != version_of(FLEET, "lexical")


def _with(one: Agent, **changes: object) -> Agent:
    fields = {name: getattr(one, name) for name in one.__struct_fields__}
    return Agent(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("owner", "other", "both"),
    [
        ("technical", "billing", "What is this 5.99 payment to you for? The app crashes as soon as I open it"),
        (
            "billing",
            "technical",
            "What is this 5.99 payment to you for? All devices show offline in the app but they work",
        ),
    ],
)
def test_vector_moves_no_conversation_that_lies_between_two_specialties(owner: str, other: str, both: str) -> None:
    """Scores with a vector lie further apart: what is half one thing and half the other still stays with its owner."""

    def better_specialty(text: str) -> str | None:
        choice = WITH_VECTORS.better_specialty(FLEET.of(owner)[0], text, WordEmbedder().embed([text])[0])
        return choice.specialty if choice is not None else None

    half = {"billing": "What is this 5.99 payment to you for?", "technical": "The app crashes as soon as I open it"}
    assert better_specialty(both) is None
    assert better_specialty(half[owner]) is None
    assert better_specialty(half[other]) == other
