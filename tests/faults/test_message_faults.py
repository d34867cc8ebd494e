"""Messages are duplicated, delayed, reordered and undecodable under load."""

from __future__ import annotations

import asyncio
import random
import secrets

import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus, connect
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import SLOTS, ConversationId, conversation_id
from trunkline_protocols.inbox import TurnReceived

from tests.faults import soak
from tests.faults.soak import Plan
from tests.support.customer import Customer
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

UNDECODABLE = (
    b"",
    b"nonsense",
    b"{}",
    b'{"type":"turn.answer"}',
    b"\xff\xfe",
    b'{"type":"no.such.type"}',
    b"[" * 5_000,
)


async def test_redelivered_and_late_messages_are_processed_once(suite: Suite, seed: int) -> None:
    """The inbox is redelivered from its ack floor; every result and commit is repeated, late and in random order."""
    rng = random.Random(seed)  # noqa: S311 - delays, not secrets
    bus = await connect(suite.nats_url(), "repeater")
    repeated: set[bytes] = set()

    async with asyncio.TaskGroup() as tasks:

        async def publish_later(message: Msg) -> None:
            await asyncio.sleep(rng.uniform(0.0, 2.0))
            await bus.publish(message.subject, message.data)

        async def repeat(message: Msg) -> None:
            # Not deltas: core NATS never repeats them, and they carry no id by which to detect a repetition.
            if message.data not in repeated and not message.data.startswith(b'{"type":"delta"'):
                repeated.add(message.data)
                tasks.create_task(publish_later(message))

        for filter_ in ("result.*", "out.*.*"):
            await bus.subscribe(filter_, repeat)

        async def inject() -> None:
            for slot in range(SLOTS):
                consumer = streams.slot_consumer("local", slot)
                await bus.api(f"CONSUMER.RESET.{consumer.stream}.{consumer.name}")

        plan = Plan(duration_s=10, rate=20, every_s=1, seed=seed, conversations=80)
        report = await soak.run(suite, plan, inject)
    await bus.close()
    print(soak.to_json(report, plan))
    assert len(repeated) > report.turns
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


async def test_undecodable_messages_are_dead_lettered_without_effect_on_others(suite: Suite, seed: int) -> None:
    """On every subject with a subscriber; those of a stream are kept as dead letters, and no process dies."""
    bus = await connect(suite.nats_url(), "poison")
    pids = {name: process["pid"] for name, process in suite.status().items()}
    unknown = [conversation_id(secrets.token_hex(12)) for _ in UNDECODABLE]

    async def inject() -> None:
        for conversation, payload in zip(unknown, UNDECODABLE, strict=True):
            name = secrets.token_hex(8)
            await bus.append(subjects.inbox("local", conversation), payload, message_id=f"i{name}")
            await bus.append(subjects.work("billing", "normal"), payload, message_id=f"w{name}")
            for subject in (
                subjects.result("conversation-1"),
                subjects.out("ingress-1", conversation),
                subjects.attach("local", conversation),
                subjects.complete("local"),
                subjects.search("local"),
                subjects.presence("unknown", "unknown"),
            ):
                await bus.publish(subject, payload)

    plan = Plan(duration_s=6, rate=20, every_s=2, seed=seed, conversations=80)
    report = await soak.run(suite, plan, inject)
    print(soak.to_json(report, plan))
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
    dead_lettered = await _dead_letter_subjects(bus)
    await bus.close()
    assert dead_lettered >= {subjects.inbox("local", conversation) for conversation in unknown}
    assert subjects.work("billing", "normal") in dead_lettered
    now = suite.status()
    assert {name: now[name]["pid"] for name in pids if name in now} == pids, "a process was replaced"


async def _dead_letter_subjects(bus: Bus) -> set[str]:
    return {
        codec.dead_letter.decode(stored.payload).subject for stored in await bus.read_messages("DEAD_LETTERS", "dead.>")
    }


async def test_conversation_continues_after_an_undecodable_message(suite: Suite) -> None:
    """Another writer appended it to the inbox of a conversation."""
    bus = await connect(suite.nats_url(), "poison")
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", "Where is my parcel?")
        conversation = ConversationId(customer.conversation)
        await bus.append(subjects.inbox("local", conversation), b"nonsense", message_id=secrets.token_hex(8))
        await customer.resume()
        assert (await customer.ask("m2", "Where is my parcel?"))["in_reply_to"] == "m2"
        stored = await bus.read_messages("INBOX", subjects.inbox("local", conversation))
    await bus.close()
    decoded = [codec.inbox.decode(each.payload) for each in stored if each.payload != b"nonsense"]
    assert [each.message_id for each in decoded if isinstance(each, TurnReceived)] == ["m1", "m2"]
