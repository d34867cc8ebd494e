"""Customers in the memory of a conversation process: only a first turn waits, one task per customer loads."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from trunkline_conversation.application.customer_contexts import CustomerContexts
from trunkline_protocols.context import Fact, Utterance
from trunkline_protocols.customers import CustomerKnown, ReadCustomer, Reading, subject_of
from trunkline_protocols.fleet import CustomerPolicy, FactField, Fleet, Reader
from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.inbox import EndRequested

from tests.conversation.builders import received
from tests.protocols.sample_parts import AGENT, COMPANY

NOW = 1_000.0
READER = Reader(
    name="shop",
    url="https://shop.example/{customer}",
    bind={"customer": "customer.sub"},
    fields={"plan": FactField()},
    fresh_s=300.0,
    timeout_s=0.2,
)
MESSAGE = received(1)
KEY = subject_of(MESSAGE.tenant, MESSAGE.customer)


def known(read_at: float, plan: str = "Plus") -> CustomerKnown:
    """Return data that was read at a time."""
    facts = [Fact(name="plan", value=plan, read_at=read_at)]
    return CustomerKnown(facts=facts, readings={"shop": Reading(tried_at=read_at, read_at=read_at)})


@dataclass
class FakeDirectory:
    """A bucket, and agents whose reader answers when its gate is open."""

    stored: CustomerKnown = field(default_factory=CustomerKnown)
    read_value: CustomerKnown | None = field(default_factory=lambda: known(NOW))
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    loads: int = 0
    readings: int = 0
    earlier: list[Utterance] = field(default_factory=list)

    async def load(self, key: str) -> CustomerKnown:
        assert key == KEY
        self.loads += 1
        return self.stored

    async def read(self, request: ReadCustomer, *, timeout_s: float) -> CustomerKnown | None:
        self.readings += 1
        await self.gate.wait()
        return self.read_value

    async def keep_earlier(
        self, key: str, conversation: ConversationId, earlier: list[Utterance], *, text_key: str
    ) -> None:
        self.earlier = earlier


class Harness:
    """Contexts on a fake directory."""

    def __init__(self, directory: FakeDirectory, fleet: Fleet | None = None) -> None:
        self.directory = directory
        self.now = NOW
        self.tasks: list[asyncio.Task[None]] = []
        self.contexts = CustomerContexts(
            directory,
            fleet=lambda _: fleet or Fleet(company=COMPANY, agents=[AGENT], readers=[READER]),
            addresses={},
            spawn=self._spawn,
            now=lambda: self.now,
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def turn(self, *, is_first: bool) -> CustomerKnown:
        self.contexts.prepare(MESSAGE)
        return await self.contexts.current(MESSAGE, is_first=is_first)

    async def settle(self) -> None:
        self.directory.gate.set()
        await asyncio.gather(*self.tasks)


@pytest.fixture
def directory() -> FakeDirectory:
    """Nothing stored, a reader that hangs until its gate is opened."""
    return FakeDirectory()


async def test_first_turn_waits_for_the_reader(directory: FakeDirectory) -> None:
    """And gets the facts; the next turns request nothing."""
    harness = Harness(directory)
    directory.gate.set()
    assert await harness.turn(is_first=True) == known(NOW)
    assert await harness.turn(is_first=False) == known(NOW)
    assert (directory.loads, directory.readings) == (1, 1)
    await harness.settle()


async def test_first_turn_goes_on_without_a_reader_that_hangs(directory: FakeDirectory) -> None:
    """After its timeout, measured from the beginning of the turn; a later turn has the facts."""
    harness = Harness(directory)
    async with asyncio.timeout(10):
        assert (await harness.turn(is_first=True)).facts == []
    await harness.settle()
    assert await harness.turn(is_first=False) == known(NOW)
    assert directory.readings == 1


async def test_later_turn_never_waits_for_a_reader(directory: FakeDirectory) -> None:
    """In a process that took the conversation over: the bucket has the last facts, and a reading goes on beside."""
    directory.stored = known(NOW - 301.0, "Old")
    patient = msgspec.structs.replace(READER, timeout_s=600.0)
    harness = Harness(directory, Fleet(company=COMPANY, agents=[AGENT], readers=[patient]))
    async with asyncio.timeout(10):
        assert await harness.turn(is_first=False) == known(NOW - 301.0, "Old")
        assert await harness.turn(is_first=False) == known(NOW - 301.0, "Old")
    assert directory.readings == 1
    await harness.settle()
    assert await harness.turn(is_first=False) == known(NOW)


async def test_facts_are_read_once_per_freshness(directory: FakeDirectory) -> None:
    """For all conversations of a customer in the process."""
    harness = Harness(directory)
    directory.gate.set()
    await asyncio.gather(*(harness.turn(is_first=True) for _ in range(100)))
    assert (directory.loads, directory.readings) == (1, 1)
    harness.now += 299.0
    await harness.turn(is_first=False)
    assert directory.readings == 1
    harness.now += 2.0
    directory.read_value = known(harness.now)
    await asyncio.gather(*(harness.turn(is_first=False) for _ in range(100)))
    await harness.settle()
    assert (directory.loads, directory.readings) == (1, 2)


async def test_agents_that_do_not_reply_are_asked_again_later(directory: FakeDirectory) -> None:
    """Not with every turn."""
    harness = Harness(directory)
    directory.read_value = None
    directory.gate.set()
    await harness.turn(is_first=True)
    await harness.turn(is_first=False)
    assert directory.readings == 1
    harness.now += 1.1
    directory.read_value = known(NOW)
    await harness.turn(is_first=False)
    await harness.settle()
    assert await harness.turn(is_first=False) == known(NOW)
    assert directory.readings == 2


async def test_change_by_another_process_is_taken_over_and_a_deletion_forgets(directory: FakeDirectory) -> None:
    """Without asking; a customer who is not in memory is not added."""
    harness = Harness(directory)
    harness.contexts.on_change(KEY, known(NOW, "New"))
    assert not harness.contexts.holds(KEY)
    directory.gate.set()
    await harness.turn(is_first=True)
    harness.contexts.on_change(KEY, known(NOW, "New"))
    assert harness.contexts.known(MESSAGE) == known(NOW, "New")
    harness.contexts.on_change(KEY, None)
    assert harness.contexts.known(MESSAGE) == CustomerKnown()
    assert not harness.contexts.holds(KEY)


async def test_reading_that_ends_after_a_deletion_is_dropped(directory: FakeDirectory) -> None:
    """Forgotten facts do not come back from a task that was in progress."""
    harness = Harness(directory)
    harness.contexts.prepare(MESSAGE)
    async with asyncio.timeout(10):
        while not directory.readings:
            await asyncio.sleep(0)
    harness.contexts.on_change(KEY, None)
    await harness.settle()
    assert harness.contexts.known(MESSAGE) == CustomerKnown()


async def test_fleet_without_readers_costs_nothing(directory: FakeDirectory) -> None:
    """Neither a task nor a lookup."""
    harness = Harness(directory, Fleet(company=COMPANY, agents=[AGENT]))
    assert await harness.turn(is_first=True) == CustomerKnown()
    assert (harness.tasks, directory.loads) == ([], 0)


async def test_hits_and_misses_are_counted(directory: FakeDirectory) -> None:
    """One lookup per turn."""

    def count(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"cache": "customer"}) or 0.0

    before = count("trunkline_cache_hits_total"), count("trunkline_cache_misses_total")
    harness = Harness(directory)
    directory.gate.set()
    for is_first in (True, False, False):
        await harness.turn(is_first=is_first)
    after = count("trunkline_cache_hits_total"), count("trunkline_cache_misses_total")
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)


async def test_end_of_a_conversation_is_kept_if_the_fleet_wants_it(directory: FakeDirectory) -> None:
    """The last messages, each shortened to a line."""
    fleet = Fleet(company=COMPANY, agents=[AGENT], customers=CustomerPolicy(earlier=2))
    transcript = [Utterance(role="customer", text=text) for text in ("one", "two", "three " * 100)]
    ended = EndRequested(
        conversation=MESSAGE.conversation,
        previous=0,
        customer=MESSAGE.customer,
        tenant=MESSAGE.tenant,
        ingress=Instance("i"),
        received_at=NOW,
    )
    for current, expected in ((fleet, 2), (msgspec.structs.replace(fleet, customers=CustomerPolicy()), 0)):
        directory.earlier = []
        harness = Harness(directory, current)
        harness.contexts.keep_earlier(ended, transcript, text_key="")
        await harness.settle()
        assert len(directory.earlier) == expected
        assert all(len(each.text) <= 160 for each in directory.earlier)
