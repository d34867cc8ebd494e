"""Known data about customers in a complete suite: the same after a handoff and kills, read once, and never leaked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

import aiohttp
import jwt
import pytest
from trunkline_chassis.bus import connect
from trunkline_protocols import codec, streams
from trunkline_protocols.customers import subject_of

from tests.faults.customers import CustomerPool
from tests.suite.known_customers import BILLING, facts_given, running, write_fleet
from tests.support.account_shop import serve_accounts
from tests.support.customer import Customer
from tests.support.model_server import ModelServer, serve_model
from tests.support.suite import Suite, run_cli, wait_until
from tests.support.texts import readable_texts

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

TECHNICAL: Final = "My thermostat will not connect to the Wi-Fi"
SECRET: Final = "a secret of at least thirty-two bytes"


def commits_of(suite: Suite, conversation: str) -> list[dict[str, Any]]:
    """Return the commits of a conversation, in clear."""

    async def read() -> list[dict[str, Any]]:
        bus = await connect(suite.nats_url(), "test")
        found = await bus.read_messages(streams.CONVERSATIONS.name, f"conv.*.*.{conversation}.*")
        texts = await readable_texts(bus, suite.key_file())
        readable = [await texts.decrypt(codec.commit.decode(stored.payload)) for stored in found]
        await bus.close()
        return [json.loads(codec.encode(commit)) for commit in readable]

    return asyncio.run(read())


@pytest.mark.timeout(600)
async def test_facts_are_the_same_after_handoff_and_kills_and_read_once(tmp_path: Path) -> None:
    """Every model request of the conversation has them, marked; commits have names, ages and a hash alone.

    Each kind of process is killed in turn, and the customer's page reconnects as any other does.
    """
    async with serve_accounts() as shop, serve_model(ModelServer()) as model:
        fleet = write_fleet(tmp_path / "fleet", shop, fresh_s=600.0)
        async with running(tmp_path / "run", fleet, model.url) as suite:
            pool = CustomerPool(suite.url, 1, seed=0)
            async with asyncio.TaskGroup() as tasks:
                sockets = await pool.open(tasks)
                (customer,) = pool.customers
                name = customer.record.name
                expected = {
                    "plan": f"plan of {name}",
                    "account": f"account-{name}",
                    "orders": {order["order"]: order["status"] for order in shop.account(name)["orders"]},
                }
                await ask_with_facts(pool, model, BILLING, expected)
                await ask_with_facts(pool, model, TECHNICAL, expected)
                killed = set()
                for service, instances in (await asyncio.to_thread(instances_by_service, suite)).items():
                    await asyncio.to_thread(kill_and_wait, suite, instances)
                    await ask_with_facts(pool, model, f"And how do I reset it after {service}?", expected)
                    killed.add(service)
                for socket in sockets:
                    socket.cancel()
            await pool.close()
            assert killed >= {"ingress", "conversation", "agents", "rag", "llm_gateway", "audit", "nats", "postgres"}
            assert customer.record.violations == []
            given = [found for request in model.requests if (found := facts_given(request)) is not None]
            assert all(found == expected for found in given)
            assert shop.requests == [f"/customers/{name}"]
            shown = await asyncio.to_thread(run_cli, suite, "customer", "show", name, "--json")
            view = json.loads(shown.stdout)
            assert {fact["name"]: fact["value"] for fact in view["facts"]} == expected
            commits = await asyncio.to_thread(commits_of, suite, customer.record.conversation)
            events = [event for commit in commits for event in commit["events"]]
            owners = [event["specialty"] for event in events if event["event"] == "turn_answered"]
            assert owners[:2] == ["billing", "technical"]
            used = [event["facts"] for event in events if "facts" in event]
            assert len(used) == len(customer.record.messages)
            assert all(set(record["ages_s"]) == set(expected) for record in used)
            assert len({record["sha256"] for record in used}) == 1
            assert f"plan of {name}" not in json.dumps(commits)


async def ask_with_facts(pool: CustomerPool, model: ModelServer, text: str, expected: dict[str, Any]) -> None:
    """Send a message of the only customer; the model that answers it must get the expected facts.

    A summary of a handoff is written without them.
    """
    (customer,) = pool.customers
    before = len(model.requests)
    await customer.send_message(text, time.monotonic())
    await pool.wait_until_answered(timeout_s=60.0)
    assert not customer.record.is_waiting, text
    given = [found for request in model.requests[before:] if (found := facts_given(request)) is not None]
    assert given, text
    assert all(found == expected for found in given), text


def instances_by_service(suite: Suite) -> dict[str, list[str]]:
    """Return the names of the suite's processes by their service, except for the supervisor, which restarts them."""
    found: dict[str, list[str]] = {}
    for name, process in suite.status().items():
        if process["service"] != "supervisor":
            found.setdefault(process["service"], []).append(name)
    return found


def kill_and_wait(suite: Suite, instances: list[str]) -> None:
    """Send SIGKILL to processes and wait until each runs again and the suite is ready."""
    before = suite.status()
    killed = {name: int(before[name]["pid"]) for name in instances}
    for pid in killed.values():
        os.kill(pid, signal.SIGKILL)

    def are_restarted() -> bool:
        now = suite.status()
        restarted = all(now[name]["pid"] not in {0, pid} for name, pid in killed.items() if name in now)
        return killed.keys() <= now.keys() and restarted and suite.get("/v1/ops/status")["ready"]

    wait_until(are_restarted, f"{', '.join(killed)} run again", timeout_s=90.0)


async def test_hundred_conversations_of_one_customer_read_once(tmp_path: Path) -> None:
    """At once; and the readings are counted, as are hits and misses."""
    async with serve_accounts() as shop:
        fleet = write_fleet(tmp_path / "fleet", shop, fresh_s=600.0)
        settings = {"TRUNKLINE_CONVERSATION_PROCESSES_MIN": "2", "TRUNKLINE_MESSAGES_PER_S": "1000"}
        settings |= {"TRUNKLINE_MESSAGE_BURST": "1000", "TRUNKLINE_EDGE_UNLIMITED": "127.0.0.1"}
        async with running(tmp_path / "run", fleet, settings=settings) as suite:

            async def converse() -> None:
                async with Customer(suite.url, "ada") as customer:
                    await customer.start()
                    await customer.ask("m1", BILLING)
                    await customer.ask("m2", BILLING)

            async with asyncio.timeout(120):
                await asyncio.gather(*(converse() for _ in range(100)))
            assert shop.requests == ["/customers/ada"]
            page = await asyncio.to_thread(metrics_of, suite)
            hits = sum(map(float, re.findall(r'trunkline_cache_hits_total\{.*cache="customer".*\} (\S+)', page)))
            assert hits >= 100


def metrics_of(suite: Suite) -> str:
    """Return the metrics of all processes of the node."""
    url = suite.status()["supervisor"]["detail"]["metrics"]
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own server
        return str(response.read().decode())


async def test_reader_that_hangs_delays_no_later_turn(tmp_path: Path) -> None:
    """While it hangs, later turns are answered with the last facts, and the first one of a new customer without any."""
    async with serve_accounts() as shop, serve_model(ModelServer()) as model:
        fleet = write_fleet(tmp_path / "fleet", shop, fresh_s=1.0, timeout_s=5.0)
        async with running(tmp_path / "run", fleet, model.url) as suite:
            async with Customer(suite.url, "ada") as customer:
                await customer.start()
                await customer.ask("m1", BILLING)
                await asyncio.sleep(1.1)
                shop.gate.clear()
                before = shop.readings
                for number in range(2, 12):
                    await customer.ask(f"m{number}", BILLING)
                    assert facts_given(model.requests[-1]) is not None
                # All ten were answered while the one reading hung.
                assert shop.readings == before + 1
                assert not shop.gate.is_set()
            async with Customer(suite.url, "eve") as stranger:
                await stranger.start()
                await stranger.ask("m1", BILLING)
                # Its reading began, and its answer came before the reader's, which comes only now.
                assert shop.requests[-1] == "/customers/eve"
                assert not shop.gate.is_set()
                assert facts_given(model.requests[-1]) is None
            shop.gate.set()


async def test_claims_and_the_last_conversation_reach_the_model(tmp_path: Path) -> None:
    """Only the allowed claims of a verified token; the end of a closed conversation is there in the next one."""
    policy = '\n[customers]\nclaims = ["company"]\nearlier = 4\n'
    async with serve_accounts() as shop, serve_model(ModelServer()) as model:
        fleet = write_fleet(tmp_path / "fleet", shop, fresh_s=600.0, customers=policy)
        async with running(tmp_path / "run", fleet, model.url, settings={"TRUNKLINE_AUTH_SECRET": SECRET}) as suite:
            claims = {
                "sub": "ada",
                "exp": time.time() + 900,
                "tier": "plus",
                "company": "Acme",
                "salary": "canary-salary",
            }
            token = jwt.encode(claims, SECRET, algorithm="HS256")
            async with Customer(suite.url, "ada", token=token) as customer:
                await customer.start()
                await customer.ask("m1", BILLING)
                await customer.send({"type": "end"})
                await customer.until("closed")
                case = await asyncio.to_thread(suite.get, f"/v1/ops/desk/{customer.conversation}")
                assert (case["tier"], case["verified"], case["channel"]) == ("plus", True, "web")
            view = await stored_view(suite, "ada", "earlier")
            assert view["claims"] == {"company": "Acme"}
            assert [message["role"] for message in view["earlier"]] == ["customer", "agent"]
            assert "canary-salary" not in json.dumps(view)
            async with Customer(suite.url, "ada", token=token) as customer:
                await customer.start()
                await customer.ask("m1", TECHNICAL)
            assert "previous conversation" in str(model.requests[-1]["messages"][0])
            assert BILLING in str(model.requests[-1]["messages"][0])


async def stored_view(suite: Suite, customer: str, field: str) -> dict[str, Any]:
    """Wait until a field of a customer's data is filled and return the data."""
    async with asyncio.timeout(30):
        while True:
            shown = await asyncio.to_thread(run_cli, suite, "customer", "show", customer, "--json")
            view: dict[str, Any] = json.loads(shown.stdout or "{}")
            if view.get(field):
                return view
            await asyncio.sleep(0.1)


async def test_values_are_in_no_log_and_no_stream_and_erased_everywhere(tmp_path: Path) -> None:
    """After answers, a failing reader and a deletion: only the bucket had them, and it has them no longer."""
    canary = "canary-plan-5f0c1d"
    async with serve_accounts() as shop:
        shop.account = lambda customer: {"plan": f"{canary}-{customer}", "account": f"{canary}-account"}
        fleet = write_fleet(tmp_path / "fleet", shop, fresh_s=1.0)
        async with running(tmp_path / "run", fleet, settings={"TRUNKLINE_LOG_LEVEL": "debug"}) as suite:
            async with Customer(suite.url, "ada") as customer:
                await customer.start()
                await customer.ask("m1", BILLING)
                await asyncio.sleep(1.1)
                shop.account = lambda _: [canary]
                await customer.ask("m2", TECHNICAL)
                await customer.send({"type": "request_person"})
                await customer.until("escalated")
                path = f"/v1/ops/desk/{customer.conversation}"
                case = await asyncio.to_thread(suite.get, path)
                assert {fact["name"]: fact["value"] for fact in case["customer"]["facts"]} == {
                    "plan": f"{canary}-ada",
                    "account": f"{canary}-account",
                }
                shop.status = 404
                forgotten = await asyncio.to_thread(run_cli, suite, "customer", "forget", "ada")
                assert forgotten.returncode == 0, forgotten.stderr
            bus = await connect(suite.nats_url(), "test")
            for stream in ("INBOX", "CONVERSATIONS", "WORK", "KV_CUSTOMERS", "KV_DESK", "KV_SNAPSHOTS", "DEAD_LETTERS"):
                found = await bus.read_messages(stream, ">")
                assert canary.encode() not in b"".join(message.payload for message in found), stream
            assert subject_of("default", "ada") in {
                message.subject for message in await bus.read_messages("KV_CUSTOMERS", ">")
            }
            await bus.close()
    logs = "".join(file.read_text(errors="replace") for file in (suite.data_dir / "logs").glob("*.log"))
    assert "customer.read" in logs
    assert canary not in logs + (suite.data_dir / "up.log").read_text()


@pytest.mark.long
async def test_facts_outlive_a_nats_node(tmp_path: Path) -> None:
    """The bucket is replicated: after the loss of one of three nodes the next turn has the same facts."""
    async with serve_accounts() as shop, serve_model(ModelServer()) as model:
        fleet = write_fleet(tmp_path / "fleet", shop, fresh_s=600.0)
        async with (
            running(tmp_path / "run", fleet, model.url, nodes=3) as suite,
            Customer(suite.url, "ada") as customer,
        ):
            await customer.start()
            await customer.ask("m1", BILLING)
            before = facts_given(model.requests[-1])
            assert before is not None
            await asyncio.to_thread(suite.kill, "nats-2")
            # Until the bucket has a leader again, a turn goes on without facts rather than to wait for them.
            await stored_view(suite, "ada", "facts")
            await asyncio.to_thread(suite.kill, "conversation-1")
            with contextlib.suppress(aiohttp.ClientError):
                await customer.resume()
            await customer.ask("m2", BILLING)
            assert facts_given(model.requests[-1]) == before
            assert shop.readings == 1
