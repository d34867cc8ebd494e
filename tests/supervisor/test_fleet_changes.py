"""Fleet changes on a running suite: a new specialty gets processes, a removed one loses them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import soak
from tests.faults.customers import TEXTS
from tests.faults.soak import Plan
from tests.support.customer import Customer
from tests.support.suite import SEPARATE, Suite, run_cli, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

FLEET = Path(__file__).parents[2] / "fleet"
COURSE_QUESTION = "Do you offer a training course for installers?"
AGENT = """
name = "academy-courses"
specialty = "academy"
title = "Academy adviser"
description = "Training courses and certificates for installers."
tone = "Encouraging."
hand_off_to = ["billing", "technical"]
examples = [
    "Do you offer a training course for installers?",
    "How do I get the installer certificate?",
    "When is the next training course for electricians?",
    "What does the training course for installers cost?",
    "Is there an online course to become a certified installer?",
    "My installer certificate has expired, how do I renew it?",
    "Can I book a classroom course for my team of installers?",
    "Where do the training courses take place?",
    "Do I get a certificate after the training course?",
    "I want to become a certified installer, which course do I need?",
    "Are there places left in the training course in June?",
]

[knowledge]
topics = ["installation"]
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Run a suite with the demo fleet."""
    folder = tmp_path_factory.mktemp("fleets")
    running = Suite(folder / "data", soak.environment(folder) | SEPARATE)
    try:
        yield running
    finally:
        assert running.stop() == 0


def create_academy_fleet(folder: Path) -> Path:
    """Copy the demo fleet and add one specialty."""
    shutil.copytree(FLEET, folder)
    (folder / "agents" / "academy").mkdir()
    (folder / "agents" / "academy" / "academy-courses.toml").write_text(AGENT, encoding="utf-8")
    return folder


async def test_added_specialty_gets_processes_and_a_removed_one_loses_them_under_load(
    suite: Suite, tmp_path: Path
) -> None:
    """It answers customers while it exists, others afterwards; no message is lost, no other process restarted."""
    before = {name: process["pid"] for name, process in suite.status().items()}
    answered_by: list[str] = []

    async def change_twice() -> None:
        if answered_by:
            return
        applied = await asyncio.to_thread(
            run_cli, suite, "fleet", "apply", str(create_academy_fleet(tmp_path / "fleet"))
        )
        assert applied.returncode == 0, applied.stderr
        await asyncio.to_thread(wait_until, lambda: _academy_state(suite) == "ready", "the academy has a process", 60)
        async with Customer(suite.url) as customer:
            await customer.start()
            answered_by.append((await customer.ask("m1", COURSE_QUESTION))["specialty"])
            back = await asyncio.to_thread(run_cli, suite, "fleet", "rollback")
            assert back.returncode == 0, back.stderr
            await asyncio.to_thread(wait_until, lambda: _academy_state(suite) == "", "the academy has no process", 60)
            # Its socket was not read for as long as that took: the ingress may have closed it as silent.
            await customer.resume()
            answered_by.append((await customer.ask("m2", COURSE_QUESTION))["specialty"])

    plan = Plan(duration_s=25, rate=15, every_s=2, seed=3, conversations=100, texts=(*TEXTS, COURSE_QUESTION))
    report = await soak.run(suite, plan, inject=change_twice)
    assert answered_by[0] == "academy"
    assert answered_by[1] in {"triage", "billing", "technical", "account", "returns", "escalation"}
    assert report.accepted == report.turns > 0
    assert (report.clients, report.log, report.postgres) == ([], [], [])
    assert {name: process["pid"] for name, process in suite.status().items()} == before


def _academy_state(suite: Suite) -> str:
    return str(suite.status().get("agents-academy-1", {"state": ""})["state"])
