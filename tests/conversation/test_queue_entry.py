"""The entry of a conversation in the desk's queue: the customer's words, and what is unanswered."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest
from trunkline_conversation.core.queue_entry import queue_entry
from trunkline_conversation.core.state import Conversation
from trunkline_protocols.context import Utterance
from trunkline_protocols.desk import Claim, Reply
from trunkline_protocols.escalation import MAX_EXCERPT_CHARACTERS, Escalation

from tests.conversation.actor_harness import ActorHarness
from tests.conversation.builders import CONVERSATION, received

WAITING: Final = Conversation(
    id=CONVERSATION,
    region="local",
    customer="ada",
    turns=3,
    escalation=Escalation(level="person", urgency="high", reason="r", summary="s", since=1.0, due_at=2.0),
)


def with_transcript(*said: tuple[str, str]) -> Conversation:
    """Return a waiting conversation with these utterances, as role and text."""
    return msgspec.structs.replace(
        WAITING,
        transcript=[Utterance(role=role, text=text) for role, text in said],  # type: ignore[arg-type]
    )


def test_only_an_escalation_to_a_person_has_an_entry() -> None:
    """Senior agents have no desk."""
    assert WAITING.escalation is not None
    senior = msgspec.structs.replace(WAITING.escalation, level="senior")
    assert queue_entry(msgspec.structs.replace(WAITING, escalation=senior)) is None
    assert queue_entry(msgspec.structs.replace(WAITING, escalation=None)) is None


@pytest.mark.parametrize(
    ("said", "excerpt", "unanswered"),
    [
        ([], "", 0),
        ([("customer", "Smoke!"), ("agent", "You are number 1.")], "Smoke!", 0),
        ([("customer", "Smoke!"), ("person", "Hello"), ("customer", "It\n\nburns"), ("customer", "Help")], "Help", 2),
        ([("person", "Hello"), ("customer", "It\n\nburns")], "It burns", 1),
    ],
)
def test_entry_holds_the_last_message_and_counts_the_unanswered(
    said: list[tuple[str, str]], excerpt: str, unanswered: int
) -> None:
    """In one line; an answer of an agent or of a person answers everything before it."""
    entry = queue_entry(with_transcript(*said))
    assert entry is not None
    assert (entry.last_message, entry.messages, entry.unanswered) == (excerpt, 3, unanswered)


def test_long_message_is_shortened() -> None:
    """The queue is read by every process that shows it."""
    entry = queue_entry(with_transcript(("customer", "word " * 200)))
    assert entry is not None
    assert len(entry.last_message) <= MAX_EXCERPT_CHARACTERS
    assert entry.last_message.endswith("word…")


async def test_queue_follows_the_messages_of_a_claimed_conversation() -> None:
    """Every message and reply updates the entry, not only changes of the escalation."""
    harness = ActorHarness()
    harness.deliver(1, received(1, text="I want to speak to a person"))
    await harness.actor.run()
    entry = harness.escalation_queue.waiting[CONVERSATION]
    assert (entry.last_message, entry.messages, entry.unanswered) == ("I want to speak to a person", 1, 0)
    common = {"conversation": CONVERSATION, "person": "grace", "at": 1.0}
    harness.deliver(2, Claim(previous=0, **common))  # type: ignore[arg-type]
    harness.deliver(3, received(2, previous=1, text="Hello?"))
    await harness.actor.run()
    entry = harness.escalation_queue.waiting[CONVERSATION]
    assert (entry.last_message, entry.messages, entry.unanswered) == ("Hello?", 2, 1)
    harness.deliver(4, Reply(previous=2, reply_id="r1", text="Hello.", **common))  # type: ignore[arg-type]
    await harness.actor.run()
    assert harness.escalation_queue.waiting[CONVERSATION].unanswered == 0
