"""What state under pressure costs a turn: many open conversations, one of thousands of turns, messages of 64 KiB.

Writes the logs of conversations into a running suite's NATS as the conversation service would have, then takes the
place of an ingress: it stores customers' messages in the inbox and waits for the commits that answer them. A turn's
overhead is the time between the two, less the model's own time. Run it on a suite of its own, and with a small budget
to see conversations go and come back:

    TRUNKLINE_MEMORY_BUDGET_MIB=16 ./just up --data-dir /tmp/state
    python bench/state.py --nats nats://127.0.0.1:PORT --conversations 50000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import secrets
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import ConversationId, Instance, Specialty, TurnId, conversation_id
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.log import Commit, CommitStored, Started, TurnAnswered
from trunkline_protocols.rules.message_id_filter import with_id

_REGION: Final = "local"
_ME: Final = Instance("bench-ingress")
_QUESTION: Final = "I was charged twice for my order, can I get a refund?"
_ANSWER: Final = "We refund the second charge within five days. You do not have to do anything."
_LONG: Final = 65_536
_LONGEST_QUESTION: Final = 8_000
_FLEET: Final = Path(__file__).parents[1] / "fleet"
_IN_FLIGHT: Final = 64
_ANSWER_S: Final = 60.0
_ARCHIVE_S: Final = 600.0
_GAUGES: Final = ("trunkline_conversations_in_memory", "trunkline_conversations_bytes", "process_resident_memory_bytes")


@dataclass(slots=True)
class _Open:
    """A conversation: what its next commit and its next message follow."""

    id: ConversationId
    commits: int = 0
    last_commit: int = 0
    ids: bytes = b""
    messages: int = 0
    last_message: int = 0


class _Seeder:
    """Writes the commits of conversations that billing owns."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._room = asyncio.Semaphore(_IN_FLIGHT)

    async def seed(self, conversations: Sequence[_Open], commits: int, *, question: str, answer: str) -> None:
        """Add so many commits to each: one after another in a conversation, many conversations at once."""
        await asyncio.gather(*(self._seed(conversation, commits, question, answer) for conversation in conversations))
        await self._archived()

    async def _seed(self, conversation: _Open, commits: int, question: str, answer: str) -> None:
        async with self._room:
            for _ in range(commits):
                await self._append(conversation, question, answer)

    async def _archived(self) -> None:
        """Wait until audit has it all: else its work on the same cores would be measured."""
        consumer = streams.audit_consumer(streams.CONVERSATIONS)
        async with asyncio.timeout(_ARCHIVE_S):
            while True:
                state = await self._bus.api(f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
                if state["num_pending"] == state["num_ack_pending"] == 0:
                    return
                await asyncio.sleep(0.2)

    async def _append(self, conversation: _Open, question: str, answer: str) -> None:
        conversation.commits += 1
        number = conversation.commits
        started = [Started(customer="bench", tenant="default", channel="web", locale="en")] if number == 1 else []
        answered = TurnAnswered(
            message_id=f"s{number}",
            accepted_seq=2 * number,
            text=question,
            received_at=time.time(),
            answer=answer,
            specialty="billing",
            agent="billing-charges",
        )
        commit = Commit(
            conversation=conversation.id,
            region=_REGION,
            tenant="default",
            customer="bench",
            kind="turn",
            turn=TurnId(f"{conversation.id}-s{number}"),
            epoch=0,
            owner=Specialty("billing"),
            agent="billing-charges",
            # The messages that these answer are not in the inbox: the first that is has a number over all of them.
            inbox_seq=0,
            previous=conversation.last_commit,
            frames_before=2 * (number - 1),
            at=time.time(),
            events=[*started, answered],
            ids_before=conversation.ids,
        )
        appended = await self._bus.append(
            subjects.log(_REGION, conversation.id, "turn"), codec.encode(commit), message_id=f"{commit.turn}-seed"
        )
        conversation.last_commit = appended.seq
        conversation.ids = with_id(conversation.ids, answered.message_id)


class _Customers:
    """Says things in conversations and waits for the commits."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, asyncio.Future[CommitStored]] = {}
        self.route_ms: list[float] = []
        self.search_ms: list[float] = []

    async def listen(self) -> None:
        """Hear what is told to this ingress."""
        await self._bus.subscribe(subjects.out_of(_ME), self._on_message)

    async def _on_message(self, message: Msg) -> None:
        told = codec.out.decode(message.data)
        if isinstance(told, CommitStored) and told.commit.settles:
            waiting = self._waiting.get(told.commit.conversation)
            if waiting is not None and not waiting.done():
                waiting.set_result(told)

    async def overheads_ms(self, conversations: Sequence[_Open], question: str, at_once: int) -> list[float]:
        """Say the same in each, a few at once."""
        room = asyncio.Semaphore(at_once)

        async def say(conversation: _Open) -> float:
            async with room:
                return await self._say(conversation, question)

        return list(await asyncio.gather(*(say(conversation) for conversation in conversations)))

    async def _say(self, conversation: _Open, question: str) -> float:
        conversation.messages += 1
        message = TurnReceived(
            conversation=conversation.id,
            message_id=f"b{conversation.messages}",
            text=question,
            seq=2 * (conversation.commits + conversation.messages),
            previous=conversation.last_message,
            customer="bench",
            tenant="default",
            region=_REGION,
            channel="web",
            locale="en",
            ingress=_ME,
            received_at=time.time(),
        )
        answer = self._waiting[conversation.id] = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        stored = await self._bus.append(
            subjects.inbox(_REGION, conversation.id),
            codec.encode(message),
            message_id=f"{conversation.id}-{message.message_id}",
        )
        conversation.last_message = stored.seq
        told = await asyncio.wait_for(answer, _ANSWER_S)
        took_ms = (time.perf_counter() - began) * 1000
        events = told.commit.events
        timings = [event.timings for event in events if isinstance(event, TurnAnswered)]
        self.route_ms += [each.route_ms for each in timings]
        self.search_ms += [each.search_ms for each in timings]
        return took_ms - sum(each.model_ms for each in timings)


def _new(count: int) -> list[_Open]:
    return [_Open(conversation_id(secrets.token_hex(10))) for _ in range(count)]


def _page_of_a_story() -> str:
    """The longest message that a customer can send: about everything but what escalates it."""
    fleet = load_fleet(_FLEET)
    rules = fleet.escalation
    phrases = [*rules.person_phrases, *(phrase for rule in rules.rules for phrase in rule.phrases)]
    examples = [
        example
        for agent in fleet.agents
        for example in agent.examples
        if not any(phrase.lower() in example.lower() for phrase in [*phrases, *rules.frustration_words])
    ]
    return f"{_QUESTION} {'. '.join(examples)}"[:_LONGEST_QUESTION]


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{percent}": round(ordered[len(ordered) * percent // 100], 2) for percent in (50, 95)} | {
        "max": round(ordered[-1], 2)
    }


async def _memory(bus: Bus) -> dict[str, float]:
    """Read the gauges of the conversation processes, summed."""
    found = dict.fromkeys(_GAUGES, 0.0)
    for stored in await bus.read_messages("KV_PRESENCE", "$KV.PRESENCE.>"):
        presence = codec.presence.decode(stored.payload) if stored.payload else None
        if presence is None or presence.service != "conversation" or not presence.http_url:
            continue
        text = await asyncio.to_thread(_page, f"{presence.http_url}/metrics")
        for name in _GAUGES:
            line = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
            found[name] += float(line[1]) if line else 0.0
    return found


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own process
        text: str = response.read().decode()
    return text


async def _measure(asked: argparse.Namespace) -> dict[str, Any]:
    bus = await connect(asked.nats, "bench-state")
    seeder, customers = _Seeder(bus), _Customers(bus)
    await customers.listen()
    draw = random.Random(asked.seed)  # noqa: S311 - load, not secrets
    found: dict[str, Any] = {}

    async def turns(name: str, conversations: Sequence[_Open], question: str = _QUESTION) -> None:
        customers.route_ms, customers.search_ms = [], []
        found[name] = _percentiles(await customers.overheads_ms(conversations, question, asked.at_once)) | {
            "route_p50": _percentiles(customers.route_ms)["p50"],
            "search_p50": _percentiles(customers.search_ms)["p50"],
        }

    few = _new(asked.sample)
    await seeder.seed(few, 3, question=_QUESTION, answer=_ANSWER)
    await turns("first_turn_of_a_run", few)
    await turns("plain", few)

    many = _new(asked.conversations)
    began = time.perf_counter()
    await seeder.seed(many, 3, question=_QUESTION, answer=_ANSWER)
    found["seeded"] = {"conversations": len(many), "commits": 3 * len(many), "s": round(time.perf_counter() - began, 1)}
    await turns("plain_beside_many", few)
    chosen = draw.sample(many, min(asked.sample, len(many)))
    await turns("of_many_not_in_memory", chosen)
    await turns("of_many_in_memory", chosen)
    # So many that the budget, where it is small, lets others go with every turn.
    await turns("of_many_while_others_go", draw.sample(many, min(asked.touched, len(many))))
    found["memory"] = await _memory(bus)

    old = _new(1)
    await seeder.seed(old, asked.turns, question=_QUESTION, answer=_ANSWER)
    await turns("first_after_long_history_without_snapshot", old)
    found["after_long_history"] = _percentiles(
        [(await customers.overheads_ms(old, _QUESTION, 1))[0] for _ in range(asked.sample)]
    )

    heavy = _new(asked.sample)
    await seeder.seed(heavy, 3, question="q" * _LONG, answer="a" * _LONG)
    await turns("after_messages_of_64_KiB_not_in_memory", heavy)
    await turns("after_messages_of_64_KiB", heavy)
    await turns("message_of_8000_characters", few, _page_of_a_story())
    await turns("plain_at_the_end", few)
    await bus.close()
    return found


def main() -> int:
    """Measure and print one JSON object; milliseconds unless the name says otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nats", required=True, help="address of the suite's NATS")
    parser.add_argument("--conversations", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=10_000, help="of the one long conversation")
    parser.add_argument("--sample", type=int, default=200, help="turns that are measured in each case")
    parser.add_argument("--touched", type=int, default=3_000, help="conversations in which one turn more is said")
    parser.add_argument("--at-once", type=int, default=2, help="customers who wait at the same time")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(asyncio.run(_measure(parser.parse_args())), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
