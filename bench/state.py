"""Cost of large state for a turn: many conversations, one of thousands of turns, messages of 64 KiB.

Writes the logs of conversations into the NATS of a running suite, as the conversation service does, then acts as an
ingress: it appends messages to the inbox and waits for the commits that answer them. The overhead of a turn is the time
between the two less the model's own time. Run it on a separate suite with an external nats-server, whose users are not
limited to one service, and with a small budget so that conversations are evicted:

    nats-server --jetstream --store_dir /tmp/state/nats
    TRUNKLINE_NATS_URL=nats://127.0.0.1:4222 TRUNKLINE_MEMORY_BUDGET_MIB=16 ./just up --data-dir /tmp/state
    python bench/state.py --nats nats://127.0.0.1:4222 --conversations 50000
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
_INSTANCE: Final = Instance("bench-ingress")
_QUESTION: Final = "I was charged twice for my order, can I get a refund?"
_ANSWER: Final = "We refund the second charge within five days. You do not have to do anything."
_HEAVY_BYTES: Final = 65_536
_MAX_QUESTION_CHARACTERS: Final = 8_000
_FLEET: Final = Path(__file__).parents[1] / "fleet"
_MAX_CONCURRENT_WRITES: Final = 64
_ANSWER_TIMEOUT_S: Final = 60.0
_AUDIT_TIMEOUT_S: Final = 600.0
_GAUGES: Final = ("trunkline_conversations_in_memory", "trunkline_conversations_bytes", "process_resident_memory_bytes")


@dataclass(slots=True)
class _Conversation:
    """A conversation with the positions that its next commit and message refer to."""

    id: ConversationId
    commits: int = 0
    last_commit: int = 0
    ids: bytes = b""
    messages: int = 0
    last_message: int = 0


class _Seeder:
    """Appends commits of conversations that billing owns."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._permits = asyncio.Semaphore(_MAX_CONCURRENT_WRITES)

    async def seed(self, conversations: Sequence[_Conversation], commits: int, *, question: str, answer: str) -> None:
        """Append `commits` commits to each conversation, in order, and concurrently over conversations."""
        await asyncio.gather(*(self._seed(conversation, commits, question, answer) for conversation in conversations))
        await self._wait_for_audit()

    async def _seed(self, conversation: _Conversation, commits: int, question: str, answer: str) -> None:
        async with self._permits:
            for _ in range(commits):
                await self._append(conversation, question, answer)

    async def _wait_for_audit(self) -> None:
        """Wait until audit has consumed all commits: its CPU time would distort the measurement."""
        consumer = streams.audit_consumer(streams.CONVERSATIONS)
        async with asyncio.timeout(_AUDIT_TIMEOUT_S):
            while True:
                state = await self._bus.api(f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
                if state["num_pending"] == state["num_ack_pending"] == 0:
                    return
                await asyncio.sleep(0.2)

    async def _append(self, conversation: _Conversation, question: str, answer: str) -> None:
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
            # Seeded commits answer no inbox message; the first real message has a higher sequence.
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
    """Appends messages to the inbox and waits for their commits."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, asyncio.Future[CommitStored]] = {}
        self.route_ms: list[float] = []
        self.search_ms: list[float] = []

    async def subscribe(self) -> None:
        """Subscribe to the commits for this ingress."""
        await self._bus.subscribe(subjects.out_of(_INSTANCE), self._on_message)

    async def _on_message(self, message: Msg) -> None:
        stored = codec.out.decode(message.data)
        if isinstance(stored, CommitStored) and stored.commit.settles:
            waiting = self._waiting.get(stored.commit.conversation)
            if waiting is not None and not waiting.done():
                waiting.set_result(stored)

    async def overheads_ms(
        self, conversations: Sequence[_Conversation], question: str, concurrency: int
    ) -> list[float]:
        """Send the same message in each conversation; return the overheads."""
        permits = asyncio.Semaphore(concurrency)

        async def ask(conversation: _Conversation) -> float:
            async with permits:
                return await self._ask(conversation, question)

        return list(await asyncio.gather(*(ask(conversation) for conversation in conversations)))

    async def _ask(self, conversation: _Conversation, question: str) -> float:
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
            ingress=_INSTANCE,
            received_at=time.time(),
        )
        answer = self._waiting[conversation.id] = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        appended = await self._bus.append(
            subjects.inbox(_REGION, conversation.id),
            codec.encode(message),
            message_id=f"{conversation.id}-{message.message_id}",
        )
        conversation.last_message = appended.seq
        stored = await asyncio.wait_for(answer, _ANSWER_TIMEOUT_S)
        took_ms = (time.perf_counter() - started) * 1000
        events = stored.commit.events
        timings = [event.timings for event in events if isinstance(event, TurnAnswered)]
        self.route_ms += [each.route_ms for each in timings]
        self.search_ms += [each.search_ms for each in timings]
        return took_ms - sum(each.model_ms for each in timings)


def _new_conversations(count: int) -> list[_Conversation]:
    return [_Conversation(conversation_id(secrets.token_hex(10))) for _ in range(count)]


def _long_question() -> str:
    """Return a message of the maximum length about every subject, without the phrases that escalate it."""
    fleet = load_fleet(_FLEET)
    rules = fleet.escalation
    phrases = [*rules.person_phrases, *(phrase for rule in rules.rules for phrase in rule.phrases)]
    examples = [
        example
        for agent in fleet.agents
        for example in agent.examples
        if not any(phrase.lower() in example.lower() for phrase in [*phrases, *rules.frustration_words])
    ]
    return f"{_QUESTION} {'. '.join(examples)}"[:_MAX_QUESTION_CHARACTERS]


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{percent}": round(ordered[len(ordered) * percent // 100], 2) for percent in (50, 95)} | {
        "max": round(ordered[-1], 2)
    }


async def _read_gauges(bus: Bus) -> dict[str, float]:
    """Return the gauges, summed over the conversation processes."""
    gauges = dict.fromkeys(_GAUGES, 0.0)
    for stored in await bus.read_messages("KV_PRESENCE", "$KV.PRESENCE.>"):
        presence = codec.presence.decode(stored.payload) if stored.payload else None
        if presence is None or presence.service != "conversation" or not presence.http_url:
            continue
        text = await asyncio.to_thread(_get, f"{presence.http_url}/metrics")
        for name in _GAUGES:
            line = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
            gauges[name] += float(line[1]) if line else 0.0
    return gauges


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own process
        text: str = response.read().decode()
    return text


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    bus = await connect(options.nats, "bench-state")
    seeder, customers = _Seeder(bus), _Customers(bus)
    await customers.subscribe()
    rng = random.Random(options.seed)  # noqa: S311 - load, not secrets
    report: dict[str, Any] = {}

    async def turns(name: str, conversations: Sequence[_Conversation], question: str = _QUESTION) -> None:
        customers.route_ms, customers.search_ms = [], []
        report[name] = _percentiles(await customers.overheads_ms(conversations, question, options.concurrency)) | {
            "route_p50": _percentiles(customers.route_ms)["p50"],
            "search_p50": _percentiles(customers.search_ms)["p50"],
        }

    few = _new_conversations(options.sample)
    await seeder.seed(few, 3, question=_QUESTION, answer=_ANSWER)
    await turns("first_turn_of_a_run", few)
    await turns("plain", few)

    many = _new_conversations(options.conversations)
    started = time.perf_counter()
    await seeder.seed(many, 3, question=_QUESTION, answer=_ANSWER)
    report["seeded"] = {
        "conversations": len(many),
        "commits": 3 * len(many),
        "s": round(time.perf_counter() - started, 1),
    }
    await turns("plain_beside_many", few)
    chosen = rng.sample(many, min(options.sample, len(many)))
    await turns("of_many_not_in_memory", chosen)
    await turns("of_many_in_memory", chosen)
    # More than a small memory budget holds: every turn evicts another conversation.
    await turns("of_many_with_evictions", rng.sample(many, min(options.touched, len(many))))
    report["memory"] = await _read_gauges(bus)

    old = _new_conversations(1)
    await seeder.seed(old, options.turns, question=_QUESTION, answer=_ANSWER)
    await turns("first_after_long_history_without_snapshot", old)
    report["after_long_history"] = _percentiles(
        [(await customers.overheads_ms(old, _QUESTION, 1))[0] for _ in range(options.sample)]
    )

    heavy = _new_conversations(options.sample)
    await seeder.seed(heavy, 3, question="q" * _HEAVY_BYTES, answer="a" * _HEAVY_BYTES)
    await turns("after_messages_of_64_KiB_not_in_memory", heavy)
    await turns("after_messages_of_64_KiB", heavy)
    await turns("message_of_8000_characters", few, _long_question())
    await turns("plain_at_the_end", few)
    await bus.close()
    return report


def main() -> int:
    """Measure and print one JSON object; times are in milliseconds unless the key has another unit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nats", required=True, help="address of the suite's NATS")
    parser.add_argument("--conversations", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=10_000, help="turns of the long conversation")
    parser.add_argument("--sample", type=int, default=200, help="measured turns per case")
    parser.add_argument("--touched", type=int, default=3_000, help="conversations with one more turn each")
    parser.add_argument("--concurrency", type=int, default=2, help="concurrent customers")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(asyncio.run(_measure(parser.parse_args())), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
