"""Reading of facts on a real server and a real shop: once for all processes, within limits, and forgotten for good."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import REGISTRY
from trunkline_agents.adapters.http_tools import HttpToolClient
from trunkline_agents.adapters.mcp_tools import McpToolClient
from trunkline_agents.adapters.tool_secrets import ToolSecrets
from trunkline_agents.application.customer_reader import CustomerReader
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.customer_bucket import CustomerBucket
from trunkline_protocols import codec
from trunkline_protocols.customers import CustomerKnown, ReadCustomer, subject_of
from trunkline_protocols.fleet import FactField, Fleet, Reader
from trunkline_protocols.ids import Instance
from yarl import URL

from tests.protocols.sample_parts import AGENT, COMPANY
from tests.support.account_shop import AccountShop, serve_accounts
from tests.support.borders import ListedBorders

MCP_SERVER = '''
import json
from mcp.server.mcpserver import MCPServer

server = MCPServer("crm")


@server.tool()
def account(customer: str) -> str:
    """Return the account of a customer."""
    return json.dumps({"plan": f"plan of {customer}"})


server.run("stdio")
'''


@pytest.fixture
async def shop() -> AsyncIterator[AccountShop]:
    """Serve accounts."""
    async with serve_accounts() as shop:
        yield shop


class Process:
    """The reader of one agents process."""

    def __init__(self, bus: Bus, readers: list[Reader], instance: str = "agents-1") -> None:
        self.fleet = Fleet(company=COMPANY, agents=[AGENT], readers=readers)
        self.http = HttpToolClient(ToolSecrets(lambda _: "", {}))
        self.borders = ListedBorders()
        commands = [reader.command for reader in readers]
        self.reader = CustomerReader(
            CustomerBucket(bus),
            {"http": self.http, "mcp": McpToolClient(ToolSecrets(lambda _: "", {}), commands)},
            fleet=lambda _: self.fleet,
            addresses={},
            instance=Instance(instance),
            borders=self.borders,
            now=time.time,
        )

    async def read(self, customer: str) -> CustomerKnown:
        reply = await self.reader.read(ReadCustomer(tenant="default", region="local", customer=customer))
        assert isinstance(reply, CustomerKnown)
        return reply


def new_customer() -> str:
    return f"customer-{secrets.token_hex(6)}"


def plan_of(known: CustomerKnown) -> object:
    return next((fact.value for fact in known.facts if fact.name == "plan"), None)


async def test_hundred_conversations_in_two_processes_read_once(bus: Bus, nats_url: str, shop: AccountShop) -> None:
    """Within the freshness, however many ask at once; each of them gets the facts."""
    customer, other = new_customer(), await connect(nats_url, "other")
    processes = [Process(bus, [shop.reader()], "agents-1"), Process(other, [shop.reader()], "agents-2")]
    shop.gate.clear()
    asked = [asyncio.ensure_future(processes[number % 2].read(customer)) for number in range(100)]
    async with asyncio.timeout(10):
        while not shop.requests:
            await asyncio.sleep(0.01)
    shop.gate.set()
    found = await asyncio.gather(*asked)
    assert {plan_of(known) for known in found} == {f"plan of {customer}"}
    assert shop.requests == [f"/customers/{customer}"]
    await processes[1].read(customer)
    assert shop.readings == 1
    await asyncio.gather(*(process.http.close() for process in processes))
    await other.close()


async def test_reading_of_a_killed_process_is_taken_over(bus: Bus, shop: AccountShop) -> None:
    """Its lease ends soon after the timeout of its readers."""
    customer = new_customer()
    key, bucket = subject_of("default", customer), CustomerBucket(bus)
    lease = CustomerKnown(reader="agents-dead", reading_until=time.time() + 1.0)
    await bucket.replace(key, lease, 0)
    process = Process(bus, [shop.reader(timeout_s=1.0)])
    async with asyncio.timeout(20):
        known = await process.read(customer)
    assert plan_of(known) == f"plan of {customer}"
    assert shop.readings == 1
    await process.http.close()


async def test_lease_of_a_process_whose_clock_is_ahead_keeps_no_other_from_reading(bus: Bus, shop: AccountShop) -> None:
    """It was killed, and its lease would last for another hour."""
    customer = new_customer()
    lease = CustomerKnown(reader="agents-dead", reading_until=time.time() + 3_600)
    await CustomerBucket(bus).replace(subject_of("default", customer), lease, 0)
    process = Process(bus, [shop.reader(timeout_s=60.0)])
    async with asyncio.timeout(20):
        known = await process.read(customer)
    assert plan_of(known) == f"plan of {customer}"
    await process.http.close()


async def test_reader_that_hangs_or_fails_leaves_the_last_facts(bus: Bus, shop: AccountShop) -> None:
    """With their age; the facts of another reader are read all the same."""
    customer = new_customer()
    quick = Reader(
        name="crm", url=shop.url + "/customers/{c}", bind={"c": "customer.sub"}, fields={"name": FactField(path="plan")}
    )
    first = Process(bus, [shop.reader(fresh_s=1.0)])
    before = await first.read(customer)
    await asyncio.sleep(1.05)
    shop.status = 500
    failed = await first.read(customer)
    assert failed.facts == before.facts
    assert failed.readings["shop"].failure == "no_answer"
    assert failed.readings["shop"].read_at == before.readings["shop"].read_at
    shop.status = 200
    async with serve_accounts() as hanging:
        hanging.gate.clear()
        both = Process(
            bus, [msgspec.structs.replace(hanging.reader(timeout_s=0.5, name="slow"), fields={"s": FactField()}), quick]
        )
        known = await both.read(new_customer())
        assert known.readings["slow"].failure == "timeout"
        assert [fact.name for fact in known.facts] == ["name"]
        await both.http.close()
    await first.http.close()


async def test_unknown_customer_is_not_asked_for_again(bus: Bus, shop: AccountShop) -> None:
    """404 is an answer: there are no facts."""
    shop.status = 404
    process, customer = Process(bus, [shop.reader()]), new_customer()
    for _ in range(3):
        known = await process.read(customer)
        assert (known.facts, known.readings["shop"].failure) == ([], "")
    assert shop.readings == 1
    await process.http.close()


async def test_customer_forgotten_during_a_reading_stays_forgotten(bus: Bus, shop: AccountShop) -> None:
    """The reading stores nothing, and gives nothing to the conversation that waits for it."""
    customer = new_customer()
    key, bucket, process = subject_of("default", customer), CustomerBucket(bus), Process(bus, [shop.reader()])
    shop.gate.clear()
    reading = asyncio.ensure_future(process.read(customer))
    async with asyncio.timeout(10):
        while not shop.requests:
            await asyncio.sleep(0.01)
    assert await bucket.forget(key)
    shop.gate.set()
    assert await reading == CustomerKnown()
    assert (await bucket.load(key)).is_forgotten
    assert not await bucket.forget(key)
    await process.http.close()


async def test_value_that_cannot_be_decoded_is_replaced(bus: Bus, shop: AccountShop) -> None:
    """One of a later version, for example."""
    customer = new_customer()
    key = subject_of("default", customer)
    await bus.append(key, b'{"type": "customer.known", "facts": 17}', message_id=key)
    process = Process(bus, [shop.reader()])
    assert plan_of(await process.read(customer)) == f"plan of {customer}"
    await process.http.close()


HOSTILE_IDS = ("../victim", "..", "a/../victim", "%2e%2e/victim", "x?customer=victim", "x#victim", "a\\..\\victim", "")


@pytest.mark.parametrize("customer", HOSTILE_IDS)
async def test_hostile_id_reads_nothing_of_another_customer(bus: Bus, shop: AccountShop, customer: str) -> None:
    """An id is one segment of the path, or the request is not sent."""
    process = Process(bus, [shop.reader(name=f"shop-{secrets.token_hex(4)}")])
    known = await process.read(customer)
    assert b"account-victim" not in codec.encode(known)
    assert [URL(f"http://shop{path}").name for path in shop.requests] == ([customer] if shop.requests else [])
    await process.http.close()


async def test_facts_of_an_mcp_server_are_read(bus: Bus, tmp_path: Path) -> None:
    """Its tool is called with the bound arguments alone."""
    server = tmp_path / "server.py"
    server.write_text(MCP_SERVER)
    reader = Reader(
        name="crm",
        kind="mcp",
        command=[sys.executable, str(server)],
        tool="account",
        bind={"customer": "customer.sub"},
        fields={"plan": FactField()},
        timeout_s=5.0,
    )
    process, customer = Process(bus, [reader]), new_customer()
    async with asyncio.timeout(60):
        while plan_of(known := await process.read(customer)) is None:
            # A slow machine may need more than the timeout to start it.
            assert known.readings["crm"].failure == "timeout"
            customer = new_customer()
    assert plan_of(known) == f"plan of {customer}"


def test_readings_are_counted() -> None:
    """By reader and outcome."""
    outcomes = {
        sample.labels["outcome"]
        for family in REGISTRY.collect()
        if family.name == "trunkline_customer_readings"
        for sample in family.samples
    }
    assert outcomes <= {"read", "timeout", "no_answer", "refused", "unreadable", "failed"}
