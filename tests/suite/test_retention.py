"""Retention on a running suite: holds by command, an archive a hundred days later, a customer who returns."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from trunkline_audit.adapters.retention_store import PostgresRetention
from trunkline_audit.adapters.stream_trimmer import JetStreamTrimmer
from trunkline_audit.application.retention_run import RetentionRun, RunReport
from trunkline_audit.core.retention.policy import RetentionPolicy, RetentionRule
from trunkline_chassis.bus import connect
from trunkline_chassis.object_store import ObstoreObjectStore
from trunkline_cli.audit.archive import archive_address
from trunkline_cli.retention.runs import command_settings, nats_of

from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, trunkline

pytestmark = pytest.mark.processes

POLICY = RetentionPolicy(
    (
        RetentionRule("mine", timedelta(days=90), tenants=frozenset({"archived"})),
        RetentionRule("others", None),
    )
)


class ArchivedCustomer(Customer):
    """A customer of a tenant of its own: the suite is shared with other tests."""

    async def start(self) -> dict[str, object]:
        await self.send({"type": "start", "customer": self.name, "tenant": "archived"})
        started = await self.until("started")
        self.conversation, self.resume_token = started["conversation"], started["resume_token"]
        return started


async def run_later(suite: Suite) -> RunReport:
    """Run retention as the command does, with the rights of audit, a hundred days from now."""
    settings = command_settings(suite.data_dir, None, None)
    url, security = nats_of(settings)
    bus = await connect(url, "retention", principal="audit", security=security)
    try:
        run = RetentionRun(
            PostgresRetention(
                archive_address(None, suite.data_dir), holder=secrets.token_hex(4), region=settings.region
            ),
            JetStreamTrimmer(bus, settings.region),
            ObstoreObjectStore,
            POLICY,
            location=settings.retention_url,
            now=lambda: datetime.now(UTC) + timedelta(days=100),
        )
        return await run.run()
    finally:
        await bus.close()


def steps_of(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of a trace without its own looks, and without what a later head proves."""
    return [
        {name: value for name, value in step.items() if name != "leaf"}
        for step in trace["steps"]
        if step["type"] != "conversation.viewed"
    ]


async def test_customer_of_an_archived_conversation_gets_that_it_is_closed(suite: Suite) -> None:
    """Held, it stays as it was; released, operators read it from the archive, and the customer starts a new one."""
    async with ArchivedCustomer(suite.url) as customer:
        await customer.start()
        await customer.ask("m1", "When will my refund be paid to my bank?")
        await customer.send({"type": "end"})
        await customer.until("closed")
        name = customer.conversation
        arguments = ("retention", "hold", "add", "--conversation", name, "--reason", "case 7", "--by", "Ada")
        hold = (await asyncio.to_thread(run_cli, suite, *arguments)).stdout.strip()
        listed = await asyncio.to_thread(run_cli, suite, "retention", "hold", "list", "--json")
        assert [(each["hold"], each["operator"], each["reason"]) for each in json.loads(listed.stdout)] == [
            (hold, "Ada", "case 7")
        ]

        async def held() -> RunReport:
            async with asyncio.timeout(30):
                while (report := await run_later(suite)).held < 4:  # audit has not recorded the end yet
                    await asyncio.sleep(0.2)
                return report

        assert (await held()).archived == 0
        before = json.loads((await asyncio.to_thread(run_cli, suite, "trace", name, "--json")).stdout)
        assert before["archives"] == []
        released = await asyncio.to_thread(run_cli, suite, "retention", "hold", "remove", hold, "--reason", "over")
        assert released.stdout == f"{hold} is released\n"
        report = await run_later(suite)
        assert report.trimmed == report.archived > 0
        assert report.waiting == 0

        found = json.loads((await asyncio.to_thread(run_cli, suite, "trace", name, "--json")).stdout)
        assert found["archives"] == [report.archive]
        assert steps_of(found) == steps_of(before)
        desk = await asyncio.to_thread(suite.get, f"/v1/ops/desk/{name}")
        assert (desk["closed"], desk["archives"]) == (True, [report.archive])
        assert [entry["text"] for entry in desk["transcript"]][:1] == ["When will my refund be paid to my bank?"]

        assert (await customer.resume())["recovered"]
        await customer.say("m2", "Are you there?")
        refused = await customer.receive()
        assert (refused["type"], refused["message"]) == ("error", "the conversation is closed, start a new one")


async def test_plan_of_the_command_reads_the_policy(suite: Suite, tmp_path: Path) -> None:
    """And names the line of a fault."""
    policy = tmp_path / "retention.toml"
    policy.write_text('[[rule]]\nkeep = "1y"\n', encoding="utf-8")

    def plan_of() -> subprocess.CompletedProcess[str]:
        options = ["--policy", str(policy), "--data-dir", str(suite.data_dir), "--json"]
        command = [trunkline(), "retention", "plan", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    plan = json.loads((await asyncio.to_thread(plan_of)).stdout)
    assert plan["rules"] == 1
    assert {row["outcome"] for row in plan["rows"]} <= {"kept"}
    policy.write_text('[[rule]]\nkeep = "a year"\n', encoding="utf-8")
    done = await asyncio.to_thread(plan_of)
    assert done.returncode == 1
    assert done.stderr.startswith(f"trunkline: {policy}:2: keep must be")
