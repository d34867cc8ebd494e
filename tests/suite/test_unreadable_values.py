"""Values that cannot be read, in every bucket and stream of a running suite: customers are served."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from trunkline_chassis.bus import Bus, connect
from trunkline_protocols import streams, subjects
from trunkline_protocols.ids import ConversationId, conversation_id

from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, wait_until
from tests.support.undecodable import UNDECODABLE

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

QUESTION = "Where is my parcel?"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Run a suite whose values these tests destroy."""
    running = Suite(tmp_path_factory.mktemp("unreadable"))
    try:
        yield running
    finally:
        assert running.stop() == 0


@pytest.fixture
async def bus(suite: Suite) -> AsyncIterator[Bus]:
    """A connection that may write everything."""
    connection = await connect(await asyncio.to_thread(suite.nats_url), "tests")
    yield connection
    await connection.close()


async def destroy(bus: Bus, subject: str, payload: bytes) -> None:
    await bus.append(subject, payload, message_id=secrets.token_hex(8))


async def destroy_bucket(bus: Bus, bucket: streams.BucketSpec, payload: bytes) -> int:
    """Overwrite every value of a bucket, and add one; return the number of values that it had."""
    stored = await bus.read_messages(f"KV_{bucket.name}", f"$KV.{bucket.name}.>")
    for subject in {each.subject for each in stored}:
        await destroy(bus, subject, payload)
    await destroy(bus, f"$KV.{bucket.name}.unknown-{secrets.token_hex(4)}", payload)
    return len(stored)


async def test_customers_are_served_whatever_the_buckets_hold(suite: Suite, bus: Bus) -> None:
    """Open conversations continue, new ones start, and processes that are killed come up again."""
    async with Customer(suite.url) as before:
        await before.start()
        await before.ask("m1", QUESTION)
        payloads = list(UNDECODABLE.values())
        for number, bucket in enumerate(streams.BUCKETS):
            await destroy_bucket(bus, bucket, payloads[number % len(payloads)])
        await destroy(bus, subjects.notice("local", "customers"), b"\xff")
        await destroy(bus, subjects.notice("local", "agents"), b"[" * 10_000)
        assert (await before.ask("m2", QUESTION))["in_reply_to"] == "m2"
        for instance in ("conversation-1", "agents-1", "llm_gateway-1", "ingress-1"):
            await asyncio.to_thread(suite.kill, instance)
        await asyncio.to_thread(
            wait_until, lambda: all(each["state"] == "ready" for each in suite.status().values()), "all are ready", 90
        )
        await before.resume()
        assert (await before.ask("m3", QUESTION))["in_reply_to"] == "m3"
    async with Customer(suite.url) as after:
        await after.start()
        assert (await after.ask("m1", QUESTION))["in_reply_to"] == "m1"
    logged = (suite.data_dir / "logs" / "conversation-1.log").read_text()
    assert '"value.undecodable"' in logged
    assert '"fleet"' in logged


@pytest.mark.parametrize("payload", UNDECODABLE.values(), ids=UNDECODABLE)
async def test_undecodable_message_ends_in_the_dead_letters_and_blocks_nothing(
    suite: Suite, bus: Bus, payload: bytes
) -> None:
    """Of a conversation that goes on, and of one that does not exist."""
    unknown = conversation_id(secrets.token_hex(12))
    async with Customer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", QUESTION)
        conversation = ConversationId(customer.conversation)
        await destroy(bus, subjects.inbox("local", conversation), payload)
        await destroy(bus, subjects.inbox("local", unknown), payload)
        await customer.resume()
        assert (await customer.ask("m2", QUESTION))["in_reply_to"] == "m2"

    async def are_dead_letters() -> bool:
        letters = await bus.read_messages("DEAD_LETTERS", "dead.>")
        dead = {json.loads(letter.payload)["subject"] for letter in letters}
        return dead >= {subjects.inbox("local", conversation), subjects.inbox("local", unknown)}

    async with asyncio.timeout(30):
        while not await are_dead_letters():
            await asyncio.sleep(0.1)


async def test_unreadable_log_ends_its_own_conversation_only(suite: Suite, bus: Bus) -> None:
    """Its messages are dead-lettered, its socket is closed with an error; another conversation is answered."""
    async with Customer(suite.url) as damaged, Customer(suite.url) as other:
        await damaged.start()
        await damaged.ask("m1", QUESTION)
        conversation = ConversationId(damaged.conversation)
        await destroy(bus, subjects.log("local", conversation, "turn"), b'{"type":"\xff"}')
        pids = {name: process["pid"] for name, process in (await asyncio.to_thread(suite.status)).items()}
        await damaged.say("m2", QUESTION)
        await other.start()
        assert (await other.ask("m1", QUESTION))["in_reply_to"] == "m1"
        with pytest.raises(AssertionError, match="internal"):
            await damaged.resume()
        now = await asyncio.to_thread(suite.status)
        assert {name: now[name]["pid"] for name in pids if name in now} == pids


async def test_fleet_is_rolled_back_from_an_unreadable_version(suite: Suite, bus: Bus) -> None:
    """The command publishes the last readable version again, and every process loads it."""
    for payload in (b"\xff", b"[" * 10_000, b'{"type":"fleet"}'):
        await destroy(bus, f"$KV.{streams.FLEET.name}.{streams.FLEET_KEY}", payload)
    last = await bus.last_message("KV_FLEET", "$KV.FLEET.fleet")
    assert last is not None
    shown = await asyncio.to_thread(run_cli, suite, "fleet", "show", "--json")
    assert shown.returncode == 0, shown.stderr
    back = await asyncio.to_thread(run_cli, suite, "fleet", "rollback")
    assert back.returncode == 0, back.stderr
    now = await asyncio.to_thread(suite.get, "/v1/ops/fleet")
    assert now["version"] == last.seq + 1
    await asyncio.to_thread(
        wait_until,
        lambda: set(suite.get("/v1/ops/fleet")["loaded_by"].values()) == {last.seq + 1},
        "every process has loaded the version",
    )
    async with Customer(suite.url) as customer:
        await customer.start()
        assert (await customer.ask("m1", QUESTION))["in_reply_to"] == "m1"


@pytest.mark.parametrize(
    "path", ["/v1/ops/fleet", "/v1/ops/knowledge/search", "/v1/ops/notices", "/v1/ops/knowledge/import"]
)
async def test_undecodable_body_is_a_bad_request(suite: Suite, path: str) -> None:
    """400 with a reason, in every way in which decoding fails."""
    async with aiohttp.ClientSession(headers=suite.operator_headers) as session:
        for name, payload in UNDECODABLE.items():
            async with session.post(suite.url + path, data=payload) as response:
                assert response.status == 400, (name, await response.text())


def test_suite_starts_although_its_stored_values_cannot_be_read(tmp_path: Path) -> None:
    """The data folder of a suite that was stopped after its values were destroyed."""
    first = Suite(tmp_path)
    try:
        asyncio.run(_destroy_everything(first))
    finally:
        assert first.stop() == 0
    second = Suite(tmp_path)
    try:
        asyncio.run(_converse(second))
    finally:
        assert second.stop() == 0


async def _destroy_everything(suite: Suite) -> None:
    bus = await connect(suite.nats_url(), "tests")
    for bucket in streams.BUCKETS:
        await destroy_bucket(bus, bucket, b'{"type":"\xff"}')
    await destroy(bus, subjects.notice("local", "all"), b"\xff")
    await bus.close()


async def _converse(suite: Suite) -> None:
    async with Customer(suite.url) as customer:
        await customer.start()
        assert (await customer.ask("m1", QUESTION))["in_reply_to"] == "m1"
