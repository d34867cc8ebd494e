"""Erasure of a customer in a running suite."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest
from trunkline_chassis.bus import connect

from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, wait_until

pytestmark = pytest.mark.processes

QUESTION = "When will my refund be paid to my bank? My canary is called"


async def test_erased_customer_is_unreadable_and_new(suite: Suite) -> None:
    """The open conversation closes, it is not resumed, and the customer's next one is like that of a new customer."""
    name, canary = f"customer-{secrets.token_hex(4)}", secrets.token_hex(8)
    async with Customer(suite.url, name) as customer:
        await customer.start()
        await customer.ask("m1", f"{QUESTION} {canary}")
        trace = await asyncio.to_thread(run_cli, suite, "trace", customer.conversation, "--json")
        assert canary in trace.stdout
        exported = await asyncio.to_thread(run_cli, suite, "customer", "export", name)
        assert exported.returncode == 0, exported.stderr
        [conversation] = json.loads(exported.stdout)["conversations"]
        assert conversation["conversation"] == customer.conversation
        assert [message["role"] for message in conversation["messages"]] == ["customer", "agent"]
        assert canary in conversation["messages"][0]["text"]

        done = await asyncio.to_thread(run_cli, suite, "erase", "--customer", name, "--json")
        assert done.returncode == 0, done.stderr
        receipt = json.loads(done.stdout)
        assert receipt["operator"] == "admin"
        assert receipt["key"] == f"{receipt['customer']}-{receipt['fingerprint']}"
        assert name not in done.stdout
        closed = await customer.until("closed")
        assert closed["reason"] == "the customer's data was erased"

        await customer.connect()
        await customer.send(
            {
                "type": "resume",
                "conversation": customer.conversation,
                "resume_token": customer.resume_token,
                "last_seq": 0,
            }
        )
        error = await customer.receive()
        assert (error["type"], error["code"]) == ("error", "not_found")
        assert "erased" in error["message"]

    trace = await asyncio.to_thread(run_cli, suite, "trace", customer.conversation, "--json")
    assert trace.returncode == 0, trace.stderr
    assert canary not in trace.stdout
    assert "[erased]" in trace.stdout
    again = await asyncio.to_thread(run_cli, suite, "erase", "--customer", name)
    assert again.returncode == 1
    assert "no key" in again.stderr

    async with Customer(suite.url, name) as customer:
        await customer.start()
        await customer.ask("m1", f"{QUESTION} new")
        trace = await asyncio.to_thread(run_cli, suite, "trace", customer.conversation, "--json")
        assert f"{QUESTION} new" in trace.stdout
    exported = await asyncio.to_thread(run_cli, suite, "customer", "export", name)
    found = json.loads(exported.stdout)
    assert (found["source"], found["note"], exported.stderr) == ("index", "", "")
    texts = [each["messages"][0]["text"] for each in found["conversations"]]
    assert texts == ["[erased]", f"{QUESTION} new"]


async def test_escalation_of_an_erased_customer_leaves_the_desk(suite: Suite) -> None:
    """Its texts were encrypted in the queue too, and a person at the desk reads them until then."""
    name, canary = f"customer-{secrets.token_hex(4)}", secrets.token_hex(8)
    async with Customer(suite.url, name) as customer:
        await customer.start()
        await customer.send({"type": "request_person", "text": f"I want a person. {canary}"})
        await customer.until("escalated")

        def entries() -> list[dict[str, Any]]:
            return [entry for entry in suite.get("/v1/ops/desk") if entry["conversation"] == customer.conversation]

        def is_readable() -> bool:
            return any(canary in entry["last_message"] for entry in entries())

        # The case is there first, then the text of the request.
        await asyncio.to_thread(wait_until, is_readable, "the desk reads the customer's text")
        bus = await connect(suite.nats_url(), "test")
        try:
            stored = await bus.last_message("KV_DESK", f"$KV.DESK.{customer.conversation}")
            assert stored is not None
            assert canary.encode() not in stored.payload
        finally:
            await bus.close()
        done = await asyncio.to_thread(run_cli, suite, "erase", "--customer", name)
        assert done.returncode == 0, done.stderr
        await customer.until("closed")
        await asyncio.to_thread(wait_until, lambda: not entries(), "the escalation left the desk")
