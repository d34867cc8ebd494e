"""Cost of large state for a turn: many conversations, one of thousands of turns, messages of 64 KiB.

Writes the logs of conversations into the NATS of a running suite, as the conversation service does, then acts as an
ingress: it appends messages to the inbox and waits for the commits that answer them. The overhead of a turn is the time
between the two less the model's own time. Run it on a separate suite with an external nats-server, whose users are not
limited to one service, and with a small budget so that conversations are evicted:

    nats-server --jetstream --store_dir /tmp/state/nats
    TRUNKLINE_NATS_URL=nats://127.0.0.1:4222 TRUNKLINE_MEMORY_BUDGET_MIB=16 ./just up --data-dir /tmp/state
    python -m bench.state --nats nats://127.0.0.1:4222 --conversations 50000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import TurnId
from trunkline_protocols.log import CommitStored, TurnAnswered

from bench.conversations import (
    ANSWER,
    INGRESS,
    QUESTION,
    BenchConversation,
    append_answer,
    append_message,
    new_conversations,
    next_message,
)
from bench.percentiles import percentiles

_HEAVY_BYTES: Final = 65_536
_MAX_QUESTION_CHARACTERS: Final = 8_000
_FLEET: Final = Path(__file__).parents[1] / "fleet"
_MAX_CONCURRENT_WRITES: Final = 64
_ANSWER_TIMEOUT_S: Final = 60.0
_AUDIT_TIMEOUT_S: Final = 600.0
_GAUGES: Final = ("trunkline_conversations_in_memory", "trunkline_conversations_bytes", "process_resident_memory_bytes")


class _Seeder:
    """Appends commits of conversations that billing owns."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._permits = asyncio.Semaphore(_MAX_CONCURRENT_WRITES)

    async def seed(
        self, conversations: Sequence[BenchConversation], commits: int, *, question: str, answer: str
    ) -> None:
        """Append `commits` commits to each conversation, in order, and concurrently over conversations."""
        await asyncio.gather(*(self._seed(conversation, commits, question, answer) for conversation in conversations))
        await self._wait_for_audit()

    async def _seed(self, conversation: BenchConversation, commits: int, question: str, answer: str) -> None:
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

    async def _append(self, conversation: BenchConversation, question: str, answer: str) -> None:
        message = next_message(conversation, question)
        turn = TurnId(f"{conversation.id}-s{conversation.turns + 1}")
        # Seeded commits answer no inbox message; the first real message has a higher sequence.
        await append_answer(self._bus, conversation, message, answer, turn=turn, inbox_seq=0)


class _Customers:
    """Appends messages to the inbox and waits for their commits."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, asyncio.Future[CommitStored]] = {}
        self.route_ms: list[float] = []
        self.search_ms: list[float] = []

    async def subscribe(self) -> None:
        """Subscribe to the commits for this ingress."""
        await self._bus.subscribe(subjects.out_of(INGRESS), self._on_message)

    async def _on_message(self, message: Msg) -> None:
        stored = codec.out.decode(message.data)
        if isinstance(stored, CommitStored) and stored.commit.settles:
            waiting = self._waiting.get(stored.commit.conversation)
            if waiting is not None and not waiting.done():
                waiting.set_result(stored)

    async def overheads_ms(
        self, conversations: Sequence[BenchConversation], question: str, concurrency: int
    ) -> list[float]:
        """Send the same message in each conversation; return the overheads."""
        permits = asyncio.Semaphore(concurrency)

        async def ask(conversation: BenchConversation) -> float:
            async with permits:
                return await self._ask(conversation, question)

        return list(await asyncio.gather(*(ask(conversation) for conversation in conversations)))

    async def _ask(self, conversation: BenchConversation, question: str) -> float:
        message = next_message(conversation, question)
        answer = self._waiting[conversation.id] = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        await append_message(self._bus, conversation, message)
        conversation.turns += 1
        stored = await asyncio.wait_for(answer, _ANSWER_TIMEOUT_S)
        took_ms = (time.perf_counter() - started) * 1000
        events = stored.commit.events
        timings = [event.timings for event in events if isinstance(event, TurnAnswered)]
        self.route_ms += [each.route_ms for each in timings]
        self.search_ms += [each.search_ms for each in timings]
        return took_ms - sum(each.model_ms for each in timings)


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
    return f"{QUESTION} {'. '.join(examples)}"[:_MAX_QUESTION_CHARACTERS]


def _summarise(values: list[float]) -> dict[str, float]:
    return percentiles(values) | {"max": round(max(values), 2)}


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

    async def turns(name: str, conversations: Sequence[BenchConversation], question: str = QUESTION) -> None:
        customers.route_ms, customers.search_ms = [], []
        report[name] = _summarise(await customers.overheads_ms(conversations, question, options.concurrency)) | {
            "route_p50": percentiles(customers.route_ms)["p50"],
            "search_p50": percentiles(customers.search_ms)["p50"],
        }

    few = new_conversations(options.sample)
    await seeder.seed(few, 3, question=QUESTION, answer=ANSWER)
    await turns("first_turn_of_a_run", few)
    await turns("plain", few)

    many = new_conversations(options.conversations)
    started = time.perf_counter()
    await seeder.seed(many, 3, question=QUESTION, answer=ANSWER)
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

    old = new_conversations(1)
    await seeder.seed(old, options.turns, question=QUESTION, answer=ANSWER)
    await turns("first_after_long_history_without_snapshot", old)
    report["after_long_history"] = _summarise(
        [(await customers.overheads_ms(old, QUESTION, 1))[0] for _ in range(options.sample)]
    )

    heavy = new_conversations(options.sample)
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
