"""The bus on a real nats-server."""

from __future__ import annotations

import secrets

import pytest
from trunkline_chassis.bus import Bus
from trunkline_chassis.errors import BusUnavailableError, FenceError, MessageTooLargeError
from trunkline_protocols import subjects
from trunkline_protocols.ids import ConversationId, conversation_id


@pytest.fixture
def conversation() -> ConversationId:
    """A conversation that no other test uses."""
    return conversation_id(secrets.token_hex(10))


async def test_fenced_append_is_refused_after_another_writer(bus: Bus, conversation: ConversationId) -> None:
    """Two owners may exist for a moment, but never two histories."""
    fence = subjects.log_fence("local", conversation)
    first = await bus.append(
        subjects.log("local", conversation, "turn"), b"1", message_id=f"{conversation}-1", fence=(fence, 0)
    )
    with pytest.raises(FenceError):
        await bus.append(
            subjects.log("local", conversation, "handoff"), b"2", message_id=f"{conversation}-2", fence=(fence, 0)
        )
    second = await bus.append(
        subjects.log("local", conversation, "handoff"), b"2", message_id=f"{conversation}-2", fence=(fence, first.seq)
    )
    assert second.seq > first.seq
    assert [stored.payload for stored in await bus.read_messages("CONVERSATIONS", fence)] == [b"1", b"2"]
    last = await bus.last_message("CONVERSATIONS", fence)
    assert last is not None
    assert last.seq == second.seq


async def test_repeated_message_id_is_stored_once(bus: Bus, conversation: ConversationId) -> None:
    """A repeat returns the sequence of the first append."""
    subject = subjects.inbox("local", conversation)
    first = await bus.append(subject, b"hello", message_id=f"{conversation}-m1")
    repeated = await bus.append(subject, b"hello", message_id=f"{conversation}-m1")
    assert not first.duplicate
    assert repeated.duplicate
    assert repeated.seq == first.seq


async def test_long_log_is_read_completely_and_in_order(bus: Bus, conversation: ConversationId) -> None:
    """Several batches without a gap or a duplicate."""
    subject = subjects.inbox("local", conversation)
    for number in range(1_050):
        await bus.append(subject, str(number).encode(), message_id=f"{conversation}-{number}")
    stored = await bus.read_messages("INBOX", subject)
    assert [int(message.payload) for message in stored] == list(range(1_050))
    assert [m.seq for m in await bus.read_messages("INBOX", subject, after=stored[1_000].seq)] == [
        m.seq for m in stored[1_001:]
    ]


async def test_request_without_responders_is_unavailable(bus: Bus) -> None:
    """It fails at once, without waiting for the timeout."""
    with pytest.raises(BusUnavailableError):
        await bus.request("without.responders", b"", timeout_s=1)


async def test_message_over_the_limit_of_the_server_is_refused_at_once(bus: Bus, conversation: ConversationId) -> None:
    """Without a retry, which would be as large: stored, published and requested messages."""
    payload = b"x" * (bus.client.max_payload + 1)
    subject = subjects.inbox("local", conversation)
    for attempt in (
        bus.append(subject, payload, message_id=secrets.token_hex(8)),
        bus.publish("out.ingress-1.c1", payload),
        bus.request("rag.local.import", payload, timeout_s=10.0),
    ):
        with pytest.raises(MessageTooLargeError, match=f"a message of {len(payload)} bytes on .* is over max_payload"):
            await attempt
