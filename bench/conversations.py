"""Conversations of a bench, written to inbox and log as the services write them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Final

from trunkline_chassis.bus import Bus
from trunkline_protocols import codec, subjects
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, conversation_id
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit, Started, TurnAnswered
from trunkline_protocols.rules.message_id_filter import with_id

REGION: Final = "local"
INGRESS: Final = Instance("bench-ingress")
QUESTION: Final = "I was charged twice for my order, can I get a refund?"
ANSWER: Final = "We refund the second charge within five days. You do not have to do anything."
FRAMES_PER_TURN: Final = 2
"""`accepted` and `message`."""

_CUSTOMER: Final = "bench"
_TENANT: Final = "default"
_CHANNEL: Final = "web"
_LOCALE: Final = "en"
_SPECIALTY: Final = Specialty("billing")
_AGENT: Final = "billing-charges"


@dataclass(slots=True)
class BenchConversation:
    """A conversation with the positions that its next message and commit refer to."""

    id: ConversationId
    turns: int = 0
    last_commit: int = 0
    last_message: int = 0
    ids: bytes = b""

    @property
    def last_frame(self) -> int:
        """Return the number of its last frame."""
        return 1 + FRAMES_PER_TURN * self.turns


def new_conversations(count: int) -> list[BenchConversation]:
    """Return conversations without a turn."""
    return [BenchConversation(conversation_id(secrets.token_hex(10))) for _ in range(count)]


def next_message(conversation: BenchConversation, text: str) -> TurnReceived:
    """Return the message of the next turn."""
    return TurnReceived(
        conversation=conversation.id,
        message_id=f"m{conversation.turns + 1}",
        text=text,
        seq=conversation.last_frame + 1,
        previous=conversation.last_message,
        customer=_CUSTOMER,
        tenant=_TENANT,
        region=REGION,
        channel=_CHANNEL,
        locale=_LOCALE,
        ingress=INGRESS,
        received_at=time.time(),
    )


async def append_message(bus: Bus, conversation: BenchConversation, message: TurnReceived) -> None:
    """Append a message to the inbox."""
    appended = await bus.append(
        subjects.inbox(REGION, conversation.id),
        codec.encode(message),
        message_id=f"{conversation.id}-{message.message_id}",
    )
    conversation.last_message = appended.seq


async def append_answer(
    bus: Bus, conversation: BenchConversation, message: TurnReceived, answer: str, *, turn: TurnId, inbox_seq: int
) -> None:
    """Append the commit of billing that answers a message, and begin the next turn."""
    is_first = conversation.turns == 0
    opening = [Started(customer=_CUSTOMER, tenant=_TENANT, channel=_CHANNEL, locale=_LOCALE)] if is_first else []
    answered = TurnAnswered(
        message_id=message.message_id,
        accepted_seq=message.seq,
        text=message.text,
        received_at=message.received_at,
        answer=answer,
        specialty=_SPECIALTY,
        agent=_AGENT,
    )
    commit = Commit(
        conversation=conversation.id,
        region=REGION,
        tenant=_TENANT,
        customer=_CUSTOMER,
        kind="turn",
        turn=turn,
        epoch=0,
        owner=_SPECIALTY,
        agent=_AGENT,
        inbox_seq=inbox_seq,
        previous=conversation.last_commit,
        frames_before=FRAMES_PER_TURN * conversation.turns,
        at=time.time(),
        events=[*opening, answered],
        ids_before=conversation.ids,
    )
    appended = await bus.append(
        subjects.log(REGION, conversation.id, "turn"), codec.encode(commit), message_id=f"{turn}-turn-0"
    )
    conversation.ids = with_id(conversation.ids, message.message_id)
    conversation.last_commit = appended.seq
    conversation.turns += 1
