"""The four protocols and the versioned fleet, in a complete suite."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from trunkline_chassis.bus import connect
from trunkline_protocols import subjects

from tests.support.customer import Customer
from tests.support.suite import AGENTS, Suite, run_cli, wait_until

pytestmark = pytest.mark.processes

FLEET = Path(__file__).parents[2] / "fleet"
BOTH = "I was charged twice for my order and my thermostat will not connect to the Wi-Fi"
REFUND = "When will my refund be paid to my bank?"
PAUSE_S = 0.05
"""Pause between an answer and the next message, below the rate limit of a socket."""
UNKNOWN = "What is the moon made of?"


@asynccontextmanager
async def recorded_subjects(suite: Suite, *filters: str) -> AsyncIterator[list[str]]:
    """Record the subjects of all messages that match the filters, as any NATS client can."""
    bus = await connect(suite.nats_url(), "listener")
    seen: list[str] = []

    async def record(message: Msg) -> None:
        seen.append(message.subject)

    try:
        for subject in filters:
            await bus.subscribe(subject, record)
        await bus.flush()
        yield seen
    finally:
        await bus.close()


async def test_consultation_is_attributed_and_recorded(suite: Suite) -> None:
    """The owner answers and names the specialist; the consultation costs no commit of its own."""
    async with Customer(suite.url) as customer, recorded_subjects(suite, "work.*.high", "advice.>", "conv.>") as seen:
        await customer.start()
        answer = await customer.ask("m1", BOTH)
    assert [part["specialty"] for part in answer["consulted"]] != [answer["specialty"]]
    assert len(answer["consulted"]) == 1
    consulted = answer["consulted"][0]["specialty"]
    assert {consulted, answer["specialty"]} == {"billing", "technical"}
    assert subjects.work(consulted, "high") in seen
    assert any(subject in seen for subject in map(subjects.advice, AGENTS))
    assert sum(subject.startswith("conv.") and customer.conversation in subject for subject in seen) == 1
    steps = json.loads(run_cli(suite, "trace", customer.conversation, "--json").stdout)["steps"]
    (consult,) = [step for step in steps if step["type"] == "consult"]
    assert f"consulted {consulted}" in consult["summary"]
    assert consult["detail"]["advice"] in answer["text"]


async def test_notice_is_in_the_answers_until_it_is_recalled(suite: Suite) -> None:
    """Every process confirms it; a conversation receives it once."""
    text = "Refunds are paid a day later this week."
    done = await asyncio.to_thread(run_cli, suite, "notice", text, "--audience", "agents", "--ttl", "5m", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["missing"] == []
    assert {*AGENTS, "conversation-1", "ingress-1", "audit-1"} <= set(shown["received_by"])
    async with Customer(suite.url) as customer:
        await customer.start()
        assert text in (await customer.ask("m1", REFUND))["text"]
        assert text not in (await customer.ask("m2", REFUND))["text"]
    recalled = await asyncio.to_thread(run_cli, suite, "notices", "recall", shown["notice"]["notice"])
    assert recalled.returncode == 0, recalled.stderr
    async with Customer(suite.url) as customer:
        await customer.start()
        assert text not in (await customer.ask("m1", REFUND))["text"]


async def test_restarted_process_reads_notices_before_it_answers(suite: Suite) -> None:
    """The notice was published while all agents processes were down."""
    text = "Bank transfers are a day late."
    body = json.dumps({"text": text, "audience": "agents"}).encode()
    for instance in AGENTS:
        await asyncio.to_thread(suite.kill, instance)
    published = await asyncio.to_thread(_post, suite, "/v1/ops/notices", body)
    async with Customer(suite.url) as customer:
        await customer.start()
        assert text in (await customer.ask("m1", REFUND))["text"]
    recalled = await asyncio.to_thread(run_cli, suite, "notices", "recall", published["notice"]["notice"])
    assert recalled.returncode == 0, recalled.stderr


def are_replaced(suite: Suite, pids: dict[str, int]) -> bool:
    """Return whether every instance runs as another process."""
    return all(suite.pid(instance) not in {0, pid} for instance, pid in pids.items())


async def test_owner_stays_after_reconnect_deployment_and_crash(suite: Suite) -> None:
    """The owner stays on a new socket, after SIGTERM to every process, and after SIGKILL."""
    async with Customer(suite.url) as customer:
        await customer.start()
        owner = (await customer.ask("m1", REFUND))["specialty"]
        assert (await customer.resume())["recovered"] is True
        assert (await customer.ask("m2", REFUND))["specialty"] == owner
        for number, (signal_, instances) in enumerate(
            [
                (signal.SIGTERM, ["conversation-1", *AGENTS]),
                (signal.SIGKILL, ["conversation-1", *AGENTS]),
            ],
            start=3,
        ):
            before = {instance: suite.pid(instance) for instance in instances}
            for pid in before.values():
                os.kill(pid, signal_)
            answer = await customer.ask(f"m{number}", REFUND)
            assert (answer["specialty"], customer.frames_of("handoff")) == (owner, [])
            await asyncio.to_thread(wait_until, partial(are_replaced, suite, before), "all processes are replaced")


def _post(suite: Suite, path: str, body: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **suite.operator_headers}
    request = urllib.request.Request(suite.url + path, body, headers)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        decoded: dict[str, Any] = json.loads(response.read())
    return decoded


async def test_fleet_changes_under_load_without_a_lost_turn(suite: Suite, tmp_path: Path) -> None:
    """The next turn uses the new version, and after a rollback the old one; every message is answered once."""
    folder = tmp_path / "fleet"
    shutil.copytree(FLEET, folder)
    company = (folder / "fleet.toml").read_text(encoding="utf-8")
    changed = re.sub(r"^(greeting|clarify|abstain) = .*$", r'\1 = "That is unknown here."', company, flags=re.MULTILINE)
    (folder / "fleet.toml").write_text(changed, encoding="utf-8")
    done = asyncio.Event()
    customers = [Customer(suite.url, f"customer-{number}") for number in range(4)]

    async def keep_asking(customer: Customer) -> int:
        async with customer:
            await customer.start()
            number = 0
            while not done.is_set():
                number += 1
                await customer.ask(f"m{number}", REFUND)
                await asyncio.sleep(PAUSE_S)
            return number

    async with asyncio.TaskGroup() as tasks:
        customer_tasks = [tasks.create_task(keep_asking(customer)) for customer in customers]
        applied = await asyncio.to_thread(run_cli, suite, "fleet", "apply", str(folder))
        answer_after_apply = await ask_once(suite)
        rolled_back = await asyncio.to_thread(run_cli, suite, "fleet", "rollback")
        answer_after_rollback = await ask_once(suite)
        done.set()
    assert applied.returncode == 0, applied.stderr
    assert "loaded by every process" in applied.stdout
    assert answer_after_apply == "That is unknown here."
    assert rolled_back.returncode == 0, rolled_back.stderr
    assert answer_after_rollback != answer_after_apply
    for customer, task in zip(customers, customer_tasks, strict=True):
        answered = [message["in_reply_to"] for message in customer.frames_of("message")]
        assert answered == [f"m{number}" for number in range(1, task.result() + 1)]


async def ask_once(suite: Suite) -> str:
    """Return the answer to a question without an article."""
    async with Customer(suite.url) as customer:
        await customer.start()
        return str((await customer.ask("m1", UNKNOWN))["text"])


def test_invalid_fleet_is_refused_with_file_line_and_reason(suite: Suite, tmp_path: Path) -> None:
    """The current version stays."""
    folder = tmp_path / "fleet"
    shutil.copytree(FLEET, folder)
    agent = folder / "agents" / "billing" / "billing-refunds.toml"
    lines = agent.read_text(encoding="utf-8").splitlines()
    number = next(index for index, line in enumerate(lines) if line.startswith("hand_off_to"))
    lines[number] = 'hand_off_to = ["cooking"]'
    agent.write_text("\n".join(lines), encoding="utf-8")
    before = suite.get("/v1/ops/fleet")["version"]
    refused = run_cli(suite, "fleet", "apply", str(folder))
    assert refused.returncode == 1
    assert f"billing-refunds.toml:{number + 1}: hand_off_to names the unknown specialty 'cooking'" in refused.stderr
    assert suite.get("/v1/ops/fleet")["version"] == before
