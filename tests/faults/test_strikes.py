"""Processes are killed and frozen under load: every accepted message is answered exactly once and in order.

Delays are printed, not judged: `./just faults` is the long version, whose report has them.
"""

from __future__ import annotations

import pytest

from tests.faults import marathon
from tests.faults.marathon import Plan
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "services",
    [("ingress", "agents", "rag"), ("conversation", "llm_gateway"), ("audit", "postgres"), ("nats",)],
    ids="-".join,
)
async def test_killed_processes_cost_no_message_and_double_none(
    suite: Suite, seed: int, services: tuple[str, ...]
) -> None:
    """As the clients, the log and PostgreSQL each say."""
    plan = Plan(duration_s=12, rate=20, every_s=4, seed=seed, conversations=80, services=services)
    report = await marathon.run(suite, plan)
    print(marathon.show(report, plan))
    assert report.faults > 0
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


async def test_stopped_processes_finish_their_turns(suite: Suite, seed: int) -> None:
    """SIGTERM, as a deploy sends it: no turn is lost, none is answered twice, and nobody sees an answer begin anew."""
    services = ("conversation", "agents", "llm_gateway")
    plan = Plan(duration_s=15, rate=20, every_s=3, seed=seed, conversations=80, services=services, deeds=("stop",))
    report = await marathon.run(suite, plan)
    print(marathon.show(report, plan))
    assert report.faults > 0
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
    assert report.begun_anew == 0


async def test_frozen_processes_cost_no_message_and_double_none(suite: Suite, seed: int) -> None:
    """SIGSTOP: the process is found by its silence and replaced; a frozen one never wakes to answer a second time."""
    services = ("conversation", "agents", "llm_gateway", "nats")
    plan = Plan(duration_s=14, rate=20, every_s=6, seed=seed, conversations=100, services=services, deeds=("freeze",))
    report = await marathon.run(suite, plan)
    print(marathon.show(report, plan))
    assert report.faults > 0
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
