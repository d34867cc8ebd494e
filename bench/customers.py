"""Cost of known data about a customer in a warm turn: CPU of every step that it touches, with and without 2 KiB of it.

    python -m bench.customers

Steps: the conversation process looks the customer up, makes the context and encodes the work; the agents process
decodes it, fills the texts, and encodes the completion; the gateway decodes it and writes the prompt; the commit gets
names, ages and a hash. Nothing is sent: bytes on the wire are given beside.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec
from trunkline_agents.core.completion_request import completion_request
from trunkline_agents.core.results import Sources
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_conversation.application.customer_contexts import CustomerContexts
from trunkline_conversation.core.state import Conversation, context_of
from trunkline_llm_gateway.core.prompt import chat_messages
from trunkline_protocols import codec
from trunkline_protocols.context import Fact, Utterance
from trunkline_protocols.customers import CustomerKnown, ReadCustomer, Reading
from trunkline_protocols.fleet import FactField, Fleet, Reader
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, TurnRef
from trunkline_protocols.rules.facts import facts_used, within_limit
from trunkline_protocols.turn import AnswerTurn, MessageAnalysis

from bench.conversations import QUESTION, new_conversations, next_message

_ROUNDS: Final = 9
_TURNS: Final = 2_000
_FLEET: Final = Path(__file__).parents[1] / "fleet"
_DECODER: Final[codec.Decoder[AnswerTurn]] = codec.Decoder(AnswerTurn)
_NAMES: Final = [f"fact_{number}" for number in range(30)]


class _Bucket:
    """Knows one customer."""

    def __init__(self, known: CustomerKnown) -> None:
        self._known = known

    async def load(self, key: str) -> CustomerKnown:
        del key
        return self._known

    async def read(self, request: ReadCustomer, *, timeout_s: float) -> CustomerKnown | None:
        del request, timeout_s
        return self._known

    async def keep_earlier(
        self, key: str, conversation: ConversationId, earlier: list[Utterance], *, text_key: str
    ) -> None:
        del key, conversation, earlier, text_key


def _known(now: float) -> CustomerKnown:
    facts = within_limit(Fact(name=name, value="x" * 40, read_at=now) for name in _NAMES)
    return CustomerKnown(facts=facts, readings={"crm": Reading(tried_at=now, read_at=now)})


def _fleets() -> tuple[Fleet, Fleet]:
    """Return the demo fleet without a reader, and with one."""
    bare = msgspec.structs.replace(load_fleet(_FLEET), readers=[])
    fields = {name: FactField() for name in _NAMES}
    reader = Reader(name="crm", url="https://crm.example/{c}", bind={"c": "customer.sub"}, fields=fields, fresh_s=3_600)
    return bare, msgspec.structs.replace(bare, readers=[reader])


async def _turn_of(fleet: Fleet) -> tuple[Callable[[], Coroutine[Any, Any, None]], int]:
    """Return a warm turn with a fleet, and the bytes of its work."""
    now = time.time()
    (conversation,) = new_conversations(1)
    message = next_message(conversation, QUESTION)
    state = Conversation(id=conversation.id, region="local", sequence=1, turns=1, owner="billing")
    tasks: list[asyncio.Task[None]] = []
    contexts = CustomerContexts(
        _Bucket(_known(now)),
        fleet=lambda _: fleet,
        addresses={},
        spawn=lambda work: tasks.append(asyncio.get_running_loop().create_task(work)),
        now=time.time,
    )
    contexts.prepare(message)
    await contexts.current(message, is_first=True)
    agent = fleet.of("billing")[0]

    def work() -> AnswerTurn:
        return AnswerTurn(
            ref=TurnRef(conversation=conversation.id, turn=TurnId("t-1"), attempt=1, hop=0, epoch=0),
            specialty=Specialty("billing"),
            agent=agent.name,
            text=QUESTION,
            context=context_of(state, message, contexts.known(message), fleet),
            reply_to=Instance("conversation-1"),
            ingress=Instance("ingress-1"),
            dispatched_at=now,
            deadline_at=now + 90,
        )

    async def turn() -> None:
        contexts.prepare(message)
        await contexts.current(message, is_first=False)
        request = _DECODER.decode(codec.encode(work()))
        completion = completion_request(
            request, fleet, agent, Sources([], [], []), completion_id="c", analysis=MessageAnalysis()
        )
        chat_messages(codec.complete.decode(codec.encode(completion)))
        codec.encode(facts_used(conversation.id, request.context.facts, now))

    return turn, len(codec.encode(work()))


async def _measure() -> dict[str, Any]:
    bare, with_facts = _fleets()
    (without, small), (full, large) = await _turn_of(bare), await _turn_of(with_facts)
    added: list[float] = []
    for _ in range(_ROUNDS):
        took = []
        for turn in (without, full):
            started = time.process_time()
            for _ in range(_TURNS):
                await turn()
            took.append((time.process_time() - started) / _TURNS * 1e6)
        added.append(took[1] - took[0])
    ordered = sorted(added)
    return {
        "facts_bytes": large - small,
        "added_us_per_turn": {"min": round(ordered[0], 1), "median": round(ordered[_ROUNDS // 2], 1)},
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure())))
