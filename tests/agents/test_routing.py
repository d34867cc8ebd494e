"""Routing on the demo fleet: scope bands, short messages, stable handoffs, and the artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trunkline_agents.core.routing.artefact import UnreadableArtefactError, artefact_version, decode, encode
from trunkline_agents.core.routing.router import MAX_CLARIFICATIONS, Router
from trunkline_agents.core.routing.training import train
from trunkline_agents.core.transcript import clarification_count, previous_owner
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols.context import Utterance
from trunkline_protocols.fleet import Agent, Fleet

from tests.agents.builders import BUILT_IN
from tests.support.embedders import WordEmbedder

FLEET = load_fleet(Path(__file__).parents[2] / "fleet")
MODEL = train(FLEET, artefact_version(FLEET, "lexical", BUILT_IN), built_in=BUILT_IN)
ROUTER = Router(FLEET, MODEL)
EMBEDDING_ROUTER = Router(FLEET, train(FLEET, "words", WordEmbedder().embed, built_in=BUILT_IN))
OUT_OF_SCOPE = "qwx zzyv blorf"
BROKEN = "my router keeps dropping the wifi connection every night"


def agent_named(name: str) -> Agent:
    return next(agent for agent in FLEET.agents if agent.name == name)


def test_clear_message_goes_to_its_specialist() -> None:
    """Specialty first, then the agent in it."""
    choice = ROUTER.choose("I was charged twice for my order, can I get a refund?")
    assert (choice.specialty, choice.agent.name) == ("billing", "billing-refunds")
    assert ROUTER.choose(BROKEN).specialty == "technical"


def test_out_of_scope_message_is_clarified_and_then_escalated() -> None:
    """It is not refused, and the clarifying questions are limited."""
    assert ROUTER.choose(OUT_OF_SCOPE).specialty == "triage"
    assert ROUTER.choose(OUT_OF_SCOPE, clarifications=MAX_CLARIFICATIONS).specialty == "escalation"


def test_short_message_stays_with_its_owner() -> None:
    """Most real turns are that short and carry no information about the right owner."""
    assert ROUTER.better_specialty(agent_named("billing-refunds"), "router offline") is None
    assert ROUTER.choose_agent("billing", "ok thanks", current="billing-invoices").name == "billing-invoices"


def test_new_topic_moves_the_conversation_and_the_owners_topic_keeps_it() -> None:
    """By a clear margin only."""
    moved = ROUTER.better_specialty(agent_named("billing-refunds"), BROKEN)
    assert moved is not None
    assert moved.specialty == "technical"
    assert ROUTER.better_specialty(agent_named("technical-wifi"), BROKEN) is None


def test_return_to_the_previous_owner_needs_a_larger_margin() -> None:
    """A message that moves a conversation back would also move it from a third specialty; not the reverse."""
    for text in (text for agent in FLEET.of("billing") for text in agent.examples):
        back = ROUTER.better_specialty(agent_named("technical-wifi"), text, previous_owner="billing")
        assert back is None or ROUTER.better_specialty(agent_named("technical-wifi"), text) is not None


def test_clarifications_are_counted_since_the_last_answer_of_another_specialty() -> None:
    """From the transcript alone."""
    transcript = [
        Utterance(role="agent", text="?", specialty="billing"),
        Utterance(role="customer", text="hm"),
        Utterance(role="agent", text="?", specialty="triage"),
        Utterance(role="agent", text="?", specialty="triage"),
    ]
    assert clarification_count(transcript) == 2
    assert clarification_count([]) == 0
    assert previous_owner(transcript[:1]) == ""
    assert previous_owner([*transcript[:1], Utterance(role="agent", text="!", specialty="technical")]) == "billing"


def test_decoded_artefact_decides_as_the_original_model() -> None:
    """Half-precision floats change no choice for the fleet's own examples."""
    decoded = Router(FLEET, decode(encode(MODEL)))
    for text in (text for agent in FLEET.agents for text in agent.examples):
        assert decoded.choose(text).agent == ROUTER.choose(text).agent


@pytest.mark.parametrize("payload", [b"", b"no artefact", encode(MODEL)[:-9]])
def test_invalid_payload_is_refused(payload: bytes) -> None:
    """One error type, whatever is wrong with the bytes."""
    with pytest.raises(UnreadableArtefactError):
        decode(payload)


def test_version_depends_on_the_training_data_only() -> None:
    """Another example changes the version; another tone does not."""
    first, *others = FLEET.agents
    more = Fleet(
        company=FLEET.company,
        escalation=FLEET.escalation,
        agents=[_with(first, examples=[*first.examples, "one more"]), *others],
    )
    softer = Fleet(company=FLEET.company, escalation=FLEET.escalation, agents=[_with(first, tone="softer"), *others])
    assert artefact_version(more, "lexical", BUILT_IN) != artefact_version(FLEET, "lexical", BUILT_IN)
    assert artefact_version(softer, "lexical", BUILT_IN) == artefact_version(FLEET, "lexical", BUILT_IN)
    assert artefact_version(FLEET, "minilm-1", BUILT_IN) != artefact_version(FLEET, "lexical", BUILT_IN)


def _with(agent: Agent, **changes: Any) -> Agent:
    fields: dict[str, Any] = {name: getattr(agent, name) for name in agent.__struct_fields__}
    return Agent(**(fields | changes))


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
def test_embedding_does_not_move_a_message_about_both_specialties(owner: str, other: str, both: str) -> None:
    """Scores with an embedding are further apart; a message about both topics still stays with its owner."""

    def better_specialty(text: str) -> str | None:
        choice = EMBEDDING_ROUTER.better_specialty(FLEET.of(owner)[0], text, WordEmbedder().embed([text])[0])
        return choice.specialty if choice is not None else None

    half = {"billing": "What is this 5.99 payment to you for?", "technical": "The app crashes as soon as I open it"}
    assert better_specialty(both) is None
    assert better_specialty(half[owner]) is None
    assert better_specialty(half[other]) == other
