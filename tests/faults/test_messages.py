"""Messages are delivered twice, late, out of order, and as nonsense, under load."""

from __future__ import annotations

import asyncio
import random
import secrets

import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import Bus, connect
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import SLOTS, conversation_id
from trunkline_protocols.inbox import TurnReceived

from tests.faults import marathon
from tests.faults.marathon import Plan
from tests.support.customer import Customer
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

NONSENSE = (b"", b"nonsense", b"{}", b'{"type":"turn.answer"}', b"\xff\xfe", b'{"type":"no.such.type"}', b"[" * 5_000)


async def test_redelivered_and_late_messages_double_nothing(suite: Suite, seed: int) -> None:
    """The inbox is delivered again from its floor; every result and commit comes once more, late and in any order."""
    random_ = random.Random(seed)  # noqa: S311 - fate, not secrets
    bus = await connect(suite.nats_url(), "echo")
    echoed: set[bytes] = set()

    async with asyncio.TaskGroup() as tasks:

        async def later(message: Msg) -> None:
            await asyncio.sleep(random_.uniform(0.0, 2.0))
            await bus.publish(message.subject, message.data)

        async def echo(message: Msg) -> None:
            # Not deltas: they are core NATS only, which never repeats, and have nothing to know a repetition by.
            if message.data not in echoed and not message.data.startswith(b'{"type":"delta"'):
                echoed.add(message.data)
                tasks.create_task(later(message))

        for filter_ in ("result.*", "out.*.*"):
            await bus.subscribe(filter_, echo)

        async def inject() -> None:
            for slot in range(SLOTS):
                consumer = streams.slot_consumer("local", slot)
                await bus.api(f"CONSUMER.RESET.{consumer.stream}.{consumer.name}")

        plan = Plan(duration_s=10, rate=20, every_s=1, seed=seed, conversations=80)
        report = await marathon.run(suite, plan, inject)
    await bus.close()
    print(marathon.show(report, plan))
    assert len(echoed) > report.turns
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


async def test_nonsense_is_buried_and_its_neighbours_notice_nothing(suite: Suite, seed: int) -> None:
    """On every subject that somebody reads; what came by a stream is kept as a dead letter."""
    bus = await connect(suite.nats_url(), "poison")
    pids = {name: process["pid"] for name, process in suite.status().items()}
    strangers = [conversation_id(secrets.token_hex(12)) for _ in NONSENSE]

    async def inject() -> None:
        for stranger, payload in zip(strangers, NONSENSE, strict=True):
            name = secrets.token_hex(8)
            await bus.append(subjects.inbox("local", stranger), payload, message_id=f"i{name}")
            await bus.append(subjects.work("billing", "normal"), payload, message_id=f"w{name}")
            for subject in (
                subjects.result("conversation-1"),
                subjects.out("ingress-1", stranger),
                subjects.attach("local", stranger),
                subjects.complete("local"),
                subjects.search("local"),
                "$KV.PRESENCE.stranger",
            ):
                await bus.publish(subject, payload)

    plan = Plan(duration_s=6, rate=20, every_s=2, seed=seed, conversations=80)
    report = await marathon.run(suite, plan, inject)
    print(marathon.show(report, plan))
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
    buried = await _dead(bus)
    await bus.close()
    assert buried >= {subjects.inbox("local", stranger) for stranger in strangers}
    assert subjects.work("billing", "normal") in buried
    now = suite.status()
    assert {name: now[name]["pid"] for name in pids if name in now} == pids, "nobody died of it"


async def _dead(bus: Bus) -> set[str]:
    return {
        codec.dead_letter.decode(stored.payload).subject for stored in await bus.read_messages("DEAD_LETTERS", "dead.>")
    }


async def test_nonsense_in_the_middle_of_a_conversation_does_not_end_it(suite: Suite) -> None:
    """Somebody else wrote into the inbox of a conversation: the customer goes on."""
    bus = await connect(suite.nats_url(), "poison")
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", "Where is my parcel?")
        conversation = subjects.ConversationId(customer.conversation)
        await bus.append(subjects.inbox("local", conversation), b"nonsense", message_id=secrets.token_hex(8))
        await customer.resume()
        assert (await customer.ask("m2", "Where is my parcel?"))["in_reply_to"] == "m2"
        stored = await bus.read_messages("INBOX", subjects.inbox("local", conversation))
    await bus.close()
    readable = [codec.inbox.decode(each.payload) for each in stored if each.payload != b"nonsense"]
    assert [each.message_id for each in readable if isinstance(each, TurnReceived)] == ["m1", "m2"]
