"""Processes are killed, stopped and frozen under load: every accepted message is answered exactly once and in order.

Delays are printed, not asserted: `./just faults` is the long version, whose report contains them.
"""

from __future__ import annotations

import pytest

from tests.faults import soak
from tests.faults.soak import Plan
from tests.support.suite import Suite

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "services",
    [("ingress", "agents", "rag"), ("conversation", "llm_gateway"), ("audit", "postgres"), ("nats",)],
    ids="-".join,
)
async def test_killed_processes_lose_and_duplicate_no_message(
    suite: Suite, seed: int, services: tuple[str, ...]
) -> None:
    """SIGKILL: the clients, the log and PostgreSQL agree."""
    plan = Plan(duration_s=12, rate=20, every_s=4, seed=seed, conversations=80, services=services)
    report = await soak.run(suite, plan)
    print(soak.to_json(report, plan))
    assert report.injected_faults > 0
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])


async def test_stopped_processes_finish_their_turns(suite: Suite, seed: int) -> None:
    """SIGTERM, as a deployment sends it: no turn is lost or answered twice, and no shown answer is replaced."""
    services = ("conversation", "agents", "llm_gateway")
    plan = Plan(duration_s=15, rate=20, every_s=3, seed=seed, conversations=80, services=services, faults=("stop",))
    report = await soak.run(suite, plan)
    print(soak.to_json(report, plan))
    assert report.injected_faults > 0
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
    assert report.restarted_answers == 0


async def test_frozen_processes_lose_and_duplicate_no_message(suite: Suite, seed: int) -> None:
    """SIGSTOP: the process is detected by its missing heartbeats and replaced; it never resumes to answer again."""
    services = ("conversation", "agents", "llm_gateway", "nats")
    plan = Plan(duration_s=14, rate=20, every_s=6, seed=seed, conversations=100, services=services, faults=("freeze",))
    report = await soak.run(suite, plan)
    print(soak.to_json(report, plan))
    assert report.injected_faults > 0
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
